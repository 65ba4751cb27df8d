"""Images of meshes and figures as files; how a `Mesh` shows itself in a notebook."""
import base64
import io
import math

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from .camera import project
from .core import InputError
from .mesh import MESH_VIEWS, Mesh, normalize
from .render import Light, render_views

__all__ = ['straight_alpha', 'tinted', 'png_bytes', 'figure_png', 'mesh_png']

GREY = '#8a8f98'                    # of the truth in every figure
_VIEWPOINT = 2.732, 25., 145.       # distance, °, °: in front (+z) and aside
_LIGHT = Light(.6, .6, (-.3, .8, .7))


def straight_alpha(
    pixels: np.ndarray,   # (..., 4, H, W) uint8, colours times alpha
) -> np.ndarray:          # the same with the colours themselves, for files
    "Undo the premultiplication of RGB by alpha."
    pixels = np.asarray(pixels).astype(np.float32)
    alpha = pixels[..., 3:, :, :]
    color = 255*pixels[..., :3, :, :]/alpha.clip(min=1)
    straight = np.concatenate([color.clip(max=255), alpha], -3)
    return straight.round().astype(np.uint8)


def tinted(
    mesh: Mesh,
    color: str,         # as in HTML, #rrggbb
) -> Mesh:
    "The same shape in one colour."
    rgb = torch.tensor([int(color[i:i + 2], 16)/255 for i in (1, 3, 5)])
    rgb = rgb.to(mesh.vertices.device)
    return Mesh(mesh.vertices, mesh.faces, rgb.expand(len(mesh.vertices), 3))


def png_bytes(
    pixels: np.ndarray,   # (4, H, W) uint8 RGBA, straight alpha; or (3, H, W)
) -> bytes:
    "Pixels as a PNG file."
    rows = np.ascontiguousarray(np.moveaxis(np.asarray(pixels), 0, -1))
    buffer = io.BytesIO()
    Image.fromarray(rows).save(buffer, 'png')
    return buffer.getvalue()


def figure_png(
    figure: Figure,
    dpi: int = 130,
) -> bytes:
    "A matplotlib figure as a PNG file."
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=dpi)
    return buffer.getvalue()


def mesh_png(
    mesh: Mesh,         # any size, anywhere; grey if it has no colours
    size: int = 256,    # pixels, each way
) -> bytes:
    "A PNG file of a mesh as an eye sees it, from its front (+z) and aside."
    if mesh.vertex_colors is None and mesh.texture is None:
        mesh = tinted(mesh, GREY)
    mesh, view = normalize(mesh.to('cpu')), torch.tensor([_VIEWPOINT])
    reach = project(mesh.vertices.detach(), view[0], 45.)[:, :2].abs().max()
    half_angle = math.degrees(math.atan(1.05*float(reach)))  # fills the frame
    pixels = render_views(mesh, view, size, 4, _LIGHT, half_angle)
    mirrored = pixels[0].numpy()  # the camera is left-handed, an eye is not
    return png_bytes(straight_alpha(mirrored[..., ::-1]))


def _png_bundle(mesh: Mesh) -> dict[str, str]:
    "What a mesh adds to its own text in a notebook."
    try: picture = mesh_png(mesh)
    except InputError: return {}  # all in one point
    return {'image/png': base64.b64encode(picture).decode()}


MESH_VIEWS['png'] = _png_bundle
