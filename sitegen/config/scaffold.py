"""A new site: a few small files that build at once, with what else there is shown in comments."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from sitegen.config.requirements import own_requirement, render_requirements
from sitegen.core.errors import ConfigError
from sitegen.core.files import platform_errors
from sitegen.core.resources import resource

WORKFLOW = ".github/workflows/pages.yml"
IGNORED = ".gitignore"


def new_site(folder: Path, sections: Iterable[str]) -> tuple[str, ...]:
    """Write a new site into `folder`, which is made if need be; the paths written, sorted.

    `sections` are what its page says of each kind of figure.

    Never touches a file that is there: raises ConfigError, naming all of them, and writes nothing.
    Only a `.gitignore`, which GitHub puts into a new repository, may be there: it stays as it is.
    Raises PlatformError where the disk refuses; what was written before goes again.
    """
    files = dict(scaffold(sections))
    _refuse_overwriting(folder, files)
    if (folder / IGNORED).exists():
        del files[IGNORED]
    with contextlib.ExitStack() as undo:
        for name, text in files.items():
            with platform_errors(folder / name):
                _make_folders(folder, (folder / name).parent, undo)
                _write_new(folder / name, text, undo)
        undo.pop_all()
    return tuple(sorted(files))


def scaffold(sections: Iterable[str] = ()) -> Mapping[str, str]:
    """The files of a new site: paths in its folder to their texts."""
    source = resource("scaffold")
    templates = {
        "site.toml": "site.toml",
        IGNORED: "gitignore",
        WORKFLOW: "pages.yml",
    }
    files = {name: (source / file).read_text("utf-8") for name, file in templates.items()}
    files[WORKFLOW] = files[WORKFLOW].replace("@SITEGEN@", own_requirement() or "")
    start, end = ((source / name).read_text("utf-8") for name in ("index.md", "own.md"))
    files["pages/index.md"] = "\n".join([start, *sections, end])
    files["requirements-render.txt"] = render_requirements()
    return files


def ignored() -> tuple[str, ...]:
    """The rules of a new site's `.gitignore`, without its comments."""
    lines = scaffold()[IGNORED].splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def _refuse_overwriting(folder: Path, files: Mapping[str, str]) -> None:
    with platform_errors(folder, "read"):
        if os.path.lexists(folder) and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file; name a folder, new or not")
        there = [name for name in sorted(files) if os.path.lexists(folder / name)]
        alone = there == [IGNORED] and (folder / IGNORED).is_file()
    if there and not alone:
        lines = [f"{folder / name}: is there already" for name in there]
        raise ConfigError("\n".join([*lines, "nothing was written; choose another folder"]))


def _make_folders(root: Path, folder: Path, undo: contextlib.ExitStack) -> None:
    """Make `folder` and what it lies in; those that are new go again if it comes to that."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(new):
        path.mkdir()
        undo.callback(_remove_folder, path)


def _remove_folder(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()


def _write_new(path: Path, text: str, undo: contextlib.ExitStack) -> None:
    with path.open("x", encoding="utf-8") as file:
        undo.callback(path.unlink, missing_ok=True)
        file.write(text)
