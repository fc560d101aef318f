"""Folders of new models, which appear at once with all of their files."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sitegen.core.errors import ConfigError
from sitegen.core.files import platform_errors, temporary_folder
from sitegen.core.source import shown
from sitegen.generative.card.card import CARD_NAME

Written = TypeVar("Written")


def write_model_folder(
    folder: Path, write: Callable[[Path], Written]
) -> tuple[tuple[Path, ...], Written]:
    """Move the files made by `write` into `folder`; return their paths, the card's last.

    What `write` returns is returned, too. It is called with a temporary folder that does not exist.
    Raises ConfigError if other files of these names exist, PlatformError if the disk fails.
    """
    with temporary_folder(folder.parent) as aside:
        stage = aside / folder.name
        written = write(stage)
        # the card last: the other files are not a model without it
        parts = sorted(stage.iterdir(), key=lambda path: (path.name == CARD_NAME, path.name))
        for path in parts:
            target = folder / path.name
            if target.exists() and (target.is_dir() or target.read_bytes() != path.read_bytes()):
                raise ConfigError(
                    f"{shown(target)}: is there already, and is not what would be written; choose "
                    "another name for the model, or remove the file first"
                )
        with platform_errors(folder):
            if not folder.exists():
                stage.rename(folder)
            else:
                for path in parts:
                    path.replace(folder / path.name)
    return tuple(folder / path.name for path in parts), written
