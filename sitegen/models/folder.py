"""Folders of new models, which appear at once with all of their files."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sitegen.core.errors import ConfigError
from sitegen.core.files import platform_errors, temporary_folder
from sitegen.core.source import shown
from sitegen.generative.card.card import CARD_NAME

Written = TypeVar("Written")


@contextlib.contextmanager
def model_folder(
    folder: Path, write: Callable[[Path], Written], keep: Callable[[], bool] = lambda: False
) -> Iterator[tuple[tuple[Path, ...], Written]]:
    """Move the files made by `write` into `folder`; yield their paths, the card's last.

    What `write` returns is yielded, too. It is called with a temporary folder that does not exist.
    The files stay if the block succeeds or if they are `wanted` even on failure. In any other case
    the previous content is restored. Raises ConfigError if other files of these names exist,
    PlatformError if the disk fails.
    """
    new_paths = [path for path in (folder, folder.parent) if not path.exists()]

    def undo_all() -> None:
        for path in () if keep() else new_paths:
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)

    with contextlib.ExitStack() as undo:
        undo.callback(undo_all)
        with temporary_folder(folder.parent) as aside:
            stage = aside / folder.name
            written = write(stage)
            # the card last: the other files are not a model without it
            parts = sorted(stage.iterdir(), key=lambda path: (path.name == CARD_NAME, path.name))
            files = {path: folder / path.name for path in parts}
            new_paths[:0] = [new for path, new in files.items() if not _is_there(path, new)]
            with platform_errors(folder):
                if not folder.exists():
                    stage.rename(folder)
                else:
                    for path, new in files.items():
                        path.replace(new)
        yield tuple(files.values()), written
        undo.pop_all()


def _is_there(path: Path, target: Path) -> bool:
    """Return whether `target` exists with the content of `path`.

    Raises ConfigError if it has other content.
    """
    if not target.exists():
        return False
    if target.is_dir() or target.read_bytes() != path.read_bytes():
        raise ConfigError(
            f"{shown(target)}: is there already, and is not what would be written; choose "
            "another name for the model, or remove the file first"
        )
    return True
