"What the tests of promises share."
import os
import subprocess
import sys
from pathlib import Path

import torch

from ssr_nb.config import PRESETS, with_overrides

ROOT = Path(__file__).parents[2]
OPTIONS = {
    'iterations': 24, 'cycle': 4, 'batch': 2, 'gate': 0., 'seed': 3,
    'shape.subdivisions': 1, 'shape.width': 4, 'shape.hidden': 32, 'shape.features': 16,
    'view.width': 4, 'view.features': 16,
    'run.validate-every': 3, 'run.checkpoint-minutes': 0}
TINY = with_overrides(
    PRESETS['small'], {name.replace('-', '_'): value for name, value in OPTIONS.items()})


def train_words(**changes):
    "What ssr_train is told, to train as TINY says."
    options = (word for name, value in (OPTIONS | changes).items()
               for word in (f'--{name}', str(value)))
    return ['shapes', '--category', 'rifle', '--quiet', *options]


def python(*words, **options):
    "A Python process of its own, from the project's sources."
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True,
                          **{'env': environment, 'text': True} | options)


def kept(folder):
    "All that a finished run leaves, but for the seconds it took."
    state = torch.load(Path(folder)/'checkpoint.pt', weights_only=True)
    files = {name: (Path(folder)/name).read_bytes()
             for name in ('metrics.csv', 'reconstructor.safetensors')}
    return {k: v for k, v in state.items() if k != 'seconds'} | files


def differences(a, b, name='it'):
    "Where nested dicts, lists and tensors are not the same to the last bit."
    if isinstance(a, dict) and a.keys() == b.keys():
        return [d for key in a for d in differences(a[key], b[key], f'{name}.{key}')]
    if isinstance(a, list) and len(a) == len(b):
        return [d for i, pair in enumerate(zip(a, b)) for d in differences(*pair, f'{name}[{i}]')]
    if torch.is_tensor(a):
        same = (a.dtype == b.dtype and a.shape == b.shape
                and a.numpy().tobytes() == b.numpy().tobytes())
        return [] if same else [f'{name}: {(a != b).sum()} of {a.numel()} numbers']
    return [] if a == b or (a != a and b != b) else [f'{name}: {a!r:.200} and {b!r:.200}']


def equal(a, b):
    "Whether nested dicts, lists and tensors are the same to the last bit."
    return not differences(a, b)
