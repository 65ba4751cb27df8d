"Curves and a few texts, as SVG in the page's colours and as a figure for paper."
import html
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..figures import METHOD_COLORS

Box = tuple[float, float, float, float]   # left, bottom, right, top, in units
Text = tuple[float, float, str, str]      # x, y, text, start or middle


@dataclass(frozen=True)
class Curve:
    "A line of a drawing, in units of the plot; y points up."
    points: np.ndarray    # (P, 2)
    kind: str             # of STROKES
    name: str = ''        # in the legend
    closed: bool = False


STROKES = {   # kind -> colour, width, dashes, opacity of its inside
    'S': (METHOD_COLORS['ssr'], 2.5, '', .2),
    'rotated': (METHOD_COLORS['softras'], 2., '5 3', 0),
    'grid': ('currentColor', .6, '', 0),
    'threshold': ('currentColor', 1.2, '2 3', 0),
    'candidate': ('currentColor', 2., '', 0),
    'truth': ('#2e9e5b', 4., '', 0),
    'picked': (METHOD_COLORS['ssr'], 3., '', 1),
    'coverage': (METHOD_COLORS['ssr'], 2., '', 0)}


def curve_svg(
    curve: Curve,
    scale: float,    # pixels a unit
) -> str:
    "One curve as an SVG path, y turned down."
    color, width, dashes, inside = STROKES[curve.kind]
    dots = (f'{scale*x:.1f} {-scale*y:.1f}' for x, y in curve.points)
    path = 'M' + 'L'.join(dots) + 'Z'*curve.closed
    fill = color if inside else 'none'
    return (f'<path data-kind="{curve.kind}" d="{path}" fill="{fill}" '
            f'fill-opacity="{inside}" stroke="{color}" '
            f'stroke-width="{width}" stroke-dasharray="{dashes}"/>')


def curve_legend(
    curves: list[Curve],
    box: Box,
) -> tuple[list[Curve], list[Text]]:
    "A dash and a name for each named curve, at the top on the right."
    named = [c for c in curves if c.name]
    x, rows = box[2] - .75, [box[3] - .15 - .17*i for i in range(len(named))]
    dashes = [Curve(np.array([(x - .2, y), (x - .03, y)]), c.kind)
              for c, y in zip(named, rows)]
    return dashes, [(x + .04, y - .035, c.name, 'start')
                    for c, y in zip(named, rows)]


def drawing_svg(
    curves: list[Curve],
    texts: list[Text],
    box: Box,
    words: str,           # said instead of the drawing
    scale: float = 110.,  # pixels a unit
) -> str:
    "Curves, legend and texts as an SVG that follows the page's colours."
    left, bottom, right, top = (scale*side for side in box)
    keys, names = curve_legend(curves, box)
    lines = [curve_svg(c, scale) for c in curves + keys]
    lines += [f'<text x="{scale*x:.1f}" y="{-scale*y:.1f}" fill="current'
              f'Color" font-size="12" text-anchor="{anchor}">'
              f'{html.escape(text)}</text>'
              for x, y, text, anchor in texts + names]
    w, h, words = right - left, top - bottom, html.escape(words)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'aria-label="{words}" width="{w:.0f}" height="{h:.0f}" '
            f'viewBox="{left:.0f} {-top:.0f} {w:.0f} {h:.0f}">'
            + ''.join(lines) + '</svg>')


def draw_curves(
    ax,                   # matplotlib's
    curves: list[Curve],
    texts: list[Text],
    box: Box,
):
    "The same drawing by matplotlib, for saved notebooks."
    keys, names = curve_legend(curves, box)
    for curve in curves + keys:
        color, width, dashes, inside = STROKES[curve.kind]
        color = 'black' if color == 'currentColor' else color
        end = curve.points[:1 if curve.closed else 0]
        x, y = np.concatenate([curve.points, end]).T
        ax.plot(x, y, '--' if dashes else '-', color=color, lw=.7*width)
        if inside: ax.fill(x, y, color=color, alpha=inside, lw=0)
    for place, height, text, anchor in texts + names:
        side = 'left' if anchor == 'start' else 'center'
        ax.text(place, height, text, ha=side, fontsize=8)
    left, bottom, right, top = box
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect='equal')
    ax.axis('off')


def ring_position(
    azimuth,        # degrees
    radius=1.,      # from the middle
) -> np.ndarray:    # (..., 2) right, up on a map with azimuth 0 below
    "Where a camera stands, seen from above."
    angle = np.deg2rad(np.asarray(azimuth, float))
    return np.stack([radius*np.sin(angle), -radius*np.cos(angle)], -1)


def circle(
    radius: float,
    kind: str,
    middle: Iterable[float] = (0., 0.),
    name: str = '',
) -> Curve:
    "A circle of 72 corners."
    points = ring_position(np.arange(0, 360, 5), radius) + np.asarray(middle)
    return Curve(points, kind, name, True)
