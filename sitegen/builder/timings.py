"""Estimates of rendering time, from measurements on this machine.

Each rendered figure adds its time to `speeds.json` in the store, by kind, models, device and
precision. An estimate scales the measured figure that is nearest in size. Without a measurement,
the speed of the networks is measured in a trial and kept, and the pixels are counted.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter

from sitegen.builder.plan import PlannedFigure
from sitegen.builder.store_folder import write_own
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError
from sitegen.core.files import read_file
from sitegen.core.progress import duration
from sitegen.media.manifest import ModelRef

FILE_NAME = "speeds.json"
DRAWING_S = 0.03
"""Seconds to draw, encode and verify a million pixels of frames, on two cores at 2.6 GHz."""
AROUND_S = 3.0
"""Seconds that a build takes before its first sample and after its last, on the same machine."""
_PACED = 1000
_MOST = 10**15
_KEPT = 8  # latest measurements for each kind, model and device


class Measured(BaseModel):
    """One rendering: images evaluated by the network, and seconds from the first frame to the
    last.
    """

    evaluations: Annotated[int, Field(ge=1, le=_MOST)]
    seconds: Annotated[float, Field(ge=0, le=_MOST)]


_FILE = TypeAdapter(dict[str, list[Measured]])


class Speeds:
    """The measurements of the store in `root`, for one compute target.

    A file that cannot be read or written counts as empty, and never raises.
    """

    def __init__(self, root: Path, compute_target: ComputeTarget) -> None:
        self._path = root / FILE_NAME
        self._compute_target = compute_target
        self._guard = threading.Lock()

    def note(self, planned: PlannedFigure, seconds: float) -> None:
        """Store the time that a figure took."""
        seen = _evaluations(planned)
        if not seen or not math.isfinite(seconds):
            return
        with self._guard, contextlib.suppress(PlatformError):
            known, key = self._read(), self._key(planned)
            new = Measured(evaluations=seen, seconds=round(seconds, 3))
            known[key] = [*known.get(key, []), new][-_KEPT:]
            self._write(known)

    def estimate(self, planned: PlannedFigure) -> float | None:
        """Return the estimated seconds for a figure; None if its models were not measured."""
        seen = _evaluations(planned)
        known = self._read().get(self._key(planned), []) if seen else []
        if not known:
            return None
        nearest = min(reversed(known), key=lambda each: abs(math.log(each.evaluations / seen)))
        return nearest.seconds * seen / nearest.evaluations

    def pace(self, model: ModelRef, measure: Callable[[str], float]) -> float:
        """Return the seconds that a model takes per image and level: stored, or measured now."""
        key = f"pace {model.sha256[:16]} {self._target}"
        with self._guard:
            if not (known := self._read().get(key)):
                seconds = measure(model.name) * _PACED
                known = [Measured(evaluations=_PACED, seconds=round(seconds, 6))]
                with contextlib.suppress(PlatformError):
                    self._write(self._read() | {key: known})
        return known[-1].seconds / known[-1].evaluations

    @property
    def _target(self) -> str:
        return f"{self._compute_target.device.partition(':')[0]} {self._compute_target.precision}"

    def _write(self, known: dict[str, list[Measured]]) -> None:
        write_own(self._path, _FILE.dump_json(dict(sorted(known.items())), indent=1) + b"\n")

    def _key(self, planned: PlannedFigure) -> str:
        models = "+".join(model.sha256[:16] for model in planned.models)
        return f"{planned.figure.kind} {models} {self._target}"

    def _read(self) -> dict[str, list[Measured]]:
        """Return the measurements from the file; none if it is missing, damaged or not from
        sitegen.
        """
        try:
            return _FILE.validate_json(read_file(self._path))
        except (OSError, ValueError):
            return {}


def first_estimate(
    planned: PlannedFigure, pixels: int, pace: Callable[[ModelRef], float]
) -> float | None:
    """Return the estimated seconds for a figure from the `pace` of its models, measured now.

    A pace is in seconds per image and level; `pixels` counts those of all frames. Returns None for
    a figure without a network.
    """
    pairs = zip(planned.evaluations, planned.models, strict=True)
    drawing = pixels / 1e6 * DRAWING_S
    return sum(seen * pace(model) for seen, model in pairs) + drawing if planned.models else None


class Eta:
    """The number of the current figure, and the estimated time for all remaining ones.

    estimates: seconds for each figure, by request; corrected by the figures that are finished
    """

    def __init__(
        self, figures: Sequence[PlannedFigure], estimates: Mapping[str, float | None], workers: int
    ) -> None:
        self._numbers = {each.request_digest: at for at, each in enumerate(figures, 1)}
        self._left = {key: seconds for key, seconds in estimates.items() if seconds is not None}
        self._workers = workers
        self._took = self._expected = sum(self._left.values()) / 4  # a small figure says little
        self._guard = threading.Lock()

    def title(self, planned: PlannedFigure) -> str:
        """Return the title of a figure's progress line, at its start."""
        name, count = planned.figure.id, len(self._numbers)
        if count == 1:
            return f"rendering {name}"
        with self._guard:
            wrong = self._took / self._expected if self._expected else 1.0
            seconds = sum(self._left.values()) * wrong / self._workers
        left = f" ({duration(seconds)} left in all)" if seconds else ""
        return f"figure {self._numbers[planned.request_digest]} of {count}{left}: {name}"

    def done(self, planned: PlannedFigure, seconds: float) -> None:
        """Record the seconds that a figure took."""
        with self._guard:
            if expected := self._left.pop(planned.request_digest, 0.0):
                self._took += seconds
                self._expected += expected


def _evaluations(planned: PlannedFigure) -> int:
    return sum(planned.evaluations) if planned.models else 0
