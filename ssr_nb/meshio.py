"""Meshes from files and to files; OBJ by `objfile`, other formats by trimesh.

Files come from strangers. Limits are checked before anything is built, a file
may name others in its own folder only, what cannot be read is one `InputError`,
what had to be left out one `MeshWarning`; both name the file.
"""
import io
import itertools
import logging
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from numpy import ndarray
from PIL import Image
from trimesh.exchange.load import mesh_formats

from .atlas import (BROKEN, MAX_BYTES, MAX_FACES, Beside, Material, Part,
                    check_count, distinct_rows, joined, painted)
from .core import InputError, MeshWarning, atomic_write
from .gltffile import read_gltf
from .mesh import Mesh
from .objfile import read_obj, read_off, triangles

__all__ = ['load_mesh', 'save_mesh']

_NEEDS = {'.dae': 'pycollada', '.zae': 'pycollada', '.3mf': 'lxml, networkx',
          '.3dxml': 'lxml, networkx', '.xaml': 'lxml', '.ctm': 'python-openctm',
          '.stp': 'cascadio', '.step': 'cascadio', '.drc': 'DracoPy'}
_WRITTEN = '.obj', '.glb', '.off', '.ply', '.stl'


# ---------------------------------------------------------------------- limits

def _check_archive(path: Path, content: bytes):
    "InputError for an archive that would unfold to more than a file may have."
    if not zipfile.is_zipfile(io.BytesIO(content)): return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_count(path, 'bytes in it', sum(
            part.file_size for part in archive.infolist()), MAX_BYTES)


# --------------------------------------------------------------------- reading

def _color(value: Any) -> tuple | None:
    "RGB in [0, 1] of trimesh's RGBA bytes."
    if value is None: return None
    return tuple((np.asarray(value).reshape(-1)[:3]/255).tolist())


def _material(material: Any) -> Material:
    "What a material of trimesh says of colours."
    if isinstance(material, trimesh.visual.material.PBRMaterial):
        factor = _color(material.baseColorFactor)
        return Material(factor or (1., 1., 1.), material.baseColorTexture, factor)
    color = _color(getattr(material, 'diffuse', None))
    if color == _color(trimesh.visual.color.DEFAULT_COLOR): color = None
    image = getattr(material, 'image', None)
    if image is not None and image.format is None: image = None  # made up
    return Material(color, image)


def _ply_polygons(shape: trimesh.Trimesh) -> tuple[ndarray, ndarray] | None:
    "Corners and sizes of a PLY file's polygons where trimesh has made fans."
    table = shape.metadata.get('_ply_raw', {}).get('face', {}).get('data')
    if not isinstance(shape.visual, trimesh.visual.ColorVisuals): return None
    names = table.keys() if isinstance(table, dict) else getattr(
        getattr(table, 'dtype', None), 'names', None) or ()
    name = next((n for n in names if n in ('vertex_indices', 'vertex_index')), None)
    if name is None: return None
    rows = table[name]
    if getattr(rows, 'dtype', None) is not None and rows.dtype.names:
        rows = rows[rows.dtype.names[-1]]      # a list in a binary file: count, corners
    rows = [np.asarray(row, np.int64).reshape(-1) for row in rows]
    sizes = np.array([len(row) for row in rows], np.int64)
    if not (sizes > 3).any(): return None
    return np.concatenate(rows), sizes


def _part(
    shape: trimesh.Trimesh,
    place: ndarray,          # (4, 4)
) -> Part:
    "A mesh of trimesh, moved to its place, with all that colours it."
    vertices = trimesh.transform_points(shape.vertices, place)
    faces = np.asarray(shape.faces, np.int64)
    if np.linalg.det(place[:3, :3]) < 0: faces = faces[:, ::-1]
    polygons = _ply_polygons(shape)
    owner = np.arange(len(faces))      # of each face, its polygon
    if polygons is not None:
        corners, sizes = polygons
        seen = np.flatnonzero(sizes > 2)
        corners = corners[np.repeat(sizes > 2, sizes)]
        cut, owner = triangles(vertices, corners, sizes[seen])
        faces, owner = corners[cut], seen[owner]
    if not 0 <= faces.min() <= faces.max() < len(vertices):
        raise ValueError(f'a face asks for a vertex beyond {len(vertices)}')
    part, look = Part(vertices, faces), shape.visual
    if isinstance(look, trimesh.visual.ColorVisuals):
        if look.kind == 'vertex': part.colors = look.vertex_colors[:, :3]/255
        if look.kind == 'face': part.face_colors = look.face_colors[owner, :3]/255
        return part
    if look is None: return part
    material = _material(look.material)
    if material.color is None and material.image is None: return part
    part.materials, part.face_material = [material], np.zeros(len(faces), int)
    if look.uv is not None and len(look.uv) == len(vertices):
        finite = np.isfinite(look.uv).all(1)
        part.uvs = np.where(finite[:, None], look.uv, 0)
        part.face_uvs = np.where(finite[faces], faces, -1)
    return part


def _ply_names(content: bytes) -> bytes:
    "The same PLY file with its colours called red, green and blue."
    head, end, body = content.partition(b'end_header')
    for name in b'red', b'green', b'blue':
        head = re.sub(rb'(?m)^(property \w+ )(diffuse_%b|%b)(?=\r?$)'
                      % (name, name[:1]), rb'\1' + name, head)
    return head + end + body


_STRUCT = dict(zip('char uchar short ushort int uint float double int8 uint8 int16 '
                   'uint16 int32 uint32 float32 float64'.split(), 'bBhHiIfdbBhHiIfd'))


def _ply_text(content: bytes) -> bytes:
    """A binary PLY file as ASCII, which trimesh reads with triangles and quads in
    one file. struct.error or others where it is broken."""
    head, _, body = content.partition(b'end_header')
    body = body[body.index(b'\n') + 1:]
    order = '>' if b'binary_big_endian' in head else '<'
    elements: list[tuple[int, list[list[str]]]] = []
    lines, place = [], 0
    for words in (line.split() for line in head.decode('latin-1').split('\n')):
        if words[:1] == ['element']: elements.append((int(words[2]), []))
        if words[:1] == ['property']: elements[-1][1].append(words[1:-1])
    for count, properties in elements:
        for _ in range(count if properties else 0):
            row: list[Any] = []
            for kind, *more in properties:
                form = order + _STRUCT[more[0] if kind == 'list' else kind]
                row += struct.unpack_from(form, body, place)
                place += struct.calcsize(form)
                if kind != 'list': continue
                form = f'{order}{int(row[-1])}{_STRUCT[more[1]]}'
                row += struct.unpack_from(form, body, place)
                place += struct.calcsize(form)
            lines.append(' '.join(map(repr, row)))
    head = re.sub(rb'format \w+', b'format ascii', head)
    return head + b'end_header\n' + '\n'.join(lines).encode() + b'\n'


def _has_stl_colors(content: bytes) -> bool:
    "Whether a binary STL file has colours as VisCAM or Magics write them."
    if len(content) < 134 or (len(content) - 84) % 50: return False
    marks = np.frombuffer(content, np.uint8, offset=84).reshape(-1, 50)[:, 49]
    return b'COLOR=' in content[:80] or bool((marks >= 128).all())


class _Listener(logging.Filter):
    "Turns what trimesh logs about images into notes, and drops the rest."
    def __init__(self, beside: Beside):
        super().__init__()
        self.beside = beside

    def filter(self, record: logging.LogRecord) -> bool:
        if 'image' in record.getMessage() and not self.beside.notes:
            self.beside.note('an image of it cannot be read')
        return False


@contextmanager
def _listening(beside: Beside) -> Iterator[None]:
    "What trimesh and Pillow say, who name no file, becomes a note or nothing."
    log, listener = trimesh.util.log, _Listener(beside)
    level = log.level
    log.setLevel(logging.DEBUG)
    log.addFilter(listener)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        log.removeFilter(listener)
        log.setLevel(level)


def _read_other(path: Path, content: bytes, beside: Beside) -> Part:
    "A file of a format that trimesh knows. InputError names it."
    suffix = path.suffix.lower()
    if suffix == '.ply': content = _ply_names(content)
    if suffix == '.stl' and _has_stl_colors(content):
        beside.note('the colours of its faces are left out')
    if suffix in ('.3mf', '.3dxml', '.zae'): _check_archive(path, content)
    try:
        if suffix in ('.glb', '.gltf'): parts = read_gltf(path, content, beside)
        else:
            with _listening(beside):
                try: scene = trimesh.load_scene(io.BytesIO(content), suffix[1:],
                                                beside, process=False)
                except ValueError:
                    if suffix != '.ply' or b'format ascii' in content[:99]: raise
                    scene = trimesh.load_scene(io.BytesIO(_ply_text(content)), 'ply',
                                               beside, process=False)
                nodes = [(node, *scene.graph[node])
                         for node in scene.graph.nodes_geometry]
                shapes = [(node, name, scene.geometry[name], place)
                          for node, place, name in nodes]
                shapes = [s for s in shapes if isinstance(s[2], trimesh.Trimesh)
                          and len(s[2].faces)]
                kept = beside.without_helpers([(s[0], s[1]) for s in shapes])
                parts = [_part(shape, place) for _, _, shape, place
                         in itertools.compress(shapes, kept)]
    except InputError: raise
    except BROKEN as error:
        raise InputError(f'{path}: not a readable {path.suffix} file: '
                         f'{type(error).__name__}: {error}'[:400]) from None
    if not parts: raise InputError(f'{path}: no faces')
    part = joined(parts)
    check_count(path, 'faces', len(part.faces), MAX_FACES)
    return _welded(part)


def _welded(part: Part) -> Part:
    """Join vertices in one place where no two faces share an edge (STL), or
    where there are texture coordinates, which trimesh splits vertices for."""
    ends = np.sort(part.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    soup = len(part.faces) > 1 and len(np.unique(ends, axis=0)) == len(ends)
    if not soup and part.face_uvs is None: return part
    colors = part.colors
    first, which = distinct_rows(
        part.vertices if colors is None else np.c_[part.vertices, colors])
    part.vertices, part.faces = part.vertices[first], which[part.faces]
    if colors is not None: part.colors = colors[first]
    return part


def _near_zero(vertices: ndarray, beside: Beside) -> ndarray:
    "Vertices as float32 can hold them: far from the origin, moved to it."
    low, high = vertices.min(0), vertices.max(0)
    middle, extent = (low + high)/2, (high - low).max()
    if 0 < extent < np.abs(middle).max()/1000:
        beside.note('far from the origin for its size: moved there')
        return vertices - middle
    return vertices


def load_mesh(
    path: str | Path,   # a mesh file: .obj, .glb, .gltf, .ply, .stl, .off, …
) -> Mesh:              # all that it shows, as one mesh
    """Read a mesh from any known format. InputError names the file; what had
    to be left out (a texture that is missing) is one MeshWarning."""
    path = Path(path)
    if not path.is_file(): raise InputError(f'{path}: no such file')
    suffix = path.suffix.lower()
    known = {'.obj', '.off'} | {f'.{name}' for name in mesh_formats()}
    if suffix not in known:
        if suffix in _NEEDS: raise InputError(
            f'{path}: to read {suffix} files needs {_NEEDS[suffix]} '
            f'(pip install {_NEEDS[suffix].replace(",", "")})')
        raise InputError(f'{path}: unknown format; known are '
                         + ' '.join(sorted(known)))
    try:
        check_count(path, 'bytes', path.stat().st_size, MAX_BYTES)
        content, beside = path.read_bytes(), Beside(path)
        reader = {'.obj': read_obj, '.off': read_off}.get(suffix, _read_other)
        with np.errstate(all='ignore'):   # what is no number is refused below
            fields = painted(reader(path, content, beside), beside)
            fields['vertices'] = _near_zero(fields['vertices'], beside)
            mesh = Mesh(**{name: torch.from_numpy(np.ascontiguousarray(
                table, None if table.dtype == np.int64 else np.float32))
                for name, table in fields.items()})
    except OSError as error:
        raise InputError(f'{path}: {error.strerror or error}') from None
    except InputError as error:
        if str(error).startswith(str(path)): raise
        raise InputError(f'{path}: {error}') from None
    if beside.notes:
        warnings.warn(f'{path}: ' + '; '.join(beside.notes), MeshWarning, 2)
    return mesh


# --------------------------------------------------------------------- writing

_UNSAFE = re.compile(r'[#%\\\x00-\x1f\x7f\udc80-\udcff]|^ | (?= )')


def _side_name(
    stem: str,  # of a mesh file
) -> str:       # of its side files: what OBJ and MTL cannot hold as %XX
    "A name that survives in an OBJ and an MTL file, and is no other's."
    def escape(found: re.Match[str]) -> str:
        code = found[0].encode('utf-8', 'surrogateescape')
        return ''.join(f'%{byte:02X}' for byte in code)
    return _UNSAFE.sub(escape, stem)


def _lines(line: str, *tables: torch.Tensor | None) -> list[str]:
    "A line of text for each row of tables side by side."
    rows = torch.cat([t.detach().cpu().double() for t in tables if t is not None], 1)
    return [line % tuple(row) for row in rows.tolist()]


def _obj_text(
    mesh: Mesh,
    stem: str,  # name of the MTL file beside it, for a texture
) -> str:       # lines of an OBJ file
    "A mesh as OBJ: nine digits bring every float32 back bit for bit."
    colored = mesh.vertex_colors is not None
    lines = _lines('v' + ' %.9g'*(6 if colored else 3), mesh.vertices,
                   mesh.vertex_colors)
    if mesh.uvs is None or mesh.face_uvs is None:
        lines += _lines('f %d %d %d', mesh.faces + 1)
    else:
        lines += _lines('vt %.9g %.9g', mesh.uvs)
        lines += [f'mtllib {stem}.mtl', 'usemtl texture']
        corners = torch.stack([mesh.faces, mesh.face_uvs], -1).flatten(1) + 1
        lines += _lines('f %d/%d %d/%d %d/%d', corners)
    return '\n'.join(lines) + '\n'


def _off_text(mesh: Mesh, colors: torch.Tensor | None) -> str:
    "A mesh as OFF, or as COFF with a colour a vertex."
    bytes_ = None if colors is None else (colors.clamp(0, 1)*255).round()
    lines = ['OFF' if colors is None else 'COFF',
             f'{len(mesh.vertices)} {len(mesh.faces)} 0']
    alpha = None if colors is None else torch.full_like(colors[:, :1], 255)
    lines += _lines('%.9g %.9g %.9g' + (' %d'*4 if colors is not None else ''),
                    mesh.vertices, bytes_, alpha)
    return '\n'.join(lines + _lines('3 %d %d %d', mesh.faces)) + '\n'


def _picture(mesh: Mesh) -> Image.Image:
    "The texture of a mesh as 8 bits a channel."
    assert mesh.texture is not None
    pixels = (mesh.texture.detach().cpu().clamp(0, 1)*255).round()
    return Image.fromarray(pixels.to(torch.uint8).numpy())


def _save_texture(
    mesh: Mesh,  # with a texture
    path: Path,  # of the OBJ file
    stem: str,   # of the files beside it
):
    "Write the PNG and the MTL file of a textured OBJ."
    with atomic_write(path.with_name(f'{stem}.png')) as temporary:
        _picture(mesh).save(temporary)
    with atomic_write(path.with_name(f'{stem}.mtl')) as temporary:
        temporary.write_text('newmtl texture\nKd 1 1 1\n'
                             f'map_Kd {stem}.png\n', 'utf-8')


def _vertex_colors(mesh: Mesh) -> torch.Tensor | None:
    "Colors (V, 3): the mesh's own, or the texels at its vertices."
    if mesh.texture is None or mesh.uvs is None or mesh.face_uvs is None:
        return mesh.vertex_colors
    H, W, _ = mesh.texture.shape
    u, v = (mesh.uvs % 1).unbind(1)
    column = (u*W).long().clamp(max=W - 1)
    row = ((1 - v)*H).long().clamp(max=H - 1)
    colors = mesh.texture.new_full(mesh.vertices.shape, .8)
    texels = mesh.texture[row, column][mesh.face_uvs.flatten()]
    return colors.index_put((mesh.faces.flatten(),), texels)


def _to_trimesh(mesh: Mesh, textured: bool) -> trimesh.Trimesh:
    "The same mesh for trimesh, with its texture or a colour a vertex."
    def table(values: torch.Tensor) -> ndarray: return values.detach().cpu().numpy()
    if textured and mesh.uvs is not None and mesh.face_uvs is not None:
        corners = np.stack([table(mesh.faces), table(mesh.face_uvs)], -1)
        first, which = distinct_rows(corners.reshape(-1, 2))
        vertex, uv = corners.reshape(-1, 2)[first].T
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=_picture(mesh), metallicFactor=0., roughnessFactor=1.)
        return trimesh.Trimesh(
            table(mesh.vertices)[vertex], which.reshape(-1, 3), process=False,
            visual=trimesh.visual.TextureVisuals(table(mesh.uvs)[uv], material=material))
    colors = _vertex_colors(mesh)
    bytes_ = (None if colors is None else
              (table(colors).clip(0, 1)*255).round().astype(np.uint8))
    return trimesh.Trimesh(table(mesh.vertices), table(mesh.faces),
                           vertex_colors=bytes_, process=False)


def save_mesh(
    mesh: Mesh,         # to write
    path: str | Path,   # .obj, .glb, .off, .ply or .stl
):
    """Write a mesh, wholly or not at all. InputError for another suffix; a
    MeshWarning where the format cannot hold its colours."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITTEN:
        raise InputError(f'{path}: unknown format; known are '
                         + ' '.join(_WRITTEN))
    stem = _side_name(path.stem)
    if suffix == '.obj' and mesh.texture is not None:
        _save_texture(mesh, path, stem)
    with atomic_write(path) as temporary:
        if suffix == '.obj':
            temporary.write_text(_obj_text(mesh, stem), 'utf-8')
        elif suffix == '.off':
            temporary.write_text(_off_text(mesh, _vertex_colors(mesh)), 'utf-8')
        else:
            _to_trimesh(mesh, suffix == '.glb').export(
                temporary, file_type=suffix[1:])
    lost = ''
    if suffix == '.stl' and (mesh.texture is not None or
                             mesh.vertex_colors is not None):
        lost = 'STL files hold no colours'
    elif suffix in ('.off', '.ply') and mesh.texture is not None:
        lost = (f'{suffix[1:].upper()} files hold no texture; of it they have '
                'the colour at each vertex')
    if lost: warnings.warn(f'{path}: {lost}', MeshWarning, 2)
