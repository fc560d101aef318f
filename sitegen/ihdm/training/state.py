"""The state of a training run on disk: there as a whole or not at all."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sitegen.core.errors import RefusedError
from sitegen.core.files import write_atomic

KEYS = frozenset({"step", "options", "card", "unet", "ema", "optimizer"})
_DAMAGE = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Put `state` in the place of `path` in one step, on the disk itself when this returns.

    Killed at any instant, it leaves the old state or the new one. Raises PlatformError, with the
    old one in place, if the disk is full or unwritable.
    """
    data = io.BytesIO()
    torch.save(dict(state), data)
    write_atomic(path, data.getvalue())


def read_state(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state at `path`, its tensors on `device`; None if there is none.

    Nothing in the file is executed. Raises RefusedError if it is damaged or no state of a run.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} has another checksum than it was written with")
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= KEYS:
            raise ValueError("it lacks parts of a training state")
        if not isinstance(state["step"], int) or not isinstance(state["options"], dict):
            raise ValueError("its step is no number, or its options no table")
    except _DAMAGE as error:
        raise damaged(path, error) from error
    return state


def damaged(path: Path, why: object) -> RefusedError:
    """The refusal of a state that cannot be used."""
    reason = str(why).partition("\n")[0]
    if isinstance(why, pickle.UnpicklingError):  # torch's words would advise to load it anyway
        reason = "it holds what no training state holds"
    return RefusedError(
        f"{path}: this training state is damaged ({reason}); delete it to start anew"
    )
