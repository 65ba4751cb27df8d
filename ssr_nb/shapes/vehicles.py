"Planes, cars and vessels."
import torch
from torch import Generator

from ..mesh import Mesh
from .primitives import (
    BLACK,
    DARK,
    GLASS,
    GLOW,
    MATERIALS,
    RED,
    WHITE,
    Color,
    both_sides,
    box,
    chance,
    choose,
    ellipsoid,
    extrude,
    lathe,
    loft,
    material,
    rotate,
    sections,
    translate,
    tube,
    uniform,
    wing,
)

__all__: list[str] = []


def fuselage(
    g: Generator,
    length: float, radius: float,
    color: Color,
) -> list[Mesh]:
    "A body with a pointed or blunt nose, a rising tail and a cockpit."
    blunt, rise = uniform(g, .3, .75), uniform(g, .2, .8)*radius
    high, half = radius*uniform(g, .9, 1.3), length/2
    rows = [(1, -.2, .05), (.94, -.1, blunt), (.8, 0, .85), (.55, 0, 1),
            (-.25, 0, 1), (-.65, .45, .65), (-.92, .9, .3), (-1, 1, .1)]
    rows = [(z*half, 0, y*rise, r*radius, r*high) for z, y, r in rows]
    z = half*uniform(g, .45, .82)
    canopy = radius*.6, high*.55, radius*uniform(g, 1, 2.2)
    return [sections(rows, color, axis=2, power=2),
            ellipsoid((0, high*.75, z), canopy, GLASS, 8)]


def engine(
    x: float, y: float, z: float, size: float,
    color: Color,
    propeller: bool,
) -> list[Mesh]:
    "A nacelle; a jet's mouth is dark, a propeller stands in front."
    rows = [(z - 3*size, x, y, .5*size, .5*size),
            (z - size, x, y, size, size),
            (z + size, x, y, .9*size, .9*size)]
    parts = [sections(rows, color, axis=2, power=2, sides=10)]
    if not propeller:
        mouth = (x, y, z + size), (1.3*size, 1.3*size, .1*size)
        return parts + [box(*mouth, BLACK)]
    blade = (x, y, z + 1.3*size)
    return parts + [box(blade, (.5*size, 5*size, .3*size), DARK),
                    box(blade, (5*size, .5*size, .3*size), DARK)]


def plane_tail(
    g: Generator,
    length: float, radius: float,
    color: Color,
) -> list[Mesh]:
    "Fin and tailplane: low, T, twin fins or V."
    style = choose(g, 'low', 'low', 'T', 'twin', 'V')
    z, y = -length/2, radius*.5
    span, tall = length*uniform(g, .13, .22), length*uniform(g, .1, .2)
    chord, sweep = length*uniform(g, .1, .16), length*uniform(g, .03, .12)
    root, chords = z + chord*1.1, (chord, chord*uniform(g, .4, .8))
    plate = 0, y, root
    if style == 'V':
        return both_sides([wing(plate, (span*.8, y + tall, root - sweep),
                                chords, .1, color)])
    if style == 'T': plate = 0, y + tall, root - sweep
    tip = span, plate[1], plate[2] - sweep*.6
    parts = both_sides([wing(plate, tip, chords, .1, color)])
    if style == 'twin':
        fin = wing((span, y - tall*.2, tip[2]),
                   (span, y + tall*.8, tip[2] - .03),
                   chords, .12, color)
        return parts + both_sides([fin])
    top = 0, y + tall, root - sweep
    return parts + [wing((0, 0, root + chord*.3), top, (chord*1.3, chord*.7),
                         .1, color)]


def plane_parts(g: Generator) -> list[Mesh]:
    "An airliner, propeller plane, glider, fighter or biplane."
    length, radius = 2., uniform(g, .06, .15)
    span, chord = uniform(g, .6, 1.25), uniform(g, .22, .45)
    sweep, lift = uniform(g, -.05, .5), uniform(g, -.03, .12)
    level = choose(g, -.6, 0, .9)*radius
    paint, trim = material(g, 'paint', 'metal'), material(g, 'paint', 'metal')
    z, taper = uniform(g, .1, .45), uniform(g, .3, .95)
    if chance(g, .15):
        chord, sweep, taper, span = .9, .7, .15, span*.6  # delta
    tip = span, level + lift, z - sweep
    main = wing((0, level, z), tip, (chord, chord*taper), .12, paint)
    parts = [*fuselage(g, length, radius, paint), *both_sides([main])]
    if chance(g, .1) and level < 0:  # a biplane and its struts
        up, x = radius*3, span*.6
        parts += both_sides([translate(main, y=up)])
        parts += both_sides([tube([(x, level, z - .12),
                                   (x, level + up, z - .12)],
                                  .012, trim, 4)])
    place = choose(g, 'nose', 'wing', 'wing', 'tail', 'none')
    size, prop = uniform(g, .03, .065), chance(g, .35)
    if place == 'nose': parts += engine(0, -radius*.1, .96, .05, trim, True)
    for k in range(choose(g, 1, 1, 2) if place == 'wing' else 0):
        x = span*(.32 + .3*k)
        y = level + lift*x/span - (0 if prop else size*1.2)
        parts += both_sides(engine(x, y, z - sweep*x/span + size, size, trim,
                                   prop))
    if place == 'tail':
        parts += both_sides(engine(radius + size, radius*.4, -.5, size, trim,
                                   False))
    return parts + plane_tail(g, length, radius, trim)


def wheels(
    x: float, front: float, rear: float, radius: float,
) -> list[Mesh]:
    "Four wheels, axles along x."
    rim = radius*.55
    parts = []
    for z in (front, rear):
        for r, w, color in ((radius, .2, BLACK), (rim, .22, (.7, .7, .72))):
            ends = [(x - w, radius, z), (x, radius, z)]
            parts.append(tube(ends, r, color, 12))
    return both_sides(parts)


def car_cabin(
    low: float, high: float, front: tuple, rear: tuple, wide: float,
    color: Color,
) -> list[Mesh]:
    "Windows between sills and roof; front and rear are z at sill and roof."
    (f0, f1), (r0, r1) = front, rear
    half = wide/2
    rows = [(low, 0, (f0 + r0)/2, half, (f0 - r0)/2),
            (high, 0, (f1 + r1)/2, half*.82, (f1 - r1)/2)]
    roof = box((0, high, (f1 + r1)/2), (wide*.83, .05, (f1 - r1)*1.04), color)
    return [sections(rows, GLASS), roof]


def car_parts(g: Generator) -> list[Mesh]:
    "A sedan, hatchback, estate, van, pickup, sports car or off-roader."
    style = choose(g, 'sedan', 'hatchback', 'estate', 'van', 'pickup',
                   'sports')
    length, wide = uniform(g, 3.6, 5), uniform(g, 1.6, 1.95)
    wheel, half = uniform(g, .28, .42), length/2
    sill = wheel + uniform(g, .35, .55)
    high = sill + uniform(g, .4, .6)*(.7 if style == 'sports' else 1)
    paint = material(g, 'paint', 'paint', 'metal')
    nose = .35 if style == 'van' else uniform(g, .5, .85)
    low, hood = wheel*.6, sill - uniform(g, .05, .2)*(style != 'van')
    front = half - nose - .15, half - nose - uniform(g, .45, .9)
    back = dict(sedan=(.55, 1.1), hatchback=(.1, .5), estate=(.06, .2),
                van=(.04, .1),
                pickup=(1.9, 2.05), sports=(.4, 1.3))[style]
    rear = tuple(b - half for b in back)
    if style == 'van': high += uniform(g, .3, .7)
    axles = half*uniform(g, .55, .68), -half*uniform(g, .52, .66)
    rows = [(low, 0, 0, wide*.48, half*.97),
            ((low + hood)/2, 0, 0, wide/2, half),
            (hood, 0, 0, wide*.49, half*.95)]
    parts = [sections(rows, paint, power=9, sides=16),
             sections([(hood - .1, 0, -nose/2, wide*.48, half - nose/2 - .05),
                       (sill, 0, -nose/2 - .06, wide*.46, half - nose/2
                        - .15)], paint),
             *car_cabin(sill - .02, high, front, rear, wide*.92, paint),
             *wheels(wide/2 + .01, *axles, wheel)]
    lamp, y = (.25, .12, .06), (low + hood)/2 + .08
    parts += both_sides([box((wide*.36, y, half*.985), lamp, GLOW),
                         box((wide*.36, y + .06, -half*.985), lamp, RED)])
    parts += car_extras(g, style, wide, half, sill, high)
    return parts


def car_extras(
    g: Generator,
    style: str,
    wide: float, half: float, sill: float, high: float,
) -> list[Mesh]:
    "Mirrors; sometimes a spoiler, roof rails, a spare wheel, a cargo bed."
    z = half*.3
    parts = both_sides([box((wide*.54, sill + .08, z), (.14, .12, .1), DARK)])
    if style == 'sports' or chance(g, .1):
        up = sill + uniform(g, .1, .25)
        parts.append(box((0, up, -half*.93), (wide*.9, .04, .25), DARK))
        parts += both_sides([box((wide*.35, (up + sill)/2 - .05, -half*.93),
                                 (.05, up - sill + .15, .1), DARK)])
    if style in ('estate', 'van', 'hatchback') and chance(g, .4):
        rail = [(wide*.36, high + .09, z - .3),
                (wide*.36, high + .09, -half*.75)]
        parts += both_sides([tube(rail, .03, DARK, 6)])
    if style in ('estate', 'hatchback') and chance(g, .25):
        spare = [(0, sill - .1, -half - .18), (0, sill - .1, -half + .05)]
        parts.append(tube(spare, .33, BLACK, 12))
    if style == 'pickup':
        wall = box((wide*.45, sill + .08, -half*.58), (.06, .35, half*.7),
                   DARK)
        parts += both_sides([wall])
        parts.append(box((0, sill + .08, -half*.92), (wide*.9, .35, .06),
                         DARK))
    return parts


def hull(
    g: Generator,
    length: float, wide: float, high: float,
    color: Color,
) -> list[Mesh]:
    "A hull with a sharp bow that rises, a broad stern, and a deck."
    bow, full = uniform(g, .1, .5), uniform(g, .55, .95)
    keel = uniform(g, .4, .9)
    rows = []
    for z, w, up in ((-1, .75, .1), (-.9, .9, .05), (-.2, 1, 0),
                     (.35, full, .1),
                     (.75, full*.6, .45), (1, .03, 1)):
        top = high*(1 + bow*up)
        rows.append((z*length/2, w*wide/2, top, up*high*.5*keel))
    rings = torch.tensor([[(-w, top, z), (w, top, z),
                           (w*.85, (top + low)/2, z),
                           (w*.3, low, z), (-w*.3, low, z),
                           (-w*.85, (top + low)/2, z)] for z, w, top,
                           low in rows])
    deck = [(y, 0, -.08*length, wide*.42, length*.36)
            for y in (high*.9, high*1.04)]
    return [loft(rings, color), sections(deck, MATERIALS['wood'][1], power=3)]


def sails(
    g: Generator,
    length: float, high: float,
) -> list[Mesh]:
    "One or two masts, each with a sail behind, and perhaps a jib at the bow."
    parts, masts = [], choose(g, 1, 1, 2, 3)
    tall, side = length*uniform(g, .7, 1.1), uniform(g, -.2, .2)
    cloth = choose(g, WHITE, material(g, 'fabric'))
    for k in range(masts):
        z, top = length*(.15 - .3*k), high + tall*(1 - .15*k)
        foot, boom = high*1.3, length*.28
        parts.append(tube([(0, 0, z), (0, top, z)], .012*length, DARK, 6))
        sheet = [(z, foot), (z, top), (z - boom*.4, (foot + top)/2),
                 (z - boom, foot)]
        parts.append(translate(rotate(extrude(
            [(-a + z, b) for a, b in sheet], -.01, .01, cloth), 90 + 60*side,
            1), z=z))
        if k == 0 and chance(g, .7):
            jib = [(0, foot), (length*.3, foot*.9), (0, top*.8)]
            parts.append(translate(rotate(extrude(jib, -.01, .01, cloth), -90,
                                          1),
                                   z=z + .03))
    return parts


def decks(
    g: Generator,
    length: float, wide: float, high: float,
) -> list[Mesh]:
    "A superstructure of shrinking layers with a dark band of windows."
    at, n = choose(g, -.25, -.05, .15)*length, choose(g, 1, 2, 3, 4)
    w, d, y = wide*uniform(g, .6, .85), length*uniform(g, .15, .4), high
    white, parts, step = choose(g, WHITE, material(g, 'paint')), [], wide*.25
    for _ in range(n):
        parts.append(box((0, y + step/2, at), (w, step, d), white))
        parts.append(box((0, y + step*.6, at + .01), (w*1.02, step*.3, d),
                         GLASS))
        y, w, d, at = y + step, w*.85, d*uniform(g, .6, .85), at - .02*length
    if chance(g, .6):
        funnel = uniform(g, .03, .07)*length
        parts.append(lathe([(funnel, 0), (funnel*.8, funnel*3)],
                           material(g, 'paint'), (0, y - .01, at - d*.2)))
    if chance(g, .5):
        parts.append(tube([(0, y, at), (0, y + length*.12, at)], .01*length,
                          DARK, 5))
    return parts


def cargo(
    g: Generator,
    length: float, wide: float, high: float,
) -> list[Mesh]:
    "A bridge at the stern and stacks of containers before it."
    tower = wide*uniform(g, .6, 1)
    bridge = box((0, high + tower/2, -length*.38),
                 (wide*.8, tower, length*.08), WHITE)
    parts, rows = [bridge], choose(g, 3, 4, 5)
    for k in range(rows):
        tall = wide*uniform(g, .1, .55)
        place = 0, high + tall/2, length*(-.27 + .6*k/rows)
        parts.append(box(place, (wide*.8, tall, length*.5/rows),
                         material(g, 'paint')))
    return parts


def vessel_parts(g: Generator) -> list[Mesh]:
    "A sailing boat, yacht, ferry, cargo ship, warship, boat, submarine."
    style = choose(g, 'sail', 'sail', 'decks', 'decks', 'cargo', 'war',
                   'boat',
                   'submarine')
    length, wide = 2., 2*uniform(g, .12, .28)
    high = wide*uniform(g, .35, .6)
    paint = material(g, 'paint', 'metal', 'wood')
    if style == 'submarine':
        r, z = wide*.4, uniform(g, 0, .4)
        rows = [(-1, .1), (-.7, .6), (-.3, .95), (.6, 1), (.85, .8), (1, .2)]
        rows = [(a, 0, 0, b*r, b*r) for a, b in rows]
        tower = [(0, 0, z, r*.35, r), (r*1.9, 0, z, r*.3, r*.8)]
        fins = wing((0, 0, -.75), (r*1.3, 0, -.85), (.15, .1), .1, DARK)
        return [sections(rows, paint, axis=2, power=2),
                sections(tower, DARK, power=2.5),
                *both_sides([fins]), rotate(fins, 90, 2)]
    parts = hull(g, length, wide, high, paint)
    if style == 'sail': parts += sails(g, length, high)
    if style == 'sail' and chance(g, .5):
        parts.append(box((0, high*1.15, -.25), (wide*.4, high*.5, .4), WHITE))
    if style in ('decks', 'war'): parts += decks(g, length, wide, high)
    if style == 'cargo': parts += cargo(g, length, wide, high)
    if style == 'war':
        for z in choose(g, (.5,), (.5, .35), (.5, -.6)):
            turret = (0, high*1.15, z), (wide*.4, wide*.25, .12)
            gun = [(0, high*1.25, z),
                   (0, high*1.4, z + .25*(1 if z > 0 else -1))]
            parts += [box(*turret, DARK), tube(gun, .015, DARK, 6)]
    if style == 'boat':
        parts.append(box((0, high, -.95), (wide*.2, high*.9, .12),
                         BLACK))  # motor
        parts += [box((0, high*1.1, z), (wide*.8, .04, .12), paint)
                  for z in (-.4, .1)]
        if chance(g, .5):
            parts.append(box((0, high*1.4, .25), (wide*.6, high*.5, .04),
                             GLASS))
    return parts
