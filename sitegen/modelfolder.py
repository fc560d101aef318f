"""A model's folder in a site: made aside, and put in place at once or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sitegen.errors import ConfigError
from sitegen.files import flush_folder, platform_errors, sweep, temporary_folder, write_atomic
from sitegen.ihdm.card import CARD_NAME, ModelCard
from sitegen.source import shown

Parts = Callable[[Path], ModelCard]
"""Writes what belongs to a card into a folder, and returns the card that names it."""


@contextlib.contextmanager
def model_folder(
    folder: Path, parts: Parts, wanted: Callable[[], bool]
) -> Iterator[tuple[Path, ...]]:
    """Card and parts of a model in `folder` for the block; their paths, the card's last.

    They stay if the block ends well, or if they are `wanted` all the same; otherwise there is what
    was there before. Raises ConfigError if other files of these names are there, PlatformError if
    the disk fails.
    """
    sweep(folder.parent)
    made = [path for path in (folder, folder.parent) if not path.exists()]
    try:
        with temporary_folder(folder.parent) as aside:
            stage = aside / folder.name
            write_atomic(stage / CARD_NAME, parts(stage).to_toml().encode())
            files = [folder / path.name for path in _sorted(stage)]
            made = [*_missing(stage, folder), *made]
            _move(stage, folder)
        yield tuple(files)
    except BaseException:
        if not wanted():
            _remove(made)
        raise


def _sorted(stage: Path) -> list[Path]:
    """The files of a model, its card last."""
    return sorted(stage.iterdir(), key=lambda path: (path.name == CARD_NAME, path.name))


def _missing(stage: Path, folder: Path) -> list[Path]:
    """The files that will be new in `folder`; ConfigError if another one is in the way."""
    new = []
    for path in _sorted(stage):
        target = folder / path.name
        if not target.exists():
            new.append(target)
        elif target.is_dir() or target.read_bytes() != path.read_bytes():
            raise ConfigError(
                f"{shown(target)}: is there already, and is not what would be written; choose "
                "another name for the model, or remove the file first"
            )
    return new


def _move(stage: Path, folder: Path) -> None:
    with platform_errors(folder):
        if not folder.exists():
            stage.rename(folder)
        else:
            for path in _sorted(stage):
                path.replace(folder / path.name)
            flush_folder(folder)
        flush_folder(folder.parent)


def _remove(paths: list[Path]) -> None:
    """Remove files, and folders that are empty then."""
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
