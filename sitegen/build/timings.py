"""How long rendering takes: what was measured here tells what the next figure will take.

Each figure that is rendered leaves its time in `speeds.json` of the store, by its kind, the models,
the device and the precision. An estimate scales the measured figure that is nearest in size.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter

from sitegen.build.plan import PlannedFigure
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError
from sitegen.core.files import write_atomic

FILE_NAME = "speeds.json"
_KEPT = 8  # measurements of one kind and model on one device; the latest count


class Measured(BaseModel):
    """One rendering: how many images the network saw, and the seconds from first frame to last."""

    evaluations: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


_FILE = TypeAdapter(dict[str, list[Measured]])


class Speeds:
    """The measurements of the store in `root`, for one compute target.

    A file that cannot be read or written is no measurement, and never an error.
    """

    def __init__(self, root: Path, compute_target: ComputeTarget) -> None:
        self._path = root / FILE_NAME
        self._compute_target = compute_target
        self._guard = threading.Lock()

    def note(self, planned: PlannedFigure, seconds: float) -> None:
        """Keep how long a figure took."""
        seen = _evaluations(planned)
        if not seen or not math.isfinite(seconds):
            return
        with self._guard, contextlib.suppress(PlatformError):
            known, key = self._read(), self._key(planned)
            new = Measured(evaluations=seen, seconds=round(seconds, 3))
            known[key] = [*known.get(key, []), new][-_KEPT:]
            write_atomic(self._path, _FILE.dump_json(dict(sorted(known.items())), indent=1) + b"\n")

    def estimate(self, planned: PlannedFigure) -> float | None:
        """About how many seconds a figure will take; None where its models were not measured."""
        seen = _evaluations(planned)
        known = self._read().get(self._key(planned), []) if seen else []
        if not known:
            return None
        nearest = min(reversed(known), key=lambda each: abs(math.log(each.evaluations / seen)))
        return nearest.seconds * seen / nearest.evaluations

    def _key(self, planned: PlannedFigure) -> str:
        models = "+".join(model.sha256[:16] for model in planned.models)
        device = self._compute_target.device.partition(":")[0]
        return f"{planned.figure.kind} {models} {device} {self._compute_target.precision}"

    def _read(self) -> dict[str, list[Measured]]:
        """The file's measurements; none where it is missing, damaged or not ours."""
        try:
            return _FILE.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return {}


def first_estimate(planned: PlannedFigure, pace: Callable[[str], float]) -> float | None:
    """About how many seconds a figure will take by the `pace` of its models, measured now.

    A pace is in seconds for one image at one level. None for a figure that no network makes.
    """
    pairs = zip(planned.evaluations, planned.figure.models, strict=True)
    return sum(seen * pace(name) for seen, name in pairs) if planned.models else None


def _evaluations(planned: PlannedFigure) -> int:
    return sum(planned.evaluations) if planned.models else 0
