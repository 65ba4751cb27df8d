"Matches without a taught network, which tests of two widgets share."
from dataclasses import replace

import torch

from ssr_nb.camera import viewpoint_ring
from ssr_nb.siamvp import SiamVP
from ssr_nb.widgets.similarity import compare_images


def noise_matches(objects=2, references=2, seed=0, S=None, rotated=None):
    "Matches of random pictures by an untaught SiamVP, or with the given tables."
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        siam = SiamVP(32, width=2, features=8, kernels=(5, 4, 3)).eval().requires_grad_(False)
    images = torch.randint(256, (objects*24 + references*24, 4, 64, 64), generator=generator, dtype=torch.uint8)
    known = images[objects*24:].unflatten(0, (references, 24))
    found = compare_images(siam, images[:objects*24], torch.arange(24).repeat(objects), known, viewpoint_ring())
    if S is not None: found = replace(found, similarity=S, rotated=S if rotated is None else rotated)
    return found
