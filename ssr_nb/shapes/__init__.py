"Objects to learn from without a download: thirteen families, y up, front +z."
from typing import TYPE_CHECKING

if TYPE_CHECKING: from .families import make_shape

__all__ = ['CATEGORIES', 'make_shape']

CATEGORIES = dict(  # name -> WordNet id
    plane='02691156', bench='02828884', cabinet='02933112', car='02958343',
    chair='03001627', display='03211117', lamp='03636649',
    speaker='03691459', rifle='04090263', sofa='04256520',
    table='04379243', phone='04401088', vessel='04530566')


def __getattr__(name: str):
    "Modules that need torch are imported when one of their names is used."
    if name == 'make_shape':
        from .families import make_shape
        return make_shape
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
