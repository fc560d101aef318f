"""Where the repository and what tests read from it lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
MAKERS = tuple(
    path
    for pattern in (
        *("media/encoder.py", "media/frames.py", "media/points.py", "media/typeface.py"),
        "media/videos.py",
        *("figures/*.py", "figures/*/sample.py", "figures/*/drawing.py"),
    )
    for path in sorted((ROOT / "sitegen").glob(pattern))
)
"""The modules that make the bytes of figures."""
