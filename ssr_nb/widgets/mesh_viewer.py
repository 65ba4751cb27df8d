"A mesh to turn, what the rasterizer makes of it, and where its vertices want to go."
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from ..camera import camera_axes, eye_from_angles
from ..core import InputError
from ..display import straight_alpha, tinted
from ..losses import silhouette_iou_loss
from ..mesh import Mesh, face_vertices, icosphere, normalize, vertex_normals
from ..meshio import load_mesh
from ..render import Light, SoftRenderer, facing_normals, render_views, soft_rasterize
from ..shapes import make_shape
from .controls import (
    button,
    choice,
    encode,
    picture,
    read_upload,
    slider,
    toggle,
    upload,
)
from .fitting import fit_sphere
from .panel import Panel, one_thread, script

__all__ = ['MeshViewer']

MESH_FILES = '.obj', '.glb', '.off', '.ply', '.stl'
IMAGES = 'silhouette', 'color', 'depth', 'normals', 'against target'
MESH_COLOR, TARGET_COLOR = (1., .55, .1), (.1, .45, 1.)  # RGB; sum nearly white
OBJECTS = {'car': 4, 'plane': 6, 'chair': 0, 'own': -1}   # family: seed
LAMP = Light(.45, .6, (-.35, .6, -1.))   # beside the camera: right, up, forward
_ORANGE, _BLUE, _GREY = '#ff8c1a', '#1a73ff', '#b8b8b8'  # the same in HTML


@dataclass(frozen=True)
class Look:
    "From where, and how softly, a mesh is rendered."
    azimuth: float = 30.      # degrees
    elevation: float = 20.    # degrees
    distance: float = 2.732   # from the origin
    sigma: float = 1e-4       # edge softness, NDC²
    gamma: float = 1e-4       # softness of the depth order
    shows: str = 'silhouette' # one of IMAGES
    force: bool = False       # colour vertices by the gradient of the loss
    image_size: int = 64      # pixels

    def viewpoint(self) -> Tensor:  # (1, 3)
        return torch.tensor([[self.distance, self.elevation, self.azimuth]])

    def renderer(self) -> SoftRenderer:
        return SoftRenderer(self.image_size, self.sigma, self.gamma)


def corner_values(
    mesh: Mesh,
    look: Look,
) -> Tensor:     # (1, F, 3, 3) in [0, 1]
    "What the corners of faces carry: color, nearness or direction."
    vertices, view = mesh.vertices[None], look.viewpoint()
    if look.shows == 'color':
        bright = look.renderer().brightness(vertices, mesh.faces, view)
        own = torch.ones(()) if mesh.vertex_colors is None else \
            face_vertices(mesh.vertex_colors, mesh.faces)[None]
        return (bright*own).expand(1, -1, 3, 3).contiguous()
    if look.shows == 'depth':
        corners = look.renderer().corners(vertices, mesh.faces, view)
        near = .5 - (corners[..., 2:] - look.distance)/3**.5
        return near.clamp(0, 1).expand(-1, -1, -1, 3).contiguous()
    eye = eye_from_angles(*view.unbind(-1))
    normals = facing_normals(vertices, mesh.faces, eye)
    return (normals/2 + .5)[:, :, None].expand(-1, -1, 3, -1).contiguous()


@torch.no_grad()
def soft_image(
    mesh: Mesh,
    look: Look,
    target: Tensor | None = None,  # (S, S) mask, for 'against target'
) -> np.ndarray:                   # (S, S, 3) uint8
    "What the rasterizer makes of a mesh, as colors."
    renderer, view = look.renderer(), look.viewpoint()
    if look.shows in ('silhouette', 'against target'):
        mask = renderer.silhouettes(mesh.vertices[None], mesh.faces, view)[0]
        rgb = mask[..., None].expand(-1, -1, 3)
        if look.shows == 'against target' and target is not None:
            both = torch.stack([mask, target.to(mask)], -1)
            rgb = both @ mask.new_tensor([MESH_COLOR, TARGET_COLOR])
    else:
        corners = renderer.corners(mesh.vertices[None], mesh.faces, view)
        rgba = soft_rasterize(corners, corner_values(mesh, look),
                              image_size=look.image_size, sigma=look.sigma,
                              gamma=look.gamma)
        rgb = (rgba[0, :3]*rgba[0, 3:]).permute(1, 2, 0)
    return (255*rgb.clamp(0, 1)).round().byte().numpy()


def target_mask(
    target: Mesh | Tensor,  # an object, or its mask (S, S)
    look: Look,
) -> Tensor:                # (S, S) float 0 or 1, or as given
    "The mask that a silhouette should have, from the same viewpoint."
    if isinstance(target, Mesh):
        image = render_views(target, look.viewpoint(), look.image_size, 1)
        return (image[0, 3] > 0).float()
    side = look.image_size
    if tuple(target.shape) == (side, side): return target.float()
    raise InputError(f'target: expected a Mesh or a mask ({side}, {side}), '
                     f'found {tuple(target.shape)}')


def silhouette_force(
    mesh: Mesh,
    target: Tensor,          # (S, S) mask
    look: Look,
) -> tuple[float, Tensor]:   # IoU, (V, 3): minus the gradient of the loss
    "How far a silhouette is from its target, and where vertices should go."
    vertices = mesh.vertices[None].clone().requires_grad_()
    mask = look.renderer().silhouettes(vertices, mesh.faces, look.viewpoint())
    loss = silhouette_iou_loss(mask, target[None])
    gradient, = torch.autograd.grad(loss, vertices)
    return 1 - loss.item(), -gradient[0]


def force_colors(
    mesh: Mesh,
    force: Tensor,  # (V, 3)
) -> Tensor:        # (V, 3) RGB
    "Orange where a vertex should go out, blue where in, grey where nowhere."
    outward = (force*vertex_normals(mesh.vertices, mesh.faces)).sum(-1)
    share = outward.abs()/force.norm(dim=-1).max().clamp(min=1e-30)
    share = share.sqrt()[:, None]
    hue = torch.where(outward[:, None] > 0, outward.new_tensor([MESH_COLOR]),
                      outward.new_tensor([TARGET_COLOR]))
    return .72*(1 - share) + share*hue


def active_fraction(
    force: Tensor,  # (V, 3)
) -> float:         # in (0, 1]
    "How many vertices have more than a tenth of the largest force."
    strength = force.norm(dim=-1)
    return (strength >= .1*strength.max()).float().mean().item()


def force_arrows(
    force: Tensor,        # (V, 3)
    longest: float = .15, # of the unit cube
) -> Tensor:              # (V, 3)
    "Forces as displacements that can be seen."
    return force*(longest/force.norm(dim=-1).max().clamp(min=1e-30))


def painted(
    mesh: Mesh,
) -> Mesh:       # with vertex colors
    "The mesh, grey if it has no colors of its own."
    return tinted(mesh, '#cccccc') if mesh.vertex_colors is None else mesh


def mesh_tables(
    mesh: Mesh,              # painted
    arrows: Tensor | None,   # (V, 3) displacements
) -> dict[str, bytes]:       # name of a trait: its value
    "A mesh as the browser's typed arrays hold it."
    def table(values: Tensor, dtype: str) -> bytes:
        return values.detach().cpu().numpy().astype(dtype).tobytes()
    colors = painted(mesh).vertex_colors
    return {'vertices': table(mesh.vertices, '<f4'),
            'faces': table(mesh.faces, '<u4'),
            'colors': b'' if colors is None else table(colors, '<f4'),
            'arrows': b'' if arrows is None else table(arrows, '<f4')}


def camera_light(
    view: tuple[float, float, float],   # distance, elevation, azimuth
    mirrored: bool = False,
) -> Light:
    "A lamp that moves with the camera, as the browser has it."
    axes = camera_axes(eye_from_angles(*map(torch.tensor, view)))
    right, up, forward = LAMP.direction
    direction = torch.tensor([-right if mirrored else right, up, forward]) @ axes
    return replace(LAMP, direction=tuple(direction.tolist()))


def mesh_tile(
    mesh: Mesh,
    view: tuple[float, float, float],   # distance, elevation, azimuth
    size: int,                          # pixels
    samples: int = 2,                   # a pixel, each way
    mirrored: bool = False,
) -> bytes:                             # a PNG file
    "A mesh as the browser shows it, by Python."
    rgba = straight_alpha(render_views(
        mesh, torch.tensor([view]), size, samples, camera_light(view, mirrored)
    ).numpy()[0]).transpose(1, 2, 0)
    return encode(np.ascontiguousarray(rgba[:, ::-1] if mirrored else rgba))


class MeshPanel(Panel):
    "A panel with a mesh to turn."
    azimuth = slider(145., -180., 180., 1., 'azimuth', '°')
    elevation = slider(20., -89., 89., 1., 'elevation', '°')
    distance = slider(2.732, 2., 6., .05, 'distance')
    solid = picture('mesh')  # rendered by Python, without WebGL only
    webgl = traitlets.Bool(True).tag(sync=True, state=True)
    lamp = traitlets.Dict(asdict(LAMP)).tag(sync=True)
    mirrored = traitlets.Bool(False).tag(sync=True)  # as an eye sees it
    vertices = traitlets.Bytes().tag(sync=True)  # (V, 3) float32
    faces = traitlets.Bytes().tag(sync=True)     # (F, 3) uint32
    colors = traitlets.Bytes().tag(sync=True)    # (V, 3) float32
    arrows = traitlets.Bytes().tag(sync=True)    # (V, 3) float32, or empty
    _esm = script('mesh')

    def hold(self, mesh: Mesh, arrows: Tensor | None = None) -> dict[str, bytes]:
        "What the browser needs to turn a mesh."
        self.held = painted(mesh)
        solid = b'' if self.webgl else self.solid_picture()
        return mesh_tables(self.held, arrows) | {'solid': solid}

    def solid_picture(self, samples: int = 1) -> bytes:
        "The mesh as the browser shows it, but for the arrows."
        return mesh_tile(self.held, (self.distance, self.elevation, self.azimuth),
                         192, samples, self.mirrored)

    def stills(self) -> dict[str, bytes]:
        return super().stills() | {'solid': self.solid_picture(samples=4)}


@dataclass(frozen=True)
class MeshScene:
    "All that the mesh viewer shows."
    mesh: Mesh             # with vertex colors
    pixels: np.ndarray     # (S, S, 3) uint8, what the rasterizer gives
    arrows: Tensor | None  # (V, 3), when forces are shown
    caption: str


def mesh_scene(
    mesh: Mesh,
    target: Mesh | Tensor,  # what the silhouette should be
    look: Look,
) -> MeshScene:
    "A mesh from one viewpoint: sharp, soft, and where its vertices should go."
    V, F = len(mesh.vertices), len(mesh.faces)
    if not look.force and look.shows != 'against target':
        return MeshScene(painted(mesh), soft_image(mesh, look), None,
                         f'{V:,} vertices, {F:,} faces')
    mask = target_mask(target, look)
    iou, force = silhouette_force(mesh, mask, look)
    pixels = soft_image(mesh, look, mask)
    caption = (f'IoU with the target {iou:.3f}; '
               f'{active_fraction(force):.0%} of {V:,} vertices have '
               'more than a tenth of the largest force')
    if not look.force: return MeshScene(painted(mesh), pixels, None, caption)
    colored = Mesh(mesh.vertices, mesh.faces, force_colors(mesh, force))
    return MeshScene(colored, pixels, force_arrows(force), caption)


def scene_legend(
    look: Look,
) -> list[dict[str, Any]]:   # as Panel.legend
    "What orange and blue mean in the image and on the mesh."
    groups = []
    if look.force:
        groups.append(dict(title='mesh', items=[
            (_ORANGE, 'vertex should move outwards'), (_BLUE, 'inwards'),
            (_GREY, 'no gradient')]))
    if look.shows == 'against target':
        groups.append(dict(title='image', items=[
            (_ORANGE, 'mesh only'), (_BLUE, 'target only'), ('#ffffff', 'both')]))
    return groups


class MeshViewer(MeshPanel):
    "A mesh to turn, its soft image, and the force on each vertex."
    shape = choice(tuple(OBJECTS), 'object')
    shows = choice(IMAGES, 'image')
    sigma = slider(1e-4, 1e-6, 1e-2, .1, 'sigma', log=True)
    gamma = slider(1e-4, 1e-6, 1e-1, .1, 'gamma', log=True)
    force = toggle(False, 'gradient at each vertex')
    frozen = toggle(False, 'hold the image while the mesh turns')
    soft = picture('what the rasterizer renders, 64×64 pixels', 300)
    steps = traitlets.List().tag(sync=True)   # film of a fit: (words, PNG)
    _esm = script('viewer')

    def __init__(
        self,
        mesh: Mesh | None = None,    # None: a built-in car
        target: Mesh | Tensor | None = None,  # None: the mesh itself
        image_size: int = 64,        # pixels of the soft image
        **state,                     # azimuth=…, sigma=…: see Look
    ):
        self.own, self.mesh = mesh, icosphere(0)   # the latter until `show`
        self.target, self.image_size = target, image_size
        self.view: tuple[float, float, float] | None = None
        self.held_shape = ''         # which object the mesh is, or was fitted to
        super().__init__(**dict(shape='car' if mesh is None else 'own') | state)
        self.hint = ('Drag the mesh to turn it, press fit to see a sphere become '
                     'it, or move sigma and watch the soft image.')
        self.glossary = {
            'sigma': 'blur of edges: at a distance of √sigma from an edge a face '
                     'covers a pixel by 27 % (the image is 2 wide)',
            'gamma': 'how softly the nearest face hides the others, in color',
            'gradient': 'an arrow is minus the gradient of 1 − IoU with the target '
                        'at a vertex; the target is the object itself, if no '
                        'other one is given',
            'IoU': 'the area that two silhouettes share, over the area of both'}

    def choose(self):
        "Take up the object that is chosen, if it is another one."
        if self.shape == self.held_shape: return
        if self.shape != 'own':
            self.mesh = make_shape(self.shape, torch.Generator().manual_seed(
                OBJECTS[self.shape]))
        elif self.own is not None: self.mesh = self.own
        else: raise InputError('own: no mesh yet; choose a file, or drop one')
        if self.held_shape: self.target = None
        self.held_shape, self.steps = self.shape, []

    def look(self) -> Look:
        "The sliders as a state."
        if not self.frozen or self.view is None:
            self.view = self.azimuth, self.elevation, self.distance
        azimuth, elevation, distance = self.view
        return Look(azimuth, elevation, distance, self.sigma, self.gamma,
                    self.shows, self.force, self.image_size)

    def show(self) -> dict[str, Any]:
        self.choose()
        target = self.mesh if self.target is None else self.target
        look = self.look()
        scene = mesh_scene(self.mesh, target, look)
        return self.hold(scene.mesh, scene.arrows) | {
            'soft': encode(scene.pixels), 'caption': scene.caption,
            'legend': scene_legend(look)}

    @button('fit a sphere to it')
    def fit(self):
        "A sphere becomes the target, in front of whoever is looking."
        target = self.mesh if self.target is None else self.target
        if not isinstance(target, Mesh):
            raise InputError('target: expected a Mesh, to fit to views from all '
                             'around; found a mask')
        self.target, film = normalize(target), []
        last = 100
        for at in fit_sphere(self.target, last):
            self.mesh = at.mesh
            if at.step % 12 == 4 or at.step == last:
                view = self.distance, self.elevation, self.azimuth
                with one_thread(): tile = mesh_tile(painted(at.mesh), view, 96)
                film.append((f'step {at.step}, IoU {at.iou:.2f}', tile))
            self.draw()
            with self.hold_sync():
                self.progress, self.steps = at.step/last, list(film)
                self.caption = (f'step {at.step} of {last}: mean IoU of the '
                                f'silhouettes from nine sides {at.iou:.3f}')
        self.progress = -1.

    @button('show the object')
    def restore(self):
        "Back to the object, before any fit."
        if not self.steps: return
        target, self.held_shape = self.target, ''
        self.target = target if self.shape == 'own' else None
        self.draw()

    @upload('mesh', MESH_FILES)
    def load(self, name: str, content: bytes):
        "Show the mesh of a file, scaled into the unit cube."
        self.own = normalize(read_upload(name, content, MESH_FILES, load_mesh))
        self.held_shape, self.target = '', None
        if self.shape == 'own': self.draw()
        self.shape = 'own'
