"Find the viewpoint of an image, by hand and against the network."
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from ..core import InputError
from ..data import load_image
from .controls import (
    ALPHA_FILES,
    button,
    choice,
    encode,
    on_white,
    picture,
    read_upload,
    slider,
    toggle,
    upload,
)
from .drawing import Curve, Text, circle, draw_curves, drawing_svg, ring_position
from .game import Game, deal, game_text, play
from .panel import Panel, script
from .similarity import Matches, Verdict, add_image, judge_row, view_name

__all__ = ['ViewpointMatcher']

RING_BOX = -1.35, -1.3, 2.1, 1.3


def ring_frame(
    candidate: float,    # azimuth of the hand, degrees
) -> tuple[list[Curve], list[Text]]:
    "The empty plot: circles at ½ and 1, azimuths, and a hand."
    hand = np.array([(0, 0), ring_position(candidate, 1.12)])
    names: list[Text] = []
    for azimuth in (0, 90, 180, -90):
        x, y = ring_position(azimuth, 1.2)
        names.append((float(x), float(y), f'{azimuth}°', 'middle'))
    return [circle(.5, 'grid'), circle(1., 'grid'),
            Curve(hand, 'candidate', 'candidate')], names


def ring_curves(
    similarity: np.ndarray,   # (M,) S of one image
    rotated: np.ndarray,      # (M,) Ŝ
    azimuth: np.ndarray,      # (M,) degrees
    threshold: float,         # τ
    verdict: Verdict,
    truth: int = -1,          # viewpoint number, or -1: unknown
) -> list[Curve]:
    "S and Ŝ over azimuth, τ, what the rule picked, and the truth."
    curves = [Curve(ring_position(azimuth, similarity), 'S', 'S', True),
              Curve(ring_position(azimuth, rotated), 'rotated', 'Ŝ', True),
              circle(threshold, 'threshold', name='τ')]
    if truth >= 0:
        mark = np.stack([ring_position(azimuth[truth], r) for r in (1, 1.1)])
        curves.append(Curve(mark, 'truth', 'truth'))
    if verdict.view >= 0:
        place = ring_position(azimuth[verdict.view], similarity[verdict.view])
        curves.append(circle(.04, 'picked', place, 'label'))
    return curves


@dataclass(frozen=True)
class MatchState:
    "What the sliders of `ViewpointMatcher` say."
    image: int = 0            # row of the matches
    reference: int = 0        # labeled object
    candidate: int = 0        # viewpoint number
    threshold: float = .5     # τ
    hidden: bool = False      # show nothing of what the network says


@dataclass(frozen=True)
class MatchScene:
    "What it shows."
    image: Tensor             # (4, S, S) uint8
    reference: Tensor         # (4, S, S) uint8
    p: float | None           # P(same) of the two; None: hidden
    p_rotated: float | None   # the same of both rotated
    verdict: Verdict | None
    curves: list[Curve]
    texts: list[Text]
    words: str


def match_text(
    matches: Matches,
    state: MatchState,
    verdict: Verdict,
) -> str:
    "What the rule does with this image, in a sentence or two."
    text = 'The rule abstains' if verdict.view < 0 else \
        f'The rule labels it {view_name(matches, verdict.view)}'
    truth = int(matches.truth[state.image])
    known = '' if truth < 0 else f' True: {view_name(matches, truth)}.'
    return f'{text}: {verdict.reason}.{known}'


def match(
    matches: Matches,
    state: MatchState,
) -> MatchScene:
    "The images and the numbers of one position of the sliders."
    m, s = matches, state
    S, rotated = (m.similarity[s.image, s.reference],
                  m.rotated[s.image, s.reference])
    azimuth = m.azimuth.numpy()
    curves, texts = ring_frame(azimuth[s.candidate])
    pair = m.images[s.image], m.references[s.reference, s.candidate]
    if s.hidden:
        return MatchScene(*pair, None, None, None, curves, texts,
                          'Which viewpoint? Turn the reference.')
    verdict, truth = judge_row(S, rotated, s.threshold), int(m.truth[s.image])
    curves = ring_curves(S.numpy(), rotated.numpy(), azimuth, s.threshold,
                         verdict, truth) + curves
    p, p_rotated = S[s.candidate].item(), rotated[s.candidate].item()
    return MatchScene(*pair, p, p_rotated, verdict, curves, texts,
                      match_text(m, s, verdict))


def scene_svg(
    scene: MatchScene,
) -> str:
    "The ring of a scene, for the browser."
    return drawing_svg(scene.curves, scene.texts, RING_BOX, scene.words)


def match_figure(
    scene: MatchScene,
) -> Figure:
    "A scene as a figure, for saved notebooks."
    figure = Figure(figsize=(9, 3.2), layout='constrained')
    first, second, ring = figure.subplots(1, 3)
    same = '' if scene.p is None else f', P(same) = {scene.p:.2f}'
    for ax, pixels, title in ((first, scene.image, 'image'),
                              (second, scene.reference, f'reference{same}')):
        ax.imshow(on_white(pixels))
        ax.set_title(title)
        ax.axis('off')
    draw_curves(ring, scene.curves, scene.texts, RING_BOX)
    figure.supxlabel(scene.words, fontsize=9)
    return figure


class MatchPanel(Panel):
    "A panel on matches; its sliders end where they end."
    def __init__(self, matches: Matches, **state):
        images, objects, views = (n - 1 for n in matches.similarity.shape)
        self.matches, self.most = matches, dict(
            image=images, row=images, reference=objects, candidate=views,
            column=views)
        super().__init__(**state)
        self.controls = [dict(c, high=self.most.get(c['name'], c['high']))
                         if 'high' in c else c for c in self.controls]
        self.glossary = {
            'S': 'P(same viewpoint) of the image and each view of the reference '
                 'object, as SiamVP says',
            'Ŝ': f'the same after both images are rotated by '
                 f'{matches.rotation:.0f}°',
            'τ': 'threshold: an image is labeled if the largest S and the largest '
                 'Ŝ are above it and at the same view'}

    @traitlets.validate('image', 'row', 'reference', 'candidate', 'column')
    def in_matches(self, proposal):
        "TraitError for a number that the matches do not have."
        name, value = proposal.trait.name, proposal.value
        if value <= self.most[name] and value == int(value): return value
        raise traitlets.TraitError(f'{name}: expected a whole number from 0 '
                                   f'to {self.most[name]}, found {value:g}')


class ViewpointMatcher(MatchPanel):
    "Find the viewpoint of an image, by hand and against the network."
    image = slider(0., 0., 1e6, 1., 'image')
    reference = slider(0., 0., 1e6, 1., 'reference object')
    candidate = slider(0., 0., 1e6, 1., 'candidate view')
    threshold = slider(.5, 0., 1., .01, 'τ')
    source = choice(('collection', 'upload'), 'image from')
    game = toggle(False, 'game: guess before the network does')
    subject = picture('image', 192)
    partner = picture('reference', 192)
    ring = traitlets.Unicode().tag(sync=True)   # SVG
    _esm = script('matcher')

    def __init__(self, matches: Matches, seed: int = 0, **state):
        self.generator = torch.Generator().manual_seed(seed)
        self.own: Matches | None = None   # with an image of one's own
        self.score = Game()
        super().__init__(matches, **state)
        self.hint = ('Move the candidate view until the reference is seen as '
                     'the image is; tick the game to guess before the network.')

    def row(self) -> tuple[Matches, int]:
        "Where the shown image stands: a row of the matches, or one's own."
        if self.game: return self.matches, self.score.row
        if self.source == 'collection': return self.matches, int(self.image)
        if self.own: return self.own, len(self.own.images) - 1
        raise InputError('upload: no image yet; choose a file, or drop one')

    def scene(self) -> MatchScene:
        "What the pure function gives for the present state."
        matches, row = self.row()
        return match(matches, MatchState(
            row, int(self.reference), int(self.candidate), self.threshold,
            hidden=self.game and self.score.open))

    def show(self) -> dict[str, Any]:
        if not self.game: self.score = replace(self.score, row=-1)
        elif self.score.row < 0: self.score = deal(
            self.score, self.matches.truth, self.generator)
        return match_traits(self.scene(), self.game, self.score)

    @button('guess the candidate view')
    def guess(self):
        "End a round."
        if not (self.game and self.score.open): return
        row, object_ = self.score.row, int(self.reference)
        verdict = judge_row(self.matches.similarity[row, object_],
                            self.matches.rotated[row, object_], self.threshold)
        self.score = play(self.score, int(self.candidate), verdict,
                          int(self.matches.truth[row]), self.matches.azimuth)
        self.draw()

    @button('next image')
    def next_image(self):
        "Begin another round."
        if not self.game or self.score.open: return
        self.score = deal(self.score, self.matches.truth, self.generator)
        self.draw()

    @upload('own image', ALPHA_FILES)
    def take(self, name: str, content: bytes):
        "Compare an image of one's own."
        self.own = add_image(self.matches, read_upload(
            name, content, ALPHA_FILES, load_image))
        if self.source == 'upload': self.draw()
        self.source = 'upload'

    def to_figure(self) -> Figure: return match_figure(self.scene())


def match_traits(
    scene: MatchScene,
    playing: bool,
    game: Game,
) -> dict[str, Any]:   # trait of ViewpointMatcher: value
    "A scene and the score, as the browser gets them."
    closed = [] if playing else ['guess', 'next_image']
    if playing:
        closed = ['image', 'source', 'take']
        closed += ['next_image'] if game.open else ['guess']
    words = [] if scene.p is None else \
        [f'P(same) = {scene.p:.2f}, rotated {scene.p_rotated:.2f}.']
    words += [scene.words] + playing*[game_text(game)]
    return dict(subject=encode(on_white(scene.image)),
                partner=encode(on_white(scene.reference)),
                ring=scene_svg(scene), disabled=closed,
                caption=' '.join(words))
