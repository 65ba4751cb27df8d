"ssr_demo: SoftRas and SSR side by side on built-in shapes, with a report."
import json
import multiprocessing
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from ..config import PRESETS, SSRConfig, find_rule, with_overrides
from ..core import InputError, atomic_write, read_json, write_text
from ..shapes import CATEGORIES
from .shell import (
    Flag,
    Folder,
    check_labeled,
    command,
    did_you_mean,
    parse,
    say,
    show_objects,
    signals_interrupt,
)
from .train import with_options

if TYPE_CHECKING:
    from ..figures import GalleryRow
    from ..reconstruct import Reconstructor

__all__: list[str] = []

METHODS = 'softras', 'ssr'
SHOWN = 4   # test objects in the report and as meshes
VIEW = 10   # of their images: the front, from aside
# what the demo changes of the small preset, beside what can be chosen
RECIPE: dict[str, Any] = {'references': 'all', 'update': 'replace', 'cycle': 50,
                          'shape.decay': .8, 'shape.subdivisions': 3,
                          'shape.width': 24, 'run.validate_every': 25}


@dataclass(frozen=True)
class Demo:
    """SoftRas and SSR side by side on built-in shapes, with a report.

    For example
      ssr_demo
      ssr_demo --out cars --category car --labeled 2 --seed 1

    The same command again goes on where it was stopped.
    """
    out: Folder = Path('demo')   # gets data, runs, meshes and report.html
    category: str = 'sofa'       # one of the 13, e.g. chair, plane, car
    labeled: int = 2             # objects whose viewpoints are known
    # of the shapes, the labeled objects and the networks
    seed: int = 0
    # objects: 70 for training, 10, 20 for the test
    count: int = 100
    iterations: int = 1200       # of each training
    # which pseudo-labels SSR believes: the paper's rules, or joint (ours)
    rule: Literal['agreement', 'confidence', 'joint'] = 'joint'
    # begin anew, also with other settings: replaces what an earlier demo
    # made there
    fresh: Flag = False


def demo_config(
    o: Demo,
    method: str,      # of METHODS
) -> SSRConfig:
    "The small preset with the choices of the demo."
    rule = None if method == 'softras' else find_rule(o.rule)()
    return with_overrides(PRESETS['small'], RECIPE | {
        'labeled': o.labeled, 'seed': o.seed, 'iterations': o.iterations,
        'rule': rule})


def train_words(o: Demo) -> list[str]:
    "The command that trains SSR as the demo does, for README and report."
    flags = [f'--{path.replace("_", "-")}={value}' for path, value in RECIPE.items()]
    return ['ssr_train', str(o.out/'data'), '--category', o.category,
            '--labeled', str(o.labeled), '--seed', str(o.seed), '--rule', o.rule,
            '--iterations', str(o.iterations), *flags]


def check_demo(o: Demo):
    "InputError naming the option that cannot be, before anything is made."
    if o.category not in CATEGORIES:
        raise InputError(f'--category: expected one of {", ".join(CATEGORIES)}, '
                         f'found {o.category!r}'
                         f'{did_you_mean(o.category, CATEGORIES)}')
    if o.count < 3:
        raise InputError(f'--count: expected 3 or more, found {o.count}')
    check_labeled(o.labeled, o.count - max(1, round(.1*o.count))
                  - max(1, round(.2*o.count)), o.category)
    try: with_overrides(SSRConfig(), {   # torch-free: joint is not
        'labeled': o.labeled, 'seed': o.seed, 'iterations': o.iterations})
    except InputError as error: raise with_options(error) from None


# ---------------------------------------------------------------- its folder --
def demo_settings(o: Demo) -> dict[str, Any]:
    "What must be the same for a demo to go on."
    return {k: v for k, v in asdict(o).items() if k not in ('out', 'fresh')}


def demo_files(
    folder: Path,
    category: str,
) -> list[Path]:   # that a demo of the category writes, but for locks
    "Every file of a demo, whether it is there yet or not."
    from ..data.npz import SPLITS, split_file
    data, runs = folder/'data', folder/'runs'
    run_files = ('config.json', 'metrics.csv', 'reconstructor.safetensors',
                 'checkpoint.pt', 'eval_test.json')
    return [folder/'demo.json', folder/'report.html', folder/'report.png',
            data/'dataset.json',
            *(split_file(data, category, split, kind) for split in SPLITS
              for kind in ('images', 'voxels')),
            *(runs/method/name for method in METHODS for name in run_files),
            *(folder/'meshes'/f'object_{n}_{what}'
              for n in range(SHOWN)
              for what in ('input.png', *(f'{m}.obj' for m in METHODS)))]


def read_demo(
    folder: Path,
) -> dict[str, Any]:   # settings of the demo in a folder; empty: there is none
    "What demo.json says. InputError when it is damaged."
    path = folder/'demo.json'
    if not path.is_file(): return {}
    try: found = read_json(path)
    except InputError: found = None
    if isinstance(found, dict) and isinstance(found.get('category'), str) \
            and Path(found['category']).name == found['category']:
        return found
    raise InputError(f'{path}: not written by ssr_demo; choose another --out')


def other_choices(
    found: dict[str, Any],    # of read_demo
    mine: dict[str, Any],     # of demo_settings
) -> str:
    "In what two demos differ."
    return ', '.join(f'--{name} {found.get(name)!s:.40}, now {mine.get(name)}'
                     for name in mine if found.get(name) != mine[name])


def check_open(o: Demo):
    "InputError unless the folder is free, or holds this demo, or --fresh."
    if o.out.exists() and not o.out.is_dir():
        raise InputError(f'--out: {o.out}: is no folder')
    found, settings = read_demo(o.out), demo_settings(o)
    if not found:
        taken = [f for f in demo_files(o.out, o.category) if f.exists()]
        if taken: raise InputError(f'{taken[0]}: is in the way and not of '
                                   'ssr_demo; choose another --out')
    elif not o.fresh and found != settings:
        raise InputError(f'{o.out}: holds a demo with other settings '
                         f'({other_choices(found, settings)}); choose another '
                         '--out, or --fresh to replace it')


def open_demo(o: Demo):
    "Prepare the folder: go on, replace our own files, or refuse."
    check_open(o)
    if o.fresh and (found := read_demo(o.out)):
        for file in reversed(demo_files(o.out, found['category'])):
            file.unlink(missing_ok=True)
        data = o.out/'data'
        if data.is_dir() and not any(data.iterdir()): data.rmdir()
    (o.out/'meshes').mkdir(parents=True, exist_ok=True)
    write_text(o.out/'demo.json', json.dumps(demo_settings(o), indent=2) + '\n')


@contextmanager
def lock_demo(
    folder: Path,
) -> Iterator[None]:
    """Keep other demos out of a folder; a crash gives it free again.

    The lock file stays: to remove one that another process has just opened
    would let two in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder/'demo.lock', blocking=False): yield
    except Timeout:
        raise InputError(f'{folder}: another demo is running here') from None


# ------------------------------------------------------------------ training --
_PARENT: list[Any] = []   # in a worker: queue to the parent, its wish to stop


def enter_worker(queue: Any, stop: Any):
    "The first thing that a worker process does."
    import torch
    _PARENT[:] = queue, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)   # the parent says when
    torch.set_num_threads(1)


def demo_worker(
    o: Demo,
    method: str,      # of METHODS
) -> dict[str, Any]:  # how it went; empty: it was stopped
    "Train and score one method; runs in a process of its own."
    from ..callbacks import Callback, fit
    from ..data import load_split
    from ..evaluate import evaluate_run, read_evaluation
    from ..train import Trainer
    (queue, stop), parent = _PARENT, os.getppid()

    class Report(Callback):
        def after_step(self, trainer: Trainer):   # also when the parent has died
            if stop.is_set() or os.getppid() != parent: trainer.stop()

        def after_validate(self, trainer: Trainer):
            row = trainer.log[-1]
            queue.put((method, row['iteration'], row['val_iou'],
                       row['label_coverage']))
    data, folder = o.out/'data', o.out/'runs'/method
    train, val = (load_split(data, o.category, s) for s in ('train', 'val'))
    trainer = fit(train, val, demo_config(o, method), folder,
                  resume=True, progress=False, callbacks=[Report()])
    if trainer.iteration < o.iterations: return {}
    result = read_evaluation(folder) or evaluate_run(folder, data)
    return dict(result, seconds=trainer.seconds, row=trainer.log[-1],
                best_iteration=trainer.best_iteration)


def show_progress(
    bars: Mapping[str, Any],        # method -> bar
    queue: Any,                     # of lines from the workers
    jobs: list['Future[dict[str, Any]]'],
):
    "Move the bars until all jobs are done, or one has failed."
    while not all(job.done() for job in jobs):
        for job in jobs:
            if job.done() and job.exception(): return
        try: method, iteration, iou, coverage = queue.get(timeout=.5)
        except Empty:
            if sys.stderr.isatty():   # the clocks of the bars go on
                for bar in bars.values(): bar.refresh()
            continue
        bar = bars[method]
        note = f'validation IoU {iou:.3f}'
        if method == 'ssr': note += f', pseudo-labels {coverage:.0%}'
        bar.set_postfix_str(note, refresh=False)
        bar.update(iteration - bar.n)


def compile_kernels():
    "Before there are bars, which what a worker says would cut."
    from ..camera import viewpoint_ring
    from ..mesh import icosphere
    from ..render import SoftRenderer
    sphere = icosphere(0)
    corners = (.3*sphere.vertices[None]).requires_grad_()
    SoftRenderer(8).silhouettes(corners, sphere.faces, viewpoint_ring()[:1]).sum().backward()


def train_both(
    o: Demo,
) -> dict[str, dict[str, Any]]:   # method -> result of demo_worker
    "SoftRas and SSR at the same time, with a progress bar each."
    from ..figures import METHOD_LABELS
    from ..progress import progress_bar
    context = multiprocessing.get_context('spawn')
    queue, stop = context.Queue(), context.Event()
    bars = {m: progress_bar(o.iterations, f'{METHOD_LABELS[m]:8}', position=i)
            for i, m in enumerate(METHODS)}
    with ProcessPoolExecutor(2, context, enter_worker, (queue, stop)) as pool:
        try:
            jobs = [pool.submit(demo_worker, o, m) for m in METHODS]
            show_progress(bars, queue, jobs)
        except BaseException:
            stop.set()   # each saves its run after its step
            raise
        if not all(job.done() for job in jobs): stop.set()   # one has failed
    for bar in bars.values():
        bar.update(bar.total - bar.n)
        bar.close()
    return dict(zip(METHODS, (job.result() for job in jobs)))


# -------------------------------------------------------------------- telling --
def demo_table(
    results: Mapping[str, dict[str, Any]],   # method -> result of demo_worker
) -> list[dict[str, Any]]:                   # one row a method
    "The figures by which the two are compared."
    from ..figures import METHOD_LABELS
    rows = []
    for method, result in results.items():
        ssr, row = method == 'ssr', result['row']
        rows.append({
            'method': METHOD_LABELS[method], '3D IoU (test)': result['iou'],
            'label coverage': f'{row["label_coverage"]:.0%}' if ssr else None,
            'label accuracy': f'{row["label_accuracy"]:.0%}' if ssr and
            row['label_coverage'] else None,
            'best iteration': result['best_iteration'],
            'seconds': round(result['seconds'])})
    return rows


def demo_lead(
    o: Demo,
    results: Mapping[str, dict[str, Any]],   # method -> result of demo_worker
) -> str:
    "The outcome, and why the two differ, in three sentences."
    softras, ssr = (results[m]['iou'] for m in METHODS)
    return (f'With the viewpoints of {o.labeled} objects known, SSR reaches '
            f'a 3D IoU of {ssr:.2f} on objects it has never seen; SoftRas, '
            f'which can only use those {o.labeled}, reaches {softras:.2f}. '
            f'SoftRas overfits its {o.labeled} objects: its mesh is nearly one of '
            'these, whatever the image shows. SSR also trains on images with a '
            'pseudo-label, so its meshes follow the image.')


def demo_facts(
    o: Demo,
    sizes: Mapping[str, int],   # split -> number of objects
    seconds: float,             # of the whole demo
) -> dict[str, str]:
    "How the report was made."
    import torch

    from .. import __version__
    c = demo_config(o, 'ssr')
    return {
        'objects': f'{sizes["train"]} for training, {sizes["val"]} for '
        f'choosing the best weights, {sizes["test"]} for the test; built-in '
        f'shapes of category {o.category}, 24 views of 64 × 64 pixels each',
        'known viewpoints': f'those of {o.labeled} training objects',
        'training': f'{c.iterations} iterations of {c.batch} image pairs, '
        f'rule "{o.rule}", seed {c.seed}, small preset',
        'SSR alone': shlex.join(train_words(o)),
        'time': f'{seconds/60:.1f} minutes in all, {platform.machine()}, '
        f'{os.cpu_count()} cores, one thread a method',
        'versions': f'ssr_nb {__version__}, torch {torch.__version__}, '
        f'Python {platform.python_version()}'}


def write_meshes(
    o: Demo,
    rows: list['GalleryRow'],
    models: Mapping[str, 'Reconstructor'],   # by method
):
    "The images of the gallery and their predicted meshes, as files."
    from ..display import png_bytes
    from ..meshio import save_mesh
    for n, row in enumerate(rows):
        with atomic_write(o.out/'meshes'/f'object_{n}_input.png') as path:
            Path(path).write_bytes(png_bytes(row.image))
        for method, model in models.items():
            save_mesh(model.predict(row.image),
                      o.out/'meshes'/f'object_{n}_{method}.obj')


def demo_data(
    o: Demo,
) -> dict[str, int]:   # split -> number of objects
    "Make the data set, unless it is there."
    from ..data import load_split, make_dataset
    from ..data.npz import SPLITS, list_splits
    data = o.out/'data'
    there = data.is_dir() and {s for n, s in list_splits(data)
                               if n == o.category}
    if there != set(SPLITS) or not (data/'dataset.json').is_file():
        make_dataset(data, categories=[o.category], count=o.count,
                     seed=o.seed, progress=show_objects)
    return {s: len(load_split(data, o.category, s)) for s in SPLITS}


def report_demo(
    o: Demo,
    results: Mapping[str, dict[str, Any]],   # method -> result of demo_worker
    facts: Callable[[], dict[str, str]],
    words: list[str],                        # behind ssr_demo
):
    "Write meshes and report, print the table."
    from ..data import load_split
    from ..figures import gallery
    from ..reconstruct import Reconstructor
    from ..report import Report, write_report
    from ..runs import read_run
    from ..tables import markdown_table
    runs = {m: read_run(o.out/'runs'/m) for m in METHODS}
    models = {m: Reconstructor.load(o.out/'runs'/m) for m in METHODS}
    test = load_split(o.out/'data', o.category, 'test')
    rows = gallery(models, test, list(range(min(SHOWN, len(test)))), VIEW)
    write_meshes(o, rows, models)
    table, lead = demo_table(results), demo_lead(o, results)
    write_report(Report(f'{o.category.title()}: shape from one image', lead,
                        table, runs, rows, facts(),
                        shlex.join(['ssr_demo', *words])), o.out)
    say(markdown_table(table), f'\n{lead}',
        f'Report: {o.out/"report.html"} (or report.png). '
        f'Meshes: {o.out/"meshes"}')


@command('ssr_demo')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "SoftRas and SSR side by side, with a report."
    o, start = parse(Demo, words, 'ssr_demo'), time.perf_counter()
    check_demo(o)
    check_open(o)
    with lock_demo(o.out), signals_interrupt():
        open_demo(o)
        try:
            sizes = demo_data(o)
            compile_kernels()
            results = train_both(o)
        except KeyboardInterrupt: results = {}
        if not all(results.values()) or not results:
            again = shlex.join(['ssr_demo', *(w for w in words if w != '--fresh')])
            raise KeyboardInterrupt(f'stopped; go on with: {again}')
        report_demo(o, results, lambda: demo_facts(
            o, sizes, time.perf_counter() - start), words)


if __name__ == '__main__': sys.exit(main())
