from pathlib import Path

import pytest
import torch
from mesh_files import complaint

from ssr_nb.checks import check_batch, check_floats, check_number, image_hw
from ssr_nb.core import (InputError, MeshWarning, atomic_write, check_choice,
                         read_json, write_text)


def test_an_input_error_is_one_line():
    assert str(InputError('mesh.obj:\n  no faces')) == 'mesh.obj: no faces'
    assert issubclass(InputError, ValueError)
    assert issubclass(MeshWarning, UserWarning)


def test_a_choice_that_is_none_is_refused_with_those_there_are():
    check_choice('kind', 'a', ('a', 'b'))
    assert complaint(check_choice, 'kind', 'c', ('a', 'b')) == (
        "kind: expected one of ('a', 'b'), found 'c'")


def test_what_is_no_json_is_refused_in_one_line_however_it_is_broken(tmp_path):
    path = tmp_path/'a.json'
    path.write_text('{"a": [1, NaN]}')
    assert read_json(path)['a'][0] == 1
    for broken in b'', b'{', b'['*100_000, b'9'*10_000, b'\xff', b'"a" "b"':
        path.write_bytes(broken)
        assert complaint(read_json, path).startswith(f'{path}: not JSON (')
    assert 'No such file' in complaint(read_json, tmp_path/'b.json')


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path/'mesh.obj'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text('half of the n')
        assert temporary.suffix == '.obj' and path.read_text() == 'old'
        raise KeyboardInterrupt
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]
    with atomic_write(path) as temporary: temporary.write_text('new')
    assert path.read_text() == 'new' and list(tmp_path.iterdir()) == [path]
    write_text(path, 'Stühle')
    assert path.read_text('utf-8') == 'Stühle'


def test_a_file_without_a_folder_and_a_folder_for_a_file_are_refused(tmp_path):
    for wrong, reason in (tmp_path/'no'/'x', 'does not exist'), (tmp_path, 'is a folder'):
        assert reason in complaint(atomic_write(wrong).__enter__)


def test_a_size_is_one_whole_number_or_two():
    assert image_hw(64) == (64, 64) and image_hw((48, 64)) == (48, 64) == image_hw([48, 64])
    for wrong in 0, 6.5, (4, 0), (1, 2, 3), '64', (4, -4), None:
        assert complaint(image_hw, wrong).startswith('image_size')


def test_numbers_outside_their_range_are_refused_by_name():
    check_number('lr', 1., 0, 1)
    for wrong in 0, 1.1, float('nan'), float('inf'), 'a', None:
        assert complaint(check_number, 'lr', wrong, 0, 1).startswith('lr: expected')


def test_float_tensors_of_another_shape_kind_or_value_are_refused_by_name():
    check_floats('v', torch.zeros(2, 5, 3), ..., 'V', 3)
    check_floats('v', torch.zeros(4, 4), 'n', 'n')
    for wrong, reason in ((torch.zeros(4, 2), 'expected shape (..., V, 3)'),
                          (torch.zeros(0, 3), 'expected shape'),
                          (torch.zeros(4, 3).long(), 'float tensor'),
                          ([[0., 0, 0]], 'float tensor, found list'),
                          (torch.full((4, 3), torch.nan), '12 NaN')):
        assert reason in complaint(check_floats, 'v', wrong, ..., 'V', 3)
    assert 'expected shape (n, n)' in complaint(check_floats, 'v', torch.zeros(4, 3), 'n', 'n')


def test_batches_that_do_not_broadcast_are_refused():
    check_batch('a', torch.zeros(2, 1, 3), (2, 1), (5,), 'b')
    assert 'do not go with b' in complaint(check_batch, 'a', torch.zeros(2, 3), (2,), (5,), 'b')


def test_paths_may_be_strings(tmp_path):
    with atomic_write(str(tmp_path/'a')) as temporary: Path(temporary).write_text('x')
    assert (tmp_path/'a').read_text() == 'x'
