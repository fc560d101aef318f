"""Initial states that differ as much as the prior does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import ConfigError
from sitegen.generative.data.prior import Prior


def spread(prior: Prior, count: int, vary: str) -> list[int]:
    """Return the indices in the bank of `count` states that differ as much as the prior does.

    They are in order of their mean brightness, or of their mean colour along its axis of largest
    variation, each in the middle of an equal share of the bank. If colours vary, each is the state
    of its share with the most typical brightness, so that only the colour differs. Hues follow a
    circle, see `around`. Raises ConfigError if the bank has fewer states.
    """
    if count > len(prior):
        raise ConfigError(f"count = {count}: the prior of the model has only {len(prior)} states")
    # The first cosine of an orthonormal DCT is the mean times the side.
    colours = prior.coefficients[:, :, 0, 0].double().numpy() / prior.image_size
    brightness = colours.mean(1)
    if vary == "hue":
        return around(colours, count)
    if vary == "brightness":
        # Stable: NumPy's default may order equal values differently from processor to processor.
        shares = np.array_split(np.argsort(brightness, kind="stable"), count)
        return [int(share[len(share) // 2]) for share in shares]
    hues = colours - brightness[:, None]
    hues -= hues.mean(0)
    axis = np.linalg.svd(hues, full_matrices=False)[2][0]
    # The sign of a singular vector is arbitrary; here it is such that red increases.
    order = np.argsort(hues @ axis * (-1 if axis[0] < 0 else 1), kind="stable")
    unusual = np.abs(brightness - np.median(brightness))
    return [int(share[unusual[share].argmin()]) for share in np.array_split(order, count)]


def around(colours: NDArray[np.float64], count: int) -> list[int]:
    """Return the indices of those `colours` (N, 3) nearest to `count` points of a colour circle.

    The centre of the circle is the mean colour, its radius the median distance of the colours from
    it, and its brightness their median. It begins at red and continues to yellow, green and blue.
    Each colour is used only once, so all results are real flat colours of the data.
    """
    brightness = colours.mean(1)
    hues = colours - brightness[:, None]
    centre = hues.mean(0)
    radius = np.median(np.linalg.norm(hues - centre, axis=1))
    angles = np.arange(count) * 2 * np.pi / count
    # Two orthonormal directions without brightness, both orthogonal to grey.
    red, across = np.array([2, -1, -1]) / 6**0.5, np.array([0, 1, -1]) / 2**0.5
    circle = np.cos(angles)[:, None] * red + np.sin(angles)[:, None] * across
    points = np.median(brightness) + centre + radius * circle
    away = np.linalg.norm(points[:, None] - colours, axis=2)
    chosen: list[int] = []
    for row in away:
        row[chosen] = np.inf
        chosen.append(int(row.argmin()))
    return chosen
