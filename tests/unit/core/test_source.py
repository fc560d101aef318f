"""Reading what an author wrote: files that are not text are refused, and keys have lines."""

import json
import os
import re
from pathlib import Path

import pytest

from sitegen.core.errors import ConfigError
from sitegen.core.source import (
    KeyPath,
    parse_toml,
    raised_at,
    read_text,
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a = 1\ntitle = "X\nb = 2', r"a.toml:2: is not TOML: Illegal character '\\n'"),
        ("a = 1\ntitle = “X”", "a.toml:2: is not TOML: Invalid value"),
        ("a = 1\n[b", "a.toml:2: is not TOML: "),
        ("a = " + "9" * 5000, "a.toml: is not TOML: Exceeds the limit"),
    ],
)
def test_no_toml(text: str, words: str) -> None:
    """What is no TOML is reported with its line."""
    with pytest.raises(ConfigError, match=words):
        parse_toml(text, "a.toml")


def test_raised_at() -> None:
    """The author's line is named, else that of a package, not of what the package calls."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert re.fullmatch(r" \(.*test_source\.py:\d+\)", raised_at(caught.value))
    assert caught.value.__traceback__ is not None
    inside = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert re.fullmatch(r" \(.*/json/__init__\.py:\d+\)", raised_at(inside))
    assert raised_at(KeyError("x")) == ""
