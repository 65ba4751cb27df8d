"The ring rule within a training run, and what it refuses."
import math
from dataclasses import replace

import pytest
import torch
from objects import built_in
from torch import nn
from torch.testing import assert_close

from ssr_nb import ring
from ssr_nb.camera import viewpoint_ring
from ssr_nb.config import PRESETS, with_overrides
from ssr_nb.core import InputError
from ssr_nb.data.split import thumbnail_features
from ssr_nb.render import render_views
from ssr_nb.ring import (Ring, image_distance, label_on_ring, order_on_ring,
                         propagate_placement, shift_distances)
from ssr_nb.shapes import make_shape
from ssr_nb.siamvp import Similarities, SiamVP
from ssr_nb.train import Trainer

ALONE = Ring(rotations=1, trust=1., neighbor_weight=0., render_weight=0.)


def undecided():
    "A SiamVP for which every pair is as likely as not."
    siam = SiamVP(32, 4, 16, (5, 4, 3))
    nn.init.zeros_(siam.head.weight)
    return siam


class Known(nn.Module):
    "A network that has one mesh for every image."
    def __init__(self, mesh):
        super().__init__()
        self.vertices, self.faces = mesh.vertices, mesh.faces

    def forward(self, images): return self.vertices.expand(len(images), -1, -1)


@pytest.fixture(scope='module')
def chair():
    "A chair, its images (24, 4, 64, 64) in some order, and that order."
    order = torch.randperm(24, generator=torch.Generator().manual_seed(5))
    return (make_shape('chair', torch.Generator().manual_seed(0)),
            torch.as_tensor(built_in('chair', 1).images)[0, order], order)


def question(images, references, **more):
    "What a rule is asked of one object that SiamVP knows nothing of."
    return Similarities(undecided(), images[None, :, :3], references[None, :, :3], **more)


def accuracy(rule, asked, order): return (rule(asked)[0] == order).float().mean().item()


@pytest.mark.slow
def test_the_rendered_mesh_is_evidence_where_siamvp_has_none(chair):
    mesh, images, order = chair
    asked = question(images, images[order.argsort()], model=Known(mesh), rgba=lambda: images[None],
                     viewpoints=viewpoint_ring())
    assert accuracy(replace(ALONE, render_weight=10.), asked, order) > .9
    assert accuracy(ALONE, asked, order) < .5


def test_a_neighbour_places_an_order_that_siamvp_begins_elsewhere(chair):
    _, images, order = chair
    asked = question(images, images[order.argsort()])
    S = torch.full((1, 24, 24), .1)
    S[0, torch.arange(24), (order + 6) % 24] = .9          # a quarter turn on, in the right direction
    asked._tables = {0.: S, 45.: S}
    placed = replace(ALONE, neighbor_weight=.1)
    assert placed.together and not ALONE.together
    assert (placed(asked)[0] == order).all()
    assert (ALONE(asked)[0] == (order + 6) % 24).all()


def test_a_run_trusts_more_objects_at_every_labeling(monkeypatch):
    train, val = built_in('plane', 8), built_in('plane', 2, 1, 'val')
    rule = Ring(rotations=1, trust=.2)
    trainer = Trainer(train, val, with_overrides(PRESETS['ring'], {
        'rule': rule, 'iterations': 12, 'cycle': 4, 'gate': 0., 'seed': 3, 'batch': 2,
        'shape.subdivisions': 1, 'shape.width': 4, 'shape.hidden': 32, 'shape.features': 16,
        'view.width': 4, 'view.features': 16, 'view.warmup': 2}))
    seen, counts = [], []
    true_evidence, true_neighbours = ring.render_agreement, ring.propagate_placement
    def evidence(model, images, *more):
        seen.append((model, images.shape, len(more[0])))
        return true_evidence(model, images, *more)
    def neighbours(views, fit, images, references, *more):
        counts.append((len(images), len(references), more[1]))
        return true_neighbours(views, fit, images, references, *more)
    monkeypatch.setattr(ring, 'render_agreement', evidence)
    monkeypatch.setattr(ring, 'propagate_placement', neighbours)
    labeled = []
    while not trainer.done:
        trainer.step()
        if trainer.iteration % 4 == 0:
            labeled.append(int((trainer.labels.pseudo >= 0).any(1).sum()))
    n = len(trainer.labels.unlabeled)
    wanted = [math.ceil((.2 + .8*share)*n) for share in (1/3, 2/3, 1.)]
    assert counts == [(n, len(trainer.labels.labeled), most) for most in wanted]
    assert all(model is trainer.model and shape == (n, 24, 4, 64, 64) and views == 24
               for model, shape, views in seen) and len(seen) == 3
    assert all(found <= most for found, most in zip(labeled, wanted)) and labeled[-1] > 0
    for row in trainer.labels.pseudo.tolist():           # no viewpoint twice in an object
        known = [v for v in row if v >= 0]
        assert len(set(known)) == len(known)


def test_objects_past_the_share_of_trust_get_no_label(chair):
    _, images, order = chair
    several = torch.stack([images, images.flip(-1), images.roll(5, -1), images.flip(-2)])
    asked = Similarities(undecided(), several[:, :, :3], images[None, order.argsort(), :3], progress=.5)
    for trust, count in ((0., 2), (.5, 3), (1., 4)):
        labels = replace(ALONE, trust=trust, neighbor_weight=.1)(asked)
        assert (labels >= 0).any(1).sum() == count


def test_viewpoints_that_are_no_ring_are_refused(chair):
    mesh, images, order = chair
    for wrong in (viewpoint_ring() + torch.tensor([0., 0, 7.])*torch.arange(24)[:, None].remainder(2),
                  viewpoint_ring() + torch.tensor([0., 20, 0.])*(torch.arange(24)[:, None] > 11)):
        asked = question(images, images[order.argsort()], viewpoints=wrong)
        with pytest.raises(InputError, match='^viewpoints: the ring rule expects equal steps of azimuth'): ALONE(asked)
    turned = viewpoint_ring() + torch.tensor([0., 0, 100.])     # a ring that begins elsewhere
    assert ALONE(question(images, images[order.argsort()], viewpoints=turned)).shape == (1, 24)


def test_an_object_that_has_not_one_image_for_each_viewpoint_is_refused(chair):
    _, images, order = chair
    with pytest.raises(InputError, match='one image of an object for each viewpoint'):
        ALONE(question(images[:12], images[order.argsort()]))


def test_walks_that_begin_at_the_wrong_place_are_put_right_by_their_neighbours():
    generator, ring = torch.Generator().manual_seed(3), viewpoint_ring()
    chairs = torch.stack([torch.as_tensor(render_views(make_shape('chair', generator), ring))[:, :3] for _ in range(4)])
    walks = torch.stack([(torch.arange(24) + turn) % 24 for turn in (12, 5, 0)])          # all right as walks
    nowhere = torch.zeros(3, 24)
    views, order = propagate_placement(walks, nowhere, chairs[1:], chairs[:1])
    assert (views == torch.arange(24)).all() and sorted(order.tolist()) == [0, 1, 2]
    mixed = torch.randperm(24, generator=generator)                                     # images in any order
    again, _ = propagate_placement(walks[:, mixed], nowhere, chairs[1:, mixed], chairs[:1])
    assert_close(again, views[:, mixed])
    sure = torch.full((3, 24), -9.); sure[:, 0] = 0                                       # SiamVP insists on where they are
    assert_close(propagate_placement(walks, sure, chairs[1:], chairs[:1], weight=100.)[0], walks)


def test_the_likest_object_is_placed_first():
    base = torch.randint(256, (24, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    alike = [(base.float()*share).byte() for share in (.5, .9, .7)]
    views, order = propagate_placement(torch.arange(24).expand(3, 24), torch.zeros(3, 24), torch.stack(alike), base[None])
    assert order.tolist() == [1, 2, 0] and (views == torch.arange(24)).all()
    table = shift_distances(thumbnail_features(base)[None].roll(-3, 1), thumbnail_features(base))      # the walk begins at viewpoint 3
    assert table[0].argmin() == 3 and table[0, 3] < 1e-3


def test_one_sure_image_places_the_whole_walk():
    angle = torch.arange(12)*torch.pi/6                      # a clock's hand, seen twelve times
    walk = (255*torch.stack([angle.cos(), angle.sin(), torch.ones(12)], -1).add(1)/2).byte()[:, :, None, None]
    walk = walk*torch.tensor([1, 1, 0], dtype=torch.uint8)[:, None, None]
    S = torch.full((12, 12), .5); S[0, 0] = S[1, 1] = .9     # two images know where they are, ten know nothing
    shuffled = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    assert order_on_ring(S[shuffled], image_distance(walk[shuffled])).tolist() == shuffled.tolist()
    labels = label_on_ring(S[None, shuffled], S[None, shuffled].roll(3, -1), walk[None, shuffled])
    assert (labels == -1).all()                              # tilted, it would start three o'clock later
    unsure = torch.stack([S*0 + .5, S])[:, shuffled]         # the first of two objects knows nothing at all
    labels = label_on_ring(unsure, unsure, torch.stack([walk, walk])[:, shuffled], trust=.5)
    assert (labels[0] == -1).all() and labels[1].tolist() == shuffled.tolist()
    with pytest.raises(InputError, match='one image of an object for each viewpoint'): label_on_ring(S[None, :, :5], S[None, :, :5], walk[None])
