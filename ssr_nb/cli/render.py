"ssr_render: an image of one mesh."
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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

    The image shows what an eye would see. (Images of data sets are mirrored:
    their camera is left-handed.) For example
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
    # three numbers, what the eye goes around and looks at
    target: tuple[float, float, float] = (0., 0., 0.)
    # degrees that the image is rotated counter-clockwise
    roll: float = 0.
    near: float = .01            # faces nearer to the eye are cut off there
    size: int = 256              # of the image, pixels
    # centre and scale the mesh for its bounding sphere to fill the image; auto:
    # where it is less than half as large as that, or would be cut
    fit: Literal['auto', 'always', 'never'] = 'auto'
    soft: Flag = False           # render with the soft rasterizer
    sigma: float = 1e-5          # softness of edges, with --soft
    gamma: float = 1e-4          # softness of the depth order, with --soft


def check_view(o: Render):
    "InputError naming the option that gives no image."
    for name, low, high in (('distance', 1e-3, 1e6), ('half_angle', .1, 89.),
                            ('elevation', -90., 90.), ('size', 1, 4096),
                            ('sigma', 1e-12, 1e3), ('gamma', 1e-12, 1e3),
                            ('azimuth', -1e6, 1e6), ('roll', -1e6, 1e6),
                            ('near', 1e-4, 1e6)):
        if not low <= (value := getattr(o, name)) <= high:
            flag = name.replace('_', '-')
            raise InputError(f'--{flag}: expected a number from {low:g} to '
                             f'{high:g}, found {value:g}')
    if not all(abs(value) <= 1e6 for value in o.target):
        raise InputError('--target: expected three numbers from -1e+06 to '
                         f'1e+06, found {o.target}')
    if o.out.suffix.lower() != '.png':
        raise InputError(f'--out: {o.out}: images are written as .png')
    check_file(o.mesh)
    check_out(o.out)


def fit_mesh(
    mesh: 'Mesh',
    o: Render,
) -> 'Mesh':
    "Make a mesh's bounding sphere fill the image if it is asked for or needed."
    from dataclasses import replace
    if o.fit == 'never': return mesh
    frame = .99*o.distance*math.sin(math.radians(o.half_angle))
    points = mesh.vertices.double()
    used = points[mesh.faces.unique()]
    target = points.new_tensor(o.target)
    middle = (used.amin(0) + used.amax(0))/2
    radius = (used - middle).norm(dim=1).max()
    if radius == 0: raise InputError(f'{o.mesh}: all in one point')
    whole = (used - target).norm(dim=1).max() <= frame
    if o.fit == 'auto' and whole and radius >= frame/2: return mesh
    if o.fit == 'auto': say('centred and scaled to fill the image (see --fit)')
    fitted = (points - middle)*(frame/radius) + target
    return replace(mesh, vertices=fitted.float())


def render_image(
    mesh: 'Mesh',
    o: Render,
) -> 'np.ndarray':   # (4, S, S) uint8
    "The image that the options ask for, as an eye sees it."
    import torch

    from ..render import SoftRenderer, render_views
    view = torch.tensor([[o.distance, o.elevation, o.azimuth]])
    camera: dict[str, Any] = dict(half_angle=o.half_angle, near=o.near,
                                  target=o.target, roll=-o.roll)  # mirrored
    if o.soft:
        far = 2*(o.distance + float(mesh.vertices.norm(dim=1).max()))
        renderer = SoftRenderer(o.size, sigma=o.sigma, gamma=o.gamma,
                                far=max(100., far), **camera)
        if mesh.texture is not None and mesh.uvs is not None and mesh.face_uvs is not None:
            rendered = renderer.textured(mesh.vertices[None], mesh.faces, view,
                                         mesh.texture, mesh.uvs, mesh.face_uvs)[0]
            rendered[:3] *= rendered[3:]     # premultiplied, as all images are
        else:
            colors = mesh.vertex_colors
            rendered = renderer(mesh.vertices[None], mesh.faces, view,
                                None if colors is None else colors[None])[0]
        pixels = (255*rendered).round().byte()
    else: pixels = render_views(mesh, view, o.size, **camera)[0]
    if not pixels[3].any(): say('nothing of the mesh is in the image')
    return pixels.flip(-1).numpy()   # the camera is left-handed, an eye is not


@command('ssr_render')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "One mesh in, one image out."
    o = parse(Render, words, 'ssr_render')
    check_view(o)
    from ..display import png_bytes, straight_alpha
    from ..meshio import load_mesh
    mesh = fit_mesh(load_mesh(o.mesh), o)
    image = png_bytes(straight_alpha(render_image(mesh, o)))
    with atomic_write(o.out) as temporary: Path(temporary).write_bytes(image)
    say(f'{o.out}: {o.size} × {o.size} pixels')


if __name__ == '__main__': sys.exit(main())
