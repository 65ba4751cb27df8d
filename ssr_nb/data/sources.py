"Objects before they are made: built-in shapes, mesh files, and who made them."
import csv
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import torch
from torch import Generator, Tensor

from ..atlas import HELPER
from ..core import InputError, check_file, read_json
from ..mesh import Mesh
from ..meshio import load_mesh
from ..shapes import make_shape
from .errors import one_line, printable, require

__all__ = ['ObjectSource']

MESH_FILES = {'.obj', '.glb', '.gltf', '.ply', '.stl', '.off', '.3mf', '.dae',
              '.ac', '.x3d'}
# other files of objects: named among what is left out, so that nobody misses them
OTHER_FILES = {'.3ds', '.abc', '.blend', '.bvh', '.c4d', '.dwg', '.dxf', '.fbx',
               '.iges', '.igs', '.lwo', '.ma', '.max', '.mb', '.md2', '.mesh',
               '.ms3d', '.rar', '.skp', '.step', '.stp', '.usd', '.usda', '.usdc',
               '.usdz', '.vox', '.vtk', '.vtp', '.wrl', '.x', '.xyz', '.zip', '.7z'}
MAX_TABLE = 2 << 20  # bytes of a table of licences: 20,000 meshes or so
_CREDIT_FILES = tuple(f'{stem}.{ending}' for ending in ('json', 'csv')
                      for stem in ('meshes', 'licences', 'licenses', 'credits'))
_FIELDS = dict(   # of a credit -> how people call it
    file=('file', 'path', 'filename', 'mesh', 'model'), name=('name', 'title'),
    source=('source', 'url', 'link'), licence=('licence', 'license'),
    creator=('creator', 'author', 'artist'))


@dataclass(frozen=True)
class ObjectSource:
    "An object before it is made."
    mesh: Callable[[], Mesh]  # makes or loads it
    name: str
    source: str = ''
    licence: str = 'unknown'
    creator: str = ''
    left_out: str = ''        # why it is not made, when it is known before


def as_source(
    given: 'ObjectSource | Mesh | Callable[[], Mesh]',
    name: str,   # when it has none
) -> ObjectSource:
    "Anything that is or makes a mesh, as a source."
    if isinstance(given, ObjectSource): return given
    if isinstance(given, Mesh): return ObjectSource(lambda: given, name)
    require(callable(given), f'sources: {name}: expected an ObjectSource, a Mesh '
            f'or a function that makes one, found {type(given).__name__}')
    return ObjectSource(given, name)


def shape_sources(
    category: str,  # one of CATEGORIES, by name
    count: int,
    seed: int,
) -> list[ObjectSource]:
    "Procedural objects, each of its own seed; more of them start alike."
    def source(k: int) -> ObjectSource:
        key = f'{seed} {category} {k}'.encode()
        own = int.from_bytes(hashlib.sha256(key).digest()[:7], 'big')
        return ObjectSource(
            lambda: make_shape(category, Generator().manual_seed(own)),
            f'{category} {k}', 'ssr_nb.shapes', 'CC0-1.0')
    return [source(k) for k in range(count)]


def _axis(
    name: str,  # +x, -x, ..., +z, -z
) -> Tensor:    # (3,) unit vector
    "A signed coordinate axis; InputError when the name is none."
    sign, letter = name[:-1], name[-1:]
    require(sign in ('', '+', '-') and letter in ('x', 'y', 'z'),
            f'axis: expected +x, -x, +y, -y, +z or -z, found {name!r}')
    return torch.eye(3)['xyz'.index(letter)]*(-1 if sign == '-' else 1)


def rotation_to_standard(
    up: str, front: str,  # axes
) -> Tensor:              # (3, 3)
    "The rotation that brings `up` to +y and `front` to +z; InputError if none."
    y, z = _axis(up), _axis(front)
    require(not y @ z, f'up and front: expected two axes at right angles, '
                       f'found {up} and {front}')
    return torch.stack([torch.linalg.cross(y, z), y, z])


def orient(
    mesh: Mesh,
    up: str = '+y', front: str = '+z',  # as the mesh has them
) -> Mesh:                              # y up, front to +z
    "A mesh turned to stand like all others; nothing is mirrored."
    turn = rotation_to_standard(up, front)
    return replace(mesh, vertices=mesh.vertices @ turn.T)


def _credit(
    row: dict,     # as a file has it
    path: Path,    # of that file
) -> dict[str, str]:
    "One object's credit under our names; InputError when it names no file."
    held = {str(key).strip().lower(): printable(str(value))
            for key, value in row.items() if value not in (None, '')}
    found = {field: held[alias] for field, aliases in _FIELDS.items()
             for alias in reversed(aliases) if alias in held}
    require('file' in found, f'{path}: expected a "file" of each object, found '
                             f'{one_line(", ".join(held) or "nothing")}')
    return found


def _read_csv(path: Path) -> list[dict]:
    "The rows of a table with a header; InputError when it is none."
    check_file(path)
    try:
        with open(path, 'rb') as file: content = file.read(MAX_TABLE + 1)
        if len(content) > MAX_TABLE: raise ValueError(f'over {MAX_TABLE} bytes')
        text = content.decode('utf-8-sig')
        comma = max(',;\t', key=text.partition('\n')[0].count)
        lines = csv.reader(io.StringIO(text, newline=''), delimiter=comma)
        header = next(lines, [])
        return [dict(zip(header, line)) for line in lines if line]
    except (OSError, ValueError, csv.Error) as reason:
        raise InputError(f'{path}: not a table ({one_line(reason)})') from None


def _read_credit_file(path: Path) -> list[dict[str, str]]:
    "The credits of one JSON or CSV file."
    rows = _read_csv(path) if path.suffix == '.csv' else read_json(path)
    if isinstance(rows, dict):   # {file: licence} or {file: {licence: ...}}
        rows = [dict(row if isinstance(row, dict) else dict(licence=row), file=file)
                for file, row in rows.items()]
    require(isinstance(rows, list) and all(isinstance(row, dict) for row in rows),
            f'{path}: expected a list of objects with a "file"')
    return [_credit(row, path) for row in rows]


def read_credits(
    folder: Path,                # with mesh files in it or in folders in it
) -> dict[str, dict[str, str]]:  # by file, relative to the folder
    """Name, source, licence and creator of each mesh, where they are stated:
    meshes, licences, licenses or credits, as .json or .csv, beside the meshes."""
    credits = {}
    for name in _CREDIT_FILES:
        path = folder/name
        if not path.exists() and not path.is_symlink(): continue
        for row in _read_credit_file(path):
            file = PurePosixPath(row['file'].replace('\\', '/')).as_posix()
            credits[file] = row
    return credits


def _left_out(
    path: Path,
) -> str:  # why; '' when it shall be read
    "Whether a file of an object is one that cannot or should not be read."
    if not path.is_file(): return 'not a regular file'
    if path.suffix.lower() in OTHER_FILES:
        return (f'{path.suffix} files are not read: convert it to one of '
                + ' '.join(sorted(MESH_FILES)))
    if HELPER.search(path.stem): return 'a helper mesh for collisions'
    return ''


def mesh_sources(
    folder: Path,    # of the categories
    category: str,   # a folder in it
    up: str, front: str,
) -> list[ObjectSource]:
    "The meshes of a category's folder and of those in it, sorted by name."
    home = folder/category
    files = sorted(f for f in home.rglob('*') if not f.is_dir()
                   and f.suffix.lower() in MESH_FILES | OTHER_FILES)
    why = {path: _left_out(path) for path in files}
    others = sorted({path.suffix.lower() for path in files})
    require(not all(why.values()), f'{home}: holds no mesh files; read are '
            + ' '.join(sorted(MESH_FILES))
            + (f', found are {" ".join(others)}' if others else ''))
    credits = read_credits(folder), read_credits(home)

    def source(path: Path) -> ObjectSource:
        file = path.relative_to(folder).as_posix()
        names = path.relative_to(home).as_posix(), path.name, path.stem
        row = next((table[key] for table, keys in zip(
            credits[::-1], (names, (file, *names[1:]))) for key in keys
            if key in table), {})
        return ObjectSource(
            lambda: orient(load_mesh(path), up, front),
            row.get('name', printable(path.stem)), row.get('source', printable(file)),
            row.get('licence', 'unknown'), row.get('creator', ''), why[path])
    return [source(path) for path in files]


def stray_meshes(
    folder: Path,           # of the categories
) -> list[ObjectSource]:
    "Files of objects that lie beside the folders of the categories, not in one."
    return [ObjectSource(partial(load_mesh, path), printable(path.stem),
                         printable(path.name),
                         left_out='lies in no folder of a category')
            for path in sorted(folder.iterdir()) if not path.is_dir()
            and path.suffix.lower() in MESH_FILES | OTHER_FILES]
