"Curves and meshes of a training run, and its brakes."
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import traitlets
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..camera import viewpoint_ring
from ..core import InputError
from ..display import tinted
from ..figures import METHOD_COLORS, figure_theme
from ..mesh import Mesh
from ..reconstruct import Reconstructor
from ..render import render_views
from ..runs import RunRecord, read_run
from .background import BUSY, BackgroundRun
from .controls import button, decode, encode, on_white, picture, slider
from .panel import Panel, script

__all__ = ['TrainingMonitor']

CHARTS = {   # title -> columns of metrics.csv: line style, name
    'loss': {'loss': ('.-', 'SoftRas'), 'siam_loss': ('.:', 'SiamVP')},
    'validation 3D IoU': {'val_iou': ('.-', 'best weights are kept')},
    'SiamVP answers rightly': {'siam_accuracy': ('.-', 'batch'),
                               'gate_accuracy': ('.:', 'labeled views')},
    'pseudo-labels': {'label_coverage': ('.-', 'coverage'),
                      'label_accuracy': ('.:', 'accuracy')}}
INK = '#010203'    # stands for the colour of the text on the page


def plot_log(
    ax: Axes,
    log: pd.DataFrame,                     # of metrics.csv
    columns: dict[str, tuple[str, str]],   # of the log: line style, name
):
    "Two columns of a log against the iteration."
    for (column, (style, name)), color in zip(
            columns.items(), (METHOD_COLORS['ssr'], METHOD_COLORS['softras'])):
        if log[column].notna().any():
            ax.plot(log['iteration'], log[column], style, ms=4, color=color,
                    label=name)
    if ax.lines: ax.legend(frameon=False, fontsize=7)


def run_figure(
    record: RunRecord | None,         # None: nothing is written yet
    strip: np.ndarray | None = None,  # (H, W, 3) uint8, of film_strip
) -> Figure:
    "Loss, IoU, SiamVP and pseudo-labels over iterations; and the film."
    low = 0. if strip is None else 10*strip.shape[0]/strip.shape[1]
    figure = Figure(figsize=(10, 2.3 + low), layout='constrained')
    grid = figure.add_gridspec(2, 4, height_ratios=[2.3, low]) if low \
        else figure.add_gridspec(1, 4)
    for place, (title, columns) in enumerate(CHARTS.items()):
        ax = figure.add_subplot(grid[0, place])
        if record: plot_log(ax, record.metrics, columns)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel('iteration')
        if title != 'loss': ax.set_ylim(0, None if 'IoU' in title else 1.03)
    if strip is not None:
        ax = figure.add_subplot(grid[1, :])
        ax.imshow(strip)
        ax.axis('off')
    return figure


def figure_svg(
    draw: Callable[[], Figure],
    words: str,     # said instead of the figure
) -> str:
    "A figure as SVG in the colours of the page, its text as text."
    theme = figure_theme(INK) | {'svg.fonttype': 'none'}
    file = io.StringIO()
    with rc_context(theme): draw().savefig(file, format='svg')
    svg = file.getvalue()
    head = f'<svg role="img" aria-label="{html.escape(words)}" '
    return svg[svg.index('<svg'):].replace('<svg ', head, 1) \
        .replace(INK, 'currentColor')


@dataclass(frozen=True)
class Snapshot:
    "What the best weights so far make of the test images."
    iteration: int
    meshes: list[Mesh]


def load_snapshot(
    record: RunRecord,
    images: np.ndarray,  # (n, 4, S, S) uint8
) -> Snapshot:
    "Meshes of the weights in a run folder."
    model, log = Reconstructor.load(record.folder), record.metrics
    meshes = [tinted(model.predict(i), METHOD_COLORS['ssr']) for i in images]
    return Snapshot(int(log['iteration'][log['val_iou'].idxmax()]), meshes)


def chosen_snapshots(
    snapshots: list[Snapshot],
    most: int = 6,
) -> list[Snapshot]:     # the first, the last, and some between
    "As many as fit on the screen."
    if len(snapshots) <= most: return snapshots
    places = np.linspace(0, len(snapshots) - 1, most).round().astype(int)
    return [snapshots[p] for p in places]


def film_strip(
    images: np.ndarray,          # (n, 4, S, S) uint8
    snapshots: Sequence[Snapshot],
    azimuth: float,              # of the camera that looks at meshes, degrees
    columns: int = 7,
) -> np.ndarray:                 # (n·S, columns·S, 3) uint8
    "A row an object: its image, then its meshes as training went on."
    size = images[0].shape[-1]
    strip = np.full((len(images)*size, columns*size, 3), 255, np.uint8)
    view = viewpoint_ring(1) + torch.tensor([0, 0, azimuth])
    for row, image in enumerate(images):
        tiles = [image] + [render_views(s.meshes[row], view, size, 2)[0]
                           for s in snapshots]
        for column, tile in enumerate(tiles[:columns]):
            strip[row*size:, column*size:][:size, :size] = on_white(tile)
    return strip


def changed_at(
    folder: Path,            # of a run
) -> tuple[int, ...]:        # times of log and weights; empty before there are any
    "Changes when the run has written something."
    files = folder/'metrics.csv', folder/'reconstructor.safetensors'
    try: return tuple(file.stat().st_mtime_ns for file in files)
    except FileNotFoundError: return ()


def run_text(
    record: RunRecord | None,
    state: str,                  # of STATES, or watched
    iteration: int,              # of the process; 0: not known
    snapshots: list[Snapshot],   # that are shown
) -> str:
    "Where a run stands, in words."
    parts = [state.capitalize()]
    if record:
        done = max(iteration, record.iterations)
        parts += [f'iteration {done} of {record.config.iterations}',
                  f'best validation IoU {record.metrics["val_iou"].max():.3f}']
    if snapshots: parts.append('meshes of iterations ' + ', '.join(
        str(s.iteration) for s in snapshots))
    return '; '.join(parts) + '.'


class TrainingMonitor(Panel):
    "Curves and shapes of a run, and its brakes."
    azimuth = slider(-45., -180., 180., 5., 'mesh azimuth', '°')
    film = picture('image, then the best meshes so far, first to last', 896)
    curves = traitlets.Unicode().tag(sync=True)   # SVG
    live = traitlets.Bool(False).tag(sync=True)   # whether to ask for news
    _esm = script('monitor')

    def __init__(
        self,
        run: BackgroundRun | Path | str,   # or the folder of any run
        images,                            # (n, 4, S, S) uint8, to be shown
        **state,
    ):
        self.run = run if isinstance(run, BackgroundRun) else None
        self.folder = Path(run.folder if isinstance(run, BackgroundRun) else run)
        self.images = np.asarray(images)
        self.seen: tuple[int, ...] | None = None   # of changed_at
        self.record: RunRecord | None = None
        self.snapshots: list[Snapshot] = []
        super().__init__(**state)
        self.hint = ('Start the run and watch its curves and meshes; pause it, or '
                     'stop it: it is saved and goes on from there.' if self.run
                     else 'Watch the curves and meshes of a run that is trained '
                          'elsewhere.')
        self.glossary = {
            'gate': 'SiamVP labels images only while its accuracy on labeled views '
                    'is high enough',
            'coverage': 'how many unlabeled images have a pseudo-label',
            'accuracy': 'how many of these pseudo-labels are right'}

    def look(self) -> bool:   # whether there was anything new
        "Read the folder if it has changed; remember new meshes."
        before, self.seen = self.seen, changed_at(self.folder)
        if self.seen and self.seen != before:
            self.record = read_run(self.folder)
            new = load_snapshot(self.record, self.images)
            self.snapshots = [s for s in self.snapshots
                              if s.iteration != new.iteration] + [new]
        return self.seen != before

    def show(self) -> dict[str, Any]:
        news, run = self.look(), self.run
        snapshots, state = chosen_snapshots(self.snapshots), self.state_of_run()
        known = dict(curves=figure_svg(lambda: run_figure(self.record), 'loss,'
                     ' IoU, SiamVP and pseudo-labels of the run')) if news \
            else {}
        text = run_text(self.record, state, run.iteration if run else 0,
                        snapshots)
        if run and state == 'failed': text += ' ' + run.ending[1]
        return known | dict(
            film=encode(film_strip(self.images, snapshots, self.azimuth)),
            caption=text, live=state in (*BUSY, 'watched'),
            progress=run.iteration/run.iterations if run and state in BUSY else -1.,
            disabled=self.closed(state))

    def state_of_run(self) -> str:
        "Of STATES; a run of another process is watched until it is done."
        if self.run: return self.run.state
        if not self.record: return 'watched'
        goal = self.record.config.iterations
        return 'finished' if self.record.iterations >= goal else 'watched'

    def closed(self, state: str) -> list[str]:
        "The buttons that have nothing to do."
        if not self.run: return ['start', 'pause', 'stop']
        going = state in ('starting', 'running')
        return ['start']*going + ['pause']*(not going) \
            + ['stop']*(state not in BUSY)

    @button('start or go on')
    def start(self): self.command('start')

    @button('pause')
    def pause(self): self.command('pause')

    @button('stop and save')
    def stop(self): self.command('stop')

    @button('refresh')
    def refresh(self): self.draw()

    def command(self, act: str):
        "Pass a command on to the run, if it is ours."
        if not self.run:
            raise InputError(f'{self.folder}: trained by another process')
        getattr(self.run, act)()
        self.draw()

    def to_figure(self) -> Figure:
        figure = run_figure(self.record, decode(self.film))
        figure.supxlabel(self.caption, fontsize=9)
        return figure
