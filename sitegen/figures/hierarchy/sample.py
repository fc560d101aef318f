"""The tree of a hierarchy: sampled once, drawn for light pages and for dark ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, product, repeat, starmap
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.base import Figure
from sitegen.figures.clips import Replay, clip_spec, displayed, made_with, noise_std_of
from sitegen.figures.hierarchy import Hierarchy, look
from sitegen.figures.hierarchy.drawing import Layout, tree_frames
from sitegen.generative.card.card import ModelCard
from sitegen.media.frames import to_uint8
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.look import narrow
from sitegen.media.look.colours import DARK, LIGHT
from sitegen.sampling.provider import ModelProvider


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """A tree from one initial state; each distinct state is computed once."""
    spec = cast(Hierarchy, figure.spec)
    sampler = models.sampler(spec.model)
    card = sampler.card
    splits = spec.splits_of(card)
    trajectory = sampler.tree(spec.seed, splits, spec.samples, noise_std_of(spec, card))
    return tree_job(figure, card, splits, displayed(trajectory, spec.show), spec.background)


def tree_job(
    figure: Figure,
    card: ModelCard,
    splits: tuple[int, ...],
    images: Iterable[NDArray[np.float32]],
    background: Literal["both", "light", "dark"] = "both",
) -> RenderJob:
    """Return the job of a growing tree, with its `nodes`, drawn for pages wide and narrow.

    splits: the levels at which every branch splits in two, falling
    images: the distinct images of each visited level from K to 0, (branches, C, H, W): a branch
        splits into two adjacent ones
    """
    visited = card.visited_levels
    left = dict(zip(visited, range(card.steps, -1, -1), strict=True))
    levels_left = tuple(left[at] for at in splits)
    smooth, both = not figure.spec.pixelated, {"light": LIGHT, "dark": DARK}
    layout = Layout(card.steps, levels_left, card.image_size, *LIGHT, look.WIDTH, smooth)
    small = replace(layout, width=narrow.TREE_WIDTH, narrow=True)
    frames_a_level, fps = pace(card.steps, getattr(figure.spec, "fps", None))
    begin = round(look.AT_FIRST * fps)
    times = [(visited[0], begin), *((level, frames_a_level) for level in visited)]
    wanted = ("light", "dark") if background == "both" else (background,)
    pictures = ((card.steps - done, to_uint8(seen)) for done, seen in enumerate(images))
    replay, clips = Replay(pictures, 2 * len(wanted)), {}
    for drawn, (at, pages) in product((layout, small), enumerate(wanted)):
        drawn = replace(drawn, background=both[pages][0], ink=both[pages][1])
        frames = tree_frames(drawn, replay.again(), frames_a_level, begin)
        shown = clip_spec(card, layout.side, fps, 1, drawn.background, gif=not drawn.narrow)
        variant = "-".join(["narrow"] * drawn.narrow + ["dark"] * at)
        clips[variant] = ClipSource(shown, frames, sampled=False)
    told = {"splits": splits, "factor": layout.factor, "nodes": nodes(layout, visited)}
    told["narrow"] = {"nodes": nodes(small, visited)}
    return RenderJob(
        levels=tuple(chain.from_iterable(starmap(repeat, times))),
        parameters=made_with(figure, noise_std_of(figure.spec, card), fps=fps, **told),
        steps=card.steps + 1,
        work=replay.kept(),
        clips=clips,
    )


def nodes(layout: Layout, visited: Sequence[int]) -> list[dict[str, Any]]:
    """Return the position of each picture in the clip, in pixels, and its range of levels."""
    spans = [layout.steps, *(split - 1 for split in layout.splits)], [*layout.splits, 0]
    found = []
    for depth, (first, last) in enumerate(zip(*spans, strict=True)):
        for index in range(2**depth):
            top, left = layout.place(depth, index)
            node = {"depth": depth, "index": index, "x": left, "y": top, "size": layout.picture}
            levels = {"from_level": visited[-1 - first], "to_level": visited[-1 - last]}
            found.append({**node, **levels})
    return found


def pace(steps: int, fps: float | None) -> tuple[int, float]:
    """Frames a level, and frames a second, at which a tree grows in about eight seconds."""
    frames_a_level = max(1, round(look.SECONDS * look.SLOWEST / (steps + 1)))
    wanted = round((steps + 1) * frames_a_level / look.SECONDS)
    return frames_a_level, fps or min(look.FASTEST, max(look.SLOWEST, float(wanted)))
