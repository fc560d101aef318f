"""What is in the store stays there, whatever goes wrong while it is read."""

import errno
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder.cache import Store
from sitegen.builder.prune import clean_unused
from sitegen.core.errors import PlatformError
from sitegen.core.files import read_file
from tests.support.builders import Builder, traces

PASSING = (errno.EMFILE, errno.EIO, errno.EACCES)


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


def test_what_could_not_be_read_keeps_its_files(
    built: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes room learns nothing of a record that cannot be read, and removes nothing."""
    store = Store(built.root / ".sitegen")
    (key,) = (key for key in store.keys("") if not key.startswith("drawn-"))
    record = store.get(key)
    assert record is not None
    sources = {name: store.object(file) for name, file in record.files.items()}
    store.put(OTHER, record, sources)
    parts = [built.root / ".sitegen" / name for name in ("objects", "records", "asked")]
    before, read = [traces(part) for part in parts], read_file

    def failing(path: Path) -> bytes:
        if path.name == f"{key}.json" and path.parent.name == "records":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr("sitegen.builder.cache.read_file", failing)
        with pytest.raises(PlatformError, match=rf"cannot read .*{key}"):
            clean_unused(built.config)
        assert [traces(part) for part in parts] == before
    assert store.prune([key], ["tiny"])[0] > 0
    assert store.get(key) == record


def make_socket(path: Path) -> None:
    """A socket that nobody hears, whatever the length of its name."""
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": make_socket,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "link in a circle": lambda path: path.symlink_to(path.name),
}


OTHER = "0f" * 32

PARTS = ("asked/*", "built/*", "objects/*/*", "records/*", "weights/*")


@contextmanager
def soon(seconds: int) -> Iterator[None]:
    """What the block waits for comes within so many seconds, or it fails."""

    def fail(*_: object) -> None:
        raise AssertionError(f"it waits for more than {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("part", PARTS)
def test_no_pipe_in_the_store_keeps_a_build_waiting(built: Builder, part: str, kind: str) -> None:
    """A pipe, a socket, a device or a circle in the store is a miss or named; the site stays."""
    before = built.site_hash()
    path = min((built.root / ".sitegen").glob(part))
    path.unlink()
    ODD[kind](path)
    told = path.name
    with soon(60):
        try:
            built()
        except PlatformError as error:
            told = str(error)
    assert path.name in told
    assert built.site_hash() == before
