"More claims about the CPU kernels of appendix A."
import os
import subprocess
import sys
import tempfile

import pytest
import torch
from hypothesis import given, settings, strategies as st
from test_A_cpu import assert_same, random_faces, random_like, with_gradients
from torch.testing import assert_close

from ssr_nb.raster import reference, soft_rasterize, soft_silhouette
from ssr_nb.raster.bench import sphere_faces
from ssr_nb.raster.cpu import band, kernel_params, nearest, pixel, rasterize, silhouette
from ssr_nb.raster.options import RasterOptions
from ssr_nb.raster.reference import pixel_grid


def test_a_coloured_sphere_equals_the_reference_at_the_default_gamma():
    faces = sphere_faces(2, 2)
    colors = random_like(faces).sigmoid()
    fast, dense = (with_gradients(draw, faces, colors, image_size=32, dist_eps=1e-10)
                   for draw in (rasterize, reference.rasterize))
    assert_same(fast, dense, values=5e-5)


def test_at_the_default_cut_off_only_its_cliff_separates_the_two():
    faces = sphere_faces(3, 2)
    fast, dense = (draw(faces, RasterOptions(image_size=32)) for draw in (silhouette, reference.silhouette))
    difference = (fast - dense).abs()
    assert difference.max() < 2e-4 and (difference > 1e-5).float().mean() < 1e-3


def test_awkward_faces_equal_the_reference_and_stay_finite():
    one = torch.tensor([[-.5, -.5, 2.], [.5, -.5, 2.2], [0., .5, 2.4]])
    point, edge_on = torch.full((3, 3), .1) + torch.tensor([0., 0, 2]), one*torch.tensor([0., 1, 1])
    sub_pixel = one*torch.tensor([.01, .01, 1]) + torch.tensor([.3, .2, 0])
    full_screen = one*torch.tensor([40., 40, 1])
    behind, crossing = one*torch.tensor([1., 1, -1]), one - torch.tensor([0., 0, 1.3])
    at_the_eye = one*torch.tensor([1e18, 1e18, 0])
    outside, tiny = one + torch.tensor([9., 0, 0]), one*torch.tensor([3e-5, 3e-5, 1])   # tiny has an inside, just
    scenes = [[f] for f in (point, edge_on, sub_pixel, full_screen, behind, crossing, at_the_eye, outside, tiny)]
    scenes += [[one, one], [point, one, edge_on, behind, at_the_eye, sub_pixel, outside], [full_screen, one]]
    for scene in scenes:
        faces = torch.stack(scene)[None]
        colors = random_like(faces).sigmoid()
        for options in (dict(), dict(distance='barycentric'), dict(distance='barycentric', sigma=1.), dict(color='hard', alpha='sum')):
            options = dict(image_size=48, gamma=1e-2, dist_eps=1e-10, **{'sigma': 1e-3, **options})
            fast, dense = (with_gradients(draw, faces, colors, **options) for draw in (rasterize, reference.rasterize))
            assert_same(fast, dense)


def test_covered_over_and_over_the_gradient_is_still_right():
    faces = sphere_faces(1, 1).repeat(1, 30, 1, 1)
    fast, dense = (with_gradients(draw, faces, image_size=24, sigma=1e-3, dist_eps=1e-10)
                   for draw in (silhouette, reference.silhouette))
    assert (dense[0] == 1).any()
    assert_same(fast, dense)


def test_a_corner_that_is_very_far_away_leaves_every_number_finite():
    faces = random_faces(300, 1)
    faces[:, 0, 0, :2] *= 1e7   # more than the digits of a float can weigh
    for o in (dict(), dict(distance='barycentric'), dict(alpha='sum')):
        for t in with_gradients(rasterize, faces, random_like(faces), image_size=8, sigma=1e-2, **o): assert t.isfinite().all()


def test_where_no_face_reaches_there_is_no_coverage_at_all():
    faces = sphere_faces(1, 2)
    felt = reference.silhouette(faces, RasterOptions(image_size=64, dist_eps=1e-4))[0] > 0
    for alpha in (silhouette(faces, RasterOptions(image_size=64))[0], rasterize(faces, random_like(faces), RasterOptions(image_size=64))[0, 3]):
        assert felt.float().mean() < .5 and (alpha[~felt] == 0).all()


def test_a_face_far_behind_still_has_its_own_small_gradient():
    triangle = torch.tensor([[-.5, -.5, 2.], [.5, -.5, 2.], [0., .5, 2.]])
    for gap in 7., 12.:   # it weighs exp(-gap)
        near = triangle*torch.tensor([4., 4, 1])   # all around it too
        faces = torch.stack([near, triangle + torch.tensor([0., 0, .99*gap])])[None]
        colors = random_like(faces).sigmoid()
        fast, dense = (with_gradients(draw, faces, colors, image_size=16, sigma=1e-3, gamma=1e-2, dist_eps=1e-10)
                       for draw in (rasterize, reference.rasterize))
        assert_close(fast[1][0, 1, :, 2], dense[1][0, 1, :, 2], atol=0, rtol=3e-3)
        assert_close(fast[2][0, 1], dense[2][0, 1], atol=0, rtol=3e-3)


def test_without_an_inside_there_is_no_barycentric_distance_however_soft():
    slanted = torch.tensor([[-.5, -.5, 2.], [.5, .5, 2.2], [0., 0, 2.4]])   # edge-on
    for draw in silhouette, reference.silhouette:
        assert draw(slanted[None, None], RasterOptions(image_size=16, distance='barycentric', sigma=1.)).abs().max() < 1e-6


def test_random_meshes_equal_the_reference():
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(1, 9), image_size=st.integers(1, 40),
           size=st.sampled_from([.05, .3, 1.]), sigma=st.sampled_from([1e-4, 1e-3, 1e-2]),
           distance=st.sampled_from(['euclidean', 'barycentric']), alpha=st.sampled_from(['prod', 'sum', 'hard']), cull=st.booleans())
    def check(seed, count, image_size, size, sigma, distance, alpha, cull):
        faces = random_faces(1, count, seed=seed, size=size)
        colors = random_like(faces).sigmoid()
        options = dict(image_size=image_size, sigma=sigma, gamma=1e-2, dist_eps=1e-10, distance=distance, alpha=alpha, cull_backfaces=cull)
        fast, dense = (with_gradients(draw, faces, colors, **options) for draw in (rasterize, reference.rasterize))
        assert_same(fast, dense, values=5e-5)   # barycentric coordinates far from tiny faces: 1.5e-5 was seen
    check()


def test_images_that_are_not_square_equal_the_reference_with_their_gradients():
    faces = random_faces(2, 12)
    colors = random_like(faces).sigmoid()
    for size in (24, 32), (32, 23), (17, 32):
        options = dict(image_size=size, sigma=1e-3, gamma=1e-2, dist_eps=1e-10)
        assert_same(*(with_gradients(draw, faces, colors, **options) for draw in (rasterize, reference.rasterize)))


def test_the_z_buffer_finds_the_faces_that_the_reference_finds_in_double():
    for faces in (random_faces(2, 20), sphere_faces(2, 2)):
        for size in 48, (31, 48), (48, 1):
            assert torch.equal(nearest(faces, RasterOptions(image_size=size)), reference.nearest(faces.double(), RasterOptions(image_size=size)))


def test_mirrored_and_flipped_and_transposed_faces_give_such_pictures():
    faces = random_faces(2, 6)
    colors = random_like(faces).sigmoid()
    draw = lambda f: rasterize(f, colors, RasterOptions(image_size=24, sigma=1e-3, gamma=1e-2))
    picture = draw(faces)
    assert_close(draw(faces*torch.tensor([-1, 1, 1])), picture.flip(-1), atol=1e-4, rtol=0)
    assert_close(draw(faces*torch.tensor([1, -1, 1])), picture.flip(-2), atol=1e-4, rtol=0)
    assert_close(draw(faces[..., [1, 0, 2]]*torch.tensor([-1, -1, 1])), picture.mT, atol=1e-4, rtol=0)


def test_permuted_faces_and_a_batch_s_items_give_the_same_picture():
    faces = random_faces(3, 8)
    colors = random_like(faces).sigmoid()
    whole = rasterize(faces, colors, RasterOptions(gamma=1e-2))
    single = [rasterize(f[None], c[None], RasterOptions(gamma=1e-2)) for f, c in zip(faces, colors)]
    assert_close(whole, torch.cat(single), atol=0, rtol=0)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    assert_close(rasterize(faces[:, order], colors[:, order], RasterOptions(gamma=1e-2)), whole, atol=1e-5, rtol=0)


def test_any_strides_and_an_expanded_upstream_gradient_will_do():
    faces = random_faces(2, 3, 3).transpose(0, 1)[:, :1]
    loose = faces.flatten(0, 1).transpose(-1, -2).contiguous().transpose(-1, -2).requires_grad_()
    silhouette(loose, RasterOptions(sigma=1e-3)).sum().backward()
    tight = loose.detach().contiguous().requires_grad_()
    silhouette(tight, RasterOptions(sigma=1e-3)).sum().backward()
    assert_close(loose.grad, tight.grad)


@pytest.mark.slow
def test_a_compiled_function_draws_and_learns_the_same():
    faces = random_faces(2, 5).requires_grad_()
    colors = random_like(faces).sigmoid()
    def loss(faces):
        options = dict(image_size=12, sigma=1e-2)
        return soft_rasterize(faces*1., colors, **options).square().mean() + soft_silhouette(faces*1., **options).mean()
    compiled = torch.compile(loss, backend='aot_eager')
    values, slopes = zip(*((v, torch.autograd.grad(v, faces)[0]) for v in (loss(faces), compiled(faces))))
    assert_close(*values, atol=1e-6, rtol=0)
    assert_close(*slopes, atol=1e-6, rtol=0)


def test_a_second_derivative_is_refused_rather_than_wrong():
    faces, options = random_faces(1, 3).requires_grad_(), RasterOptions()
    for image in silhouette(faces, options), rasterize(faces, torch.ones_like(faces), options):
        slope, = torch.autograd.grad(image.square().sum(), faces, create_graph=True)
        with pytest.raises(RuntimeError, match='once_differentiable'): slope.sum().backward()


@pytest.mark.slow
def test_a_second_process_starts_at_once_and_only_the_first_says_that_it_compiles():
    code = '''
import torch
from numba.core import event
from ssr_nb.raster import soft_silhouette
class Compiled(event.Listener):
    def on_start(self, _): print('compiled')
    def on_end(self, _): pass
with event.install_listener('numba:compile', Compiled()):
    soft_silhouette(torch.rand(1, 4, 3, 3).requires_grad_()).sum().backward()
'''
    with tempfile.TemporaryDirectory() as folder:
        call = lambda: subprocess.run([sys.executable, '-c', code], env={**os.environ, 'NUMBA_CACHE_DIR': folder},
                                      capture_output=True, text=True, check=True)
        first, *later = call(), call(), call()
    assert first.stderr.count('compiling') == 1
    assert not any('compiling' in again.stderr for again in later)
    assert first.stdout.count('compiled') > 10 and not any(again.stdout for again in later)


@pytest.mark.slow
def test_without_a_folder_to_write_to_it_still_draws():
    code = '''
import tempfile, torch
def refuse(*args, **kw): raise OSError('read-only')
tempfile.TemporaryFile = refuse
from ssr_nb.raster.cpu import fast_exp, project_to_edge
assert type(project_to_edge._cache).__name__ == 'NullCache'
assert fast_exp.py_func(__import__('numpy').float32(0)) == 1
'''
    subprocess.run([sys.executable, '-c', code], check=True)


def test_a_flattened_band_visits_its_pixels_row_by_row():
    for height, width in (64, 64), (64, 48), (47, 64):
        o = kernel_params(RasterOptions(image_size=(height, width)), 'euclidean')
        *_, frame = band.py_func(3, 5, 9, 9, 4, o)  # from row 3, column 5, four wide
        visited = [pixel.py_func(i, frame) for i in range(8)]
        expected = [((2*c + 1 - width)/64, (height - 1 - 2*r)/64) for r in (3, 4) for c in (5, 6, 7, 8)]
        assert_close(torch.tensor(visited), torch.tensor(expected))


def test_the_z_buffer_leaves_no_crack_between_two_halves_of_a_square():
    square = torch.tensor([[-.75, -.75, 2], [.75, -.75, 2], [.75, .75, 2], [-.75, .75, 2]])
    for halves in torch.tensor([[[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 3, 2]]]):
        for size in 4, 8, 16, 24, 64:
            assert ((nearest(square[halves][None], RasterOptions(image_size=size)) >= 0) == pixel_grid(size).abs().le(.75).all(1).view(1, size, size)).all()
        moved = square + .1*random_faces(200, 4)[:, :, 0]*torch.tensor([1, 1, 0.])
        assert (nearest(moved[:, halves], RasterOptions(image_size=64))[:, 20:44, 20:44] >= 0).all()


def test_threads_and_a_forked_child_draw_the_same():
    faces = sphere_faces(5, 1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = silhouette(faces, RasterOptions())
        torch.set_num_threads(3)
        assert_close(silhouette(faces, RasterOptions()), one, atol=0, rtol=0)
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            same = bool((silhouette(faces, RasterOptions()) == one).all())
            os.write(writer, b'same' if same else b'different')
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 9) == b'same'
    finally: torch.set_num_threads(before)
