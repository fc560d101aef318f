"""Recordings of samplers (`sitegen/record.py`), read as untrusted data; no torch.

`describe` checks a whole file and returns its description for a model card. `Recording` reads a
step at a time, so that memory does not grow with the length of the file. Steps are counted from the
start, levels from the end: step i of T is level T − 1 − i.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sitegen.core.diagnostics import dotted, rule
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.tables import RecordingConfig
from sitegen.generative.data.arrays import ArrayFile, open_arrays
from sitegen.record import MOST_ARRAYS, MOST_RUN_BYTES, MOST_SAMPLES, is_even

Images = NDArray[np.float32]
Part = Literal["state", "mean", "final", "velocity"]
POINTS = [2, 1, 1]
"""Shape of the arrays of points in the plane, which are shown in one picture."""
POINTS_SIDE = 480
"""Pixels of the side of that picture."""

_RUN = "run.json"
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Text = Annotated[str, Field(max_length=200)]
_Index = Annotated[int, Field(ge=0, lt=MOST_SAMPLES)]


class _Step(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    value: _Finite
    count: Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
    parents: list[_Index] | None = None
    has: list[Part]


class _Run(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    format: Literal["sitegen recording"]
    version: Literal[1]
    axis: Annotated[list[_Text], Field(min_length=2, max_length=2)]
    range: Annotated[list[_Finite], Field(min_length=2, max_length=2)]
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]
    steps: Annotated[list[_Step], Field(min_length=2, max_length=MOST_ARRAYS)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    made_with: Annotated[str, Field(max_length=1000)] = ""
    positions: Annotated[list[_Finite], Field(min_length=2, max_length=1000)] | None = None
    labels: Annotated[list[_Text], Field(max_length=MOST_SAMPLES)] | None = None
    captions: Annotated[list[_Text], Field(max_length=MOST_SAMPLES)] | None = None
    finished: bool = True
    scaled: bool = False


@dataclass(frozen=True)
class Recording:
    """A recording with a checked description; its arrays are read on demand.

    clipped: whether states are bytes, which clip what is beyond black and white
    """

    path: Path
    run: _Run
    clipped: bool = False

    @property
    def levels(self) -> int:
        """K, the number of steps after the first."""
        return len(self.run.steps) - 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image; of points, that of the picture of all."""
        if self.has_points:
            return 3, POINTS_SIDE, POINTS_SIDE
        channels, height, width = self.run.shape
        return channels, height, width

    @property
    def has_points(self) -> bool:
        """Whether points in the plane were recorded."""
        return self.run.shape == POINTS

    @cached_property
    def rows(self) -> tuple[NDArray[np.uint16], ...]:
        """For each step, the index of the sample that each finished sample descends from."""
        # 16 bits hold `MOST_SAMPLES`; these are arrays of all steps at once.
        rows = [np.arange(self.run.steps[-1].count, dtype=np.uint16)]
        for step in reversed(self.run.steps[1:]):
            same = step.parents is None or step.parents == list(range(step.count))
            rows.append(rows[-1] if same else np.array(step.parents, np.uint16)[rows[-1]])
        return tuple(reversed(rows))

    @property
    def splits(self) -> tuple[int, ...]:
        """Levels at which every sample splits in two; empty unless the recording is such a tree."""
        steps, levels = self.run.steps, []
        if steps[0].count != 1:
            return ()
        for at, step in enumerate(steps[1:], 1):
            if step.parents is None or step.parents == list(range(step.count)):
                continue
            if step.parents != [row for row in range(steps[at - 1].count) for _ in range(2)]:
                return ()
            levels.append(self.levels - at + 1)
        return tuple(levels)

    def config(self) -> RecordingConfig:
        """Return the description of the recording for a model card."""
        run, inner = self.run, self.run.steps[1:-1]
        parts: tuple[Literal["mean", "final"], ...] = ("mean", "final")
        has = (part for part in parts if all(part in step.has for step in inner))
        recorded = (part for part in has if any(part in step.has for step in run.steps))
        return RecordingConfig(
            values=tuple(float(f"{step.value:.10g}") for step in reversed(run.steps)),
            count=1 if self.has_points else run.steps[-1].count,
            points=run.steps[-1].count if self.has_points else None,
            symbol=run.axis[0],
            unit=run.axis[1],
            shows=tuple(recorded),
            positions=len(run.positions) if run.positions and is_even(run.positions) else None,
            splits=self.splits,
            one_start=run.steps[0].count == 1 < run.steps[-1].count,
            captions=tuple(() if self.has_points else run.captions or run.labels or ()) or None,
            seed=run.seed,
            made_with=run.made_with,
            finished=run.finished,
            clipped=self.clipped,
            scaled=run.scaled,
            size=None if self.shape[1] == self.shape[2] else self.shape[1:],
        )

    def states(self, show: Part, samples: Sequence[int] | None = None) -> Iterator[Images]:
        """Yield the requested part of each step in [0, 1] pixel units, a row for each sample.

        samples: indices of finished samples; None for each distinct state of a step once

        A step without that part yields its state. The last step yields its mean in place of the
        state if it has one, as models do, whose last picture has no noise added.
        """
        with open_arrays(self.path) as file:
            for at, step in enumerate(self.run.steps):
                parts: tuple[Part, ...] = (show, "mean") if at == self.levels else (show,)
                requested = (part for part in parts if part != "state" and part in step.has)
                name = f"{next(requested, 'state')}/{at:05}"
                images = self._read(file, name, step.count)
                rows = None if samples is None else self.rows[at][list(samples)]
                if rows is not None and not np.array_equal(rows, np.arange(step.count)):
                    images = images[rows]  # a copy
                yield images

    def points(self) -> Iterator[tuple[Images, Images | None]]:
        """Yield the positions (N, 2) of points at each step, in [0, 1], and their velocities."""
        low, high = self.run.range
        with open_arrays(self.path) as file:
            for at, step in enumerate(self.run.steps):
                places = self._read(file, f"state/{at:05}", step.count)[..., 0, 0]
                velocities = None
                if "velocity" in step.has:
                    velocities = self._read(file, f"velocity/{at:05}", step.count)[..., 0, 0]
                    velocities += np.float32(low / (high - low))  # which `_read` took away
                yield places, velocities

    def check(self) -> None:
        """Read all arrays. Raises RefusedError with the name of an array that does not fit."""
        with open_arrays(self.path) as file:
            for at, step in enumerate(self.run.steps):
                for part in step.has:
                    self._read(file, f"{part}/{at:05}", step.count)

    def _read(self, file: ArrayFile, name: str, count: int) -> Images:
        low, high = self.run.range
        if name not in file.arrays:
            raise RefusedError(f"{self.path}: {name}.npy is missing; record it to its end")
        info, expected = file.arrays[name], (count, *self.run.shape)
        if info.shape != expected:
            raise RefusedError(
                f"{self.path}: {name}.npy has the shape {info.shape}, not {expected}"
            )
        if info.dtype not in (np.uint8, np.float16, np.float32, np.float64):
            types = "must be uint8, float16, float32 or float64"
            raise RefusedError(f"{self.path}: {name}.npy has the type {info.dtype}; {types}")
        numbers = file.read(name)
        if numbers.dtype == np.uint8:
            images: Images = np.divide(numbers, np.float32(255), dtype=np.float32)
            return images
        if not np.isfinite(numbers).all():
            raise RefusedError(f"{self.path}: {name}.npy has values that are not finite")
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            images = numbers.astype(np.float32, copy=False)
            images -= np.float32(low)  # in place, since a step may take hundreds of megabytes
            images /= np.float32(high - low)
        if not np.isfinite(images).all():
            raise RefusedError(f"{self.path}: {name}.npy has values far beyond its range")
        return images


_HOW = (
    "is not a recording; write one of your states, in two lines: "
    "`with sitegen.record.record('states.npz', range=(0, 1)) as rec: rec.scan(values, states)`"
)


def open_recording(path: Path) -> Recording:
    """Read and check the description of a recording. Raises RefusedError for a wrong one."""
    if path.is_dir() or path.suffix == ".npy":
        raise RefusedError(f"{path}: {_HOW}")
    with open_arrays(path, MOST_RUN_BYTES) as file:
        if _RUN not in file.others:
            raise RefusedError(f"{path}: has no {_RUN}, so it {_HOW}")
        text = file.member(_RUN)
        types = {info.dtype for name, info in file.arrays.items() if name.startswith("state/")}
    try:
        run = _Run.model_validate_json(text)
    except (ValidationError, ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: {_RUN}: {_first(error)}") from None
    if fault := _fault(run):
        raise RefusedError(f"{path}: {_RUN}: {fault}")
    return Recording(path, run, np.dtype(np.uint8) in types)


def recorded_card(recording: Recording, subject: str = "") -> ModelCard:
    """Return the card of a recording. Raises RefusedError if it cannot be displayed."""
    channels, height, width = recording.shape
    try:
        facts = recording.config()
    except ConfigError as error:
        faults = "; ".join(str(error).splitlines())
        raise RefusedError(f"{recording.path}: {faults}") from None
    return ModelCard(
        max(height, width),
        channels,
        recording.levels,
        kind="recording",
        subject=subject,
        recording=facts,
    )


def _fault(run: _Run) -> str:
    """Describe the first contradiction between the values of a run; empty if there is none."""
    low, high = run.range
    if not low < high:
        return f"range is {low} to {high}, and must rise"
    if run.shape == POINTS and any(step.parents for step in run.steps):
        return "points do not split; record them without parents"
    if run.shape[0] not in (1, 3) and run.shape != POINTS:
        return f"images have {run.shape[0]} channels, and must have 1 or 3"
    for at, step in enumerate(run.steps):
        if "state" not in step.has or len(set(step.has)) != len(step.has):
            return f"step {at} must have a state, and each part once"
    for at, (above, step) in enumerate(pairwise(run.steps), 1):
        if step.parents is None and step.count != above.count:
            return f"step {at} has {step.count} samples after {above.count}, and no parents"
        if step.parents is not None:
            if len(step.parents) != step.count:
                return f"step {at} has {len(step.parents)} parents for {step.count} samples"
            if max(step.parents) >= above.count:
                return f"step {at} names parent {max(step.parents)} of {above.count} samples"
    if run.positions is not None and run.steps[-1].count % len(run.positions):
        return f"{run.steps[-1].count} samples cannot be paths of {len(run.positions)} positions"
    for name, texts in (("labels", run.labels), ("captions", run.captions)):
        if texts is not None and len(texts) != run.steps[-1].count and run.finished:
            return f"{len(texts)} {name} for {run.steps[-1].count} samples"
    return ""


def _first(error: Any) -> str:
    if not isinstance(error, ValidationError):
        return "is not JSON that can be read"
    items = error.errors(include_url=False)
    for item in items:
        if (item["type"], item["loc"]) == ("too_short", ("steps",)):
            return f"the number of steps is {item['ctx']['actual_length']}; record 2 or more"
    key = dotted(items[0]["loc"])
    return f"{key}{rule(items[0], {})}" if key else str(items[0]["msg"])[:200]
