"make gpu: without a GPU it says so; its page tells what each part found and how it ended."
import sys

import pytest
import torch

from ssr_nb._dev import gpu


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_nothing_is_measured_or_written_and_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['gpu', '--out', str(tmp_path/'gpu.md')])
    assert gpu.main() is None
    assert 'no CUDA device' in capsys.readouterr().out and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_a_part_measured_before_it_was_stopped_or_failed_is_kept(tmp_path, monkeypatch):
    parts = {'stopped': "print('{\"line\": \"one\"}', flush=True); import time; time.sleep(600)",
             'failed': "print('{\"line\": \"two\"}', flush=True); raise ValueError('no memory')"}
    start = gpu.subprocess.Popen
    def replaced(words, **kw): return start([sys.executable, '-c', parts[words[words.index('--part') + 1]]], **kw)
    monkeypatch.setattr(gpu.subprocess, 'Popen', replaced)
    monkeypatch.setattr(gpu, 'LIMITS', dict.fromkeys(parts, 3))
    rows, ended = gpu.run_part('stopped', True, tmp_path/'data')
    assert rows == [{'line': 'one'}] and ended.startswith('stopped after')
    rows, ended = gpu.run_part('failed', True, tmp_path/'data')
    assert rows == [{'line': 'two'}] and ended.startswith('failed after') and ended.endswith('ValueError: no memory')


def test_the_page_has_a_table_a_part_and_the_goals():
    found = {'task': 'silhouette', 'pixels': 64, 'images': 256, 'both, ms': .75}
    page = gpu.page_of({'tests': ([{'line': '9 passed'}], 'ended after 2 s'), 'raster': ([found], 'ended after 3 s'),
                        'steps': ([{'step': 'plain', 'steps/s': 150.}, {'step': 'both', 'steps/s': 210.}], 'stopped after 4 s'),
                        'training': ([], 'failed after 1 s: no')}, 'a card')
    for wanted in ('a card', '9 passed', '| silhouette | 64 | 256 | 0.750 |', 'found 0.750 ms', 'found 210.0', 'failed after 1 s: no'):
        assert wanted in page
    assert sum(gpu.LIMITS.values()) < 460    # eight minutes with the data set


def test_nothing_can_be_faster_than_the_floor():
    scene = gpu.spheres(2, 1)
    slow, fast = (gpu.floor_seconds(scene, 16, color, (1e9, 1e9)) for color in (True, False))
    assert slow > fast > 0
    corners, pixels = 80, 16**2
    assert gpu.floor_seconds(scene, 16, False, (1e3, 1e15)) == pytest.approx(2*4*(27*corners + 2*pixels)/1e3)


@pytest.mark.slow
def test_the_parts_that_need_no_card_run_small_on_a_cpu(tmp_path):
    gpu.make_dataset(tmp_path/'data', categories=['plane'], count=8)
    found = {name: list(gpu.PARTS[name](True, tmp_path/'data')) for name in ('raster', 'steps', 'training')}
    assert all(row['both, ms'] > row['floor, ms'] for row in found['raster']) and len(found['raster']) == 8
    assert [row['steps/s'] > 0 for row in found['steps']] == [True, True, False, False]
    assert found['training'][-1]['iteration'] == 6
