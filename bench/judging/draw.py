"""Drawing of samples from a model's folder, with measurements of their states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.judging.images import Samples
from bench.judging.samples import Planes, grey
from bench.judging.spectra import Floats, Images, power, watched_levels
from sitegen.core.compute import Precision
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import Prior, read_prior
from sitegen.generative.engine import choose_engines
from sitegen.generative.maths.noise import independent
from sitegen.generative.process.dissipation import heat_of
from sitegen.generative.process.model import CardModel
from sitegen.generative.process.protocol import GenerativeProcess, process_of, reverse_process, run
from sitegen.models.registry import ModelSource

BATCH = 250


class StateSpectra:
    """Sums of the power at the watched levels over the first `limit` samples."""

    def __init__(self, visited: Sequence[int], limit: int, planes: Planes = grey) -> None:
        self.planes = planes
        self.watched, self.limit = watched_levels(visited), limit
        self.sums: dict[int, Floats | float] = defaultdict(float)

    def add(self, level: int, states: Tensor, first: int) -> None:
        """Add the states (N, C, H, W) of samples `first` and following at `level`."""
        watched_states = states[: max(0, self.limit - first)]
        if level in self.watched and len(watched_states):
            self.sums[level] += len(watched_states) * power(
                self.planes(watched_states.cpu().numpy())
            )

    def means(self) -> dict[int, Floats]:
        """Return the mean power (H, W) of each watched level."""
        return {level: np.asarray(total / self.limit) for level, total in self.sums.items()}


def draw_samples(
    source: ModelSource,
    count: int,
    trajectories: int,
    seed: int,
    device: str,
    precision: Precision = "float32",
    planes: Planes = grey,
) -> Samples:
    """Draw `count` samples; the states of the first `trajectories` are measured and discarded.

    planes: converts images (N, C, H, W) to the form that is measured
    """
    card = source.card
    model = load_model(source.weights, card, device, precision)
    choose_engines(model)  # as figures are sampled
    if "blur" not in card.abilities:
        return _draw_from_noise(process_of(model), count, seed, planes)
    if source.prior is None:
        raise SystemExit(f"{source.name}: its card names no prior to start sampling from")
    prior = read_prior(source.prior, card)
    spectra = StateSpectra(card.visited_levels, min(count, trajectories), planes)
    drawn = [
        _draw(model, prior, seed, list(range(first, min(first + BATCH, count))), spectra)
        for first in range(0, count, BATCH)
    ]
    final, initial = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return Samples(
        *(final, initial, heat_of(card).sampling_noise_std, card.schedule.sigmas),
        states=spectra.means(),
        watched=spectra.limit,
    )


@torch.inference_mode()
def _draw_from_noise(process: GenerativeProcess, count: int, seed: int, planes: Planes) -> Samples:
    """Draw samples of a process without blur in [0, 1]; their noisy levels are not measured."""
    parts = []
    for first in range(0, count, BATCH):
        samples = range(first, min(first + BATCH, count))
        initial = process.start(seed, samples)
        noise = independent(seed, samples, process.card.shape) if process.random else None
        *_, last = run(process, initial, noise)
        ends = (last.mean, 0), (initial, process.levels[0])
        parts.append([planes(process.pixels(*end).cpu().numpy()) for end in ends])
    final, initials = (np.concatenate(batches) for batches in zip(*parts, strict=True))
    return Samples(final, initials, sampling_noise_std=0.0)


@torch.inference_mode()
def _draw(
    model: CardModel, prior: Prior, seed: int, samples: list[int], spectra: StateSpectra
) -> tuple[Images, Images]:
    initial = prior.initial_states(seed, samples)
    noise = independent(seed, samples, tuple(initial.shape[1:]))
    spectra.add(model.card.levels, initial, samples[0])
    for step in reverse_process(model, initial, noise):
        spectra.add(step.level, step.state, samples[0])
    return spectra.planes(step.mean.cpu().numpy()), spectra.planes(initial.cpu().numpy())
