"""`sitegen` with the fake renderer, for tests that need a process of its own.

FAKE_PAUSE is the time before each frame in seconds, but for the first FAKE_SOON frames. FAKE_FAIL
is the figure that breaks down, and FAKE_BLOCK names modules, with spaces between, that cannot be
imported.
"""

import os
import sys


def main() -> None:
    """Run the command line; the renderer is never the real one."""
    for name in os.environ.get("FAKE_BLOCK", "").split():
        sys.modules[name] = None  # type: ignore[assignment]  # makes the import fail
    from sitegen.__main__ import main as run
    from sitegen.builder import render
    from sitegen.server import rendering
    from tests.support.builders import FakeRenderer

    told = os.environ.get
    vars(render)["FigureRenderer"] = FakeRenderer(
        told("FAKE_FAIL"),
        float(told("FAKE_PAUSE", "0")),
        soon=int(told("FAKE_SOON", "0")),
    )
    vars(rendering)["COMMAND"] = (sys.executable, "-m", "tests.support.fakecli")
    run()


if __name__ == "__main__":
    main()
