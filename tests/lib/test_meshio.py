import json
import logging
import os
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
import trimesh
from hypothesis import strategies
from PIL import Image
from torch.testing import assert_close

from ssr_nb.imagefile import open_image
from ssr_nb.core import InputError, MeshWarning
from ssr_nb.mesh import Mesh, face_vertices, icosphere
from ssr_nb.meshio import load_mesh, save_mesh
from ssr_nb.render import sample_texture

SQUARE = '''
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
f 1 2 3 4
'''
WITH_UVS = '''mtllib m.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl a
f 1/1 2/2 3/3 4/4
'''
RED, BLUE = (255, 0, 0), (0, 0, 255)


def written(folder, text, name='mesh.obj'):
    "Write a file and say where."
    path = Path(folder)/name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def picture(folder, name, color=RED, size=8):
    "Write an image of one colour."
    (Path(folder)/name).parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (size, size), color).save(Path(folder)/name)


def complaint(call, *arguments, **options):
    "The one line that a call refuses its arguments with."
    with pytest.raises(InputError) as found: call(*arguments, **options)
    assert '\n' not in str(found.value)
    return str(found.value)


def silently(call, *arguments):
    "The result of a call that warns of nothing."
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        return call(*arguments)


def warned(call, *arguments):
    "The result of a call and its only warning, which is one line of ours."
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        result = call(*arguments)
    assert [w.category for w in found] == [MeshWarning]
    text = str(found[0].message)
    assert '\n' not in text and text.startswith(str(arguments[-1]))
    return result, text


def area(mesh):
    a, b, c = face_vertices(mesh.vertices.double(), mesh.faces).unbind(1)
    return float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum()/2)


def shown(mesh, weights=(1/3, 1/3, 1/3)):
    "The colour (F, 3) that each face shows at a point inside, 0 to 255."
    weights = torch.tensor(weights)[:, None]
    if mesh.texture is None:
        return 255*(face_vertices(mesh.vertex_colors, mesh.faces)*weights).sum(1)
    uv = (face_vertices(mesh.uvs, mesh.face_uvs)*weights).sum(1)
    return 255*sample_texture(mesh.texture, uv)


def tetrahedron(**kw):
    "The corner of a cube: three faces on the axes' planes, one across."
    corners = torch.tensor([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 2, 1], [0, 3, 2], [0, 1, 3], [1, 2, 3]])
    return Mesh(corners, faces, **kw)


def textured(seed=0, size=(5, 7)):
    generator = torch.Generator().manual_seed(seed)
    return tetrahedron(
        uvs=torch.rand(6, 2, generator=generator),
        face_uvs=torch.randint(6, (4, 3), generator=generator),
        texture=torch.randint(256, (*size, 3), generator=generator)/255)


def gltf(folder, tree=None, materials=None, uvs=False, image=None, name='a.glb', **changes):
    "Write a GLB of one triangle; its tree's entries can be changed."
    parts = [struct.pack('<9f', 0, 0, 0, 1, 0, 0, 0, 1, 0), struct.pack('<3H', 0, 1, 2) + b'\0\0',
             struct.pack('<6f', 0, 0, 1, 0, 0, 1), image or b'']
    starts = np.cumsum([0] + [len(p) for p in parts])
    views = [dict(buffer=0, byteOffset=int(s), byteLength=len(p)) for s, p in zip(starts, parts)]
    views[1]['byteLength'] = 6
    shape = dict(attributes=dict(POSITION=0, **(dict(TEXCOORD_0=2) if uvs else {})), indices=1)
    if materials: shape['material'] = 0
    tree = dict(
        asset=dict(version='2.0'), buffers=[dict(byteLength=sum(map(len, parts)))],
        bufferViews=views if image else views[:3],
        accessors=[dict(bufferView=0, componentType=5126, count=3, type='VEC3', min=[0, 0, 0], max=[1, 1, 0]),
                   dict(bufferView=1, componentType=5123, count=3, type='SCALAR'),
                   dict(bufferView=2, componentType=5126, count=3, type='VEC2')],
        meshes=[dict(primitives=[shape])], nodes=[dict(mesh=0)], scenes=[dict(nodes=[0])], scene=0)
    if materials: tree['materials'] = materials
    if image:
        tree['images'] = [dict(bufferView=3, mimeType='image/png')]
        tree['textures'] = [dict(source=0)]
    text = json.dumps(tree | changes).encode()
    text += b' '*(-len(text) % 4)
    blob = b''.join(parts)
    blob += b'\0'*(-len(blob) % 4)
    body = struct.pack('<II', len(text), 0x4E4F534A) + text + struct.pack('<II', len(blob), 0x004E4942) + blob
    return written(folder, struct.pack('<III', 0x46546C67, 2, 12 + len(body)) + body, name)


def png_of(pixels):
    "The content of a PNG file."
    with tempfile.SpooledTemporaryFile() as file:
        Image.fromarray(np.uint8(pixels)).save(file, 'png')
        file.seek(0)
        return file.read()


def bomb(side):
    "A PNG of side × side black pixels, one bit each; of more than 10,000 rows it holds the first."
    def chunk(kind, body): return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    rows = zlib.compress(bytes((1 + side//8)*(side if side < 10_000 else 1)))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0)) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


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


def test_a_library_is_read_once_however_often_it_is_named(tmp_path, monkeypatch):
    from ssr_nb import objfile
    reads, read = [], objfile._library
    monkeypatch.setattr(objfile, '_library', lambda *a: reads.append(a) or read(*a))
    written(tmp_path, 'newmtl a\nKd 1 0 0\n', 'm.mtl')
    mesh = silently(load_mesh, written(tmp_path, 'mtllib m.mtl\n'*3000 + SQUARE.replace('f', 'usemtl a\nf')))
    assert len(reads) == 1
    assert_close(shown(mesh), torch.tensor([RED]*2).float())


# ---- other formats

def test_parts_of_a_scene_are_moved_to_their_places_and_keep_their_colors(tmp_path):
    scene = trimesh.Scene()
    for x, color in (-2, [255, 0, 0, 255]), (2, [0, 0, 255, 255]):
        part = trimesh.creation.box()
        part.visual.vertex_colors = color
        scene.add_geometry(part, transform=trimesh.transformations.translation_matrix([x, 0, 0]))
    scene.export(tmp_path/'two.glb')
    mesh = silently(load_mesh, tmp_path/'two.glb')
    assert_close(mesh.vertices.aminmax(dim=0)[0], torch.tensor([-2.5, -.5, -.5]))
    right = mesh.vertices[:, 0] > 0
    assert_close(mesh.vertex_colors[right], torch.tensor([[0., 0, 1]]*int(right.sum())))
    assert_close(mesh.vertex_colors[~right], torch.tensor([[1., 0, 0]]*int((~right).sum())))
    assert len(mesh.faces.unique()) == len(mesh.vertices)
    sides = face_vertices(mesh.vertices, mesh.faces)
    assert_close((sides.amax(1) - sides.amin(1)).amax(1), torch.ones(24))      # no face spans both boxes


def test_a_base_color_without_coordinates_colours_every_vertex(tmp_path):
    red = [dict(pbrMetallicRoughness=dict(baseColorFactor=[1, 0, 0, 1]))]
    mesh = silently(load_mesh, gltf(tmp_path, materials=red))
    assert_close(mesh.vertex_colors, torch.tensor([[1., 0, 0]]*3))


def test_an_embedded_image_is_a_texture_times_the_base_color(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4], pixels[:, 4:] = RED, BLUE
    look = dict(baseColorTexture=dict(index=0))
    for factor in None, [.5, 1, 1, 1]:
        if factor: look['baseColorFactor'] = factor
        mesh = silently(load_mesh, gltf(tmp_path, materials=[dict(pbrMetallicRoughness=look)], uvs=True, image=png_of(pixels)))
        assert mesh.texture.shape == (8, 8, 3)
        red, blue = shown(mesh, (.8, .1, .1))[0], shown(mesh, (.1, .8, .1))[0]
        assert_close(red, torch.tensor([128. if factor else 255., 0, 0]))
        assert_close(blue, torch.tensor([0., 0, 255]))


def test_an_image_that_cannot_be_read_is_one_warning_in_glb_too(tmp_path):
    look = [dict(pbrMetallicRoughness=dict(baseColorTexture=dict(index=0)))]
    path = gltf(tmp_path, materials=look, uvs=True, image=b'no image')
    mesh, text = warned(load_mesh, path)
    assert 'image' in text and mesh.texture is None


def test_a_node_that_mirrors_turns_its_faces_outward_again(tmp_path):
    path = gltf(tmp_path, nodes=[dict(mesh=0, scale=[-1, 1, 1])])
    a, b, c = face_vertices(*(lambda m: (m.vertices, m.faces))(load_mesh(path)))[0]
    assert torch.linalg.cross(b - a, c - a)[2] > 0


PLY = '''ply
format ascii 1.0
{}element vertex 3
property float x
property float y
property float z
property float s
property float t
element face 1
property list uchar int vertex_indices
end_header
0 0 0 0 0
1 0 0 1 0
0 1 0 0 1
3 0 1 2
'''


def test_coordinates_without_an_image_leave_a_ply_plain(tmp_path):
    mesh = silently(load_mesh, written(tmp_path, PLY.format(''), 'a.ply'))
    assert mesh.texture is None and mesh.vertex_colors is None


def test_the_image_of_a_ply_is_its_texture_or_one_warning(tmp_path, caplog):
    path = written(tmp_path, PLY.format('comment TextureFile tex.png\n'), 'a.ply')
    mesh, text = warned(load_mesh, path)
    assert 'tex.png not found' in text and mesh.vertex_colors is None and not caplog.records
    picture(tmp_path, 'tex.png')
    assert_close(shown(silently(load_mesh, path)), torch.tensor([RED]).float())


def test_what_trimesh_says_in_a_log_is_heard_again_after_loading(tmp_path):
    level = logging.getLogger('trimesh.util').level
    load_mesh(gltf(tmp_path))
    log = logging.getLogger('trimesh.util')
    assert not log.filters and log.level == level


@pytest.mark.parametrize('name', ['a.ply', 'a.off', 'a.obj'])
def test_a_polygon_with_dents_keeps_its_area_in_every_format(tmp_path, name):
    points = [(0, 0), (2, 0), (2, 2), (1, 2), (1, 1), (0, 1)]
    rows = '\n'.join(f'{x} {y} 0' for x, y in points)
    text = {'a.ply': PLY.replace('property float s\nproperty float t\n', '').replace('vertex 3', 'vertex 6').format('').split('0 0 0 0')[0]
            + rows + '\n6 0 1 2 3 4 5\n',
            'a.off': f'OFF\n6 1 0\n{rows}\n6 0 1 2 3 4 5\n',
            'a.obj': '\n'.join('v ' + row for row in rows.split('\n')) + '\nf 1 2 3 4 5 6\n'}[name]
    assert abs(area(load_mesh(written(tmp_path, text, name))) - 3) < 1e-6


def test_triangles_without_shared_edges_are_joined(tmp_path):
    save_mesh(icosphere(2), tmp_path/'a.stl')
    mesh = silently(load_mesh, tmp_path/'a.stl')
    assert len(mesh.vertices) == len(icosphere(2).vertices) and len(mesh.faces) == 320
    assert_close(face_vertices(mesh.vertices, mesh.faces), face_vertices(icosphere(2).vertices, icosphere(2).faces))


def test_off_files_are_read_in_all_their_forms(tmp_path):
    for text in ('OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n', '# x\nOFF 3 1 0\n0 0 0\n\n1 0 0 # y\n0 1 0\n3 0 1 2 255 0 0\n',
                 'COFF\n3 1 0\n0 0 0 255 0 0 255\n1 0 0 255 0 0 255\n0 1 0 255 0 0 255\n3 0 1 2'):
        mesh = silently(load_mesh, written(tmp_path, text, 'a.off'))
        assert mesh.faces.tolist() == [[0, 1, 2]] and mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert_close(mesh.vertex_colors, torch.tensor([[1., 0, 0]]*3))


@pytest.mark.parametrize('name, content', [
    ('a.glb', b'glTF\2\0\0\0'), ('a.glb', b''), ('a.ply', b'ply\nformat'), ('a.stl', b''), ('a.off', b'OFF\n1 1 0\n0 0 0\n3 0 1 9'),
    ('a.off', b''), ('a.off', b'OFF\n9999999999 1 0'), ('a.off', b'OFF\n1 1 0\n0 0\n3 0 0 0'), ('a.off', b'OFF\n1 1 0\n0 0 0\n9 0 0'),
    ('a.off', b'OFF\n1 0 0\n0 0 0'), ('a.off', b'OFF\n1 2 0\n0 0 0\n-1 0 0\n3 0 0 0'), ('a.ply', PLY.format('').replace('0 1 2', '0 1 9').encode()),
    ('a.ply', PLY.format('').replace('vertex_indices', 'other').encode()), ('a.gltf', b'{"meshes": 3}'), ('a.gltf', b'['*10**5), ('a.gltf', b'[]'), ('a.xyz1', b''), ('a.zip', b'PK')])
def test_broken_and_unknown_files_are_refused_by_name(tmp_path, name, content):
    path = written(tmp_path, content, name)
    assert complaint(load_mesh, path).startswith(str(path))


def test_a_format_that_needs_a_package_says_which(tmp_path):
    from ssr_nb.meshio import _NEEDS
    from trimesh.exchange.load import mesh_formats
    missing = [suffix for suffix in _NEEDS if suffix[1:] not in mesh_formats()]
    for suffix in missing:
        assert f'needs {_NEEDS[suffix]}' in complaint(load_mesh, written(tmp_path, '', 'a' + suffix))
    assert '.glb .gltf' in complaint(load_mesh, written(tmp_path, '', 'a.doc'))
    assert 'no such file' in complaint(load_mesh, tmp_path/'none.obj')
    assert 'no such file' in complaint(load_mesh, tmp_path)


def test_a_gltf_file_may_not_read_outside_its_folder(tmp_path):
    export = trimesh.exchange.gltf.export_gltf(trimesh.Scene([trimesh.creation.box()]))
    for name, content in export.items(): written(tmp_path/'in', content, name)
    assert len(load_mesh(tmp_path/'in'/'model.gltf').faces) == 12
    buffer = next(name for name in export if name.endswith('.bin'))
    (tmp_path/'in'/buffer).rename(tmp_path/'secret.bin')
    text = (tmp_path/'in'/'model.gltf').read_text().replace(buffer, '../secret.bin')
    assert 'model.gltf: not a readable' in complaint(load_mesh, written(tmp_path/'in', text, 'model.gltf'))


def test_compressed_meshes_are_refused_by_name(tmp_path):
    for name in 'KHR_draco_mesh_compression', 'EXT_meshopt_compression':
        path = gltf(tmp_path, extensionsRequired=[name], extensionsUsed=[name])
        assert name in complaint(load_mesh, path)


# ---- hostile files

def hostile_gltfs():
    accessor = dict(bufferView=0, componentType=5126, count=3, type='VEC3')
    index = dict(bufferView=1, componentType=5123, count=3, type='SCALAR')
    shape = dict(attributes=dict(POSITION=0), indices=1)
    layers = [dict(children=[2*n + 2, 2*n + 3]) for n in range(17) for _ in (0, 1)] + [dict(mesh=0)]*2
    yield 'faces', dict(nodes=[dict(mesh=0)]*40_000, scenes=[dict(nodes=list(range(40_000)))],
                        accessors=[accessor, index | dict(count=60_000)])
    yield 'tree', dict(nodes=layers, scenes=[dict(nodes=[0, 1])])
    yield 'tree', dict(nodes=[dict(children=[1], mesh=0), dict(children=[0], mesh=0)])
    yield 'numbers', dict(accessors=[dict(componentType=5126, count=10**9, type='VEC3'), index])
    yield 'faces', dict(meshes=[dict(primitives=[shape]*3000)], accessors=[accessor, index | dict(count=60_000)])
    yield 'vertices', dict(meshes=[dict(primitives=[shape]*3000)], accessors=[accessor | dict(count=60_000), index])
    yield 'images', dict(images=[dict(bufferView=0)]*2000)
    yield 'glTF', dict(accessors=[dict(count='many', type='VEC3')])
    yield 'a.glb', dict(nodes=[dict(mesh=7)])
    yield 'glTF', dict(accessors=[dict(count=float('inf'), type='VEC3')])
    yield 'beyond 3', dict(bufferViews=[dict(buffer=0, byteOffset=0, byteLength=36), dict(buffer=0, byteOffset=12, byteLength=6),
                                        dict(buffer=0, byteOffset=0, byteLength=24)])


@pytest.mark.parametrize('word, changes', list(hostile_gltfs()), ids=range(11))
def test_a_small_gltf_that_would_become_huge_is_refused_before_it_is_built(tmp_path, word, changes):
    assert word in complaint(load_mesh, gltf(tmp_path, **changes))


def test_an_archive_that_unfolds_to_gigabytes_is_refused(tmp_path):
    from ssr_nb.meshio import _check_archive
    with zipfile.ZipFile(tmp_path/'a.3mf', 'w', zipfile.ZIP_DEFLATED) as archive:
        with archive.open('3D/a.model', 'w') as file:
            for _ in range(300): file.write(bytes(1 << 20))
    content = (tmp_path/'a.3mf').read_bytes()
    assert '314,572,800 bytes in it' in complaint(_check_archive, tmp_path/'a.3mf', content)


def test_too_many_faces_are_refused_with_their_number(tmp_path, monkeypatch):
    from ssr_nb import objfile
    monkeypatch.setattr(objfile, 'MAX_FACES', 10)
    path = written(tmp_path, SQUARE + 'f 1 2 3 4\n'*9)
    assert complaint(load_mesh, path) == f'{path}: 20 faces, over the limit of 10'


def test_an_image_that_unfolds_to_gigabytes_is_not_unfolded(tmp_path):
    assert open_image(written(tmp_path, bomb(8), 'small.png')).size == (8, 8)
    for side in 8200, 16_000, 10**6:
        with pytest.raises(ValueError, match='over the limit'): open_image(written(tmp_path, bomb(side), 'large.png'))
    written(tmp_path, '%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'a.eps')
    with pytest.raises(OSError, match='cannot identify'): open_image(tmp_path/'a.eps')
    written(tmp_path, 'newmtl a\nmap_Kd large.png\n', 'm.mtl')
    mesh, text = warned(load_mesh, written(tmp_path, WITH_UVS))
    assert 'over the limit' in text and mesh.texture is None


def test_large_textures_are_made_smaller_and_memory_stays_bounded(tmp_path):
    picture(tmp_path, 'a.png', size=6000)
    written(tmp_path, ''.join(f'newmtl m{k}\nmap_Kd a.png\n' for k in range(100)), 'm.mtl')
    faces = ''.join(f'usemtl m{k}\nf 1/1 2/2 3/3\n' for k in range(100))
    path = written(tmp_path, WITH_UVS.split('usemtl')[0] + faces)
    code = ('import resource, sys; from ssr_nb.meshio import load_mesh; mesh = load_mesh(sys.argv[1]); '
            'print(*mesh.texture.shape[:2], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)')
    words = subprocess.run([sys.executable, '-c', code, str(path)], capture_output=True, text=True, check=True).stdout.split()
    unit = 1 if sys.platform == 'darwin' else 1 << 10
    assert words[:2] == ['3000', '3000'] and int(words[2])*unit < 1 << 30


# ---- writing

def test_what_is_saved_is_loaded_bit_for_bit(tmp_path):
    generator = torch.Generator().manual_seed(0)
    mesh = tetrahedron(vertex_colors=torch.rand(4, 3, generator=generator))
    mesh.vertices.add_(torch.rand(4, 3, generator=generator)*1e-3)
    silently(save_mesh, mesh, tmp_path/'a.obj')
    again = silently(load_mesh, tmp_path/'a.obj')
    for name in 'vertices', 'faces', 'vertex_colors':
        assert_close(getattr(again, name), getattr(mesh, name), rtol=0, atol=0)


def test_a_texture_is_saved_beside_the_mesh_and_loaded_with_it(tmp_path):
    mesh = textured()
    silently(save_mesh, mesh, tmp_path/'a b.obj')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a b.mtl', 'a b.obj', 'a b.png']
    again = silently(load_mesh, tmp_path/'a b.obj')
    for name in 'vertices', 'faces', 'uvs', 'face_uvs', 'texture':
        assert_close(getattr(again, name), getattr(mesh, name), rtol=0, atol=0)


def test_a_glb_file_keeps_texture_and_joined_vertices(tmp_path):
    mesh = textured()
    silently(save_mesh, mesh, tmp_path/'a.glb')
    again = silently(load_mesh, tmp_path/'a.glb')
    assert_close(again.texture, mesh.texture)
    assert len(again.vertices) == 4
    assert_close(face_vertices(again.vertices, again.faces), face_vertices(mesh.vertices, mesh.faces))
    assert_close(face_vertices(again.uvs, again.face_uvs), face_vertices(mesh.uvs, mesh.face_uvs))


def test_a_texture_survives_whatever_its_mesh_is_called(tmp_path):
    mesh = textured(size=(2, 3))
    names = ['a#b', '#', 'a%23b', '100%', ' a', 'a ', 'a  b', '   ', 'a.b', '-bm 1', "it's", 'Stühle 椅子', 'A', 'a']
    if os.name == 'posix': names += ['a\\', 'a\\b', 'a\nb', 'a\tb', 'a\rb', '"a"', os.fsdecode(b'a\xff')]
    for name in names: save_mesh(mesh, tmp_path/f'{name}.obj')
    assert len(list(tmp_path.iterdir())) == 3*len(names)   # none writes over another's
    for name in names:
        again = silently(load_mesh, tmp_path/f'{name}.obj')
        assert again.texture is not None, name
        assert_close(again.texture, mesh.texture, rtol=0, atol=0)


@pytest.mark.parametrize('suffix', ['.ply', '.off'])
def test_formats_without_textures_keep_the_texel_at_each_vertex_and_say_so(tmp_path, suffix):
    texture = torch.tensor([[[1., 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]])
    uvs = torch.tensor([[.25, .75], [.75, .75], [.25, .25], [1.75, -.75]])
    mesh = tetrahedron(uvs=uvs, face_uvs=tetrahedron().faces, texture=texture)
    _, text = warned(save_mesh, mesh, tmp_path/f'a{suffix}')
    assert 'no texture' in text
    assert_close(silently(load_mesh, tmp_path/f'a{suffix}').vertex_colors, texture.flatten(0, 1))


@pytest.mark.parametrize('suffix', ['.obj', '.glb', '.off', '.ply', '.stl'])
def test_every_format_that_is_written_is_read_back(tmp_path, suffix):
    mesh = tetrahedron(vertex_colors=torch.eye(4)[:, :3])
    if suffix == '.stl':
        _, text = warned(save_mesh, mesh, tmp_path/'a.stl')
        assert 'STL files hold no colours' in text
    else: silently(save_mesh, mesh, tmp_path/f'a{suffix}')
    again = silently(load_mesh, tmp_path/f'a{suffix}')
    assert_close(face_vertices(again.vertices, again.faces), face_vertices(mesh.vertices, mesh.faces))
    if suffix != '.stl': assert_close(again.vertex_colors, mesh.vertex_colors)
    assert [p.name for p in tmp_path.iterdir()] == [f'a{suffix}']
    silently(save_mesh, tetrahedron(), tmp_path/f'b{suffix}')
    assert silently(load_mesh, tmp_path/f'b{suffix}').vertex_colors is None


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    assert 'known are .obj .glb' in complaint(save_mesh, tetrahedron(), tmp_path/'a.doc')
    assert not list(tmp_path.iterdir())


def test_eighty_thousand_faces_are_read_as_they_were_written(tmp_path):
    save_mesh(icosphere(6), tmp_path/'fine.obj')
    mesh = load_mesh(tmp_path/'fine.obj')
    assert_close(mesh.vertices, icosphere(6).vertices, rtol=0, atol=0)
    assert torch.equal(mesh.faces, icosphere(6).faces)
