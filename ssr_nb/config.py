"""What a training run can be told: small frozen dataclasses, one a concern.

This module imports no torch, so that commands can answer at once.
"""
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from .core import InputError, check_choice
from .rules import Agreement, Rule

__all__ = ['PRESETS', 'ReconstructionConfig', 'RunConfig', 'SSRConfig', 'SiamVPConfig']


def _check_whole(config, **least: int):
    "InputError unless fields are whole numbers of at least so much."
    for name, low in least.items():
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise InputError(f'{name}: expected a whole number of at least '
                             f'{low}, found {value!r}')


def _check_range(config, **ranges: tuple[float, float]):
    "InputError unless fields are numbers in a range, both ends included."
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        fits = isinstance(value, int | float) and low <= value <= high
        if not fits:
            raise InputError(f'{name}: expected a number from {low:g} to '
                             f'{high:g}, found {value!r}')


@dataclass(frozen=True)
class ReconstructionConfig:
    "SoftRas's network, its losses and its optimizer."
    lr: float = 1e-4            # Adam's (paper §4.2)
    sigma: float = 1e-4         # edge softness, NDC² (SoftRas)
    decay: float = .75          # share of the run after which lr and sigma × 0.3
    laplacian: float = 5e-3     # weight of the Laplacian loss (SoftRas)
    flatten: float = 5e-4       # weight of the flatten loss (SoftRas)
    color: float = 0.           # weight of colours (SoftRas); 0: none
    subdivisions: int = 3       # of the sphere: 3 gives 642 vertices
    width: int = 64             # encoder's first channels (SoftRas)
    hidden: int = 1024          # units of its linear layers (SoftRas)
    features: int = 512         # between encoder and decoder (SoftRas)
    batch_norm: bool = True     # SoftRas has it, SSR's released code has not

    def __post_init__(self):
        _check_whole(self, subdivisions=0, width=1, hidden=1, features=1)
        _check_range(self, lr=(1e-9, 10), sigma=(1e-12, 1), decay=(0, 1),
                     laplacian=(0, 1e6), flatten=(0, 1e6), color=(0, 1e6))


@dataclass(frozen=True)
class SiamVPConfig:
    "SiamVP's network, the pairs that it learns from and its optimizer."
    lr: float = 1e-4            # Adam's (paper §4.2)
    images: int = 64            # labeled images a step draws (released); 0: all
    # pairs of them that it learns from, half of them same (§4.2), the hardest
    # among them; 64: the released code's 32 + 32; 0: all pairs
    pairs: int = 32
    rotate: bool = True         # add the loss of the rotated pairs (§3.2)
    warmup: int = 0             # its steps before SoftRas's first
    pseudo: int = 0             # pseudo-labeled objects a step draws, too
    image_size: int = 64        # pixels (Koch 2015)
    width: int = 64             # first channels (Koch 2015)
    features: int = 4096        # numbers in an embedding (Koch 2015)
    kernels: tuple[int, int, int] = (10, 7, 4)   # pixels (Koch 2015)

    def __post_init__(self):
        _check_whole(self, images=0, pairs=0, warmup=0, pseudo=0,
                     image_size=16, width=1, features=1)
        _check_range(self, lr=(1e-9, 10))
        for name, least in ('images', 4), ('pairs', 2):
            if 0 < getattr(self, name) < least:
                raise InputError(f'{name}: expected 0 or a whole number of at '
                                 f'least {least}, found {getattr(self, name)}')


@dataclass(frozen=True)
class RunConfig:
    "When a run validates, saves and stops, and how it computes."
    validate_every: int = 200   # iterations: one epoch (paper §4.2)
    # of the validation set, spread over its objects and views; 0: all
    validate_images: int = 384
    patience: int = 0           # validations without gain to stop; 0: never
    checkpoint_minutes: float = 10.   # between checkpoints; 0: every iteration
    # of the networks; the rasterizer always computes in float32
    precision: Literal['float32', 'bfloat16'] = 'float32'
    graph: bool = False         # each step as one CUDA graph

    def __post_init__(self):
        _check_whole(self, validate_every=1, validate_images=0, patience=0)
        _check_range(self, checkpoint_minutes=(0, 1e6))
        check_choice('precision', self.precision, ('float32', 'bfloat16'))


@dataclass(frozen=True)
class SSRConfig:
    "Every choice of a training run; in brackets, where the value comes from."
    # how many objects have viewpoints (0: all), or which ones (Table 2)
    labeled: int | tuple[int, ...] = 2
    seed: int = 0               # of weights, labeled objects and batches
    iterations: int = 200_000   # 1000 epochs of 200 (paper §4.2)
    batch: int = 64             # image pairs a SoftRas step (§4.2)
    # share of labeled images in a batch, beside pseudo-labeled ones (§3.2);
    # none: by their numbers
    labeled_share: float | None = .5
    # what images are compared with: one labeled image a viewpoint, each of a
    # random object (view, §3.2); one random object for each image (image,
    # listing); the first object (first, released); the mean of all (all, ours)
    references: Literal['view', 'image', 'first', 'all'] = 'view'
    cycle: int = 400            # z, iterations between labelings (§4.3)
    gate: float = .99           # SiamVP's accuracy needed to label (released)
    # where it is measured: on as many labeled images as a step draws
    # (released), or on all of them (the listing)
    gate_on: Literal['batch', 'all'] = 'batch'
    # an image keeps its label until it gets another (released), or until the
    # next labeling
    update: Literal['keep', 'replace'] = 'keep'
    shape: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    view: SiamVPConfig = field(default_factory=SiamVPConfig)
    rule: Rule | None = field(default_factory=Agreement)   # none: SoftRas alone
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self):
        if isinstance(self.labeled, tuple):
            numbers = self.labeled
            if not numbers or len(set(numbers)) < len(numbers) or not all(
                    isinstance(n, int) and n >= 0 for n in numbers):
                raise InputError('labeled: expected different object numbers '
                                 f'from 0 on, found {numbers!r}')
        else: _check_whole(self, labeled=0)
        _check_whole(self, seed=0, iterations=1, batch=2, cycle=1)
        _check_range(self, gate=(0, 1))
        if self.labeled_share is not None:
            _check_range(self, labeled_share=(0, 1))
        check_choice('references', self.references,
                     ('view', 'image', 'first', 'all'))
        check_choice('gate_on', self.gate_on, ('batch', 'all'))
        check_choice('update', self.update, ('keep', 'replace'))
        if self.rule is None: return
        if not isinstance(self.rule, Rule):
            raise InputError('rule: expected an object of a subclass of '
                             f'ssr_nb.rules.Rule, found {self.rule!r}')
        if self.labeled_count == 1:
            raise InputError('labeled: pseudo-labels need 2 labeled objects or '
                             'more (the same viewpoint is learned across '
                             'objects), found 1')

    @property
    def labeled_count(self) -> int:   # 0: all
        "How many objects have viewpoints."
        return self.labeled if isinstance(self.labeled, int) else len(self.labeled)


class _Presets(Mapping[str, SSRConfig]):
    "Configurations by name, built when they are asked for."
    def __init__(self, **builders: Callable[[], SSRConfig]): self.builders = builders

    def __getitem__(self, name: str) -> SSRConfig: return self.builders[name]()

    def __iter__(self) -> Iterator[str]: return iter(self.builders)

    def __len__(self) -> int: return len(self.builders)


def _small() -> SSRConfig:
    "The method at a size that a CPU core trains in a minute."
    return SSRConfig(
        iterations=800, batch=16, cycle=100, gate=.95,
        shape=ReconstructionConfig(lr=1e-3, decay=5/6, subdivisions=2, width=16,
                                   hidden=256, features=128),
        view=SiamVPConfig(lr=1e-3, pairs=0, image_size=32, width=16,
                          features=256, kernels=(5, 4, 3)),
        run=RunConfig(validate_every=50, validate_images=0, checkpoint_minutes=1.))


def _medium() -> SSRConfig:
    "The published mesh and image size: about an hour of one CPU core."
    return SSRConfig(
        iterations=5000, batch=32, cycle=200, gate=.95,
        shape=ReconstructionConfig(lr=5e-4, width=32, hidden=512),
        view=SiamVPConfig(lr=5e-4, pairs=0, width=16, features=512),
        run=RunConfig(validate_every=200, validate_images=0, checkpoint_minutes=5.))


def _ring() -> SSRConfig:
    "The small size with our best rule (chapter 13)."
    from .ring import Ring
    small = _small()   # the rule orders whole objects: no label outlives them
    return replace(small, references='all', labeled_share=None,
                   update='replace', rule=Ring(),
                   view=replace(small.view, warmup=300, images=96, pseudo=2))


PRESETS: Mapping[str, SSRConfig] = _Presets(
    paper=SSRConfig, small=_small, medium=_medium, ring=_ring)

RULES = {   # name in the shell and of a method -> where it is defined
    'agreement': 'ssr_nb.rules:Agreement', 'confidence': 'ssr_nb.rules:Confidence',
    'classifier': 'ssr_nb.rules:Classifier', 'oracle': 'ssr_nb.rules:Oracle',
    'joint': 'ssr_nb.ring:Joint', 'ring': 'ssr_nb.ring:Ring'}


def find_rule(
    name: str,            # a name in RULES, or 'package.module:Class'
) -> type[Rule]:
    "The class of a rule, imported on demand. InputError when there is none."
    module, colon, attribute = RULES.get(name, name).partition(':')
    known = f'expected one of {", ".join(RULES)}, or package.module:Class'
    if not colon: raise InputError(f'rule: {known}, found {name!r}')
    try: found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise InputError(f'rule: {name!r} cannot be imported ({error})') from None
    if not (isinstance(found, type) and issubclass(found, Rule)
            and is_dataclass(found)):
        raise InputError(f'rule: {name!r} is not a dataclass that derives from '
                         'ssr_nb.rules.Rule')
    return found


def rule_name(rule: Rule | None) -> str:
    "The name under which find_rule finds a rule's class; none: 'none'."
    if rule is None: return 'none'
    place = f'{type(rule).__module__}:{type(rule).__qualname__}'
    return {where: name for name, where in RULES.items()}.get(place, place)


def method_name(config: SSRConfig) -> str:
    "What a run is called in tables: softras, ssr (the paper's rule), ring, …"
    name = rule_name(config.rule)
    return {'none': 'softras', 'agreement': 'ssr'}.get(
        name, name.rpartition(':')[2].lower())


def with_overrides(
    config: SSRConfig,
    changes: Mapping[str, Any],   # {'seed': 1, 'view.pairs': 16, 'rule': Ring()}
) -> SSRConfig:
    "The same configuration with some fields changed. InputError names an unknown one."
    nested: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        room, _, name = path.rpartition('.')
        nested.setdefault(room, {})[name] = value
    plain = nested.pop('', {})
    for room, values in nested.items():
        part = plain.get(room, getattr(config, room, None))
        if part is None: raise InputError(f'{room}: no such part of a configuration')
        plain[room] = _replaced(part, values, f'{room}.')
    return _replaced(config, plain, '')


def _replaced(part, values: dict[str, Any], where: str):
    known = {f.name for f in fields(part)}
    for name in values:
        if name not in known: raise InputError(f'{where}{name}: no such field')
    return replace(part, **values)


def config_to_dict(config: SSRConfig) -> dict[str, Any]:
    "A configuration as JSON can hold it; a rule has its name beside its options."
    def plain(part) -> dict[str, Any]:
        return {f.name: plain(value) if is_dataclass(value := getattr(part, f.name))
                else list(value) if isinstance(value, tuple) else value
                for f in fields(part)}
    found = plain(config)
    if config.rule is not None:
        found['rule'] = {'name': rule_name(config.rule)} | found['rule']
    return found


def config_from_dict(
    found: Any,      # of config_to_dict, perhaps from a file
    where: str = '', # the file, for errors
) -> SSRConfig:
    "A configuration from JSON. InputError names the field that is wrong."
    prefix = f'{where}: ' if where else ''
    def build(kind: type, values: Any, name: str) -> Any:
        if not isinstance(values, dict):
            raise InputError(f'{prefix}{name or "configuration"}: expected fields '
                             f'by name, found {values!r:.40}')
        known = {f.name for f in fields(kind)}
        if other := sorted(set(values) - known):
            raise InputError(f'{prefix}{name}{other[0]}: no such field (written '
                             'by another version)')
        try: return kind(**{k: tuple(v) if isinstance(v, list) else v
                            for k, v in values.items()})
        except TypeError as error:
            raise InputError(f'{prefix}{name}{error}') from None
        except InputError as error:
            raise InputError(f'{prefix}{name}{error}') from None
    if not isinstance(found, dict):
        raise InputError(f'{prefix}expected a configuration, found {found!r:.40}')
    values = dict(found)
    for name, kind in (('shape', ReconstructionConfig), ('view', SiamVPConfig),
                       ('run', RunConfig)):
        if name in values: values[name] = build(kind, values[name], f'{name}.')
    if isinstance(rule := values.get('rule'), dict):
        rule = dict(rule)
        values['rule'] = build(find_rule(str(rule.pop('name', ''))), rule, 'rule.')
    return build(SSRConfig, values, '')
