"Guess a viewpoint before the network does."
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .similarity import Verdict, azimuth_difference


@dataclass(frozen=True)
class Game:
    "The image that is guessed, and the score so far."
    row: int = -1         # of the matches; -1: none was dealt
    guess: int = -1       # the player's viewpoint; -1: still open
    rounds: int = 0
    player: float = 0.
    network: float = 0.
    silent: int = 0       # rounds in which the rule abstained

    @property
    def open(self) -> bool: return self.row >= 0 and self.guess < 0


def guess_points(
    guess: int,           # viewpoint number, or -1: none
    truth: int,           # viewpoint number
    azimuth: Tensor,      # (M,) of the viewpoints, degrees
) -> float:
    "1 for the viewpoint, ½ for the one beside it."
    if guess < 0: return 0.
    if guess == truth: return 1.
    step = 360/len(azimuth)
    away = azimuth_difference(azimuth, guess, truth).abs()
    return .5*float(away < 1.5*step)


def deal(
    game: Game,
    truth: Tensor,               # (N,) viewpoint numbers, or -1: unknown
    generator: torch.Generator,
) -> Game:                       # a new image, the same score
    "Choose a random image of which the answer is known."
    known = (truth >= 0).nonzero()[:, 0]
    n = torch.randint(len(known), (), generator=generator)
    return replace(game, row=int(known[n]), guess=-1)


def play(
    game: Game,           # open
    guess: int,           # the player's viewpoint number
    verdict: Verdict,     # the network's
    truth: int,           # the true one
    azimuth: Tensor,      # (M,) of the viewpoints, degrees
) -> Game:
    "The score after the player and the network have answered."
    return Game(game.row, guess, game.rounds + 1,
                game.player + guess_points(guess, truth, azimuth),
                game.network + guess_points(verdict.view, truth, azimuth),
                game.silent + (verdict.view < 0))


def game_text(
    game: Game,
) -> str:
    "The score in words."
    guess = f' You said view {game.guess}.' if game.guess >= 0 else ''
    return (f'Rounds {game.rounds}, you {game.player:g}, the network '
            f'{game.network:g} (silent {game.silent} times).{guess}')
