"""Imports flow one way, each module stands alone, and help needs neither torch nor the encoder."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "sitegen"

# The rooms of the house, lowest first. A module that is not here is a helper of those that import
# it: it may stand anywhere, as long as no room reaches a higher one through it.
LAYERS = (
    {"errors"},
    {"config", "figures", "media", "files"},
    {"pages", "frames", "encode", "store", "render"},
    {"studio"},
    {"adding", "build", "serve", "publish", "scaffold", "check"},
    {"cli", "__main__"},
)
# What the model may know of the rest, and what of the rest needs torch as soon as it is imported.
BELOW_THE_MODEL = {"sitegen.core.errors", "sitegen.core.files"}
BRIDGES = {
    "sitegen.sampling.models",
    "sitegen.models.priors",
    "sitegen.sampling.export",
    "sitegen.build.renderer",
}

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "imageio", "imageio_ffmpeg"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
"""
IMPORT_EACH = """
import importlib, json, os, sys
import click, jinja2, markdown_it, numpy, PIL.Image, pydantic, rich.progress, tomlkit

def imports(name):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        importlib.import_module(name)
    except BaseException as error:
        print(f"{name}: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)

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
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
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


def layer(name: str) -> int | None:
    """The layer of a room; None for a helper and for the model."""
    short = name.removeprefix("sitegen.")
    return next((i for i, rooms in enumerate(LAYERS) if short in rooms), None)


def test_no_cycles() -> None:
    """No module reaches itself, counting imports inside functions."""
    assert [name for name in modules() if name in reachable(name)] == []


def test_layers() -> None:
    """No room reaches a room of a higher layer."""
    for name in modules():
        here = layer(name)
        if here is not None:
            above = {other for other in reachable(name) if (layer(other) or 0) > here}
            assert not above, f"{name} imports {', '.join(sorted(above))} from above"


def test_the_model_knows_nothing_of_sites() -> None:
    """`sitegen.ihdm` can be used on its own: of the rest it sees only errors and files."""
    for name in modules():
        if name.startswith("sitegen.ihdm"):
            others = {other for other in reachable(name) if not other.startswith("sitegen.ihdm")}
            assert others - {"sitegen"} <= BELOW_THE_MODEL, name


def test_each_module_imports_alone() -> None:
    """In whatever order: each module is imported in a process that has seen no other of ours."""
    names = json.dumps([name for name in modules() if not name.endswith("__main__")])
    assert json.loads(run("import torch\n" + IMPORT_EACH, names)) == []


def test_only_bridges_need_torch() -> None:
    """Outside the model, everything but its bridges is imported where torch is missing."""
    skipped = ("sitegen.ihdm", "sitegen.__main__")
    names = [name for name in modules() if not name.startswith(skipped)]
    lacking = json.loads(run(BLOCK + IMPORT_EACH, json.dumps(names)))
    assert {name for name in lacking if not name.startswith("sitegen.shots.")} <= BRIDGES


def test_help_of_every_command_without_torch() -> None:
    """`sitegen --help` and that of every command work where torch and the encoder are missing."""
    found = json.loads(run(BLOCK + HELP))
    assert {"", "add", "build", "sample", "inspect", "train"} <= set(found)
    for path, text in found.items():
        assert text.startswith(f"Usage: sitegen {path}".rstrip()), path


def test_the_block_blocks() -> None:
    """The tests above mean something: with the block in place torch cannot be imported."""
    with pytest.raises(AssertionError, match="torch is blocked"):
        run(BLOCK + "import torch")
