"One image of an object, from a file or an array, as the network wants it."
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..core import InputError, check_file
from ..imagefile import open_image
from .errors import BROKEN, one_line, require

__all__ = ['load_image']

OBJECT_SHARE = 2/3  # of the image's side: the longer side of a framed object's box


def open_picture(
    path: str | Path,
) -> Image.Image:
    "An image from a file, turned as its camera says; InputError if broken."
    path = check_file(path)
    try: return ImageOps.exif_transpose(open_image(path))
    except (*BROKEN, SyntaxError, Image.DecompressionBombError) as reason:
        raise InputError(f'{path}: not a readable picture '
                         f'({one_line(reason)})') from None


def _as_bytes(
    values: np.ndarray | Tensor,  # uint8, uint16, float in [0, 1], or bool
    name: str,                    # image or mask, for the error
) -> np.ndarray:                  # uint8, the same shape
    "Numbers as bytes; InputError for other types, ranges, NaN."
    values = _array(values)
    if values.dtype == np.uint8: return values
    if values.dtype == bool: return values.astype(np.uint8)*255
    if values.dtype.kind == 'u' and values.dtype.itemsize == 2:
        return ((values.astype(np.uint32) + 128)//257).astype(np.uint8)
    require(values.dtype.kind == 'f', f'{name}: expected uint8, uint16 or float, '
                                      f'found {values.dtype}')
    require(values.size and values.min() >= 0 and values.max() <= 1,
            f'{name}: expected floats in [0, 1], found others or none')
    return (values*255).round().astype(np.uint8)


def _array(values: np.ndarray | Tensor) -> np.ndarray:
    "A tensor's numbers, or an array as it is."
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _gray_values(
    image: Image.Image,  # of one channel of 16 or 32 bits
) -> np.ndarray:         # uint8, uint16 or float
    "The numbers of an image with deep grays; InputError when out of range."
    values = np.asarray(image)
    if values.dtype.kind == 'f': return values
    require(values.min() >= 0 and values.max() < 2**16,
            'image: expected grays below 65536')
    deep = image.mode != 'I' or values.max() > 255   # 'I' may hold bytes
    return values.astype(np.uint16 if deep else np.uint8)


def _is_deep(image: Image.Image) -> bool:
    "Whether its grays have more than 8 bits, which `convert` would clip."
    return image.mode[:1] in 'IF'


def _as_image(
    given: object,  # path, PIL image; array or tensor (H, W, 3|4) or (3|4, H, W)
) -> Image.Image:   # RGB or RGBA
    "Anything that is an image, as a PIL image; InputError otherwise."
    if isinstance(given, (str, Path)): given = open_picture(given)
    if isinstance(given, Image.Image):
        require(min(given.size) > 0, f'image: no pixels in {given.size}')
        if _is_deep(given):
            given = Image.fromarray(_as_bytes(_gray_values(given), 'image'))
        clear = 'A' in given.getbands() or 'transparency' in given.info
        return given.convert('RGBA' if clear else 'RGB')
    if not isinstance(given, (np.ndarray, Tensor)):
        raise InputError('image: expected a path, picture, array or tensor, '
                         f'found {type(given).__name__}')
    shape = tuple(given.shape)
    first = len(shape) == 3 and shape[0] in (3, 4)
    last = len(shape) == 3 and shape[2] in (3, 4)
    require((first or last) and 0 not in shape, 'image: expected shape '
            f'(3 or 4, H, W) or (H, W, 3 or 4), found {shape}')
    values = _as_bytes(given, 'image')
    if first and not (last and isinstance(given, np.ndarray)):
        values = values.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(values))


def _mask_values(
    given: object,   # path, PIL image, or array or tensor (H, W)
) -> np.ndarray:     # (H, W) of its own type
    "The numbers of a mask; InputError when it is none."
    if isinstance(given, (str, Path)): given = open_picture(given)
    if isinstance(given, Image.Image):
        if 'A' in given.getbands() or 'transparency' in given.info:
            alpha = np.asarray(given.convert('RGBA'))[..., 3]
            if alpha.size and alpha.min() < alpha.max(): return alpha   # a cut-out
        return _gray_values(given) if _is_deep(given) \
            else np.asarray(given.convert('L'))
    if not isinstance(given, (np.ndarray, Tensor)):
        raise InputError('mask: expected a path, picture, array or tensor, '
                         f'found {type(given).__name__}')
    values, shape = _array(given), tuple(given.shape)
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        values = values.squeeze(0 if shape[0] == 1 else 2)
    require(values.ndim == 2 and 0 not in shape,
            f'mask: expected shape (H, W), found {shape}')
    require(values.dtype.kind in 'biuf', 'mask: expected numbers, found '
                                         f'{values.dtype}')
    return values


def _as_mask(
    given: object,          # path, PIL image, or array or tensor (H, W)
    size: tuple[int, int],  # width and height that it must have
) -> Image.Image:           # L, 255 on the object
    """A mask beside an image; InputError when it does not fit.

    Where it has two values, whichever they are, the larger is the object: 0 and 1
    as well as 0 and 255. A mask that is itself a cut-out says object by its alpha.
    """
    values = _mask_values(given)
    (high, wide), (width, height) = values.shape, size
    require((wide, high) == size, f'mask: expected {width}×{height} pixels like '
            f'the image, found {wide}×{high}')
    require(values.dtype.kind != 'f' or np.isfinite(values).all(),
            'mask: expected finite numbers')
    low, top = values.min(), values.max()
    rim = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    require((rim < top).any() or low == top, 'mask: its object is all along the '
            'border of the image: expected the object bright, is it inverted?')
    require(top > 0, 'mask: 0 everywhere: no object')
    require(low < top, 'mask: full everywhere: it does not say where the object is')
    if ((values == low) | (values == top)).all():
        return Image.fromarray((values == top).astype(np.uint8)*255)
    coverage = _as_bytes(values, 'mask')
    require(coverage.max() > 127, 'mask: nowhere above one half, and not of two '
                                  'values: no object')
    return Image.fromarray(np.ascontiguousarray(coverage))


def _letterbox(
    image: Image.Image,  # RGBA
    size: int,
) -> Tensor:             # (4, size, size) uint8, premultiplied
    "An image of any size, shrunk or grown into a square."
    steps = -(-max(image.size)//4096)   # a long thin one has few pixels,
    if steps > 1: image = image.reduce(steps)   # but its square has not
    side = max(image.size)
    square = Image.new('RGBA', (side, side), (0, 0, 0, 0))
    left, top = (side - image.width)//2, (side - image.height)//2
    square.paste(image, (left, top))
    method = Image.Resampling.BOX if side > size else Image.Resampling.BILINEAR
    small = square.convert('RGBa').resize((size, size), method)
    pixels = np.frombuffer(small.tobytes(), np.uint8).reshape(size, size, 4)
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def _frame_object(
    image: Image.Image,  # RGBA
) -> Image.Image:        # RGBA, square, the object in the middle
    "A square cut out around the object, which fills OBJECT_SHARE of its side."
    alpha = image.getchannel('A')
    box = alpha.point([0]*128 + [255]*128).getbbox() or alpha.getbbox()
    left, top, right, bottom = box or (0, 0, *image.size)
    side = round(max(right - left, bottom - top)/OBJECT_SHARE)
    if side > 4096: return _frame_object(image.reduce(2))
    x, y = (left + right - side)//2, (top + bottom - side)//2
    return image.crop((x, y, x + side, y + side))   # and nothing outside


def _checked_alpha(
    alpha: np.ndarray,  # (H, W) uint8
    name: str,          # where it is from
) -> np.ndarray:        # (H, W) uint8
    "An alpha that tells an object from what is around it: 0 and 1 become 0 and 255."
    require(alpha.any(), f'{name}: 0 everywhere: no object')
    if alpha.max() == 1: alpha = alpha*np.uint8(255)
    require(alpha.min() < 255, f'{name}: full everywhere: it does not say '
                               'where the object is')
    return alpha


def load_image(
    image,      # path, PIL image, array or tensor; RGBA, or RGB beside a mask
    mask=None,  # the same kinds, (H, W); instead of alpha
    size: int = 64,
    frame: bool = False,  # cut a square around the object first
) -> Tensor:    # (4, size, size) uint8, premultiplied, as in data sets
    "One image of an object, as the network wants it; InputError if not."
    if mask is None and getattr(image, 'shape', ()) == (4, size, size):
        pixels = np.array(_as_bytes(image, 'image'))
        pixels[3] = _checked_alpha(pixels[3], 'alpha')
        if not frame: return torch.from_numpy(pixels)
        rows = pixels.transpose(1, 2, 0).tobytes()
        image = Image.frombytes('RGBa', (size, size), rows).convert('RGBA')
    whole = _as_image(image)
    where = image if isinstance(image, (str, Path)) else 'image'
    if mask is not None: whole.putalpha(_as_mask(mask, whole.size))
    require('A' in whole.getbands(), f'{where}: no alpha channel and no mask: say '
                                     'where the object is')
    alpha = _checked_alpha(np.asarray(whole.getchannel('A')),
                           f'{where}: alpha' if mask is None else 'mask')
    if mask is None: whole.putalpha(Image.fromarray(alpha))
    if frame: whole = _frame_object(whole)
    pixels = _letterbox(whole, size)
    require(pixels[3].any(), f'{where}: the object is too small to be seen')
    return pixels
