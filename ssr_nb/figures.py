"Figures of runs: their curves, and a gallery of what they predict."
import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image, features

from .core import atomic_write
from .data import Split
from .display import figure_png, straight_alpha, tinted
from .reconstruct import Reconstructor
from .render import render_views
from .runs import RunRecord
from .voxels import voxel_iou, voxelize

__all__ = ['GalleryRow', 'curves_figure', 'gallery', 'gallery_figure']

METHOD_COLORS = {'softras': '#c77b30', 'ssr': '#3b82c4', 'ring': '#2f9e60',
                 'truth': '#8a8f98'}
METHOD_LABELS = {'softras': 'SoftRas', 'ssr': 'SSR', 'ring': 'SSR, ring rule',
                 'truth': 'truth'}
_OTHER = '#8a8f98'   # of a mesh whose method has no colour of its own


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


# ----------------------------------------------------------------- gallery --
@dataclass(frozen=True)
class GalleryRow:
    "One object: the input image, and what is predicted of it from all around."
    title: str
    image: np.ndarray   # (4, S, S) uint8, the input
    view: int           # number of its viewpoint
    renders: dict[str, np.ndarray]  # name -> (24, 4, S, S) uint8, by viewpoint
    ious: dict[str, float] = field(default_factory=dict)   # name -> 3D IoU


def gallery(
    models: Mapping[str, Reconstructor],   # by method or another name
    split: Split,
    objects: Sequence[int],   # rows of the split
    view: int = 2,            # of the input image
    image_size: int = 128,    # pixels of the rendered meshes
) -> list[GalleryRow]:
    "Predict a mesh of each object and render it from all viewpoints."
    rows = []
    for n in objects:
        image = np.array(split.images[n, view])
        renders, ious = {'truth': np.array(split.images[n])}, {}
        truth = torch.tensor(np.asarray(split.voxels[n])).bool()
        for name, model in models.items():
            mesh = tinted(model.predict(image), METHOD_COLORS.get(name, _OTHER))
            ious[name] = float(voxel_iou(voxelize(mesh.vertices, mesh.faces), truth[None]))
            rendered = render_views(mesh, split.viewpoints, image_size)
            renders[name] = straight_alpha(np.asarray(rendered))
        rows.append(GalleryRow(f'object {n}', image, view, renders, ious))
    return rows


def gallery_figure(
    rows: Sequence[GalleryRow],
    novel: int = 7,           # viewpoints from the input to the novel view
) -> Figure:
    "Truth and meshes from the input's viewpoint and a novel one (Figure 5)."
    names = list(rows[0].renders)
    figure = Figure(figsize=(2.9*len(names), 1.5*len(rows) + .4),
                    layout=ConstrainedLayoutEngine(w_pad=0, h_pad=0, wspace=0,
                                                   hspace=0))
    axes = figure.subplots(len(rows), 2*len(names), squeeze=False)
    for line, row in zip(axes, rows):
        other = (row.view + novel) % len(row.renders['truth'])
        views = [row.view]*len(names) + [other]*len(names)
        for ax, name, view in zip(line, names + names, views):
            ax.imshow(row.renders[name][view].transpose(1, 2, 0),
                      extent=(-1, 1, -1, 1))
            ax.set(xlim=(-1, 1), ylim=(-1, 1))
            ax.axis('off')
        for ax, name in zip(line, names):
            if name in row.ious:
                ax.text(0, -.98, f'IoU {row.ious[name]:.2f}', ha='center',
                        va='bottom', fontsize=9)
    for k, (ax, name) in enumerate(zip(axes[0], names + names)):
        label = METHOD_LABELS.get(name, name)
        if k >= len(names): label += ',\nnovel view'
        elif name == 'truth': label = 'input'
        ax.set_title(label, fontsize=9)
    return figure


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
