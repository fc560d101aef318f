"""Kinds of figures that compare models, or walk between samples; arguments that they share.

A path's ends are two plain samples: their initial states and noises are the numbers that
`trajectories` uses for them. Between the ends

- IHDM goes straight between the two u_K, and along a great circle in the noise of every level;
- the full latent of a DDPM goes along great circles in x_K and in the noise of every level;
- DDIM, which draws no noise during generation, goes along a great circle in x_K alone.

Trajectories hold all paths at once, (paths · points, C, H, W), path after path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.figures.arguments import OTHER_LABELS, RULES, Baseline, DrawnLabel
from sitegen.figures.base import FigureKind
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.sampling.provider import ModelProvider
    from sitegen.sampling.trajectory import LevelStream, Paths


@dataclass(frozen=True, config=RULES)
class ComparedKind(FigureKind):
    """A kind that compares a model with a DDPM of the same data, if one is named.

    With a field `ddim_steps` the DDPM is sampled twice: as DDPM, and as DDIM in that many steps.
    """

    label: DrawnLabel = Field(default=None, kw_only=True)
    ddpm: Baseline = None

    def drawn_label(self, card: ModelCard) -> str:
        """Return the name of the model's method in the picture."""
        return self.label or card.label

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Models of one shape, no more steps of DDIM than levels, and two methods of one name."""
        yield from super().unmet(cards)
        for card in cards[1:]:
            if card.shape != cards[0].shape:
                sizes = (" × ".join(map(str, c.shape)) for c in (cards[0], card))
                one, other = (
                    f"{name} {size}" for name, size in zip(self.models, sizes, strict=True)
                )
                yield f"the models make images of different sizes: {one} and {other}"
            if (ddim_steps := getattr(self, "ddim_steps", 0)) > card.levels:
                has = f"the model {self.ddpm} has {card.levels} levels"
                yield f"ddim_steps = {ddim_steps}: {has}"
            if (label := self.drawn_label(cards[0])) in OTHER_LABELS:
                key = f'label = "{label}"' if self.label else "label is missing"
                yield f'{key}: the model {self.model} would be called "{label}", too'


Methods = dict[str, tuple[Callable[[], "LevelStream"], int]]
"""Sampling methods by name, each with the function that begins it and its number of steps."""


def path_methods(
    models: ModelProvider, kind: ComparedKind, paths: Paths, ddim_steps: int
) -> Methods:
    """Return the ways to sample paths: with the figure's model, and with its DDPM if any."""
    from sitegen.figures.clips import noise_std_of

    sampler = kind.sampler(models)
    begin = partial(sampler.paths, paths, noise_std_of(kind, sampler.card))
    by_name: Methods = {kind.drawn_label(sampler.card): (begin, sampler.card.steps)}
    if kind.ddpm is not None:
        baseline = models.sampler(kind.ddpm)
        by_name["DDPM"] = (partial(baseline.paths, paths), baseline.card.steps)
        by_name["DDIM"] = (partial(baseline.ddim(ddim_steps).paths, paths), ddim_steps)
    return by_name
