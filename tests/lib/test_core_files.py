"Files that are none, and errors that say nothing a terminal obeys."
import os

import pytest

from ssr_nb.core import InputError, check_file, read_json


def test_a_regular_file_passes_and_everything_else_is_refused_by_its_name(tmp_path):
    plain, pipe, loop = tmp_path/'a', tmp_path/'pipe', tmp_path/'loop'
    plain.touch(); os.mkfifo(pipe); loop.symlink_to(loop)
    (tmp_path/'link').symlink_to(plain)
    assert check_file(plain) == plain and check_file(str(tmp_path/'link')).name == 'link'
    (tmp_path/'lost').symlink_to(tmp_path/'absent')
    for path in pipe, loop, tmp_path, tmp_path/'lost':
        with pytest.raises(InputError, match=f'{path}: not a regular file'): check_file(path)
    with pytest.raises(InputError, match='absent: no such file'): check_file(tmp_path/'absent')
    with pytest.raises(InputError, match='too long'): check_file(tmp_path/('a'*5000))
    with pytest.raises(InputError): check_file('a\0b')


def test_json_is_not_awaited_from_a_pipe(tmp_path):
    os.mkfifo(tmp_path/'a.json')
    with pytest.raises(InputError, match='not a regular file'): read_json(tmp_path/'a.json')


def test_an_error_shows_a_name_without_escapes_and_halves_of_characters():
    assert str(InputError('a\x1b[2Jb\udcff\nc\td é')) == 'a?[2Jb? c d é'
