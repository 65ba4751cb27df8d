"Files of arrays: mapped or unpacked, and refused when they lie."
import io
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import forge, message, write_split

from ssr_nb.core import InputError
from ssr_nb.data.npz import (
    IMAGE_SHAPE,
    MAX_BYTES,
    VOXEL_SHAPE,
    check_array,
    find_array,
    find_name,
    load_array,
    split_file,
)


def test_a_category_is_found_by_name_or_by_wordnet_id_whichever_the_files_use():
    with tempfile.TemporaryDirectory() as folder:
        for name in ('02691156', 'chair', 'coffee_mug'):
            split_file(folder, name, 'val', 'images').touch()
        assert find_name(folder, 'plane') == find_name(folder, '02691156') == '02691156'
        assert find_name(folder, 'chair') == find_name(folder, '03001627') == 'chair'
        assert find_name(folder, 'coffee_mug') == 'coffee_mug'
        assert '02691156, chair, coffee_mug' in message(find_name, folder, '../chair')
        assert 'no such folder' in message(find_name, folder + '/absent', 'chair')


def test_compressed_or_not_an_array_is_what_numpy_reads_and_only_the_latter_is_mapped():
    with tempfile.TemporaryDirectory() as folder:
        for compressed in (False, True):
            images, voxels = write_split(folder, n=2, compressed=compressed)
            path = split_file(folder, 'plane', 'train', 'images')
            array = load_array(path, IMAGE_SHAPE)
            assert isinstance(array, np.memmap) != compressed
            assert (array == images).all() and (array == np.load(path)['arr_0']).all()
            path = split_file(folder, 'plane', 'train', 'voxels')
            assert (load_array(path, VOXEL_SHAPE, (bool,)) == voxels).all()


def test_the_offset_is_read_from_the_local_header_whatever_the_directory_says():
    with tempfile.TemporaryDirectory() as folder:
        path, array = f'{folder}/a.npz', np.arange(24, dtype=np.uint8).reshape(2, 12)
        with zipfile.ZipFile(path, 'w') as archive:
            member = zipfile.ZipInfo('arr_0.npy')
            member.extra = struct.pack('<HH5s', 0x7777, 5, b'extra')
            buffer = io.BytesIO(); np.save(buffer, array)
            archive.writestr(member, buffer.getvalue())
            member.extra = b''  # the directory, written last, does not repeat it
        assert (load_array(path, (12,)) == array).all()


def test_column_major_arrays_keep_their_order():
    with tempfile.TemporaryDirectory() as folder:
        path, array = f'{folder}/a.npz', np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
        for save in (np.savez, np.savez_compressed):
            save(path, np.asfortranarray(array))
            assert (load_array(path, (3, 4)) == array).all()


def test_writing_to_a_mapped_array_leaves_the_file_alone():
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/a.npz'
        np.savez(path, np.zeros((2, 3), np.uint8))
        load_array(path, (3,))[:] = 7
        assert not load_array(path, (3,)).any()


def test_what_cannot_be_mapped_is_named():
    from unittest.mock import patch
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f'{folder}/a.npz', np.zeros((2, 3), np.uint8))
        with patch('numpy.memmap', side_effect=OSError(12, 'Cannot allocate memory')), pytest.raises(InputError, match='a.npz: 6 bytes cannot be mapped .Cannot'):
            load_array(f'{folder}/a.npz', (3,))


def test_a_pickle_is_refused_and_never_run():
    class Bomb:
        def __reduce__(self): return (pytest.fail, ('the pickle ran',))

    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/a.npz'
        np.savez(path, np.array([Bomb()], object))
        assert path in (text := message(load_array, path, (3,))) and 'object' in text
        Path(path).write_bytes(pickle.dumps(Bomb()))
        assert 'not a readable npz' in message(load_array, path, (3,))


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken():
    header = {'descr': '|u1', 'fortran_order': False, 'shape': (10**12, *IMAGE_SHAPE)}
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/a.npz'
        forge(path, header, bytes(1000))
        assert 'truncated: 1000 bytes' in message(load_array, path, IMAGE_SHAPE)
        forge(path, dict(header, shape=(-1, *IMAGE_SHAPE)))
        assert 'shape should be (objects, 24, 4, 64, 64)' in message(load_array, path, IMAGE_SHAPE)
        forge(path, dict(header, shape=(0,)*20_000))
        assert 'not a readable npz' in message(load_array, path, IMAGE_SHAPE)


def test_a_header_of_nonsense_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.npz'
        for text in (b'('*5000, b'-'*9000, b"'''", b'{"descr": 3}', b'\xff'*50, b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 3"):
            for version in (b'\1\0', b'\2\0', b'\3\0', b'\x09\0'):
                length = struct.pack('<H' if version == b'\1\0' else '<I', len(text))
                with zipfile.ZipFile(path, 'w') as archive:
                    archive.writestr('arr_0.npy', b'\x93NUMPY' + version + length + text + bytes(99))
                assert str(path) in message(load_array, path, (3,))


def test_whatever_byte_of_a_file_is_changed_it_is_read_or_refused():
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.npz'
        for save in (np.savez, np.savez_compressed):
            save(path, random.integers(0, 9, (4, 30), dtype=np.uint8)); whole = path.read_bytes()
            for _ in range(400):
                damaged = bytearray(whole)
                damaged[random.integers(len(whole))] = random.choice([0, 255, random.integers(256)])
                path.write_bytes(damaged)
                try: assert load_array(path, (30,)).shape == (4, 30)
                except InputError as reason: assert str(path) in str(reason)


def test_a_zip_that_claims_more_than_deflate_can_give_is_refused():
    item = IMAGE_SHAPE
    body = bytes(int(np.prod(item)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.npz'
        forge(path, {'descr': '|u1', 'fortran_order': False, 'shape': (9_000, *item)}, body)
        small = find_array(path).member.file_size.to_bytes(4, 'little')
        large = (find_array(path).start + 9_000*len(body)).to_bytes(4, 'little')
        path.write_bytes(path.read_bytes().replace(small, large))  # both headers lie
        assert 'forged' in message(load_array, path, item)


def test_a_compressed_array_over_the_limit_is_refused_with_a_way_out():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.npz'
        np.savez_compressed(path, np.zeros((2, 3), np.uint8))
        stored = find_array(path)
        stored.member.file_size += MAX_BYTES*3  # what an honest large file would say
        path.write_bytes(path.read_bytes() + bytes(12 << 20))
        object.__setattr__(stored, 'shape', (MAX_BYTES + 2, 3))
        assert 'save it uncompressed' in message(check_array, stored, (3,))


def test_a_truncated_or_damaged_file_is_refused_wherever_the_damage_is():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.npz'
        array = np.random.default_rng(0).integers(0, 9, (4000, 30), dtype=np.uint8)
        for save in (np.savez, np.savez_compressed):
            save(path, array); whole = path.read_bytes()
            for cut in (0, 1, 40, 200, len(whole)//2, len(whole) - 1):
                path.write_bytes(whole[:cut])
                assert str(path) in message(load_array, path, (30,))
        middle = len(whole)//2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1:])
        assert 'damaged' in message(load_array, path, (30,))


def test_anything_else_that_is_no_data_set_is_refused_by_name():
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/a.npz'
        assert 'no such file' in message(load_array, path, (3,))
        np.savez(path, np.zeros((2, 3), np.float32))
        assert 'dtype should be uint8, not float32' in message(load_array, path, (3,))
        np.savez(path, np.zeros((2, 4), np.uint8))
        assert 'shape should be (objects, 3), not (2, 4)' in message(load_array, path, (3,))
        np.savez(path, np.zeros((), np.uint8))
        assert 'shape' in message(load_array, path, (3,))
        np.savez(path, a=np.zeros(3), b=np.zeros(3))
        assert '2 arrays' in message(load_array, path, (3,))


def test_only_stored_and_deflated_arrays_are_read_and_no_other_is_unpacked(tmp_path, monkeypatch):
    header = {'descr': '|u1', 'fortran_order': False, 'shape': (3,)}
    for method in zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA:
        forge(tmp_path/'a.npz', header, b'abc', method)
        monkeypatch.setattr(zipfile.ZipFile, 'open', lambda *_: pytest.fail('unpacked'))
        assert 'compressed by a method other than deflate' in message(load_array, tmp_path/'a.npz', (3,))
        monkeypatch.undo()


def test_a_header_that_says_it_is_long_is_not_read_to_its_end(tmp_path):
    with zipfile.ZipFile(tmp_path/'a.npz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('arr_0.npy', b'\x93NUMPY\2\0' + struct.pack('<I', 32 << 20) + b' '*(32 << 20))
    tracemalloc.start()
    assert 'not a readable npz' in message(load_array, tmp_path/'a.npz', (3,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


def test_an_npz_of_many_names_is_refused_by_its_table_of_contents(tmp_path):
    with zipfile.ZipFile(tmp_path/'a.npz', 'w') as archive:
        for k in range(2000): archive.writestr(f'arr_{k}.npy', b'')
    assert 'table of contents is too long' in message(load_array, tmp_path/'a.npz', (3,))


def test_pipes_and_links_in_a_circle_are_refused_and_not_awaited(tmp_path):
    os.mkfifo(tmp_path/'a.npz')
    (tmp_path/'b.npz').symlink_to(tmp_path/'b.npz')
    for name in 'a.npz', 'b.npz':
        assert f'{name}: not a regular file' in message(load_array, tmp_path/name, (3,))
    (tmp_path/'loop').symlink_to(tmp_path/'loop')
    for wrong in tmp_path/'a.npz', tmp_path/'loop', tmp_path/'a\0b':
        assert 'no such folder' in message(find_name, wrong, 'chair')


def test_wrong_paths_and_names_are_answered_without_torch(tmp_path):
    source = ('import sys; from ssr_nb.core import InputError; from ssr_nb.data.npz import find_name\n'
              'try: find_name(sys.argv[1], "mug")\n'
              'except InputError as reason: print(reason, "torch" in sys.modules)')
    said = subprocess.run([sys.executable, '-c', source, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"{tmp_path}: no category 'mug'; there: none at all False"


def test_the_end_of_an_archive_over_4_gb_is_read_where_such_archives_say_it(tmp_path):
    path, array = tmp_path/'a.npz', np.arange(24, dtype=np.uint8).reshape(2, 12)
    np.savez(path, array)
    whole = path.read_bytes()
    at = whole.rindex(b'PK\5\6')
    size, start = struct.unpack('<II', whole[at + 12:at + 20])
    def with_long_end(size):
        record = struct.pack('<4sQHHIIQQQQ', b'PK\6\6', 44, 45, 45, 0, 0, 1, 1, size, start)
        locator = struct.pack('<4sIQI', b'PK\6\7', 0, at, 1)
        return whole[:at] + record + locator + whole[at:at + 12] + b'\xff'*8 + whole[at + 20:]
    path.write_bytes(with_long_end(size))
    assert (load_array(path, (12,)) == array).all()
    path.write_bytes(with_long_end(1 << 40))
    assert 'table of contents is too long' in message(load_array, path, (12,))
    path.write_bytes(whole[:at + 12] + b'\xff'*4 + whole[at + 16:])   # long, and nowhere said how long
    assert 'table of contents is too long' in message(load_array, path, (12,))
