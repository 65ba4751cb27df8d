"Furniture libraries and Debian packages, sound and hostile."
import io
import lzma
import os
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import message, write_deb, write_library
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.data import ObjectSource, load_split, make_dataset
from ssr_nb.data.archives import (
    MAX_CONTENTS,
    MAX_MEMBER,
    XzReader,
    read_member,
    unpack_deb,
    untar_libraries,
)
from ssr_nb.data.furniture import (
    CATALOG,
    CATEGORY_WORDS,
    MAX_CATALOG,
    add_category_words,
    furniture_sources,
    match_category,
    open_library,
    place_model,
    read_properties,
)
from ssr_nb.data.make import find_furniture, make_object
from ssr_nb.mesh import Mesh
from ssr_nb.shapes import make_shape
from ssr_nb.shapes.primitives import box


def test_a_properties_file_is_read_as_java_reads_it():
    text = b'# a=b\n ! c\n\nid=1\r\nname\\u0023 : x\nname#1 = Bill 10\\u20ac\n  tags#1=Wood\\\n    en, \\\r\n  old\nempty=\nc=\\ta\\:\\\\b'
    found = read_properties(text)
    assert found == {'id': '1', 'name\\u0023': 'x', 'name#1': 'Bill 10€', 'tags#1': 'Wooden, old', 'empty': '', 'c': 'a:\\b'}
    assert read_properties('n=Hôi'.encode('latin-1')) == read_properties('n=Hôi'.encode()) == {'n': 'Hôi'}
    assert read_properties(b'a=\\ud800x\\u001b[2J') == {'a': 'x[2J'}  # nothing that a terminal obeys


def test_the_last_noun_of_a_name_says_what_the_thing_is():
    for name, kind in {'Armchair': 'chair', 'Desk lamp': 'lamp', 'Wall lamp artwork': 'lamp', 'Table with tablecloth': 'table', 'Track lights': 'lamp',
                       'Bedside table': 'cabinet', 'Television cabinet': 'cabinet', 'TV stand': 'cabinet', 'TV 16:9': 'display', 'Table fan': '',
                       'Armchair ottoman': '', 'Flashlight': '', 'Wheelchair': '', 'Seat Leon': '', 'Convertible sofa BZ': 'sofa', 'Table tennis bat': ''}.items():
        assert match_category(name, CATEGORY_WORDS) == kind, name
    assert match_category('Iron bed', CATEGORY_WORDS | {'bed': ['bed']}) == 'bed'


def test_words_of_one_s_own_are_added_to_the_table():
    kinds = add_category_words(['bed=bed,Baby crib', 'chair=stool'])
    assert kinds['bed'] == ['bed', 'baby crib'] and kinds['chair'] == ['stool'] and kinds['sofa'] == CATEGORY_WORDS['sofa']
    for wrong in ('bed', 'bed=', '=bed', '../x=bed', 'bed=a,,b', ''): assert 'kinds: expected' in message(add_category_words, [wrong])


def test_furniture_is_turned_and_sized_as_its_catalogue_says():
    part = box((0, 0, 0), (2, 2, 2), (1., 0, 0))
    lying = Mesh(part.vertices*torch.tensor([1., 2., 3.]), part.faces)   # 2 wide, 4 high, 6 deep
    item = dict(modelRotation='1 0 0 0 0 1 0 -1 0', width='50', height='90', depth='40')
    placed = place_model(lying, item).vertices
    assert_close(placed.amax(0) - placed.amin(0), torch.tensor([50., 90., 40.]))
    only_turned = place_model(lying, dict(modelRotation=item['modelRotation'])).vertices
    assert_close(only_turned, torch.stack([lying.vertices[:, 0], lying.vertices[:, 2], -lying.vertices[:, 1]], 1))
    assert_close(place_model(lying, {}).vertices, lying.vertices)
    for field, wrong in (('modelRotation', '1 0 0'), ('modelRotation', 'nan '*9), ('modelRotation', '-1 0 0 0 1 0 0 0 1'),
                         ('modelRotation', '2 0 0 0 1 0 0 0 1'), ('width', 'wide'), ('depth', '0'), ('height', 'inf')):
        assert field in message(place_model, lying, item | {field: wrong})


def test_a_furniture_library_becomes_a_data_set_with_creators_and_licences():
    with tempfile.TemporaryDirectory() as folder:
        library = write_library(f'{folder}/a.sh3f', {'license#3': 'CC-BY 3.0', 'width#2': '200', 'height#2': '50', 'depth#2': '50'})
        record = make_dataset(f'{folder}/made', library)
        rows = sorted(record['objects']['chair'], key=lambda row: row['name'])
        assert [row['name'] for row in rows] == ['Chair with cushion', 'Chairs', 'Oak chair']
        assert [row['creator'] for row in rows] == ['Maker 2', 'Maker 3', 'Maker 1']
        assert [row['licence'] for row in rows] == ['CC0 1.0', 'CC-BY 3.0', 'CC0 1.0']
        assert rows[2]['source'] == 'a.sh3f: lib/m1/m1.obj' and record['unmapped'] == ['Vase']
        lamp, = record['skipped']
        assert lamp['name'] == 'Desk lamp' and lamp['reason'].startswith('m4.obj, line 2') and folder not in lamp['reason']
        assert record['categories'] == ['chair']
        upright = make_object(ObjectSource(lambda: make_shape('chair', torch.Generator().manual_seed(1)), '', '', ''), viewpoint_ring())[1]
        oak = load_split(f'{folder}/made', 'chair', rows[2]['split']).voxels[rows[2]['row']]
        assert (oak & upright).sum() > .95*(oak | upright).sum()
        wide = load_split(f'{folder}/made', 'chair', rows[0]['split']).voxels[rows[0]['row']]
        across = [np.ptp(np.flatnonzero(wide.any(axes))) + 1 for axes in ((1, 2), (0, 2), (0, 1))]   # y, x, z
        assert across[1] > 3*max(across[0], across[2])


def test_packages_are_opened_and_words_of_one_s_own_find_other_categories():
    with tempfile.TemporaryDirectory() as folder:
        library = write_library(f'{folder}/a.sh3f')
        package = write_deb(f'{folder}/a.deb', {'./usr/doc.txt': b'x'*700, './usr/b.sh3f': library.read_bytes()})
        found, others = find_furniture([package, library], ['chair'], None, [], '+y', '+z', Path(folder))
        assert [r.source[:6] for r in found['chair']] == ['b.sh3f']*3 + ['a.sh3f']*3 and others == ['Vase']*2
        assert found['chair'][0].mesh().vertices.shape == found['chair'][3].mesh().vertices.shape
        found, others = find_furniture([library], None, 3, ['pot=vase,urn'], '+y', '+z', Path(folder))
        assert {name: len(sources) for name, sources in found.items()} == {'chair': 3, 'lamp': 1, 'pot': 1} and not others
        assert 'lamp: expected 3 objects or more, found 0 of 1' in message(make_dataset, f'{folder}/made', [library], ['lamp'])
        assert "found 'table'" in message(make_dataset, f'{folder}/made', [library], ['table'])
        assert 'kinds: expected' in message(make_dataset, f'{folder}/made', [library], kinds=['pot'])
        assert 'expected one folder of meshes' in message(make_dataset, f'{folder}/made', [library, folder])
        assert 'no such file' in message(make_dataset, f'{folder}/made', f'{folder}/absent.sh3f')
        assert not Path(folder, 'made').exists()


def test_a_hostile_model_is_skipped_by_name_and_nothing_leaves_its_folder():
    with tempfile.TemporaryDirectory() as folder:
        def why(changes=(), files=()):
            library = write_library(f'{folder}/a.sh3f', changes, files)
            source = furniture_sources([library], CATEGORY_WORDS)['chair'][2]
            return message(source.mesh)
        assert 'lib/none.obj: not in the library' in why({'model#3': '/lib/none.obj'})
        assert 'not in the library' in why({'model#3': '/../../../etc/passwd'})
        assert "'../../evil': leaves the folder" in why(files={'lib/m3/../../evil': 'x'})
        assert "'/etc/evil': leaves the folder" in why(files={'lib/m3//etc/evil': 'x'})
        assert 'leaves the folder' in why(files={'lib/m3/a\\..\\evil': 'x'})
        assert 'over the limit' in why(files={'lib/m3/bomb.png': bytes(MAX_MEMBER + 1)})
        assert '201 files' in why(files={f'lib/m3/{k}': 'x' for k in range(200)})
        assert 'a/b: File exists' in why(files={'lib/m3/a': 'x', 'lib/m3/a/b': 'x'})
        assert 'known are' in why({'model#3': '/lib/x.exe'}, {'lib/x.exe': 'MZ', 'lib/other': 'x'})
        assert sorted(p.name for p in Path(folder).iterdir()) == ['a.sh3f']


def test_a_member_that_says_it_is_small_gives_no_more_than_it_says():
    with tempfile.TemporaryDirectory() as folder:
        library = write_library(f'{folder}/a.sh3f', files={'bomb': bytes(300 << 20)})
        small = library.read_bytes().replace((300 << 20).to_bytes(4, 'little'), (99).to_bytes(4, 'little'))
        library.write_bytes(small)
        with open_library(library) as archive:
            tracemalloc.start()
            assert "'bomb': damaged" in message(read_member, archive, archive.getinfo('bomb'))
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
            tracemalloc.stop()


def test_a_library_that_is_none_is_refused_in_one_line():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.sh3f'
        refused = lambda: message(make_dataset, f'{folder}/made', path)
        whole = write_library(path).read_bytes()
        for cut in (b'', b'PK', whole[:99], whole[:-30]):
            path.write_bytes(cut); assert f'{path}: not a readable .sh3f' in refused()
        long = struct.pack('<4sQHHIIQQQQ', b'PK\6\6', 44, 45, 45, 0, 0, 6, 6, MAX_CONTENTS + 1, 0)
        locator = struct.pack('<4sIQI', b'PK\6\7', 0, whole.rindex(b'PK\5\6'), 1)   # where archives over 4 GB say it
        path.write_bytes(whole.replace(b'PK\5\6', long + locator + b'PK\5\6'))
        assert 'table of contents' in refused()
        end = whole.rindex(b'PK\5\6')
        path.write_bytes(whole[:end + 12] + (MAX_CONTENTS + 1).to_bytes(4, 'little') + whole[end + 16:])
        assert 'table of contents' in refused()
        write_library(path, files={CATALOG: ''}); assert 'no model' in refused()
        write_library(path, files={CATALOG: 'x'*(MAX_CATALOG + 1)}); assert f'{path}: ' in refused() and 'over the limit' in refused()
        with zipfile.ZipFile(path, 'w') as archive: archive.writestr('readme', 'x')
        assert f'no {CATALOG}' in refused()
        assert [p.name for p in Path(folder).iterdir()] == ['a.sh3f']


def test_a_package_that_is_none_is_refused_in_one_line_and_with_bounded_memory():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.deb'
        refused = lambda: message(make_dataset, f'{folder}/made', path)
        whole = write_deb(path, {'a.sh3f': bytes(9999)}).read_bytes()
        for cut in (b'', b'!<arch>\n', whole[:100], whole[:-70], whole.replace(b'data.tar.xz', b'data.tar.zst'[:11] )):
            path.write_bytes(cut); assert f'{path}: not a readable Debian package' in refused()
        write_deb(path, {'a.txt': b'x'}); assert 'no .sh3f file in it' in refused()
        write_deb(path, {'../../b.sh3f': b'x'}); assert 'b.sh3f: not a readable .sh3f' in refused()
        head = bytearray(tarfile.TarInfo('a.sh3f').tobuf()); head[124:136] = b'77777777777\0'
        for body in (head + bytes(999), b'-7'.join((head[:124], head[126:])), np.random.default_rng(0).bytes(2000)):
            with pytest.raises((ValueError, tarfile.TarError)): untar_libraries(io.BytesIO(body), Path(folder)/'absent')
        packed = lzma.compress(bytes(99), filters=[dict(id=lzma.FILTER_LZMA2, dict_size=1 << 30)])
        with pytest.raises(lzma.LZMAError): XzReader(io.BytesIO(packed)).read(99)
        assert [p.name for p in Path(folder).iterdir()] == ['a.deb']


def test_long_names_in_a_package_and_its_length_are_bounded(tmp_path, monkeypatch):
    head = tarfile.TarInfo('././@LongLink'); head.type, head.size = tarfile.GNUTYPE_LONGNAME, 300 << 20
    body = head.tobuf(tarfile.GNU_FORMAT) + bytes(300 << 20)
    tracemalloc.start()
    with pytest.raises(tarfile.TarError, match='too large'): untar_libraries(io.BytesIO(body), tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    monkeypatch.setattr('ssr_nb.data.archives.MAX_DEB', 1 << 20)
    package = write_deb(tmp_path/'a.deb', {'a.sh3f': bytes(700_000), 'b.sh3f': bytes(700_000)})
    (tmp_path/'out').mkdir()
    assert 'not a readable Debian package (too large)' in message(unpack_deb, package, tmp_path/'out')


def test_a_model_packed_by_another_method_is_skipped(tmp_path):
    library = write_library(tmp_path/'a.sh3f')
    with zipfile.ZipFile(library, 'a', zipfile.ZIP_BZIP2) as archive: archive.writestr('lib/m3/big', bytes(9999))
    mesh = furniture_sources([library], CATEGORY_WORDS)['chair'][2].mesh
    assert 'method other than deflate' in message(mesh)


def test_a_library_is_not_awaited_from_a_pipe(tmp_path):
    for name in 'a.sh3f', 'a.deb':
        os.mkfifo(tmp_path/name)
        assert f'{name}: not a regular file' in message(make_dataset, tmp_path/'made', tmp_path/name)
