"The similarity matrix, cell by cell."
import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.core import InputError
from ssr_nb.rules import label_by_agreement, label_quality
from ssr_nb.widgets import SimilarityExplorer, ViewpointMatcher, add_image, decode
from ssr_nb.widgets.controls import on_white
from ssr_nb.widgets.explorer import (
    ExplorerState,
    confusion_table,
    explore,
    heat_image,
    label_kinds,
    threshold_curves,
)

from matches import noise_matches


def test_labels_are_right_one_off_back_to_front_or_other_and_the_table_counts_each_once():
    azimuth = viewpoint_ring()[:, 2]
    truth, labels = torch.tensor([0, 0, 0, 5, 5, 7, 3, 1, 1]), torch.tensor([0, 23, 12, 4, 5, 11, -1, 3, 12])
    assert list(label_kinds(labels, truth, azimuth).values()) == [2, 2, 1, 3]
    table = confusion_table(labels, truth, 24)
    assert table.sum() == 8 and table[0, 12] == 1 and table[5, 5] == 1 and table[7, 11] == 1 and table[3].sum() == 0


def test_the_curve_at_a_threshold_is_what_the_rule_gives_there():
    generator = torch.Generator().manual_seed(0)
    S, rotated = torch.rand(2, 60, 24, generator=generator).square(); truth = torch.arange(60) % 24
    rotated = (S + .1*rotated).clamp(max=1)
    curves = threshold_curves(S, rotated, truth)
    assert_close(curves[:, 0], np.linspace(0, 1, 51), atol=1e-6, rtol=0)
    share, accuracy = label_quality(label_by_agreement(S, rotated, .8), truth)
    assert_close(curves[40, 1:], np.array([share, accuracy]))
    assert (np.diff(curves[:, 1]) <= 0).all() and curves[-1, 1] == 0 and np.isnan(curves[-1, 2])


def test_a_scene_holds_the_pair_of_its_cell_and_the_quality_at_its_threshold():
    m = noise_matches(); generator = torch.Generator().manual_seed(1)
    m = replace(m, similarity=torch.rand(48, 2, 24, generator=generator))
    m = replace(m, rotated=m.similarity*.9)
    scene = explore(m, ExplorerState(reference=1, row=29, column=4, threshold=.8))
    assert_close(scene.pairs[0], m.images[29]); assert_close(scene.pairs[1], m.references[1, 4])
    assert (scene.p, scene.p_rotated) == (m.similarity[29, 1, 4].item(), m.rotated[29, 1, 4].item())
    labels = label_by_agreement(m.similarity[:, 1], m.rotated[:, 1], .8)
    assert_close(scene.labels, labels)
    assert (scene.coverage, scene.accuracy) == label_quality(labels, m.truth)
    assert scene.confusion.sum() == (labels >= 0).sum() == sum(scene.kinds.values()) > 0
    assert 'object 1, view 5' in scene.cell and f'{scene.p:.2f}' in scene.cell


def test_the_rotated_pair_is_what_the_network_compares_for_ŝ():
    m = noise_matches()
    scene = explore(m, ExplorerState(row=5, column=9))
    turned = [p[None, :3]/255 for p in scene.pairs[2:]]
    assert_close(m.siam(*turned).sigmoid().item(), scene.p_rotated, atol=.01, rtol=0)
    assert_close(scene.heat[5, 9], (np.array(colormaps['viridis'](scene.p))[:3]*255).round().astype(np.uint8), atol=1, rtol=0)
    tilted = explore(m, ExplorerState(tilted=True)).heat
    assert_close(tilted, heat_image(m.rotated[:, 0]))


def test_a_cell_of_the_matrix_shows_its_pair_and_τ_its_labels():
    m = noise_matches(); generator = torch.Generator().manual_seed(1)
    S = torch.rand(48, 2, 24, generator=generator)
    m = replace(m, similarity=S, rotated=S*.9)
    panel = SimilarityExplorer(m)
    panel.set_state({'row': 29, 'column': 4, 'reference': 1, 'threshold': .85})
    scene = explore(m, ExplorerState(1, 29, 4, .85))
    names = 'subject', 'partner', 'subject_rotated', 'partner_rotated'
    for name, pixels in zip(names, scene.pairs): assert (decode(getattr(panel, name)) == on_white(pixels)).all()
    assert (decode(panel.heat) == scene.heat).all() and panel.shape == [48, 24]
    assert panel.labels == scene.labels.tolist() and -1 < min(set(panel.labels) - {-1}) and panel.truth == m.truth.tolist()
    assert scene.cell in panel.caption and scene.rule in panel.caption and panel.frame == 2
    before = panel.heat
    panel.tilted = True
    assert panel.heat != before and (decode(panel.heat) == heat_image(m.rotated[:, 1])).all()
    panel.threshold = 1.
    assert set(panel.labels) == {-1} and 'No image is labeled' in panel.caption


def test_the_explorer_refuses_images_of_which_nobody_knows_the_viewpoint():
    m = noise_matches()
    with pytest.raises(InputError, match='matches: expected images of known viewpoints'): SimilarityExplorer(add_image(m, m.images[0]))


def test_each_of_the_two_leaves_a_picture_in_a_saved_notebook():
    for panel in ViewpointMatcher(m := noise_matches()), SimilarityExplorer(m):
        data, _ = panel._repr_mimebundle_()
        assert Image.open(io.BytesIO(base64.b64decode(data['image/png']))).width > 600
