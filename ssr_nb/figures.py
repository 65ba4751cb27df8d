"Figures of runs: curves and galleries; figures that a reader can turn."
import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image, features

from .core import InputError, atomic_write
from .data import Split
from .display import GREY, figure_png, straight_alpha, tinted
from .mesh import Mesh
from .reconstruct import Reconstructor
from .render import render_views
from .runs import RunRecord
from .voxels import voxel_iou, voxelize

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ['GalleryRow', 'curves_figure', 'cycles_figure', 'gallery',
           'gallery_figure', 'mesh_trace', 'turnable']

METHOD_COLORS = {'softras': '#4477aa', 'ssr': '#ee6677', 'ring': '#228833',
                 'truth': '#888888'}   # C0, C1, C2, C6 of book.mplstyle
METHOD_LABELS = {'softras': 'SoftRas', 'ssr': 'SSR', 'ring': 'SSR, ring rule',
                 'truth': 'truth'}
_OTHER = METHOD_COLORS['truth']   # of a mesh whose method has no colour of its own


def figure_theme(
    ink: str | None = None,    # colour of text and axes; none: matplotlib's
) -> dict[Any, Any]:           # for matplotlib.rc_context
    "A figure without background, for a page of light or of dark colours."
    theme: dict[Any, Any] = {
        'figure.facecolor': 'none', 'axes.facecolor': 'none',
        'savefig.facecolor': 'none', 'font.size': 9, 'text.parse_math': False,
        'axes.spines.top': False, 'axes.spines.right': False}
    if ink is None: return theme
    return theme | dict.fromkeys((
        'text.color', 'axes.edgecolor', 'axes.labelcolor', 'axes.titlecolor',
        'xtick.color', 'ytick.color'), ink)


# ------------------------------------------------------------------ curves --
def plot_columns(
    ax: Axes,
    runs: Mapping[str, RunRecord],
    columns: Mapping[str, tuple[str, str]],  # of the log -> line style, its name
    **legend,                  # where it stands, for ax.legend
):
    "Columns of the logs of some runs against the iteration."
    for name, run in runs.items():
        for column, (style, label) in columns.items():
            values = run.metrics[column].to_numpy(float)
            if not np.isfinite(values).any(): continue
            ax.plot(run.metrics['iteration'].to_numpy(), values, style, ms=4,
                    color=METHOD_COLORS.get(name),
                    label=', '.join(filter(None, (
                        METHOD_LABELS.get(name, name), label))))
    ax.set_xlabel('iteration')
    if ax.lines: ax.legend(frameon=False, fontsize=8, **legend)


def curves_figure(
    runs: Mapping[str, RunRecord],   # by method or another name
) -> Figure:
    "Validation IoU, SiamVP's accuracy and pseudo-labels (paper's Figure 4)."
    figure = Figure(figsize=(9, 3.3), layout='constrained')
    iou, siam, labels = figure.subplots(1, 3)
    below = dict(loc='upper center', bbox_to_anchor=(.5, -.2))  # off the curves
    plot_columns(iou, runs, {'val_iou': ('.-', '')}, **below)
    iou.set_title('validation 3D IoU')
    ssr = {k: r for k, r in runs.items() if r.config.rule is not None}
    plot_columns(siam, ssr, {'siam_accuracy': ('.-', 'training batch'),
                             'gate_accuracy': ('.:', 'labeled views')}, **below)
    siam.set(title='accuracy of SiamVP', ylim=(.45, 1.03))
    plot_columns(labels, ssr, {'label_coverage': ('.-', 'coverage'),
                               'label_accuracy': ('.:', 'accuracy')}, **below)
    labels.set(title='pseudo-labels', ylim=(-.03, 1.03))
    return figure


def test_curve(
    run: RunRecord,
) -> pd.DataFrame | None:   # columns iteration and test_iou; none: not scored
    "What ssr_sweep --figures has scored while a run was trained."
    path = run.folder/'test_curve.csv'
    return pd.read_csv(path) if path.is_file() else None


test_curve.__test__ = False   # type: ignore[attr-defined]


def cycles_figure(
    runs: Mapping[str, Mapping[str, RunRecord]],   # category -> method -> run
) -> Figure:   # a row a category
    """Coverage and accuracy of pseudo-labels and the IoU (paper's Figure 4).

    The IoU is that of test objects where a run has scored some (test_curve.csv)
    and else that of the validation objects; the axis says which.
    """
    figure = Figure(figsize=(9, .5 + 1.9*len(runs)), layout='constrained')
    axes = figure.subplots(len(runs), 3, squeeze=False, sharex='row')
    for line, (category, some) in zip(axes, runs.items()):
        tested = {name: test_curve(run) for name, run in some.items()}
        which = 'test' if all(t is not None for t in tested.values()) else 'val'
        for name, run in some.items():
            style: dict[str, Any] = dict(
                color=METHOD_COLORS.get(name, _OTHER), lw=1.5,
                label=METHOD_LABELS.get(name, name))
            log, test = run.metrics, tested[name]
            for ax, column in zip(line, ('label_coverage', 'label_accuracy')):
                if run.config.rule is not None:
                    ax.plot(log['iteration'], log[column], **style)
            score = test if which == 'test' and test is not None else log
            line[2].plot(score['iteration'], score[f'{which}_iou'], **style)
        line[0].set_ylabel(category)
        line[2].set_title(f'{"test" if which == "test" else "validation"} 3D IoU')
        for ax, title in zip(line, ('coverage', 'accuracy')):
            ax.set(title=f'{title} of labels', ylim=(-.03, 1.03))
    for ax in axes[-1]: ax.set_xlabel('iteration')
    axes[0, 2].legend(frameon=False, fontsize=8)
    return figure


# ----------------------------------------------------------------- gallery --
@dataclass(frozen=True)
class GalleryRow:
    "One object: the input image, and what is predicted of it from all around."
    title: str
    image: np.ndarray   # (4, S, S) uint8, the input
    view: int           # number of its viewpoint
    renders: dict[str, np.ndarray]  # name -> (24, 4, S, S) uint8, by viewpoint
    iou: dict[str, float] = field(default_factory=dict)   # name -> 3D IoU


def gallery(
    models: Mapping[str, Reconstructor],   # by method or another name
    split: Split,
    objects: Sequence[int],   # rows of the split
    view: int = 10,           # of the input image: from the front and aside
    image_size: int = 128,    # pixels of the rendered meshes
) -> list[GalleryRow]:
    "Predict a mesh of each object and render it from all viewpoints."
    rows = []
    for n in objects:
        image = np.array(split.images[n, view])
        truth = torch.tensor(np.asarray(split.voxels[n:n + 1]))
        renders, iou = {'truth': np.array(split.images[n])}, {}
        for name, model in models.items():
            mesh = model.predict(image)
            iou[name] = voxel_iou(voxelize(mesh.vertices, mesh.faces), truth).item()
            mesh = tinted(mesh, METHOD_COLORS.get(name, _OTHER))
            rendered = render_views(mesh, split.viewpoints, image_size)
            renders[name] = straight_alpha(np.asarray(rendered))
        rows.append(GalleryRow(f'object {n}', image, view, renders, iou))
    return rows


def gallery_figure(
    rows: Sequence[GalleryRow],
    novel: int = 7,           # viewpoints from the input to the novel view
) -> Figure:
    """Input and meshes from its viewpoint, all from a novel one (Figure 5).

    Below each mesh is its 3D IoU, and beside the meshes is the truth.
    """
    names = list(rows[0].renders)
    figure = Figure(figsize=(2.9*len(names), 1.65*len(rows) + .4),
                    layout=ConstrainedLayoutEngine(w_pad=.02, h_pad=.02, wspace=0,
                                                   hspace=0))
    axes = figure.subplots(len(rows), 2*len(names), squeeze=False)
    for line, row in zip(axes, rows):
        other = (row.view + novel) % len(row.renders['truth'])
        views = [row.view]*len(names) + [other]*len(names)
        for k, (ax, name, view) in enumerate(zip(line, names + names, views)):
            ax.imshow(row.renders[name][view].transpose(1, 2, 0),
                      extent=(-1, 1, -1, 1))
            ax.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[])
            for spine in ax.spines.values(): spine.set_visible(False)
            if name in row.iou and k < len(names):
                ax.set_xlabel(f'IoU {row.iou[name]:.2f}', fontsize=8)
        line[0].set_ylabel(row.title, fontsize=8)
    for k, (ax, name) in enumerate(zip(axes[0], names + names)):
        label = METHOD_LABELS.get(name, name)
        if k >= len(names): label += ',\nnovel view'
        elif name == 'truth': label = 'input'
        ax.set_title(label, fontsize=9)
    return figure


# ------------------------------------------------------------------ plotly --
PLOTLY_BYTES = 200_000   # of one figure in a notebook
SCENE = dict(            # y up, as an eye at azimuth 145° and elevation 25° sees it
    aspectmode='data', dragmode='orbit',
    camera=dict(up=dict(x=0, y=1, z=0), eye=dict(x=1.1, y=.9, z=1.6)),
    **{f'{axis}axis': dict(visible=False) for axis in 'xyz'})


def mesh_trace(
    mesh: Mesh,
    color: str = GREY,     # of a mesh without colours at its vertices
    **style,               # of go.Mesh3d: name, opacity, scene, …
) -> 'go.Mesh3d':
    "A mesh in a plotly scene, flat shaded; some 25 kB for 642 vertices."
    from plotly import graph_objects as go
    x, y, z = mesh.vertices.detach().cpu().numpy().T
    i, j, k = mesh.faces.cpu().numpy().astype('int32').T
    if mesh.vertex_colors is not None:
        rgb = (255*mesh.vertex_colors).round().int().tolist()
        style['vertexcolor'] = ['#%02x%02x%02x' % tuple(row) for row in rgb]
    return go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color=color,
                     flatshading=True, **style)


class turnable:
    """A plotly figure as the last line of a cell: JSON to turn, and a PNG.

    JupyterLab and the site show the first, everything else the second."""
    def __init__(
        self,
        figure: 'go.Figure',       # at most 200 kB; its scenes get y up
        still: bytes | Figure,     # a PNG file, or matplotlib's figure of the same
    ):
        scenes = {trace.scene or 'scene' for trace in figure.data
                  if 'scene' in trace}
        own = figure.layout
        for name in scenes:
            own[name] = {**SCENE, **own[name].to_plotly_json()}
        own.update(template='none', margin=own.margin.to_plotly_json()
                   or dict(l=0, r=0, t=30, b=0), height=own.height or 460)
        self.figure = json.loads(figure.to_json())
        self.still = still if isinstance(still, bytes) else figure_png(still, 144)
        if (size := len(json.dumps(self.figure))) > PLOTLY_BYTES:
            raise InputError(f'figure: expected at most {PLOTLY_BYTES:,} bytes '
                             f'of JSON, found {size:,}')

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        return {'application/vnd.plotly.v1+json': self.figure,
                'image/png': base64.b64encode(self.still).decode(),
                'text/plain': 'a figure to turn'}


# ------------------------------------------------------------------- files --
def write_figure(
    figure: Figure,
    path: str | Path,     # a PNG
):
    "Write a figure as a PNG, wholly or not at all."
    with atomic_write(path) as temporary:
        temporary.write_bytes(figure_png(figure))


def data_uri(
    content: bytes,
    kind: str = 'image/png',
) -> str:
    "Bytes as an address that holds them."
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def image_uri(
    pixels: np.ndarray,   # (4, H, W) uint8 RGBA
) -> str:
    "Pixels as an address that holds them: WebP where it can be written, or PNG."
    buffer, kind = io.BytesIO(), 'webp' if features.check('webp') else 'png'
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    image.save(buffer, kind, quality=80)
    return data_uri(buffer.getvalue(), f'image/{kind}')
