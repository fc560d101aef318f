"""What keeps this tier quick: a test here starts no process: no browser, encoder or git."""

import os
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from sitegen.core import bounded


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse whatever starts one."""

    def refuse(*words: object, **options: object) -> NoReturn:
        raise AssertionError("a unit test starts no process; put it into tests/e2e")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in ("fork", "posix_spawn", "system"):
        monkeypatch.setattr(os, name, refuse)


@pytest.fixture(autouse=True)
def _render_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render pages in this process, without limits."""

    def call(_limited: object, function: Callable[..., Any], *args: object, **_: object) -> Any:
        return function(*args)

    nothing = SimpleNamespace(call=call, stop=lambda: None, close=lambda: None)
    monkeypatch.setattr(bounded, "_worker", nothing)
