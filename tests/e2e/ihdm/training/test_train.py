"""A run learns, stops and goes on bit by bit as if it had never stopped, also after kill -9."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from sitegen.core.compute import Precision
from sitegen.core.errors import RefusedError, TargetError
from sitegen.ihdm.card.card import BlurRange, ModelCard
from sitegen.ihdm.training import train
from sitegen.ihdm.training.loss import draw_levels, level_density, loss_per_image
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.ihdm.training.recipe import as_ddpm
from sitegen.ihdm.training.train import InitialWeights, Progress, Run, Timer, Training
from tests.support.lessons import images
from tests.support.making import random_unet, small_card
from tests.support.paths import ROOT

OPTIONS = TrainingOptions(images=48, batch_size=8, warmup_steps=2)


def card(**changes: Any) -> ModelCard:
    """A small preconditioned card with dropout, which is random, too."""
    return small_card(**{"parameterization": "preconditioned", "dropout": 0.2, **changes})


def ddpm() -> ModelCard:
    """A small DDPM with the same network."""
    return as_ddpm(small_card(dropout=0.2))


def begin(
    folder: Path, card: ModelCard, options: TrainingOptions = OPTIONS, data: Any = None, **more: Any
) -> Run:
    """A run in `folder` on `data` or the usual images; `more` go to the training."""
    folder.mkdir(exist_ok=True)
    return Run(
        card, Training((images() if data is None else data).numpy(), "", folder, options, **more)
    )


def start(folder: Path, options: TrainingOptions = OPTIONS, **changes: Any) -> Run:
    """A run in `folder`; `changes` go to the card."""
    return begin(folder, card(**changes), options)


def after(steps: int) -> Callable[[], bool]:
    """Ask to stop after so many steps."""
    asked = iter([False] * steps)
    return lambda: next(asked, True)


def nothing(_progress: Progress) -> None:
    """Show nothing."""


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of nested tables, by path."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, item in pairs for k, v in flat(item, f"{name}/{key}").items()}
    return {name: value}


def same(first: Path, second: Path) -> bool:
    """Whether two saved states are equal bit by bit, and more than a few tensors."""
    one, other = (flat(torch.load(folder / "training.pt")) for folder in (first, second))
    equal = [
        torch.equal(value, other[key]) if isinstance(value, Tensor) else value == other[key]
        for key, value in one.items()
    ]
    return one.keys() == other.keys() and len(equal) > 50 and all(equal)


@pytest.mark.parametrize(
    ("kind", "precision", "optimizer"),
    [
        ("ihdm", "float32", "adam"),
        ("ihdm", "bfloat16", "muon"),
        ("ddpm", "float32", "muon"),
        ("ddpm", "bfloat16", "adam"),
    ],
)
def test_resumed_is_uninterrupted(
    tmp_path: Path, precision: Precision, optimizer: Any, kind: str
) -> None:
    """Stopped twice and gone on in new runs, it ends with the same bits and the same log."""
    folders = [tmp_path / "whole", tmp_path / "parts"]
    asked = card() if kind == "ihdm" else ddpm()
    options = replace(OPTIONS, optimizer=optimizer)
    whole = begin(folders[0], asked, options, precision=precision)
    assert not whole.restore()
    assert whole.advance_to_end(nothing)
    for part, done in ((1, False), (3, False), (9, True)):
        run = begin(folders[1], asked, options, precision=precision)
        assert run.restore() == (part > 1)
        assert run.advance_to_end(nothing, after(part)) == done
    assert same(*folders)
    logs = [(folder / "log.jsonl").read_text().splitlines()[-1:] for folder in folders]
    assert [json.loads(line[0])["step"] for line in logs] == [6, 6]


VICTIM = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from sitegen.ihdm.training.options import TrainingOptions
from tests.e2e.ihdm.training.test_train import OPTIONS, start
run = start(Path(sys.argv[1]))
while run.step < run.options.steps - 1:
    run.advance()
    run.save()
while True:
    run.save()
"""


def test_killed(tmp_path: Path) -> None:
    """Killed at some instant of a save, the state is there, and the end is the same."""
    start(tmp_path / "whole").advance_to_end(nothing)
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", VICTIM, str(folder)]
    victim = subprocess.Popen(command, cwd=ROOT)
    try:
        deadline = time.monotonic() + 300
        while not (folder / "training.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    run = start(folder)
    assert run.restore()
    assert run.step > 0
    assert run.advance_to_end(nothing)
    assert same(tmp_path / "whole", folder)


def test_seed_decides_everything(tmp_path: Path) -> None:
    """The same seed gives the same weights; another one other first weights and other batches."""
    runs: dict[str, tuple[Tensor, ...]] = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1), ("d", 2**40)):
        torch.rand(1 + len(runs))  # what else is drawn in the process does not matter
        run = start(tmp_path / name, TrainingOptions(images=48, batch_size=8, seed=seed))
        first = next(value for value in run.parameters.values() if value.dim() == 4)
        runs[name] = (first.detach().clone(), *run.advance())
    assert all(torch.equal(x, y) for x, y in zip(runs["a"], runs["b"], strict=True))
    for name in "cd":
        assert not any(torch.equal(x, y) for x, y in zip(runs["a"], runs[name], strict=True))


def test_steps_draw_different_batches(tmp_path: Path) -> None:
    """Two steps, and a step with the next seed, have nothing in common."""
    seeds = {train.mixed_seed(seed, step) for seed in range(40) for step in range(200)}
    assert len(seeds) > 7990
    run = start(tmp_path / "run")
    assert not torch.equal(run.advance()[0], run.advance()[0])


def test_leaves_the_generators_alone(tmp_path: Path) -> None:
    """Whoever draws from torch's own generator does not notice a run beside."""
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    start(tmp_path / "run").advance()
    assert torch.equal(torch.rand(3), wanted)


def test_steps_by_hand(tmp_path: Path) -> None:
    """Rate, clipping, Adam and the averages of three steps, against a plain optimizer."""
    options = TrainingOptions(
        images=80, batch_size=8, learning_rate=0.01, warmup_steps=4, gradient_clip=0.5
    )
    run, other = (start(tmp_path / "run", options, dropout=0) for _ in range(2))
    unet = other.model.unet
    parameters = list(unet.parameters())
    adam = torch.optim.Adam(parameters, 0.01, foreach=False)
    averages = {name: value.detach().clone() for name, value in unet.named_parameters()}
    for step in range(3):
        unet.load_state_dict(run.model.unet.state_dict())  # rounding would grow from step to step
        levels, losses = run.advance()
        generator = torch.Generator().manual_seed(train.mixed_seed(0, step))
        chosen = torch.randint(64, (8,), generator=generator)
        drawn = draw_levels(8, level_density(8, options.level_focus, 0.48), generator)
        noise = torch.randn(8, 1, 8, 8, generator=generator)
        found = loss_per_image(other.model, images()[chosen].float() / 255, drawn, noise)
        assert torch.equal(levels, drawn)
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
    options = replace(OPTIONS, level_focus=0.0)
    card = replace(ddpm(), unet=small_card().unet)
    begun = InitialWeights("any", "a" * 64, random_unet(card).state_dict())  # a new one answers 0
    run = begin(tmp_path, card, options, beginning=begun)
    levels, losses = run.advance()
    generator = torch.Generator().manual_seed(train.mixed_seed(0, 0))
    chosen = torch.randint(64, (8,), generator=generator)
    drawn = draw_levels(8, level_density(8, 0.0, 0.48), generator)
    noise = torch.randn(8, 1, 8, 8, generator=generator)
    assert torch.equal(levels, drawn)
    assert sorted(levels.tolist()) == list(range(1, 9))
    alphas = DDPMScheduler(8, beta_schedule="squaredcos_cap_v2").alphas_cumprod  # type: ignore
    left = alphas[drawn - 1].view(-1, 1, 1, 1)
    x = left.sqrt() * (images()[chosen].float() / 127.5 - 1) + (1 - left).sqrt() * noise
    found = random_unet(card)(x, drawn - 1) - noise
    assert torch.allclose(losses, found.square().mean((1, 2, 3)), rtol=1e-4)


def test_begins_with_other_weights(tmp_path: Path) -> None:
    """The given weights are the first ones, also of the averages; others are another run."""
    weights = random_unet(card(), seed=9).state_dict()
    begun = InitialWeights("parent", "a" * 64, weights)

    def run(beginning: InitialWeights | None) -> Run:
        return begin(tmp_path, card(), beginning=beginning)

    first = run(begun)
    assert all(torch.equal(value, weights[name]) for name, value in first.parameters.items())
    assert all(torch.equal(value, weights[name]) for name, value in first.ema.items())
    first.advance_to_end(nothing, after(2))
    assert run(begun).restore()
    for other in (None, InitialWeights("parent", "b" * 64, weights)):
        with pytest.raises(RefusedError, match="it began from other weights"):
            run(other).restore()


def test_states_from_before(tmp_path: Path) -> None:
    """A state of an earlier version, without the newer options, goes on; not with Muon."""
    start(tmp_path).advance_to_end(nothing, after(2))
    path = tmp_path / "training.pt"
    state = torch.load(path)
    for name in ("optimizer", "muon_learning_rate"):
        del state["options"][name]
    del state["beginning"]
    torch.save(state, path)
    assert start(tmp_path).restore()
    with pytest.raises(RefusedError, match="optimizer was adam and is muon now"):
        start(tmp_path, replace(OPTIONS, optimizer="muon")).restore()


def test_learns_more_than_a_linear_filter(tmp_path: Path) -> None:
    """On blots, whose edges no linear filter sees, the loss soon falls well below 1."""
    blots = torch.zeros(256, 1, 8, 8, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(3)
    for blot, (top, left) in zip(
        blots, torch.randint(0, 5, (256, 2), generator=generator).tolist(), strict=True
    ):
        blot[0, top : top + 4, left : left + 4] = 255
    options = TrainingOptions(
        images=60 * 16, batch_size=16, learning_rate=3e-3, warmup_steps=10, level_focus=0.0
    )
    blur = BlurRange(0.5, 2)
    plain = small_card(parameterization="preconditioned", training_noise_std=0.03, blur=blur)
    run = begin(tmp_path, plain, options, blots)
    losses = [float(run.advance()[1].mean()) for _ in range(60)]
    assert sum(losses[:3]) / 3 > 0.8
    assert sum(losses[-20:]) / 20 < 0.6


def test_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed and time left follow from the clock, counted from where this session began."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    options = TrainingOptions(images=80, batch_size=8, save_every_s=1e9)
    start(tmp_path / "run", options).advance_to_end(nothing, after(4))
    run = start(tmp_path / "run", options)
    assert run.restore()
    seen: list[Progress] = []
    advance = run.advance

    def slow() -> Any:
        now[0] += 2.0
        return advance()

    monkeypatch.setattr(run, "advance", slow)
    run.advance_to_end(seen.append)
    assert [progress.step for progress in seen] == [5, 6, 7, 8, 9, 10]
    assert [progress.images_per_second for progress in seen] == pytest.approx([4.0] * 6)
    assert [progress.seconds_left for progress in seen] == pytest.approx([10, 8, 6, 4, 2, 0])


def test_saves_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as the options say, and once at the end."""
    steps: list[int] = []
    save = Run.save

    def saving(run: Run) -> None:
        steps.append(run.step)
        save(run)

    monkeypatch.setattr(Run, "save", saving)
    for every, wanted in ((0.0, [1, 2, 3, 4, 5, 6]), (1e9, [6])):
        steps.clear()
        options = TrainingOptions(images=48, batch_size=8, save_every_s=every)
        start(tmp_path / f"run{every}", options).advance_to_end(nothing)
        assert steps == wanted


def test_saves_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time comes early, the next ones at their distance."""
    now = iter([0.0, 9.0, 10.0, 100.0, 129.0, 130.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    due = Timer(120, 10)
    assert [due() for _ in range(5)] == [False, True, False, False, True]


@pytest.mark.parametrize("lost", [math.nan, 1e30])
def test_diverged(tmp_path: Path, lost: float) -> None:
    """A gradient that is lost, or what float16 cannot hold, ends it; the last good state stays."""
    run = start(tmp_path / "run")
    run.advance()
    run.save()
    before = run.state_path.read_bytes()
    with torch.no_grad():
        next(iter((run.parameters if math.isnan(lost) else run.ema).values())).fill_(lost)
    with pytest.raises(TargetError, match=r"training diverged.*lower learning rate"):
        run.advance_to_end(nothing)
    assert run.state_path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"levels": 9}, "another model"),
        ({"channel_mult": (2,)}, "another model"),
        ({"training_noise_std": 0.02}, "another model"),
        ({"options": TrainingOptions(images=48, batch_size=4, warmup_steps=2)}, "batch_size was 8"),
        ({"options": TrainingOptions(images=48, batch_size=8, warmup_steps=2, seed=1)}, "seed was"),
        ({"options": TrainingOptions(images=40, batch_size=8, warmup_steps=2)}, "only grow"),
    ],
)
def test_another_run(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """A state of another card or recipe is refused, and left as it is."""
    run = start(tmp_path / "run")
    run.advance()
    run.save()
    before = run.state_path.read_bytes()
    other = start(tmp_path / "run", **changes)
    with pytest.raises(RefusedError, match=rf"training\.pt: belongs to another run: .*{words}"):
        other.restore()
    assert other.step == 0
    assert run.state_path.read_bytes() == before


def test_other_images(tmp_path: Path) -> None:
    """A state is not gone on with on other data; one that names no data is."""
    run = start(tmp_path / "run")
    run.save()
    other = begin(tmp_path / "run", card(), data=images().flip(0))
    with pytest.raises(RefusedError, match="other images"):
        other.restore()
    state = torch.load(run.state_path)
    del state["data"]
    torch.save(state, run.state_path)
    assert other.restore()


@pytest.mark.parametrize("part", ["unet", "ema", "optimizer"])
def test_parts_that_do_not_fit(tmp_path: Path, part: str) -> None:
    """A state whose parts are not of this network is refused as damaged."""
    run = start(tmp_path / "run")
    run.save()
    torch.save({**torch.load(run.state_path), part: {}}, run.state_path)
    with pytest.raises(RefusedError, match="damaged"):
        run.restore()


def test_weights_are_the_averages(tmp_path: Path) -> None:
    """What is kept of a run are the averaged weights, and the statistics if there are any."""
    run = start(tmp_path / "run")
    run.advance()
    statistics = {"statistics.mean", "statistics.variance"}
    assert run.weights().keys() == run.parameters.keys() | statistics
    assert all(run.weights()[name] is value for name, value in run.ema.items())
    other = start(tmp_path / "other", parameterization="difference")
    assert other.weights().keys() == other.parameters.keys()
