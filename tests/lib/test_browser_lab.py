"The driver itself: a dial in JupyterLab, and what goes wrong with it."
import sys

import nbformat
import numpy as np
import pytest

from ssr_nb._dev.lab import (
    Tab,
    close_notebook,
    expect,
    expect_picture,
    find_browser,
    in_kernel,
    is_labs_own,
    open_notebook,
    outside,
    patch_cells,
    run_all,
    serve,
    write_notebook,
)


def test_the_browser_is_the_one_that_is_named():
    with pytest.MonkeyPatch.context() as m:
        m.setenv('SSR_BROWSER', sys.executable)
        assert find_browser() == sys.executable
        m.setenv('SSR_BROWSER', '/no/such/browser')
        with pytest.raises(FileNotFoundError, match='SSR_BROWSER: /no/such/browser'): find_browser()
        m.delenv('SSR_BROWSER'); m.setenv('PATH', '/no/such/folder')
        with pytest.raises(FileNotFoundError, match='apt-get install chromium'): find_browser()


def test_an_error_is_jupyterlabs_own_where_only_its_bundles_were_running():
    lab = "NotFoundError: not a child of this node.\n    at e.detach (http://127.0.0.1:1/static/lab/9.js:1:2)\n    at http://127.0.0.1:1/static/lab/3.js:4:5"
    assert is_labs_own(lab)
    for ours in (lab + '\n    at link.set (blob:http://127.0.0.1:1/ab-12:7:9)', 'TypeError: null\n    at http://127.0.0.1:1/lab/extensions/anywidget/static/1.js:2:3', 'Error: without a stack'):
        assert not is_labs_own(ours)


def test_only_this_machine_is_inside():
    inside = ['http://127.0.0.1:8888/lab', 'ws://127.0.0.1/api', 'data:image/png;base64,AA', 'blob:null/1', 'file:///a.html']
    assert outside(inside) == []
    for url in ('https://cdn.jsdelivr.net/a.js', 'http://127.0.0.1.evil.com/', 'wss://a.b', 'ftp://127.0.0.1/a'):
        assert outside(inside + [url]) == [url]


def test_a_server_that_does_not_come_up_says_why():
    command = [sys.executable, '-c', 'raise SystemExit("no room left")']
    with pytest.raises(RuntimeError, match='no room left'):
        with serve(command, '/', {}): pass


def test_a_patched_chapter_does_less_and_a_chapter_that_has_changed_is_noticed(tmp_path):
    path = tmp_path/'a.ipynb'
    write_notebook(path, 'def f(steps=99): return steps', 'f()')
    patch_cells(path, {'steps=99': 'steps=2'})
    assert nbformat.read(path, 4).cells[0].source == 'def f(steps=2): return steps'
    with pytest.raises(ValueError, match="a.ipynb: 0 cells with 'steps=99'"):
        patch_cells(path, {'steps=99': 'steps=3'})


DIAL = '''
import anywidget, traitlets
class Dial(anywidget.AnyWidget):
    value = traitlets.Int(0).tag(sync=True)
    _esm = """export default { render({model, el}) {
      const slider = Object.assign(document.createElement('input'), {type: 'range', min: 0, max: 8, value: model.get('value')});
      slider.setAttribute('data-lm-suppress-shortcuts', 'true');
      const canvas = Object.assign(document.createElement('canvas'), {width: 8, height: 1});
      const draw = () => {
        const pen = canvas.getContext('2d');
        pen.fillStyle = 'black'; pen.fillRect(0, 0, 8, 1);
        pen.fillStyle = 'white'; pen.fillRect(0, 0, model.get('value'), 1);
      };
      slider.addEventListener('input', () => { model.set('value', slider.valueAsNumber); model.save_changes(); });
      model.on('change:value', () => { slider.value = model.get('value'); draw(); }); draw();
      const dial = document.createElement('div'); dial.className = 'dial';
      dial.append(slider, canvas); el.append(dial);
    } };"""
dial = Dial(); dial
'''


def lit(value):
    "What a dial shows."
    return 255*(np.arange(8) < value)[None]


@pytest.mark.browser
def test_keys_reach_a_widget_and_its_picture_and_python(chromium, lab):
    server, folder = lab
    name = write_notebook(folder/'dial.ipynb', DIAL)
    tab = Tab(chromium)
    open_notebook(tab, server, name); run_all(tab)
    slider, canvas = tab.page.locator('.dial input'), tab.page.locator('.dial canvas')
    expect_picture(canvas, lit(0))
    slider.focus()
    for _ in range(3): tab.page.keyboard.press('ArrowRight')
    expect_picture(canvas, lit(3))
    expect(lambda: in_kernel(tab, 'dial.value'), '3')
    in_kernel(tab, 'setattr(dial, "value", 5)')
    expect_picture(canvas, lit(5))
    tab.check()
    close_notebook(tab)


@pytest.mark.browser
def test_what_breaks_is_noticed(chromium, lab):
    server, folder = lab
    name = write_notebook(folder/'broken_dial.ipynb', DIAL)
    tab = Tab(chromium)
    open_notebook(tab, server, name); run_all(tab)
    slider, canvas = tab.page.locator('.dial input'), tab.page.locator('.dial canvas')
    with pytest.raises(AssertionError, match='a pixel is 255 of 255 off'): expect_picture(canvas, lit(1), within=.5)
    def down_and_right():
        slider.focus()
        for key in ('ArrowDown', 'ArrowRight'): tab.page.keyboard.press(key)
    down_and_right(); expect_picture(canvas, lit(1))
    in_kernel(tab, 'setattr(dial, "value", 0)'); expect_picture(canvas, lit(0))
    slider.evaluate('slider => slider.removeAttribute("data-lm-suppress-shortcuts")')
    down_and_right()
    with pytest.raises(AssertionError): expect_picture(canvas, lit(1), within=1)
    tab.check()
    tab.page.evaluate('() => fetch("https://example.com/font.woff").catch(() => null)')
    with pytest.raises(AssertionError, match='left this machine'): tab.check()
    tab.page.evaluate('() => { setTimeout(() => { throw Error("broken") }) }')
    with pytest.raises(AssertionError, match='broken'): tab.check()
    close_notebook(tab)
    name = write_notebook(folder/'failing.ipynb', 'raise KeyError("no such cell")')
    tab = Tab(chromium)
    open_notebook(tab, server, name)
    with pytest.raises(AssertionError, match='KeyError.*no such cell'): run_all(tab)
    close_notebook(tab)
