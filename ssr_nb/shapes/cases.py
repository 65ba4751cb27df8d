"Tables and cabinets."
import math

from torch import Generator

from ..mesh import Mesh
from .primitives import (
    DARK,
    GLASS,
    Color,
    both_sides,
    box,
    chance,
    choose,
    extrude,
    material,
    rotate,
    sections,
    translate,
    tube,
    uniform,
)
from .seats import four_legs, pedestal

__all__: list[str] = []


def table_top(
    g: Generator,
    wide: float, deep: float, high: float, thick: float,
    color: Color,
) -> tuple[Mesh, float]:  # and the share of it that legs can stand under
    "A plate: rectangular, rounded, oval, half round or six-cornered."
    style = choose(g, *['plain']*5, 'rounded', 'rounded', 'oval', 'oval',
                   'six', 'half')
    if style == 'half':  # its straight side at the wall, towards -z
        turns = [math.pi*k/12 for k in range(13)]
        edge = [(wide/2*math.cos(t), deep*(.3 - math.sin(t))) for t in turns]
        plate = rotate(extrude(edge, -thick, 0, color), -90, 0)
        return translate(plate, y=high), .6
    power = dict(plain=None, rounded=6).get(style, 2)
    rows = [(high - thick, 0, 0, wide/2, deep/2),
            (high, 0, 0, wide/2, deep/2)]
    plate = sections(rows, color, power=power, sides=6 if style == 'six'
                     else 24)
    return plate, dict(plain=1, rounded=.95).get(style, .68)


def drawers(
    count: int,
    x: float, low: float, high: float, front: float, wide: float,
    color: Color, knob: Color,
) -> list[Mesh]:
    "Drawer fronts over each other, with a handle each, at z = `front`."
    step, w = (high - low)/count, wide/2*.92
    parts = []
    for k in range(count):
        y = low + (k + .5)*step
        parts.append(box((x, y, front), (2*w, step*.86, .03), color))
        parts.append(box((x, y, front + .03), (w*.5, .02, .03), knob))
    return parts


def table_stand(
    g: Generator,
    wide: float, deep: float, high: float,
    color: Color,
) -> list[Mesh]:
    "Under a table: legs, a pedestal, two slabs, trestles, or crossed legs."
    style = choose(g, 'legs', 'legs', 'legs', 'pedestal', 'slabs', 'trestles',
                   'crossed')
    x, z = wide*.4, deep*.38
    if style == 'pedestal':
        return pedestal(g, high, min(wide, deep)*.42, color)
    if style == 'slabs':
        return both_sides([box((x, high/2, 0), (.05, high, deep*.85), color)])
    if style == 'trestles':
        return both_sides([box((x, high/2, 0), (.06, high, .1), color),
                           box((x, .03, 0), (.08, .06, deep*.8), color)]) + [
            box((0, high*uniform(g, .2, .5), 0), (2*x, .08, .04), color)]
    if style == 'crossed':
        return both_sides([tube([(x, 0, -s*z), (x, high, s*z)], .03, color, 4)
                           for s in (1, -1)])
    legs = four_legs(g, wide, deep, high, color, uniform(g, .018, .05))
    apron = uniform(g, .05, .12)
    if chance(g, .5):
        rail = wide*.9, apron, deep*.85
        legs.append(box((0, high - apron/2, 0), rail, color))
    return legs


def table_parts(g: Generator) -> list[Mesh]:
    "A dining, coffee or side table, or a desk."
    wide, high = uniform(g, .6, 1.9), uniform(g, .35, .8)
    deep = wide*uniform(g, .45, 1)
    thick, wood = uniform(g, .02, .06), material(g, 'wood', 'paint')
    legs = choose(g, wood, material(g, 'metal', 'wood'))
    under = high - thick
    top, share = table_top(g, wide, deep, high, thick, wood)
    parts = [top, *table_stand(g, share*wide, share*deep, under, legs)]
    if chance(g, .2):
        shelf = share*wide*.8, .02, share*deep*.7
        parts.append(box((0, under*uniform(g, .2, .5), 0), shelf, wood))
    if share > .9 and chance(g, .4):  # a desk, its drawers on one side
        side, w = choose(g, -1, 1), wide*uniform(g, .2, .32)
        low = choose(g, .04, under*.6)
        x, d = side*(wide*.47 - w/2), deep*.85
        parts.append(box((x, (low + under)/2, 0), (w, under - low, d), wood))
        parts += drawers(choose(g, 1, 2, 3), x, low, under, d/2, w,
                         legs, DARK)
        parts.append(box((0, under*.7, -deep*.4), (wide*.9, under*.5, .02),
                         wood))
    return parts


def cabinet_column(
    g: Generator,
    x: float, low: float, high: float, wide: float, deep: float,
    body: Color, front: Color,
) -> list[Mesh]:
    "One column: a carcass behind a door, a glass door, drawers or shelves."
    style = choose(g, 'door', 'door', 'glass', 'drawers', 'shelves')
    y, tall = (low + high)/2, high - low
    if style != 'shelves':
        parts = [box((x, y, 0), (wide, tall, deep), body)]
        if style == 'drawers':
            return parts + drawers(choose(g, 2, 3, 4, 5), x, low, high,
                                   deep/2 + .01, wide, front, DARK)
        parts.append(box((x, y, deep/2 + .01), (wide*.94, tall*.96, .03),
                         front))
        if style == 'glass':
            parts.append(box((x, y, deep/2 + .02), (wide*.7, tall*.8, .03),
                             GLASS))
        hinge, knob = choose(g, -1, 1)*wide*.38, low + tall*uniform(g, .4, .6)
        return parts + [box((x + hinge, knob, deep/2 + .04), (.025, .12, .04),
                            DARK)]
    thick, n = .025, choose(g, 2, 3, 4)
    boards = [box((x, low + tall*k/n, 0), (wide, thick, deep), body)
              for k in range(n + 1)]
    walls = [box((x + s*(wide - thick)/2, y, 0), (thick, tall, deep), body)
             for s in (1, -1)]
    return [*boards, *walls, box((x, y, -deep*.48), (wide, tall, .02), front)]


def cabinet_parts(g: Generator) -> list[Mesh]:
    "A wardrobe, sideboard, chest of drawers, bookcase or dresser."
    high = choose(g, uniform(g, .5, 1), uniform(g, 1, 2))
    deep = uniform(g, .3, .6)
    wide, columns = uniform(g, .4, 1.6), choose(g, 1, 2, 2, 3)
    body = material(g, 'wood', 'paint')
    front = choose(g, tuple(.8*c for c in body), material(g, 'wood', 'paint'))
    foot = choose(g, 0., uniform(g, .05, .2))
    cuts = [uniform(g, .7, 1.3) for _ in range(columns)]
    drop = choose(g, 0., 0., uniform(g, .2, .5))*high*(columns > 1)
    parts, x = [], -wide/2
    for k, cut in enumerate(cuts):
        w = wide*cut/sum(cuts)
        top = high - drop*(k == 0)
        parts += cabinet_column(g, x + w/2, foot, top, w, deep, body, front)
        parts.append(box((x + w/2, top + .01, .01), (w, .03, deep*1.06),
                         body))
        x += w
    if foot and chance(g, .6):
        parts += four_legs(g, wide, deep, foot + .01,
                           material(g, 'metal', 'wood'),
                           .025)
    elif foot:
        parts.append(box((0, foot/2, -.02), (wide*.94, foot, deep*.9), DARK))
    if high < .9 and not drop and chance(g, .3):  # a dresser's upper part
        up = uniform(g, .4, .8)
        parts += cabinet_column(g, 0, high + .02, high + up, wide*.96,
                                deep*.5,
                                body, front)
    return parts
