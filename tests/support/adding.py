"""A site with a checkpoint as published and its images beside it, to which a model is added."""

import contextlib
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sitegen.models.add import AddResult, add_model
from sitegen.models.options import AddOptions
from sitegen.models.registry import ModelSource, find_model
from tests.support.making import published, save, small_card
from tests.support.tinymodel import pictures, write_model

SITE = """# The site of the birds.
title = "Birds"  # all of them

[models.tiny]
path = "models/tiny"  # trained here

# How to cite us.
[citation]
key = "birds"
year = 2026
"""
TOLD: dict[str, Any] = {
    "levels": 8,
    "blur_sigma_min": 0.5,
    "blur_sigma_max": 20.0,
    "training_noise_std": 0.01,
}
CONFIG = Path("site.toml")
CHECKPOINT = Path("runs/birds/checkpoint.pth")
DATA = Path("data/birds")
TRUTH = small_card(channels=3, channel_mult=(1, 2), attention_levels=(1,))
"""What the birds were trained with."""


def write_birds() -> None:
    """Write the site into the working folder."""
    for path, content in _birds().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@functools.cache
def _birds() -> Mapping[Path, bytes]:
    """Its files, which are made once."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name in (CHECKPOINT.parent, Path("pages")):
            name.mkdir(parents=True)
        Path("pages/index.md").write_text("Words.\n")
        CONFIG.write_text(SITE)
        write_model(Path("models/tiny"))
        save(published(TRUTH), CHECKPOINT)
        draw(DATA)
        return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def draw(folder: Path, size: int = 8, channels: int = 3, count: int = 6) -> Path:
    """Write a folder of pictures, in colour unless told otherwise."""
    folder.mkdir(parents=True)
    for number, image in enumerate(pictures(count, size, channels)):
        image[:1] //= 2
        Image.fromarray(np.squeeze(image.transpose(1, 2, 0))).save(folder / f"{number}.png")
    return folder


def add(name: str = "birds", **options: Any) -> AddResult:
    """Add the checkpoint of the birds, or another one, to the site in the working folder."""
    return add_model(CONFIG, name, AddOptions(**{"checkpoint": CHECKPOINT, **options}))


def source(name: str = "birds") -> ModelSource:
    """A model of that site."""
    return find_model(name, None, CONFIG)
