"Saved notebooks show their widgets without a kernel."
import json

import pytest

from ssr_nb._dev.chapters import ROOT
from ssr_nb._dev.lab import Tab, expect, open_saved, widget_notebooks, widget_outputs


def test_every_widget_of_a_saved_notebook_has_a_picture_and_no_state():
    assert 'C_hands_on.ipynb' in widget_notebooks(ROOT/'nbs')
    for name in widget_notebooks(ROOT/'nbs'):
        saved = json.loads((ROOT/'nbs'/name).read_text())
        assert 'widgets' not in saved['metadata'], name
        assert all('image/png' in data for data in widget_outputs(saved)), name


@pytest.mark.browser
def test_a_saved_notebook_shows_its_pictures_without_a_kernel(chromium, lab):
    server, folder = lab
    for name in widget_notebooks(ROOT/'nbs'):
        tab = Tab(chromium)
        (folder/f'saved_{name}').write_bytes((ROOT/'nbs'/name).read_bytes())
        open_saved(tab, server, f'saved_{name}')
        pictures = tab.page.locator('.jp-OutputArea-output[data-mime-type="image/png"] img')
        pngs = [data for cell in json.loads((ROOT/'nbs'/name).read_text())['cells'] for output in cell.get('outputs', [])
                for kind, data in output.get('data', {}).items() if kind == 'image/png']
        expect(pictures.count, len(pngs), within=60)
        for picture in pictures.all(): assert picture.evaluate('img => img.decode().then(() => img.naturalWidth)') > 50
        assert tab.page.evaluate('() => jupyterapp.shell.currentWidget.context.sessionContext.session') is None
        tab.check(but="null (reading 'kernel')")  # Jupyter's widget manager asks for the kernel that there is not
        tab.context.close()
