"""Small classifier that judges samples, trained here and cached by digest."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn

from bench.judging.mnist import Dataset, as_floats

log = logging.getLogger(__name__)

FEATURES = 64
EPOCHS = 3
BATCH = 64
RECIPE = "conv5-16-32, 64 features, 3 epochs of 64, Adam 2e-3 falling to 0, noise 0 to 0.02, v1"


class Network(nn.Module):
    """Two 5×5 convolutions with pooling, then 64 features and a linear read-out."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        )
        self.features = nn.Sequential(nn.Linear(32 * (size // 4) ** 2, FEATURES), nn.ReLU())
        self.logits = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, 64) and logits (N, classes) of images (N, 1, H, W) in [0, 1]."""
        features = self.features(self.convolutions(images))
        return features, self.logits(features)


@dataclass(frozen=True)
class Classifier:
    """Trained network with its digest and accuracy."""

    network: Network
    digest: str
    accuracy: float

    def judge(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return features (N, 64) and probabilities (N, classes) of images (N, H, W) in [0, 1]."""
        return _judge(self.network, images)


def classifier_for(data: Dataset, cache: Path) -> Classifier:
    """Return the classifier of a data set: from the cache folder, else trained and stored there."""
    key = hashlib.sha256(f"{RECIPE}\n{data.digest}".encode()).hexdigest()[:16]
    path = cache / f"classifier-{key}.safetensors"
    with torch.device("meta"):
        network = Network(data.train_images.shape[1], data.classes)
    if not path.is_file():
        log.info("training the classifier (once for this data set)")
        write_whole(path, save(_train(data).state_dict()))
    network.load_state_dict(load_file(path), assign=True)
    network.eval()
    _, probabilities = _judge(network, as_floats(data.test_images))
    accuracy = float((probabilities.argmax(1) == data.test_labels).mean())
    return Classifier(network, hashlib.sha256(path.read_bytes()).hexdigest(), accuracy)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _train(data: Dataset) -> Network:
    images = torch.from_numpy(as_floats(data.train_images))[:, None]
    labels = torch.from_numpy(data.train_labels.astype(np.int64))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = Network(images.shape[-1], data.classes)
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        steps = EPOCHS * -(-len(images) // BATCH)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        for _ in range(EPOCHS):
            for chosen in torch.split(torch.randperm(len(images)), BATCH):
                _step(network, optimizer, images[chosen], labels[chosen])
                falling.step()
    return network


def _step(network: Network, optimizer: torch.optim.Adam, images: Tensor, labels: Tensor) -> None:
    strength = 0.02 * torch.rand(len(images), 1, 1, 1)
    _, logits = network(images + strength * torch.randn_like(images))
    optimizer.zero_grad()
    nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@torch.inference_mode()
def _judge(
    network: Network, images: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parts = [network(part[:, None]) for part in torch.split(torch.from_numpy(images), 500)]
    features = torch.cat([part for part, _ in parts]).double()
    probabilities = torch.cat([part for _, part in parts]).double().softmax(1)
    return features.numpy(), probabilities.numpy()
