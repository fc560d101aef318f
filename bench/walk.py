"""Count the files and functions of sitegen that run, and those that a value passes.

    python -m bench.walk [--check]

- build: all that run in a cold build of one figure of one model, with the bodies of modules and
  classes.
- count: of these, until the finished clip is in the store, those with an argument that carries the
  number of samples in `trajectories("tiny", count=31)`: directly, as the length of a sequence or an
  array, or in an attribute.
- add: those with an argument that carries the path of a checkpoint, in `sitegen add`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = str(ROOT / "sitegen") + os.sep
COUNT = 31
"""A number that nothing else in such a site has by accident."""
LIMITS = {"build": (75, 560), "count": (14, None), "add": (10, None)}
"""Files and functions of each walk at most; None is no limit."""
PARTS = ("<genexpr>", "<lambda>", "<listcomp>", "<dictcomp>", "<setcomp>", "__annotate__")
"""Code that belongs to the function around it, and that of annotations, from Python 3.14."""
DEPTH = 3
"""Attributes of attributes in which the number is looked for."""

Carries = Callable[[Any], bool]
Steps = dict[tuple[str, str], None]
"""Functions as (file, name), in the order of their first call."""
STORED = ("builder/store.py", "Store.put")
"""The function at which a clip is finished."""


def carries_count(value: Any, depth: int = DEPTH) -> bool:
    """Return whether a value is the count, has as many items, or has such an attribute."""
    if isinstance(value, int):
        return value == COUNT
    if type(value).__name__ in ("Tensor", "ndarray"):
        return len(value.shape) > 0 and value.shape[0] == COUNT
    if isinstance(value, range | tuple | list) and len(value) == COUNT:
        return not isinstance(value[0], str)  # a command line
    return depth > 0 and any(carries_count(part, depth - 1) for part in _parts(value))


def carries_path(name: str) -> Carries:
    """Return a test for paths of files with this name, and for values that have one."""

    def is_path(value: Any) -> bool:
        return isinstance(value, str | Path) and str(value).endswith(name)

    return lambda value: is_path(value) or any(map(is_path, _parts(value)))


def _parts(value: Any) -> Iterator[Any]:
    """Yield the attributes of an object of sitegen, and the items of a small collection."""
    if isinstance(value, dict):
        yield from list(value.values())[:20]
    elif isinstance(value, tuple | list):
        yield from value[:20]
    elif type(value).__module__.startswith("sitegen."):
        yield from list(getattr(value, "__dict__", {}).values())
        yield from (getattr(value, name, None) for name in getattr(value, "__slots__", ()))


@contextmanager
def traced(carries: Carries) -> Iterator[tuple[Steps, Steps]]:
    """Record, in all threads, the functions that run, and those with an argument that `carries`."""
    steps: Steps = {}
    carrying: Steps = {}

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE) or code.co_name in PARTS:
            return
        step = code.co_filename.removeprefix(PACKAGE), code.co_qualname
        steps.setdefault(step)
        if step not in carrying:
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            if any(carries(frame.f_locals.get(name)) for name in names):
                carrying[step] = None

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield steps, carrying
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def walk_build(folder: Path) -> tuple[Steps, Steps]:
    """Trace a cold build of one figure, with a model of the smallest size, and its `count`."""
    from tests.support.tinymodel import write_model

    write_model(folder / "models" / "tiny")
    (folder / "site.toml").write_text('title = "Walk"\n[models.tiny]\npath = "models/tiny"\n')
    (folder / "pages").mkdir()
    page = f'# Walk\n\n{{{{ trajectories("tiny", count={COUNT}, fps=2.0) }}}}\n'
    (folder / "pages" / "index.md").write_text(page)
    with traced(carries_count) as (steps, carrying):
        _sitegen("build", "--quiet", "--device", "cpu", "--config", str(folder / "site.toml"))
    until_stored = list(carrying)[: list(carrying).index(STORED) + 1]
    return steps, dict.fromkeys(until_stored)


def walk_add(folder: Path) -> Steps:
    """Trace the path of a checkpoint through `add`."""
    from PIL import Image

    checkpoint = folder / "walked.pth"
    shutil.copy(ROOT / "tests" / "reference" / "tiny" / "checkpoint.pth", checkpoint)
    (folder / "site.toml").write_text('title = "Walk"\n')
    for parent in ("pages", "data"):
        (folder / parent).mkdir()
    for grey in range(4):
        Image.new("L", (28, 28), 60 * grey).save(folder / f"data/{grey}.png")
    answers = ["--levels", "8", "--blur-sigma-min", "0.5", "--blur-sigma-max", "20"]
    answers += ["--training-noise-std", "0.01", "--data", str(folder / "data")]
    config = ("--config", str(folder / "site.toml"))
    with traced(carries_path(checkpoint.name)) as (_, carrying):
        _sitegen("add", "walked", "--checkpoint", str(checkpoint), *answers, *config)
    return carrying


def _sitegen(*arguments: str) -> None:
    from sitegen.cli.main import cli

    cli.main(list(arguments), prog_name="sitegen", standalone_mode=False)


def size(functions: Collection[tuple[str, str]]) -> tuple[int, int]:
    """Return the number of files, and of functions."""
    return len({file for file, _ in functions}), len(functions)


def is_over(name: str, functions: Collection[tuple[str, str]]) -> bool:
    """Return whether a walk has more files or functions than its limits."""
    sizes = zip(size(functions), LIMITS[name], strict=True)
    return any(limit and number > limit for number, limit in sizes)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the walks; exit with 1 if `--check` is given and one is over its limits."""
    parser = argparse.ArgumentParser(prog="bench.walk", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if a limit is exceeded")
    parser.add_argument("--list", action="store_true", help="print every file and function")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as site, tempfile.TemporaryDirectory() as other:
        build, count = walk_build(Path(site))
        walks = {"build": build, "count": count, "add": walk_add(Path(other))}
    for name, functions in walks.items():
        print("{}: {} files, {} functions".format(name, *size(functions)))
        if options.list:
            print("\n".join(f"  {file} {function}" for file, function in functions))
    over = [name for name, functions in walks.items() if is_over(name, functions)]
    if options.check and over:
        raise SystemExit(f"over the limit: {', '.join(over)}; see LIMITS in bench/walk.py")


if __name__ == "__main__":
    main()
