"Chairs, benches and sofas, and what they stand on."
import math

from torch import Generator

from ..mesh import Mesh
from .primitives import (
    Color,
    both_sides,
    box,
    chance,
    choose,
    lathe,
    material,
    rotate,
    sections,
    translate,
    tube,
    uniform,
)

__all__: list[str] = []


def four_legs(
    g: Generator,
    wide: float, deep: float, high: float,  # that they stand under, meters
    color: Color,
    thick: float = .02,                     # radius
) -> list[Mesh]:
    "Four legs from the floor to `high`; straight, splayed or tapered."
    splay = choose(g, 0., 0., uniform(g, .02, .08))
    foot = choose(g, 1., 1., .5)*thick
    sides = choose(g, 4, 8)
    x, z = wide/2 - thick*1.3, deep/2 - thick*1.3
    return both_sides([tube([(x + splay, 0, s*(z + splay)), (x, high, s*z)],
                            (foot, thick), color, sides) for s in (1, -1)])


def pedestal(
    g: Generator,
    high: float, reach: float,  # meters
    color: Color,
) -> list[Mesh]:
    "One column on a round foot or on a star of arms."
    radius = uniform(g, .02, .05)
    column = lathe([(radius*1.3, .02), (radius, high*.3), (radius, high)],
                   color)
    if chance(g, .4):
        return [column, lathe([(reach, 0), (reach*.9, .02), (.04, .05)],
                              color)]
    arms = choose(g, 4, 5)
    turns = [2*math.pi*(k + .25)/arms for k in range(arms)]
    return [column, *(tube([(0, .09, 0), (reach*math.sin(t), .03,
                             reach*math.cos(t))], (.03, .018), color)
                      for t in turns)]


def chair_base(
    g: Generator,
    wide: float, deep: float, high: float,
    color: Color,
) -> list[Mesh]:
    "Under a chair: legs, stretchers, a star, a sled, rockers or a block."
    style = choose(g, 'legs', 'legs', 'stretchers', 'star', 'sled', 'rockers',
                   'block')
    if style == 'star': return pedestal(g, high, max(wide, deep)*.55, color)
    if style == 'block':
        return [box((0, high/2, 0), (wide*.9, high, deep*.9), color)]
    x, z, r = wide/2 - .03, deep/2 - .03, uniform(g, .012, .02)
    if style == 'sled':
        path = [(x, high, -z*.3), (x, high*.5, z), (x, r, z*.9), (x, r, -z)]
        return both_sides([tube(path, r*1.2, color)]) + [
            box((0, r, -z), (2*x, 2*r, 2*r), color)]
    parts = four_legs(g, wide, deep, high, color, uniform(g, .014, .03))
    bar = uniform(g, .25, .6)*high
    if style == 'stretchers':
        parts += both_sides([tube([(x, bar, -z), (x, bar, z)], r, color)])
        parts.append(tube([(-x, bar, 0), (x, bar, 0)], r, color))
    if style == 'rockers':
        swing = [(x, .09, -z - .2), (x, .02, -z*.5), (x, 0, 0),
                 (x, .02, z*.6),
                 (x, .07, z + .12)]
        parts += both_sides([tube(swing, r*1.2, color)])
    return parts


def chair_back(
    g: Generator,
    wide: float, tall: float,
    frame: Color, cover: Color,
) -> list[Mesh]:
    "A back above the origin: panel, slats, ladder, spindles or shell."
    style = choose(g, 'panel', 'slats', 'ladder', 'spindles', 'shell')
    thick, x = uniform(g, .02, .05), wide/2 - .02
    if style == 'shell':
        top = uniform(g, .5, 1)
        return [sections([(0, 0, 0, wide/2, thick),
                          (tall*.6, 0, 0, wide/2, thick),
                          (tall*.9, 0, 0, wide*.45*top, thick*.8),
                          (tall, 0, 0, wide*.25*top, thick*.5)], cover,
                          power=4)]
    if style == 'panel':
        low, w = choose(g, 0, .1, .3, .5)*tall, uniform(g, .75, 1)*wide
        posts = both_sides([tube([(w*.35, 0, 0), (w*.35, low + .1, 0)], .015,
                                 frame)])
        return posts + [box((0, (low + tall)/2, 0), (w, tall - low, thick),
                            cover)]
    posts = both_sides([tube([(x, 0, 0), (x, tall, 0)], .02, frame)])
    rail = uniform(g, .05, .15)
    posts.append(box((0, tall - rail/2, 0), (wide, rail, thick), frame))
    n = choose(g, 2, 3, 4, 5)
    if style == 'ladder':
        return posts + [box((0, tall*(k + .7)/(n + 1), 0),
                            (2*x, tall*.09, thick*.7),
                            frame) for k in range(n)]
    r = .01 if style == 'spindles' else wide*.3/n
    at = [2*x*((k + 1)/(n + 1) - .5) for k in range(n)]
    return posts + [box((a, tall/2, 0), (2*r, tall - rail, .016), frame)
                    for a in at]


def chair_arms(
    g: Generator,
    wide: float, deep: float, high: float,
    frame: Color, cover: Color,
) -> list[Mesh]:
    "Two arms on posts, or upholstered sides."
    up, w = high + uniform(g, .16, .28), uniform(g, .03, .06)
    if chance(g, .35):
        thick = uniform(g, .07, .13)
        return both_sides([box((wide/2 + thick/2, (up + high*.5)/2, 0),
                               (thick, up - high*.5, deep), cover)])
    post, length = uniform(g, .2, .48)*deep, uniform(g, .75, 1)*deep
    return both_sides([
        tube([(wide/2, high*.9, post), (wide/2 + .02, up, post)], .014,
             frame),
        box((wide/2 + .01, up, (length - deep)/2), (w, .03, length), frame)])


def chair_parts(g: Generator) -> list[Mesh]:
    "A chair, armchair, office chair, rocking chair, ..."
    wide, deep = uniform(g, .4, .6), uniform(g, .4, .55)
    high, tall = uniform(g, .35, .5), uniform(g, .3, .7)
    frame, cover = material(g, 'wood', 'metal'), material(g, 'fabric', 'wood')
    thick, front = uniform(g, .025, .1), uniform(g, .9, 1.15)
    corners, recline = choose(g, None, 5, 2.5), uniform(g, 2, 18)
    rows = [(-deep/2, 0, high, wide/2, thick/2),
            (deep/2, 0, high, wide/2*front, thick/2)]
    seat = sections(rows, cover, axis=2)
    if corners:
        rows = [(high - thick/2, 0, 0, wide/2, deep/2),
                (high + thick/2, 0, 0, wide*.48, deep*.48)]
        seat = sections(rows, cover, power=corners)
    back = [translate(rotate(part, -recline, 0), y=high, z=-deep*.46)
            for part in chair_back(g, wide*.97, tall, frame, cover)]
    arms = chance(g, .4)
    return [seat, *chair_base(g, wide, deep, high, frame), *back,
            *(chair_arms(g, wide, deep, high, frame, cover) if arms else [])]


def planks(
    g: Generator,
    wide: float, deep: float,
    color: Color,
) -> list[Mesh]:
    "A lying surface through the origin: one board or several with gaps."
    n, thick = choose(g, 1, 3, 4, 6), uniform(g, .02, .05)
    share = .97 if n == 1 else uniform(g, .6, .85)
    return [box((0, 0, deep*((k + .5)/n - .5)), (wide, thick, deep/n*share),
                color) for k in range(n)]


def bench_stand(
    g: Generator,
    wide: float, deep: float, high: float,
    color: Color,
) -> list[Mesh]:
    "Legs, end slabs, trestles or blocks."
    style, x = choose(g, 'legs', 'slabs', 'trestles', 'blocks'), wide*.42
    if style == 'legs':
        return four_legs(g, wide, deep, high, color, uniform(g, .02, .04))
    if style == 'trestles':
        return both_sides([tube([(x, 0, s*deep*.55), (x, high, s*deep*.2)],
                                .03, color, 4) for s in (1, -1)]) + [
            box((0, high*.5, 0), (2*x, .05, .03), color)]
    thick = .05 if style == 'slabs' else uniform(g, .12, .25)
    x = x - thick/2 if style == 'blocks' else x
    return both_sides([box((x, high/2, 0), (thick, high, deep*.85), color)])


def bench_parts(g: Generator) -> list[Mesh]:
    "A park or garden bench: with or without back and arms."
    wide, deep = uniform(g, 1, 1.9), uniform(g, .35, .5)
    high, tall = uniform(g, .38, .5), uniform(g, .3, .55)
    board, frame = material(g, 'wood', 'paint'), material(g, 'metal', 'wood')
    parts = [translate(p, y=high) for p in planks(g, wide, deep, board)]
    parts += bench_stand(g, wide, deep, high, frame)
    if chance(g, .8):
        lean = uniform(g, 3, 20)
        back = [translate(rotate(p, 90, 0), y=tall*.56)
                for p in planks(g, wide, tall*.85, board)]
        back += both_sides([tube([(wide*.4, 0, -.03), (wide*.4, tall, -.03)],
                                 .02, frame, 4)])
        parts += [translate(rotate(p, -lean, 0), y=high, z=-deep*.48)
                  for p in back]
    if chance(g, .45):
        up = high + uniform(g, .18, .26)
        parts += both_sides([
            box((wide*.48, up, 0), (.05, .035, deep), frame),
            tube([(wide*.48, high, deep*.42), (wide*.48, up, deep*.42)], .02,
                 frame, 4)])
    return parts


def cushions(
    count: int,
    wide: float, high: float, deep: float,
    color: Color,
    center: tuple,  # of all together
) -> list[Mesh]:
    "Soft boxes side by side, along x."
    x, y, z = center
    w, h = wide/count*.49, high/2
    return [sections([(y - h, x + c, z, w, deep/2), (y, x + c, z, w, deep/2),
                      (y + h, x + c, z, w*.85, deep*.4)], color, power=6)
            for c in (wide*((k + .5)/count - .5) for k in range(count))]


def sofa_arms(
    g: Generator,
    x: float, deep: float, up: float,
    color: Color,
) -> list[Mesh]:
    "Two arms outside `x`: square, rolled, or flaring; perhaps only one."
    style = choose(g, 'square', 'rolled', 'flaring')
    thick = uniform(g, .1, .25)
    flare = thick*.5 if style == 'flaring' else 0
    arm = [sections([(.08, x + thick/2, 0, thick/2, deep/2),
                     (up, x + thick/2 + flare, 0, thick/2, deep/2)], color)]
    if style == 'rolled':
        arm.append(tube([(x + thick*.55, up, -deep/2),
                         (x + thick*.55, up, deep/2)],
                        thick*.65, color, 10))
    if chance(g, .85): return both_sides(arm)
    pair = both_sides(arm)
    return pair[:len(arm)] if chance(g, .5) else pair[len(arm):]


def sofa_parts(g: Generator) -> list[Mesh]:
    "A sofa of one to four places; some with a chaise, some without arms."
    places = choose(g, 1, 2, 2, 3, 3, 4)
    wide, deep = places*uniform(g, .55, .7), uniform(g, .75, 1)
    seat, tall = uniform(g, .3, .45), uniform(g, .65, .95)
    thick, foot = uniform(g, .12, .25), uniform(g, .03, .15)
    cloth = material(g, 'fabric')
    pillow = choose(g, cloth, material(g, 'fabric'))
    parts = [box((0, (foot + seat*.6)/2, 0), (wide, seat*.6 - foot, deep),
                 cloth)]
    parts += cushions(places, wide, seat*.4, deep*.8, pillow,
                      (0, seat*.8, deep*.1))
    lean = uniform(g, 0, .12)
    parts.append(sections([(foot, 0, -deep/2 + thick/2, wide/2, thick/2),
                           (tall, 0, -deep/2 + thick/2 - lean, wide/2,
                            thick/2)],
                          cloth))
    if chance(g, .6):
        parts += cushions(places, wide, (tall - seat)*.9, .16, pillow,
                          (0, (seat + tall)/2, -deep/2 + thick + .06))
    if chance(g, .85):
        parts += sofa_arms(g, wide/2, deep, uniform(g, .5, .7), cloth)
    if places > 1 and chance(g, .3):
        long, side = uniform(g, .4, .8), choose(g, -1, 1)
        x = side*wide*(.5 - .5/places)
        parts.append(box((x, (foot + seat)/2, deep/2 + long/2),
                         (wide/places, seat - foot, long), pillow))
    stand = four_legs(g, wide*.95, deep*.9, foot + .02, material(g, 'wood'),
                      .03)
    return parts + stand
