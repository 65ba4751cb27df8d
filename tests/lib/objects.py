"Built-in objects and a tiny configuration that many tests share; made once."
from functools import cache

import numpy as np
import torch

from ssr_nb.camera import viewpoint_ring
from ssr_nb.config import PRESETS, with_overrides
from ssr_nb.data import Split
from ssr_nb.render import render_views
from ssr_nb.shapes import make_shape
from ssr_nb.voxels import voxelize


@cache
def built_in(category='plane', count=6, seed=0, split='train'):
    "A Split of built-in objects, made in memory."
    generator = torch.Generator().manual_seed(seed)
    meshes = [make_shape(category, generator) for _ in range(count)]
    images = np.stack([np.asarray(render_views(m, viewpoint_ring(), supersample=2)) for m in meshes])
    voxels = np.concatenate([voxelize(m.vertices, m.faces).numpy() for m in meshes])
    return Split(images=images, voxels=voxels, viewpoints=viewpoint_ring(),
                 name='built-in', category=category, split=split)


tiny = with_overrides(PRESETS['small'], {
    'iterations': 12, 'cycle': 4, 'batch': 2, 'gate': 0., 'seed': 3,
    'shape.subdivisions': 1, 'shape.width': 4, 'shape.hidden': 32,
    'shape.features': 16, 'view.width': 4, 'view.features': 16,
    'run.validate_every': 4, 'run.checkpoint_minutes': 0})
