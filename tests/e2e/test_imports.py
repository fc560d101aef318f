"""Each module stands alone, and help needs neither torch nor the encoder; layers: import-linter."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.support.builders import run_python
from tests.support.paths import ROOT

PACKAGE = ROOT / "sitegen"

# What needs torch as soon as it is imported, beside the model and the samplers of the kinds.
BRIDGES = {
    "sitegen.build.renderer", "sitegen.figures.clips", "sitegen.figures.paths",
    "sitegen.models.priors", "sitegen.models.training", "sitegen.sampling.export",
    "sitegen.sampling.models",
}  # fmt: skip

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "imageio", "imageio_ffmpeg"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
"""
IMPORT_EACH = """
import importlib, json, sys

def imports(name):
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: {error!r}", file=sys.stderr, flush=True)
        return False
    return True

print(json.dumps([name for name in json.loads(sys.argv[1]) if not imports(name)]))
"""
HELP = """
import contextlib, io, json
import click
from sitegen.cli.main import cli

def helps(command, path):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        command.main([*path, "--help"], prog_name="sitegen", standalone_mode=False)
    return text.getvalue()

def paths(command, path=()):
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from paths(command.get_command(click.Context(command), name), (*path, name))

print(json.dumps({" ".join(path): helps(cli, path) for path in paths(cli)}))
"""


def run(program: str, *arguments: str) -> str:
    """Run `program` in a fresh interpreter and return what it prints; fail with what it says."""
    done = run_python("-c", program, *arguments)
    assert done.returncode == 0, done.stderr
    sys.stderr.write(done.stderr)
    return done.stdout


@cache
def modules() -> dict[str, Path]:
    """Every module of the package with its file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(node: ast.AST) -> list[str]:
    """The names that an import statement may stand for; none for other statements."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        inside = [f"{node.module}.{alias.name}" for alias in node.names]
        return inside if all(name in modules() for name in inside) else [str(node.module), *inside]
    return []


@cache
def graph() -> dict[str, set[str]]:
    """Which modules of the package each module imports anywhere, also inside functions."""
    return {
        name: {
            target
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for target in imported(node)
            if target in modules() and target != name
        }
        for name, path in modules().items()
    }


def reachable(name: str) -> set[str]:
    """All modules of the package that `name` imports, directly or not."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        new = graph()[waiting.pop()] - found
        found |= new
        waiting |= new
    return found


def test_no_cycles() -> None:
    """No module reaches itself, counting imports inside functions."""
    assert [name for name in modules() if name in reachable(name)] == []


def test_no_kind_of_figure_knows_another() -> None:
    """What several kinds share stands beside their folders, not in one of them."""
    rooms = [path.name for path in (PACKAGE / "figures").iterdir() if (path / "sample.py").exists()]
    assert len(rooms) >= 8
    kinds = {room: f"sitegen.figures.{room}" for room in rooms}
    for name in modules():
        known = {
            room
            for room, kind in kinds.items()
            for other in graph()[name]
            if f"{other}.".startswith(f"{kind}.")
        }
        own = {room for room, kind in kinds.items() if f"{name}.".startswith(f"{kind}.")}
        assert not own or known <= own, name


def test_no_two_classes_of_one_name() -> None:
    """One word means one thing in the whole package."""
    names = Counter(
        node.name
        for path in modules().values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_only_bridges_need_torch() -> None:
    """Outside the model, all but its bridges is imported where torch and encoder are missing."""
    skipped = ("sitegen.ihdm.", "sitegen.__main__")
    names = [name for name in modules() if not name.startswith(skipped)]
    lacking = json.loads(run(BLOCK + IMPORT_EACH, json.dumps(names)))
    assert {name for name in lacking if not name.endswith(".sample")} <= BRIDGES


def test_every_module_is_imported_where_all_is_installed() -> None:
    """No module fails; without cycles, that holds for each of them alone and in any order."""
    names = [name for name in modules() if not name.endswith("__main__")]
    assert json.loads(run(IMPORT_EACH, json.dumps(names))) == []


def test_help_of_every_command_without_torch() -> None:
    """`sitegen --help` and that of every command work where torch and the encoder are missing."""
    found = json.loads(run(BLOCK + HELP))
    assert {"", "add", "build", "sample", "inspect", "train"} <= set(found)
    for path, text in found.items():
        assert text.startswith(f"Usage: sitegen {path}".rstrip()), path


HEAVY = {"torch", "numpy", "imageio", "imageio_ffmpeg", "PIL", "latex2mathml", "tomlkit"}
RENDERS = "sitegen.figures.registry, sitegen.content.pages, sitegen.html.render"
PLANS = "sitegen.build.plan as plan; assert plan.environment(plan.ComputeTarget('cpu', 'float32'))"


@pytest.mark.parametrize(("names", "allowed"), [(RENDERS, set()), (PLANS, {"numpy", "tomlkit"})])
def test_nothing_heavy_is_imported(names: str, allowed: set[str]) -> None:
    """Reading, rendering and planning import no torch, encoder or Pillow; versions are read."""
    run(f"import sys, {names}\nassert not {HEAVY - allowed} & set(sys.modules)")


def test_the_block_blocks() -> None:
    """The tests above mean something: with the block in place torch cannot be imported."""
    with pytest.raises(AssertionError, match="torch is blocked"):
        run(BLOCK + "import torch")
