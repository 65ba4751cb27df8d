"A sphere that becomes an object, a few steps at a time."
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..camera import viewpoint_ring
from ..losses import laplacian_loss, silhouette_iou, uniform_laplacian
from ..mesh import Mesh, icosphere
from ..render import SoftRenderer, render_views


@dataclass(frozen=True)
class FitStep:
    "Where a fit stands."
    step: int
    mesh: Mesh
    iou: float   # mean over the views, of soft silhouettes and sharp masks


def fit_views() -> torch.Tensor:   # (9, 3) distance, elevation, azimuth
    "Eight viewpoints around an object, by turns from above and below, and its top."
    ring = viewpoint_ring(8)
    ring[1::2, 1] = -10.
    return torch.cat([ring, torch.tensor([[2.732, 89., 0.]])])


def fit_sphere(
    target: Mesh,           # in the unit cube
    steps: int = 100,       # of Adam
    every: int = 4,         # steps between two that are shown
    smooth: float = .2,     # weight of the Laplacian
    sigmas: tuple[float, float] = (1e-3, 3e-5),   # first and last, NDC²
) -> Iterator[FitStep]:     # first the sphere, last what has become of it
    "Fit a sphere of 642 vertices to the silhouettes of an object (chapter 5)."
    sphere, views = icosphere(3), fit_views()
    masks = (render_views(target, views, 64, 1)[:, 3] > 0).float()
    laplacian = uniform_laplacian(sphere.faces, len(sphere.vertices))
    vertices = (.35*sphere.vertices).requires_grad_()
    adam = torch.optim.Adam([vertices], lr=.01)
    for step in range(steps + 1):
        sigma = sigmas[0]*(sigmas[1]/sigmas[0])**(step/steps)
        soft = SoftRenderer(64, sigma).silhouettes(
            vertices.expand(len(views), -1, -1), sphere.faces, views)
        iou = silhouette_iou(soft, masks).mean()
        if step % every == 0 or step == steps:
            yield FitStep(step, Mesh(vertices.detach().clone(), sphere.faces),
                          iou.item())
        if step == steps: return
        adam.zero_grad()
        (1 - iou + smooth*laplacian_loss(vertices[None], laplacian)).backward()
        adam.step()
