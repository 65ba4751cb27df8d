"Data sets made of built-in shapes, mesh files and objects of one's own."
import json
import os
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import message
from torch.testing import assert_close

from ssr_nb.data import ObjectSource, check_dataset, load_split, make_dataset
from ssr_nb.data.make import split_objects
from ssr_nb.data.npz import IMAGE_SHAPE, VOXEL_SHAPE
from ssr_nb.data.sources import mesh_sources, orient, read_credits
from ssr_nb.mesh import Mesh
from ssr_nb.meshio import save_mesh
from ssr_nb.shapes import make_shape
from ssr_nb.shapes.primitives import box


def test_a_mesh_that_lies_on_its_back_is_stood_up_and_not_mirrored():
    part = box((0, 0, 0), (1, 1, 1), (1., 0, 0))
    points = torch.tensor([[1., 2, 3], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [2, 0, 0], [0, 2, 0], [0, 0, 2], [3, 3, 1]])
    mesh = Mesh(points, part.faces % 10)
    same = orient(mesh)
    assert_close(same.vertices, points)
    turned = orient(mesh, up='+z', front='-y').vertices
    assert_close(turned[0], torch.tensor([1., 3, -2]))
    assert_close(torch.linalg.det(turned[1:4]), torch.linalg.det(points[1:4]))
    assert 'right angles' in message(orient, mesh, up='y', front='-y')
    assert 'axis: expected' in message(orient, mesh, up='north')


def test_a_split_is_70_10_20_and_each_object_has_one_place():
    for count in range(3, 60):
        parts = split_objects(count)
        assert sorted(n for part in parts.values() for n in part) == list(range(count))
        assert all(parts.values())
    assert [len(part) for part in split_objects(100).values()] == [70, 10, 20]
    assert split_objects(50, 1) == split_objects(50, 1) != split_objects(50, 2)
    assert 'found 2' in message(split_objects, 2)


def test_a_made_data_set_is_read_back_and_says_what_is_in_it():
    with tempfile.TemporaryDirectory() as folder:
        record = make_dataset(f'{folder}/new', categories=['rifle', 'vessel'], count=3)
        assert record['categories'] == ['rifle', 'vessel'] and not record['skipped']
        rifles = load_split(f'{folder}/new', 'rifle')
        assert rifles.images.shape == (1, *IMAGE_SHAPE) and rifles.voxels.shape == (1, *VOXEL_SHAPE)
        assert_close(rifles.viewpoints[:, 2], -15.*torch.arange(24))
        assert [row['split'] for row in record['objects']['rifle']] == ['train', 'val', 'test']
        assert json.loads(Path(folder, 'new', 'dataset.json').read_text()) == record
        assert [p.name for p in Path(folder).iterdir()] == ['new']


def test_images_are_renderings_of_the_object_whose_voxels_lie_beside_them():
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(folder, categories=['sofa'], count=3, seed=4)
        sofa = load_split(folder, 'sofa', 'test')
        by_x = sofa.voxels[0].any(axis=(0, 2))  # voxels are indexed y, x, -z
        wide = np.ptp(np.flatnonzero(by_x)) + 1
        seen = np.ptp(np.flatnonzero(sofa.images[0, 0, 3].any(0))) + 1
        assert .8 < seen/(wide*64/32/1.464) < 1.25  # view 0 sees x in full


def test_the_same_seed_makes_the_same_data_set_and_another_seed_another():
    with tempfile.TemporaryDirectory() as folder:
        one, two, other = (make_dataset(f'{folder}/{k}', categories=['rifle'], count=3, seed=seed) and load_split(f'{folder}/{k}', 'rifle')
                           for k, seed in enumerate((7, 7, 8)))
        assert (one.images == two.images).all() and (one.images != other.images).any()


def test_own_meshes_become_a_data_set_broken_ones_are_skipped_with_a_reason():
    with tempfile.TemporaryDirectory() as folder:
        mugs = Path(folder)/'own'/'mug'; mugs.mkdir(parents=True)
        for k, (kind, ending) in enumerate((('rifle', 'obj'), ('vessel', 'ply'), ('rifle', 'off'))):
            save_mesh(make_shape(kind, torch.Generator().manual_seed(k)), mugs/f'{k}.{ending}')
        (mugs/'empty.obj').write_text('v 0 0 0\n'); (mugs/'noise.glb').write_bytes(b'glTF' + bytes(9))
        (mugs/'readme.txt').write_text('not a mesh')
        (mugs.parent/'meshes.json').write_text(json.dumps([dict(file='mug/0.obj', name='Zero', licence='CC0-1.0')]))
        record = make_dataset(f'{folder}/made', mugs.parent)
        assert sorted(row['name'] for row in record['objects']['mug']) == ['1', '2', 'Zero']
        assert {row['licence'] for row in record['objects']['mug']} == {'CC0-1.0', 'unknown'}
        assert sorted(row['name'] for row in record['skipped']) == ['empty', 'noise']
        assert all(row['reason'] for row in record['skipped'])
        assert len(load_split(f'{folder}/made', 'mug', 'val')) == 1


def test_when_nothing_can_be_made_nothing_is_left_behind():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder)/'own'/'mug').mkdir(parents=True)
        for k in range(4): (Path(folder)/'own'/'mug'/f'{k}.obj').write_text('v 0 0 0\n')
        assert 'mug: expected 3 objects or more, found 0 of 4' in message(make_dataset, f'{folder}/made', f'{folder}/own')
        assert 'no such folder' in message(make_dataset, f'{folder}/made', f'{folder}/absent')
        assert 'expected folders' in message(make_dataset, f'{folder}/made', f'{folder}/own/mug')
        assert 'count: expected 3' in message(make_dataset, f'{folder}/made', count=2)
        assert "found 'teapot'" in message(make_dataset, f'{folder}/made', categories=['teapot'], count=2)   # the name first
        (Path(folder)/'own'/'pics').mkdir(); (Path(folder)/'own'/'pics'/'a.png').write_bytes(b'no mesh')
        assert 'pics: holds no mesh files; read are .3mf .ac .dae' in message(make_dataset, f'{folder}/made', f'{folder}/own', ['pics'])
        assert 'new or an empty folder' in message(make_dataset, f'{folder}/own')
        assert [p.name for p in Path(folder).iterdir()] == ['own']
        def interrupted(objects): raise KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt): make_dataset(f'{folder}/made', count=3, progress=interrupted)
        assert [p.name for p in Path(folder).iterdir()] == ['own']


def own_meshes(folder, count=3):
    "A folder of a category of mugs, each a rifle."
    mugs = folder/'own'/'mug'; mugs.mkdir(parents=True)
    for k in range(count): save_mesh(make_shape('rifle', torch.Generator().manual_seed(k)), mugs/f'{k}.obj')
    return mugs


def made_rows(folder):
    "What dataset.json says of each mug, by name."
    record = make_dataset(folder/'made', folder/'own')
    return record, {row['name']: row for row in record['objects']['mug']}


def test_files_that_are_not_read_and_helpers_for_collisions_are_named_among_what_is_left_out(tmp_path):
    mugs = own_meshes(tmp_path)
    (mugs/'a.fbx').touch(); (mugs/'deep').mkdir(); (mugs/'deep'/'b.3DS').touch(); (mugs/'readme.txt').touch()
    os.mkfifo(mugs/'pipe.obj'); (mugs/'loop.stl').symlink_to(mugs/'loop.stl'); (mugs.parent/'stray.obj').touch()
    for name in 'cup_collider.obj', 'Cup-Collision.ply': (mugs/name).write_bytes((mugs/'0.obj').read_bytes())
    record, rows = made_rows(tmp_path)
    assert set(rows) == {'0', '1', '2'}
    why = {row['name']: row['reason'] for row in record['skipped']}
    assert set(why) == {'a', 'b', 'pipe', 'loop', 'stray', 'cup_collider', 'Cup-Collision'}
    assert '.fbx files are not read' in why['a'] and '.3DS files are not read' in why['b'] and '.glb' in why['a']
    assert why['pipe'] == why['loop'] == 'not a regular file'
    assert why['cup_collider'] == why['Cup-Collision'] == 'a helper mesh for collisions'
    assert why['stray'] == 'lies in no folder of a category'


def test_a_folder_of_files_that_are_not_read_says_which_are(tmp_path):
    (tmp_path/'own'/'mug').mkdir(parents=True); (tmp_path/'own'/'mug'/'a.fbx').touch()
    assert 'holds no mesh files; read are .3mf' in (text := message(make_dataset, tmp_path/'made', tmp_path/'own'))
    assert text.endswith('found are .fbx')


def test_the_count_is_of_objects_that_can_be_read(tmp_path):
    mugs = own_meshes(tmp_path, 4)
    for k in range(4): (mugs/f'{k}.blend').touch()
    record = make_dataset(tmp_path/'made', tmp_path/'own', count=3)
    assert len(record['objects']['mug']) == 3 and len(record['skipped']) == 4


def test_licences_stand_in_json_or_in_a_table_beside_the_meshes(tmp_path):
    mugs = own_meshes(tmp_path)
    for where, name, text in (
            (mugs.parent, 'licences.json', '[{"file": "mug/0.obj", "licence": "CC0-1.0", "creator": "Ada"}]'),
            (mugs.parent, 'licenses.json', '{"mug/0.obj": {"license": "CC0-1.0", "author": "Ada"}}'),
            (mugs, 'licences.json', '{"0.obj": {"licence": "CC0-1.0", "Author": "Ada"}}'),
            (mugs, 'licences.csv', 'File;License;Author\r\n0.obj;CC0-1.0;Ada\r\n1.obj;;\r\n2.obj;CC0' + ', or MIT'*9 + ';\r\n'),
            (mugs.parent, 'licenses.csv', '\ufefffilename,licence,creator,more\n.\\mug\\0.obj,CC0-1.0,Ada,x,y\n'),
            (mugs.parent, 'credits.csv', 'path\tlicence\tcreator\n0\tCC0-1.0\tAda\n')):
        (where/name).write_text(text, 'utf-8')
        zero, one, two = mesh_sources(mugs.parent, 'mug', '+y', '+z')
        assert (zero.name, zero.source, zero.licence, zero.creator) == ('0', 'mug/0.obj', 'CC0-1.0', 'Ada'), name
        assert (one.licence, one.creator) == ('unknown', '')
        (where/name).unlink()
    (mugs/'licences.json').write_text('{"0.obj": "CC-BY-4.0"}')
    rows = made_rows(tmp_path)[1]
    assert [rows[k]['licence'] for k in '012'] == ['CC-BY-4.0', 'unknown', 'unknown'] and 'creator' not in rows['0']


def test_a_table_of_licences_that_is_none_is_refused_by_its_name(tmp_path):
    own_meshes(tmp_path)
    for name, text in (('licences.csv', b'licence,creator\nCC0,Ada\n'), ('licences.csv', b'file\n\xff\n'), ('licences.csv', b''.join((b'file\n"', b'x'*200_000))),
                       ('licences.json', b'[3]'), ('licences.json', b'3'), ('licences.json', b'[{"licence": "CC0"}]'), ('licences.json', b'{')):
        path = tmp_path/'own'/name
        path.write_bytes(text)
        assert str(path) in message(make_dataset, tmp_path/'made', tmp_path/'own'), text[:30]
        path.unlink()


def test_objects_of_one_s_own_are_meshes_functions_or_sources(tmp_path):
    def some(k): return make_shape('vessel', torch.Generator().manual_seed(k))
    def broken(): raise ZeroDivisionError('no sides')
    boats = [some(0), lambda: some(1), ObjectSource(lambda: some(2), 'Two', 'here', 'CC0-1.0', 'Ada'), broken]
    record = make_dataset(tmp_path/'made', {'boat': boats})
    rows = {row['name']: row for row in record['objects']['boat']}
    assert set(rows) == {'boat 0', 'boat 1', 'Two'} and rows['Two']['creator'] == 'Ada' and rows['boat 0']['licence'] == 'unknown'
    assert [row['reason'] for row in record['skipped']] == ['ZeroDivisionError: no sides']
    assert check_dataset(tmp_path/'made') == [] and record['viewpoints']['half_angle'] == 15.
    for wrong, why in (({'boat': [3]}, 'boat 0: expected an ObjectSource'), ({}, 'categories: expected one'),
                       ({'a/b': boats}, 'cannot be part of a file name'), ({'..': boats}, 'cannot be part'), ({'a\nb': boats}, 'cannot be part')):
        assert why in message(make_dataset, tmp_path/'other', wrong)
    assert [p.name for p in tmp_path.iterdir()] == ['made']


def test_a_data_set_is_made_in_the_folder_that_one_works_in(tmp_path, monkeypatch):
    here = tmp_path/'here'; here.mkdir()
    monkeypatch.chdir(here)
    number = here.stat().st_ino
    make_dataset('.', categories=['rifle'], count=3)
    assert here.stat().st_ino == number and check_dataset('.') == []
    assert not [p for p in here.iterdir() if p.name.startswith('.')] and [p.name for p in tmp_path.iterdir()] == ['here']


def test_a_link_to_an_empty_folder_stays_a_link(tmp_path):
    (tmp_path/'real').mkdir(); (tmp_path/'link').symlink_to(tmp_path/'real')
    make_dataset(tmp_path/'link', categories=['rifle'], count=3)
    assert (tmp_path/'link').is_symlink() and check_dataset(tmp_path/'real') == []


def test_where_nothing_can_be_put_nothing_is_made(tmp_path, monkeypatch):
    (tmp_path/'file').touch(); (tmp_path/'loop').symlink_to(tmp_path/'loop'); (tmp_path/'lost').symlink_to(tmp_path/'absent')
    def never(): pytest.fail('an object was made')
    boats = {'boat': [never]*3}
    for wrong in 'file', 'loop', 'lost', 'file/in it', 'a'*400, 'a\0b':
        assert message(make_dataset, tmp_path/wrong, boats)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'loop', 'lost']
    moves, rename = [], Path.rename
    def full(self, target):
        moves.append(target)
        if len(moves) == 3: raise OSError(28, 'No space left on device')
        return rename(self, target)
    monkeypatch.setattr(Path, 'rename', full)
    (tmp_path/'empty').mkdir()
    with pytest.raises(OSError): make_dataset(tmp_path/'empty', categories=['rifle'], count=3)
    assert len(moves) == 3 and not any((tmp_path/'empty').iterdir())


def test_names_that_a_terminal_would_obey_or_utf_8_cannot_hold_are_told_plainly(tmp_path):
    mugs = own_meshes(tmp_path)
    os.rename(mugs/'0.obj', os.fsencode(mugs) + b'/a\xff\x1b[2J.obj'); (mugs/'b\x1b[2J.fbx').touch()
    (mugs/'licences.json').write_text(json.dumps({'1.obj': 'CC0\x1b[2J'}))
    record, rows = made_rows(tmp_path)
    assert set(rows) == {'a??[2J', '1', '2'} and rows['1']['licence'] == 'CC0?[2J'
    assert rows['a??[2J']['source'] == 'mug/a??[2J.obj' and [left['name'] for left in record['skipped']] == ['b?[2J']


def test_a_table_of_licences_takes_no_more_memory_than_it_has_bytes(tmp_path, monkeypatch):
    (tmp_path/'licences.csv').write_text('file' + ',x'*100_000 + '\na'*1000)   # not a hundred million cells
    tracemalloc.start()
    assert read_credits(tmp_path) == {'a': {'file': 'a'}}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20
    monkeypatch.setattr('ssr_nb.data.sources.MAX_TABLE', 1000)
    assert 'licences.csv: not a table (over 1000 bytes)' in message(read_credits, tmp_path)
