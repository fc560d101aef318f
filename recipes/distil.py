"""Teaches a model's U-Net what a network for the coarse levels knows: python -m recipes.distil.

From `lowest_level` on the teacher is the network of `recipes.coarse`, below it the model as it was;
the U-Net learns to give their mean of u_{k−1}. As neither has the noise of a target in it, some
ten thousand images are enough where the loss of `sitegen train` would ask for millions.
"""

from __future__ import annotations

import argparse
import copy
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from recipes.coarse import CoarseExpert
from recipes.runs import Averages, to_the_end
from recipes.train_coarse import read_net
from sitegen.ihdm.card import CARD_NAME, FileRef
from sitegen.ihdm.checkpoint import WEIGHTS_NAME, load_model
from sitegen.ihdm.data import read_images
from sitegen.ihdm.heat import dct2, dissipate, idct2
from sitegen.ihdm.loss import draw_levels
from sitegen.ihdm.model import Model, linear_estimate
from sitegen.ihdm.optimizers import Optimizers
from sitegen.ihdm.options import TrainingOptions
from sitegen.ihdm.state import write_state
from sitegen.ihdm.train import mixed_seed
from sitegen.ihdm.weights import save_weights
from sitegen.models import ModelSource, model_source

TRAINING = TrainingOptions(
    images=180_000,
    learning_rate=5e-4,
    optimizer="muon",
    muon_learning_rate=1e-3,
    warmup_steps=50,
    decay_share=0.7,
    ema_decay=0.997,
)
Distances = tuple[Tensor, Tensor]
"""Levels (N,) and, at each, how far the U-Net was from its teacher (N,)."""


@dataclass(frozen=True)
class DistilOptions:
    """What a run does beside the options of training that it shares.

    `coarse_share` of a batch lies at `lowest_level` and above. The noise of a state is `noisier`
    times that of training at most, because a sampler adds more, and makes errors.
    """

    lowest_level: int = 58
    coarse_share: float = 0.75
    noisier: float = 1.3
    training: TrainingOptions = field(default=TRAINING)

    def density(self, levels: int) -> Tensor:
        """How often each level 1 … K is drawn, float64 (K,)."""
        fine = self.lowest_level - 1
        shares = torch.full((levels,), self.coarse_share / (levels - fine), dtype=torch.float64)
        shares[:fine] = (1 - self.coarse_share) / fine
        return shares


class Teacher:
    """The mean of u_{k−1} that the U-Net shall learn."""

    def __init__(self, model: Model, expert: CoarseExpert, lowest_level: int) -> None:
        self.model, self.expert, self.lowest_level = model, expert, lowest_level

    @torch.no_grad()
    def mean(self, u: Tensor, levels: Tensor) -> Tensor:
        """The mean (N, 1, H, W) for states `u` at `levels` (N,)."""
        coarse = levels >= self.lowest_level
        answer = torch.empty_like(u)
        if bool(coarse.any()):
            answer[coarse] = self._coarse(u[coarse], levels[coarse])
        if not bool(coarse.all()):
            answer[~coarse] = self.model(u[~coarse], levels[~coarse])
        return answer

    def _coarse(self, u: Tensor, levels: Tensor) -> Tensor:
        model, statistics = self.model, self.model.statistics
        assert statistics is not None
        here = model.attenuation(levels)
        gain, unknown = linear_estimate(statistics, here, model.card.training_noise_std)
        estimate = statistics.mean + gain * (dct2(u) - here * statistics.mean)
        sharp = estimate + unknown.sqrt() * self.expert.answer(u, levels)
        return idct2(model.attenuation(levels - 1) * sharp)


def distance(model: Model, u: Tensor, levels: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance (N,) of the model's mean from `wanted`, as a share of Σ A_{k−1}² R_k."""
    assert model.statistics is not None
    _, unknown = linear_estimate(
        model.statistics, model.attenuation(levels), model.card.training_noise_std
    )
    scale = (model.attenuation(levels - 1) ** 2 * unknown).sum((1, 2, 3))
    error: Tensor = (model(u, levels) - wanted).square().sum((1, 2, 3))
    return error / scale


class DistilRun:
    """A run in memory. The model that it is given is the one that learns."""

    def __init__(
        self, model: Model, expert: CoarseExpert, images: Tensor, options: DistilOptions
    ) -> None:
        old = copy.deepcopy(model).eval().requires_grad_(False)
        self.teacher = Teacher(old, expert, options.lowest_level)
        self.model, self.images = model.train().requires_grad_(True), images
        self.options, self.training = options, options.training
        parameters = dict(model.unet.named_parameters())
        self.ema = Averages(parameters, self.training)
        self.optimizers = Optimizers(parameters, self.training)
        self.density = options.density(model.card.levels)
        self.step = 0

    def batch(self) -> tuple[Tensor, Tensor]:
        """States (N, 1, H, W) of this step and their levels (N,)."""
        size = self.training.batch_size
        generator = torch.Generator().manual_seed(mixed_seed(self.training.seed, self.step))
        chosen = torch.randint(len(self.images), (size,), generator=generator)
        levels = draw_levels(size, self.density, generator)
        images = self.images[chosen].float() / 255
        more = 1 + (self.options.noisier - 1) * torch.rand(size, 1, 1, 1, generator=generator)
        noise = torch.randn(images.shape, generator=generator)
        blurred = dissipate(images, self.model.sigmas[levels])
        return blurred + self.model.card.training_noise_std * more * noise, levels

    def advance(self) -> Distances:
        """One step; gives its levels (N,) and distances (N,)."""
        states, levels = self.batch()
        apart = distance(self.model, states, levels, self.teacher.mean(states, levels))
        self.model.unet.zero_grad()
        apart.mean().backward()  # type: ignore[no-untyped-call]
        clip = self.training.gradient_clip
        torch.nn.utils.clip_grad_norm_(self.model.unet.parameters(), clip)
        self.optimizers.step(self.step)
        self.ema.follow(self.step)
        self.step += 1
        return levels, apart.detach()

    def save(self, path: Path) -> None:
        """Write the whole state, all or nothing."""
        state = {
            "step": self.step,
            "options": asdict(self.options),
            "unet": self.model.unet.state_dict(),
            "ema": self.ema.values,
            **self.optimizers.state(),
        }
        write_state(path, state)

    def restore(self, path: Path) -> None:
        """Go on from `path`."""
        state = torch.load(path, weights_only=True)
        self.model.unet.load_state_dict(state["unet"])
        self.optimizers.restore(state)
        self.ema.values = state["ema"]
        self.step = state["step"]

    def weights(self) -> dict[str, Tensor]:
        """What a trained model is made of: the averaged weights and the data's statistics."""
        assert self.model.statistics is not None
        return {**self.ema.values, **self.model.statistics.tensors()}


def describe(recent: list[Distances]) -> str:
    """The mean distance of every ten levels that were drawn."""
    levels, apart = (torch.cat(part) for part in zip(*recent, strict=True))
    tens = levels // 10
    means = [f"{10 * ten}+ {apart[tens == ten].mean():.4f}" for ten in sorted(set(tens.tolist()))]
    return "  ".join(means)


def write_model(folder: Path, source: ModelSource, run: DistilRun) -> None:
    """Put what `source` has become into `folder`: weights, a card, and what goes with them."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = save_weights(folder / WEIGHTS_NAME, run.weights(), torch.float16)
    training = {
        "images_seen": run.step * run.training.batch_size,
        "steps": run.step,
        "initial_weights_sha256": source.weights_sha256,
        "options": asdict(run.options),
    }
    card = replace(
        source.card,
        weights=FileRef(WEIGHTS_NAME, digest),
        training=training,
        quality={},
        known_faults=(),
    )
    for part in (card.prior, card.example):
        if part is not None:
            shutil.copyfile(source.weights.parent / part.file, folder / part.file)
    (folder / CARD_NAME).write_text(card.to_toml(), encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model")
    parser.add_argument("--coarse", type=Path, required=True, help="state of recipes.train_coarse")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of state and weights")
    arguments = parser.parse_args()
    source = model_source(arguments.model.name, arguments.model, None)
    model = load_model(source.weights, source.card)
    if not isinstance(model, Model):
        raise SystemExit(f"{arguments.model}: is a DDPM; only heat dissipation has coarse levels")
    net, config = read_net(arguments.coarse)
    expert = CoarseExpert(model, net, config.side)
    run = DistilRun(model, expert, torch.as_tensor(read_images(arguments.data)), DistilOptions())
    arguments.output.mkdir(parents=True, exist_ok=True)
    state = arguments.output / "distil.pt"
    if state.exists():
        run.restore(state)
    to_the_end(run, state, describe, every=50)
    write_model(arguments.output, source, run)


if __name__ == "__main__":
    main()
