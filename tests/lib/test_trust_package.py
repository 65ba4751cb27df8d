"The installed package needs no notebook and starts quickly; its sources are clean."
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
from trust import python

PROGRAM = '''
import sys
development = 'nbdev fastcore execnb nbformat nbconvert nbclient IPython jupyterlab ipywidgets anywidget pytest'
for name in development.split(): sys.modules[name] = None
import ssr_nb
from ssr_nb.cli.render import main
assert 'env' in ssr_nb.__file__, ssr_nb.__file__
ssr_nb.save_mesh(ssr_nb.icosphere(2), 'a.obj')
sys.exit(main(['a.obj', '-o', 'a.png', '--size', '32']))
'''


@pytest.mark.slow
def test_a_wheel_works_without_notebooks_and_development_tools(root, tmp_path):
    source, env = tmp_path/'source', tmp_path/'env'
    shutil.copytree(root/'ssr_nb', source/'ssr_nb',
                    ignore=shutil.ignore_patterns('__pycache__'))
    for name in 'setup.py', 'settings.ini', 'pyproject.toml', 'README.md', 'LICENSE':
        shutil.copy(root/name, source)
    done = python('-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation',
                  '--wheel-dir', tmp_path, source)
    assert done.returncode == 0, done.stderr
    wheel, = tmp_path.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert not [n for n in names if n.endswith('.ipynb') or n.startswith('tests') or '_dev' in n]
    shipped = {str(path.relative_to(root)) for path in (root/'ssr_nb').rglob('*')
               if path.is_file() and '_dev' not in path.parts and '__pycache__' not in path.parts}
    assert shipped <= set(names), shipped - set(names)   # every module, template, script
    assert {'ssr_nb/py.typed', 'ssr_nb/report.html.j2', 'ssr_nb/widgets/static/panel.css'} <= shipped
    place = env/'lib'/f'python3.{sys.version_info.minor}'/'site-packages'
    venv.create(env, with_pip=False)
    (place/'present.pth').write_text(sysconfig.get_paths()['purelib'] + '\n')
    with zipfile.ZipFile(wheel) as archive: archive.extractall(place)   # all that pip does
    clean = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    done = subprocess.run([env/'bin'/'python', '-c', PROGRAM], cwd=tmp_path, env=clean,
                          capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path/'a.png').stat().st_size > 100, done.stderr


HEAVY = {'numba', 'triton', 'plotly', 'ipywidgets', 'anywidget', 'matplotlib', 'trimesh',
         'scipy', 'pandas', 'IPython', 'nbdev', 'fastcore', 'ray'}
ROOMS = ('mesh camera raster render losses shapes voxels data data.split reconstruct siamvp '
         'rules config train').split()
IMPORTS = '''
import importlib, sys, torch, numpy
for name in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(name)
    print(name, *{m.split('.')[0] for m in set(sys.modules) - before})
'''


def test_importing_is_light_and_what_is_heavy_waits():
    done = python('-c', IMPORTS, 'ssr_nb', *(f'ssr_nb.{room}' for room in ROOMS))
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == len(ROOMS) + 1, done.stderr
    for module, *found in lines: assert not HEAVY & set(found), (module, HEAVY & set(found))


def test_ruff_finds_nothing(root):
    done = python('-m', 'ruff', 'check', '--no-cache', 'ssr_nb', 'tests', 'setup.py', cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_mypy_finds_nothing(root):
    done = python('-m', 'mypy', cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_promise_names_tests_that_there_are(root):
    promises = json.loads((root/'nbs'/'D_promises.ipynb').read_text())['cells'][0]
    rows = [row for row in ''.join(promises['source']).split('\n') if row.startswith('|')]
    named = [set(re.findall(r'`(test_\w+)`', row)) for row in rows[2:]]
    assert named and all(named)
    defined = {name for path in (root/'tests').rglob('test_*.py')
               for name in re.findall(r'(?m)^def (test_\w+)\(', path.read_text())}
    assert set().union(*named) <= defined, set().union(*named) - defined
