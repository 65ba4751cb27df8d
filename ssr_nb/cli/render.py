"ssr_render: an image of one mesh."
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from ..core import InputError, atomic_write
from .shell import File, Flag, check_file, check_out, command, parse, say

if TYPE_CHECKING:
    import numpy as np

    from ..mesh import Mesh

__all__: list[str] = []


@dataclass(frozen=True)
class Render:
    """Render a mesh from a viewpoint: by default its front, from above.

    For example
      ssr_render chair.obj -o front.png
      ssr_render chair.obj --azimuth 150 --elevation 20 -o view.png
    """
    mesh: Positional[File]       # .obj .glb .gltf .ply .stl .off …
    # PNG to write, transparent around the object
    out: Annotated[Path, arg(aliases=('-o',), metavar='FILE')]
    # degrees around the vertical. 180: the front (an eye at +z), 0: the back
    # (at -z), 90: an eye at +x. The 24 views of data sets are 0, -15, -30, …
    azimuth: float = 180.
    elevation: float = 30.       # degrees above the horizon
    distance: float = 2.732      # of the eye from the origin
    # of the camera, degrees: half its field of view
    half_angle: float = 15.
    size: int = 256              # of the image, pixels
    # scale into the unit cube; auto: where it does not lie in it
    fit: Literal['auto', 'always', 'never'] = 'auto'
    soft: Flag = False           # render with the soft rasterizer
    sigma: float = 1e-5          # softness of edges, with --soft
    gamma: float = 1e-4          # softness of the depth order, with --soft


def check_view(o: Render):
    "InputError naming the option that gives no image."
    for name, low, high in (('distance', 1e-3, 1e6), ('half_angle', .1, 89.),
                            ('elevation', -90., 90.), ('size', 1, 4096),
                            ('sigma', 1e-12, 1e3), ('gamma', 1e-12, 1e3),
                            ('azimuth', -1e6, 1e6)):
        if not low <= (value := getattr(o, name)) <= high:
            flag = name.replace('_', '-')
            raise InputError(f'--{flag}: expected a number from {low:g} to '
                             f'{high:g}, found {value:g}')
    if o.out.suffix.lower() != '.png':
        raise InputError(f'--out: {o.out}: images are written as .png')
    check_file(o.mesh)
    check_out(o.out)


def fit_mesh(
    mesh: 'Mesh',
    fit: str,      # auto, always or never
) -> 'Mesh':
    "Scale a mesh into the unit cube if it is asked for or needed."
    from ..mesh import normalize
    outside = mesh.vertices.abs().max() > .5
    if fit == 'never' or (fit == 'auto' and not outside): return mesh
    if fit == 'auto': say('scaled into the unit cube (see --fit)')
    return normalize(mesh)


def render_image(
    mesh: 'Mesh',
    o: Render,
) -> 'np.ndarray':   # (4, S, S) uint8
    "The image that the options ask for."
    import numpy as np
    import torch

    from ..render import SoftRenderer, render_views
    view = torch.tensor([[o.distance, o.elevation, o.azimuth]])
    if not o.soft: return np.asarray(render_views(
        mesh, view, o.size, half_angle=o.half_angle))[0]
    renderer = SoftRenderer(o.size, sigma=o.sigma, gamma=o.gamma,
                            half_angle=o.half_angle)
    colors = mesh.vertex_colors
    rendered = renderer(mesh.vertices[None], mesh.faces, view,
                        None if colors is None else colors[None])[0]
    return (255*rendered).round().byte().numpy()


@command('ssr_render')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "One mesh in, one image out."
    o = parse(Render, words, 'ssr_render')
    check_view(o)
    from ..display import png_bytes, straight_alpha
    from ..meshio import load_mesh
    mesh = fit_mesh(load_mesh(o.mesh), o.fit)
    image = png_bytes(straight_alpha(render_image(mesh, o)))
    with atomic_write(o.out) as temporary: Path(temporary).write_bytes(image)
    say(f'{o.out}: {o.size} × {o.size} pixels')


if __name__ == '__main__': sys.exit(main())
