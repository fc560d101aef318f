"""The prior bank is small, gives back the blurred images, and is refused when it does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import BlurRange, FileRef, ModelCard
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.data.prior import Prior, make_prior, read_prior
from sitegen.generative.maths.heat import spectrum
from sitegen.ihdm import dissipate
from tests.support.making import small_card
from tests.support.tinymodel import pictures


@pytest.fixture
def card() -> Any:
    """MNIST's sizes, with a small network."""
    return small_card(image_size=28)


@pytest.mark.parametrize(("size", "sigma"), [(28, 20), (28, 3), (64, 32), (32, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_states_are_the_blurred_images(channels: int, size: int, sigma: float) -> None:
    """Within 1e-4 of the images at level K, all of them and in their order."""
    card = small_card(image_size=size, channels=channels, blur=BlurRange(0.5, sigma))
    images = pictures(20, size, channels)
    prior = make_prior(images, card, 20)
    wanted = dissipate(torch.from_numpy(images).double() / 255, sigma)
    assert float((prior.states(range(20)) - wanted).abs().max()) < 2e-5


def test_first_states_have_the_noise_that_stays() -> None:
    """In a Markov chain the flattest state has its noise, σ in each cosine that is kept, too."""
    sampling = SamplingConfig(variance="estimated", forward="markov")
    plain = small_card(image_size=16, blur=BlurRange(0.5, 8), parameterization="preconditioned")
    card, images = replace(plain, sampling=sampling), pictures(400, 16)
    bare, noisy, again = (make_prior(images, each, 400) for each in (plain, card, card))
    noise = noisy.coefficients - bare.coefficients
    assert torch.equal(noisy.coefficients, again.coefficients)
    assert float(noise.std()) == pytest.approx(card.training_noise_std, rel=0.05)
    assert abs(float(noise.mean())) < 0.001
    assert noisy.power == bare.power  # of the images


def test_round_trip(card: ModelCard, tmp_path: Path, tiny: Path) -> None:
    """Written and read, the same states, bytes, spectrum; missing, cut or another: refused."""
    prior = make_prior(pictures(50, 28), card, 30, "blots")
    path, other = tmp_path / "prior.safetensors", tmp_path / "other.safetensors"
    digest = prior.write(path)
    again = read_prior(path, replace(card, prior=FileRef("prior.safetensors", digest)))
    assert (again.data, again.image_size, again.sigma) == ("blots", 28, prior.sigma)
    assert torch.equal(again.initial_states(3, range(9)), prior.initial_states(3, range(9)))
    assert again.write(other) == digest
    assert other.read_bytes() == path.read_bytes()
    images = pictures(60, 28)
    prior = make_prior(images, card, 60)
    wanted = spectrum(torch.from_numpy(images) / 255)
    assert prior.power == pytest.approx(wanted.tolist(), rel=1e-5)
    prior.write(path)
    assert read_prior(path, card).power == prior.power
    replace(make_prior(pictures(5, 28), card, 5), power=()).write(path)
    data = path.read_bytes()
    assert b"power" not in data
    prior = read_prior(path, card)
    assert prior.power == ()
    prior.write(path)
    assert path.read_bytes() == data
    with pytest.raises(RefusedError, match="no such prior"):
        read_prior(tmp_path / "none.safetensors", card)
    with pytest.raises(RefusedError, match="not a prior"):
        read_prior(tiny, card)
    make_prior(pictures(2, 28), card, 2).write(path)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(RefusedError, match=r"damaged|empty"):
            read_prior(path, card)


def test_initial_states_belong_to_the_sample(card: ModelCard) -> None:
    """The same for (seed, sample) in any company, of images that the seed draws and that fit."""
    prior = make_prior(pictures(200, 28), card, 200)
    batch = prior.initial_states(5, range(36))
    assert batch.shape == (36, 1, 28, 28)
    assert batch.dtype == torch.float32
    assert torch.equal(prior.initial_states(5, [7]), batch[7:8])
    assert torch.equal(prior.initial_states(5, range(35, -1, -1)).flip(0), batch)
    assert prior.choose(5, range(36)) != prior.choose(6, range(36))
    assert len(set(prior.choose(5, range(36)))) > 20
    prior = make_prior(pictures(20, 28), card, 20)
    plain = prior.initial_states(0, range(20))
    assert torch.equal(plain, prior.states(prior.choose(0, range(20))))
    images = pictures(100, 28)
    some = make_prior(images, card, 10)
    assert torch.equal(some.coefficients, make_prior(images, card, 10).coefficients)
    assert len(make_prior(images[:7], card, 10)) == 7
    prior = make_prior(np.zeros((1, 1, 8, 8), np.uint8), small_card(), 400)
    assert isinstance(prior, Prior)
    assert not prior.initial_states(0, range(3)).any()


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"image_size": 32}, "made for 1×28×28 images"),
        ({"channels": 3}, "made for 1×28×28 images"),
        ({"blur": BlurRange(0.5, 24)}, "blurred by 20 pixels; the card's level K has 24"),
        ({"prior": FileRef("prior.safetensors", "0" * 64)}, "damaged, or not the prior"),
    ],
)
def test_another_model(card: ModelCard, tmp_path: Path, other: dict[str, Any], told: str) -> None:
    """A bank made for another model is refused, and so is one that was changed."""
    path = tmp_path / "prior.safetensors"
    make_prior(pictures(5, 28), card, 5).write(path)
    with pytest.raises(RefusedError, match=told):
        read_prior(path, replace(card, **other))


_ABOUT = '{"count": 2, "data": "", "image_size": 28, "sigma": 20.0}'
_LOW = torch.zeros(2, 1, 4, 4)
_STRANGE: list[tuple[str, dict[str, torch.Tensor]]] = [
    *((about, {"coefficients": _LOW}) for about in ("[1]", "{", "")),
    *((_ABOUT.replace("20.0", sigma), {"coefficients": _LOW}) for sigma in ('"x"', "NaN")),
    *(
        (f'{_ABOUT[:-1]}, "power": {power}}}', {"coefficients": _LOW})
        for power in ("[1.0]", f"[NaN{', 1' * 38}]", '""')
    ),
    *((_ABOUT, {"coefficients": torch.zeros(s)}) for s in ((2, 1, 4, 3), (2, 1, 29, 29), (4, 4))),
    *((_ABOUT, {"coefficients": each}) for each in (_LOW.half(), _LOW[:0], _LOW * torch.nan)),
    (_ABOUT, {"weights": _LOW}),
    (_ABOUT, {"coefficients": _LOW, "more": _LOW.clone()}),
]
"""What a bank says that it was made for, and what it holds: neither can be, or not both."""


@pytest.mark.parametrize(("about", "tensors"), _STRANGE, ids=range(len(_STRANGE)))
def test_strange_banks(
    card: ModelCard, tmp_path: Path, about: str, tensors: dict[str, torch.Tensor]
) -> None:
    """Safetensors that are no bank are refused."""
    path = tmp_path / "prior.safetensors"
    save_file(tensors, path, {"prior": about} if about else None)
    with pytest.raises(RefusedError, match=r"prior\.safetensors"):
        read_prior(path, card)
