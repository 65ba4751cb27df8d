"ssr_render: one mesh in, one image out."
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import answers_without_torch, done, refused
from PIL import Image

from ssr_nb.camera import camera_axes, eye_from_angles
from ssr_nb.cli.render import main
from ssr_nb.mesh import Mesh, icosphere, normalize
from ssr_nb.meshio import save_mesh
from ssr_nb.shapes import make_shape


def image_of(path): return np.asarray(Image.open(path)).astype(float)


def test_a_mesh_is_rendered_from_where_it_is_asked_hard_or_soft(tmp_path):
    save_mesh(make_shape('chair', torch.Generator().manual_seed(0)), tmp_path/'chair.obj')
    images = {}
    for name, words in dict(front='', same='--azimuth 180', back='--azimuth 0', soft='--soft').items():
        done(main, tmp_path/'chair.obj', *words.split(), '--size', 64, '-o', tmp_path/f'{name}.png')
        images[name] = image_of(tmp_path/f'{name}.png')
    assert images['front'].shape == (64, 64, 4) and .05 < (images['front'][..., 3] > 127).mean() < .6
    assert np.abs(images['front'] - images['back']).mean() > 5 and (images['front'] == images['same']).all()
    alpha = images['front'][..., 3] > 127, images['soft'][..., 3] > 127
    assert (alpha[0] & alpha[1]).sum()/(alpha[0] | alpha[1]).sum() > .9


def test_a_texture_is_seen_also_with_soft_edges(tmp_path):
    corners = torch.tensor([[-.3, -.3, 0.], [.3, -.3, 0.], [.3, .3, 0.], [-.3, .3, 0.]])
    faces, texture = torch.tensor([[0, 1, 2], [0, 2, 3]]), torch.zeros(8, 8, 3)
    texture[:, :4, 0] = texture[:, 4:, 2] = 1      # red on the left, blue on the right
    uvs = torch.tensor([[0., 0], [1, 0], [1, 1], [0, 1]])
    save_mesh(Mesh(corners, faces, uvs=uvs, face_uvs=faces, texture=texture), tmp_path/'a.glb')
    for words in [], ['--soft']:
        done(main, tmp_path/'a.glb', '--size', 64, *words, '-o', tmp_path/'a.png')
        image = image_of(tmp_path/'a.png')
        assert image[..., 3].max() > 250
        for side, channel in ((image[29:33, 22:29], 0), (image[29:33, 35:42], 2)):
            assert side[..., channel].min() > 60 and side[..., :3].sum() == side[..., channel].sum()


def test_without_a_word_one_sees_the_front_and_help_says_where_azimuth_0_is(tmp_path):
    "A plate that is red in front (+z) and blue behind."
    corners = torch.tensor([[-.3, -.3, 0.], [.3, -.3, 0.], [.3, .3, 0.], [-.3, .3, 0.]])
    vertices = torch.cat([corners + torch.tensor([0, 0, z]) for z in (.02, -.02)])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]])
    red, blue = torch.tensor([1., 0, 0]), torch.tensor([0., 0, 1])
    save_mesh(Mesh(vertices, faces, torch.stack([red]*4 + [blue]*4)), tmp_path/'plate.ply')
    for words, channel in (([], 0), (['--azimuth', 0], 2)):
        done(main, tmp_path/'plate.ply', '--size', 32, '--elevation', 0, '-o', tmp_path/'p.png', *words)
        assert image_of(tmp_path/'p.png')[16, 16].argsort()[2] == channel
    text = ' '.join(done(main, '--help').replace('│', ' ').split())
    assert '180: the front (an eye at +z), 0: the back (at -z)' in text


def test_a_mesh_of_another_size_is_scaled_into_view_unless_told_not_to(tmp_path):
    mesh = normalize(icosphere(1))
    for name, move in dict(same=1., large=100., tiny=.003).items():
        save_mesh(replace(mesh, vertices=move*mesh.vertices + (0 if move == 1. else .1*move**.5)), tmp_path/f'{name}.obj')
    said, images, widths = {}, {}, {}
    for name in ('same', 'large', 'tiny'):
        said[name] = done(main, tmp_path/f'{name}.obj', '-o', tmp_path/f'{name}.png', '--size', 64)
        images[name] = image_of(tmp_path/f'{name}.png')
        columns = (images[name][..., 3] > 127).any(0).nonzero()[0]
        widths[name] = columns[-1] - columns[0] + 1
    assert ['fill the image' in said[name] for name in ('same', 'large', 'tiny')] == [False, True, True]
    assert widths['same'] == (image_of(tmp_path/'same.png')[..., 3] > 127).any(0).sum() < 48
    assert widths['large'] >= 60 and np.abs(images['large'] - images['tiny']).mean() < 1
    for name, low, high in ('large', 4000, 4097), ('tiny', 0, 10):   # as they are: it surrounds the eye, a speck
        done(main, tmp_path/f'{name}.obj', '-o', tmp_path/'never.png', '--size', 64, '--fit', 'never')
        assert low <= (image_of(tmp_path/'never.png')[..., 3] > 127).sum() < high


@pytest.mark.parametrize('view', [(2.732, 15., 30., -45.), (1.4, 30., 0., 180.), (1.2, 60., 90., 20.)])
@pytest.mark.parametrize('words', [(), ('--soft',)])
def test_what_fills_the_image_is_cut_by_no_border_and_not_open(tmp_path, view, words):
    "A cube, red outside: of no pixel does one see its inside, which the near plane would show."
    side = torch.cartesian_prod(*[torch.tensor([0., 5])]*3) + 40
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    save_mesh(Mesh(side, torch.tensor(faces)), tmp_path/'cube.obj')
    distance, half_angle, elevation, azimuth = view
    done(main, tmp_path/'cube.obj', '--fit', 'always', '--distance', distance, '--half-angle', half_angle, '--elevation', elevation,
         '--azimuth', azimuth, '--size', 64, '-o', tmp_path/'v.png', *words)
    alpha = image_of(tmp_path/'v.png')[..., 3] > 127
    rows, columns = alpha.any(1).nonzero()[0], alpha.any(0).nonzero()[0]
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) > 28
    assert not alpha[[0, -1]].any() and not alpha[:, [0, -1]].any()
    for line in (*alpha, *alpha.T):   # convex: no hole
        where = line.nonzero()[0]
        assert len(where) == 0 or where[-1] - where[0] + 1 == len(where)


def test_faces_that_cross_the_near_plane_are_cut_there(tmp_path):
    "A floor under the camera: what a ray through each pixel says."
    floor = Mesh([[-5., -.3, -5], [5, -.3, -5], [5, -.3, 5], [-5, -.3, 5]], [[0, 1, 2], [0, 2, 3]])
    save_mesh(floor, tmp_path/'floor.obj')
    covered = {}
    for near in (.01, 3.):
        done(main, tmp_path/'floor.obj', '--azimuth', 0, '--elevation', 10, '--fit', 'never', '--near', near, '--size', 64, '-o', tmp_path/'v.png')
        covered[near] = (image_of(tmp_path/'v.png')[..., 3]/255).sum()
    axes, eye, tangent = camera_axes(eye_from_angles(2.732, 10., 0.)), eye_from_angles(2.732, 10., 0.), math.tan(math.radians(15))
    x, y = torch.meshgrid(torch.linspace(-1, 1, 65)[:-1] + 1/64, torch.linspace(1, -1, 65)[:-1] - 1/64, indexing='xy')
    rays = torch.stack([x*tangent, y*tangent, torch.ones(64, 64)], -1) @ axes
    depth = (-.3 - eye[1])/rays[..., 1]
    ground = eye + depth[..., None]*rays
    hit = (depth > 0) & (ground[..., [0, 2]].abs() < 5).all(-1)
    for near, pixels in covered.items():
        assert abs(pixels - float((hit & (depth >= near)).sum())) < 20
    assert covered[.01] > 2600 and 0 < covered[3.] < 2000


def test_the_letter_f_reads_f_from_the_front_and_is_its_mirror_image_from_behind(tmp_path):
    bars = [(0, 0, .5, 3), (.5, 2.5, 2, 3), (.5, 1.2, 1.5, 1.7)]
    corners = [(x, y, z) for a, b, c, d in bars for z in (0., .3) for x, y in ((a, b), (c, b), (c, d), (a, d))]
    quads = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    faces = [[8*k + q[i] for i in f] for k in range(3) for q in quads for f in ((0, 1, 2), (0, 2, 3))]
    save_mesh(Mesh(corners, faces), tmp_path/'F.obj')
    for words in [], ['--soft']:
        shown = {}
        for azimuth in 180, 0:
            done(main, tmp_path/'F.obj', '--azimuth', azimuth, '--elevation', 0, '--size', 64, '-o', tmp_path/'F.png', *words)
            alpha = image_of(tmp_path/'F.png')[..., 3] > 127
            rows, columns = alpha.any(1).nonzero()[0], alpha.any(0).nonzero()[0]
            shown[azimuth] = alpha[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        stem, bars = np.array_split(shown[180], 2, 1)
        top, bottom = np.array_split(bars, 2)
        assert stem.sum() > 1.3*bars.sum() and top.sum() > 2*bottom.sum()
        assert (shown[180] != shown[0][:, ::-1]).mean() < .06


def test_target_and_roll_move_and_turn_the_image_as_they_say(tmp_path):
    ball = icosphere(2)
    save_mesh(Mesh(.1*ball.vertices + torch.tensor([.3, .2, 0]), ball.faces), tmp_path/'ball.obj')

    def middle(*words):
        done(main, tmp_path/'ball.obj', '--fit', 'never', '--elevation', 0, '--size', 64, '-o', tmp_path/'v.png', *words)
        y, x = (image_of(tmp_path/'v.png')[..., 3] > 127).nonzero()
        return x.mean() - 31.5, 31.5 - y.mean()

    x, y = middle()
    assert x > 8 and y > 5                                     # from the front +x is right, +y up
    assert np.allclose(middle('--target', .3, .2, 0), 0, atol=.5)
    assert np.allclose(middle('--roll', 90), (-y, x), atol=.5)   # counter-clockwise
    assert 'nothing of the mesh is in the image' in done(main, tmp_path/'ball.obj', '--fit', 'never', '--target', 3, 0, 0, '--size', 16, '-o', tmp_path/'v.png')
    assert '--near' in refused(main, tmp_path/'ball.obj', '-o', tmp_path/'w.png', '--near', 0, within=tmp_path)
    assert '--target' in refused(main, tmp_path/'ball.obj', '-o', tmp_path/'w.png', '--target', 0, 'nan', 0, within=tmp_path)


def test_rendering_refuses_meshes_and_options_that_it_cannot_use(tmp_path):
    def say(mesh, *words): return refused(main, tmp_path/mesh, '-o', tmp_path/'v.png', *words, within=tmp_path)
    vertices = 'v 0 0 0\nv 1 0 0\nv 0 1 0\n'
    for name, text in {'no_faces': vertices, 'nan': 'v nan 0 0\n' + vertices + 'f 1 2 3\n', 'range': vertices + 'f 1 2 9\n',
                       'empty': '', 'good': vertices + 'f 1 2 3\n'}.items(): (tmp_path/f'{name}.obj').write_text(text)
    for mesh in ('none.obj', 'no_faces.obj', 'nan.obj', 'range.obj', 'empty.obj'): assert mesh in say(mesh)
    assert '--size' in say('good.obj', '--size', '0') and '--elevation' in say('good.obj', '--elevation', '95')
    assert '--half-angle' in say('good.obj', '--half-angle', '0') and '--distance' in say('good.obj', '--distance', 'nan')
    assert 'v.gif' in refused(main, tmp_path/'good.obj', '-o', tmp_path/'v.gif', within=tmp_path)
    assert 'azimuth' in say('good.obj', '--azimuth', 'north')


def test_rendering_answers_without_torch(tmp_path):
    (tmp_path/'a.obj').touch()
    out = ['-o', tmp_path/'v.png']
    answers_without_torch('render', [tmp_path/'none.obj', *out], [tmp_path/'a.obj', '-o', tmp_path/'nowhere'/'v.png'], [tmp_path/'a.obj', '--size', 0, *out],
                          [tmp_path/'a.obj', '--azimut', 3, *out], [tmp_path/'a.obj'], [tmp_path, *out])


def test_what_a_mesh_lacks_is_one_line(tmp_path):
    "A material that names a texture which is not there."
    (tmp_path/'t.mtl').write_text('newmtl m\nKd 1 0 0\nmap_Kd absent.png\n')
    (tmp_path/'t.obj').write_text('mtllib t.mtl\nv 0 0 0\nv .4 0 0\nv 0 .4 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n')
    from commands import shell
    code, out, err = shell(main, tmp_path/'t.obj', '-o', tmp_path/'v.png', '--size', 16)
    assert code == 0 and err.startswith('ssr_render: ') and err.count('\n') == 1 and 'absent.png' in err
