"""How much a decoded picture resembles its source."""

import math

import numpy as np
from numpy.typing import NDArray

from sitegen.media.frames import Frame
from sitegen.media.look import stills

_GOOD_PSNR = 30.0  # dB, at CRF 23 or better
_GOOD_SHARE = 0.2  # of the contrast between neighbours: noise compresses worse than images


def psnr(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the PSNR of two arrays in [0, 255] units, in dB; infinite if they are equal."""
    error = float(np.mean((first - second) ** 2, dtype=np.float64))
    return 10 * math.log10(255**2 / error) if error else math.inf


def looks_the_same(seen: Frame, source: Frame) -> bool:
    """Return whether two RGB frames have equal brightness, and colours as similar as in clips."""
    luma = np.array(stills.LUMA, np.float32)
    if psnr(seen @ luma, source @ luma) <= stills.EXACT_PSNR:
        return False
    return psnr(_squares(seen), _squares(source)) > stills.COLOUR_PSNR


def looks_like(seen: Frame, source: Frame, crf: int) -> bool:
    """Return whether the error is small, absolutely for this CRF or relative to the contrast."""
    height = len(source)
    expected, found = _squares(source), _squares(seen)
    contrast = float(np.mean(np.diff(expected, axis=0) ** 2)) if height > 2 else 0.0
    good = psnr(expected, found) > _GOOD_PSNR - 1.25 * max(0, crf - 23)
    return good or float(np.mean((expected - found) ** 2)) < _GOOD_SHARE * contrast / 2


def _squares(frame: Frame) -> NDArray[np.float32]:
    """Return the means of 2 × 2 pixel squares of an RGB frame, which share a colour in video.

    Incomplete squares at the edges are omitted.
    """
    height, width = (side // 2 for side in frame.shape[:2])
    whole = frame[: 2 * height, : 2 * width]
    rows = np.add(whole[::2], whole[1::2], dtype=np.uint16)  # ten times faster than a mean
    means: NDArray[np.float32] = np.divide(rows[:, ::2] + rows[:, 1::2], 4, dtype=np.float32)
    return means
