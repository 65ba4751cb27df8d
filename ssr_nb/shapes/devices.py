"Displays, phones and speakers."
import math

import torch
from torch import Generator

from ..mesh import Mesh
from .primitives import (
    BLACK,
    DARK,
    GLASS,
    WHITE,
    Color,
    both_sides,
    box,
    chance,
    choose,
    lathe,
    loft,
    material,
    rotate,
    sections,
    translate,
    tube,
    uniform,
)

__all__: list[str] = []


def display_stand(
    g: Generator,
    wide: float, gap: float,
    color: Color,
) -> list[Mesh]:
    "Below a screen: a neck on a plate, a disc or a V; two feet; or nothing."
    style = choose(g, 'plate', 'disc', 'V', 'feet', 'none')
    deep, w = uniform(g, .15, .3), wide*uniform(g, .25, .5)
    if style == 'none': return []
    if style == 'feet':
        x = wide*uniform(g, .25, .42)
        return both_sides([tube([(x, 0, s*deep/2), (x, gap + .05, 0)], .012,
                                color, 6)
                           for s in (1, -1)])
    neck = [box((0, (gap + .1)/2, -.05),
                (wide*uniform(g, .06, .2), gap + .1, .04), color)]
    if style == 'plate':
        return neck + [box((0, .01, 0), (w, .02, deep), color)]
    if style == 'disc':
        rows = [(0, 0, 0, w/2, deep/2), (.025, 0, 0, w*.45, deep*.45)]
        return neck + [sections(rows, color, power=2, sides=16)]
    return neck + both_sides([tube([(0, .02, -.05), (w/2, .01, deep*.6)],
                                   .015, color, 6)])


def display_parts(g: Generator) -> list[Mesh]:
    "A monitor, television, tube screen or laptop."
    style = choose(g, 'flat', 'flat', 'flat', 'tube', 'laptop')
    wide, ratio = uniform(g, .45, 1.2), uniform(g, .52, .8)
    tall, case = wide*ratio, choose(g, DARK, BLACK, material(g, 'metal'))
    rim, thick = uniform(g, .01, .04), uniform(g, .02, .08)
    gap = uniform(g, .03, .18)
    lit = choose(g, GLASS, (.15, .25, .5), (.5, .65, .75), (.1, .1, .12))
    chin = rim*choose(g, 1, 1, 3)
    panel = [box((0, tall/2, 0), (wide, tall, thick), case),
             box((0, (tall + chin - rim)/2, thick/2),
                 (wide - 2*rim, tall - rim - chin, .012), lit)]
    if style == 'laptop':
        lean, deep = uniform(g, 5, 35), tall*.95
        keys = (0, .025, deep*.42), (wide*.85, .012, deep*.4)
        return [*(translate(rotate(p, -lean, 0), y=.02) for p in panel),
                box((0, .01, deep/2), (wide, .025, deep), case),
                box(*keys, BLACK)]
    if style == 'tube':
        deep = wide*uniform(g, .6, .9)
        rows = [(-deep, 0, tall*.5, wide*.25, tall*.25),
                (-deep*.5, 0, tall*.5,
                wide*.45, tall*.45), (0, 0, tall*.5, wide*.49, tall*.49)]
        panel.append(sections(rows, case, axis=2))
    elif chance(g, .5):
        panel.append(box((0, tall*.45, -thick/2 - .02),
                         (wide*.5, tall*.5, .05), DARK))
    lean = uniform(g, -2, 12)
    return [*(translate(rotate(p, -lean, 0), y=gap) for p in panel),
            *display_stand(g, wide, gap,
                           choose(g, case, material(g, 'metal')))]


def keypad(
    wide: float, low: float, high: float, front: float,
    rows: int,
    color: Color,
) -> list[Mesh]:
    "Three columns of keys."
    step = (high - low)/rows
    return [box((wide*(c - 1)*.3, low + (r + .5)*step, front),
                (wide*.22, step*.6, .008), color)
            for r in range(rows) for c in range(3)]


def slab(
    wide: float, tall: float, thick: float,
    color: Color,
    power: float | None,
) -> Mesh:
    "A standing plate from y = 0, its corners rounded by `power`."
    rows = [(z*thick, 0, tall/2, s*wide/2, s*tall/2)
            for z, s in ((-.5, .94), (-.3, 1), (.3, 1), (.5, .94))]
    return sections(rows, color, axis=2, power=power, sides=20)


def phone_parts(g: Generator) -> list[Mesh]:
    "A touch phone, a phone with keys, a folding phone or a desk telephone."
    style = choose(g, 'touch', 'touch', 'keys', 'keys', 'fold', 'desk')
    wide, tall = uniform(g, .055, .08), uniform(g, .1, .17)
    thick = uniform(g, .007, .025)
    case = choose(g, BLACK, DARK, WHITE, material(g, 'paint'))
    power = choose(g, None, 6, 10, 4)
    lit, front = choose(g, GLASS, (.3, .5, .7), (.1, .12, .2)), thick/2
    if style == 'desk': return desk_phone(g, case)
    body = slab(wide, tall, thick, case, power)
    if style == 'touch':
        camera = choose(g, -1, 0, 1)*wide*.28
        screen = wide*.9, tall*uniform(g, .72, .9), .002
        return [body, box((0, tall*.5, front), screen, lit),
                box((camera, tall*.88, -front - .002),
                    (wide*.25, tall*.1, .006), DARK)]
    if style == 'keys':
        cut = uniform(g, .45, .65)
        parts = [body, box((0, tall*(cut + .94)/2, front),
                           (wide*.8, tall*(.9 - cut), .004), lit),
                 *keypad(wide, tall*.06, tall*(cut - .05), front + .002,
                         choose(g, 4, 5), WHITE)]
        if chance(g, .5):
            x, up = wide*.38*choose(g, -1, 1), tall*uniform(g, 1.1, 1.4)
            parts.append(tube([(x, tall*.8, 0), (x, up, 0)],
                              uniform(g, .003, .007), DARK, 6))
        return parts
    half = slab(wide, tall*.6, thick, case, power)
    angle = uniform(g, 100, 165)
    lid = [half, box((0, tall*.32, front), (wide*.75, tall*.4, .004), lit)]
    return [half, *keypad(wide, tall*.08, tall*.5, front + .001, 4, WHITE),
            *(translate(rotate(p, 180 - angle, 0), y=tall*.6) for p in lid)]


def desk_phone(
    g: Generator,
    case: Color,
) -> list[Mesh]:
    "A wedge with keys, a screen, a handset on its left side and a cord."
    wide, deep = uniform(g, .16, .22), uniform(g, .16, .22)
    tall, low = uniform(g, .06, .12), uniform(g, .015, .03)
    ring = [(0, -deep/2), (tall, -deep/2), (low, deep/2), (0, deep/2)]
    rings = [[(x, y, z) for y, z in ring] for x in (-wide/2, wide/2)]
    tilt = math.degrees(math.atan2(tall - low, deep)) - 90
    flat = keypad(wide*.5, -deep*.38, deep*.1, .004, 4, WHITE)
    flat.append(box((0, deep*.27, .002), (wide*.45, deep*.2, .008), GLASS))
    top, x, z = (tall + low)/2, -wide*.32, deep*.38
    face = [translate(rotate(p, tilt, 0), x=wide*.15, y=top) for p in flat]
    ends = [tube([(x, top + .005, z), (x, top + .035, z*.95)], .024, DARK,
                 10),
            tube([(x, top + .015, -z), (x, tall + .035, -z)], .024, DARK, 10)]
    grip = tube([(x, top + .035, z), (x, tall + .05, 0),
                 (x, tall + .035, -z)], .012, DARK)
    cord = [(x, low, deep*.48), (x - .04, .01, deep*.6), (x - .06, .01, 0)]
    return [loft(torch.tensor(rings), case), *face, *ends, grip,
            tube(cord, .005, DARK, 5)]


def cone(
    x: float, y: float, front: float, radius: float,
    color: Color,
) -> list[Mesh]:
    "A loudspeaker's driver on a front at z: ring, membrane, dust cap."
    def disc(r, depth, tone):
        return tube([(x, y, front - .03), (x, y, front + depth)], r, tone, 14)
    return [disc(radius, .012, DARK), disc(radius*.82, .018, color),
            disc(radius*.3, .03, BLACK)]


def drivers(
    g: Generator,
    wide: float, tall: float, front: float,
) -> list[Mesh]:
    "One to four drivers over each other, large ones below; perhaps a port."
    n, tone = choose(g, 1, 2, 2, 3, 4), choose(g, (.5, .5, .52),
                                               (.75, .7, .3), (.3, .3, .32))
    most = min(wide*.44, tall*.46/n)
    parts, y = [], tall*.06
    for k in range(n):
        r = most*(1 if k < n - 1 or n == 1 else uniform(g, .4, .8))
        parts += cone(0, y + r, front, r, tone)
        y += 2*r + tall*.03
    if chance(g, .4) and y < tall*.85:
        parts += cone(wide*.25*choose(g, -1, 0, 1), tall*.92, front,
                      min(wide, tall)*.06, BLACK)
    return parts


def speaker_parts(g: Generator) -> list[Mesh]:
    "A tower, bookshelf box, wedge, round speaker, horn, or a bar on feet."
    style = choose(g, 'tower', 'shelf', 'shelf', 'wedge', 'round', 'bar')
    case = material(g, 'wood', 'metal')
    wide, deep = uniform(g, .2, .4), uniform(g, .2, .4)
    tall = wide*dict(tower=uniform(g, 2.4, 4.5),
                     bar=1.).get(style, uniform(g, 1, 1.8))
    if style == 'round':
        r = wide*.5
        rows = [(r*.8, 0), (r, tall*.2), (r*uniform(g, .7, 1), tall*.8),
                (r*.5, tall)]
        foot = lathe([(r*1.2, -.05), (r*.5, .02)], DARK)
        return [lathe(rows, case, sides=16), foot,
                *drivers(g, wide*.8, tall, r*.9)]
    if style == 'bar':
        wide, tall = uniform(g, .7, 1.2), uniform(g, .09, .16)
        parts = [box((0, tall/2, 0), (wide, tall, deep*.5), case)]
        at = [wide*(k/4 - .5)*.8 for k in range(5)]
        for x in choose(g, at, at[::2], at[::4]):
            parts += cone(x, tall/2, deep/4, tall*.4, WHITE)
        return parts
    lean = uniform(g, .5, .9) if style == 'wedge' else uniform(g, .9, 1)
    back = -deep*(1 - lean)/2
    rows = [(0, 0, 0, wide/2, deep/2),
            (tall, 0, back, wide/2*uniform(g, .85, 1), deep/2*lean)]
    tilt = math.degrees(math.atan2(deep*(1 - lean), tall))
    front = [translate(rotate(p, -tilt, 0), z=deep/2)
             for p in drivers(g, wide, tall, 0)]
    parts = [sections(rows, case, power=choose(g, None, None, 7), sides=16),
             *front]
    stand = chance(g, .35)
    if stand and style == 'tower':
        parts.append(box((0, -.03, 0), (wide*1.3, .06, deep*1.2), DARK))
    if stand and style == 'shelf':
        up = uniform(g, .3, .8)
        parts += [tube([(0, -up, 0), (0, 0, 0)], .03, DARK),
                  box((0, -up, 0), (wide, .03, deep), DARK)]
    return parts
