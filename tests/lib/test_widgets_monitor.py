"A run in a process of its own, and the panel that watches it."
import base64
import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from ssr_nb.callbacks import fit
from ssr_nb.config import PRESETS, with_overrides
from ssr_nb.core import InputError
from ssr_nb.data import load_split
from ssr_nb.runs import read_run
from ssr_nb.widgets import BackgroundRun, TrainingMonitor, decode
from ssr_nb.widgets.controls import on_white
from ssr_nb.widgets.monitor import Snapshot, chosen_snapshots, figure_svg, film_strip, run_figure


def few_shapes(folder, count=4, seed=0, split='train'):
    "Write boxes into a data set, made and not rendered; its images."
    random = np.random.default_rng(seed)
    images = np.zeros((count, 24, 4, 64, 64), np.uint8)
    voxels = np.zeros((count, 32, 32, 32), bool)
    for image, grid in zip(images, voxels):
        low, high = random.integers(8, 16), random.integers(18, 26)
        grid[low:high, low:high, 10:20] = True
        image[:, :, 2*low:2*high, 20:44] = random.integers(99, 255, (24, 4, 1, 1)); image[:, 3][image[:, 3] > 0] = 255
    np.savez(Path(folder)/f'boxes_{split}_images.npz', images); np.savez(Path(folder)/f'boxes_{split}_voxels.npz', voxels)
    return images

def two_splits(folder):
    "Train and val of boxes, as `fit` wants them."
    few_shapes(folder); few_shapes(folder, 1, 9, 'val')
    return [load_split(folder, 'boxes', split) for split in ('train', 'val')]

tiny = with_overrides(PRESETS['small'], {
    'iterations': 40, 'cycle': 10, 'batch': 2, 'gate': 0., 'seed': 3,
    'shape.subdivisions': 1, 'shape.width': 4, 'shape.hidden': 32, 'shape.features': 16,
    'view.width': 4, 'view.features': 16, 'run.validate_every': 10, 'run.checkpoint_minutes': 0})


def until(ask, seconds=300.):
    "Wait until ask() is true."
    end = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < end, 'nothing happened'
        time.sleep(.02)


@pytest.mark.slow
def test_a_run_that_is_paused_and_stopped_and_started_again_is_the_uninterrupted_run():
    with tempfile.TemporaryDirectory() as tmp:
        train, val = two_splits(tmp)
        fit(train, val, tiny, f'{tmp}/whole', progress=False)
        run = BackgroundRun(tmp, 'boxes', tiny, f'{tmp}/parts')
        assert run.state == 'idle'
        run.start(); until(lambda: run.iteration >= 3)
        run.pause(); until(lambda: run.state == 'paused')
        there = run.iteration; time.sleep(.3)
        assert run.iteration == there < 40 and run.state == 'paused'
        run.start(); until(lambda: run.iteration > there)
        run.pause(); until(lambda: run.state == 'paused'); run.stop()
        assert run.wait() == 'stopped' and there < run.iteration < 40
        run.start()
        assert run.wait() == 'finished' and run.iteration == 40
        logs = [Path(f'{tmp}/{name}/metrics.csv').read_text() for name in ('whole', 'parts')]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 5


@pytest.mark.slow
def test_a_run_that_cannot_be_says_why_and_one_that_is_ended_from_outside_is_saved():
    with tempfile.TemporaryDirectory() as tmp:
        two_splits(tmp)
        wrong = BackgroundRun(tmp, 'box', tiny, f'{tmp}/wrong')
        wrong.start()
        assert wrong.wait() == 'failed' and wrong.ending[1].endswith("no category 'box'; there: boxes")
        run = BackgroundRun(tmp, 'boxes', replace(tiny, iterations=10_000), f'{tmp}/run')
        run.start(); until(lambda: run.iteration >= 3)
        run.process.terminate()           # as a notebook does that is closed
        assert run.wait() == 'stopped' and run.iteration >= 3 and (Path(tmp)/'run'/'checkpoint.pt').exists()
        run.start(); run.process.kill()
        assert run.wait() == 'failed' and 'without a word' in run.ending[1]


def test_every_column_of_the_log_has_its_line():
    with tempfile.TemporaryDirectory() as tmp:
        fit(*two_splits(tmp), replace(tiny, iterations=30), f'{tmp}/run', progress=False)
        record = read_run(f'{tmp}/run')
    axes = run_figure(record).axes
    assert [len(ax.lines) for ax in axes] == [2, 1, 2, 2]
    assert_close(axes[0].lines[1].get_ydata(), record.metrics['siam_loss'].to_numpy())
    assert_close(axes[3].lines[0].get_ydata(), record.metrics['label_coverage'].to_numpy())
    svg = figure_svg(lambda: run_figure(record), 'a <run>')
    assert svg.startswith('<svg role="img" aria-label="a &lt;run&gt;"') and 'pseudo-labels</text>' in svg
    assert 'currentColor' in svg and '#010203' not in svg
    assert run_figure(None).axes[0].get_title() == 'loss'


def test_a_film_shows_each_image_and_its_meshes_in_order():
    from ssr_nb.mesh import icosphere
    from ssr_nb.render import render_views
    with tempfile.TemporaryDirectory() as tmp: image = few_shapes(tmp, 2)[:, 0]
    ball = icosphere(1)
    small, large = (Snapshot(i, [replace(ball, vertices=s*ball.vertices)]*2) for i, s in ((10, .2), (20, .5)))
    paper = film_strip(image, [small, large], 30., columns=4)
    assert paper.shape == (128, 256, 3)
    assert (paper[64:, :64] == on_white(image[1])).all() and (paper[:, 192:] == 255).all()
    ink = [(paper[:64, 64*c:64*c + 64] < 255).any(-1).sum() for c in (1, 2)]
    assert 0 < ink[0] < ink[1]
    stick = replace(ball, vertices=ball.vertices*torch.tensor([.1, .1, .5]))
    view = torch.tensor([[2.732, 30., 65.]])
    expected = on_white(render_views(stick, view, 64, 2)[0])
    assert (film_strip(image[:1], [Snapshot(1, [stick])], 65.)[:, 64:128] == expected).all()
    many = [Snapshot(i, []) for i in range(20)]
    assert [s.iteration for s in chosen_snapshots(many, 3)] == [0, 10, 19] and chosen_snapshots(many[:2], 3) == many[:2]


@pytest.mark.slow
def test_the_monitor_shows_the_log_and_the_meshes_of_a_folder_and_turns_them():
    with tempfile.TemporaryDirectory() as tmp:
        splits = two_splits(tmp); images = splits[0].images[:2, 0]
        panel = TrainingMonitor(f'{tmp}/run', images)
        assert panel.caption == 'Watched.' and panel.live and panel.snapshots == []
        fit(*splits, replace(tiny, iterations=20), f'{tmp}/run', progress=False)
        empty = panel.curves; panel.refresh()
        assert panel.curves != empty and not panel.live
        assert panel.caption.startswith('Finished; iteration 20 of 20; best validation IoU 0.') and len(panel.snapshots) == 1
        (Path(tmp)/'run'/'reconstructor.safetensors').touch(); panel.refresh()      # written again, no better than before
        assert len(panel.snapshots) == 1
        turned = TrainingMonitor(f'{tmp}/run', images, azimuth=90.)
        assert (decode(turned.film) == film_strip(images, turned.snapshots, 90.)).all()
        panel.azimuth = 90.
        assert (decode(panel.film) == decode(turned.film)).all()
        assert panel.disabled == ['start', 'pause', 'stop']
        with pytest.raises(InputError, match='trained by another process'): panel.pause()
        data, _ = panel._repr_mimebundle_()
    assert Image.open(io.BytesIO(base64.b64decode(data['image/png']))).width == 900


@pytest.mark.slow
def test_the_buttons_of_the_monitor_start_and_pause_and_stop_a_run():
    with tempfile.TemporaryDirectory() as tmp:
        images = two_splits(tmp)[0].images[:1, 0]
        run = BackgroundRun(tmp, 'boxes', replace(tiny, iterations=10_000), f'{tmp}/run')
        panel = TrainingMonitor(run, images)
        assert panel.disabled == ['pause', 'stop'] and not panel.live
        panel.start()
        assert panel.caption == 'Starting.' and panel.live and panel.disabled == ['start']
        until(lambda: panel.refresh() or panel.snapshots)
        assert panel.caption.startswith('Running; iteration ')
        panel.pause(); until(lambda: run.state == 'paused'); panel.refresh()
        assert panel.caption.startswith(f'Paused; iteration {run.iteration} of 10000') and panel.disabled == ['pause']
        panel.stop(); assert run.wait() == 'stopped'
        panel.refresh()
        assert panel.caption.startswith('Stopped;') and not panel.live and (Path(tmp)/'run'/'checkpoint.pt').exists()
