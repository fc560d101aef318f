"""The prior p(u_K): blurred training images, stored as a small bank to make data unnecessary.

At the flattest level only the lowest cosines of an image remain, so the bank keeps a few
coefficients of each. The file, `prior.safetensors`, has them as float32 (count, C, low, low). Its
header has the mean power in each ring of the sharp images' spectrum.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save
from torch import Tensor

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size, sha256, write_atomic
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.limits import MOST_CLASSES
from sitegen.generative.checkpoints.archive import open_checkpoint
from sitegen.generative.checkpoints.weights import type_name
from sitegen.generative.maths.heat import attenuation, cosine_basis, dct2, ring_means, rings
from sitegen.generative.maths.noise import Purpose, generator, normal
from sitegen.generative.process.dissipation import heat_of

PRIOR_NAME = "prior.safetensors"
PRIOR_IMAGES = 4000
"""Maximum number of images in a bank, in training and in `sitegen add`.

The feature FID of samples of `models/faces` was 14.8 with 1,000 and 9.8 with one for each sample.
"""
TOLERANCE = 1e-5
"""Maximum difference between a state rebuilt from the bank and the blurred image."""

_COEFFICIENTS = "coefficients"
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Prior:
    """A bank of flat states u_K: their low cosine coefficients (count, C, low, low), float32.

    `sigma` is their blur in pixels, `data` the name of their source; `power` is the mean power of
    each ring of `heat.py` before the blur, empty for banks made without it; `labels` are their
    classes, if these are known.
    """

    coefficients: Tensor
    image_size: int
    sigma: float
    data: str = ""
    power: tuple[float, ...] = ()
    labels: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.coefficients)

    def states(self, indices: Sequence[int]) -> Tensor:
        """Return the states (N, C, H, W) float32 at these indices of the bank."""
        low = self.coefficients.shape[-1]
        basis = cosine_basis(self.image_size, torch.float32, torch.device("cpu"))[:low]
        return basis.T @ self.coefficients[list(indices)] @ basis

    def choose(self, seed: int, samples: Sequence[int], labels: tuple[int, ...] = ()) -> list[int]:
        """Return the bank index of each sample's start; it depends on seed, sample and label only.

        labels: one for all or one for each; a start is then of its class, if the bank has any
        """
        each = labels or (-1,)
        classes = each if len(each) == len(samples) else each * len(samples)
        chosen = []
        for sample, label in zip(samples, classes, strict=True):
            among = [index for index, other in enumerate(self.labels) if other == label]
            draw = generator(seed, Purpose.INITIAL_STATE, sample)
            place = int(draw.integers(len(among) or len(self)))
            chosen.append(among[place] if among else place)
        return chosen

    def initial_states(
        self, seed: int, samples: Sequence[int], labels: tuple[int, ...] = ()
    ) -> Tensor:
        """Return u_K (N, C, H, W) float32 of the given samples, counted from 0."""
        return self.states(self.choose(seed, samples, labels))

    def write(self, path: Path) -> str:
        """Write the bank and return the file's SHA-256; the same bank gives the same bytes."""
        settings: dict[str, Any] = {"power": list(self.power)} if self.power else {}
        settings |= {"labels": list(self.labels)} if self.labels else {}
        settings |= {name: getattr(self, name) for name in ("image_size", "sigma", "data")}
        text = json.dumps({"count": len(self), **settings}, sort_keys=True)
        # Use a single key: safetensors writes several in a changing order.
        write_atomic(path, save({_COEFFICIENTS: self.coefficients.contiguous()}, {"prior": text}))
        return sha256(path)


class _Settings(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    image_size: int
    sigma: float
    data: str = ""
    power: tuple[Annotated[float, Field(ge=0)], ...] = ()
    labels: tuple[Annotated[int, Field(ge=0, lt=MOST_CLASSES)], ...] = ()


def make_prior(
    images: NDArray[np.uint8],
    card: ModelCard,
    count: int,
    data: str = "",
    labels: NDArray[np.int64] | None = None,
) -> Prior:
    """Make a bank of `count` of the `images` (N, C, H, W) uint8, dissipated to the card's level K.

    Takes all images if there are fewer; the choice is always the same. If the noise of a state
    stays in the next, noise is also added to the kept cosines of the flattest: a network that was
    trained on noisy states makes fewer rare samples from clean ones.
    """
    chosen = draw_places(len(images), count)
    sigma = card.schedule[card.levels]
    factors = attenuation(torch.tensor([sigma]), card.image_size, card.image_size)
    parts, power = [], torch.zeros(rings(card.image_size), dtype=torch.float64)
    for start in range(0, len(chosen), _CHUNK):
        sharp = dct2(torch.from_numpy(images[chosen[start : start + _CHUNK]]).double() / 255)
        power += len(sharp) * ring_means(sharp.square())
        parts.append((factors * sharp).float())
    whole = torch.cat(parts)
    low = _how_many(whole)
    few = whole[..., :low, :low].contiguous()
    if card.keeps_noise:
        noise = normal(0, Purpose.PRIOR_NOISE, chosen, 0, tuple(few.shape[1:]))
        few += heat_of(card).training_noise_std * noise
    # Round to six digits, so that the bank has the same bytes on every machine.
    rounded = tuple(float(f"{value:.6g}") for value in (power / len(chosen)).tolist())
    classes = () if labels is None else tuple(labels[chosen].tolist())
    return Prior(few, card.image_size, sigma, data, rounded, classes)


def draw_places(images: int, count: int) -> list[int]:
    """Return the indices, in ascending order, of the images in a bank of `count`; at most all."""
    draw = generator(0, Purpose.INITIAL_STATE)
    return sorted(draw.permutation(images)[:count].tolist())


def read_prior(path: Path, card: ModelCard) -> Prior:
    """Read the bank of a card's model.

    Raises RefusedError for a file that is missing, damaged or made for another model.
    """
    regular_size(path, "prior")
    checkpoint = open_checkpoint(path)
    bank = checkpoint.weights.get(_COEFFICIENTS)
    try:
        settings = _Settings.model_validate_json(checkpoint.notes["prior"])
    except (KeyError, ValidationError):
        raise RefusedError(f"{path}: not a prior: it has no header with its settings") from None
    sigma, size = settings.sigma, settings.image_size
    if bank is None or len(checkpoint.weights) != 1 or bank.dim() != 4:
        raise RefusedError(f"{path}: not a prior: it must hold coefficients (count, C, n, n)")
    count, channels, rows, columns = bank.shape
    if count < 1 or not 1 <= rows == columns <= size or bank.dtype != torch.float32:
        raise RefusedError(
            f"{path}: not a prior: its coefficients are {type_name(bank)} of shape "
            f"{tuple(bank.shape)}"
        )
    if (size, channels) != (card.image_size, card.channels):
        raise RefusedError(
            f"{path}: made for {channels}×{size}×{size} images; the card has {card.shape}"
        )
    if not isclose(sigma, blur := card.schedule[card.levels], rel_tol=1e-6):
        raise RefusedError(f"{path}: blurred by {sigma:g} pixels; the card's level K has {blur:g}")
    if card.prior is not None and card.prior.sha256 not in (None, sha256(path)):
        raise RefusedError(f"{path}: damaged, or not the prior that its card means (SHA-256)")
    coefficients = bank.clone()
    if not bool(coefficients.isfinite().all()):
        raise RefusedError(f"{path}: damaged: it holds numbers that are not finite")
    for name, numbers, expected in (
        ("power", settings.power, rings(card.image_size)),
        ("labels", settings.labels, len(coefficients)),
    ):
        if len(numbers) not in (0, expected):
            raise RefusedError(f"{path}: not a prior: the {name} of its images are invalid")
    more = settings.data, settings.power, settings.labels
    return Prior(coefficients, card.image_size, sigma, *more)


def _how_many(coefficients: Tensor) -> int:
    """Return the number of cosines per side for which no pixel is off by more than `TOLERANCE`.

    A pixel is off by at most the sum of the sizes of the omitted coefficients, times 2/side.
    """
    side = coefficients.shape[-1]
    sizes = coefficients.double().abs()
    total = sizes.sum((-2, -1))
    inside = sizes.cumsum(-1).cumsum(-2).diagonal(dim1=-2, dim2=-1)  # (N, C, side)
    worst = ((total[..., None] - inside) * 2 / side).amax((0, 1))
    return int((worst > TOLERANCE).sum()) + 1 if worst[-1] <= TOLERANCE else side
