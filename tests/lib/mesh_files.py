"Small mesh files that tests write, and what they ask of them."
import json
import struct
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssr_nb.core import InputError, MeshWarning
from ssr_nb.mesh import Mesh, face_vertices
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
