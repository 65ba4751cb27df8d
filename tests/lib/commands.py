"Commands as a test calls them: small data, exit codes, the one line of an error."
import contextlib
import io
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from objects import built_in

from ssr_nb.reconstruct import Reconstructor

TINY = shlex.split(
    '--iterations 6 --cycle 2 --batch 2 --gate 0 --rule joint --quiet --run.validate-every 2 --run.checkpoint-minutes 0 '
    '--shape.subdivisions 1 --shape.width 4 --shape.hidden 32 --shape.features 16 --view.width 4 --view.features 16')


def write_data(folder, name='plane', train=5, val=1, test=2):
    "A small data set of built-in planes, made without the command."
    made, first = built_in('plane', 8), 0
    for split, count in dict(train=train, val=val, test=test).items():
        part = slice(first, first := first + count)
        np.savez(Path(folder)/f'{name}_{split}_images.npz', made.images[part])
        np.savez(Path(folder)/f'{name}_{split}_voxels.npz', made.voxels[part])
    return str(folder)


def write_model(folder):
    "A run folder with an untrained network."
    Path(folder).mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    Reconstructor(1, 64, 4, 32, 16).save(Path(folder)/'reconstructor.safetensors')
    return str(folder)


def listing(folder):
    "Everything below a folder: path, size and time of change."
    return sorted((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in Path(folder).rglob('*'))


def shell(command, *words):
    "Exit code, output and errors of a command."
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = command([str(w) for w in words])
    return code, out.getvalue(), err.getvalue()


def done(command, *words):
    "The output of a command that succeeds."
    code, out, err = shell(command, *words)
    assert code == 0, err
    return out


@contextlib.contextmanager
def no_builder():
    "Fails when something is trained, rendered or voxelised meanwhile."
    import ssr_nb.data.make
    import ssr_nb.train
    called = []

    def watched(name):
        def call(*_, **__):
            called.append(name)
            raise AssertionError(f'{name} was called before the input was refused')
        return call

    with contextlib.ExitStack() as stack:
        for owner, name in ((torch.optim.Adam, 'step'), (ssr_nb.data.make, 'render_views'),
                            (ssr_nb.data.make, 'voxelize'), (ssr_nb.train.Trainer, 'step')):
            stack.enter_context(mock.patch.object(owner, name, watched(name)))
        yield
    assert not called, called


def refused(command, *words, within=None):
    "The one line with which a command refuses its input; nothing is left behind."
    before = listing(within) if within else None
    with no_builder(): code, _, err = shell(command, *words)
    assert code == 2 and err.count('\n') == 1 and err.endswith('\n'), err
    if within: assert listing(within) == before
    return err


def program(module, *words, **kw):
    "A command in a process of its own."
    return subprocess.run([sys.executable, '-c', f'import sys; from ssr_nb.cli.{module} import main; sys.exit(main())',
                           *map(str, words)], capture_output=True, text=True, **kw)


def answers_without_torch(module, *refusals):
    "Whether --help and some wrong words are answered before torch is imported."
    source = ('import sys, ast\n'
              f'from ssr_nb.cli.{module} import main\n'
              'codes = [main(words) for words in ast.literal_eval(sys.argv[1])]\n'
              'print(codes, [m for m in ("torch", "pandas", "matplotlib", "scipy", "numba", "trimesh") if m in sys.modules])')
    calls = [['--help'], *(list(map(str, words)) for words in refusals)]
    found = subprocess.run([sys.executable, '-c', source, repr(calls)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == f'{[0] + [2]*len(refusals)} []', found.stdout[-300:] + found.stderr
    assert found.stderr.count('\n') == len(refusals)
    return found.stdout
