"The viewpoint matcher, its drawing and its game."
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.core import InputError
from ssr_nb.data import load_image
from ssr_nb.rules import label_by_agreement
from ssr_nb.siamvp import object_similarity, transform_images
from ssr_nb.widgets import ViewpointMatcher, add_image, decode
from ssr_nb.widgets.controls import on_white
from ssr_nb.widgets.drawing import drawing_svg, ring_position
from ssr_nb.widgets.game import Game, deal, game_text, guess_points, play
from ssr_nb.widgets.matching import RING_BOX, MatchState, match, ring_curves, scene_svg
from ssr_nb.widgets.similarity import Verdict, azimuth_difference, judge_row

from matches import noise_matches


def test_the_tables_are_those_of_single_objects():
    m = noise_matches()
    for r in (0, 1):
        for table, angle in ((m.similarity, 0.), (m.rotated, 45.)):
            alone = object_similarity(m.siam, m.images[:, :3].unflatten(0, (2, 24)), m.references[r:r + 1, :, :3], angle)
            assert_close(table[:, r].unflatten(0, (2, 24)), alone)


def test_an_image_that_is_added_is_compared_like_all_others_and_its_viewpoint_is_unknown():
    m = noise_matches()
    more = add_image(m, m.images[30])
    assert len(more.images) == 49 and more.truth[-1] == -1
    assert_close(more.similarity[-1], m.similarity[30]); assert_close(more.rotated[-1], m.rotated[30])
    assert_close(more.similarity[:-1], m.similarity)


def test_the_verdict_is_the_rule_and_names_every_condition_that_failed():
    S = torch.tensor([.9, .2]); generator = torch.Generator().manual_seed(0)
    assert judge_row(S, S) == Verdict(0, 0, 0, 'both are sure and agree')
    assert judge_row(S/3, S).reason == 'S is 0.30, not above τ = 0.50'
    assert judge_row(S, S/3).reason == 'Ŝ is 0.30, not above τ = 0.50'
    assert judge_row(S, S.flip(0)).reason == 'S picks view 0, Ŝ picks view 1'
    assert judge_row(S/3, S.flip(0)/3).reason.count(';') == 2
    for S, rotated in torch.rand(200, 2, 3, generator=generator):
        verdict = judge_row(S, rotated)
        assert verdict.view == label_by_agreement(S, rotated) and ('agree' in verdict.reason) == (verdict.view >= 0)


def test_a_camera_at_azimuth_90_stands_on_the_right_and_azimuth_0_below():
    assert_close(ring_position([0, 90, 180], 2.), np.array([[0., -2], [2, 0], [0, 2]]), atol=1e-12, rtol=0)
    from ssr_nb.camera import eye_from_angles
    eye = eye_from_angles(torch.tensor(1.), torch.tensor(0.), torch.tensor(70.))
    assert_close(torch.tensor(ring_position(70.)).float(), eye[[0, 2]])


def test_a_drawing_says_what_it_shows_and_holds_a_path_for_every_curve():
    S = np.linspace(.1, .9, 24); azimuth = -15.*np.arange(24)
    verdict = judge_row(torch.tensor(S), torch.tensor(S))
    curves = ring_curves(S, S, azimuth, .5, verdict, truth=2)
    svg = drawing_svg(curves, [(0, 1, '<0°>', 'middle')], RING_BOX, 'a "row"')
    import xml.etree.ElementTree as ET
    root = ET.fromstring(svg)
    assert root.get('aria-label') == 'a "row"' and root.find('{*}text').text == '<0°>'
    kinds = ['S', 'rotated', 'threshold', 'truth', 'picked']
    assert [p.get('data-kind') for p in root.iterfind('{*}path')] == kinds + kinds   # and their legend
    assert [t.text for t in root.iterfind('{*}text')][1:] == ['S', 'Ŝ', 'τ', 'truth', 'label']
    first = root.find('{*}path').get('d')[1:].split('L')[0].split()
    assert_close(np.array(first, float), np.array([0., 110*.1]), atol=.06, rtol=0)      # azimuth 0: below, y down


def test_a_scene_shows_the_chosen_pair_and_its_two_probabilities():
    m = noise_matches()
    scene = match(m, MatchState(image=30, reference=1, candidate=7, threshold=.2))
    assert_close(scene.image, m.images[30]); assert_close(scene.reference, m.references[1, 7])
    pair = m.images[30, :3][None]/255, m.references[1, 7, :3][None]/255
    turned = [transform_images(i, 45.) for i in pair]
    assert_close(torch.tensor([scene.p, scene.p_rotated]), torch.cat([m.siam(*pair), m.siam(*turned)]).sigmoid())
    assert 'True: view 6 (azimuth -90°).' in scene.words


def test_a_hidden_scene_tells_nothing_of_the_network_nor_of_the_truth():
    m = noise_matches()
    scenes = [match(m, MatchState(image=i, hidden=True)) for i in (3, 9)]
    assert all(s.p is None and s.p_rotated is None and s.verdict is None for s in scenes)
    assert scenes[0].words == scenes[1].words
    assert [c.kind for c in scenes[0].curves] == ['grid', 'grid', 'candidate']


def test_a_neighbour_is_half_a_point_across_the_seam_and_silence_is_none():
    azimuth = viewpoint_ring()[:, 2]
    assert [guess_points(g, 0, azimuth) for g in (0, 1, 23, 2, 12, -1)] == [1, .5, .5, 0, 0, 0]
    game = play(Game(row=5), 1, Verdict(-1, 3, 4, ''), 0, azimuth)
    game = play(game, 5, Verdict(7, 7, 7, ''), 7, azimuth)
    assert game == Game(row=5, guess=5, rounds=2, player=.5, network=1., silent=1)
    assert game_text(game) == 'Rounds 2, you 0.5, the network 1 (silent 1 times). You said view 5.'
    assert float(azimuth_difference(azimuth, 1, 23)) == -30 and float(azimuth_difference(azimuth, 12, 0)) == -180


def test_only_images_of_a_known_viewpoint_are_dealt_and_every_one_may_come():
    truth, generator = torch.tensor([4, -1, 7]), torch.Generator().manual_seed(0)
    game = Game(player=2.)
    rows = {(game := deal(game, truth, generator)).row for _ in range(40)}
    assert rows == {0, 2} and game.open and game.player == 2
    assert not Game().open and not replace(game, guess=3).open


def test_moving_a_slider_shows_what_the_function_gives():
    m = noise_matches()
    panel = ViewpointMatcher(m)
    panel.set_state({'image': 30., 'reference': 1., 'candidate': 7., 'threshold': .2})
    scene = match(m, MatchState(30, 1, 7, .2))
    assert (decode(panel.subject) == on_white(m.images[30])).all() and (decode(panel.partner) == on_white(m.references[1, 7])).all()
    assert panel.ring == scene_svg(scene) and scene.words in panel.caption and f'= {scene.p:.2f}' in panel.caption
    assert panel.frame == 2 and panel.disabled == ['guess', 'next_image']
    highs = {c['name']: c['high'] for c in panel.controls if 'high' in c}
    assert highs == dict(image=47, reference=1, candidate=23, threshold=1)
    for name, value in dict(image=48, reference=2, candidate=1.5).items():
        with pytest.raises(traitlets.TraitError, match=f'{name}: expected a whole number'): setattr(panel, name, value)


def test_a_game_hides_the_answer_until_the_guess_and_keeps_the_score():
    m = noise_matches(S=torch.eye(24).repeat(2, 1)[:, None].expand(48, 2, 24)*.9)
    panel = ViewpointMatcher(m, game=True)
    row = panel.score.row; truth = int(m.truth[row])
    assert (decode(panel.subject) == on_white(m.images[row])).all() and 'P(same)' not in panel.caption and 'image' in panel.disabled
    panel.image = 5.
    assert (decode(panel.subject) == on_white(m.images[row])).all()
    panel.next_image(); assert panel.score.row == row
    panel.candidate = float((truth + 1) % 24); panel.guess(); panel.guess()
    assert panel.score == Game(row, (truth + 1) % 24, 1, .5, 1., 0) and f'True: view {truth} ' in panel.caption
    panel.next_image()
    assert panel.score.open and panel.score.rounds == 1 and 'True' not in panel.caption
    panel.game = False
    assert (decode(panel.subject) == on_white(m.images[5])).all() and 'P(same)' in panel.caption


def test_an_uploaded_image_is_compared_and_a_wrong_one_is_refused_by_its_own_name():
    def file(pixels, kind='PNG'):
        buffer = io.BytesIO(); Image.fromarray(pixels).save(buffer, kind); return buffer.getvalue()
    panel = ViewpointMatcher(m := noise_matches())
    shape = np.zeros((64, 64, 4), np.uint8); shape[20:40, 10:50] = 200, 40, 40, 255
    panel.take('box.png', file(shape))
    expected = match(add_image(m, load_image(shape)), MatchState(48))
    assert panel.source == 'upload' and (decode(panel.subject) == on_white(expected.image)).all()
    assert panel.ring == scene_svg(expected) and 'True' not in panel.caption
    with pytest.raises(InputError, match='^photo.png: no alpha channel'): panel.take('photo.png', file(shape[..., :3]))
    with pytest.raises(InputError, match='^b.png: '): panel.take('b.png', b'not an image')
    with pytest.raises(InputError, match='upload: no image yet'): ViewpointMatcher(m).source = 'upload'
