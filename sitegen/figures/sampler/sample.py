"""How a page gets a model: its files for the browser, and a poster that the real sampler draws."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.figures.base import Figure
from sitegen.figures.clips import BACKGROUND, displayed, made_with
from sitegen.figures.sampler import PageSampler
from sitegen.ihdm.checkpoints.browser import BrowserModel, export_for_browser
from sitegen.media.encoder import write_still
from sitegen.media.frames import grid, scale_factor, to_uint8, upscale
from sitegen.media.jobs import RenderJob
from sitegen.media.manifest import MediaFile
from sitegen.sampling.models import ModelProvider

MOST_BYTES, MOST_GFLOP = 25_000_000, 60.0
"""What a visitor can be asked to fetch, and to wait for: some seconds a sample."""


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """The model as a browser reads it, and some of its samples.

    Raises RefusedError for a model that a browser's sampler does not have, or that is too heavy.
    """
    spec = cast(PageSampler, figure.spec)
    source = models.source(spec.model)
    source.require_usable()
    assert source.prior is not None
    card = source.card
    exported = export_for_browser(card, source.weights, source.prior)
    refuse_heavy(spec.model, exported)
    sampler = models.heat_sampler(spec.model)
    trajectory = sampler.begin(spec.seed, spec.numbers, card.sampling_noise_std)
    last: list[NDArray[np.float32]] = []

    def work() -> Iterator[None]:
        for images in displayed(trajectory, "mean"):
            last[:] = [images]
            yield

    columns = math.ceil(math.sqrt(spec.count))

    def draw(folder: Path) -> MediaFile:
        sheet = grid(to_uint8(last[0]), columns, BACKGROUND)
        return write_still(upscale(sheet, scale_factor(*sheet.shape[1::-1])), folder / "image.webp")

    files = {"model": exported.to_json().encode(), "weights": exported.data}
    names = {"model": "model.json", "weights": "weights.bin"}
    written = {
        name: partial(_write, data, names[name], card.image_size) for name, data in files.items()
    }
    cells = {"columns": columns, "width": card.image_size}
    gflop = float(f"{exported.gflop:.3g}")
    return RenderJob(
        levels=(),
        parameters=made_with(figure, card.sampling_noise_std, gflop=gflop, cells=cells),
        steps=card.steps + 1,
        work=work(),
        stills={"poster": draw, **written},
    )


def refuse_heavy(name: str, model: BrowserModel) -> None:
    """Raise RefusedError, with the numbers, for a model that no visitor would wait for."""
    size = len(model.data) + len(model.to_json())
    if size <= MOST_BYTES and model.gflop <= MOST_GFLOP:
        return
    raise RefusedError(
        f"the model {name} is too heavy for a page: {size / 1e6:.1f} MB to fetch, where "
        f"{MOST_BYTES / 1e6:.0f} MB is the most, and {model.gflop:.1f} GFLOP a sample, where "
        f"{MOST_GFLOP:.0f} is the most; show it by a clip, as in "
        f'{{{{ trajectories("{name}") }}}}, or train one whose coarse levels have a smaller network'
    )


def _write(data: bytes, name: str, side: int, folder: Path) -> MediaFile:
    with platform_errors(folder / name):
        (folder / name).write_bytes(data)
    return MediaFile(name, len(data), digest_bytes(data), side, side)
