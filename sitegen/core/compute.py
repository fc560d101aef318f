"""What a network runs on: the device and the precision, found out without torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from sitegen.core.errors import ConfigError

Device = str
DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")
Precision = Literal["float32", "bfloat16"]
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class ComputeTarget:
    """What a figure is rendered on: "cpu", "cuda" or "cuda:N", and the network's precision."""

    device: Device
    precision: Precision


def resolve_device(asked: str) -> Device:
    """Turn "auto" into "cuda" where a GPU and a torch that can use it are there, else "cpu".

    Looks only at what is installed, so that a build that renders nothing does not import torch.
    Raises ConfigError for what is no device.
    """
    if asked != "auto":
        if not DEVICE.fullmatch(asked):
            raise ConfigError(f"--device {asked}: there is auto, cpu, cuda and cuda:N")
        return asked
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    if hidden or not Path("/proc/driver/nvidia/version").exists():
        return "cpu"
    try:
        return "cpu" if metadata.version("torch").endswith("+cpu") else "cuda"
    except metadata.PackageNotFoundError:
        return "cpu"


def resolve_precision(asked: str, device: Device, cpuinfo: Path | None = None) -> Precision:
    """Turn "auto" into "bfloat16" on a processor with matrix units for it, else "float32".

    With such units bfloat16 takes about half the time, without them more than float32. Looks only
    at what the system tells of its processors, and imports nothing.
    """
    if asked != "auto":
        return "bfloat16" if asked == "bfloat16" else "float32"
    try:
        flags = (cpuinfo or CPUINFO).read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return "float32"
    return "bfloat16" if device == "cpu" and "amx_bf16" in flags else "float32"
