"""Soft rasterization: one contract, three implementations.

| backend | module | renders | explained in chapter |
|---|---|---|---|
| `reference` | `raster.reference` | float32 and float64, any device | 03 |
| `cpu` | `raster.cpu` | float32 on a CPU, by Numba | A |
| `triton` | `raster.triton` | float32 on a GPU | B |

Each is a module with `silhouette`, `rasterize` and `nearest`, which take checked
tensors and a `RasterOptions`. A backend is imported on its first use.
"""
import importlib.util

import torch
from torch import Tensor

from ..checks import check_floats
from ..core import InputError, check_choice
from . import reference
from .options import RasterOptions

__all__ = ['RasterOptions', 'nearest_face', 'soft_rasterize', 'soft_silhouette']

BACKENDS = 'auto', 'reference', 'cpu', 'triton'
FARTHEST = 1e18  # coordinates whose squares stay finite in float32


def installed(
    package: str,
) -> bool:
    "Could a package be imported?"
    return importlib.util.find_spec(package) is not None


# torch.compiler.assume_constant_result, without importing the compiler
vars(installed)['_dynamo_marked_constant'] = True


def choose_backend(
    name: str,     # one of BACKENDS
    faces: Tensor, # what it will render
) -> str:          # 'reference', 'cpu' or 'triton'
    "The backend for a tensor. InputError for an unknown name."
    check_choice('backend', name, BACKENDS)
    where, dtype = faces.device.type, faces.dtype
    if name == 'cpu' and (where, dtype) != ('cpu', torch.float32):
        raise InputError(f"backend: 'cpu' renders float32 on the cpu, "
                         f'found {dtype} on {where}')
    if name != 'auto': return name
    if dtype == torch.float32:
        if where == 'cpu': return 'cpu'
        if where == 'cuda' and installed('triton'): return 'triton'
    return 'reference'


def backend_module(
    name: str,  # 'reference', 'cpu' or 'triton'
):
    "The module of a backend, imported on first use."
    if name == 'cpu':
        from . import cpu
        return cpu
    if name == 'triton':
        from . import triton
        return triton
    return reference


def check_faces(
    faces: Tensor,          # (..., F, 3, 3)
    colors: Tensor | None,  # (..., F, 3, 3)
):
    "InputError unless both are finite floats of one shape on one device."
    check_floats('face_vertices', faces, ..., 'F', 3, 3)
    if colors is None: return
    check_floats('face_colors', colors, ..., 'F', 3, 3)
    like = lambda t: (tuple(t.shape), t.device.type)
    if like(colors) != like(faces):
        raise InputError(f'face_colors: expected {like(faces)} as for '
                         f'face_vertices, found {like(colors)}')


def render(
    task: str,               # 'silhouette', 'rasterize' or 'nearest'
    options: RasterOptions,
    backend: str,            # one of BACKENDS
    faces: Tensor,           # (..., F, 3, 3) NDC x, y and depth z
    colors: Tensor | None = None,  # (..., F, 3, 3) RGB per corner
) -> Tensor:                 # (..., H, W) or (..., 4, H, W)
    "Check the tensors, then let the backend render them in float32 or 64."
    check_faces(faces, colors)
    lead = faces.shape[:-3]
    dtype = torch.promote_types(faces.dtype, torch.float32)
    flat = lambda t: t.to(dtype).reshape(lead.numel(), *t.shape[-3:])
    faces = flat(faces)
    name = choose_backend(backend, faces)
    if name != 'cpu':  # whose kernels do so themselves
        faces = faces.clamp(-FARTHEST, FARTHEST)
    module = backend_module(name)
    # bfloat16 cannot tell the columns of an image apart
    with torch.autocast(faces.device.type, enabled=False):
        if task == 'silhouette': image = module.silhouette(faces, options)
        elif task == 'nearest': image = module.nearest(faces.detach(), options)
        else:
            flat_colors = None if colors is None else flat(colors)
            image = module.rasterize(faces, flat_colors, options)
    return image.reshape(*lead, *image.shape[1:])


def soft_silhouette(
    face_vertices: Tensor,       # (B, F, 3, 3) NDC x, y and depth z
    *,
    image_size: int | tuple[int, int] = 64,  # pixels: one side, or (height, width)
    sigma: float = 1e-4,         # edge softness, NDC²
    dist_eps: float = 1e-4,      # smallest probability that counts
    near: float = 1.,            # nearest depth that is rendered
    far: float = 100.,           # farthest depth that is rendered
    backend: str = 'auto',       # 'reference', 'cpu', 'triton'
    distance: str = 'euclidean', # or 'barycentric', 'hard'
    alpha: str = 'prod',         # or 'sum', 'hard'
    cull_backfaces: bool = False,# leave faces out that look away
) -> Tensor:                     # (B, H, W) coverage in [0, 1]
    """Differentiable silhouettes. InputError names a wrong argument.

    `torch.compile(…, fullgraph=True)` takes it on a GPU, where it is a custom
    operator, and with backend='reference'. On a CPU 'auto' calls machine code
    by Numba, which the compiler cannot look into: the graph breaks there, and
    fullgraph=True is refused. Compiled code does not look for NaN and Inf."""
    options = RasterOptions(
        image_size, sigma, dist_eps=dist_eps, near=near, far=far,
        distance=distance, alpha=alpha, cull_backfaces=cull_backfaces)
    return render('silhouette', options, backend, face_vertices)


def soft_rasterize(
    face_vertices: Tensor,       # (B, F, 3, 3) NDC x, y and depth z
    face_colors: Tensor | None = None,  # (B, F, 3, 3) RGB per corner; None: white
    *,
    image_size: int | tuple[int, int] = 64,  # pixels: one side, or (height, width)
    sigma: float = 1e-4,         # edge softness, NDC²
    gamma: float = 1e-4,         # softness of the depth order
    dist_eps: float = 1e-4,      # smallest probability that counts
    near: float = 1.,            # nearest depth that is rendered
    far: float = 100.,           # farthest depth that is rendered
    background: tuple[float, float, float] = (0., 0., 0.),  # RGB
    backend: str = 'auto',       # 'reference', 'cpu', 'triton'
    distance: str = 'euclidean', # or 'barycentric', 'hard'
    alpha: str = 'prod',         # or 'sum', 'hard'
    color: str = 'softmax',      # or 'hard': the nearest face
    eps: float = 1e-3,           # the background's normalised depth
    cull_backfaces: bool = False,# leave faces out that look away
) -> Tensor:                     # (B, 4, H, W) RGBA
    "Differentiable images. InputError names a wrong argument."
    options = RasterOptions(
        image_size, sigma, gamma, dist_eps, near, far, background, distance,
        alpha, color, eps, cull_backfaces)
    return render('rasterize', options, backend, face_vertices, face_colors)


def nearest_face(
    face_vertices: Tensor,       # (B, F, 3, 3) NDC x, y and depth z
    *,
    image_size: int | tuple[int, int] = 64,  # pixels: one side, or (height, width)
    near: float = 1.,            # nearest depth that is rendered
    far: float = 100.,           # farthest depth that is rendered
    backend: str = 'auto',       # 'reference', 'cpu', 'triton'
    cull_backfaces: bool = False,# leave faces out that look away
) -> Tensor:                     # (B, H, W) int64 face number; -1: none
    "The face in front at every pixel. InputError names a wrong argument."
    options = RasterOptions(image_size, near=near, far=far,
                            cull_backfaces=cull_backfaces)
    return render('nearest', options, backend, face_vertices)
