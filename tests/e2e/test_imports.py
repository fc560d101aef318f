"""Each module stands alone, and little of it needs torch or the encoder; layers: import-linter."""

import json
import sys
from functools import cache

import grimp
import pytest

from tests.support.builders import run_python

# What needs torch or the encoder as soon as it is imported, beside `generative`.
BRIDGES = {
    "sitegen.figures.prior_spread",
    "sitegen.models.priors", "sitegen.models.training",
    "sitegen.sampling.models", "sitegen.sampling.hosted",
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
def graph() -> dict[str, set[str]]:
    """Which modules of the package each imports anywhere but for types, also inside functions."""
    found = grimp.build_graph("sitegen", cache_dir=None, exclude_type_checking_imports=True)
    return {name: found.find_modules_directly_imported_by(name) for name in found.modules}


def test_only_bridges_need_torch() -> None:
    """Outside the model, its bridges alone cannot be imported without torch and encoder."""
    skipped = ("sitegen.generative.", "sitegen.__main__")
    names = [name for name in graph() if not name.startswith(skipped)]
    lacking = json.loads(run(BLOCK + IMPORT_EACH, json.dumps(names)))
    assert {*lacking} == BRIDGES
    names = [name for name in graph() if not name.endswith("__main__")]
    assert json.loads(run(IMPORT_EACH, json.dumps(names))) == []  # where all is installed


HEAVY = {"torch", "numpy", "imageio", "imageio_ffmpeg", "PIL", "latex2mathml", "tomlkit"}
RENDERS = "sitegen.figures.registry, sitegen.content.pages, sitegen.html.render"
KINDS = "sitegen.figures.registry as registry; registry.figure_kinds()"
PLANS = (
    "sitegen.builder.render as render;"
    "assert render.environment(render.ComputeTarget('cpu', 'float32'))"
)


@pytest.mark.parametrize(
    ("names", "allowed"), [(RENDERS, set()), (KINDS, set()), (PLANS, {"numpy", "tomlkit"})]
)
def test_nothing_heavy_is_imported(names: str, allowed: set[str]) -> None:
    """Reading, rendering and planning import no torch, encoder or Pillow; versions are read."""
    run(f"import sys, {names}\nassert not {HEAVY - allowed} & set(sys.modules)")


def test_the_recorder_stands_alone() -> None:
    """`sitegen.record` imports nothing else of sitegen, and NumPy only when something is recorded.

    So importing it takes no time, and its file works outside of sitegen.
    """
    assert graph()["sitegen.record"] == set()
    run(
        "import sys; import sitegen.record\n"
        "ours = {name for name in sys.modules if name.startswith('sitegen')}\n"
        "assert ours == {'sitegen', 'sitegen.record'}\n"
        "assert 'numpy' not in sys.modules and not {'click', 'torch'} & set(sys.modules)"
    )


LOADS = """
import sys
from pathlib import Path
from sitegen.generative.checkpoints.loading import load_model
from sitegen.models.registry import model_source
source = model_source("faces", Path("models/faces"))
load_model(source.weights, source.card)
assert "torch" in sys.modules and "torch._dynamo" not in sys.modules
"""


def test_a_model_is_loaded_without_the_compiler() -> None:
    """Loading a cascade imports no compiler of torch's, which takes seconds and leaves words."""
    run(LOADS)
