"""The process: heat melts a real image, and a model makes a new one from the result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.figures.base import Figure
from sitegen.figures.clips import even_levels, made_with, noise_std_of
from sitegen.figures.process import Process
from sitegen.figures.process.drawing import WIDE, narrow_sheet, process_drawing
from sitegen.figures.svg import Drawing, Sheet, stills
from sitegen.generative.card.card import ModelCard
from sitegen.generative.data.images import read_picture, scaled
from sitegen.generative.process.heat import dissipate
from sitegen.generative.process.noise import independent
from sitegen.media.frames import Frame, to_uint8
from sitegen.media.jobs import RenderJob
from sitegen.models.registry import ModelSource
from sitegen.sampling.provider import ModelProvider


def sample(models: ModelProvider, figure: Figure, spec: Process) -> RenderJob:
    """Return the job of both rows; the inverse process starts from the forward one's flat image."""
    sampler = models.sampler(spec.model)
    card, device = sampler.card, sampler.model.device
    if spec.image:
        image = read_image(figure.root / spec.image, card, figure.read("image"))
    else:
        image = _example(models.source(spec.model))
    levels = even_levels(card.visited_levels, spec.columns)
    sigmas = torch.tensor([card.schedule[level] for level in levels], dtype=torch.float64)
    forward = dissipate(image.expand(len(levels), -1, -1, -1), sigmas)
    noise_std = noise_std_of(spec, card)
    noise = independent(spec.seed, spec.numbers, card.shape)
    trajectory = sampler.run(forward[-1:].float().to(device), noise, noise_std)
    pictures: dict[int, Frame] = {}

    def work() -> Iterator[None]:
        for level, images in trajectory.seen(spec.show):
            if level in levels:
                pictures[level] = to_uint8(images)[0]
            yield

    def draw(sheet: Sheet) -> Drawing:
        rows = list(to_uint8(forward.numpy())), [pictures[level] for level in levels]
        return process_drawing(*rows, levels, sheet, pixelated=spec.pixelated)

    rows = [[level, float(sigma)] for level, sigma in zip(levels, sigmas.tolist(), strict=True)]
    columns = ["Level", "Blur scale, pixels"]
    table = {"caption": "The levels shown", "columns": columns, "rows": rows}
    return RenderJob(
        parameters=made_with(figure, noise_std, shown=levels),
        steps=card.steps + 1,
        work=work(),
        stills=stills(draw, WIDE, narrow_sheet(spec.columns)),
        results=lambda: {"tables": [table]},
    )


def read_image(file: Path, card: ModelCard, data: bytes) -> Tensor:
    """Return a picture as an image (1, C, H, W) float64 of a card's model, in [0, 1].

    data: the content of `file`, read only once, so that the drawn data is the hashed data

    A larger square is scaled down. Colour becomes grey if the model has none, and the other way
    round. Raises RefusedError for a picture that cannot be read, is not a square or is too small.
    """
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


def _example(source: ModelSource) -> Tensor:
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
