"""The picture that is blurred: one of the author's, or the example of the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.generative.card.card import ModelCard
from sitegen.generative.data.images import read_picture, scaled
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from torch import Tensor


def read_image(file: Path, card: ModelCard, data: bytes) -> Tensor:
    """Return a picture as an image (1, C, H, W) float64 of a card's model, in [0, 1].

    data: the content of `file`, read only once, so that the drawn data is the hashed data

    A larger square is scaled down. Colour becomes grey if the model has none, and the other way
    round. Raises RefusedError for a picture that cannot be read, is not a square or is too small.
    """
    import torch

    pixels = read_picture(file, data=data)
    height, width = pixels.shape[:2]
    if height != width or height < card.image_size:
        raise RefusedError(
            f"{file}: is {width}×{height} pixels; give a square of at least {card.image_size}"
        )
    pixels = scaled(pixels, card.image_size)
    if pixels.ndim == 3 and card.channels == 1:
        # Rec. 601, as Pillow turns colour into grey.
        pixels = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    planes = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    image = torch.from_numpy(planes.astype(np.float64)) / 255
    return image.expand(card.shape)[None]


def read_example(source: ModelSource) -> Tensor:
    """Return the picture that the model's card names, with the digest that the key holds."""
    if source.example is None:
        raise RefusedError(f"the example of {source.name} is missing; name a picture with image=")
    with platform_errors(source.example, "read"):
        data = source.example.read_bytes()
    pinned = source.card.example.sha256 if source.card.example else None
    sha256 = digest_bytes(data)
    if sha256 != source.example_sha256 or pinned not in (None, sha256):
        raise RefusedError(f"{source.example}: is not the example that its card means (SHA-256)")
    return read_image(source.example, source.card, data)
