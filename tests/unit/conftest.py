"""What keeps this tier quick: a test here starts no process: no browser, encoder or git."""

import os
import subprocess
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse whatever starts one."""

    def refuse(*words: object, **options: object) -> NoReturn:
        raise AssertionError("a unit test starts no process; put it into tests/e2e")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in ("fork", "posix_spawn", "system"):
        monkeypatch.setattr(os, name, refuse)
