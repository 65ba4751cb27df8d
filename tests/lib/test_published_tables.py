"Every table and figure of the paper by one command, on files in the published layout."
import csv
from dataclasses import replace

import numpy as np
import pytest
from commands import done
from objects import built_in, tiny
from PIL import Image

from ssr_nb import config
from ssr_nb.cli.sweep import main
from ssr_nb.config import with_overrides
from ssr_nb.shapes import CATEGORIES

SIZE = {'iterations': 4, 'cycle': 2, 'gate': 0., 'labeled': 2, 'seed': 0, 'view.images': 64, 'view.pairs': 32,
        'run.validate_every': 2, 'run.validate_images': 8, 'run.checkpoint_minutes': 10.}


@pytest.fixture(scope='module')
def shapenet(tmp_path_factory):
    "Tiny files with the names and the layout of the published ones: 13 ids, one array a file."
    folder, made = tmp_path_factory.mktemp('mesh_reconstruction'), built_in('plane', 6)
    for number in CATEGORIES.values():
        for split, part in dict(train=slice(0, 4), val=slice(4, 5), test=slice(5, 6)).items():
            np.savez_compressed(folder/f'{number}_{split}_images.npz', made.images[part])
            np.savez_compressed(folder/f'{number}_{split}_voxels.npz', made.voxels[part].astype(np.uint8))
    return folder


@pytest.fixture
def sweep(shapenet, tmp_path, monkeypatch):
    "ssr_sweep --preset paper, with networks small enough for a test; what it prints, by section."
    monkeypatch.setitem(config.PRESETS.builders, 'paper', lambda: replace(with_overrides(tiny, SIZE), rule=config.Agreement()))

    def run(*words):
        text = done(main, shapenet, '--preset', 'paper', '--quiet', '--results', tmp_path/'results.csv', '--runs', tmp_path/'runs', *words)
        sections, rows = {}, []
        for line in text.splitlines():
            if line.startswith('|'): rows.append([cell.strip() for cell in line.split('|')[1:-1]])
            elif line: sections[line] = rows = []
        return sections
    return run


@pytest.mark.slow
def test_table_2_is_one_command(sweep, tmp_path):
    found = sweep('--categories', 'shapenet', '--methods', 'softras', 'ssr', '--labeled', 2, 3, 0)
    head, _, *rows = found['test IoU']
    assert head == ['method', 'N', *sorted(CATEGORIES), 'mean']
    assert [row[:2] for row in rows] == [['softras', '2'], ['ssr', '2'], ['softras', '3'], ['ssr', '3'], ['softras', 'all']]
    assert all(0 < float(cell) < 1 for row in rows for cell in row[2:])
    head, _, *rows = found['test IoU and pseudo-labels']
    assert len(rows) == 13*5 and head[3:7] == ['test IoU', 'gap closed', 'coverage', 'accuracy']
    assert all((row[5] != '–') == (row[2] == 'ssr') for row in rows)
    with open(tmp_path/'results.csv') as file: lines = list(csv.DictReader(file))
    assert {line['preset'] for line in lines} == {'paper'} and len(lines) == 13*5


@pytest.mark.slow
def test_table_3_under_both_rules_is_one_command(sweep):
    methods = ['softras', 'no_rotation', 'ssr', 'confidence_no_rotation', 'confidence']
    found = sweep('--categories', 'plane', 'bench', 'cabinet', 'car', '--labeled', 2, '--methods', *methods)
    head, _, *rows = found['test IoU']
    assert head == ['method', 'N', 'bench', 'cabinet', 'car', 'plane', 'mean'] and [row[0] for row in rows] == methods
    assert [row[2] for row in found['test IoU and pseudo-labels'][2:7]] == methods


@pytest.mark.slow
def test_figures_4_and_5_are_one_command(sweep, tmp_path):
    words = '--categories', 'plane', 'chair', '--methods', 'softras', 'ssr', '--labeled', 2, '--figures', tmp_path/'figures'
    found = sweep(*words)
    assert f'wrote {tmp_path/"figures"/"figure4.png"} and {tmp_path/"figures"/"figure5.png"}' in found
    for name in ('figure4', 'figure5'):
        assert min(np.asarray(Image.open(tmp_path/'figures'/f'{name}.png')).shape[:2]) > 300
    curves = [path.read_text().splitlines() for path in sorted((tmp_path/'runs').glob('*/test_curve.csv'))]
    assert len(curves) == 4 and all(len(lines) == 3 for lines in curves)       # a test IoU a validation
    (tmp_path/'figures'/'figure4.png').unlink()
    assert sweep(*words) == found and (tmp_path/'figures'/'figure4.png').exists()   # of the runs that are there
