"""Where the files that travel with sitegen lie, in a checkout and in an installed package alike."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sitegen.core.errors import PlatformError

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
