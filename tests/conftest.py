"Fixtures that tests share (a claim asks for one with `#| each`), and what a failure says."
import os
import secrets
from pathlib import Path

import matplotlib
import pytest
import torch

matplotlib.use('agg')
if not torch.cuda.is_available():  # before anything imports triton
    os.environ.setdefault('TRITON_INTERPRET', '1')
cuda = pytest.param('cuda', marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no GPU'))


@pytest.fixture(params=['cpu', cuda])
def device(request): return request.param


@pytest.fixture(scope='session')
def root():
    "The project."
    from ssr_nb._dev.chapters import ROOT
    return ROOT


@pytest.fixture(scope='session')
def rifles(tmp_path_factory):
    "A data set of six built-in rifles."
    from ssr_nb.data import make_dataset
    folder = tmp_path_factory.mktemp('data')/'shapes'
    make_dataset(folder, categories=['rifle'], count=6)
    return folder


@pytest.fixture(scope='session')
def playwright():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as started: yield started


@pytest.fixture(scope='session')
def chromium(playwright):
    from ssr_nb._dev.lab import launch
    return launch(playwright)


@pytest.fixture(scope='session')
def chromium_without_webgl(playwright):
    from ssr_nb._dev.lab import launch
    return launch(playwright, webgl=False)


@pytest.fixture(scope='session')
def lab(root):
    "JupyterLab on a copy of the notebooks: the server, and the folder it serves."
    from ssr_nb._dev.lab import serve_lab
    with serve_lab(root/'nbs') as served: yield served


WIDGETS = 'C_hands_on.ipynb'
NAMES = """
import numpy as np
import torch
from dataclasses import replace
from pathlib import Path
from ssr_nb.data import load_image
from ssr_nb.data.image import open_picture
from ssr_nb.render import render_views
from ssr_nb.widgets import *
from ssr_nb.widgets.controls import decode, on_white
from ssr_nb.widgets.explorer import ExplorerState, explore, heat_image
from ssr_nb.widgets.matching import MatchState, match, scene_svg
from ssr_nb.widgets.mesh_viewer import Look, mesh_scene
from ssr_nb.widgets.monitor import chosen_snapshots, film_strip
from ssr_nb.widgets.reconstruction import as_picture, cut, framed_square, sample_pictures, silhouette_sheet
"""   # what the tests ask the kernel for


@pytest.fixture(scope='session')
def shared_widgets(chromium, lab):
    "The chapter of the widgets, run in JupyterLab with less work for its networks."
    from ssr_nb._dev.lab import (
        Tab,
        close_notebook,
        in_kernel,
        open_notebook,
        patch_cells,
        run_all,
    )
    from ssr_nb._dev.sync import without_claims
    server, folder = lab
    chapter = folder/WIDGETS
    without_claims(chapter)
    patch_cells(chapter, {
        'steps=260': 'steps=20', 'iteration < 45': 'iteration < 31',
        '= built_in_matches()': '= built_in_matches(steps=20)',
        "while monitor.run.wait(1) in BUSY: monitor.refresh()": ''})
    tab = Tab(chromium, viewport={'width': 1400, 'height': 1000})
    open_notebook(tab, server, WIDGETS)
    run_all(tab)
    in_kernel(tab, f'exec({NAMES!r})')
    in_kernel(tab, 'monitor.stop()')  # so that it takes no core from the tests
    yield tab
    close_notebook(tab)


@pytest.fixture
def widgets(shared_widgets):
    "The chapter of the widgets, in front of other tabs: a hidden page is not laid out anew."
    shared_widgets.page.bring_to_front()
    return shared_widgets


@pytest.fixture(scope='session')
def site(root, tmp_path_factory):
    "The book as a site."
    from ssr_nb._dev.site import build_site
    out = tmp_path_factory.mktemp('book')/'site'
    build_site(root, out)
    return out


@pytest.fixture(scope='session')
def app(root, tmp_path_factory):
    "The app, served by Voila."
    from ssr_nb._dev.lab import serve
    from ssr_nb.widgets.app import app_command, app_environment
    folder, token = tmp_path_factory.mktemp('app'), secrets.token_hex(16)
    env = app_environment(folder/'settings', folder/'kept', token)
    command = app_command(root/'nbs'/'app.ipynb', '{port}')
    with serve(command, '/login', env, token) as server: yield server


def pytest_addoption(parser):
    parser.addoption('--browser', action='store_true',
                     help='also what needs Chromium (or: -m browser)')


def pytest_collection_modifyitems(config, items):
    in_browser = [item for item in items if item.get_closest_marker('browser')]
    if config.option.browser or config.option.markexpr == 'browser':
        from ssr_nb._dev.lab import find_browser
        try: find_browser()
        except FileNotFoundError as missing: raise pytest.UsageError(str(missing)) from None
        return
    for item in in_browser:
        item.add_marker(pytest.mark.skip(reason='in a real browser: make test-browser'))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    "Below a claim that fails: the notebook, the cell and the line to look at."
    report = yield
    if call.excinfo and report.failed:
        from ssr_nb._dev.sync import claim_place
        lines = item.path.read_text(encoding='utf-8').split('\n')
        for entry in call.excinfo.traceback:
            if Path(entry.path) != item.path: continue
            if place := claim_place(lines, entry.lineno + 1, item.path.parents[1]):
                report.sections.append(('in the chapter', place))
    return report
