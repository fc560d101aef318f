"""Seconds per evaluation of a network in the last build, for the estimates of `--dry-run`."""

import contextlib
import json
from collections.abc import Mapping

from sitegen.builder.plan import PlannedFigure
from sitegen.builder.store import Store
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError
from sitegen.core.files import readable_json

FILE_NAME = "seconds.json"


def read_speeds(store: Store) -> dict[str, float]:
    """Return the measured seconds per evaluation, by `work_of`; empty if there are none."""
    with contextlib.suppress(OSError, ValueError):
        speeds = json.loads((store.root / FILE_NAME).read_bytes())
        return {str(work): float(seconds) for work, seconds in speeds.items()}
    return {}


def write_speeds(store: Store, speeds: Mapping[str, float]) -> None:
    """Add measurements to the file; a disk that refuses only costs the next estimate."""
    with contextlib.suppress(PlatformError):
        store.write(FILE_NAME, readable_json(read_speeds(store) | dict(speeds)))


def work_of(figure: PlannedFigure, target: ComputeTarget) -> str:
    """Return what decides the seconds per evaluation: the kind, the models and the device."""
    models = "+".join(figure.figure.models)
    return f"{figure.figure.kind} {models} {target.device} {target.precision}"
