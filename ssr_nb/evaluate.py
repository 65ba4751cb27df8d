"Scores of runs on objects that training never saw, and the published ones."
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .core import InputError, read_json, write_text
from .data import Split, load_split
from .reconstruct import Reconstructor, reconstruction_iou
from .runs import read_run

__all__ = ['PUBLISHED', 'evaluate_run', 'gap_closed', 'published_gap',
           'read_evaluation', 'score_split']


def score_split(
    model: Reconstructor,
    split: Split,
    block: int = 16,      # objects at a time: a published split is 2 GB
) -> np.ndarray:          # (n, 24) 3D IoU
    "3D IoU of the mesh that each image of a split gives (paper §4.1)."
    scores = []
    for first in range(0, len(split), block):
        part = slice(first, first + block)
        images = torch.tensor(np.asarray(split.images[part]))
        voxels = torch.tensor(np.asarray(split.voxels[part])).bool()
        scores.append(reconstruction_iou(model, images, voxels))
    return torch.cat(scores).numpy()


def summarize(
    scores: np.ndarray,   # (n, 24) 3D IoU
    extremes: int = 5,    # how many of the worst and best objects to name
) -> dict[str, Any]:      # as JSON can hold it
    "The mean, and what it hides: by view, by object, worst and best."
    objects = scores.mean(1)
    order = objects.argsort(kind='stable').tolist()
    return dict(iou=float(scores.mean()), objects=len(scores),
                per_view=np.round(scores.mean(0), 4).tolist(),
                per_object=np.round(objects, 4).tolist(),
                worst=order[:extremes], best=order[::-1][:extremes])


def _weights_checksum(run: Path) -> str:
    "SHA-256 of the weights in a run folder; empty when there are none."
    path = run/'reconstructor.safetensors'
    if not path.is_file(): return ''
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def evaluate_run(
    run: str | Path,               # folder
    data: str | Path,              # folder of a data set
    split: str = 'test',           # train, val or test
    category: str | None = None,   # none: the one it was trained on
    device: str = 'cpu',           # where to predict
) -> dict[str, Any]:               # of summarize, with where it comes from
    "Score the best weights; for its own category into eval_<split>.json."
    record = read_run(run)
    objects = load_split(data, category or record.category, split)
    # Taken before the weights are read: if training replaces them meanwhile,
    # the score counts as that of other weights and is made again.
    weights = _weights_checksum(record.folder)
    model = Reconstructor.load(record.folder).to(device)
    result = dict(data=str(data), category=objects.category, split=split,
                  weights=weights, **summarize(score_split(model, objects)))
    if objects.category == record.category:
        write_text(record.folder/f'eval_{split}.json',
                   json.dumps(result, indent=2) + '\n')
    return result


def read_evaluation(
    run: str | Path,         # folder
    split: str = 'test',
) -> dict[str, Any]:         # of evaluate_run; empty: none of these weights yet
    "What eval_<split>.json says. InputError when it is damaged."
    path = Path(run)/f'eval_{split}.json'
    if not path.is_file(): return {}
    result = read_json(path)
    if not isinstance(result, dict) or not isinstance(result.get('iou'), float):
        raise InputError(f'{path}: not an evaluation')
    current = _weights_checksum(Path(run))
    return result if current and result.get('weights') == current else {}


_CATEGORIES = ('plane', 'bench', 'cabinet', 'car', 'chair', 'display', 'lamp',
               'speaker', 'rifle', 'sofa', 'table', 'phone', 'vessel', 'mean')
_TABLE_2 = '''
    softras   2 .42 .24 .39 .60 .26 .33 .17 .38 .44 .38 .17 .57 .28 .36
    ssr       2 .55 .44 .48 .75 .37 .50 .27 .45 .63 .53 .27 .71 .53 .50
    softras   5 .43 .27 .42 .64 .29 .34 .19 .45 .43 .47 .20 .60 .42 .40
    ssr       5 .59 .44 .50 .75 .49 .55 .33 .47 .65 .66 .35 .78 .56 .55
    softras  20 .47 .34 .53 .68 .33 .44 .26 .51 .52 .55 .31 .67 .47 .47
    ssr      20 .63 .47 .65 .76 .51 .57 .38 .62 .66 .65 .43 .78 .55 .59
    softras all .64 .51 .71 .77 .53 .62 .46 .67 .68 .69 .45 .79 .60 .62'''


def _published() -> dict[tuple[str, int | str], dict[str, float]]:
    "Table 2 of the paper, its MVC row and Table 3's row without rotation."
    found: dict[tuple[str, int | str], dict[str, float]] = {
        ('mvc', 0): dict(plane=.38, car=.48, chair=.35)}
    for line in _TABLE_2.strip().splitlines():
        method, count, *values = line.split()
        labeled = count if count == 'all' else int(count)
        found[method, labeled] = dict(zip(_CATEGORIES, map(float, values)))
    found['no_rotation', 2] = dict(plane=.45, bench=.30, cabinet=.43, car=.64)
    return found


PUBLISHED = _published()   # (method, N or 'all') -> category or 'mean' -> 3D IoU


def gap_closed(
    ssr: float,         # IoU of SSR with N labeled objects
    softras: float,     # of SoftRas with the same N
    everything: float,  # of SoftRas with all objects labeled
) -> float:             # 0: no better than SoftRas; 1: as good as all labels
    "The part of what more labels could give that SSR gets without them."
    gap = everything - softras
    return (ssr - softras)/gap if gap > 0 else math.nan


def published_gap(
    labeled: int,       # N: 2, 5 or 20
) -> float:
    "The gap that the paper's SSR closes, of the mean over 13 categories."
    ssr, softras, everything = (PUBLISHED[row]['mean'] for row in (
        ('ssr', labeled), ('softras', labeled), ('softras', 'all')))
    return gap_closed(ssr, softras, everything)
