import base64
import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch.testing import assert_close

from ssr_nb.display import (GREY, figure_png, mesh_png, png_bytes,
                            straight_alpha, tinted)
from ssr_nb.mesh import MESH_VIEWS, Mesh, icosphere


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png), formats=('PNG',)))


def letter():
    "A flat F, read from +z."
    bars = [(0, 0, .5, 3), (.5, 2.5, 2, 3), (.5, 1.2, 1.5, 1.7)]
    corners = [[(a, b, 0), (c, b, 0), (c, d, 0), (a, d, 0)] for a, b, c, d in bars]
    faces = [[4*k + i for i in f] for k in range(3) for f in ((0, 1, 2), (0, 2, 3))]
    return Mesh(torch.tensor(corners).float().flatten(0, 1), faces)


def test_colours_in_a_file_are_not_multiplied_by_alpha():
    half = np.full((4, 1, 1), 128, np.uint8)
    assert straight_alpha(half).ravel().tolist() == [255, 255, 255, 128]
    assert straight_alpha(np.zeros((4, 1, 1), np.uint8)).max() == 0
    full = np.full((2, 4, 3, 3), 255, np.uint8)
    full[:, :3] = 77
    assert np.array_equal(straight_alpha(full), full)


def test_pixels_survive_a_png_file():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 7), np.uint8)
    assert np.array_equal(decoded(png_bytes(pixels)), pixels.transpose(1, 2, 0))
    assert decoded(png_bytes(pixels[:3])).shape == (5, 7, 3)


def test_a_tinted_mesh_has_the_same_shape_in_one_colour():
    mesh = tinted(icosphere(0), '#ff8000')
    assert_close(mesh.vertices, icosphere(0).vertices)
    assert_close(mesh.vertex_colors[7], torch.tensor([1, 128/255, 0]))


def test_a_figure_becomes_a_png_of_its_size():
    assert decoded(figure_png(Figure((2, 1)), dpi=50)).shape[:2] == (50, 100)


def test_a_mesh_is_shown_as_an_eye_sees_it_and_fills_the_frame():
    alpha = decoded(mesh_png(letter(), 64))[..., 3] > 128
    rows, columns = alpha.any(1).nonzero()[0], alpha.any(0).nonzero()[0]
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) > 40
    assert rows[0] > 0 and rows[-1] < 63 and columns[0] > 0 and columns[-1] < 63
    left, right = np.array_split(alpha[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1], 2, 1)
    assert left.sum() > 1.3*right.sum()     # the stem of the F is on the left
    top, bottom = np.array_split(right, 2)
    assert top.sum() > 2*bottom.sum()


def test_a_mesh_without_colours_is_shown_grey_and_one_with_colours_in_them():
    grey = [int(GREY[i:i + 2], 16) for i in (1, 3, 5)]
    for mesh, hue in (icosphere(1), grey), (tinted(icosphere(1), '#cc0000'), (204, 0, 0)):
        pixels = decoded(mesh_png(mesh, 32)).reshape(-1, 4)
        inside = pixels[pixels[:, 3] == 255][:, :3].astype(float)
        assert np.abs(inside/inside.max(1, keepdims=True) - np.array(hue)/max(hue)).max() < .03


@pytest.mark.parametrize('scale', [1e-3, 1., 1e6])
def test_the_picture_does_not_depend_on_size_and_place(scale):
    moved = Mesh(letter().vertices*scale + scale, letter().faces)
    here, there = (decoded(mesh_png(m, 32)).astype(int) for m in (letter(), moved))
    assert np.abs(here - there).mean() < 1


def test_a_mesh_as_the_last_line_of_a_cell_has_a_picture_and_its_text():
    bundle = icosphere(1)._repr_mimebundle_()
    assert bundle['text/plain'] == repr(icosphere(1))
    assert decoded(base64.b64decode(bundle['image/png'])).shape == (256, 256, 4)


def test_another_room_can_add_a_view(monkeypatch):
    monkeypatch.setitem(MESH_VIEWS, 'count', lambda mesh: {'text/x-count': str(len(mesh.faces))})
    assert icosphere(1)._repr_mimebundle_()['text/x-count'] == '80'


def test_a_mesh_in_one_point_has_no_picture_and_no_error():
    assert 'image/png' not in Mesh(torch.zeros(3, 3), [[0, 1, 2]])._repr_mimebundle_()
