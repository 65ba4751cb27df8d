"The shell of widgets: controls, pictures, messages, and front ends joined from modules."
import base64
import io
import json
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image

from ssr_nb.camera import viewpoint_ring
from ssr_nb.core import InputError
from ssr_nb.mesh import icosphere
from ssr_nb.meshio import load_mesh, save_mesh
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.render import render_views
from ssr_nb.widgets import (
    MeshViewer,
    Panel,
    ReconstructionPanel,
    SimilarityExplorer,
    TrainingMonitor,
    ViewpointMatcher,
    decode,
    encode,
    picture,
    slider,
)
from ssr_nb.widgets.controls import MAX_UPLOAD, read_upload
from ssr_nb.widgets.mesh_viewer import MESH_FILES
from ssr_nb.widgets.panel import STATIC, one_thread, script

from matches import noise_matches


def test_a_picture_comes_back_pixel_by_pixel():
    random = np.random.default_rng(0)
    for shape in (5, 7), (4, 6, 3):
        pixels = random.integers(0, 256, shape, np.uint8)
        assert (decode(encode(pixels)) == pixels).all()


def test_other_threads_are_given_back_whatever_happens():
    before = torch.get_num_threads()
    with pytest.raises(KeyError):
        with one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
    assert torch.get_num_threads() == before


def test_a_panel_shows_what_its_function_gives_once_a_state():
    class Ramp(Panel):
        left = slider(0., 0., 1., .1, 'left')
        right = slider(1., 0., 1., .1, 'right')
        ramp = picture('a ramp')
        def show(self):
            if self.left == self.right: raise InputError('left: expected another value than right')
            if self.left > self.right: raise KeyError('no ramp')
            return {'ramp': encode(np.full((2, 3), round(99*self.right), np.uint8)), 'caption': str(self.left)}

    def count_threads(self, shown=Ramp.show):
        self.threads = torch.get_num_threads()
        return shown(self)
    before, Ramp.show = torch.get_num_threads(), count_threads
    torch.set_num_threads(2)
    panel = Ramp()
    assert panel.threads == 1 and torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert panel.frame == 1 and (decode(panel.ramp) == 99).all() and panel.caption == '0.0'
    assert [(c['name'], c['kind']) for c in panel.controls] == [('left', 'slider'), ('right', 'slider')]
    panel.right = .5
    assert panel.frame == 2 and (decode(panel.ramp) == 50).all()
    panel.set_state({'left': .1, 'right': .2})  # both at once, as a drag does
    assert panel.frame == 3 and panel.caption == '0.1'
    with pytest.raises(InputError): panel.left = .2
    assert panel.message == 'left: expected another value than right' and panel.frame == 3
    panel.set_state({'right': .3})
    assert panel.message == '' and panel.frame == 4
    panel.set_state({'left': .3})  # from the browser: said, not raised
    assert panel.message.startswith('left: expected') and panel.frame == 4
    with pytest.raises(KeyError): panel.set_state({'left': .4})  # our own mistake
    assert panel.message.startswith('KeyError')
    for wrong in (2., math.nan, 'x'):
        with pytest.raises(traitlets.TraitError): panel.left = wrong


def test_a_saved_notebook_gets_a_still_picture():
    class Dot(Panel):
        dot = picture('a dot')
        def show(self): return {'dot': encode(np.zeros((4, 4, 3), np.uint8)), 'caption': 'black'}

    data, _ = Dot()._repr_mimebundle_()
    picture_shown = Image.open(io.BytesIO(base64.b64decode(data['image/png']))).convert('L')
    assert data['text/plain'] == 'Dot: black' and 'application/vnd.jupyter.widget-view+json' in data
    assert 100 < picture_shown.width < 600 and .2 < (np.asarray(picture_shown) < 9).mean() < .9


def test_a_file_from_the_browser_is_read_or_refused_in_one_line_that_names_it():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'ball.glb'
        save_mesh(icosphere(1), path); content = path.read_bytes()
    mesh = read_upload('../../Ball.GLB', content, MESH_FILES, load_mesh)
    assert len(mesh.vertices) == 42
    refused = [('ball.exe', content, 'ball.exe: expected a file of .obj'), ('ball', content, 'expected a file'),
               ('empty.obj', b'', 'empty.obj: expected up to 8 MB, found 0 bytes'),
               ('large.obj', bytes(MAX_UPLOAD + 1), 'large.obj: expected up to 8 MB'),
               ('a.obj', b'v 0 0 0\nv 0 0 1\nv 0 1 0\nf 1 2 9\n', 'a.obj, line 4: asks for vertex 9'),
               ('a.glb', b'glTF\x02\x00\x00\x00' + bytes(99), 'a.glb: not '),
               ('../../b.ply', b'ply\nformat ascii 1.0\nelement vertex 9\n', 'b.ply: not ')]
    kept = set(Path(tempfile.gettempdir()).iterdir())
    for name, content, said in refused:
        with pytest.raises(InputError, match=said) as caught: read_upload(name, content, MESH_FILES, load_mesh)
        assert '\n' not in str(caught.value) and tempfile.gettempdir() not in str(caught.value)
    assert not {p for p in set(Path(tempfile.gettempdir()).iterdir()) - kept if list(p.glob('upload*'))}


FRONTS = sorted(path.stem for path in STATIC.glob('*.js'))


def test_a_front_end_is_one_module_that_asks_for_nothing_and_exports_what_is_rendered():
    for name in FRONTS:
        text = script(name)
        assert not re.search(r'^import |\bimport\(|https?:|url\(', text, re.MULTILINE), name
        assert len(re.findall(r'^export default ', text, re.MULTILINE)) == (name not in ('drawing', 'scene')), name
    alone = (STATIC/'mesh.js').read_text()
    assert "from './scene.js'" in alone and 'class Scene' not in alone and 'class Scene' in script('mesh')
    css = Panel._css
    assert 'http' not in css and '@import' not in css and 'url(' not in css


def test_no_two_front_end_modules_define_the_same_name():
    defined = [(name, path.stem) for path in STATIC.glob('*.js') for names in re.findall(
        r'^(?:export )?(?:async )?(?:function|class|const|let) (.*?)(?=[ ({=]+)', path.read_text(), re.MULTILINE) for name in [names]]
    assert len(defined) > 40
    names = [name for name, _ in defined]
    assert sorted(names) == sorted(set(names)), [d for d in defined if names.count(d[0]) > 1]


def test_a_module_that_two_others_import_is_joined_once():
    text = script('matrix')   # panel.js: from matrix.js and from drawing.js
    assert text.count('function make(') == 1 and text.index('function make(') < text.index('function drawing(') < text.index('function matrix(')


def test_a_panel_says_what_to_do_and_what_its_colours_and_symbols_mean():
    m = noise_matches()
    with tempfile.TemporaryDirectory() as folder:
        image = render_views(icosphere(1), viewpoint_ring()[:1], 64, 1)[0]
        model = Reconstructor(1, width=4, hidden=32, features=16).eval()
        panels = [MeshViewer(), ReconstructionPanel(model, image), ViewpointMatcher(m), SimilarityExplorer(m),
                  TrainingMonitor(folder, m.images[:1])]
    for panel in panels: assert panel.hint.endswith('.') and 40 < len(panel.hint) < 160, panel
    assert len({panel.hint for panel in panels}) == 5
    for panel in panels[2:4]: assert list(panel.glossary) == ['S', 'Ŝ', 'τ'] and '45°' in panel.glossary['Ŝ']
    assert [group['title'] for group in panels[3].legend] == ['matrix']


def test_without_the_extra_one_line_says_what_to_install():
    code = 'import sys; sys.modules["anywidget"] = None; import ssr_nb.widgets'
    ended = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1] == ("ImportError: widgets need ipywidgets and anywidget: pip install 'ssr_nb[widgets]'")


def test_front_ends_are_installed_with_the_package(root):
    text = ''.join((root/name).read_text() for name in ('setup.py', 'pyproject.toml') if (root/name).exists())
    assert 'static/*' in text


def test_the_saved_chapter_has_pictures_instead_of_state(root):
    path = root/'nbs'/'C_hands_on.ipynb'
    chapter = json.loads(path.read_text())
    shown = [output['data'] for cell in chapter['cells'] for output in cell.get('outputs', []) if 'data' in output]
    widgets = [data for data in shown if 'application/vnd.jupyter.widget-view+json' in data]
    assert len(widgets) == 7 and all('image/png' in data for data in widgets)
    assert 'widgets' not in chapter['metadata'] and path.stat().st_size < 1e6 and len(chapter['cells']) <= 60
