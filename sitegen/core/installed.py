"""Installed packages, errors of missing ones, and the files that sitegen ships with."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from sitegen.core.errors import PlatformError

_PACKAGES = {
    "PIL": "pillow",
    "ghp_import": "ghp-import",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "markdown_it": "markdown-it-py",
    "mdit_py_plugins": "mdit-py-plugins",
}
"""Names of packages on PyPI that differ from the name of their module."""

_PREVIEW = ("starlette", "uvicorn", "watchfiles")
"""Packages that only `serve` needs; a machine that only renders has none of them."""


def import_fault(error: BaseException) -> str | None:
    """Return the message for a package that is missing or broken; None for other errors."""
    if not isinstance(error, ImportError):
        return None
    if not isinstance(error, ModuleNotFoundError):
        reason = str(error).strip().rpartition("\n")[2]
        return f"a package cannot be loaded: {reason}; check the disk, or install it again"
    module = (error.name or "").partition(".")[0]
    if module in {"", "sitegen"}:
        return None
    name = _PACKAGES.get(module, module)
    packages = _PREVIEW if module in _PREVIEW else (name,)
    return f"{name} is not installed here, and this needs it: `pip install {' '.join(packages)}`"


_FULL = re.compile(
    r"not enough memory|can(no|')t allocate memory|out of memory|bad_?\s?alloc"
    r"|failed to allocate memory|could not create a (primitive|memory)|failed to map segment"
    r"|can't start new thread|ALLOC_FAILED|error return without exception set",
    re.IGNORECASE,
)
"""Messages of torch, its libraries, the loader and Python when memory is exhausted."""
_ASKED = re.compile(r"(?:allocate|buffer of size:?) ([\d.]+)( [KMGT]i?B)?", re.IGNORECASE)


def memory_full(error: BaseException) -> str | None:
    """Return the message for exhausted memory, with the size requested; None for other errors."""
    spoken = isinstance(error, RuntimeError | ImportError | OSError | SystemError)
    if not isinstance(error, MemoryError) and not (spoken and _FULL.search(str(error))):
        return None
    asked = _ASKED.search(str(error))
    return (
        f"out of memory ({asked[1]}{asked[2] or ' bytes'} requested)" if asked else "out of memory"
    )


DISTRIBUTION = "sitegen-diffusion"
"""Name of the package on PyPI; the command and the import are `sitegen`."""

Resource = Literal["client", "models", "presets", "scaffold", "static", "templates"]

_PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE = {"client": "server/client", "presets": "generative/card/presets"}


def resource(name: Resource, package: Path = _PACKAGE) -> Path:
    """Return a folder of shipped files.

    The client of the preview and the presets are inside the package, in the folder `package`. The
    others are next to the package in a checkout, and in its `_data` in an installation. Raises
    PlatformError if the installation is incomplete.
    """
    for folder in (package / _INSIDE.get(name, f"_data/{name}"), package.parent / name):
        if folder.is_dir():
            return folder
    raise PlatformError(f"sitegen's folder {name} is missing next to {package}; reinstall sitegen")


def shipped_models() -> Mapping[str, Path]:
    """Return the folders of the models that sitegen ships with, by name."""
    cards = sorted(resource("models").glob("*/model.toml"))
    return {card.parent.name: card.parent for card in cards}
