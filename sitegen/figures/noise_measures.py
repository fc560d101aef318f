"""Initial states that differ as the prior does, and measures of what a finished image owes them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import ConfigError
from sitegen.generative.data.prior import Prior

Images = NDArray[np.float32]


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


def measured(u_K: Images, u_0: Images, vary: str) -> dict[str, Any]:
    """Measure how much of u_K (N, C, H, W) and of the noises is in u_0 (rows · N, C, H, W).

    Likeness is the correlation of two images after subtracting their mean colours. Mean colours
    are reported only if the initial states `vary` in them.
    """
    finals = u_0.reshape(-1, *u_K.shape).astype(np.float64)
    means, colours = u_K.mean((2, 3), dtype=np.float64), finals.mean((3, 4))
    shapes = finals - colours[..., None, None]
    of_what = "brightness" if vary == "brightness" else "colour"
    summary, rows = "", []
    if vary:
        # The line of best fit of colours over means.
        x, y = means - means.mean(0), colours - colours.mean((0, 1))
        slope = float((x * y).sum() / max(float((x * x).sum()) * len(y), 1e-30))
        follows = "of a finished image follows that of its initial state"
        summary = f"The mean {of_what} {follows} with a slope of {slope:.2f}. "
        rows = [[f"Slope of the mean {of_what} over that of the initial state", f"{slope:.2f}"]]
    alike = _alike(shapes)
    summary += f"Two images with the same noise correlate by {alike:.2f} on average"
    rows += [["Correlation of two images with the same noise", f"{alike:.2f}"]]
    if len(finals) > 1:
        alike = _alike(shapes.swapaxes(0, 1))
        summary += f", two with the same initial state by {alike:.2f}"
        rows += [["Correlation of two images with the same initial state", f"{alike:.2f}"]]
    short = {
        "caption": "Averages of the finished images",
        "columns": ["Measure", "Value"],
        "rows": rows,
    }
    more = [_table(means, colours, vary)] if vary else []
    return {"summary": f"{summary}.", "tables": [short, *more]}


def _alike(groups: NDArray[np.float64]) -> float:
    """Return the mean correlation of two images of a group, in `groups` (groups, images, C, H, W).

    Images have no mean; the correlation with a flat one is 0.
    """
    correlations = []
    for images in groups:
        for one, other in combinations(images, 2):
            sizes = float(np.linalg.norm(one) * np.linalg.norm(other))
            correlations.append(float((one * other).sum() / sizes) if sizes > 0 else 0.0)
    return float(np.mean(correlations))


def _table(means: NDArray[np.float64], colours: NDArray[np.float64], vary: str) -> dict[str, Any]:
    """Return the mean colours of initial states (N, C) and of their samples (rows, N, C)."""
    columns, ends = ["Initial state", "Finished images"], colours.mean(0)
    if vary == "hue":
        names = ("red", "green", "blue")
        columns = [f"{column}, {name}" for column in columns for name in names]
        rows = np.concatenate([means, ends], axis=1)
    else:
        rows = np.stack([means.mean(1), ends.mean(1)], axis=1)
    of_what = "colour" if vary == "hue" else vary
    return {
        "caption": f"Mean {of_what}, 0 to 1, in the order of the columns",
        "columns": columns,
        "rows": [[round(float(value), 4) for value in row] for row in rows],
    }
