"""The kind `hierarchy`: a tree that grows out of one flat state, and the levels at which it splits.

At a split every branch continues as two. Nodes are counted by depth: the root is node 0, and node n
splits into the nodes 2n + 1 and 2n + 2, in the order of the branches of
`generative.maths.noise.Branching`. The clip holds only their pictures; the page draws the arrows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, StrictInt, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from sitegen.core.validation import reject_if
from sitegen.figures.arguments import RULES, Fps, NoiseStd, Samples, Seed, Show
from sitegen.figures.base import ChosenKind, Figure, named, steps
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.parts import falls, must
from sitegen.media.manifest import Cells, TreeNode

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider

LEAVES = (2, 4, 8, 16)
DEFAULT_LEAVES = 8
_LEAVES = f"{', '.join(map(str, LEAVES[:-1]))} or {LEAVES[-1]}"
SECONDS, SLOWEST, FASTEST = 8, 4, 60
"""Seconds that a tree grows if a rate between the next two, in frames per second, allows it."""
STEP, STAGGER, GAP = 1.8, 1.3, 0.22
"""Distance of generations, of the two columns of leaves, and gap below a leaf, in pictures."""


@dataclass(frozen=True, config=RULES)
class Hierarchy(ChosenKind):
    """A tree that grows out of one flat state: what is decided above a split, its leaves share."""

    example: ClassVar[str] = '"NAME"'
    counts: ClassVar[str] = "leaves"
    needs: ClassVar[tuple[Ability, ...]] = ("tree",)
    recipe: ClassVar[int] = 2

    samples: Annotated[
        Samples,
        reject_if(
            lambda samples: (
                f"{len(samples)} samples: should be one for each leaf, {_LEAVES}"
                if samples is not None and len(samples) not in LEAVES
                else None
            )
        ),
    ] = None
    splits: Annotated[
        tuple[StrictInt, ...] | None,
        must(
            f"1 to {len(LEAVES)} levels that fall, each at least 1",
            lambda v: v is None or (1 <= len(v) <= len(LEAVES) and v[-1] >= 1 and falls(v)),
        ),
        Field(description="The levels at which every branch splits in two, flattest first."),
    ] = None
    # After splits, which its validator reads.
    leaves: StrictInt | None = Field(
        default=None,
        description="How many branches there are in the end: 2, 4, 8 or 16; 8 if not given.",
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None
    fps: Fps = None

    @field_validator("leaves")
    @classmethod
    def _branches(cls, leaves: int | None, info: ValidationInfo) -> int | None:
        splits = info.data.get("splits")
        if leaves is None or "samples" not in info.data:
            return leaves
        if leaves not in LEAVES:
            raise ValueError(f"should be {_LEAVES}")
        if splits is not None and leaves != 2 ** len(splits):
            raise ValueError(f"should be {2 ** len(splits)}, which the splits make")
        return leaves

    @property
    def sample_count(self) -> int:
        """Number of leaves."""
        return self.leaves or (2 ** len(self.splits) if self.splits else DEFAULT_LEAVES)

    def slots(self, card: ModelCard) -> int:
        """A tree has one label, since its branches share their beginnings."""
        return 1

    def text_slots(self, card: ModelCard) -> int:
        """A text is that of a leaf."""
        return 1 << len(self.splits_of(card))

    def cell_texts(self, card: ModelCard) -> tuple[str, ...]:
        """Return the texts under the leaves: the call's, or recorded ones."""
        return self.texts or (card.recording and card.recording.captions) or ()

    def states(self, card: ModelCard) -> int:
        """Return the number of distinct states, each of which is computed once."""
        splits, levels = self.splits_of(card), card.visited_levels[:-1]
        if not _is_renoised(card):
            return sum(1 << sum(split > level for split in splits) for level in levels)
        # All branches but the last siblings are finished once before, to be noised.
        before = len(levels) + sum(
            sum(level <= split for level in levels) << depth
            for depth, split in enumerate(splits[:-1])
        )
        return before + sum(1 << sum(split >= level for split in splits) for level in levels)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the samples of a tree are the recording's own."""
        return self.samples or (0,)

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Levels to split at; of a recording, the tree that was recorded."""
        yield from super().unmet(cards)
        card, recording = cards[0], cards[0].recording
        if self.splits and (flattest := self.splits[0]) > card.levels:
            yield f"splits: the model {self.model} has {card.levels} levels, and none is {flattest}"
        splits = len(self.splits or ()) or self.sample_count.bit_length() - 1
        if card.recording is None and card.steps < splits:
            yield f"leaves: the model {self.model} has only {card.steps} levels to split at"
        if card.sampler and not card.abilities.issuperset(self.needs):
            yield "give its class a method corrupt"
        if recording and "tree" in card.abilities:
            tree = f"the tree of the recording {self.model}"
            if self.splits not in (None, recording.splits):
                yield f"splits: {tree} splits at {list(recording.splits)}; leave them out"
            if self.samples is not None:
                yield f"samples: those of {tree} are recorded; leave them out"
            if self.leaves not in (None, 2 ** len(recording.splits)):
                yield f"leaves = {self.leaves}: {tree} has {2 ** len(recording.splits)}"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of a tree from one initial state; each state is computed once."""
        from sitegen.figures.clips import displayed, noise_std_of

        sampler = self.sampler(models)
        card = sampler.card
        splits = self.splits_of(card)
        trajectory = sampler.tree(self.seed, splits, self.samples, noise_std_of(self, card))
        return tree_job(figure, card, splits, displayed(trajectory, self.show))

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe how the tree grows, and from which state."""
        card = cards[0]
        depth = len(self.splits_of(card))
        *generations, leaves = (str(2**level) for level in range(1, depth + 1))
        branches = f"{', '.join(generations)} and then {leaves}" if generations else leaves
        start = re.sub("^a ", "one ", card.first_state())
        alike = "share their coarse shape" if "blur" in card.abilities else "are one and the same"
        siblings = "; at a split the second branch begins from the finished picture of the first, "
        siblings += "noised anew"
        return (
            f"A tree of {named(self, card)} that grows from left to right over "
            f"{steps(card)}: {start} splits into {branches} {card.subject or 'pictures'}, which "
            f"{alike} as long as they share their branch"
            f"{siblings if _is_renoised(card) else ''}"
        )

    def splits_of(self, card: ModelCard) -> tuple[int, ...]:
        """Return the levels at which the tree of a model splits: distinct levels that it visits.

        A requested level that is not visited is replaced by the next lower one, if there is one.
        """
        if card.recording is not None:
            return card.recording.splits
        usual = renoised_splits if _is_renoised(card) else default_splits
        requested = self.splits or usual(card.levels, self.sample_count)
        visited, splits = card.visited_levels[:-1], list[int]()
        for number, split in enumerate(requested[: len(visited)]):
            free = visited[visited.index(splits[-1]) + 1 :] if splits else visited
            # The other splits need a level each.
            free = free[: max(1, len(free) - (len(requested) - number - 1))]
            splits.append(next((level for level in free if level <= split), free[-1]))
        return tuple(splits)


def tree_job(figure: Figure, card: ModelCard, splits: tuple[int, ...], images: object) -> RenderJob:
    """Return the job of a growing tree.

    splits: the levels at which every branch splits in two, falling
    images: the distinct images of each visited level from K to 0, (branches, C, H, W): a branch
        splits into two adjacent ones
    """
    from sitegen.figures.clips import clip_job
    from sitegen.media.frames import to_uint8

    samples = getattr(figure.spec, "samples", None) or ()
    cells = tree_cells(card, splits, samples, figure.spec.cell_texts(card))
    fps = float(min(FASTEST, max(SLOWEST, round((card.steps + 1) / SECONDS))))
    pictures = (to_uint8(states) for states in images)  # type: ignore[attr-defined]
    note = RENOISED if _is_renoised(card) else ""
    parameters = {"splits": splits}
    # It begins with its finished pictures anyway: faint ones, which it fills in.
    return clip_job(figure, card, cells, pictures, fps, opening=0, parameters=parameters, note=note)


RENOISED = (
    "Nothing is random after the start: at a split one branch continues, and the other begins from "
    "the finished picture of the first with new noise of that level."
)


def tree_cells(
    card: ModelCard, splits: Sequence[int], samples: tuple[int, ...], texts: tuple[str, ...] = ()
) -> Cells:
    """Return the arrangement of a tree: a column for each generation, and two for the leaves.

    A parent is halfway between its children; the odd leaves are in the second column.

    texts: those under the leaves
    """
    from sitegen.figures.clips import text_room

    is_plain = not any(texts)
    strip, lines = (0, 1) if is_plain else text_room(tree_cells(card, splits, samples), texts)
    (_, height, side), depth, visited = card.shape, len(splits), card.visited_levels
    # Twice the strip, so that the arrow to an odd leaf is below the text of the even one.
    pitch, step = (height + 2 * strip + round(GAP * height)) // 2, round(STEP * side)
    # A generation ends at the level of its split; the next one begins a step below.
    ends = [*splits, 0]
    begins = [visited[0], *(visited[visited.index(split) + 1] for split in splits)]
    nodes = []
    for generation in range(depth + 1):
        span = 2 ** (depth - generation)  # leaves below a node
        for index in range(2**generation):
            aside = round(STAGGER * side) if generation == depth and index % 2 else 0
            x, y = generation * step + aside, (2 * index * span + span - 1) * pitch // 2
            parent = 2 ** (generation - 1) - 1 + index // 2 if generation else None
            nodes.append(TreeNode(x, y, parent, begins[generation], ends[generation]))
    texts = () if is_plain else ("",) * (len(nodes) - len(texts)) + texts
    return Cells(
        len(nodes), side, height + strip, gap=1, samples=samples, nodes=tuple(nodes),
        texts=texts, strip=strip, lines=lines,
    )  # fmt: skip


def _is_renoised(card: ModelCard) -> bool:
    """Return whether branches are made by noise on finished pictures."""
    return card.recording is None and "random" not in card.abilities


def default_splits(levels: int, leaves: int = DEFAULT_LEAVES) -> tuple[int, ...]:
    """Return the levels, flattest first, of the splits that end in `leaves`: K, 2K/3, 4K/9, …

    At K nothing is decided: the root is the flat state itself. Blur is spaced evenly in logarithms,
    so on MNIST (0.5 to 20 pixels) the next ones are at 6 and 2.5 pixels. At 2K/3 the children are
    patches of light that lean one way or the other, and can still become different digits. At 4K/9
    strokes begin to show, and the leaves differ in the remaining detail. Splits at K/2 and K/4 come
    late: shapes are settled by then, and the leaves of a branch hardly differ.

    Each split has a level of its own if there are as many levels as splits.
    """
    splits = [levels]
    for done in range(1, leaves.bit_length() - 1):
        splits.append(min(splits[-1] - 1, round(levels * (2 / 3) ** done)))
    return tuple(splits)


def renoised_splits(levels: int, leaves: int = DEFAULT_LEAVES) -> tuple[int, ...]:
    """Return the levels of the splits of a tree whose branches are noised anew: 0.8 K, 0.6 K, ….

    At K a branch would have nothing of its sibling.
    """
    return tuple(
        max(1, round(0.8 * 0.75**done * levels)) for done in range(leaves.bit_length() - 1)
    )
