"What a rasterizer can be told besides its faces: one table, checked when made."
import math
from dataclasses import dataclass

from ..checks import check_number, image_hw
from ..core import InputError, check_choice

__all__ = ['RasterOptions']

CHOICES = {'distance': ('euclidean', 'barycentric', 'hard'),
           'alpha': ('prod', 'sum', 'hard'),
           'color': ('softmax', 'hard')}


def as_triple(
    name: str,    # of the argument
    value,        # three numbers
) -> tuple[float, float, float]:
    "Three floats, a colour or a direction. InputError unless all are finite."
    try: a, b, c = map(float, value)
    except (TypeError, ValueError): a = b = c = math.nan
    if not all(map(math.isfinite, (a, b, c))):
        raise InputError(f'{name}: expected 3 numbers, found {value!r}')
    return a, b, c


@dataclass(frozen=True)
class RasterOptions:
    "How faces become pixels. InputError names a wrong value."
    image_size: int | tuple[int, int] = 64  # pixels: one side, or (height, width)
    sigma: float = 1e-4          # edge softness, NDC²
    gamma: float = 1e-4          # softness of the depth order
    dist_eps: float = 1e-4       # smallest probability that counts
    near: float = 1.             # nearest depth that is rendered
    far: float = 100.            # farthest depth that is rendered
    background: tuple[float, float, float] = (0., 0., 0.)  # RGB
    distance: str = 'euclidean'  # or 'barycentric', 'hard'
    alpha: str = 'prod'          # or 'sum', 'hard'
    color: str = 'softmax'       # or 'hard': the nearest face
    eps: float = 1e-3            # the background's normalised depth
    cull_backfaces: bool = False # leave faces out that look away

    def __post_init__(self):
        for name, known in CHOICES.items():
            check_choice(name, getattr(self, name), known)
        image_hw(self.image_size)
        for name in ('sigma', 'gamma'):  # float32 divides by them
            check_number(name, getattr(self, name), 1e-20, 1e20)
        check_number('near', self.near, 0, 1e20)
        check_number('far', self.far, self.near, 1e20)
        check_number('dist_eps', self.dist_eps, 0, .5)
        check_number('eps', self.eps)
        as_triple('background', self.background)

    @property
    def size(self) -> tuple[int, int]:
        "Height and width in pixels."
        return image_hw(self.image_size)

    @property
    def rgb(self) -> tuple[float, float, float]:
        "The background as floats."
        return as_triple('background', self.background)
