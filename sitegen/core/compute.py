"""Device and precision for a network, determined without importing torch."""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from sitegen.core.errors import ConfigError

Device = str
DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")
Precision = Literal["float32", "bfloat16"]
CPUINFO = Path("/proc/cpuinfo")

_DRIVERS = (("proc/driver/nvidia/version",), ("dev/dxg", "usr/lib/wsl/lib/libcuda.so.1"))
"""Paths that exist if NVIDIA's driver is installed: on Linux, and on Linux inside Windows (WSL)."""
_WITH_CUDA = re.compile(r"^cuda\b[^=\n]*= *['\"]", re.MULTILINE)
"""Matches `torch/version.py` of a torch built with CUDA; in other builds the value is None."""


@dataclass(frozen=True)
class ComputeTarget:
    """Device ("cpu", "cuda" or "cuda:N") and network precision of a rendering."""

    device: Device
    precision: Precision


def resolve_device(requested: str, system: Path = Path("/"), torch: Path | None = None) -> Device:
    """Turn "auto" into "cuda" if there are a GPU driver and a torch built for it, else "cpu".

    Inspects only files: those below `system`, the root of the file system, and those in `torch`,
    the folder of a torch (default: the installed one). Torch itself is not imported, so a build
    that renders nothing does not pay for it. Raises ConfigError for an invalid device.
    """
    if requested != "auto":
        if not DEVICE.fullmatch(requested):
            raise ConfigError(f"--device {requested}: should be auto, cpu, cuda or cuda:N")
        return requested
    # CUDA's convention for hiding every GPU from a process.
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return "cpu"
    driver = any(all((system / path).exists() for path in paths) for paths in _DRIVERS)
    spec = find_spec("torch")
    folder = torch or (Path(spec.origin).parent if spec and spec.origin else None)
    able = driver and folder and _WITH_CUDA.search(_text(folder / "version.py"))
    return "cuda" if able else "cpu"


# Measured on U-Nets: 4.4 ms an image in bfloat16 and 11.2 in float32 with AMX, up to 1.65 times as
# fast with avx512_bf16 alone, but 133 ms and 17.5 on a processor with neither.
BFLOAT16_UNITS = frozenset({"amx_bf16", "avx512_bf16"})
"""CPU flags of units that multiply in bfloat16, with which networks take about half the time."""


def resolve_precision(requested: str, device: Device) -> Precision:
    """Turn "auto" into "bfloat16" if `device` is a CPU that multiplies in it, else "float32"."""
    if requested == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return "bfloat16" if requested == "bfloat16" else "float32"


def has_bfloat16(device: Device) -> bool:
    """Return whether a device is a CPU with instructions for bfloat16, by /proc/cpuinfo."""
    flags = _text(CPUINFO).split() if device == "cpu" else []
    return not BFLOAT16_UNITS.isdisjoint(flags)


def _text(path: Path) -> str:
    """Return the text of a system file; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
