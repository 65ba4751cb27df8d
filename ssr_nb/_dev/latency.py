"""How long a key press takes until the new image, in JupyterLab.

    python -m ssr_nb._dev.latency
"""
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssr_nb._dev.lab import (
    Tab,
    open_browser,
    open_notebook,
    panel,
    press,
    run_all,
    serve_lab,
    write_notebook,
)

if TYPE_CHECKING: from playwright.sync_api import Locator

CLOCK = """canvas => {
  window.clock = {pressed: 0, shown: []};
  addEventListener('keydown', () => { clock.pressed = performance.now(); },
                   true);
  new MutationObserver(() => requestAnimationFrame(
    () => clock.shown.push(performance.now()))).observe(
      canvas, {attributes: true, attributeFilter: ['data-frame']});
}"""


def key_to_image(
    tab: Tab,
    slider: 'Locator',  # a range input
    presses: int = 40,
) -> list[float]:       # milliseconds, one a press
    "Press an arrow key again and again, each time until the image is new."
    times = []
    for n in range(presses):
        press(tab, slider, 'ArrowRight' if n % 2 else 'ArrowLeft')
        tab.page.wait_for_function(f'() => clock.shown.length > {n}')
        times.append(tab.page.evaluate(
            f'() => clock.shown[{n}] - clock.pressed'))
        tab.page.wait_for_timeout(100)
    return times


def images_a_second(
    tab: Tab,
    slider: 'Locator',     # a range input
    seconds: float = 4.,
    repeats: float = 30.,  # key repeats a second
) -> float:
    "Hold an arrow key and count the images."
    tab.page.evaluate('() => { clock.shown = []; }')
    slider.focus()
    for _ in range(round(seconds*repeats)):
        tab.page.keyboard.down('ArrowRight')
        tab.page.wait_for_timeout(1000/repeats)
    tab.page.keyboard.up('ArrowRight')
    shown_at = tab.page.evaluate('() => clock.shown')
    return float(1000*(len(shown_at) - 1)/(shown_at[-1] - shown_at[0]))


def main() -> None:
    "Print how long it takes from key to image in JupyterLab."
    with tempfile.TemporaryDirectory() as nbs, open_browser() as browser:
        write_notebook(Path(nbs)/'viewer.ipynb', 'from ssr_nb.widgets import '
                       'MeshViewer\nviewer = MeshViewer()\nviewer')
        with serve_lab(Path(nbs)) as (server, _):
            tab = Tab(browser)
            open_notebook(tab, server, 'viewer.ipynb')
            run_all(tab)
            viewer = panel(tab, 'soft')
            viewer.get_by_test_id('soft').evaluate(CLOCK)
            slider = viewer.get_by_test_id('azimuth')
            times = key_to_image(tab, slider)
            rate = images_a_second(tab, slider)
            tab.check()
    low, median, high = np.percentile(times, (10, 50, 90))
    print(f'key to image: median {median:.0f} ms, 10 % below {low:.0f}, '
          f'10 % above {high:.0f}; {rate:.1f} images a second while a key '
          f'is held (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)')


if __name__ == '__main__': main()
