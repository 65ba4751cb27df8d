"JupyterLab, Voila and the site, operated in a real Chromium by Playwright."
import contextlib
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Playwright

__all__ = ['Server', 'Tab', 'array_in_kernel', 'close_notebook', 'expect',
           'expect_picture', 'find_browser', 'in_kernel', 'launch', 'open_notebook',
           'open_saved', 'page_flaws', 'panel', 'patch_cells', 'press', 'run_all',
           'serve', 'serve_lab', 'shown', 'widget_notebooks', 'write_notebook']


BROWSERS = ('chromium', 'chromium-browser', 'google-chrome',
            'google-chrome-stable', 'microsoft-edge')


def find_browser() -> str:  # path of its executable
    "The browser that $SSR_BROWSER names, or the first one on the PATH."
    named = os.environ.get('SSR_BROWSER')
    if named and not shutil.which(named):
        raise FileNotFoundError(f'SSR_BROWSER: {named} is no program')
    found = (shutil.which(name) for name in ([named] if named else BROWSERS))
    if path := next(filter(None, found), None): return path
    raise FileNotFoundError(
        'no browser: install Chromium (Debian, Ubuntu: apt-get install '
        'chromium), or let SSR_BROWSER name a Chromium or Chrome')


FLAGS = ('--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync',
         '--disable-background-networking', '--disable-component-update',
         '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1')
NO_WEBGL = ('--disable-webgl', '--disable-webgl2', '--disable-3d-apis')


def launch(
    playwright: 'Playwright',  # started
    webgl: bool = True,        # False: no WebGL at all
) -> 'Browser':
    "A headless Chromium that asks nobody for anything."
    return playwright.chromium.launch(
        executable_path=find_browser(),
        args=[*FLAGS, *(() if webgl else NO_WEBGL)])


@contextlib.contextmanager
def open_browser() -> Iterator['Browser']:
    "A browser, until the end of the block."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright: yield launch(playwright)


def outside(
    urls: list[str],  # what a page asked for
) -> list[str]:       # those that leave this machine
    "URLs of other machines."
    def is_inside(url: str) -> bool:
        parts = urlsplit(url)
        if parts.scheme in ('http', 'https', 'ws', 'wss'):
            return parts.hostname == '127.0.0.1'
        return parts.scheme in ('file', 'data', 'blob', 'about')
    return [url for url in urls if not is_inside(url)]


def is_labs_own(
    stack: str,   # of an exception in a page
) -> bool:
    """Whether only JupyterLab's bundles were running. Its toolbars move their
    buttons twice when a window is resized under load, and fail to remove one
    ("removeChild ... is not a child of this node"). Our modules are blobs."""
    frames = [line for line in stack.splitlines() if line.strip().startswith('at ')]
    return bool(frames) and all('/static/lab/' in frame for frame in frames)


class Tab:
    "A page that notes what it asks for and what goes wrong in it."
    def __init__(self, browser: 'Browser', **options: Any):
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(120_000)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.context.on('request', lambda r: self.requests.append(r.url))
        self.page.on('websocket', lambda w: self.requests.append(w.url))
        self.page.on('pageerror', self.note_error)
        self.page.on('console', self.note)

    def note(self, message: 'ConsoleMessage') -> None:
        "Keep an error that the page writes to its console."
        if message.type == 'error': self.errors.append(message.text)

    def note_error(self, error: 'Error') -> None:
        "Keep an exception, with its stack, unless it is JupyterLab's alone."
        stack = error.stack or str(error)
        if not is_labs_own(stack): self.errors.append(stack)

    def check(
        self,
        but: str = '',  # words of an error that is somebody else's
    ) -> None:
        "AssertionError if a request left this machine or anything failed."
        self.page.wait_for_timeout(100)  # what is under way is noted
        left = outside(self.requests)
        errors = [error for error in self.errors if not but or but not in error]
        self.requests.clear()
        self.errors.clear()
        assert not left, f'left this machine: {left}'
        assert not errors, f'errors in the page: {errors}'


PIXELS = '''async element => {
  if (element.decode) await element.decode();
  const canvas = document.createElement('canvas');
  canvas.width = element.naturalWidth || element.width;
  canvas.height = element.naturalHeight || element.height;
  canvas.getContext('2d').drawImage(element, 0, 0);
  return canvas.toDataURL('image/png').split(',')[1];
}'''


def shown(
    locator: 'Locator',  # of an <img> or a <canvas>
) -> np.ndarray:   # (H, W, 4) RGBA, 0 to 255
    "The pixels of a picture in the page."
    png = b64decode(locator.evaluate(PIXELS))
    return np.asarray(Image.open(io.BytesIO(png)).convert('RGBA'))


def expect_picture(
    locator: 'Locator',    # of an <img> or a <canvas>
    expected: np.ndarray,  # (H, W), (H, W, 3) or (H, W, 4), 0 to 255
    within: float = 30.0,  # seconds
    tolerance: int = 1,    # of 255, at every pixel
) -> None:
    "Wait until the page shows this picture, or AssertionError."
    expected = np.asarray(expected).astype(int)
    if expected.ndim == 2: expected = expected[..., None].repeat(3, -1)
    channels, off = expected.shape[-1], 'nothing was shown'
    end = time.monotonic() + within
    while time.monotonic() < end:
        now = shown(locator)[..., :channels].astype(int)
        if now.shape != expected.shape:
            off = f'its shape is {now.shape}, not {expected.shape}'
        elif (worst := abs(now - expected).max()) <= tolerance: return
        else: off = f'a pixel is {worst} of 255 off'
        time.sleep(.05)
    raise AssertionError(f'not the picture expected: {off}')


def expect(
    ask: Callable[[], Any],  # asked again and again
    value: Any,              # what it should come to
    within: float = 30.0,    # seconds
) -> None:
    "Wait until ask() gives this value, or AssertionError."
    end = time.monotonic() + within
    while (last := ask()) != value and time.monotonic() < end:
        time.sleep(.05)
    assert last == value, f'{last!r}, not {value!r}'


@dataclass(frozen=True)
class Server:
    url: str    # http://127.0.0.1:port
    token: str


def free_port() -> int:
    "A port of 127.0.0.1 that nobody listens on."
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


def answers(
    url: str,
) -> int | None:  # HTTP status; None when nobody listens
    "What a server answers to GET, redirections followed."
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try: return int(direct.open(url, timeout=5).status)
    except urllib.error.HTTPError as refused: return refused.code
    except OSError: return None


@contextlib.contextmanager
def serve(
    command: list[str],     # with {port} and {token} to be filled in
    alive: str,             # a path that answers once the server is up
    env: dict[str, str],    # environment, added to ours
    token: str = '',        # nothing: a new one
    within: float = 180.0,  # seconds to come up
) -> Iterator[Server]:
    "Run a server until the end of the block."
    port, token = free_port(), token or secrets.token_hex(16)
    server = Server(f'http://127.0.0.1:{port}', token)
    words = [w.format(port=port, token=token) for w in command]
    with tempfile.TemporaryFile('w+') as log:
        process = subprocess.Popen(words, env={**os.environ, **env},
                                   stdout=log, stderr=log)
        try:
            wait_for(process, f'{server.url}{alive}', log, within)
            yield server
        finally:
            process.terminate()
            process.wait()


def wait_for(
    process: subprocess.Popen[Any],  # a server
    url: str,                   # what it should answer
    log: IO[str],               # what it has said so far
    within: float,              # seconds
) -> None:
    "RuntimeError with the server's own words if it does not come up."
    end = time.monotonic() + within
    while time.monotonic() < end and process.poll() is None:
        if answers(url) is not None: return
        time.sleep(.2)
    log.seek(0)
    raise RuntimeError(f'{process.args!s:.200} did not come up:\n{log.read()}')


SETTINGS = {
    'notebook-extension/tracker': {'windowingMode': 'none'},
    'docmanager-extension/plugin': {'autosave': False},
    'apputils-extension/notification': {
        'fetchNews': 'false', 'checkForUpdates': False,
        'doNotDisturbMode': True}}


def write_settings(
    folder: Path,    # JupyterLab's folder of user settings
    **themes: str,   # theme='JupyterLab Dark'
) -> None:
    "JupyterLab as the tests need it."
    all_settings = {**SETTINGS, 'apputils-extension/themes': themes}
    for plugin, values in all_settings.items():
        path = folder/'@jupyterlab'/f'{plugin}.jupyterlab-settings'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


@contextlib.contextmanager
def serve_lab(
    nbs: Path,    # notebooks; a copy is served
    **themes: str,  # theme='JupyterLab Dark'
) -> Iterator[tuple[Server, Path]]:  # and the folder that it serves
    "JupyterLab on a copy of the notebooks, until the end of the block."
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        shutil.copytree(nbs, tmp/'nbs')
        write_settings(tmp/'settings', **themes)
        env = {f'JUPYTER{name}': str(tmp/place) for name, place in (
            ('LAB_SETTINGS_DIR', 'settings'), ('LAB_WORKSPACES_DIR', 'work'),
            ('_CONFIG_DIR', 'config'), ('_RUNTIME_DIR', 'runtime'))}
        options = {'ServerApp.ip': '127.0.0.1', 'ServerApp.port': '{port}',
                   'ServerApp.port_retries': 0,
                   'IdentityProvider.token': '{token}',
                   'ServerApp.root_dir': tmp/'nbs',
                   'LabApp.expose_app_in_browser': True,
                   'LabApp.extension_manager': 'readonly'}
        command = [sys.executable, '-m', 'jupyterlab', '--no-browser',
                   '--allow-root', *(f'--{k}={v}' for k, v in options.items())]
        with serve(command, '/api', env) as server: yield server, tmp/'nbs'


READY = '''async () => {
  const {context, revealed} = jupyterapp.shell.currentWidget;
  await Promise.all([context.ready, context.sessionContext.ready, revealed]);
  const {kernel} = context.sessionContext.session ?? {};
  if (kernel) await kernel.info;
}'''


def open_notebook(
    tab: Tab,        # where
    server: Server,  # JupyterLab
    name: str,       # path of the notebook, as the server sees it
) -> None:
    "Open a notebook and wait until its kernel is ready."
    tab.page.goto(f'{server.url}/lab/workspaces/{uuid.uuid4().hex}'
                  f'/tree/{name}?token={server.token}')
    tab.page.wait_for_function(
        'name => window.jupyterapp?.shell.currentWidget?.context?.path'
        ' === name', arg=name)
    tab.page.evaluate(READY)


FAILED = '''() => jupyterapp.shell.currentWidget.model.sharedModel.toJSON()
  .cells.flatMap(cell => cell.outputs ?? [])
  .filter(output => output.output_type === 'error')
  .map(output => `${output.ename}: ${output.evalue}`)'''


def run_all(
    tab: Tab,            # shows a notebook
    within: float = 900, # seconds
) -> None:
    "Run every cell. AssertionError names the exceptions of those that fail."
    tab.page.evaluate('''seconds => Promise.race([
      jupyterapp.commands.execute('notebook:run-all-cells'),
      new Promise((_, fail) => setTimeout(
        () => fail('cells still run'), 1000*seconds))])''', within)
    assert not (failed := tab.page.evaluate(FAILED)), failed


EXECUTE = '''async code => {
  const {kernel} = jupyterapp.shell.currentWidget.context.sessionContext.session;
  const future = kernel.requestExecute({code, store_history: false});
  let said = '';
  future.onIOPub = ({content}) => {
    said += content.text ?? content.traceback?.join('\\n') ?? '';
  };
  await future.done;
  return said;
}'''


def in_kernel(
    tab: Tab,         # shows a notebook
    expression: str,  # Python, in the notebook's variables
) -> str:             # what print(expression) prints
    "Ask the kernel of the notebook."
    return str(tab.page.evaluate(EXECUTE, f'print({expression})')).strip()


def write_notebook(
    path: Path,      # of the notebook
    *sources: str,   # of its code cells
) -> str:            # its name
    "A notebook file of code cells, without outputs."
    cells: list[dict] = [
        dict(cell_type='code', id=f'cell{n}', metadata={}, outputs=[],
             execution_count=None, source=source) for n, source in enumerate(sources)]
    kernel = dict(name='python3', display_name='Python 3', language='python')
    path.write_text(json.dumps(dict(nbformat=4, nbformat_minor=5, cells=cells,
                                    metadata={'kernelspec': kernel})))
    return path.name


def patch_cells(
    notebook: Path,           # rewritten in place
    changes: dict[str, str],  # words that its code holds once: other words
) -> None:
    "Shorten the work of a notebook. ValueError if it changed meanwhile."
    found = json.loads(notebook.read_text())
    code = [c for c in found['cells'] if c['cell_type'] == 'code']
    for old, new in changes.items():
        held = [c for c in code if old in ''.join(c['source'])]
        if len(held) != 1: raise ValueError(
            f'{notebook.name}: {len(held)} cells with {old!r}, expected one')
        held[0]['source'] = ''.join(held[0]['source']).replace(old, new)
    notebook.write_text(json.dumps(found))


def close_notebook(
    tab: Tab,  # shows a notebook
) -> None:
    "Stop the kernel and close the page."
    tab.page.evaluate('''async () => await
      jupyterapp.shell.currentWidget.context.sessionContext.shutdown()''')
    tab.context.close()


def open_saved(
    tab: Tab,        # where
    server: Server,  # JupyterLab
    name: str,       # path of the notebook, as the server sees it
) -> None:
    "Open a notebook as it was saved, and start no kernel."
    tab.page.goto(f'{server.url}/lab/workspaces/{uuid.uuid4().hex}'
                  f'?token={server.token}')
    tab.page.wait_for_function('() => window.jupyterapp?.commands'
                               '.hasCommand("docmanager:open")')
    tab.page.evaluate('''async path => {
      await jupyterapp.restored;
      const widget = await jupyterapp.commands.execute('docmanager:open', {
        path, factory: 'Notebook', kernelPreference: {shouldStart: false}});
      await widget.context.ready;
      await widget.revealed;
    }''', name)


def array_in_kernel(
    tab: Tab,         # shows a notebook
    expression: str,  # of an array of bytes
) -> np.ndarray:      # uint8
    "An array that the kernel of the notebook computes."
    text = in_kernel(tab, f'__import__("json").dumps(__import__("numpy")'
                          f'.asarray({expression}).tolist())')
    return np.array(json.loads(text), np.uint8)


def press(
    tab: Tab,
    locator: 'Locator',  # what has the focus
    key: str,            # as Playwright names it
    times: int = 1,
) -> None:
    "Press a key on an element."
    locator.focus()
    for _ in range(times): tab.page.keyboard.press(key)


def panel(
    tab: Tab,       # shows a notebook
    has: str,       # name of one of its controls or pictures
) -> 'Locator':
    "The first panel with this control, scrolled into view."
    parts = tab.page.get_by_test_id('panel')
    found = parts.filter(has=tab.page.get_by_test_id(has)).first
    found.scroll_into_view_if_needed()
    return found


WIDGET = 'application/vnd.jupyter.widget-view+json'


def widget_outputs(
    notebook: dict[str, Any],   # as nbformat reads it
) -> list[dict]:      # mime type: data, of each
    "The outputs of a notebook that are widgets."
    return [output['data'] for cell in notebook['cells']
            for output in cell.get('outputs', [])
            if WIDGET in output.get('data', {})]


def widget_notebooks(
    nbs: Path,        # a folder of notebooks
) -> dict[str, int]:  # name: how many widgets
    "The notebooks that have widgets."
    counts = {path.name: len(widget_outputs(json.loads(path.read_text())))
              for path in sorted(nbs.glob('*.ipynb'))}
    return {name: count for name, count in counts.items() if count}


FORMULAS = """async () => {
  await window.MathJax?.startup?.promise;
  const count = selector => document.querySelectorAll(selector).length;
  return [count('.math'), count('mjx-container'),
          count('mjx-container :is([data-mml-node=merror], [fill=red])')];
}"""


def page_flaws(
    tab: Tab,
    url: str,      # of a page of the site
) -> list[str]:    # nothing: it is as it should be
    "What is wrong with a page."
    tab.page.goto(url, wait_until='load')
    formulas, drawn, red = tab.page.evaluate(FORMULAS)
    flaws = [f'{formulas - drawn} formulas are not drawn'] * (drawn < formulas)
    flaws += [f'{red} formulas are wrong']*(red > 0)
    for text in tab.page.locator('.cell_input pre').all_text_contents():
        if text.startswith('#|'): flaws.append(f'a directive: {text[:40]}')
    try: tab.check()
    except AssertionError as found: flaws.append(str(found))
    return flaws
