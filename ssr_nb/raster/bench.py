"""How fast is the rasterizer here, beside others?

Cases are measured in turns, so that a busy moment hits all alike; reported are
medians. A rival is one function (scene, image_size, sigma, dist_eps) -> silhouettes
(B, S, S) with a gradient by the scene's vertices.
"""
import ctypes
import functools
import importlib
import importlib.util
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..camera import project, viewpoint_ring
from ..core import InputError
from ..mesh import face_vertices, icosphere
from . import soft_rasterize, soft_silhouette
from .reference import barycentric, cutoff, edge_distance

__all__ = ['BenchCase', 'bench']


class Scene(NamedTuple):
    "Meshes as cameras see them."
    vertices: Tensor  # (B, V, 3) NDC x, y and depth z
    faces: Tensor     # (F, 3)

    @property
    def corners(self) -> Tensor:  # (B, F, 3, 3)
        return face_vertices(self.vertices, self.faces).contiguous()


def spheres(
    batch: int = 8,   # images, from the first viewpoints of the ring
    level: int = 3,   # icosphere level: 20 * 4**level faces
) -> Scene:
    "Spheres as training sees them."
    mesh = icosphere(level)
    views = viewpoint_ring()[torch.arange(batch) % 24]
    vertices = mesh.vertices.mul(.5).expand(batch, -1, -1)
    return Scene(project(vertices, views), mesh.faces)


def sphere_faces(
    batch: int = 8,
    level: int = 3,
) -> Tensor:          # (batch, F, 3, 3)
    "The corners of `spheres`."
    return spheres(batch, level).corners


def interleaved(
    calls: dict,       # name -> function without arguments
    repeats: int = 5,  # rounds; the first, uncounted, warms up
) -> dict:             # name -> median seconds
    "Median times of several calls, measured in turns."
    times: dict = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn: times[name].append(time.perf_counter() - start)
    return {name: float(np.median(t)) for name, t in times.items()}


def forward_backward(
    render: Callable,  # tensors -> image
    *tensors: Tensor,  # the gradient reaches them
) -> Callable:
    "A call that renders and sends a gradient back."
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    def call(): return torch.autograd.grad(render(*leaves).sum(), leaves)
    return call


# --- rivals -------------------------------------------------------------------

def list_fragments(
    corners: Tensor,  # (F, 3, 2) projected faces
    size: int,        # height and width, pixels
    reach: float,     # how far around it a face can be felt
) -> tuple:           # face, row from below, column of each, (n,) int64
    "All pairs of a face and a pixel of its bounding box."
    low, high = corners.detach().aminmax(dim=1)
    low = ((low - reach + 1)*size/2 - .5).ceil().clamp(0, size).long()
    high = ((high + reach + 1)*size/2 + .5).floor().clamp(0, size).long()
    width, height = (high - low).unbind(-1)
    count = width*height
    face = torch.arange(len(corners)).repeat_interleave(count)
    place = torch.arange(len(face)) - (count.cumsum(0) - count)[face]
    return (face, low[face, 1] + place//width[face],
            low[face, 0] + place % width[face])


def fragment_silhouette(
    face_vertices: Tensor,   # (B, F, 3, 3) on the CPU
    image_size: int = 64,    # height and width, pixels
    sigma: float = 1e-4,     # edge softness, NDC²
    dist_eps: float = 1e-4,  # smallest probability that counts
) -> Tensor:                 # (B, S, S) coverage in [0, 1]
    "Soft silhouettes in plain torch, by a list of fragments."
    size, squared = image_size, cutoff(sigma, dist_eps)
    corners = face_vertices[..., :2].flatten(0, 1)
    face, row, column = list_fragments(corners, size, squared**.5)
    pixel = (2*torch.stack([column, row], -1) + 1 - size)/size
    d2 = edge_distance(pixel, corners[face])
    inside = (barycentric(pixel, corners[face]) >= 0).all(-1)
    x = torch.where(inside, d2, -d2)/sigma
    miss = torch.nn.functional.logsigmoid(-x)*(inside | (d2 < squared))
    image = face//face_vertices.shape[1]
    place = (image*size + size - 1 - row)*size + column
    total = d2.new_zeros(len(face_vertices)*size*size)
    return -torch.expm1(total.index_add(0, place, miss)).view(-1, size, size)


def by_fragments(
    scene: Scene, image_size: int, sigma: float, dist_eps: float,
) -> Tensor:
    "A list of fragments in plain torch: the same function."
    return fragment_silhouette(scene.corners, image_size, sigma, dist_eps)


def by_pytorch3d(
    scene: Scene, image_size: int, sigma: float, dist_eps: float,
) -> Tensor:
    "PyTorch3D: the same function of the 50 nearest faces of a pixel."
    renderer = importlib.import_module('pytorch3d.renderer.mesh')
    structures = importlib.import_module('pytorch3d.structures')
    mirror = scene.vertices.new_tensor([-1, 1, 1])  # its x points left
    faces = scene.faces.expand(len(scene.vertices), -1, -1)
    found, _, _, squared = renderer.rasterize_meshes(
        structures.Meshes(scene.vertices*mirror, faces), image_size,
        cutoff(sigma, dist_eps), 50,
        clip_barycentric_coords=True)  # or slanted faces lose soft pixels
    missed = torch.sigmoid(squared/sigma)  # negative inside
    return 1 - torch.where(found >= 0, missed, 1).prod(-1)


@functools.cache
def _deodr_mesh(faces: tuple, count: int):
    mesh = importlib.import_module('deodr.triangulated_mesh')
    return mesh.TriMesh(np.array(faces).reshape(-1, 3), np.zeros((count, 3)))


class _Deodr(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vertices, faces, size):
        deodr = importlib.import_module('deodr')
        # its back faces are ours: y points down
        mesh = _deodr_mesh(tuple(faces.flip(-1).flatten().tolist()), vertices.shape[1])
        triangles, none = mesh.faces.astype(np.uint32), np.zeros(len(mesh.faces), bool)
        ctx.scenes, images = [], []
        for v in vertices.detach().double().numpy():
            ij = (v[:, :2]*[1, -1] + 1)*size/2
            scene = deodr.Scene2D(
                faces=triangles, faces_uv=triangles, ij=ij, depths=v[:, 2],
                textured=none, uv=np.zeros((len(v), 2)), shade=np.zeros(len(v)),
                colors=np.ones((len(v), 1)), shaded=none,
                edgeflags=mesh.edge_on_silhouette(ij), height=size, width=size,
                nb_colors=1, texture=np.zeros((0, 0)),
                background_color=np.zeros(1), backface_culling=True,
                integer_pixel_centers=False)
            images.append(scene.render()[0][..., 0])
            ctx.scenes.append(scene)
        return torch.from_numpy(np.stack(images)).to(vertices.dtype)

    @staticmethod
    def backward(ctx, upstream):
        grads = []
        for scene, up in zip(ctx.scenes, upstream.double().contiguous().numpy()):
            scene.clear_gradients()
            scene.render_backward(up[..., None].copy(), make_copies=False)
            flat = np.array([1, -1])*scene.ij_b*scene.height/2
            grads.append(np.pad(flat, ((0, 0), (0, 1))))
        return torch.from_numpy(np.stack(grads)).to(upstream.dtype), None, None


def by_deodr(scene: Scene, image_size: int, sigma: float, dist_eps: float) -> Tensor:
    "deodr: hard faces, their outline smoothed over a pixel."
    return _Deodr.apply(scene.vertices, scene.faces, image_size)


class _Mitsuba(torch.autograd.Function):
    samples = 16  # a pixel

    @staticmethod
    def forward(ctx, vertices, faces, size):
        mi = importlib.import_module('mitsuba')
        mi.set_variant('llvm_ad_rgb')
        dr = importlib.import_module('drjit')
        dr.set_thread_count(torch.get_num_threads())
        black = mi.Properties()  # before a white sky
        black['bsdf'] = mi.load_dict({'type': 'diffuse', 'reflectance': 0.})
        mesh = mi.Mesh('mesh', vertices.shape[1], len(faces), props=black)
        params = mi.traverse(mesh)
        params['faces'] = faces.flatten().numpy().astype(np.uint32)
        params.update()
        look = mi.ScalarTransform4f().look_at([0, 0, 0], [0, 0, 1], [0, 1, 0])
        scene = mi.load_dict({
            'type': 'scene', 'mesh': mesh, 'sky': {'type': 'constant'},
            'integrator': {'type': 'direct_projective', 'sppi': 0},
            'sensor': {'type': 'perspective', 'fov': 30., 'near_clip': .1,
                       'to_world': look,
                       'film': {'type': 'hdrfilm', 'width': size, 'height': size,
                                'pixel_format': 'luminance',
                                'rfilter': {'type': 'box'}}}})
        params, images, ctx.parts = mi.traverse(scene), [], []
        key = 'mesh.vertex_positions'
        for seed, v in enumerate(vertices.detach()):
            params[key] = mi.Float(v.flatten().numpy())
            dr.enable_grad(params[key])
            params.update()
            image = mi.render(scene, params, spp=_Mitsuba.samples, seed=seed)
            images.append(1 - np.array(image)[..., 0])
            ctx.parts.append((image, params[key]))
        return torch.from_numpy(np.stack(images)).to(vertices.dtype)

    @staticmethod
    def backward(ctx, upstream):
        mi, dr = (importlib.import_module(n) for n in ('mitsuba', 'drjit'))
        grads = []
        for (image, positions), up in zip(ctx.parts, upstream.contiguous()):
            dr.backward(-dr.sum(image*mi.TensorXf(up[..., None].numpy()), axis=None))
            grads.append(np.array(dr.grad(positions)).reshape(-1, 3))
        return torch.from_numpy(np.stack(grads)).to(upstream.dtype), None, None


def by_mitsuba(scene: Scene, image_size: int, sigma: float, dist_eps: float) -> Tensor:
    "Mitsuba 3: hard faces, 16 random samples a pixel, unbiased edges."
    x, y, z = scene.vertices.unbind(-1)   # from the image back into the world
    t = math.tan(math.radians(15))        # its x points left
    world = torch.stack([-x*z*t, y*z*t, z], -1)
    return _Mitsuba.apply(world, scene.faces, image_size)


class Rival(NamedTuple):
    render: Callable  # (scene, image_size, sigma, dist_eps) -> (B, S, S)
    package: str      # that it needs


RIVALS = {'fragments': Rival(by_fragments, 'torch'),
          'pytorch3d': Rival(by_pytorch3d, 'pytorch3d'),
          'deodr': Rival(by_deodr, 'deodr'),
          'mitsuba': Rival(by_mitsuba, 'mitsuba')}


def missing_package(
    backend: str,  # a backend, or a key of RIVALS
) -> str | None:   # what it needs and is not here
    "The package that keeps a rival from being measured."
    package = RIVALS[backend].package if backend in RIVALS else 'torch'
    return None if importlib.util.find_spec(package) else package


# --- measuring ----------------------------------------------------------------

@dataclass(frozen=True)
class BenchCase:
    "One line of the benchmark."
    backend: str = 'cpu'      # a backend, or a key of RIVALS
    task: str = 'silhouette'  # or 'color'
    batch: int = 16           # images at a time
    faces: int = 1280         # of a sphere: 20 * 4**level
    image_size: int = 64      # height and width, pixels
    threads: int = 1          # of the CPU

    @property
    def device(self) -> str:
        return 'cuda' if self.backend == 'triton' else 'cpu'


def case_scene(
    case: BenchCase,
) -> Scene:
    "The spheres of a case, on the CPU. InputError when there are none."
    known = [20*4**level for level in range(8)]
    if case.faces not in known: raise InputError(
        f'faces: expected one of {str(known)[1:-1]}, found {case.faces}')
    return spheres(case.batch, known.index(case.faces))


def count_fragments(
    corners: Tensor,  # (B, F, 3, 3)
    image_size: int,
    sigma: float,
    dist_eps: float,
) -> int:
    "Pairs of a face and a pixel of its bounding box, cut-off included."
    size, reach = image_size, cutoff(sigma, dist_eps)**.5
    low, high = corners[..., :2].aminmax(dim=2)
    first = ((low - reach + 1)*size/2 - .5).ceil().clamp(0, size)
    last = ((high + reach + 1)*size/2 + .5).floor().clamp(0, size)
    return int((last - first).prod(-1).sum())


def case_calls(
    case: BenchCase,
    sigma: float,
    dist_eps: float,
) -> dict:           # 'forward', 'both' -> a call without arguments
    "What there is to measure in a case; a call waits for its device."
    scene = case_scene(case)
    vertices, faces = (t.to(case.device) for t in scene)
    if case.backend in RIVALS:
        rival = RIVALS[case.backend].render
        render = lambda v: rival(Scene(v, faces), case.image_size, sigma, dist_eps)
    else:
        def render(v):
            corners = face_vertices(v, faces)
            if case.task == 'silhouette':
                return soft_silhouette(
                    corners, image_size=case.image_size, sigma=sigma,
                    dist_eps=dist_eps, backend=case.backend)
            return soft_rasterize(
                corners, corners, image_size=case.image_size, sigma=sigma,
                dist_eps=dist_eps, backend=case.backend)
    def measured(call):
        def run():
            torch.set_num_threads(case.threads)
            call()
            if vertices.is_cuda: torch.cuda.synchronize()
        return run
    return {'forward': measured(lambda: render(vertices)),
            'both': measured(forward_backward(render, vertices))}


def resident(
    what: str,  # 'VmRSS': now; 'VmHWM': at most, since told to forget
) -> float:     # MB
    "Memory of this process, as Linux counts it."
    with open('/proc/self/status') as lines:
        line = next(line for line in lines if line.startswith(what))
    return int(line.split()[1])/1024


def peak_memory(
    call: Callable,        # without arguments
    device: str = 'cpu',
) -> float:                # MB; NaN where the system does not tell
    "The most memory that a call takes beyond what was taken before."
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - start)/2**20
    try:
        ctypes.CDLL(None).malloc_trim(0)  # or free pages would hide some
        with open('/proc/self/clear_refs', 'w') as forget: forget.write('5')
        before = resident('VmRSS')
    except (OSError, AttributeError): return math.nan
    call()
    return max(0., resident('VmHWM') - before)


def bench(
    cases: Iterable[BenchCase],
    repeats: int = 5,        # rounds, of which the median counts
    measure: Callable = interleaved,  # calls by name, rounds -> seconds by name
    sigma: float = 1e-4,     # edge softness, NDC²
    dist_eps: float = 1e-10, # smallest probability that counts
) -> list[dict]:             # one row a case
    "Cases measured in turns: milliseconds an image, fragments, memory."
    cases = list(cases)
    calls = {(case, passes): call for case in cases
             for passes, call in case_calls(case, sigma, dist_eps).items()}
    threads = torch.get_num_threads()
    try:
        times = measure(calls, repeats)
        memory = {c: peak_memory(calls[c, 'both'], c.device) for c in cases}
    finally: torch.set_num_threads(threads)
    each = {(case, p): 1e3*t/case.batch for (case, p), t in times.items()}
    scene = lambda c: (c.task, c.faces, c.image_size, c.threads)
    dense = {scene(c): each[c, 'both'] for c in cases if c.backend == 'reference'}
    count = lambda c: count_fragments(case_scene(c).corners, c.image_size, sigma,
                                      dist_eps)
    return [asdict(c) | {
        'forward, ms': each[c, 'forward'],
        'forward + backward, ms': each[c, 'both'],
        'times faster': dense.get(scene(c), math.nan)/each[c, 'both'],
        'million fragments/s': 1e-6*count(c)/times[c, 'both'],
        'peak, MB': memory[c]} for c in cases]
