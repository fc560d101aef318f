"""The ffmpeg that encodes: its path and version; without importing NumPy or Pillow."""

import functools
import os
import shutil
import subprocess
from importlib import metadata

from sitegen.core.errors import PlatformError

GET_ENCODER = "`pip install --force-reinstall imageio-ffmpeg` installs a working ffmpeg"
NONE_STARTS = f"no ffmpeg starts here: %s; {GET_ENCODER}, unless memory or processes are short"


def encoder_version() -> str:
    """Return, in one line, the versions that affect the bytes of media; this is fast.

    Imports neither imageio nor Pillow, and runs nothing if the ffmpeg is the wheel's own. Raises
    PlatformError if there is no ffmpeg.
    """
    return version_of(os.environ.get("IMAGEIO_FFMPEG_EXE", ""))


def executable() -> str:
    """Return the path of the ffmpeg to use. Raises PlatformError if there is none."""
    try:
        from imageio.plugins.ffmpeg import get_exe

        program = str(get_exe())  # type: ignore[no-untyped-call]
    except (ImportError, RuntimeError) as error:
        raise PlatformError(NONE_STARTS % error) from error
    if shutil.which(program) is None:
        raise PlatformError(f"{program} cannot be run as ffmpeg; {GET_ENCODER}")
    return program


@functools.cache
def version_of(override: str) -> str:
    """Return the version of the wheel's or another ffmpeg, and that of Pillow."""
    try:
        # The wheel's own ffmpeg has its version in the name of its file, so nothing has to be
        # started.
        files = [] if override else metadata.files("imageio-ffmpeg") or []
        program = next((file.name for file in files if file.name.startswith("ffmpeg-")), "")
        if not program:
            executable()
            import imageio_ffmpeg

            program = f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        raise PlatformError(NONE_STARTS % error) from error
    return f"{program}; pillow {metadata.version('pillow')}"
