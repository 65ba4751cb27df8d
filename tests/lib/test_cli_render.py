"ssr_render: one mesh in, one image out."
from dataclasses import replace

import numpy as np
import torch
from commands import answers_without_torch, done, refused
from PIL import Image

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
    mesh = normalize(icosphere(1)); large = replace(mesh, vertices=100*mesh.vertices + 7)
    save_mesh(mesh, tmp_path/'a.obj'); save_mesh(large, tmp_path/'b.obj')
    said = [done(main, tmp_path/f'{name}.obj', '-o', tmp_path/f'{name}.png', '--size', 32) for name in 'ab']
    assert ['scaled into the unit cube' in words for words in said] == [False, True]
    a, b = (image_of(tmp_path/f'{n}.png') for n in 'ab')
    assert np.abs(a - b).max() <= 2 and a[..., 3].max() == 255


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
