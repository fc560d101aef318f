"""Each module stands alone, and little of it needs torch or the encoder; layers: import-linter."""

import ast
import json
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
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
def trees() -> dict[str, ast.Module]:
    """Every module of the package, parsed."""
    return {name: ast.parse(path.read_text("utf-8")) for name, path in modules().items()}


@cache
def graph() -> dict[str, set[str]]:
    """Which modules of the package each module imports anywhere, also inside functions."""
    found = {}
    for name, tree in trees().items():
        targets = {target for node in ast.walk(tree) for target in imported(node)}
        found[name] = targets & modules().keys() - {name}
    return found


def test_no_cycles() -> None:
    """No module reaches itself, counting imports inside functions."""
    assert tuple(TopologicalSorter(graph()).static_order())  # raises CycleError


def test_no_kind_of_figure_knows_another() -> None:
    """What several kinds share stands beside their folders, not in one of them."""
    rooms = [path.name for path in (PACKAGE / "figures").iterdir() if (path / "sample.py").exists()]
    assert len(rooms) >= 8
    kinds = tuple(f"sitegen.figures.{room}" for room in rooms)
    for name, others in graph().items():
        if own := [kind for kind in kinds if f"{name}.".startswith(f"{kind}.")]:
            known = {other for other in others if other.startswith(kinds)}
            assert all(f"{other}.".startswith(f"{own[0]}.") for other in known), name


def test_no_two_classes_of_one_name() -> None:
    """One word means one thing in the whole package."""
    nodes = (node for tree in trees().values() for node in ast.walk(tree))
    names = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
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
