"A training run in a process of its own, started, paused and stopped from here."
import multiprocessing
import signal
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

import torch

from ..core import InputError
from ..data import SPLITS, load_split
from ..train import SSRConfig, finished, fit

__all__ = ['BackgroundRun']

RUN, PAUSE, STOP = range(3)          # commands
COMMAND, STEP, PAUSED = range(3)     # places in the shared memory
BUSY = 'starting', 'running', 'paused'
STATES = 'idle', *BUSY, 'stopped', 'finished', 'failed'


def train_in_process(
    data: Path,      # folder of a data set
    category: str,
    config: SSRConfig,
    folder: Path,    # of the run, continued if there is one
    shared,          # three whole numbers: command, step, paused
    report,          # end of a pipe: how it ended, in a word and a reason
):
    "The whole life of the training process."
    signal.signal(signal.SIGINT, signal.SIG_IGN)   # meant for the notebook
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    parent = multiprocessing.parent_process()
    torch.set_num_threads(1)
    def on_step(run):
        shared[STEP] = run.iteration
        gone = lambda: ended or not parent.is_alive()
        while shared[COMMAND] == PAUSE and not gone():
            shared[PAUSED] = 1
            time.sleep(.02)
        shared[PAUSED] = 0
        return bool(shared[COMMAND] == STOP or gone())
    def failed(kind, error, trace) -> bool:
        if isinstance(error, InputError): report.send(('failed', str(error)))
        elif isinstance(error, Exception):
            report.send(('failed', ''.join(traceback.format_exception(error))))
        return isinstance(error, Exception)
    with ExitStack() as stack:
        stack.push(failed)
        train, val = (load_split(data, category, s) for s in SPLITS[:2])
        resume = (folder/'checkpoint.pt').exists()
        run = fit(train, val, config, folder, resume, progress=False,
                  on_step=on_step)
        shared[STEP] = run.iteration
        report.send(('finished' if finished(run) else 'stopped', ''))


class BackgroundRun:
    "A training run in a process of its own."
    def __init__(
        self,
        data: str | Path,    # folder of a data set
        category: str,       # name or WordNet id
        config: SSRConfig,
        folder: str | Path,  # of the run; one that is there is continued
    ):
        self.about = Path(data), category, config
        self.folder = Path(folder)
        self.iterations = config.iterations
        self.process, self.ending = None, ('idle', '')
        self.shared = [RUN, 0, 0]

    def start(self):
        "Begin, go on after a pause, or continue what was stopped."
        self.shared[COMMAND] = RUN
        if self.state in BUSY: return
        context = multiprocessing.get_context('spawn')
        self.shared = context.RawArray('q', 3)
        self.pipe, report = context.Pipe(duplex=False)
        self.process = context.Process(
            target=train_in_process, daemon=True,
            args=(*self.about, self.folder, self.shared, report))
        self.process.start()
        report.close()

    @property
    def state(self) -> str:
        "One of STATES."
        if not self.process: return self.ending[0]
        if not self.process.is_alive(): return self.collect_exit()
        if not self.shared[STEP]: return 'starting'
        return 'paused' if self.shared[PAUSED] else 'running'

    @property
    def iteration(self) -> int:
        "The last step that is done, in this process or the one before."
        return self.shared[STEP]

    def collect_exit(self) -> str:   # state
        "Read how a process that is over has ended."
        try: self.ending = self.pipe.recv()
        except EOFError:
            self.ending = 'failed', ('the process ended without a word (exit '
                                     f'code {self.process.exitcode})')
        self.process = None
        return self.ending[0]

    def pause(self):
        "Wait after the present step."
        self.shared[COMMAND] = PAUSE

    def stop(self):
        "Save after the present step, and end the process."
        self.shared[COMMAND] = STOP

    def wait(
        self,
        seconds: float = 600.,
    ) -> str:                    # state
        "Until the process has ended."
        if self.process: self.process.join(seconds)
        return self.state
