"""A run learns and goes on bit by bit, also after kill -9."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from sitegen.core.errors import RefusedError, TargetError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.training import train
from sitegen.generative.training.loss import draw_levels, level_density, loss_per_image
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.recipe import as_ddpm, as_flow
from sitegen.generative.training.train import Progress, Run, Timer, Training
from tests.support.lessons import cascade_card, images
from tests.support.making import narrowed, random_unet, small_card

OPTIONS = TrainingOptions(images=48, batch_size=8, warmup_steps=2)


def card(**changes: Any) -> HeatDissipation:
    """A small preconditioned card with dropout, which is random, too."""
    values = {"parameterization": "preconditioned", "dropout": 0.2, **changes}
    return narrowed(small_card(**values), HeatDissipation)


CARD = card()
SILENT: Callable[[Progress], None] = Mock()


def start(
    folder: Path,
    options: TrainingOptions = OPTIONS,
    card: ModelCard = CARD,
    data: Tensor | None = None,
    **more: Any,
) -> Run:
    """A run in `folder` on `data` or the usual images; `more` go to the training."""
    folder.mkdir(exist_ok=True)
    pictures = images() if data is None else data
    return Run(card, Training(pictures.numpy(), "", folder, options, **more))


def saved(folder: Path) -> Run:
    """A run that has taken one step and saved its state."""
    run = start(folder)
    run.advance()
    run.save()
    return run


def drawn(step: int, focus: float) -> tuple[Tensor, Tensor, Tensor]:
    """The images of a batch of a run with seed 0, their levels, and their noise."""
    generator = torch.Generator().manual_seed(train.mixed_seed(0, step))
    chosen = torch.randint(64, (8,), generator=generator)
    levels = draw_levels(8, level_density(8, focus, 0.48), generator)
    return images()[chosen].float(), levels, torch.randn(8, 1, 8, 8, generator=generator)


def after(steps: int) -> Callable[[], bool]:
    """Ask to stop after so many steps."""
    asked = iter([False] * steps)
    return lambda: next(asked, True)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of nested tables, by path; tensors as their bytes."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, item in pairs for k, v in flat(item, f"{name}/{key}").items()}
    if isinstance(value, Tensor):
        value = value.dtype, value.shape, value.flatten().view(torch.uint8).numpy().tobytes()
    return {name: value}


def same(first: Path, second: Path) -> bool:
    """Whether two saved states are equal bit by bit, and more than a few tensors."""
    one, other = (flat(torch.load(folder / "training.pt")) for folder in (first, second))
    return one == other and len(one) > 50


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("ihdm", "float32"),
        ("ddpm", "bfloat16"),
        ("flow", "float32"),
        ("cascade", "bfloat16"),
    ],
)
def test_resumed_is_the_same(tmp_path: Path, kind: str, precision: Any) -> None:
    """Stopped twice and gone on in new runs, it ends with the same bits and the same log."""
    folders = [tmp_path / "whole", tmp_path / "parts"]
    noise = as_ddpm(small_card(dropout=0.2))
    flow = as_flow(small_card(dropout=0.2))
    asked = {"ihdm": card(), "ddpm": noise, "flow": flow, "cascade": cascade_card()}[kind]
    whole = start(folders[0], OPTIONS, asked, precision=precision)
    assert not whole.restore()
    assert whole.advance_to_end(SILENT)
    for part, done in ((1, False), (3, False), (9, True)):
        run = start(folders[1], OPTIONS, asked, precision=precision)
        assert run.restore() == (part > 1)
        assert run.advance_to_end(SILENT, after(part)) == done
    assert same(*folders)


def test_seed_decides_everything(tmp_path: Path) -> None:
    """A seed decides weights and batches, which differ by step, and torch's own is left alone."""
    runs: list[tuple[Tensor, ...]] = []
    before = torch.get_rng_state()
    for name, seed in enumerate((0, 0, 1, 2**40)):
        run = start(tmp_path / str(name), TrainingOptions(images=48, batch_size=8, seed=seed))
        first = next(value for value in run.parameters.values() if value.dim() == 4)
        runs.append((first.detach().clone(), *run.advance()))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(runs[-1][1], run.advance()[0])
    assert all(map(torch.equal, runs[0], runs[1]))
    for other in runs[2:]:
        assert not any(map(torch.equal, runs[0], other))
    seeds = {train.mixed_seed(seed, step) for seed in range(40) for step in range(200)}
    assert len(seeds) > 7990


def test_steps_by_hand(tmp_path: Path) -> None:
    """Rate, clipping, AdamW and the averages of three steps, against a plain optimizer."""
    options = TrainingOptions(
        images=80, batch_size=8, learning_rate=0.01, warmup_steps=4, gradient_clip=0.5
    )
    run, other = (start(tmp_path, options, card(dropout=0)) for _ in range(2))
    unet = other.model.unet
    parameters = list(unet.parameters())
    adam = torch.optim.AdamW(parameters, weight_decay=train.WEIGHT_DECAY, foreach=False)
    averages = {name: value.detach().clone() for name, value in unet.named_parameters()}
    for step in range(3):
        unet.load_state_dict(run.model.unet.state_dict())  # rounding would grow from step to step
        levels, losses = run.advance()
        pictures, wanted, noise = drawn(step, options.level_focus)
        found = loss_per_image(other.model, pictures / 255, wanted, noise)
        assert torch.equal(levels, wanted)
        assert torch.allclose(losses, found)
        gradients = torch.autograd.grad(found.mean(), parameters)
        norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient * min(1.0, 0.5 / norm)
        adam.param_groups[0]["lr"] = 0.01 * (step + 1) / 4
        adam.step()
        share = (step + 2) / (step + 11)
        for name, value in unet.named_parameters():
            averages[name] = share * averages[name] + (1 - share) * value.detach()
            assert torch.allclose(run.parameters[name], value, atol=1e-5)
            assert torch.allclose(run.ema[name], averages[name], atol=1e-5)


def test_ddpm_step_by_hand(tmp_path: Path) -> None:
    """The loss of a DDPM is the error of the noise, at levels that are drawn alike."""
    card = as_ddpm(small_card())
    run = start(tmp_path, replace(OPTIONS, level_focus=0.0), card)
    run.model.unet.load_state_dict(random_unet(card).state_dict())  # a new one answers 0
    levels, losses = run.advance()
    pictures, wanted, noise = drawn(0, 0.0)
    assert torch.equal(levels, wanted)
    assert sorted(levels.tolist()) == list(range(1, 9))
    alphas = DDPMScheduler(8, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    left = alphas[levels - 1].view(-1, 1, 1, 1)
    x = left.sqrt() * (pictures / 127.5 - 1) + (1 - left).sqrt() * noise
    found = random_unet(card)(x, levels - 1) - noise
    assert torch.allclose(losses, found.square().mean((1, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("lost", [math.nan, 1e30])
def test_diverged(tmp_path: Path, lost: float) -> None:
    """A gradient that is lost, or what float16 cannot hold, ends it; the last good state stays."""
    run = saved(tmp_path)
    before = run.state_path.read_bytes()
    with torch.no_grad():
        next(iter((run.parameters if math.isnan(lost) else run.ema).values())).fill_(lost)
    with pytest.raises(TargetError, match=r"training diverged.*another --seed"):
        run.advance_to_end(SILENT)
    assert run.state_path.read_bytes() == before


OTHER_RUNS: list[tuple[dict[str, Any], str]] = [
    ({"card": card(levels=9)}, "another model"),
    ({"card": card(channel_mult=(2,))}, "another model"),
    ({"card": card(training_noise_std=0.02)}, "another model"),
    ({"options": replace(OPTIONS, batch_size=4)}, "batch_size was 8"),
    ({"options": replace(OPTIONS, seed=1)}, "seed was"),
    ({"options": replace(OPTIONS, images=40)}, "only grow"),
    ({"data": images().flip(0)}, "other images"),
]


def test_another_run(tmp_path: Path) -> None:
    """A state of another card, recipe or data is refused and left as it is; so is a damaged one."""
    path = saved(tmp_path).state_path
    before = path.read_bytes()
    for changes, words in OTHER_RUNS:
        other = start(tmp_path, **changes)
        with pytest.raises(RefusedError, match=rf"training\.pt: belongs to another run: .*{words}"):
            other.restore()
        assert other.step == 0
        assert path.read_bytes() == before
    state = torch.load(path)
    for part in ("unet", "ema", "optimizer"):
        torch.save({**state, part: {}}, path)
        with pytest.raises(RefusedError, match="damaged"):
            start(tmp_path).restore()


def test_saves_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as the options say, and once at the end; the first time comes early."""
    for every, wanted in ((0.0, 6), (1e9, 1)):
        run = start(tmp_path / f"run{every}", replace(OPTIONS, save_every_s=every))
        monkeypatch.setattr(run, "save", save := Mock())
        run.advance_to_end(SILENT)
        assert save.call_count == wanted
    monkeypatch.setattr(time, "monotonic", Mock(side_effect=[0.0, 9.0, 10.0, 100.0, 129.0, 130.0]))
    due = Timer(120, 10)
    assert [due() for _ in range(5)] == [False, True, False, False, True]
