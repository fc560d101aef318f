"""Recordings are read a step at a time, and refused where they are not what they claim."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.recording import open_recording, recorded_card
from sitegen.record import record
from tests.support.making import entries_of, npy_bytes, zipped

Members = dict[str, bytes]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One sample that splits into two, and these into four."""
    x = np.linspace(-1, 1, 4 * 16).reshape(4, 1, 4, 4)
    with record(tmp_path / "tree.npz", axis=("σ", "px"), seed=3, dtype="float32") as rec:
        rec(1.0, x[:1])
        rec(0.7, x[:2], parents=[0, 0], final=x[:2])
        rec(0.1 + 0.2, x[:2], final=x[:2])
        rec(0, x, mean=x / 2, parents=[0, 0, 1, 1])
    return tmp_path / "tree.npz"


def test_what_a_card_says(tree: Path) -> None:
    """The card has axis, splits and what was recorded, and is written and read back equal."""
    card = recorded_card(open_recording(tree), "digits")
    assert card.recording is not None
    assert (card.levels, card.shape, card.recording.count) == (3, (1, 4, 4), 4)
    assert card.recording.values == (0.0, 0.3, 0.7, 1.0)
    assert card.recording.splits == (3, 1)
    assert card.abilities == {"tree", "fan", "final"}
    assert ModelCard.from_toml(card.to_toml()) == card
    assert card.networks == ()
    with pytest.raises(ConfigError, match="a recording has no network"):
        load_model(tree, card)


def test_states_of_samples(tree: Path) -> None:
    """A sample's states are those of its ancestors; a tree has each once; the mean is last."""
    recording = open_recording(tree)
    x = np.linspace(-1, 1, 4 * 16, dtype=np.float32).reshape(4, 1, 4, 4)
    expected: list[Any] = [x[[0, 0]], x[[1, 0]], x[[1, 0]], x[[3, 0]] / 2]
    for found, states in zip(recording.states("state", [3, 0]), expected, strict=True):
        np.testing.assert_allclose(found, (states + 1) / 2, atol=1e-6)
    assert [len(states) for states in recording.states("final")] == [1, 2, 2, 4]
    recording.check()


def test_the_recorded_images_are_final_at_the_last_step_too(tmp_path: Path) -> None:
    """The last step shows what was recorded as final, else its mean; as a state, its mean."""
    black, grey, white = (np.full((1, 1, 4, 4), each) for each in (-1, 0, 1))
    with record(tmp_path / "a.npz") as rec:
        for step in range(3):
            rec(step, black, final=white, mean=grey)
    recording = open_recording(tmp_path / "a.npz")
    shows: tuple[Any, ...] = ("final", "state", "mean")
    found = {show: [each.mean() for each in recording.states(show)] for show in shows}
    assert found == {"final": [1, 1, 1], "state": [0, 0, 0.5], "mean": [0.5, 0.5, 0.5]}


def test_runs_in_several_files(tmp_path: Path) -> None:
    """A step that splits in three makes no tree, and samples of several starts make no fan."""
    x = np.zeros((2, 1, 4, 4))
    with record(tmp_path / "a.npz") as rec:
        rec(0, x)
        rec(1, x.repeat(3, 0), parents=[0, 0, 0, 1, 1, 1])
    card = recorded_card(open_recording(tmp_path / "a.npz"))
    assert card.recording is not None
    assert (card.recording.splits, card.recording.one_start) == ((), False)


def change(source: Path, edit: Callable[[dict[str, Any], Members], None]) -> Path:
    """Write the recording again with its description or members changed."""
    members = entries_of(source)
    run = json.loads(members.pop("run.json"))
    edit(run, members)
    return zipped(source.with_name("changed.npz"), {**members, "run.json": json.dumps(run)})


def member(name: str, array: Any) -> Callable[[dict[str, Any], Members], None]:
    return lambda run, members: members.update({name: npy_bytes(array)})


def description(**values: Any) -> Callable[[dict[str, Any], Members], None]:
    return lambda run, members: run.update(values)


def step(at: int, **values: Any) -> Callable[[dict[str, Any], Members], None]:
    return lambda run, members: run["steps"][at].update(values)


HOSTILE = [
    (member("state/00001.npy", np.array([{}], dtype=object)), "Python objects"),
    (member("state/00001.npy", np.zeros((2, 1, 4, 5))), r"00001.npy has the shape \(2, 1, 4, 5\)"),
    (member("state/00001.npy", np.full((2, 1, 4, 4), np.nan)), "00001.npy has values that are not"),
    (member("state/00001.npy", np.full((2, 1, 4, 4), 1e300)), "far beyond its range"),
    (member("state/00001.npy", np.zeros((2, 1, 4, 4), np.int64)), "has the type int64"),
    (lambda run, members: members.pop("state/00003.npy"), "state/00003.npy is missing"),
    (description(format="other"), "format"),
    (description(version=2), "run.json: version = 2: Input should be 1"),
    (description(range=[1.0, 1.0]), "must rise"),
    (description(shape=[2, 4, 4]), "2 channels"),
    (description(shape=[1, 4, 10**30]), "shape"),
    (description(steps=[]), "the number of steps is 0; record 2 or more"),
    (description(range=[0.0, 1e-320]), "far beyond its range"),
    (
        description(axis=["t" * 1000, ""]),
        r'axis\[0\] = "t+…": String should have at most 200 characters',
    ),
    (description(axis=["t"]), r'axis = \["t"\]: .*at least 2 items'),
    (description(positions=[0.0, 0.5, 1.0]), "4 samples cannot be paths of 3"),
    (step(1, parents=[0, 5]), "names parent 5"),
    (step(1, parents=[0]), "1 parents for 2 samples"),
    (description(captions=["a"]), "1 captions for 4 samples"),
    (step(1, parents=[0, -1]), "parents"),
    (step(1, parents=None), "no parents"),
    (step(2, count=10**9), "count"),
    (step(2, has=["final"]), "step 2 must have a state"),
    (step(2, has=["state", "../../x"]), "has"),
]


@pytest.mark.parametrize(("edit", "fault"), HOSTILE, ids=[fault for _, fault in HOSTILE])
def test_hostile_recordings_are_refused(tree: Path, edit: Any, fault: str) -> None:
    """Whatever is wrong is refused with the file and the member, before it can do harm."""
    changed = change(tree, edit)
    with pytest.raises(RefusedError, match=fault) as caught:
        open_recording(changed).check()
    assert str(changed) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_card_says_of_limits(tmp_path: Path, tree: Path) -> None:
    """A run that did not end, bytes and scaled states are in the card; otherwise nothing is."""
    with record(tmp_path / "a.npz", dtype="uint8", scale=lambda _: 0.5) as rec:
        rec(0, np.zeros((1, 1, 4, 4)))
        rec(1, np.zeros((1, 1, 4, 4)))
    changed = change(tmp_path / "a.npz", description(finished=False))
    card = recorded_card(open_recording(changed))
    assert ModelCard.from_toml(card.to_toml()) == card
    assert card.recording is not None
    assert (card.recording.finished, card.recording.clipped, card.recording.scaled) == (
        False,
        True,
        True,
    )
    assert "did not end" in card.recording.remarks(states=True)
    assert "multiplied by a factor" in card.recording.remarks(states=True)
    assert "multiplied" not in card.recording.remarks(states=False)
    whole = recorded_card(open_recording(tree))
    assert whole.recording is not None
    assert not whole.recording.remarks(states=True)


def test_a_card_names_its_file(tree: Path) -> None:
    """What a card cannot have is refused with the file."""
    for values, fault in (
        ({"axis": ["a\x07", "b\x07"]}, "symbol.*; unit"),
        ({"made_with": "a\u202eb"}, "made_with.*without control characters"),
    ):
        changed = change(tree, description(**values))
        with pytest.raises(RefusedError, match=f"{changed}: .*{fault}") as caught:
            recorded_card(open_recording(changed))
        assert "\n" not in str(caught.value)


def test_positions_that_are_not_even_make_no_paths(tree: Path) -> None:
    """Figures measure how even a path is, so only evenly spaced positions are taken for one."""
    for positions, known in (([0.0, 0.1, 0.2, 1.0], None), ([0.0, 0.33, 0.67, 1.0], 4)):
        changed = change(tree, description(positions=positions))
        assert open_recording(changed).config().positions == known


def test_other_files_are_refused(tmp_path: Path) -> None:
    """An .npz of something else and broken JSON are refused."""
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(RefusedError, match="is not a recording"):
        open_recording(tmp_path / "other.npz")
    zipped(tmp_path / "json.npz", {"run.json": "[" * 100_000})
    with pytest.raises(RefusedError, match=r"run\.json: Invalid JSON"):
        open_recording(tmp_path / "json.npz")


def test_a_large_description_is_not_read(tmp_path: Path) -> None:
    """A run.json of 34 MB is refused by its size, and one that packs to little by that."""
    for way, words in (
        (zipfile.ZIP_STORED, "34,000,000 bytes"),
        (zipfile.ZIP_DEFLATED, "far more"),
    ):
        zipped(tmp_path / "a.npz", {"run.json": " " * 34_000_000}, way)
        with pytest.raises(RefusedError, match=words):
            open_recording(tmp_path / "a.npz")


def test_texts_of_samples(tmp_path: Path) -> None:
    """Labels or captions are those of the finished samples; a wrong number costs only them."""
    x, path = np.zeros((2, 1, 4, 4)), tmp_path / "texts.npz"
    for options, texts in (
        ({"labels": ["cat", 7]}, ("cat", "7")),
        ({"labels": torch.tensor([3, 7])}, ("3", "7")),
        ({"labels": [1, 2], "captions": ["a cat", "a dog"]}, ("a cat", "a dog")),
        ({}, None),
    ):
        with record(path, **options) as rec:
            rec(1, x)
            rec(0, x)
        facts = recorded_card(open_recording(path)).recording
        assert facts is not None
        assert facts.captions == texts
    short = record(path, captions=["a"])
    short.__enter__()
    short.scan([1, 0], [x, x])
    with pytest.raises(ValueError, match="captions: 1 for 2 samples; give one for each; the file"):
        short.__exit__(None, None, None)
    without = open_recording(path)
    without.check()
    assert (without.run.finished, without.run.captions) == (True, None)
    with pytest.raises(ValueError, match="labels: give texts of at most 200"):
        record(path, labels=["a\nb"])
