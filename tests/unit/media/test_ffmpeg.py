"""The encoder's version, and what is said if there is none."""

from importlib import metadata

import pytest

from sitegen.core.errors import PlatformError
from sitegen.media.ffmpeg import encoder_version, version_of


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's executable has its version in its name; a missing wheel is an error."""
    version_of.cache_clear()
    assert encoder_version().startswith("ffmpeg-")

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    version_of.cache_clear()
    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(PlatformError, match=r"no ffmpeg starts.*`pip install.*memory"):
        encoder_version()
    version_of.cache_clear()
