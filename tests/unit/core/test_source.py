"""Reading what an author wrote: files that are not text are refused, and keys have lines."""

import json
import os
import re
import tomllib
from pathlib import Path
from unittest.mock import Mock

import pytest

from sitegen.core.errors import ConfigError
from sitegen.core.source import (
    KeyPath,
    raised_at,
    read_text,
    toml_lines,
)


def _paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict | list):
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
    found = {path} if path else set()
    return found.union(*(_paths(inner, (*path, key)) for key, inner in items))


def test_not_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no text is refused; lines of Windows and a byte order mark are read."""
    os.mkfifo(tmp_path / "pipe")
    for path, message in [
        (tmp_path, "is a folder"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "pipe", "no such file"),
    ]:
        with pytest.raises(ConfigError, match=message):
            read_text(path)
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    assert read_text(tmp_path / "x") == "a\nb\n"
    for data, message in [
        (b"a\nb\n\xff", "x.toml:3: is not UTF-8"),
        (b"a\nb\x00", r"x.toml:2: holds the character U\+0000"),
        ("a\u202eb".encode(), r"x.toml:1: holds the character U\+202E"),
    ]:
        path = tmp_path / "x.toml"
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=message):
            read_text(path)
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: (_ for _ in ()).throw(OSError(5, "Broken"))
    )
    with pytest.raises(ConfigError, match="x: cannot be read: Broken"):
        read_text(tmp_path / "x")


def test_raised_at() -> None:
    """The author's line is named, else that of a package, not of what the package calls."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert re.fullmatch(r" \(.*test_source\.py:\d+\)", raised_at(caught.value))
    assert caught.value.__traceback__ is not None
    inside = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert re.fullmatch(r" \(.*/json/__init__\.py:\d+\)", raised_at(inside))
    assert raised_at(KeyError("x")) == ""


def test_long_lists_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of a number a line, as in cards, is not parsed again for each of its lines."""
    parse = Mock(wraps=tomllib.loads)
    monkeypatch.setattr(tomllib, "loads", parse)
    rows = "".join(f"  {each}.5,  # [its unit\n" for each in range(900))
    lines = toml_lines(f"a = [\n{rows}]\nb = 1\n[c]\n")
    assert (lines["a",], lines["a", 899], lines["b",], lines["c",]) == (1, 1, 903, 904)
    assert parse.call_count < 10
