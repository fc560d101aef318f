"""Media: what is written is read back equal, in the contracted shape; damage is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitegen.core.errors import RefusedError
from sitegen.media.manifest import (
    Cells,
    Manifest,
    Media,
    MediaAxis,
    MediaFile,
    ModelRef,
    Record,
    TreeNode,
    record_from_json,
    record_to_json,
)

DIGEST = "0123456789abcdef" * 4
CLIP = MediaFile("media/a.mp4", 1000, DIGEST, 336, 336, 100, 24.0)
POSTER = MediaFile("media/a.webp", 10, DIGEST, 336, 336)
RECORD = Record(
    kind="trajectories",
    models=(ModelRef("mnist", DIGEST),),
    seed=0,
    parameters={"count": 36, "delta": 0.0125, "show": "state", "columns": None, "list": [1, [2]]},
    levels=(99, 98, 0),
    files={"mp4": CLIP, "poster": POSTER},
)
MEDIA = Media("mnist-trajectories", "index.html", "36 samples", "Ziffern – ≤ 数字 “ ”", RECORD)
MANIFEST = Manifest((MEDIA, replace(MEDIA, id="second")))

words = st.text(st.characters(codec="utf-8"))
names = st.text("abcdefghij-", min_size=1, max_size=8)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
sizes = st.integers(1, 10**12)
rates = st.none() | st.floats(1e-3, 1e3) | st.integers(1, 240)
parameters = st.recursive(
    st.none() | st.booleans() | st.integers() | words | st.floats(allow_nan=False).filter(abs),
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=6,
)
media_files = st.builds(
    MediaFile,
    path=st.lists(names, min_size=1, max_size=3).map("/".join),
    bytes=sizes,
    sha256=digests,
    width=sizes,
    height=sizes,
    frames=st.none() | sizes,
    fps=rates,
)
records = st.builds(
    Record,
    kind=words,
    models=st.lists(st.builds(ModelRef, words, digests), max_size=2).map(tuple),
    seed=st.integers(),
    parameters=st.dictionaries(words, parameters.filter(lambda value: value != float("inf"))),
    levels=st.lists(st.integers(0, 1000), max_size=4).map(tuple),
    files=st.dictionaries(words, media_files, max_size=2),
    results=st.dictionaries(words, parameters.filter(lambda v: v != float("inf"))),
    environment=st.dictionaries(words, words, max_size=2),
)


finite = records.filter(lambda r: "Infinity" not in json.dumps([r.parameters, r.results]))


@settings(max_examples=25)
@given(finite)
def test_what_is_written_comes_back_equal(record: Record) -> None:
    """Reading it gives the same value, and writing that the same bytes; in order."""
    text = record_to_json(record)
    assert record_from_json(text) == record
    assert record_to_json(record_from_json(text)) == text
    turned = replace(record, parameters=dict(reversed(list(record.parameters.items()))))
    assert record_to_json(turned) == text


def test_manifest_has_the_contracted_shape() -> None:
    """One flat entry a figure, with the fields of DESIGN, and others only where there are any."""
    value = json.loads(MANIFEST.to_json())
    assert set(value) == {"version", "figures"}
    assert value["version"] == 1
    fields = "id kind models seed parameters levels files alt caption page"
    assert set(value["figures"][0]) == set(fields.split())
    clip = value["figures"][0]["files"]["mp4"]
    assert clip == vars(CLIP)
    assert "frames" not in value["figures"][0]["files"]["poster"]
    assert "数字" in MANIFEST.to_json()
    results = {"summary": "Less power.", "tables": []}
    environment = {"device": "cuda", "torch": "2.9.1"}
    record = replace(RECORD, results=results, environment=environment)
    axis = MediaAxis("σ_B", "px", (0.0, 19.5, 20.0))
    nodes = (TreeNode(0, 2, None, 4, 4), TreeNode(8, 0, 0, 3, 0))
    record = replace(record, cells=Cells(2, 4, 4, nodes=nodes), note="Noised anew.")
    more = replace(MEDIA, record=record, axis=axis)
    (entry,) = json.loads(Manifest((more,)).to_json())["figures"]
    known = {"symbol": "σ_B", "unit": "px", "values": [0.0, 19.5, 20.0]}
    assert (entry["results"], entry["axis"]) == (results, known)
    assert entry["environment"] == environment


def test_damage_is_refused() -> None:
    """Text that is cut, odd numbers, and values of another type."""
    text = record_to_json(RECORD)
    for length in range(0, len(text) - 1, 50):
        with pytest.raises(RefusedError):
            record_from_json(text[:length])
    for number in ["NaN", "Infinity", "1e999"]:
        with pytest.raises(ValueError, match="JSON"):
            record_to_json(replace(RECORD, parameters={"a": float(number)}))
    for old in ['"seed": 0', '"frames": 100', '"fps": 24.0']:
        assert old in text
        with pytest.raises(RefusedError, match="True"):
            record_from_json(text.replace(old, old.split(":")[0] + ": true"))


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "damaged"), ("[" * 100_000, "damaged"),
     ('{"version": 0}', "version 0 must be 1"), ('{"version": "1"}', "version '1' must be 1"),
     ('{"version": true}', "version True must be 1"), ('{"version": 1, "kind": 1}', "kind: "),
     ("\ud800", "damaged"), ("null", "damaged")],
)  # fmt: skip
def test_odd_texts_are_refused(text: str, words: str) -> None:
    """Deep nesting, other types and versions: refused, each in its words."""
    with pytest.raises(RefusedError, match=words):
        record_from_json(text)


PATHS = ["", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "a\\b", "http:x", "a?b", "a#b", "a\n"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", "../../etc"), ("sha256", DIGEST.upper()), ("bytes", 0), ("width", -1),
     ("fps", 0.0), *(("path", path) for path in PATHS)],
)  # fmt: skip
def test_fields_are_checked(field: str, value: Any) -> None:
    """Digests are digests, sizes are sizes, and paths stay inside, so that others need not look."""
    with pytest.raises(ValueError, match=field):
        replace(CLIP, **{field: value})
