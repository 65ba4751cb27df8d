"The mesh viewer and what it computes."
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ssr_nb.core import InputError
from ssr_nb.mesh import Mesh, icosphere
from ssr_nb.meshio import save_mesh
from ssr_nb.render import render_views
from ssr_nb.shapes import make_shape
from ssr_nb.widgets import MeshViewer, decode
from ssr_nb.widgets.mesh_viewer import (
    OBJECTS,
    Look,
    active_fraction,
    force_arrows,
    force_colors,
    mesh_scene,
    mesh_tile,
    painted,
    silhouette_force,
    soft_image,
    target_mask,
)


def test_a_soft_picture_is_sharp_where_sigma_is_small():
    ball = icosphere(2); ball = Mesh(.4*ball.vertices, ball.faces)
    sharp = render_views(ball, Look().viewpoint(), 64, 1)[0]
    soft = soft_image(ball, Look(sigma=1e-7))
    assert (abs(soft[..., 0].astype(int) - 255*(sharp[3] > 0).numpy()) > 9).mean() < .005
    lit = soft_image(ball, Look(sigma=1e-7, gamma=1e-6, shows='color')).astype(int)
    inside = (sharp[3] > 0).numpy() & (soft[..., 0] == 255)
    assert (abs(lit[..., 1] - sharp[1].numpy().astype(int))[inside] <= 2).mean() > .97


def test_depth_is_bright_in_front_and_normals_tell_directions():
    board = Mesh(torch.tensor([[-.5, -.5, 0.], [.5, -.5, 0], [.5, .5, 0], [-.5, .5, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]]))
    front = Look(azimuth=0., elevation=0., sigma=1e-7)
    middle = lambda shows, board=board: soft_image(board, replace(front, shows=shows))[30, 40]
    assert abs(middle('depth') - 127.5).max() < 1 and abs(middle('normals') - [127.5, 127.5, 0]).max() < 1  # towards -z, where the eye is
    near = Mesh(board.vertices - torch.tensor([0, 0, .3]), board.faces)
    assert abs(middle('depth', near)[0] - 255*(.5 + .3/3**.5)) < 2


def test_a_small_sphere_inside_its_target_is_pushed_out_a_large_one_in():
    ball = icosphere(2)
    look, aim = Look(sigma=1e-3), target_mask(Mesh(.35*ball.vertices, ball.faces), Look())
    for size, sign in (.25, 1), (.45, -1):
        mesh = Mesh(size*ball.vertices, ball.faces)
        iou, force = silhouette_force(mesh, aim, look)
        assert 0 < iou < .8
        push = (force*ball.vertices).sum(-1)
        assert push.sum()*sign > 0 and (push*sign > -.02*push.abs().max()).all()
        pushed, colors = push.abs() > .2*push.abs().max(), force_colors(mesh, force)
        warm = colors[pushed, 0] > colors[pushed, 2]
        assert warm.all() if sign > 0 else not warm.any()


def test_the_sharper_the_picture_the_fewer_vertices_feel_a_force():
    ball, look = icosphere(3), Look()
    mesh = Mesh(.35*ball.vertices, ball.faces)
    aim = target_mask(make_shape('chair', torch.Generator().manual_seed(0)), look)
    shares = [active_fraction(silhouette_force(mesh, aim, replace(look, sigma=s))[1]) for s in (1e-6, 1e-5, 1e-4, 1e-3)]
    assert shares == sorted(shares) and shares[0] < .03 < .2 < shares[-1]


def test_a_step_along_the_force_raises_the_iou():
    ball = icosphere(2); mesh = Mesh(.3*ball.vertices, ball.faces)
    look = Look(sigma=1e-3)
    aim = target_mask(make_shape('chair', torch.Generator().manual_seed(0)), look)
    before, force = silhouette_force(mesh, aim, look)
    after, _ = silhouette_force(Mesh(mesh.vertices + .1*force_arrows(force), mesh.faces), aim, look)
    assert after > before + 1e-3
    assert abs(force_arrows(force).norm(dim=-1).max() - .15) < 1e-6
    assert (force_arrows(torch.zeros(3, 3)) == 0).all() and (force_colors(mesh, 0*force) == .72).all()


def test_sliders_move_what_is_shown_and_it_is_what_the_function_gives():
    chair = make_shape('chair', torch.Generator().manual_seed(0))
    panel = MeshViewer(chair)
    for changes in ({'azimuth': 100.}, {'elevation': -30.}, {'distance': 4.}, {'sigma': 1e-3}, {'shows': 'color'},
                    {'gamma': 1e-2}, {'shows': 'depth'}, {'shows': 'normals'}, {'shows': 'against target'}, {'force': True}):
        before = panel.soft, panel.colors
        panel.set_state(changes)  # as the browser does
        seen = mesh_scene(chair, chair, panel.look())
        assert (decode(panel.soft) == seen.pixels).all() and panel.caption == seen.caption
        assert np.array_equal(np.frombuffer(panel.colors, '<f4').reshape(-1, 3), seen.mesh.vertex_colors)
        assert (panel.soft, panel.colors) != before, changes
    assert np.array_equal(np.frombuffer(panel.arrows, '<f4').reshape(-1, 3), seen.arrows)
    assert np.array_equal(np.frombuffer(panel.faces, '<u4').reshape(-1, 3), chair.faces)
    assert panel.look() == Look(100., -30., 4., 1e-3, 1e-2, 'against target', True, 64)
    panel.set_state({'frozen': True}); soft = panel.soft
    panel.set_state({'azimuth': 0.})
    assert panel.soft == soft and panel.look().azimuth == 100.
    panel.set_state({'frozen': False})
    assert panel.soft != soft and panel.look().azimuth == 0.


def test_a_browser_without_webgl_gets_a_sharp_picture_from_python():
    panel = MeshViewer(make_shape('car', torch.Generator().manual_seed(0)))
    assert panel.solid == b''
    panel.set_state({'webgl': False})
    sharp = decode(panel.solid)
    drawn = render_views(panel.mesh, panel.look().viewpoint(), 192, 1)[0].permute(1, 2, 0).numpy()
    assert sharp.shape == (192, 192, 4) and (sharp[..., 3] == drawn[..., 3]).all()
    panel.azimuth = 0.
    assert (decode(panel.solid) != sharp).any()


def test_a_mesh_from_the_browser_is_shown_and_is_its_own_target():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'ball.obj'
        save_mesh(Mesh(100*icosphere(2).vertices, icosphere(2).faces), path); content = path.read_bytes()
    panel = MeshViewer(sigma=1e-3)
    panel.answer(panel, {'call': 'load', 'file': 'ball.obj'}, [memoryview(content)])
    assert panel.shape == 'own' and panel.caption == '162 vertices, 320 faces' and panel.mesh.vertices.abs().max() < .5
    before = panel.frame, panel.soft
    panel.answer(panel, {'call': 'load', 'file': 'bad.obj'}, [b'v 0 0 0\n'])
    assert panel.message == 'bad.obj: no faces' and (panel.frame, panel.soft) == before and panel.answered == 2
    panel.shows = 'against target'
    assert 'IoU with the target 0.' in panel.caption and panel.message == ''
    with pytest.raises(InputError, match='bad.obj'): panel.load('bad.obj', b'v 0 0 0\n')  # Python asked
    with pytest.raises(KeyError): panel.answer(panel, {'call': '__init__'}, [])  # no control
    with pytest.raises(InputError, match=r'target: expected a Mesh or a mask \(64, 64\)'):
        MeshViewer(target=torch.zeros(3, 3), force=True)


def test_the_viewer_opens_on_a_coloured_object_and_others_can_be_chosen():
    panel = MeshViewer()
    assert panel.shape == 'car' and len(panel.mesh.vertex_colors.unique(dim=0)) > 3
    cars = panel.vertices
    panel.set_state({'shape': 'plane'})
    assert panel.vertices != cars
    panel.set_state({'shape': 'own'})
    assert panel.message == 'own: no mesh yet; choose a file, or drop one'
    panel.set_state({'shape': 'car'})
    assert panel.vertices == cars and panel.message == ''


def test_a_fit_ends_with_the_target_and_shows_its_steps_on_the_way():
    panel = MeshViewer(shape='plane')
    whole, told = panel.vertices, []
    panel.observe(lambda change: told.append((change['new'], len(panel.vertices))), 'progress')
    panel.answer(panel, {'call': 'fit'}, [])
    assert [size for _, size in told] == [12*642]*len(told) and [p for p, _ in told] == sorted(p for p, _ in told[:-1]) + [-1]
    ious = [float(words.split('IoU ')[1]) for words, _ in panel.steps]
    assert ious[0] < .6 and ious[-1] > .85 and ious[-1] == max(ious) and 6 <= len(ious) <= 10
    assert decode(panel.steps[-1][1]).shape == (96, 96, 4) and panel.steps[0][1] != panel.steps[-1][1]
    target = make_shape('plane', torch.Generator().manual_seed(OBJECTS['plane']))
    unseen = torch.tensor([[2.732, 20., 70.]])
    masks = [render_views(mesh, unseen, 64, 1)[0, 3] > 0 for mesh in (panel.mesh, target)]
    assert (masks[0] & masks[1]).sum()/(masks[0] | masks[1]).sum() > .8    # from a side that the fit did not have
    panel.answer(panel, {'call': 'restore'}, [])
    assert panel.vertices == whole and panel.steps == []
    ball = icosphere(1)
    given = MeshViewer(Mesh(.3*ball.vertices, ball.faces), torch.zeros(64, 64))
    with pytest.raises(InputError, match='expected a Mesh, to fit'): given.fit()


def test_the_light_moves_with_the_camera():
    ball = icosphere(3)
    mesh = painted(Mesh(.4*ball.vertices, ball.faces))
    tiles = [decode(mesh_tile(mesh, (2.732, 20., azimuth), 48)).astype(int) for azimuth in (0., 90., 200.)]
    assert all(abs(tile - tiles[0])[..., 0].mean() < 3 for tile in tiles[1:])
    left, right = tiles[0][:, :24, 0].sum(), tiles[0][:, 24:, 0].sum()
    mirrored = decode(mesh_tile(mesh, (2.732, 20., 0.), 48, mirrored=True)).astype(int)
    assert left > right and mirrored[:, :24, 0].sum() > mirrored[:, 24:, 0].sum()   # always from the upper left


def test_orange_and_blue_are_explained_where_they_are_shown():
    ball = icosphere(1)
    panel = MeshViewer(Mesh(.3*ball.vertices, ball.faces), Mesh(.4*ball.vertices, ball.faces), sigma=1e-6)
    assert panel.legend == []
    panel.set_state({'shows': 'against target'})
    assert [group['title'] for group in panel.legend] == ['image']
    only, target, both = ([int(color[i:i + 2], 16) for i in (1, 3, 5)] for color, _ in panel.legend[0]['items'])
    pixels = decode(panel.soft).reshape(-1, 3).astype(int)
    assert (abs(pixels - target).max(-1) <= 1).mean() > .03 and (abs(pixels - both).max(-1) <= 1).mean() > .03
    panel.target = Mesh(.2*ball.vertices, ball.faces); panel.draw()
    pixels = decode(panel.soft).reshape(-1, 3).astype(int)
    assert (abs(pixels - only).max(-1) <= 1).mean() > .03
    panel.set_state({'force': True})
    assert [group['title'] for group in panel.legend] == ['mesh', 'image']
    texts = panel.to_figure().legends[0].get_texts()   # also in a saved notebook
    assert [text.get_text() for text in texts][::3] == ['mesh: vertex should move outwards', 'image: mesh only']
