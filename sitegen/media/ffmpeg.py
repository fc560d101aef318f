"""The ffmpeg that encodes."""

import shutil

from sitegen.core.errors import PlatformError

GET_ENCODER = "`pip install --force-reinstall imageio-ffmpeg` installs a working ffmpeg"
NONE_STARTS = f"no ffmpeg starts here: %s; {GET_ENCODER}, unless memory or processes are short"


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
