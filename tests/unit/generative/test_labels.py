"""Class labels: in cards and networks, with guidance, of training images, and of the prior."""

import gzip
import pickle
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition, LabelsConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.labels import read_labels
from sitegen.generative.data.prior import read_prior
from sitegen.generative.engine import choose_engines
from sitegen.generative.maths.noise import independent
from sitegen.generative.networks.construct import new_network
from sitegen.generative.process.model import CardModel, Model, model_with
from sitegen.generative.process.protocol import process_of, run
from sitegen.generative.training import recipe
from sitegen.generative.training.loss import image_statistics
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.train import Training
from sitegen.sampling.models import Sampler, Trajectory
from sitegen.sampling.trajectory import parts, shown
from tests.support.lessons import cascade_card, images
from tests.support.making import random_unet, small_card

NAMES = ("cat", "dog", "owl")
LABELS = LabelsConfig(NAMES)


def labelled_cascade() -> Model:
    """A random model whose two coarse bands take labels, and whose finest does not."""
    card = recipe.with_labels(cascade_card(), NAMES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nets = [new_network(band, card.channels, card.image_size) for band in card.networks]
        for net in nets:
            for value in net.parameters():
                value.data += 0.05 * torch.randn(value.shape)
    model = model_with(card, nets, image_statistics(images()), "float32")
    assert isinstance(model, Model)
    return model.eval().requires_grad_(False)


def labelled(**changes: Any) -> CardModel:
    """A random flow with labels, or a model of another kind."""
    defaults = {"num_classes": 4, "norm_groups": 8, "labels": LABELS, "kind": "flow"}
    card = small_card(**{**defaults, **changes})
    unet = random_unet(card)
    assert unet.label_emb is not None
    unet.label_emb.weight *= 100
    return model_with(card, [unet], None, "float32").eval()


def states(count: int) -> Tensor:
    """Some states of 8 × 8 pixels."""
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_every_sample_has_its_label() -> None:
    """In a batch, an answer is that for its label alone; one label may be for all."""
    model = labelled()
    both = model.conditioned(Condition((0, 2)), LABELS.rows)(states(2), 0.5)
    for row, label in enumerate((0, 2)):
        alone = model.conditioned(Condition((label,)), LABELS.rows)(states(2), 0.5)
        assert torch.allclose(both[row], alone[row], atol=1e-6)
        assert not torch.allclose(both[row], model(states(2), 0.5)[row], atol=1e-3)


def test_guidance_is_classifier_free() -> None:
    """The answer is (1 + w) times that with the label, less w times that without."""
    for model, time in ((labelled(), 0.5), (labelled_cascade(), 6)):
        with_label = model.conditioned(Condition((1,)), LABELS.rows)(states(3), time)
        guided = model.conditioned(Condition((1,), 1.5), LABELS.rows)(states(3), time)
        wanted = 2.5 * with_label - 1.5 * model(states(3), time)
        assert torch.allclose(guided, wanted, atol=1e-5)


def test_labels_between_two() -> None:
    """A path's ends have the labels of its pair, and its middle a mixture of their embeddings."""
    condition = Condition((0, 2)).between(1, 3)
    assert (condition.labels, condition.others) == ((0, 0, 0), (2, 2, 2))
    assert condition.shares == (0, 0.5, 1)
    model = labelled().conditioned(condition, LABELS.rows)
    assert model.labels is not None
    assert model.labels.tolist() == [[1, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 1, 0]]


def test_levels_of_several_bands() -> None:
    """In training, each image of a batch has its own level and label."""
    model, levels, labels = (
        labelled_cascade(),
        torch.tensor([8, 1, 3, 8]),
        torch.tensor([0, 1, 2, 3]),
    )
    cosines = states(4)
    together = model.labelled(labels).sharp_of(cosines, levels)
    for row in range(4):
        one = slice(row, row + 1)
        alone = model.labelled(labels[one]).sharp_of(cosines[one], levels[one])
        assert torch.allclose(together[one], alone, atol=1e-5)
    finest = model.labelled(labels[:1]).sharp_of(cosines[1:2], levels[1:2])
    assert torch.equal(finest, model.sharp_of(cosines[1:2], levels[1:2]))


@pytest.mark.parametrize("kind", ["ddpm", "flow"])
def test_parts_have_their_labels(kind: str) -> None:
    """Samples cut into parts, on engines, are those of one batch."""
    more = {"diffusion": DiffusionConfig("cosine")} if kind == "ddpm" else {}
    model = labelled(kind=kind, **more)
    card = model.card
    process = replace(process_of(model), condition=Condition((0, 1, 2), 0.5))
    start, noise = process.start(0, range(3)), independent(0, range(3), card.shape)
    *_, whole = run(process, start, noise)
    choose_engines(model)
    sent = [
        pickle.loads(pickle.dumps(part.with_model(None))) for part in parts(process, start, noise)
    ]
    assert [part.process.condition for part in sent] == [
        Condition(labels, 0.5) for labels in ((0,), (1, 2))
    ]
    *_, (_, apart) = shown([part.with_model(model) for part in sent], "mean")
    assert torch.allclose(apart, process.pixels(whole.mean, 0), atol=1e-4)
    cut = [part.process.condition for part in parts(process, start, noise)]
    assert [label for part in cut if part for label in part.labels] == [0, 1, 2]


def test_needed_labels() -> None:
    """A model that was never trained without labels asks for one, and names them."""
    process = process_of(labelled(num_classes=3, labels=replace(LABELS, optional=False)))
    with pytest.raises(ConfigError, match="by label only; the labels are cat, dog, owl"):
        next(iter(run(process, process.start(0, [0]), None)))
    next(iter(run(replace(process, condition=Condition((2,))), process.start(0, [0]), None)))


def test_card() -> None:
    """A card keeps its labels, finds them by name or number, and refuses networks without."""
    card = small_card(num_classes=4, labels=LABELS)
    assert ModelCard.from_toml(card.to_toml()) == card
    assert card.digest != replace(card, labels=LabelsConfig(("a", "b", "c"))).digest
    assert [LABELS.number(label) for label in ("owl", 1, "0")] == [2, 1, 0]
    assert [LabelsConfig(("7", "0")).number(label) for label in ("0", 0, 1)] == [1, 1, 1]
    for label, hint in (("cow", "cat, dog, owl"), (3, "cat, dog, owl"), ("dogs", "dog")):
        with pytest.raises(ConfigError, match=f"no label .*{hint}"):
            LABELS.number(label)
    with pytest.raises(ConfigError, match=r"labels: 3 names, for networks .* \[\]; 4 fits"):
        small_card(labels=LABELS)
    with pytest.raises(ConfigError, match=r"labels: no names, .* \[4\]; 0 fits"):
        small_card(num_classes=4)
    with pytest.raises(ConfigError, match="different names"):
        LabelsConfig(("a", "a"))


def picture_folders(folder: Path) -> Path:
    """Four pictures in folders of three classes."""
    for number, name in enumerate(("class 10", "class 9", "class 9/more", "zoo")):
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8), 40 * number).save(folder / name / "a.png")
    return folder


def test_a_folder_a_class(tmp_path: Path) -> None:
    """Names are those of the first folders, numbers in them in order, labels as the images are."""
    labels = read_labels(picture_folders(tmp_path))
    assert labels.names == ("class 9", "class 10", "zoo")
    assert labels.numbers.tolist() == [1, 0, 0, 2]
    Image.new("L", (8, 8)).save(tmp_path / "alone.png")
    with pytest.raises(RefusedError, match=r"alone\.png: is in no folder of a class"):
        read_labels(tmp_path)
    (tmp_path / "alone.png").unlink()
    for name in ("class 10", "class 9"):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(RefusedError, match="has one class"):
        read_labels(tmp_path)
    with pytest.raises(RefusedError, match="use --labels folders"):
        read_labels(tmp_path, idx=True)


@pytest.mark.parametrize("packed", [False, True])
def test_labels_of_the_format_of_mnist(tmp_path: Path, packed: bool) -> None:
    """They are in the file beside the images, gzipped or not, one for each."""
    end, pack = (".gz", gzip.compress) if packed else ("", bytes)
    header = struct.pack(">4I", 0x803, 3, 8, 8)
    (tmp_path / f"train-images-idx3-ubyte{end}").write_bytes(pack(header + bytes(3 * 64)))
    with pytest.raises(RefusedError, match=r"has no labels; .* train-labels"):
        read_labels(tmp_path, idx=True)
    beside = tmp_path / f"train-labels-idx1-ubyte{end}"
    beside.write_bytes(pack(struct.pack(">2I", 0x801, 3) + bytes([2, 0, 1])))
    labels = read_labels(tmp_path, idx=True)
    assert (labels.names, labels.numbers.tolist()) == (("0", "1", "2"), [2, 0, 1])
    beside.write_bytes(pack(struct.pack(">2I", 0x801, 3) + bytes([26, 1, 26])))  # as in EMNIST
    labels = read_labels(tmp_path, idx=True)
    assert (labels.names, labels.numbers.tolist()) == (("1", "26"), [1, 0, 1])
    with pytest.raises(RefusedError, match="use --labels idx"):
        read_labels(tmp_path)
    for data in (b"", bytes(11), struct.pack(">2I", 0x801, 4) + bytes(3)):
        beside.write_bytes(pack(data))
        with pytest.raises(
            RefusedError, match=r"not a file of labels|its header says 4|is empty|cannot be read"
        ):
            read_labels(tmp_path, idx=True)


def test_training(tmp_path: Path) -> None:
    """A run learns labels, and its folder is a model whose starts and samples depend on them."""
    card = recipe.with_labels(cascade_card(), NAMES)
    numbers = np.arange(64) % 3
    options = TrainingOptions(images=64, batch_size=16, learning_rate=0.01, warmup_steps=0)
    training = Training(images().numpy(), "pictures", tmp_path, options, labels=numbers)
    with recipe.opened(card, training) as session:
        written = recipe.go_on(session, Mock())
    assert written is not None
    assert written.labels == LABELS
    assert "labels            cat, dog, owl, and none" in inspect_checkpoint(tmp_path).to_text()
    model = load_model(tmp_path)
    embeddings = [v for name, v in model.named_parameters() if name.endswith("label_emb.weight")]
    assert len(embeddings) == len(card.bands) - 1
    assert all(bool(embedding.abs().sum(1).all()) for embedding in embeddings)
    prior = read_prior(tmp_path / "prior.safetensors", written)
    assert prior.labels == tuple(numbers.tolist())
    for label in range(3):
        assert {prior.labels[at] for at in prior.choose(0, range(9), (label,))} == {label}
    assert prior.choose(0, range(9)) == replace(prior, labels=()).choose(0, range(9), (1,))
    sampler = Sampler(process_of(model), prior=prior)
    ended = [
        _ended(sampler.conditioned(Condition(labels)).begin(0, range(2)))
        for labels in ((0, 1), (1, 1))
    ]
    assert not torch.equal(ended[0][0], ended[1][0])
    assert torch.allclose(ended[0][1], ended[1][1], atol=1e-5)


def _ended(trajectory: Trajectory) -> Tensor:
    *_, last = trajectory.steps
    return last.mean
