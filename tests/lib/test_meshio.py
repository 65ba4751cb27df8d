"Mesh files of other formats, hostile ones, and what is written."
import logging
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
import trimesh
from mesh_files import (
    BLUE,
    RED,
    SQUARE,
    WITH_UVS,
    area,
    bomb,
    complaint,
    gltf,
    picture,
    png_of,
    shown,
    silently,
    tetrahedron,
    textured,
    warned,
    written,
)
from torch.testing import assert_close

from ssr_nb.imagefile import open_image
from ssr_nb.mesh import face_vertices, icosphere
from ssr_nb.meshio import load_mesh, save_mesh

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


def test_colours_of_a_binary_stl_are_told(tmp_path):
    save_mesh(icosphere(0), tmp_path/'a.stl')
    plain = bytearray((tmp_path/'a.stl').read_bytes())
    for head, mark in ((b'COLOR=', 0), (b'', 0x80)):
        content = bytearray(plain); content[:len(head)] = head
        content[84 + 49::50] = bytes([mark])*20
        assert 'colours of its faces' in warned(load_mesh, written(tmp_path, bytes(content), 'b.stl'))[1]


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
    from trimesh.exchange.load import mesh_formats

    from ssr_nb.meshio import _NEEDS
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


def test_helper_meshes_inside_a_file_are_left_out_with_a_word(tmp_path):
    scene = trimesh.Scene()
    for x, name in (0, 'cup'), (2, 'cup_collider'), (4, 'UCX_cup'), (6, 'saucer-collision.001'):
        place = trimesh.transformations.translation_matrix([x, 0, 0])
        scene.add_geometry(trimesh.creation.box(), name, name, transform=place)
    scene.export(tmp_path/'a.glb')
    boxes = ''.join(f'o {name}\nv {x} 0 0\nv {x + 1} 0 0\nv {x} 1 0\nf -3 -2 -1\n'
                    for x, name in ((0, 'cup'), (2, 'cup_Collider'), (4, 'UCX_cup_1')))
    for path, left in ((tmp_path/'a.glb', 3), (written(tmp_path, boxes, 'a.obj'), 2)):
        mesh, text = warned(load_mesh, path)
        assert text.count('a helper mesh for collisions') == left and 'cup_' in text.replace('UCX_', '')
        used = mesh.vertices[mesh.faces.unique()]
        assert used[:, 0].max() <= 1 and len(mesh.faces) in (12, 1)
    alone = silently(load_mesh, written(tmp_path, SQUARE + 'o door_collider\nf 1 2 3\n', 'b.obj'))
    assert len(alone.faces) == 3            # nothing else would be left of the file


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


@pytest.mark.slow
def test_large_textures_are_made_smaller_and_memory_stays_bounded(tmp_path):
    picture(tmp_path, 'a.png', size=6000)
    written(tmp_path, ''.join(f'newmtl m{k}\nmap_Kd a.png\n' for k in range(100)), 'm.mtl')
    faces = ''.join(f'usemtl m{k}\nf 1/1 2/2 3/3\n' for k in range(100))
    path = written(tmp_path, WITH_UVS.split('usemtl')[0] + faces)
    # Linux hands the peak of the process that starts another on to it in ru_maxrss, but not in VmHWM
    peak = ('next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))'
            if sys.platform == 'linux' else 'resource.getrusage(resource.RUSAGE_SELF).ru_maxrss')
    code = ('import resource, sys; from ssr_nb.meshio import load_mesh; mesh = load_mesh(sys.argv[1]); '
            f'print(*mesh.texture.shape[:2], {peak})')
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


# ---- colours and polygons as programs write them

def ply_of(folder, form, sizes, colors='', name='a.ply', names=('red', 'green', 'blue'), of='face'):
    "A PLY of an L-shaped polygon, its colours at its vertices or its faces."
    points = np.array([(0, 0, 0), (2, 0, 0), (2, 2, 0), (1, 2, 0), (1, 1, 0), (0, 1, 0)], np.float32)
    paint = ''.join(f'property uchar {n}\n' for n in names) if colors else ''
    head = (f'ply\nformat {form} 1.0\nelement vertex 6\nproperty float x\nproperty float y\nproperty float z\n'
            + (paint if of == 'vertex' else '') + f'element face {len(sizes)}\nproperty list uchar int vertex_indices\n'
            + (paint if of == 'face' else '') + 'end_header\n').encode()
    color, order = [255, 0, 0] if colors else [], '>' if 'big' in form else '<'
    paints = [color, [0, 0, 255] if colors else []]
    if form == 'ascii':
        rows = [[*p, *(color if of == 'vertex' else [])] for p in points.tolist()]
        rows += [[n, *range(n), *(paints[k] if of == 'face' else [])] for k, n in enumerate(sizes)]
        return written(folder, head + '\n'.join(' '.join(f'{x:g}' for x in row) for row in rows).encode() + b'\n', name)
    body = b''.join(p.astype(order + 'f4').tobytes() + bytes(color if of == 'vertex' else []) for p in points)
    body += b''.join(bytes([n]) + np.arange(n, dtype=order + 'i4').tobytes() + bytes(paints[k] if of == 'face' else []) for k, n in enumerate(sizes))
    return written(folder, head + body, name)


@pytest.mark.parametrize('form', ['ascii', 'binary_little_endian', 'binary_big_endian'])
def test_a_polygon_with_dents_and_a_colour_keeps_both_in_every_kind_of_ply(tmp_path, form):
    for colors, of in ('', 'face'), ('red', 'face'), ('red', 'vertex'):
        mesh = silently(load_mesh, ply_of(tmp_path, form, [6], colors, of=of))
        assert abs(area(mesh) - 3) < 1e-6 and len(mesh.faces) == 4
        if colors: assert_close(shown(mesh), torch.tensor([RED]*4).float())


@pytest.mark.parametrize('form', ['ascii', 'binary_little_endian', 'binary_big_endian'])
def test_each_polygon_of_a_ply_keeps_its_own_colour(tmp_path, form):
    mesh = silently(load_mesh, ply_of(tmp_path, form, [6, 6], 'red'))
    assert_close(shown(mesh), torch.tensor([RED]*4 + [BLUE]*4).float())


@pytest.mark.parametrize('form', ['ascii', 'binary_little_endian', 'binary_big_endian'])
def test_polygons_of_several_sizes_stand_in_one_ply(tmp_path, form):
    for of in 'face', 'vertex':
        mesh = silently(load_mesh, ply_of(tmp_path, form, [3, 6], 'red', of=of))
        assert abs(area(mesh) - 5) < 1e-6
        assert_close(shown(mesh), torch.tensor([RED] + [BLUE if of == 'face' else RED]*4).float())
    if form == 'ascii': return
    whole = ply_of(tmp_path, form, [3, 6]).read_bytes()
    assert 'a.ply' in complaint(load_mesh, written(tmp_path, whole[:-9], 'a.ply'))


def test_colours_of_a_ply_may_have_other_names(tmp_path):
    for names in ('diffuse_red', 'diffuse_green', 'diffuse_blue'), ('r', 'g', 'b'):
        mesh = silently(load_mesh, ply_of(tmp_path, 'binary_little_endian', [6], 'red', names=names, of='vertex'))
        assert_close(shown(mesh), torch.tensor([RED]*4).float())


def test_off_files_keep_normals_apart_from_colours_and_colours_of_faces(tmp_path):
    corners = ['0 0 0', '1 0 0', '0 1 0']
    for head, behind, face in (('NOFF', ' 0 0 1', ''), ('STOFF', ' 0 1', '')):
        rows = '\n'.join(c + behind for c in corners)
        mesh = silently(load_mesh, written(tmp_path, f'{head}\n3 1 0\n{rows}\n3 0 1 2{face}\n', 'a.off'))
        assert mesh.vertex_colors is None and mesh.faces.tolist() == [[0, 1, 2]]
    for head, behind, face in (('CNOFF', ' 0 0 1 255 0 0 255', ''), ('COFF', ' 1 0 0 1', ''), ('OFF', '', ' 255 0 0'),
                               ('OFF', '', ' 1.0 0.0 0.0 1.0')):
        rows = '\n'.join(c + behind for c in corners)
        mesh = silently(load_mesh, written(tmp_path, f'{head}\n3 1 0\n{rows}\n3 0 1 2{face}\n', 'a.off'))
        assert_close(shown(mesh), torch.tensor([RED]).float())
    index = '\n'.join(corners)
    assert 'by number' in warned(load_mesh, written(tmp_path, f'OFF\n3 1 0\n{index}\n3 0 1 2 7\n', 'a.off'))[1]
