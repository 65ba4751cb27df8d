"A training run that a signal ends after its step, saved."
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ..callbacks import Callback, fit
from ..config import SSRConfig
from ..data import Split
from ..distributed import mean_of_processes, process_rank
from ..train import Trainer
from .shell import handle_signals

__all__: list[str] = []

AGREE_EVERY = 10   # iterations after which several processes ask each other


class StopOnSignal(Callback):
    "End after the present step at a first signal; a second ends at once."
    def __init__(self):
        self.asked = self.stopped = False

    def handle(self, number: int, frame: FrameType | None):
        self.asked = True
        # torchrun passes a signal on that its processes have had themselves,
        # and kills what does not end
        if 'TORCHELASTIC_RUN_ID' in os.environ: return
        for name in ('SIGINT', 'SIGTERM', 'SIGHUP'):
            again = getattr(signal, name, None)
            if again and signal.getsignal(again) == self.handle:
                signal.signal(again, signal.SIG_DFL)

    def after_step(self, trainer: Trainer):
        asked = self.asked
        if process_rank()[1] > 1:   # all end after the same step
            if trainer.iteration % AGREE_EVERY: return
            flag = torch.tensor(float(asked), device=trainer.device)
            asked = bool(mean_of_processes(flag) > 0)
        if asked and not trainer.done:
            self.stopped = True
            trainer.stop()


def fit_until_signal(
    train: Split,
    val: Split,
    config: SSRConfig,
    folder: Path | None,
    **options: Any,             # of fit
) -> tuple[Trainer, bool]:      # and whether a signal has stopped it
    "Train; Ctrl-C, SIGTERM and SIGHUP end it after its step, saved."
    stop = StopOnSignal()
    with handle_signals(stop.handle):
        trainer = fit(train, val, config, folder, callbacks=[stop], **options)
    return trainer, stop.stopped
