"Lamps."
import math

from torch import Generator

from ..mesh import Mesh
from .primitives import (
    DARK,
    GLOW,
    WHITE,
    Color,
    box,
    chance,
    choose,
    ellipsoid,
    lathe,
    material,
    rotate,
    sections,
    translate,
    tube,
    uniform,
)

__all__: list[str] = []


def shade(
    g: Generator,
    y: float, size: float,
    color: Color,
) -> Mesh:
    "A cone, drum, bell, ball or dish around the axis, its lower rim at y."
    style, h = choose(g, 'cone', 'drum', 'bell', 'ball',
                      'dish'), size*uniform(g, .6, 1.3)
    top = uniform(g, .35, .8)
    profiles: dict[str, list[tuple[float, float]]] = dict(
        cone=[(1, 0), (top, 1)], drum=[(1, 0), (1, 1)],
        bell=[(1, 0), (.7, .3), (.5, .7), (.4, 1)],
        ball=[(.2, 0), (.75, .15), (1, .5), (.75, .85), (.2, 1)],
        dish=[(1, 0), (.9, .15), (.3, .45), (.12, .5)])
    return lathe([(r*size/2, y + h*t) for r, t in profiles[style]], color,
                 sides=14)


def lamp_foot(
    g: Generator,
    high: float, reach: float,
    color: Color,
) -> list[Mesh]:
    "Up to a shade: a thin stem, a turned vase, stacked balls, or a tripod."
    style = choose(g, 'stem', 'vase', 'balls', 'tripod')
    r = uniform(g, .012, .03)
    if style == 'tripod':
        turns = [2*math.pi*k/3 for k in range(3)]
        return [tube([(reach*math.sin(t), 0, reach*math.cos(t)),
                      (0, high, 0)], r, color, 6)
                for t in turns]
    plate = lathe([(reach, 0), (reach*.95, .02), (r*1.5, .045)], color,
                  sides=14)
    stem = lathe([(r, .03), (r, high)], color, sides=8)
    if style == 'stem': return [plate, stem]
    if style == 'balls':
        size = min(uniform(g, .08, .16), high*.25)
        n = min(choose(g, 1, 2, 3), int(high/size/1.1))
        return [plate, stem,
                *(ellipsoid((0, .05 + size*(k + .5), 0),
                            (size*.6, size/2, size*.6), color)
                               for k in range(n))]
    w, belly = reach*uniform(g, .6, 1.1), uniform(g, .2, .7)
    tall = min(high, reach*uniform(g, 2, 4))
    profile = [(w*.6, 0), (w*.75, .1), (w, belly), (w*.35, .9), (w*.3, 1)]
    return [lathe([(a, b*tall) for a, b in profile], color, sides=14), stem]


def desk_lamp(g: Generator, color: Color) -> list[Mesh]:
    "Two arms and a head that points forward and down."
    lower, upper = uniform(g, .2, .35), uniform(g, .2, .35)
    back, ahead = uniform(g, -.15, .1), uniform(g, .15, .3)
    elbow = 0, lower, back
    head = 0, lower + uniform(g, .05, .2)*upper, back + ahead
    size = uniform(g, .1, .18)
    hood = lathe([(size*.7, -size), (size*.35, -.1*size),
                  (size*.15, .25*size)], color, sides=12)
    hood = translate(rotate(hood, uniform(g, -50, 10), 0), *head)
    foot = choose(g, lathe([(.11, 0), (.1, .03)], DARK),
                  box((0, .015, 0), (.2, .03, .16), DARK))
    return [foot, tube([(0, .02, 0), elbow], .012, color),
            tube([elbow, head], .012, color),
            ellipsoid(elbow, (.02, .02, .02), DARK, 8), hood]


def street_lamp(g: Generator, color: Color) -> list[Mesh]:
    "A post with one or two arms, or a lantern on top."
    high, r = uniform(g, 1, 2), uniform(g, .02, .045)
    post = lathe([(r*2.5, 0), (r*1.5, .15), (r, .2), (r*.8, high)], color)
    if chance(g, .3):
        w, h = uniform(g, .1, .2), uniform(g, .2, .35)
        glass = sections([(high, 0, 0, w*.6, w*.6), (high + h, 0, 0, w, w)],
                         GLOW)
        hat = sections([(high + h, 0, 0, w*1.2, w*1.2),
                        (high + h*1.5, 0, 0, .02, .02)], color)
        return [post, glass, hat]
    reach, drop = uniform(g, .25, .6), uniform(g, -.1, .12)
    arm = tube([(0, high*.95, 0), (0, high + .1, reach*.3),
                (0, high + .1 - drop, reach)], r*.7, color)
    lamp = ellipsoid((0, high + .08 - drop, reach + .06), (.07, .04, .15),
                     GLOW)
    both = [p for q in (arm, lamp) for p in (q, rotate(q, 180, 1))]
    return [post, *(both if chance(g, .25) else [arm, lamp])]


def hanging_lamp(g: Generator, color: Color) -> list[Mesh]:
    "A rose at the ceiling, a cord, and a shade or a ring of candles."
    drop, cup = uniform(g, .3, .9), lathe([(.03, 0), (.09, .04)], color)
    cord = tube([(0, -drop, 0), (0, .02, 0)], .01, DARK, 6)
    if chance(g, .55):
        return [cup, cord, shade(g, -drop - .15, uniform(g, .25, .6),
                                 choose(g, color, WHITE, GLOW))]
    arms, reach = choose(g, 3, 4, 5, 6, 8), uniform(g, .2, .45)
    parts, y = [cup, cord,
                ellipsoid((0, -drop, 0), (.05, .07, .05), color,
                          8)], uniform(g, .02, .12)
    for k in range(arms):
        path = [(0, -drop, 0), (0, -drop - .08, reach*.6),
                (0, -drop + y, reach)]
        candle = lathe([(.02, 0), (.05, .03), (.04, .1), (.01, .14)], GLOW,
                       (0, -drop + y, reach), 8)
        parts += [rotate(p, 360*k/arms, 1)
                  for p in (tube(path, .012, color, 6), candle)]
    return parts


def wall_lamp(g: Generator, color: Color) -> list[Mesh]:
    "A plate on the wall behind, an arm forward, a shade on it."
    reach, up = uniform(g, .12, .3), uniform(g, -.05, .12)
    arm = tube([(0, 0, 0), (0, -.05, reach*.6), (0, up, reach)], .014, color)
    hood = translate(shade(g, up, uniform(g, .15, .3),
                           choose(g, WHITE, GLOW)), z=reach)
    return [box((0, 0, 0), (.1, uniform(g, .12, .3), .03), color), arm, hood]


def lamp_parts(g: Generator) -> list[Mesh]:
    "A table, floor, desk, street, hanging or wall lamp."
    style = choose(g, 'table', 'table', 'floor', 'desk', 'street', 'hanging',
                   'wall')
    color = material(g, 'metal', 'wood', 'paint')
    made = dict(desk=desk_lamp, street=street_lamp, hanging=hanging_lamp,
                wall=wall_lamp)
    if style in made: return made[style](g, color)
    high = uniform(g, .2, .45) if style == 'table' else uniform(g, 1, 1.6)
    reach, size = uniform(g, .08, .2), uniform(g, .22, .5)
    top = shade(g, high*.95, size,
                choose(g, WHITE, GLOW, material(g, 'fabric')))
    return [*lamp_foot(g, high, reach, color), top]
