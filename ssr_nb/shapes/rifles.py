"Rifles."
from collections.abc import Sequence

from torch import Generator

from ..mesh import Mesh
from .primitives import (
    BLACK,
    DARK,
    Color,
    both_sides,
    box,
    chance,
    choose,
    extrude,
    material,
    rotate,
    tube,
    uniform,
)

__all__: list[str] = []


def profile(
    points: Sequence[tuple],  # (z, y) around
    thick: float,             # along x
    color: Color,
) -> Mesh:
    "An outline in the plane of symmetry, with a thickness."
    part = extrude([(-z, y) for z, y in points], -thick/2, thick/2, color)
    return rotate(part, 90, 1)

def rifle_stock(
    g: Generator,
    rear: float, color: Color,
) -> list[Mesh]:
    "Behind the receiver: solid, with a thumb hole, a wire frame, or none."
    style = choose(g, 'solid', 'solid', 'slim', 'wire', 'none')
    long, drop = uniform(g, .22, .34), uniform(g, .02, .07)
    t = uniform(g, .03, .05)
    end = rear - long
    if style == 'none': return []
    if style == 'wire':
        loop = [(0, .02, rear + .02), (0, .02, end), (0, -.1, end),
                (0, -.03, rear + .02)]
        return [tube(loop, .01, color, 6)]
    if style == 'slim':
        bar = tube([(0, .01, rear + .02), (0, 0, end)], .018, color)
        return [bar, profile([(end, .04), (end + .05, .04), (end + .05, -.1),
                              (end, -.12)], t, color)]
    return [profile([(rear + .02, .035), (rear - .1, .01), (end, -drop + .05),
                     (end, -drop - .1),
                     (rear - .1, -.06), (rear + .02, -.04)], t, color)]


def rifle_parts(g: Generator) -> list[Mesh]:
    "A hunting rifle, assault rifle, machine gun or short carbine."
    body, wood = choose(g, DARK, BLACK), material(g, 'wood', 'metal')
    long, barrel = uniform(g, .22, .4), uniform(g, .25, .6)
    r = uniform(g, .009, .016)
    high, front, rear = uniform(g, .06, .09), long/2, -long/2
    muzzle = front + barrel
    parts = [box((0, 0, 0), (.045, high, long), body),
             *rifle_stock(g, rear, wood),
             tube([(0, .015, front - .02), (0, .015, muzzle)], r, body)]
    guard = barrel*uniform(g, .25, .75)
    parts.append(box((0, .005, front + guard/2),
                     (.045, uniform(g, .035, .06), guard), wood))
    if chance(g, .85):
        lean, z = uniform(g, .02, .06), rear + uniform(g, .02, .08)
        parts.append(profile([(z + .05, -.02), (z, -.02), (z - lean, -.14),
                              (z + .045 - lean, -.14)], .035, wood))
    z, deep = front - uniform(g, .02, .12), uniform(g, .08, .2)
    kind = choose(g, 'straight', 'curved', 'drum', 'none')
    if kind == 'straight':
        parts.append(box((0, -deep/2, z), (.03, deep, .06), body))
    if kind == 'curved':
        parts.append(tube([(0, 0, z), (0, -deep*.5, z + .01),
                           (0, -deep, z + .06)], (.035, .033, .03), body, 6))
    if kind == 'drum':
        parts.append(tube([(-.04, -.09, z), (.04, -.09, z)],
                          uniform(g, .05, .075), body, 12))
    return parts + rifle_extras(g, high/2, front, rear, muzzle, r, body)


def rifle_extras(
    g: Generator,
    top: float, front: float, rear: float, muzzle: float, r: float,
    color: Color,
) -> list[Mesh]:
    "A scope or sights, a bipod, a silencer, a bolt handle on the right."
    parts = [box((0, .035, muzzle - .03), (.006, .04, .012), color)]
    if chance(g, .5):
        y, s = top + uniform(g, .03, .05), uniform(g, .016, .026)
        ends = [(0, y, rear + .02), (0, y, 0), (0, y, front + .02)]
        parts += [tube(ends, (s*1.2, s*.7, s*1.4), color),
                  box((0, (y + top)/2, 0), (.012, y - top + .02, .1), color)]
    elif chance(g, .4):
        parts.append(box((0, top + .04, 0), (.015, .02, .12), color))
        parts += [box((0, top + .02, z), (.015, .05, .02), color)
                  for z in (.05, -.05)]
    if chance(g, .3):
        z, low = muzzle - uniform(g, .05, .2), -uniform(g, .14, .22)
        parts += both_sides([tube([(0, .01, z), (.07, low, z + .02)], .008,
                                  color, 5)])
    if chance(g, .3):
        parts.append(tube([(0, .015, muzzle - .02), (0, .015, muzzle + .12)],
                          r*1.8, color))
    if chance(g, .5):
        parts.append(tube([(.02, .01, rear + .06), (.07, -.01, rear + .04)],
                          .007, color, 5))
    return parts
