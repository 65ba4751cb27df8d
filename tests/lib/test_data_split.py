"One split: what it holds, its camera, its labeled objects, its fingerprint."
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from data_files import message, some_split, write_split
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.data import Split, choose_covering, choose_labeled, load_split
from ssr_nb.data.npz import split_file
from ssr_nb.data.split import read_camera, split_fingerprint


def test_viewpoints_are_the_published_ring_unless_dataset_json_states_others():
    with tempfile.TemporaryDirectory() as folder:
        assert_close(read_camera(folder)[0][1], torch.tensor([2.732, 30., -15.]))
        path = Path(folder)/'dataset.json'
        ring = dict(distance=3, elevation=[10.]*24, azimuth=list(range(24)))
        path.write_text(json.dumps(dict(viewpoints=ring)))
        assert_close(read_camera(folder)[0][5], torch.tensor([3., 10., 5.]))
        for field, wrong in (('azimuth', [0]*23), ('elevation', 95), ('distance', None),
                             ('distance', float('nan')), ('azimuth', ['a']*24)):
            path.write_text(json.dumps(dict(viewpoints=dict(ring, **{field: wrong}))))
            assert f'viewpoints.{field}' in message(read_camera, folder)
        for wrong in ('[1]', '{', '"x"', '['*10**5, '{"viewpoints": 3}'):
            path.write_text(wrong)
            assert 'dataset.json' in message(read_camera, folder)


def test_a_split_holds_what_was_written_in_order():
    with tempfile.TemporaryDirectory() as folder:
        images, voxels = write_split(folder, '03001627', 'val', n=2)
        chairs = load_split(folder, 'chair', 'val')
        assert (chairs.images == images).all() and (chairs.voxels == voxels).all()
        assert (len(chairs), chairs.name, chairs.category, chairs.split) == (2, '03001627', 'chair', 'val')
        assert chairs.viewpoints.shape == (24, 3) and chairs.viewpoints.dtype == torch.float32


def test_images_and_voxels_must_agree():
    with tempfile.TemporaryDirectory() as folder:
        write_split(folder, n=3)
        np.savez(split_file(folder, 'plane', 'train', 'voxels'), some_split(2)[1])
        text = message(load_split, folder, 'plane')
        assert 'plane_train_voxels.npz: voxels of 2 objects, but 3' in text


def test_a_split_that_is_missing_or_empty_of_silhouettes_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        images, _ = write_split(folder, n=1)
        assert 'plane_test_images.npz: no such file' in message(load_split, folder, 'plane', 'test')
        assert 'train, val, test' in message(load_split, folder, 'plane', 'all')
        assert 'there: plane' in message(load_split, folder, 'mug')
        for alpha in (0, 255):
            images[:, :, 3] = alpha
            np.savez(split_file(folder, 'plane', 'train', 'images'), images)
            assert 'no silhouettes' in message(load_split, folder, 'plane')
        np.savez(split_file(folder, 'plane', 'train', 'images'), images[:, :, :3])
        assert 'not (1, 24, 3, 64, 64)' in message(load_split, folder, 'plane')


def test_labeled_objects_are_distinct_nested_in_n_and_a_matter_of_the_seed_alone():
    five = choose_labeled(100, 5, seed=3)
    assert len(set(five.tolist())) == 5 and five.max() < 100
    assert_close(choose_labeled(100, 2, seed=3), five[:2])
    assert set(choose_labeled(100, 5, seed=4).tolist()) != set(five.tolist())
    assert sorted(choose_labeled(7, 7).tolist()) == list(range(7))
    assert 'labeled objects' in message(choose_labeled, 7, 8)
    assert 'labeled objects' in message(choose_labeled, 7, 0)


def test_one_object_of_each_kind_is_chosen_before_a_second_of_any():
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(3, 1, 4, 8, 8, generator=generator)
    kind = torch.tensor([0, 1, 1, 0, 2, 1, 0, 0])
    noise = .02*torch.rand(8, 24, 4, 8, 8, generator=generator)
    images = ((kinds[kind] + noise)*200).byte().numpy()
    chosen = choose_covering(images, 4)
    assert sorted(kind[chosen[:3]].tolist()) == [0, 1, 2] and len(set(chosen.tolist())) == 4
    assert kind[chosen[0]] == 0                                  # the most common kind first
    assert choose_covering(images[:, ::-1].copy(), 4).tolist() == chosen.tolist()   # in any order of the images
    assert choose_covering(images, 2).tolist() == chosen[:2].tolist()
    assert sorted(choose_covering(images, 8).tolist()) == list(range(8))
    assert 'labeled objects' in message(choose_covering, images, 9)


def test_half_of_the_field_of_view_is_15_degrees_unless_dataset_json_states_another(tmp_path):
    write_split(tmp_path, n=1)
    assert load_split(tmp_path, 'plane').half_angle == 15.
    def state(half_angle):
        ring = dict(distance=3, elevation=10, azimuth=0, half_angle=half_angle)
        (tmp_path/'dataset.json').write_text(json.dumps(dict(viewpoints=ring)))
    state(20.5)
    assert load_split(tmp_path, 'plane').half_angle == 20.5
    for wrong in (0, 90, 'wide', [15.]*24, float('inf'), True):
        state(wrong)
        assert 'viewpoints.half_angle' in message(load_split, tmp_path, 'plane')


def test_a_split_is_recognised_whether_its_files_are_stored_deflated_or_gone(tmp_path):
    prints = []
    for compressed in (False, True):
        images, voxels = write_split(tmp_path, n=2, compressed=compressed)
        prints.append(split_fingerprint(load_split(tmp_path, 'plane')))
    alone = Split(images, voxels, viewpoint_ring(), 'plane', 'plane', 'train')
    assert prints == [split_fingerprint(alone)]*2
    assert len(prints[0]) == 24 and int(prints[0], 16)
    np.savez(split_file(tmp_path, 'plane', 'train', 'images'), np.asfortranarray(images))
    by_column = load_split(tmp_path, 'plane')
    assert split_fingerprint(by_column) == split_fingerprint(replace(by_column, images=by_column.images.copy('K')))


def test_whatever_changes_in_a_split_changes_its_fingerprint(tmp_path):
    write_split(tmp_path, n=2)
    split = load_split(tmp_path, 'plane')
    def changed(array, at):
        array = array.copy(); array[at] ^= True
        return array
    other = [replace(split, images=changed(split.images, (1, 23, 0, 63, 63))),
             replace(split, voxels=changed(split.voxels, (1, 31, 31, 31))),
             replace(split, images=split.images[:1], voxels=split.voxels[:1]),
             replace(split, images=split.images[::-1]),
             replace(split, viewpoints=split.viewpoints + 1e-3), replace(split, half_angle=16.)]
    prints = {split_fingerprint(one) for one in (split, *other)}
    assert len(prints) == 7
    assert split_fingerprint(replace(split, name='other', split='val')) == split_fingerprint(split)


def test_the_fingerprint_of_a_loaded_split_reads_none_of_its_images(tmp_path, monkeypatch):
    write_split(tmp_path, n=2)
    split, read = load_split(tmp_path, 'plane'), []
    monkeypatch.setattr('zlib.crc32', lambda data, start=0: read.append(len(data)) or 0)
    split_fingerprint(split)
    assert max(read) < 1000
