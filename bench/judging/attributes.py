"""Faces with their attributes, and a classifier of these, trained here and cached.

A folder of faces contains colour images in idx files of four dimensions, and a file with a line of
JSON for each image that names its drawn parts (`make data` writes both). Parts that are hardly
distinguishable at 64 × 64 pixels are one class: see `ATTRIBUTES`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn

from bench.judging.classifier import write_whole
from bench.judging.mnist import Bytes
from sitegen.generative.data.datasets import read_idx

log = logging.getLogger(__name__)

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

UNKNOWN = -1
"""Label of an attribute that an image does not show, such as the colour of missing hair."""

_HATS = {"hat": "hat", "hat2": "hat", "hat3": "hat", "santa-hat": "santa hat"}
_BANDS = {"headband": "headband", "headband-high": "headband", "eye-black": "eye black"}
_HAIR = {
    **dict.fromkeys(("#272421", "#1c1008", "#0f0902"), "black"),
    **dict.fromkeys(("#3D2314", "#2C1608", "#5A3825"), "brown"),
    **dict.fromkeys(("#D7BF91", "#CC9966", "#e9c67b"), "blond"),
    "#B55239": "red",
}
_MOUTHS = {
    **dict.fromkeys(("angry", "mouth", "smile", "smile2", "smile3"), "teeth"),
    **dict.fromkeys(("mouth7", "mouth8"), "open"),
    **dict.fromkeys(("mouth2", "mouth4", "mouth5", "mouth6"), "lips"),
    **dict.fromkeys(("closed", "mouth3", "side", "smile-closed", "smile4", "straight"), "line"),
}
_SKIN = {
    **dict.fromkeys(("#f2d6cb", "#ddb7a0", "#f0c5a3", "#eab687", "#fedac7"), "light"),
    **dict.fromkeys(("#a67358", "#bb876f", "#aa816f", "#ad6453"), "medium"),
    **dict.fromkeys(("#5c3937", "#74453d"), "dark"),
}

ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gender": ("female", "male"),
        "glasses": ("none", "glasses", "facemask"),
        "accessory": ("none", "hat", "santa hat", "headband", "eye black"),
        "beard": ("none", "beard"),
        "hair colour": ("black", "brown", "blond", "red"),
        "skin colour": ("light", "medium", "dark"),
        "mouth": ("line", "lips", "teeth", "open"),
    }
)
"""Attributes, each with its classes."""

_SPLITS = ("train", "t10k")
FEATURES = 64
EPOCHS = 3
BATCH = 64
WIDTHS = (24, 48, 64, 64)
"""Channels of the convolutions; images of 32 pixels need three, and of 64 pixels four."""
RECIPE = (
    "conv3-24-48-64-64, 64 features, 3 epochs of 64, Adam 2e-3 falling to 0, noise 0 to 0.02, v3"
)


@dataclass(frozen=True)
class Faces:
    """Data set: images uint8 (N, 3, H, W), labels (N, A) in the order of the A `ATTRIBUTES`.

    `test_hues` are the hues of the held-out backgrounds, in degrees (N,).
    """

    train_images: Bytes
    train_labels: Labels
    test_images: Bytes
    test_labels: Labels
    test_hues: Floats

    @cached_property
    def digest(self) -> str:
        """SHA-256 of images and labels."""
        digest = hashlib.sha256(json.dumps(dict(ATTRIBUTES)).encode())
        for part in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(f"{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def is_faces(folder: Path) -> bool:
    """Return whether a folder contains faces with their attributes."""
    return (folder / "train-attributes.jsonl").is_file()


def read_faces(folder: Path) -> Faces:
    """Read the files of `folder`; raises SystemExit for a missing or mismatched file."""
    images, labels, hues = {}, {}, {}
    for split in _SPLITS:
        path = folder / f"{split}-images-idx4-ubyte"
        if not path.is_file():
            raise SystemExit(f"{path}: is missing; `make data` draws it")
        pixels = read_idx(path, "images", (4,))
        lines = (folder / f"{split}-attributes.jsonl").read_text("utf-8").splitlines()
        faces = [json.loads(line) for line in lines]
        if pixels.ndim != 4 or pixels.shape[3] != 3 or len(faces) != len(pixels):
            raise SystemExit(f"{path}: {pixels.shape} are not colour images of {len(faces)} faces")
        images[split] = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        labels[split] = np.array([label_of(face) for face in faces], np.int64)
        hues[split] = np.array([face["hue"] for face in faces], np.float64)
    train, test = _SPLITS
    return Faces(images[train], labels[train], images[test], labels[test], hues[test])


def label_of(face: Mapping[str, object]) -> list[int]:
    """Return the class of each of `ATTRIBUTES` of a face, from its drawn parts."""
    glasses, accessory = str(face["glasses"]), str(face["accessory"])
    bald = face["hair"] == "bald" and face["beard"] == "none"
    class_names = {
        "gender": str(face["gender"]),
        "glasses": glasses if glasses in ("none", "facemask") else "glasses",
        "accessory": (_HATS | _BANDS).get(accessory, "none"),
        "beard": "none" if face["beard"] == "none" else "beard",
        "hair colour": "" if bald else _HAIR[str(face["hair_color"])],
        "skin colour": _SKIN[str(face["skin_color"])],
        "mouth": "" if glasses == "facemask" else _MOUTHS[str(face["mouth"])],
    }
    return [
        classes.index(class_names[name]) if class_names[name] else UNKNOWN
        for name, classes in ATTRIBUTES.items()
    ]


class Network(nn.Module):
    """3×3 convolutions with pooling down to 4 × 4 pixels, 64 features, and a linear read-out."""

    def __init__(self, size: int) -> None:
        super().__init__()
        widths = (3, *WIDTHS[: max(1, size.bit_length() - 3)])
        layers: list[nn.Module] = []
        for channels, width in pairwise(widths):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        side = size >> len(widths) - 1
        self.features = nn.Sequential(nn.Linear(widths[-1] * side**2, FEATURES), nn.ReLU())
        self.logits = nn.Linear(FEATURES, sum(map(len, ATTRIBUTES.values())))

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return features (N, 64) of images (N, 3, H, W) in [0, 1], and logits per attribute."""
        features = self.features(self.convolutions(images))
        return features, self.logits(features).split([*map(len, ATTRIBUTES.values())], dim=1)


@dataclass(frozen=True)
class Judged:
    """Output of a classifier: features (N, 64), and probabilities (N, classes) per attribute."""

    features: Floats
    probabilities: Mapping[str, Floats]

    @property
    def labels(self) -> Labels:
        """Likeliest class (N, 6) of each attribute."""
        return np.stack([chances.argmax(1) for chances in self.probabilities.values()], 1)

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Mask (N, 6) of attributes with a class of probability above 0.9."""
        return np.stack([chances.max(1) > 0.9 for chances in self.probabilities.values()], 1)


@dataclass(frozen=True)
class AttributeClassifier:
    """Trained network with its digest and accuracy.

    accuracy: share of held-out faces whose attribute it recognizes, by attribute
    """

    network: Network
    digest: str
    accuracy: Mapping[str, float]

    @torch.inference_mode()
    def judge(self, images: Images) -> Judged:
        """Classify images (N, 3, H, W) in [0, 1]."""
        parts = [self.network(part) for part in torch.split(torch.from_numpy(images), 500)]
        features = torch.cat([features for features, _ in parts]).double().numpy()
        logits = zip(*(logits for _, logits in parts), strict=True)
        probabilities = {
            name: torch.cat(batches).double().softmax(1).numpy()
            for name, batches in zip(ATTRIBUTES, logits, strict=True)
        }
        return Judged(features, probabilities)


def attributes_for(data: Faces, cache: Path) -> AttributeClassifier:
    """Return the classifier of these faces: from the cache folder, else newly trained."""
    key = hashlib.sha256(f"{RECIPE}\n{data.digest}".encode()).hexdigest()[:16]
    path = cache / f"attributes-{key}.safetensors"
    with torch.device("meta"):
        network = Network(data.train_images.shape[-1])
    if not path.is_file():
        log.info("training the classifier of attributes (once for this data set)")
        write_whole(path, save(_train(data).state_dict()))
    network.load_state_dict(load_file(path), assign=True)
    network.eval()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    labels = AttributeClassifier(network, digest, {}).judge(as_floats(data.test_images)).labels
    right, shown = labels == data.test_labels, data.test_labels != UNKNOWN
    accuracy = {
        name: float(right[shown[:, column], column].mean())
        for column, name in enumerate(ATTRIBUTES)
    }
    return AttributeClassifier(network, digest, accuracy)


def as_floats(images: Bytes) -> Images:
    """Convert images to floats in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def _train(data: Faces) -> Network:
    """Train with noise as large as that of samples."""
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = Network(images.shape[-1])
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        steps = EPOCHS * -(-len(images) // BATCH)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        for epoch in range(EPOCHS):
            for chosen in torch.split(torch.randperm(len(images)), BATCH):
                _step(network, optimizer, images[chosen].float() / 255, labels[chosen])
                falling.step()
            log.info("epoch %s of %s", epoch + 1, EPOCHS)
    return network


def _step(network: Network, optimizer: torch.optim.Adam, images: Tensor, labels: Tensor) -> None:
    images = images.contiguous(memory_format=torch.channels_last)  # two thirds of the time
    strength = 0.02 * torch.rand(len(images), 1, 1, 1)
    _, logits = network(images + strength * torch.randn_like(images))
    optimizer.zero_grad()
    losses = [
        nn.functional.cross_entropy(head, truth, ignore_index=UNKNOWN)
        for head, truth in zip(logits, labels.T, strict=True)
    ]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def top_corners(images: Images) -> Images:
    """Return the background colour (N, 3) of images (N, 3, H, W), from where no face reaches.

    It is the median of the two top corners, 3 pixels wide and 2 high.
    """
    corners = np.concatenate([images[:, :, :2, :3], images[:, :, :2, -3:]], axis=3)
    return np.asarray(np.median(corners.reshape(*corners.shape[:2], -1), axis=2))


def hue_of(colours: Sequence[Sequence[float]] | Images) -> Floats:
    """Return the hue in degrees (N,) of colours (N, 3) in [0, 1]; 0 for grey."""
    red, green, blue = np.asarray(colours, np.float64).T
    across, along = np.sqrt(3) * (green - blue), 2 * red - green - blue
    return np.asarray(np.degrees(np.arctan2(across, along)) % 360)
