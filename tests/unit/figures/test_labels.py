"""Figures with class labels: which sample has which, and the names under their pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.base import Figure, evaluations, spec_json
from sitegen.figures.clips import captioned, grid_job
from sitegen.generative.card.card import ModelCard, read_card
from sitegen.generative.card.labels import Condition, LabelsConfig
from sitegen.generative.data.recording import open_recording, recorded_card
from sitegen.media.frames import PAPER, sheet
from sitegen.media.manifest import Cells
from sitegen.models.registry import model_source
from sitegen.record import record
from sitegen.sampling.export import Request, draw_samples
from sitegen.sampling.models import Sampler, load_sampler
from sitegen.sampling.trajectory import Paths
from tests.support.builders import CPU
from tests.support.calling import make_figure
from tests.support.making import small_card
from tests.support.paths import ROOT
from tests.support.reporters import Silent
from tests.support.tinymodel import card_of, on_one_thread, write_model

Images = NDArray[np.float32]
NAMES = ("cat", "dog", "owl")
UNET: dict[str, Any] = {"num_classes": 4, "norm_groups": 8, "labels": LabelsConfig(NAMES)}
CARD = small_card(**UNET)
PLACE = SourceLocation("index.md", 1)

one_thread = pytest.fixture(autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """A tiny model that takes labels."""
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny", **UNET)
    loaded = load_sampler(model_source("tiny", folder), CPU)
    embedding = loaded.model.unet.label_emb
    embedding.weight.data *= 100  # so that a random network's labels matter
    return loaded


def call(kind: str, **arguments: Any) -> Figure:
    """A figure of the model."""
    return make_figure(kind, ("tiny",), arguments, PLACE)


def ended(stream: Any) -> Images:
    """The finished images of a stream."""
    *_, (_, images) = stream.seen("mean")
    found: Images = images
    return found


@pytest.mark.parametrize(
    ("kind", "arguments", "labels"),
    [
        ("trajectories", {"labels": "owl"}, (2,)),
        ("trajectories", {"labels": ["owl", 0], "count": 4}, (2, 0, 2, 0)),
        ("trajectories", {"labels": "all"}, (0, 1, 2)),
        ("trajectories", {"labels": "all", "count": 2}, (0, 1, 2, 0, 1, 2)),
        ("shared_initial_state", {"labels": "all", "samples": [5]}, (0, 1, 2)),
        ("shared_noise", {"labels": "all", "count": 3, "rows": 2}, (0, 1, 2, 0, 1, 2)),
        ("hierarchy", {"labels": 1}, (1,)),
        ("interpolation", {"labels": ["cat", "owl"]}, (0, 2)),
        ("spectra", {"labels": "1", "count": 9}, (1,)),
        ("process", {"labels": "dog"}, (1,)),
        ("trajectories", {}, None),
    ],
)
def test_which_sample_has_which(
    kind: str, arguments: dict[str, Any], labels: tuple[int, ...] | None
) -> None:
    """Labels are given by name or number, one for all or one for each, or are all there are."""
    figure = call(kind, **arguments)
    found = figure.spec.condition(CARD)
    assert (found.labels if found else None) == labels
    assert not [fault for fault in figure.spec.unmet([CARD]) if "label" in fault]
    text = figure.description([CARD])
    names = [NAMES[label] for label in dict.fromkeys(labels or ())]
    assert all(name in text for name in names)
    assert ("of the class" in text) == bool(names)


@pytest.mark.parametrize(
    ("arguments", "card", "fault"),
    [
        ({"labels": "cow"}, CARD, 'no label "cow", did you mean "owl"? the labels are cat, dog'),
        ({"labels": 3}, CARD, "no label 3; the labels are cat, dog, owl"),
        ({"labels": ["cat", "dog"], "count": 5}, CARD, "2 for 5 samples; give one for all"),
        ({"guidance": 1.0}, CARD, "guidance = 1: goes towards labels"),
        ({"labels": "cat"}, small_card(), "labels and guidance: the model tiny takes none"),
        ({"guidance": 1.0}, small_card(), "labels and guidance: the model tiny takes none"),
        (
            {"labels": "cat", "guidance": 1.0},
            small_card(num_classes=3, labels=LabelsConfig(NAMES, optional=False)),
            "the model tiny never draws without a label",
        ),
        (
            {},
            small_card(num_classes=3, labels=LabelsConfig(NAMES, optional=False)),
            "labels is missing: the model tiny draws by label only: cat, dog, owl",
        ),
    ],
)
def test_faults(arguments: dict[str, Any], card: ModelCard, fault: str) -> None:
    """What does not fit the model is said with the labels that it has."""
    (found,) = call("trajectories", **arguments).spec.unmet([card])
    assert fault in found


def test_other_faults() -> None:
    """All classes decide the columns; a path without labels needs two samples."""
    (found,) = call("trajectories", labels="all", count=2, columns=1).spec.unmet([CARD])
    assert 'columns = 1: with labels = "all" each is a class' in found
    (found,) = call("interpolation", samples=[1, 1]).spec.unmet([CARD])
    assert "two different samples for each row, or two labels" in found


def test_a_row_of_all_classes(sampler: Sampler) -> None:
    """Its pictures are one sample with each label, from one start if that is shared."""
    numbers = (4, 4, 4)
    all_labels = sampler.conditioned(Condition((0, 1, 2)))
    images = ended(all_labels.begin(0, numbers))
    for label in range(3):
        alone = ended(sampler.conditioned(Condition((label,), 0.0)).begin(0, [4]))
        assert np.allclose(images[label], alone[0], atol=1e-5)
    assert not np.allclose(images[0], images[1], atol=1e-3)
    fan = all_labels.fan(0, numbers)
    assert bool((fan.start == sampler.start(0, [4])).all())
    assert np.allclose(ended(fan), images, atol=1e-5)  # the prior of this model has no labels


def test_from_label_to_label(sampler: Sampler) -> None:
    """With one noise, the ends of a path are the sample with either label."""
    path = sampler.conditioned(Condition((0, 2))).paths(Paths(0, ((3, 3),), 5))
    images = ended(path)
    for at, label in ((0, 0), (4, 2)):
        alone = ended(sampler.conditioned(Condition((label,))).begin(0, [3]))
        assert np.allclose(images[at], alone[0], atol=1e-5)
    steps = np.abs(np.diff(images, axis=0)).mean((1, 2, 3))
    assert (steps > 0).all()


def test_names_under_pictures() -> None:
    """Each cell of several labels has its name, and figures of one label are as without."""
    figure = call("trajectories", labels="all")
    assert figure.spec.cell_texts(CARD) == NAMES
    assert call("trajectories", labels="cat").spec.cell_texts(CARD) == ()
    states: Iterator[Images] = iter([np.zeros((3, 1, 8, 8), np.float32)])
    job = grid_job(figure, CARD, 3, states, samples=(0, 0, 0))
    assert job.clip is not None
    cells, (pictures,) = job.clip.cells, job.clip.states
    assert cells.texts == NAMES
    assert cells.height > cells.width == 8 * job.clip.factor
    frame = sheet(pictures.repeat(job.clip.factor, 1).repeat(job.clip.factor, 2), cells)
    for x, y in cells.corners:
        below = frame[y + cells.width : y + cells.height, x : x + cells.width]
        assert (below != PAPER).any()
        assert (below == PAPER).mean() > 0.5


@pytest.mark.parametrize(
    ("kind", "arguments", "count"),
    [
        ("trajectories", {"count": 3}, 3),
        ("shared_noise", {"count": 2, "rows": 2}, 4),
        ("interpolation", {"samples": [0, 1, 2, 3]}, 4),
        ("ladder", {"steps": [1, 2], "count": 3}, 3),
        ("hierarchy", {"leaves": 4}, 4),
    ],
)
def test_texts_of_a_call(kind: str, arguments: dict[str, Any], count: int) -> None:
    """A call has a text for each sample, which is in its key and in the text alternative."""
    texts = [f"text {number}" for number in range(count)]
    figure = call(kind, texts=texts, **arguments)
    cards = [CARD] * (2 if kind == "ladder" else 1)
    assert not [fault for fault in figure.spec.unmet(cards) if "texts" in fault]
    assert figure.spec.cell_texts(CARD) == tuple(texts)
    assert all(text in figure.description(cards) for text in texts)
    assert spec_json(figure) == spec_json(call(kind, **arguments)) | {"texts": tuple(texts)}
    faults = call(kind, texts=["one"], **arguments).spec.unmet(cards)
    assert f"texts: 1 for {count} samples; give one for each" in faults


def test_lines_of_a_text() -> None:
    """A text that is wider than its picture has several lines, each within it."""
    cells = captioned(Cells(2, 64, 64, 2), ["short", "a text that is wider than a picture is " * 3])
    assert cells.lines == 3
    assert cells.height == 64 + cells.strip
    enlarged = cells.enlarged(4)
    frame = sheet(np.zeros((2, 256, 256, 3), np.uint8), enlarged)
    line = enlarged.strip // 3
    for column, lines in ((0, 1), (1, 3)):
        x, y = enlarged.corners[column]
        parts = [frame[y + 256 + n * line :][:line, x : x + 256] for n in range(3)]
        assert [bool((part != PAPER).any()) for part in parts] == [n < lines for n in range(3)]


def test_export(sampler: Sampler, tmp_path: Path) -> None:
    """Exported samples have the labels in turn, and the file says which."""
    request = Request(3, labels=("owl", "0"), guidance=0.5)
    with np.load(draw_samples(sampler, request, tmp_path / "x.npz", Silent())) as arrays:
        assert arrays["labels"].tolist() == [2, 0, 2]
        assert arrays["guidance"] == 0.5
        wanted = ended(sampler.conditioned(Condition((2, 0, 2), 0.5)).begin(0, range(3)))
        assert np.allclose(arrays["final"], wanted, atol=1e-5)
    for wrong, fault in (
        (Request(1, labels=("cow",)), "the labels are cat, dog, owl"),
        (Request(1, guidance=1.0), "give some of cat, dog, owl"),
    ):
        with pytest.raises(ConfigError, match=fault):
            draw_samples(sampler, wrong, tmp_path / "y.npz", Silent())


def test_card_of_the_folder(tmp_path: Path) -> None:
    """The labels are read from the model's card."""
    folder = write_model(tmp_path / "tiny", **UNET)
    assert card_of(folder).labels == LabelsConfig(NAMES)
    with pytest.raises(ConfigError, match="takes no labels"):
        Request(1, labels=("cat",)).condition(small_card(), range(1))


def test_texts_of_a_recording(tmp_path: Path) -> None:
    """The recorded captions of chosen samples stand under them, and in the alternative text."""
    path = tmp_path / "run.npz"
    with record(path, captions=["a cat", "a dog", "an owl"]) as rec:
        for value in (1, 0):
            rec(value, np.zeros((3, 1, 8, 8)))
    card = recorded_card(open_recording(path))
    figure = call("trajectories", samples=[2, 0])
    assert figure.spec.cell_texts(card) == ("an owl", "a cat")
    assert figure.description([card]).endswith(": an owl and a cat")


def test_guidance_counts_the_networks_that_take_labels() -> None:
    """The finest network of the shipped digits takes none: guidance does not evaluate it again."""
    card = read_card(ROOT / "models" / "mnist" / "model.toml")
    plain, guided = (
        evaluations(call("trajectories", count=10, labels="3", guidance=w).spec, [card])[0]
        for w in (0.0, 1.0)
    )
    labelled = [k for k in card.visited_levels[:-1] if card.networks[card.band_at(k)].classes]
    assert 0 < len(labelled) < card.steps
    assert (plain, guided - plain) == (10 * card.steps, 10 * len(labelled))
