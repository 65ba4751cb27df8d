"ssr_demo: goes on, replaces its own files when told to, leaves others alone, tells of both methods."
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from commands import answers_without_torch, program, refused
from filelock import FileLock

from ssr_nb.cli.demo import METHODS, Demo, check_open, demo_config, demo_files, lock_demo, main, open_demo, train_words
from ssr_nb.cli.train import parse_train
from ssr_nb.config import PRESETS, method_name
from ssr_nb.core import InputError


def filled(out, category='sofa'):
    "A folder with every file that a demo writes."
    open_demo(Demo(out, category=category))
    for file in demo_files(out, category)[1:]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('ours')
    return out


def test_the_same_demo_goes_on_and_another_only_when_told_to_begin_anew(tmp_path):
    out = filled(tmp_path/'demo')
    mine = out/'data'/'mine_train_images.npz'; mine.write_text('mine')
    (out/'runs'/'ssr'/'run.lock').touch()
    open_demo(Demo(out)); assert all(f.exists() for f in demo_files(out, 'sofa'))
    with pytest.raises(InputError, match=r'other settings \(--category sofa, now car, --seed 0, now 3\); choose another --out, or --fresh'):
        open_demo(Demo(out, category='car', seed=3))
    assert all(f.exists() for f in demo_files(out, 'sofa'))
    open_demo(Demo(out, category='car', fresh=True))
    assert not any(f.exists() for f in demo_files(out, 'sofa')[1:]) and mine.read_text() == 'mine'
    assert (out/'runs'/'ssr'/'run.lock').exists()     # a lock is never removed: two could hold it
    assert json.loads((out/'demo.json').read_text())['category'] == 'car'
    (out/'report.html').write_text('ours'); open_demo(Demo(out, category='car', fresh=True)); assert not (out/'report.html').exists()


def test_a_running_demo_keeps_others_out_also_with_fresh(tmp_path):
    out = filled(tmp_path/'demo')
    before = {f: f.read_text() for f in demo_files(out, 'sofa')}
    with FileLock(out/'demo.lock'):
        for words in ([], ['--fresh'], ['--fresh', '--category', 'car']):
            assert 'another demo is running here' in refused(main, '--out', out, *words)
    assert {f: f.read_text() for f in demo_files(out, 'sofa')} == before and (out/'demo.lock').exists()
    with lock_demo(out): pass


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path/'mine').write_text('mine')
    (tmp_path/'demo').mkdir(); (tmp_path/'demo'/'demo.lock').symlink_to(tmp_path/'mine')
    assert 'demo.lock: too many levels of symbolic links' in refused(main, '--out', tmp_path/'demo')
    assert (tmp_path/'mine').read_text() == 'mine'


def test_a_demo_does_not_overwrite_what_it_has_not_made(tmp_path):
    (tmp_path/'report.html').write_text('thesis')
    with pytest.raises(InputError, match='report.html: is in the way'): check_open(Demo(tmp_path))
    for content in ('{', '[]', '{"category": "../.."}'):
        (tmp_path/'demo.json').write_text(content)
        with pytest.raises(InputError, match='demo.json: not written by ssr_demo'): check_open(Demo(tmp_path, fresh=True))
    assert (tmp_path/'report.html').read_text() == 'thesis'


def test_its_recipe_is_the_small_preset_with_a_few_changes_and_can_be_typed():
    o = Demo(labeled=5, seed=3, iterations=60)
    for method in METHODS: assert method_name(demo_config(o, method)) == {'ssr': 'joint'}.get(method, method)
    config = demo_config(o, 'ssr')
    assert replace(config.shape, decay=0, subdivisions=2, width=16) == replace(PRESETS['small'].shape, decay=0) and config.view == PRESETS['small'].view
    for rule in ('agreement', 'confidence', 'joint'):
        o = replace(o, rule=rule)
        words = train_words(o)
        assert words[0] == 'ssr_train' and parse_train(words[1:]).config == demo_config(o, 'ssr')


def test_the_demo_refuses_what_cannot_be_trained_before_it_makes_anything(tmp_path):
    def say(*words): return refused(main, '--out', tmp_path/'demo', *words, within=tmp_path)
    assert '--labeled: pseudo-labels need 2' in say('--labeled', '1')
    assert '--iterations' in say('--iterations', '0')
    assert '--count' in say('--count', '0')
    assert '--category' in say('--category', 'unicorn') and '(did you mean chair?)' in say('--category', 'chiar')
    assert '--labeled: expected at most 14' in say('--labeled', '90', '--count', '20')


def test_the_demo_answers_without_torch(tmp_path):
    (tmp_path/'report.html').touch(); (tmp_path/'file').touch()
    answers_without_torch('demo', ['--category', 'unicorn'], ['--labeled', 1], ['--count', 2], ['--out', tmp_path], ['--out', tmp_path/'file'], ['--sede', 1])


@pytest.mark.slow
def test_the_demo_tells_of_both_methods_and_can_be_run_again(tmp_path):
    out = tmp_path/'demo'
    words = '--out', out, '--count', 10, '--iterations', 4
    first = program('demo', *words)
    assert first.returncode == 0 and '| SoftRas |' in first.stdout and '| SSR |' in first.stdout, first.stderr
    made = {f for f in out.rglob('*') if f.is_file() and f.suffix != '.lock'}
    assert {out/'report.html', out/'report.png', out/'meshes/object_0_ssr.obj', out/'meshes/object_1_input.png'} <= made
    assert made <= set(demo_files(out, 'sofa')) and 'ssr_train ' in (out/'report.html').read_text()
    before = (out/'runs/ssr/metrics.csv').read_text()
    again = program('demo', *words)
    assert again.returncode == 0 and (out/'runs/ssr/metrics.csv').read_text() == before
    assert again.stdout.splitlines()[2:4] == first.stdout.splitlines()[2:4]


@pytest.mark.slow
def test_a_signal_saves_both_runs_of_a_demo_which_then_goes_on(tmp_path):
    out = tmp_path/'demo'
    words = ['--out', str(out), '--count', '10', '--iterations', '100000']
    source = 'import sys; from ssr_nb.cli.demo import main; sys.exit(main())'
    with subprocess.Popen([sys.executable, '-c', source, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                          start_new_session=True) as running:
        while not all((out/'runs'/m/'checkpoint.pt').exists() for m in METHODS):
            assert running.poll() is None
            time.sleep(.2)
        os.kill(running.pid, signal.SIGTERM)
        err = running.stderr.read()
    assert running.returncode == 130, err
    assert err.strip().splitlines()[-1] == f'ssr_demo: stopped; go on with: {shlex.join(["ssr_demo", *words])}'
    assert {p.name for p in (out/'runs').iterdir()} == set(METHODS)
