"""OBJ files and their material libraries, and polygons cut into triangles."""
import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mapbox_earcut
import numpy as np
from numpy import ndarray

from .atlas import MAX_FACES, Beside, Material, Part, check_count
from .core import InputError

__all__: list[str] = []

MAX_LINE = 1 << 18             # bytes; a polygon of some 30,000 corners


@dataclass
class _Text:
    "Rows of words of an OBJ or MTL file by their first word, with their lines."
    path: Path
    rows: dict[bytes, list[bytes]]
    lines: dict[bytes, list[int]]

    def error(self, line: int, text: str) -> InputError:
        return InputError(f'{self.path}, line {line}: {text[:200]}')

    def numbers(
        self,
        kind: bytes,              # 'v' or 'vt'
        least: int,               # numbers that a row must have
        most: int,                # numbers that are read
    ) -> ndarray:                 # (rows, least) or, if all have so many, most
        "Rows of numbers. InputError names the line that has none."
        rows = self.rows[kind]
        lengths = [len(row.split()) for row in rows]
        width = most if rows and min(lengths) >= most else least
        if rows and min(lengths) == max(lengths) == width:
            found = _numbers(b' '.join(rows), np.float64)
            if len(found) == len(rows)*width: return found.reshape(-1, width)
        table = np.empty((len(rows), width))
        for k, (row, line) in enumerate(zip(rows, self.lines[kind])):
            if lengths[k] < least:
                raise self.error(line, f'a vertex has {least} coordinates')
            try: table[k] = [float(word) for word in row.split()[:width]]
            except ValueError as error:
                raise self.error(line, str(error)) from None
        return table


def _numbers(text: bytes, dtype: type) -> ndarray:
    "Numbers between blanks, quickly; fewer where one is none."
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        try: return np.fromstring(text, dtype, sep=' ')
        except ValueError: return np.empty(0, dtype)


_NAMED = b'mtllib', b'usemtl', b'newmtl', b'map_Kd', b'o', b'g'   # a name follows


def plain_bytes(content: bytes) -> bytes:
    "A text file as UTF-8 or one byte a letter, without a mark, lines ending in \\n."
    for mark, encoding in ((b'\xff\xfe', 'utf-16-le'), (b'\xfe\xff', 'utf-16-be')):
        if content.startswith(mark):
            content = content[2:].decode(encoding, 'replace').encode()
    content = content.removeprefix(b'\xef\xbb\xbf').replace(b'\r\n', b'\n')
    return content if b'\n' in content else content.replace(b'\r', b'\n')


def _text(
    path: Path,       # of an OBJ or MTL file
    content: bytes,
    kinds: bytes,     # first words that matter
) -> _Text:
    "Sort the lines of a file; a backslash joins a line to the next."
    content = plain_bytes(content)
    lines = content.replace(b'\t', b' ').split(b'\n')
    if b'\\\n' in content: lines = list(_unfolded(lines))
    found = _Text(path, {kind: [] for kind in kinds.split()},
                  {kind: [] for kind in kinds.split()})
    rows, places = found.rows, found.lines
    spelled = {kind.lower(): kind for kind in rows}
    for number, line in enumerate(lines, 1):
        kind, _, rest = line.strip().partition(b' ')
        if kind not in rows and (kind := spelled.get(kind.lower(), b'')) not in rows: continue
        if len(line) > MAX_LINE:
            raise found.error(number, f'longer than {MAX_LINE:,} bytes')
        if b'#' in rest:     # within a word, of a name
            if kind in _NAMED: rest = re.split(rb'(?:^|\s)#', rest, maxsplit=1)[0]
            else: rest = rest.partition(b'#')[0]
        rows[kind].append(rest)
        places[kind].append(number)
    return found


def _unfolded(lines: list[bytes]) -> Iterator[bytes]:
    "Lines joined where one ends in a backslash; empty ones keep the count."
    held: list[bytes] = []
    for line in lines:
        held.append(line)
        if line.endswith(b'\\') and sum(map(len, held)) <= MAX_LINE: continue
        yield b' '.join(part.removesuffix(b'\\') for part in held)
        yield from [b'']*(len(held) - 1)
        held.clear()
    if held: yield b' '.join(part.removesuffix(b'\\') for part in held)


@dataclass
class _Corners:
    "The corners of polygons, one after another."
    text: _Text
    rows: list[bytes]     # of each polygon, as written
    sizes: ndarray        # (P,) corners it has
    lines: ndarray        # (P,)

    def error(self, corner: int, reason: str) -> InputError:
        row = np.searchsorted(np.cumsum(self.sizes), corner, 'right')
        return self.text.error(self.lines[row], reason)

    def numbers(self) -> ndarray:     # (corners, 2) int64; 0: not given
        "What 'vertex/uv/normal' says of vertex and uv. InputError."
        text = b' ' + b' '.join(self.rows)
        first = text.split(None, 1)[0]
        if re.fullmatch(rb'-?\d+(/-?\d+|//-?\d+|/-?\d+/-?\d+)?', first):
            style = re.sub(rb'-?\d+', rb'-?\\d++', first)   # all like the first
            if re.fullmatch(rb'(?: ++' + style + rb')++ *+', text):
                text = text.replace(b'//', b' 0 ').replace(b'/', b' ')
                table = _numbers(text, np.int64).reshape(self.sizes.sum(), -1)
                return np.pad(table, ((0, 0), (0, 1)))[:, :2]
        table = np.zeros((self.sizes.sum(), 2), np.int64)
        corner = 0
        for row in self.rows:
            for word in row.split():
                try:
                    for k, part in enumerate(word.split(b'/')[:2]):
                        if part or k == 0: table[corner, k] = int(part)
                except (ValueError, OverflowError) as error:
                    raise self.error(corner, str(error)) from None
                corner += 1
        return table

    def indices(
        self,
        written: ndarray,     # (corners,) from 1, or back from the last so far
        kind: bytes,          # 'v' or 'vt'
    ) -> ndarray:             # (corners,) from 0; below 0 where there is none
        "Rows of a table that corners ask for."
        if written.min() >= 0: return written - 1
        so_far = np.searchsorted(self.text.lines[kind], self.lines)
        return np.where(written < 0, written + np.repeat(so_far, self.sizes),
                        written - 1)


def triangles(
    vertices: ndarray,    # (V, 3)
    faces: ndarray,       # (corners,) vertices of polygons, one after another
    sizes: ndarray,       # (P,) corners of each polygon, 3 or more
) -> tuple[ndarray, ndarray]:  # (F, 3) numbers of corners; (F,) of polygons
    "Cut polygons into triangles: a fan if convex, else by ear clipping."
    first = np.cumsum(sizes) - sizes
    three = np.flatnonzero(sizes == 3)
    parts, owners = [first[three, None] + np.arange(3)], [three]
    for size in np.unique(sizes[sizes > 3]).tolist():
        rows = np.flatnonzero(sizes == size)
        corners = first[rows, None] + np.arange(size)
        points = vertices[faces[corners]]
        normal = _newell(points)
        turns = np.cross(points - np.roll(points, 1, 1),
                         np.roll(points, -1, 1) - points)
        turns = (turns*normal[:, None]).sum(-1)
        slack = 1e-9*np.abs(turns).max(1, keepdims=True)
        dented = (turns < -slack).any(1)
        k = np.arange(1, size - 1)
        fan = np.stack([0*k, k, k + 1], 1)
        parts.append(corners[~dented][:, fan].reshape(-1, 3))
        owners.append(np.repeat(rows[~dented], size - 2))
        for row, own, shape, up in zip(rows[dented], corners[dented],
                                       points[dented], normal[dented]):
            cut = _ears(shape, up)
            parts.append(own[fan if cut is None else cut])
            owners.append(np.full(len(parts[-1]), row))
    owner = np.concatenate(owners)
    order = owner.argsort(kind='stable')
    return np.concatenate(parts)[order], owner[order]


def _newell(points: ndarray) -> ndarray:  # (..., n, 3) -> (..., 3)
    "Twice the area of polygons, along their normals."
    points = points - points[..., :1, :]
    return np.cross(points, np.roll(points, -1, -2)).sum(-2)


def _ears(
    points: ndarray,     # (n, 3) corners of one polygon
    normal: ndarray,     # (3,)
) -> ndarray | None:     # (n - 2, 3) triangles; None where it crosses itself
    "Triangles of a polygon with dents."
    drop = int(np.abs(normal).argmax())
    flat = np.ascontiguousarray(np.delete(points, drop, 1))
    cut = mapbox_earcut.triangulate_float64(
        flat, np.array([len(flat)], np.uint32)).reshape(-1, 3).astype(np.int64)
    sign = np.sign(normal[drop])*(-1 if drop == 1 else 1)
    (a, b, c) = (flat[cut[:, k]] for k in range(3))
    area = (b - a)[:, 0]*(c - a)[:, 1] - (b - a)[:, 1]*(c - a)[:, 0]
    cut[area*sign < 0] = cut[area*sign < 0][:, ::-1]
    return cut if len(cut) else None


_OPTIONS = {b'-blendu': 1, b'-blendv': 1, b'-bm': 1, b'-boost': 1, b'-cc': 1,
            b'-clamp': 1, b'-imfchan': 1, b'-mm': 2, b'-texres': 1, b'-type': 1,
            b'-o': 3, b'-s': 3, b'-t': 3}   # of an image: how many words follow


def _image_options(text: bytes) -> tuple[bytes, dict[bytes, list[float]]]:
    "The name in a line `map_Kd`, and the numbers of its options."
    found: dict[bytes, list[float]] = {}
    words = text.split()
    while len(words) > 1 and (count := _OPTIONS.get(words[0].lower())):
        option = words.pop(0).lower()
        values: list[bytes] = []
        while len(words) > 1 and len(values) < count:
            if count == 3 and not re.fullmatch(rb'[-+.\deE]+', words[0]): break
            values.append(words.pop(0))
        try: found[option] = [float(value) for value in values]
        except ValueError: pass
    return b' '.join(words), found


def _library(
    path: Path,           # of an MTL file
    beside: Beside,
) -> dict[bytes, Material]:
    "Diffuse colours and images of the materials of a library, by name."
    materials: dict[bytes, Material] = {}
    text = _text(path, beside.read(path), b'newmtl Kd map_Kd')
    rows = sorted((line, kind, row) for kind in text.rows
                  for line, row in zip(text.lines[kind], text.rows[kind]))
    current = Material()
    for _, kind, row in rows:
        if kind == b'newmtl':
            current = materials.setdefault(b' '.join(row.split()), Material())
        elif kind == b'Kd':
            try: color = [min(max(float(w), 0.), 1.) for w in row.split()[:3]]
            except ValueError: continue
            if len(color) == 1: color *= 3     # g and b are r
            if len(color) == 3: current.color = tuple(color)
        elif kind == b'map_Kd':
            name, options = _image_options(row)
            image = (beside.find(_name(row)) or beside.find(_name(name))
                     or beside.find(name.decode('latin-1')))
            if image is None: beside.note(f'{_name(name)} not found beside it')
            current.image = image
            u, v, *_ = [*options.get(b'-s', []), 1., 1.]
            current.scale = u, v
            u, v, *_ = [*options.get(b'-o', []), 0., 0.]
            current.offset = u, v
    return materials


def _name(words: bytes) -> str:
    "A file's name as the file system has it."
    return words.strip().decode('utf-8', 'surrogateescape')


def _obj_materials(
    text: _Text,          # of an OBJ file
    beside: Beside,
) -> dict[bytes, Material]:
    "All that the libraries of an OBJ file say."
    materials: dict[bytes, Material] = {}
    for words in dict.fromkeys(b' '.join(row.split())
                               for row in text.rows[b'mtllib']):
        names = [words] if beside.find(_name(words)) else words.split()
        for name in names:
            if other := beside.find(_name(name)):
                try: materials |= _library(other, beside)
                except (InputError, OSError) as error:
                    beside.note(f'{other.name} cannot be read ({error})')
            else: beside.note(f'{_name(name)} not found beside it')
    return materials


def read_obj(
    path: Path,
    content: bytes,
    beside: Beside,
) -> Part:
    "An OBJ file. InputError names the line that is wrong."
    text = _text(path, content, b'v vt f usemtl mtllib o g')
    if not text.rows[b'v']: raise InputError(f'{path}: no vertices')
    numbers = text.numbers(b'v', 3, 6)
    vertices, colors = numbers[:, :3], None
    if numbers.shape[1] < 6 and any(len(row.split()) >= 6 for row in text.rows[b'v']):
        beside.note('its colours are left out: some vertices have none')
    if numbers.shape[1] == 6 and np.isfinite(numbers[:, 3:]).all():
        colors = numbers[:, 3:]
        colors = (colors/(255 if colors.max() > 1 else 1)).clip(0, 1)
    with np.errstate(over='ignore'):
        finite = np.isfinite(vertices.astype(np.float32)).all(1)
    if not finite.all():
        raise text.error(text.lines[b'v'][np.flatnonzero(~finite)[0]],
                         'a coordinate is not a finite number')
    sizes = np.array([len(row.split()) for row in text.rows[b'f']], np.int64)
    lines = np.array(text.lines[b'f'], np.int64)
    if len(bad := np.flatnonzero(sizes < 2)):
        raise text.error(lines[bad[0]], 'a face has 3 or more corners')
    shown = sizes > 2          # two are a line, of which nothing is seen
    shown &= _seen_objects(text, lines, beside)
    if not shown.any(): raise InputError(f'{path}: no faces')
    check_count(path, 'faces', int((sizes[shown] - 2).sum()), MAX_FACES)
    polygons = _Corners(text, list(itertools.compress(text.rows[b'f'], shown)),
                        sizes[shown], lines[shown])
    written = polygons.numbers()
    corners = polygons.indices(written[:, 0], b'v')
    if len(bad := np.flatnonzero((corners < 0) | (corners >= len(vertices)))):
        raise polygons.error(bad[0], f'asks for vertex {written[bad[0], 0]}, '
                             f'there are {len(vertices)}')
    cut, owner = triangles(vertices, corners, polygons.sizes)
    part = Part(vertices, corners[cut], colors)
    if not text.rows[b'mtllib']: return part
    part = _with_materials(part, text, beside, polygons.lines[owner])
    if any(m.image for m in part.materials) and text.rows[b'vt']:
        uvs = text.numbers(b'vt', 1, 2)
        if uvs.shape[1] == 1: uvs = np.c_[uvs, 0*uvs]
        index = polygons.indices(written[:, 1], b'vt')
        if (index >= len(uvs)).any() or not np.isfinite(uvs).all():
            beside.note('its texture coordinates are not all there')
            index = np.where(index >= len(uvs), -1, index)
            uvs = np.nan_to_num(uvs, posinf=0, neginf=0)
        part = replace(part, uvs=uvs, face_uvs=index[cut].clip(-1))
    return part


def _seen_objects(text: _Text, lines: ndarray, beside: Beside) -> ndarray:
    "Which faces (F,) are not of a helper object or group for collisions."
    seen = np.ones(len(lines), bool)
    for kind in b'o', b'g':
        names = [(_name(row),) for row in text.rows[kind]]
        if not names: continue
        owner = np.searchsorted(text.lines[kind], lines)   # 0: before the first
        worn = np.unique(owner[owner > 0])      # a group that is empty is no mesh
        kept = np.ones(len(names) + 1, bool)
        kept[worn] = beside.without_helpers([names[k - 1] for k in worn])
        seen &= kept[owner]
    return seen


def _with_materials(
    part: Part,
    text: _Text,
    beside: Beside,
    lines: ndarray,        # (F,) where each face is
) -> Part:
    "The same part with the materials that its OBJ file names."
    library = _obj_materials(text, beside)
    names = [b' '.join(row.split()) for row in text.rows[b'usemtl']]
    wears = np.searchsorted(text.lines[b'usemtl'], lines) - 1
    if not names and len(library) == 1:    # what else could be meant
        names, wears = list(library), 0*lines
    if library and not names:
        beside.note('no face names a material of its library')
    for name in dict.fromkeys(names):
        if library and name not in library:
            beside.note(f'material {_name(name)} is in no library')
    if not library or not names: return part
    rows = {name: k for k, name in enumerate(dict.fromkeys(names))}
    which = np.array([rows[name] for name in names] + [-1])
    return replace(part, face_material=which[wears],
                   materials=[library.get(name, Material()) for name in rows])


_OFF = re.compile(rb'(ST)?(C)?(N)?OFF')


def read_off(
    path: Path,
    content: bytes,
    beside: Beside,
) -> Part:
    "An OFF file, with colours of vertices (COFF), faces or neither."
    lines = plain_bytes(content).split(b'\n')
    rows = [row for line in lines if (row := line.partition(b'#')[0].split())]
    head = _OFF.fullmatch(rows[0].pop(0)) if rows else None
    if head is None: raise InputError(f'{path}: not an OFF file')
    counts, *rows = [row for row in rows if row] or [[]]
    try:
        count, polygons = int(counts[0]), int(counts[1])
        points, shapes = rows[:count], rows[count:count + polygons]
        if len(points) < count or len(shapes) < polygons:
            raise ValueError(f'expected {count} vertices and {polygons} faces, a line each')
        numbers = np.array([[float(word) for word in row] for row in points])
        sizes = np.array([int(row[0]) for row in shapes], np.int64)
        corners = np.array([int(word) for row, size in zip(shapes, sizes)
                            for word in row[1:size + 1]], np.int64)
        if (sizes < 0).any() or len(corners) != sizes.sum() or numbers.shape[1:] < (3,):
            raise ValueError('a row is too short')
        if len(corners) and not 0 <= corners.min() <= corners.max() < count:
            raise ValueError('a face asks for a vertex that is not there')
        own = [[float(word) for word in row[size + 1:][:3]]
               for row, size in zip(shapes, sizes) if size > 2]
    except (ValueError, OverflowError, IndexError) as error:
        raise InputError(f'{path}: not a readable .off file: {error!s:.160}') from None
    corners = corners[np.repeat(sizes > 2, sizes)]
    sizes = sizes[sizes > 2]
    if not len(sizes): raise InputError(f'{path}: no faces')
    check_count(path, 'faces', int((sizes - 2).sum()), MAX_FACES)
    first = 6 if head[3] else 3      # behind a normal
    # without a C, what follows three coordinates is a colour all the same
    colored = numbers.shape[1] >= first + 3 and (head[2] or not (head[1] or head[3]))
    cut, owner = triangles(numbers[:, :3], corners, sizes)
    part = Part(numbers[:, :3], corners[cut])
    if colored: part.colors = _shade(numbers[:, first:first + 3])
    elif any(len(row) == 3 for row in own):
        part.face_colors = _shade(np.array(
            [row if len(row) == 3 else [np.nan]*3 for row in own]))[owner]
    elif any(own): beside.note('colours of its faces by number are left out')
    return part


def _shade(colors: ndarray) -> ndarray:
    "Colours in [0, 1] of bytes, or of such."
    white = 255 if np.nanmax(colors, initial=0) > 1 else 1
    return (colors/white).clip(0, 1)
