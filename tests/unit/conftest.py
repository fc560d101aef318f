"""What keeps this tier quick: a test here starts no process: no browser, encoder or git."""

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from sitegen.generative.checkpoints import apart


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse whatever starts one."""

    def refuse(*words: object, **options: object) -> NoReturn:
        raise AssertionError("a unit test starts no process; put it into tests/e2e")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in ("fork", "posix_spawn", "system"):
        monkeypatch.setattr(os, name, refuse)


@pytest.fixture(autouse=True)
def _read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a `.pth` in this process, by the code that another one runs; without its limits."""

    def run(_path: Path, request: bytes, _bounds: object) -> Iterator[tuple[int, bytearray]]:
        written = io.BytesIO()
        apart.answer(request, written.write)
        written.seek(0)
        return apart.frames(written)

    monkeypatch.setattr(apart, "run", run)
