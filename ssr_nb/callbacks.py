"What happens beside the steps of a run, and `fit`, which puts it together."
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import torch.distributed as dist

from .config import SSRConfig, method_name
from .core import InputError
from .data import Split
from .distributed import process_rank
from .progress import progress_bar
from .runs import lock_run, open_run, save_run
from .train import Trainer

__all__ = ['Callback', 'fit']


class Callback:
    "Called by Trainer.fit; override what you need. trainer.stop() ends the run."
    def before_fit(self, trainer: Trainer): "Before the first step."

    def after_step(self, trainer: Trainer): "After each iteration; it may wait."

    def after_validate(self, trainer: Trainer): "When trainer.log has a new row."

    def after_fit(self, trainer: Trainer): "At the end, also after an error."


class Validate(Callback):
    "Score the validation objects every so often, and at the end."
    def after_step(self, trainer: Trainer):
        c = trainer.config
        if (trainer.iteration >= c.iterations
                or trainer.iteration % c.run.validate_every == 0):
            trainer.validate()


class Patience(Callback):
    "Stop after `patience` validations without a gain."
    def before_fit(self, trainer: Trainer): self.after_validate(trainer)

    def after_validate(self, trainer: Trainer):
        vain = [row for row in trainer.log
                if row['iteration'] > trainer.best_iteration]
        if 0 < trainer.config.run.patience <= len(vain): trainer.stop()


class Progress(Callback):
    "A bar over iterations with the last validation in it."
    def before_fit(self, trainer: Trainer):
        c = trainer.config
        self.bar = progress_bar(c.iterations, method_name(c), trainer.iteration)

    def after_step(self, trainer: Trainer): self.bar.update()

    def after_validate(self, trainer: Trainer):
        row = trainer.log[-1]
        words = f'IoU {row["val_iou"]:.3f}'
        if trainer.config.rule: words += f', labels {row["label_coverage"]:.0%}'
        self.bar.set_postfix_str(words, refresh=False)

    def after_fit(self, trainer: Trainer): self.bar.close()


class Save(Callback):
    "Write the run folder every so often, and at the end."
    def __init__(self, folder: Path): self.folder = folder

    def after_step(self, trainer: Trainer):
        every = trainer.config.run.checkpoint_every
        if trainer.done or trainer.iteration % every == 0:
            save_run(trainer, self.folder)


def fit(
    train: Split,                # training objects
    val: Split,                  # validation objects
    config: SSRConfig,
    folder: str | Path | None = None,   # of the run; none: nothing is written
    *,
    resume: bool = False,        # continue the run in the folder
    device: str = 'cpu',
    progress: bool = True,       # show a bar
    callbacks: Iterable[Callback] = (),   # your own, after each validation
) -> Trainer:                    # finished; `best_model()` gives its network
    "Train SSR, or SoftRas alone, and keep the best weights (paper §3.2, §4.2)."
    rank, count = process_rank()
    if config.batch % count:
        raise InputError(f'batch: expected a multiple of the {count} '
                         f'processes, found {config.batch}')
    trainer, leader = Trainer(train, val, config, device), rank == 0
    path = Path(folder) if folder else None
    beside: list[Callback] = [Validate(), Patience(), *callbacks]
    if progress and leader: beside.append(Progress())
    if path and leader: beside.append(Save(path))
    with lock_run(path) if path and leader else nullcontext():
        if path: open_run(trainer, path, resume)
        if dist.is_initialized(): dist.barrier()  # all have read the folder
        trainer.fit(beside)
    return trainer
