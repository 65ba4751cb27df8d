"OBJ files: shape, colours, what is missing."
import tempfile
import warnings

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies
from mesh_files import (
    BLUE,
    RED,
    SQUARE,
    WITH_UVS,
    area,
    complaint,
    picture,
    png_of,
    shown,
    silently,
    warned,
    written,
)
from PIL import Image
from torch.testing import assert_close

from ssr_nb.core import InputError, MeshWarning
from ssr_nb.mesh import Mesh, face_vertices, icosphere
from ssr_nb.meshio import load_mesh
from ssr_nb.render import sample_texture

# ---- OBJ: shape

def test_a_polygon_becomes_a_fan(tmp_path):
    mesh = silently(load_mesh, written(tmp_path, SQUARE))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.vertex_colors is None


def test_every_way_to_write_a_corner_means_the_same(tmp_path):
    for corners in ('1/7/9 2/8/9 3/9/9 4/9/9', '1//5 2//5 3//5 4//5', '1/3 2/3 3/4 4/4', '-4 -3 -2 -1',
                    '1 2 \\\n3 4', '1/ 2/3 3/4/4 4', '  1   2\t3 4  # a comment', '1 2 3 4\r'):
        mesh = load_mesh(written(tmp_path, SQUARE.replace('1 2 3 4', corners)))
        assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]], corners


def test_an_index_counts_back_from_the_face_and_not_from_the_end(tmp_path):
    text = 'v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 0 0 1\nf -4 -3 -1\n'
    assert load_mesh(written(tmp_path, text)).faces.tolist() == [[0, 1, 2], [0, 1, 3]]


def test_a_polygon_with_dents_keeps_its_area_and_its_side(tmp_path):
    points = np.array([(0, 0), (2, 0), (2, 2), (1, 2), (1, 1), (0, 1)])      # an L of area 3
    for turn in np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]:
        for order in 1, -1:
            corners = np.c_[points, 0*points[:, 0]][::order] @ turn
            for start in range(6):
                rows = [f'v {x} {y} {z}' for x, y, z in np.roll(corners, start, 0)]
                mesh = load_mesh(written(tmp_path, '\n'.join(rows) + '\nf 1 2 3 4 5 6\nf 1 2 3\n'))
                assert abs(area(Mesh(mesh.vertices, mesh.faces[:-1])) - 3) < 1e-6
                a, b, c = face_vertices(mesh.vertices, mesh.faces[:-1]).unbind(1)
                normals = torch.linalg.cross(b - a, c - a)
                assert (normals @ torch.tensor([0., 0, order] @ turn).float() > 0).all()
                assert mesh.faces[-1].tolist() == [0, 1, 2]


def test_a_polygon_of_ten_thousand_corners_with_dents_is_cut_up_quickly(tmp_path):
    angle = np.linspace(0, 2*np.pi, 10_000, endpoint=False)
    radius = 1 + .3*np.cos(angle*200)
    rows = [f'v {r*np.cos(a):.6f} {r*np.sin(a):.6f} 0' for r, a in zip(radius, angle)]
    mesh = load_mesh(written(tmp_path, '\n'.join(rows) + '\nf ' + ' '.join(map(str, range(1, 10_001)))))
    assert abs(area(mesh) - np.pi*(1 + .3**2/2)) < .01


def test_a_byte_order_mark_is_no_vertex(tmp_path):
    for text in b'\xef\xbb\xbfv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n', b'\xef\xbb\xbf# x\r\nv 0 0 0\r\nv 1 0 0\r\nv 0 1 0\r\nf 1 2 3\r\n':
        mesh = load_mesh(written(tmp_path, text))
        assert mesh.vertices.shape == (3, 3) and mesh.faces.tolist() == [[0, 1, 2]]


def test_far_from_the_origin_a_shape_keeps_its_digits(tmp_path):
    far = np.array([4_500_000.25, 55., 610_000.125])
    rows = ['v {:.6f} {:.6f} {:.6f}'.format(*row) for row in icosphere(1).vertices.double().numpy()*.5 + far]
    faces = ['f {} {} {}'.format(*row) for row in (icosphere(1).faces + 1).tolist()]
    mesh, text = warned(load_mesh, written(tmp_path, '\n'.join(rows + faces)))
    assert 'far from the origin' in text
    assert_close(mesh.vertices, icosphere(1).vertices*.5, atol=2e-6, rtol=0)


@pytest.mark.parametrize('text, reason', [
    (SQUARE.replace('3 4', '3 5'), 'line 6: asks for vertex 5, there are 4'),
    (SQUARE.replace('3 4', '3 -5'), 'line 6: asks for vertex -5, there are 4'),
    (SQUARE.replace('3 4', '3 0'), 'line 6: asks for vertex 0, there are 4'),
    (SQUARE.replace('3 4', f'3 {10**30}'), 'line 6: '),
    (SQUARE.replace('3 4', '3 ' + '9'*9999), 'line 6: '),
    (SQUARE.replace('3 4', '3 4.5'), 'line 6: invalid literal'),
    (SQUARE + 'f 1 2 9', 'line 7: asks for vertex 9'),
    (SQUARE.replace('1 2 3 4', '1'), 'line 6: a face has 3 or more corners'),
    (SQUARE.replace('1 2 3 4', '1 2'), 'no faces'), (SQUARE.replace('1 2 3 4', '1 9'), 'no faces'),
    (SQUARE.replace('1 2', 'one'), 'line 6: invalid literal'),
    (SQUARE.replace('v 1 1 0', 'v 1 nan 0'), 'line 4: a coordinate is not a finite number'),
    (SQUARE.replace('v 1 1 0', 'v 1 1e400 0'), 'line 4: a coordinate'),
    (SQUARE.replace('v 1 1 0', 'v 1 1e39 0'), 'line 4: a coordinate'),
    (SQUARE.replace('v 1 1 0', 'v 1 1'), 'line 4: a vertex has 3 coordinates'),
    (SQUARE.replace('v 1 1 0', 'v a b c'), 'line 4: could not convert'),
    (SQUARE.replace('v 0 1 0', 'v 0 \\\n1 0 \\\n').replace('3 4', '3 9'), 'line 8: asks for vertex 9'),
    (SQUARE.split('f')[0], 'no faces'), ('f 1 2 3', 'no vertices'), ('', 'no vertices'),
    (b'\x00\xff'*999, 'no vertices'), (b'v ' + b'9'*(2 << 20), 'line 1: longer than 262,144 bytes'),
    (b'v 0 0 0\nf' + b' 1'*1_000_000, 'line 2: longer than')], ids=range(23))
def test_every_flaw_of_an_obj_file_is_one_line_that_names_it_and_its_place(tmp_path, text, reason):
    path = written(tmp_path, text)
    line = complaint(load_mesh, path)
    assert line.startswith(str(path)) and reason in line


WORDS = strategies.lists(strategies.sampled_from(
    'v vt f usemtl mtllib 0 1 2 3 -1 1/1 1//2 / nan 1e999 \\ # \n \n \n ../x \x00 é'.split(' ')), max_size=60)


@hypothesis.given(WORDS)
@hypothesis.settings(max_examples=200, deadline=None, database=None, derandomize=True)
def test_no_bytes_make_the_obj_reader_fail_in_any_other_way(words):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore', MeshWarning)
        try: load_mesh(written(folder, ' '.join(words)))
        except InputError as error: assert 'mesh.obj' in str(error)


# ---- OBJ: colour

def test_vertex_colors_are_read_in_both_scales(tmp_path):
    text = 'v 0 0 0 {0} 0 0\nv 1 0 0 0 {0} 0\nv 0 1 0 0 0 {0}\nf 1 2 3'
    for white in 1, 255:
        assert_close(load_mesh(written(tmp_path, text.format(white))).vertex_colors, torch.eye(3))


def test_materials_colour_their_faces_and_split_shared_vertices(tmp_path):
    written(tmp_path, 'newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1', 'paint.mtl')
    two = SQUARE.replace('f 1 2 3 4', 'mtllib paint.mtl\nusemtl red\nf 1 2 3\nusemtl blue\nf 1 3 4')
    mesh = silently(load_mesh, written(tmp_path, two))
    colors = face_vertices(mesh.vertex_colors, mesh.faces)
    assert_close(colors, torch.tensor([[[1., 0, 0]]*3, [[0., 0, 1]]*3]))
    assert len(mesh.vertices) == 6


@pytest.mark.parametrize('folder, image, line', [
    ('', 'tex.png', 'map_Kd tex.png'), ('', 'my tex 1.png', 'map_Kd my tex 1.png'),
    ('', 'my tex 1.png', 'map_Kd -s 1 1 1 -bm 0.5 -clamp on my tex 1.png'), ('', 'tex.png', 'map_Kd TEX.PNG'),
    ('', 'Tex.PNG', 'map_Kd tex.png'), ('', 'tex.png', r'map_Kd C:\Users\me\tex.png'), ('', 'tex.png', 'map_Kd /home/me/tex.png'),
    ('', 'maps/tex.png', r'map_Kd maps\tex.png'), ('', 'Maps/tex.png', 'map_Kd maps/TEX.png'),
    ('', '-bm 1.png', 'map_Kd -bm 1.png'), ('models', 'images/tex.png', 'map_Kd ../images/tex.png')])
def test_a_texture_is_found_however_its_name_is_written(tmp_path, folder, image, line):
    picture(tmp_path, image)
    written(tmp_path/folder, f'newmtl a\nKd .2 .2 .2\n{line}\n', 'm.mtl')
    mesh = silently(load_mesh, written(tmp_path/folder, WITH_UVS))
    assert_close(shown(mesh), torch.tensor([RED]*2).float())


def test_a_texture_that_is_missing_is_one_warning_that_names_it(tmp_path):
    written(tmp_path, 'newmtl a\nKd 0 0 1\nmap_Kd nowhere.png\n', 'm.mtl')
    mesh, text = warned(load_mesh, written(tmp_path, WITH_UVS))
    assert 'nowhere.png not found' in text
    assert_close(shown(mesh), torch.tensor([BLUE]*2).float())


def test_a_texture_that_is_broken_or_has_no_coordinates_is_one_warning(tmp_path):
    written(tmp_path, 'newmtl a\nKd 0 0 1\nmap_Kd a.png\n', 'm.mtl')
    written(tmp_path, b'no image', 'a.png')
    mesh, text = warned(load_mesh, written(tmp_path, WITH_UVS))
    assert 'a.png cannot be read' in text and mesh.texture is None
    picture(tmp_path, 'a.png')
    mesh, text = warned(load_mesh, written(tmp_path, SQUARE.replace('f', 'mtllib m.mtl\nusemtl a\nf')))
    assert 'a.png left out: no texture coordinates' in text
    assert_close(shown(mesh), torch.tensor([BLUE]*2).float())
    mesh, text = warned(load_mesh, written(tmp_path, WITH_UVS.replace('4/4', '4/9')))
    assert 'texture coordinates' in text and mesh.texture.shape[2] == 3


def test_a_library_or_a_material_that_is_missing_is_one_warning_that_names_it(tmp_path):
    mesh, text = warned(load_mesh, written(tmp_path, WITH_UVS))
    assert 'm.mtl not found' in text and mesh.vertex_colors is None
    written(tmp_path, 'newmtl b\nKd 1 0 0\n', 'm.mtl')
    mesh, text = warned(load_mesh, written(tmp_path, WITH_UVS))
    assert 'material a is in no library' in text and mesh.vertex_colors is None


def test_the_only_material_of_a_library_is_meant_where_no_face_names_one(tmp_path):
    picture(tmp_path, 'tex.png')
    written(tmp_path, 'newmtl a\nmap_Kd tex.png\n', 'm.mtl')
    mesh = silently(load_mesh, written(tmp_path, WITH_UVS.replace('usemtl a\n', '')))
    assert_close(shown(mesh), torch.tensor([RED]*2).float())
    written(tmp_path, 'newmtl a\nmap_Kd tex.png\nnewmtl b\n', 'm.mtl')
    _, text = warned(load_mesh, written(tmp_path, WITH_UVS.replace('usemtl a\n', '')))
    assert 'no face names a material' in text


def test_an_image_and_a_colour_share_one_texture(tmp_path):
    picture(tmp_path, 'tex.png')
    written(tmp_path, 'newmtl a\nmap_Kd tex.png\nnewmtl b\nKd 0 0 1\n', 'm.mtl')
    two = WITH_UVS.replace('f 1/1 2/2 3/3 4/4', 'f 1/1 2/2 3/3\nusemtl b\nf 1 3 4')
    mesh = silently(load_mesh, written(tmp_path, two))
    for weights in (1/3, 1/3, 1/3), (1., 0, 0), (0, .1, .9):
        assert_close(shown(mesh, weights), torch.tensor([RED, BLUE]).float(), atol=.5, rtol=0)
    assert len(mesh.vertices) == 4


def test_several_images_are_packed_into_one_and_every_face_shows_its_own(tmp_path):
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((4, 4), (9, 3), (2, 30), (16, 16), (1, 1))]
    lines, faces = [], []
    for k, image in enumerate(images):
        (tmp_path/f'{k}.png').write_bytes(png_of(image))
        lines += [f'newmtl m{k}', f'map_Kd {k}.png']
        faces += [f'usemtl m{k}', 'f 1/1 2/2 3/3']
    written(tmp_path, '\n'.join(lines), 'm.mtl')
    packed = silently(load_mesh, written(tmp_path, WITH_UVS.split('usemtl')[0] + '\n'.join(faces)))
    for weights in (.5, .3, .2), (.2, .6, .2), (.1, .1, .8):
        for k, image in enumerate(images):
            uv = torch.tensor(weights) @ torch.tensor([[0., 0], [1, 0], [1, 1]])
            pixels = torch.from_numpy(np.pad(image, ((1, 1), (1, 1), (0, 0)), 'edge')).float()
            inner = (uv*torch.tensor(image.shape[1::-1]) + 1)/torch.tensor(pixels.shape[1::-1])
            assert_close(shown(packed, weights)[k], sample_texture(pixels, inner), atol=.02, rtol=0)


def test_an_image_that_repeats_is_repeated_in_the_packed_one_too(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    (tmp_path/'a.png').write_bytes(png_of(pixels))
    written(tmp_path, 'newmtl a\nmap_Kd a.png\nnewmtl b\nKd 0 0 1\n', 'm.mtl')
    text = WITH_UVS.replace('vt 1 1', 'vt 7.5 -2.5').replace('vt 1 0', 'vt 7.5 -5').replace('vt 0 0', 'vt 5.5 -5')
    alone = silently(load_mesh, written(tmp_path, text.replace(' 4/4', '')))
    packed = silently(load_mesh, written(tmp_path, text.replace(' 4/4', '\nusemtl b\nf 1 2 3')))
    assert len(alone.texture) == 4 and len(packed.texture) > 4
    for weights in (.5, .3, .2), (.2, .6, .2), (.3, .1, .6):
        assert_close(shown(packed, weights)[0], shown(alone, weights)[0], atol=.1, rtol=0)


def test_scale_and_offset_of_an_image_move_its_coordinates(tmp_path):
    picture(tmp_path, 'tex.png')
    written(tmp_path, 'newmtl a\nmap_Kd -s 2 3 1 -o .5 .25 tex.png\n', 'm.mtl')
    mesh = silently(load_mesh, written(tmp_path, WITH_UVS))
    assert_close(mesh.uvs, torch.tensor([[.5, .25], [2.5, .25], [2.5, 3.25], [.5, 3.25]]))


def test_coordinates_that_are_no_numbers_cost_the_texture_and_not_the_mesh(tmp_path):
    picture(tmp_path, 'tex.png')
    for scale in 'nan', 'inf', '1e300', '1' + '0'*400:
        written(tmp_path, f'newmtl a\nmap_Kd -s {scale} {scale} tex.png\nnewmtl b\nKd 0 0 1\n', 'm.mtl')
        for text in WITH_UVS, WITH_UVS.replace(' 4/4', '\nusemtl b\nf 1 2 3'):
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', MeshWarning)
                assert len(load_mesh(written(tmp_path, text)).faces) == 2


def test_images_of_sixteen_bits_keep_their_values(tmp_path):
    ramp = np.linspace(0, 65535, 8).round().astype(np.uint16)[None].repeat(8, 0)
    Image.fromarray(ramp).save(tmp_path/'tex.png')
    written(tmp_path, 'newmtl a\nmap_Kd tex.png\n', 'm.mtl')
    mesh = silently(load_mesh, written(tmp_path, WITH_UVS))
    assert (255*mesh.texture[3, :, 1]).round().tolist() == [0, 36, 73, 109, 146, 182, 219, 255]


def test_a_material_library_outside_the_folder_is_never_opened(tmp_path):
    secret = written(tmp_path, 'newmtl red\nKd 1 0 0', 'secret.mtl')
    (tmp_path/'in').mkdir()
    (tmp_path/'in'/'link.mtl').symlink_to(secret)
    for name in '../secret.mtl', '..\\secret.mtl', str(secret), 'link.mtl', 'missing.mtl', '.', 'a\0b', '/dev/zero':
        text = SQUARE.replace('f 1', f'mtllib {name}\nusemtl red\nf 1')
        mesh, _ = warned(load_mesh, written(tmp_path/'in', text))
        assert mesh.vertex_colors is None


@pytest.mark.parametrize('change', [
    lambda text: ('\ufeff' + text).encode('utf-16-le'), lambda text: ('\ufeff' + text).encode('utf-16-be'),
    lambda text: text.replace('\n', '\r').encode(), lambda text: ('\ufeff' + text).encode(),
    lambda text: text.replace('map_Kd', 'MAP_KD').replace('newmtl', 'NewMtl').encode(),
    lambda text: text.replace('m.mtl', 'm#1.mtl').replace('tex.png', 'tex#1.png').encode(),
    lambda text: text.replace('usemtl a', 'usemtl my a').replace('newmtl a', 'newmtl  my a # mine').encode()],
    ids=['utf-16', 'utf-16 be', 'cr', 'mark', 'capitals', 'hash', 'blanks'])
def test_a_library_is_understood_in_every_spelling_of_text(tmp_path, change):
    for name in 'tex.png', 'tex#1.png': picture(tmp_path, name)
    for name in 'm.mtl', 'm#1.mtl': written(tmp_path, change('newmtl a\nKd 0 0 1\nmap_Kd tex.png\n'), name)
    mesh = silently(load_mesh, written(tmp_path, change(WITH_UVS)))
    assert_close(shown(mesh), torch.tensor([RED]*2).float())


def test_one_number_is_a_grey_and_colours_of_some_vertices_are_told(tmp_path):
    written(tmp_path, 'newmtl a\nKd .2\n', 'm.mtl')
    assert_close(shown(silently(load_mesh, written(tmp_path, WITH_UVS))), torch.full((2, 3), 51.))
    mesh, text = warned(load_mesh, written(tmp_path, SQUARE.replace('v 0 0 0', 'v 0 0 0 1 0 0')))
    assert mesh.vertex_colors is None and 'some vertices have none' in text


def test_a_group_for_collisions_is_left_out_with_a_word(tmp_path):
    text = SQUARE.replace('f 1', 'g cup\nf 1') + 'g cup_collider\nf 1 2 3\ng empty_collider\n'
    mesh, said = warned(load_mesh, written(tmp_path, text))
    assert len(mesh.faces) == 2 and said.count('cup_collider') == 1 and 'empty' not in said


def test_a_library_is_read_once_however_often_it_is_named(tmp_path, monkeypatch):
    from ssr_nb import objfile
    reads, read = [], objfile._library
    monkeypatch.setattr(objfile, '_library', lambda *a: reads.append(a) or read(*a))
    written(tmp_path, 'newmtl a\nKd 1 0 0\n', 'm.mtl')
    mesh = silently(load_mesh, written(tmp_path, 'mtllib m.mtl\n'*3000 + SQUARE.replace('f', 'usemtl a\nf')))
    assert len(reads) == 1
    assert_close(shown(mesh), torch.tensor([RED]*2).float())
