"""Networks for bands of levels learn from images or a larger one, and make up a model."""

import json
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from recipes import (
    cascade,
    distil_cosines,
    distil_unet,
    faces,
    train_band,
    train_cosines,
)
from recipes.cosines import LowCosines, draw_states, low_cosines, principal_axes
from recipes.distil_cosines import Lessons, distillation_loss
from recipes.distil_unet import PLANS, Plan, Pool, shared_layers
from recipes.muon import RecipeOptions
from recipes.runs import BandRun, read_net, turned
from recipes.states import BandStates
from recipes.train_cosines import cosine_loss, denoising_loss
from sitegen.core.errors import RefusedError
from sitegen.generative.card.networks import Band, CosineConfig
from sitegen.generative.maths.heat import dct2, idct2
from sitegen.generative.networks.cosines import CosineNet, lowest
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import heat_loss
from sitegen.models.registry import model_source
from tests.support.lessons import cascade as lesson_cascade
from tests.support.lessons import (
    dct,
    images,
    kept,
    outspoken,
    preconditioned,
    without_coarse,
)
from tests.support.lessons import model as with_coarse
from tests.support.making import random_unet
from tests.support.tinymodel import large_card


@pytest.mark.parametrize("channels", [1, 3])
def test_known_numbers(channels: int) -> None:
    """Mean and deviation of the coefficients of states are those of the data, by SciPy."""
    known = LowCosines.of(without_coarse(channels), 3)
    assert known.levels == 8
    cosines = dct(images(channels=channels).double().numpy() / 255)[..., :3, :3]
    card = preconditioned(channels)
    for level in (1, 5, 8):
        here = kept(card, level)[:3, :3]
        deviation = np.sqrt(here**2 * cosines.var(0) + card.training_noise_std**2)
        assert known.mean[level].numpy() == pytest.approx(
            (here * cosines.mean(0)).ravel(), rel=1e-4
        )
        assert known.std[level].numpy() == pytest.approx(deviation.ravel(), rel=1e-4)


def test_estimate_and_answer_are_the_model_s() -> None:
    """With the answer of a network the estimate is the mean that the whole model gives."""
    both, u = with_coarse(), images(4).float() / 255
    known = LowCosines.of(both, 3)
    for level in (5, 8):
        levels = torch.full((4,), level)
        seen = lowest(dct2(u), 3)
        answer = known.unknown[levels] * known.answer(outspoken(), seen, levels)
        found = known.attenuation[levels - 1] * (known.estimate(seen, levels) + answer)
        assert torch.allclose(found, lowest(dct2(both(u, level)), 3), atol=1e-5)


def test_states() -> None:
    """All of the levels that are asked for; images of the data; noise of 1 to 1.5 times σ."""
    known, data = LowCosines.of(without_coarse(), 3), low_cosines(images(8), 3)
    drawn = draw_states(known, data, 4096, range(3, 7), 1.5, torch.Generator().manual_seed(4))
    sharp, states, levels = drawn
    assert set(levels.tolist()) == set(range(3, 7))
    assert len({tuple(row.tolist()) for row in sharp}) == 8
    noise = (states - known.attenuation[levels] * sharp) / 0.05
    assert float(noise.square().mean()) == pytest.approx((1 + 1.5 + 1.5**2) / 3, rel=0.03)
    again = draw_states(known, data, 4096, range(3, 7), 1.5, torch.Generator().manual_seed(4))
    assert all(map(torch.equal, drawn, again))


TRAINED = Band(3, 8, cosines=CosineConfig(width=64, blocks=1, features=16))
TRAINING = RecipeOptions(
    images=64 * 200, batch_size=64, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9
)
LEVELS = torch.tensor([1, 4, 7, 8])


def run(training: RecipeOptions = TRAINING) -> BandRun:
    """A run over eight pictures."""
    known, sharp = LowCosines.of(without_coarse(), 8), low_cosines(images(8), 8)
    loss = cosine_loss(known, sharp, training, range(3, 9))
    return BandRun(TRAINED, preconditioned(), loss, training)


@pytest.mark.parametrize("channels", [1, 3])
def test_loss_is_that_of_the_network_over_pixels(channels: int) -> None:
    """With all cosines and both networks silent it is `heat_loss` of the same images and noise."""
    pictures = images(4, channels).float() / 255
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(4))
    wanted = heat_loss(without_coarse(channels), pictures, LEVELS, noise)
    known = LowCosines.of(without_coarse(channels), 8)
    sharp = lowest(dct2(pictures), 8)
    states = known.attenuation[LEVELS] * sharp + 0.05 * lowest(dct2(noise), 8)
    silent = CosineNet(CosineConfig(8, 1, 4), 8, channels)
    found = denoising_loss(known, silent, sharp, states, LEVELS)
    assert found.detach().numpy() == pytest.approx(wanted.numpy(), rel=1e-3)


def test_training_learns(tmp_path: Path) -> None:
    """It leaves less than the linear estimate does, and its file holds the averages."""
    going = run()
    losses = [going.advance() for _ in range(120)]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])
    going.save(tmp_path / "state.pt")
    band, read = read_net(tmp_path / "state.pt")
    assert band == TRAINED
    for net in (read, going.averaged()):
        assert all(torch.equal(value, going.ema[name]) for name, value in net.named_parameters())
        assert not any(value.requires_grad for value in net.parameters())
        assert not torch.equal(
            net.state_dict()["leave.weight"], going.net.state_dict()["leave.weight"]
        )


def test_seen_along_its_axes(tmp_path: Path) -> None:
    """States are white along the axes; what is saved sees z as it is, and a run begins with it."""
    known, sharp = LowCosines.of(without_coarse(), 8), low_cosines(images(64), 8)
    axes, shares = principal_axes(known, sharp, range(3, 9))
    _, states, levels = draw_states(
        known, sharp, 40_000, range(3, 9), 1.0, torch.Generator().manual_seed(5)
    )
    along = known.standardised(states, levels) @ axes
    assert float((along.T @ along / len(along) - torch.eye(64)).abs().max()) < 0.05
    assert 0 <= float(shares.min()) <= float(shares.max()) <= 1
    quiet = known.noise_std / known.std[3:9]  # of z
    noise = (quiet[..., None] * axes).square().sum(1).mean(0)
    assert torch.allclose(shares, 1 - noise, atol=1e-3)

    trained = replace(TRAINING, optimizer="muon")
    seeing = replace(known, axes=axes)
    run = BandRun(
        TRAINED, preconditioned(), cosine_loss(seeing, sharp, trained, range(3, 9)), trained
    )
    run.see_along(axes, shares)
    for _ in range(20):
        run.advance()
    run.save(tmp_path / "state.pt")
    found = known.answer(read_net(tmp_path / "state.pt")[1], states[:9], levels[:9])
    run.net.load_state_dict(run.ema, strict=False)
    assert isinstance(run.net, CosineNet)
    wanted = seeing.answer(run.net, states[:9], levels[:9]).detach()
    assert torch.allclose(found, wanted, atol=1e-3)
    assert float(wanted.abs().max()) > 0.1

    second = BandRun(TRAINED, preconditioned(), run.loss, trained)
    second.see_along(axes, shares)
    second.begin_from(run.averaged().state_dict())
    assert isinstance(second.net, CosineNet)
    begun = seeing.answer(second.net, states[:9], levels[:9])
    assert torch.allclose(begun, wanted, atol=1e-3)


def test_goes_on(tmp_path: Path) -> None:
    """Resumed, it has the weights of a run that never stopped; other options are refused."""
    short = replace(TRAINING, images=6 * 64)
    whole, first, state = run(short), run(replace(short, save_every_s=9.0)), tmp_path / "run.pt"
    for _ in range(6):
        whole.advance()
    for _ in range(3):
        first.advance()
    first.save(state)
    for changed in ({"seed": 7}, {"learning_rate": 9.0}):
        with pytest.raises(SystemExit, match=r"run\.pt: is the state of a run with other options"):
            run(replace(short, **changed)).restore(state)
    second = run(short)
    second.to_the_end(state)
    assert second.step == 6
    kept = second.net.state_dict() | {f"ema.{name}": value for name, value in second.ema.items()}
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, kept[name]), name
    for name, value in whole.ema.items():
        assert torch.equal(value, kept[f"ema.{name}"]), name


def test_stopped(tmp_path: Path) -> None:
    """Ctrl-C saves after the step that is under way, and ends with its exit code."""
    first, state = run(replace(TRAINING, images=6 * 64)), tmp_path / "run.pt"
    plain = first.loss

    def interrupted(net: Any, step: int, generator: torch.Generator) -> Tensor:
        if first.step == 2:
            signal.raise_signal(signal.SIGINT)
        return plain(net, step, generator)

    first.loss = interrupted
    with pytest.raises(SystemExit, match="130"):
        first.to_the_end(state)
    second = run(replace(TRAINING, images=6 * 64))
    second.restore(state)
    assert second.step == 3


def test_begins_with_weights_of_such_a_network() -> None:
    """Weights to begin with are taken where they fit, and those of another network refused."""
    begun, first = run(), run(replace(TRAINING, seed=5))
    begun.begin_from(first.net.state_dict())
    for name, value in first.net.state_dict().items():
        assert torch.equal(begun.net.state_dict()[name], value)
    with pytest.raises(RefusedError, match="are for another network"):
        begun.begin_from(random_unet(preconditioned()).state_dict())


def test_command_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads a shipped model and images, trains and saves; a DDPM is refused."""
    for place in range(6):
        Image.new("L", (28, 28), 40 * place).save(tmp_path / f"{place}.png")
    monkeypatch.setattr(train_cosines, "TRAINING", replace(TRAINING, images=3 * 64))
    command = ["x", "models/mnist", "--data", str(tmp_path), "--output", str(tmp_path / "a/c.pt")]
    monkeypatch.setattr("sys.argv", command)
    train_cosines.main()
    assert read_net(tmp_path / "a/c.pt")[0] == train_cosines.BAND
    monkeypatch.setattr("sys.argv", [*command[:1], "models/mnist-ddpm", *command[2:]])
    with pytest.raises(SystemExit, match="only a preconditioned model"):
        train_cosines.main()


SMALL = Band(6, 3, cosines=CosineConfig(width=16, blocks=1, features=4, level_features=4))


def lessons(size: int = 2048) -> Lessons:
    """Those of a network with random weights."""
    known, sharp = LowCosines.of(without_coarse(), 3), low_cosines(images(), 3)
    return Lessons(known, sharp, outspoken(), range(SMALL.lowest_level, 9), size)


def test_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    """States of the levels asked for with the teacher's answers, the oldest renewed in turn."""
    monkeypatch.setattr(distil_cosines, "FRESH", 512)
    given, generator = lessons(), torch.Generator().manual_seed(1)
    states, levels, wanted = given.draw(500, generator)
    assert set(levels.tolist()) == {6, 7, 8}
    assert torch.equal(wanted, given.known.answer(outspoken(), states, levels))
    assert len(states.unique(dim=0)) > 400  # type: ignore[no-untyped-call]
    first = given._pool[0].clone()
    for turn in range(4):
        given.renew(turn, generator)
        same = (given._pool[0] == first).all(1)
        assert int(same.sum()) == 2048 - 512 * (turn + 1)
        assert not bool(same[: 512 * (turn + 1)].any())
    second = given._pool[0].clone()
    given.renew(4, generator)
    assert torch.equal(given._pool[0][512:], second[512:])
    assert not torch.equal(given._pool[0][:512], second[:512])


def test_distillation_learns() -> None:
    """The small network comes nearer to the large one; that one has no loss."""
    given = lessons()
    loss = distillation_loss(given, TRAINING)
    assert float(loss(outspoken(), 1, torch.Generator().manual_seed(3)).max()) < 1e-9
    run = BandRun(SMALL, preconditioned(), loss, TRAINING)
    losses = [run.advance() for _ in range(200)]
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


@pytest.mark.parametrize("name", PLANS)
def test_shared_layers(name: str) -> None:
    """Those of the large U-Net go where the small one has such layers."""
    plan, card = PLANS[name], large_card()
    found = shared_layers(random_unet(card), plan)
    run = BandRun(plan.band, card, lambda *_: torch.zeros(1), TRAINING)
    before = {name: value.clone() for name, value in run.net.state_dict().items()}
    fitting = {name for name, value in found.items() if before[name].shape == value.shape}
    assert len(fitting) > 0.5 * len(before)
    run.begin_from(found)
    for net in (run.net, run.averaged()):
        for name, value in net.state_dict().items():
            assert torch.equal(value, found[name] if name in fitting else before[name])


def test_pool() -> None:
    """It fills up batch by batch; after that a quarter of a batch takes the oldest's place."""
    given = iter(range(99))
    pool = Pool(lambda count, _: [torch.full((count,), next(given))], 16)
    for step, held in enumerate(([8], [8, 8], [8, 6, 2], [8, 4, 2, 2])):
        (batch,) = pool.draw(8, step, torch.Generator().manual_seed(0))
        assert len(batch) == 8
        assert sorted(Counter(pool._kept[0].tolist()).values(), reverse=True) == held


@pytest.mark.parametrize("side", [None, 4])
def test_distillation_of_a_unet(side: int | None) -> None:
    """The answer of a network that is the large one costs nothing; another one comes nearer."""
    large = with_coarse()
    band = Band(1, side, large.card.finest)
    plan = Plan(band, 4, 64, {})
    training = replace(TRAINING, optimizer="muon", batch_size=16)
    loss = distil_unet.distillation_loss(large, images(), plan, training)
    if band.side is None:
        assert float(loss(large.networks[0], 0, torch.Generator().manual_seed(3)).max()) < 1e-6
    run, asked = BandRun(band, large.card, loss, training), set[int]()
    run.net.register_forward_pre_hook(lambda _, seen: asked.update(seen[1].tolist()))
    losses = [run.advance() for _ in range(60)]
    assert asked == {1, 2, 3, 4}
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


@pytest.mark.parametrize(("number", "levels"), [(0, {1, 2, 3, 4, 5}), (1, {3, 4, 5, 6, 7})])
def test_a_band_learns_from_images(number: int, levels: set[int]) -> None:
    """It sees its levels and three above, and leaves less than a linear estimate."""
    model = lesson_cascade()
    band, training = model.card.networks[number], replace(TRAINING, optimizer="muon", batch_size=16)
    loss = train_band.image_loss(model, images(8), band, training, half=False)
    run, asked = BandRun(band, model.card, loss, training), set[int]()
    run.net.register_forward_pre_hook(lambda _, seen: asked.update(seen[1].tolist()))
    losses = [run.advance() for _ in range(60)]
    assert asked == levels
    assert sum(losses[:3]) / 3 == pytest.approx(1, abs=0.2)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_loss_of_a_band_is_that_of_the_whole_network() -> None:
    """For a network that sees all pixels it is `heat_loss`, but for the noise that is drawn."""
    model, data = lesson_cascade(), images(60)
    band, training = model.card.networks[0], replace(TRAINING, batch_size=2048)
    loss = train_band.image_loss(model, data, band, training, half=False)
    found = loss(model.networks[0], 0, torch.Generator().manual_seed(0))
    card = replace(model.card, bands=(), unet=model.card.finest, sampling=None)
    alone = Model(card, [model.networks[0]], model.statistics)
    many, levels = data.repeat(30, 1, 1, 1) / 255, torch.arange(1, 6).repeat(360)
    noise = torch.randn(many.shape, generator=torch.Generator().manual_seed(1))
    wanted = heat_loss(alone, many, levels, noise)
    assert float(found.mean()) == pytest.approx(float(wanted.mean()), rel=0.06)


def test_weights_of_pixels() -> None:
    """An error in one pixel counts as the weight there says, and those of `image_loss` reach it."""
    model, data = lesson_cascade(), images(60)
    known = BandStates.of(model, 8)
    levels, noise = torch.arange(1, 4).repeat(20), torch.zeros(1, 1, 8, 8)
    cosines = dct2(data.float() / 255)
    wanted = known.target(cosines, known.estimate(cosines, levels, noise), levels).double()
    weights = torch.arange(64.0).view(8, 8)
    for row, column in ((0, 5), (3, 1)):
        error = torch.zeros(8, 8, dtype=torch.float64)
        error[row, column] = 1
        answer = idct2(wanted + dct2(error) / known.cost[levels - 1].sqrt())
        assert known.loss(answer, wanted, levels).tolist() == pytest.approx([1] * 60)
        found = known.loss(answer, wanted, levels, weights)
        assert found.tolist() == pytest.approx([8 * row + column] * 60)
    band, training = model.card.networks[0], replace(TRAINING, batch_size=16)
    once, twice = (
        train_band.image_loss(model, data, band, training, False, weights=each)(
            model.networks[0], 0, torch.Generator().manual_seed(0)
        )
        for each in (None, torch.full((8, 8), 2.0))
    )
    assert torch.allclose(twice, 2 * once, rtol=1e-4)


def test_pixels_of_the_mouth() -> None:
    """They weigh most in the lower middle, at any side, and the corners weigh 1."""
    for side in (64, 32):
        weights = faces.mouth_weights(side, 5.0)
        at = weights[side * 53 // 64, side // 2]
        assert float(at) == pytest.approx(5, abs=0.02)
        assert weights[:: side - 1, :: side - 1].tolist() == [[1, 1], [1, 1]]
        assert float(weights.mean()) == pytest.approx(1.29, abs=0.02)


def test_images_of_a_band_are_drawn_in_the_order() -> None:
    """Only images that `order` names are learned from: black ones, where only these are named."""
    model, data = lesson_cascade(), images(60)
    data[1::2] = 0
    band, training = model.card.networks[0], replace(TRAINING, batch_size=256)

    def mean_of(order: Tensor | None) -> float:
        loss = train_band.image_loss(model, data, band, training, half=False, order=order)
        seen: list[Tensor] = []

        def net(state: Tensor, _levels: Tensor) -> Tensor:
            seen.append(state)
            return state

        loss(net, 0, torch.Generator().manual_seed(0))
        return float(seen[0].mean())

    black, bright = mean_of(torch.arange(1, 60, 2)), mean_of(torch.arange(0, 60, 2))
    assert mean_of(torch.tensor([1, 1])) == pytest.approx(black, rel=0.02)
    assert (mean_of(None) - black) / (bright - black) == pytest.approx(0.5, abs=0.08)
    mostly = torch.tensor([*range(0, 60, 2)] * 9 + [*range(1, 60, 2)])
    assert (mean_of(mostly) - black) / (bright - black) == pytest.approx(0.9, abs=0.08)


def test_faces_that_are_drawn_more_often(tmp_path: Path) -> None:
    """A face of rare classes is named as often as the rarest of them says, others once."""
    plain = {"gender": "female", "accessory": "none", "glasses": "none", "beard": "none"}
    plain |= {"hair": "bald", "hair_color": "#B55239", "skin_color": "#5c3937", "mouth": "side"}
    rare, mask = {"accessory": "eye-black", "mouth": "mouth8"}, {"glasses": "facemask"}
    unlike: list[dict[str, str]] = [{}, {"mouth": "mouth7"}, rare, {"accessory": "headband"}]
    unlike += [mask | {"mouth": "mouth7"}, {}]
    lines = "\n".join(json.dumps({**plain, **each}) for each in unlike)
    (tmp_path / "train-attributes.jsonl").write_text(lines + "\n")
    assert faces.repeated(tmp_path, 5, faces.RARE).tolist() == [0, 1, 1, 2, 2, 2, 3, 4, 4]
    with pytest.raises(SystemExit, match="lists 6 of 7 faces; draw them again"):
        faces.repeated(tmp_path, 7, faces.RARE)


def test_share_of_the_weights_that_is_kept(tmp_path: Path) -> None:
    """A quarter of the weights before and three quarters of the new ones, in the run's file."""
    run, first = tmp_path / "run.pt", tmp_path / "first.safetensors"
    assert not faces.is_mixed(run)
    torch.save({"ema": {"w": torch.tensor([2.0, 4.0])}, "step": 3}, run)
    save_file({"w": torch.tensor([0.0, 8.0]).half()}, first)
    assert not faces.is_mixed(run)
    faces.keep_share(run, first, 0.25)
    assert torch.load(run, weights_only=True)["ema"]["w"].tolist() == [1.5, 5.0]
    assert faces.is_mixed(run)


def test_share_of_the_weights_of_an_mlp_that_is_kept(tmp_path: Path) -> None:
    """A run along axes is mixed with weights for the original input, in these axes."""
    run, first = tmp_path / "run.pt", tmp_path / "first.safetensors"
    generator = torch.Generator().manual_seed(1)
    own, before = torch.randn(2, 4, 5, generator=generator).half().float()
    axes = torch.randn(3, 3, generator=generator)
    torch.save({"ema": {"enter.weight": own.clone()}, "axes": axes}, run)
    save_file({"enter.weight": before.half()}, first)
    faces.keep_share(run, first, 0.25)
    mixed = torch.load(run, weights_only=True)["ema"]
    wanted = 0.75 * turned({"enter.weight": own}, axes)["enter.weight"] + 0.25 * before
    torch.testing.assert_close(turned(mixed, axes)["enter.weight"], wanted, rtol=1e-4, atol=1e-4)


def test_which_networks_stay() -> None:
    """Each kind is replaced by its own; a gap that would be left is refused in words."""
    card = model_source("faces", Path("models/faces")).card
    fine, middle, low, coarse, coarsest = card.bands
    assert cascade.staying(card, [middle]) == [fine, low, coarse, coarsest]
    assert cascade.staying(card, [replace(fine, side=64)]) == [middle, low, coarse, coarsest]
    assert cascade.staying(card, [coarse]) == [fine, middle, low, coarsest]
    assert cascade.staying(card, [coarsest, fine]) == [middle, low, coarse]
    assert cascade.staying(card, card.bands) == []
    assert cascade.staying(card, [replace(coarse, lowest_level=50)]) == [fine, middle, low]
    with pytest.raises(SystemExit, match="for the levels 65 to 69, which an MLP of the model has"):
        cascade.staying(card, [replace(coarse, lowest_level=70)])
