"More claims about the renderers of chapter 04."
import contextlib
import math

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from ssr_nb.camera import camera_axes, eye_from_angles, project, viewpoint_ring
from ssr_nb.core import InputError
from ssr_nb.mesh import Mesh, face_vertices, icosphere
from ssr_nb.raster import RasterOptions, nearest_face, reference
from ssr_nb.raster.reference import interpolate
from ssr_nb.render import (
    Light,
    SoftRenderer,
    downsample,
    facing_normals,
    pad_meshes,
    render_buffers,
    render_views,
    sample_texture,
    shade,
    smooth_normals,
)

device = 'cuda' if torch.cuda.is_available() else 'cpu'
level = torch.tensor([[2.732, 0., 0.]])  # the eye on the negative z axis

def box(low, high):
    "Corners (8, 3) and outward triangles (12, 3) of a box."
    corners = torch.tensor([[x, y, z] for x in (0., 1) for y in (0., 1) for z in (0., 1)])
    quads = torch.tensor([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    low, high = torch.tensor(low), torch.tensor(high)
    return low + corners*(high - low), torch.cat([quads[:, :3], quads[:, [0, 2, 3]]])

def letter():
    "The letter F in boxes, with a foot towards the camera of view 0: no symmetry."
    parts = [box([-.3, -.475, 0.], [-.1, .475, .15]), box([-.1, .3, 0.], [.3, .475, .15]),
             box([-.1, -.05, 0.], [.15, .1, .15]), box([-.3, -.475, -.3], [-.1, -.35, 0.])]
    colors = torch.tensor([[.9, .9, .9], [.9, .3, .2], [.2, .6, .3], [.2, .3, .9]])
    return Mesh(torch.cat([v for v, _ in parts]), torch.cat([f + 8*i for i, (_, f) in enumerate(parts)]),
                colors.repeat_interleave(8, 0))


def test_a_light_that_is_none_is_refused():
    for name, wrong in ('ambient', math.nan), ('directional', None), ('direction', (1, 2)), ('direction', 3.), ('direction', (0, 1, math.inf)):
        with pytest.raises(InputError, match=f'^{name}: expected'): Light(**{name: wrong})
    with pytest.raises(InputError, match='^light: expected a Light'): shade(torch.eye(3), (0, 1, 0))


def test_for_parallel_rays_a_face_looks_at_a_far_eye():
    mesh, eyes = icosphere(2), eye_from_angles(2.732, 30., torch.tensor([-20., 70]))
    parallel = facing_normals(mesh.vertices, mesh.faces, eyes, parallel=True)
    assert_close(parallel, facing_normals(mesh.vertices, mesh.faces, 1e6*eyes))
    assert (parallel != facing_normals(mesh.vertices, mesh.faces, eyes)).any()


def test_on_a_sphere_smooth_normals_are_the_directions_from_its_centre_whatever_the_winding():
    sphere, eyes = icosphere(2), eye_from_angles(*viewpoint_ring(3).T)
    for faces in sphere.faces, sphere.faces.flip(-1):
        normals = smooth_normals(sphere.vertices.expand(3, -1, -1), faces, eyes)
        outward = face_vertices(sphere.vertices, faces)
        seen = ((eyes[:, None] - outward[:, 0])*outward.mean(1)).sum(-1) > .1   # away from the rim
        assert_close(normals[seen], outward.expand(3, -1, -1, -1)[seen], atol=.03, rtol=0)


def test_a_pixel_is_the_mean_of_its_own_samples():
    fine = torch.arange(24.).view(4, 6)
    assert_close(downsample(fine, 2), torch.tensor([[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]))
    assert_close(downsample(fine, 1), fine)


def test_the_alpha_of_a_picture_is_its_silhouette():
    renderer, mesh, ring = SoftRenderer(16), letter(), viewpoint_ring(3)
    vertices = mesh.vertices.expand(3, -1, -1)
    assert_close(renderer(vertices, mesh.faces, ring)[:, 3], renderer.silhouettes(vertices, mesh.faces, ring))


def test_a_batch_of_pictures_is_its_items_one_by_one_and_one_mesh_serves_many_views():
    renderer, mesh, ring = SoftRenderer(16), letter(), viewpoint_ring(3)
    batch = renderer(mesh.vertices.expand(3, -1, -1), mesh.faces, ring, mesh.vertex_colors.expand(3, -1, -1))
    for view, picture in zip(ring, batch):
        assert_close(renderer(mesh.vertices[None], mesh.faces, view[None], mesh.vertex_colors[None])[0], picture)
    assert_close(renderer(mesh.vertices[None], mesh.faces, ring, mesh.vertex_colors[None]), batch)
    assert_close(renderer(mesh.vertices, mesh.faces, ring, mesh.vertex_colors), batch)
    assert_close(renderer(mesh.vertices.expand(3, -1, -1), mesh.faces.expand(3, -1, -1), ring, mesh.vertex_colors.expand(3, -1, -1)), batch)


def test_a_supersampled_picture_is_a_larger_one_averaged():
    mesh, ring = letter(), viewpoint_ring(3)
    for size in 16, (12, 17):
        large = SoftRenderer(tuple(2*n for n in ((size, size) if size == 16 else size)), sigma=1e-3)
        small = SoftRenderer(size, sigma=1e-3, supersample=2)
        scene = mesh.vertices, mesh.faces, ring
        assert_close(small(*scene, mesh.vertex_colors), torch.nn.functional.avg_pool2d(large(*scene, mesh.vertex_colors), 2))
        assert_close(small.silhouettes(*scene), torch.nn.functional.avg_pool2d(large.silhouettes(*scene), 2))
    for wrong in 0, 1.5, None:
        with pytest.raises(InputError, match='supersample'): SoftRenderer(supersample=wrong)


def test_any_leading_dimensions_will_do():
    mesh, ring = letter(), viewpoint_ring(6).view(2, 3, 3)
    renderer = SoftRenderer(16, sigma=1e-3, supersample=2)
    many = renderer(mesh.vertices.expand(2, 3, -1, -1), mesh.faces, ring, mesh.vertex_colors)
    assert many.shape == (2, 3, 4, 16, 16)
    assert_close(many.flatten(0, 1), renderer(mesh.vertices, mesh.faces, ring.flatten(0, 1), mesh.vertex_colors))
    one = renderer(mesh.vertices, mesh.faces, ring[0, 0], mesh.vertex_colors)
    assert_close(one, many[0, 0])
    assert_close(renderer.silhouettes(mesh.vertices, mesh.faces, ring[0, 0]), one[3])


def test_a_mirrored_or_flipped_or_transposed_letter_gives_such_a_picture_on_every_backend():
    mesh, no_light = letter(), Light(1, 0)
    for backend in 'reference', 'cpu':
        for color in 'softmax', 'hard':
            renderer = SoftRenderer(24, sigma=1e-3, gamma=1e-2, color=color, light=no_light, backend=backend)
            draw = lambda vertices: renderer(vertices, mesh.faces, level, mesh.vertex_colors)[0]
            picture = draw(mesh.vertices)
            for turned in picture.flip(-1), picture.flip(-2), picture.mT: assert (turned - picture).abs().mean() > .02
            x, y, z = mesh.vertices.unbind(-1)
            assert_close(draw(torch.stack([-x, y, z], -1)), picture.flip(-1), atol=2e-4, rtol=0)
            assert_close(draw(torch.stack([x, -y, z], -1)), picture.flip(-2), atol=2e-4, rtol=0)
            assert_close(draw(torch.stack([-y, -x, z], -1)), picture.mT, atol=2e-4, rtol=0)   # rows go down


def test_bad_input_is_refused_by_name():
    renderer, mesh = SoftRenderer(), letter()
    with pytest.raises(InputError, match='viewpoints'): renderer.silhouettes(mesh.vertices[None], mesh.faces, level[:, :2])
    with pytest.raises(InputError, match='viewpoints'): renderer.silhouettes(mesh.vertices.expand(2, -1, -1), mesh.faces, level.expand(3, 3))
    for name, value in dict(distance='far', sigma=-1, background=3, half_angle=200, half_width=0, image_size=None).items():
        with pytest.raises(InputError, match=name): SoftRenderer(**{name: value})
    for faces in mesh.faces + 9, mesh.faces - 1, mesh.faces.float(), mesh.faces[:, :2], mesh.faces[:0], mesh.faces[None] - 2:
        with pytest.raises(InputError, match='faces'): renderer.silhouettes(mesh.vertices, faces, level)
    for colors in mesh.vertex_colors[:-1], mesh.vertex_colors[:, :2], (255*mesh.vertex_colors).byte():
        with pytest.raises(InputError, match='vertex_colors'): renderer(mesh.vertices, mesh.faces, level, colors)
    with pytest.raises(InputError, match='^faces.*do not go with vertices'): renderer(mesh.vertices.expand(2, -1, -1), mesh.faces.expand(3, -1, -1), level)
    with pytest.raises(InputError, match="^backend: expected one of .*found 'gpu'"): SoftRenderer(backend='gpu')
    with pytest.raises(InputError, match='^light: expected a Light'): SoftRenderer(light=None)


def test_one_mesh_in_many_colors_is_many_pictures_and_colors_of_another_number_are_refused():
    mesh, ring = letter(), viewpoint_ring(3)
    paints = torch.rand(3, 32, 3, generator=torch.Generator().manual_seed(0))
    renderer = SoftRenderer(16)
    many = renderer(mesh.vertices, mesh.faces, level, paints)
    for paint, picture in zip(paints, many): assert_close(renderer(mesh.vertices, mesh.faces, level, paint)[0], picture)
    with pytest.raises(InputError, match=r'^vertex_colors: \(2, 32, 3\) do not go with images of batch \(3,\)'): renderer(mesh.vertices, mesh.faces, ring, paints[:2])


def test_pictures_are_alike_on_every_device(device):
    renderer, mesh, ring = SoftRenderer(32), letter(), viewpoint_ring(3)
    there = mesh.to(device)
    picture = renderer(there.vertices, there.faces, ring.to(device), there.vertex_colors).cpu()
    assert_close(picture, renderer(mesh.vertices, mesh.faces, ring, mesh.vertex_colors), atol=1e-4, rtol=0)


def test_under_autocast_pictures_keep_their_precision(device):
    mesh, ring = letter().to(device), viewpoint_ring(3).to(device)
    for backend in 'auto', 'reference':
        for more in dict(), dict(color='hard'), dict(shading='smooth', camera='orthographic'):
            renderer = SoftRenderer(16, sigma=1e-3, backend=backend, **more)
            call = lambda: renderer(mesh.vertices, mesh.faces, ring, mesh.vertex_colors)
            with torch.autocast(device, torch.bfloat16): picture = call()
            assert picture.dtype == torch.float32
            assert_close(picture, call(), atol=0, rtol=0)


def test_with_parallel_rays_a_box_is_as_wide_near_as_far():
    vertices, faces = box([-.3, -.3, -.3], [.3, .3, .3])
    renderer = SoftRenderer(32, alpha='hard', camera='orthographic', half_width=.601)
    alpha = renderer.silhouettes(vertices + torch.tensor([.01, .0, 0]), faces, level)[0]
    assert_close(alpha, torch.nn.functional.pad(torch.ones(16, 16), (8,)*4))


def test_with_parallel_rays_the_light_does_not_change_with_distance():
    sphere, near, far = icosphere(2), torch.tensor([[.8, 30., 0.]]), torch.tensor([[80., 30., 0.]])
    parallel, deep = SoftRenderer(camera='orthographic'), SoftRenderer()
    bright = lambda renderer, view: renderer.brightness(.5*sphere.vertices[None], sphere.faces, view)
    assert_close(bright(parallel, near), bright(parallel, far))
    assert (bright(deep, near) != bright(deep, far)).any()


def test_a_wide_picture_is_the_middle_of_a_square_one():
    mesh, ring = letter(), viewpoint_ring(3)
    square, wide, tall = (SoftRenderer(size)(mesh.vertices, mesh.faces, ring, mesh.vertex_colors) for size in (32, (20, 32), (32, 20)))
    assert_close(wide, square[..., 6:26, :]); assert_close(tall, square[..., 6:26])


def test_smooth_shading_of_a_coarse_sphere_is_nearer_to_the_true_sphere():
    fine, coarse = icosphere(4), icosphere(1)
    true = SoftRenderer(32)(.5*fine.vertices, fine.faces, level)[0]
    flat, smooth = (SoftRenderer(32, shading=s)(.5*coarse.vertices, coarse.faces, level)[0] for s in ('flat', 'smooth'))
    inside = (flat[3] > .99)
    assert ((smooth - true)[:3, inside].abs().mean() < .5*(flat - true)[:3, inside].abs().mean())


def test_unknown_cameras_and_shadings_are_named():
    for name in 'camera', 'shading':
        with pytest.raises(InputError, match=name): SoftRenderer(**{name: 'round'})
    with pytest.raises(InputError, match='matrix'): SoftRenderer(camera='matrix').silhouettes(letter().vertices, letter().faces, level)


def test_on_an_accelerator_nothing_is_read_back_and_nothing_copied_over():
    pytest.importorskip('triton')
    class Calls(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            names.append(getattr(function, '__name__', str(function)))
            return function(*args, **(kwargs or {}))

    stalls = {'new_tensor', 'tensor', 'from_numpy', 'item', 'tolist', 'cpu', 'numpy', 'nonzero', 'masked_select', '__bool__', '__int__', '__float__', '__index__'}
    mesh, ring = icosphere(0), viewpoint_ring(2)
    vertices, faces, views, colors, matrix = (t.to('meta') for t in (
        mesh.vertices.expand(2, -1, -1), mesh.faces, ring, mesh.vertices, torch.eye(3, 4).expand(2, 3, 4)))
    for options, scene in [({}, (views,)), ({}, (views, colors)), (dict(color='hard', alpha='sum'), (views, colors)),
                           (dict(camera='orthographic', shading='smooth', supersample=2), (views, colors)), (dict(camera='matrix', cull_backfaces=True), (matrix, colors))]:
        renderer, names = SoftRenderer(16, backend='triton', **options), []
        leaf = vertices.clone().requires_grad_()
        with pytest.MonkeyPatch.context() as patched, Calls():
            patched.setattr(torch, 'autocast', lambda *args, **kw: contextlib.nullcontext())   # there is none for meta
            pictures = [renderer.silhouettes(leaf, faces, scene[0]), renderer(leaf, faces, *scene)]
            torch.autograd.grad(sum(p.sum() for p in pictures), leaf)
        assert len(names) > 50 and not stalls & set(names), stalls & set(names)


def test_buffers_of_padded_meshes_are_those_of_each_alone():
    meshes, ring = [letter(), Mesh(.4*icosphere(1).vertices, icosphere(1).faces)], viewpoint_ring(2)
    vertices, faces, _ = pad_meshes(meshes)
    for options in dict(), dict(camera='orthographic'), dict(backend='reference', cull_backfaces=True):
        batch = render_buffers(vertices, faces, ring, 16, **options)
        for i, mesh in enumerate(meshes):
            alone = render_buffers(mesh.vertices, mesh.faces, ring[i], 16, **options)
            assert (batch.face_ids[i] == alone.face_ids).all()
            assert_close(batch.depth[i], alone.depth); assert_close(batch.normals[i], alone.normals)


def test_buffers_leave_out_what_the_renderer_leaves_out():
    ball, view = Mesh(.5*icosphere(2).vertices, icosphere(2).faces), viewpoint_ring(1)
    whole, back = (render_buffers(ball.vertices, faces, view, 32, cull_backfaces=True) for faces in (ball.faces, ball.faces.flip(-1)))
    seen = whole.face_ids >= 0
    assert (back.depth[seen] > whole.depth[seen])[whole.depth[seen] < 2.7].all()       # its inside, farther away
    for options in dict(near=2.5), dict(far=2.5), dict(half_angle=30., backend='reference'):
        part = render_buffers(ball.vertices, ball.faces, view, 32, **options)
        drawn = SoftRenderer(32, distance='hard', alpha='hard', **options).silhouettes(ball.vertices, ball.faces, view)
        assert ((part.face_ids >= 0) != (drawn > .5)).sum() <= 2 and part.face_ids.max() >= 0
        assert (part.face_ids != whole.face_ids).any()


def test_depth_has_the_gradient_of_finite_differences_with_every_camera():
    sphere, view = icosphere(0), torch.tensor([[2.7, 23., 7.], [2.9, 31., 200.]], dtype=torch.float64)   # no edge through a pixel's centre
    vertices, matrix = .5*sphere.vertices.double(), torch.tensor([[8., .3, 2.4, 4.8], [.2, 9, 2.6, 5.2], [0, .1, 1, 2]], dtype=torch.float64)
    for camera, views in ('perspective', view), ('orthographic', view), ('matrix', matrix):
        depth = lambda v, p: render_buffers(v, sphere.faces, p, 5, camera=camera).depth
        assert (depth(vertices, views) > 0).sum() > 4
        assert torch.autograd.gradcheck(depth, (vertices.clone().requires_grad_(), views.clone().requires_grad_()))


def test_with_parallel_rays_a_roof_higher_than_the_eye_is_seen_from_above():
    vertices, faces = box([-.3, -.3, -.3], [.3, .3, .3])
    seen = render_buffers(vertices, faces, torch.tensor([1., 10., 0.]), 33, camera='orthographic', half_width=.5, near=.1)
    roof = (vertices[faces][..., 1] == .3).all(1)[seen.face_ids] & (seen.face_ids >= 0)
    assert roof.sum() > 20
    assert_close(seen.normals[roof], torch.tensor([[0., 1, 0]]).expand(int(roof.sum()), 3))


def test_every_camera_s_depth_leads_from_the_pixel_to_the_face_that_the_reference_sees():
    mesh, ring = letter(), viewpoint_ring(3)
    axes, eye = camera_axes(eye_from_angles(*ring.T)), eye_from_angles(*ring.T)
    tan, (height, width) = math.tan(math.radians(15)), (24, 31)
    K = torch.tensor([[31/2/tan, 0, width/2], [0, 31/2/tan, height/2], [0, 0, 1]])
    R = torch.tensor([1., -1, 1]).diag() @ axes
    matrix = K @ torch.cat([R, -R @ eye[..., None]], -1)
    x = ((2*torch.arange(width) + 1 - width)/31).expand(height, width)
    y = ((height - 1 - 2*torch.arange(height))/31)[:, None].expand(height, width)
    for camera, views, reach in ('perspective', ring, None), ('matrix', matrix, None), ('orthographic', ring, .6):
        options = dict(camera=camera, half_width=reach or 1.)
        seen = render_buffers(mesh.vertices, mesh.faces, views, (height, width), **options)
        corners = SoftRenderer((height, width), **options).corners(mesh.vertices.double(), mesh.faces, views.double())
        expected = reference.nearest(corners, RasterOptions(image_size=(height, width)))
        assert (seen.face_ids != expected).float().mean() < .005 and (expected >= 0).float().mean() > .1   # ties in float32
        aside = reach or seen.depth*tan
        there = torch.stack(torch.broadcast_tensors(x*aside, y*aside, seen.depth), -1).flatten(1, 2) @ axes + eye[:, None]
        corner = mesh.vertices[mesh.faces[seen.face_ids, 0]].flatten(1, 2)
        off = ((there - corner)*seen.normals.flatten(1, 2)).sum(-1)                # of the face's plane
        assert_close(off, torch.zeros_like(off), atol=2e-5, rtol=0)
        towards = (-axes[:, 2])[:, None] if reach else eye[:, None] - there
        assert ((towards*seen.normals.flatten(1, 2)).sum(-1) >= -1e-5).all()


def test_the_silhouette_is_that_of_the_reference_rasterizer():
    for mesh in letter(), icosphere(1):
        corners = face_vertices(project(.6*mesh.vertices, viewpoint_ring(3)), mesh.faces)
        expected = reference.silhouette(corners.double(), RasterOptions(image_size=48, distance='hard', alpha='hard'))
        assert_close((nearest_face(corners, image_size=48) >= 0).double(), expected)


def test_a_closed_surface_shows_the_same_without_its_backs():
    ball = icosphere(2)
    corners = face_vertices(project(.5*ball.vertices, viewpoint_ring(3)), ball.faces)
    both = nearest_face(corners)
    assert (both == nearest_face(corners, cull_backfaces=True)).all()
    assert (nearest_face(corners.flip(-2), cull_backfaces=True) != both).any()


def test_faces_behind_the_eye_or_through_the_near_plane_or_out_of_all_bounds_do_no_harm():
    wild = torch.tensor([[0., 0, 2], [1, 0, 2], [0, 1, -2], [1e15, 1e15, 2], [-1e15, 1, 2], [0, -1e15, 2], [0, 0, 0]])
    faces = torch.tensor([[0, 1, 2], [0, 1, 6], [0, 0, 0], [0, 1, 1], [3, 4, 5]])
    assert set(nearest_face(wild[faces], image_size=16).unique().tolist()) <= {-1, 4}
    with pytest.raises(InputError, match='face_vertices.*NaN'): nearest_face(wild[faces]*math.nan)


def test_depth_and_color_have_the_gradient_of_finite_differences():
    mesh = icosphere(0)
    corners = face_vertices(project(.5*mesh.vertices.double(), viewpoint_ring(2).double()), mesh.faces).requires_grad_()
    values = torch.rand(2, 20, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    ids = nearest_face(corners, image_size=5)
    assert torch.autograd.gradcheck(lambda c, v: interpolate(ids, c, v, True), (corners, values))


def test_a_color_given_in_perspective_is_that_of_the_place_in_the_world():
    mesh, ring = letter(), viewpoint_ring(2)
    corners = face_vertices(project(mesh.vertices, ring), mesh.faces)
    ids = nearest_face(corners, image_size=24)
    places = face_vertices(mesh.vertices, mesh.faces)
    place = interpolate(ids, corners, places, perspective=True)                 # a point of the object at every pixel
    back = project(place.flatten(1, 2), ring).unflatten(1, (24, 24))
    grid = (2*torch.arange(24) + 1 - 24)/24
    seen = ids >= 0
    assert_close(back[..., 0][seen], grid.expand(2, 24, 24)[seen], atol=1e-4, rtol=0)
    assert_close(back[..., 1][seen], -grid[:, None].expand(2, 24, 24)[seen], atol=1e-4, rtol=0)


def test_the_gradient_of_a_texture_look_up_matches_finite_differences():
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(3, 4, 2, generator=generator, dtype=torch.float64).requires_grad_()
    uv = torch.rand(9, 2, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(sample_texture, (texture, uv))


def test_with_one_sample_a_pixel_the_picture_is_the_reference_s_hard_one():
    mesh, ring = letter(), viewpoint_ring(3)
    crisp = render_views(mesh, ring, 32, 1)
    renderer = SoftRenderer(32, distance='hard', alpha='hard', color='hard', backend='reference')
    soft = renderer(mesh.vertices, mesh.faces, ring, mesh.vertex_colors)
    assert_close(crisp/255, soft, atol=.6/255, rtol=0)


def test_a_wide_crisp_picture_is_the_middle_of_the_square_one():
    square, wide, tall = (render_views(letter(), viewpoint_ring(3), size) for size in (32, (20, 32), (32, 20)))
    assert (wide == square[..., 6:26, :]).all() and (tall == square[..., 6:26]).all()
    buffers = render_buffers(letter().vertices, letter().faces, viewpoint_ring(3), (20, 32))
    assert buffers.depth.shape == (3, 20, 32) and buffers.normals.shape == (3, 20, 32, 3)


def test_faces_of_one_color_look_the_same_picked_or_interpolated():
    mesh = letter()
    loose = mesh.vertices[mesh.faces].flatten(0, 1), torch.arange(3*len(mesh.faces)).view(-1, 3)
    colors = torch.rand(len(mesh.faces), 3, generator=torch.Generator().manual_seed(0)).repeat_interleave(3, 0)
    nearly = colors.clone(); nearly[0, 0] += 1e-4                                 # no longer one color: interpolated
    picked, mixed = (render_views(Mesh(*loose, vertex_colors=c), viewpoint_ring(3)) for c in (colors, nearly))
    assert (picked.int() - mixed.int()).abs().max() <= 1


def test_alpha_counts_sixteenths_and_color_is_weighted_by_it():
    views = render_views(letter(), viewpoint_ring(3))
    sixteenths = (torch.arange(17)*255/16).round().to(torch.uint8)
    assert set(views[:, 3].unique().tolist()) == set(sixteenths.tolist())
    assert (views[:, :3].amax(1) <= views[:, 3]).all()


def test_bad_sizes_and_viewpoints_are_refused_by_name():
    with pytest.raises(InputError, match='image_size'): render_views(letter(), level, 0)
    with pytest.raises(InputError, match='supersample'): render_views(letter(), level, 8, 0)
    for wrong in [2.732, 30.], [[0., 30, 0]], level*math.nan:
        with pytest.raises(InputError, match='^viewpoints: expected'): render_views(letter(), wrong)
    with pytest.raises(InputError, match='^light: expected a Light'): render_views(letter(), level, light=None)


def test_eighty_thousand_faces_have_the_area_of_their_sphere_from_24_sides():
    sphere = icosphere(6)
    views = render_views(Mesh(.45*sphere.vertices, sphere.faces), viewpoint_ring())
    area = (views[:, 3].double()/255).sum((1, 2))/32**2*.732**2       # at the distance of the centre
    outline = torch.pi*.45**2/(1 - .45**2/2.732**2)                  # a sphere seen from near is a little larger
    assert_close(area, torch.full((24,), outline, dtype=torch.float64), rtol=3e-3, atol=0)


def test_a_soft_textured_picture_at_its_hard_limit_is_the_crisp_one():
    corners = torch.tensor([[-.4, -.4, 0], [.4, -.4, 0], [.4, .4, .3], [-.4, .4, .3]])
    uvs, faces = torch.tensor([[0., 0], [1, 0], [1, 1], [0, 1]]), torch.tensor([[0, 1, 2], [0, 2, 3]])
    texture = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(0))
    mesh = Mesh(corners, faces, uvs=uvs, face_uvs=faces, texture=texture)
    ring = viewpoint_ring(8)[[0, 1, 3, 7]]
    for size in 32, (24, 31):
        crisp = render_views(mesh, ring, size, 1)/255
        renderer = SoftRenderer(size, distance='hard', alpha='hard')
        soft = renderer.textured(mesh.vertices, faces, ring, texture, uvs, faces)
        assert_close(soft, crisp, atol=.7/255, rtol=0)


def test_with_parallel_rays_a_texture_runs_evenly_over_a_slanted_square():
    corners = torch.tensor([[-.4, -.4, 0], [.4, -.4, 0], [.4, .4, .8], [-.4, .4, .8]])
    uvs, faces = torch.tensor([[0., 0], [1, 0], [1, 1], [0, 1]]), torch.tensor([[0, 1, 2], [0, 2, 3]])
    ramp = ((torch.arange(64) + .5)/64).flip(0).view(64, 1, 1).expand(64, 64, 3)        # brightness is v
    renderer = SoftRenderer((17, 16), camera='orthographic', half_width=.4*17/16, light=Light(1, 0))
    column = renderer.textured(corners, faces, level, ramp, uvs, faces)[0, 0, :, 8]
    assert_close(column[1:-1], torch.linspace(1, 0, 17)[1:-1], atol=1e-3, rtol=0)


def test_what_is_no_number_or_no_tensor_is_blamed_on_the_argument_that_brought_it():
    mesh, uvs, patch = letter(), torch.rand(4, 2), torch.rand(5, 6, 3)
    face_uvs = (mesh.faces % 4)
    good = dict(vertices=mesh.vertices, faces=mesh.faces, viewpoints=level, vertex_colors=mesh.vertex_colors, texture=patch, uvs=uvs, face_uvs=face_uvs)
    calls = {'vertices faces viewpoints': (SoftRenderer(8).silhouettes, render_buffers, lambda *a: SoftRenderer(8, camera='orthographic')(*a)),
             'vertices faces viewpoints vertex_colors': (SoftRenderer(8), SoftRenderer(8, backend='reference')),
             'vertices faces viewpoints texture uvs face_uvs': (SoftRenderer(8).textured,)}
    for names, draws in calls.items():
        for name in names.split():
            value = good[name]
            wrong = [value.numpy(), value.tolist(), None]
            if value.is_floating_point(): wrong += [torch.where(torch.arange(3) == 1, bad, value) if value.shape[-1] == 3 else value*bad for bad in (math.nan, -math.inf)]
            if name != 'viewpoints': wrong += [value.int() if value.is_floating_point() else value.float()]
            for draw in draws:
                for bad in wrong:
                    if bad is None and name == 'vertex_colors': continue        # None: white
                    with pytest.raises(InputError, match=f'^{name}: expected'): draw(*(bad if n == name else good[n] for n in names.split()))
    for bad in face_uvs[1:], face_uvs + 4, face_uvs - 1:
        with pytest.raises(InputError, match='^face_uvs'): SoftRenderer(8).textured(mesh.vertices, mesh.faces, level, patch, uvs, bad)


def test_padded_meshes_look_as_they_do_alone_and_padding_has_no_gradient():
    meshes = [letter(), Mesh(.4*icosphere(1).vertices, icosphere(1).faces), Mesh(*box([-.2, -.2, -.2], [.2, .1, .3]))]
    ring, weight = viewpoint_ring(3), torch.rand(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    vertices, faces, colors = pad_meshes(meshes)
    assert vertices.shape == (3, 42, 3) and faces.shape == (3, 80, 3) and colors.shape == (3, 42, 3)
    vertices.requires_grad_()
    for options in dict(), dict(shading='smooth'), dict(color='hard'), dict(backend='reference'):
        renderer = SoftRenderer(16, sigma=1e-3, gamma=1e-2, **options)
        batch = renderer(vertices, faces, ring, colors)
        grad, = torch.autograd.grad((batch*weight).sum(), vertices)
        for i, mesh in enumerate(meshes):
            alone = mesh.vertices[None].clone().requires_grad_()
            own = None if mesh.vertex_colors is None else mesh.vertex_colors[None]
            picture = renderer(alone, mesh.faces, ring[i:i + 1], own)
            assert_close(picture, batch[i:i + 1])
            expected, = torch.autograd.grad((picture*weight[i]).sum(), alone)
            count = len(mesh.vertices)
            assert_close(grad[i, :count], expected[0], atol=1e-4*expected.abs().max().item(), rtol=0)
            assert (grad[i, count:] == 0).all()
    with pytest.raises(InputError, match='meshes'): pad_meshes([])


def floor():
    "A floor that passes under the camera, and the viewpoint."
    vertices = torch.tensor([[-5., -.3, -5], [5, -.3, -5], [5, -.3, 5], [-5, -.3, 5]])
    return vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), torch.tensor([[2.732, 10., 0.]])


def ground(size, near):
    "Where rays through pixels meet the floor, (S, S, 3), and do they?"
    axes, eye, tangent = camera_axes(eye_from_angles(2.732, 10., 0.)), eye_from_angles(2.732, 10., 0.), math.tan(math.radians(15))
    grid = (2*torch.arange(size) + 1 - size)/size*tangent
    rays = torch.stack([grid.expand(size, size), -grid[:, None].expand(size, size), torch.ones(size, size)], -1) @ axes
    depth = (-.3 - eye[1])/rays[..., 1]
    points = eye + depth[..., None]*rays
    return points, (depth > near) & (points[..., [0, 2]].abs() < 5).all(-1), depth


@pytest.mark.parametrize('backend', ['cpu', 'reference'])
@pytest.mark.parametrize('near', [.01, 3.])
def test_faces_that_cross_the_near_plane_are_cut_there_as_rays_say(near, backend):
    vertices, faces, view = floor()
    points, hit, depth = ground(64, near)
    renderer = SoftRenderer(64, near=near, sigma=1e-6, backend=backend)
    alpha = renderer.silhouettes(vertices, faces, view)[0]
    assert ((alpha > .5) != hit).sum() < 70 and abs(float(alpha.sum() - hit.sum())) < 20   # the rest: on its rim
    left_out = SoftRenderer(64, near=near, sigma=1e-6, backend=backend, clip=False).silhouettes(vertices, faces, view)
    assert left_out.sum() == 0
    seen = render_buffers(vertices, faces, view, 64, near=near, backend=backend)
    both = (seen.face_ids[0] >= 0) & hit
    assert both.sum() > .98*hit.sum() and set(seen.face_ids.unique().tolist()) == {-1, 0, 1}
    assert_close(seen.depth[0][both], depth[both], atol=2e-3, rtol=0)
    assert_close(seen.normals[0][both], torch.tensor([0., 1, 0]).expand(int(both.sum()), 3))


def test_colours_and_textures_of_a_cut_face_stay_where_they_were():
    vertices, faces, view = floor()
    points, hit, _ = ground(32, .01)
    uvs = (vertices[:, [0, 2]] + 5)/10
    colors = torch.cat([uvs, torch.zeros(4, 1)], 1)
    ramp = torch.stack([*torch.meshgrid(torch.linspace(1, 0, 200), torch.linspace(0, 1, 200), indexing='ij')][::-1] + [torch.zeros(200, 200)], -1)
    expected = torch.cat([(points[..., [0, 2]] + 5)/10, torch.zeros(32, 32, 1)], -1)
    mesh, image = Mesh(vertices, faces, colors), Mesh(vertices, faces, uvs=uvs, face_uvs=faces, texture=ramp)
    pictures = [render_views(m, view, 32, 1, Light(1, 0))[0]/255 for m in (mesh, image)]
    pictures += [SoftRenderer(32, near=.01, sigma=1e-7, light=Light(1, 0)).textured(vertices, faces, view, ramp, uvs, faces)[0]]
    for picture in pictures:
        inside = hit & (picture[3] > .99)
        assert inside.sum() > .95*hit.sum()
        assert_close(picture[:3].movedim(0, -1)[inside], expected[inside], atol=.02, rtol=0)


def test_the_gradient_flows_through_a_cut_and_a_batch_equals_its_items():
    vertices, faces, view = floor()
    renderer = SoftRenderer(8, near=.5, sigma=1e-2, gamma=1e-2, dist_eps=1e-9, backend='reference')
    high = vertices.double()*.4
    draw = lambda v, c: renderer(v, faces, view.double(), c)
    colors = torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(draw, (high[None].clone().requires_grad_(), colors), atol=1e-4)
    meshes, views = [letter(), Mesh(vertices, faces), Mesh(.4*icosphere(1).vertices, icosphere(1).faces)], torch.cat([view]*3)
    batch, padded, paint = pad_meshes(meshes)
    together = SoftRenderer(16, near=.01)(batch, padded, views, paint)
    for one, mesh in zip(together, meshes):
        own = torch.ones(1, len(mesh.vertices), 3) if mesh.vertex_colors is None else mesh.vertex_colors[None]
        assert_close(SoftRenderer(16, near=.01)(mesh.vertices[None], mesh.faces, view, own)[0], one)
    assert_close(SoftRenderer(16, clip=True)(batch[::2], padded[::2], views[::2]), SoftRenderer(16)(batch[::2], padded[::2], views[::2]))


def test_parallel_rays_and_matrices_cut_at_the_near_plane_too():
    vertices, faces, view = floor()
    axes, eye = camera_axes(eye_from_angles(*view.T)), eye_from_angles(*view.T)
    f = 32/2/math.tan(math.radians(15))
    K, R = torch.tensor([[f, 0, 16], [0, f, 16], [0, 0, 1]]), torch.tensor([1., -1, 1]).diag() @ axes
    matrix = K @ torch.cat([R, -R @ eye[..., None]], -1)
    one = SoftRenderer(32, near=.05).silhouettes(vertices, faces, view)
    assert one.sum() > 500
    assert_close(SoftRenderer(32, near=.05, camera='matrix').silhouettes(vertices, faces, matrix), one, atol=1e-3, rtol=0)
    flat = render_buffers(vertices, faces, view, 32, camera='orthographic', near=.05)
    assert flat.depth[flat.face_ids >= 0].min() >= .05 and 200 < (flat.face_ids >= 0).sum() < 1024


def test_a_target_shifts_what_a_renderer_shows_and_roll_turns_it():
    mesh, there = letter(), (.2, -.1, .3)
    moved = Mesh(mesh.vertices + torch.tensor(there), mesh.faces, mesh.vertex_colors)
    for options in {}, dict(camera='orthographic'):
        here = SoftRenderer(24, sigma=1e-3, **options)(mesh.vertices[None], mesh.faces, viewpoint_ring(3), mesh.vertex_colors[None])
        seen = SoftRenderer(24, sigma=1e-3, target=there, **options)(moved.vertices[None], mesh.faces, viewpoint_ring(3), mesh.vertex_colors[None])
        assert_close(seen, here, atol=2e-4, rtol=0)
        turned = SoftRenderer(24, sigma=1e-3, roll=90., **options)(mesh.vertices[None], mesh.faces, viewpoint_ring(3), mesh.vertex_colors[None])
        assert_close(turned, here.rot90(1, (2, 3)), atol=2e-3, rtol=0)
    assert_close(render_views(moved, viewpoint_ring(3), target=there).float(), render_views(mesh, viewpoint_ring(3)).float(), atol=9, rtol=0)
    with pytest.raises(InputError, match='^target'): SoftRenderer(target=(1, 2))
    with pytest.raises(InputError, match='^roll'): SoftRenderer(roll=math.nan)


def test_the_nearest_face_is_seen_and_the_first_of_equals():
    triangle = torch.tensor([[-1., -1, 0], [1, -1, 0], [0, 1, 0]])
    faces = triangle + torch.tensor([3., 2, 2])[:, None, None]*torch.tensor([0, 0, 1])
    ids = nearest_face(faces, image_size=8)
    assert set(ids.unique().tolist()) == {-1, 1}
    assert set(nearest_face(faces.flip(0), image_size=8).unique().tolist()) == {-1, 0}
    assert (nearest_face(faces, image_size=8, near=2.5) == torch.where(ids == 1, 0, -1)).all()
    assert (nearest_face(faces, image_size=8, far=1.5) == -1).all()
