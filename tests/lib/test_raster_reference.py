"More claims about the dense reference of chapter 03."
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.testing import assert_close

from ssr_nb.raster import soft_rasterize, soft_silhouette
from ssr_nb.raster.options import RasterOptions

from ssr_nb.raster.reference import (
    barycentric,
    clip_barycentric,
    color_weights,
    cutoff,
    depth,
    edge_distance,
    interpolate,
    log_odds,
    nearest,
    pixel_grid,
    pixel_in_face,
    rasterize,
    silhouette,
    visible_faces,
)

corners = torch.tensor([[-.5, -.5], [.5, -.5], [0., .5]])  # (3, 2)
triangle = torch.cat([corners, torch.full((3, 1), 2.)], -1)  # (3, 3)

def random_faces(*shape, seed=0, dtype=torch.float32):
    "Triangles (*shape, 3, 3) that overlap the picture, depths in [2, 3]."
    generator = torch.Generator().manual_seed(seed)
    faces = torch.rand(*shape, 3, 3, generator=generator, dtype=dtype)
    return faces*torch.tensor([2., 2, 1]) + torch.tensor([-1., -1, 2])

def random_colors(*shape, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, 3, 3, generator=generator, dtype=dtype)


def test_an_edge_on_face_has_no_inside():
    line = torch.tensor([[-.5, 0.], [.5, 0.], [0., 0.]])
    assert (barycentric(pixel_grid(4), line) == -1).all()


def test_culling_keeps_clockwise_faces():
    both = torch.stack([triangle, triangle.flip(0)])
    assert visible_faces(both, 1., 100., True).tolist() == [False, True]
    assert visible_faces(both*torch.tensor([.1, .1, 1]), 1., 100., True).tolist() == [False, True]      # small ones too


def test_chunks_change_neither_values_nor_gradients():
    module = silhouette.__globals__
    faces = random_faces(2, 5).requires_grad_()
    whole = silhouette(faces, RasterOptions(image_size=16, sigma=1e-2))
    grad, = torch.autograd.grad(whole.square().sum(), faces)
    before, module['MAX_FRAGMENTS'] = module['MAX_FRAGMENTS'], 70
    try:
        parts = silhouette(faces, RasterOptions(image_size=16, sigma=1e-2))
        grad_parts, = torch.autograd.grad(parts.square().sum(), faces)
    finally: module['MAX_FRAGMENTS'] = before
    assert_close(parts, whole)
    assert_close(grad_parts, grad)


def test_a_mirrored_mesh_gives_a_mirrored_picture():
    faces = random_faces(6)
    left = silhouette(faces, RasterOptions(sigma=1e-3))
    right = silhouette(faces*torch.tensor([-1., 1, 1]), RasterOptions(sigma=1e-3))
    assert_close(right, left.flip(-1), atol=1e-5, rtol=0)
    top = silhouette(faces*torch.tensor([1., -1, 1]), RasterOptions(sigma=1e-3))
    assert_close(top, left.flip(-2), atol=1e-5, rtol=0)


def test_without_faces_the_background_keeps_the_pixel():
    x = torch.full((3,), -math.inf)
    assert_close(color_weights(x, torch.ones(3), RasterOptions()), torch.tensor([0., 0, 0, 1]))


def test_clipping_keeps_the_inside_and_lands_on_the_face():
    inside = torch.tensor([.2, .3, .5])
    assert_close(clip_barycentric(inside), inside)
    outside = torch.tensor([[-.5, 1.5, 0.], [-1., 1.5, .5]])
    assert_close(clip_barycentric(outside), torch.tensor([[0, 1, 0], [0, 2/3, 1/3]]))


def test_where_no_face_is_there_is_nothing_even_if_the_first_face_is_wild():
    wild = torch.stack([triangle*torch.tensor([1e30, 1e30, 0]), triangle]).requires_grad_()
    face = nearest(wild, RasterOptions(image_size=8))
    for perspective in True, False:
        shown = interpolate(face, wild, torch.ones(2, 3, 1), perspective)[..., 0]
        assert_close(shown, (face >= 0).float())
        grad, = torch.autograd.grad(shown.sum(), wild)
        assert grad.isfinite().all()


def test_a_face_gives_nothing_beyond_the_cut_off():
    reach = math.sqrt(.01*math.log(1/1e-4 - 1))
    pixel = torch.tensor([[0., -.5 - reach + 1e-3], [0., -.5 - reach - 1e-3]])
    x = log_odds(pixel, corners[None], 'euclidean', .01, 1e-4)
    assert x[0].isfinite() and x[1] == -math.inf
    for dist_eps in (.3, .1, 1e-4):                                    # there a face covers just that much
        assert math.isclose(1/(1 + math.exp(cutoff(.01, dist_eps)/.01)), dist_eps)
    far, line = torch.tensor([[0., -9.]]), torch.tensor([[-.5, 0.], [.5, 0.], [0., 0.]])
    barycentric_score = partial(log_odds, distance='barycentric', dist_eps=.01)
    assert barycentric_score(far, corners[None], sigma=1.) == -math.inf  # it ends as well,
    assert barycentric_score(far, line[None], sigma=10.) == -math.inf    # and a face without inside gives nothing, however soft


def test_degenerate_faces_give_finite_values_and_gradients():
    point = torch.zeros(3, 3) + 2
    line = torch.tensor([[-.5, 0., 2], [.5, 0., 2], [0., 0., 2]])
    behind = triangle*torch.tensor([1., 1, -1])
    at_the_eye = triangle*torch.tensor([1e18, 1e18, 0])
    faces = torch.stack([point, line, line, triangle, triangle, behind, at_the_eye])
    faces.requires_grad_()
    image = rasterize(faces, torch.ones(7, 3, 3), RasterOptions(image_size=8))
    image.sum().backward()
    assert image.isfinite().all() and faces.grad.isfinite().all()


def test_order_and_winding_do_not_matter():
    @settings(max_examples=15, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(1, 8), turn=st.integers(0, 2))
    def check(seed, count, turn):
        faces, colors = random_faces(count, seed=seed), random_colors(count, seed=seed)
        picture = rasterize(faces, colors, RasterOptions(image_size=8, sigma=1e-2, gamma=1e-2, dist_eps=1e-9))
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        shuffled = [t[order].flip(-2).roll(turn, -2) for t in (faces, colors)]
        again = rasterize(*shuffled, RasterOptions(image_size=8, sigma=1e-2, gamma=1e-2, dist_eps=1e-9))
        assert_close(again, picture, atol=1e-5, rtol=0)
        assert (picture >= 0).all() and (picture <= 1 + 1e-5).all()
    check()


def test_a_batch_is_its_items_one_by_one():
    faces, colors = random_faces(2, 3, 5), random_colors(2, 3, 5)
    options = dict(image_size=16, backend='reference')
    batch = soft_rasterize(faces, colors, **options)
    single = [soft_rasterize(f, c, **options) for f, c in zip(faces.flatten(0, 1), colors.flatten(0, 1))]
    assert_close(batch.flatten(0, 1), torch.stack(single))


def test_one_more_face_never_uncovers_a_pixel():
    @settings(max_examples=15, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 10**6))
    def check(seed):
        faces = random_faces(4, seed=seed)
        fewer, more = (silhouette(f, RasterOptions(image_size=8, sigma=1e-2)) for f in (faces[:3], faces))
        assert (more >= fewer - 1e-6).all()
    check()


def test_colour_gradient_matches_finite_differences():
    for color, distance in [('softmax', 'euclidean'), ('softmax', 'barycentric'),
                            ('softmax', 'hard'), ('hard', 'euclidean')]:
        draw = lambda faces, colors: rasterize(
            faces, colors, RasterOptions(image_size=4, sigma=.1, gamma=.01, color=color, distance=distance))
        faces = random_faces(1, 3, dtype=torch.float64).requires_grad_()
        colors = random_colors(1, 3, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(draw, (faces, colors))


def test_depth_at_the_middle_is_the_harmonic_mean():
    assert_close(depth(torch.tensor([.5, .5, 0]), torch.tensor([1., 3., 9.])), torch.tensor(1.5))


def test_two_halves_of_a_square_leave_no_crack_and_no_pixel_outside():
    square = torch.tensor([[-.75, -.75], [.75, -.75], [.75, .75], [-.75, .75]])
    for halves in torch.tensor([[[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 3, 2]]]):
        for size in 4, 8, 16, 24:
            held = pixel_in_face(pixel_grid(size)[:, None], square[halves]).any(-1)
            assert (held == (pixel_grid(size).abs() <= .75).all(-1)).all()
    for seed in range(20):
        moved = square + .1*random_faces(4, seed=seed)[:, 0, :2]
        held = pixel_in_face(pixel_grid(32)[:, None], moved[halves]).any(-1)
        assert held[(pixel_grid(32).abs() < .5).all(-1)].all()


def test_the_nearest_face_is_the_one_that_a_loop_over_pixels_finds():
    faces, colors = random_faces(5, seed=3), random_colors(5)
    face = nearest(faces, RasterOptions(image_size=8))
    shown = interpolate(face, faces, colors)
    for i, pixel in enumerate(pixel_grid(8)):
        best, found, color = math.inf, -1, torch.zeros(3)
        for j, corner in enumerate(faces):
            matrix = torch.cat([corner[:, :2].T, torch.ones(1, 3)])
            b = torch.linalg.solve(matrix, torch.cat([pixel, torch.ones(1)]))
            z = 1/(b/corner[:, 2]).sum()
            if (b > 0).all() and z < best: best, found, color = z, j, b @ colors[j]
        assert face.flatten()[i] == found
        assert_close(shown.flatten(0, 1)[i], color, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_compiled_silhouette_is_one_graph_with_the_reference_and_says_so_where_not():
    faces = random_faces(2, 3).requires_grad_()
    loss = lambda backend: lambda f: soft_silhouette(f*1., image_size=8, sigma=1e-2, backend=backend).square().mean()
    compiled = torch.compile(loss('reference'), fullgraph=True, backend='aot_eager')
    values, slopes = zip(*((v, torch.autograd.grad(v, faces)[0]) for v in (loss('reference')(faces), compiled(faces))))
    assert_close(*values, atol=1e-6, rtol=0); assert_close(*slopes, atol=1e-6, rtol=0)
    with pytest.raises(torch._dynamo.exc.Unsupported): torch.compile(loss('cpu'), fullgraph=True, backend='aot_eager')(faces)
    assert 'fullgraph=True is refused' in soft_silhouette.__doc__


def test_squared_distance_stops_at_the_corner():
    above_apex = torch.tensor([[0., 1.], [.5, .5]])
    assert_close(edge_distance(above_apex, corners), torch.tensor([.25, .2]))


def test_barycentric_coordinates_rebuild_the_pixel():
    pixels = pixel_grid(8)
    weights = barycentric(pixels, corners)
    assert_close(weights.sum(-1), torch.ones(64))
    assert_close(weights @ corners, pixels, atol=1e-6, rtol=0)


def test_one_corner_before_the_near_plane_removes_the_face():
    faces = triangle[None].repeat(3, 1, 1)
    faces[1, 0, 2], faces[2, 2, 2] = .99, 100.01
    assert visible_faces(faces, 1., 100., False).tolist() == [True, False, False]


def test_an_edge_pixel_is_half_covered():
    edge_through_pixel = torch.tensor([[[-1., .5, 2.], [1., .5, 2.], [0., -2., 2.]]])
    assert_close(silhouette(edge_through_pixel, RasterOptions(image_size=2))[0], torch.tensor([.5, .5]))


def test_gradient_reaches_a_triangle_that_covers_no_pixel():
    tiny = triangle.clone()
    tiny[:, :2] = tiny[:, :2]*.01 + .03
    tiny.requires_grad_()
    assert not (barycentric(pixel_grid(8), tiny[:, :2]) > 0).all(-1).any()
    silhouette(tiny[None], RasterOptions(image_size=8, sigma=1e-2)).sum().backward()
    assert tiny.grad[:, :2].abs().sum() > 0 and (tiny.grad[:, 2] == 0).all()


def test_the_nearer_face_takes_the_pixel_and_a_far_gap_is_wide():
    x = torch.tensor([30., 30.])
    near_first = color_weights(x, torch.tensor([2., 2.1]), RasterOptions())
    gap = .1/99/1e-4  # difference of nearness over gamma
    assert_close(near_first[1]/near_first[0], torch.tensor(-gap).exp(), rtol=1e-4, atol=0)
    assert_close(near_first.sum(), torch.tensor(1.))


def test_in_perspective_the_middle_of_the_screen_is_not_the_middle_of_the_face():
    ramp = torch.tensor([[-1., -1, 1], [1, -1, 1], [1, 1, 3], [-1, 1, 3]])[torch.tensor([[0, 1, 2], [0, 2, 3]])]   # a floor from depth 1 to 3
    face = nearest(ramp, RasterOptions(image_size=3))
    z, flat = (interpolate(face, ramp, ramp[..., 2:], perspective)[1, 1] for perspective in (True, False))
    assert_close(z, torch.tensor([1.5]))      # 1/z = (1/1 + 1/3)/2
    assert_close(flat, torch.tensor([2.]))


def test_a_pixel_inside_one_face_has_its_interpolated_colour():
    colors = torch.eye(3)[None]
    picture = rasterize(triangle[None], colors, RasterOptions(image_size=5, sigma=1e-6))
    weights = barycentric(torch.zeros(2), corners)
    assert_close(picture[:3, 2, 2], weights)
    assert_close(weights, torch.tensor([.25, .25, .5]))


def test_depth_gradient_says_come_nearer():
    faces = torch.stack([triangle, triangle + torch.tensor([0., 0, .01])]).requires_grad_()
    red_and_blue = torch.tensor([[[1., 0, 0]], [[0., 0, 1]]]).expand(2, 3, 3)
    blue = rasterize(faces, red_and_blue, RasterOptions(image_size=8))[2].sum()
    blue.backward()
    assert faces.grad[0, :, 2].sum() > 0 > faces.grad[1, :, 2].sum()


def test_the_first_pixel_is_the_top_left_one():
    assert_close(pixel_grid(2)[0], torch.tensor([-.5, .5]))
    assert_close(pixel_grid((1, 2)), torch.tensor([[-.5, 0], [.5, 0]]))
    assert_close(pixel_grid((3, 2)), torch.tensor([[-1., 2], [1, 2], [-1, 0], [1, 0], [-1, -2], [1, -2]])/3)


def test_small_gamma_and_sigma_give_a_z_buffer():
    faces, colors = random_faces(4), random_colors(4)
    soft = rasterize(faces, colors, RasterOptions(image_size=32, sigma=1e-9, gamma=1e-7))
    hard = rasterize(faces, colors, RasterOptions(image_size=32, sigma=1e-9, color='hard'))
    assert ((soft - hard).abs().amax(0) > 1e-3).float().mean() < .01
