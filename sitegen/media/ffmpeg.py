"""Running the ffmpeg inside the imageio-ffmpeg wheel, so that nothing can hang, leak or lie.

Its messages are drained while it runs and are what the user reads when it fails; it is killed when
it makes no progress, and never outlives the block it was started in. It runs inside the folder it
works in, so its arguments hold fixed names of ours and never a path or a word of the user.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import select
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from types import TracebackType

from sitegen.core.errors import PlatformError, SitegenError, TargetError

STALL_SECONDS = 120.0
"""How long ffmpeg may take without progress, for each million pixels of a frame."""

_OVERRIDE = "IMAGEIO_FFMPEG_EXE"
_GET_ENCODER = "`pip install --force-reinstall imageio-ffmpeg` brings an ffmpeg that works"
_WORDS_KEPT, _WORDS_SHOWN = 400, 6  # lines
_LISTEN_SECONDS = 5.0  # for its last words once it is gone
_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOMEM, errno.EIO, errno.EMFILE),
)


class Ffmpeg:
    """One ffmpeg at work in `folder`; a context manager that kills it if the block ends early.

    arguments: of our own making, after the options every call has
    pixels: of one frame; larger frames are given more time
    """

    def __init__(self, arguments: Sequence[str], folder: Path, pixels: int = 0) -> None:
        self._patience = STALL_SECONDS * max(1.0, pixels / 1e6)
        self._words: deque[str] = deque(maxlen=_WORDS_KEPT)
        self._process = _start(arguments, folder)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Ffmpeg:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill what still runs, and wait for it, so that no process is left behind."""
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def write(self, data: bytes | memoryview) -> None:
        """Hand over bytes. Raises as `finish` does if ffmpeg has died or stands still."""
        assert self._process.stdin is not None
        handle, rest = self._process.stdin.fileno(), memoryview(data).cast("B")
        while rest:
            self._wait_for(handle, select.POLLOUT)
            try:
                rest = rest[os.write(handle, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self.finish()
                raise TargetError("ffmpeg ended before it had every frame") from None

    def read(self, size: int) -> bytes:
        """The next `size` bytes of its output, fewer at the end; nothing can be written any more.

        Raises PlatformError if it stands still.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        handle, data = self._process.stdout.fileno(), bytearray()
        while len(data) < size:
            self._wait_for(handle, select.POLLIN)
            piece = os.read(handle, size - len(data))
            if not piece:
                break
            data += piece
        return bytes(data)

    def finish(self) -> str:
        """Say that no more comes, wait for the end and return its messages.

        Raises PlatformError if the machine stopped it (disk full, no memory, killed, no such
        encoder, no progress) and TargetError, with ffmpeg's own words, if it failed otherwise.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            raise self._stalled() from None
        self._listener.join(_LISTEN_SECONDS)
        if code:
            raise _failure(code, list(self._words))
        return "\n".join(self._words)

    def _listen(self) -> None:
        """Drain the messages: a full pipe would stop ffmpeg."""
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for line in iter(lambda: pipe.readline(1000), b""):
                self._words.append(line.decode("utf-8", "replace").rstrip())

    def _wait_for(self, handle: int, event: int) -> None:
        poll = select.poll()
        poll.register(handle, event)
        if not poll.poll(self._patience * 1000):
            raise self._stalled()

    def _stalled(self) -> PlatformError:
        self._kill()
        return PlatformError(
            f"ffmpeg made no progress for {self._patience:.0f} seconds and was stopped; the "
            f"machine may be overloaded: try again{_said(list(self._words))}"
        )

    def _kill(self) -> None:
        """End the process with all it started, if it still runs, and collect it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._listener.join(_LISTEN_SECONDS)


def feed(arguments: Sequence[str], folder: Path, frames: Iterable[bytes], pixels: int) -> None:
    """Run ffmpeg in `folder` with `frames` as its input. Raises as `Ffmpeg.finish` does."""
    with Ffmpeg(arguments, folder, pixels) as process:
        for frame in frames:
            process.write(frame)
        process.finish()


def raw_input(width: int, height: int, rate: Fraction) -> list[str]:
    """Arguments for frames of (height, width, 3) bytes, RGB, `rate` a second, by `write`."""
    raw = ["-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    return [*raw, "-video_size", f"{width}x{height}", "-framerate", str(rate), "-i", "pipe:0"]


def executable() -> str:
    """The absolute path of the ffmpeg to run. Raises PlatformError if there is none."""
    try:
        import imageio_ffmpeg

        name = str(imageio_ffmpeg.get_ffmpeg_exe())
    except ImportError:
        raise PlatformError(f"imageio-ffmpeg is not installed; {_GET_ENCODER}") from None
    except RuntimeError as error:
        raise PlatformError(f"no ffmpeg was found ({error}); {_GET_ENCODER}") from error
    found = shutil.which(name)
    if found is None:
        raise PlatformError(f"{name} cannot be run as ffmpeg; {_GET_ENCODER}")
    return os.path.abspath(found)


def version() -> str:
    """One line that changes whenever ffmpeg or its x264 may make other bytes.

    Neither imports nor runs anything as long as the ffmpeg is the wheel's own.
    Raises PlatformError if there is none.
    """
    return _version(os.environ.get(_OVERRIDE, ""))


def require_encoder(name: str) -> None:
    """Raise PlatformError unless ffmpeg is there, runs, and has the encoder `name`."""
    text = _output(["-encoders"]).decode("utf-8", "replace")
    if not re.search(rf"^ *V\S* +{re.escape(name)} ", text, re.MULTILINE):
        raise PlatformError(f"{executable()} has no encoder {name}; {_GET_ENCODER}")


def _start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start ffmpeg in its own process group, inside `folder`."""
    command = [executable(), "-hide_banner", "-nostdin", "-nostats", "-y", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "FFREPORT"}
    try:
        return subprocess.Popen(
            command,
            bufsize=0,
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise PlatformError(f"cannot run {command[0]}: {error.strerror}; {_GET_ENCODER}") from error


def _failure(code: int, words: Sequence[str]) -> SitegenError:
    """The error for an exit status that is not 0, with ffmpeg's own last words."""
    said = _said(words)
    if code < 0:
        return PlatformError(
            f"ffmpeg was stopped by signal {-code} ({signal.strsignal(-code)}); "
            f"is there memory and disk enough?{said}"
        )
    if 256 - code in _MACHINE or any("No space left on device" in line for line in words):
        reason = os.strerror(256 - code) if 256 - code in _MACHINE else os.strerror(errno.ENOSPC)
        return PlatformError(f"ffmpeg could not go on: {reason}; mend that and try again{said}")
    if any("Unknown encoder" in line for line in words):
        return PlatformError(f"this ffmpeg lacks an encoder; {_GET_ENCODER}{said}")
    return TargetError(f"ffmpeg failed (exit status {code}){said or ' and gave no reason'}")


def _said(words: Sequence[str]) -> str:
    lines = [line for line in words if line][-_WORDS_SHOWN:]
    return "".join(["; it said:", *(f"\n    {line}" for line in lines)]) if lines else ""


def _output(arguments: Sequence[str]) -> bytes:
    """What ffmpeg writes to its standard output, which is short."""
    with Ffmpeg(["-loglevel", "error", *arguments], Path(os.sep)) as process:
        data = process.read(1 << 20)
        process.finish()
    return data


@functools.cache
def _version(override: str) -> str:
    wheel = None if override else next(_binaries(), None)
    if wheel is not None:
        return wheel
    first = _output(["-version"]).decode("utf-8", "replace").partition("\n")[0]
    picture = ["-f", "lavfi", "-i", "color=size=16x16", "-frames:v", "1"]
    stream = _output([*picture, "-c:v", "libx264", "-f", "h264", "pipe:1"])
    found = re.search(rb"x264 - core [ -~]*?(?= - )", stream)
    return f"{first} {found[0].decode() if found else 'without x264'}"


def _binaries() -> Iterator[str]:
    """The executables that the installed wheel lists: name and digest."""
    try:
        files = metadata.files("imageio-ffmpeg") or []
    except metadata.PackageNotFoundError:
        raise PlatformError(f"imageio-ffmpeg is not installed; {_GET_ENCODER}") from None
    for file in files:
        if file.parent.name == "binaries" and file.name.startswith("ffmpeg-") and file.hash:
            yield f"{file.name} {file.hash.mode}={file.hash.value}"
