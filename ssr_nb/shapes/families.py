"The thirteen families, and one function that makes an object of any of them."
from collections.abc import Callable

from torch import Generator

from ..core import InputError
from ..mesh import Mesh, normalize
from .cases import cabinet_parts, table_parts
from .devices import display_parts, phone_parts, speaker_parts
from .lamps import lamp_parts
from .primitives import merge
from .rifles import rifle_parts
from .seats import bench_parts, chair_parts, sofa_parts
from .vehicles import car_parts, plane_parts, vessel_parts

__all__ = ['make_shape']

FAMILIES: dict[str, Callable[[Generator], list[Mesh]]] = dict(
    plane=plane_parts, bench=bench_parts, cabinet=cabinet_parts,
    car=car_parts, chair=chair_parts, display=display_parts, lamp=lamp_parts,
    speaker=speaker_parts, rifle=rifle_parts, sofa=sofa_parts,
    table=table_parts, phone=phone_parts, vessel=vessel_parts)


def make_shape(
    category: str,         # one of CATEGORIES, by name
    generator: Generator,  # every random choice comes from it
) -> Mesh:
    "A new object in the unit cube, longest side 0.95, its front towards +z."
    if category not in FAMILIES:
        there = ', '.join(FAMILIES)
        raise InputError(f'category: expected one of {there}, '
                         f'found {category!r}')
    return normalize(merge(FAMILIES[category](generator)))
