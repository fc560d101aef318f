"""A recording in place of a model: figures use the recorded states. Needs no torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sitegen.core.errors import RefusedError
from sitegen.core.files import sha256
from sitegen.core.source import shown
from sitegen.generative.card.card import ModelCard
from sitegen.generative.data.recording import POINTS_SIDE, Recording, open_recording, recorded_card
from sitegen.models.registry import ModelSource
from sitegen.sampling.trajectory import Images, Paths, Shown


@dataclass(frozen=True)
class RecordedSampler:
    """The samples of a recording. Seeds and δ are those of the recording; figures check that."""

    name: str
    card: ModelCard
    recording: Recording

    def begin(
        self, seed: int, samples: Sequence[int], noise_std: float | None = None
    ) -> RecordedTrajectory:
        """Return the recorded trajectory of some samples."""
        return RecordedTrajectory(self.recording, tuple(samples))

    def fan(
        self, seed: int, samples: Sequence[int], noise_std: float | None = None
    ) -> RecordedTrajectory:
        """Return samples that came from one state, as all of such a recording do."""
        return self.begin(seed, samples)

    def tree(
        self,
        seed: int,
        splits: tuple[int, ...],
        samples: Sequence[int] | None = None,
        noise_std: float | None = None,
    ) -> RecordedTrajectory:
        """Return the recorded tree, each distinct state once."""
        return RecordedTrajectory(self.recording, None)

    def paths(self, paths: Paths, noise_std: float | None = None) -> RecordedTrajectory:
        """Return recorded paths: the one from sample 2i to 2i + 1 is the i-th."""
        points = paths.points
        rows = [first // 2 * points + point for first, _ in paths.pairs for point in range(points)]
        return self.begin(paths.seed, rows)

    def spectrum(self, images: Images) -> list[float]:
        """Return the mean spectrum of images (N, C, H, H), as `heat.spectrum` defines it."""
        # In NumPy, because importing torch takes more than a second.
        size = images.shape[-1]
        pixel, wave = np.arange(size), np.arange(size)[:, None]
        basis = np.cos(np.pi * wave * (pixel + 0.5) / size) * np.sqrt(2 / size)
        basis[0] /= np.sqrt(2)
        power = np.square(basis @ images.astype(np.float64) @ basis.T).mean((0, 1)).ravel()
        rings = np.rint(np.hypot(pixel[:, None], pixel)).astype(int).ravel()
        spectrum: list[float] = (np.bincount(rings, power) / np.bincount(rings)).tolist()
        return spectrum

    def data_spectrum(self) -> list[float] | None:
        """Return None: a recording has no statistics of the data."""
        return None


@dataclass(frozen=True)
class RecordedTrajectory:
    """Recorded samples at all levels; `samples` is None for a tree: each distinct state once."""

    recording: Recording
    samples: tuple[int, ...] | None

    @property
    def first(self) -> int:
        """The level of the initial states."""
        return self.recording.levels

    def seen(self, show: Shown) -> Iterator[tuple[int, Images]]:
        """Yield each level from the first to 0, with its displayed images (N, C, H, W)."""
        levels, run = range(self.first, -1, -1), self.recording.run
        if self.recording.has_points:
            from sitegen.media.points import drawn_points

            low, high = run.range
            drawn = drawn_points(
                self.recording.points(), POINTS_SIDE, (low, high), run.labels or ()
            )
            for level, frame in zip(levels, drawn, strict=True):
                picture = frame.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
                yield level, np.repeat(picture, len(self.samples or (0,)), 0)
            return
        yield from zip(levels, self.recording.states(show, self.samples), strict=True)


def load_recorded(source: ModelSource) -> RecordedSampler:
    """Open the recording of a model.

    Raises RefusedError if it is missing, damaged, or not the file that its card describes.
    """
    source.require_usable()
    recording = open_recording(source.weights)
    described = recorded_card(recording, source.card.subject)
    is_described = (described.shape, described.recording) == (
        source.card.shape,
        source.card.recording,
    )
    if not is_described or sha256(source.weights) != source.weights_sha256:
        raise RefusedError(
            f"{source.weights}: is not the recording that the card of {source.name} describes; "
            f"if it was recorded again, run `sitegen add {source.name} --recording "
            f"{shlex.quote(shown(source.weights))}`"
        )
    return RecordedSampler(source.name, source.card, recording)
