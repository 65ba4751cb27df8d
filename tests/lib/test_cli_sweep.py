"ssr_sweep: choices named before anything is run, a table at the end."
import shlex
import signal
import subprocess
import sys
import time

import psutil
import pytest
from commands import answers_without_torch, done, refused, shell, write_data

from ssr_nb import sweep as sweeps
from ssr_nb.cli.sweep import METHODS, Sweep, check_sweep, main, parse_sweep
from ssr_nb.cli.train import parse_train
from ssr_nb.core import InputError
from ssr_nb.sweep import FailedRuns
from ssr_nb.tables import read_results

ROW = dict(category='plane', method='ssr', labeled=2, seed=0, preset='small', iterations=4, val_iou=.4, test_iou=.41, best_at=4,
           label_coverage=.517, label_accuracy=.613, neighbour=.1, opposite=.1, threads=1, seconds=1.)


def test_the_methods_of_the_help_are_those_of_sweeps():
    assert METHODS == tuple(sweeps.METHODS)
    text = ' '.join(done(main, '--help').split())
    assert f'Methods: {", ".join(METHODS)}.' in text and '--preset {paper,small,medium,ring}' in text


def test_a_sweep_s_runs_are_its_own():
    assert Sweep.runs != parse_train(['d', '--category', 'c']).out.parent


def test_a_sweep_s_wrong_choices_are_named_before_anything_is_run(tmp_path):
    data = write_data(tmp_path)
    out = ['--results', tmp_path/'r.csv', '--runs', tmp_path/'runs']
    (tmp_path/'folder').mkdir()
    for words, line in ((['--categories', 'plane', '--methods', 'rign'], '--methods: expected some of softras'), (['--categories', 'plane', '--methods', 'rign'], 'did you mean ring?'),
                        (['--categories', 'plane', '--labeled', '1'], '--labeled: pseudo-labels need 2'),
                        (['--categories', 'plan'], "no category 'plan'; there: plane (did you mean plane?)"),
                        (['--categories', 'plane', '--labeled', '2', '99'], '--labeled: expected at most 5'),
                        (['--categories', 'plane', '--processes', '0'], '--processes: expected at least 1'), ([], '--categories'),
                        (['--categories', 'plane', '--results', tmp_path/'folder'], '--results: ')):
        assert line in refused(main, data, *out, *words, within=tmp_path)


def test_a_sweep_answers_without_torch(tmp_path):
    d = write_data(tmp_path)
    answers_without_torch('sweep', [tmp_path/'none', '--categories', 'plane'], [d, '--categories', 'chair'], [d, '--categories', 'plane', '--methods', 'luck'],
                          [d, '--categories', 'plane', '--results', tmp_path], [d])


def test_all_is_every_whole_category_of_a_data_set(tmp_path):
    for name in ('plane', 'chair', 'mug'): write_data(tmp_path, name)
    (tmp_path/'mug_val_images.npz').unlink(); (tmp_path/'mug_val_voxels.npz').unlink()
    assert check_sweep(parse_sweep([str(tmp_path), '--categories', 'all'])) == ('chair', 'plane')
    for file in tmp_path.glob('*_test_*'): file.unlink()
    with pytest.raises(InputError, match='no category has all of train, val, test'): check_sweep(parse_sweep([str(tmp_path), '--categories', 'all']))


def test_the_table_of_finished_runs_is_printed_also_when_one_has_failed(tmp_path, monkeypatch):
    import pandas as pd
    d, rows = write_data(tmp_path), [ROW, ROW | dict(method='softras', test_iou=.3), ROW | dict(method='softras', labeled=0, test_iou=.5)]
    table = pd.DataFrame(rows)
    words = [d, '--categories', 'plane', '--methods', 'softras', 'ssr', '--labeled', 2, 0, '--iterations', 4, '--results', tmp_path/'r.csv']
    monkeypatch.setattr('ssr_nb.sweep.sweep', lambda *a, **more: table)
    lines = done(main, *words).splitlines()
    assert lines[0] == 'test IoU' and 'gap closed' in lines
    ssr, = (line for line in lines if '| plane' in line and ' ssr ' in line)   # coverage and accuracy beside the IoU
    assert [cell.strip() for cell in ssr.split('|')[1:-1]] == ['plane', '2', 'ssr', '0.410', '55%', '0.517', '0.613', '0.100', '0.100', '0']
    def failing(*a, **more): raise FailedRuns({'plane_ssr_2_1': InputError('checkpoint.pt: not a checkpoint')}, table)
    monkeypatch.setattr('ssr_nb.sweep.sweep', failing)
    code, out, err = shell(main, *words)
    assert code == 2 and '0.410' in out and err.count('\n') == 1 and '1 run has failed: plane_ssr_2_1: checkpoint.pt' in err


@pytest.mark.slow
def test_a_small_sweep_is_run_and_not_run_again(tmp_path):
    d = write_data(tmp_path)
    words = [d, '--categories', 'all', '--methods', 'softras', '--labeled', 2, '--iterations', 2, '--results', tmp_path/'r.csv', '--runs', tmp_path/'runs', '--quiet']
    first = done(main, *words)
    before = (tmp_path/'r.csv').read_bytes()
    assert done(main, *words) == first and (tmp_path/'r.csv').read_bytes() == before and len(read_results(tmp_path/'r.csv')) == 1


@pytest.mark.slow
def test_a_signal_ends_a_sweep_and_its_workers_and_the_same_words_go_on(tmp_path):
    words = [write_data(tmp_path), '--categories', 'plane', '--methods', 'softras', '--labeled', '2', '--iterations', '100000',
             '--results', str(tmp_path/'r.csv'), '--runs', str(tmp_path/'runs'), '--quiet']
    checkpoint = tmp_path/'runs'/'plane_softras_2_0'/'checkpoint.pt'
    with subprocess.Popen([sys.executable, '-m', 'ssr_nb.cli.sweep', *words], stderr=subprocess.PIPE, text=True) as running:
        while not checkpoint.exists():
            assert running.poll() is None
            time.sleep(.2)
        workers = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGTERM)
        err = running.stderr.read()
    assert running.returncode == 130 and err.splitlines()[-1] == f'ssr_sweep: stopped; go on with: {shlex.join(["ssr_sweep", *words])}'
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert workers and not alive and read_results(tmp_path/'r.csv').empty
