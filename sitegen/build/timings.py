"""How long rendering takes: what was measured here tells what the next figure will take.

Each figure that is rendered leaves its time in `speeds.json` of the store, by the models, the
device and the precision. An estimate scales the measured figure that is nearest in size.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sitegen.build.plan import PlannedFigure
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError
from sitegen.core.files import write_atomic

FILE_NAME = "speeds.json"
_KEPT = 8  # measurements of one model on one device; the latest count


@dataclass(frozen=True)
class Measured:
    """One rendering: how many images the network saw, and the seconds from first frame to last."""

    evaluations: int
    seconds: float


class Speeds:
    """The measurements of the store in `root`, for one kind of equipment.

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
            known = _read(self._path)
            kept = [*known.get(self._key(planned), []), Measured(seen, round(seconds, 3))][-_KEPT:]
            write_atomic(self._path, _dump({**known, self._key(planned): kept}))

    def estimate(self, planned: PlannedFigure) -> float | None:
        """About how many seconds a figure will take; None where its models were not measured."""
        seen = _evaluations(planned)
        known = _read(self._path).get(self._key(planned), []) if seen else []
        if not known:
            return None
        nearest = min(reversed(known), key=lambda each: abs(math.log(each.evaluations / seen)))
        return nearest.seconds * seen / nearest.evaluations

    def first_estimate(self, planned: PlannedFigure, pace: Callable[[str], float]) -> float | None:
        """About how many seconds a figure will take by the `pace` of its models, measured now.

        A pace is in seconds for one image at one level. None for a figure that no network makes,
        and where nothing can be rendered.
        """
        if not planned.models or planned.key is None:
            return None
        pairs = zip(planned.evaluations, planned.figure.models, strict=True)
        return sum(seen * pace(name) for seen, name in pairs)

    def _key(self, planned: PlannedFigure) -> str:
        models = "+".join(model.sha256[:16] for model in planned.models)
        device = self._compute_target.device.partition(":")[0]
        return f"{models} {device} {self._compute_target.precision}"


def _evaluations(planned: PlannedFigure) -> int:
    return sum(planned.evaluations) if planned.models else 0


def _read(path: Path) -> dict[str, list[Measured]]:
    """The file's measurements; none where it is missing, damaged or not ours."""
    try:
        value = json.loads(path.read_bytes())
        return {key: [_measured(each) for each in entries] for key, entries in value.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}


def _measured(entry: Mapping[str, float]) -> Measured:
    measured = Measured(int(entry["evaluations"]), float(entry["seconds"]))
    if measured.evaluations < 1 or not 0 <= measured.seconds < math.inf:
        raise ValueError("out of range")
    return measured


def _dump(known: Mapping[str, list[Measured]]) -> bytes:
    value = {
        key: [{"evaluations": each.evaluations, "seconds": each.seconds} for each in entries]
        for key, entries in known.items()
    }
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()
