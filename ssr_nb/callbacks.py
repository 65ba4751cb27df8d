"What happens beside the steps of a run, and `fit`, which puts it together."
import math
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
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
        if out_of_patience(trainer.config,
                           [row['val_iou'] for row in trainer.log]): trainer.stop()


def out_of_patience(
    config: SSRConfig,
    scores: Iterable[float],   # validation IoU, oldest first
) -> bool:
    "Whether the last `patience` validations have brought no gain."
    found = list(scores)
    if not config.run.patience or not found: return False
    return len(found) - 1 - found.index(max(found)) >= config.run.patience


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
    "Write the run folder after a first step, every few minutes and at the end."
    def __init__(self, folder: Path): self.folder, self.last = folder, -math.inf

    def after_step(self, trainer: Trainer):
        minutes = (time.monotonic() - self.last)/60
        if not trainer.done and minutes < trainer.config.run.checkpoint_minutes:
            return
        save_run(trainer, self.folder)
        self.last = time.monotonic()


def validation_part(
    split: Split,        # n objects, 24 views
    config: SSRConfig,
) -> Split:              # fewer objects, fewer views
    "The images that a validation scores: many objects, at least four views each."
    count, (n, views) = config.run.validate_images, split.images.shape[:2]
    if not 0 < count < n*views: return split
    each = next(v for v in range(min(4, views), views + 1)
                if not views % v and v*n >= count)
    rows = np.arange(-(-count//each))*n*each//count
    seen = (rows[:, None] + np.arange(each)*(views//each)) % views
    return replace(split, images=np.stack([split.images[r, v] for r, v in zip(rows, seen)]),
                   voxels=np.asarray(split.voxels[rows]), loaded=())


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
    trainer = Trainer(train, validation_part(val, config), config, device)
    leader = rank == 0
    path = Path(folder) if folder else None
    beside: list[Callback] = [Validate(), Patience(), *callbacks]
    if progress and leader: beside.append(Progress())
    if path and leader: beside.append(Save(path))
    with lock_run(path) if path and leader else nullcontext():
        if path: open_run(trainer, path, resume)
        if dist.is_initialized(): dist.barrier()  # all have read the folder
        trainer.fit(beside)
    return trainer
