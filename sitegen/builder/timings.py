"""Estimates of rendering time, from measurements on this machine.

Each rendered figure adds its time to `speeds.json` in the store, by kind, models, device and
precision. An estimate is their median per evaluation of a network. Without a measurement, the speed
of the networks is measured in a trial and kept, and the pixels are counted.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter

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
MANY = 5000
"""Evaluations of networks from which a build gains more from the faster precision than it takes to
measure it."""
FASTER = 1.1
"""Factor by which bfloat16 must be faster to be chosen: less is the noise of a measurement."""
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
        self._target = f"{compute_target.device.partition(':')[0]} {compute_target.precision}"
        self._guard = threading.Lock()

    def note(self, work: str, evaluations: int, seconds: float) -> None:
        """Store the time of a figure; `work` is its kind and models."""
        if evaluations:
            with self._guard:
                self._add(work, Measured(evaluations=evaluations, seconds=round(seconds, 3)))

    def estimate(self, work: str, evaluations: int) -> float | None:
        """Return the estimated seconds for a figure; None if such work was not measured."""
        known = self._read().get(f"{work} {self._target}", []) if evaluations else []
        speeds = [each.seconds / each.evaluations for each in known]
        return median(speeds) * evaluations if speeds else None

    def pace(self, model: ModelRef, measure: Callable[[str], float]) -> float:
        """Return the seconds that a model takes per image and level: stored, or measured now."""
        work = f"pace {model.sha256[:16]}"
        with self._guard:
            if (known := self.estimate(work, 1)) is not None:
                return known
            seconds = measure(model.name)
            self._add(work, Measured(evaluations=_PACED, seconds=round(seconds * _PACED, 6)))
            return seconds

    def _add(self, work: str, new: Measured) -> None:
        known, key = self._read(), f"{work} {self._target}"
        known[key] = [*known.get(key, []), new][-_KEPT:]
        data = _FILE.dump_json(dict(sorted(known.items())), indent=1) + b"\n"
        with contextlib.suppress(PlatformError):
            write_own(self._path, data)

    def _read(self) -> dict[str, list[Measured]]:
        try:
            return _FILE.validate_json(read_file(self._path))
        except (OSError, ValueError):
            return {}


def faster(target: ComputeTarget, seconds: Callable[[ComputeTarget], float]) -> ComputeTarget:
    """Return `target` in the precision that takes less time; bfloat16 only if that is worth it.

    seconds: the time of what is to be done on a target
    """
    other = replace(target, precision="bfloat16")
    return other if FASTER * seconds(other) < seconds(target) else target


class Eta:
    """The numbers of figures, and the estimated time for all that are not finished.

    requests: of all figures, in order
    estimates: seconds for each figure, by request
    """

    def __init__(
        self, requests: Sequence[str], estimates: Mapping[str, float | None], workers: int
    ) -> None:
        self._numbers = {request: at for at, request in enumerate(requests, 1)}
        self._left = dict(estimates)
        self._workers = workers

    def title(self, request: str, name: str) -> str:
        """Return the title of a figure's progress line."""
        count = len(self._numbers)
        if count == 1:
            return f"rendering {name}"
        return f"figure {self._numbers[request]} of {count}: {name}"

    def in_all(self, request: str, own: float | None) -> str:
        """Describe the time left for all figures; `own`, if known, are the seconds left for one."""
        if own is not None:
            self._left[request] = own
        seconds = [each or 0.0 for each in list(self._left.values())]
        longest = max([sum(seconds) / self._workers, *seconds])
        return f", {duration(longest)} left in all" if longest and len(self._numbers) > 1 else ""

    def done(self, request: str) -> None:
        """Remove a finished figure."""
        self._left.pop(request, None)
