"""Given pictures: those of the author, or the example of a model."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.figures.base import Figure
from sitegen.generative.card.card import ModelCard
from sitegen.generative.data.images import opened_picture, read_picture, scaled
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.sampling.provider import ModelProvider


def read_image(file: Path, card: ModelCard, data: bytes) -> Tensor:
    """Return a picture as an image (1, C, H, W) float64 of a card's model, in [0, 1].

    data: the content of `file`, read only once, so that the drawn data is the hashed data

    It is cropped and scaled as training data are. Colour becomes grey if the model has none, and
    the other way round. Raises RefusedError for a picture that cannot be read or is too small.
    """
    import torch

    pixels = read_picture(file, data=data)
    _, height, width = card.shape
    if pixels.shape[0] < height or pixels.shape[1] < width:
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise RefusedError(f"{file}: is {size} pixels; give one of at least {width}×{height}")
    if height == width:
        pixels = scaled(pixels, height)
    elif pixels.shape[:2] != (height, width):
        pixels = np.asarray(ImageOps.fit(Image.fromarray(pixels), (width, height)))
    if pixels.ndim == 3 and card.channels == 1:
        # Rec. 601, as Pillow turns colour into grey.
        pixels = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    planes = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    image = torch.from_numpy(planes.astype(np.float64)) / 255
    return image.expand(card.shape)[None]


def given_image(models: ModelProvider, figure: Figure, card: ModelCard) -> tuple[Tensor, str]:
    """Return the picture of a call, or the model's example, and how it was changed, in words."""
    spec: Any = figure.spec
    if spec.image is None:
        return read_example(models.source(spec.model)), ""
    data = figure.read("image")
    return read_image(figure.root / spec.image, card, data), fitted_note([data], card)


def fitted_note(contents: Sequence[bytes], card: ModelCard) -> str:
    """Return a sentence that given pictures were cropped or scaled; empty if none was."""
    _, height, width = card.shape
    sizes = []
    for data in contents:
        with opened_picture(Path("picture"), BytesIO(data)) as image:
            sizes.append(image.size)
    if all(size == (width, height) for size in sizes):
        return ""
    square = "middle square" if height == width else "middle"
    are, their = ("pictures were", "their") if len(sizes) > 1 else ("picture was", "its")
    cropped = any(across * height != down * width for across, down in sizes)
    how = f"cropped to {their} {square} and scaled" if cropped else "scaled"
    return f"The given {are} {how} to {width} × {height} pixels."


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
