"""Count the files and functions that a value passes on its way through sitegen.

    python -m bench.walk

`count` is followed from the call `trajectories("tiny", count=31)` in a page to the finished clip. A
function counts if one of its arguments carries that number: directly, as the length of a sequence
or an array, or in an object, down to `DEPTH` attributes. `checkpoint` is the path of a file of
weights, from `sitegen add` to loaded weights; a function counts if an argument carries that path.
"""

from __future__ import annotations

import argparse
import dis
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = str(ROOT / "sitegen") + os.sep
COUNT = 31
"""A number that nothing else in such a site has by accident."""
LIMITS = {"count": (22, 97, 0, 22), "add": (16, 72, 1, 14), "checkpoint": (12, 54, 1, 14)}
"""Files and functions of each walk, opens of the file, and files until weights are loaded."""
LOADING = "generative/checkpoints/loading.py"
"""File whose functions load weights."""

DEPTH = 3

Carries = Callable[[Any], bool]


@dataclass(frozen=True)
class Walk:
    """The functions that a value passed, as (file, function), in the order of their first call."""

    name: str
    steps: tuple[tuple[str, str], ...]
    opened: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the functions, in the order of their first call."""
        return tuple(dict.fromkeys(file for file, _ in self.steps))

    @property
    def until_loaded(self) -> int:
        """Number of files up to the one that loads weights, or of all where none does."""
        files = self.files
        return files.index(LOADING) + 1 if LOADING in files else len(files)

    @property
    def over(self) -> bool:
        """Whether the walk exceeds its limits."""
        found = len(self.files), len(self.steps), self.opened, self.until_loaded
        return any(one > most for one, most in zip(found, LIMITS[self.name], strict=True))


def carries_count(value: Any, depth: int = DEPTH) -> bool:
    """Return whether a value is the count, has as many items, or has such an attribute."""
    if _is_count(value):
        return True
    return depth > 0 and any(carries_count(part, depth - 1) for part in _parts(value))


def _is_count(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return value == COUNT
    if type(value).__name__ in ("Tensor", "ndarray"):
        return len(value.shape) > 0 and value.shape[0] == COUNT
    if isinstance(value, range | tuple | list) and len(value) == COUNT:
        return not isinstance(value[0], str)  # words of a command
    return False


def _parts(value: Any) -> Iterator[Any]:
    """Yield the attributes of an object of sitegen, and the items of a small collection."""
    if isinstance(value, dict):
        yield from list(value.values())[:20]
    elif isinstance(value, tuple | list):
        yield from value[:20]
    elif type(value).__module__.startswith("sitegen."):
        yield from list(getattr(value, "__dict__", {}).values())
        yield from (getattr(value, name, None) for name in getattr(value, "__slots__", ()))


def carries_path(path: Path) -> Carries:
    """Return a test for values that are `path`, or have it as a field."""

    def carries(value: Any) -> bool:
        return _is_path(value) or any(map(_is_path, _parts(value)))

    def _is_path(value: Any) -> bool:
        return isinstance(value, str | Path) and str(value).endswith(path.name)

    return carries


@cache
def _beginning(code: CodeType) -> int:
    """Return the offset of the first instruction of a function's body."""
    return next(each.offset for each in dis.get_instructions(code) if each.opname == "RESUME")


@contextmanager
def traced(carries: Carries) -> Iterator[list[tuple[str, str]]]:
    """Record, in all threads, the functions of the package with an argument that `carries`."""
    steps: dict[tuple[str, str], None] = {}
    found: list[tuple[str, str]] = []

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE) or code.co_name[0] == "<":
            return
        if frame.f_lasti > _beginning(code):
            return  # a generator goes on; it was called before
        step = code.co_filename.removeprefix(PACKAGE), code.co_qualname
        if step in steps:
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(carries(frame.f_locals.get(name)) for name in names):
            steps[step] = None

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        found.extend(steps)


@contextmanager
def opens(path: Path) -> Iterator[list[int]]:
    """Count how often a file is opened in this process during the block, by an audit hook."""
    count, counting = [0], [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and counting[0]:
            count[0] += str(arguments[0]).endswith(path.name)

    sys.addaudithook(hook)  # which cannot be removed
    try:
        yield count
    finally:
        counting[0] = False


def walk_count(folder: Path) -> Walk:
    """Trace `count` from a page to its clip, in a site with a model of the smallest size."""
    from tests.support.tinymodel import write_model

    write_model(folder / "models" / "tiny")
    (folder / "site.toml").write_text('title = "Walk"\n[models.tiny]\npath = "models/tiny"\n')
    (folder / "pages").mkdir()
    page = f'# Walk\n\n{{{{ trajectories("tiny", count={COUNT}, fps=2.0) }}}}\n'
    (folder / "pages" / "index.md").write_text(page)
    with traced(carries_count) as steps:
        _sitegen("build", "--quiet", "--device", "cpu", "--config", str(folder / "site.toml"))
    return Walk("count", tuple(steps))


def walk_checkpoint(folder: Path) -> tuple[Walk, Walk]:
    """Trace a checkpoint through `add`, and from the build's start to loaded weights."""
    checkpoint = folder / "walked.pth"
    shutil.copy(ROOT / "tests" / "reference" / "tiny" / "checkpoint.pth", checkpoint)
    (folder / "site.toml").write_text('title = "Walk"\n')
    (folder / "pages").mkdir()
    config = ("--config", str(folder / "site.toml"))
    answers = ("--levels", "8", "--blur-sigma-min", "0.5", "--blur-sigma-max", "20")
    noise = ("--training-noise-std", "0.01", "--data", str(_pictures(folder / "data")))
    with traced(carries_path(checkpoint)) as steps, opens(checkpoint) as added:
        _sitegen("add", "walked", "--checkpoint", str(checkpoint), *answers, *noise, *config)
    page = '# Walk\n\n{{ trajectories("walked", count=2, fps=2.0) }}\n'
    (folder / "pages" / "index.md").write_text(page)
    with traced(carries_path(checkpoint)) as more, opens(checkpoint) as built:
        _sitegen("build", "--quiet", "--device", "cpu", *config)
    return Walk("add", tuple(steps), added[0]), Walk("checkpoint", tuple(more), built[0])


def _pictures(folder: Path) -> Path:
    import numpy as np
    from PIL import Image

    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(4):
        pixels = generator.integers(0, 256, (28, 28), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _sitegen(*words: str) -> None:
    from sitegen.cli.main import cli

    cli.main(list(words), prog_name="sitegen", standalone_mode=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both walks; exit with 1 if a limit is exceeded and `--check` was given."""
    parser = argparse.ArgumentParser(
        prog="bench.walk", description="Trace values through the code."
    )
    parser.add_argument("--check", action="store_true", help="fail if a limit is exceeded")
    parser.add_argument("--json", action="store_true", help="print every step as JSON")
    options = parser.parse_args(arguments)
    walks = []
    for trace in (walk_count, walk_checkpoint):
        with tempfile.TemporaryDirectory() as folder:
            found = trace(Path(folder))
            walks += [found] if isinstance(found, Walk) else [*found]
    for walk in walks:
        if options.json:
            print(json.dumps({"walk": walk.name, "steps": walk.steps, "opened": walk.opened}))
        else:
            more = f", {walk.until_loaded} files until weights are loaded" if walk.opened else ""
            more += f", file opened {walk.opened} times" if walk.opened else ""
            print(f"{walk.name}: {len(walk.files)} files, {len(walk.steps)} functions{more}")
    over = [walk.name for walk in walks if walk.over]
    if options.check and over:
        raise SystemExit(f"over the limit: {', '.join(over)}; see {Path(__file__).name}")


if __name__ == "__main__":
    main()
