"""The published layout: a folder of <name>_<train|val|test>_<images|voxels>.npz.

This module needs numpy alone, so that a wrong path or name is answered at once.
Nothing is ever unpickled. A stored array is mapped, a deflated one is unpacked
after its headers were found to be able to keep what they promise. A mapped file
must not be rewritten in place while it is in use: write a new one and rename it.
"""
import io
import math
import re
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..core import InputError, check_file, read_json
from ..shapes import CATEGORIES
from .archives import check_method, open_zip
from .errors import BROKEN, one_line, require

__all__ = ['SPLITS', 'list_splits', 'split_file']

SPLITS = 'train', 'val', 'test'
IMAGE_SHAPE = 24, 4, 64, 64  # viewpoints, RGBA, rows, columns
VOXEL_SHAPE = 32, 32, 32
MAX_BYTES = 4 << 30   # of a compressed array; the largest published has 2.3 GB
MAX_DEFLATED = 1040   # deflate shrinks by 1032 to 1 at best
MAX_CONTENTS = 1 << 16  # bytes of an npz's table of contents: it has one array
MAX_HEADER = 10_000   # bytes of an array's header
_FILE_NAME = re.compile(r'(.+)_(train|val|test)_(images|voxels)\.npz')


def split_file(
    folder: str | Path,
    name: str,   # as in the file's name: 02691156, plane, mug, ...
    split: str,  # train, val or test
    kind: str,   # images or voxels
) -> Path:
    "Where one array of a data set lies."
    return Path(folder)/f'{name}_{split}_{kind}.npz'


def list_splits(
    folder: str | Path,       # of a data set
) -> list[tuple[str, str]]:   # (name, split), sorted
    "Every category and split of which a folder has images or voxels."
    folder = Path(folder)
    require(folder.is_dir(), f'{folder}: no such folder')
    try: names = [file.name for file in folder.iterdir()]
    except OSError as reason:
        raise InputError(f'{folder}: {reason.strerror}') from None
    found = (_FILE_NAME.fullmatch(name) for name in names)
    pairs = {(m[1], m[2]) for m in found if m}
    return sorted(pairs, key=lambda p: (p[0], SPLITS.index(p[1])))


def find_name(
    folder: str | Path,  # of a data set
    category: str,       # name or WordNet id
) -> str:                # as the files have it
    "The name under which a folder keeps a category; InputError lists all."
    names = sorted({name for name, _ in list_splits(folder)})
    of_id = {number: name for name, number in CATEGORIES.items()}
    for alias in category, CATEGORIES.get(category), of_id.get(category):
        if alias in names: return alias
    there = ', '.join(names) or 'none at all'
    raise InputError(f'{folder}: no category {category!r}; there: {there}')


def read_record(
    folder: str | Path,  # of a data set
) -> dict:               # categories, viewpoints, objects; empty without a file
    "What dataset.json says; InputError when it is not a JSON object."
    path = Path(folder)/'dataset.json'
    if not path.exists() and not path.is_symlink(): return {}
    record = read_json(path)
    require(isinstance(record, dict), f'{path}: should hold an object {{…}}')
    return record


@dataclass(frozen=True)
class StoredArray:
    "An array inside an npz, found but not read."
    path: Path
    member: zipfile.ZipInfo = field(repr=False)
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool  # column-major
    start: int     # bytes of its npy header

    @property
    def nbytes(self) -> int: return math.prod(self.shape)*self.dtype.itemsize

    @property
    def mapped(self) -> bool:
        return self.member.compress_type == zipfile.ZIP_STORED


def find_array(
    path: str | Path,  # an npz with one array
) -> StoredArray:
    "What an npz holds, from its headers alone; InputError when it is no npz."
    path = check_file(path)
    try:
        with open_zip(path, MAX_CONTENTS) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise ValueError(f'{len(members)} arrays, not one')
            check_method(members[0])
            with archive.open(members[0]) as stream:
                head = io.BytesIO(stream.read(MAX_HEADER + 12))
        old = npy.read_magic(head) == (1, 0)
        read = npy.read_array_header_1_0 if old else npy.read_array_header_2_0
        shape, fortran, dtype = read(head, max_header_size=MAX_HEADER)
        return StoredArray(path, members[0], dtype, shape, fortran, head.tell())
    except BROKEN as reason:
        raise InputError(f'{path}: not a readable npz, or truncated '
                         f'({one_line(reason)})') from None


def check_array(
    stored: StoredArray,
    item_shape: tuple[int, ...],    # of one object
    dtypes: tuple = (np.uint8,),    # that are accepted
):
    "InputError unless the headers promise what is needed, and can keep it."
    path, shape, size = stored.path, stored.shape, stored.nbytes
    kinds = [np.dtype(d) for d in dtypes]
    names = ' or '.join(kind.name for kind in kinds)
    wanted = ', '.join(map(str, item_shape))
    held = stored.member.file_size - stored.start
    require(stored.dtype in kinds,
            f'{path}: dtype should be {names}, not {stored.dtype}')
    require(shape[1:] == item_shape and shape[0] > 0,
            f'{path}: shape should be (objects, {wanted}), not {shape}')
    require(held == size,
            f'{path}: truncated: {held} bytes where {shape} needs {size}')
    require(stored.mapped or size <= MAX_DEFLATED*path.stat().st_size,
            f'{path}: forged: {size} bytes cannot come of so small a file')
    require(stored.mapped or size <= MAX_BYTES,
            f'{path}: {size} bytes compressed, over the limit of '
            f'{MAX_BYTES}: save it uncompressed (numpy.savez)')


def _array_offset(
    stored: StoredArray,
) -> int:  # bytes from the beginning of the file
    "Where the numbers of a stored (not compressed) array begin."
    with open(stored.path, 'rb') as file:
        file.seek(stored.member.header_offset)
        local = file.read(30)
    if len(local) < 30 or local[:4] != b'PK\3\4':
        raise InputError(f'{stored.path}: damaged zip header')
    name, extra = struct.unpack('<HH', local[26:30])
    return stored.member.header_offset + 30 + name + extra + stored.start


def _map_array(
    stored: StoredArray,
) -> np.ndarray:  # writes to it stay in memory
    "A stored array, mapped; its checksum is left to `check_dataset`."
    offset = _array_offset(stored)
    if offset + stored.nbytes > stored.path.stat().st_size:
        raise InputError(f'{stored.path}: truncated')
    try: return np.memmap(stored.path, stored.dtype, 'c', offset, stored.shape,
                          'F' if stored.fortran else 'C')
    except OSError as reason:
        raise InputError(f'{stored.path}: {stored.nbytes:,} bytes cannot be '
                         f'mapped ({reason.strerror})') from None


def _unpack_array(
    stored: StoredArray,
) -> np.ndarray:
    "An array in memory, its checksum verified; InputError when damaged."
    flat = np.empty(stored.nbytes, np.uint8)
    done = 0
    try:
        with open_zip(stored.path, MAX_CONTENTS) as archive, \
                archive.open(stored.member) as stream:
            stream.read(stored.start)
            while part := stream.read(1 << 20):
                flat.data[done:done + len(part)] = part  # ValueError: too long
                done += len(part)
            if done < len(flat): raise ValueError('cut short')
    except BROKEN as reason:
        raise InputError(f'{stored.path}: damaged '
                         f'({one_line(reason)})') from None
    return flat.view(stored.dtype).reshape(
        stored.shape, order='F' if stored.fortran else 'C')


def read_array(
    stored: StoredArray,  # found and checked
) -> np.ndarray:
    "Its numbers, mapped where that can be done."
    return _map_array(stored) if stored.mapped else _unpack_array(stored)


def load_array(
    path: str | Path,               # an npz with one array
    item_shape: tuple[int, ...],    # of one object
    dtypes: tuple = (np.uint8,),    # that are accepted
) -> np.ndarray:                    # (objects, *item_shape)
    "The array of an npz, mapped where it can be; InputError when wrong."
    check_array(stored := find_array(path), item_shape, dtypes)
    return read_array(stored)
