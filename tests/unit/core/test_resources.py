"""The shipped folders are found in a checkout and in an installed package alike."""

from pathlib import Path
from typing import get_args

import pytest

from sitegen.core.errors import PlatformError
from sitegen.core.installed import Resource, resource
from tests.support.paths import ROOT


def test_installed(tmp_path: Path) -> None:
    """Folders lie in `_data` of a package or in the checkout, and one must be there."""
    package = tmp_path / "site-packages" / "sitegen"
    (package / "_data" / "models").mkdir(parents=True)
    (tmp_path / "site-packages" / "models").mkdir()
    assert resource("models", package) == package / "_data" / "models"
    with pytest.raises(PlatformError, match=r"folder models .* reinstall sitegen"):
        resource("models", tmp_path / "sitegen")
    for name in get_args(Resource):
        inside = {"client": "sitegen/server/client", "presets": "sitegen/generative/card/presets"}
        assert resource(name) == ROOT / inside.get(name, name)
        assert any(resource(name).iterdir())
