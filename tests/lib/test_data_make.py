"Data sets made of built-in shapes, mesh files and objects of one's own."
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import message
from torch.testing import assert_close

from ssr_nb.data import load_split, make_dataset
from ssr_nb.data.make import split_objects
from ssr_nb.data.npz import IMAGE_SHAPE, VOXEL_SHAPE
from ssr_nb.data.sources import orient
from ssr_nb.mesh import Mesh, save_mesh
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
        assert sorted(sum(parts.values(), [])) == list(range(count))
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
