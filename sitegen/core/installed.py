"""What is installed: packages that a machine may lack, and the files that travel with sitegen."""

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


Resource = Literal["client", "models", "presets", "scaffold", "static", "templates"]

_PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE = {"client": "server/client", "presets": "ihdm/card/presets"}


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
