"""Running ffmpeg: it cannot hang, leak, block or fail without its own words reaching the user.

Stand-ins for ffmpeg are small shell scripts, named by the variable that imageio-ffmpeg reads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from sitegen.core.errors import PlatformError, SitegenError, TargetError
from sitegen.media import ffmpeg

Stand = Callable[[str], None]
FRAMES = [bytes(64 * 64 * 3)] * 40  # above what a pipe holds


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Put a shell script in the place of ffmpeg."""

    def make(script: str) -> None:
        path = tmp_path / "stand-in"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    return make


def children() -> list[str]:
    """The numbers of this process's children, dead ones too."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [number for task in tasks for number in task.read_text().split()]


def feed(folder: Path) -> None:
    """Give the frames to whatever stands for ffmpeg."""
    ffmpeg.feed([], folder, FRAMES, 64 * 64)


def test_own_words_of_a_death_while_writing(tmp_path: Path, stand_in: Stand) -> None:
    """A broken pipe is reported as what ffmpeg said, with its exit status."""
    stand_in("echo 'width not divisible by 2 (29x28)' >&2; exit 187")
    with pytest.raises(TargetError, match=r"187[^$]*width not divisible by 2 \(29x28\)"):
        feed(tmp_path)


def test_end_before_the_last_frame(tmp_path: Path, stand_in: Stand) -> None:
    """Success without having read everything is no success."""
    stand_in("exit 0")
    with pytest.raises(TargetError, match="before it had every frame"):
        feed(tmp_path)


def test_failure_without_words(tmp_path: Path, stand_in: Stand) -> None:
    """A silent failure is told as one."""
    stand_in("cat > /dev/null; exit 3")
    with pytest.raises(TargetError, match=r"status 3.*no reason"):
        feed(tmp_path)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 228", "No space left"),
        ("exit 229", "File too large"),
        ("exit 243", "Permission denied"),
        ("echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1", "No space"),
        ("kill -9 $$", "signal 9"),
        ("kill -25 $$", "signal 25"),
        ("echo \"Unknown encoder 'libx264'\" >&2; exit 8", "lacks an encoder"),
    ],
)
def test_what_the_machine_lacks(tmp_path: Path, stand_in: Stand, script: str, words: str) -> None:
    """Disk, permissions, memory and a missing encoder are the machine's fault: exit code 4."""
    stand_in(f"cat > /dev/null; {script}")
    with pytest.raises(PlatformError, match=words):
        feed(tmp_path)


def test_chatter_cannot_block(tmp_path: Path, stand_in: Stand) -> None:
    """Half a megabyte of messages, before any frame is read, is drained; the last lines count."""
    stand_in(
        "yes 'deprecated pixel format' | head -c 500000 >&2; echo 'the end' >&2; cat >&2; exit 1"
    )
    started = time.monotonic()
    with pytest.raises(TargetError) as caught:
        feed(tmp_path)
    assert time.monotonic() - started < 5
    assert len(str(caught.value)) < 7000


@pytest.mark.parametrize("script", ["sleep 60", "cat > /dev/null; sleep 60", "sleep 60 & wait"])
def test_hang_is_ended(
    tmp_path: Path, stand_in: Stand, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """An ffmpeg that reads nothing, or never ends, is killed with what it started."""
    stand_in(f"echo 'thinking' >&2; {script}")
    monkeypatch.setattr(ffmpeg, "STALL_SECONDS", 0.2)
    started, before = time.monotonic(), children()
    with pytest.raises(PlatformError, match=r"no progress[^$]*thinking"):
        feed(tmp_path)
    assert time.monotonic() - started < 4
    assert children() == before


def test_hang_while_reading_is_ended(
    tmp_path: Path, stand_in: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for output that does not come."""
    stand_in("sleep 60")
    monkeypatch.setattr(ffmpeg, "STALL_SECONDS", 0.2)
    with ffmpeg.Ffmpeg([], tmp_path) as process, pytest.raises(PlatformError, match="no progress"):
        process.read(1)


def test_slow_frames_are_no_hang(
    tmp_path: Path, stand_in: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only ffmpeg's own time counts: a sampler may take as long as it likes for a frame."""
    stand_in("cat > /dev/null")
    monkeypatch.setattr(ffmpeg, "STALL_SECONDS", 0.3)
    with ffmpeg.Ffmpeg([], tmp_path) as process:
        for _ in range(3):
            process.write(b"frame")
            time.sleep(0.2)
        assert process.finish() == ""


def test_no_process_is_left(tmp_path: Path, stand_in: Stand) -> None:
    """After 20 failures, and after an error of ours in the block, there are no new children."""
    before = children()
    stand_in("exit 1")
    for _ in range(20):
        with pytest.raises(SitegenError):
            feed(tmp_path)
    stand_in("sleep 60")

    def interrupted() -> None:
        with ffmpeg.Ffmpeg([], tmp_path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert children() == before


def test_no_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is not there, a file that is no program, a missing wheel: exit code 4."""
    plain = tmp_path / "plain"
    plain.write_bytes(b"\x00")
    for path in (tmp_path / "missing", plain):
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
        with pytest.raises(PlatformError, match="cannot be run"):
            ffmpeg.executable()
    plain.chmod(0o755)
    with pytest.raises(PlatformError, match="cannot run"):
        feed(tmp_path)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(PlatformError, match="not installed"):
        ffmpeg.executable()


def test_encoder_is_required(stand_in: Stand) -> None:
    """The wheel's ffmpeg has x264; another that lists no such encoder is refused before work."""
    ffmpeg.require_encoder("libx264")
    with pytest.raises(PlatformError, match="no encoder libx26"):
        ffmpeg.require_encoder("libx26")
    stand_in("echo ' V....D gif   GIF (Graphics Interchange Format)'")
    with pytest.raises(PlatformError, match="no encoder libx264"):
        ffmpeg.require_encoder("libx264")


def test_arguments_reach_ffmpeg_alone(tmp_path: Path, stand_in: Stand) -> None:
    """Folder names never become arguments, and no report file appears beside the clip."""
    odd = tmp_path / "-i %03d; $(touch x) 'é\n"
    odd.mkdir()
    stand_in('pwd; echo "$@"; echo "$FFREPORT"')
    os.environ["FFREPORT"] = "file=report.txt"
    try:
        with ffmpeg.Ffmpeg(["one two"], odd) as process:
            said = process.read(1000).decode()
            process.finish()
    finally:
        del os.environ["FFREPORT"]
    assert said == f"{odd}\n-hide_banner -nostdin -nostats -y one two\n\n"


def test_version_is_the_wheel_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's executable is named with its digest, and nothing is run to know it."""
    monkeypatch.setattr(subprocess, "Popen", None)
    ffmpeg._version.cache_clear()
    assert ffmpeg.version().startswith("ffmpeg-")
    assert " sha256=" in ffmpeg.version()


def test_version_of_another_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg of the user's own is asked, also for the x264 inside it."""
    own = ffmpeg.executable()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", own)
    version = ffmpeg.version()
    assert version.startswith("ffmpeg version ")
    assert "x264 - core " in version


def test_raw_input_is_what_is_written(tmp_path: Path) -> None:
    """Three frames go in by `feed` and come out of the real ffmpeg unchanged."""
    frames = [os.urandom(5 * 3 * 3) for _ in range(3)]
    arguments = ffmpeg.raw_input(5, 3, Fraction(25, 3))
    ffmpeg.feed([*arguments, "-f", "rawvideo", "out"], tmp_path, frames, 15)
    assert (tmp_path / "out").read_bytes() == b"".join(frames)
    shutil.rmtree(tmp_path)
