"Make a data set of any source of objects, wholly or not at all."
import json
import os
import re
import secrets
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..camera import viewpoint_ring
from ..core import InputError, atomic_write
from ..mesh import normalize
from ..render import render_views
from ..shapes import CATEGORIES
from ..voxels import voxelize
from .errors import one_line, require
from .furniture import (
    LIBRARIES,
    add_category_words,
    find_libraries,
    furniture_sources,
)
from .npz import SPLITS, split_file
from .sources import (
    ObjectSource,
    as_source,
    mesh_sources,
    rotation_to_standard,
    shape_sources,
    stray_meshes,
)
from .split import HALF_ANGLE

__all__ = ['make_dataset']

# what readers of strangers' meshes, and functions that make meshes, raise
MESH_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError,
    LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError,
    ValueError, struct.error, zlib.error)
Made = tuple[ObjectSource, np.ndarray, np.ndarray]  # and its images and voxels
Progress = Callable[[list], Iterable]               # around a list, as tqdm


def make_object(
    source: ObjectSource,
    viewpoints: Tensor,  # (24, 3)
) -> tuple[np.ndarray, np.ndarray]:  # (24, 4, 64, 64), (32, 32, 32) uint8
    "Images and voxels of one object; InputError when it cannot be seen."
    mesh = normalize(source.mesh())
    images = render_views(mesh, viewpoints).cpu().numpy()
    seen = images[:, 3].any(axis=(1, 2))
    require(seen.all(), f'invisible from {(~seen).sum()} viewpoints')
    voxels = voxelize(mesh.vertices, mesh.faces)[0].cpu().numpy()
    return images, voxels.astype(np.uint8)


def make_objects(
    sources: Iterable[ObjectSource],
    viewpoints: Tensor,
) -> tuple[list[Made], list[tuple[ObjectSource, str]]]:  # made; and why not
    "Every object that can be made, and why the others cannot."
    made, skipped = [], []
    for source in sources:
        if source.left_out:
            skipped.append((source, source.left_out))
            continue
        try: made.append((source, *make_object(source, viewpoints)))
        except MESH_ERRORS as reason:
            kind = '' if isinstance(reason, InputError) \
                else f'{type(reason).__name__}: '
            skipped.append((source, one_line(f'{kind}{reason}')))
    return made, skipped


def split_objects(
    count: int,  # objects
    seed: int = 0,
) -> dict[str, list[int]]:  # train, val, test: their objects, shuffled
    "70/10/20 by object, none of them empty; InputError below 3 objects."
    require(count >= 3, f'expected 3 objects or more to split, found {count}')
    val, test = max(1, round(.1*count)), max(1, round(.2*count))
    seeded = torch.Generator().manual_seed(seed)
    order = torch.randperm(count, generator=seeded)
    parts = order.split([count - val - test, val, test])
    return {split: part.tolist() for split, part in zip(SPLITS, parts)}


def _write_category(
    folder: Path,      # being written
    name: str,
    made: list[Made],
    seed: int,
) -> list[dict]:       # what dataset.json says of each object
    "Shuffle, split and write one category's six files."
    rows = []
    for split, part in split_objects(len(made), seed).items():
        for kind, arrays in (('images', [made[k][1] for k in part]),
                             ('voxels', [made[k][2] for k in part])):
            with atomic_write(split_file(folder, name, split, kind)) as path:
                np.savez_compressed(path, np.stack(arrays))
        for row, k in enumerate(part):
            source = made[k][0]
            stated = dict(split=split, row=row, source=source.source,
                          licence=source.licence, name=source.name)
            if source.creator: stated['creator'] = source.creator
            rows.append(stated)
    return rows


def _pick_categories(
    there: Iterable[str],            # names
    wanted: Iterable[str] | None,    # all when None
) -> list[str]:
    "The categories that shall be made; InputError when one is not there."
    there = list(there)
    names = list(dict.fromkeys(there if wanted is None else wanted))
    require(names, 'categories: expected one or more, found none')
    for name in names:
        require(name in there, 'category: expected one of '
                f'{", ".join(there)}, found {name!r}')
        plain = name.isprintable() and not re.search(r'[/\\]|^\.|^$', name)
        require(plain, f'category: {name!r} cannot be part of a file name')
    return names


def _check_choices(count: int | None, up: str, front: str):
    "InputError for what no data set can be made with."
    require(count is None or count >= 3,
            f'count: expected 3 or more, found {count}')
    rotation_to_standard(up, front)


def find_sources(
    given: Any,                        # the sources of make_dataset
    categories: Iterable[str] | None,  # all when None
    count: int | None,                 # objects of each, at most
    seed: int,
    up: str, front: str,
) -> dict[str, list[ObjectSource]]:    # by category
    "What shall be made; InputError names what is not there."
    if given is None:
        names = _pick_categories(CATEGORIES, categories)
        _check_choices(count, up, front)
        return {c: shape_sources(c, count or 100, seed) for c in names}
    if isinstance(given, Mapping):
        names = _pick_categories(given, categories)
        _check_choices(count, up, front)
        return {c: [as_source(one, f'{c} {k}') for k, one in enumerate(given[c])]
                [:count] for c in names}
    folder = Path(given)
    require(folder.is_dir(), f'{folder}: no such folder')
    there = sorted(f.name for f in folder.iterdir()
                   if f.is_dir() and not f.name.startswith('.'))
    require(there, f'{folder}: expected folders, one a category, found none')
    names = _pick_categories(there, categories)
    _check_choices(count, up, front)
    return {c: _first(mesh_sources(folder, c, up, front), count) for c in names}


def _first(
    sources: list[ObjectSource],  # of mesh files
    count: int | None,            # of those that can be read; all when None
) -> list[ObjectSource]:
    "The first objects of a category; what is left out stays, to be named."
    readable = [s for s in sources if not s.left_out]
    return readable[:count] + [s for s in sources if s.left_out]


def library_paths(
    given: Any,    # the sources of make_dataset
) -> list[Path]:   # .sh3f and .deb files; none when it is something else
    "What is given as furniture libraries."
    if given is None or isinstance(given, Mapping): return []
    if isinstance(given, (str, Path)):
        return [Path(given)] if Path(given).suffix.lower() in LIBRARIES else []
    return list(map(Path, given))


def find_furniture(
    paths: list[Path],                 # .sh3f and .deb files
    categories: Iterable[str] | None,  # all when None
    count: int | None,                 # objects of each, at most
    kinds: Iterable[str],              # see add_category_words
    up: str, front: str,
    room: Path,                        # empty folder, for what is unpacked
) -> tuple[dict[str, list[ObjectSource]], list[str]]:
    "Sources by category, and the names of what is of none."
    found = furniture_sources(find_libraries(paths, room),
                              add_category_words(kinds), up, front)
    others = [source.name for source in found.pop('', [])]
    names = _pick_categories(found, categories)
    _check_choices(count, up, front)
    return {name: found[name][:count] for name in names}, others


def _skipped(category: str, source: ObjectSource, reason: str) -> dict[str, str]:
    "What dataset.json says of an object that was not made."
    return dict(category=category, name=source.name, source=source.source,
                reason=reason)


def _write_dataset(
    folder: Path,                            # exists, empty
    sources: dict[str, list[ObjectSource]],  # by category
    seed: int,
    progress: Progress,
    record: dict,                            # what dataset.json says besides
    lenient: bool = False,                   # leave too small categories out
) -> dict:                                   # what dataset.json says
    "Make every object, write every file; InputError if too few are left."
    ring = viewpoint_ring()
    viewpoints = dict(
        distance=round(ring[0, 0].item(), 6), elevation=ring[0, 1].item(),
        azimuth=ring[:, 2].tolist(), half_angle=HALF_ANGLE)
    record = dict(categories=[], objects={}, skipped=[], viewpoints=viewpoints) \
        | record
    for name, wanted in sources.items():
        made, skipped = make_objects(progress(wanted), ring)
        record['skipped'] += [_skipped(name, *pair) for pair in skipped]
        first = f'; the first that failed: {skipped[0][1]}' if skipped else ''
        few = (f'{name}: expected 3 objects or more, found {len(made)} of '
               f'{len(wanted)}{first}')
        require(len(made) >= 3 or lenient, few)
        if len(made) < 3:
            record['skipped'] += [_skipped(name, source, few)
                                  for source, *_ in made]
            continue
        record['categories'].append(name)
        record['objects'][name] = _write_category(folder, name, made, seed)
    require(record['objects'], 'sources: no category has 3 objects')
    with atomic_write(folder/'dataset.json') as path:
        path.write_text(json.dumps(record, indent=1), 'utf-8')
    return record


def check_target(
    folder: str | Path,  # new or empty
):
    "InputError where no data set can be put."
    require('\0' not in str(folder), f'{folder}: no name of a folder')
    try: empty = os.path.isdir(folder) and not any(Path(folder).iterdir())
    except OSError as reason:
        raise InputError(f'{folder}: {reason.strerror}') from None
    require(empty or not os.path.lexists(folder),
            f'{folder}: expected a new or an empty folder')


@contextmanager
def draft_folder(
    folder: str | Path,  # new or empty
) -> Iterator[Path]:     # a folder in it or beside it
    """A folder that takes its place when all went well, else vanishes.

    A folder that exists stays the same folder, as whoever works in it expects.
    """
    check_target(folder)
    try:
        place, name = Path(folder).resolve(), f'.{secrets.token_hex(4)}.tmp'
        there = place.is_dir()
        draft = place/name if there else place.with_name(f'.{place.name}{name}')
        draft.mkdir(parents=True)
    except OSError as reason:
        raise InputError(f'{folder}: cannot be made ({reason.strerror})') from None
    moved: list[Path] = []
    try:
        yield draft
        if not there: draft.rename(place)
        else:   # dataset.json last
            for file in sorted(draft.iterdir(), key=lambda f: f.suffix == '.json'):
                moved.append(place/file.name)
                file.rename(moved[-1])
    except BaseException:
        for file in moved: file.unlink(missing_ok=True)
        raise
    finally: shutil.rmtree(draft, ignore_errors=True)


def make_dataset(
    folder: str | Path,                 # new or empty
    # a folder of <category>/<mesh>; .sh3f and .deb files; objects by category
    # (ObjectSource, Mesh, or a function that makes one); None: our shapes
    sources: 'str | Path | Iterable[str | Path] | Mapping[str, Iterable] | None'
    = None,
    categories: Iterable[str] | None = None,  # all when None
    count: int | None = None,           # objects of each; None: 100, or all
    seed: int = 0,
    progress: Progress = iter,          # around each category's objects, as tqdm
    up: str = '+y', front: str = '+z',  # as mesh files have them
    kinds: Iterable[str] = (),          # 'bed=bed,crib': words in .sh3f files
) -> dict:                              # dataset.json: objects, skipped, ...
    "Make a data set, wholly or not at all; InputError says why not."
    check_target(folder)
    record: dict[str, Any] = {}
    lenient = False
    with TemporaryDirectory() as room:
        if paths := library_paths(sources):
            found, record['unmapped'] = find_furniture(
                paths, categories, count, kinds, up, front, Path(room))
            lenient = categories is None
        else:
            found = find_sources(sources, categories, count, seed, up, front)
            if isinstance(sources, (str, Path)):
                record['skipped'] = [_skipped('', source, source.left_out)
                                     for source in stray_meshes(Path(sources))]
        with draft_folder(folder) as draft:
            return _write_dataset(draft, found, seed, progress, record, lenient)
