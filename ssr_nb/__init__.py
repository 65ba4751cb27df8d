"""From one image of an object to its 3D mesh, with few known viewpoints.

>>> import ssr_nb
>>> ssr_nb.icosphere(3)                               # a mesh that draws itself
>>> train, val = (ssr_nb.load_split('shapes', 'chair', s) for s in ('train', 'val'))
>>> ssr_nb.fit(train, val, ssr_nb.PRESETS['small'], 'runs/chair')

A name is imported, and torch with it, when it is first used.
"""
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:   # for editors and type checkers; HOMES says the same
    from .callbacks import fit
    from .camera import look_at, perspective, viewpoint_ring
    from .config import PRESETS, SSRConfig
    from .data import Split, load_split, make_dataset
    from .evaluate import evaluate_run
    from .mesh import Mesh, icosphere
    from .meshio import load_mesh, save_mesh
    from .reconstruct import Reconstructor
    from .render import SoftRenderer, render_views, soft_rasterize, soft_silhouette
    from .rules import Agreement, Confidence
    from .siamvp import SiamVP
    from .train import Trainer
    from .voxels import voxel_iou, voxelize

__version__ = "0.2.0"
__all__ = [   # in the order of the book
    'Mesh', 'icosphere', 'load_mesh', 'save_mesh',
    'viewpoint_ring', 'look_at', 'perspective',
    'soft_rasterize', 'soft_silhouette', 'SoftRenderer', 'render_views',
    'voxelize', 'voxel_iou', 'Split', 'load_split', 'make_dataset',
    'Reconstructor', 'SiamVP', 'Agreement', 'Confidence',
    'SSRConfig', 'PRESETS', 'Trainer', 'fit', 'evaluate_run']

HOMES = {name: module for module, names in {
    'mesh': 'Mesh icosphere', 'meshio': 'load_mesh save_mesh',
    'camera': 'viewpoint_ring look_at perspective',
    'render': 'soft_rasterize soft_silhouette SoftRenderer render_views',
    'voxels': 'voxelize voxel_iou', 'data': 'Split load_split make_dataset',
    'reconstruct': 'Reconstructor', 'siamvp': 'SiamVP',
    'rules': 'Agreement Confidence', 'config': 'SSRConfig PRESETS',
    'train': 'Trainer', 'callbacks': 'fit', 'evaluate': 'evaluate_run',
}.items() for name in names.split()}   # where each name is defined


def __getattr__(name: str) -> object:
    "Import the module of a public name when the name is first asked for."
    if name not in HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if HOMES[name] in ('mesh', 'meshio', 'reconstruct'):
        import_module(f'{__name__}.display')   # then a mesh draws itself in a notebook
    value = getattr(import_module(f'{__name__}.{HOMES[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
