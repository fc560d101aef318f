"""Tiles of an atlas: the image at an address, continued from the state of its parent.

Between two splits the process runs from the parent's state with the noise of the tile's address. A
process in which nothing is random after the start continues only the first of four tiles without
noise. Each other one begins from the finished image of the parent, noised anew to the level of the
split. Importing this module needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from sitegen.core.errors import ConfigError
from sitegen.generative.card.abilities import Ability
from sitegen.generative.maths.address import Address

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.card.card import ModelCard
    from sitegen.generative.maths.noise import Addressed
    from sitegen.sampling.models import Sampler, Trajectory
    from sitegen.sampling.trajectory import Images

TILED: tuple[Ability, ...] = ("network", "tree")
"""What a model needs to have tiles."""
OTHER_SPLITS = 5
"""Splits of a process that has no scale of blur, evenly spaced in its levels."""


def default_splits(card: ModelCard) -> tuple[int, ...]:
    """Return the levels, from K down, at which the states of a model part.

    Each is an octave of blur below the one before, σ_K / 2^n, or else a fifth of the levels; where
    no such level is visited, the next lower one.
    """
    visited, values = card.visited_levels, card.axis.values
    splits = [visited[0]]
    if "blur" in card.abilities:
        octaves = range(1, len(visited))
        wanted = (values[visited[0]] / 2**octave * (1 + 1e-9) for octave in octaves)
        levels = (next(k for k in visited if values[k] <= sigma) for sigma in wanted)
    else:
        shares = (1 - part / OTHER_SPLITS for part in range(1, OTHER_SPLITS))
        levels = (next(k for k in visited if k <= share * visited[0]) for share in shares)
    for level in levels:
        if level == 0:
            break
        if level < splits[-1]:
            splits.append(level)
    return tuple(splits)


@dataclass(frozen=True, eq=False)
class Tile:
    """The image at an address.

    picture: (C, H, W) float32 in [0, 1] pixel units, unclipped
    state: (C, H, W) as the process has it, at the level of the tile; of a process without noise the
        finished image
    ahead: of a process without noise the pictures of the descendants that continue it
    """

    address: Address
    picture: Images
    state: Tensor
    ahead: tuple[Images, ...] = ()


@dataclass(frozen=True)
class Tiles:
    """All tiles of a model for a seed, which parts states at the levels `splits`, from K down."""

    sampler: Sampler
    seed: int
    splits: tuple[int, ...]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The levels of the tiles with 0, 1, … digits."""
        return (*self.splits, 0)

    def starts(self, numbers: Sequence[int]) -> list[Tile]:
        """Return the tiles of initial states, by the numbers of their samples."""
        states = self.sampler.start(self.seed, numbers)
        addresses = [Address(number) for number in numbers]
        if not self.sampler.process.random:
            return self._lines(addresses, states, 0)
        pictures = self.sampler.process.pixels(states, self.splits[0]).cpu().numpy()
        return [Tile(*facts) for facts in zip(addresses, pictures, states, strict=True)]

    def children(self, parents: Sequence[Tile], digits: Sequence[int] = range(4)) -> list[Tile]:
        """Return the children of each parent with these digits; all parents are of one depth."""
        import torch

        depth = len(parents[0].address.digits)
        addresses = [parent.address.child(digit) for parent in parents for digit in digits]
        parents = [parent for parent in parents for _ in digits]
        if self.sampler.process.random:
            start = torch.stack([parent.state for parent in parents])
            begin, end = self.ends[depth : depth + 2]
            process = replace(self.sampler.process, begin=begin, end=end, bare=True)
            noise = self._noise(addresses)
            *_, (_, states) = self.sampler.executor(process, start, noise, "state")
            pictures = self.sampler.process.pixels(states, end).cpu().numpy()
            return [Tile(*facts) for facts in zip(addresses, pictures, states, strict=True)]
        others = [number for number, address in enumerate(addresses) if address.digits[-1]]
        renoised = dict[int, Tile]()
        if others:
            finished = torch.stack([parents[number].state for number in others])
            noise = self._noise([addresses[number] for number in others])
            level = self.ends[depth]
            states = self.sampler.process.corrupt(
                finished, level, lambda draw: noise(level, draw).to(finished.device)
            )
            tiles = self._lines([addresses[number] for number in others], states, depth + 1)
            renoised = dict(zip(others, tiles, strict=True))
        return [
            renoised.get(number) or Tile(address, parent.ahead[0], parent.state, parent.ahead[1:])
            for number, (address, parent) in enumerate(zip(addresses, parents, strict=True))
        ]

    def at(self, address: Address) -> Tile:
        """Return the tile at an address. Raises ConfigError for one with too many digits."""
        if len(address.digits) > len(self.splits):
            raise ConfigError(
                f"the address {address} has {len(address.digits)} digits, and the model splits "
                f"{len(self.splits)} times; give at most as many"
            )
        (tile,) = self.starts([address.start])
        for digit in address.digits:
            (tile,) = self.children([tile], [digit])
        return tile

    def whole(self, addresses: Sequence[Address]) -> Trajectory:
        """Return the trajectory of images at addresses with all digits, from their starts on."""
        start = self.sampler.start(self.seed, [address.start for address in addresses])
        return self.sampler.run(start, self._noise(addresses))

    def _noise(self, addresses: Sequence[Address]) -> Addressed:
        from sitegen.generative.maths.noise import Addressed

        shape = self.sampler.card.shape
        return Addressed(self.seed, tuple(addresses), self.splits, shape)

    def _lines(self, addresses: Sequence[Address], start: Tensor, depth: int) -> list[Tile]:
        """Run states to their end without noise; return the tiles of that depth, and those ahead.

        A tile shows the image that the last step before it predicts, that of a start the first one.
        """
        process = self.sampler.process
        begin = self.ends[max(0, depth - 1)]
        alone = replace(process, begin=begin, bare=True)
        first_step = process.levels[1]
        shown: list[Images] = []
        finished = start
        for level, images in self.sampler.executor(alone, start, None, "final"):
            if level == begin:  # no step has been made
                continue
            if (depth == 0 and level == first_step) or level in self.ends[1:]:
                pictures = process.pixels(images, 0).cpu().numpy()
                # A first split right after the start shows what the start does.
                shown += [pictures] * (1 + (depth == 0 and level == first_step in self.ends[1:]))
            finished = images
        return [
            Tile(address, shown[0][number], finished[number], tuple(p[number] for p in shown[1:]))
            for number, address in enumerate(addresses)
        ]


def tiles_of(sampler: Sampler, seed: int, splits: Sequence[int] | None = None) -> Tiles:
    """Return the tiles of a model as a page draws them: those of a DDPM by DDIM without noise."""
    if "ddim" in sampler.card.abilities:
        sampler = sampler.ddim(sampler.card.steps)
    return Tiles(sampler, seed, tuple(splits or default_splits(sampler.card)))


def checked_splits(card: ModelCard, splits: Sequence[int]) -> str:
    """Return what is wrong with the splits of an author; empty if nothing."""
    visited = card.visited_levels
    if splits[0] != visited[0]:
        return f"begin with {visited[0]}, the level of the starts"
    if any(above <= below for above, below in pairwise(splits)) or splits[-1] == 0:
        return "fall, and end above 0"
    odd = [level for level in splits if level not in visited]
    return f"are levels that the model visits, and {odd[0]} is none" if odd else ""
