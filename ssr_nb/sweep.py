"""A table of runs: categories × methods × numbers of labeled objects × seeds.

Each finished run is a line of one results file; a line that is there is not
run again, and a run that was stopped goes on from its checkpoint.
"""
import math
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .callbacks import Callback, fit, out_of_patience, validation_part
from .config import PRESETS, RunConfig, SSRConfig, config_to_dict, with_overrides
from .core import InputError, write_text
from .data import Split, load_split
from .evaluate import evaluate_run, read_evaluation
from .reconstruct import reconstruction_iou
from .ring import Joint
from .rules import Classifier, Confidence, Oracle
from .runs import (
    OtherData,
    RunRecord,
    check_objects,
    other_settings,
    read_checkpoint,
    read_run,
)
from .shapes import CATEGORIES
from .tables import (
    CURVE_KEY,
    CURVES,
    KEY,
    RESULTS,
    check_results,
    keep_results,
    read_results,
)
from .train import Trainer

__all__ = ['METHODS', 'Case', 'FailedRuns', 'sweep', 'table_cases']

METHODS: dict[str, dict[str, Any]] = {   # name -> what it changes of a preset
    'softras': {'rule': None},
    'ssr': {},
    'no_rotation': {'view.rotate': False},
    'confidence': {'rule': Confidence()},
    'confidence_no_rotation': {'rule': Confidence(), 'view.rotate': False},
    'classifier': {'rule': Classifier(), 'gate': .9},
    'joint': {'rule': Joint(), 'references': 'all', 'update': 'replace'},
    'oracle': {'rule': Oracle()},
    'ring': {},   # and below: what the ring preset changes of the small one
    'ring_without_path': {'rule.path_weight': 0.},
    'ring_without_pseudo': {'view.pseudo': 0},
    'ring_without_trust': {'rule.trust': 1.},
    'ring_without_neighbors': {'rule.neighbor_weight': 0.},
    'ring_without_render': {'rule.render_weight': 0.},
    'ring_one_reference': {'references': 'first'}}


def _changes(base: Any, other: Any, prefix: str = '') -> dict[str, Any]:
    "What turns one configuration into another, for with_overrides."
    found: dict[str, Any] = {}
    for f in fields(base):
        old, new = getattr(base, f.name), getattr(other, f.name)
        if old == new: continue
        if is_dataclass(old) and type(old) is type(new):
            found |= _changes(old, new, f'{prefix}{f.name}.')
        else: found[prefix + f.name] = new
    return found


@cache
def ring_changes() -> dict[str, Any]:
    "What the ring rule changes of a preset of any size; never its budget."
    changes = _changes(PRESETS['small'], PRESETS['ring'])
    return {name: value for name, value in changes.items()
            if name != 'iterations' and not name.startswith('run.')}


@dataclass(frozen=True)
class Case:
    "One run of a table."
    category: str
    method: str        # of METHODS
    labeled: int       # N objects; 0: all
    seed: int
    preset: str        # whose sizes it has
    config: SSRConfig

    @property
    def name(self) -> str:   # of its run folder
        return (f'{self.category}_{self.method}_{self.labeled or "all"}_'
                f'{self.seed}')

    @property
    def key(self) -> tuple[str, str, int, int, str, int]:   # of its line
        return (self.category, self.method, self.labeled, self.seed,
                self.preset, self.config.iterations)


def table_cases(
    categories: Sequence[str],
    methods: Sequence[str],      # of METHODS
    labeled: Sequence[int],      # numbers N of labeled objects; 0: all
    seeds: Sequence[int],
    iterations: int | None = None,   # none: as many as the preset
    preset: str = 'small',       # sizes; ring has those of small
    run: RunConfig | None = None,    # none: the preset's
) -> list[Case]:
    """All runs of a table; with all objects labeled, SoftRas alone.

    InputError names the choice that is wrong.
    """
    size = 'small' if preset == 'ring' else preset
    if size not in PRESETS:
        raise InputError(f'preset: expected one of {", ".join(PRESETS)}, '
                         f'found {preset!r}')
    names = {number: name for name, number in CATEGORIES.items()}
    base = with_overrides(PRESETS[size], {
        name: value for name, value in (('iterations', iterations), ('run', run))
        if value is not None})
    cases = {}
    for seed in seeds:
        for n in labeled:
            for category in (names.get(c, c) for c in categories):
                for method in methods if n else ['softras']:
                    if method not in METHODS:
                        raise InputError('method: expected one of '
                                         f'{", ".join(METHODS)}, found {method!r}')
                    changes = METHODS[method] | {'labeled': n, 'seed': seed}
                    if method.startswith('ring'): changes = ring_changes() | changes
                    case = Case(category, method, n, seed, size,
                                with_overrides(base, changes))
                    cases[case.key] = case
    return list(cases.values())


# --------------------------------------------------------------- one run --
def label_errors(
    labels: Tensor,    # (n, K) viewpoint number, or -1
) -> dict[str, float]:   # NaN without labels
    "Pseudo-label coverage, and what share of the labels is how far off."
    views = labels.shape[1]
    known = labels >= 0
    off = (labels - torch.arange(views))[known].remainder(views)
    def share(*steps: int) -> float:
        return torch.isin(off, torch.tensor(steps)).float().mean().item()
    return dict(label_coverage=known.float().mean().item(),
                label_accuracy=share(0), neighbour=share(1, views - 1),
                opposite=share(views//2))


class TestCurve(Callback):
    """Score test images at each validation, for the paper's Figure 4.

    As many images as a validation has. Nothing but a figure reads the scores.
    """
    __test__ = False   # for pytest

    def __init__(self, test: Split, config: SSRConfig, path: Path):
        part = validation_part(test, config)
        self.images, self.voxels = (torch.as_tensor(a) for a in (
            part.images, part.voxels))
        self.path = path   # CSV, columns iteration and test_iou

    def after_validate(self, trainer: Trainer):
        scores = reconstruction_iou(trainer.model, self.images,
                                    self.voxels.bool())
        before = [line for line in _lines(self.path)[1:]   # of a resumed run
                  if int(line.split(',')[0]) < trainer.iteration]
        now = f'{trainer.iteration},{scores.mean().item():.6f}'
        write_text(self.path, '\n'.join(
            ['iteration,test_iou', *before, now]) + '\n')


def _lines(path: Path) -> list[str]:
    return path.read_text('utf-8').splitlines() if path.exists() else []


def other_run(
    case: Case,
    run: RunRecord,
) -> str:   # empty where it is a run of this case, finished or not
    "What a run would have to change to be that of a case."
    if run.category != case.category: return f'category {run.category}'
    if other := other_settings(case.config, config_to_dict(run.config)): return other
    count, mine = (max(run.iterations, run.config.iterations),
                   case.config.iterations)
    return f'iterations {count}, now {mine}' if count != mine else ''


def find_run(
    case: Case,
    runs: str | Path,                # folder of run folders
    there: Sequence[RunRecord],      # what lies in it
) -> tuple[Path, bool]:              # and whether it is finished
    """The folder for a case: that of a finished run, or the one of its name.

    A run of ssr_train counts, too, whatever its folder is called. InputError
    when the folder of the case's name holds another run.
    """
    own = Path(runs)/case.name
    for run in sorted(there, key=lambda r: r.folder != own):
        other = other_run(case, run)
        if not other and (run.iterations == case.config.iterations or
                          out_of_patience(case.config, run.metrics['val_iou'])):
            return run.folder, True
    for run in there:
        if run.folder == own and (other := other_run(case, run)):
            raise InputError(f'{own}: holds a run with other settings ({other}); '
                             'choose another --runs')
    return own, False


def read_runs(
    runs: str | Path,   # folder of run folders
) -> list[RunRecord]:
    "The runs that lie in a folder; what is damaged is left to its own turn."
    found = []
    for path in sorted(Path(runs).glob('*/checkpoint.pt')):
        try: found.append(read_run(path.parent))
        except InputError: continue
    return found


def run_folders(
    cases: Sequence[Case],
    runs: str | Path,   # folder of run folders
) -> dict[tuple[str, str], Path]:   # category, method -> folder
    "Where the runs of some cases lie; those that are finished."
    there, found = read_runs(runs), {}
    for case in cases:
        folder, finished = find_run(case, runs, there)
        if finished: found[case.category, case.method] = folder
    return found


@dataclass(frozen=True)
class Job:
    "A case, and where and how it is run."
    case: Case
    data: str               # folder of a data set
    folder: Path            # of the run
    finished: bool = False  # there is nothing to train
    device: str = 'cpu'
    threads: int = 1        # of the CPU
    test_curve: bool = False   # score test objects at each validation


def run_case(
    job: Job,
) -> tuple[dict[str, Any], pd.DataFrame]:   # a line of the results, its curves
    "Train, or go on, and score; a run that is there is not repeated."
    torch.set_num_threads(job.threads)
    case, folder = job.case, job.folder
    train, val = (load_split(job.data, case.category, s) for s in ('train', 'val'))
    beside = [TestCurve(load_split(job.data, case.category, 'test'), case.config,
                        folder/'test_curve.csv')] if job.test_curve else []
    def last_state(): return read_checkpoint(folder/'checkpoint.pt')
    state = last_state() if job.finished else {}
    try:
        if not state or state['iteration'] < read_run(folder).iterations:
            fit(train, val, case.config, folder, resume=True, progress=False,
                device=job.device, callbacks=beside)
            state = last_state()
        check_objects(state, train, validation_part(val, case.config), folder)
    except OtherData as other:
        raise InputError(f'{other}; choose another --runs') from None
    test = read_evaluation(folder) or evaluate_run(folder, job.data,
                                                   device=job.device)
    found = dict(zip(KEY, case.key), val_iou=state['best_iou'],
                 test_iou=test['iou'], best_at=state['best_iteration'],
                 threads=state['threads'], seconds=state['seconds'])
    if case.config.rule is not None: found |= label_errors(state['pseudo'])
    curves = pd.DataFrame(state['log'])[[c for c in CURVES if c not in CURVE_KEY]]
    about = {name: found[name] for name in CURVE_KEY}
    return ({name: found.get(name, math.nan) for name in RESULTS},
            curves.assign(**about))


# -------------------------------------------------------------- many runs --
Outcome = tuple[Case, tuple[dict[str, Any], pd.DataFrame] | Exception]
_OF_ONE_RUN = InputError, OSError   # what does not stop the other runs
_DIED = 'its process was killed; was there enough memory?'


def local_results(
    jobs: Sequence[Job],
    processes: int,    # at a time; 0: in this one
) -> Iterator[Outcome]:
    "Run cases on this machine; what they give, as they end."
    if not processes:
        for job in jobs:
            try: yield job.case, run_case(job)
            except _OF_ONE_RUN as error: yield job.case, error
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(processes, context) as pool:
        waiting = {pool.submit(run_case, job): job.case for job in jobs}
        try:
            for done in as_completed(waiting):
                try: yield waiting[done], done.result()
                except _OF_ONE_RUN as error: yield waiting[done], error
                except BrokenProcessPool:   # and with it all that wait
                    yield waiting[done], InputError(_DIED)
        finally: pool.shutdown(wait=False, cancel_futures=True)


def ray_results(
    jobs: Sequence[Job],
    address: str = 'auto',   # of the cluster; local: begin one here
) -> Iterator[Outcome]:
    """Run cases on a Ray cluster; what they give, as they end.

    A task whose worker dies is started again and goes on from its checkpoint,
    if all machines see the folder of runs.
    """
    try: import ray
    except ImportError:
        raise InputError("ray: not installed; pip install 'ssr_nb[ray]', or "
                         'leave --ray away to run on this machine') from None
    where: dict[str, Any] = {} if address == 'local' else dict(address=address)
    ray.init(ignore_reinit_error=True, include_dashboard=False,
             log_to_driver=False, **where)
    again: dict[str, Any] = dict(max_retries=5,
                                 retry_exceptions=[OSError, RuntimeError])
    gpus = float(any(job.device == 'cuda' for job in jobs))
    task = ray.remote(num_cpus=max(job.threads for job in jobs), num_gpus=gpus,
                      **again)(run_case)
    waiting = {task.remote(job): job.case for job in jobs}
    try:
        while waiting:
            (done, *_), _ = ray.wait(list(waiting))
            case = waiting.pop(done)
            try: yield case, ray.get(done)
            except ray.exceptions.RayTaskError as failed:
                if not isinstance(failed.cause, _OF_ONE_RUN):
                    raise failed.cause from None
                yield case, failed.cause
            except (ray.exceptions.WorkerCrashedError,
                    ray.exceptions.OutOfMemoryError):
                yield case, InputError(_DIED)
    finally: ray.shutdown()


class FailedRuns(InputError):
    "Some runs of a sweep have failed; the others are in the results file."
    def __init__(self, failed: Mapping[str, Exception], rows: pd.DataFrame):
        told = [f'{name}: {error!s:.200}' for name, error in failed.items()]
        runs = 'run has' if len(told) == 1 else 'runs have'
        super().__init__(f'{len(told)} {runs} failed: ' + '; '.join(told))
        self.failed, self.rows = dict(failed), rows   # rows of the others


def _rows_of(cases: Sequence[Case], results: str | Path) -> pd.DataFrame:
    "The lines of some runs in a results file, in their order; what is there."
    table = read_results(results).set_index(KEY, drop=False)
    return table.loc[[case.key for case in cases if case.key in table.index]
                     ].reset_index(drop=True)


def sweep(
    cases: Sequence[Case],
    data: str | Path,            # folder of a data set
    results: str | Path,         # CSV of finished runs
    runs: str | Path = 'sweep',  # folder of run folders
    processes: int = 1,          # at a time
    ray: str | None = None,      # address of a Ray cluster, auto or local
    progress: bool = True,       # show a bar over runs
    *,
    device: str = 'cpu',
    threads: int = 1,            # of the CPU, for each run
    test_curve: bool = False,    # score test objects at each validation
) -> pd.DataFrame:               # lines of all cases, in their order
    """Fill a table; what the results file holds already is not run again.

    Finished runs in the folder, also those of ssr_train, are taken over. A run
    that fails (FailedRuns, at the end) does not stop the others.
    """
    data, runs = (os.path.abspath(p) for p in (data, runs))
    check_results(results)
    there = set(read_results(results)[KEY].itertuples(index=False, name=None))
    missing = [case for case in cases if case.key not in there]
    begun = read_runs(runs) if missing else []
    jobs = [Job(case, data, *find_run(case, runs, begun), device, threads,
                test_curve) for case in missing]
    failed: dict[str, Exception] = {}
    found: Iterator[Outcome] = iter(())
    if jobs:
        found = ray_results(jobs, ray) if ray else local_results(jobs, processes)
    with tqdm(total=len(cases), initial=len(cases) - len(missing),
              desc='runs', disable=not progress) as bar:
        for case, outcome in found:
            if isinstance(outcome, Exception): failed[case.name] = outcome
            else:
                row, curves = outcome
                keep_results(results, [row], curves)
                bar.set_postfix_str(f'{case.category} {case.method} '
                                    f'{row["test_iou"]:.3f}')
            bar.update()
    rows = _rows_of(cases, results)   # another sweep may have filled some
    done = set(rows[KEY].itertuples(index=False, name=None))
    failed = {case.name: failed[case.name] for case in cases
              if case.name in failed and case.key not in done}
    if failed: raise FailedRuns(failed, rows)
    return rows
