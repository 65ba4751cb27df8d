"One split of one category, its camera, and which of its objects are labeled."
import io
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib import format as npy
from torch import Tensor

from ..camera import viewpoint_ring
from ..core import InputError
from ..shapes import CATEGORIES
from .errors import require
from .npz import (
    IMAGE_SHAPE,
    SPLITS,
    VOXEL_SHAPE,
    check_array,
    find_array,
    find_name,
    read_array,
    read_record,
    split_file,
)

__all__ = ['Split', 'choose_covering', 'choose_labeled', 'load_split']

HALF_ANGLE = 15.  # of the published renderings, degrees


def _numbers(
    values,      # a number, or a list of 24
    count: int = 24,
) -> list[float]:
    "A field of the viewpoints, one number a view; ValueError when wrong."
    numbers = values if isinstance(values, list) else [values]*count
    real = all(isinstance(v, (int, float)) and not isinstance(v, bool)
               and math.isfinite(v) for v in numbers)
    if not real or len(numbers) != count:
        raise ValueError(f'should be a number or {count} numbers')
    return [float(v) for v in numbers]


def read_camera(
    folder: str | Path,     # of a data set
) -> tuple[Tensor, float]:  # (24, 3) distance, elevation, azimuth; half angle
    "The viewpoints and half angle that dataset.json states, or the published."
    stated = read_record(folder).get('viewpoints')
    if stated is None: return viewpoint_ring(), HALF_ANGLE
    rows, where = {}, f'{Path(folder)/"dataset.json"}: viewpoints'
    require(isinstance(stated, dict), f'{where} should be an object')
    stated = dict(half_angle=HALF_ANGLE) | stated
    for name, low, high, count in (
            ('distance', 1., 100., 24), ('elevation', -90., 90., 24),
            ('azimuth', -3600., 3600., 24), ('half_angle', .1, 89., 1)):
        try: row = rows[name] = _numbers(stated.get(name), count)
        except ValueError as reason:
            raise InputError(f'{where}.{name} {reason}') from None
        require(low <= min(row) <= max(row) <= high,
                f'{where}.{name} should lie in [{low:g}, {high:g}]')
    half_angle, = rows.pop('half_angle')
    return torch.tensor(list(rows.values())).T.contiguous(), half_angle


@dataclass(frozen=True)
class Split:
    "One split of one category: n objects, each seen from 24 viewpoints."
    images: np.ndarray  # (n, 24, 4, 64, 64) uint8 RGBA
    voxels: np.ndarray  # (n, 32, 32, 32) bool or uint8
    viewpoints: Tensor  # (24, 3) distance, elevation and azimuth in degrees
    name: str           # as in the files' names
    category: str       # plane, chair, ..., or the name when it is not known
    split: str          # train, val or test
    half_angle: float = HALF_ANGLE  # of the camera, degrees
    # arrays as they were loaded, each with the checksum that its file states
    loaded: tuple[tuple[np.ndarray, int], ...] = field(default=(), repr=False)

    def __len__(self) -> int: return len(self.images)


def _check_alpha(
    images: np.ndarray,  # (n, 24, 4, 64, 64)
    path: str | Path,    # for the error
):
    "InputError when no object has a silhouette."
    alpha = images[:, 0, 3]
    require(alpha.any(), f'{path}: alpha is 0 everywhere: no silhouettes')
    require(not alpha.all(), f'{path}: alpha is nowhere 0: no silhouettes')


def load_split(
    folder: str | Path,    # of a data set
    category: str,         # name or WordNet id
    split: str = 'train',  # train, val or test
) -> Split:
    "One split of one category; InputError names the wrong file and why."
    require(split in SPLITS,
            f'split should be one of {", ".join(SPLITS)}, not {split!r}')
    name, (viewpoints, half_angle) = find_name(folder, category), \
        read_camera(folder)
    images, voxels = (find_array(split_file(folder, name, split, kind))
                      for kind in ('images', 'voxels'))
    check_array(images, IMAGE_SHAPE)
    check_array(voxels, VOXEL_SHAPE, (bool, np.uint8))
    require(images.shape[0] == voxels.shape[0],
            f'{voxels.path}: voxels of {voxels.shape[0]} objects, but '
            f'{images.shape[0]} in {images.path.name}')
    arrays = read_array(images), read_array(voxels)
    _check_alpha(arrays[0], images.path)
    known = {number: word for word, number in CATEGORIES.items()}
    loaded = tuple(zip(arrays, (images.member.CRC, voxels.member.CRC)))
    return Split(*arrays, viewpoints, name, known.get(name, name), split,
                 half_angle, loaded)


def _checksum(
    split: Split,
    array: np.ndarray,  # its images or voxels
) -> int:
    "The CRC that the array has in an npz: as its file states, or computed."
    for loaded, stated in split.loaded:
        if loaded is array: return stated
    head, by_column = io.BytesIO(), npy.header_data_from_array_1_0(array)
    npy.write_array_header_1_0(head, by_column)
    rows = np.ascontiguousarray(array.T if by_column['fortran_order'] else array)
    return zlib.crc32(rows.data, zlib.crc32(head.getvalue()))


def split_fingerprint(
    split: Split,
) -> str:  # 24 hexadecimal digits
    """Checksums of images, voxels and camera, to recognise a split again.

    Of a split as it was loaded, the images and voxels are not read: their files
    state checksums. In memory the same arrays have the same fingerprint.
    """
    camera = np.asarray(split.viewpoints.cpu(), '<f4').tobytes()
    camera += np.array(split.half_angle, '<f8').tobytes()
    sums = (_checksum(split, split.images), _checksum(split, split.voxels),
            zlib.crc32(camera))
    return ''.join(f'{number:08x}' for number in sums)


def check_labeled_count(
    N: int,          # labeled objects
    n_objects: int,  # in the training set
):
    "InputError unless so many objects can be labeled."
    require(1 <= N <= n_objects, 'labeled objects should be 1 to '
            f'{n_objects} (the training set), not {N}')


def choose_labeled(
    n_objects: int,  # in the training set
    N: int,          # labeled objects
    seed: int = 0,
) -> Tensor:         # (N,) int64 rows of the training set
    "The labeled objects; those of a smaller N are among those of a larger."
    check_labeled_count(N, n_objects)
    seeded = torch.Generator().manual_seed(seed)
    return torch.randperm(n_objects, generator=seeded)[:N]


def thumbnail_features(
    images: Tensor,   # (..., C, S, S) uint8
) -> Tensor:          # (..., C·16·16) float
    "Images on 16×16 pixels, as vectors."
    flat = images.flatten(0, -4).float()/255
    return F.adaptive_avg_pool2d(flat, 16).flatten(1).unflatten(
        0, images.shape[:-3])


def object_features(
    images: np.ndarray,  # (n, 24, 4, S, S) uint8
) -> Tensor:             # (n, 2048)
    "Mean and deviation of each object's thumbnails, whatever their order."
    rows = []
    for views in images:
        small = thumbnail_features(torch.tensor(views))
        rows.append(torch.cat([small.mean(0), small.std(0)]))
    return torch.stack(rows)


def greedy_k_medoids(
    features: Tensor,  # (n, D)
    N: int,
) -> Tensor:           # (N,) int64 rows; those of a smaller N come first
    "Rows, each chosen so that the summed distance of all to the nearest falls most."
    distance = torch.cdist(features, features)
    nearest, chosen = distance.amax(1, keepdim=True), list[int]()
    for _ in range(N):
        left = torch.minimum(distance, nearest).sum(0)  # if it were chosen
        left[chosen] = torch.inf
        chosen.append(int(left.argmin()))
        nearest = torch.minimum(nearest, distance[:, chosen[-1:]])
    return torch.tensor(chosen)


def choose_covering(
    images: np.ndarray,  # (n, 24, 4, S, S) uint8, of the training set
    N: int,              # labeled objects
) -> Tensor:             # (N,) int64 rows; those of a smaller N come first
    "The labeled objects that bring all others nearest to one of them."
    check_labeled_count(N, len(images))
    return greedy_k_medoids(object_features(images), N)
