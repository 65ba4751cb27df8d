"Whether a mesh fits its image; the network, the samples and what is said of them."
from pathlib import Path

import pytest
import torch
from PIL import Image

import ssr_nb
from ssr_nb.camera import viewpoint_ring
from ssr_nb.data import load_image
from ssr_nb.mesh import Mesh, normalize
from ssr_nb.pretrained import fit_mask, pretrained_facts, sample_images
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.render import SoftRenderer
from ssr_nb.shapes import CATEGORIES, make_shape


def mask_of(mesh, view):
    "Silhouette from a viewpoint (3,)."
    return SoftRenderer(64, sigma=1e-5).silhouettes(mesh.vertices[None], mesh.faces, view[None])[0]


def test_a_mesh_fits_its_own_silhouette_from_where_it_was_seen_and_another_shape_less():
    chair, plane = (normalize(make_shape(name, torch.Generator().manual_seed(3))) for name in ('chair', 'plane'))
    for view in viewpoint_ring()[[1, 10]]:
        found = fit_mask(chair, mask_of(chair, view))
        assert (found.azimuth - view[2].item()) % 360 == 0 and found.iou > .93 and not found.guess
        other = fit_mask(plane, mask_of(chair, view))
        assert other.iou < .6 and other.guess and other.offset > 5*found.offset


def test_the_fit_is_the_iou_of_the_two_silhouettes_from_the_azimuths_tried():
    cube = normalize(make_shape('cabinet', torch.Generator().manual_seed(0)))
    small = Mesh(.5*cube.vertices, cube.faces)
    view = viewpoint_ring()[0]
    mask, inner = mask_of(cube, view), mask_of(small, view)
    found = fit_mask(small, mask, azimuths=1)   # 0 alone
    assert found.azimuth == 0 and abs(found.iou - (inner*mask).sum().item()/mask.sum().item()) < .02


def test_the_offset_of_a_square_that_is_two_pixels_too_large_is_about_two_pixels():
    quad = torch.tensor([[-.2, -.2, 0.], [.2, -.2, 0], [.2, .2, 0], [-.2, .2, 0]])
    mesh = Mesh(quad, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    view = viewpoint_ring()[0]
    mask = mask_of(mesh, view)
    rows, columns = (mask > .5).any(1).nonzero()[:, 0], (mask > .5).any(0).nonzero()[:, 0]
    grown = torch.zeros(64, 64)
    grown[rows[0] - 2:rows[-1] + 3, columns[0] - 2:columns[-1] + 3] = 1
    assert 1.6 < fit_mask(mesh, grown, azimuths=1).offset*.785 < 2.4   # the outline has no slanted line


def test_the_network_of_the_package_says_what_it_is_and_is_small():
    folder = Path(ssr_nb.__file__).parent/'weights'
    assert (folder/'reconstructor.safetensors').stat().st_size < 8e6
    about, model = pretrained_facts(), Reconstructor.pretrained()
    assert {'families', 'objects', 'iterations', 'iou', 'licence', 'command'} <= set(about)
    assert set(about['iou']) == {*about['families'], 'all'} and set(about['families']) <= set(CATEGORIES)
    assert len(model.decoder.template) == 642 and model.architecture['colors']
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize('name', ['plane', 'car', 'chair', 'sofa'])
def test_the_mesh_of_a_sample_is_no_guess_and_upside_down_it_is_one(name):
    pixels = load_image(sample_images()[name]).flip(-1)
    model = Reconstructor.pretrained()
    def offset(image): return fit_mask(model.predict(image), image[3]/255).offset
    fit = fit_mask(model.predict(pixels), pixels[3]/255)
    assert not fit.guess and offset(pixels.flip(1)) > 1.2*fit.offset


def test_samples_come_with_the_package_and_stand_in_the_folder_of_the_project(root):
    for path in sample_images().values():
        image = Image.open(root/'samples'/path.name)
        assert image.mode == 'RGBA' and image.size == (256, 256) and image.getchannel('A').getextrema() == (0, 255)
    assert len(sample_images()) == 4
