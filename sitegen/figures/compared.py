"""Kinds of figures that compare models, or walk between samples; arguments that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import OTHER_LABELS, RULES, Baseline, FigureSpec, network_steps
from sitegen.figures.constants import METHODS
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.recorded import RecordingConfig


@validated(frozen=True, config=RULES)
class ComparedSpec(FigureSpec):
    """A kind that compares a model with a DDPM of the same data, if one is named.

    With a field `ddim_steps` the DDPM is sampled twice: as DDPM, and as DDIM in that many steps.
    """

    draws_label: ClassVar[bool] = True
    constants: ClassVar[tuple[str, ...]] = (*FigureSpec.constants, METHODS)

    ddpm: Baseline = None

    def drawn_label(self, card: ModelCard) -> str:
        """Return the name of the model's method in the picture."""
        return self.label or card.label

    @property
    def _ddim_steps(self) -> int:
        return int(getattr(self, "ddim_steps", 0))

    def incompatibilities(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """More steps of DDIM than there are levels, and two methods of one name."""
        if cards[1:] and (called := self.drawn_label(cards[0])) in OTHER_LABELS:
            yield f'label is missing: the model {self.model} would be called "{called}", too'
        for card in cards[1:]:
            if self._ddim_steps > card.levels:
                has = f"the model {self.ddpm} has {card.levels} levels"
                yield f"ddim_steps = {self._ddim_steps}: {has}"

    def evaluations(self, cards: Sequence[ModelCard]) -> tuple[int, ...]:
        """Count the images of the model, and those of the DDPM including its steps as DDIM."""
        first, *others = (network_steps(card) for card in cards)
        return tuple(self.images * n for n in (first, *(n + self._ddim_steps for n in others)))


def points_faults(
    spec: FigureSpec, points: int, pairs: Sequence[tuple[int, int]], recording: RecordingConfig
) -> Iterator[str]:
    """Return how paths differ from those of a recording, the i-th from sample 2i to 2i + 1."""
    positions = recording.positions or 1
    if points != positions:
        yield f"points = {points}: the paths of the recording {spec.model} have {positions}"
    known = [(2 * at, 2 * at + 1) for at in range(recording.count // positions)]
    if strange := [pair for pair in pairs if pair not in known]:
        first, last = strange[0]
        has = ", ".join(f"{one} to {other}" for one, other in known[:3])
        yield f"no path from sample {first} to {last}: the recording {spec.model} has {has}"
