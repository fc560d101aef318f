"""Sources written by the author: text files, forbidden characters, and the lines of TOML keys."""

import os
import re
import sys
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from traceback import extract_tb
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
_OURS = Path(__file__).parents[1]
_TEMPLATE = "<template>"
"""File of the template of a page, in tracebacks."""


def shown(path: Path) -> str:
    """Return a path for messages: relative to the working folder if it is inside it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def raised_at(error: BaseException) -> str:
    """Return " (file:line)" of the author's code, or else of the package, that raised an exception.

    Returns "" if all of the code is sitegen's.
    """
    frames = [
        (name, frame.lineno)
        for frame in extract_tb(error.__traceback__)
        if (name := frame.filename) == _TEMPLATE
        or not (name.startswith("<") or Path(name).is_relative_to(_OURS))
    ]
    own = [each for each in frames if not _is_installed(Path(each[0]))]
    if not frames:
        return ""
    name, line = own[-1] if own else frames[0]  # a package's own line, not that of what it calls
    return f" (line {line})" if name == _TEMPLATE else f" ({shown(Path(name))}:{line})"


def _is_installed(path: Path) -> bool:
    """Return whether a file is of Python or of a package."""
    known = Path(sys.prefix), Path(sys.base_prefix)
    return bool({"site-packages", "dist-packages"} & {*path.parts}) or any(
        path.is_relative_to(folder) for folder in known
    )


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
_MOST_ROWS = 1000  # of a value; the lines of keys after a longer one are not known
_CLOSING = ("]", "}", '"""', "'''")  # of statements of several lines
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
    """Map the path of each key of a valid TOML document to its line, counted from 1.

    Keys inside a value have the line where that value begins.
    """
    lines: dict[KeyPath, int] = {}
    tables = Counter[KeyPath]()  # of arrays of tables: tables so far
    table: KeyPath = ()
    rows: list[str] = []  # of a statement that has not ended
    for number, row in enumerate(text.split("\n"), 1):
        if len(rows) > _MOST_ROWS:
            break
        rows.append(row)
        if len(rows) > 1 and not any(end in row for end in _CLOSING):
            continue  # parsing after each row of a long list would take seconds
        try:
            found = tomllib.loads("\n".join(rows))
        except tomllib.TOMLDecodeError:
            continue
        line, rows = number + 1 - len(rows), []
        if row.lstrip().startswith("[") and line == number:
            table = _header(found, tables)
            found = {}
        for path in ((*table, *path) for path in [(), *_paths(found)]):
            for end in range(1, len(path) + 1):
                lines.setdefault(path[:end], line)
    return lines


def _header(found: Any, tables: Counter[KeyPath]) -> KeyPath:
    """Return the path of a table by its header alone; in an array, that of the newest table."""
    path: KeyPath = ()
    while found:
        ((name, found),) = found.items()
        path = (*path, name)
        if isinstance(found, list):
            tables[path] += 1
            found = {}
        if tables[path]:
            path = (*path, tables[path] - 1)
    return path


def _paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))
