"Training beside its chapter: the pool, references, the gate, precision, graphs, callbacks, refusals."
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from objects import built_in, tiny
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from ssr_nb.callbacks import Callback, Patience, fit
from ssr_nb.config import with_overrides
from ssr_nb.core import InputError
from ssr_nb.rules import Classifier, Rule
from ssr_nb.train import Labels, Trainer, labeled_objects, sample_pairs


def seeded(seed=0): return torch.Generator().manual_seed(seed)


def tiny_trainer(device='cpu', **changes):
    return Trainer(built_in(), built_in(count=1), with_overrides(tiny, changes), device)


def test_pairs_of_one_seed_are_the_same_and_no_labels_are_an_error():
    labels = torch.arange(24).expand(3, 24)
    first, again = sample_pairs(labels, 9, seeded(1)), sample_pairs(labels, 9, seeded(1))
    for a, b in zip(first, again): assert_close(a, b)
    with pytest.raises(InputError, match='no object has two'): sample_pairs(torch.full((3, 24), -1), 9, seeded())


def test_labeled_and_unlabeled_objects_are_all_objects():
    labels = Labels(torch.tensor([3, 1]), 5, 24)
    assert labels.unlabeled.tolist() == [0, 2, 4] and labels.pseudo.shape == (3, 24)


def test_the_labeled_share_of_a_batch_is_chosen_or_follows_the_numbers_of_images():
    labels = Labels(torch.tensor([0, 1]), 6, 24)
    assert labels.pseudo_count(8, .5) == 0
    labels.pseudo = torch.arange(24).expand(4, 24).clone()
    for share, guessed in ((.5, 4), (1., 0), (0., 8), (.25, 6), (None, 5)):      # by numbers: 4 of 6 objects are pseudo-labeled
        assert labels.pseudo_count(8, share) == guessed
        objects, images, views = labels.sample(8, share, seeded())
        assert (objects < 2).sum() == 8 - guessed and views.shape == (2, 8)


def test_the_labeled_objects_are_drawn_by_the_seed_or_named():
    labels = tiny_trainer().labels
    assert sorted(labels.labeled.tolist() + labels.unlabeled.tolist()) == list(range(6)) and len(labels.labeled) == 2
    assert labeled_objects(replace(tiny, labeled=(4, 0)), 6).tolist() == [4, 0]
    with pytest.raises(InputError, match='labeled: expected object numbers below 6, found 6'): labeled_objects(replace(tiny, labeled=(0, 6)), 6)
    assert labeled_objects(replace(tiny, labeled=0), 6).sort().values.tolist() == list(range(6))


def test_pseudo_labeled_objects_join_siamvp_s_pairs():
    trainer = tiny_trainer(**{'view.pseudo': 2})
    images, objects, views = trainer.siam_batch()
    assert len(images) == 2*24 and objects.unique().tolist() == [0, 1]     # no labels yet
    trainer.labels.pseudo[2, :20] = torch.arange(20).flip(0); trainer.labels.pseudo[3, :5] = 1             # the second has too few labels
    images, objects, views = trainer.siam_batch()
    assert len(images) == 2*24 + 20 and objects.unique().tolist() == [0, 1, 2]
    assert views[objects == 2].tolist() == list(range(19, -1, -1))
    assert_close(images[objects == 2], trainer.siam_images[trainer.labels.unlabeled[2], :20].float()/255)


def test_the_pool_of_a_step_comes_from_all_labeled_objects():
    trainer = tiny_trainer(labeled=5, **{'view.images': 64})
    shown = torch.zeros(5, 24)
    for _ in range(60):
        images, objects, views = trainer.siam_batch()
        assert len(images) == 64
        shown[objects, views] += 1
        assert_close(images[9], trainer.siam_images[trainer.labels.labeled[objects[9]], views[9]].float()/255)
    assert shown.min() > 15 and shown.max() < 50                              # 32 of 60 times each


def test_the_gate_measures_one_batch_of_labeled_images_or_all_of_them():
    trainer = tiny_trainer(labeled=5, gate=1., **{'view.images': 30})
    seen = []
    trainer.view.accuracy = lambda images, objects, views: seen.append(len(images)) or .5
    for gate_on in ('batch', 'all'):
        trainer.config = replace(trainer.config, gate_on=gate_on)
        trainer.relabel()
    assert seen == [30, 5*24] and trainer.sums['gate_accuracy'] == .5
    trainer = tiny_trainer(gate_on='all')
    trainer.relabel()
    row, images = trainer.validate(), trainer.siam_images[trainer.labels.labeled].flatten(0, 1)
    accuracy = trainer.view.accuracy(images/255, torch.arange(2).repeat_interleave(24), torch.arange(24).repeat(2))
    assert row['gate_accuracy'] == round(accuracy, 6) and 0 < accuracy < 1    # and the log has it


def test_references_are_drawn_for_each_viewpoint_or_image_or_are_the_first_object_or_all():
    trainer = tiny_trainer(labeled=3)
    known = trainer.siam_images[trainer.labels.labeled]
    def drawn(references):
        trainer.config = replace(trainer.config, references=references)
        return [trainer.references() for _ in range(20)]
    for images, chosen in drawn('first'): assert images.equal(known[:1]) and chosen is None
    for images, chosen in drawn('all'): assert images.equal(known) and chosen is None
    found = [torch.tensor([[k for k in range(3) if images[0, v].equal(known[k, v])][0] for v in range(24)]) for images, chosen in drawn('view')]
    counts = torch.stack(found).flatten().bincount(minlength=3)
    assert (counts > 100).all() and sum(len(f.unique()) == 3 for f in found) > 15     # 480 drawn; objects are mixed
    for images, chosen in drawn('image'):
        assert images.equal(known) and chosen.shape == trainer.labels.pseudo.shape and len(chosen.unique()) == 3


def test_a_run_that_diverges_says_so():
    trainer = tiny_trainer()
    torch.nn.init.constant_(trainer.model.decoder.displacement.bias, torch.nan)
    with pytest.raises(InputError, match='training diverged: try a smaller shape.lr'): trainer.step()


def test_lr_and_sigma_drop_after_a_share_of_the_run_however_long_it_is():
    for iterations in (12, 40):
        trainer = tiny_trainer(iterations=iterations, **{'shape.decay': .75})
        found = []
        for trainer.iteration in range(iterations): found.append(trainer.decay)
        assert found == [1.]*(iterations*3//4) + [.3]*(iterations//4)


def test_with_colours_the_network_learns_them_too():
    trainer = tiny_trainer(**{'shape.color': 1.})
    before = trainer.model.decoder.color.weight.clone()
    trainer.step()
    assert not trainer.model.decoder.color.weight.equal(before)
    trainer.best = trainer.model.state_dict()
    assert trainer.best_model().predict(trainer.images[0, 0]).vertex_colors.shape == (42, 3)


def test_a_rule_of_your_own_labels_in_training_too_and_nonsense_is_named():
    @dataclass(frozen=True)
    class SecondView(Rule):
        def __call__(self, s): return s.similarity.argmax(-1)*0 + 1
    @dataclass(frozen=True)
    class Wrong(Rule):
        answer: str = 'float'
        def __call__(self, s):
            view = s.similarity.argmax(-1)
            return {'float': view.float(), 'large': view*0 + 24, 'short': view[:, :3], 'list': view.tolist()}[self.answer]
    run = fit(built_in(), built_in(count=1), replace(tiny, rule=SecondView()), progress=False)
    assert (run.labels.pseudo == 1).all()
    for answer, found in (('float', 'float32'), ('large', 'from -1 to 23, found 24 to 24'), ('short', r'\(4, 3\)'), ('list', 'found list')):
        with pytest.raises(InputError, match=f'rule Wrong: expected .*{found}'): tiny_trainer(rule=Wrong(answer)).relabel()


def test_networks_in_bfloat16_learn_what_networks_in_float32_learn():
    losses = {}
    for precision in ('float32', 'bfloat16'):
        trainer = tiny_trainer(**{'run.precision': precision})
        losses[precision] = torch.stack([torch.stack([trainer.shape.step(*trainer.shape_batch()), trainer.view.step(*trainer.siam_batch(), trainer.generator)[0]])
                                         for _ in range(3)])
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert_close(losses['bfloat16'], losses['float32'], atol=.03, rtol=.03)
    assert (losses['bfloat16'] != losses['float32']).all()


def test_once_its_batch_is_drawn_a_step_asks_the_host_nothing():
    pytest.importorskip('triton')
    class Calls(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            name = getattr(function, '__name__', str(function))
            if name != 'as_tensor' or not isinstance(args[0], torch.Tensor): names.append(name)
            return function(*args, **(kwargs or {}))
    stalls = {'new_tensor', 'tensor', 'as_tensor', 'from_numpy', 'item', 'tolist', 'cpu', 'numpy', 'nonzero', 'masked_select',
              '__bool__', '__int__', '__float__', '__index__'}
    def heard(trainer, compute, network, inputs):   # by a device that has shapes and no numbers: reading one is an error
        names.clear()
        for part in (network, trainer.shape.loss): part.to('meta')
        inputs = [x if x is None else x.to('meta') for x in inputs]
        with pytest.MonkeyPatch.context() as patched, Calls():
            patched.setattr(torch, 'autocast', lambda *args, **kw: nullcontext())   # there is none for meta
            patched.setattr('ssr_nb.raster.choose_backend', lambda *args: 'triton')
            compute(*inputs)[0].backward()
        return set(names)
    for changes in ({}, {'view.pairs': 32, 'shape.color': .1}, {'rule': Classifier()}, {'view.pseudo': 2}):
        names, trainer = [], tiny_trainer(**changes)
        trainer.shape.loss.laplacian = trainer.shape.loss.laplacian.to_dense()                     # as on every device but the CPU
        images, objects, views = trainer.siam_batch()
        shape = heard(trainer, partial(trainer.shape.compute, 1e-4), trainer.model, trainer.shape_batch())
        sampled = trainer.view.sample(objects, views, trainer.generator)
        view = heard(trainer, trainer.view.compute, trainer.siam, (images, *sampled))
        assert len(shape) > 30 and len(view) > 10 and not stalls & (shape | view), stalls & (shape | view)
    with pytest.raises(RuntimeError, match='meta'):                      # a step that did would be noticed
        heard(trainer, lambda images: (trainer.siam.embed(images)[torch.ones(len(images), device='meta') > 0].sum(),), trainer.siam, (images,))


def test_a_replayed_step_is_the_step(device):
    if device == 'cpu':
        with pytest.raises(InputError, match='graph: expected False on a CPU'): tiny_trainer(**{'run.graph': True})
    else:
        losses = []
        for graph in (False, True):
            trainer = tiny_trainer(device, **{'run.graph': graph})
            losses.extend(torch.stack([*trainer.view.step(*trainer.siam_batch(), trainer.generator),
                                       trainer.shape.step(*trainer.shape_batch(), 1. if step < 5 else .3)]) for step in range(10))
            assert len(trainer.view.stepper.replays) + len(trainer.shape.stepper.replays) == (3 if graph else 0)
        assert_close(torch.stack(losses[10:]), torch.stack(losses[:10]), atol=1e-4, rtol=1e-4)


def test_callbacks_see_every_step_and_validation_and_may_stop_the_run():
    class Count(Callback):
        def before_fit(self, trainer): self.calls = ['before']
        def after_step(self, trainer):
            self.calls.append(trainer.iteration)
            if trainer.iteration == 6: trainer.stop()
        def after_validate(self, trainer): self.calls.append(trainer.log[-1]['val_iou'])
        def after_fit(self, trainer): self.calls.append('after')
    count = Count()
    trainer = fit(built_in(), built_in(count=1), tiny, progress=False, callbacks=[count])
    assert count.calls == ['before', 1, 2, 3, trainer.log[0]['val_iou'], 4, 5, 6, 'after'] and trainer.done and trainer.iteration == 6


def test_patience_stops_a_run_that_no_longer_gains():
    trainer = tiny_trainer(**{'run.patience': 2})
    trainer.best_iteration, trainer.log = 4, [dict(iteration=4, val_iou=.5), dict(iteration=8, val_iou=.4)]
    Patience().before_fit(trainer); assert not trainer.done
    trainer.log.append(dict(iteration=12, val_iou=.5))
    Patience().before_fit(trainer); assert trainer.done
