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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .callbacks import fit
from .config import PRESETS, SSRConfig, config_to_dict, with_overrides
from .core import InputError
from .data import load_split
from .evaluate import evaluate_run, read_evaluation
from .ring import Joint
from .rules import Classifier, Confidence, Oracle
from .runs import OtherData, other_settings, read_run
from .tables import (
    CURVE_KEY,
    CURVES,
    KEY,
    RESULTS,
    check_results,
    keep_results,
    read_results,
)

__all__ = ['METHODS', 'Case', 'FailedRuns', 'sweep', 'table_cases']

METHODS: dict[str, dict[str, Any]] = {   # name -> what it changes of a preset
    'softras': {'rule': None},
    'ssr': {},
    'confidence': {'rule': Confidence()},
    'no_rotation': {'view.rotate': False},
    'classifier': {'rule': Classifier(), 'gate': .9},
    'joint': {'rule': Joint(), 'references': 'all', 'update': 'replace'},
    'oracle': {'rule': Oracle()},
    'ring': {},
    'ring_without_path': {'rule.path_weight': 0.},
    'ring_without_pseudo': {'view.pseudo': 0},
    'ring_without_trust': {'rule.trust': 1.},
    'ring_without_neighbors': {'rule.neighbor_weight': 0.},
    'ring_without_render': {'rule.render_weight': 0.},
    'ring_one_reference': {'references': 'first'}}


@dataclass(frozen=True)
class Case:
    "One run of a table."
    category: str
    method: str        # of METHODS
    labeled: int       # N objects; 0: all
    seed: int
    config: SSRConfig

    @property
    def name(self) -> str:   # of its run folder
        return run_name(self.category, self.method, self.labeled, self.seed)

    @property
    def key(self) -> tuple[str, str, int, int, int]:   # of its line
        return (self.category, self.method, self.labeled, self.seed,
                self.config.iterations)


def run_name(category: str, method: str, labeled: int, seed: int) -> str:
    "The folder of a run."
    return f'{category}_{method}_{labeled or "all"}_{seed}'


def make_case(
    category: str,
    method: str,             # of METHODS
    labeled: int,            # N objects; 0: all
    seed: int,
    iterations: int | None = None,   # none: as many as its preset
    preset: str = 'small',   # of all methods but ring and its ablations
) -> Case:
    "The run that a cell of the table asks for. InputError names the choice."
    if method not in METHODS:
        raise InputError(f'method: expected one of {", ".join(METHODS)}, '
                         f'found {method!r}')
    base = PRESETS['ring' if method.startswith('ring') else preset]
    changes = METHODS[method] | {'labeled': labeled, 'seed': seed}
    if iterations is not None: changes['iterations'] = iterations
    return Case(category, method, labeled, seed, with_overrides(base, changes))


def table_cases(
    categories: Sequence[str],
    methods: Sequence[str],      # of METHODS
    labeled: Sequence[int],      # numbers N of labeled objects; 0: all
    seeds: Sequence[int],
    iterations: int | None = 1200,   # none: as many as each preset
    preset: str = 'small',
) -> list[Case]:
    "All runs of a table; with all objects labeled, SoftRas alone."
    cases = [make_case(category, method, n, seed, iterations, preset)
             for seed in seeds for n in labeled for category in categories
             for method in (methods if n else ['softras'])]
    return list({case.key: case for case in cases}.values())


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


def run_case(
    case: Case,
    data: str,         # folder of a data set
    runs: str,         # folder of run folders
) -> tuple[dict[str, Any], pd.DataFrame]:   # a line of the results, its curves
    "Train, or go on, and score; a run that is there is not repeated."
    torch.set_num_threads(1)
    folder = Path(runs)/case.name
    train, val = (load_split(data, case.category, s) for s in ('train', 'val'))
    try: trainer = fit(train, val, case.config, folder, resume=True,
                       progress=False)
    except OtherData as other:
        raise InputError(f'{other}; choose another --runs') from None
    test = read_evaluation(folder) or evaluate_run(folder, data)
    found = dict(zip(KEY, case.key), val_iou=trainer.best_iou,
                 test_iou=test['iou'], best_at=trainer.best_iteration,
                 seconds=trainer.seconds)
    if case.config.rule is not None: found |= label_errors(trainer.labels.pseudo)
    curves = pd.DataFrame(trainer.log)[[c for c in CURVES if c not in CURVE_KEY]]
    return ({name: found.get(name, math.nan) for name in RESULTS},
            curves.assign(**dict(zip(CURVE_KEY, case.key))))


def check_folder(
    case: Case,
    runs: str | Path,   # folder of run folders
):
    "InputError when the folder of a case holds a run with other settings."
    folder = Path(runs)/case.name
    if not (folder/'checkpoint.pt').exists(): return
    try: found = config_to_dict(read_run(folder).config)
    except InputError: return   # damaged: its own turn will say so
    if other := other_settings(case.config, found):
        raise InputError(f'{folder}: holds a run with other settings '
                         f'({other}); choose another --runs')


# -------------------------------------------------------------- many runs --
Outcome = tuple[Case, tuple[dict[str, Any], pd.DataFrame] | Exception]
_OF_ONE_RUN = InputError, OSError   # what does not stop the other runs
_DIED = 'its process was killed; was there enough memory?'


def local_results(
    cases: Sequence[Case],
    data: str,
    runs: str,
    processes: int,    # at a time, one thread each; 0: in this one
) -> Iterator[Outcome]:
    "Run cases on this machine; what they give, as they end."
    if not processes:
        for case in cases:
            try: yield case, run_case(case, data, runs)
            except _OF_ONE_RUN as error: yield case, error
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(processes, context) as pool:
        waiting = {pool.submit(run_case, c, data, runs): c for c in cases}
        try:
            for done in as_completed(waiting):
                try: yield waiting[done], done.result()
                except _OF_ONE_RUN as error: yield waiting[done], error
                except BrokenProcessPool:   # and with it all that wait
                    yield waiting[done], InputError(_DIED)
        finally: pool.shutdown(wait=False, cancel_futures=True)


def ray_results(
    cases: Sequence[Case],
    data: str,
    runs: str,
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
    task = ray.remote(num_cpus=1, **again)(run_case)
    waiting = {task.remote(case, data, runs): case for case in cases}
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
    processes: int = 1,          # at a time, one thread each
    ray: str | None = None,      # address of a Ray cluster, auto or local
    progress: bool = True,       # show a bar over runs
) -> pd.DataFrame:               # lines of all cases, in their order
    """Fill a table; what the results file holds already is not run again.

    A run that fails (FailedRuns, at the end) does not stop the others.
    """
    data, runs = (os.path.abspath(p) for p in (data, runs))
    check_results(results)
    there = set(read_results(results)[KEY].itertuples(index=False, name=None))
    missing = [case for case in cases if case.key not in there]
    for case in missing: check_folder(case, runs)
    failed: dict[str, Exception] = {}
    found: Iterator[Outcome] = iter(())
    if missing:
        found = (ray_results(missing, data, runs, ray) if ray
                 else local_results(missing, data, runs, processes))
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
