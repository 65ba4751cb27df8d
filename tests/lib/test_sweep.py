import errno
import os
import socket
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_runs import write_data
from objects import built_in, tiny

from ssr_nb.callbacks import fit, validation_part
from ssr_nb.config import PRESETS, with_overrides
from ssr_nb.core import InputError
from ssr_nb.data import load_split
from ssr_nb.rules import Oracle
from ssr_nb.sweep import (
    METHODS,
    FailedRuns,
    Job,
    TestCurve,
    find_run,
    label_errors,
    read_runs,
    run_case,
    sweep,
    table_cases,
)
from ssr_nb.tables import check_results, read_curves, read_results
from ssr_nb.train import Trainer

SHORT = with_overrides(tiny, {
    'iterations': 4, 'cycle': 2, 'run.validate_every': 2, 'run.checkpoint_minutes': 0})


def small_cases(*methods, config=SHORT, **more):
    "Cases of planes with two labeled objects, small enough for a test."
    cases = table_cases(['plane'], methods, **dict(labeled=[2], seeds=[0]) | more)
    return [replace(c, config=replace(config, rule=c.config.rule, labeled=c.labeled,
                                      seed=c.seed)) for c in cases]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "A data set of a few built-in planes."
    folder = tmp_path_factory.mktemp('data')
    for seed, (split, count) in enumerate(dict(train=4, val=1, test=2).items()):
        write_data(folder, objects=built_in(count=count, seed=seed), split=split)
    return str(folder)


def run_one(case, data, runs): return run_case(Job(case, data, runs/case.name))


def run(cases, data, folder, **more):
    "Fill a table in this process."
    options = dict(results=folder/'results.csv', runs=folder/'runs', processes=0,
                   progress=False) | more
    return sweep(cases, data, **options)


# ------------------------------------------------------------------- cases --
def test_a_table_has_every_cell_once_and_softras_alone_sees_all_labels():
    cases = table_cases(['chair', 'plane'], ['softras', 'ring'], [2, 0], [0, 1], 600)
    assert len({c.name for c in cases}) == len(cases) == 2*(2 + 1)*2
    assert {c.method for c in cases if not c.labeled} == {'softras'}
    assert all(c.config.iterations == 600 for c in cases)
    assert cases[1].config.rule == PRESETS['ring'].rule and cases[0].config.rule is None
    with pytest.raises(InputError, match="method: expected one of softras.*found 'luck'"):
        table_cases(['chair'], ['luck'], [2], [0])


def test_every_method_is_what_it_changes_of_its_preset():
    for method in METHODS:
        config, = (c.config for c in table_cases(['chair'], [method], [2], [7], None, 'small'))
        preset = replace(PRESETS['ring' if method.startswith('ring') else 'small'], iterations=PRESETS['small'].iterations)
        assert config.seed == 7 and config.iterations == preset.iterations
        same = replace(config, seed=preset.seed) == preset
        assert same == (method in ('ssr', 'ring'))
    paper, = table_cases(['chair'], ['oracle'], [2], [0], None, 'paper')
    assert paper.config == replace(PRESETS['paper'], rule=Oracle())


def test_errors_of_labels_are_right_next_to_right_or_back_to_front():
    labels = torch.full((2, 24), -1)
    labels[0, :8] = torch.tensor([0, 1, 2, 4, 3, 17, 6, 0])   # 23 steps and 12 steps off
    labels[1, 0] = 23
    found = label_errors(labels)
    assert found['label_coverage'] == pytest.approx(9/48)
    assert found['label_accuracy'] == pytest.approx(4/9)
    assert found['neighbour'] == pytest.approx(3/9) and found['opposite'] == pytest.approx(1/9)
    assert np.isnan(label_errors(torch.full((2, 24), -1))['label_accuracy'])


# ------------------------------------------------------------------ tables --
def test_a_table_fills_and_what_is_there_is_not_run_again(data, tmp_path):
    cases, table = small_cases('softras', 'ssr', 'oracle'), tmp_path/'new'/'results.csv'
    rows = run(cases, data, tmp_path, results=table)
    text = table.read_text()
    assert rows['method'].tolist() == ['softras', 'ssr', 'oracle']
    assert rows['test_iou'].between(0, 1, inclusive='neither').all()
    assert rows.loc[2, ['label_coverage', 'label_accuracy']].tolist() == [1, 1]
    assert np.isnan(rows.loc[0, 'label_coverage'])
    again = run(cases, tmp_path/'no data', tmp_path/'no runs', results=table)   # nothing is run
    assert again.equals(rows)
    curves = read_curves(table)
    assert curves[['method', 'iteration']].values.tolist() == [
        [m, i] for m in ('oracle', 'softras', 'ssr') for i in (2, 4)]
    best = curves[curves['method'] == 'ssr']['val_iou'].max()
    assert best == pytest.approx(rows.loc[1, 'val_iou'], abs=1e-4)
    table.write_text(text.splitlines()[0] + '\nlamp,ssr,2,0,small,4,.1,.1,4,,,,,1,1.0\n')
    again = run(cases, data, tmp_path, results=table)   # our lines are lost, our runs are not
    assert again['test_iou'].tolist() == rows['test_iou'].tolist()
    assert len(read_results(table)) == 4 and read_curves(table).equals(curves)


def test_a_run_of_another_length_is_not_prolonged(data, tmp_path):
    case, = small_cases('softras')
    run([case], data, tmp_path)
    longer = replace(case, config=replace(case.config, iterations=12))
    with pytest.raises(InputError, match=r'other settings \(iterations 4, now 12\); choose'):
        run([longer], data, tmp_path)
    rows = run([case, longer], data, tmp_path, runs=tmp_path/'longer')
    assert rows['iterations'].tolist() == [4, 12]
    assert rows['test_iou'][0] != rows['test_iou'][1]


def test_an_evaluation_of_older_weights_is_made_again(data, tmp_path):
    case, = small_cases('softras')
    rows = run([case], data, tmp_path)
    score = tmp_path/'runs'/case.name/'eval_test.json'
    score.write_text(score.read_text().replace('"weights": "', '"weights": "0').replace('"iou": 0.', '"iou": 0.9'))
    (tmp_path/'results.csv').unlink()
    assert run([case], data, tmp_path)['test_iou'].equals(rows['test_iou'])


def test_two_sweeps_on_one_results_file_keep_all_rows(data, tmp_path, monkeypatch):
    from ssr_nb import sweep as module
    results = tmp_path/'results.csv'

    def slow(job):   # meanwhile another sweep fills its rows
        monkeypatch.setattr(module, 'run_case', run_case)
        other = run(small_cases('oracle', seeds=[0, 1]), data, tmp_path/'other', results=results)
        assert len(other) == 2
        return run_case(job)
    monkeypatch.setattr(module, 'run_case', slow)
    assert len(run(small_cases('softras', seeds=[0, 1]), data, tmp_path, results=results)) == 2
    assert read_results(results)[['method', 'seed']].values.tolist() == [
        ['oracle', 0], ['oracle', 1], ['softras', 0], ['softras', 1]]
    assert len(read_curves(results)) == 8


# ------------------------------------------------------------------ errors --
def test_a_folder_for_results_is_refused_before_the_first_run(data, tmp_path):
    for results in (tmp_path, '/proc/results.csv'):
        with pytest.raises(InputError) as refusal:
            run(small_cases('softras'), data, tmp_path, results=results)
        assert '\n' not in str(refusal.value)
    assert not (tmp_path/'runs').exists()


def test_a_folder_of_another_run_is_named_before_any_run_begins(data, tmp_path):
    cases = small_cases('softras', 'oracle')
    run_one(cases[1], data, tmp_path/'runs')
    other = [replace(c, config=with_overrides(c.config, {'shape.lr': .1})) for c in cases]
    with pytest.raises(InputError, match=r'plane_oracle_2_0: holds a run with other settings '
                       r'\(shape.lr 0.001, now 0.1\); choose another --runs'):
        run(other, data, tmp_path)
    assert [f.name for f in (tmp_path/'runs').iterdir()] == ['plane_oracle_2_0']
    assert not (tmp_path/'results.csv').exists()
    others = tmp_path/'others'
    for split in ('train', 'val', 'test'):
        write_data(others, objects=built_in(count=4, seed=9), split=split)
    with pytest.raises(InputError, match='trained on other objects.*; choose another --runs'):
        run(cases[1:], others, tmp_path)
    rows = run(cases, data, tmp_path)           # its own it goes on with
    assert rows['method'].tolist() == ['softras', 'oracle']


@pytest.mark.parametrize('damage', ['eval_test.json', 'checkpoint.pt'])
def test_a_damaged_run_does_not_stop_the_others(data, tmp_path, damage):
    cases = small_cases('softras', 'ssr', 'oracle')
    folder = tmp_path/'runs'/cases[1].name
    run_one(cases[1], data, tmp_path/'runs')
    (folder/damage).write_bytes(b'PK damaged')
    with pytest.raises(FailedRuns, match='1 run has failed: plane_ssr_2_0: ') as failure:
        run(cases, data, tmp_path)
    assert str(failure.value).isprintable()
    assert failure.value.rows['method'].tolist() == ['softras', 'oracle']
    assert read_results(tmp_path/'results.csv')['method'].tolist() == ['oracle', 'softras']
    for file in folder.iterdir(): file.unlink()          # mended: the rest follows
    assert run(cases, data, tmp_path)['method'].tolist() == ['softras', 'ssr', 'oracle']


def test_a_run_that_another_sweep_has_finished_meanwhile_is_no_failure(
        data, tmp_path, monkeypatch):
    case, = small_cases('softras')
    done = run([case], data, tmp_path/'other')
    from ssr_nb import sweep as module

    def finished_elsewhere(job):
        (tmp_path/'results.csv').write_text((tmp_path/'other'/'results.csv').read_text())
        raise InputError('another run is writing here')
    monkeypatch.setattr(module, 'run_case', finished_elsewhere)
    assert run([case], data, tmp_path).equals(done)


def test_an_error_of_the_program_itself_stops_the_sweep(data, tmp_path, monkeypatch):
    from ssr_nb import sweep as module
    def broken(job): raise ZeroDivisionError
    monkeypatch.setattr(module, 'run_case', broken)
    with pytest.raises(ZeroDivisionError): run(small_cases('softras'), data, tmp_path)


def test_a_full_disk_loses_no_run(data, tmp_path, monkeypatch):
    from ssr_nb import sweep as module
    from ssr_nb import tables
    cases = small_cases('softras', 'oracle')
    def full(path, text): raise OSError(errno.ENOSPC, 'No space left on device', str(path))
    with monkeypatch.context() as patch:
        patch.setattr(tables, 'write_text', full)
        with pytest.raises(OSError, match='No space left'): run(cases, data, tmp_path)
    assert len(read_results(tmp_path/'results.csv')) == 0
    trained, fit = [], module.fit
    def counted(train, val, config, folder, **more):
        trained.append(folder.name)
        return fit(train, val, config, folder, **more)
    monkeypatch.setattr(module, 'fit', counted)
    assert len(run(cases, data, tmp_path)) == 2
    assert trained == ['plane_oracle_2_0']


def test_a_damaged_folder_is_left_to_its_own_turn(tmp_path):
    case, = small_cases('softras')
    folder = tmp_path/case.name
    folder.mkdir()
    (folder/'checkpoint.pt').touch()
    assert read_runs(tmp_path) == []            # no config.json: no word yet
    assert find_run(case, tmp_path, []) == (folder, False)
    check_results(tmp_path/'results.csv')


# --------------------------------------------------------- several processes --
@pytest.mark.slow
def test_runs_share_the_work_of_two_processes_and_fail_alone(data, tmp_path):
    cases = small_cases('softras', 'ssr', 'oracle')
    one = run(cases, data, tmp_path/'one')
    broken = tmp_path/'two'/'runs'/cases[1].name
    broken.mkdir(parents=True)
    (broken/'checkpoint.pt').write_bytes(b'damaged')
    with pytest.raises(FailedRuns) as failure:
        run(cases, data, tmp_path/'two', processes=2)
    kept = one.drop(index=1, columns='seconds').reset_index(drop=True)
    assert failure.value.rows.drop(columns='seconds').equals(kept)


@pytest.fixture
def ray_cluster(monkeypatch):
    """The address of a Ray cluster of one node with one core, on a loopback address.

    Each of Ray's services is a process that imports for two seconds: one node, and no
    services beyond those that run tasks. Retries and checkpoints do not need more.
    """
    psutil, ray = pytest.importorskip('psutil'), pytest.importorskip('ray')
    for name, value in (('USAGE_STATS_ENABLED', '0'), ('raylet_start_wait_time_s', '200'),
                        ('agent_register_timeout_ms', '200000')):
        monkeypatch.setenv(f'RAY_{name}', value)
    from ray.cluster_utils import Cluster
    address, ports = '127.0.0.2', {}
    for name in ('metrics_agent_port', 'metrics_export_port', 'dashboard_agent_listen_port',
                 'runtime_env_agent_port'):
        with socket.socket() as free:
            free.bind((address, 0))
            ports[name] = free.getsockname()[1]
    try:
        cluster = Cluster(initialize_head=True, head_node_args=dict(
            num_cpus=1, node_ip_address=address, object_store_memory=80 << 20,
            include_dashboard=False, no_monitor=True, include_log_monitor=False, **ports))
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        pytest.skip(f'no Ray cluster starts here: {error}')
    def worker_in(folder):
        "The process that runs a case in a folder, or None."
        for process in psutil.process_iter(['cmdline']):
            if not (process.info['cmdline'] or [''])[0].startswith('ray::run_case'): continue
            try:
                if any(str(folder) in f.path for f in process.open_files()): return process
            except psutil.Error: pass            # it has just ended
    yield cluster.address, worker_in
    cluster.shutdown()


@pytest.mark.slow
def test_a_table_is_filled_by_a_ray_cluster_of_which_a_worker_is_killed(
        data, tmp_path, ray_cluster):
    address, worker_in = ray_cluster
    config = with_overrides(SHORT, {'iterations': 12, 'run.validate_every': 12,
                                    'run.checkpoint_minutes': 0})
    cases = small_cases('ssr', 'softras', config=config)
    lamp = replace(cases[0], category='lamp')                 # of which there is no data
    alone = run([replace(c, config=with_overrides(c.config, {'run.checkpoint_minutes': 0}))
                 for c in cases], data, tmp_path/'one')
    path = tmp_path/'two'/'runs'/cases[0].name/'checkpoint.pt'
    seen, killed, over = [], [], threading.Event()

    def kill_one():
        "Kill the worker of a run half-way; then watch what its successor saves."
        while not over.wait(.05):
            if not path.exists(): continue
            seen.append(torch.load(path, weights_only=True)['iteration'])
            if killed or seen[-1] < 3: continue
            if process := worker_in(path.parent):
                process.kill()
                process.wait(30)
                killed.append(seen[-1])

    watcher = threading.Thread(target=kill_one)
    watcher.start()
    try:
        with pytest.raises(FailedRuns, match='1 run has failed: lamp_ssr_2_0: .*lamp') as failure:
            run([lamp, *cases], data, tmp_path/'two', ray=address)
    finally:
        over.set()
        watcher.join()
    assert failure.value.rows.drop(columns='seconds').equals(alone.drop(columns='seconds'))
    # it went on, it did not begin again
    assert len(killed) == 1 and seen == sorted(seen) and seen[-1] > killed[0], (killed, seen)


class Deadly(str):
    "A category that ends the process which receives it."
    def __reduce__(self): return os._exit, (9,)


@pytest.mark.slow
def test_a_worker_that_dies_is_told_in_one_line_and_finished_runs_stay(data, tmp_path):
    first, second = small_cases('softras', 'oracle')
    rows = run([first], data, tmp_path)
    with pytest.raises(FailedRuns, match='plane_oracle_2_0: its process was killed') as failure:
        run([first, replace(second, category=Deadly('plane'))], data, tmp_path, processes=1)
    assert failure.value.rows.equals(rows)


def test_without_ray_one_line_says_how_to_get_it(data, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'ray', None)
    with pytest.raises(InputError, match=r"pip install 'ssr_nb\[ray\]'"):
        run(small_cases('softras'), data, tmp_path, ray='auto')


# ------------------------------------------------------------- runs of others --
def train_elsewhere(case, data, folder, **changes):
    "A run as ssr_train leaves it, under a name of its own."
    train, val = (load_split(data, case.category, split) for split in ('train', 'val'))
    return fit(train, val, with_overrides(case.config, changes), folder, progress=False)


def test_a_finished_run_of_another_name_is_taken_over_and_not_trained_again(data, tmp_path, monkeypatch):
    from ssr_nb import sweep as module
    cases = small_cases('softras', 'oracle')
    alone = run(cases, data, tmp_path/'alone')
    for case, name in zip(cases, ('mine', 'plane_oracle_2_0')): train_elsewhere(case, data, tmp_path/'runs'/name)
    monkeypatch.setattr(module, 'fit', None)
    assert run(cases, data, tmp_path).drop(columns='seconds').equals(alone.drop(columns='seconds'))


@pytest.mark.parametrize('changes', [{'iterations': 2}, {'seed': 1}, {'shape.lr': .1}, {'labeled': 3}, {'view.pairs': 8}])
def test_a_run_of_other_settings_is_not_taken_over(data, tmp_path, changes):
    case, = small_cases('ssr')
    train_elsewhere(case, data, tmp_path/'other', **changes)
    assert find_run(case, tmp_path, read_runs(tmp_path)) == (tmp_path/case.name, False)


def test_a_run_that_lost_patience_is_finished_and_one_that_was_stopped_is_not(data, tmp_path):
    case, = small_cases('softras', config=with_overrides(SHORT, {'iterations': 40, 'run.patience': 1, 'shape.lr': 1.}))
    trainer = train_elsewhere(case, data, tmp_path/'impatient')
    assert trainer.iteration < 40, 'the case must stop early to show anything'
    assert find_run(case, tmp_path, read_runs(tmp_path)) == (tmp_path/'impatient', True)
    patient = replace(case, config=with_overrides(case.config, {'run.patience': 99}))
    assert find_run(patient, tmp_path, read_runs(tmp_path)) == (tmp_path/case.name, False)


def test_a_run_whose_checkpoint_is_older_than_its_log_goes_on(data, tmp_path):
    case, = small_cases('softras')
    whole = run([case], data, tmp_path/'whole')
    train_elsewhere(case, data, tmp_path/'runs'/case.name, iterations=2)
    folder = tmp_path/'runs'/case.name
    for name in ('metrics.csv', 'config.json'):        # a kill between log and checkpoint
        (folder/name).write_text((tmp_path/'whole'/'runs'/case.name/name).read_text())
    assert run([case], data, tmp_path).drop(columns='seconds').equals(whole.drop(columns='seconds'))


# ------------------------------------------------------------ sizes and budgets --
def test_the_ring_rule_has_the_sizes_and_the_budget_of_every_preset():
    for preset in ('small', 'medium', 'paper'):
        base, (case,) = PRESETS[preset], table_cases(['chair'], ['ring'], [2], [0], preset=preset)
        assert case.config.shape == base.shape and case.config.run == base.run
        assert case.config.iterations == base.iterations and case.config.view.width == base.view.width
        assert case.config.rule == PRESETS['ring'].rule and case.config.references == PRESETS['ring'].references
    ring, small = (table_cases(['chair'], ['ssr', 'ring'], [2], [0], preset=preset) for preset in ('ring', 'small'))
    assert ring == small
    with pytest.raises(InputError, match="preset: expected one of .*paper.*, found 'huge'"):
        table_cases(['chair'], ['ssr'], [2], [0], preset='huge')


def test_when_a_run_validates_and_computes_can_be_told():
    faster = replace(PRESETS['paper'].run, precision='bfloat16', graph=True)
    case, = table_cases(['02691156'], ['no_rotation'], [2], [0], preset='paper', run=faster)
    assert case.config == with_overrides(PRESETS['paper'], {'run': faster, 'view.rotate': False})
    assert case.category == 'plane' and case.key == ('plane', 'no_rotation', 2, 0, 'paper', 200_000)


def test_a_validation_scores_many_objects_from_at_least_four_sides():
    images = np.arange(40*24, dtype=np.uint8).reshape(40, 24, 1, 1, 1)
    split = replace(built_in(), images=images, voxels=np.arange(40).reshape(40, 1, 1, 1))
    def part(count): return validation_part(split, with_overrides(PRESETS['paper'], {'run.validate_images': count}))
    assert part(0) is split and part(960) is split and part(959) is not split
    for count, objects, views in ((480, 40, 12), (160, 40, 4), (20, 5, 4), (384, 32, 12)):
        small = part(count)
        assert small.images.shape[:2] == (objects, views) and small.voxels.shape == (objects, 1, 1, 1)
        rows = small.voxels.ravel()
        numbers = small.images[..., 0, 0, 0].astype(int)
        shown = (numbers - 24*rows[:, None]) % 256                     # which views
        assert (shown < 24).all() and all(len(set(v)) == views for v in shown)
        assert np.ptp(np.diff(rows)) <= 1 and rows[0] == 0 and rows[-1] >= 40 - 40//objects - 1
        assert len(set(map(tuple, shown))) > 1                         # not the same views of each


def test_test_objects_are_scored_beside_and_change_nothing(data, tmp_path):
    case, = small_cases('ssr')
    plain = run([case], data, tmp_path/'plain')
    watched = run([case], data, tmp_path/'watched', test_curve=True)
    assert watched.drop(columns='seconds').equals(plain.drop(columns='seconds'))
    folder = tmp_path/'watched'/'runs'/case.name
    assert not (tmp_path/'plain'/'runs'/case.name/'test_curve.csv').exists()
    lines = (folder/'test_curve.csv').read_text().splitlines()
    assert lines[0] == 'iteration,test_iou' and [line.split(',')[0] for line in lines[1:]] == ['2', '4']
    best = dict(line.split(',') for line in lines[1:])[str(watched['best_at'][0])]
    assert float(best) == pytest.approx(watched['test_iou'][0], abs=1e-4)
    curve = TestCurve(load_split(data, 'plane', 'test'), case.config, folder/'test_curve.csv')
    curve.after_validate(Trainer(*(load_split(data, 'plane', s) for s in ('train', 'val')), case.config))
    assert (folder/'test_curve.csv').read_text().splitlines()[1].startswith('0,')   # a resumed run drops what came later
    assert len((folder/'test_curve.csv').read_text().splitlines()) == 2
