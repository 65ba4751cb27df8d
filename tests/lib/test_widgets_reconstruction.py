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
from ssr_nb.data import load_image
from ssr_nb.mesh import Mesh
from ssr_nb.meshio import load_mesh
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.render import render_views
from ssr_nb.shapes import make_shape
from ssr_nb.widgets import ReconstructionPanel, decode
from ssr_nb.widgets.reconstruction import cut, framed_square, silhouette_sheet


def test_the_sheet_shows_the_ring_of_viewpoints_row_by_row():
    cone = Mesh(torch.tensor([[0., .4, 0], [.3, -.4, 0], [-.1, -.4, .3], [-.1, -.4, -.3]]), torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]))
    sheet, ring = silhouette_sheet(cone), viewpoint_ring()
    assert sheet.shape == (256, 384)
    for view in 0, 5, 6, 23:
        row, column = divmod(view, 6)
        shown = sheet[64*row:64*row + 64, 64*column:64*column + 64] > 127
        truth = render_views(cone, ring[[view]], 64, 1)[0, 3].numpy() > 0
        assert (shown != truth).mean() < .01 and truth.any(), view


def small_model():
    "A network that knows nothing."
    torch.manual_seed(0)
    return Reconstructor(1, width=4, hidden=32, features=16).eval()


def views():
    "A car all around, (24, 4, 64, 64) uint8."
    return render_views(make_shape('car', torch.Generator().manual_seed(0)), viewpoint_ring()).numpy()


def file_of(pixels, kind='png'):
    "Channels first, as a file."
    buffer = io.BytesIO(); Image.fromarray(pixels.transpose(1, 2, 0).squeeze()).save(buffer, kind); return buffer.getvalue()


def test_an_image_from_the_browser_becomes_a_mesh_that_is_downloaded():
    model, images = small_model(), views()
    panel = ReconstructionPanel(model, images[0])
    assert_close(torch.frombuffer(bytearray(panel.vertices), dtype=torch.float32).view(-1, 3), model.predict(images[0]).vertices)
    assert not panel.mirrored and (panel.result.image == images[0]).all()
    before = panel.vertices, panel.sheet, panel.image
    panel.answer(panel, {'call': 'open_image', 'file': 'b.png'}, [file_of(images[9])])
    assert panel.message == '' and panel.answered == 1
    assert all(a != b for a, b in zip(before, (panel.vertices, panel.sheet, panel.image)))
    seen = load_image(cut(panel.opened, panel.crop)).flip(-1)   # a photograph is not mirrored
    expected = model.predict(seen)
    assert panel.mirrored and np.array_equal(np.frombuffer(panel.vertices, '<f4').reshape(-1, 3), expected.vertices)
    assert (decode(panel.sheet) == silhouette_sheet(expected)).all()
    sent = []
    panel.send = lambda content, buffers=None: sent.append((content, buffers))
    panel.set_state({'kind': '.glb'}); panel.answer(panel, {'call': 'save'}, [])
    (about, (content,)), = sent
    assert about == {'download': 'b.glb'}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'b.glb'; path.write_bytes(content)
        assert_close(load_mesh(path).vertices, expected.vertices)
    shape = panel.vertices
    for name, content, said in (('a.png', b'no picture', 'a.png: not a readable picture'), ('a.svg', b'<svg/>', 'a.svg: expected a file of'),
                                ('a.jpg', file_of(images[3, :3], 'jpeg'), 'image: no alpha channel and no mask: say where the object is')):
        panel.answer(panel, {'call': 'open_image', 'file': name}, [content])
        assert panel.message.startswith(said) and panel.vertices == shape, panel.message
    assert decode(panel.photo)[..., 3].min() == 255          # the photograph is shown all the same
    panel.answer(panel, {'call': 'open_mask', 'file': 'm.png'}, [file_of(images[3, 3:])])
    assert panel.message == '' and panel.vertices != shape


def test_a_mask_that_is_chosen_before_its_image_waits_for_it():
    images = views()
    panel = ReconstructionPanel(small_model(), images[0])
    before = panel.vertices
    panel.answer(panel, {'call': 'open_mask', 'file': 'm.png'}, [file_of(images[9, 3:])])
    assert panel.message == '' and panel.caption.endswith('the mask waits for its image') and panel.vertices == before
    panel.answer(panel, {'call': 'open_image', 'file': 'i.png'}, [file_of(images[9, :3])])
    assert panel.message == '' and panel.vertices != before and panel.caption.endswith('faces')
    panel.answer(panel, {'call': 'open_image', 'file': 'i.png'}, [file_of(images[9, :3])])   # the mask is spent
    assert panel.message.startswith('image: no alpha channel')


def test_the_square_starts_around_the_object_and_what_is_in_it_is_reconstructed():
    pixels = np.zeros((100, 200, 4), np.uint8); pixels[40:60, 150:180] = 255
    image = Image.fromarray(pixels)
    left, top, side = framed_square(image, None)
    assert side == pytest.approx(30*1.5/200) and left + side/2 == pytest.approx(165/200) and top + side/2 == pytest.approx(50/200)
    piece = np.asarray(cut(image, (left, top, side)))[..., 3] > 0
    assert piece.shape == (45, 45) or piece.shape == (44, 44)
    assert abs(piece.any(0).sum() - 30) <= 1 and abs(piece.any(1).sum() - 20) <= 1
    assert framed_square(image.convert('RGB'), None) == (0, -.25, 1)   # nobody says where the object is
    panel = ReconstructionPanel(small_model(), views()[0])
    before, first = panel.vertices, panel.crop
    panel.set_state({'crop': [.2, .2, .6]})
    assert panel.vertices != before and panel.frame == 2
    panel.set_state({'crop': list(first)})
    assert panel.vertices == before
    for wrong in ([0, 0, 1e9], [0, 0, float('nan')], [0, 1]):
        panel.set_state({'crop': wrong})
        assert panel.crop == first and panel.message != ''


def test_a_panel_without_an_image_opens_a_sample_and_the_others_are_a_press_away():
    panel = ReconstructionPanel(small_model())
    names = list(panel.samples)
    assert panel.sample == names[0] and len(names) >= 3 and panel.mirrored
    assert all(min(decode(png).shape[:2]) >= 64 for png in panel.samples.values())
    before = panel.vertices
    panel.set_state({'sample': names[1], 'crop': [0, 0, 1]})
    assert panel.vertices != before and panel.name == names[1] and panel.frame == 2
    panel.set_state({'sample': 'no such'})
    assert panel.message.startswith('sample: expected one of')
