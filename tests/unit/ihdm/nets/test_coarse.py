"""The network for coarse levels: what it sees and answers, alone, in a model, and in a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sitegen.core.errors import RefusedError
from sitegen.ihdm.card.card import FileRef, ModelCard
from sitegen.ihdm.checkpoints.inspection import inspect_checkpoint
from sitegen.ihdm.checkpoints.weights import COARSE, save_weights
from sitegen.ihdm.nets.coarse import CoarseNet, lowest, restored
from sitegen.ihdm.process.model import Model
from sitegen.ihdm.training.loss import image_statistics
from sitegen.ihdm.training.recipe import beginning
from tests.support.lessons import CONFIG, card, dct, images, kept, model, outspoken, preconditioned
from tests.support.making import load_heat, random_unet

LEVELS = torch.tensor([1, 4, 5, 8])


def states(count: int, channels: int = 1) -> Tensor:
    """Some states."""
    return torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(3))


def test_silent_before_it_is_trained() -> None:
    """Silent before it is trained; below the lowest level the U-Net answers, and it alone."""
    z = torch.randn(4, 9, generator=torch.Generator().manual_seed(2))
    assert torch.equal(CoarseNet(CONFIG, 1)(z, LEVELS / 8), torch.zeros(4, 9))
    net = outspoken()
    assert not torch.allclose(net(z, LEVELS / 8), net(z, LEVELS.flip(0) / 8))
    assert not torch.allclose(net(z, LEVELS / 8), net(-z, LEVELS / 8))
    u = states(4, 3)
    rows = lowest(u, 2)
    assert torch.equal(
        rows[1], torch.stack([u[1, c, n, m] for c in range(3) for n in (0, 1) for m in (0, 1)])
    )
    back = restored(rows, u, 2)
    assert torch.equal(back[..., :2, :2], u[..., :2, :2])
    assert float(back[..., 2:, :].abs().max() + back[..., :, 2:].abs().max()) == 0
    u, plain = states(4), preconditioned()
    fine = Model(plain, random_unet(plain), image_statistics(images())).requires_grad_(False)
    both = model()
    found = both(u, LEVELS)
    assert torch.allclose(found[:2], fine(u, LEVELS)[:2], atol=1e-6)
    assert float((found - fine(u, LEVELS))[2:].abs().amax((1, 2, 3)).min()) > 1e-4
    for place, level in enumerate(LEVELS.tolist()):
        assert torch.allclose(
            both(u[place : place + 1], level), found[place : place + 1], atol=1e-6
        )
    for level in (4, 5):
        one, each = both(u, level), both(u, torch.full((4,), level))
        assert torch.allclose(one, each, atol=1e-6)
    both, asked = model(), []
    network = both.network
    both.network = lambda x, levels: asked.append(levels.tolist()) or network(x, levels)  # type: ignore
    both(states(4), LEVELS)
    both(states(4), 8)
    both(states(4), 4)
    assert asked == [[1, 4], [4] * 4]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [5, 8])
def test_coarse_mean_by_hand(level: int, channels: int) -> None:
    """From the lowest level on it is A_{k−1}(x̂_0 + √R_k r) with r of the standardised cosines."""
    known, u = card(channels), states(4, channels)
    data = dct(images(channels=channels).double().numpy() / 255)
    mean, variance, sigma = data.mean(0), data.var(0), known.training_noise_std
    here, below = kept(known, level), kept(known, level - 1)
    total = here**2 * variance + sigma**2
    away = dct(u.double().numpy()) - here * mean
    z = torch.from_numpy(away / np.sqrt(total)).float()[..., :3, :3].reshape(4, -1)
    answer = outspoken(channels=channels)(z, torch.full((4,), level / 8))
    wanted = mean + here * variance / total * away
    r = answer.double().numpy().reshape(4, channels, 3, 3)
    wanted[..., :3, :3] += np.sqrt(variance * sigma**2 / total)[..., :3, :3] * r
    found = dct(model(channels)(u, level).double().numpy())
    assert np.abs(found - below * wanted).max() < 1e-5


def stored(folder: Path) -> tuple[Path, ModelCard]:
    """The weights of `model` in a file, and the card that pins them."""
    both, path = model(), folder / "weights.safetensors"
    assert both.statistics is not None
    assert both.coarse is not None
    coarse = {COARSE + name: value for name, value in both.coarse.state_dict().items()}
    weights = {**both.unet.state_dict(), **both.statistics.tensors(), **coarse}
    return path, replace(
        card(), weights=FileRef(path.name, save_weights(path, weights, torch.float32, CONFIG))
    )


def test_file(tmp_path: Path) -> None:
    """Saved and loaded it answers the same; card and file must match; --init leaves it out."""
    path, known = stored(tmp_path)
    again = ModelCard.from_toml(known.to_toml())
    assert again == known
    assert torch.equal(load_heat(path, again)(states(4), LEVELS), model()(states(4), LEVELS))
    info = inspect_checkpoint(path)
    assert info.coarse
    assert "with a network for coarse levels" in info.to_text()
    both = model().state_dict()  # the U-Net and the other network
    assert info.parameters == sum(value.numel() for value in both.values())
    begun = beginning("some", path, known, preconditioned())
    assert begun.weights.keys() == random_unet(known).state_dict().keys()
    assert card().digest != preconditioned().digest
    assert card().digest != replace(card(), coarse=replace(CONFIG, lowest_level=6)).digest
    with pytest.raises(RefusedError, match=r"network for coarse levels.*table \[coarse\]"):
        load_heat(path, replace(known, coarse=None))
    with pytest.raises(RefusedError, match="coarse"):
        load_heat(path, replace(known, coarse=replace(CONFIG, blocks=3)))
    pair = model()
    with pytest.raises(ValueError, match="do not match"):
        Model(preconditioned(), pair.unet, pair.statistics, coarse=pair.coarse)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="do not match"):
        Model(card(), pair.unet, pair.statistics)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "changed", "said"),
    [
        ("blocks = 2", "blocks = 3", "m.toml:30: coarse: not the network that .* holds:\n  coarse"),
        ("lowest_level = 5", "lowest_level = 6", "m.toml:31: coarse.lowest_level = 6: .* = 5$"),
    ],
)
def test_the_card_must_describe_the_network(
    line: str, changed: str, said: str, tmp_path: Path
) -> None:
    """What does not fit is refused with the line of the card; a file may leave the level out."""
    path, known = stored(tmp_path)
    text = known.to_toml()
    assert line in text
    wrong = ModelCard.from_toml(text.replace(line, changed), "m.toml")
    with pytest.raises(RefusedError, match=said):
        load_heat(path, wrong)
    older = load_file(path)
    save_file(older, path)
    assert load_heat(path, replace(known, weights=None)).coarse is not None
