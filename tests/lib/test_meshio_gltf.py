"glTF files as modelling programs write them: colours, packed tables, placed images."
import io
import json
import struct
from urllib.parse import quote

import numpy as np
import pytest
from mesh_files import area, complaint, picture, shown, silently, warned, written
from PIL import Image

from ssr_nb.meshio import load_mesh

CORNERS = np.float32([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)])
UVS = np.float32([(0, 1), (1, 1), (1, 0), (0, 0)])     # v of glTF goes down
FACES = np.uint16([0, 1, 2, 0, 2, 3])
RED = np.tile(np.float32([1, 0, 0]), (4, 1))
RED_ROW, GREEN_ROW = [255, 0, 0], [0, 255, 0]
TYPES = {'i2': 5122, 'u1': 5121, 'u2': 5123, 'f4': 5126}


def quarters():
    "Red and blue above, green and yellow below."
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :8], pixels[:8, 8:], pixels[8:, :8], pixels[8:, 8:] = RED_ROW, (0, 0, 255), GREEN_ROW, (255, 255, 0)
    return Image.fromarray(pixels)


class File:
    "A GLB of one square, table by table."
    def __init__(self):
        self.blob, self.views, self.tables, self.tree = b'', [], [], {}

    def view(self, content):
        self.blob += b'\0'*(-len(self.blob) % 4)
        self.views.append(dict(buffer=0, byteOffset=len(self.blob), byteLength=len(content)))
        self.blob += content
        return len(self.views) - 1

    def table(self, rows, kind, **more):
        rows = np.ascontiguousarray(rows)
        self.tables.append(dict(bufferView=self.view(rows.tobytes()), componentType=TYPES[rows.dtype.str[1:]],
                                count=len(rows), type=kind) | more)
        return len(self.tables) - 1

    def image(self, format='PNG'):
        with io.BytesIO() as file:
            quarters().save(file, format)
            self.tree['images'] = [dict(bufferView=self.view(file.getvalue()), mimeType=f'image/{format.lower()}')]
        self.tree['textures'] = [dict(source=0)]

    def write(self, folder, material=None, mode=4, faces=FACES, **attributes):
        shape = dict(attributes=dict(POSITION=self.table(CORNERS, 'VEC3')) | attributes, mode=mode,
                     indices=self.table(faces, 'SCALAR'))
        if 'POSITION' in attributes: shape['attributes']['POSITION'] = attributes['POSITION']
        if material is not None: self.tree['materials'], shape['material'] = [material], 0
        tree = dict(asset=dict(version='2.0'), buffers=[dict(byteLength=len(self.blob))], bufferViews=self.views,
                    accessors=self.tables, meshes=[dict(primitives=[shape])], nodes=[dict(mesh=0)],
                    scenes=[dict(nodes=[0])]) | self.tree
        text = json.dumps(tree).encode()
        text += b' '*(-len(text) % 4)
        blob = self.blob + b'\0'*(-len(self.blob) % 4)
        body = struct.pack('<II', len(text), 0x4E4F534A) + text + struct.pack('<II', len(blob), 0x4E4942) + blob
        return written(folder, struct.pack('<III', 0x46546C67, 2, 12 + len(body)) + body, 'a.glb')


def look(**entries): return dict(pbrMetallicRoughness=entries)


def textured(**more): return look(baseColorTexture=dict(index=0) | more)


def first_color(mesh, weights=(.8, .1, .1)): return shown(mesh, weights)[0].round().int().tolist()


@pytest.mark.parametrize('rows, kind', [
    (RED, 'VEC3'), (np.uint8(np.c_[RED*255, np.full(4, 255)]), 'VEC4'),
    (np.uint16(np.c_[RED*65535, np.full(4, 65535)]), 'VEC4'), (np.uint8(RED*255), 'VEC3')], ids=['float', 'bytes', 'short', 'three bytes'])
@pytest.mark.parametrize('material, color', [
    (None, [255, 0, 0]), (look(metallicFactor=0), [255, 0, 0]), (look(baseColorFactor=[.5, 1, 1, 1]), [128, 0, 0])],
    ids=['none', 'plain', 'half'])
def test_colours_of_vertices_are_kept_in_every_type_and_multiply_the_base_colour(tmp_path, rows, kind, material, color):
    file = File()
    colors = file.table(rows, kind, **({} if rows.dtype == np.float32 else dict(normalized=True)))
    mesh = silently(load_mesh, file.write(tmp_path, material, COLOR_0=colors))
    assert shown(mesh).round().int().tolist() == [color]*2


def test_colours_of_vertices_beside_a_texture_are_left_out_with_a_word_unless_white(tmp_path):
    for rows, calls in (RED, warned), (np.ones_like(RED), silently):
        file = File(); file.image()
        path = file.write(tmp_path, textured(), TEXCOORD_0=file.table(UVS, 'VEC2'), COLOR_0=file.table(rows, 'VEC3'))
        found = calls(load_mesh, path)
        mesh = found[0] if calls is warned else found
        assert first_color(mesh) == GREEN_ROW
        if calls is warned: assert 'vertex colours are left out' in found[1]


@pytest.mark.parametrize('kind, most', [(np.float32, 1), (np.uint8, 255), (np.uint16, 65535)])
def test_coordinates_of_an_image_may_be_packed_into_whole_numbers(tmp_path, kind, most):
    file = File(); file.image()
    uvs = file.table(kind(UVS*most), 'VEC2', **({} if most == 1 else dict(normalized=True)))
    mesh = silently(load_mesh, file.write(tmp_path, textured(), TEXCOORD_0=uvs))
    assert first_color(mesh) == GREEN_ROW and first_color(mesh, (.1, .1, .8)) == [0, 0, 255]


def test_an_image_may_use_the_second_set_of_coordinates(tmp_path):
    file = File(); file.image()
    sets = dict(TEXCOORD_0=file.table(0*UVS, 'VEC2'), TEXCOORD_1=file.table(UVS, 'VEC2'))
    assert first_color(silently(load_mesh, file.write(tmp_path, textured(texCoord=1), **sets))) == GREEN_ROW
    file = File(); file.image()
    sets = dict(TEXCOORD_0=file.table(0*UVS, 'VEC2'), TEXCOORD_1=file.table(UVS, 'VEC2'))
    transform = dict(KHR_texture_transform=dict(texCoord=1))
    assert first_color(silently(load_mesh, file.write(tmp_path, textured(extensions=transform), **sets))) == GREEN_ROW


@pytest.mark.parametrize('transform, color', [
    (dict(scale=[.45, .45]), RED_ROW), (dict(scale=[.45, .45], offset=[.5, .5]), [255, 255, 0]),
    (dict(rotation=np.pi/2), [255, 255, 0])], ids=['scale', 'offset', 'rotation'])
def test_a_transform_of_an_image_is_applied(tmp_path, transform, color):
    "KHR_texture_transform: u' = u cos + v sin, v' = v cos - u sin; here (.2, .9) becomes (.9, -.2)."
    file = File(); file.image()
    path = file.write(tmp_path, textured(extensions=dict(KHR_texture_transform=transform)), TEXCOORD_0=file.table(UVS, 'VEC2'))
    assert first_color(silently(load_mesh, path)) == color


@pytest.mark.parametrize('format', ['PNG', 'JPEG', 'WEBP'])
def test_images_are_read_in_every_format_also_by_their_extension(tmp_path, format):
    file = File(); file.image(format)
    if format == 'WEBP': file.tree['textures'] = [dict(extensions=dict(EXT_texture_webp=dict(source=0)))]
    mesh = silently(load_mesh, file.write(tmp_path, textured(), TEXCOORD_0=file.table(UVS, 'VEC2')))
    assert np.abs(np.array(first_color(mesh)) - GREEN_ROW).max() <= 6


def test_the_old_materials_of_specular_and_gloss_have_colours_and_images_too(tmp_path):
    def gloss(**entries): return dict(extensions=dict(KHR_materials_pbrSpecularGlossiness=entries))
    mesh = silently(load_mesh, File().write(tmp_path, gloss(diffuseFactor=[1, 0, 0, 1])))
    assert first_color(mesh) == RED_ROW
    file = File(); file.image()
    path = file.write(tmp_path, gloss(diffuseTexture=dict(index=0)), TEXCOORD_0=file.table(UVS, 'VEC2'))
    assert first_color(silently(load_mesh, path)) == GREEN_ROW


def test_sparse_tables_are_filled_with_and_without_a_base(tmp_path):
    for base in None, np.float32(CORNERS*[1, 0, 1]):
        file = File()
        place = file.table(CORNERS if base is None else base, 'VEC3')
        if base is None: del file.tables[place]['bufferView']
        rows = [1, 2, 3]
        file.tables[place]['sparse'] = dict(
            count=3, indices=dict(bufferView=file.view(np.uint16(rows).tobytes()), componentType=5123),
            values=dict(bufferView=file.view(CORNERS[rows].tobytes())))
        assert area(silently(load_mesh, file.write(tmp_path, POSITION=place))) == 1


def test_positions_in_whole_numbers_have_the_size_that_they_stand_for(tmp_path):
    file = File()
    packed = np.int16(np.c_[CORNERS*32767, np.zeros(4)])      # rows of eight bytes
    place = file.table(packed, 'VEC3', normalized=True)
    file.views[file.tables[place]['bufferView']]['byteStride'] = 8
    mesh = silently(load_mesh, file.write(tmp_path, POSITION=place))
    assert np.abs(mesh.vertices.numpy() - CORNERS).max() < 1e-6


@pytest.mark.parametrize('mode, faces', [(5, [0, 1, 3, 2]), (6, [0, 1, 2, 3])], ids=['strip', 'fan'])
def test_strips_and_fans_become_triangles_of_one_winding(tmp_path, mode, faces):
    mesh = silently(load_mesh, File().write(tmp_path, mode=mode, faces=np.uint16(faces)))
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    assert area(mesh) == 1 and ((b - a).cross(c - a, dim=1)[:, 2] > 0).all()


def test_points_and_lines_alone_are_no_mesh_and_instances_are_told(tmp_path):
    assert 'no faces' in complaint(load_mesh, File().write(tmp_path, mode=1))
    file = File()
    file.tree['nodes'] = [dict(mesh=0, extensions=dict(EXT_mesh_gpu_instancing=dict(attributes={})))]
    assert 'only one is shown' in warned(load_mesh, file.write(tmp_path))[1]


def test_places_of_parents_and_children_are_multiplied(tmp_path):
    file, half = File(), .5**.5
    file.tree['nodes'] = [dict(children=[1], translation=[5, 0, 0], rotation=[0, 0, half, half]), dict(mesh=0, scale=[2, 1, 1])]
    mesh = silently(load_mesh, file.write(tmp_path))
    expected = np.c_[5 - CORNERS[:, 1], 2*CORNERS[:, 0], 0*CORNERS[:, 0]]
    assert np.abs(mesh.vertices.numpy() - expected).max() < 1e-6


def test_a_name_with_a_blank_is_found_and_a_missing_one_is_named(tmp_path):
    for name, there in ('my tex.png', True), ('nowhere.png', False):
        file = File()
        file.tree |= dict(images=[dict(uri=quote(name))], textures=[dict(source=0)])
        if there: picture(tmp_path, name)
        path = file.write(tmp_path, textured(), TEXCOORD_0=file.table(UVS, 'VEC2'))
        if there: assert first_color(silently(load_mesh, path)) == RED_ROW
        else: assert f'{name} not found' in warned(load_mesh, path)[1]
