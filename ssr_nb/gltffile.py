"glTF and GLB files: every primitive with its colours, moved to its place."
import base64
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
import trimesh
from numpy import ndarray

from .atlas import BROKEN, MAX_FACES, Beside, Material, Part, check_count
from .core import MAX_JSON, InputError
from .imagefile import read_header

__all__: list[str] = []

_TYPES = {5120: 'i1', 5121: 'u1', 5122: 'i2', 5123: 'u2', 5125: 'u4', 5126: 'f4'}
_WIDTHS = {'SCALAR': 1, 'VEC2': 2, 'VEC3': 3, 'VEC4': 4}
_COUNTED = _WIDTHS | {'MAT2': 4, 'MAT3': 9, 'MAT4': 16}
_GLOSS = 'KHR_materials_pbrSpecularGlossiness'


def _read_tree(path: Path, content: bytes) -> tuple[dict[str, Any], bytes]:
    """A file's JSON and the bytes behind it. InputError for what glTF forbids,
    cannot be decoded or would be too large."""
    chunk = b''
    if content[:4] == b'glTF':
        if len(content) < 20: raise InputError(f'{path}: ends too early')
        size, = struct.unpack('<I', content[12:16])
        chunk, content = content[28 + size:], content[20:20 + size]
    if len(content) > MAX_JSON:
        raise InputError(f'{path}: its JSON is over {MAX_JSON} bytes')
    try:
        tree = json.loads(content)
        if not isinstance(tree, dict): raise ValueError('no object')
        _check_tree(path, tree)
    except InputError: raise
    except BROKEN as error:
        raise InputError(f'{path}: not readable as glTF '
                         f'({type(error).__name__}: {str(error)[:160]})') from None
    return tree, chunk


def _check_tree(path: Path, tree: dict[str, Any]):
    "InputError for a glTF file's JSON; other errors where it is malformed."
    used = set(tree.get('extensionsRequired', ()))
    packed = used & {'KHR_draco_mesh_compression', 'EXT_meshopt_compression'}
    if packed: raise InputError(
        f'{path}: its meshes are compressed ({", ".join(sorted(packed))}), '
        'which is not supported; export it without compression')
    accessors, nodes = tree.get('accessors', []), tree.get('nodes', [])
    check_count(path, 'images', len(tree.get('images', [])), 1_000)
    check_count(path, 'nodes', len(nodes), 1_000_000)
    check_count(path, 'numbers', sum(int(a['count'])*_COUNTED[a['type']]
                                     for a in accessors), 16*MAX_FACES)
    faces, vertices = [], []      # of each mesh
    for mesh in tree.get('meshes', []):
        shown = mesh['primitives']
        points = [accessors[p['attributes']['POSITION']]['count'] for p in shown]
        corners = [accessors[p['indices']]['count'] if 'indices' in p else n
                   for p, n in zip(shown, points)]
        faces.append(sum(n - 2 if p.get('mode', 4) > 4 else n//3
                         for p, n in zip(shown, corners)))
        vertices.append(sum(points))
    children = [c for node in nodes for c in node.get('children', ())]
    roots = [n for scene in tree.get('scenes', []) for n in scene.get('nodes', ())]
    if len(children) != len(set(children)) or set(children) & set(roots):
        raise InputError(f'{path}: its nodes are not a tree')
    meshes = [node['mesh'] for node in nodes if 'mesh' in node]
    for things, counts, most in (('faces', faces, MAX_FACES),
                                 ('vertices', vertices, 3*MAX_FACES)):
        check_count(path, things, sum(counts), most)
        check_count(path, things, sum(counts[m] for m in meshes), most)


class _Gltf:
    "A file's tree and the bytes of its buffers."
    def __init__(self, tree: dict[str, Any], chunk: bytes, beside: Beside):
        self.tree, self.chunk, self.beside = tree, chunk, beside
        self.buffers: dict[int, bytes] = {}
        self.images: dict[int, Any] = {}

    def buffer(self, index: int) -> bytes:
        "The content of a buffer, read once."
        if index not in self.buffers:
            uri = self.tree['buffers'][index].get('uri')
            self.buffers[index] = (
                self.chunk if uri is None else
                _data(uri) if uri.startswith('data:') else
                self.beside.get(uri if self.beside.find(uri) else unquote(uri)))
        return self.buffers[index]

    def view(self, index: int, skip: int = 0) -> tuple[bytes, int]:
        "The bytes of a view from `skip` on, and the stride between its items."
        view = self.tree['bufferViews'][index]
        start, size = view.get('byteOffset', 0), view['byteLength']
        if min(start, size, skip) < 0: raise ValueError('a view before its buffer')
        return (self.buffer(view['buffer'])[start + skip:start + size],
                view.get('byteStride', 0))

    def items(self, holder: dict, kind: int, count: int, width: int) -> ndarray:
        "Rows (count, width) as they are stored. ValueError when some are missing."
        content, stride = self.view(holder['bufferView'], holder.get('byteOffset', 0))
        dtype = np.dtype(f'<{_TYPES[kind]}')
        row = dtype.itemsize*width
        stride = stride or row
        if count < 0 or stride < row or (count and len(content) < stride*(count - 1) + row):
            raise ValueError('an accessor asks for more than its view holds')
        return np.ndarray((count, width), dtype, content, 0, (stride, dtype.itemsize))

    def table(self, index: int) -> ndarray:
        "An accessor's rows; normalized whole numbers as what they stand for."
        accessor = self.tree['accessors'][index]
        kind, count = accessor['componentType'], accessor['count']
        width = _WIDTHS[accessor['type']]
        dtype = np.dtype(_TYPES[kind])
        rows = (self.items(accessor, kind, count, width) if 'bufferView' in accessor
                else np.zeros((count, width), dtype))
        if sparse := accessor.get('sparse'):
            where = self.items(sparse['indices'], sparse['indices']['componentType'],
                               sparse['count'], 1)[:, 0]
            rows = rows.copy()
            rows[where] = self.items(sparse['values'], kind, sparse['count'], width)
        if not accessor.get('normalized') or dtype.kind == 'f': return rows
        return (rows/np.iinfo(dtype).max).clip(-1)

    def image(self, texture: int) -> Any:
        "What a texture shows; a note and None where it cannot be read."
        entry = self.tree['textures'][texture]
        ways = [entry, *entry.get('extensions', {}).values()]
        source = next((w['source'] for w in ways if 'source' in w), None)
        if source is None: return None
        if source not in self.images:
            self.images[source] = self.opened(self.tree['images'][source])
        return self.images[source]

    def opened(self, entry: dict) -> Any:
        uri = entry.get('uri')
        if uri and not uri.startswith('data:'):
            found = self.beside.find(uri) or self.beside.find(unquote(uri))
            if found is None: self.beside.note(f'{uri} not found beside it')
            return found
        try: return read_header(_data(uri) if uri else self.view(entry['bufferView'])[0])
        except BROKEN:
            self.beside.note('an image of it cannot be read')
            return None

    def material(self, index: int | None) -> tuple[Material, dict]:
        "A material, and where its image is placed."
        if index is None: return Material(), {}
        entry = self.tree['materials'][index]
        look, gloss = entry.get('pbrMetallicRoughness', {}), entry.get('extensions', {}).get(_GLOSS)
        factor = look.get('baseColorFactor')
        place = look.get('baseColorTexture')
        if gloss is not None:
            factor, place = gloss.get('diffuseFactor'), gloss.get('diffuseTexture')
        color = tuple(float(min(max(c, 0), 1)) for c in (factor or (1, 1, 1))[:3])
        image = None if place is None else self.image(place['index'])
        return Material(color, image, color if factor else None), place or {}

    def part(self, primitive: dict, matrix: ndarray) -> Part | None:
        "One primitive in its place; None where it shows no faces."
        given = primitive['attributes']
        points = self.table(given['POSITION']).astype(np.float64)
        order = (self.table(primitive['indices'])[:, 0].astype(np.int64)
                 if 'indices' in primitive else np.arange(len(points)))
        faces = _faces(order, primitive.get('mode', 4))
        if not len(faces): return None
        if not 0 <= faces.min() <= faces.max() < len(points):
            raise ValueError(f'a face asks for a vertex beyond {len(points)}')
        if np.linalg.det(matrix[:3, :3]) < 0: faces = faces[:, ::-1]
        part = Part(trimesh.transform_points(points, matrix), faces)
        colors = given.get('COLOR_0')
        if 'material' not in primitive and colors is None: return part
        material, place = self.material(primitive.get('material'))
        if colors is not None:
            part.colors = self.table(colors)[:, :3].astype(np.float64)
            if material.image is not None:
                if (part.colors < 1).any(): self.beside.note(
                    'its vertex colours are left out: it has a texture')
                part.colors = None
            elif material.color: part.colors = (part.colors*material.color).clip(0, 1)
        if 'material' not in primitive: return part
        shift = place.get('extensions', {}).get('KHR_texture_transform', {})
        uvs = given.get(f'TEXCOORD_{shift.get("texCoord", place.get("texCoord", 0))}')
        if material.image is not None and uvs is not None:
            table = _moved(self.table(uvs).astype(np.float64), shift)
            if len(table) != len(points): raise ValueError('coordinates are missing')
            finite = np.isfinite(table).all(1)
            part.uvs = np.where(finite[:, None], table, 0)*(1, -1) + (0, 1)
            part.face_uvs = np.where(finite[faces], faces, -1)
        return replace(part, materials=[material], face_material=np.zeros(len(faces), int))


def _data(uri: str) -> bytes:
    "The content of a data URI."
    head, _, body = uri.partition(',')
    return base64.b64decode(body) if head.endswith(';base64') else unquote_to_bytes(body)


def _moved(uvs: ndarray, shift: dict) -> ndarray:
    "Coordinates as KHR_texture_transform places them."
    if not shift: return uvs
    angle = shift.get('rotation', 0.)
    cos, sin = np.cos(angle), np.sin(angle)
    scaled = uvs*shift.get('scale', (1, 1))
    return scaled @ np.array([[cos, -sin], [sin, cos]]) + shift.get('offset', (0, 0))


def _faces(order: ndarray, mode: int) -> ndarray:
    "Triangles (F, 3) of a list, a strip (5) or a fan (6); none of points and lines."
    if mode == 4: return order[:len(order)//3*3].reshape(-1, 3)
    if mode not in (5, 6) or len(order) < 3: return np.empty((0, 3), np.int64)
    k = np.arange(len(order) - 2)
    if mode == 6: return order[np.stack([0*k, k + 1, k + 2], 1)]
    return order[np.stack([k, k + 1 + k % 2, k + 2 - k % 2], 1)]


def _matrix(node: dict) -> ndarray:   # (4, 4)
    "Where a node stands within its parent."
    if 'matrix' in node: return np.array(node['matrix'], np.float64).reshape(4, 4).T
    x, y, z, w = node.get('rotation', (0, 0, 0, 1))
    turn = trimesh.transformations.quaternion_matrix((w, x, y, z))
    turn[:3, :3] *= np.array(node.get('scale', (1, 1, 1)), np.float64)
    turn[:3, 3] = node.get('translation', (0, 0, 0))
    return turn


def read_gltf(
    path: Path,
    content: bytes,
    beside: Beside,
) -> list[Part]:
    "The parts of the scene that a glTF file opens with. InputError names it."
    tree, chunk = _read_tree(path, content)
    file = _Gltf(tree, chunk, beside)
    nodes, scenes = tree.get('nodes', []), tree.get('scenes', [])
    inner = {c for node in nodes for c in node.get('children', ())}
    roots = (scenes[tree.get('scene', 0)].get('nodes', []) if scenes
             else [n for n in range(len(nodes)) if n not in inner])
    waiting = [(n, np.eye(4)) for n in reversed(roots)]
    found: list[tuple[tuple, dict, ndarray]] = []
    while waiting:
        number, above = waiting.pop()
        node = nodes[number]
        matrix = above @ _matrix(node)
        if 'EXT_mesh_gpu_instancing' in node.get('extensions', {}):
            beside.note('of instances (EXT_mesh_gpu_instancing) only one is shown')
        if 'mesh' in node:
            mesh = tree['meshes'][node['mesh']]
            names = (node.get('name') or mesh.get('name') or f'mesh {node["mesh"]}',
                     mesh.get('name', ''))
            found += [(names, primitive, matrix) for primitive in mesh['primitives']
                      if primitive.get('mode', 4) in (4, 5, 6)]
        waiting += [(n, matrix) for n in reversed(node.get('children', []))]
    kept = beside.without_helpers([names for names, _, _ in found])
    parts = [file.part(primitive, matrix)
             for (_, primitive, matrix), keep in zip(found, kept) if keep]
    return [part for part in parts if part is not None]
