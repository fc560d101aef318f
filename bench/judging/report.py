"""Printed table of the measurements, with the limits for a shipped model."""

from __future__ import annotations

from collections.abc import Iterable

from bench.judging.images import Quality
from bench.judging.spectra import BANDS, LevelDeviation

# name, field of Measures, limit for a shipped model, goal
_ROWS = (
    ("share with max-prob > 0.9", "confident_share", "≥ 0.75", "≥ 0.92"),
    ("mean max-prob", "mean_max_probability", "", ""),
    ("mean entropy", "mean_entropy", "", "≤ 0.10"),
    ("label entropy", "label_entropy", "≥ 2.15", "≥ 2.20"),
    ("feature FID", "feature_fid", "", ""),
    ("precision", "precision", "", ""),
    ("recall", "recall", "", ""),
    ("density", "density", "", ""),
    ("coverage", "coverage", "≥ 0.60", "≥ 0.75"),
    ("nearest-neighbour ratio", "nearest_neighbour_ratio", "0.7 to 1.3", "0.7 to 1.3"),
    ("log-spectral distance", "log_spectral_distance", "", "≤ 0.25"),
    ("total variance ratio", "variance_ratio", "0.75 to 1.25", "0.9 to 1.1"),
)

BARS = "Bar 0.20, goal 0.10"


def markdown(quality: Quality) -> str:
    """Return the report as Markdown."""
    real, samples = quality.real, quality.samples
    rows = [
        (name, f"{getattr(samples, field):.3f}", f"{getattr(real, field):.3f}", bar, goal)
        for name, field, bar, goal in _ROWS
    ]
    ratio = samples.feature_fid / real.feature_fid
    rows.insert(5, ("feature FID ÷ its floor", f"{ratio:.1f}", "1", "≤ 20", "≤ 10"))
    head = ("measure", f"{quality.count} samples", "real images", "bar", "goal")
    classifier = (
        f"Classifier: {quality.classifier_accuracy:.2%} on held-out images, sha256 "
        f"{quality.classifier_digest[:16]}. Its features make the FID, which is not comparable "
        "with an Inception FID."
    )
    levels = levels_table(quality.levels, quality.watched)
    return "\n\n".join([table(head, rows), levels, classifier])


def levels_table(levels: Iterable[LevelDeviation], count: int, bars: str = BARS) -> str:
    """Return the deviations of the spectra of `count` states, with their limits."""
    head = ("level", "shown", *(f"{low:g}–{high:g}" for low, high in BANDS), "largest")
    rows = [
        (str(row.level), row.shown, *map(_signed, row.bands), f"{row.largest:.3f}")
        for row in levels
    ]
    return (
        "log10 of band power over that of dissipated held-out images, by DCT radius "
        f"(states of {count} samples; – where noise hides the band). {bars}.\n\n"
        f"{table(head, rows)}"
    )


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
