"Attacks from outside: full disks, closed homes, files that are replaced, several processes, many requests."
import os
import shutil
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import write_data
from trust import ROOT, python, train_words

from ssr_nb.data.npz import load_array

LIMITED = '''
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),)*2)   # no file may be longer
from ssr_nb.cli.sweep import main
sys.exit(main(sys.argv[2:]))
'''


@pytest.mark.slow
def test_a_file_system_that_takes_no_more_ends_a_sweep_in_one_line_and_the_same_words_finish_it(tmp_path):
    data = write_data(tmp_path)
    def sweep(name, limit):
        return python('-c', LIMITED, limit, data, '--categories', 'plane', '--methods', 'softras', '--labeled', 2, '--iterations', 2, '--quiet',
                      '--results', tmp_path/f'{name}.csv', '--runs', tmp_path/name, cwd=tmp_path)
    whole = sweep('whole', 1 << 40)
    assert whole.returncode == 0, whole.stderr
    stopped = sweep('full', 100_000)               # config.json fits, no checkpoint does
    assert stopped.returncode == 2 and 'Traceback' not in stopped.stderr, stopped.stderr
    assert 'too large' in stopped.stderr.splitlines()[-1] and stopped.stderr.splitlines()[-1].startswith('ssr_sweep: ')
    assert not list((tmp_path/'full').rglob('*.tmp.*'))
    again = sweep('full', 1 << 40)
    assert again.returncode == 0, again.stderr
    rows = [pd.read_csv(tmp_path/f'{name}.csv').drop(columns='seconds') for name in ('whole', 'full')]
    pd.testing.assert_frame_equal(*rows)


CLOSED_HOME = '''
import torch, ssr_nb
from ssr_nb.raster import soft_silhouette
image = soft_silhouette(torch.tensor([[[[-.5, -.5, 2], [.5, -.5, 2], [0, .5, 2]]]]), image_size=8)
print(ssr_nb.__file__, int(image.sum()))
'''


@pytest.mark.slow
def test_an_installation_and_a_home_that_cannot_be_written_to_render_all_the_same(tmp_path):
    without_rights = []
    if os.geteuid() == 0:                          # who may write everywhere, unless told not to
        if not shutil.which('setpriv'): pytest.skip('no setpriv to take rights from root')
        without_rights = ['setpriv', '--bounding-set=-dac_override,-dac_read_search,-fowner']
    site, home = tmp_path/'site', tmp_path/'home'
    shutil.copytree(ROOT/'ssr_nb', site/'ssr_nb', ignore=shutil.ignore_patterns('__pycache__', '_dev'))
    home.mkdir()
    for path in [*site.rglob('*'), site, home]: path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(site.rglob('*'))
    environment = {k: v for k, v in os.environ.items() if k not in ('NUMBA_CACHE_DIR', 'XDG_CACHE_HOME')}
    code = f'import os; os.environ.update(PYTHONPATH={str(site)!r}); import sys; sys.path.insert(0, {str(site)!r})' + CLOSED_HOME
    words = [*without_rights, sys.executable, '-c', code]
    import subprocess
    done = subprocess.run(words, capture_output=True, text=True, cwd='/', env=environment | {'HOME': str(home), 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1'})
    try:
        assert done.returncode == 0, done.stderr
        place, area = done.stdout.split()
        assert Path(place).is_relative_to(site) and 0 < int(area) < 20
        assert sorted(site.rglob('*')) == before and not list(home.iterdir())
    finally:
        for path in [site, home, *site.rglob('*')]: path.chmod(0o755)


def test_a_mapped_array_whose_file_is_replaced_whole_keeps_its_numbers(tmp_path):
    path, later = tmp_path/'a.npz', tmp_path/'b.npz'
    np.savez(path, np.full((50, 3), 7, np.uint8))
    np.savez(later, np.full((2, 3), 9, np.uint8))
    mapped = load_array(path, (3,))
    os.replace(later, path)                        # as all writers of this package do
    assert (mapped == 7).all() and (load_array(path, (3,)) == 9).all()


@pytest.mark.slow
def test_two_processes_label_by_the_ring_rule_as_one_does(rifles, tmp_path):
    (tmp_path/'shapes').symlink_to(rifles)
    words = train_words(rule='ring', references='all', labeled=3, iterations=6, cycle=3)
    logs = []
    for count in 1, 2:
        done = python('-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={count}', '-m', 'ssr_nb.cli.train', *words,
                      '--rule.rotations', '2', '--out', f'run{count}', cwd=tmp_path, timeout=500)
        assert done.returncode == 0, done.stderr
        logs.append(pd.read_csv(tmp_path/f'run{count}'/'metrics.csv'))
    one, two = logs
    assert one['label_coverage'].iloc[-1] > 0
    for column in 'loss', 'siam_loss', 'label_coverage', 'label_accuracy', 'val_iou':
        np.testing.assert_allclose(one[column], two[column], atol=.01, equal_nan=True, err_msg=column)


@pytest.mark.browser
def test_two_hundred_strangers_at_once_are_turned_away_and_the_owner_is_served_after_them(app):
    def answer(path):
        try:
            with urllib.request.urlopen(app.url + path, timeout=60) as reply: return reply.status, reply.url
        except urllib.error.HTTPError as refusal: return refusal.code, ''
    paths = ['/', '/api/kernels', '/api/kernels?token=guess', '/voila/files/app.ipynb']*50
    with ThreadPoolExecutor(40) as many: answers = list(many.map(answer, paths))
    for code, where in answers: assert code in (401, 403, 404) or '/login' in where, (code, where)
    assert answer(f'/?token={app.token}')[0] == 200
