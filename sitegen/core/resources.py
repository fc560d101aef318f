"""Where the files that travel with sitegen lie: `models`, `scaffold`, `static`, `templates`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sitegen.core.errors import PlatformError

_PACKAGE = Path(__file__).resolve().parents[1]


def resource(
    name: Literal["models", "scaffold", "static", "templates"], package: Path = _PACKAGE
) -> Path:
    """Find a folder of shipped files, in a checkout and in an installed package alike.

    `package` is the folder of the package itself. An installed package holds them in `_data`; in a
    checkout they lie beside the package. Raises PlatformError when the installation is incomplete.
    """
    for folder in (package / "_data" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise PlatformError(
        f"the folder {name} that belongs to sitegen is missing beside {package}; install it again"
    )
