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
                     references='one', gate_on='some', update='forget', rule='luck')),
    (SSRConfig, dict(labeled=())), (SSRConfig, dict(labeled=(1, 1))), (SSRConfig, dict(labeled=(0, -1))),
    (ReconstructionConfig, dict(lr=0., sigma=0., decay=2., laplacian=float('nan'), flatten=-1., subdivisions=-1, width=0,
                                hidden=True, features='x')),
    (SiamVPConfig, dict(lr=-1., pairs=1, images=3, warmup=-1, pseudo=.5, image_size=8, width=0)),
    (RunConfig, dict(validate_every=0, patience=-1, validate_images=-1, checkpoint_minutes=-1, precision='half'))])
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
    assert len(fields(SSRConfig)) <= 14 and leaves(SSRConfig) <= 38


PAPER = {   # every line of §4.2, and of §3 and the other sources that it refers to
    'shape.lr': 1e-4, 'batch': 64,                                   # §4.2: Adam of the mesh network, batch size
    'view.lr': 1e-4, 'view.pairs': 32,                               # §4.2: Adam of SiamVP, batch size
    'iterations': 1000*200, 'run.validate_every': 200,               # §4.2: 1000 epochs; §4.3: of 200 iterations
    'run.patience': 0,                                               # §4.2: all of them, the best on validation is kept
    'cycle': 2*200,                                                  # §4.3: pseudo-labels every 2 epochs
    'labeled_share': .5,                                             # §3.2: half of each batch is labeled
    'references': 'view',                                            # §3.2: one random image for each viewpoint
    'rule': Agreement(threshold=.5, rotation=45.),                   # §3.2; 45° as in the released code
    'view.rotate': True, 'view.warmup': 0, 'view.pseudo': 0,         # §3.2: rotated pairs; labeled objects alone
    'view.images': 64, 'gate': .99, 'gate_on': 'batch', 'update': 'keep',                # released code
    'shape.subdivisions': 3, 'shape.width': 64, 'shape.hidden': 1024, 'shape.features': 512, 'shape.batch_norm': True,  # SoftRas
    'shape.sigma': 1e-4, 'shape.laplacian': 5e-3, 'shape.flatten': 5e-4, 'shape.color': 0.,                             # SoftRas
    'shape.decay': 150_000/200_000,                                  # SoftRas
    'view.image_size': 64, 'view.width': 64, 'view.features': 4096, 'view.kernels': (10, 7, 4)}                         # Koch et al.
NOT_OF_THE_PAPER = {'labeled', 'seed', 'run.validate_images', 'run.checkpoint_minutes', 'run.precision', 'run.graph'}


def fields_by_path(config):
    parts = {f.name: getattr(config, f.name) for f in fields(config)}
    inner = {f'{name}.{f.name}': getattr(parts[name], f.name) for name in ('shape', 'view', 'run') for f in fields(parts[name])}
    return {name: value for name, value in parts.items() if name not in ('shape', 'view', 'run')} | inner


@pytest.mark.parametrize('path', PAPER)
def test_the_paper_preset_is_the_paper_line_by_line(path):
    assert fields_by_path(PRESETS['paper'])[path] == PAPER[path]


def test_no_line_of_the_paper_preset_is_left_out():
    assert set(fields_by_path(PRESETS['paper'])) == {*PAPER, *NOT_OF_THE_PAPER}


def test_the_networks_of_the_paper_preset_have_the_published_sizes_and_optimizers():
    from ssr_nb.train import ShapeLearner, ViewLearner
    c = PRESETS['paper']
    shape, view = ShapeLearner(c, 64, 15., 'cpu'), ViewLearner(c, 24, 'cpu')
    assert shape.model.decoder.template.shape == (642, 3) and shape.model.faces.shape == (1280, 3)
    assert [m.out_channels for m in view.network.modules() if hasattr(m, 'out_channels')] == [64, 128, 128]
    assert view.network.embedding.out_features == 4096
    for learner in (shape, view):
        group, = learner.stepper.adam.param_groups
        assert (group['lr'], group['betas']) == (1e-4, (.9, .999))


def test_the_medium_preset_has_the_published_mesh_and_image_size():
    c = PRESETS['medium']
    assert (c.shape.subdivisions, c.shape.width, c.shape.hidden, c.view.image_size) == (3, 32, 512, 64) and 16 <= c.batch <= 32
    assert PRESETS['ring'].update == 'replace' and PRESETS['small'].update == c.update == 'keep'


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
    assert list(PRESETS) == ['paper', 'small', 'medium', 'ring'] and len(PRESETS) == 4 and PRESETS['ring'].rule == Ring()
    with pytest.raises(KeyError): PRESETS['best']
