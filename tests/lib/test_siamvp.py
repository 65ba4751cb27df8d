"SiamVP beside its chapter: sizes, refusals, the pool of a step, references, the classifier."
import math

import pytest
import torch
import torch.nn.functional as F
from objects import built_in
from torch.testing import assert_close

from ssr_nb.core import InputError
from ssr_nb.siamvp import (
    Similarities,
    SiamVP,
    ViewpointClassifier,
    add_hardest,
    classifier_loss,
    conv_output_size,
    object_similarity,
    pair_accuracy,
    pair_loss,
    pair_masks,
    sample_pair_batch,
    sample_pool,
    siamvp_loss,
    transform_images,
    viewpoint_similarity,
)


def seeded(seed=0): return torch.Generator().manual_seed(seed)


def tiny_siam(seed=0):
    "A small SiamVP; its weights depend on the seed alone."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SiamVP(image_size=32, width=4, features=32, kernels=(5, 4, 3))


def views_of(category, count):
    "float (count, 24, 3, 64, 64) images of built-in objects."
    return torch.as_tensor(built_in(category, count).images)[:, :, :3].float()/255


def test_the_last_feature_map_has_the_side_that_is_computed():
    assert conv_output_size(64, (10, 7, 4)) == 7
    with pytest.raises(InputError, match='kernels: expected smaller ones for images of 20 pixels'): SiamVP(image_size=20)
    maps = SiamVP(image_size=32, width=4, features=8, kernels=(5, 4, 3)).backbone[:-1](torch.zeros(1, 3, 32, 32))
    assert maps.shape[-2:] == (conv_output_size(32, (5, 4, 3)),)*2


def test_biases_start_at_zero_and_weights_as_he_et_al_draw_them():
    for network in (SiamVP(32, 16, 256, (5, 4, 3)), ViewpointClassifier(24, 32, 16, 256, (5, 4, 3))):
        for name, layer in network.named_modules():
            if not hasattr(layer, 'weight'): continue
            assert (layer.bias == 0).all(), name
            if layer.weight.numel() > 1000 and name != 'head':
                fan_in = layer.weight[0].numel()
                assert abs(layer.weight.std().item()*(fan_in/2)**.5 - 1) < .1, name


def test_an_image_agrees_with_itself_as_much_as_the_bias_says():
    siam, a = tiny_siam(), torch.rand(2, 3, 64, 64, generator=seeded())
    assert_close(siam(a, a), siam.head.bias.expand(2))


def test_images_of_any_size_are_brought_to_the_network_s_own():
    siam, images = tiny_siam(), torch.rand(2, 3, 64, 64, generator=seeded())
    small = F.interpolate(images, size=(32, 32), mode='bilinear', antialias=True)
    assert_close(siam.embed(images), siam.embed(small)); assert siam.embed(torch.rand(1, 3, 100, 100)).shape == (1, 32)
    larger = SiamVP(image_size=48, width=4, features=32, kernels=(5, 4, 3))
    assert larger.embed(images).shape == (2, 32) and larger.embedding.in_features == 2*4*conv_output_size(48, (5, 4, 3))**2 != siam.embedding.in_features


def test_rotations_add_up_and_identity_changes_nothing():
    image = torch.rand(1, 3, 8, 8, generator=seeded())
    assert_close(transform_images(image), image, atol=1e-6, rtol=0)
    assert_close(transform_images(transform_images(image, 90.), 180.), transform_images(image, 270.), atol=1e-5, rtol=0)


def test_a_shift_goes_right_and_up_and_a_scale_of_two_enlarges():
    dot = torch.zeros(1, 1, 8, 8); dot[0, 0, 4, 3] = 1
    moved = transform_images(dot, shift=(.25, .5))              # one pixel right, two up
    assert moved[0, 0, 2, 4] == 1 and moved.sum() == 1
    square = torch.zeros(1, 1, 8, 8); square[..., 3:5, 3:5] = 1
    assert transform_images(square, scale=2.).sum() > 3*square.sum()


def test_a_pool_takes_any_labeled_object_and_shows_each_of_its_viewpoints_twice():
    for count, most in ((2, 0), (2, 64), (5, 64), (20, 64), (20, 30), (3, 5), (40, 961)):
        pools = [sample_pool(count, 24, most, seeded(seed)) for seed in range(120)]
        for objects, views in pools:
            assert len(objects) == min(most or count*24, count*24) and len({*zip(objects.tolist(), views.tolist())}) == len(objects)
            assert views.bincount().unique().tolist()[-2:] != [1] and (views.bincount()[views] >= 2).all()
            same, different = pair_masks(objects, views)
            assert same.any() and different.any()
        everything = torch.stack([torch.cat(p) for p in zip(*pools)])
        assert everything[0].unique().tolist() == list(range(count)) and everything[1].unique().tolist() == list(range(24))
    first, again, other = (torch.stack(sample_pool(20, 24, 64, seeded(s))) for s in (0, 0, 1))
    assert first.equal(again) and not first.equal(other)


def test_the_released_form_has_one_hardest_pair_of_each_kind_with_weight_one_in_32():
    images, (objects, views) = torch.rand(64, 3, 32, 32, generator=seeded()), sample_pool(20, 24, 64, seeded())
    batch = sample_pair_batch(objects, views, seeded(), pairs=64, rotate=False)
    assert len(batch.same) == len(batch.different) == 32
    siam = tiny_siam()
    logits = siam.pair_logits(siam.embed(images))
    for pairs, usable, hardness in ((batch.same, batch.usable[0], -logits), (batch.different, batch.usable[1], logits)):
        mined = add_hardest(pairs, usable, hardness)
        assert len(mined) == 32 and hardness[mined[0]] == hardness[usable].max() and usable[mined].all()
    logits.retain_grad()
    same, different = (add_hardest(p, u, h) for p, u, h in ((batch.same, batch.usable[0], -logits), (batch.different, batch.usable[1], logits)))
    pair_loss(logits[same], logits[different])[0].backward()
    assert_close(logits.grad[different[0]], logits[different[0]].sigmoid().detach()/64)           # 1/32 of half of the loss


def test_the_same_seed_gives_the_same_loss():
    images, objects, views = torch.rand(6, 3, 32, 32, generator=seeded()), torch.arange(6) % 2, torch.arange(6)//2
    losses = [siamvp_loss(tiny_siam(), images, objects, views, seeded(seed), pairs=4)[0] for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_guessing_always_yes_or_always_no_is_half_right():
    siam = tiny_siam()
    images, objects, views = torch.rand(6, 3, 32, 32, generator=seeded()), torch.arange(6) % 2, torch.arange(6)//2
    for bias in (-100., 100.):
        torch.nn.init.constant_(siam.head.bias, bias)
        assert pair_accuracy(siam, images, objects, views) == .5


def test_the_accuracy_is_that_of_all_pairs_one_by_one_in_blocks_or_whole():
    siam, (objects, views) = tiny_siam(), sample_pool(3, 4, 10, seeded())
    images = torch.rand(10, 3, 32, 32, generator=seeded())
    logits = siam.pair_logits(siam.embed(images)).detach()
    torch.nn.init.constant_(siam.head.bias, -float(logits.median()))
    right = [(logits[usable] > logits.median()).float().mean() for usable in pair_masks(objects, views)]
    accuracy = pair_accuracy(siam, images, objects, views)
    assert abs(accuracy - float(right[0] + 1 - right[1])/2) < 1e-6 and .2 < accuracy < .8
    assert pair_accuracy(siam, images, objects, views, block=3) == accuracy


def test_the_similarity_of_uint8_images_is_that_of_floats_in_blocks_or_whole():
    siam = tiny_siam()
    images = torch.randint(256, (5, 3, 64, 64), generator=seeded(), dtype=torch.uint8)
    whole = viewpoint_similarity(siam, images, images[:2])
    assert whole.shape == (5, 2) and 0 <= whole.min() and whole.max() <= 1
    assert_close(viewpoint_similarity(siam, images.float()/255, images[:2], block=2), whole)


def test_the_mean_over_references_is_the_mean_of_single_ones():
    with torch.random.fork_rng():
        torch.manual_seed(0); siam = SiamVP(32, 4, 16, (5, 4, 3))
    images = torch.rand(2, 3, 3, 32, 32, generator=seeded()); references = torch.rand(2, 4, 3, 32, 32, generator=seeded(1))
    both = object_similarity(siam, images, references)
    single = [object_similarity(siam, images, r[None]) for r in references]
    assert both.shape == (2, 3, 4)
    assert_close(both, (single[0] + single[1])/2)
    chosen = torch.tensor([[0, 1, 1], [1, 0, 1]])                       # or of one reference object for each image
    assert_close(object_similarity(siam, images, references, chosen=chosen), torch.stack(single)[chosen, torch.arange(2)[:, None], torch.arange(3)])
    assert_close(Similarities(siam, images, references, chosen=chosen).similarity, object_similarity(siam, images, references, chosen=chosen))
    assert_close(single[1][1], viewpoint_similarity(siam, images[1], references[1]))


def test_images_that_no_siamvp_can_see_are_refused_by_name():
    with torch.random.fork_rng():
        torch.manual_seed(0); siam = SiamVP(32, 4, 16, (5, 4, 3))
    images = torch.rand(2, 4, 3, 32, 32, generator=seeded())
    good = dict(images=images, references=images[:1])
    for name in good:
        for wrong, found in ((images[0], '4, 3, 32, 32'), (images[0, 0], '3, 32, 32'), (torch.zeros(2, 4, 4, 32, 32), '2, 4, 4'), ((255*images).int(), 'int32'),
                             (images.numpy(), 'ndarray'), (255*images, r'in \[0, 1\], found .* to 25'), (images - 1, 'found -'), (images*math.nan, 'nan')):
            with pytest.raises(InputError, match=f'^{name}: expected .*{found}'): Similarities(siam, **good | {name: wrong})
    with pytest.raises(InputError, match='^images: expected uint8 '): Similarities(ViewpointClassifier(4, 32, 4, 16, (5, 4, 3)), **good)
    as_bytes = (255*images).round().byte()
    assert_close(Similarities(siam, as_bytes, as_bytes[:1]).similarity, Similarities(siam, as_bytes/255, as_bytes[:1]/255).similarity)


def test_similarities_compute_each_table_once_and_rotate_both_sides():
    siam, images = tiny_siam(), torch.rand(2, 4, 3, 32, 32, generator=seeded())
    s = Similarities(siam, images, images[:1])
    assert_close(s.similarity, object_similarity(siam, images, images[:1]))
    assert_close(s.rotated(90.), object_similarity(siam, images, images[:1], 90.))
    assert s.similarity is s.similarity and s.rotated(90.) is s.rotated(90.) is not s.rotated(45.)


def test_a_classifier_learns_the_viewpoints_of_two_objects_by_heart():
    images = views_of('plane', 2).flatten(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0); classifier = ViewpointClassifier(24, 32, 8, 64, (5, 4, 3))
    adam, views = torch.optim.Adam(classifier.parameters(), lr=3e-3), torch.arange(24).repeat(2)
    for _ in range(60):
        loss, right = classifier_loss(classifier, images, views)
        adam.zero_grad(); loss.backward(); adam.step()
    assert right > .9
    P = classifier.probabilities((images[None]*255).byte())
    assert P.shape == (1, 48, 24)
    assert_close(P.sum(-1), torch.ones(1, 48)); assert (P[0].argmax(-1) == views).float().mean() > .9
