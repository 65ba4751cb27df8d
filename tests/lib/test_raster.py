"The contract of ssr_nb.raster: options, checks, backends, precision."
import math
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from ssr_nb.core import InputError
from ssr_nb.raster import (
    RasterOptions,
    choose_backend,
    nearest_face,
    soft_rasterize,
    soft_silhouette,
)
from ssr_nb.render import SoftRenderer

triangle = torch.tensor([[-.5, -.5, 2], [.5, -.5, 2], [0., .5, 2]])


def random_faces(*shape, seed=0):
    "Triangles (*shape, 3, 3) that overlap the image, depths in [2, 3]."
    generator = torch.Generator().manual_seed(seed)
    faces = torch.rand(*shape, 3, 3, generator=generator)
    return faces*torch.tensor([2., 2, 1]) + torch.tensor([-1., -1, 2])


@pytest.mark.parametrize(('name', 'value'), [
    ('sigma', 0), ('sigma', 'small'), ('dist_eps', 1.), ('alpha', 'product'),
    ('alpha', ['prod']), ('far', .5), ('near', None), ('image_size', 0),
    ('image_size', 6.5), ('image_size', (4, 0)), ('gamma', math.nan),
    ('gamma', math.inf), ('eps', math.nan), ('background', (1, 2)),
    ('background', 'red'), ('background', .5), ('background', (0, 0, math.nan))])
def test_a_wrong_option_is_named(name, value):
    with pytest.raises(InputError, match=f'^{name}'): RasterOptions(**{name: value})
    with pytest.raises(InputError, match=f'^{name}'): SoftRenderer(**{name: value})
    with pytest.raises(InputError, match=f'^{name}'):
        soft_rasterize(triangle[None, None], **{name: value})


def test_options_are_checked_once_a_call(monkeypatch):
    made, check = [], RasterOptions.__post_init__
    def count(self):
        made.append(type(self).__name__)
        check(self)
    monkeypatch.setattr(RasterOptions, '__post_init__', count)
    faces = random_faces(1, 3)
    for call in (lambda: soft_silhouette(faces, image_size=4),
                 lambda: soft_rasterize(faces, image_size=4),
                 lambda: soft_rasterize(faces, faces, image_size=4, color='hard'),
                 lambda: nearest_face(faces, image_size=4)):
        for _ in range(2): call()
        assert made == ['RasterOptions']*2
        made.clear()
    renderer = SoftRenderer(4)
    fine = SoftRenderer(4, supersample=2)
    assert len(made) == 2
    made.clear()
    view = torch.tensor([[2.732, 0., 0]])
    renderer.silhouettes(triangle*.1, torch.arange(3)[None], view)
    renderer(triangle*.1, torch.arange(3)[None], view)
    assert not made
    fine(triangle*.1, torch.arange(3)[None], view)
    assert len(made) == 1


@pytest.mark.parametrize('backend', ['reference', 'cpu', 'auto'])
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_named(backend, value):
    wild = triangle[None, None].clone()
    wild[0, 0, 0, 0] = value
    for call in soft_silhouette, soft_rasterize, nearest_face:
        with pytest.raises(InputError, match='face_vertices.*1 NaN'):
            call(wild, backend=backend)
    with pytest.raises(InputError, match='face_colors.*1 NaN'):
        soft_rasterize(triangle[None, None], wild, backend=backend)


def test_wrong_shapes_and_kinds_are_named():
    with pytest.raises(InputError, match='face_vertices.*shape'):
        soft_silhouette(triangle)
    with pytest.raises(InputError, match='face_vertices.*float'):
        soft_silhouette(triangle[None].long())
    with pytest.raises(InputError, match='face_colors'):
        soft_rasterize(triangle[None, None], triangle[None])
    with pytest.raises(InputError, match='backend'):
        soft_silhouette(triangle[None, None], backend='gpu')
    faces = random_faces(2, 3)
    for wrong in torch.ones(2, 3, 4, 3), torch.ones(2, 4, 3, 3), faces.long():
        with pytest.raises(InputError, match='face_colors'): soft_rasterize(faces, wrong)


def test_importing_the_contract_imports_no_compiler():
    code = ("import sys, ssr_nb.raster\n"
            "assert not {'numba', 'triton'} & set(sys.modules)")
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('backend', ['reference', 'cpu'])
def test_a_wide_image_is_the_middle_of_the_square_one_with_its_blur(backend):
    render = lambda size: soft_silhouette(triangle[None, None], image_size=size,
                                          sigma=1e-2, backend=backend)
    square = render(32)
    assert_close(render((20, 32)), square[:, 6:26])
    assert_close(render((32, 20)), square[..., 6:26])


@pytest.mark.parametrize('backend', ['reference', 'cpu'])
def test_without_colours_a_white_object_stands_before_the_background(backend):
    faces = triangle[None, None]
    image = soft_rasterize(faces, background=(0, .5, 1), backend=backend)
    alpha = soft_silhouette(faces, backend=backend)
    assert_close(image[:, 3], alpha)
    assert_close(image[:, 1], alpha + .5*(1 - alpha))
    assert_close(image[:, 2], torch.ones_like(alpha))


def test_half_precision_is_rendered_in_float32():
    half = triangle[None, None].to(torch.bfloat16).requires_grad_()
    alpha = soft_silhouette(half, backend='reference')
    alpha.sum().backward()
    assert alpha.dtype == torch.float32 and half.grad.dtype == torch.bfloat16


def test_under_autocast_images_and_gradients_keep_their_precision():
    faces = random_faces(1, 4).requires_grad_()
    colors = torch.rand(1, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    colors.requires_grad_()
    options = dict(image_size=8, sigma=1e-2, gamma=1e-2, backend='reference')
    render = lambda: soft_rasterize(faces, colors, **options)
    with torch.autocast('cpu', torch.bfloat16): image = render()
    assert image.dtype == torch.float32
    assert_close(image, render(), atol=0, rtol=0)
    gradients = (torch.autograd.grad(p.square().sum(), (faces, colors))
                 for p in (image, render()))
    for half, full in zip(*gradients): assert_close(half, full, atol=0, rtol=0)


def test_the_fast_backend_refuses_what_it_cannot_render():
    with pytest.raises(InputError, match='backend.*float32'):
        soft_silhouette(triangle[None, None].double(), backend='cpu')


def test_double_precision_is_rendered_by_the_reference():
    assert choose_backend('auto', triangle.double()) == 'reference'
    assert choose_backend('auto', triangle) == 'cpu'
    assert soft_silhouette(triangle[None, None].double()).dtype == torch.float64


def test_an_empty_batch_gives_an_empty_batch():
    none = torch.zeros(0, 4, 3, 3)
    for backend in 'reference', 'cpu':
        assert soft_silhouette(none, backend=backend).shape == (0, 64, 64)
        assert soft_rasterize(none, none, backend=backend).shape == (0, 4, 64, 64)
