"Data sets: folders of images, voxels and viewpoints in the published layout."
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .check import check_dataset, dataset_info
    from .image import load_image
    from .make import make_dataset
    from .sources import ObjectSource
    from .split import Split, choose_covering, choose_labeled, load_split

__all__ = ['ObjectSource', 'Split', 'check_dataset', 'choose_covering',
           'choose_labeled', 'dataset_info', 'load_image', 'load_split',
           'make_dataset']


def __getattr__(name: str):
    "Modules that need torch are imported when one of their names is used."
    if name in ('check_dataset', 'dataset_info'):
        from . import check
        return getattr(check, name)
    if name in ('Split', 'choose_covering', 'choose_labeled', 'load_split'):
        from . import split
        return getattr(split, name)
    if name == 'load_image':
        from .image import load_image
        return load_image
    if name == 'make_dataset':
        from .make import make_dataset
        return make_dataset
    if name == 'ObjectSource':
        from .sources import ObjectSource
        return ObjectSource
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
