"""Input that nobody thought of ends in words, soon: no traceback, no hang, no other exit code.

Each begins with something good, and changes it at random: characters, lines, whole values.
"""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from sitegen.core.errors import SitegenError
from tests.support.sweeping import counted, examples
from tests.support.targets import JSON, TARGETS

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


CHANGED = 4000
"""Bytes at the start of an input that are changed; structure is there, and numbers come later."""


@st.composite
def changed(draw: st.DrawFn, kind: str, good: bytes) -> bytes:
    """Good input of a kind, changed: its text, its values, or its bytes."""
    head, rest = good[:CHANGED], good[CHANGED:]
    if kind in JSON and draw(st.booleans()):
        values = json.loads(good)
        return json.dumps(draw(odd_values(dict([*values.items()][:4])))).encode()
    if kind in ("card", *JSON):
        return draw(mutated(head.decode(errors="replace"))).encode("utf-8", "surrogatepass") + rest
    return draw(mutated_bytes(head)) + rest


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A kind of input, something good to begin with, and a reader of it."""
    folder = tmp_path_factory.mktemp("fuzz")
    return (request.param, *TARGETS[request.param](folder))


@SETTINGS
@given(data=st.data())
def test_any_input(target: Any, data: st.DataObject) -> None:
    """Whatever a file of others holds, it is read, or refused in words: cards, weights, data."""
    kind, good, read = target
    ends_well(partial(read, data.draw(changed(kind, good))))
