"""What a build makes of the same store, byte for byte, and the digests that stores rely on.

`golden/records/` holds what sampling once made of a figure of each kind, less the pictures; the
files of the figures are made up. `golden/digests.json` says what is built from that. After a
change that is meant, look at what differs and write it anew:

    GOLDEN=write .venv/bin/python -m pytest tests/tools/test_golden.py
"""

import ast
import json
import os
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder.assembly import assemble
from sitegen.builder.install import install
from sitegen.builder.plan import BuildOptions, prepare
from sitegen.builder.store import Store
from sitegen.config.schema import load_site
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.files import canonical_json, digest, digest_bytes
from sitegen.figures.base import spec_json
from sitegen.figures.registry import figure_kinds
from sitegen.generative.card.card import preset, presets, read_card
from sitegen.media.manifest import (
    Manifest,
    Media,
    MediaAxis,
    Record,
    record_from_json,
    record_to_json,
)
from tests.support.calling import make_figure
from tests.support.paths import MAKERS, ROOT, TESTS

GOLDEN = TESTS / "golden"
DIGESTS = GOLDEN / "digests.json"
WRITING = os.environ.get("GOLDEN") == "write"
SITES = {"site": ROOT, "manual": ROOT / "docs"}
WRITERS = ("jinja2", "latex2mathml", "markdown-it-py", "mdit-py-plugins", "tomlkit")
"""The packages whose versions may change the text of a page."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "trajectories": {"count": 5, "columns": 2, "seed": 3, "show": "mean", "fps": 12.0},
    "shared_initial_state": {"count": 7, "sampling_noise_std": 0.5},
    "hierarchy": {"splits": [9, 4]},
    "interpolation": {"ddpm": "other", "samples": [3, 4, 5, 6], "points": 12},
    "shared_noise": {"count": 4, "rows": 2, "vary": "colour"},
    "process": {"columns": 4},
    "spectra": {"ddpm": "other", "count": 5, "levels": 3},
    "renoise": {"levels": [3, 2], "count": 2},
    "gallery": {"count": 1},
    "sampler": {"count": 4, "seed": 2},
    "atlas": {"columns": 3, "target": "1.302", "beside": "other"},
}


def test_what_keys_hold() -> None:
    """The digests of cards, and the words for what decides the pixels of each kind."""
    shipped = sorted(ROOT.glob("models/*/model.toml"))
    cards = {path.parent.name: read_card(path).digest for path in shipped}
    cards |= {f"preset {name}": preset(name).digest for name in presets()}
    expect("cards", cards)
    found = {}
    for kind in figure_kinds():
        for name, arguments in (("plain", {}), ("full", ARGUMENTS.get(kind, {}))):
            first, root = ("digits",), Path()
            if kind == "gallery":
                first, root = ("pictures/digit.png",), ROOT / "docs"
            place = SourceLocation("pages/index.md", 1)
            figure = make_figure(kind, first, arguments, place, root=root)
            recipe = figure.spec.recipe
            found[f"{kind} {name}"] = f"{recipe} {canonical_json(spec_json(figure))}"
    expect("specs", found)


def test_code_that_makes_files() -> None:
    """Code that makes figures' files changes with a raised `recipe`, or leaves their bytes equal.

    Every number in a drawing function decides pixels, and the constants in keys are not all of
    them. Comments, docstrings and the layout of the code are no part of the digest.
    """
    found = {path.relative_to(ROOT).as_posix(): code_digest(path) for path in MAKERS}
    fonts = sorted((ROOT / "sitegen/media/fonts").iterdir())
    found |= {path.relative_to(ROOT).as_posix(): digest(path) for path in fonts}
    changed = [] if WRITING else sorted(set(found.items()) ^ set(known()["makers"].items()))
    assert not changed, (
        f"{sorted(dict(changed))}: if a file of a figure has other bytes now, raise `recipe` of "
        "its kind; if none has, render each kind before and after and compare. Then GOLDEN=write"
    )
    expect("makers", found)


def code_digest(path: Path) -> str:
    """The digest of a module's code, the same for every Python."""
    return digest_bytes(canonical_json(shape(ast.parse(path.read_text("utf-8")))).encode())


def shape(node: object) -> object:
    """What a node of the syntax tree says, without docstrings and without what is empty."""
    if isinstance(node, list):
        words = (
            isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in node
        )
        return [shape(each) for each, text in zip(node, words, strict=True) if not text]
    if not isinstance(node, ast.AST):
        return repr(node)
    told = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    told.pop("is_lazy", None)  # of imports, from Python 3.15
    return [type(node).__name__, {name: shape(value) for name, value in told.items()}]


def test_records_and_manifest() -> None:
    """A record and a manifest of everything that they can hold are written as they were."""
    record = golden_record("hierarchy", "an-id")
    media = Media(
        "an-id",
        "index.html",
        "Words\u2026",
        "A caption",
        record,
        MediaAxis("σ_B", "px", (0.0, 0.5)),
    )
    texts = {"record": record_to_json(record), "manifest": Manifest((media,)).to_json()}
    expect("texts", {name: digest_bytes(text.encode()) for name, text in texts.items()})


@pytest.mark.parametrize("name", SITES)
def test_every_file_of_a_site(name: str, tmp_path: Path) -> None:
    """Built from one store, each file of the shipped site and of the manual is what it was."""
    built = build_from_records(copy_site(SITES[name], tmp_path / name))
    paths = (path for path in sorted(built.rglob("*")) if path.is_file())
    files = {path.relative_to(built).as_posix(): digest(path) for path in paths}
    versions = {package: metadata.version(package) for package in WRITERS}
    if not WRITING and known()[f"{name} versions"] != versions:  # others may write other bytes
        assert sorted(files) == sorted(known()[name])
        return
    expect(name, files)
    expect(f"{name} versions", versions)


def copy_site(source: Path, target: Path) -> Path:
    """Copy what an author wrote, and the models, to where nothing has been built."""
    target.mkdir()
    shutil.copy(source / "site.toml", target)
    for folder in ("pages", "pictures", "theme", "own"):
        if (source / folder).is_dir():
            shutil.copytree(source / folder, target / folder)
    shutil.copytree(ROOT / "models", target / "models")
    return target / "site.toml"


def build_from_records(config: Path) -> Path:
    """Fill a store with the golden records, and put the site that they make in its place."""
    context = prepare(
        load_site(config), BuildOptions(ComputeTarget("cpu", "float32"), offline=True)
    )
    store = Store(context.site.cache_dir)
    records = {}
    for planned in context.figures:
        record = golden_record(planned.figure.kind, planned.figure.id)
        with store.workspace() as folder:
            for key, file in record.files.items():
                (folder / file.path).write_bytes(content(planned.figure.id, key))
            store.put(planned.key, record, folder)
        records[planned.key] = record
    install(assemble(context, records), context.output)
    return context.output


def golden_record(kind: str, figure: str) -> Record:
    """What sampling once made of a kind, with files that hold nothing but the figure's name."""
    record = record_from_json((GOLDEN / "records" / f"{kind}.json").read_text("utf-8"))
    files = {
        key: replace(file, bytes=len(data), sha256=digest_bytes(data))
        for key, file in record.files.items()
        for data in (content(figure, key),)
    }
    return replace(record, files=files)


def content(figure: str, key: str) -> bytes:
    """What stands in a made-up file of a figure."""
    return f"{figure} {key}\n".encode()


def known() -> dict[str, Any]:
    """The golden digests."""
    found: dict[str, Any] = json.loads(DIGESTS.read_text("utf-8"))
    return found


def expect(name: str, found: object) -> None:
    """Compare with the golden digests, or write them."""
    if WRITING:
        everything = {**known(), name: found}
        DIGESTS.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n", "utf-8")
    assert found == known()[name]
