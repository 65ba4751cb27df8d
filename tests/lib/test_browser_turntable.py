"A mesh as the last line of a cell, in JupyterLab."
import io

import numpy as np
import pytest
import torch
from PIL import Image

from ssr_nb._dev.lab import (
    Tab,
    close_notebook,
    expect,
    open_notebook,
    panel,
    press,
    run_all,
    shown,
    write_notebook,
)
from ssr_nb.display import mesh_png
from ssr_nb.mesh import Mesh
from ssr_nb.shapes import make_shape

SOURCE = '''import torch
import ssr_nb.widgets
from ssr_nb.mesh import Mesh
from ssr_nb.shapes import make_shape
chair = make_shape('chair', torch.Generator().manual_seed(0))
Mesh(5*chair.vertices*torch.tensor([1., 1., 2.]), chair.faces, chair.vertex_colors)'''


def long_chair():
    "The mesh of SOURCE."
    chair = make_shape('chair', torch.Generator().manual_seed(0))
    return Mesh(5*chair.vertices*torch.tensor([1., 1., 2.]), chair.faces, chair.vertex_colors)


@pytest.mark.browser
def test_a_mesh_at_the_end_of_a_cell_can_be_turned_and_stands_as_in_its_picture(chromium, lab):
    server, folder = lab
    write_notebook(folder/'mesh.ipynb', SOURCE)
    tab = Tab(chromium)
    open_notebook(tab, server, 'mesh.ipynb'); run_all(tab)
    part = panel(tab, 'mesh')
    picture = np.asarray(Image.open(io.BytesIO(mesh_png(long_chair()))))
    def outline(pixels):
        "The mask within its own bounding box, 64 × 64: the two cameras differ in their field of view."
        mask = pixels[..., 3] > 127
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        cut = mask[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        return np.asarray(Image.fromarray(cut).resize((64, 64))) > 0
    def overlap(mirror=1):
        seen, expected = outline(shown(part.get_by_test_id('mesh')))[:, ::mirror], outline(picture)
        return (seen & expected).sum()/(seen | expected).sum()
    expect(lambda: overlap() > .93, True)
    assert overlap(-1) < .9
    press(tab, part.get_by_test_id('mesh'), 'ArrowRight', 4)
    expect(lambda: overlap() < .9, True)
    tab.check(); close_notebook(tab)


def test_a_mesh_outside_of_a_notebook_makes_no_widget():
    import ssr_nb.widgets
    mesh = make_shape('chair', torch.Generator().manual_seed(0))
    assert set(Mesh._repr_mimebundle_(mesh)) == {'text/plain', 'image/png'}, ssr_nb.widgets
