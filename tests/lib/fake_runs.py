"Run folders and data sets as training leaves them, without training."
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ssr_nb.camera import viewpoint_ring
from ssr_nb.config import PRESETS, config_to_dict, method_name
from ssr_nb.data import Split
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.train import COLUMNS

METRICS = [10, .5, .6, .7, .8, .1, .9, .2]   # of the first row, as COLUMNS


def tiny_model(seed=0):
    "A Reconstructor small enough for a test; its weights depend on the seed alone."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Reconstructor(1, width=4, hidden=32, features=16).eval()


def box_split(n=3, seed=0, category='plane'):
    "Noise for images with a square mask, and boxes for voxels: enough to be scored."
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (n, 24, 4, 64, 64), dtype=np.uint8)
    images[:, :, 3] = 0
    images[:, :, 3, 20:40, 20:40] = 255
    voxels = np.zeros((n, 32, 32, 32), bool)
    voxels[:, 10:22, 12:20, 8:24] = True
    return Split(images=images, voxels=voxels, viewpoints=viewpoint_ring(),
                 name=category, category=category, split='test')


def write_run(folder, rule=PRESETS['small'].rule, seed=0, rows=3, category='plane'):
    "A run folder as `fit` leaves it."
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tiny_model(seed).save(folder/'reconstructor.safetensors')
    config = replace(PRESETS['small'], rule=rule, seed=seed)
    about = dict(data='data', category=category, method=method_name(config),
                 config=config_to_dict(config))
    (folder/'config.json').write_text(json.dumps(about))
    lines = [','.join(COLUMNS)]
    for i in range(rows):
        values = [10*(i + 1), *METRICS[1:5], .1*i, .9, .2 + .01*i]
        lines.append(','.join(map(str, values)))
    (folder/'metrics.csv').write_text('\n'.join(lines) + '\n')
    return folder


def write_data(folder, n=3, category='plane', objects=None, split='test'):
    "A split on disk, of boxes or of given objects."
    found = objects or box_split(n, category=category)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for kind in ('images', 'voxels'):
        np.savez(Path(folder)/f'{category}_{split}_{kind}.npz', getattr(found, kind))
    return found
