"Whether a mesh fits its image; the network, the samples and what is said of them."
import torch

from ssr_nb.camera import viewpoint_ring
from ssr_nb.mesh import Mesh, normalize
from ssr_nb.pretrained import fit_mask
from ssr_nb.render import SoftRenderer
from ssr_nb.shapes import make_shape


def mask_of(mesh, view):
    "Silhouette from a viewpoint (3,)."
    return SoftRenderer(64, sigma=1e-5).silhouettes(mesh.vertices[None], mesh.faces, view[None])[0]


def test_a_mesh_fits_its_own_silhouette_from_where_it_was_seen_and_another_shape_less():
    chair, plane = (normalize(make_shape(name, torch.Generator().manual_seed(3))) for name in ('chair', 'plane'))
    for view in viewpoint_ring()[[1, 10]]:
        found = fit_mask(chair, mask_of(chair, view))
        assert (found.azimuth - view[2].item()) % 360 == 0 and found.iou > .93 and not found.guess
        other = fit_mask(plane, mask_of(chair, view))
        assert other.iou < .6 and other.guess


def test_the_fit_is_the_iou_of_the_two_silhouettes_from_the_azimuths_tried():
    cube = normalize(make_shape('cabinet', torch.Generator().manual_seed(0)))
    small = Mesh(.5*cube.vertices, cube.faces)
    view = viewpoint_ring()[0]
    mask, inner = mask_of(cube, view), mask_of(small, view)
    found = fit_mask(small, mask, azimuths=1)   # 0 alone
    assert found.azimuth == 0 and abs(found.iou - (inner*mask).sum().item()/mask.sum().item()) < .02
