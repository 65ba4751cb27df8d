"""Files that a mesh file names, materials, and the one texture they become."""
import itertools
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image
from trimesh.resolvers import FilePathResolver

from .core import InputError
from .imagefile import MAX_PIXELS, check_size, read_header

__all__: list[str] = []

MAX_SIDE = 4096                # of a texture; larger ones are reduced
MAX_BYTES = 256 << 20          # of a mesh file, and of all the files it names
MAX_FACES = 5_000_000
GREY = .8                      # of what has no colour beside what has one
BROKEN = (ArithmeticError, AssertionError, AttributeError, BufferError, EOFError,
          ImportError, LookupError, MemoryError, NameError, OSError,
          RuntimeError, SyntaxError, TypeError, ValueError, struct.error,
          zlib.error, zipfile.BadZipFile,
          Image.DecompressionBombError)  # of any reader


HELPER = re.compile(r'[_-](collider|collision|vhacd|colonly)([_.]?\d+)?$|^UC[BCPSX]_',
                    re.IGNORECASE)   # what modelling programs call them


def check_count(path: Path, things: str, count: int, most: int):
    "InputError when a file has too many of something."
    if count > most:
        raise InputError(f'{path}: {count:,} {things}, over the limit of '
                         f'{most:,}')


def _texels(
    image: Image.Image,   # of any mode
    times: int = 1,       # how many times smaller, each way
) -> ndarray:             # (H, W, 3) uint8 RGB, no side over MAX_SIDE
    "The colours of an image; 16 bits a channel become 8."
    source = image
    image.load()
    if image.mode.startswith('I') or image.mode == 'F':
        values = np.asarray(image).astype(np.float32)
        white = next((n for n in (1, 255) if values.max() <= n), 65535)
        image = Image.fromarray((values*(255/white)).round().clip(0, 255)
                                .astype(np.uint8))
    times = max(times, -(-max(image.size)//MAX_SIDE))
    if times > 1 and image.mode not in ('L', 'RGB', 'RGBA'):
        image = image.convert('RGB')
    if times > 1: image = image.reduce(times)
    texels = np.asarray(image.convert('RGB'))
    source.close()   # its pixels are many times as many
    return texels


class Beside(FilePathResolver):
    "Opens what a mesh file names, and remembers what it had to leave out."
    def __init__(self, path: Path):
        super().__init__(str(path))
        self.path, self.left, self.pixels = path, MAX_BYTES, 4*MAX_PIXELS
        self.notes: dict[str, None] = {}     # in order, each once
        self.contents: dict[Path, bytes] = {}
        folder = path.parent.resolve()
        # ShapeNet: <object>/models/model.obj and <object>/images/texture.jpg
        self.root = folder.parent if folder.name == 'models' else folder

    def note(self, text: str):
        self.notes[text] = None

    def without_helpers(self, names: Sequence[tuple[str, ...]]) -> list[bool]:
        "Which parts are seen: those for collisions are not, unless all are."
        helper = [any(HELPER.search(str(each)) for each in part) for part in names]
        if all(helper): return [True]*len(names)
        for part in itertools.compress(names, helper):
            self.note(f'{part[0]} left out: a helper mesh for collisions')
        return [not each for each in helper]

    def find(self, name: str) -> Path | None:
        "A file by the name another gives it; in its folder, or None."
        name = name.strip().replace('\\', '/')
        for wanted in dict.fromkeys((name, name.strip('"'), name.rpartition('/')[2])):
            try:
                other = self._followed(Path(wanted))
                if other.is_file() and other.is_relative_to(self.root): return other
            except (OSError, ValueError, RuntimeError): continue
        return None

    def _followed(self, wanted: Path) -> Path:
        "A path from the mesh's folder on; capitals are followed if they differ."
        place = self.path.parent.resolve()
        if wanted.is_absolute(): return wanted.resolve()
        for part in wanted.parts:
            there = (place/part).resolve()
            if not there.exists() and place.is_relative_to(self.root):
                alike = [each for each in place.iterdir()
                         if each.name.lower() == part.lower()]
                if alike: there = min(alike).resolve()
            place = there
        return place

    def read(self, other: Path) -> bytes:
        "A file's content, once. OSError when all together are too large."
        if other not in self.contents:
            self.left -= other.stat().st_size
            if self.left < 0: raise OSError('the files it names are too large')
            self.contents[other] = other.read_bytes()
        return self.contents[other]

    def get(self, name: str) -> bytes:
        "What trimesh asks for by name."
        if other := self.find(str(name)): return self.read(other)
        self.note(f'{name} not found beside it')
        raise FileNotFoundError(f'{name}: not found beside it')


@dataclass
class Material:
    "What colours faces: an image, or else one colour, or else nothing."
    color: tuple | None = None         # RGB in [0, 1]
    image: Image.Image | Path | None = None
    tint: tuple | None = None          # RGB that multiplies the image
    scale: tuple = (1., 1.)            # of uv, and then
    offset: tuple = (0., 0.)           # added to it


@dataclass
class Part:
    "Faces that share a table of vertices, with the materials they wear."
    vertices: ndarray                  # (V, 3) float64
    faces: ndarray                     # (F, 3) int64
    colors: ndarray | None = None      # (V, 3) in [0, 1]; NaN: none
    face_colors: ndarray | None = None # (F, 3) in [0, 1]; NaN: none
    uvs: ndarray | None = None         # (T, 2)
    face_uvs: ndarray | None = None    # (F, 3) in [0, T), or -1
    materials: list[Material] = field(default_factory=list)
    face_material: ndarray | None = None  # (F,) in [0, M), or -1


def joined(parts: list[Part]) -> Part:
    "One part of several."
    if len(parts) == 1: return parts[0]
    def moved(name: str, counts: list[int]) -> list[ndarray | None]:
        "Tables of indices, each behind the rows of the parts before it."
        return [None if (t := getattr(p, name)) is None else
                np.where(t < 0, t, t + first)
                for p, first in zip(parts, np.cumsum([0, *counts]))]
    def rows(tables: list[ndarray | None], blank: list[ndarray]):
        if all(table is None for table in tables): return None
        return np.concatenate([b if t is None else t
                               for t, b in zip(tables, blank)])
    faces = moved('faces', [len(p.vertices) for p in parts])
    uvs = [np.empty((0, 2)) if p.uvs is None else p.uvs for p in parts]
    face_uvs = moved('face_uvs', [len(table) for table in uvs])
    wears = moved('face_material', [len(p.materials) for p in parts])
    return Part(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([f for f in faces if f is not None]),
        rows([p.colors for p in parts],
             [np.full((len(p.vertices), 3), np.nan) for p in parts]),
        rows([p.face_colors for p in parts],
             [np.full((len(p.faces), 3), np.nan) for p in parts]),
        np.concatenate(uvs),
        rows(face_uvs, [np.full((len(p.faces), 3), -1) for p in parts]),
        [material for p in parts for material in p.materials],
        rows(wears, [np.full(len(p.faces), -1) for p in parts]))


def _opened(source: Image.Image | Path, beside: Beside) -> Image.Image:
    "An image by its header. ValueError when it is too large or cannot be."
    image = (source if isinstance(source, Image.Image) else
             read_header(beside.read(source)))
    width, height = check_size(image).size
    beside.pixels -= width*height
    if beside.pixels < 0: raise ValueError('too many pixels in all')
    return image


def _shown_images(part: Part, beside: Beside) -> dict[int, ndarray]:
    "Texels of the materials whose image some face has coordinates for."
    if part.face_material is None: return {}
    with_uvs = np.zeros(len(part.faces), bool)
    if part.face_uvs is not None: with_uvs = part.face_uvs.min(1) >= 0
    opened: dict[Any, Image.Image] = {}     # an image once, however many wear it
    worn: dict[int, Any] = {}
    for row in np.unique(part.face_material[part.face_material >= 0]).tolist():
        source = part.materials[row].image
        if source is None: continue
        name = source.name if isinstance(source, Path) else 'an image in it'
        if not with_uvs[part.face_material == row].any():
            beside.note(f'{name} left out: no texture coordinates')
            continue
        key = source if isinstance(source, Path) else id(source)
        try:
            if key not in opened:
                opened[key] = _opened(source, beside)
            worn[row] = key
        except BROKEN as error:
            beside.note(f'{name} cannot be read ({str(error)[:80]})')
    area = sum(min(w, MAX_SIDE)*min(h, MAX_SIDE)
               for w, h in (image.size for image in opened.values()))
    times = int(np.ceil((area/MAX_SIDE**2)**.5)) if area else 1
    read: dict[Any, ndarray] = {}
    found: dict[int, ndarray] = {}
    for row, key in worn.items():
        tint = part.materials[row].tint
        try:
            if key not in read: read[key] = _texels(opened[key], times)
            texels = read[key]
            if tint is not None and min(tint) < 1:
                if (key, tint) not in read: read[key, tint] = (
                    texels*np.asarray(tint)).round().astype(np.uint8)
                texels = read[key, tint]
            found[row] = texels
        except BROKEN as error:
            beside.note(f'{getattr(key, "name", "an image in it")} cannot be '
                        f'read ({str(error)[:80]})')
            read.pop(key, None)
    return found


def _corner_colors(part: Part, images: dict[int, ndarray]) -> ndarray:
    "Colours (F, 3, 3) of corners without an image; NaN where there is none."
    corners = np.full((len(part.faces), 3, 3), np.nan)
    if part.face_material is not None:
        table = np.array([(np.nan,)*3 if m.color is None else m.color
                          for m in part.materials] + [(np.nan,)*3])
        corners[:] = table[part.face_material][:, None]
    for own in (None if part.face_colors is None else part.face_colors[:, None],
                None if part.colors is None else part.colors[part.faces]):
        if own is not None: corners = np.where(np.isnan(own), corners, own)
    return corners


def distinct_rows(table: ndarray) -> tuple[ndarray, ndarray]:
    "Rows that differ, by where each comes first; which of them each row is."
    table = np.ascontiguousarray(table + 0)     # -0. is 0.
    key = table.view(np.dtype((np.void, table.dtype.itemsize*table.shape[1])))
    _, first, which = np.unique(key[:, 0], return_index=True,
                                return_inverse=True)
    order = first.argsort()
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[which.reshape(-1)]


def painted(part: Part, beside: Beside) -> dict[str, ndarray]:
    "Fields of a Mesh: with a texture, colours at vertices, or neither."
    images = _shown_images(part, beside)
    if images: return _textured(part, images, beside)
    corners = _corner_colors(part, images)
    plain = dict(vertices=part.vertices, faces=part.faces)
    if np.isnan(corners).all(): return plain
    corners = np.where(np.isnan(corners), GREY, corners).astype(np.float32)
    colors = np.full(part.vertices.shape, GREY, np.float32)
    colors[part.faces] = corners
    if (colors[part.faces] == corners).all(): return plain | dict(
        vertex_colors=colors)
    # a vertex between two colours is listed once for each
    first, which = distinct_rows(np.c_[part.faces.reshape(-1), corners.reshape(-1, 3)])
    return dict(vertices=part.vertices[part.faces.reshape(-1)[first]],
                faces=which.reshape(-1, 3),
                vertex_colors=corners.reshape(-1, 3)[first])


def _textured(
    part: Part,
    images: dict[int, ndarray],   # row of part.materials: texels
    beside: Beside,
) -> dict[str, ndarray]:          # fields of a Mesh
    "One image as it is; several, or an image and colours, in an atlas."
    uvs, face_uvs, wears = part.uvs, part.face_uvs, part.face_material
    assert uvs is not None and face_uvs is not None and wears is not None
    shows = np.isin(wears, list(images)) & (face_uvs >= 0).all(1)
    groups: dict[tuple, list[int]] = {}
    for row, texels in images.items():
        material = part.materials[row]
        key = id(texels), material.scale, material.offset
        groups.setdefault(key, []).append(row)
    fields = dict(vertices=part.vertices, faces=part.faces)
    if shows.all() and part.colors is not None and not np.isnan(part.colors).any():
        fields['vertex_colors'] = part.colors
    if len(groups) == 1 and shows.all():
        (_, scale, offset), (row, *_) = next(iter(groups.items()))
        return fields | dict(uvs=_placed(uvs, scale, offset), face_uvs=face_uvs,
                             texture=_unit(images[row]))
    corners, cells, where = np.zeros((len(part.faces), 3, 2)), [], []
    for (_, scale, offset), rows in groups.items():
        mine = np.flatnonzero(shows & np.isin(wears, rows))
        if not len(mine): continue
        uv = _placed(uvs[face_uvs[mine]], scale, offset)
        uv -= np.floor(uv.min(1, keepdims=True) + 1e-6)   # into the first tile
        tiles = np.ceil(uv.max((0, 1)) - 1e-6).clip(1, None)
        if tiles.max() > 8:
            beside.note('an image repeats more than 8 times across a face')
            tiles = tiles.clip(None, 8)
        count = tiles.astype(int)
        corners[mine] = (uv/tiles).clip(0, 1)
        cells.append(_tiled(images[rows[0]], int(count[0]), int(count[1])))
        where.append(mine)
    mine = np.flatnonzero(~shows)     # a texel for each colour
    colors = _corner_colors(part, images)[mine].mean(1)
    colors = np.where(np.isnan(colors), GREY, colors)
    first, which = distinct_rows((colors*255).round().astype(np.uint8))
    side = int(np.ceil(len(first)**.5))
    palette = np.zeros((side*side, 3), np.uint8)
    palette[:len(first)] = (colors[first]*255).round()
    if len(mine):
        across, down = which % side + .5, which//side + .5
        corners[mine] = np.stack([across, side - down], 1)[:, None]/side
        cells.append(palette.reshape(side, side, 3))
        where.append(mine)
    atlas, boxes = _packed(cells, fixed=len(cells) - 1 if len(mine) else -1)
    height, width, _ = atlas.shape
    for (left, top, wide, high), mine in zip(boxes, where):
        u, v = corners[mine, :, 0], corners[mine, :, 1]
        corners[mine] = np.stack([(left + u*wide)/width,
                                  1 - (top + (1 - v)*high)/height], -1)
    flat = corners.reshape(-1, 2)
    first, which = distinct_rows(flat)
    return fields | dict(uvs=flat[first], face_uvs=which.reshape(-1, 3),
                         texture=_unit(atlas))


def _placed(uvs: ndarray, scale: tuple, offset: tuple) -> ndarray:
    "Texture coordinates as a material places them; 0 where they are no numbers."
    with np.errstate(all='ignore'):
        placed = uvs*scale + offset
    return np.where(np.abs(placed) < 1e6, placed, 0)


def _unit(texels: ndarray) -> ndarray:
    "Bytes as float32 in [0, 1]."
    values = texels.astype(np.float32)
    values /= 255
    return values


def _tiled(texels: ndarray, across: int, down: int) -> ndarray:
    "An image repeated, made smaller first where no side may be so long."
    high, wide, _ = texels.shape
    times = -(-max(wide*across, high*down)//MAX_SIDE)
    if times > 1: texels = np.asarray(Image.fromarray(texels).reduce(times))
    return np.tile(texels, (down, across, 1))


def _packed(
    cells: list[ndarray],    # (h, w, 3) uint8
    fixed: int,              # the one that must keep its size, or -1
) -> tuple[ndarray, list[tuple]]:  # atlas; left, top, width, height in it
    "Images in rows, the highest first, a texel of each edge around them."
    share = 1.
    while True:
        sizes = [c.shape[1::-1] if k == fixed else
                 tuple(max(1, round(n*share)) for n in c.shape[1::-1])
                 for k, c in enumerate(cells)]
        area = sum((w + 2)*(h + 2) for w, h in sizes)
        width = max(max(w for w, _ in sizes) + 2, int(area**.5) + 1)
        left = top = row = 0
        boxes: list[tuple] = [()]*len(cells)
        for k in sorted(range(len(cells)), key=lambda k: -sizes[k][1]):
            wide, high = sizes[k]
            if left + wide + 2 > width: left, top, row = 0, top + row, 0
            boxes[k] = left + 1, top + 1, wide, high
            left, row = left + wide + 2, max(row, high + 2)
        if max(width, top + row) <= MAX_SIDE: break
        share *= .8
    atlas = np.zeros((top + row, width, 3), np.uint8)
    for cell, (left, top, wide, high) in zip(cells, boxes):
        if cell.shape[:2] != (high, wide):
            image = Image.fromarray(np.ascontiguousarray(cell))
            cell = np.asarray(image.resize((wide, high)))
        atlas[top - 1:top + high + 1, left - 1:left + wide + 1] = np.pad(
            cell, ((1, 1), (1, 1), (0, 0)), 'edge')
    return atlas, boxes
