"""The network and the sample images that come with the package.

`Reconstructor.pretrained()` loads the network; this module says what it was
trained on, where the samples are, and whether a mesh fits its image.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core import read_json

if TYPE_CHECKING:   # commands look for a sample before torch is imported
    from torch import Tensor

    from .mesh import Mesh

__all__ = ['MaskFit', 'fit_mask', 'pretrained_facts', 'sample_images']

_HERE = Path(__file__).parent
_GUESS = 1.3   # pixels between outlines from which on a mesh is a guess


def sample_images() -> dict[str, Path]:   # name -> PNG with alpha
    "Images of built-in objects that the network has not seen in training."
    return {path.stem: path for path in sorted((_HERE/'samples').glob('*.png'))}


def pretrained_facts() -> dict[str, Any]:
    "Of the network: families, objects, iterations, test IoU, command."
    return read_json(_HERE/'weights'/'about.json')


@dataclass(frozen=True)
class MaskFit:
    "How well a mesh gives back the mask of the image that it was made of."
    azimuth: float   # degrees, of the viewpoint where it fits best
    iou: float       # of the two silhouettes from there
    offset: float    # mean distance of their outlines, pixels

    @property
    def guess(self) -> bool:
        "Whether the image is probably unlike those that the network knows."
        return self.offset > _GUESS


def fit_mask(
    mesh: 'Mesh',
    mask: 'Tensor',       # (S, S) in [0, 1], as the network saw it
    azimuths: int = 72,   # viewpoints to try, all around
) -> MaskFit:
    """Compare a mesh's silhouette with its image, from the best azimuth.

    A network that knows what it sees predicts a mesh that gives the mask back
    from one of the viewpoints of training; where it guesses, none fits. The
    area that differs, divided by the length of the outline, is the offset: an
    IoU would be low for whatever is thin.
    """
    import torch

    from .camera import viewpoint_ring
    from .render import SoftRenderer
    turns = torch.arange(azimuths)*(360/azimuths)
    views = viewpoint_ring()[:1].repeat(azimuths, 1)
    views[:, 2] = turns
    with torch.no_grad():
        vertices = mesh.vertices.expand(azimuths, -1, -1)
        rendered = SoftRenderer(mask.shape[-1], sigma=1e-5).silhouettes(
            vertices, mesh.faces, views)
    both = (rendered*mask).sum((1, 2))
    ious = both/((rendered + mask).sum((1, 2)) - both)
    best = int(ious.argmax())
    differing = float((rendered[best] - mask).abs().sum())
    return MaskFit(float(turns[best]), float(ious[best]),
                   differing/_outline_length(mask))


def _outline_length(mask: 'Tensor') -> float:
    "Pixels; the steps of a slanted line are 4/π times as long, in the mean."
    from torch.nn.functional import pad
    framed = pad(mask, (1, 1, 1, 1))
    steps = framed.diff(dim=0).abs().sum() + framed.diff(dim=1).abs().sum()
    return .785*float(steps)
