"Images against all views of labeled objects: S, Ŝ and what the paper's rule says."
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..camera import viewpoint_ring
from ..render import render_views
from ..rules import label_by_agreement
from ..shapes import make_shape
from ..siamvp import SiamVP, siamvp_loss, viewpoint_similarity

__all__ = ['Matches', 'add_image', 'built_in_matches', 'compare_images']


@dataclass(frozen=True)
class Matches:
    "N images against all M views of R labeled objects."
    siam: SiamVP
    images: Tensor      # (N, 4, S, S) uint8
    truth: Tensor       # (N,) viewpoint number, or -1: unknown
    references: Tensor  # (R, M, 4, S, S) uint8
    viewpoints: Tensor  # (M, 3) distance, elevation and azimuth in degrees
    rotation: float     # of Ŝ, degrees
    similarity: Tensor  # (N, R, M) S
    rotated: Tensor     # (N, R, M) Ŝ

    @property
    def azimuth(self) -> Tensor: return self.viewpoints[:, 2]


def compare_images(
    siam: SiamVP,
    images: Tensor,          # (N, 4, S, S) uint8
    truth: Tensor,           # (N,) viewpoint number, or -1: unknown
    references: Tensor,      # (R, M, 4, S, S) uint8, all views of R objects
    viewpoints: Tensor,      # (M, 3) of the views
    rotation: float = 45.,   # of Ŝ, degrees
) -> Matches:
    "S and Ŝ of every image against every reference."
    known = references[:, :, :3].flatten(0, 1)
    S, rotated = (viewpoint_similarity(siam, images[:, :3], known, angle)
                  .unflatten(1, references.shape[:2])
                  for angle in (0., rotation))
    return Matches(siam, images, truth, references, viewpoints, rotation,
                   S, rotated)


def add_image(
    matches: Matches,
    image: Tensor,      # (4, S, S) uint8, its viewpoint unknown
) -> Matches:           # with one row more
    "Compare one more image with the same references."
    m, unknown = matches, torch.tensor([-1])
    one = compare_images(m.siam, image[None], unknown, m.references,
                         m.viewpoints, m.rotation)
    return replace(m, images=torch.cat([m.images, one.images]),
                   truth=torch.cat([m.truth, one.truth]),
                   similarity=torch.cat([m.similarity, one.similarity]),
                   rotated=torch.cat([m.rotated, one.rotated]))


def small_siamvp(
    references: Tensor,   # (R, M, 4, S, S) uint8, the labeled objects
    steps: int = 150,     # of Adam
    seed: int = 0,
) -> SiamVP:
    "A narrow SiamVP on 32×32 images, taught in seconds."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        siam = SiamVP(32, width=16, features=256, kernels=(5, 4, 3))
    count, views = references.shape[:2]
    labels = (torch.arange(count).repeat_interleave(views),
              torch.arange(views).repeat(count))
    images = torch.nn.functional.interpolate(
        references[:, :, :3].flatten(0, 1)/255, size=(32, 32),
        mode='bilinear', antialias=True)
    adam = torch.optim.Adam(siam.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        loss, _ = siamvp_loss(siam, images, *labels, generator, pairs=0)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return siam.eval().requires_grad_(False)


def built_in_matches(
    category: str = 'plane',
    unlabeled: int = 6,       # objects
    labeled: int = 2,         # objects
    steps: int = 150,         # of SiamVP
    seed: int = 3,
) -> Matches:
    "Built-in objects, some labeled, and what a small SiamVP says of the rest."
    generator, ring = torch.Generator().manual_seed(seed), viewpoint_ring()
    views = torch.stack([render_views(make_shape(category, generator), ring)
                         for _ in range(labeled + unlabeled)])
    known, others = views[:labeled], views[labeled:]
    return compare_images(small_siamvp(known, steps, seed),
                          others.flatten(0, 1),
                          torch.arange(len(ring)).repeat(unlabeled),
                          known, ring)


@dataclass(frozen=True)
class Verdict:
    "What the rule says of one image."
    view: int      # the viewpoint it labels, or -1
    best: int      # argmax S
    again: int     # argmax Ŝ
    reason: str    # in words


def judge_row(
    similarity: Tensor,       # (M,) S of one image
    rotated: Tensor,          # (M,) Ŝ
    threshold: float = .5,    # τ
) -> Verdict:
    "The paper's rule on one image, and why it abstains."
    best, again = int(similarity.argmax()), int(rotated.argmax())
    view = int(label_by_agreement(similarity, rotated, threshold))
    doubts = [f'{name} is {row.max():.2f}, not above τ = {threshold:.2f}'
              for name, row in (('S', similarity), ('Ŝ', rotated))
              if not row.max() > threshold]
    if best != again:
        doubts.append(f'S picks view {best}, Ŝ picks view {again}')
    reason = '; '.join(doubts) if view < 0 else 'both are sure and agree'
    return Verdict(view, best, again, reason)


def azimuth_difference(
    azimuth: Tensor,     # (M,) degrees
    first,               # viewpoint numbers
    second,
) -> Tensor:             # degrees in [-180, 180)
    "From the second viewpoint to the first, the shorter way."
    return (azimuth[first] - azimuth[second] + 180) % 360 - 180


def view_name(
    matches: Matches,
    view: int,
) -> str:
    "A viewpoint by number and azimuth."
    azimuth = (matches.azimuth[view] + 180) % 360 - 180
    return f'view {view} (azimuth {azimuth:+.0f}°)'
