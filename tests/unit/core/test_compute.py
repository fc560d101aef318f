"""The device and the precision are found out by looking, before torch is imported."""

from pathlib import Path

import pytest

from sitegen.core import compute
from sitegen.core.compute import resolve_device, resolve_precision
from sitegen.core.errors import ConfigError


def test_device_as_asked(tmp_path: Path) -> None:
    """What is asked for is taken, here or not; the installed torch is looked at; odd names told."""
    for device in ("cpu", "cuda", "cuda:0", "cuda:12"):
        assert resolve_device(device) == device
    for device in ("gpu", "cuda:", "cuda:x", "mps", "", "cpu:0", "cuda:1\n"):
        with pytest.raises(ConfigError, match="should be auto, cpu, cuda or cuda:N"):
            resolve_device(device)
    (tmp_path / NVIDIA[0]).parent.mkdir(parents=True)
    (tmp_path / NVIDIA[0]).touch()
    import torch.version

    assert resolve_device("auto", tmp_path) == ("cuda" if torch.version.cuda else "cpu")


NVIDIA = ("proc/driver/nvidia/version",)
WINDOWS = ("dev/dxg", "usr/lib/wsl/lib/libcuda.so.1")
CUDA = "__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
NONE = CUDA.replace("'13.0'", "None")


@pytest.mark.parametrize(
    ("driver", "torch", "visible", "device"),
    [
        (NVIDIA, CUDA, None, "cuda"), (NVIDIA, "cuda = '12.8'\n", "0,1", "cuda"),
        (WINDOWS, CUDA, None, "cuda"), (WINDOWS[:1], CUDA, None, "cpu"),
        (NVIDIA, NONE, None, "cpu"), (NVIDIA, None, None, "cpu"), (NVIDIA, CUDA, "", "cpu"),
        (NVIDIA, CUDA, "-1", "cpu"), ((), CUDA, None, "cpu"),
    ],
)  # fmt: skip
def test_auto_device(
    driver: tuple[str, ...],
    torch: str | None,
    visible: str | None,
    device: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GPU where a driver is, inside Windows too, a torch made for it, and nothing hides it."""
    for name in driver:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if torch is not None:
        (tmp_path / "version.py").write_text(torch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert resolve_device("auto", tmp_path, tmp_path) == device


@pytest.mark.parametrize("able", [True, False])
def test_precision(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is bfloat16 where the processor multiplies in it; other requests are followed."""
    monkeypatch.setattr(compute, "has_bfloat16", lambda device: able)
    precisions = [resolve_precision(name, "cpu") for name in ("auto", "float32", "bfloat16")]
    assert precisions == ["bfloat16" if able else "float32", "float32", "bfloat16"]
