"Furniture libraries of Sweet Home 3D: .sh3f files, and .deb packages of them."
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ..core import InputError, check_file
from ..mesh import Mesh
from ..meshio import load_mesh
from .archives import (
    MAX_MEMBER,
    open_zip,
    read_member,
    unpack_deb,
    write_inside,
)
from .errors import BROKEN, one_line, require
from .sources import ObjectSource, orient

__all__: list[str] = []

LIBRARIES = '.sh3f', '.deb'
CATALOG = 'PluginFurnitureCatalog.properties'
MAX_CATALOG = 4 << 20  # bytes; the largest of Sweet Home 3D's has 0.15 MB
MAX_FILES = 200        # in a model's folder

CATEGORY_WORDS = {   # a category -> words and phrases in the names of its models
    'bench': ['bench'],
    'cabinet': ['cabinet', 'wardrobe', 'dresser', 'cupboard', 'chest',
                'vanity', 'safe', 'bedside table', 'tv stand'],
    'car': ['car', 'sedan', 'suv'],
    'chair': ['chair', 'armchair', 'class seat'],
    'display': ['tv', 'tv 16 9'],
    'lamp': ['lamp', 'light', 'lantern', 'lamppost', 'chandelier',
             'spotlight', 'fluorescent strip'],
    'phone': ['phone', 'iphone'],
    'plane': ['plane', 'biplane'],
    'sofa': ['sofa', 'couch'],
    'speaker': ['speaker'],
    'table': ['table', 'desk'],
    'vessel': ['boat', 'rowboat'],
    '': ['abdominal bench', 'chest freezer', 'football table', 'ottoman',
         'fan', 'opened convertible sofa', 'piano bench', 'pool table',
         'remote control', 'table tennis', 'table tennis bat']}


def _unescape(
    text: str,  # with \u20ac, \: and the like
) -> str:       # no control characters, no halves of characters
    "What a string of a Java properties file means."
    blank = dict.fromkeys('tnrf', ' ')
    plain = re.sub(r'\\(?:u([0-9a-fA-F]{4})|(.?))', lambda m: chr(
        int(m[1], 16)) if m[1] else blank.get(m[2], m[2]), text)
    return ''.join(c for c in plain if c.isprintable()).strip()


def read_properties(
    content: bytes,    # UTF-8 or Latin-1
) -> dict[str, str]:
    "Keys and values of a Java properties file."
    try: text = content.decode('utf-8')
    except UnicodeDecodeError: text = content.decode('latin-1')
    text = re.sub(r'\\(\r\n|\r|\n)[ \t]*', '', text)  # the line goes on
    pairs = (re.match(r'\s*(?![#!\s])([^=:\s]+)[ \t]*[=:]?(.*)', line)
             for line in re.split(r'\r\n|\r|\n', text))
    return {pair[1]: _unescape(pair[2]) for pair in pairs if pair}


def match_category(
    name: str,                     # of a model
    words: dict[str, list[str]],   # words and phrases by category
) -> str:                          # category; '' when it is none of them
    "The category whose word ends last in the head of a name."
    plain = ' '.join(re.findall(r'[^\W_]+', name.lower()))
    head = re.split(r' (?:with|on|and|for|in)\b', plain)[0]
    found = [(match.end(), len(phrase), category)
             for category, phrases in words.items() for phrase in phrases
             for match in re.finditer(rf'\b{re.escape(phrase)}s?\b', head)]
    return max(found)[2] if found else ''


def add_category_words(
    lines: Iterable[str],        # 'bed=bed,crib', ...
) -> dict[str, list[str]]:       # CATEGORY_WORDS, and these instead or besides
    "More categories, or other words for a known one; InputError if unclear."
    known = dict(CATEGORY_WORDS)
    for line in lines:
        name, _, words = line.partition('=')
        phrases = [' '.join(re.findall(r'[^\W_]+', w.lower()))
                   for w in words.split(',')]
        require(re.fullmatch(r'\w[\w-]*', name) and all(phrases), 'kinds: '
                f'expected category=word,word, found {one_line(line)!r}')
        known[name] = phrases
    return known


def open_library(
    path: Path,  # a .sh3f file
):               # zipfile.ZipFile
    "A ZIP archive with a bounded table of contents; InputError when not."
    try: return open_zip(check_file(path))
    except InputError: raise
    except BROKEN as reason:
        raise InputError(f'{path}: not a readable .sh3f library '
                         f'({one_line(reason)})') from None


def read_catalog(
    library: Path,  # a .sh3f file
) -> tuple[dict[str, str], list[dict[str, str]]]:
    "What a catalogue says of itself, and of each model."
    with open_library(library) as archive:
        require(CATALOG in archive.namelist(), f'{library}: no {CATALOG}')
        try: content = read_member(archive, archive.getinfo(CATALOG),
                                   MAX_CATALOG)
        except InputError as reason:
            raise InputError(f'{library}: {reason}') from None
    general: dict[str, str] = {}
    items: dict[str, dict[str, str]] = {}
    for key, value in read_properties(content).items():
        field, _, number = key.partition('#')
        if number: items.setdefault(number, {})[field] = value
        else: general[key] = value
    return general, [item for item in items.values() if 'model' in item]


def unpack_model(
    library: Path,
    item: dict[str, str],  # of its catalogue
    folder: Path,          # empty
) -> Path:                 # the model's file
    "Unpack a model and, if it has parts, the files beside it."
    name = item['model'].lstrip('/')
    home = name[:name.rfind('/') + 1]
    with open_library(library) as archive:
        there = {m.filename: m for m in archive.infolist() if not m.is_dir()}
        require(name in there, f'{name}: not in the library')
        names = [n for n in there if n.startswith(home)] \
            if item.get('multiPartModel') == 'true' else [name]
        size = sum(there[n].file_size for n in names)
        require(len(names) <= MAX_FILES and size <= 4*MAX_MEMBER, f'{home}: '
                f'{len(names)} files and {size} bytes, over the limit')
        for n in names:
            write_inside(folder, n[len(home):], read_member(archive, there[n]))
    return folder/name[len(home):]


def _read_numbers(
    item: dict[str, str],
    field: str,
    count: int,
) -> Tensor:   # (count,) double
    "Finite numbers of a catalogue; InputError names the field."
    try: numbers = [float(word) for word in item[field].split()]
    except ValueError: numbers = []
    require(len(numbers) == count and all(map(math.isfinite, numbers)),
            f'{field}: expected {count} finite numbers, found '
            f'{one_line(item[field])!r}')
    return torch.tensor(numbers, dtype=torch.double)


def place_model(
    mesh: Mesh,             # as its file has it
    item: dict[str, str],   # of the catalogue
) -> Mesh:
    "A mesh turned and sized as its catalogue says; InputError if it cannot."
    vertices = mesh.vertices.double()
    if item.get('modelRotation'):
        turn = _read_numbers(item, 'modelRotation', 9).reshape(3, 3)
        rigid = (turn @ turn.T - torch.eye(3)).abs().max() < .01
        require(bool(rigid) and torch.linalg.det(turn) > 0,
                'modelRotation: expected a rotation')
        vertices = vertices @ turn.T
    if all(item.get(side) for side in ('width', 'height', 'depth')):
        size = torch.cat([_read_numbers(item, side, 1)
                          for side in ('width', 'height', 'depth')])
        require(size.min() > 0, 'width, height, depth: expected above 0')
        used = vertices[mesh.faces.unique()]
        extent = used.amax(0) - used.amin(0)
        vertices = vertices*torch.where(extent > 0, size/extent, 1.)
    return replace(mesh, vertices=vertices.float())


def load_model(
    library: Path,
    item: dict[str, str],  # of its catalogue
) -> Mesh:
    "A model out of its library; InputError says why it cannot be read."
    with TemporaryDirectory() as folder:
        path = unpack_model(library, item, Path(folder))
        try: return place_model(load_mesh(path), item)
        except InputError as reason:
            raise InputError(str(reason).replace(f'{folder}/', '')) from None


def furniture_sources(
    libraries: list[Path],         # .sh3f files
    words: dict[str, list[str]],   # by category
    up: str = '+y', front: str = '+z',
) -> dict[str, list[ObjectSource]]:  # '' holds what is of no category
    "The models of furniture libraries, by category."
    found: dict[str, list[ObjectSource]] = {}
    for library in libraries:
        general, items = read_catalog(library)
        require(items, f'{library}: no model in its {CATALOG}')
        for item in items:
            def mesh(library: Path = library, item: dict = item) -> Mesh:
                return orient(load_model(library, item), up, front)
            name, model = item.get('name', ''), item['model'].lstrip('/')
            licence = item.get('license') or general.get('license', 'unknown')
            found.setdefault(match_category(name, words), []).append(ObjectSource(
                mesh, one_line(name or model), one_line(
                    f'{library.name}: {model}'), one_line(licence),
                one_line(item.get('creator', 'unknown'))))
    return dict(sorted(found.items()))


def find_libraries(
    paths: Iterable[str | Path],  # .sh3f and .deb files
    folder: Path,                 # empty, for what has to be unpacked
) -> list[Path]:                  # .sh3f files
    "The furniture libraries of files and packages."
    found = []
    for k, path in enumerate(dict.fromkeys(map(Path, paths))):
        require(path.suffix.lower() in LIBRARIES, f'{path}: expected '
                'one folder of meshes, or .sh3f and .deb files')
        check_file(path)
        if path.suffix.lower() == '.sh3f': found.append(path)
        else:
            (folder/str(k)).mkdir()
            found += unpack_deb(path, folder/str(k))
    return found
