"Configurations: small dataclasses that refuse what cannot be, by name."
from dataclasses import dataclass, fields, is_dataclass

import pytest

from ssr_nb.config import (
    PRESETS,
    ReconstructionConfig,
    RunConfig,
    SiamVPConfig,
    SSRConfig,
    find_rule,
    method_name,
    rule_name,
    with_overrides,
)
from ssr_nb.core import InputError
from ssr_nb.ring import Joint, Ring
from ssr_nb.rules import Agreement, Classifier, Confidence, Oracle, Rule


@dataclass(frozen=True)
class Own(Rule):
    level: float = .5
    def __call__(self, s): return s.similarity.argmax(-1)


@pytest.mark.parametrize('kind, wrong', [
    (SSRConfig, dict(batch=1, labeled=-1, iterations=.5, gate=float('nan'), labeled_share=2., cycle=0, seed=-1,
                     references='best', rule='luck')),
    (SSRConfig, dict(labeled=())), (SSRConfig, dict(labeled=(1, 1))), (SSRConfig, dict(labeled=(0, -1))),
    (ReconstructionConfig, dict(lr=0., sigma=0., decay=2., laplacian=float('nan'), flatten=-1., subdivisions=-1, width=0,
                                hidden=True, features='x')),
    (SiamVPConfig, dict(lr=-1., pairs=-1, objects=1, warmup=-1, pseudo=.5, image_size=8, width=0)),
    (RunConfig, dict(validate_every=0, validate_images=-1, patience=-1, checkpoint_minutes=-1, precision='half'))])
def test_an_impossible_choice_is_named(kind, wrong):
    for field, value in wrong.items():
        with pytest.raises(InputError, match=f'^{field}: expected'): kind(**{field: value})


def test_pseudo_labels_need_two_labeled_objects():
    for labeled in (1, (4,)):
        with pytest.raises(InputError, match='labeled: pseudo-labels need 2'): SSRConfig(labeled=labeled)
        assert SSRConfig(rule=None, labeled=labeled).labeled_count == 1


def test_the_options_are_few():
    def leaves(kind): return sum(leaves(type(v)) if is_dataclass(v := getattr(kind(), f.name)) and f.name != 'rule' else 1
                                 for f in fields(kind))
    assert len(fields(SSRConfig)) <= 14 and leaves(SSRConfig) <= 36


def test_the_paper_preset_is_the_paper_line_by_line():
    c = PRESETS['paper']
    assert (c.iterations, c.batch, c.cycle, c.gate) == (200_000, 64, 400, 1.)            # §4.2, §4.3, §3.2
    assert (c.labeled_share, c.references) == (.5, 'one')                               # §3.2
    assert (c.shape.lr, c.view.lr, c.view.pairs, c.view.rotate) == (1e-4, 1e-4, 32, True)   # §4.2, §3.2
    assert c.rule == Agreement(threshold=.5, rotation=45.)                              # §3, released code
    assert (c.shape.sigma, c.shape.laplacian, c.shape.flatten) == (1e-4, 5e-3, 5e-4)     # SoftRas
    assert (c.shape.subdivisions, c.shape.width, c.shape.hidden, c.shape.features) == (3, 64, 1024, 512)
    assert c.shape.decay*c.iterations == 150_000 and c.run.validate_every == 200
    assert c.run.validate_images == 384 and c.run.checkpoint_minutes == 10                # chapter 12: what they cost
    assert (c.view.image_size, c.view.width, c.view.features, c.view.kernels) == (64, 64, 4096, (10, 7, 4))   # Koch et al.


def test_a_field_is_changed_by_its_path_and_a_wrong_path_is_named():
    c = with_overrides(PRESETS['small'], {'seed': 5, 'view.pairs': 8, 'rule': Ring(), 'rule.trust': .5})
    assert (c.seed, c.view.pairs, c.rule) == (5, 8, Ring(trust=.5)) and c.shape == PRESETS['small'].shape
    for path in ('luck', 'view.luck', 'luck.pairs'):
        with pytest.raises(InputError, match=f'^{path.partition(".")[0]}'): with_overrides(c, {path: 1})


def test_every_rule_has_a_name_that_finds_it_and_a_user_s_own_too():
    for rule, name, method in ((Agreement(), 'agreement', 'ssr'), (Confidence(), 'confidence', 'confidence'), (Joint(), 'joint', 'joint'),
                               (Ring(), 'ring', 'ring'), (Classifier(), 'classifier', 'classifier'), (Oracle(), 'oracle', 'oracle'),
                               (Own(), f'{__name__}:Own', 'own')):
        assert rule_name(rule) == name and find_rule(name) is type(rule)
        assert method_name(SSRConfig(rule=rule)) == method
    assert method_name(SSRConfig(rule=None)) == 'softras'
    for wrong, why in (('luck', 'expected one of agreement'), ('nowhere:Rule', 'cannot be imported'), ('os:system', 'not a dataclass that derives'),
                       ('ssr_nb.rules:Rule', 'not a dataclass'), (f'{__name__}:None_', 'not a dataclass')):
        with pytest.raises(InputError, match=f'^rule: .*{why}'): find_rule(wrong)


def test_presets_are_a_mapping():
    assert list(PRESETS) == ['paper', 'small', 'ring'] and len(PRESETS) == 3 and PRESETS['ring'].rule == Ring()
    with pytest.raises(KeyError): PRESETS['best']
