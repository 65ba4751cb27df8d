"An image in, a mesh out."
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.core import InputError
from ssr_nb.mesh import Mesh
from ssr_nb.meshio import load_mesh
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.render import render_views
from ssr_nb.shapes import make_shape
from ssr_nb.widgets import ReconstructionPanel, decode
from ssr_nb.widgets.reconstruction import path_inside, silhouette_sheet


def test_the_sheet_shows_the_ring_of_viewpoints_row_by_row():
    cone = Mesh(torch.tensor([[0., .4, 0], [.3, -.4, 0], [-.1, -.4, .3], [-.1, -.4, -.3]]), torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]))
    sheet, ring = silhouette_sheet(cone), viewpoint_ring()
    assert sheet.shape == (256, 384)
    for view in 0, 5, 6, 23:
        row, column = divmod(view, 6)
        shown = sheet[64*row:64*row + 64, 64*column:64*column + 64] > 127
        truth = render_views(cone, ring[[view]], 64, 1)[0, 3].numpy() > 0
        assert (shown != truth).mean() < .01 and truth.any(), view


def test_a_mesh_is_saved_in_its_folder_and_nowhere_else():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        assert path_inside(folder, 'my chair_2', '.obj') == folder/'my chair_2.obj'
        for name in '', '..', '../a', 'a/b', 'a\\b', '/etc/a', '.hidden', 'a.b', 'a\nb', 'a\0', ' a', 'a'*81:
            with pytest.raises(InputError, match='file name: expected letters'): path_inside(folder, name, '.obj')
        (folder/'there.obj').write_text(''); (folder/'link.obj').symlink_to(folder/'nowhere')
        for name in 'there', 'link':
            with pytest.raises(InputError, match=f'{name}.obj: exists already'): path_inside(folder, name, '.obj')


def test_an_image_from_the_browser_becomes_a_mesh_that_is_saved():
    torch.manual_seed(0)
    model = Reconstructor(1, width=4, hidden=32, features=16).eval()
    images = render_views(make_shape('car', torch.Generator().manual_seed(0)), viewpoint_ring()).numpy()
    def file_of(pixels, kind='png'):
        buffer = io.BytesIO(); Image.fromarray(pixels.transpose(1, 2, 0).squeeze()).save(buffer, kind); return buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        panel = ReconstructionPanel(model, images[0], folder)
        before = panel.vertices, panel.sheet, panel.image
        panel.answer(panel, {'call': 'open_image', 'file': 'b.png'}, [file_of(images[9])])
        assert all(a != b for a, b in zip(before, (panel.vertices, panel.sheet, panel.image)))
        expected = model.predict(panel.opened)
        assert np.array_equal(np.frombuffer(panel.vertices, '<f4').reshape(-1, 3), expected.vertices)
        assert (decode(panel.sheet) == silhouette_sheet(expected)).all()
        panel.set_state({'name': 'car', 'kind': '.glb'}); panel.answer(panel, {'call': 'save'}, [])
        assert panel.caption.endswith('saved as car.glb') and [p.name for p in Path(folder).iterdir()] == ['car.glb']
        assert_close(load_mesh(Path(folder)/'car.glb').vertices, expected.vertices)
        panel.answer(panel, {'call': 'save'}, [])
        assert panel.message == 'car.glb: exists already; choose another name'
        panel.set_state({'name': '../car'}); panel.answer(panel, {'call': 'save'}, [])
        assert panel.message.startswith('file name: expected letters') and len(list(Path(folder).iterdir())) == 1
        shape, frame = panel.vertices, panel.frame
        for name, content, said in (('a.png', b'no picture', 'a.png: not a readable picture'), ('a.svg', b'<svg/>', 'a.svg: expected a file of'),
                                    ('a.jpg', file_of(images[3, :3], 'jpeg'), 'image: no alpha channel and no mask: say where the object is')):
            panel.answer(panel, {'call': 'open_image', 'file': name}, [content])
            assert panel.message.startswith(said) and (panel.vertices, panel.frame) == (shape, frame), panel.message
        panel.answer(panel, {'call': 'open_mask', 'file': 'm.png'}, [file_of(images[3, 3:])])
        assert panel.message == '' and panel.vertices != shape
    with pytest.raises(InputError, match='no such folder'): ReconstructionPanel(model, images[0], folder)


def test_a_mask_that_is_chosen_before_its_image_waits_for_it():
    torch.manual_seed(0)
    model = Reconstructor(1, width=4, hidden=32, features=16).eval()
    images = render_views(make_shape('car', torch.Generator().manual_seed(0)), viewpoint_ring()).numpy()
    def png(pixels):
        buffer = io.BytesIO(); Image.fromarray(pixels.transpose(1, 2, 0).squeeze()).save(buffer, 'png'); return buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        panel = ReconstructionPanel(model, images[0], folder)
        before = panel.vertices
        panel.answer(panel, {'call': 'open_mask', 'file': 'm.png'}, [png(images[9, 3:])])
        assert panel.message == '' and panel.caption.endswith('the mask waits for its image') and panel.vertices == before
        panel.answer(panel, {'call': 'open_image', 'file': 'i.png'}, [png(images[9, :3])])
        assert panel.message == '' and panel.vertices != before and panel.caption.endswith('faces')
        assert (panel.result.image[3] == images[9, 3]).all()
        panel.answer(panel, {'call': 'open_image', 'file': 'i.png'}, [png(images[9, :3])])   # the mask is spent
        assert panel.message.startswith('image: no alpha channel')
