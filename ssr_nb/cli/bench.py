"ssr_bench: how fast the rasterizer is here."
import os
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..core import InputError
from .shell import Flag, check_least, command, parse, say

if TYPE_CHECKING: from ..raster.bench import BenchCase

__all__: list[str] = []


@dataclass(frozen=True)
class Bench:
    """Measure the soft rasterizer: forward and backward, time an image.

    For example
      ssr_bench --faces 320 1280 --image-size 64 --backends reference cpu
    """
    batch: tuple[int, ...] = (16,)      # images at a time (reference: 1)
    # of a sphere: 20, 80, 320, 1280, 5120, …
    faces: tuple[int, ...] = (320, 1280)
    image_size: tuple[int, ...] = (64,)    # pixels
    # to compare; fragments: a list of them in plain torch; pytorch3d, deodr
    # and mitsuba where they are installed
    backends: tuple[Literal['reference', 'fragments', 'cpu', 'triton',
                            'pytorch3d', 'deodr', 'mitsuba'], ...] = (
        'reference', 'fragments', 'cpu')
    threads: tuple[int, ...] = (1,)     # of the CPU
    color: Flag = False                 # with colours, not only silhouettes
    rounds: int = 5                     # of which the median is shown
    sigma: float = 1e-4                 # edge softness
    dist_eps: float = 1e-10             # cut-off, as in training


def check_bench(o: Bench):
    "InputError for what is wrong and can be seen without torch."
    check_least(rounds=(o.rounds, 1), **{
        name: (min(getattr(o, name), default=0), 1)
        for name in ('batch', 'image_size', 'threads')})
    if not o.backends: raise InputError('--backends: none given')
    for faces in o.faces:
        count = 20
        while count < faces: count *= 4
        if count != faces:
            raise InputError('--faces: expected those of a sphere: 20, 80, 320, '
                             f'1280, 5120, …, found {faces}')


def bench_cases(
    o: Bench,
) -> list['BenchCase']:
    "Every combination that this machine can run; others are said."
    import torch

    from ..raster.bench import RIVALS, BenchCase, missing_package
    absent = {}
    for rival in RIVALS:
        if o.color: absent[rival] = 'compared by silhouettes only'
        if missing_package(rival): absent[rival] = 'not installed'
    if not torch.cuda.is_available(): absent['triton'] = 'no CUDA device'
    absent = {b: absent[b] for b in o.backends if b in absent}
    backends = [b for b in o.backends if b not in absent]
    if not backends:
        why = ', '.join(f'{b}: {reason}' for b, reason in absent.items())
        raise InputError(f'--backends: none left to measure ({why})')
    say(*(f'{name}: left out, {reason}' for name, reason in absent.items()))
    task = 'color' if o.color else 'silhouette'
    cases = [BenchCase(b, task, 1 if b == 'reference' else n, f, s, t)
             for s in o.image_size for f in o.faces for t in o.threads
             for n in o.batch for b in backends]
    return list(dict.fromkeys(cases))   # the reference once


@command('ssr_bench')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "Measure the rasterizer and print a table, times an image."
    o = parse(Bench, words, 'ssr_bench')
    check_bench(o)
    import torch

    from ..raster.bench import bench
    from ..tables import markdown_table
    rows = bench(bench_cases(o), o.rounds, sigma=o.sigma, dist_eps=o.dist_eps)
    say(f'{platform.machine()}, {os.cpu_count()} cores, torch '
        f'{torch.__version__}; times an image, medians\n',
        markdown_table(rows, aligned=True))


if __name__ == '__main__': sys.exit(main())
