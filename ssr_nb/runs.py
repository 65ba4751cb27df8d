"Run folders: written whole, locked, resumed to the last bit, and read."
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from .config import SSRConfig, config_from_dict, config_to_dict, method_name
from .core import InputError, atomic_write, read_json, write_text
from .data.split import split_fingerprint
from .distributed import process_rank
from .train import COLUMNS, Trainer

if TYPE_CHECKING: import pandas as pd

__all__ = ['RunRecord', 'read_run']

FORMAT = 5  # of checkpoints; 4 deformed another template sphere
COUNTERS = ('iteration', 'seconds', 'log', 'best_iou', 'best_iteration', 'best',
            'sums')
BROKEN = (   # what torch and zip raise on files that are none of theirs
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError,
    LookupError, MemoryError, RuntimeError, TypeError, ValueError,
    pickle.PickleError, struct.error, zipfile.BadZipFile, zlib.error)
FREE = {'iterations', 'run.patience', 'run.graph'}   # may change in a resumed run


class OtherData(InputError):
    "A run that goes on would go on with other objects."


def _networks(trainer: Trainer) -> dict[str, Any]:
    "All that has a state of its own, by the name it has in a checkpoint."
    found = dict(model=trainer.shape.model, adam=trainer.shape.stepper.adam)
    if trainer.view:
        found |= dict(siam=trainer.view.network,
                      siam_adam=trainer.view.stepper.adam)
    return found


def run_state(
    trainer: Trainer,
) -> dict[str, Any]:   # tensors, numbers and words
    "Everything that the next step depends on."
    return dict(
        format=FORMAT, config=config_to_dict(trainer.config),
        objects=[split_fingerprint(split) for split in (trainer.train, trainer.val)],
        category=trainer.val.category, threads=torch.get_num_threads(),
        generator=trainer.generator.get_state(),
        pseudo=trainer.labels.pseudo,
        **{k: part.state_dict() for k, part in _networks(trainer).items()},
        **{k: getattr(trainer, k) for k in COUNTERS})


def flatten(config: Any, prefix: str = '') -> dict[str, Any]:
    "Fields by their path: {'shape.lr': .0001, …}."
    if not isinstance(config, dict): return {prefix.rstrip('.'): config}
    found: dict[str, Any] = {}
    for name, value in config.items():
        nested = isinstance(value, dict) and prefix.count('.') < 3
        found |= (flatten(value, f'{prefix}{name}.') if nested
                  else {f'{prefix}{name}': value})
    return found


def same_setting(
    found: Any,   # of a checkpoint, anything
    mine: Any,    # a number, word, list or None
) -> bool:
    "Whether a stored setting is this one."
    if isinstance(mine, list):
        return (isinstance(found, list) and len(found) == len(mine)
                and all(map(same_setting, found, mine)))
    numbers = int, float
    alike = type(found) is type(mine) or (isinstance(found, numbers)
                                          and isinstance(mine, numbers))
    return alike and found == mine


def repr_short(value: Any) -> str:
    "A setting in a message."
    plain = isinstance(value, int | float | str | list | None)
    return f'{value!r:.40}' if plain else f'a {type(value).__name__}'


def other_settings(
    config: SSRConfig,
    found: Any,        # of config_to_dict, of a run that is there
) -> str:              # empty where it may go on
    "What a run would have to change to go on as another."
    mine = {k: v for k, v in flatten(config_to_dict(config)).items()
            if k not in FREE}
    theirs = {k: v for k, v in flatten(found).items() if k not in FREE}
    missing = object()
    other = [k for k in mine | theirs if k not in mine or not same_setting(
        theirs.get(k, missing), mine[k])]
    def told(values, k): return repr_short(values[k]) if k in values else 'none'
    named = [f'{k} {told(theirs, k)}, now {told(mine, k)}'
             for k in other[:4]] + [f'{len(other) - 4} more']
    return ', '.join(named[:len(other)])


def read_checkpoint(
    path: Path,
    device: str = 'cpu',
) -> dict[str, Any]:    # what run_state has written
    "The content of a checkpoint. InputError where it is none."
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type for part in archive.infolist()):
                raise ValueError('compressed')
            if bad := archive.testzip(): raise ValueError(f'{bad} is damaged')
        state = torch.load(path, map_location=device, weights_only=True)
        version = state['format']
    except (OSError, *BROKEN) as error:
        if isinstance(error, OSError) and error.filename: raise   # not of its content
        raise _no_checkpoint(path, error) from None
    if not same_setting(version, FORMAT):
        raise InputError(f'{path}: checkpoint format {repr_short(version)}, this '
                         f'version reads {FORMAT}; train again')
    return state


def _no_checkpoint(path: Path, error: Exception) -> InputError:
    reason = ' '.join(str(error).split())[:160] or type(error).__name__
    return InputError(f'{path}: not a checkpoint ({reason})')


def check_settings(
    trainer: Trainer,
    state: dict[str, Any],   # of a checkpoint
    path: Path,              # for the error
):
    "InputError unless a checkpoint is of this configuration and data."
    if other := other_settings(trainer.config, state['config']):
        raise InputError(f'{path}: written with other settings: {other}; '
                         'repeat those of its config.json')
    category = trainer.val.category
    if not same_setting(state['category'], category):
        named = repr_short(state['category']).strip(chr(39))
        raise OtherData(f'{path}: trained on {named}, the data is of {category}')
    objects = [split_fingerprint(split) for split in (trainer.train, trainer.val)]
    if not same_setting(state['objects'], objects):
        raise OtherData(f'{path}: trained on other objects than the '
                        f'{len(trainer.images)} that the data now has')
    if not same_setting(state['threads'], torch.get_num_threads()):
        raise InputError(
            f'{path}: trained with {repr_short(state["threads"])} CPU threads, now '
            f'{torch.get_num_threads()}: another number rounds otherwise; '
            'set --threads (torch.set_num_threads) as it was')


def same_structure(
    found: Any,       # from a file
    wanted: Any,      # dicts of tensors, numbers and words, of the right form
) -> bool:
    "Whether a value has the keys, types, dtypes and shapes of another."
    if isinstance(wanted, dict):
        return (isinstance(found, dict) and found.keys() == wanted.keys()
                and all(same_structure(found[k], wanted[k]) for k in wanted))
    if isinstance(wanted, Tensor):
        return (isinstance(found, Tensor) and found.dtype == wanted.dtype
                and found.shape == wanted.shape)
    return type(found) is type(wanted)


def adam_structure(adam: torch.optim.Adam) -> dict[int, dict[str, Tensor]]:
    "What Adam keeps of each parameter after a step: steps and two moments."
    parameters = [p for group in adam.param_groups for p in group['params']]
    return {i: dict(step=torch.zeros(()), exp_avg=p, exp_avg_sq=p)
            for i, p in enumerate(parameters)}


def checkpoint_mismatch(
    trainer: Trainer,
    state: dict[str, Any],   # of a checkpoint
) -> str | None:
    "The first part of a checkpoint that this run cannot have written."
    parts = _networks(trainer)
    wanted = {k: v for k, v in run_state(trainer).items()
              if k in (*parts, *COUNTERS, 'generator', 'pseudo')}
    for name in parts:   # an optimizer's state is empty before its first step
        if name.endswith('adam') and state[name]['state']:
            wanted[name]['state'] = adam_structure(parts[name])
    if state['best']: wanted['best'] = wanted['model']
    row = dict.fromkeys(COLUMNS[1:], 0.) | dict(iteration=0)
    sums = dict.fromkeys((*COLUMNS[1:5], 'steps'))
    wanted['sums'] = {k: v for k, v in state['sums'].items() if k in sums
                      and torch.as_tensor(v).ndim == 0}
    for name, value in wanted.items():
        if not same_structure(state[name], value): return name
    if not all(same_structure(r, row) for r in state['log']): return 'log'
    labels, views = state['pseudo'], len(trainer.viewpoints)
    return 'pseudo' if ((labels < -1) | (labels >= views)).any() else None


def restore(
    trainer: Trainer,
    path: Path,     # checkpoint
):
    "Continue where a checkpoint stopped. InputError if it does not fit."
    state = read_checkpoint(path, trainer.device)
    try:
        check_settings(trainer, state, path)
        if part := checkpoint_mismatch(trainer, state):
            raise ValueError(f'{part} is of another form')
        trainer.generator.set_state(state['generator'].cpu())
        for name, part in _networks(trainer).items():
            # an optimizer's settings are the run's own
            own = {'param_groups': part.state_dict()['param_groups']} \
                if name.endswith('adam') else {}
            part.load_state_dict(state[name] | own)
    except InputError: raise
    except (AttributeError, KeyError, RuntimeError, TypeError,
            ValueError) as error:
        raise _no_checkpoint(path, error) from None
    for k in COUNTERS: setattr(trainer, k, state[k])
    trainer.labels.pseudo = state['pseudo'].cpu()


def save_run(
    trainer: Trainer,
    folder: Path,   # gets metrics.csv, reconstructor.safetensors, checkpoint.pt
):
    "Bring a run folder up to date; the checkpoint comes last."
    import pandas as pd
    table = pd.DataFrame(trainer.log, columns=list(COLUMNS))
    write_text(folder/'metrics.csv',
               table.to_csv(index=False, lineterminator='\n'))
    if trainer.best:
        trainer.best_model().save(folder/'reconstructor.safetensors')
    whole = io.BytesIO()   # so that a full disk is an OSError, as always
    torch.save(run_state(trainer), whole)
    with atomic_write(folder/'checkpoint.pt') as temporary:
        Path(temporary).write_bytes(whole.getbuffer())


def open_run(
    trainer: Trainer,
    folder: Path,
    resume: bool,
):
    "Begin a run folder, or continue the one that is there."
    checkpoint = folder/'checkpoint.pt'
    if not process_rank()[0]:   # what a kill has left half written
        for left in folder.glob(f'.*.{"[0-9a-f]"*8}.tmp.*'): left.unlink()
    if checkpoint.exists():
        if not resume:
            raise InputError(f'{folder}: already holds a run; resume it, or '
                             'choose another folder')
        restore(trainer, checkpoint)
    if process_rank()[0] or (checkpoint.exists()
                             and (folder/'config.json').exists()): return
    folder.mkdir(parents=True, exist_ok=True)
    about = dict(data=str(trainer.train.name), category=trainer.train.category,
                 method=method_name(trainer.config),
                 config=config_to_dict(trainer.config))
    write_text(folder/'config.json', json.dumps(about, indent=2) + '\n')


@contextmanager
def lock_run(
    folder: Path,
) -> Iterator[None]:
    "Keep other runs out of a folder; a crash gives it free again."
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder/'run.lock', blocking=False): yield
    except Timeout:
        raise InputError(f'{folder}: another run is writing here') from None


@dataclass(frozen=True)
class RunRecord:
    "What a run folder says of itself."
    folder: Path
    config: SSRConfig
    data: str                  # folder of the data set
    category: str
    metrics: 'pd.DataFrame'    # a row a validation, columns of metrics.csv

    @property
    def method(self) -> str: return method_name(self.config)

    @property
    def iterations(self) -> int:
        return int(self.metrics['iteration'].max()) if len(self.metrics) else 0


def read_metrics(
    path: str | Path,   # metrics.csv of a run
) -> 'pd.DataFrame':
    "The log of a run. InputError names the file and the flaw."
    import pandas as pd
    try: found = pd.read_csv(path, encoding='utf-8')
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except ValueError as reason:   # pandas' parser errors and UnicodeError, too
        raise InputError(f'{path}: not the metrics of a run ({reason!s:.160})'
                         ) from None
    if missing := [c for c in COLUMNS if c not in found.columns]:
        raise InputError(f'{path}: not the metrics of a run (no column '
                         f'{", ".join(missing)})')
    found = found[list(COLUMNS)].apply(pd.to_numeric, errors='coerce')
    if found['iteration'].isna().any():
        raise InputError(f'{path}: not the metrics of a run (an iteration '
                         'without its number)')
    return found


def read_run(
    folder: str | Path,
) -> RunRecord:
    "A run folder's configuration and log. InputError when it is none."
    folder = Path(folder)
    if not folder.is_dir(): raise InputError(f'{folder}: no such run folder')
    path = folder/'config.json'
    if not path.is_file():
        raise InputError(f'{folder}: no run folder (it has no config.json)')
    about = read_json(path)
    if not isinstance(about, dict) or not isinstance(about.get('category'), str):
        raise InputError(f'{path}: names no category')
    if 'config' not in about:
        raise InputError(f'{path}: of the first edition of ssr_nb; train again')
    config = config_from_dict(about['config'], str(path))
    return RunRecord(folder, config, str(about.get('data', '')),
                     about['category'], read_metrics(folder/'metrics.csv'))
