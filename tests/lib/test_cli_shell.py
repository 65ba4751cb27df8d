"What all commands share: one line for an error, options from dataclasses."
import contextlib
import importlib
import io
import os
import re
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from commands import done, program, shell
from tyro.conf import Positional

import ssr_nb.cli
from ssr_nb.cli.shell import (
    check_category,
    check_out,
    command,
    did_you_mean,
    handle_signals,
    parse,
    say,
    signals_interrupt,
    strip_box,
)
from ssr_nb.core import InputError, MeshWarning

COMMANDS = dict(ssr_demo='demo', ssr_data='data', ssr_train='train', ssr_eval='evaluate', ssr_sweep='sweep', ssr_predict='predict',
                ssr_render='render', ssr_bench='bench')


def failing(error):
    @command('ssr_x')
    def body(words): raise error
    return body


def test_input_that_is_wrong_is_one_line_and_code_2_a_bug_stays_a_bug():
    for error, line in [(InputError('a.npz:\n  truncated'), 'ssr_x: a.npz: truncated\n'),
                        (OSError(28, 'No space left on device'), 'ssr_x: no space left on device\n'),
                        (PermissionError(13, 'Permission denied', '/data/x'), 'ssr_x: /data/x: permission denied\n')]:
        assert shell(failing(error)) == (2, '', line)
    assert shell(failing(KeyboardInterrupt())) == (130, '', 'ssr_x: stopped\n')
    for bug in (ValueError('bug'), OSError(5, 'Input/output error'), ZeroDivisionError()):
        with pytest.raises(type(bug)): shell(failing(bug))


def test_what_a_terminal_would_obey_is_never_printed_raw(capsys):
    evil = 'a\x1b[31m\x07\x9b2J\udcff.npz'
    for error in (InputError(evil), FileNotFoundError(2, 'No such file or directory', evil), KeyboardInterrupt(evil)):
        _, _, line = shell(failing(error))
        assert line.rstrip('\n').isprintable() and 'a?[31m' in line
    say(evil, 'two\nlines')
    assert capsys.readouterr().out == 'a?[31m??2J?.npz\ntwo\nlines\n'


def test_what_is_left_out_of_a_mesh_is_one_line_each_and_other_warnings_stay_what_they_are():
    @command('ssr_x')
    def body(words):
        for _ in range(2): warnings.warn('chair.glb:\n no texture\x1b', MeshWarning, stacklevel=1)
        warnings.warn('other', UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match='other') as kept: code, out, err = shell(body)
    assert (code, out, err) == (0, '', 'ssr_x: chair.glb: no texture?\n') and len(kept) == 1


def test_an_error_loses_its_frame_whatever_it_is_drawn_with():
    framed = """╭─ Value error ─────╮
│ --size: not a     │
│ number            │
│ ───────────────── │
│ For help, see ... │
╰───────────────────╯
"""
    plain = """ Value error
 -----------------
  --size: not a
  number
  -----------------
  For help, see ...
"""
    assert strip_box(framed) == strip_box(plain) == '--size: not a number'


def test_words_that_cannot_be_used_are_refused_in_one_line():
    @dataclass(frozen=True)
    class Options:
        what: Positional[str]             # to render
        style: Literal['a', 'b'] = 'a'    # of it
        size: int = 64                    # pixels

    assert parse(Options, ['cat', '--size', '3'], 'paint') == Options('cat', 'a', 3)
    for words, said in ((['cat', '--size', 'x'], "--size: invalid literal for int() with base 10: 'x'"), (['cat', '--what'], '--what: no such option'),
                        ([], 'required'), (['cat', '--style', 'c'], "'c'"), (['cat', 'dog'], 'dog'), (['cat', '--sise', '3'], '--sise: no such option (did you mean --size?)'),
                        (['--sise', '3', 'cat'], 'did you mean --size?')):
        with pytest.raises(InputError) as refusal: parse(Options, words, 'paint')
        text = str(refusal.value)
        assert said in text and '\n' not in text and '│' not in text and text.endswith('(see paint --help)'), text


def test_a_category_that_is_near_is_proposed(tmp_path):
    for name in ('03001627', 'plane'):
        for split in ('train', 'val', 'test'):
            for kind in ('images', 'voxels'): (tmp_path/f'{name}_{split}_{kind}.npz').touch()
    assert check_category(tmp_path, 'chair', ['train']) == '03001627' and check_category(tmp_path, 'plane', []) == 'plane'
    with pytest.raises(InputError, match=r"no category 'chiar'; there: 03001627, plane \(did you mean chair\?\)"): check_category(tmp_path, 'chiar', [])
    (tmp_path/'plane_val_voxels.npz').unlink()
    with pytest.raises(InputError, match='plane_val_voxels.npz: no such file'): check_category(tmp_path, 'plane', ['train', 'val'])
    assert did_you_mean('xyz', ['chair']) == ''
    with pytest.raises(InputError, match='--out: .*the folder .*nowhere does not exist'): check_out(tmp_path/'nowhere'/'x.obj')


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP', 'SIGINT'])
def test_each_signal_that_ends_a_program_interrupts_it_and_its_handler_comes_back(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), signals_interrupt(): os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_as_under_nohup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handle_signals(lambda *_: pytest.fail('handled')): os.kill(os.getpid(), signal.SIGHUP)
    finally: signal.signal(signal.SIGHUP, before)


def test_every_command_has_a_help_that_shows_an_example():
    for name, module in COMMANDS.items():
        text = done(importlib.import_module(f'ssr_nb.cli.{module}').main, '--help')
        assert name in text and '\x1b' not in text and ('For example' in text or module == 'data')
    assert 'For example' in done(importlib.import_module('ssr_nb.cli.data').main, 'make', '--help')


def test_the_help_of_an_option_stands_before_its_field_or_behind_it():
    "A second line behind a field would be the help of the next one."
    folder = Path(ssr_nb.cli.__file__).parent
    for path in [*folder.glob('*.py'), folder.parent/'config.py', folder.parent/'rules.py', folder.parent/'ring.py']:
        assert not re.search(r'^    \w+: [^()\n]*#.*\n {5,}#', path.read_text('utf-8'), re.MULTILINE), path


def test_every_command_is_installed_under_its_name(root):
    text = (root/'settings.ini').read_text()
    for name, module in COMMANDS.items(): assert f'{name}=ssr_nb.cli.{module}:main' in text


def test_commands_run_as_programs_and_fail_with_one_line(tmp_path):
    assert program('data', '--help').returncode == 0
    result = program('evaluate', tmp_path/'none', tmp_path)
    assert (result.returncode, result.stdout) == (2, '') and result.stderr == f'ssr_eval: {tmp_path}/none: no such run folder\n'
    result = program('render', 'none.obj')
    assert result.returncode == 2 and result.stderr.count('\n') == 1 and '--out' in result.stderr


def test_a_reader_that_leaves_early_is_no_error():
    "As in ssr_train --help-all | head -1."
    source = 'import sys; from ssr_nb.cli.shell import command, say\nsys.exit(command("x")(lambda words: say(*["line"]*100_000))())'
    with subprocess.Popen([sys.executable, '-c', source], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline(); running.stdout.close()
        assert running.stderr.read() == b'' and running.wait() == 141


def test_a_bar_in_a_log_is_a_line_now_and_then():
    from ssr_nb.cli.shell import show_objects
    with contextlib.redirect_stderr(io.StringIO()) as log:
        assert list(show_objects(list(range(500)))) == list(range(500))
    assert '\r' not in log.getvalue().strip() and len(log.getvalue().splitlines()) <= 4
