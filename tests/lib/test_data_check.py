"What is in a data set and what is wrong with it."
import json
import tempfile
from pathlib import Path

import numpy as np
from data_files import some_split, write_library, write_split
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.data import check_dataset, dataset_info, load_split, make_dataset
from ssr_nb.data.npz import split_file


def test_a_sound_data_set_has_no_problems_and_each_kind_of_damage_is_one():
    def spoiled(name='images', **changes):
        "Problems of a small data set after a change of its training arrays."
        with tempfile.TemporaryDirectory() as folder:
            for k, split in enumerate(('train', 'val', 'test')):
                images, voxels = some_split(2, seed=k)
                for change in changes.values():
                    if split == 'train': change(images, voxels)
                np.savez(split_file(folder, 'mug', split, 'images'), images)
                np.savez(split_file(folder, 'mug', split, 'voxels'), voxels)
                if name == split: split_file(folder, 'mug', split, 'voxels').unlink()
            return check_dataset(folder)

    def blank(images, voxels): images[1, 5, 3] = 0
    def filled(images, voxels): images[0, 7, 3] = 255
    def hollow(images, voxels): voxels[1] = 0
    def twin(images, voxels): images[:] = some_split(2, seed=2)[0]
    assert spoiled() == []
    assert 'a view without silhouette in 1 objects, the first in row 1' in spoiled(a=blank)[0]
    assert 'a view all silhouette in 1 objects' in spoiled(a=filled)[0]
    assert 'no voxels in 1 objects' in spoiled(a=hollow)[0]
    assert 'mug test 0: same as mug train 0' in spoiled(a=twin)[0]
    assert 'mug_val_voxels.npz: no such file' in spoiled('val')[0]


def test_damage_in_a_mapped_file_and_a_false_dataset_json_are_found():
    with tempfile.TemporaryDirectory() as folder:
        for split in ('train', 'val', 'test'): write_split(folder, 'mug', split, n=1)
        path = split_file(folder, 'mug', 'val', 'voxels')
        spoilt = bytearray(path.read_bytes()); spoilt[9_000] ^= 1; path.write_bytes(spoilt)
        problems = check_dataset(folder)
        assert any('mug_val_voxels.npz: damaged' in line for line in problems)
        rows = [dict(split=s, row=0) for s in ('train', 'val')]
        for objects, complaint in (({'mug': rows}, 'other objects of mug'), ({'mug': 3}, 'should be lists'), ([], 'should be lists')):
            (Path(folder)/'dataset.json').write_text(json.dumps(dict(objects=objects)))
            assert any(complaint in line for line in check_dataset(folder)), objects
        for file in Path(folder).iterdir(): file.unlink()
        assert 'no <name>_<split>_images.npz' in check_dataset(folder)[0]


def test_what_is_made_here_has_no_problems():
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(f'{folder}/chairs', write_library(f'{folder}/a.sh3f', {'license#3': 'CC-BY 3.0'}))
        assert check_dataset(f'{folder}/chairs') == []
        folder = f'{folder}/made'
        make_dataset(folder, categories=['rifle', 'vessel'], count=3, seed=1)
        assert check_dataset(folder) == []
        cut = split_file(folder, 'rifle', 'val', 'images')
        cut.write_bytes(cut.read_bytes()[:99])   # one file, one problem
        problem, = check_dataset(folder)
        assert str(cut) in problem


def test_info_counts_objects_cells_and_megabytes():
    with tempfile.TemporaryDirectory() as folder:
        images, voxels = write_split(folder, '02691156', 'val', n=2)
        row, = dataset_info(folder)
        assert (row['name'], row['category'], row['split'], row['objects'], row['mapped']) == ('02691156', 'plane', 'val', 2, True)
        assert abs(row['filled'] - voxels.mean()) < 1e-4 and abs(row['megabytes'] - .85) < .02


def test_files_in_the_layout_of_kato_et_al_drop_in_without_a_word_beside_them():
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        for split, n in (('train', 3), ('val', 1), ('test', 2)):
            images = random.integers(0, 256, (n, 24, 4, 64, 64), dtype=np.uint8)
            images[:, :, 3] *= images[:, :, 3] > 128
            np.savez_compressed(f'{folder}/02691156_{split}_images.npz', images)
            np.savez_compressed(f'{folder}/02691156_{split}_voxels.npz', random.random((n, 32, 32, 32)) > .5)
        for asked in ('plane', '02691156'):
            planes = load_split(folder, asked, 'test')
            assert (planes.images == images).all() and (planes.category, planes.name) == ('plane', '02691156')
        assert_close(planes.viewpoints, viewpoint_ring())
        assert check_dataset(folder) == [] and [row['objects'] for row in dataset_info(folder)] == [3, 1, 2]
