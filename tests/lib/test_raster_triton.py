"More claims about the GPU kernels of appendix B, in Triton's interpreter where there is no GPU."
import pytest

from ssr_nb.raster.triton import (
    TILING, backward, forward, kernel_arguments, nearest,
    nearest_ids, rasterize, silhouette,
)

import os
import subprocess
import sys

import torch
from hypothesis import given, settings, strategies as st
from torch.testing import assert_close

pytest.importorskip('triton')

from test_B_gpu import agree, device, random, random_faces, sphere

from ssr_nb.core import InputError
from ssr_nb.raster import RasterOptions, backend_module, reference


@pytest.mark.slow
def test_random_faces_equal_the_reference_for_every_distance_and_alpha():
    faces = random_faces(2, 6)
    for distance in ('euclidean', 'barycentric', 'hard'):
        for alpha in ('prod', 'sum', 'hard'):
            agree(silhouette, reference.silhouette, faces, image_size=9, sigma=1e-2,
                  distance=distance, alpha=alpha)


def test_odd_faces_equal_the_reference_and_stay_finite():
    triangle = torch.tensor([[-.5, -.5, 2], [.5, -.5, 2], [0, .5, 2]])
    odd = torch.stack([
        torch.zeros(3, 3) + 2,                                   # a point, outside
        torch.tensor([[-.5, 0, 2], [.5, 0, 2], [0., 0, 2]]),     # a line
        triangle, triangle,                                      # doubled
        triangle*torch.tensor([.01, .01, 1]) + torch.tensor([.6, .6, 0]),  # below a pixel
        triangle*torch.tensor([1, 1, -1.]),                      # behind
        triangle - torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0, 1.01]]),     # across near
        triangle + torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0, 98.1]]),     # across far
        triangle*torch.tensor([1e18, 1e18, 0.])])                # at the eye
    agree(silhouette, reference.silhouette, odd[None], image_size=12, sigma=1e-3)
    slanted = torch.tensor([[-.5, -.5, 2], [.5, .5, 2], [.1, .1, 2]])            # edge-on, in a box of its own
    agree(silhouette, reference.silhouette, torch.stack([*odd, slanted])[None], image_size=12, sigma=1., distance='barycentric')
    large = (triangle*torch.tensor([9., 9, 1]))[None, None]
    agree(silhouette, reference.silhouette, large.repeat(1, 5, 1, 1), image_size=12)  # five sure factors


def test_culling_draws_the_same_faces_as_the_reference():
    agree(silhouette, reference.silhouette, random_faces(1, 5), image_size=9, sigma=1e-2, cull_backfaces=True)


@pytest.mark.slow
def test_how_the_work_is_cut_changes_nothing():
    faces = random_faces(1, 35)*torch.tensor([.5, .5, 1])
    before = dict(vars(TILING))
    vars(TILING).update(tile=8, patch=16, faces=8, run=16)
    try: agree(silhouette, reference.silhouette, faces, image_size=20, sigma=1e-3)
    finally: vars(TILING).update(before)
    agree(silhouette, reference.silhouette, faces[:, :1], image_size=260)  # tiles twice as wide
    crowd = torch.cat([faces[:, 1:2].expand(1, 64, 3, 3), faces[:, :1]], 1)  # a third word for the last face alone
    agree(silhouette, reference.silhouette, crowd, image_size=12, sigma=1e-3)


@pytest.mark.slow
def test_the_operators_keep_what_they_promise_to_the_compiler():
    faces, colors = random_faces(1, 2).to(device), random(1, 2).to(device)
    arguments = kernel_arguments(RasterOptions(image_size=4, sigma=1e-2, gamma=.1), 'euclidean')
    for hue in None, colors:
        leaves = [None if t is None else t.clone().requires_grad_() for t in (faces, hue)]
        torch.library.opcheck(forward, (*leaves, *arguments))
        image, state = forward(faces, hue, *arguments)
        torch.library.opcheck(backward, (faces, hue, image, state, torch.ones_like(image), *arguments))


def test_a_compiled_graph_holds_the_rasterizer():
    def loss(vertices, faces):
        render = backend_module('triton').silhouette  # what soft_silhouette calls
        return render(vertices[:, faces]*1., RasterOptions(image_size=8, sigma=1e-2)).square().mean()
    vertices, faces = random_faces(1, 2).reshape(1, 6, 3).to(device).requires_grad_(), torch.arange(6).view(2, 3)
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    grad, = torch.autograd.grad(loss(vertices, faces), vertices)
    assert_close(torch.autograd.grad(compiled(vertices, faces), vertices)[0], grad)


def test_half_precision_is_drawn_in_float32():
    faces = random_faces(1, 3).bfloat16().to(device)
    with torch.autocast(device, torch.bfloat16):
        alpha = silhouette(faces, RasterOptions(image_size=8, sigma=1e-2))
    assert_close(alpha.cpu(), reference.silhouette(faces.cpu().float(), RasterOptions(image_size=8, sigma=1e-2)), atol=1e-5, rtol=0)


def test_double_precision_is_for_the_reference():
    with pytest.raises(InputError, match='float64.*reference'):
        silhouette(random_faces(1, 2).double().to(device), RasterOptions())


def test_a_captured_graph_draws_new_faces():
    if device == 'cuda':
        faces = random_faces(2, 20).cuda().requires_grad_()
        draw = lambda: torch.autograd.grad(silhouette(faces, RasterOptions()).square().sum(), faces)[0]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side): draw()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph): grad = draw()
        with torch.no_grad(): faces.copy_(random_faces(2, 20, seed=1))
        graph.replay()
        assert_close(grad, draw())


@pytest.mark.slow
def test_without_triton_or_a_gpu_there_is_one_clear_line():
    code = '''
import sys, torch
from ssr_nb.core import InputError
from ssr_nb.raster import soft_silhouette
for missing in True, False:
    if missing: sys.modules['triton'] = None
    else: del sys.modules['triton'], sys.modules['ssr_nb.raster.triton'], sys.modules['ssr_nb.raster'].triton
    try: soft_silhouette(torch.ones(1, 1, 3, 3), backend='triton')
    except InputError as e: print(e)
'''
    told = subprocess.run([sys.executable, '-c', code], env={**os.environ, 'TRITON_INTERPRET': '0'},
                          capture_output=True, text=True)
    assert 'needs the package triton' in told.stdout, told.stderr
    assert "'triton' renders tensors on a GPU, found one on cpu" in told.stdout, told.stderr
    assert told.stdout.count('\n') == 2 and not told.stderr, told.stderr


@pytest.mark.slow
def test_a_coloured_ball_equals_the_reference():
    # at sharp gamma, float32 depth is what limits the match
    agree(rasterize, reference.rasterize, sphere(1), random(1, 80), image_size=20, dist_eps=1e-10, atol=1e-4)


@pytest.mark.slow
def test_whatever_the_options_the_reference_draws_the_same():
    @settings(max_examples=8, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(1, 5), size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
           distance=st.sampled_from(['euclidean', 'barycentric']), alpha=st.sampled_from(['prod', 'sum', 'hard']),
           cull=st.booleans())
    def check(seed, count, size, distance, alpha, cull):
        faces, colors = random_faces(1, count, seed=seed), random(1, count, seed=seed + 1)
        agree(rasterize, reference.rasterize, faces, colors, image_size=size, sigma=1e-2, gamma=1e-2,
              distance=distance, alpha=alpha, cull_backfaces=cull, atol=5e-5)
    check()


@pytest.mark.slow
def test_pictures_that_are_not_square_equal_the_reference():
    faces, colors = random_faces(1, 6), random(1, 6, seed=1)
    for size in (9, 20), (21, 8):
        agree(silhouette, reference.silhouette, faces, image_size=size, sigma=1e-2)
        agree(rasterize, reference.rasterize, faces, colors, image_size=size, sigma=1e-2, gamma=1e-2)
        assert torch.equal(nearest(faces.to(device), RasterOptions(image_size=size)).cpu(), reference.nearest(faces, RasterOptions(image_size=size)))
    before = dict(vars(TILING))
    vars(TILING).update(tile=8, patch=16, faces=8, run=16)
    try: agree(rasterize, reference.rasterize, faces, colors, image_size=(20, 37), sigma=1e-3, gamma=1e-2)
    finally: vars(TILING).update(before)


def test_odd_faces_have_a_finite_colour_gradient():
    triangle = torch.tensor([[-.5, -.5, 2], [.5, -.5, 2], [0, .5, 2]])
    odd = torch.stack([triangle*0 + 2, triangle*torch.tensor([1, 0, 1.]), triangle, triangle,
                       triangle*torch.tensor([.01, .01, 1]), triangle*torch.tensor([1, 1, -1.]),
                       triangle - torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0, 1.01]]),
                       triangle + torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0, 98.1]]),
                       triangle*torch.tensor([1e18, 1e18, 0.]), triangle*torch.tensor([9, 9, 1.5])])
    agree(rasterize, reference.rasterize, odd[None], random(1, 10), image_size=12, sigma=1e-3, gamma=1e-2)


def test_the_nearest_face_is_the_reference_s():
    faces = random_faces(2, 8)
    assert torch.equal(nearest(faces.to(device), RasterOptions(image_size=12)).cpu(), reference.nearest(faces, RasterOptions(image_size=12)))
    torch.library.opcheck(nearest_ids, (faces.to(device), *kernel_arguments(RasterOptions(image_size=4), 'hard')))


def test_mirrored_and_flipped_and_transposed_faces_give_such_pictures():
    faces, colors = random_faces(1, 5), random(1, 5, seed=1)
    draw = lambda f: rasterize(f.to(device), colors.to(device), RasterOptions(image_size=12, sigma=1e-2, gamma=1e-2))
    picture = draw(faces)
    assert_close(draw(faces*torch.tensor([-1, 1, 1])), picture.flip(-1), atol=1e-4, rtol=0)
    assert_close(draw(faces*torch.tensor([1, -1, 1])), picture.flip(-2), atol=1e-4, rtol=0)
    assert_close(draw(faces[..., [1, 0, 2]]*torch.tensor([-1, -1, 1])), picture.mT, atol=1e-4, rtol=0)


def test_the_z_buffer_leaves_no_crack_between_two_halves_of_a_square():
    square = torch.tensor([[-.75, -.75, 2], [.75, -.75, 2], [.75, .75, 2], [-.75, .75, 2]])
    moved = square + .1*random_faces(8, 2).flatten(1, 2)[:, :4]*torch.tensor([1, 1, 0.])
    halves = torch.tensor([[0, 1, 2], [0, 2, 3]])
    assert (nearest(moved[:, halves].to(device), RasterOptions(image_size=32))[:, 10:22, 10:22] >= 0).all()


def test_without_colours_a_white_object_stands_before_the_background():
    faces = random_faces(1, 2).to(device)
    picture = rasterize(faces, None, RasterOptions(image_size=8, background=(0, .5, 1)))
    alpha = silhouette(faces, RasterOptions(image_size=8))
    assert_close(picture[:, 3], alpha)
    assert_close(picture[:, 1], alpha + .5*(1 - alpha))
