"ssr_train: options, refusals, signals, the line at the end."
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from commands import TINY, answers_without_torch, done, refused, shell, write_data

from ssr_nb import callbacks
from ssr_nb.cli.train import label_summary, main, parse_train, resume_line, with_options
from ssr_nb.config import PRESETS, with_overrides
from ssr_nb.core import InputError
from ssr_nb.ring import Joint, Ring
from ssr_nb.rules import Agreement, Confidence, Oracle, Rule
from ssr_nb.runs import read_run
from ssr_nb.train import Labels

NAN = float('nan')
HEAD = ['d', '--category', 'chair']


@dataclass(frozen=True)
class Nearest(Rule):
    "A user's own rule."
    least: float = .5   # P

    def __call__(self, s): return s.similarity.argmax(-1).where(s.similarity.amax(-1) > self.least, -1)


def options(*words): return parse_train([*HEAD, *words])


# ----------------------------------------------------------------- options --
def test_every_field_of_the_configuration_is_an_option_and_a_preset_sets_its_default():
    assert options().config == PRESETS['small'] and options().out == Path('runs/chair_ssr_2_0')
    found = options('--preset', 'paper', '--batch', '8', '--shape.lr', '.01', '--view.kernels', '5', '4', '3', '--shape.no-batch-norm',
                    '--run.validate-every', '9', '--labeled-share', 'None')
    assert found.config == with_overrides(PRESETS['paper'], {
        'batch': 8, 'shape.lr': .01, 'view.kernels': (5, 4, 3), 'shape.batch_norm': False, 'run.validate_every': 9, 'labeled_share': None})
    ring = options('--preset=ring', '--labeled', '0', '--seed', '3')
    assert ring.config == replace(PRESETS['ring'], labeled=0, seed=3) and ring.out == Path('runs/chair_ring_all_3')
    assert options('--out', 'x').out == Path('x')


def test_labeled_objects_are_counted_or_named():
    assert options('--labeled', '5').config.labeled == 5
    named = options('--labeled', '7', '0', '12')
    assert named.config.labeled == (7, 0, 12) and named.out == Path('runs/chair_ssr_7-0-12_0')
    for words in (['two'], [], ['1', 'x'], ['3', '3'], ['-1']):
        with pytest.raises(InputError, match=r'^--labeled'): options('--labeled', *words)


def test_a_rule_is_chosen_by_name_and_its_own_options_stand_behind_a_dot():
    for words, rule in (([], Agreement()), (['--rule', 'joint'], Joint()), (['--rule=confidence', '--rule.threshold', '.6'], Confidence(.6)),
                        (['--rule.threshold', '.6', '--rule.rotation', '30'], Agreement(.6, 30.)), (['--rule', 'oracle'], Oracle()),
                        (['--preset', 'ring', '--rule.trust', '.2'], Ring(trust=.2)), (['--rule', 'none'], None), (['--method', 'softras'], None),
                        (['--preset', 'ring', '--method', 'softras'], None), (['--method', 'ssr'], Agreement())):
        found = options(*words)
        assert found.config.rule == rule and type(found.config.rule) is type(rule)
    assert options('--rule', 'none', '--labeled', '1').out == Path('runs/chair_softras_1_0')
    own = options('--rule', f'{__name__}:Nearest', '--rule.least', '.9')
    assert own.config.rule == Nearest(.9) and own.out == Path('runs/chair_nearest_2_0')


@pytest.mark.parametrize('words, said', [
    ('--batch 1', '--batch: expected a whole number of at least 2, found 1'),
    ('--shape.lr -3', '--shape.lr: expected a number from 1e-09 to 10, found -3.0'),
    ('--view.pairs -1', '--view.pairs: expected a whole number'),
    ('--run.patience x', '--run.patience: '),
    ('--rule.threshold 7', '--rule.threshold: expected a number from 0 to 1, found 7.0'),
    ('--rule luck', "--rule: expected one of agreement, confidence, classifier, oracle, joint, ring, or package.module:Class, found 'luck'"),
    ('--rule nowhere:Rule', "--rule: 'nowhere:Rule' cannot be imported"),
    ('--rule none --rule.threshold .5', '--rule.threshold: no such option'),
    ('--labeled 1', '--labeled: pseudo-labels need 2 labeled objects'),
    ('--method softras --rule joint', '--method softras: '),
    ('--method magic', "'softras', 'ssr'"), ('--preset huge', "for argument '--preset'. Expected one of ('paper', 'small', 'medium'"),
    ('--bach 3', '--bach: no such option (did you mean --batch?)'), ('--shape.no-bach-norm', 'did you mean --shape.no-batch-norm?'), ('--threads 0', '--threads: expected at least 1, found 0')])
def test_an_impossible_choice_is_named_by_its_option(words, said):
    with pytest.raises(InputError) as error: options(*words.split())
    assert said in str(error.value) and '\n' not in str(error.value)


def test_what_training_says_of_a_field_is_said_of_its_option():
    for said, wanted in (('training diverged: try a smaller shape.lr', 'training diverged: try a smaller --shape.lr'),
                         ('batch: expected a multiple of the 2 processes, found 3', '--batch: expected a multiple of the 2 processes, found 3'),
                         ('graph: expected False on a CPU', '--run.graph: expected False on a CPU'),
                         ('a/checkpoint.pt: written with other settings: batch 2, now 4, view.pairs 0, now 8, rule.name \'joint\', now \'ring\'; repeat those',
                          'a/checkpoint.pt: written with other settings: --batch 2, now 4, --view.pairs 0, now 8, --rule \'joint\', now \'ring\'; repeat those'),
                         ('data/seed.npz: truncated', 'data/seed.npz: truncated')):
        assert str(with_options(InputError(said))) == wanted


def test_help_shows_the_fifteen_options_that_people_change_and_help_all_the_rest():
    short, every = ({word.rstrip(',') for word in done(main, flag).split() if word.startswith('--')} for flag in ('--help', '--help-all'))
    listed = {line.strip('│| ').split()[0] for line in done(main, '--help').splitlines() if line.strip('│| ').startswith('--') and line.strip('│|- ')} - {'--help-all'}
    assert listed == {'--category', '--preset', '--method', '--out', '--resume', '--threads', '--quiet', '--device', '--labeled', '--seed',
                      '--iterations', '--batch', '--cycle', '--gate', '--rule'}
    assert {'--shape.lr', '--view.pairs', '--run.patience', '--rule.threshold', '--labeled-share'} <= every - short
    assert '--rule.path-weight' in done(main, '--help-all', '--rule', 'ring')


def test_the_help_of_an_option_is_the_comment_of_its_field_and_of_no_other():
    text = ' '.join(done(main, '--help-all').replace('│', ' ').split())
    for words in ('images in a batch, beside pseudo-labeled ones (§3.2); none: by their numbers (default: 0.5) --references',
                  'N | NUMBER NUMBER … how many objects have viewpoints (0: all), or which ones (Table 2) (default: 2) --seed',
                  '--shape.decay FLOAT share of the run after which lr and sigma × 0.3 (default: 0.8333333333333334) --shape.laplacian',
                  '--view.pseudo INT pseudo-labeled objects a step draws, too (default: 0) --view.image-size',
                  '--rule.rotation FLOAT of Ŝ, degrees (released code) (default: 45.0)'): assert words in text, words


# ---------------------------------------------------------------- refusals --
def test_training_answers_without_torch(tmp_path):
    d, out = write_data(tmp_path), tmp_path/'run'
    answers_without_torch('train', [tmp_path/'none', '--category', 'plane'], [d, '--category', 'plain'], [d, '--category', 'plane', '--bach', 3],
                          [d], [d, '--category', 'plane', '--shape.lr', -1], [d, '--category', 'plane', '--resume', '--out', out])


def test_training_refuses_what_it_cannot_use_and_leaves_nothing_behind(tmp_path):
    d, out = write_data(tmp_path), f'{tmp_path}/run'
    base = ['--category', 'plane', '--out', out, *TINY]
    def say(*words): return refused(main, *words, within=tmp_path)
    assert 'no such folder' in say(f'{tmp_path}/none', *base)
    assert "no category 'plain'; there: plane (did you mean plane?)" in say(d, '--category', 'plain', *base[2:])
    assert '--labeled: expected at most 5, the training objects of plane, or 0 for all of them, found 6' in say(d, *base, '--labeled', '6')
    assert '--labeled: expected object numbers below 5, found 7' in say(d, *base, '--labeled', '1', '7')
    assert f'--resume: {out}: no run to go on with' in say(d, *base, '--resume')
    assert 'category' in say(d)
    if not torch.cuda.is_available():
        assert 'CUDA' in say(d, *base, '--device', 'cuda')
        assert '--run.graph: expected False' in say(d, *base, '--run.graph')
    taken = tmp_path/'taken'; taken.touch()
    assert 'taken: is no folder' in say(d, *base, '--out', taken)


def test_a_broken_data_set_is_refused_by_every_file_s_name(tmp_path):
    d, base = write_data(tmp_path), ['--category', 'plane', '--out', f'{tmp_path}/run', *TINY]
    images = Path(d)/'plane_train_images.npz'
    whole, array = images.read_bytes(), np.load(images)['arr_0']

    def broken(write):
        write()
        line = refused(main, d, *base, within=tmp_path)
        assert str(images) in line or 'plane_train_voxels.npz' in line
        images.write_bytes(whole)
        return line

    assert 'truncated' in broken(lambda: images.write_bytes(whole[:1000]))
    assert 'no such file' in broken(images.unlink)
    assert 'dtype' in broken(lambda: np.savez(images, array.astype(np.float32)))
    assert 'shape' in broken(lambda: np.savez(images, array[:, :, :3]))
    assert '3' in broken(lambda: np.savez(images, array[:3]))


@pytest.mark.slow
def test_a_run_whose_config_cannot_be_read_is_refused_at_once_and_one_without_gets_it_anew(tmp_path):
    d, run = write_data(tmp_path), tmp_path/'run'
    base = [d, '--category', 'plane', '--out', str(run), *TINY]
    done(main, *base)
    assert 'already holds a run; go on with it by --resume, or choose another --out' in refused(main, *base, within=tmp_path)
    for text, why in (('{', 'not JSON'), ('[]', 'not that of a run'), ('{"category": "plane", "config": {"luck": 1}}', 'luck: no such field')):
        (run/'config.json').write_text(text)
        assert why in refused(main, *base, '--resume', within=tmp_path)
    (run/'config.json').unlink()
    done(main, *base, '--resume', '--iterations', '8')
    assert read_run(run).iterations == 8
    assert '--batch 2, now 3' in refused(main, *base, '--batch', '3', '--resume')


# ----------------------------------------------------------------- the run --
def interrupted_by(patch, *signals, at=3):
    "Let a training process get signals after an iteration."
    class Send(callbacks.Callback):
        def after_step(self, trainer):
            if trainer.iteration == at:
                for number in signals: os.kill(os.getpid(), number)

    fit = callbacks.fit
    def patched(*a, callbacks, **kw): return fit(*a, callbacks=[Send(), *callbacks], **kw)
    patch.setattr('ssr_nb.cli.stop.fit', patched)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP'])
def test_a_signal_ends_a_run_after_its_step_saved_and_prints_the_command_that_resumes(tmp_path, monkeypatch, name):
    before = signal.getsignal(getattr(signal, name))
    d, out = write_data(tmp_path), f'{tmp_path}/a run'
    words = [d, '--category', 'plane', '--out', out, *TINY]
    with monkeypatch.context() as patch:
        interrupted_by(patch, getattr(signal, name))
        code, _, err = shell(main, *words)
    line = err.strip().splitlines()[-1]
    assert code == 130 and 'checkpoint of iteration 3' in line and line.startswith('ssr_train: stopped')
    again = shlex.split(line.split('go on with: ')[1])
    assert again == ['ssr_train', *words, '--resume'] and signal.getsignal(getattr(signal, name)) is before
    done(main, *again[1:])
    done(main, *words[:4], f'{tmp_path}/whole', *TINY)
    logs = [pd.read_csv(f'{folder}/metrics.csv') for folder in (out, f'{tmp_path}/whole')]
    pd.testing.assert_frame_equal(*logs)


def test_a_signal_in_the_last_step_ends_a_finished_run(tmp_path, monkeypatch):
    interrupted_by(monkeypatch, signal.SIGTERM, at=6)
    assert 'best validation IoU' in done(main, write_data(tmp_path), '--category', 'plane', '--out', tmp_path/'run', *TINY)


@pytest.mark.slow
def test_a_second_signal_ends_a_run_at_once(tmp_path):
    source = '''
import os, signal, sys
import ssr_nb.cli.stop as stop
from ssr_nb.callbacks import Callback, fit
from ssr_nb.cli.train import main
class Send(Callback):
    def after_step(self, trainer):
        for number in (signal.SIGTERM, signal.SIGHUP): os.kill(os.getpid(), number)
stop.fit = lambda *a, callbacks, **kw: fit(*a, callbacks=[Send(), *callbacks], **kw)
sys.exit(main())
'''
    found = subprocess.run([sys.executable, '-c', source, write_data(tmp_path), '--category', 'plane', '--out', tmp_path/'run', *TINY],
                           capture_output=True)
    assert found.returncode == -signal.SIGHUP and not (tmp_path/'run'/'checkpoint.pt').exists()


def test_a_run_that_was_stopped_before_its_first_checkpoint_says_begin_again(tmp_path):
    assert resume_line(tmp_path, ['d', '--category', 'c', '--resume'], 0).endswith('begin again: ssr_train d --category c')


def test_the_last_line_tells_of_pseudo_labels_or_why_there_are_none():
    def told(gates, pseudo, **changes):
        labels = Labels(torch.tensor([0]), 4, 24)
        labels.pseudo = pseudo
        return label_summary(SimpleNamespace(config=replace(PRESETS['small'], **changes), labels=labels,
                                             log=[dict(gate_accuracy=NAN), dict(gate_accuracy=gates)]))
    nothing = torch.full((3, 24), -1)
    assert told(.9, nothing) == "pseudo-labels: none, as in SoftRas (SiamVP's accuracy, 0.9 at most, never reached --gate 0.95)"
    assert 'the rule joint accepted none' in told(.96, nothing, rule=Joint()) and 'first labeling is after --cycle 100' in told(NAN, nothing)
    assert 'all objects are labeled' in told(1., torch.zeros(0, 24, dtype=torch.int64))
    assert told(.9, torch.arange(24).repeat(3, 1).where(torch.arange(24) < 12, -1)) == \
        'pseudo-labels: 36 of 72 images, coverage 50.0%, accuracy 100.0%'
    assert 'coverage 100.0%, accuracy 4.2%' in told(.9, torch.zeros(3, 24, dtype=torch.int64))
    assert '--rule none' in told(NAN, nothing, rule=None)


def test_a_run_is_trained_from_the_shell_with_a_rule_of_one_s_own(tmp_path):
    d = write_data(tmp_path)
    words = [*TINY, '--rule', f'{__name__}:Nearest', '--rule.least', '0', '--threads', '2']
    before = torch.get_num_threads()
    try: closing = done(main, d, '--category', 'plane', '--out', tmp_path/'run', *words).splitlines()
    finally: torch.set_num_threads(before)
    assert 'best validation IoU' in closing[-2] and closing[-1].startswith('pseudo-labels: 72 of 72 images, coverage 100.0%, accuracy')
    assert {f.name for f in (tmp_path/'run').iterdir()} >= {'config.json', 'metrics.csv', 'reconstructor.safetensors', 'checkpoint.pt', 'curves.png'}
    assert read_run(tmp_path/'run').config.rule == Nearest(0.)
    assert torch.load(tmp_path/'run'/'checkpoint.pt', weights_only=True)['threads'] == 2


def test_files_as_kato_et_al_name_and_pack_them_are_trained_on_by_word_or_number(tmp_path):
    d = write_data(tmp_path)
    for file in Path(d).glob('plane_*.npz'):
        array = np.load(file)['arr_0']
        file.unlink(); np.savez_compressed(file.with_name(file.name.replace('plane', '02691156')), array)
    for name, category in (('word', 'plane'), ('number', '02691156')):
        done(main, d, '--category', category, '--out', tmp_path/name, *TINY)
    weights = [(tmp_path/name/'reconstructor.safetensors').read_bytes() for name in ('word', 'number')]
    assert weights[0] == weights[1] and json.loads((tmp_path/'number'/'config.json').read_text())['category'] == 'plane'


@pytest.mark.slow
def test_two_processes_of_torchrun_are_stopped_by_a_signal_saved_and_go_on(tmp_path):
    run = tmp_path/'run'
    words = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2', '-m', 'ssr_nb.cli.train',
             write_data(tmp_path), '--category', 'plane', '--out', str(run), *TINY, '--iterations']
    with open(tmp_path/'log', 'w') as log, subprocess.Popen([*words, '100000'], stdout=log, stderr=log) as running:
        while not (run/'checkpoint.pt').exists():
            assert running.poll() is None
            time.sleep(.1)
        running.send_signal(signal.SIGTERM)
        running.wait(120)
    told = re.findall(r'keeps the checkpoint of iteration (\d+); go on with', (tmp_path/'log').read_text())
    reached = torch.load(run/'checkpoint.pt', weights_only=True)['iteration']
    assert len(told) == 2 and set(told) == {str(reached)}     # both after the same step
    subprocess.run([*words, str(reached + 4), '--resume'], check=True, capture_output=True, timeout=300)
    assert read_run(run).iterations == reached + 4
