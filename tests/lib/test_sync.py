"Notebooks become modules and tests; imports go one way; a failure names its cell."
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ssr_nb._dev.chapters import ROOT, chapter_paths, directives
from ssr_nb._dev.imports import FLOOR, imported, late_imports, module_paths, room_of
from ssr_nb._dev.sync import (
    claim_place,
    copy_lessons,
    export_modules,
    export_readme,
    generated_modules,
    indent,
    main,
    stale,
    test_module,
    too_large,
)


def notebook(path: Path, *sources: str) -> Path:
    "A notebook file of code cells."
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def package(root: Path, modules: dict[str, str]) -> Path:
    "A project whose package has these modules, 'a/b' and the like."
    for name, source in {'__init__': '', **modules}.items():
        path = root/'ssr_nb'/f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


def test_only_the_leading_directives_are_taken():
    text = '#| test a b\n#| slow\nx = """\n#| export\n"""'
    assert directives(text) == (['test a b', 'slow'], 'x = """\n#| export\n"""')
    assert directives('x = 1') == ([], 'x = 1')


def test_chapters_have_a_number_or_a_letter_and_come_in_that_order(tmp_path):
    for name in 'index', 'app', 'B_gpu', '13_ring', '00_ssr', 'A_cpu', 'notes_on':
        notebook(tmp_path/'nbs'/f'{name}.ipynb')
    assert [nb.stem for nb in chapter_paths(tmp_path)] == [
        '00_ssr', '13_ring', 'A_cpu', 'B_gpu']


def test_indent_keeps_multi_line_strings():
    assert indent('a = """x\ny"""\nb = 1') == '    a = """x\ny"""\n    b = 1'
    assert indent('a = f"""x\n{1}"""\nb = 1') == '    a = f"""x\n{1}"""\n    b = 1'
    assert indent('a = ("x"\n"y")') == '    a = ("x"\n    "y")'


def test_a_claim_becomes_one_marked_test_with_its_fixture(tmp_path):
    source = test_module(notebook(
        tmp_path/'00_a.ipynb', '#| default_exp a', 'plain = 0', '#| test\nshared = 1',
        '#| test One and one\n#| slow\n#| each device\nassert 1 + 1 == 2'))
    assert 'shared = 1' in source and 'plain' not in source
    assert ('@pytest.mark.slow\ndef test_one_and_one(device):\n'
            '    assert 1 + 1 == 2') in source


def test_claims_import_what_they_need_of_their_module_and_nothing_else(tmp_path):
    source = test_module(notebook(
        tmp_path/'00_a.ipynb', '#| default_exp a.b',
        '#| export\ndef f(): pass\nLIMIT = unused = 1', '#| exporti\ndef _inner(): pass',
        '#| export\ndef here(): pass\ndef mine(): pass', 'def toy(): pass',
        '#| test\nfrom c import here\ndef mine(): return LIMIT',
        '#| test f is found\nunused = 2\nassert [_inner(x) for x in f()] + [toy, unused]'))
    assert 'from ssr_nb.a.b import LIMIT, _inner, f\n' in source


def test_two_claims_of_one_name_are_refused(tmp_path):
    nb = notebook(tmp_path/'00_a.ipynb', '#| test same\npass', '#| test Same!\npass')
    with pytest.raises(ValueError, match='two test_same'): test_module(nb)


def test_a_failing_line_is_found_in_its_cell(tmp_path):
    sources = ('#| test\n\nimport os\nx = 1', '#| test it holds\n#| slow\n\nassert x\nassert not x\n')
    nb = notebook(tmp_path/'nbs'/'00_a.ipynb', *sources)
    text = test_module(nb).split('\n')
    ids = [cell.id for cell in nbformat.read(nb, 4).cells]
    def place(line): return claim_place(text, text.index(line) + 1, tmp_path)
    assert place('    assert not x') == f'nbs/00_a.ipynb, cell {ids[1]}, line 5'
    assert place('    assert x') == f'nbs/00_a.ipynb, cell {ids[1]}, line 4'
    assert place('x = 1') == f'nbs/00_a.ipynb, cell {ids[0]}, line 4'
    assert claim_place(['import os'], 1, tmp_path) == ''


@pytest.mark.slow
def test_pytest_tells_the_cell_and_the_line_of_a_claim_that_fails(tmp_path):
    cells = ('#| test\ndef broken(x):\n    assert x == 2',
             '#| test one is two\n#| slow\nx = 1\nbroken(x)')
    nb = notebook(tmp_path/'nbs'/'00_a.ipynb', *cells)
    (tmp_path/'tests').mkdir()
    (tmp_path/'tests'/'test_00_a.py').write_text(test_module(nb))
    (tmp_path/'tests'/'conftest.py').write_text((ROOT/'tests'/'conftest.py').read_text())
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', tmp_path/'tests'],
        cwd=tmp_path, env={'PYTHONPATH': str(ROOT), 'PATH': ''},
        capture_output=True, text=True)
    ids = [cell.id for cell in nbformat.read(nb, 4).cells]
    assert done.returncode == 1, done.stdout + done.stderr
    for place in f'cell {ids[1]}, line 4', f'cell {ids[0]}, line 3':
        assert f'nbs/00_a.ipynb, {place}' in done.stdout, done.stdout


def test_the_readme_shows_what_a_silent_cell_draws_and_links_from_where_it_stands(tmp_path):
    path = notebook(tmp_path/'nbs'/'index.ipynb', '#| echo: false\nhidden = 1', 'shown = 2')
    nb = nbformat.read(path, 4)
    nb.cells[0].outputs = [nbformat.v4.new_output('stream', text='a line\n')]
    nb.cells.append(nbformat.v4.new_markdown_cell(
        '[one](00_a.ipynb) [two](https://b.c) [three](#d)'))
    nbformat.write(nb, path)
    export_readme(tmp_path)
    readme = (tmp_path/'README.md').read_text()
    assert 'a line' in readme and 'shown = 2' in readme and 'hidden' not in readme
    assert '[one](nbs/00_a.ipynb) [two](https://b.c) [three](#d)' in readme


def test_nothing_generated_is_stale():
    assert stale(ROOT) == []


def test_what_is_written_by_hand_stays_and_what_has_lost_its_chapter_goes(tmp_path):
    package(tmp_path, {'byhand': 'x = 1\n', 'pack/hand': 'y = 1\n',
                       'pack/__init__': 'z = 1\n'})
    notebook(tmp_path/'nbs'/'00_a.ipynb', '#| default_exp pack.made', '#| export\ndef f(): pass')
    notebook(tmp_path/'nbs'/'01_b.ipynb', '#| default_exp gone', '#| export\ndef g(): pass')
    (tmp_path/'settings.ini').write_text((ROOT/'settings.ini').read_text())
    export_modules(tmp_path)
    def made(): return [path.name for path in generated_modules(tmp_path)]
    assert made() == ['gone.py', 'made.py']
    (tmp_path/'nbs'/'01_b.ipynb').unlink()
    export_modules(tmp_path)
    assert made() == ['made.py']
    assert (tmp_path/'ssr_nb'/'byhand.py').read_text() == 'x = 1\n'
    assert (tmp_path/'ssr_nb'/'pack'/'__init__.py').read_text() == 'z = 1\n'


MODULES = {'mesh', 'data', 'data.npz', 'raster', 'raster.cpu', 'cli.train', '__init__'}


@pytest.mark.parametrize('source, found', [
    ('import ssr_nb.mesh', {'mesh'}),
    ('from ssr_nb.mesh import x', {'mesh'}),
    ('from ssr_nb import mesh', {'mesh'}),
    ('from ssr_nb import Mesh', {'__init__'}),
    ('from .mesh import y', {'mesh'}),
    ('from . import mesh', {'mesh'}),
    ('from .data.npz import y', {'data.npz'}),
    ('from .raster import cpu, soft', {'raster.cpu', 'raster'}),
    ('from nbdev.config import z\nimport os', {'nbdev'}),
    ('def late():\n    from .mesh import y', {'mesh'}),
    ('import importlib as i\ni.import_module("ssr_nb.cli.train")', {'cli.train'}),
    ('import_module(".cli.train", __package__)', {'cli.train'}),
    ('import_module(f"{__package__}.mesh")', {'mesh'}),
    ('import_module(__package__ + ".mesh")', {'mesh'}),
    ('__import__("ssr_nb.mesh")', {'mesh'}),
    ('run([sys.executable, "-m", "ssr_nb.cli.train"])', {'cli.train'}),
    ('os.system("python -m ssr_nb.cli.train --resume")', {'cli.train'}),
    ('"Uses ssr_nb.mesh."\nx = 1', set()),
    ('import os', set()),
])
def test_every_way_to_import_is_seen(source, found):
    assert imported(source, 'other', MODULES) == found


def test_relative_imports_are_those_of_the_package_that_they_stand_in():
    assert imported('from .cpu import x\nfrom ..mesh import y', 'raster.other', MODULES) == {
        'raster.cpu', 'mesh'}
    assert imported('from .cpu import x', 'raster', MODULES, is_package=True) == {'raster.cpu'}


def test_imports_go_one_way_at_run_time_too():
    assert late_imports(ROOT) == []


def test_every_module_has_a_room_and_every_room_a_module():
    rooms = {name: room_of(name) for name in module_paths(ROOT)}
    assert [name for name, room in rooms.items() if room is None] == []
    assert set(FLOOR) - set(rooms.values()) == set()


@pytest.mark.parametrize('planted', [
    'from .train import fit', 'def late():\n    import ssr_nb.train',
    'import importlib\nimportlib.import_module("ssr_nb.train")',
    '__import__("ssr_nb.train")', 'words = ["python", "-m", "ssr_nb.train"]'])
def test_an_import_of_a_room_above_is_found_whatever_its_form(tmp_path, planted):
    modules = dict(train='', mesh='import os', camera='from .mesh import x')
    assert late_imports(package(tmp_path, modules)) == []
    assert late_imports(package(tmp_path, modules | {'mesh': planted})) == [('mesh', 'train')]


def test_rooms_know_neither_their_neighbours_nor_the_tools_nor_a_module_without_a_room(tmp_path):
    root = package(tmp_path, {
        'losses': 'import nbdev', 'voxels': 'from . import losses', 'strange': '',
        'cli': 'from ._dev import sync\nfrom ssr_nb import strange',
        '_dev/sync': 'import nbdev\nfrom .. import cli',
        'shapes/a': 'from . import b', 'shapes/b': ''})
    assert late_imports(root) == [('cli', '_dev.sync'), ('cli', 'strange'),
                                  ('losses', 'nbdev'), ('voxels', 'losses')]


def test_lessons_are_the_chapters_without_claims_and_all_that_lies_beside_them(tmp_path):
    (tmp_path/'nbs'/'results').mkdir(parents=True)
    (tmp_path/'nbs'/'results'/'a.csv').write_text('a\n1\n')
    shared, claim, plain = '#| test\nimport math', '#| test one is one\nassert 1 == 1', 'x = 1'
    notebook(tmp_path/'nbs'/'00_a.ipynb', shared, claim, plain)
    copy_lessons(tmp_path, tmp_path/'lessons')
    def sources(folder):
        cells = json.loads((tmp_path/folder/'00_a.ipynb').read_text())['cells']
        return [''.join(cell['source']) for cell in cells]
    assert sources('lessons') == [shared, plain] and sources('nbs') == [shared, claim, plain]
    assert (tmp_path/'lessons'/'results'/'a.csv').read_text() == 'a\n1\n'
    with pytest.raises(FileExistsError): copy_lessons(tmp_path, tmp_path/'nbs')
    with pytest.raises(SystemExit, match='--lessons'): main(['--lessons', str(tmp_path)])


def test_the_notebooks_stay_small():
    assert too_large(ROOT) == []


def test_what_has_grown_too_large_is_named(tmp_path):
    size = notebook(tmp_path/'nbs'/'00_a.ipynb', 'x = 1').stat().st_size
    assert too_large(tmp_path, each=size, total=size) == []
    assert too_large(tmp_path, each=size - 1, total=size - 1) == [
        f'nbs/00_a.ipynb: {size:,} bytes, at most {size - 1:,}',
        f'nbs: {size:,} bytes, at most {size - 1:,}']
