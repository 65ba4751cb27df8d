"ssr_data: a data set is made, checked and listed."
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from commands import answers_without_torch, done, refused, shell, write_data

from ssr_nb.cli.data import main
from ssr_nb.meshio import save_mesh
from ssr_nb.shapes import make_shape


@pytest.mark.slow
def test_a_data_set_is_made_checked_and_listed_from_the_shell(tmp_path):
    d = tmp_path/'shapes'
    assert '| plane | plane | train | 2 |' in done(main, 'make', d, '--categories', 'plane', '--count', 4)
    assert 'no problems' in done(main, 'check', d) and '| test | 1 |' in done(main, 'info', d)
    file = d/'plane_test_images.npz'; file.write_bytes(file.read_bytes()[:999])
    code, out, err = shell(main, 'check', d)
    assert code == 2 and str(file) in out and err.startswith(f'ssr_data: {d}: problems: ') and err.count('\n') == 1
    assert str(file) in refused(main, 'info', d, within=tmp_path)


def test_files_as_kato_et_al_name_them_are_listed_by_word_and_number(tmp_path):
    write_data(tmp_path, '02691156')
    assert 'no problems' in done(main, 'check', tmp_path) and '| 02691156 | plane | train | 5 |' in done(main, 'info', tmp_path)


def test_meshes_of_your_own_become_a_data_set(tmp_path):
    meshes = tmp_path/'meshes'/'mug'; meshes.mkdir(parents=True)
    for n in range(4): save_mesh(make_shape('lamp', torch.Generator().manual_seed(n)), meshes/f'{n}.obj')
    (meshes/'bad.obj').write_text('v 0 0 0\n')
    out = done(main, 'make', tmp_path/'d', '--meshes', meshes.parent)
    assert '| mug | mug | train | 2 |' in out and 'left out: ' in out and 'bad' in out


def test_libraries_of_furniture_become_a_data_set_and_what_is_left_out_is_said(tmp_path):
    library, mesh = tmp_path/'a.sh3f', tmp_path/'m.obj'
    with zipfile.ZipFile(library, 'w') as archive:
        lines = ['license=CC0']
        for n, name in enumerate(('Oak chair', 'Chair', 'Armchair', 'Chair', 'Vase', 'Vase', 'Vase'), 1):
            save_mesh(make_shape('chair', torch.Generator().manual_seed(n)), mesh)
            archive.write(mesh, f'{n}/m.obj')
            lines += [f'name#{n}={name}', f'model#{n}={n if n != 4 else 9}/m.obj', f'creator#{n}=me']
        archive.writestr('PluginFurnitureCatalog.properties', '\n'.join(lines))
    out = done(main, 'make', tmp_path/'d', '--meshes', library)
    assert '| chair | chair | train | 1 |' in out and 'left out: 3 models' in out
    assert 'left out: Chair: 9/m.obj: not in the library' in out
    again = shutil.copy(library, tmp_path/'b.sh3f')
    out = done(main, 'make', tmp_path/'e', '--meshes', library, again, '--kinds', 'pot=vase,jar', '--categories', 'pot')
    assert '| pot | pot | train |' in out and 'left out' not in out
    library.write_bytes(b'PK')
    assert 'a.sh3f: not a readable .sh3f' in refused(main, 'make', tmp_path/'f', '--meshes', library, within=tmp_path)


def test_data_answers_without_torch(tmp_path):
    (tmp_path/'full').mkdir(); (tmp_path/'full'/'mine').touch()
    answers_without_torch('data', ['make', tmp_path/'full'], ['make', tmp_path/'d', '--categories', 'chiar'], ['make', tmp_path/'d', '--count', 2],
                          ['make', tmp_path/'d', '--meshes', tmp_path/'absent'], ['check', tmp_path/'absent'], ['info', tmp_path/'absent'], ['mak'],
                          ['make', tmp_path/'d', '--sede', 3])
    assert [f.name for f in tmp_path.iterdir()] == ['full']


def test_making_a_data_set_refuses_what_it_cannot_do_and_leaves_nothing_behind(tmp_path):
    (tmp_path/'full').mkdir(); (tmp_path/'full'/'mine').touch(); (tmp_path/'none').mkdir()
    def say(*words): return refused(main, *words, within=tmp_path)
    d = tmp_path/'d'
    assert 'full' in say('make', tmp_path/'full', '--count', '4') and 'full' in say('make', tmp_path/'full'/'mine')
    assert 'unicorn' in say('make', d, '--categories', 'unicorn') and '(did you mean chair?)' in say('make', d, '--categories', 'chiar')
    assert '--count' in say('make', d, '--count', '2')
    assert 'none' in say('make', d, '--meshes', tmp_path/'none')
    assert 'absent' in say('make', d, '--meshes', tmp_path/'absent') and 'no path' in say('make', d, '--meshes')
    assert say('info', tmp_path/'none').endswith('none: no <name>_<split>_images.npz in it\n')
    assert 'absent' in say('info', tmp_path/'absent') and 'absent' in say('check', tmp_path/'absent')
    assert 'check' in say() and 'count' in say('make', d, '--count', 'many')


def test_a_data_set_is_made_in_the_folder_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert '| plane | plane | train | 1 |' in done(main, 'make', '.', '--categories', 'plane', '--count', 3)
    assert Path('plane_train_images.npz').is_file()


@pytest.mark.parametrize('up', ['+w', 'yy', ''])
def test_an_axis_that_is_none_is_refused(tmp_path, up):
    assert '--up: expected +x' in refused(main, 'make', tmp_path/'d', '--categories', 'plane', '--count', 3, '--up', up, within=tmp_path)
