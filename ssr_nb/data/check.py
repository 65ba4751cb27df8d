"What is in a data set, and all that is wrong with it."
import hashlib
import zipfile
from pathlib import Path

import numpy as np

from ..core import InputError
from ..shapes import CATEGORIES
from .errors import BROKEN, one_line
from .npz import SPLITS, list_splits, read_record, split_file
from .split import Split, load_split

__all__ = ['check_dataset', 'dataset_info']


def _check_objects(
    part: Split,
) -> list[str]:
    "What is wrong with the images and voxels of single objects."
    alpha = part.images[:, :, 3]
    empty = [k for k, views in enumerate(alpha)
             if not views.any((1, 2)).all()]
    full = [k for k, views in enumerate(alpha) if views.all((1, 2)).any()]
    hollow = [k for k, grid in enumerate(part.voxels) if not grid.any()]
    odd = part.voxels.dtype != bool and part.voxels.max() > 1
    found = [(empty, 'a view without silhouette'),
             (full, 'a view all silhouette'), (hollow, 'no voxels')]
    where = f'{part.name} {part.split}'
    problems = [f'{where}: {what} in {len(rows)} objects, the first in row '
                f'{rows[0]}' for rows, what in found if rows]
    return problems + [f'{where}: voxels should be 0 or 1']*bool(odd)


def _check_files(
    folder: Path, name: str, split: str,
) -> list[str]:
    "Damage that mapping a file does not see: its checksum."
    problems = []
    for kind in ('images', 'voxels'):
        path, bad = split_file(folder, name, split, kind), None
        try:
            with zipfile.ZipFile(path) as archive: bad = archive.testzip()
        except BROKEN as reason: bad = one_line(reason)
        if bad: problems.append(f'{path}: damaged ({bad})')
    return problems


def check_record(
    folder: Path,
    sizes: dict[tuple[str, str], int | None],  # objects by name and split;
) -> list[str]:                                # None: could not be read
    "Where dataset.json and the arrays that could be read disagree."
    objects = read_record(folder).get('objects', {})
    where = folder/'dataset.json'
    try:
        stated = {name: [(row['split'], row['row']) for row in rows
                         if sizes.get((name, row['split']), 0) is not None]
                  for name, rows in objects.items()}
    except (TypeError, LookupError, AttributeError):
        return [(f'{where}: objects should be lists of split, row, source, '
                 'licence and name by category')]
    there = {name: sorted((split, k) for (n, split), size in sizes.items()
                          if n == name for k in range(size or 0))
             for name in stated}
    return [f'{where}: lists other objects of {name} than its files hold'
            for name, rows in stated.items() if sorted(rows, key=str)
            != sorted(there[name], key=str)]


def check_dataset(
    folder: str | Path,
) -> list[str]:  # one line a problem; none when it is sound
    "All that is wrong with a data set; InputError when there is no folder."
    folder, problems = Path(folder), list[str]()
    sizes: dict[tuple[str, str], int | None] = {}
    seen: dict[bytes, str] = {}   # digest of an object's images -> where it is
    pairs = list_splits(folder)
    if not pairs: return [f'{folder}: no <name>_<split>_images.npz in it']
    for name in sorted({name for name, _ in pairs}):
        for split in SPLITS:
            try: part = load_split(folder, name, split)
            except InputError as reason:
                problems.append(str(reason))
                sizes[name, split] = None
                continue
            sizes[name, split] = len(part)
            problems += _check_files(folder, name, split) + _check_objects(part)
            for row, images in enumerate(part.images):
                here = f'{name} {split} {row}'
                key = hashlib.sha256(np.ascontiguousarray(images).data).digest()
                first = seen.setdefault(key, here)
                if first != here: problems.append(f'{here}: same as {first}')
    try: problems += check_record(folder, sizes)
    except InputError as reason: problems.append(str(reason))
    return list(dict.fromkeys(problems))


def dataset_info(
    folder: str | Path,
) -> list[dict]:  # rows of a table, one a category and split
    "Name, category, split, objects, cells filled, megabytes, mapped or not."
    known, rows = {number: word for word, number in CATEGORIES.items()}, []
    for name, split in list_splits(folder):
        part = load_split(folder, name, split)
        size = sum(split_file(folder, name, split, kind).stat().st_size
                   for kind in ('images', 'voxels'))
        filled = float((part.voxels > 0).mean())
        rows.append(dict(
            name=name, category=known.get(name, name), split=split,
            objects=len(part), filled=round(filled, 4),
            megabytes=round(size/1e6, 2),
            mapped=isinstance(part.images, np.memmap)))
    return rows
