"""Tables of runs, as pandas frames.

A results file is a CSV with a line a finished run; `read_results` gives it as
a frame, and the tables below are made of such frames.
"""
import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from .core import InputError, write_text
from .evaluate import PUBLISHED, gap_closed, read_evaluation
from .runs import read_run

__all__ = ['ablation_table', 'gap_table', 'markdown_table', 'published_table',
           'read_curves', 'read_results', 'results_table', 'run_table',
           'score_table']

MAX_CSV = 256 << 20   # bytes of a results file
_DASH = '–'

# ------------------------------------------------------------------- files --
KEY = ['category', 'method', 'labeled', 'seed', 'preset', 'iterations']
RESULTS = {   # columns of a results file, and what they hold
    'category': 'str', 'method': 'str',
    'labeled': 'int',              # N objects; 0: all
    'seed': 'int',
    'preset': 'str',               # whose sizes it has: small, paper, …
    'iterations': 'int',
    'val_iou': 'float', 'test_iou': 'float',
    'best_at': 'int',              # iteration of the best validation
    'label_coverage': 'float',     # of unlabeled images, at the end
    'label_accuracy': 'float',     # of these: right; one view off; half a turn
    'neighbour': 'float', 'opposite': 'float',
    'threads': 'int',              # of the CPU
    'seconds': 'float'}
CURVE_KEY = KEY
CURVES = {    # columns of the file beside it, a line a validation
    **{name: RESULTS[name] for name in KEY},
    'iteration': 'int', 'val_iou': 'float', 'label_coverage': 'float',
    'label_accuracy': 'float'}


def _read_text(path: Path) -> str:
    "A CSV's text; none yet: empty. InputError when it cannot be one."
    if not path.exists() and not path.is_symlink(): return ''
    if not path.is_file(): raise InputError(f'{path}: is not a file')
    try:
        with open(path, 'rb') as file: content = file.read(MAX_CSV + 1)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror or error}') from None
    if len(content) > MAX_CSV: raise InputError(f'{path}: over {MAX_CSV} bytes')
    try: return content.decode('utf-8')
    except UnicodeDecodeError:
        raise InputError(f'{path}: not text in UTF-8') from None


def _read_csv(
    path: Path,
    columns: dict[str, str],   # name -> str, int or float
) -> pd.DataFrame:             # these columns; NaN where a number is missing
    "A table of a file. InputError names the file and the flaw."
    text = _read_text(path) or ','.join(columns) + '\n'
    if not text.endswith('\n'): raise InputError(f'{path}: its end is cut off')
    # pandas fills up a short line without a word, csv tells
    try: head, *rows = csv.reader(io.StringIO(text), strict=True)
    except (ValueError, csv.Error) as error:
        raise InputError(f'{path}: not a table ({error!s:.160})') from None
    if missing := [c for c in columns if c not in head]:
        raise InputError(f'{path}: no column {", ".join(sorted(missing))}')
    if len(set(head)) < len(head): raise InputError(f'{path}: a column twice')
    for row in rows:
        if len(row) != len(head):
            raise InputError(f'{path}: expected {len(head)} cells in a line, '
                             f'found {len(row)}: {",".join(row)!r:.60}')
    cells = pd.DataFrame(rows, columns=head, dtype=object)
    return pd.DataFrame({name: _column(path, cells[name], kind)
                         for name, kind in columns.items()})


def _column(
    path: Path,           # for the error
    cells: pd.Series,     # texts
    kind: str,            # str, int or float
) -> pd.Series:
    "A column's texts as what they mean."
    if kind == 'str':
        odd = cells[~cells.map(str.isprintable) | (cells == '')]
        if len(odd):
            raise InputError(f'{path}: {cells.name}: expected a name, '
                             f'found {odd.iloc[0]!r:.40}')
        return cells
    try:
        if kind == 'int': return cells.map(int).astype('int64')
        return cells.map(lambda text: float(text) if text else math.nan
                         ).astype('float64')
    except (ValueError, OverflowError) as error:
        raise InputError(f'{path}: {cells.name}: {error!s:.100}') from None


def _write_csv(path: Path, table: pd.DataFrame):
    "Replace a CSV, all or nothing."
    text = table.to_csv(index=False, lineterminator='\n')
    write_text(path, text)


def read_results(
    path: str | Path,      # CSV; none yet: no rows
) -> pd.DataFrame:         # a row a finished run, columns RESULTS
    "Finished runs. InputError names the file and the flaw."
    table = _read_csv(Path(path), RESULTS)
    return table.drop_duplicates(KEY, keep='last', ignore_index=True)


def curves_path(
    results: str | Path,   # CSV of finished runs
) -> Path:                 # CSV of their validations
    return Path(results).with_name(f'{Path(results).stem}_curves.csv')


def read_curves(
    results: str | Path,   # CSV of finished runs; their curves lie beside it
) -> pd.DataFrame:         # a row a validation, columns CURVES; none: no rows
    "The validations of finished runs."
    return _read_csv(curves_path(results), CURVES)


def check_results(
    path: str | Path,
):
    "InputError when a results file cannot be read, or not be written here."
    path = Path(path)
    if path.is_dir(): raise InputError(f'{path}: is a folder, not a file')
    read_results(path)
    read_curves(path)
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    lock = _lock_path(path)
    if lock.is_symlink() or lock.exists() and not lock.is_file():
        raise InputError(f'{lock}: expected a file or nothing, to lock {path.name}')
    try: lock.touch()
    except OSError as error:
        raise InputError(f'{path}: cannot be written there '
                         f'({error.strerror or error})') from None


def _lock_path(results: Path) -> Path:
    return results.with_name(f'.{results.name}.lock')


def keep_results(
    path: str | Path,            # CSV of finished runs, perhaps others' too
    rows: Iterable[dict[str, Any]],   # finished runs, keys RESULTS
    curves: pd.DataFrame | None = None,   # their validations, columns CURVES
):
    """Add runs to a results file; a run that is there is replaced.

    Several processes may do so at a time: each reads the file anew under a
    lock beside it. The lock file stays, since to remove one that another
    process has just opened would let two in.
    """
    path = Path(path)
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(_lock_path(path), timeout=60):
            mine = pd.DataFrame(list(rows), columns=list(RESULTS), dtype=object)
            if curves is not None:
                _write_csv(curves_path(path), _merged(
                    read_curves(path), curves, CURVE_KEY, CURVES))
            _write_csv(path, _merged(read_results(path), mine, KEY, RESULTS))
    except Timeout:
        raise InputError(f'{path}: another process holds its lock') from None


def _merged(
    old: pd.DataFrame,
    new: pd.DataFrame,         # takes the place of old rows with its keys
    key: list[str],
    columns: dict[str, str],
) -> pd.DataFrame:             # in the order of its columns
    "Rows of two tables of runs."
    new = new[list(columns)].astype(
        {name: {'str': 'object', 'int': 'int64', 'float': 'float64'}[kind]
         for name, kind in columns.items()})
    gone = pd.MultiIndex.from_frame(old[key]).isin(
        pd.MultiIndex.from_frame(new[key]))
    table = pd.concat([part for part in (old[~gone], new) if len(part)] or [new])
    order = [name for name, kind in columns.items() if kind != 'float']
    return table.sort_values(order, ignore_index=True).round(
        {'seconds': 4, 'val_iou': 6, 'test_iou': 4, 'label_coverage': 6,
         'label_accuracy': 6, 'neighbour': 4, 'opposite': 4})


# ---------------------------------------------------------------- markdown --
def cell_text(
    value: object,    # text, number or nothing
) -> str:
    "A value as a table shows it: three decimals, a dash for nothing."
    if isinstance(value, float):
        return f'{value:.3f}' if math.isfinite(value) else _DASH
    return _DASH if value is None or value is pd.NA else str(value)


def text_table(
    table: pd.DataFrame | Sequence[dict[str, Any]],   # or a dict a row
) -> tuple[list[str], list[list[str]], list[bool]]:
    "A table's head, its cells as texts, and which columns hold numbers."
    if not isinstance(table, pd.DataFrame):   # as objects: 3 stays 3 beside None
        table = pd.DataFrame(list(table), dtype=object)
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    head = [str(c) for c in table.columns]
    cells = [[cell_text(v) for v in table.iloc[:, n].tolist()]
             for n in range(len(head))]
    number = re.compile(r'–|[-+]?[\d.]+ ?%?( ± [\d.]+)?|[-+][\d.]+ \(\d+\)')
    right = [bool(column) and all(map(number.fullmatch, column))
             for column in cells]
    return head, [list(row) for row in zip(*cells)], right


def markdown_table(
    table: pd.DataFrame | Sequence[dict[str, Any]],   # or a dict a row
    aligned: bool = False,    # pad the cells, for a terminal
) -> str:
    "A table in markdown; the names of its index come first."
    head, rows, right = text_table(table)
    if not rows: return ''
    head, *rows = [[cell.replace('|', r'\|') for cell in row]
                   for row in (head, *rows)]
    rule = ['--:' if number else '---' for number in right]
    if aligned:
        widths = [max(3, *map(len, column)) for column in zip(head, *rows)]
        rule = ['-'*(width - number) + ':'*number
                for width, number in zip(widths, right)]
        head, *rows = [[cell.rjust(width) if number else cell.ljust(width)
                        for cell, width, number in zip(row, widths, right)]
                       for row in (head, *rows)]
    return '\n'.join(f'| {" | ".join(row)} |' for row in (head, rule, *rows))


# -------------------------------------------------------------- comparisons --
def with_spread(
    values: Iterable[float],
) -> str:
    "Mean, and half the distance of the extremes: .31 ± .02."
    found = [v for v in values if not math.isnan(v)]
    if not found: return _DASH
    mean = f'{sum(found)/len(found):.3f}'
    if len(found) == 1: return mean
    return f'{mean} ± {(max(found) - min(found))/2:.3f}'


def check_budget(results: pd.DataFrame):
    "InputError unless all runs have the same sizes and iterations."
    kinds = results[['preset', 'iterations']].drop_duplicates()
    if len(kinds) > 1:
        named = ', '.join(f'{preset} {count}' for preset, count in
                          kinds.itertuples(index=False))
        raise InputError('results: expected runs of one preset and number of '
                         f'iterations, found {named}; choose some of the rows')


def _runs_of(
    results: pd.DataFrame,
    category: str,
    method: str,
    labeled: int,          # 0: all
) -> pd.DataFrame:         # by seed
    "The runs of one cell."
    rows = results[(results['category'] == category)
                   & (results['method'] == method)
                   & (results['labeled'] == labeled)]
    return rows.set_index('seed').sort_index()


def _cell(*cell: Any) -> pd.Series:   # of _runs_of; seed -> test IoU
    return _runs_of(*cell)['test_iou']


def _categories(results: pd.DataFrame) -> list[str]:
    return sorted(set(results['category']))


def _count(labeled: int) -> int | str: return labeled or 'all'


def _rows_of_table(
    methods: Sequence[str],
    counts: Sequence[int],
) -> list[tuple[str, int]]:   # method, N; 0: all
    "Methods by N, and SoftRas with all labels."
    return [*((m, n) for n in counts if n for m in methods), ('softras', 0)]


def _framed(rows: list[dict[str, Any]], index: list[str]) -> pd.DataFrame:
    "Rows as a frame, by some of its columns; no rows: an empty one."
    columns = None if rows else index
    return pd.DataFrame(rows, columns=columns, dtype=object).set_index(index)


def results_table(
    results: pd.DataFrame,       # of read_results
    methods: Sequence[str],      # in this order
    counts: Sequence[int] = (2, 5, 20),
) -> pd.DataFrame:               # a row a method and N, as in Table 2
    """Test IoU by category and in the mean; ± is half the range over seeds.

    A dash is a run that is missing; a row with one has no mean.
    """
    check_budget(results)
    names, rows = _categories(results), []
    for method, n in _rows_of_table(methods, counts):
        cells = {c: _cell(results, c, method, n) for c in names}
        means = [cell.mean() for cell in cells.values() if len(cell)]
        if not means: continue
        rows.append({'method': method, 'N': _count(n),
                     **{c: with_spread(cell) for c, cell in cells.items()},
                     'mean': f'{sum(means)/len(means):.3f}'
                     if len(means) == len(names) else _DASH})
    return _framed(rows, ['method', 'N'])


def score_table(
    results: pd.DataFrame,       # of read_results
    methods: Sequence[str],
    counts: Sequence[int] = (2, 5, 20),
) -> pd.DataFrame:               # a row a category, N and method
    """Beside each test IoU its pseudo-labels: coverage, accuracy, errors.

    `neighbour` is the share of the labels that are one view off, `opposite`
    that of half a turn; `seeds` says which runs there are.
    """
    check_budget(results)
    rows = []
    for category in _categories(results):
        for method, n in _rows_of_table(methods, counts):
            runs = _runs_of(results, category, method, n)
            if not len(runs): continue
            gap = paired_gaps(results, category, method, n).mean()
            rows.append({
                'category': category, 'N': _count(n), 'method': method,
                'test IoU': with_spread(runs['test_iou']),
                'gap closed': _percent(gap) if method != 'softras' else _DASH,
                **{name: with_spread(runs[column])
                   for name, column in _LABEL_COLUMNS.items()},
                'seeds': ' '.join(map(str, runs.index))})
    return _framed(rows, ['category', 'N', 'method'])


_LABEL_COLUMNS = {'coverage': 'label_coverage', 'accuracy': 'label_accuracy',
                  'neighbour': 'neighbour', 'opposite': 'opposite'}


def paired_cells(
    results: pd.DataFrame,
    category: str,
    method: str,
    labeled: int,
) -> pd.DataFrame:     # by seed: ours, alone
    "Test IoU of a method and of SoftRas with the same labeled objects."
    return pd.DataFrame(dict(
        ours=_cell(results, category, method, labeled),
        alone=_cell(results, category, 'softras', labeled))).dropna()


def paired_gaps(
    results: pd.DataFrame,
    category: str,
    method: str,
    labeled: int,
) -> pd.Series:        # seed -> gap closed
    "Each seed against SoftRas with the same labeled objects."
    everything = _cell(results, category, 'softras', 0).mean()
    pairs = paired_cells(results, category, method, labeled)
    return pd.Series({seed: gap_closed(ours, alone, everything)
                      for seed, ours, alone in pairs.itertuples()}, dtype=float)


def gap_table(
    results: pd.DataFrame,       # of read_results
    methods: Sequence[str],
    counts: Sequence[int] = (2, 5, 20),
) -> pd.DataFrame:               # a row a method and N
    """The part of the gap to all labels that is closed.

    A cell averages the gaps of its seeds, each against SoftRas with the same
    labeled objects; `mean` averages the cells. `of the mean IoU` is the gap
    closed by the mean over categories, as the paper states it. Where cells are
    missing, both say of how many categories they are.
    """
    check_budget(results)
    names, rows = _categories(results), []
    for method, n in [(m, n) for n in counts for m in methods]:
        gaps = {c: paired_gaps(results, c, method, n).mean() for c in names}
        found = [c for c in names if not math.isnan(gaps[c])]
        if not found: continue
        part = '' if len(found) == len(names) else f' ({len(found)} of {len(names)})'
        pairs = [paired_cells(results, c, method, n).mean() for c in found]
        ours, alone = (sum(pair[k] for pair in pairs) for k in ('ours', 'alone'))
        everything = sum(_cell(results, c, 'softras', 0).mean() for c in found)
        rows.append({'method': method, 'N': n,
                     **{c: _percent(gap) for c, gap in gaps.items()},
                     'mean': _percent(sum(gaps[c] for c in found)/len(found)) + part,
                     'of the mean IoU': _percent(gap_closed(
                         ours, alone, everything)) + part})
    return _framed(rows, ['method', 'N'])


def _percent(value: float) -> str:
    return _DASH if math.isnan(value) else f'{value:.0%}'


def paired_differences(
    results: pd.DataFrame,
    category: str,
    method: str,
    base: str,             # the method to compare with
    labeled: int = 2,
    column: str = 'test_iou',   # or val_iou, by which to choose
) -> pd.Series:            # seed -> difference; above 0: better
    "How much better a method is than another with the same labeled objects."
    ours, theirs = (_runs_of(results, category, m, labeled)[column]
                    for m in (method, base))
    return (ours - theirs).dropna()


def ablation_table(
    results: pd.DataFrame,       # of read_results
    methods: Sequence[str] | None = None,   # none: all but base
    base: str = 'ring',
    labeled: int = 2,
) -> pd.DataFrame:               # a row a method, the largest loss first
    "Difference of test IoU to base, of equal seeds (how many), and labels."
    check_budget(results)
    names, found = _categories(results), []
    if methods is None: methods = sorted(set(results['method']) - {base})
    for method in methods:
        cells = {c: paired_differences(results, c, method, base, labeled)
                 for c in names}
        means = [cell.mean() for cell in cells.values() if len(cell)]
        if not means: continue
        some = results[(results['method'] == method)
                       & (results['labeled'] == labeled)]
        found.append((sum(means)/len(means), {'method': method, **{
            c: f'{cell.mean():+.3f} ({len(cell)})' if len(cell) else _DASH
            for c, cell in cells.items()},
            'mean': f'{sum(means)/len(means):+.3f}',
            'coverage': with_spread(some['label_coverage']),
            'accuracy': with_spread(some['label_accuracy'])}))
    found.sort(key=lambda pair: pair[0])
    return _framed([row for _, row in found], ['method'])


def published_table(
    categories: Sequence[str] = tuple(PUBLISHED['ssr', 2]),   # or 'mean'
) -> pd.DataFrame:               # a row a method and N; NaN: not published
    "Table 2 of the paper, its MVC row and Table 3's row without rotation."
    rows = [{'method': method, 'N': n, **{c: row.get(c, math.nan) for c in categories}}
            for (method, n), row in PUBLISHED.items()]
    return pd.DataFrame(rows).set_index(['method', 'N'])


def run_table(
    folders: Iterable[str | Path],   # of runs
    split: str = 'test',
) -> pd.DataFrame:                   # a row a run
    "Runs side by side; those not evaluated yet show a dash."
    return _framed([_run_row(Path(folder), split) for folder in folders], ['run'])


def _run_row(folder: Path, split: str) -> dict[str, Any]:
    "The figures of one run by which it is compared with others."
    run = read_run(folder)
    log = run.metrics
    last = log.iloc[-1] if len(log) and run.config.rule is not None else {}
    score = read_evaluation(folder, split).get('iou', math.nan)
    return {'run': folder.name, 'category': run.category, 'method': run.method,
            'labeled': _count(run.config.labeled_count),
            'iterations': run.iterations, 'val IoU': float(log['val_iou'].max()),
            f'{split} IoU': float(score),
            'coverage': float(last.get('label_coverage', math.nan)),
            'accuracy': float(last.get('label_accuracy', math.nan))}
