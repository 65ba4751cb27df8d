"The app: heard on this machine alone, by those who know its token."
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import nbformat
import psutil
import pytest
import torch

from ssr_nb._dev.lab import Tab, expect, expect_picture, panel, press
from ssr_nb.shapes import make_shape
from ssr_nb.widgets.mesh_viewer import OBJECTS, Look, mesh_scene


@pytest.mark.browser
def test_the_app_shows_the_mesh_viewer_to_those_who_know_the_token(chromium, app):
    assert 'login' in chromium.new_page().goto(app.url).url
    tab = Tab(chromium, viewport={'width': 1200, 'height': 900})
    tab.page.goto(f'{app.url}/?token={app.token}')
    viewer = panel(tab, 'soft')
    viewer.wait_for()
    car = make_shape('car', torch.Generator().manual_seed(OBJECTS['car']))
    soft = viewer.get_by_test_id('soft')
    press(tab, viewer.get_by_test_id('azimuth'), 'ArrowRight', 4)
    expect_picture(soft, mesh_scene(car, car, Look(azimuth=149., sigma=1e-3)).pixels)
    viewer.get_by_test_id('home').click()
    expect_picture(soft, mesh_scene(car, car, Look(azimuth=145., sigma=1e-3)).pixels)
    expect(tab.page.get_by_role('tab').all_text_contents, ['Mesh', 'Image to mesh', 'Viewpoint', 'Matrix', 'Training'])
    tab.page.get_by_role('tab', name='Training').click()
    start = tab.page.get_by_test_id('start')
    start.wait_for(); start.click()
    caption = panel(tab, 'film').get_by_test_id('caption')
    expect(lambda: 'Running; iteration' in caption.text_content(), True, within=240)
    tab.page.get_by_test_id('stop').click()
    expect(lambda: caption.text_content().startswith('Stopped;'), True, within=120)
    tab.check(); tab.context.close()


@pytest.mark.browser
def test_the_app_is_heard_on_this_machine_alone_and_turns_others_away(app):
    def answer(path):
        try:
            with urllib.request.urlopen(app.url + path) as reply:
                return reply.status, reply.url
        except urllib.error.HTTPError as refusal: return refusal.code, ''
    port = urllib.parse.urlparse(app.url).port
    heard = {c.laddr.ip for c in psutil.net_connections('tcp')
             if c.status == 'LISTEN' and c.laddr.port == port}
    assert heard == {'127.0.0.1'}
    for path in '/', '/api/kernels', '/api/kernels?token=guess', '/voila/files/app.ipynb':
        code, where = answer(path)
        assert code in (401, 403, 404) or '/login' in where, (path, code, where)
    assert answer(f'/?token={app.token}') == (200, f'{app.url}/?token={app.token}')
    for path in 'app.ipynb', '../settings.ini', '%2e%2e/settings.ini':
        assert answer(f'/voila/files/{path}?token={app.token}')[0] in (403, 404), path


@pytest.mark.browser
def test_ending_the_app_ends_its_server_and_its_kernels_and_no_command_line_tells_the_token(
        tmp_path):
    from ssr_nb._dev.lab import free_port
    notebook = tmp_path/'one_cell.ipynb'
    cell = nbformat.v4.new_code_cell("print('a cell', 'ran')")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), notebook)
    words = ['--notebook', notebook, '--folder', tmp_path/'app', '--port', str(free_port())]
    app = subprocess.Popen([sys.executable, '-m', 'ssr_nb.widgets.app', *words],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    address = app.stdout.readline().strip()
    def page():
        try:
            with urllib.request.urlopen(address) as reply:
                return 'a cell ran' in reply.read().decode()
        except urllib.error.URLError: return False
    expect(page, True, within=120)
    children = psutil.Process(app.pid).children(recursive=True)
    assert any('ipykernel' in ' '.join(child.cmdline()) for child in children)
    token = address.partition('token=')[2]
    assert len(token) > 20
    for process in (psutil.Process(app.pid), *children):
        assert token not in ' '.join(process.cmdline())
    app.send_signal(signal.SIGTERM)
    assert app.wait(30) == 0
    expect(lambda: [c for c in children if c.is_running()
                    and c.status() != psutil.STATUS_ZOMBIE], [])
