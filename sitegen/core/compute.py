"""What a network runs on: the device and the precision, found out without torch."""

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
"""What lies on a system with a driver for NVIDIA's GPUs: on Linux, and on Linux inside Windows."""
_WITH_CUDA = re.compile(r"^cuda\b[^=\n]*= *['\"]", re.MULTILINE)
"""What stands in `torch/version.py` of a torch that was made for such a GPU; in others, None."""


@dataclass(frozen=True)
class ComputeTarget:
    """What a figure is rendered on: "cpu", "cuda" or "cuda:N", and the network's precision."""

    device: Device
    precision: Precision


def resolve_device(wanted: str, system: Path = Path("/"), torch: Path | None = None) -> Device:
    """Turn "auto" into "cuda" where a GPU and a torch that can use it are there, else "cpu".

    Looks only at what lies below `system`, the root of the file system, and in the folder of
    `torch`, the installed one if none is given; a build that renders nothing imports no torch.
    Raises ConfigError for what is no device.
    """
    if wanted != "auto":
        if not DEVICE.fullmatch(wanted):
            raise ConfigError(f"--device {wanted}: there is auto, cpu, cuda and cuda:N")
        return wanted
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return "cpu"
    driver = any(all((system / path).exists() for path in paths) for paths in _DRIVERS)
    found = find_spec("torch")
    folder = torch or (Path(found.origin).parent if found and found.origin else None)
    able = driver and folder and _WITH_CUDA.search(_text(folder / "version.py"))
    return "cuda" if able else "cpu"


MATRIX_UNITS = ("amx_bf16",)
"""With one of these sampling in bfloat16 takes about half the time of float32, without far more."""
VECTOR_UNITS = (*MATRIX_UNITS, "avx512_bf16")
"""With one of these training does: it takes 0.6 of the time with AVX-512's."""


def resolve_precision(
    wanted: str,
    device: Device,
    cpuinfo: Path | None = None,
    units: tuple[str, ...] = MATRIX_UNITS,
) -> Precision:
    """Turn "auto" into "bfloat16" on a processor with one of the `units`, else "float32".

    Looks only at what the system tells of its processors.
    """
    if wanted != "auto":
        return "bfloat16" if wanted == "bfloat16" else "float32"
    found = _text(cpuinfo or CPUINFO).split() if device == "cpu" else []
    return "float32" if set(units).isdisjoint(found) else "bfloat16"


def _text(path: Path) -> str:
    """What a file of the system says; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
