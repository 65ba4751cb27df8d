"ssr_sweep: a table of runs."
import inspect
import multiprocessing
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from ..config import PRESETS, RunConfig
from ..core import InputError
from ..shapes import CATEGORIES
from .shell import (
    File,
    Folder,
    OptionalFolder,
    Training,
    check_category,
    check_device,
    check_labeled,
    check_least,
    check_out,
    command,
    did_you_mean,
    find_preset,
    handle_signals,
    parse,
    say,
)

__all__: list[str] = []

# of sweep.METHODS, which needs torch
METHODS = ('softras', 'ssr', 'no_rotation', 'confidence',
           'confidence_no_rotation', 'classifier', 'joint', 'oracle', 'ring',
           'ring_without_path', 'ring_without_pseudo', 'ring_without_trust',
           'ring_without_neighbors', 'ring_without_render', 'ring_one_reference')


@dataclass(frozen=True)
class Sweep(Training):
    """Fill a table of runs: categories × methods × labels × seeds.

    For example
      ssr_sweep objects --categories chair plane --methods softras ssr ring
      ssr_sweep objects --categories all --labeled 2 --seeds 0 1 2
      ssr_sweep shapenet --categories shapenet --preset paper --device cuda

    A line that the results file has is not run again. Finished runs that lie
    in the folder of runs, also those of ssr_train, are taken over.
    """
    data: Positional[Folder]              # data set
    # names or WordNet ids; shapenet: the 13 of the paper; all: every category
    # of the data set
    categories: Annotated[tuple[str, ...], arg(metavar='NAME …')]
    run: Annotated[RunConfig, arg(name='')]
    # of those above
    methods: Annotated[tuple[str, ...], arg(metavar='METHOD …')] = (
        'softras', 'ssr', 'ring')
    # numbers of labeled objects; 0: all, SoftRas alone
    labeled: Annotated[tuple[int, ...], arg(metavar='N …')] = (2, 5, 20, 0)
    # of labeled objects and weights
    seeds: Annotated[tuple[int, ...], arg(metavar='SEED …')] = (0,)
    iterations: int | None = None         # of each run; none: the preset's
    results: File = Path('results.csv')   # a line a finished run
    runs: Folder = Path('sweep')          # a folder a run
    # gets figure4.png and figure5.png of the runs with the first seed and
    # number of labels; test objects are then scored at each validation, too
    figures: OptionalFolder = None
    processes: int = 1                    # at a time
    ray: str | None = None                # cluster's address, auto or local


def parse_sweep(
    words: list[str],   # behind the command's name
) -> Sweep:
    "Options of ssr_sweep; when it validates and saves, as its preset does."
    about = (f'{inspect.cleandoc(Sweep.__doc__ or "")}\n\n'
             f'Methods: {", ".join(METHODS)}.')
    missing: Any = tyro.MISSING_NONPROP
    preset = find_preset(words)
    default = Sweep(missing, missing, PRESETS[preset].run, preset=preset)
    return parse(Sweep, words, 'ssr_sweep', description=about, default=default)


def check_sweep(
    o: Sweep,
) -> tuple[str, ...]:   # categories
    "InputError for what is wrong and can be seen without torch."
    from ..data.npz import SPLITS, list_splits
    check_least(processes=(o.processes, 1), threads=(o.threads, 1),
                iterations=(1 if o.iterations is None else o.iterations, 1))
    if o.results.is_dir(): check_out(o.results, '--results')
    for method in o.methods:
        if method not in METHODS:
            raise InputError(f'--methods: expected some of {", ".join(METHODS)}, '
                             f'found {method!r}{did_you_mean(method, METHODS)}')
    known = {number: name for name, number in CATEGORIES.items()}
    names: list[str] = []
    for name in o.categories:
        if name == 'shapenet': names += CATEGORIES
        elif name != 'all': names.append(known.get(name, name))
        else:
            found = list_splits(o.data)
            names += sorted({known.get(name, name) for name, _ in found
                             if all((name, s) in found for s in SPLITS)})
            if not names:
                raise InputError(f'{o.data}: no category has all of '
                                 f'{", ".join(SPLITS)}')
    for name in names: check_category(o.data, name, SPLITS)
    return tuple(dict.fromkeys(names))


def write_figures(
    o: Sweep,
    names: tuple[str, ...],   # categories
    folders: dict[tuple[str, str], Path],   # category, method -> finished run
):
    "Figures 4 and 5 of the paper, of the runs of a sweep."
    from ..data import load_split
    from ..figures import cycles_figure, gallery, gallery_figure, write_figure
    from ..reconstruct import Reconstructor
    from ..runs import read_run
    runs = {name: {method: read_run(folder) for (category, method), folder
                   in folders.items() if category == name} for name in names}
    runs = {name: some for name, some in runs.items() if some}
    if not runs: return
    assert o.figures is not None
    rows = []
    for name, some in runs.items():
        models = {m: Reconstructor.load(run.folder) for m, run in some.items()}
        rows += [replace(row, title=name) for row in gallery(
            models, load_split(o.data, name, 'test'), [0])]
    o.figures.mkdir(parents=True, exist_ok=True)
    write_figure(cycles_figure(runs), o.figures/'figure4.png')
    shown = max(rows, key=lambda r: len(r.renders)).renders
    write_figure(gallery_figure([r for r in rows if r.renders.keys() == shown.keys()]),
                 o.figures/'figure5.png')
    say(f'wrote {o.figures/"figure4.png"} and {o.figures/"figure5.png"}')


@command('ssr_sweep')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "Run what is missing of a table, and print it."
    o = parse_sweep(words)
    names = check_sweep(o)
    from ..data import load_split
    from ..sweep import FailedRuns, run_folders, sweep, table_cases
    from ..tables import gap_table, markdown_table, results_table, score_table
    check_device(o.device)
    try: cases = table_cases(names, o.methods, o.labeled, o.seeds, o.iterations,
                             o.preset, o.run)
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
                          not o.quiet, device=o.device, threads=o.threads,
                          test_curve=o.figures is not None)
        except FailedRuns as error: failed, rows = error, error.rows
    counts = [n for n in o.labeled if n]
    for title, table in (
            ('test IoU', results_table(rows, o.methods, counts)),
            ('gap closed', gap_table(rows, [m for m in o.methods if m != 'softras'],
                                     counts)),
            ('test IoU and pseudo-labels', score_table(rows, o.methods, counts))):
        if len(table): say(title, markdown_table(table, True), '')
    if o.figures is not None:
        write_figures(o, names, run_folders(
            [c for c in cases if c.labeled == counts[0] and c.seed == o.seeds[0]]
            if counts else [], o.runs))
    if failed: raise failed


if __name__ == '__main__': sys.exit(main())
