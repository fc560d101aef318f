"""Memory that is freed and asked for again all the time, as a network's activations are.

The C library hands such memory back to the system after each use, and the system clears every page
of it before the next: about a tenth of the time that sampling takes. It can be told to wait.
"""

from __future__ import annotations

import ctypes

KEPT = 512 << 20
"""Bytes that may lie unused before they are handed back."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST_BLOCK = 32 << 20  # as far as the C library goes by itself


def keep_freed_memory() -> bool:
    """Keep up to `KEPT` bytes of freed memory for the next use, for as long as the process runs.

    Returns whether it could be asked for; there is no such thing outside of the GNU C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, KEPT))
