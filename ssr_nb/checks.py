"Checks of tensors and numbers that several rooms share; each names the argument."
import math

from torch import Tensor
from torch.compiler import is_compiling

from .core import InputError


def check_number(
    name: str,                # of the option
    value,                    # anything
    low: float = -math.inf,   # it must be larger
    high: float = math.inf,   # and at most this
):
    "InputError unless a finite number in (low, high]."
    try: fits = math.isfinite(value) and low < value <= high
    except TypeError: fits = False
    if not fits:
        raise InputError(f'{name}: expected a number above {low} and at most '
                         f'{high}, found {value!r}')


def check_floats(
    name: str,  # of the argument
    value,      # anything
    *shape,     # sizes; a letter: one above 0; first ...: any batch
):
    "InputError unless it is a finite float tensor of such a shape."
    tensor = isinstance(value, Tensor)
    if not tensor or not value.is_floating_point():
        found = value.dtype if tensor else type(value).__name__
        raise InputError(f'{name}: expected a float tensor, found {found}')
    ends = shape[1:] if shape[0] is ... else shape
    last = value.shape[-len(ends):] if shape[0] is ... else value.shape
    size = dict(zip(ends, last))   # of each letter, the last it stands for
    if len(last) != len(ends) or not all(
            0 < m == size[n] if isinstance(n, str) else n == m
            for n, m in zip(ends, last)):
        wanted = ', '.join('...' if n is ... else str(n) for n in shape)
        raise InputError(f'{name}: expected shape ({wanted}), '
                         f'found {tuple(value.shape)}')
    if value.device.type != 'cpu' or is_compiling(): return
    if math.isfinite(value.detach().sum()): return
    if bad := int((~value.detach().isfinite()).sum()):
        raise InputError(f'{name}: expected finite numbers, '
                         f'found {bad} NaN or Inf')


def check_batch(
    name: str,      # of the argument
    value: Tensor,  # (*lead, ...)
    lead: tuple,    # its batch dimensions
    batch: tuple,   # those of what it must go with
    other: str,     # the name of that
):
    "InputError unless two batches broadcast."
    pairs = zip(reversed(lead), reversed(batch))
    if all(m == n or 1 in (m, n) for m, n in pairs): return
    raise InputError(f'{name}: {tuple(value.shape)} do not go with {other} '
                     f'of batch {tuple(batch)}')


def image_hw(
    image_size,           # pixels: a whole number, or (height, width)
) -> tuple[int, int]:     # height, width
    "Height and width of an image. InputError unless both are from 1 on."
    pair = isinstance(image_size, (tuple, list)) and len(image_size) == 2
    sides = tuple(image_size) if pair else (image_size, image_size)
    if not all(hasattr(n, '__index__') and n >= 1 for n in sides):
        raise InputError('image_size: expected a whole number from 1 on or '
                         f'(height, width), found {image_size!r}')
    return sides
