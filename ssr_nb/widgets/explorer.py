"The similarity matrix, cell by cell, and what a threshold makes of it."
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from ..core import InputError
from ..rules import label_by_agreement, label_quality
from ..siamvp import transform_images
from .controls import encode, on_white, picture, slider, toggle
from .drawing import Curve, Text, draw_curves, drawing_svg
from .matching import MatchPanel
from .panel import script
from .similarity import Matches, Verdict, azimuth_difference, judge_row, view_name

__all__ = ['SimilarityExplorer']

CHART_BOX = -.15, -.2, 2.05, 1.12
LABEL_KINDS = 'right', 'one view off', 'front for back', 'other'


def label_kinds(
    labels: Tensor,      # (N,) viewpoint numbers, or -1
    truth: Tensor,       # (N,) viewpoint numbers
    azimuth: Tensor,     # (M,) degrees
) -> dict[str, int]:     # of LABEL_KINDS: how many labels
    "What the labels are: right, nearly, back to front, or worse."
    known = labels >= 0
    away = azimuth_difference(azimuth, labels[known], truth[known]).abs()
    step = 360/len(azimuth)
    right = labels[known] == truth[known]
    near = ~right & (away < 1.5*step)
    back = ~right & ~near & (away > 180 - .5*step)
    counts = [int(x.sum()) for x in (right, near, back)]
    return dict(zip(LABEL_KINDS, [*counts, int(known.sum()) - sum(counts)]))


def confusion_table(
    labels: Tensor,    # (N,) viewpoint numbers, or -1
    truth: Tensor,     # (N,) viewpoint numbers
    count: int,        # M viewpoints
) -> Tensor:           # (M, M) images of a true view (row) by label
    "How often each viewpoint was taken for each other one."
    known = labels >= 0
    table = torch.zeros(count, count, dtype=torch.long)
    one = torch.ones(int(known.sum()), dtype=torch.long)
    return table.index_put_((truth[known], labels[known]), one,
                            accumulate=True)


def threshold_curves(
    similarity: Tensor,   # (N, M) S
    rotated: Tensor,      # (N, M) Ŝ
    truth: Tensor,        # (N,) viewpoint numbers
    steps: int = 51,      # values of τ from 0 to 1
) -> np.ndarray:          # (steps, 3) τ, coverage, accuracy
    "What each threshold would give; NaN where nothing is labeled."
    tau = torch.linspace(0, 1, steps)
    rows = [(float(t), *label_quality(
        label_by_agreement(similarity, rotated, float(t)), truth))
        for t in tau]
    return np.array(rows)


def threshold_chart(
    curves: np.ndarray,   # (steps, 3) of threshold_curves
    threshold: float,     # the present τ
) -> tuple[list[Curve], list[Text]]:
    "Coverage and accuracy against τ, and where we are."
    there = np.isfinite(curves[:, 2])
    frame = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    hand = np.array([(threshold, 0), (threshold, 1)])
    texts: list[Text] = [(x, -.12, f'{x:g}', 'middle') for x in (0, .5, 1)]
    texts += [(-.06, y - .03, f'{y:g}', 'middle') for y in (0, 1)]
    return [Curve(frame, 'grid', closed=True),
            Curve(curves[:, :2], 'coverage', 'labeled'),
            Curve(curves[there][:, [0, 2]], 'rotated', 'of these right'),
            Curve(hand, 'candidate', 'τ')], texts


def heat_image(
    table: Tensor,       # (H, W) in [0, 1]
) -> np.ndarray:         # (H, W, 3) uint8
    "Numbers as colours, dark is 0 and yellow is 1 (viridis)."
    return colormaps['viridis'](table.numpy(), bytes=True)[..., :3]


def count_image(
    table: Tensor,       # (M, M) whole numbers
) -> np.ndarray:         # (M, M, 3) uint8
    "Counts as colours; the largest is yellow, square roots in between."
    return heat_image((table/table.max().clamp(min=1)).sqrt())


@dataclass(frozen=True)
class ExplorerState:
    "What `SimilarityExplorer` is pointed at."
    reference: int = 0        # labeled object
    row: int = 0              # image
    column: int = 0           # viewpoint of the reference
    threshold: float = .5     # τ
    tilted: bool = False      # show Ŝ instead of S


@dataclass(frozen=True)
class ExplorerScene:
    "What it shows."
    heat: np.ndarray        # (N, M, 3) uint8
    labels: Tensor          # (N,) viewpoint numbers, or -1
    pairs: list[Tensor]     # four (4, S, S) uint8: pair, rotated pair
    p: float                # P(same) of the pair
    p_rotated: float        # of the rotated pair
    verdict: Verdict        # on the row
    coverage: float         # labeled share of all images
    accuracy: float         # share of these that are right
    kinds: dict[str, int]   # of LABEL_KINDS: how many labels
    confusion: Tensor       # (M, M) true view by label
    cell: str               # the cell in words
    rule: str               # the rule on all images, in words


def rotated_image(
    pixels: Tensor,      # (4, S, S) uint8
    angle: float,        # degrees
) -> Tensor:             # (4, S, S) uint8
    "An image as SiamVP sees it for Ŝ."
    rotated = transform_images(pixels[None].float(), angle)[0]
    return rotated.round().clamp(0, 255).to(torch.uint8)


def cell_text(
    matches: Matches,
    state: ExplorerState,
    verdict: Verdict,
) -> str:
    "The chosen cell in words."
    m, s = matches, state
    p, again = (t[s.row, s.reference, s.column]
                for t in (m.similarity, m.rotated))
    views = len(m.azimuth)
    act = f'labels it view {verdict.view}' if verdict.view >= 0 else 'abstains'
    return (f'Image {s.row} (object {s.row//views}, view '
            f'{int(m.truth[s.row])}) and reference '
            f'{view_name(m, s.column)}: P(same) = {p:.2f}, rotated by '
            f'{m.rotation:.0f}° {again:.2f}. Of the image the rule {act}: '
            f'{verdict.reason}.')


def rule_text(
    coverage: float,
    accuracy: float,
    kinds: dict[str, int],   # of LABEL_KINDS: how many labels
) -> str:
    "What the rule does with all images, in words."
    if not sum(kinds.values()): return 'No image is labeled.'
    each = ', '.join(f'{n} {kind}' for kind, n in kinds.items())
    return (f'{coverage:.0%} of the images are labeled, {accuracy:.0%} of '
            f'these rightly: {each}.')


def explore(
    matches: Matches,
    state: ExplorerState,
) -> ExplorerScene:
    "The table, the pair behind one cell, and what τ makes of it all."
    m, s = matches, state
    S, rotated = m.similarity[:, s.reference], m.rotated[:, s.reference]
    labels = label_by_agreement(S, rotated, s.threshold)
    coverage, accuracy = label_quality(labels, m.truth)
    kinds = label_kinds(labels, m.truth, m.azimuth)
    pair = [m.images[s.row], m.references[s.reference, s.column]]
    verdict = judge_row(S[s.row], rotated[s.row], s.threshold)
    return ExplorerScene(
        heat_image(rotated if s.tilted else S), labels,
        pair + [rotated_image(p, m.rotation) for p in pair],
        S[s.row, s.column].item(), rotated[s.row, s.column].item(), verdict,
        coverage, accuracy, kinds,
        confusion_table(labels, m.truth, len(m.azimuth)),
        cell_text(m, s, verdict), rule_text(coverage, accuracy, kinds))


def explorer_figure(
    matches: Matches,
    state: ExplorerState,
) -> Figure:
    "The explorer as a figure, for saved notebooks."
    scene = explore(matches, state)
    figure = Figure(figsize=(9, 4.6), layout='constrained')
    heat, rest = figure.subfigures(1, 2, width_ratios=[1, 2.2], squeeze=False)[0]
    ax = heat.subplots()
    ax.imshow(scene.heat, aspect='auto', interpolation='nearest')
    ax.plot(state.column, state.row, 's', mfc='none', mec='red', ms=9)
    ax.set(title='Ŝ' if state.tilted else 'S', xlabel='reference view',
           ylabel='image')
    top, bottom = rest.subfigures(2, 1, squeeze=False)[:, 0]
    titles = (f'P(same) = {scene.p:.2f}', 'and reference',
              f'rotated: {scene.p_rotated:.2f}', 'and reference')
    for axes, pixels, title in zip(top.subplots(1, 4), scene.pairs, titles):
        axes.imshow(on_white(pixels))
        axes.set_title(title, fontsize=9)
        axes.axis('off')
    chart, table = bottom.subplots(1, 2)
    S, rotated = (t[:, state.reference]
                  for t in (matches.similarity, matches.rotated))
    draw_curves(chart, *threshold_chart(threshold_curves(
        S, rotated, matches.truth), state.threshold), CHART_BOX)
    table.imshow(count_image(scene.confusion))
    table.set(xlabel='label', ylabel='true view')
    figure.supxlabel(scene.rule, fontsize=9)
    return figure


class SimilarityExplorer(MatchPanel):
    "S, cell by cell, and what a threshold makes of it."
    row = slider(0., 0., 1e6, 1., 'image (row)')
    column = slider(0., 0., 1e6, 1., 'view (column)')
    reference = slider(0., 0., 1e6, 1., 'reference object')
    threshold = slider(.5, 0., 1., .01, 'τ')
    tilted = toggle(False, 'show Ŝ, of rotated images')
    subject = picture('image', 128)
    partner = picture('reference', 128)
    subject_rotated = picture('image, rotated', 128)
    partner_rotated = picture('reference, rotated', 128)
    confusion = picture('true view ↓, label →', 168)
    chart = traitlets.Unicode().tag(sync=True)    # SVG
    heat = traitlets.Bytes().tag(sync=True)       # PNG, a pixel a cell
    shape = traitlets.List().tag(sync=True)       # rows, columns
    labels = traitlets.List().tag(sync=True)      # of rows, or -1
    truth = traitlets.List().tag(sync=True)       # of rows
    _esm = script('matrix')

    def __init__(self, matches: Matches, **state):
        if (matches.truth < 0).any():
            raise InputError('matches: expected images of known viewpoints')
        self.curves: dict[int, np.ndarray] = {}   # of each reference
        super().__init__(matches, **state)
        self.hint = ('Point at a cell to see its two images; move τ to see '
                     'which images get a label, and whether it is right.')
        ends = (colormaps['viridis'](x, bytes=True)[:3] for x in (0., .5, 1.))
        self.legend = [dict(title='matrix', items=[
            (f'rgb({", ".join(map(str, color))})', meaning) for color, meaning
            in zip(ends, ('0: other viewpoints', '½', '1: the same viewpoint'))])]

    def cell(self) -> ExplorerState:
        "What the controls point at."
        return ExplorerState(int(self.reference), int(self.row),
                             int(self.column), self.threshold, self.tilted)

    def chart_of(self, state: ExplorerState) -> str:
        "The chart; its curves are computed once a reference."
        m, r = self.matches, state.reference
        if r not in self.curves: self.curves[r] = threshold_curves(
            m.similarity[:, r], m.rotated[:, r], m.truth)
        drawing = threshold_chart(self.curves[r], state.threshold)
        return drawing_svg(*drawing, CHART_BOX, 'share of images labeled '
                           'and share of these right, against τ', 130.)

    def show(self) -> dict[str, Any]:
        state = self.cell()
        scene = explore(self.matches, state)
        names = 'subject', 'partner', 'subject_rotated', 'partner_rotated'
        pairs = {k: encode(on_white(p)) for k, p in zip(names, scene.pairs)}
        return pairs | dict(
            heat=encode(scene.heat), labels=scene.labels.tolist(),
            truth=self.matches.truth.tolist(), shape=list(scene.heat.shape[:2]),
            confusion=encode(count_image(scene.confusion)),
            chart=self.chart_of(state),
            caption=f'{scene.cell} {scene.rule}')

    def to_figure(self) -> Figure:
        return explorer_figure(self.matches, self.cell())
