"ssr_sweep: a table of runs."
import inspect
import multiprocessing
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from ..core import InputError
from .shell import (
    File,
    Flag,
    Folder,
    check_category,
    check_labeled,
    check_least,
    check_out,
    command,
    did_you_mean,
    handle_signals,
    parse,
    say,
)

__all__: list[str] = []

# of sweep.METHODS, which needs torch
METHODS = ('softras', 'ssr', 'confidence', 'no_rotation', 'classifier', 'joint',
           'oracle', 'ring', 'ring_without_path', 'ring_without_pseudo',
           'ring_without_trust', 'ring_without_neighbors',
           'ring_without_render', 'ring_one_reference')


@dataclass(frozen=True)
class Sweep:
    """Fill a table of runs: categories × methods × labels × seeds.

    For example
      ssr_sweep objects --categories chair plane --methods softras ssr ring
      ssr_sweep objects --categories all --labeled 2 --seeds 0 1 2
    """
    data: Positional[Folder]              # data set
    # names or WordNet ids; all: every category of the data set
    categories: Annotated[tuple[str, ...], arg(metavar='NAME …')]
    # of those above
    methods: Annotated[tuple[str, ...], arg(metavar='METHOD …')] = (
        'softras', 'ssr', 'ring')
    # numbers of labeled objects; 0: all, SoftRas alone
    labeled: Annotated[tuple[int, ...], arg(metavar='N …')] = (2, 5, 20, 0)
    # of labeled objects and weights
    seeds: Annotated[tuple[int, ...], arg(metavar='SEED …')] = (0,)
    iterations: int = 1200                # of each run
    # of all methods but ring and its kin, which have their own
    preset: Literal['small', 'medium', 'paper'] = 'small'
    results: File = Path('results.csv')   # a line a finished run
    runs: Folder = Path('sweep')          # a folder a run
    processes: int = 1                    # at a time, one thread each
    ray: str | None = None                # cluster's address, auto or local
    quiet: Flag = False                   # no progress bar


def check_sweep(
    o: Sweep,
) -> tuple[str, ...]:   # categories
    "InputError for what is wrong and can be seen without torch."
    from ..data.npz import SPLITS, list_splits
    check_least(processes=(o.processes, 1), iterations=(o.iterations, 1))
    if o.results.is_dir(): check_out(o.results, '--results')
    for method in o.methods:
        if method not in METHODS:
            raise InputError(f'--methods: expected some of {", ".join(METHODS)}, '
                             f'found {method!r}{did_you_mean(method, METHODS)}')
    names = o.categories
    if 'all' in names:
        found = list_splits(o.data)
        names = tuple(sorted({name for name, _ in found
                              if all((name, s) in found for s in SPLITS)}))
        if not names:
            raise InputError(f'{o.data}: no category has all of '
                             f'{", ".join(SPLITS)}')
    for name in names: check_category(o.data, name, SPLITS)
    return names


@command('ssr_sweep')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "Run what is missing of a table, and print it."
    about = (f'{inspect.cleandoc(Sweep.__doc__ or "")}\n\n'
             f'Methods: {", ".join(METHODS)}.')
    o = parse(Sweep, words, 'ssr_sweep', description=about)
    names = check_sweep(o)
    from ..data import load_split
    from ..sweep import FailedRuns, sweep, table_cases
    from ..tables import gap_table, markdown_table, results_table
    try: cases = table_cases(names, o.methods, o.labeled, o.seeds, o.iterations,
                             o.preset)
    except InputError as error: raise InputError(f'--{error}') from None
    for name in names:
        count = len(load_split(o.data, name, 'train'))
        for n in o.labeled: check_labeled(n, count, name)
    again = shlex.join(['ssr_sweep', *words])

    def stop(*_: Any):
        "End the workers, too; each run has its checkpoint."
        for child in multiprocessing.active_children(): child.terminate()
        raise KeyboardInterrupt(f'stopped; go on with: {again}')
    failed = None
    with handle_signals(stop):
        try: rows = sweep(cases, o.data, o.results, o.runs, o.processes, o.ray,
                          not o.quiet)
        except FailedRuns as error: failed, rows = error, error.rows
    counts = [n for n in o.labeled if n]
    if len(rows): say(markdown_table(results_table(rows, o.methods, counts), True))
    gaps = gap_table(rows, [m for m in o.methods if m != 'softras'], counts)
    if len(gaps): say('\ngap closed', markdown_table(gaps, True))
    if failed: raise failed


if __name__ == '__main__': sys.exit(main())
