"""What is installed: packages that a machine may lack, and the files that travel with sitegen."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
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
"""What a module's package is called, where it has another name."""

_PREVIEW = ("starlette", "uvicorn", "watchfiles")
"""What only `serve` needs, and a machine that only renders lacks together."""


def not_installed(error: BaseException) -> str | None:
    """The words for a package that is missing; None for other errors, and for a module of ours."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    module = (error.name or "").partition(".")[0]
    if module in {"", "sitegen"}:
        return None
    lacking = [name for name in _PREVIEW if name == module or not _is_there(name)]
    names = [_PACKAGES.get(name, name) for name in (lacking if module in _PREVIEW else [module])]
    verb, them = ("is", "it") if len(names) == 1 else ("are", "them")
    install = f"`pip install {' '.join(names)}`"
    return f"{', '.join(names)} {verb} not installed here, and this needs {them}: {install}"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


_FULL = re.compile(
    r"not enough memory|can(no|')t allocate memory|out of memory|bad_?\s?alloc"
    r"|failed to allocate memory|could not create a (primitive|memory)|failed to map segment"
    r"|can't start new thread|ALLOC_FAILED|error return without exception set",
    re.IGNORECASE,
)
"""What torch, its libraries, the loader and Python say where memory is full."""
_ASKED = re.compile(r"(?:allocate|buffer of size:?) ([\d.]+)( [KMGT]i?B)?", re.IGNORECASE)


def memory_full(error: BaseException) -> str | None:
    """The words for memory that is full, with how much was asked for; None for other errors."""
    spoken = isinstance(error, RuntimeError | ImportError | OSError | SystemError)
    if not isinstance(error, MemoryError) and not (spoken and _FULL.search(str(error))):
        return None
    asked = _ASKED.search(str(error))
    return (
        f"out of memory ({asked[1]}{asked[2] or ' bytes'} were wanted)"
        if asked
        else "out of memory"
    )


def not_loaded(error: BaseException) -> str | None:
    """The words for a package that is there and cannot be loaded; None for other errors."""
    if not isinstance(error, ImportError) or isinstance(error, ModuleNotFoundError):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    why = lines[-1] if lines else "it does not say why"
    return f"a package cannot be loaded: {why}; check the disk, or install it again"


DISTRIBUTION = "sitegen-diffusion"
"""Name of the package on PyPI; the command and the import are `sitegen`."""

Resource = Literal["client", "models", "presets", "scaffold", "static", "templates"]

_PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE = {"client": "server/client", "presets": "generative/card/presets"}


def resource(name: Resource, package: Path = _PACKAGE) -> Path:
    """Find a folder of shipped files.

    The client of the preview and the presets lie in the package, whose folder is `package`. The
    others lie beside it in a checkout, and in its `_data` where it is installed. Raises
    PlatformError when the installation is incomplete.
    """
    for folder in (package / _INSIDE.get(name, f"_data/{name}"), package.parent / name):
        if folder.is_dir():
            return folder
    raise PlatformError(
        f"the folder {name} that belongs to sitegen is missing beside {package}; install it again"
    )


def shipped_models() -> Mapping[str, Path]:
    """The folders of the models that travel with sitegen, by name."""
    cards = sorted(resource("models").glob("*/model.toml"))
    return {card.parent.name: card.parent for card in cards}
