"""Sources written by the author: text files, forbidden characters, and the lines of TOML keys."""

import os
import re
import tomllib
import unicodedata
from bisect import bisect_left
from pathlib import Path
from typing import Any

from sitegen.core.errors import ConfigError

_LARGEST = 2_000_000  # bytes of a page or config; a larger one is a mistake
_ENDS = (0xFFFE, 0xFFFF)
_PLANE_ENDS = "".join(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in _ENDS)
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    f"\u202a-\u202e\u2066-\u2069{_PLANE_ENDS}]"
)

_STEERING = re.compile(f"{_ODD.pattern}|\r")


def shown(path: Path) -> str:
    """Return a path for messages: relative to the working folder if it is inside it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def odd_character(text: str) -> tuple[int, str] | None:
    """Find the first character that pages may not contain: its index and its name (`U+0000`).

    Forbidden are control characters, lone surrogates, non-characters and the marks that reverse
    the direction of the text around them.
    """
    found = _ODD.search(text)
    return None if found is None else (found.start(), f"U+{ord(found[0]):04X}")


def plain(text: str) -> str:
    """Return text that is safe for a terminal: control and hidden characters are escaped."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def page_sources(folder: Path) -> list[Path]:
    """Return the Markdown files of a folder, without hidden ones such as editors' backups."""
    return sorted(folder.glob("[!.]*.md"))


def page_name(source: Path) -> str:
    """Return the name of a page: its file's stem, normalized to NFC."""
    return unicodedata.normalize("NFC", source.stem)


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file. Raises ConfigError with the problem and its line."""
    data = _read(path)
    if data.startswith(b"\xef\xbb\xbf"):
        raise ConfigError(f"{shown(path)}:1: begins with a byte order mark; save it without one")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown(path)}:{line}: is not UTF-8 text; save it as UTF-8") from error
    if (odd := odd_character(text)) is not None:
        line = text.count("\n", 0, odd[0]) + 1
        raise ConfigError(f"{shown(path)}:{line}: holds the character {odd[1]}; remove it")
    return text.replace("\r\n", "\n")


def inside_fault(path: Path, root: Path) -> str | None:
    """Return why a file must not be published: it is outside of `root` or hidden; or None."""
    real, whole = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if not real.is_relative_to(whole):
        return "is a link out of the site's folder; put the file itself there"
    if any(part.startswith(".") for part in real.relative_to(whole).parts):
        return "is hidden, and hidden files are not published"
    return None


def require_inside(path: Path, root: Path) -> None:
    """Reject a link that leads out of the site's folder `root`, to a hidden file or nowhere.

    Raises ConfigError. Hidden links that lead nowhere pass, since editors create them as locks.
    """
    fault = inside_fault(path, root)
    if fault is None and path.is_symlink() and not path.exists():
        fault = "is a link that leads nowhere; repair or remove it"
    if fault is not None and not (path.name.startswith(".") and "out of" not in fault):
        raise ConfigError(f"{shown(path)}: {fault}")


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ConfigError(f"{shown(path)}: is a folder; name the file inside it")
    if not path.exists():
        raise ConfigError(f"{shown(path)}: there is no such file")
    if not path.is_file():
        raise ConfigError(f"{shown(path)}: is not a regular file")
    if path.stat().st_size > _LARGEST:
        raise ConfigError(f"{shown(path)}: is larger than {_LARGEST // 1_000_000} MB")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{shown(path)}: cannot be read: {error.strerror}") from error


KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'", re.DOTALL
)
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = re.compile(rf"[ \t]*{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_PLAIN = re.compile(r"[^,\]}#\n]*")


PLAIN = {
    **dict.fromkeys("“”„‟″＂", '"'),
    **dict.fromkeys("‘’‚‛′＇", "'"),
    **{chr(ord(each) + 0xFEE0): each for each in "()[]{}=,:.%#"},
    "、": ",",
    "\u00a0": "a blank",
}
"""Characters that editors and keyboards substitute for plain ones."""

_HINTS = {
    "illegal character '\\n'": "; a quote is missing at the end of the line",
    "unterminated string": "; a quote is missing at the end of the line",
    "cannot overwrite a value": "; the key is already in this table",
    "invalid value": "; put text in quotes, but not numbers, true or false",
}


_MOST_KEYS = 10_000  # more than any author writes
_DIGITS = re.compile(r"(?<![\d_])[\d_]{4300,}")  # more than Python parses
_DEEP_KEY = re.compile(r"""^[ \t[]*(?:[\w"'-]+[ \t]*\.[ \t]*){40}""", re.MULTILINE)


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """Parse a TOML document named `file`. Raises ConfigError with the problem and its line."""
    if text.count("=") > _MOST_KEYS:
        raise ConfigError(f"{file}: has more than {_MOST_KEYS:,} keys; remove most of them")
    if (deep := _DEEP_KEY.search(text)) is not None:
        at = text.count("\n", 0, deep.start()) + 1
        raise ConfigError(f"{file}:{at}: is nested too deeply")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{file}: is nested too deeply") from error
    except ValueError as error:
        if "int_max_str_digits" in str(error) and (digits := _DIGITS.search(text)) is not None:
            at = text.count("\n", 0, digits.start()) + 1
            raise ConfigError(f"{file}:{at}: a number has too many digits") from error
        what, _, place = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        last = text.rstrip().count("\n") + 1
        where = f":{line[1] if line else last}" if place else ""
        words = f"{what[:1].lower()}{what[1:200]}"
        hint = _HINTS.get(words, "")
        bare = re.sub(r'"[^"]*"', "", text.split("\n")[int(line[1]) - 1]) if line else ""
        if odd := next((each for each in bare if each in PLAIN), None):
            hint = f"; {odd} is another character than {PLAIN[odd]}, type the plain one"
        raise ConfigError(f"{file}{where}: is not TOML: {words}{hint}") from error


def toml_lines(text: str) -> dict[KeyPath, int]:
    """Map the path of each key of a valid TOML document to its line, counted from 1."""
    return _LineScan(text).lines


class _LineScan:
    """One pass over a TOML document that `tomllib` accepted, recording the lines of keys."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.breaks = [found.start() for found in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}
        self.tables: dict[KeyPath, int] = {}  # arrays of tables: tables so far
        table: KeyPath = ()
        while self._skip():
            if text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _match(self, *patterns: re.Pattern[str]) -> str:
        """Consume the match of the first pattern that matches here, and return it."""
        found = next(filter(None, (each.match(self.text, self.at) for each in patterns)))
        self.at = found.end()
        return found[0]

    def _skip(self) -> bool:
        """Skip spaces and comments; return False at the end."""
        self._match(_SPACE)
        return self.at < len(self.text)

    def _note(self, path: KeyPath, at: int) -> None:
        """Record the line of a key, and of the tables that it creates."""
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], bisect_left(self.breaks, at) + 1)

    def _header(self) -> KeyPath:
        start, many = self.at, self.text.startswith("[[", self.at)
        self.at += 1 + many
        *outer, last = self._key()
        path: KeyPath = ()
        for part in outer:  # in an array of tables the newest table is meant
            path = (*path, part)
            path = (*path, self.tables[path] - 1) if path in self.tables else path
        path = (*path, last)
        self.at = self.text.index("]", self.at) + 1 + many
        if many:
            self.tables[path] = self.tables.get(path, 0) + 1
            path = (*path, self.tables[path] - 1)
        self._note(path, start)
        return path

    def _key(self) -> KeyPath:
        text, path = self._match(_KEY), KeyPath()
        if '"' not in text and "'" not in text:
            return tuple(part.strip() for part in text.split("."))
        inner: Any = tomllib.loads(f"{text} = 0")
        while isinstance(inner, dict):
            ((name, inner),) = inner.items()
            path = (*path, name)
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        path = (*table, *self._key())
        self._note(path, start)
        self.at = self.text.index("=", self.at) + 1
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip()
        self._note(path, self.at)
        mark = self.text[self.at]
        if mark not in "[{":
            self._match(_STRING, _PLAIN)
            return
        self.at += 1
        index = 0
        while self._skip() and self.text[self.at] not in "]}":
            if self.text[self.at] == ",":
                self.at += 1
            elif mark == "{":
                self._pair(path)
            else:
                self._value((*path, index))
                index += 1
        self.at += 1
