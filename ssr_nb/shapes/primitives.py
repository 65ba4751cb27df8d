"Closed, coloured parts of which objects are built: lofts, boxes, tubes, wings."
import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ..mesh import Mesh

__all__: list[str] = []

Color = tuple[float, float, float]  # RGB in [0, 1]

def strip_faces(
    count: int,   # rings
    sides: int,   # points in each
) -> Tensor:      # (2*sides*count, 3) int64
    "Faces of a stack of rings; the two caps' centers are the last vertices."
    i = torch.arange(sides)
    j = (i + 1) % sides
    low = sides*torch.arange(count - 1)[:, None]
    a, b, c, d = low + i, low + j, low + sides + i, low + sides + j
    one, two = torch.stack([a, b, d], -1), torch.stack([a, d, c], -1)
    first, last = torch.tensor(count*sides), torch.tensor(count*sides + 1)
    end = sides*(count - 1)
    caps = [torch.stack([first.expand(sides), j, i], -1),
            torch.stack([last.expand(sides), end + i, end + j], -1)]
    return torch.cat([one.reshape(-1, 3), two.reshape(-1, 3), *caps])


def loft(
    rings: Tensor,  # (R, N, 3) points, all rings the same way around
    color: Color,
) -> Mesh:
    "A closed part through a stack of rings, its faces looking outward."
    vertices = torch.cat([rings.flatten(0, 1), rings[[0, -1]].mean(1)])
    faces = strip_faces(*rings.shape[:2])
    corners = (vertices - vertices.mean(0))[faces]
    if torch.linalg.det(corners).sum() < 0: faces = faces.flip(-1)
    return Mesh(vertices, faces, torch.tensor(color).expand_as(vertices))


SQUARE = torch.tensor([[-1., -1], [1, -1], [1, 1], [-1, 1]])

def superellipse(
    power: float,
    sides: int,
) -> Tensor:  # (sides, 2) points, half axes 1
    "Points of |u|^power + |v|^power = 1."
    angle = 2*math.pi*torch.arange(sides)/sides
    points = torch.stack([angle.cos(), angle.sin()], -1)
    return points/points.abs().pow(power).sum(-1, keepdim=True)**(1/power)


def sections(
    rows: Sequence[tuple],       # (position, center u, v, half size u, v)
    color: Color,
    axis: int = 1,               # of the stack; u, v are the others, in order
    power: float | None = None,  # of the superellipse; None is a rectangle
    sides: int = 12,
) -> Mesh:
    "A stack of rectangles or superellipses along an axis."
    ring = SQUARE if power is None else superellipse(power, sides)
    rows = torch.tensor(rows, dtype=torch.float32)[:, None]  # (R, 1, 5)
    u, v = (rows[..., 1:3] + rows[..., 3:5]*ring).unbind(-1)
    points = [u, v]
    points.insert(axis, rows[..., 0].expand_as(u))
    return loft(torch.stack(points, -1), color)


def box(
    center: tuple, size: tuple,  # x, y, z
    color: Color,
) -> Mesh:
    "A cuboid."
    (x, y, z), (w, h, d) = center, size
    return sections([(y - h/2, x, z, w/2, d/2), (y + h/2, x, z, w/2, d/2)],
                    color)


def lathe(
    profile: Sequence[tuple],  # (radius, y) from one end to the other
    color: Color,
    center: tuple = (0, 0, 0),
    sides: int = 12,
) -> Mesh:
    "A turned part: bottles, shades, wheels, domes; y is its axis."
    x, y, z = center
    rows = [(y + h, x, z, max(r, 1e-3), max(r, 1e-3)) for r, h in profile]
    return sections(rows, color, power=2, sides=sides)


def ellipsoid(
    center: tuple, radii: tuple,  # x, y, z
    color: Color,
    sides: int = 12,
) -> Mesh:
    "An ellipsoid of seven rings."
    (x, y, z), (a, b, c) = center, radii
    t = [math.pi*(k - 3)/6.4 for k in range(7)]
    rows = [(y + b*math.sin(s), x, z, a*math.cos(s), c*math.cos(s))
            for s in t]
    return sections(rows, color, power=2, sides=sides)


def tube(
    path: Sequence[tuple],             # points x, y, z
    radius: float | Sequence[float],   # one, or one a point
    color: Color,
    sides: int = 8,
) -> Mesh:
    "A round bar along a path that does not turn back on itself."
    path = torch.tensor(path, dtype=torch.float32)           # (R, 3)
    step = torch.nn.functional.normalize(path.diff(dim=0), dim=-1)
    along = torch.cat([step[:1], step[:-1] + step[1:], step[-1:]])
    along = torch.nn.functional.normalize(along, dim=-1)
    across = torch.eye(3)[step.abs().sum(0).argmin()].expand_as(along)
    u = torch.linalg.cross(along, across)
    u = torch.nn.functional.normalize(u, dim=-1)[:, None]
    v = torch.linalg.cross(along[:, None], u)
    circle = superellipse(2, sides)
    radius = torch.as_tensor(radius).expand(len(path))[:, None, None]
    return loft(path[:, None] + radius*(circle[:, :1]*u + circle[:, 1:]*v),
                color)


def extrude(
    outline: Sequence[tuple],  # (x, y) around; its mean sees all of it
    back: float, front: float, # z
    color: Color,
) -> Mesh:
    "A flat outline with a thickness."
    ring = torch.tensor(outline, dtype=torch.float32)
    ends = torch.tensor([back, front])[:, None, None].expand(2, len(ring), 1)
    return loft(torch.cat([ring.expand(2, -1, -1), ends], -1), color)


def wing(
    root: tuple, tip: tuple,      # leading edge x, y, z
    chords: tuple[float, float],  # root, tip; they run towards -z
    thickness: float,             # of the chord
    color: Color,
) -> Mesh:
    "A tapered wing or fin between two leading-edge points."
    ends = torch.tensor([root, tip], dtype=torch.float32)
    back = torch.tensor([0., 0, -1])
    span = ends[1] - ends[0]
    up = torch.linalg.cross(back, span)
    up = up/up.norm()
    t = thickness/2
    foil = torch.tensor([[0, 0], [.15, t*.7], [.4, t], [1, .1*t],
                         [1, -.1*t], [.4, -t], [.15, -t*.7]])
    ring = foil[:, :1]*back + foil[:, 1:]*up  # (7, 3)
    return loft(ends[:, None] + torch.tensor(chords)[:, None, None]*ring,
                color)


def merge(
    parts: Sequence[Mesh],
) -> Mesh:
    "One mesh of several, parts in order."
    counts = torch.tensor([0] + [len(p.vertices) for p in parts[:-1]])
    faces = [p.faces + n for p, n in zip(parts, counts.cumsum(0))]
    return Mesh(torch.cat([p.vertices for p in parts]), torch.cat(faces),
                torch.cat([p.vertex_colors for p in parts
                           if p.vertex_colors is not None]))   # all have


def translate(
    part: Mesh,
    x: float = 0, y: float = 0, z: float = 0,
) -> Mesh:
    "A part, moved."
    return Mesh(part.vertices + torch.tensor([x, y, z]), part.faces,
                part.vertex_colors)


def rotate(
    part: Mesh,
    degrees: float,  # counter-clockwise as seen from the axis's far end
    axis: int,       # 0, 1, 2 for x, y, z
) -> Mesh:
    "A part, turned about an axis through the origin."
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
    return Mesh(part.vertices @ turn.T, part.faces, part.vertex_colors)


def both_sides(
    parts: Sequence[Mesh],
) -> list[Mesh]:
    "Parts and their mirror images, left for right."
    flip = torch.tensor([-1., 1, 1])
    return [*parts, *(Mesh(p.vertices*flip, p.faces.flip(-1), p.vertex_colors)
                      for p in parts)]


def uniform(g: Generator, low: float, high: float) -> float:
    "A number between two."
    return low + (high - low)*torch.rand((), generator=g).item()

def choose(g: Generator, *options):
    "One of several."
    return options[int(torch.randint(len(options), (), generator=g))]

def chance(g: Generator, probability: float) -> bool:
    "Whether it happens."
    return torch.rand((), generator=g).item() < probability


MATERIALS = dict(
    wood=[(.55, .36, .2), (.72, .52, .32), (.38, .24, .14), (.85, .72, .52)],
    metal=[(.62, .63, .66), (.35, .36, .4), (.8, .8, .82), (.7, .58, .35)],
    fabric=[(.7, .25, .25), (.3, .45, .65), (.75, .7, .6), (.35, .5, .35),
            (.5, .35, .5)],
    paint=[(.8, .15, .15), (.15, .3, .7), (.9, .9, .9), (.85, .7, .1),
           (.2, .5, .3), (.55, .58, .62)])
BLACK, DARK, GLASS = (.12, .12, .13), (.22, .22, .24), (.25, .4, .5)
WHITE, GLOW, RED = (.95, .95, .93), (1., .9, .6), (.8, .1, .1)

def material(
    g: Generator,
    *kinds: str,  # of MATERIALS
) -> Color:
    "A color of a material, a little lighter or darker each time."
    light = uniform(g, .8, 1.15)
    chosen = choose(g, *MATERIALS[choose(g, *kinds)])
    return tuple(min(c*light, 1.) for c in chosen)
