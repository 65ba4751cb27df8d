"Widgets of the site: their answers computed beforehand, for a few positions."
import functools
import itertools
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ssr_nb.mesh import Mesh, icosphere
from ssr_nb.shapes import make_shape
from ssr_nb.widgets import Matches, MeshViewer, SimilarityExplorer, built_in_matches
from ssr_nb.widgets.controls import slider
from ssr_nb.widgets.explorer import ExplorerState, cell_text, explore
from ssr_nb.widgets.fitting import fit_sphere
from ssr_nb.widgets.mesh_viewer import MeshPanel
from ssr_nb.widgets.panel import script
from ssr_nb.widgets.similarity import judge_row

__all__ = ['LIVE', 'Table', 'freeze', 'live_explorer', 'live_script', 'live_viewer',
           'site_matches']

THAW = Path(__file__).with_name('thaw.js')
HELD = 'layout', 'tabbable', 'tooltip', 'comm'   # traits of every widget


@dataclass(frozen=True)
class Table:
    "Answers of a widget at every combination of a few values."
    axes: dict[str, Sequence[Any]]   # values of the traits that a reader moves
    answers: tuple[str, ...]         # traits that Python computes from them
    rule: Callable[..., list[Any]] | None = None  # values → answers; None: the widget


def own_state(
    widget: Any,          # an AnyWidget
) -> dict[str, Any]:      # what its front end may ask for
    "The synchronised traits that are the widget's own."
    return {k: v for k, v in widget.get_state().items()
            if not k.startswith('_') and k not in HELD}


def ask(
    widget: Any,          # an AnyWidget
    table: Table,
) -> list[list[Any]]:     # a row a combination, the last axis fastest
    "The answers of a widget; it stands afterwards where it stood."
    start = {name: getattr(widget, name) for name in table.axes}
    rows = []
    for values in itertools.product(*table.axes.values()):
        if table.rule:
            rows.append(list(table.rule(*values)))
            continue
        with widget.hold_trait_notifications():
            for name, value in zip(table.axes, values): setattr(widget, name, value)
        state = widget.get_state(list(table.answers))
        rows.append([state[name] for name in table.answers])
    for name, value in start.items(): setattr(widget, name, value)
    return rows


def freeze(
    widget: Any,           # an AnyWidget
    tables: list[Table],
) -> dict[str, Any]:       # what the page needs, for JSON
    "A widget with the answers that a reader can ask for."
    blobs: dict[bytes, int] = {}   # their places; equal images are kept once
    def pack(value: Any) -> Any:
        if isinstance(value, (bytes, memoryview)):
            return {'blob': blobs.setdefault(bytes(value), len(blobs))}
        return value
    state = {k: pack(v) for k, v in own_state(widget).items()}
    asked = [{'axes': {k: list(v) for k, v in table.axes.items()},
              'answers': table.answers,
              'rows': [[pack(v) for v in row] for row in ask(widget, table)]}
             for table in tables]
    moved = {name for table in tables for name in table.axes}
    idle = [c['name'] for c in state.get('controls', []) if c['name'] not in moved]
    return {'esm': str(widget._esm), 'css': str(getattr(widget, '_css', '')),
            'state': state, 'tables': asked, 'idle': idle,
            'blobs': [b64encode(blob).decode() for blob in blobs]}


def live_script(
    frozen: dict[str, Any],   # what `freeze` gives
) -> str:                     # JavaScript
    "A script that shows a frozen widget in the element before it."
    data = json.dumps(frozen).replace('</', '<\\/')
    return (f'(() => {{{THAW.read_text(encoding="utf-8")}\nthaw(document.currentScript'
            f'.previousElementSibling, {data});\n}})();\n')


def live_viewer() -> dict[str, Any]:  # frozen
    "A small sphere, to be bent into a chair."
    chair = make_shape('chair', torch.Generator().manual_seed(0))
    sphere = icosphere(2)
    viewer = MeshViewer(Mesh(.35*sphere.vertices, sphere.faces), chair,
                        shows='against target', force=True, sigma=1e-3,
                        azimuth=150.)
    axes: dict[str, Sequence[Any]] = {
        'azimuth': range(-180, 181, 15), 'sigma': (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
        'force': (False, True), 'shows': ('silhouette', 'against target', 'normals')}
    options = [dict(c, options=list(axes['shows'])) if c['name'] == 'shows'
               else c for c in viewer.controls]
    viewer.controls = [dict(c, low=viewer.elevation, high=viewer.elevation)
                       if c['name'] == 'elevation' else c for c in options]
    answers = 'soft', 'colors', 'arrows', 'caption', 'legend'
    return freeze(viewer, [Table(axes, answers)])


class FitSteps(MeshPanel):
    "A fit, to be turned at each of its steps."
    step = slider(100., 0., 100., 4., 'step of the fit')
    _esm = script('mesh')

    def __init__(self, target: Mesh):
        self.target = target
        self.found = {at.step: at for at in fit_sphere(target)}
        super().__init__(distance=2.3)
        self.hint = ('A sphere becomes a car: drag it to turn it, move the slider '
                     'to see it change.')

    def show(self) -> dict[str, Any]:
        at = self.found[4*round(self.step/4)]
        return self.hold(at.mesh) | {'caption': f'step {at.step}: IoU of silhouettes '
                                     f'from nine sides {at.iou:.3f}'}


def live_fit() -> dict[str, Any]:  # frozen
    "The front page: a sphere that becomes a car."
    car = make_shape('car', torch.Generator().manual_seed(4))
    panel, steps = FitSteps(car), (0, 4, 8, 12, 20, 32, 48, 68, 100)
    return freeze(panel, [Table({'step': steps}, ('vertices', 'caption'))])


@functools.cache
def site_matches() -> Matches:
    "One built-in object, unlabeled, against two labeled ones."
    return built_in_matches(unlabeled=1)


def caption_rule(
    matches: Matches,
    thresholds: Sequence[float],     # values of τ
) -> Callable[..., list[str]]:       # row, column, τ → [caption]
    "What `SimilarityExplorer` says, without rendering anything."
    rules = {t: explore(matches, ExplorerState(threshold=t)).rule for t in thresholds}
    def said(row: int, column: int, threshold: float) -> list[str]:
        S, rotated = matches.similarity[row, 0], matches.rotated[row, 0]
        verdict = judge_row(S, rotated, threshold)
        state = ExplorerState(0, row, column, threshold)
        return [f'{cell_text(matches, state, verdict)} {rules[threshold]}']
    return said


def live_explorer(
    matches: Matches | None = None,  # None: those of `site_matches`
) -> dict[str, Any]:                 # frozen
    "One object, unlabeled, against two labeled ones."
    matches = matches or site_matches()
    explorer = SimilarityExplorer(matches, row=6., column=6.)
    images, _, views = matches.similarity.shape
    rows, columns = range(images), range(views)
    thresholds = .1, .3, .5, .7, .9
    return freeze(explorer, [
        Table({'row': rows}, ('subject', 'subject_rotated')),
        Table({'column': columns}, ('partner', 'partner_rotated')),
        Table({'tilted': (False, True)}, ('heat',)),
        Table({'threshold': thresholds}, ('labels', 'confusion', 'chart')),
        Table({'row': rows, 'column': columns, 'threshold': thresholds},
              ('caption',), caption_rule(matches, thresholds))])


LIVE = {'Fit': live_fit, 'MeshViewer': live_viewer, 'SimilarityExplorer': live_explorer}
