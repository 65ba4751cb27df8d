"More claims about the cameras of chapter 02."
import math

import pytest
import torch
from torch.testing import assert_close

from ssr_nb.camera import (
    camera_axes,
    clip_near,
    eye_from_angles,
    look_at,
    matrix_eye,
    mix_corners,
    orthographic,
    perspective,
    project,
    project_matrix,
    viewpoint_ring,
)
from ssr_nb.core import InputError
from ssr_nb.mesh import icosphere
from ssr_nb.raster import soft_silhouette

device = 'cuda' if torch.cuda.is_available() else 'cpu'


def random_eyes(*shape):
    "Eyes somewhere around the origin, in double."
    seed = torch.Generator().manual_seed(0)
    return torch.randn(*shape, 3, generator=seed, dtype=torch.float64)


def test_the_eye_is_at_its_distance_whatever_the_angles():
    generator = torch.Generator().manual_seed(0)
    distance, elevation, azimuth = (torch.tensor([[4.], [180], [720]]) * torch.rand(3, 99, generator=generator))
    eye = eye_from_angles(distance, elevation - 90, azimuth)
    assert_close(eye.norm(dim=-1), distance)


def test_camera_axes_are_a_rotation_with_the_origin_straight_ahead_and_the_right_gradient():
    eyes = random_eyes(99)
    axes = camera_axes(eyes)
    assert_close(axes @ axes.mT, torch.eye(3, dtype=torch.float64).expand(99, 3, 3))
    assert_close(torch.linalg.det(axes), torch.ones(99, dtype=torch.float64))
    ahead = look_at(torch.zeros(99, 1, 3, dtype=torch.float64), eyes)[:, 0]
    assert_close(ahead, torch.nn.functional.pad(eyes.norm(dim=1)[:, None], (2, 0)))
    assert (axes[:, 1, 1] > 0).all() and (axes[:, 0, 1] == 0).all()  # upright, level
    inputs = random_eyes(2, 4).requires_grad_(), random_eyes(2).requires_grad_()
    assert torch.autograd.gradcheck(look_at, inputs)


def test_a_wider_angle_shows_more_and_twice_as_far_is_half_as_large():
    point = torch.tensor([.3, -.4, 2.])
    assert_close(perspective(point, 45.), torch.tensor([.15, -.2, 2]))
    assert_close(perspective(point*torch.tensor([1, 1, 2.]))[:2], perspective(point)[:2]/2)
    for angle in (0, 90, -15., math.nan):
        with pytest.raises(InputError, match='half_angle'): perspective(point, angle)


def test_points_beside_and_behind_the_eye_stay_finite_and_the_gradient_is_that_of_finite_differences():
    points = torch.tensor([[1., 1, 0], [0, 0, 0], [1, 1, -2], [1, 1, 1e-20]], requires_grad=True)
    seen = perspective(points)
    seen.sum().backward()
    assert seen.isfinite().all() and points.grad.isfinite().all()
    assert_close(seen[:, 2], points[:, 2])
    points = (random_eyes(5) + torch.tensor([0, 0, 3.])).requires_grad_()
    assert torch.autograd.gradcheck(perspective, points)


def test_clipped_pieces_keep_the_area_in_front_and_the_winding_and_have_the_right_gradient():
    faces = random_eyes(200, 3)
    weights = clip_near(faces[..., 2], .1)
    pieces = mix_corners(weights, faces)
    kept = (weights != 0).flatten(1).any(1)
    assert (pieces[kept][..., 2] >= .1 - 1e-9).all() and 100 < kept.sum() < 300
    area = lambda f: torch.linalg.cross(f[:, 1] - f[:, 0], f[:, 2] - f[:, 0])
    whole, parts = area(faces), area(pieces).view(2, -1, 3)
    assert ((parts*whole).sum(-1) >= -1e-12).all()                       # none is turned over
    mixed = -torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)).double().log()
    points = torch.einsum('nk,fkc->fnc', mixed/mixed.sum(1, keepdim=True), faces)   # spread evenly over each face
    share = (points[..., 2] >= .1).double().mean(1)
    assert_close(parts.norm(dim=-1).sum(0)/whole.norm(dim=1), share, atol=.05, rtol=0)
    assert torch.autograd.gradcheck(lambda f: mix_corners(clip_near(f[..., 2], .1), f), faces[:9].clone().requires_grad_())


def test_parallel_rays_shrink_nothing():
    points = torch.tensor([[.3, -.4, 2.], [.3, -.4, 20.]])
    assert_close(orthographic(points, .5), torch.tensor([[.6, -.8, 2.], [.6, -.8, 20.]]))
    for wrong in 0, -1., math.inf, math.nan:
        with pytest.raises(InputError, match='half_width'): orthographic(points, wrong)


def test_at_the_poles_the_camera_is_finite_and_the_azimuth_still_turns_the_image():
    for elevation, up in (90., [0., 0, 1]), (-90., [0., 0, -1]):
        for azimuth in 0., 77.:
            eye = eye_from_angles(2., elevation, azimuth).requires_grad_()
            seen = look_at(torch.eye(3), eye)
            assert_close(camera_axes(eye).detach()[:2], torch.tensor([[1., 0, 0], up]), atol=1e-6, rtol=0)
            seen.sum().backward()
            assert eye.grad.isfinite().all()
            here, beside = (project(torch.eye(3)*.5, torch.tensor([2.732, e, azimuth])) for e in (elevation, .999*elevation))
            assert_close(here, beside, atol=4e-3, rtol=0)
    mesh = icosphere(2)
    shape = mesh.vertices*torch.tensor([.45, .2, .15])
    for azimuth in 0., 40., 130.:
        images = [soft_silhouette(project(shape, torch.tensor([2.732, e, azimuth]))[mesh.faces][None]) > .5 for e in (90., 89.9)]
        assert (images[0] & images[1]).sum()/(images[0] | images[1]).sum() > .9


def test_target_moves_the_image_s_middle_and_roll_and_up_rotate_it():
    points, view = random_eyes(9)*.2, torch.tensor([2.732, 30., -50.]).double()
    there = [.3, -.2, .1]
    moved = points + torch.tensor(there).double()
    assert_close(project(moved, view, target=there), project(points, view))
    x, y, depth = project(points, view).unbind(-1)
    assert_close(project(points, view, roll=90.), torch.stack([-y, x, depth], -1))     # counter-clockwise
    eye = eye_from_angles(*view)
    assert_close(look_at(points, eye, up=(0., -2., 0.)), look_at(points, eye, roll=180.))
    x, y, _ = look_at(torch.tensor([[1., 0, 0]]).double(), eye, up=(1., 0., 0.))[0]
    assert x.abs() < 1e-9 and y > .1                                                   # the world's x is up


def test_a_batch_of_projections_is_its_items_one_by_one():
    vertices = random_eyes(2, 3, 7)*.2
    viewpoints = viewpoint_ring(6).double().view(2, 3, 3)
    each = torch.stack([torch.stack([project(v, p) for v, p in zip(vs, ps)]) for vs, ps in zip(vertices, viewpoints)])
    assert_close(project(vertices, viewpoints), each)
    one_object = project(vertices[0, 0], viewpoints[0, :, None].squeeze(1))
    assert_close(one_object, torch.stack([project(vertices[0, 0], p) for p in viewpoints[0]]))


def test_an_eye_given_as_a_viewpoint_and_a_distance_that_is_none_are_refused():
    points, eye = torch.zeros(2, 4, 3), eye_from_angles(2.732, 30., 0.)
    for row in eye.tolist(), [0., 30, 0], [-2.732, 30, 0], [math.nan, 30, 0], [2.732, math.inf, 0], [2.732, 30, math.nan]:
        views = torch.stack([viewpoint_ring()[1], torch.tensor(row)]).requires_grad_()
        with pytest.raises(InputError, match=r'^viewpoints: expected distance > 0.*found \(' + f'{row[0]:g}, '): project(points, views)
    with pytest.raises(InputError, match='^viewpoints.*list'): project(points, [[2.732, 30, 0]])
    assert_close(project(points, torch.tensor([3, 30, 60])), project(points, torch.tensor([3., 30, 60])))


def test_every_device_projects_alike():
    vertices, viewpoints = random_eyes(24, 7).float()*.2, viewpoint_ring()
    assert_close(project(vertices.to(device), viewpoints.to(device)).cpu(), project(vertices, viewpoints))


def test_parallel_rays_keep_the_depths_and_are_the_limit_of_a_narrow_angle_from_far_away():
    vertices, viewpoints = random_eyes(6, 7)*.2, viewpoint_ring(6).double()
    flat, deep = project(vertices, viewpoints, half_width=.8), project(vertices, viewpoints)
    assert_close(flat[..., 2], deep[..., 2])
    assert_close(flat[..., :2]*.8, deep[..., :2]*deep[..., 2:]*math.tan(math.radians(15)))
    points, angle = torch.rand(9, 3, generator=torch.Generator().manual_seed(0)).double() - .5, 1e-3
    far = points + torch.tensor([0, 0, 1/math.tan(math.radians(angle))])
    assert_close(perspective(far, angle)[:, :2], orthographic(points)[:, :2], atol=2e-5, rtol=0)


def test_wrong_shapes_of_points_viewpoints_and_matrices_are_refused_by_name():
    with pytest.raises(InputError, match='viewpoints'): project(torch.zeros(4, 3), torch.zeros(2))
    with pytest.raises(InputError, match='^vertices'): project(torch.zeros(4, 2), viewpoint_ring()[0])
    with pytest.raises(InputError, match='do not go with'): project(torch.zeros(2, 4, 3), viewpoint_ring(3))
    with pytest.raises(InputError, match='^vertices.*12 NaN'): project(torch.full((4, 3), math.nan), viewpoint_ring()[0])
    with pytest.raises(InputError, match='^matrix.*do not go with'): project_matrix(torch.zeros(2, 4, 3), torch.ones(3, 3, 4))
    with pytest.raises(InputError, match='^matrix.*1 NaN'): project_matrix(torch.zeros(4, 3), torch.eye(3, 4).put(torch.tensor(5), torch.tensor(math.nan)))
    with pytest.raises(InputError, match='^vertices.*12 NaN'): project_matrix(torch.full((4, 3), math.nan), torch.eye(3, 4))


def test_the_gradient_of_a_matrix_camera_matches_finite_differences_and_stays_finite_beside_the_eye():
    matrix = torch.eye(3, 4, dtype=torch.float64).requires_grad_()
    points = (random_eyes(5).abs() + torch.tensor([0, 0, 3.])).requires_grad_()
    assert torch.autograd.gradcheck(project_matrix, (points, matrix))
    beside = torch.tensor([[1., 1, 0], [1, 1, -2]], requires_grad=True)
    seen = project_matrix(beside, torch.eye(3, 4))
    seen.sum().backward()
    assert seen.isfinite().all() and beside.grad.isfinite().all()
    with pytest.raises(InputError, match='matrix'): project_matrix(points, torch.eye(4))
    with pytest.raises(InputError, match='matrix.*independent'): matrix_eye(torch.ones(2, 3, 4))


def test_under_autocast_every_camera_keeps_its_precision():
    vertices, ring = .2*random_eyes(3, 7).float().to(device), viewpoint_ring(3).to(device)
    matrix = torch.rand(3, 3, 4, generator=torch.Generator().manual_seed(0)).to(device)
    for call in (lambda: project(vertices, ring), lambda: project(vertices, ring, half_width=1.),
                 lambda: project_matrix(vertices, matrix), lambda: matrix_eye(matrix)):
        with torch.autocast(device, torch.bfloat16): seen = call()
        assert seen.dtype == torch.float32
        assert_close(seen, call(), atol=0, rtol=0)
