"""What a network runs on is found out without torch."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from sitegen.core.compute import resolve_device, resolve_precision
from sitegen.core.errors import ConfigError


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:12"])
def test_device_as_asked(device: str) -> None:
    """What is asked for is taken, here or not: the renderer looks whether it is there."""
    assert resolve_device(device) == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "mps", "", "cpu:0", "cuda:1\n"])
def test_device_that_is_none(device: str) -> None:
    """A mistake on the command line, told before anything is read."""
    with pytest.raises(ConfigError, match="there is auto, cpu, cuda and cuda:N"):
        resolve_device(device)


@pytest.mark.parametrize(
    ("driver", "version", "visible", "device"),
    [
        (True, "2.13.0", None, "cuda"),
        (True, "2.13.0+cu130", "0,1", "cuda"),
        (True, "2.13.0+cpu", None, "cpu"),
        (True, "2.13.0", "", "cpu"),
        (True, "2.13.0", "-1", "cpu"),
        (True, None, None, "cpu"),
        (False, "2.13.0", None, "cpu"),
    ],
)
def test_auto_device(
    driver: bool,
    version: str | None,
    visible: str | None,
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GPU where there are a driver, a torch for it, and nothing that hides it."""

    def installed(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(Path, "exists", lambda self: driver)
    monkeypatch.setattr(metadata, "version", installed)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert resolve_device("auto") == device


@pytest.mark.parametrize(
    ("flags", "device", "auto"),
    [
        ("flags : fpu amx_bf16 amx_tile", "cpu", "bfloat16"),
        ("flags : fpu amx_bf16 amx_tile", "cuda", "float32"),
        ("flags : fpu avx512_bf16", "cpu", "float32"),
        (None, "cpu", "float32"),
    ],
)
def test_auto_precision(flags: str | None, device: str, auto: str, tmp_path: Path) -> None:
    """By itself bfloat16 only where the processor has matrix units; what is asked for is done."""
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(flags)
    found = [resolve_precision(a, device, cpuinfo) for a in ("auto", "float32", "bfloat16")]
    assert found == [auto, "float32", "bfloat16"]
