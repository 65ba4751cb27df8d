"A report of some runs: one HTML page that needs no other file, and a PNG."
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from .core import write_text
from .display import figure_png
from .figures import (
    METHOD_LABELS,
    GalleryRow,
    curves_figure,
    data_uri,
    figure_theme,
    gallery_figure,
    image_uri,
    write_figure,
)
from .runs import RunRecord
from .tables import text_table

__all__ = ['Report', 'write_report']

_DARK_INK = '#c9ccd1'   # text of a figure on a dark page


@dataclass(frozen=True)
class Report:
    "What a page about some runs of one category says."
    title: str
    lead: str                         # the result in a sentence or two
    table: pd.DataFrame | Sequence[dict[str, Any]]
    runs: Mapping[str, RunRecord]     # by method or another name
    gallery: Sequence[GalleryRow]
    facts: Mapping[str, object] = field(default_factory=dict)  # how it was made
    command: str = ''                 # that makes it again


def _themed(draw: Callable[[], Figure]) -> dict[str, str]:
    "A figure for light and for dark screens, as addresses that hold them."
    uris = {}
    for name, ink in (('light', None), ('dark', _DARK_INK)):
        with rc_context(figure_theme(ink)): uris[name] = data_uri(figure_png(draw()))
    return uris


def _strip(renders: np.ndarray) -> str:
    "Images (24, 4, S, S) side by side, of which the page shows one at a time."
    return image_uri(renders.transpose(1, 2, 0, 3).reshape(
        4, renders.shape[2], -1))


def report_html(
    report: Report,
) -> str:
    "A report as a page: table, turntables, curves, how it was made."
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    ).from_string(files('ssr_nb').joinpath('report.html.j2').read_text('utf-8'))
    names = list(report.gallery[0].renders) if report.gallery else []
    rows = [dict(title=row.title, image=image_uri(row.image),
                 strips=[(name, _strip(row.renders[name]), row.iou.get(name))
                         for name in names])
            for row in report.gallery]
    return template.render(
        report=report, result=text_table(report.table), rows=rows,
        facts=text_table([{'': name, ' ': str(fact)}
                          for name, fact in report.facts.items()]),
        names=[METHOD_LABELS.get(name, name) for name in names],
        views=len(report.gallery[0].renders['truth']) if rows else 1,
        view=report.gallery[0].view if rows else 0,
        curves=_themed(lambda: curves_figure(report.runs)))


def report_figure(
    report: Report,
) -> Figure:
    "Curves above, meshes below, the result as title: a report in a PNG."
    with rc_context({'text.parse_math': False}):   # names are no formulas
        parts = [curves_figure(report.runs)]
        if report.gallery: parts.append(gallery_figure(report.gallery))
        images = [Image.open(io.BytesIO(figure_png(part))) for part in parts]
        ratios = [image.height/image.width for image in images]
        figure = Figure(figsize=(9, .8 + 9*sum(ratios)), layout='constrained',
                        facecolor='white')
        # what measures a text to wrap it does not ask parse_math
        title = f'{report.title}\n{report.lead}'.replace('$', r'\$')
        figure.suptitle(title, fontsize=11, wrap=True, parse_math=True)
    axes = figure.subplots(len(images), 1, height_ratios=ratios, squeeze=False)
    for ax, image in zip(axes[:, 0], images):
        ax.imshow(np.asarray(image))
        ax.axis('off')
    return figure


def write_report(
    report: Report,
    folder: str | Path,   # gets report.html and report.png
):
    "Write a report as a page and as an image."
    write_text(Path(folder)/'report.html', report_html(report))
    write_figure(report_figure(report), Path(folder)/'report.png')
