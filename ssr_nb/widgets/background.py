"A training run in a process of its own, started, paused and stopped from here."
import multiprocessing
import signal
import time
import traceback
from collections.abc import MutableSequence
from contextlib import ExitStack
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from ..callbacks import Callback, fit
from ..config import SSRConfig
from ..core import InputError
from ..data import load_split
from ..data.npz import SPLITS
from ..train import Trainer

__all__ = ['BackgroundRun']

RUN, PAUSE, STOP = range(3)          # commands
COMMAND, STEP, PAUSED = range(3)     # places in the shared memory
BUSY = 'starting', 'running', 'paused'
STATES = 'idle', *BUSY, 'stopped', 'finished', 'failed'


class Obey(Callback):
    "Says where a run is, waits and stops as the shared memory asks."
    def __init__(self, shared):   # three whole numbers: command, step, paused
        self.shared, self.ended, self.stopped = shared, False, False
        self.parent = multiprocessing.parent_process()

    def end(self, *_): self.ended = True

    def gone(self) -> bool:
        "Whether this process, or the one that started it, is being ended."
        return self.ended or self.parent is None or not self.parent.is_alive()

    def after_step(self, trainer: Trainer):
        shared = self.shared
        shared[STEP] = trainer.iteration
        while shared[COMMAND] == PAUSE and not self.gone():
            shared[PAUSED] = 1
            time.sleep(.02)
        shared[PAUSED] = 0
        if shared[COMMAND] == STOP or self.gone():
            self.stopped = True
            trainer.stop()


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
    obey = Obey(shared)
    signal.signal(signal.SIGTERM, obey.end)
    torch.set_num_threads(1)
    def failed(kind, error, trace) -> bool:
        if isinstance(error, InputError): report.send(('failed', str(error)))
        elif isinstance(error, Exception):
            report.send(('failed', ''.join(traceback.format_exception(error))))
        return isinstance(error, Exception)
    with ExitStack() as stack:
        stack.push(failed)
        train, val = (load_split(data, category, s) for s in SPLITS[:2])
        resume = (folder/'checkpoint.pt').exists()
        trainer = fit(train, val, config, folder, resume=resume, progress=False,
                      callbacks=[obey])
        shared[STEP] = trainer.iteration
        short = obey.stopped and trainer.iteration < config.iterations
        report.send(('stopped' if short else 'finished', ''))


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
        self.process: SpawnProcess | None = None
        self.ending = 'idle', ''     # state after the process, and why
        self.shared: MutableSequence[int] = [RUN, 0, 0]

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
        code = self.process.exitcode if self.process else None
        try: self.ending = self.pipe.recv()
        except EOFError:
            self.ending = 'failed', ('the process ended without a word (exit '
                                     f'code {code})')
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
