"Fixtures that the generated tests ask for with `#| each`, and their markers."
import os
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
    from ssr_nb._dev.chapters import ROOT
    return ROOT


@pytest.fixture(scope='session')
def playwright():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as started: yield started


@pytest.fixture(scope='session')
def chromium(playwright):
    from ssr_nb.browser import launch
    return launch(playwright)


@pytest.fixture(scope='session')
def lab(root):
    from ssr_nb.browser import serve_lab
    with serve_lab(root/'nbs') as served: yield served


@pytest.fixture(scope='session')
def chromium_without_webgl(playwright):
    from ssr_nb.browser import launch
    return launch(playwright, webgl=False)


@pytest.fixture(scope='session')
def widgets(chromium, lab):
    from ssr_nb.browser import (
        Tab,
        close_notebook,
        in_kernel,
        lighter,
        open_notebook,
        run_all,
    )
    from ssr_nb._dev.sync import without_claims
    server, folder = lab
    chapter = folder/'15_widgets.ipynb'
    without_claims(chapter)
    lighter(chapter, {'steps=260': 'steps=20', 'iteration < 45': 'iteration < 31',
                      '= built_in_matches()': '= built_in_matches(steps=20)',
                      'while monitor.run.wait(1) in BUSY: monitor.refresh()': ''})
    tab = Tab(chromium, viewport={'width': 1400, 'height': 1000})
    open_notebook(tab, server, '15_widgets.ipynb')
    run_all(tab)
    in_kernel(tab, 'monitor.stop()')  # so that it takes no core from the tests
    yield tab
    close_notebook(tab)


@pytest.fixture(scope='session')
def site(root, tmp_path_factory):
    from ssr_nb.site import build_site
    out = tmp_path_factory.mktemp('book')/'site'
    build_site(root, out)
    return out


@pytest.fixture(scope='session')
def app(root, tmp_path_factory):
    from ssr_nb.browser import serve
    from ssr_nb.site import app_command, app_environment
    folder = tmp_path_factory.mktemp('app')
    command = app_command(root/'nbs'/'app.ipynb', '{port}', '{token}')
    env = app_environment(folder/'template', folder/'kept')
    with serve(command, '/login', env) as server: yield server


def pytest_configure(config):
    config.addinivalue_line('markers', 'slow: takes more than a few seconds')
    config.addinivalue_line('markers', 'browser: needs Chromium; make test-browser')


def pytest_collection_modifyitems(config, items):
    if 'browser' in config.option.markexpr:
        from ssr_nb.browser import find_browser
        try: find_browser()
        except FileNotFoundError as missing: raise pytest.UsageError(str(missing))
        return
    for item in items:
        if item.get_closest_marker('browser'):
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
