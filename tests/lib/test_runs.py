"Run folders: resumed to the last bit, locked, checked before they are believed."
import errno
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from filelock import FileLock
from objects import built_in, tiny
from torch.testing import assert_close

from ssr_nb import callbacks
from ssr_nb.callbacks import Callback, fit
from ssr_nb.config import with_overrides
from ssr_nb.core import InputError
from ssr_nb.distributed import shard_and_gather
from ssr_nb.reconstruct import Reconstructor, reconstruction_iou
from ssr_nb.ring import Joint
from ssr_nb.runs import read_metrics, read_run, restore
from ssr_nb.train import COLUMNS, Trainer


@pytest.fixture(scope='module')
def splits(): return built_in(), built_in('plane', 2, 9)


def equal(a, b): return all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))


class StopAt(Callback):
    "Stop a run after an iteration."
    def __init__(self, iteration): self.iteration = iteration

    def after_step(self, trainer):
        if trainer.iteration == self.iteration: trainer.stop()


@pytest.mark.parametrize('changes', [{}, {'rule': None}, {'rule': Joint(), 'view.pseudo': 1}])
def test_a_resumed_run_is_the_uninterrupted_run_to_the_last_bit(splits, tmp_path, changes):
    config = with_overrides(tiny, changes)
    whole = fit(*splits, config, tmp_path/'whole', progress=False)
    part = fit(*splits, config, tmp_path/'parts', progress=False, callbacks=[StopAt(5)])
    assert part.iteration == 5 and len(part.log) == 1
    rest = fit(*splits, config, tmp_path/'parts', resume=True, progress=False)
    logs = [(tmp_path/name/'metrics.csv').read_text() for name in ('whole', 'parts')]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 4
    assert equal(whole.model, rest.model) and whole.labels.pseudo.equal(rest.labels.pseudo)
    assert whole.siam is rest.siam is None or equal(whole.siam, rest.siam)


def test_the_run_folder_holds_the_best_weights_and_says_how_it_was_made(splits, tmp_path):
    trainer = fit(*splits, tiny, tmp_path, progress=False)
    model, record = Reconstructor.load(tmp_path), read_run(tmp_path)
    images, voxels = torch.tensor(splits[1].images), torch.tensor(splits[1].voxels).bool()
    assert_close(float(reconstruction_iou(model, images, voxels).mean()), record.metrics['val_iou'].max(), atol=1e-5, rtol=0)
    assert record.config == tiny and record.category == 'plane' and record.method == 'ssr' and record.iterations == 12
    assert list(record.metrics.columns) == list(COLUMNS) and len(record.metrics) == len(trainer.log) == 3


def test_a_run_is_not_overwritten_nor_resumed_under_other_settings(splits, tmp_path):
    train, val = splits
    fit(train, val, replace(tiny, iterations=2), tmp_path, progress=False)
    def resumed(train, val, config): fit(train, val, config, tmp_path, resume=True, progress=False)
    with pytest.raises(InputError, match='already holds a run'): fit(train, val, tiny, tmp_path, progress=False)
    with pytest.raises(InputError, match='other objects'): resumed(built_in(seed=5), val, tiny)
    with pytest.raises(InputError, match='other settings: batch 2, now 4'): resumed(train, val, replace(tiny, batch=4))
    with pytest.raises(InputError, match=r'other settings: view.pairs 0, now 8'): resumed(train, val, with_overrides(tiny, {'view.pairs': 8}))
    with pytest.raises(InputError, match=r'other settings: rule.name .agreement., now .joint., rule.threshold 0.5, now none'):
        resumed(train, val, replace(tiny, rule=Joint()))
    with pytest.raises(InputError, match='trained on plane, the data is of chair'): resumed(built_in('chair'), built_in('chair', 2, 9), tiny)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(InputError, match=f'trained with {threads} CPU threads, now {threads + 1}'): resumed(train, val, tiny)
    finally: torch.set_num_threads(threads)
    (tmp_path/'checkpoint.pt').write_bytes(b'broken')
    with pytest.raises(InputError, match='not a checkpoint'): resumed(train, val, tiny)


def test_a_checkpoint_that_was_damaged_or_tampered_with_is_refused_whole(splits, tmp_path):
    fit(*splits, replace(tiny, iterations=4), tmp_path, progress=False)
    path = tmp_path/'checkpoint.pt'
    whole = path.read_bytes()
    def load(): return torch.load(io.BytesIO(whole), weights_only=True)
    def shorter(adam): adam['state'][0]['exp_avg'] = adam['state'][0]['exp_avg'].flatten()[:1]; return adam
    def endless(model): return {k: v.new_zeros(1).expand(10**9) for k, v in model.items()}
    for part, change in dict(
            siam_adam=shorter, adam=lambda a: dict(a, state={}) | {'x': 1}, model=endless, best=lambda b: {'x': 1},
            pseudo=lambda p: p + 99, log=lambda r: r + [{'loss': 1.}], sums=lambda r: {'x': 1}, iteration=float,
            seconds=str, generator=lambda g: g[:9]).items():
        state = load()
        torch.save(state | {part: change(state[part])}, path)
        trainer = Trainer(*splits, tiny)
        before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
        with pytest.raises(InputError, match=rf'checkpoint.pt: not a checkpoint \({part} '): restore(trainer, path)
        for k, v in trainer.model.state_dict().items(): assert_close(v, before[k], atol=0, rtol=0)
    state = load()
    torch.save(state | {'format': state['format'] - 1}, path)
    with pytest.raises(InputError, match='checkpoint format 4, this version reads 5; train again'): restore(trainer, path)
    torch.save(state | {'config': state['config'] | {'seed': torch.zeros(1).expand(10**11)}}, path)
    with pytest.raises(InputError, match='written with other settings: seed a Tensor, now 3'): restore(trainer, path)
    for missing in ('objects', 'config', 'pseudo', 'log', 'threads', 'model'):
        torch.save({k: v for k, v in state.items() if k != missing}, path)
        with pytest.raises(InputError, match='not a checkpoint'): restore(trainer, path)
    damaged = bytearray(whole); damaged[len(whole)//2] ^= 1; path.write_bytes(damaged)
    with pytest.raises(InputError, match='is damaged'): restore(trainer, path)
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist(): new.writestr(part.filename, old.read(part))
    with pytest.raises(InputError, match='compressed'): restore(trainer, path)
    path.write_bytes(whole); restore(trainer, path)
    assert trainer.iteration == 4


def test_what_a_kill_has_left_half_written_is_swept_away(splits, tmp_path):
    for name in ('.checkpoint.0123abcd.tmp.pt', '.notes.tmp.txt'): (tmp_path/name).write_text('half')
    fit(*splits, replace(tiny, iterations=1), tmp_path, progress=False)
    assert [f.name for f in tmp_path.glob('.*')] == ['.notes.tmp.txt']


def test_a_folder_whose_config_was_lost_gets_it_again_when_the_run_goes_on(splits, tmp_path):
    fit(*splits, replace(tiny, iterations=4), tmp_path, progress=False)
    (tmp_path/'config.json').unlink()
    fit(*splits, tiny, tmp_path, resume=True, progress=False)
    assert read_run(tmp_path).config == tiny


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_as_it_was(splits, tmp_path):
    resource = pytest.importorskip('resource')
    fit(*splits, replace(tiny, iterations=4), tmp_path, progress=False)
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before['checkpoint.pt'])//2, limits[1]))   # bytes a file may have
    try:
        with pytest.raises(OSError) as error: fit(*splits, tiny, tmp_path, resume=True, progress=False)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    after = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    assert error.value.errno == errno.EFBIG and after.keys() == before.keys() and after['checkpoint.pt'] == before['checkpoint.pt']
    assert fit(*splits, tiny, tmp_path, resume=True, progress=False).iteration == tiny.iterations


def test_two_runs_cannot_share_a_folder_and_a_lock_left_behind_does_not_matter(splits, tmp_path):
    with FileLock(tmp_path/'run.lock'), pytest.raises(InputError, match='another run is writing here'):
        fit(*splits, tiny, tmp_path, progress=False)
    (tmp_path/'run.lock').touch()
    assert fit(*splits, replace(tiny, iterations=1), tmp_path, progress=False).iteration == 1


def test_a_log_that_is_none_is_refused_by_name(tmp_path):
    path = tmp_path/'metrics.csv'
    with pytest.raises(InputError, match='metrics.csv: no such file'): read_metrics(path)
    for content in (b'', b'\xff\xfe\x00', b'iteration,loss\n1,2\n', b'a,b\n1,2,3\n"', b'\x00'*99):
        path.write_bytes(content)
        with pytest.raises(InputError, match='metrics.csv: not the metrics of a run'): read_metrics(path)
    path.write_text(','.join(COLUMNS) + '\n' + ','.join(['x']*8) + '\n')
    with pytest.raises(InputError, match='an iteration without its number'): read_metrics(path)


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match='nowhere: no such run folder'): read_run(tmp_path/'nowhere')
    with pytest.raises(InputError, match='has no config.json'): read_run(tmp_path)
    for text, why in (('[]', 'names no category'), ('{"category": 3}', 'names no category'), ('{', 'not JSON'),
                      ('{"category": "chair", "method": "ssr"}', 'of the first edition'),
                      ('{"category": "chair", "config": {"seed": -1}}', 'seed: expected a whole number'),
                      ('{"category": "chair", "config": {"shape": {"luck": 1}}}', 'shape.luck: no such field'),
                      ('{"category": "chair", "config": {"rule": {"name": "os:system"}}}', 'not a dataclass that derives'),
                      ('{"category": "chair", "config": []}', 'expected a configuration')):
        (tmp_path/'config.json').write_text(text)
        with pytest.raises(InputError, match=why): read_run(tmp_path)


PROGRAM = '''
import sys
sys.path.insert(0, sys.argv[2])
import torch, torch.distributed as dist
from objects import built_in, tiny
from ssr_nb.callbacks import fit
from ssr_nb.config import with_overrides
dist.init_process_group('gloo'); torch.set_num_threads(1)
for norm in (True, False):
    config = with_overrides(tiny, {'iterations': 6, 'batch': 4, 'run.validate_every': 3, 'shape.batch_norm': norm})
    run = fit(built_in(), built_in('plane', 3, 9), config, f'{sys.argv[1]}_{norm}', progress=False)
    kept = [torch.zeros_like(v).copy_(v) for v in run.model.state_dict().values()]
    for v in kept: dist.broadcast(v, 0)
    assert all(v.equal(w) for v, w in zip(kept, run.model.state_dict().values())), 'processes differ'
'''


@pytest.mark.slow
def test_two_processes_log_what_one_process_logs(tmp_path):
    (tmp_path/'program.py').write_text(PROGRAM)
    for count in (1, 2):
        subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={count}',
                        str(tmp_path/'program.py'), str(tmp_path/str(count)), str(Path(__file__).parent)],
                       check=True, cwd=tmp_path, capture_output=True, timeout=300)
    for norm in (True, False):
        one, two = (torch.tensor(pd.read_csv(tmp_path/f'{count}_{norm}'/'metrics.csv').to_numpy()) for count in (1, 2))
        assert one.shape == (2, len(COLUMNS)) and one[1, 5] > 0      # some pseudo-labels
        assert_close(one[:, :7], two[:, :7], atol=1e-3, rtol=0, equal_nan=True)
        assert_close(one[:, 7], two[:, 7], atol=.01, rtol=0)


def test_shares_of_objects_make_up_the_whole_and_a_batch_must_divide(splits, monkeypatch):
    whole = shard_and_gather(lambda rows: rows[:, None]*torch.ones(2), torch.zeros(5, 2))
    assert_close(whole, torch.arange(5.)[:, None].expand(5, 2))
    monkeypatch.setattr(callbacks, 'process_rank', lambda: (0, 3))
    with pytest.raises(InputError, match='batch: expected a multiple of the 3 processes'): fit(*splits, tiny, progress=False)


def test_a_configuration_survives_json_whatever_its_rule(splits):
    from ssr_nb.config import PRESETS, config_from_dict, config_to_dict
    for config in [*PRESETS.values(), tiny, replace(tiny, labeled=(3, 1)), replace(tiny, rule=None), replace(tiny, rule=Joint(30.))]:
        assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_a_cell_of_the_log_that_is_empty_or_nan_is_not_a_number_yet(tmp_path):
    path = tmp_path/'metrics.csv'
    path.write_text(','.join(COLUMNS) + '\n10,1.5,,,nan,0,nan,.25\n20,1.25,.5,1,1,.5,1,.5\n')
    log = read_metrics(path)
    assert log['iteration'].tolist() == [10, 20] and log['val_iou'].tolist() == [.25, .5]
    assert log.loc[0].isna().to_dict() == {c: c in (
        'siam_loss', 'siam_accuracy', 'gate_accuracy', 'label_accuracy') for c in COLUMNS}
    assert not log.loc[1].isna().any()


def test_the_log_has_the_gate_s_accuracy_of_the_last_labeling_at_each_validation(splits, tmp_path, monkeypatch):
    from ssr_nb.train import ViewLearner
    measured = iter((.25, .75, .875))
    monkeypatch.setattr(ViewLearner, 'accuracy', lambda *a: next(measured))
    fit(*splits, with_overrides(tiny, {'gate': .8, 'run.validate_every': 2}), tmp_path, progress=False)
    log = read_run(tmp_path).metrics                       # labelings at 4, 8 and 12
    assert log['iteration'].tolist() == [2, 4, 6, 8, 10, 12]
    assert log['gate_accuracy'].isna().tolist() == [True] + [False]*5
    assert log['gate_accuracy'].tolist()[1:] == [.25, .25, .75, .75, .875]
    assert (log['label_coverage'][:5] == 0).all()          # the gate opens at the third
