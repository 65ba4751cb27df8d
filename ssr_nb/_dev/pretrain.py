"""Train the network that the package brings, of built-in shapes alone.

    python -m ssr_nb._dev.pretrain

makes a data set of six families, trains SoftRas on it with every viewpoint
known, scores it, and writes ssr_nb/pretrained.safetensors and samples/. The
same command again goes on where it was stopped.
"""
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ssr_nb import __version__
from ssr_nb._dev.chapters import ROOT
from ssr_nb.callbacks import Callback, fit
from ssr_nb.camera import viewpoint_ring
from ssr_nb.cli.shell import Folder, command, parse, say, show_objects
from ssr_nb.config import ReconstructionConfig, RunConfig, SSRConfig
from ssr_nb.core import atomic_write, write_text
from ssr_nb.data import load_split, make_dataset
from ssr_nb.data.npz import read_record
from ssr_nb.data.sources import shape_sources
from ssr_nb.display import png_bytes, straight_alpha
from ssr_nb.evaluate import score_split
from ssr_nb.mesh import normalize
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.render import render_views
from ssr_nb.train import Trainer

__all__: list[str] = []

FAMILIES = 'plane', 'car', 'chair', 'sofa', 'table', 'display'
MIXED = 'mixed'      # the category of the data set that holds them all
VALIDATED = 60       # objects: enough to choose weights by
SAMPLE_SIZE = 256    # pixels
# family -> which of its test objects, and from which of the 24 viewpoints
SAMPLES = dict(plane=(9, 10), car=(7, 14), chair=(3, 10), sofa=(9, 14))


@dataclass(frozen=True)
class Pretrain:
    "Train the network that the package brings, of built-in shapes alone."
    out: Folder = Path('runs/pretrained')   # gets data and runs
    count: int = 400             # objects of each family, of which 70 % train
    iterations: int = 2500       # on silhouettes alone
    colored: int = 3600          # more, with colours as well
    seed: int = 0
    threads: int = 1             # of the CPU
    package: Folder = ROOT/'ssr_nb'         # gets weights/ and samples/


def silhouette_config(o: Pretrain) -> SSRConfig:
    "SoftRas with all labels, small enough for 8 MB of float16."
    return SSRConfig(
        labeled=0, rule=None, seed=o.seed, iterations=o.iterations, batch=16,
        shape=ReconstructionConfig(lr=1e-3, decay=1., width=24, hidden=256,
                                   features=128),
        run=RunConfig(validate_every=250))


def color_config(o: Pretrain) -> SSRConfig:
    "The same network with a colour head; lower learning rates end the run."
    first = silhouette_config(o)
    return replace(first, iterations=o.colored, batch=8,
                   shape=replace(first.shape, color=1., decay=.5),
                   run=RunConfig(validate_every=300))


class StartFrom(Callback):
    "Begin with the weights of another run."
    def __init__(self, run: Path): self.run = run

    def before_fit(self, trainer: Trainer):
        if trainer.iteration: return   # it goes on
        weights = Reconstructor.load(self.run).state_dict()
        trainer.model.load_state_dict(weights, strict=False)


def mixed_data(o: Pretrain) -> Path:
    "A data set whose one category holds the objects of all families."
    folder = o.out/'data'
    if not (folder/'dataset.json').is_file():
        sources = [source for family in FAMILIES
                   for source in shape_sources(family, o.count, o.seed)]
        make_dataset(folder, {MIXED: sources}, seed=o.seed, progress=show_objects)
    return folder


def object_names(
    folder: Path,
    split: str,
) -> list[str]:   # 'car 17', by row
    "What dataset.json calls the objects of a split: family and number."
    rows = [row for row in read_record(folder)['objects'][MIXED]
            if row['split'] == split]
    return [row['name'] for row in sorted(rows, key=lambda row: row['row'])]


def family_scores(
    model: Reconstructor,
    folder: Path,
) -> dict[str, float]:         # family -> 3D IoU; and of all
    "What the network reaches on objects that it has never seen."
    scores = score_split(model, load_split(folder, MIXED, 'test'))
    families = np.array([name.split()[0] for name in object_names(folder, 'test')])
    return {name: round(float(scores[families == name].mean()), 3)
            for name in FAMILIES} | {'all': round(float(scores.mean()), 3)}


def write_network(o: Pretrain, folder: Path):
    "Weights in float16, and what they are, into the package."
    trained = Reconstructor.load(o.out/'colors')
    model = Reconstructor(**trained.architecture).half()
    model.load_state_dict(trained.state_dict())
    weights = o.package/'weights'
    weights.mkdir(parents=True, exist_ok=True)
    model.save(weights/'reconstructor.safetensors')
    shipped = Reconstructor.load(weights)   # float32 again
    about = dict(
        families=list(FAMILIES), objects=len(object_names(folder, 'train')),
        iterations=[o.iterations, o.colored], iou=family_scores(shipped, folder),
        licence='Apache-2.0', version=__version__,
        command=f'python -m ssr_nb._dev.pretrain --count {o.count} '
                f'--iterations {o.iterations} --colored {o.colored} '
                f'--seed {o.seed}')
    write_text(weights/'about.json', json.dumps(about, indent=1) + '\n')
    say(json.dumps(about['iou']))


def write_samples(o: Pretrain, folder: Path):
    "Test objects as an eye sees them, RGBA."
    names = object_names(folder, 'test')
    samples = o.package/'samples'
    samples.mkdir(parents=True, exist_ok=True)
    for family, (which, view) in SAMPLES.items():
        own = [name for name in names if name.split()[0] == family]
        number = int(own[which].split()[1])
        source = shape_sources(family, number + 1, o.seed)[number]
        pixels = render_views(normalize(source.mesh()), viewpoint_ring()[view:view + 1],
                              SAMPLE_SIZE)
        image = straight_alpha(pixels.numpy()[0, ..., ::-1])   # not mirrored
        with atomic_write(samples/f'{family}.png') as path:
            Path(path).write_bytes(png_bytes(image))


@command('pretrain')
def main(
    words: list[str],   # behind the module's name
) -> None:
    "Data, training, scores, files."
    o = parse(Pretrain, words, 'pretrain')
    torch.set_num_threads(o.threads)
    folder = mixed_data(o)
    train, val = (load_split(folder, MIXED, s) for s in ('train', 'val'))
    val = replace(val, images=val.images[:VALIDATED], voxels=val.voxels[:VALIDATED],
                  loaded=())
    for name, config, callbacks in (
            ('silhouettes', silhouette_config(o), []),
            ('colors', color_config(o), [StartFrom(o.out/'silhouettes')])):
        run = o.out/name
        fit(train, val, config, run, resume=(run/'config.json').exists(),
            callbacks=callbacks)
    write_network(o, folder)
    write_samples(o, folder)


if __name__ == '__main__': sys.exit(main())
