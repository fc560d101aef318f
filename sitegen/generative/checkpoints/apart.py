"""A stranger's `.pth` is read in a process of its own, which may take so much memory and time.

The process (this file, run as a program) opens the zip, reads its pickle, verifies and unpacks its
entries. What it found comes back as JSON and plain numbers, in frames on its output: an index and
a length, then the bytes. So whatever a file does to its reader, the one who asked goes on. Every
`.pth` is read so, that of a pinned digest as well: who pins it in a card may be the stranger, too.
"""

import contextlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import IO, Any

from sitegen.core.errors import PlatformError, RefusedError
from sitegen.generative.checkpoints.limits import (
    BYTES_A_SECOND,
    MB,
    MEMORY_BYTES,
    MEMORY_TIMES,
    SECONDS,
)
from sitegen.generative.checkpoints.pickles import Storage, StoredTensor
from sitegen.generative.checkpoints.zips import Archive, Published, open_archive

_FRAME = struct.Struct("<qQ")
_TOLD = -1
"""The index of a frame that is no tensor's, but JSON."""
_PACKAGES = Path(__file__).parents[3]

Numbers = dict[Any, bytearray]
Frames = Iterator[tuple[int, bytearray]]


def contents(path: Path) -> Published:
    """The names, shapes and notes of a `.pth`.

    Raises RefusedError for a file that is unsafe, none, or too costly to read; PlatformError where
    it cannot be read now.
    """
    return _contents(path, _told(path, _ask(path, ()), {})["contents"])


def scan(path: Path, wanted: Numbers) -> tuple[Published, int, str, frozenset[StoredTensor]]:
    """Read a `.pth` whole: its contents, size and digest, and the tensors that are not finite.

    Fills in the numbers that are wanted. Raises as `contents` does.
    """
    told = _told(path, _ask(path, list(wanted), whole=True), wanted)
    found = _contents(path, told["contents"])
    broken = frozenset(found.tensors[index] for index in told["broken"])
    return found, told["bytes"], told["sha256"], broken


def numbers(path: Path, wanted: Numbers) -> None:
    """Fill in the numbers of a `.pth` that are wanted and not there. Raises as `contents` does."""
    lacking = {tensor: data for tensor, data in wanted.items() if not data}
    _told(path, _ask(path, list(lacking)), lacking)
    wanted |= lacking


def _told(path: Path, frames: Frames, wanted: Numbers) -> dict[str, Any]:
    """Keep the numbers that come, and give what is told in the end."""
    tensors, told = list(wanted), None
    for index, data in frames:
        if index == _TOLD:
            told = json.loads(data)
        else:
            wanted[tensors[index]] = data
    if not isinstance(told, dict):
        raise PlatformError(f"{path}: the process that reads it said nothing; run sitegen again")
    if "refused" in told:
        raise RefusedError(told["refused"])
    if "full" in told:
        raise PlatformError(f"{path}: cannot be read: {told['full']}")
    return told


def _contents(path: Path, told: Mapping[str, Any]) -> Published:
    """The contents that were written by `_plain`."""
    averages, sigmas = told["averages"], told["sigmas"]
    return Published(
        **{key: told[key] for key in ("layout", "step", "decay", "updates")},
        weights={name: _tensor(each) for name, each in told["weights"]},
        averages=None if averages is None else tuple(map(_tensor, averages)),
        sigmas=None if sigmas is None else tuple(sigmas),
    ).checked(path)


def _plain(found: Published) -> dict[str, Any]:
    """Contents as JSON can have them."""
    averages = None if found.averages is None else list(map(asdict, found.averages))
    weights = [(name, asdict(tensor)) for name, tensor in found.weights.items()]
    return {**vars(found), "weights": weights, "averages": averages}


def _tensor(told: Mapping[str, Any]) -> StoredTensor:
    strides = None if told["strides"] is None else tuple(told["strides"])
    return StoredTensor(Storage(**told["storage"]), told["offset"], tuple(told["shape"]), strides)


@dataclass(frozen=True)
class Bounds:
    """What reading may take: bytes beside what Python itself holds, and seconds of computing."""

    memory: int
    seconds: int

    @classmethod
    def of(cls, size: int) -> "Bounds":
        """Those of a file of `size` bytes."""
        return cls(MEMORY_BYTES + MEMORY_TIMES * size, SECONDS + size // BYTES_A_SECOND)


def _ask(path: Path, wanted: Sequence[StoredTensor], *, whole: bool = False) -> Frames:
    """The frames that a process answers with that reads `path`."""
    try:
        bounds = Bounds.of(path.stat().st_size)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {error.strerror}") from None
    asked = {"path": str(path), "whole": whole, "wanted": list(map(asdict, wanted))}
    return run(path, json.dumps({**asked, "bounds": asdict(bounds)}).encode(), bounds)


def run(path: Path, request: bytes, bounds: Bounds) -> Frames:
    """The frames that a process of its own answers with; it ends with us, whatever stops us."""
    process = _started(path)
    pipes = process.stdin, process.stdout, process.stderr
    assert pipes[0] is not None
    assert pipes[1] is not None
    assert pipes[2] is not None
    try:
        with contextlib.suppress(BrokenPipeError), pipes[0]:
            pipes[0].write(request)
        yield from frames(pipes[1])
        said = pipes[2].read().decode("utf-8", "replace").strip()
        if code := process.wait():
            raise _ended(path, code, said, bounds)
    finally:
        process.kill()
        process.wait()
        for pipe in filter(None, pipes):
            pipe.close()


def _started(path: Path) -> "subprocess.Popen[bytes]":
    ways = os.pathsep.join([str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": ways, "OPENBLAS_NUM_THREADS": "1"}
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "sitegen.generative.checkpoints.apart"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **own},
            start_new_session=True,  # Ctrl-C is for us, who then end it
        )
    except OSError as error:
        raise PlatformError(
            f"{path}: no process can be started to read it: {error.strerror}; close other programs,"
            " or raise the limit (`ulimit -u`)"
        ) from None


def frames(stream: IO[bytes]) -> Frames:
    """Frames until the stream ends; one that is cut off is none."""
    while len(head := stream.read(_FRAME.size)) == _FRAME.size:
        index, length = _FRAME.unpack(head)
        data = bytearray(length)
        view, filled = memoryview(data), 0
        while filled < length and (count := stream.readinto(view[filled:])):  # type: ignore[attr-defined]
            filled += count
        if filled == length:
            yield index, data


def _ended(path: Path, code: int, said: str, bounds: Bounds) -> PlatformError | RefusedError:
    """What it means that the process ended with that code."""
    if code == -signal.SIGXCPU:
        return RefusedError(
            f"{path}: refused: reading it takes more than {bounds.seconds} s of computing, which "
            "no checkpoint of its size needs"
        )
    if code < 0:
        name = signal.Signals(-code).name
        return PlatformError(
            f"{path}: the process that read it was killed ({name}), perhaps because memory is "
            "full; close other programs and run sitegen again"
        )
    last = said.splitlines()[-1][:300] if said else f"exit code {code}"
    return PlatformError(f"{path}: the process that read it failed: {last}")


def answer(request: bytes, write: Callable[[bytes | memoryview], object]) -> None:
    """Read what is asked for, and write it in frames; the bounds are kept by who runs this."""
    asked = json.loads(request)
    path = Path(asked["path"])
    try:
        told = _read(path, asked, write)
    except RefusedError as error:
        told = {"refused": str(error)}
    _write(write, _TOLD, json.dumps(told).encode())


def _read(path: Path, asked: Mapping[str, Any], write: Callable[..., object]) -> dict[str, Any]:
    places = {_tensor(each): index for index, each in enumerate(asked["wanted"])}
    with open_archive(path) as archive:
        found = archive.contents()
        told: dict[str, Any] = {"contents": _plain(found)}
        if not places.keys() <= {*found.tensors}:
            raise RefusedError(f"{path}: changed while it was read; run sitegen again")

        def take(tensor: StoredTensor, data: memoryview) -> None:
            if tensor in places:
                _write(write, places[tensor], data)

        if asked["whole"]:
            told |= _whole(archive, found, take)
        else:
            for tensor in places:
                take(tensor, archive.numbers(tensor))
    return told


def _whole(
    archive: Archive, found: Published, take: Callable[[StoredTensor, memoryview], None]
) -> dict[str, Any]:
    sha256, broken = archive.scan(found, take)
    indices = [index for index, tensor in enumerate(found.tensors) if tensor in broken]
    return {"bytes": archive.path.stat().st_size, "sha256": sha256, "broken": indices}


def _write(write: Callable[..., object], index: int, data: bytes | memoryview) -> None:
    write(_FRAME.pack(index, len(data)))
    write(data)


def _bound(bounds: Bounds) -> bool:
    """Set the limits of this process, where there are such; whether ours is the one on memory."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, bounds.seconds + ceil(time.process_time()))
    return _limit(resource.RLIMIT_AS, _held() + bounds.memory)


def _limit(kind: int, most: int) -> bool:
    """Whether the limit is now `most`, and not one that was there and is lower."""
    hard = resource.getrlimit(kind)[1]
    if 0 <= hard < most and hard != resource.RLIM_INFINITY:
        return False
    with contextlib.suppress(OSError, ValueError):  # macOS has no limit on addresses
        resource.setrlimit(kind, (most, hard))
        return True
    return False


def _held() -> int:
    """How many bytes of addresses this process has."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


def main() -> None:
    """Answer the request on the standard input; the process ends with a code of 0 if it could."""
    import numpy  # noqa: F401  # what it takes is no fault of the file

    request = sys.stdin.buffer.read()
    asked = json.loads(request)
    bounds = Bounds(**asked["bounds"])
    ours = _bound(bounds)
    out = sys.stdout.buffer
    try:
        answer(request, out.write)
    except MemoryError:
        words = f"reading it takes more than {bounds.memory // MB} MB of memory"
        refused = f"{asked['path']}: refused: {words}, which no checkpoint of its size needs"
        full = "out of memory; close other programs and run sitegen again"
        told = {"refused": refused} if ours else {"full": full}
        _write(out.write, _TOLD, json.dumps(told).encode())
    out.flush()


if __name__ == "__main__":
    main()
