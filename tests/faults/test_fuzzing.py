"""Input that nobody thought of ends in words, soon: no traceback, no hang, no other exit code.

Each begins with something good, and changes it at random: characters, lines, whole values.
"""

import gzip
import json
import os
import re
import struct
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from sitegen.config.loader import load_site
from sitegen.content.pages import read_pages
from sitegen.core.errors import SitegenError
from sitegen.generative.card.card import read_card
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.data.images import read_images
from sitegen.media.manifest import Manifest, record_from_json
from sitegen.media.mp4 import clip_faults, mp4_size
from tests.support.builders import CARD, SITE, box, fake_mp4, write_site
from tests.support.datafiles import (
    array_file,
    batches,
    mnist_file,
    read_all_arrays,
    require_images,
)
from tests.support.fabricated import ENTRY, FULL, PAGE
from tests.support.making import published, save, small_card
from tests.support.publishing import Paper
from tests.support.sweeping import counted, examples, some
from tests.support.tinymodel import write_model

FEW, MANY = 20, 6000
SETTINGS = examples(FEW, MANY)
SETTINGS = type(SETTINGS)(
    SETTINGS, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PIECES = [
    *("", " ", "\n", "\0", "\ufeff", "\u202e", "\x1b[31m", "é", "\ud800", "𝕏", "\r\n", "\t"),
    *('"', "'", '"""', "[", "]", "[[", "{", "}", "{{", "}}", "{%", "%}", "{#", "=", ".", ",", "#"),
    *("0", "-1", "1e999", "nan", "inf", "9" * 40, "0x", "1979-05-27", "true", "null", "None"),
    *("../", "/etc/passwd", "~", "\\", "javascript:alert(1)", "<script>", "&lt;", "%00", "://"),
    *("$", "$$", "\\frac{", "```", "~~~", "[^1]", "[a](b)", "![", "|--|", "# ", "> ", "- ", "***"),
    *("trajectories(", ")", "count=", "seed=-1", "id=", "| safe", "self", "loop", "range(9)"),
]


@st.composite
def mutated(draw: st.DrawFn, good: str) -> str:
    """A good text with some places taken out, doubled, or given another piece."""
    text = good
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        piece = draw(st.sampled_from(PIECES) | st.text(max_size=8))
        how = draw(st.sampled_from(["put", "replace", "double", "cut"]))
        middle = {"put": piece + text[start:end], "replace": piece, "cut": ""}
        text = text[:start] + middle.get(how, text[start:end] * 2) + text[end:]
    return text


@st.composite
def mutated_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes with some places changed, taken out or doubled."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 12))
        piece = draw(st.binary(max_size=8) | st.sampled_from([b"\xff" * 8, bytes(8), b"\x7f" * 4]))
        how = draw(st.sampled_from(["put", "replace", "cut", "end"]))
        old = bytes(data[start : start + size])
        if how == "end":
            data = data[:start]
        else:
            data[start : start + size] = {"put": piece + old, "replace": piece, "cut": b""}[how]
    return bytes(data)


def ends_well(call: Callable[[], object]) -> None:
    """Called, it returns or raises one of our errors with something to say, soon."""
    started, told = time.process_time(), None
    try:
        call()
    except SitegenError as error:
        told = error
    assert told is None or (str(told).strip() and told.exit_code in range(1, 7))
    assert time.process_time() - started < 30
    counted("inputs changed at random", 1)


def write(path: Path, text: str) -> None:
    """Write what may be no Unicode."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose files are written anew for every example."""
    folder = tmp_path_factory.mktemp("fuzz") / "site"
    write_site(folder, site=SITE)
    return folder


CONFIG = FULL.replace("mnist", "tiny")


@pytest.mark.fault(34)
@SETTINGS
@given(text=mutated(CONFIG))
def test_any_config(folder: Path, text: str) -> None:
    """Whatever stands in `site.toml`, it is a site, or words with a place."""
    write(folder / "site.toml", text)
    ends_well(lambda: load_site(folder / "site.toml"))


@pytest.mark.fault(34)
@SETTINGS
@given(text=mutated(PAGE))
def test_any_page(folder: Path, text: str) -> None:
    """Whatever stands in a page, it is a page, or words with a place."""
    (folder / "site.toml").write_text(SITE)
    write(folder / "pages/index.md", text)
    site = load_site(folder / "site.toml")
    ends_well(lambda: read_pages(site))


@pytest.mark.fault(34)
@SETTINGS
@given(text=mutated(CARD + "[training]\nsteps = 3\n[quality]\nfid = 1.5\n"))
def test_any_card(folder: Path, text: str) -> None:
    """Whatever stands in `model.toml`, it is a card, or words with a place."""
    path = folder / "model.toml"
    write(path, text)
    ends_well(lambda: read_card(path))


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 1e400, "", "x", [], {}, [[]], "../x", 10**30]
)


@st.composite
def odd_values(draw: st.DrawFn, good: Any) -> Any:
    """A value of JSON with some of its parts replaced, added or gone."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ODD)
    if isinstance(good, Mapping):
        kept = {key: draw(odd_values(value)) for key, value in good.items()}
        for key in draw(st.lists(st.sampled_from([*kept, "odd", ""]), max_size=1)):
            kept[key] = draw(ODD)
        return kept
    if isinstance(good, list):
        return [draw(odd_values(value)) for value in good]
    return good


@pytest.mark.fault(34)
@SETTINGS
@given(value=odd_values({"version": 1, "figures": [ENTRY]}), data=st.data())
def test_any_manifest(value: Any, data: st.DataObject) -> None:
    """Whatever is in `media.json` or in a record of the store, it is read, or refused in words."""
    text = json.dumps(value)
    if data.draw(st.booleans()):
        text = data.draw(mutated(text))
    ends_well(lambda: Manifest.from_json(text))
    ends_well(lambda: record_from_json(text))


@pytest.fixture(scope="module")
def pth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The entries of a checkpoint as the published code writes it."""
    path = save(published(small_card()), tmp_path_factory.mktemp("pth") / "a.pth")
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.mark.fault(34)
@SETTINGS
@given(data=st.data())
def test_any_pickle(folder: Path, pth: dict[str, bytes], data: st.DataObject) -> None:
    """Whatever a `.pth` holds, its sums being right, it is read, or refused in words."""
    path, changed = folder / "a.pth", dict(pth)
    name = next(name for name in pth if name.endswith("data.pkl"))
    changed[name] = data.draw(mutated_bytes(pth[name][:4000])) + pth[name][4000:]
    with zipfile.ZipFile(path, "w") as file:
        for each, content in changed.items():
            file.writestr(each, content)
    ends_well(lambda: inspect_checkpoint(path))


@pytest.mark.fault(34)
@SETTINGS
@given(data=st.data())
def test_any_archive(folder: Path, pth: dict[str, bytes], data: st.DataObject) -> None:
    """Whatever bytes a `.pth` has, it is read, or refused in words."""
    path = folder / "b.pth"
    small = {name: content for name, content in pth.items() if len(content) < 3000}
    with zipfile.ZipFile(path, "w") as file:
        for each, content in list(small.items())[:6]:
            file.writestr(each, content)
    path.write_bytes(data.draw(mutated_bytes(path.read_bytes())))
    ends_well(lambda: inspect_checkpoint(path))


CIFAR, MNIST = "cifar-100-python/train", "train-images-idx3-ubyte"


@pytest.mark.fault(9, 34)
@SETTINGS
@given(data=st.sampled_from(batches()).flatmap(mutated_bytes))
def test_any_batch(folder: Path, data: bytes) -> None:
    """Whatever bytes a batch of CIFAR has, it is read as images of bytes, or refused in words."""
    path = folder / "data" / CIFAR
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    ends_well(lambda: require_images(read_images(path.parents[1])))


@pytest.mark.fault(9, 34)
@SETTINGS
@given(data=st.sampled_from([mnist_file(), gzip.compress(mnist_file(), mtime=0)]), more=st.data())
def test_any_idx(folder: Path, data: bytes, more: st.DataObject) -> None:
    """Whatever bytes a file in MNIST's format has, gzipped or not, it is read, or refused."""
    path = folder / MNIST
    changed = more.draw(mutated_bytes(data))
    path.write_bytes(gzip.compress(changed) if more.draw(st.booleans()) else changed)
    ends_well(lambda: require_images(read_images(path)))


@pytest.mark.fault(9, 34)
@SETTINGS
@given(data=st.data())
def test_any_arrays(folder: Path, data: st.DataObject) -> None:
    """Whatever bytes an `.npz` has, or an array in it, the arrays are read, or refused in words."""
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("run.json", "{}")
        file.writestr("a.npy", data.draw(st.just(array_file()) | mutated_bytes(array_file())))
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(mutated_bytes(path.read_bytes())))
    ends_well(lambda: read_all_arrays(path))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A safetensors file of a model."""
    model = write_model(tmp_path_factory.mktemp("weights") / "tiny")
    return (model / "weights.safetensors").read_bytes()


@pytest.mark.fault(34)
@SETTINGS
@given(data=st.data())
def test_any_safetensors(folder: Path, weights: bytes, data: st.DataObject) -> None:
    """Whatever header a safetensors file has, it is read, or refused in words."""
    path = folder / "a.safetensors"
    size = struct.unpack("<Q", weights[:8])[0]
    header = weights[8 : 8 + size].decode()
    if data.draw(st.booleans()):
        few = dict(list(json.loads(header).items())[:4])
        text = json.dumps(data.draw(odd_values(few)))
    else:
        text = data.draw(mutated(header[:600])) + header[600:]
    changed = text.encode("utf-8", "surrogatepass")
    told = data.draw(st.sampled_from([len(changed)] * 4 + [0, len(changed) - 1, 1 << 62]))
    path.write_bytes(struct.pack("<Q", told) + changed + weights[8 + size :])
    ends_well(lambda: inspect_checkpoint(path))


@pytest.mark.fault(34)
@SETTINGS
@given(data=mutated_bytes(fake_mp4(64, 48, bytes(16)) + box(b"free", bytes(8))))
def test_any_clip(folder: Path, data: bytes) -> None:
    """Whatever boxes an MP4 has, it is described, or its faults are told."""
    path = folder / "a.mp4"
    path.write_bytes(data)
    ends_well(lambda: clip_faults(path))
    ends_well(lambda: mp4_size(data))


GIT = """#!/bin/sh
n=$(cat {count} 2>/dev/null || echo 0)
echo $((n + 1)) > {count}
if [ "$n" = "{at}" ]; then {real} "$@" >/dev/null 2>&1 </dev/null; {says}; fi
exec {real} "$@"
"""
SAYS = [
    "exit 0",
    "echo; exit 0",
    "printf 'a\\0b\\tc\\n'; exit 0",
    "printf '\\377\\376 \\33[31m'; exit 0",
    "echo fatal: odd >&2; exit 128",
    "kill -9 $$",
    "head -c 100000 /dev/zero; exit 0",
]


@pytest.mark.fault(34)
@pytest.mark.parametrize("says", range(len(SAYS)))
def test_any_answer_of_git(
    paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: int
) -> None:
    """Whatever git answers at any of its calls, it ends in words, and the next publish succeeds."""
    paper.publish()
    real = next(path for path in os.get_exec_path() if Path(path, "git").exists()) + "/git"
    stub, count = tmp_path / "bin/git", tmp_path / "count"
    stub.parent.mkdir()
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    tried = some(range(24), 2)
    for at in tried:
        paper.rebuild(f"Words {says} {at}.")
        count.write_text("0")
        stub.write_text(GIT.format(count=f"'{count}'", at=at, real=real, says=SAYS[says]))
        stub.chmod(0o755)
        ends_well(paper.publish)
        stub.unlink()
        paper.publish()
        assert paper.files() == paper.built()
    assert re.fullmatch(r"\d+\n?", count.read_text())
