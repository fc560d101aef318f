"""Recipes: the card that a training run starts from, and the model folder that it writes."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.core.files import digest_bytes, lock, platform_errors, sha256, write_atomic
from sitegen.core.installed import memory_full
from sitegen.generative.card.card import (
    CARD_NAME,
    STATE_NAME,
    BlurRange,
    FileRef,
    ModelCard,
    read_card,
)
from sitegen.generative.card.labels import LabelsConfig
from sitegen.generative.card.limits import DEFAULT_LEVELS
from sitegen.generative.card.networks import Band, CosineConfig, UNetConfig
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.loading import WEIGHTS_NAME
from sitegen.generative.checkpoints.weights import RESIDUAL, save_weights
from sitegen.generative.data.images import EXAMPLE_NAME, as_png
from sitegen.generative.data.prior import PRIOR_IMAGES, PRIOR_NAME, make_prior
from sitegen.generative.process.dissipation import TRAINING_NOISE_STD, heat_of
from sitegen.generative.process.flow import FlowConfig
from sitegen.generative.process.model import Model
from sitegen.generative.training.residual import residual_shares
from sitegen.generative.training.train import Progress, Run, Training

Measuring = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Shows a task of the given number of steps; the block calls the yielded function after each."""

LOCK_NAME = ".training.lock"
# On 400 samples of models/mnist the feature FID fell from 15.4 to its floor, 12.7.
ESTIMATED = SamplingConfig(variance="estimated")
LIGHT_GROUPS = 8
"""Groups of the norms in light U-Nets; 32 leave one channel each, which loses an image's colour."""
FINE_UNET = UNetConfig(32, (1, 2, 2), num_res_blocks=1, norm_groups=LIGHT_GROUPS)
"""Network of the finest levels of a cascade."""
# At 64 pixels, after 370 s on one core, the held-out loss is 0.286, and 0.288 for a U-Net of 32
# channels, (1, 2, 2), which needs 1.97 GFLOP an evaluation in place of 1.14.
PATCHED_UNET = UNetConfig(48, (1, 2), num_res_blocks=1, norm_groups=LIGHT_GROUPS, patch_size=2)
"""Network of the finest levels for `PATCHED_FROM` pixels and more; it learns as fast at 0.58 of
the cost."""
PATCHED_FROM = 64
NOISE_UNET = UNetConfig(24, (1, 2, 4), num_res_blocks=1, norm_groups=LIGHT_GROUPS)
"""Network of all levels. At a quarter of the side, where shapes are decided, it is twice as wide
as `FINE_UNET`, at 0.85 of its operations."""
PATCHED_NOISE_UNET = UNetConfig(
    40, (1, 2, 2), num_res_blocks=1, norm_groups=LIGHT_GROUPS, patch_size=2
)
"""Network of all levels for `PATCHED_FROM` pixels and more; it sees twice as far."""
MIDDLE_UNET = UNetConfig(32, (2, 4), num_res_blocks=1, norm_groups=LIGHT_GROUPS)
# After 370 s on one core, the held-out loss at 32 pixels is 0.350, and 0.349 for `MIDDLE_UNET`.
WIDE_MIDDLE_UNET = UNetConfig(32, (1, 2, 4), num_res_blocks=1, norm_groups=LIGHT_GROUPS)
"""Network of middle bands of 32 pixels and more, at 0.37 of the cost of `MIDDLE_UNET`."""
# An MLP over 10 × 10 cosines took 0.07 ms a level and image, a 250th of a U-Net.
COARSE_MLP = CosineConfig(448, 4, 128)
"""Network of the coarsest levels, which decide the content of an image; it costs almost nothing."""
LIGHT_MLP = CosineConfig(256, 4, 128)
"""Network of the coarsest levels for runs of minutes; it learns from three times as many states."""
_HALF_FROM = 2.0  # pixels of blur from which half the resolution suffices
_SMALLEST_SIDE = 14  # pixels per side of the smallest images for the U-Net of a band
_FEWEST_LEVELS = 50  # of a card that is divided into bands and skips levels
_COSINES = 10  # per side, for the MLP of the coarsest band
_COSINES_FROM = 1.39  # pixels of blur, for images of as many pixels: exp(−(π · 1.39)² / 2) is 1e-4
_FIRST_BETA, _LAST_BETA = 0.1, 13.0  # of K levels, times K
_GUIDANCE = {"ddpm": SamplingConfig(guidance=0.1), "flow": SamplingConfig(guidance=0.25)}
"""Guidance of light models of noise; docs/pages/checkpoints.md has the measurements of a flow. The
feature FID of 300 faces of a DDPM was 500 without, 275 with 0.1, and 1,065 with 0.5 (floor 50)."""
# On MNIST, 15 of the 40 finest levels gave as many clear digits as all, a share of 0.815 for 0.819.
# Every second one of all 100 levels gave 0.783.
_MIDDLE_SHARE, _FINE_SHARE = 0.67, 0.37  # of the levels of these bands that are visited


def small_card(
    image_size: int, channels: int, levels: int = DEFAULT_LEVELS, light: bool = False
) -> ModelCard:
    """Return the card of sitegen's small models: about 4 M parameters for 28 × 28 images.

    The blur of the flattest level is 5/7 of the image's side, as published for MNIST, which leaves
    8 % of the lowest cosine. The model is a cascade if it is large enough, and its noise has the
    variance that is estimated after training. `light` is for short runs.
    """
    halvings = sum(image_size % size == 0 for size in (2, 4))
    card = ModelCard(
        image_size=image_size,
        channels=channels,
        levels=levels,
        unet=UNetConfig(32, (1, 2, 4)[: halvings + 1], num_res_blocks=2),
        blur=BlurRange(0.5, image_size * 5 / 7),
        sampling_noise_std=TRAINING_NOISE_STD,
        # In trials on MNIST the feature FID was 120 after 36 minutes; a smaller network with the
        # published loss had 205 after 58 minutes.
        parameterization="preconditioned",
        sampling=ESTIMATED,
    )
    return as_cascade(card, LIGHT_MLP if light else COARSE_MLP)


def as_cascade(card: ModelCard, coarse: CosineConfig = COARSE_MLP) -> ModelCard:
    """Return the card as a cascade if its images are large enough, else unchanged.

    Cosine i of n is damped by exp(−(πi/n)²σ_B²/2). At a blur of 2 pixels, the part that half the
    resolution cannot represent is below a hundredth, less than the noise; at 4 pixels a quarter
    suffices, and so on. In the end only the `_COSINES` lowest cosines per side remain. The finest
    levels only decide edges, so that every second or third of them is enough.
    """
    size, sigmas = card.image_size, card.schedule.sigmas
    if size % 4 or size < 2 * _SMALLEST_SIDE or card.levels < _FEWEST_LEVELS:
        return card
    bands = [Band(1, unet=PATCHED_UNET if size >= PATCHED_FROM else FINE_UNET)]
    side, blur = size // 2, _HALF_FROM
    while side >= _SMALLEST_SIDE and side % 2 == 0:
        middle = WIDE_MIDDLE_UNET if side >= 32 and side % 4 == 0 else MIDDLE_UNET
        bands.append(Band(bisect_left(sigmas, blur), side, unet=middle))
        side, blur = side // 2, 2 * blur
    few = bisect_left(sigmas, _COSINES_FROM * size / _COSINES)
    bands = [band for band in bands if band.lowest_level < few]
    bands.append(Band(few, _COSINES, cosines=coarse))
    lowest = [band.lowest_level for band in bands]
    if len({*lowest}) < len(bands) or few > card.levels:
        return card
    visited = [
        *range(card.levels, few, -1),
        *_spread(few, bands[1].lowest_level, _MIDDLE_SHARE),
        *_spread(bands[1].lowest_level, 0, _FINE_SHARE),
    ]
    return replace(
        heat_of(card),
        unet=None,
        bands=tuple(bands),
        sampling=replace(ESTIMATED, levels=tuple(visited)),
    )


def _spread(first: int, end: int, share: float) -> list[int]:
    """Return a share of the levels from `first` down to `end` (excluded), evenly spaced."""
    count = max(1, round(share * (first - end)))
    return [round(first - step * (first - end) / count) for step in range(count)]


def as_ddpm(card: ModelCard, light: bool = False) -> ModelCard:
    """Return the card of a DDPM with the network and the levels of `card`.

    A `light` one has a network of about the cost of a cascade's finest one, predicts v, and has a
    guidance. The schedule is cosine. With few levels, its first step would remove a twentieth of an
    image that is still invisible, which tints samples. β then rises linearly until less than a
    thousandth of the image's power is left, and the network predicts v.
    """
    levels = card.levels
    diffusion = DiffusionConfig("cosine", prediction_type="v_prediction" if light else None)
    if _LAST_BETA < levels < _FEWEST_LEVELS:
        ends = _FIRST_BETA / levels, _LAST_BETA / levels
        diffusion = DiffusionConfig("linear", *ends, prediction_type="v_prediction")
    return _from_noise(card, "ddpm", light, diffusion=diffusion)


def as_flow(card: ModelCard, light: bool = False) -> ModelCard:
    """Return the card of a flow with the network of `card`, sampled in as many steps.

    A `light` one has a network of about the cost of a cascade's finest one, and midpoint steps of
    two evaluations each: a classifier recognized 0.66 of 200 coloured shapes, and 0.58 with as many
    Euler steps. It has a guidance. Times reach the network times 1000, since its embedding is made
    for timesteps.
    """
    flow = FlowConfig("midpoint" if light else "euler", time_scale=1000.0)
    return _from_noise(card, "flow", light, flow=flow)


def _from_noise(card: ModelCard, kind: str, light: bool, **process: Any) -> ModelCard:
    """Return the card of a kind with the levels of `card`, and its network or a light one."""
    patched = card.image_size >= PATCHED_FROM
    small = PATCHED_NOISE_UNET if patched else NOISE_UNET
    size = (card.image_size, card.channels, card.levels)
    unet, sampling = (small, _GUIDANCE[kind]) if light else (card.finest, None)
    return ModelCard(*size, unet, kind=kind, sampling=sampling, **process)


FROM_NOISE: Mapping[str, Callable[[ModelCard, bool], ModelCard]] = {
    "ddpm": as_ddpm,
    "flow": as_flow,
}
"""Kinds of models that start from noise: each makes its card of one of heat dissipation."""


def card_of(
    kind: str, side: int, channels: int, levels: int = DEFAULT_LEVELS, light: bool = False
) -> ModelCard:
    """Return the card of a kind of small model; a `light` one is for runs of minutes."""
    if kind in FROM_NOISE:
        return FROM_NOISE[kind](small_card(side, channels, levels), light and side % 4 == 0)
    return small_card(side, channels, levels, light)


def with_labels(card: ModelCard, names: Sequence[str]) -> ModelCard:
    """Return the card of a model that takes labels, or none.

    The network of a cascade's finest levels gets none: what an image shows is decided before.
    """

    def labelled(network: Any) -> Any:
        return network and replace(network, num_classes=len(names) + 1)

    changes: dict[str, Any] = {"labels": LabelsConfig(tuple(names))}
    if card.bands:
        bands = [
            replace(band, unet=labelled(band.unet), cosines=labelled(band.cosines))
            for band in card.bands[1:]
        ]
        changes["bands"] = (card.bands[0], *bands)
    else:
        changes["unet"] = labelled(card.finest)
    return replace(card, **changes)


@contextmanager
def opened(card: ModelCard, training: Training) -> Iterator[Run]:
    """Open the run of a folder exclusively for the block: new, or as its last session left it.

    A finished run is not touched, not even by a lock. Raises RefusedError if the folder holds
    another run, or files of another origin that a new run would write over, LockedError if another
    process has it open.
    """
    folder = training.folder
    if (folder / CARD_NAME).exists():  # of an earlier session, perhaps with its author's notes
        stored = read_card(folder)
        notes: dict[str, Any] = {"quality": stored.quality, "known_faults": stored.known_faults}
        card = replace(card, subject=card.subject or stored.subject, **notes)
    run = Run(card, training)
    if not (folder / STATE_NAME).exists():
        names = [CARD_NAME, WEIGHTS_NAME, PRIOR_NAME, EXAMPLE_NAME]
        if others := [name for name in names if os.path.lexists(folder / name)]:
            raise RefusedError(
                f"{folder}: has {', '.join(others)}, but no {STATE_NAME} to resume from, so that a "
                "new run would write over them; choose another folder, or move them away"
            )
    run.restore()
    if finished_card(run) is not None:
        yield run
        return
    with lock(folder / LOCK_NAME):
        run.restore()  # again, since another process may have changed it before the lock
        yield run


def finished_card(run: Run) -> ModelCard | None:
    """Return the card on disk if the run is finished and its model is complete, else None.

    A model with a missing or damaged file is not complete.
    """
    if run.step < run.options.steps:
        return None
    try:
        folder = run.training.folder
        card = read_card(folder)
        parts = (card.weights, card.prior) if "prior" in card.abilities else (card.weights,)
        whole = all(part and sha256(folder / part.file) == part.sha256 for part in parts)
    except (RefusedError, ConfigError):
        return None
    images_seen = run.step * run.options.batch_size
    return card if whole and card.training.get("images_seen") == images_seen else None


class _Stopped(Exception):
    """Request to stop that came after the last step."""


def go_on(
    run: Run,
    report: Callable[[Progress], None],
    stop: Callable[[], bool] = lambda: False,
    measuring: Measuring = lambda steps: nullcontext(lambda: None),
) -> ModelCard | None:
    """Take the remaining steps and write the model; save the state and return None on `stop()`.

    `measuring` shows the progress, level by level, of estimating the residual variance at the end.
    Raises TargetError if training diverges, PlatformError if the disk or memory is full.
    """
    started = time.monotonic()
    try:
        if not run.advance_to_end(report, stop):
            return None
        card, residual = run.model.card, dict[str, Tensor]()
        if card.estimates_variance:
            with measuring(card.steps) as advance:

                def after_level() -> None:
                    advance()
                    if stop():
                        raise _Stopped

                model = run.averaged()
                assert isinstance(model, Model)
                images = run.training.images
                residual[RESIDUAL] = residual_shares(model, images, after_level, run.measured)
    except _Stopped:
        return None
    except (MemoryError, RuntimeError) as error:
        if (full := memory_full(error)) is None:
            raise
        raise PlatformError(
            f"{full}: not enough on {run.training.device} to train this; use smaller images"
        ) from error
    return _write_model(run, residual, time.monotonic() - started)


def _write_model(run: Run, residual: Mapping[str, Tensor], seconds: float) -> ModelCard:
    """Write the averaged weights, the prior, an example, and last the card that names them.

    `residual` is stored with the weights, `seconds` is the duration of the last session. Raises
    PlatformError if the disk fails.
    """
    training, card = run.training, run.model.card
    folder, prior, example = training.folder, None, None
    with platform_errors(folder):
        weights = {**run.weights(), **residual}
        weights_sha256 = save_weights(folder / WEIGHTS_NAME, weights, torch.float16, card)
        if "prior" in card.abilities:  # others start from noise
            source = training.source, training.labels
            bank = make_prior(training.images, card, PRIOR_IMAGES, *source)
            prior = FileRef(PRIOR_NAME, bank.write(folder / PRIOR_NAME))
            picture = as_png(training.images[0])
            write_atomic(folder / EXAMPLE_NAME, picture)
            example = FileRef(EXAMPLE_NAME, digest_bytes(picture))
        recipe = {
            "data": training.source,
            "images": len(training.images),
            "images_seen": run.step * training.options.batch_size,
            "steps": run.step,
            "precision": training.precision,
            "device": training.device,
            "seconds_last_session": round(seconds),
            "options": asdict(training.options),
        }
        file = FileRef(WEIGHTS_NAME, weights_sha256)
        card = replace(card, weights=file, prior=prior, example=example, training=recipe)
        write_atomic(folder / CARD_NAME, card.to_toml().encode())
    return card
