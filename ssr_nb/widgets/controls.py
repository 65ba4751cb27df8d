"Traits and methods that carry the description of their own control."
import io
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import traitlets
from PIL import Image

from ..core import InputError

__all__ = ['button', 'choice', 'decode', 'encode', 'picture', 'slider', 'text_field',
           'toggle', 'upload']

MAX_UPLOAD = 8 << 20  # bytes; Jupyter's own limit is 10 MB a message
IMAGE_FILES = '.png', '.webp', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff'
ALPHA_FILES = '.png', '.webp'   # that may say where the object is

Method = TypeVar('Method', bound=Callable)
Content = TypeVar('Content')


class Number(traitlets.Float):
    "A finite number between two bounds; TraitError for any other."
    def validate(self, obj, value):
        value = super().validate(obj, value)
        if math.isfinite(value): return value
        raise traitlets.TraitError(
            f'{self.name}: expected a finite number, found {value}')


def slider(
    start: float,       # value at first
    low: float,
    high: float,
    step: float,        # of the value, or of its power of ten
    label: str,
    unit: str = '',
    log: bool = False,  # the slider moves the power of ten
) -> Number:
    "A number and its slider."
    control = dict(kind='slider', label=label, low=low, high=high, step=step,
                   unit=unit, log=log)
    return Number(start, min=low, max=high).tag(sync=True, control=control)


def choice(
    options: tuple[str, ...],  # the first one at first
    label: str,
) -> traitlets.Enum:
    "One of a few words, and a row of buttons to pick it."
    control = dict(kind='choice', label=label, options=list(options))
    return traitlets.Enum(options, options[0]).tag(sync=True, control=control)


def toggle(start: bool, label: str) -> traitlets.Bool:
    "Yes or no, and a box to tick."
    control = dict(kind='toggle', label=label)
    return traitlets.Bool(start).tag(sync=True, control=control)


def text_field(start: str, label: str) -> traitlets.Unicode:
    "A line of text, and a place to type it."
    control = dict(kind='text', label=label)
    return traitlets.Unicode(start).tag(sync=True, control=control)


def _mark(control: dict[str, Any]) -> Callable[[Method], Method]:
    "Decorator: a method that the browser may call."
    def mark(method: Method) -> Method:
        vars(method)['control'] = control
        return method
    return mark


def button(label: str) -> Callable[[Method], Method]:
    "Decorator: the browser shows a button that calls this method."
    return _mark(dict(kind='button', label=label))


def upload(
    label: str,
    accept: tuple[str, ...],  # suffixes, dot included
) -> Callable[[Method], Method]:
    "Decorator: files given in the browser go to this method(name, content)."
    return _mark(dict(kind='upload', label=label, accept=list(accept),
                      most=MAX_UPLOAD))


def picture(
    label: str,        # what is said above it, and instead of it
    width: int = 256,  # CSS pixels in the browser
) -> traitlets.Bytes:
    "The bytes of a PNG file, and a place that shows it."
    return traitlets.Bytes().tag(sync=True,
                                 picture=dict(label=label, width=width))


def tagged(
    panel: traitlets.HasTraits,
    tag: str,                # control or picture
) -> list[dict[str, Any]]:   # as its class states them, then its base
    "What the traits and methods of a panel say of themselves."
    found: dict[str, dict[str, Any]] = {}
    for base in type(panel).__mro__:
        for name, member in vars(base).items():
            tags = getattr(member, 'metadata', None) or (
                vars(member) if hasattr(member, '__dict__') else {})
            if tag in tags: found.setdefault(name, dict(name=name, **tags[tag]))
    return list(found.values())


def encode(
    pixels: np.ndarray,  # (H, W), (H, W, 3) or (H, W, 4) uint8
) -> bytes:              # a PNG file
    "Pixels as a file, quickly rather than tightly packed."
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'png', compress_level=1)
    return buffer.getvalue()


def decode(
    png: bytes,       # a PNG file
) -> np.ndarray:      # its pixels
    "The inverse of `encode`."
    return np.asarray(Image.open(io.BytesIO(png), formats=('PNG',)))


def on_white(
    pixels,            # (4, S, S) uint8, premultiplied
) -> np.ndarray:       # (S, S, 3) uint8
    "An image of a data set on a white ground."
    pixels = np.asarray(pixels).astype(int)
    white = (pixels[:3] + 255 - pixels[3]).clip(0, 255).astype(np.uint8)
    return white.transpose(1, 2, 0)


def read_upload(
    name: str,                # as the browser names the file
    content: bytes,
    accept: tuple[str, ...],  # suffixes
    read: Callable[[Path], Content],
) -> Content:
    "What `read` makes of a file; InputError names it. Nothing is kept."
    name = Path(name).name[:80]
    suffix = Path(name).suffix.lower()
    if suffix not in accept:
        raise InputError(f'{name}: expected a file of {" ".join(accept)}')
    if not 0 < len(content) <= MAX_UPLOAD:
        raise InputError(f'{name}: expected up to {MAX_UPLOAD >> 20} MB, '
                         f'found {len(content)} bytes')
    with TemporaryDirectory() as folder:
        path = Path(folder)/f'upload{suffix}'
        path.write_bytes(content)
        try: return read(path)
        except InputError as error:
            said = str(error).replace(str(path), name)
            raise InputError(said) from None
