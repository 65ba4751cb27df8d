"Procedural objects: closed, seeded, varied, their front towards +z."
import math

import pytest
import torch
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.core import InputError
from ssr_nb.mesh import Mesh
from ssr_nb.render import render_views
from ssr_nb.shapes import CATEGORIES, make_shape
from ssr_nb.shapes.families import FAMILIES
from ssr_nb.shapes.primitives import (
    GLOW, RED, both_sides, box, ellipsoid, extrude, lathe, loft, merge, rotate,
    translate, tube, wing,
)
from ssr_nb.voxels import voxel_iou, voxelize

def seeded(seed=0): return torch.Generator().manual_seed(seed)

def shapes(category, count=6):
    "The first few objects of a category."
    return [make_shape(category, seeded(seed)) for seed in range(count)]

def swap_front(mesh):
    "The mirror image that has its back in front."
    return Mesh(mesh.vertices*torch.tensor([1., 1, -1]), mesh.faces.flip(-1),
                mesh.vertex_colors)

def voxels_of(mesh): return voxelize(mesh.vertices, mesh.faces)

def volume(mesh):
    "Of a closed mesh, by the divergence theorem: positive when faces look outward."
    return torch.linalg.det(mesh.vertices[mesh.faces].double()).sum()/6

def is_closed(mesh):
    "Whether every edge is walked once in each direction."
    faces = mesh.faces
    walked = torch.cat([faces[:, [k, (k + 1) % 3]] for k in range(3)])
    there = set(map(tuple, walked.tolist()))
    return len(there) == len(walked) and all((b, a) in there for a, b in there)


def test_a_loft_of_two_unit_squares_is_a_closed_unit_cube():
    square = torch.tensor([[0., 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    for far in (1., -1.):
        cube = loft(torch.stack([square, square + torch.tensor([0, 0, far])]), (1., 0, 0))
        assert is_closed(cube) and len(cube.faces) == 16
        assert_close(volume(cube), torch.tensor(1.).double())


def test_every_primitive_is_closed_and_looks_outward():
    white = (1., 1., 1.)
    parts = [box((1, 2, 3), (1, 2, 3), white), lathe([(.5, 1), (.2, 2), (0, 3)], white), ellipsoid((0, 1, 0), (1, 2, 3), white),
             tube([(0, 0, 0), (0, 1, 0), (1, 1, 1)], (.1, .2, .1), white), extrude([(0, 0), (1, 0), (1, 1)], 2, 1, white),
             wing((0, 0, 0), (-2, 0, -1), (1, .5), .1, white)]
    for part in parts: assert is_closed(part) and volume(part) > 0
    assert_close(volume(parts[0]), torch.tensor(6.).double())
    assert_close(volume(parts[4]), torch.tensor(.5).double())


def test_an_ellipsoid_of_many_sides_has_nearly_the_volume_of_the_formula():
    exact = 4/3*math.pi*1*2*3
    assert .88*exact < volume(ellipsoid((5, 0, 0), (1, 2, 3), (1., 1, 1), sides=48)) < exact


def test_moved_turned_mirrored_and_merged_parts_stay_closed_and_keep_their_volume():
    part = wing((0, 0, 0), (2, 0, -1), (1, .5), .1, (1., 1, 1))
    for other in (translate(part, y=3), rotate(part, 30, 1), *both_sides([part])):
        assert is_closed(other)
        assert_close(volume(other).float(), volume(part).float())
    assert_close(volume(merge([part, translate(part, x=5)])).float(), 2*volume(part).float())


def test_turning_x_by_90_degrees_about_z_gives_y():
    bar = tube([(0, 0, 0), (1, 0, 0)], .01, (1., 1, 1))
    assert_close(rotate(bar, 90, 2).vertices.mean(0), torch.tensor([0., .5, 0]))
    assert_close(rotate(bar, 90, 1).vertices.mean(0), torch.tensor([0., 0, -.5]))


def test_the_same_seed_gives_the_same_object_and_global_chance_is_left_alone():
    torch.manual_seed(5); expected = torch.rand(1); torch.manual_seed(5)
    for category in CATEGORIES:
        one, two = make_shape(category, seeded(3)), make_shape(category, seeded(3))
        assert torch.equal(one.vertices, two.vertices) and torch.equal(one.vertex_colors, two.vertex_colors)
    assert_close(torch.rand(1), expected)


def test_every_object_is_a_valid_colored_mesh_in_the_cube():
    for category in CATEGORIES:
        for mesh in shapes(category, 20):
            low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
            side, reach = (high - low).max(), mesh.vertices.norm(dim=1).max()
            assert side <= .9501 and reach <= .6851 and max(side/.95, reach/.685) > .9999
            assert_close(low + high, torch.zeros(3), atol=1e-5, rtol=0)
            assert 40 <= len(mesh.faces) <= 3000
            assert mesh.vertex_colors.shape == mesh.vertices.shape
            assert mesh.vertex_colors.min() >= 0 and mesh.vertex_colors.max() <= 1


def test_every_part_of_every_object_is_closed_and_looks_outward():
    for category, family in FAMILIES.items():
        for seed in range(8):
            for part in family(seeded(seed)):
                assert is_closed(part) and volume(part) > 0, (category, seed)


def test_no_two_objects_of_a_category_are_alike():
    for category in CATEGORIES:
        grids = torch.cat([voxels_of(mesh) for mesh in shapes(category, 10)])
        one, two = torch.triu_indices(10, 10, 1)
        iou = voxel_iou(grids[one], grids[two])
        assert iou.max() < .99 and iou.mean() < .75, category


def test_a_closed_part_is_filled_when_it_is_voxelised():
    ball = ellipsoid((0, 0, 0), (.4, .3, .35), (1., 1, 1), sides=48)
    cells = voxels_of(ball).sum()/31**3
    assert volume(ball) < cells < 1.25*volume(ball)
    for mesh in shapes('speaker', 6):
        surface = len((mesh.vertices*31).floor().unique(dim=0))
        assert voxels_of(mesh).sum() > 2*surface


def test_what_has_a_front_looks_different_when_front_and_back_are_swapped():
    view = viewpoint_ring()[[2]]
    def change(mesh):
        one, two = (render_views(m, view, 32, 2)[0].float() for m in (mesh, swap_front(mesh)))
        return ((one - two).abs().sum()/(one + two).sum()).item()

    assert change(box((0, 0, 0), (.5, .6, .4), (.5, .5, .5))) < .01  # a box has no front
    for category in set(CATEGORIES) - {'table', 'lamp'}:
        changes = [change(mesh) for mesh in shapes(category)]
        assert sum(changes)/6 > .05, (category, changes)
        assert min(changes) > .01 or category == 'bench'  # some have no back


def test_the_front_is_at_z():
    def middle(category, color):
        "Mean z of the vertices of a color, over some objects."
        found = [mesh.vertices[(mesh.vertex_colors - torch.tensor(color)).abs().sum(1) < 1e-5, 2] for mesh in shapes(category, 12)]
        return torch.cat(found).mean()

    assert middle('car', GLOW) > .3 and middle('car', RED) < -.3  # lamps, rear lamps
    for category in ('chair', 'sofa', 'bench'):                   # what is high is the back
        for mesh in shapes(category, 12):
            x, y, z = mesh.vertices.T
            if category == 'chair': assert z[y > y.max() - .05].mean() < 0
    for mesh in shapes('plane', 12):                              # the fin is at the tail
        x, y, z = mesh.vertices.T
        assert z[y.argmax()] < .2


def test_an_unknown_category_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(InputError, match='expected one of plane, bench.*found .teapot'):
        make_shape('teapot', seeded())
