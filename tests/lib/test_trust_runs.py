"A run survives kills, closed folders and lost workers, and does not depend on its caller."
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import torch
from nbclient import NotebookClient
from trust import TINY, differences, equal, kept, python, train_words

from ssr_nb.callbacks import fit
from ssr_nb.config import with_overrides
from ssr_nb.data import load_split

KILLS = int(os.environ.get('SSR_KILLS', 12))


@pytest.fixture(autouse=True)
def beside_the_data(rifles, tmp_path, monkeypatch):
    "Each test runs in a folder of its own, where `shapes` is the data set."
    (tmp_path/'shapes').symlink_to(rifles)
    monkeypatch.chdir(tmp_path)


KILL = '''
import json, os, random, signal, sys, time
from pathlib import Path
from ssr_nb.cli.train import main as train
kills, seed, *words = int(sys.argv[1]), sys.argv[2], *sys.argv[3:]
moments = random.Random(seed)
start = time.time()
sys.stdout = sys.stderr
train(words + ['--out', 'whole'])
span = (time.time() - start)/8                       # seconds that a child lives, at most
def half_written(run): return set(Path(run).glob('.*.tmp.*'))
killed, saving, run = 0, 0, 0
while True:
    child = os.fork()
    if not child:
        code = 9
        begun = Path(f'run{run}/config.json').exists()
        try: code = train(words + ['--resume']*begun + ['--out', f'run{run}'])
        finally: os._exit(code)
    if killed >= kills:
        assert os.waitpid(child, 0)[1] == 0
        break
    before, end = half_written(f'run{run}'), time.time() + moments.uniform(0, span)
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and (time.time() < end or killed % 2 and not half_written(f'run{run}') - before):
        time.sleep(.0005)
        done, status = os.waitpid(child, os.WNOHANG)
    if done:
        assert status == 0, status
        run += 1
        continue
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    killed += 1
    saving += bool(half_written(f'run{run}') - before)
sys.__stdout__.write(json.dumps(dict(killed=killed, saving=saving, runs=run + 1)))
'''


@pytest.mark.slow
def test_a_run_killed_at_many_moments_ends_with_the_bits_of_the_uninterrupted_one():
    done = python('-c', KILL, KILLS, 'moments', *train_words(), timeout=60 + 10*KILLS)
    assert done.returncode == 0, done.stderr
    told, whole = json.loads(done.stdout), kept('whole')
    assert told['killed'] == KILLS and told['saving'] >= KILLS/8
    assert whole['iteration'] == TINY.iterations
    assert (whole['pseudo'] >= 0).any() and len(whole['log']) == 8
    for run in range(told['runs']):
        assert differences(kept(f'run{run}'), whole) == [], run
        assert not list(Path(f'run{run}').glob('.*.tmp.*'))


CELL = """
import sys; sys.path[:0] = {paths!r}
import torch
from trust import TINY
from ssr_nb.callbacks import fit
from ssr_nb.config import with_overrides
from ssr_nb.data import load_split
torch.set_num_threads(1)
splits = [load_split('shapes', 'rifle', split) for split in ('train', 'val')]
fit(*splits, with_overrides(TINY, dict(iterations=6)), 'notebook', progress=False)
"""


@pytest.mark.slow
def test_python_a_notebook_and_the_command_give_the_same_bits(root):
    paths = [str(root), str(Path(__file__).parent)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)   # as the command has it, and the notebook below
    splits = [load_split('shapes', 'rifle', split) for split in ('train', 'val')]
    try: fit(*splits, with_overrides(TINY, dict(iterations=6)), 'python', progress=False)
    finally: torch.set_num_threads(threads)
    done = python('-m', 'ssr_nb.cli.train', *train_words(iterations=6), '--out', 'command')
    assert done.returncode == 0, done.stderr
    cell = nbformat.v4.new_code_cell(CELL.format(paths=paths))
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=300,
                   resources={'metadata': {'path': '.'}}).execute()
    first, *others = [kept(name) for name in ('python', 'command', 'notebook')]
    assert first['iteration'] == 6
    for other in others: assert equal(first, other)


CLOSED = '''
import json, os, sys
from pathlib import Path
from ssr_nb.cli.train import main as train
words = sys.argv[1:]
assert train([*words, '--out', 'run']) == 0   # with all that it imports
before = {f.name: f.read_bytes() for f in Path('run').iterdir()}
Path('closed').mkdir()
for path in [*Path('run').iterdir(), Path('run'), Path('closed')]: path.chmod(0o555 if path.is_dir() else 0o444)
told = {}
for out in 'run', 'closed', 'closed/run', 'shapes/dataset.json':
    with open('said', 'w+') as said:
        child = os.fork()
        if not child:
            code = 9
            try:
                os.dup2(said.fileno(), 2)
                os.geteuid() or os.setuid(65534)          # root may write everywhere
                code = train([*words, '--resume', '--out', out])
            finally: os._exit(code)
        told[out] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.seek(0) or said.read()
same = before == {f.name: f.read_bytes() for f in Path('run').iterdir()}
print(json.dumps(dict(told=told, same=same)), file=sys.__stdout__)
'''


@pytest.mark.slow
def test_a_read_only_folder_is_one_clear_line_and_its_run_stays_as_it_was(rifles):
    with tempfile.TemporaryDirectory() as folder:   # pytest's own are closed to others
        Path(folder).chmod(0o755)
        shutil.copytree(rifles, f'{folder}/shapes')
        done = python('-c', CLOSED, *train_words(iterations=2), cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for out, (code, said) in found['told'].items():
        assert code == 2 and 'Traceback' not in said, (out, code, said)
        assert said.count('ssr_train: ') == 1 and out.split('/')[0] in said, (out, said)
    assert len(found['told']) == 4 and found['same']


def workers(process):
    "Processes that torchrun has started, by rank."
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try: found[int(child.environ()['RANK'])] = child
        except (KeyError, psutil.Error): continue
    return found


def wait_for_checkpoints(path, count, process, seconds=120):
    "Wait until a file was renewed so many times."
    seen, end = set(), time.time() + seconds
    while len(seen) <= count:
        assert process.poll() is None and time.time() < end, 'torchrun has ended or hangs'
        if path.exists(): seen.add(path.stat().st_mtime_ns)
        time.sleep(.002)


@pytest.mark.slow
def test_killed_workers_are_restarted_and_nothing_is_lost():
    victims = (1, 0) if 'SSR_KILLS' in os.environ else (0,)   # the leader writes checkpoints
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc-per-node=2', '--max-restarts=9', '-m', 'ssr_nb.cli.train',
               *train_words(iterations=9), '--resume', '--out']
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([*command, 'whole'], env=environment, capture_output=True,
                          text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    with open('log', 'w') as log, subprocess.Popen(
            [*command, 'parts'], env=environment, stdout=log, stderr=log) as process:
        try:
            for victim in victims:
                wait_for_checkpoints(Path('parts')/'checkpoint.pt', 2, process)
                workers(process)[victim].send_signal(signal.SIGKILL)
            code = process.wait(200)
        finally: process.terminate()   # were it to hang, its workers go with it
    text = Path('log').read_text()
    assert code == 0, text
    assert text.count('exitcode: -9') + text.count('SIGKILL') >= len(victims), text
    assert equal(kept('whole'), kept('parts'))


RESTART = '''
import os, sys, time, torch
from ssr_nb.distributed import join_processes
first, leader = os.environ['TORCHELASTIC_RESTART_COUNT'] == '0', os.environ['RANK'] == '0'
if leader and not first: time.sleep(3)   # the other looks for its address at once
join_processes('cpu')
total = torch.ones(1)
torch.distributed.all_reduce(total)
if first: os._exit(leader)               # as a kill: without a word to the other
os.write(1, b'joined by %d; ' % int(total))   # in one piece: both write to one pipe
torch.distributed.barrier()              # nobody leaves while the other still listens
torch.distributed.destroy_process_group()
'''


@pytest.mark.slow
def test_processes_that_are_restarted_do_not_wait_for_those_that_died():
    Path('worker.py').write_text(RESTART)
    done = python('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
                  '--max-restarts=1', 'worker.py', timeout=100)
    assert done.returncode == 0 and done.stdout.count('joined by 2') == 2, done.stderr
