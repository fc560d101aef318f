"""Trains the network for the coarse levels: python -m recipes.train_coarse --help.

A run that was stopped goes on where it was saved.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from recipes.coarse import CoarseConfig, CoarseNet, LowCosines, lowest
from recipes.runs import Averages, to_the_end
from sitegen.ihdm.checkpoint import load_model
from sitegen.ihdm.data import read_images
from sitegen.ihdm.heat import dct2
from sitegen.ihdm.model import Model
from sitegen.ihdm.options import TrainingOptions
from sitegen.ihdm.state import write_state
from sitegen.ihdm.train import mixed_seed
from sitegen.models import model_source

TRAINING = TrainingOptions(
    images=12_000_000,
    batch_size=512,
    learning_rate=1.2e-3,
    decay_share=0.6,
    ema_decay=0.999,
)


@dataclass(frozen=True)
class CoarseOptions:
    """What a run does: levels from `lowest_level` to K, each as often as another."""

    lowest_level: int = 54
    training: TrainingOptions = field(default=TRAINING)


def coarse_loss(
    net: CoarseNet, known: LowCosines, sharp: Tensor, levels: Tensor, noise: Tensor
) -> Tensor:
    """The loss (N,) of `sitegen.ihdm.loss.heat_loss` on the lowest cosines alone.

    `sharp` (N, side²) are coefficients of images, `noise` those of the training noise, in pixel
    units.
    """
    states = known.attenuation[levels] * sharp + noise
    r = net(known.standardised(states, levels), levels / known.levels)
    weight = known.weight[levels]
    wanted = (sharp - known.estimate(states, levels)) / known.unknown[levels]
    loss: Tensor = (weight * (r - wanted).square()).sum(1) / weight.sum(1)
    return loss


class CoarseRun:
    """A run in memory; `sharp` (N, side²) are the lowest coefficients of the data."""

    def __init__(
        self, model: Model, sharp: Tensor, config: CoarseConfig, options: CoarseOptions
    ) -> None:
        self.config, self.options, self.training = config, options, options.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.training.seed))
            self.net = CoarseNet(config)
        self.known, self.sharp = LowCosines.of(model, config.side), sharp
        self.noise_std = model.card.training_noise_std
        self.ema = Averages(dict(self.net.named_parameters()), self.training)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), betas=(0.9, 0.98), fused=True)
        self.step = 0

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients, levels and noise of this step."""
        size = self.training.batch_size
        generator = torch.Generator().manual_seed(mixed_seed(self.training.seed, self.step))
        chosen = torch.randint(len(self.sharp), (size,), generator=generator)
        lowest_level, beyond = self.options.lowest_level, self.known.levels + 1
        levels = torch.randint(lowest_level, beyond, (size,), generator=generator)
        noise = torch.randn(size, self.sharp.shape[1], generator=generator)
        return self.sharp[chosen], levels, self.noise_std * noise

    def advance(self) -> float:
        """One step; gives its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.rate(self.step)
        loss = coarse_loss(self.net, self.known, *self.batch()).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.training.gradient_clip)
        self.optimizer.step()
        self.ema.follow(self.step)
        self.step += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """Write the whole state, all or nothing."""
        state = {
            "step": self.step,
            "config": asdict(self.config),
            "options": asdict(self.options),
            "net": self.net.state_dict(),
            "ema": self.ema.values,
            "optimizer": self.optimizer.state_dict(),
        }
        write_state(path, state)

    def restore(self, path: Path) -> None:
        """Go on from `path`."""
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.values = state["ema"]
        self.step = state["step"]


def read_net(path: Path) -> tuple[CoarseNet, CoarseConfig]:
    """The averaged network that a run saved, ready to answer."""
    state = torch.load(path, weights_only=True)
    config = CoarseConfig(**state["config"])
    net = CoarseNet(config)
    net.load_state_dict(state["net"] | state["ema"])
    return net.eval().requires_grad_(False), config


def low_cosines(images: Tensor, side: int, chunk: int = 4096) -> Tensor:
    """The lowest coefficients (N, side²) of uint8 images (N, 1, H, W)."""
    return torch.cat(
        [lowest(dct2(part.float() / 255), side) for part in torch.split(images, chunk)]
    )


def _mean(losses: list[float]) -> str:
    return f"{sum(losses) / len(losses):.5f}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a preconditioned model of grey images")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="file for the state of the run")
    arguments = parser.parse_args()
    source = model_source(arguments.model.name, arguments.model, None)
    model = load_model(source.weights, source.card)
    if not isinstance(model, Model):
        raise SystemExit(f"{arguments.model}: is a DDPM; only heat dissipation has coarse levels")
    config = CoarseConfig()
    sharp = low_cosines(torch.as_tensor(read_images(arguments.data)), config.side)
    run = CoarseRun(model, sharp, config, CoarseOptions())
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    if arguments.output.exists():
        run.restore(arguments.output)
    to_the_end(run, arguments.output, _mean, every=500)


if __name__ == "__main__":
    main()
