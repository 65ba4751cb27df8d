"ssr_train: a network that makes a mesh of one image."
import inspect
import math
import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import tyro
from tyro.conf import Positional, Suppress, arg
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
)

from ..config import (
    PRESETS,
    RULES,
    ReconstructionConfig,
    RunConfig,
    SiamVPConfig,
    SSRConfig,
    config_from_dict,
    find_rule,
    method_name,
    rule_name,
)
from ..core import InputError, read_json
from ..rules import Rule
from .shell import (
    Flag,
    Folder,
    OptionalFolder,
    Training,
    check_category,
    check_device,
    check_labeled,
    check_least,
    command,
    find_preset,
    find_word,
    parse,
    say,
)

if TYPE_CHECKING: from ..train import Trainer

__all__: list[str] = []

R = TypeVar('R')


@dataclass(frozen=True)
class NoOptions:
    "Of a run without a rule, of which there is nothing to choose."


@dataclass(frozen=True)
class Train(Training, Generic[R]):
    """Train a network that makes a mesh of one image.

    For example
      ssr_train shapes --category plane --labeled 2
      ssr_train shapes --category plane --labeled 0 --rule none
      ssr_train shapes --category plane --rule joint --rule.rotation 30

    The second one is SoftRas with the viewpoints of all objects: as good as
    it gets. --rule package.module:MyRule takes a rule of your own; what it can
    be told is --rule.<name>.
    """
    data: Positional[Folder]     # data set, see ssr_data
    category: str                # name or WordNet id: chair or 03001627
    config: Annotated[SSRConfig, arg(name='')]
    rule_options: Annotated[R, arg(name='rule')]
    # softras: short for --rule none; ssr: the rule of the preset
    method: Literal['softras', 'ssr'] = 'ssr'
    # run folder; none: runs/<category>_<method>_<labeled>_<seed>
    out: OptionalFolder = None
    resume: Flag = False         # go on with the run in the folder
    help_all: Flag = False       # list the options of networks and losses, too


@dataclass(frozen=True)
class ShortConfig(SSRConfig):
    "The fields that most people leave alone do not stand in --help."
    labeled_share: Suppress[float | None] = .5
    references: Suppress[Literal['view', 'image', 'first', 'all']] = 'view'
    gate_on: Suppress[Literal['batch', 'all']] = 'batch'
    update: Suppress[Literal['keep', 'replace']] = 'keep'
    shape: Suppress[ReconstructionConfig] = field(
        default_factory=ReconstructionConfig)
    view: Suppress[SiamVPConfig] = field(default_factory=SiamVPConfig)
    run: Suppress[RunConfig] = field(default_factory=RunConfig)


REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def _rule_by_name(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    if info.type != (Rule | None): return None
    return PrimitiveConstructorSpec(
        1, f'{{{",".join(RULES)},none,MODULE:CLASS}}',
        lambda words: find_rule(words[0])() if words[0] != 'none' else None,
        lambda value: value is None or isinstance(value, Rule),
        lambda value: [rule_name(value)])


@REGISTRY.primitive_rule
def _count_or_numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    if info.type != (int | tuple[int, ...]): return None

    def read(words: list[str]) -> int | tuple[int, ...]:
        try: numbers = tuple(map(int, words))
        except ValueError: numbers = ()
        if not numbers:
            raise ValueError('expected a number of objects, or the numbers of '
                             f'several, found {" ".join(words) or "none"!r}')
        return numbers[0] if len(numbers) == 1 else numbers
    return PrimitiveConstructorSpec(
        '*', 'N | NUMBER NUMBER …', read,
        lambda value: isinstance(value, int | tuple),
        lambda value: list(map(str, value if isinstance(value, tuple) else [value])))


# ------------------------------------------------------------ words → options --
def default_options(
    words: Sequence[str],
) -> tuple[Train[Any], type]:   # and the class of the options of its rule
    "A preset's values; which options there are depends on the rule."
    preset = find_preset(words)
    config = PRESETS[preset]
    name = find_word(words, '--rule')
    if name is None and find_word(words, '--method') == 'softras': name = 'none'
    if name is not None and name != rule_name(config.rule):
        rule = None if name == 'none' else _rule_with_defaults(name)
        config = replace(config, rule=rule)
    missing: Any = tyro.MISSING_NONPROP
    options: Any = config.rule or NoOptions()
    return (Train(missing, missing, config, options, preset=preset),
            type(options))


def _rule_with_defaults(name: str) -> Rule:
    try: return find_rule(name)()
    except InputError as error: raise InputError(f'--{error}') from None
    except TypeError as error:   # a field without a default
        raise InputError(f'--rule: {name}: every option of a rule needs a '
                         f'default ({error})') from None


def parse_train(
    words: Sequence[str],
) -> Train[Any]:
    "Options of ssr_train, its rule in the configuration and its folder chosen."
    default, kind = default_options(words)
    every = '--help-all' in words
    asked = every or '--help' in words or '-h' in words
    about = inspect.cleandoc(Train.__doc__ or '')
    made: Any = Train   # generic over the options of the rule
    annotated: Any = kind
    if asked and not every:
        about += '\n\n--help-all lists the options of networks and losses, too.'
        default = replace(default, config=ShortConfig(**vars(default.config)))
        annotated = Annotated[kind, Suppress]
    try:
        o = parse(made[annotated], ['--help'] if asked else list(words),
                  'ssr_train', default=default, description=about,
                  registry=REGISTRY)
        rule = None if kind is NoOptions else o.rule_options
        if o.method == 'softras' and rule is not None:
            raise InputError('--method softras: has no rule, leave --rule away')
        config = replace(o.config, rule=rule)
    except InputError as error: raise with_options(error) from None
    check_least(threads=(o.threads, 1))
    o = replace(o, config=config)
    return replace(o, out=o.out or default_folder(o))


def default_folder(
    o: Train[Any],
) -> Path:
    "Where a run goes that was not told where."
    c = o.config
    count = ('-'.join(map(str, c.labeled)) if isinstance(c.labeled, tuple)
             else c.labeled or 'all')
    return Path('runs')/f'{o.category}_{method_name(c)}_{count}_{c.seed}'


# ------------------------------------------------------------ errors → options --
def _paths() -> dict[str, str]:
    "Every field of a configuration by its path, and by its name if only one has it."
    found: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    whole = SSRConfig()
    for f in fields(whole):
        part = getattr(whole, f.name)
        nested = is_dataclass(part) and f.name != 'rule'
        paths = [f'{f.name}.{g.name}' for g in fields(part)] if nested else [f.name]
        for path in paths:
            found[path] = '--' + path.replace('_', '-')
            names.setdefault(path.rpartition('.')[2], []).append(path)
    return {name: found[paths[0]] for name, paths in names.items()
            if len(paths) == 1} | found


def with_options(
    error: InputError,   # of a configuration or of training
) -> InputError:
    "The same line; fields are named as the options that set them."
    options = _paths()
    text = re.sub(r'^config(?:\.(\w+))?: (\w+): ',
                  lambda m: f'{m[1]}.{m[2]}: ' if m[1] else f'{m[2]}: ', str(error))
    text = re.sub(r'^rule[-_]options: (\w+): ',
                  lambda m: f'--rule.{m[1].replace("_", "-")}: ', text)
    text = re.sub(r'^--rule: rule: ', '--rule: ', text)
    start, colon, rest = text.partition(':')
    if start in options: text = options[start] + colon + rest
    nested = '|'.join(re.escape(p) for p in options if '.' in p)
    text = re.sub(rf'(?<![\w.-])({nested})(?![\w.])',
                  lambda m: options[m[1]], text)
    head, other, settings = text.partition('other settings: ')
    settings = re.sub(r'(^|, )(\w+)(?= [^:;]*?, now )', lambda m: m[1] + options.get(
        m[2], m[2]), settings)
    settings = settings.replace('rule.name ', '--rule ')
    return type(error)(head + other + settings)


# -------------------------------------------------- before torch is imported --
def check_folder(
    o: Train[Any],
):
    "InputError unless a run can begin, or go on, in its folder."
    out = o.out or Path()
    begun = any((out/name).exists() for name in ('checkpoint.pt', 'config.json'))
    again = 'TORCHELASTIC_RUN_ID' in os.environ   # torchrun repeats its words
    if o.resume and not begun and not again:
        raise InputError(f'--resume: {out}: no run to go on with')
    if not o.resume and (out/'checkpoint.pt').exists():
        raise InputError(f'{out}: already holds a run; go on with it by '
                         '--resume, or choose another --out')
    if out.exists() and not out.is_dir():
        raise InputError(f'--out: {out}: is no folder')
    path = out/'config.json'
    if o.resume and path.exists():   # or a run would fail at its end
        about = read_json(path)
        named = isinstance(about, dict) and isinstance(about.get('category'), str)
        if not named or 'config' not in about:
            raise InputError(f'{path}: not that of a run; remove it to have it '
                             'written anew')
        config_from_dict(about['config'], str(path))


def check_before(o: Train[Any]):
    "InputError for everything that is wrong and can be seen without torch."
    check_folder(o)
    check_category(o.data, o.category, ('train', 'val'))


# ----------------------------------------------------------------- the run --
def resume_line(
    folder: Path,           # of a run that was stopped
    words: Sequence[str],   # behind ssr_train
    iteration: int,         # that it has reached
) -> str:
    "What to say after an interrupt: what is kept, and how to go on."
    again = shlex.join(['ssr_train', *(w for w in words if w != '--resume')])
    if not (folder/'checkpoint.pt').exists():
        return f'stopped before its first checkpoint; begin again: {again}'
    return (f'stopped; {folder} keeps the checkpoint of iteration {iteration}; '
            f'go on with: {again} --resume')


def label_summary(
    trainer: 'Trainer',   # finished
) -> str:                 # one line
    "Coverage and accuracy of the pseudo-labels; if there were none: why."
    c, labels = trainer.config, trainer.labels
    count = labels.pseudo.numel()
    if c.rule is None: return 'pseudo-labels: none, as --rule none asks'
    coverage, accuracy = labels.quality()
    if known := int((labels.pseudo >= 0).sum()):
        return (f'pseudo-labels: {known} of {count} images, coverage '
                f'{coverage:.1%}, accuracy {accuracy:.1%}')
    gates = [row['gate_accuracy'] for row in trainer.log
             if not math.isnan(row['gate_accuracy'])]
    why = f'the rule {rule_name(c.rule)} accepted none'
    if not count: why = 'all objects are labeled'
    elif not gates and c.rule.network != 'none':
        why = f'the first labeling is after --cycle {c.cycle}'
    elif gates and max(gates) < c.gate:
        why = (f"SiamVP's accuracy, {max(gates):.4g} at most, never reached "
               f'--gate {c.gate:g}')
    return f'pseudo-labels: none, as in SoftRas ({why})'


def run_training(
    o: Train[Any],
) -> 'tuple[Trainer, bool]':   # and whether a signal has stopped it
    "Train, or go on."
    import torch

    from ..data import load_split
    from ..distributed import join_processes
    from .stop import fit_until_signal
    check_device(o.device)
    torch.set_num_threads(o.threads)   # a checkpoint remembers it
    train, val = (load_split(o.data, o.category, s) for s in ('train', 'val'))
    if isinstance(o.config.labeled, int):
        check_labeled(o.config.labeled, len(train), o.category)
    device = join_processes(o.device)
    return fit_until_signal(train, val, o.config, o.out, resume=o.resume,
                            device=device, progress=not o.quiet)


@command('ssr_train')
def main(
    words: list[str],   # behind the command's name
) -> int:
    "Train a network on one category of a data set."
    o = parse_train(words)
    check_before(o)
    try: trainer, stopped = run_training(o)
    except InputError as error: raise with_options(error) from None
    out = o.out or Path()
    if stopped:
        raise KeyboardInterrupt(resume_line(out, words, trainer.iteration))
    from ..distributed import process_rank
    if process_rank()[0]: return 0   # one process tells for all
    from ..figures import curves_figure, write_figure
    from ..runs import read_run
    write_figure(curves_figure({method_name(o.config): read_run(out)}),
                 out/'curves.png')
    say(f'{out}: best validation IoU {trainer.best_iou:.3f} at iteration '
        f'{trainer.best_iteration} of {trainer.iteration}, '
        f'{trainer.seconds:.0f} s', label_summary(trainer))
    return 0


if __name__ == '__main__': sys.exit(main())
