"""Sources written by the author: text files, forbidden characters, and the lines of TOML keys."""

import os
import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from sitegen.core.errors import ConfigError

_ODD = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]"
# Compiled here, since there may be no memory for it when `plain` has to print that.
_UNSAFE = re.compile(f"{_ODD}|\r")
_PACKAGE = Path(__file__).parents[1]
_TEMPLATE = "<template>"
"""File of the template of a page, in tracebacks."""


def shown(path: Path) -> str:
    """Return a path for messages: relative to the working folder if it is inside it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (FileNotFoundError, ValueError):  # the working folder was deleted
        return str(path)


def raised_at(error: BaseException) -> str:
    """Return " (file:line)" of the author's code, or else of the package, that raised an exception.

    Returns "" if all of the code is sitegen's.
    """
    raised = raising_line(error)
    if raised is None:
        return ""
    name, line = raised
    return f" (line {line})" if name == _TEMPLATE else f" ({shown(Path(name))}:{line})"


def raising_line(error: BaseException) -> tuple[str, int | None] | None:
    """Return the file and line of the code of others that raised an exception; None if none did."""
    from traceback import extract_tb

    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno

    frames = [
        (name, frame.lineno)
        for frame in extract_tb(error.__traceback__)
        if (name := frame.filename) == _TEMPLATE
        or not (name.startswith("<") or Path(name).is_relative_to(_PACKAGE))
    ]
    if not frames:
        return None
    installed = sys.prefix, sys.base_prefix
    authors = [
        (name, line)
        for name, line in frames
        if not any(Path(name).is_relative_to(folder) for folder in installed)
    ]
    return authors[-1] if authors else frames[0]  # not the line of what a package calls


def odd_character(text: str) -> tuple[int, str] | None:
    """Find the first character that pages may not contain: its index and its name (`U+0000`).

    Forbidden are control characters, lone surrogates, and the marks that reverse the direction of
    the text around them.
    """
    match = re.search(_ODD, text)
    return None if match is None else (match.start(), f"U+{ord(match[0]):04X}")


def plain(text: str) -> str:
    """Return text that is safe for a terminal: control and hidden characters are escaped."""
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)


def page_sources(folder: Path) -> list[Path]:
    """Return the Markdown files of a folder, without hidden ones such as editors' backups."""
    return sorted(folder.glob("[!.]*.md"))


def page_name(source: Path) -> str:
    """Return the name of a page: its file's stem, normalized to NFC."""
    # A file system may return an accented name decomposed, as HFS+ of macOS does.
    return unicodedata.normalize("NFC", source.stem)


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file without a byte order mark.

    Raises ConfigError with the problem and its line.
    """
    if path.is_dir():
        raise ConfigError(f"{shown(path)}: is a folder; name the file inside it")
    if not path.is_file():
        raise ConfigError(f"{shown(path)}: there is no such file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{shown(path)}: cannot be read: {error.strerror}") from error
    try:
        # utf-8-sig: editors on Windows may put a byte order mark in front.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown(path)}:{line}: is not UTF-8 text; save it as UTF-8") from error
    if (odd := odd_character(text)) is not None:
        line = text.count("\n", 0, odd[0]) + 1
        raise ConfigError(f"{shown(path)}:{line}: holds the character {odd[1]}; remove it")
    return text.replace("\r\n", "\n")


def inside_fault(path: Path, root: Path) -> str | None:
    """Return why a file must not be published: it is outside of `root` or hidden; or None."""
    target, folder = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if not target.is_relative_to(folder):
        return "is a link out of the site's folder; put the file itself there"
    if any(part.startswith(".") for part in target.relative_to(folder).parts):
        return "is hidden, and hidden files are not published"
    return None


KeyPath = tuple[str | int, ...]

_MOST_ROWS = 1000  # of a value; the lines of keys after a longer one are not known
_CLOSING = ("]", "}", '"""', "'''")  # of statements of several lines


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """Parse a TOML document named `file`. Raises ConfigError with the problem and its line."""
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{file}: is nested too deeply") from error
    except ValueError as error:
        line = re.search(r"line (\d+)", str(error))
        last = text.rstrip().count("\n") + 1
        number = line[1] if line else last if "end of document" in str(error) else None
        location = file if number is None else f"{file}:{number}"
        raise ConfigError(f"{location}: is not TOML: {str(error)[:200]}") from error


def toml_lines(text: str) -> dict[KeyPath, int]:
    """Map the path of each key of a valid TOML document to its line, counted from 1.

    Keys inside a value have the line where that value begins.
    """
    import tomllib

    # tomllib gives no positions, so each statement is parsed once more on its own.
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
            table_of_rows = tomllib.loads("\n".join(rows))
        except tomllib.TOMLDecodeError:
            continue
        line, rows = number + 1 - len(rows), []
        if row.lstrip().startswith("[") and line == number:
            table = _header(table_of_rows, tables)
            table_of_rows = {}
        pending: list[tuple[KeyPath, Any]] = [(table, table_of_rows)]
        while pending:
            path, value = pending.pop()
            for end in range(1, len(path) + 1):
                lines.setdefault(path[:end], line)
            if isinstance(value, dict):
                pending += [((*path, key), inner) for key, inner in value.items()]
            elif isinstance(value, list):
                pending += [((*path, index), inner) for index, inner in enumerate(value)]
    return lines


def _header(document: Any, tables: Counter[KeyPath]) -> KeyPath:
    """Return the path of a table by its header alone; in an array, that of the newest table."""
    path: KeyPath = ()
    while document:
        ((name, document),) = document.items()
        path = (*path, name)
        if isinstance(document, list):
            tables[path] += 1
            document = {}
        if tables[path]:
            path = (*path, tables[path] - 1)
    return path


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts "class 10" after "class 9"."""
    parts = re.split("([0-9]+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
