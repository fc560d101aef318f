"""What is in the store stays there, whatever goes wrong while it is read."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitegen.core.errors import PlatformError
from sitegen.core.files import host_mark
from tests.support.builders import Builder, traces

PASSING = (errno.EMFILE, errno.EIO, errno.EACCES)


@pytest.mark.fault(5)
@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("part", ["records", "objects", "asked", "weights"])
def test_what_could_not_be_read_is_not_damaged(
    built: Builder, monkeypatch: pytest.MonkeyPatch, part: str, code: int
) -> None:
    """A passing error while the store is read is exit 4, and every entry stays where it is."""

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, *rest: Any, **named: Any) -> Any:
            if f"/.sitegen/{part}/" in str(path):
                raise OSError(code, os.strerror(code), str(path))
            return function(path, *rest, **named)

        return call

    store = built.root / ".sitegen"
    built(offline=True)
    shutil.rmtree(built.output)
    (built.root / "models/tiny/weights.safetensors").unlink()
    before = traces(store)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing(Path.open))
        with pytest.raises(PlatformError, match="cannot read "):
            built(offline=True)
    assert traces(store) == before
    assert built(offline=True).changed


@pytest.mark.fault(1)
def test_what_a_kill_left_is_removed_by_the_next_build(built: Builder) -> None:
    """Temporary files of dead processes go, wherever in the site a kill left them."""
    left = [
        folder / f".sitegen-tmp-{host_mark()}-4194999-1-abc"
        for name in ("", "asked", "weights", "records", "built", "work")
        for folder in [built.root / ".sitegen" / name]
    ]
    left.append(built.root / left[0].name)
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    built()
    assert [path for path in left if path.exists()] == []
