"What `import ssr_nb` offers, and what it costs."
import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import ssr_nb


@pytest.mark.parametrize('name', ssr_nb.__all__)
def test_a_name_of_the_face_is_that_of_its_module(name):
    home = import_module(f'ssr_nb.{ssr_nb.HOMES[name]}')
    assert getattr(ssr_nb, name) is getattr(home, name)


def test_editors_and_the_program_are_told_the_same():
    tree = ast.parse(Path(ssr_nb.__file__).read_text(encoding='utf-8'))
    told = {alias.name: node.module for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level for alias in node.names}
    assert told == ssr_nb.HOMES
    assert sorted(ssr_nb.__all__) == sorted(ssr_nb.HOMES)
    assert set(ssr_nb.__all__) <= set(dir(ssr_nb))


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match='nonesuch'): ssr_nb.nonesuch  # noqa: B018


def test_importing_the_package_imports_neither_torch_nor_numpy():
    program = ('import sys; before = set(sys.modules); import ssr_nb; '
               'print(*{m.split(".")[0] for m in set(sys.modules) - before})')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert 'ssr_nb' in done.stdout.split(), done.stderr
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names) - {'ssr_nb'}
    assert foreign == set()


def test_types_are_shipped():
    assert (Path(ssr_nb.__file__).parent/'py.typed').exists()


def test_a_mesh_of_the_face_draws_itself():
    program = ('import ssr_nb; bundle = ssr_nb.icosphere(1)._repr_mimebundle_(); '
               'print(*bundle)')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert 'image/png' in done.stdout.split(), done.stderr
