"""A reporter for tests, which keeps what it is told."""

import contextlib
from collections.abc import Iterator

from sitegen.core.progress import Advance


class Silent:
    """A reporter that keeps its lines for whoever asks."""

    def __init__(self) -> None:
        self.warnings = 0
        self.quiet = False
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    def detail(self, line: str) -> None:
        """Leave the line out."""

    def warn(self, line: str) -> None:
        """Keep the line and count it."""
        self.warnings += 1
        self.lines.append(f"warning: {line}")

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int | None) -> Iterator[Advance]:
        """Keep the title with the number of steps, those that were taken if it is not known."""
        if steps is not None:
            self.lines.append(f"{title}: {steps} steps")
        taken: list[None] = []
        yield lambda: taken.append(None)
        if steps is None:
            self.lines.append(f"{title}: {len(taken)} steps")
