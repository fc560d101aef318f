"""Coloured shapes to train on, and a classifier that says which samples show one.

    python -m bench.shapes draw .data/shapes
    python -m bench.shapes judge samples.npz

`draw` writes 2,000 pictures of 32 × 32 pixels: an upright circle, square, triangle or star of some
place, size and colour on a background of another colour. `judge` trains a classifier of the four
shapes and of pictures that show none of them (two shapes mixed, bent or blurred shapes,
blobs), and prints the share of an .npz of `sitegen sample` in which it sees a shape.
"""

from __future__ import annotations

import argparse
import colorsys
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor, nn

Pixels = NDArray[np.uint8]
Draws = np.random.Generator
Points = list[tuple[float, float]]

SIDE, COUNT = 32, 2000
SURE = 0.9
"""Probability from which a shape counts as recognized."""
EXAMPLES, EPOCHS, BATCH = 12_000, 8, 64
_FINER = 8  # shapes are drawn this many times larger, then scaled down


def _polygon(corners: int, inner: float | None = None) -> Points:
    """Return a regular polygon of radius 1, or a star with inner corners at radius `inner`."""
    many = corners if inner is None else 2 * corners
    radii = [1.0 if inner is None or not place % 2 else inner for place in range(many)]
    turns = [2 * math.pi * (place + (corners == 4) / 2) / many for place in range(many)]
    return [(r * math.sin(t), -r * math.cos(t)) for r, t in zip(radii, turns, strict=True)]


SHAPES: dict[str, Points] = {
    "circle": _polygon(60),
    "square": _polygon(4),
    "triangle": _polygon(3),
    "star": _polygon(5, 0.42),
}
NAMES = tuple(SHAPES)
NONE = len(NAMES)
"""Label of a picture that shows no shape."""


def _colours(draws: Draws) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return two colours of different hue, one of them dark."""
    hue, apart = draws.random(), draws.uniform(0.2, 0.8)
    pair = [(hue, 0.9, draws.uniform(0.75, 1)), ((hue + apart) % 1, 0.7, draws.uniform(0.1, 0.35))]
    one, other = (tuple(round(255 * v) for v in colorsys.hsv_to_rgb(*each)) for each in pair)
    return (one, other) if draws.random() < 0.5 else (other, one)


def mask(name: str, draws: Draws) -> Image.Image:
    """Return a shape in white on black, larger by the factor `_FINER`."""
    whole = SIDE * _FINER
    image = Image.new("L", (whole, whole))
    radius = whole * draws.uniform(0.28, 0.4)
    x, y = whole * draws.uniform(0.4, 0.6, 2)
    points = [(x + radius * a, y + radius * b) for a, b in SHAPES[name]]
    ImageDraw.Draw(image).polygon(points, fill=255)
    return image


def _coloured(shape: Image.Image, draws: Draws) -> Pixels:
    """Return a picture (3, SIDE, SIDE) of a mask in two colours."""
    front, back = (Image.new("RGB", shape.size, colour) for colour in _colours(draws))
    picture = Image.composite(front, back, shape).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(picture).transpose(2, 0, 1)


def shape_picture(label: int, draws: Draws) -> Pixels:
    """Return a picture (3, SIDE, SIDE) of the shape with this label."""
    return _coloured(mask(NAMES[label], draws), draws)


def no_shape(draws: Draws) -> Pixels:
    """Return a picture (3, SIDE, SIDE) that shows no shape: mixed, bent, blurred, or a blob."""
    one, other = (mask(str(name), draws) for name in draws.choice(NAMES, 2, replace=False))
    ways: tuple[Callable[[], Image.Image], ...] = (
        lambda: Image.fromarray(np.maximum(np.asarray(one), np.asarray(other))),
        lambda: Image.blend(one, other, draws.uniform(0.35, 0.65)),
        lambda: one.filter(ImageFilter.GaussianBlur(_FINER * draws.uniform(3, 6))),
        lambda: _bent(one, draws),
        lambda: _blob(draws),
    )
    return _coloured(ways[draws.integers(len(ways))](), draws)


def _smooth(draws: Draws, coarse: int) -> NDArray[np.float32]:
    """Return a smooth random field (whole, whole) with about `coarse` bumps a side."""
    field = Image.fromarray(draws.normal(size=(coarse, coarse)).astype(np.float32))
    size = (SIDE * _FINER, SIDE * _FINER)
    return np.asarray(field.resize(size, Image.Resampling.BICUBIC), np.float32)


def _bent(shape: Image.Image, draws: Draws) -> Image.Image:
    """Return a shape whose pixels are displaced by a smooth field of about four pixels."""
    places = np.indices((SIDE * _FINER, SIDE * _FINER))
    moved = [p + 4 * _FINER * _smooth(draws, 6) for p in places]
    rows, columns = (np.clip(m, 0, SIDE * _FINER - 1).astype(int) for m in moved)
    return Image.fromarray(np.asarray(shape)[rows, columns])


def _blob(draws: Draws) -> Image.Image:
    return Image.fromarray(((_smooth(draws, 5) > 0.3) * 255).astype(np.uint8))


def draw(folder: Path, count: int = COUNT, seed: int = 0) -> None:
    """Write `count` pictures as PNGs, the four shapes in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(seed)
    for number in range(count):
        picture = shape_picture(number % NONE, draws).transpose(1, 2, 0)
        Image.fromarray(picture).save(folder / f"{number:04}.png")


def _examples(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return pictures (N, 3, SIDE, SIDE) in [0, 1] and labels (N,), a quarter without a shape."""
    draws = np.random.default_rng(seed)
    labels = np.where(draws.random(count) < 0.25, NONE, draws.integers(NONE, size=count))
    pictures = [no_shape(draws) if n == NONE else shape_picture(n, draws) for n in labels]
    return torch.from_numpy(np.stack(pictures)).float() / 255, torch.from_numpy(labels)


def classifier(seed: int = 1) -> nn.Module:
    """Train the classifier on its own pictures, not on those of `draw`."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for channels, width in ((3, 32), (32, 48), (48, 64)):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * (SIDE // 8) ** 2, NONE + 1))
    pictures, labels = _examples(EXAMPLES, seed)
    steps = EPOCHS * EXAMPLES // BATCH
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / steps)
    for _ in range(steps):
        chosen = torch.randint(EXAMPLES, (BATCH,))
        noisy = pictures[chosen] + 0.02 * torch.randn(BATCH, 3, SIDE, SIDE)
        adam.zero_grad()
        loss = nn.functional.cross_entropy(net(noisy), labels[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        falling.step()
    return net.eval()


@torch.no_grad()
def recognized(net: nn.Module, images: Tensor, sure: float = SURE) -> Tensor:
    """Return labels (N,) of images (N, 3, SIDE, SIDE) in [0, 1], NONE if none is above `sure`."""
    chances, labels = net(images.clamp(0, 1)).softmax(1).max(1)
    return torch.where(chances > sure, labels, NONE)


def _shares(net: nn.Module, images: Tensor) -> str:
    """Describe which share of images shows a shape: surely, and as the most probable class."""
    surely, likely = (
        float((recognized(net, images, s) != NONE).double().mean()) for s in (SURE, 0)
    )
    return f"{surely:.3f} surely a shape, {likely:.3f} most probably one"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("draw", "judge"))
    parser.add_argument("path", type=Path, help="folder to write, or .npz to judge")
    arguments = parser.parse_args()
    if arguments.what == "draw":
        draw(arguments.path)
        return
    net = classifier()
    real, labels = _examples(1000, 2)
    print(f"new pictures of shapes: {_shares(net, real[labels != NONE])}")
    print(f"new pictures of none: {_shares(net, real[labels == NONE])}")
    samples = torch.from_numpy(np.load(arguments.path)["final"])
    counts = torch.bincount(recognized(net, samples), minlength=NONE + 1).tolist()
    print(", ".join(f"{n} {name}" for name, n in zip((*NAMES, "none"), counts, strict=True)))
    print(f"{len(samples)} samples: {_shares(net, samples)}")


if __name__ == "__main__":
    main()
