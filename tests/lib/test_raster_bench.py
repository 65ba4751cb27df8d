"The benchmark measures what it names, and its rivals render what we render."
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from ssr_nb.core import InputError
from ssr_nb.raster import soft_silhouette
from ssr_nb.raster.bench import (
    RIVALS,
    BenchCase,
    bench,
    count_fragments,
    missing_package,
    peak_memory,
    spheres,
)


def test_a_list_of_fragments_renders_what_the_reference_renders():
    scene = spheres(3, 1)
    ours = soft_silhouette(scene.corners, image_size=20, sigma=1e-3,
                           backend='reference')
    assert_close(RIVALS['fragments'].render(scene, 20, 1e-3, 1e-4), ours)


@pytest.mark.parametrize(('name', 'near'), [
    ('pytorch3d', 1e-3), ('deodr', .06), ('mitsuba', .08)])
def test_a_rival_renders_the_same_object_and_feels_it_on_the_same_side(name, near):
    if package := missing_package(name): pytest.skip(f'{package} is not installed')
    scene = spheres(2, 2)
    moved = scene.vertices*torch.tensor([.6, .8, 1]) + torch.tensor([.3, .1, 0])
    found = {}
    columns = torch.linspace(-1, 1, 64)
    for who in name, 'ours':
        for weight in columns, -columns[:, None]:
            here = scene._replace(vertices=moved.clone().requires_grad_())
            image = (soft_silhouette(here.corners, dist_eps=1e-10) if who == 'ours'
                     else RIVALS[who].render(here, 64, 1e-4, 1e-10))
            slope, = torch.autograd.grad((image*weight).sum(), here.vertices)
            found.setdefault(who, []).append(slope[..., :2].sum(1))
        found[who].append(image.detach())
    (*slopes, image), (*our_slopes, ours) = found[name], found['ours']
    assert (image - ours).abs().mean() < near < (image - ours.flip(-1)).abs().mean()
    assert (image - ours.flip(-2)).abs().mean() > .5*near
    for theirs, mine in zip(slopes, our_slopes):   # of the sum over all vertices
        assert torch.nn.functional.cosine_similarity(theirs, mine).min() > .8


def test_a_hand_counted_box_and_its_reach():
    square = torch.tensor([[[[-.45, -.45, 2], [.45, -.45, 2], [.45, .45, 2]]]])
    hard = dict(image_size=8, sigma=1e-20, dist_eps=.4)
    assert count_fragments(square, **hard) == 4*4  # from -.45 to .45: four pixels
    assert count_fragments(square.repeat(3, 2, 1, 1), **hard) == 6*16
    wide = count_fragments(square, 8, 1e-2, 1e-4)  # it reaches .3, over a pixel
    assert wide == 6*6


def test_peak_memory_sees_what_a_call_frees_again():
    peak = peak_memory(lambda: torch.ones(16, 2**20).sum())       # 64 MB
    assert peak != peak or 55 < peak < 90


def test_a_benchmark_reports_medians_and_ratios_to_the_reference():
    def measure(calls, rounds):
        for call in calls.values(): call()
        return {(case, what): (.02 if case.backend == 'reference' else .004)
                * (1 if what == 'both' else .5) for case, what in calls}

    case = BenchCase(batch=2, faces=20, image_size=8, threads=2)
    threads = torch.get_num_threads()
    rows = bench([replace(case, backend='reference', batch=1), case,
                  replace(case, task='color')], 3, measure)
    assert_close([r['forward + backward, ms'] for r in rows], [20., 2., 2.])
    assert_close([r['forward, ms'] for r in rows], [10., 1., 1.])
    assert_close([r['times faster'] for r in rows], [1., 10., float('nan')],
                 equal_nan=True)
    assert torch.get_num_threads() == threads


def test_a_benchmark_measures_what_it_names():
    rows = bench([BenchCase(backend, task, 1, 80, 8) for backend in ('cpu', 'reference')
                  for task in ('silhouette', 'color')]
                 + [BenchCase('fragments', 'silhouette', 2, 80, 8)], 1)
    assert all(r['forward, ms'] > 0 and r['million fragments/s'] > 0
               and not r['peak, MB'] < 0 for r in rows)
    with pytest.raises(InputError, match='faces.*found 21'):
        bench([BenchCase(faces=21)])
