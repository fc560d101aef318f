"""A run that trains a network for coarse levels: steps, averages, saving, going on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from sitegen.ihdm.nets.coarse import CoarseNet
from torch import Tensor

from sitegen.ihdm.card.networks import CoarseConfig
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.ihdm.training.train import mixed_seed, write_state

SAVE_EVERY_S = 120.0
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
OPTIONS = (
    *("images", "batch_size", "learning_rate", "warmup_steps", "decay_share", "ema_decay"),
    *("gradient_clip", "seed"),
)
"""The training options that a run heeds."""
REPORT_EVERY = 500

Loss = Callable[[CoarseNet, int, torch.Generator], Tensor]
"""The loss (N,) of the network at a step; everything random of it comes from the generator."""


class CoarseRun:
    """A run in memory; what its loss draws in a step comes from (seed, step)."""

    def __init__(
        self, config: CoarseConfig, channels: int, loss: Loss, training: TrainingOptions
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(training.seed))
            self.net = CoarseNet(config, channels)
        self.loss, self.training, self.channels = loss, training, channels
        self.parameters = dict(self.net.named_parameters())
        self.ema = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.step = 0

    def advance(self) -> float:
        """One step; gives its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.rate(self.step)
        generator = torch.Generator().manual_seed(mixed_seed(self.training.seed, self.step))
        loss = self.loss(self.net, self.step, generator).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.training.gradient_clip)
        self.optimizer.step()
        with torch.no_grad():
            current: list[Tensor] = [self.parameters[name] for name in self.ema]
            share = self.training.ema_share(self.step)
            torch._foreach_lerp_(list(self.ema.values()), current, 1 - share)
        self.step += 1
        return loss.item()

    def averaged(self) -> CoarseNet:
        """The network with the averaged weights, ready to answer."""
        return _ready(self.net.config, self.channels, self.net.state_dict() | self.ema)

    def save(self, path: Path) -> None:
        """Write the whole state, all or nothing."""
        state = {
            "step": self.step,
            **self._known(),
            "channels": self.channels,
            "net": self.net.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
        }
        write_state(path, state)

    def _known(self) -> dict[str, dict[str, Any]]:
        """The network and the options that a run goes on with or not at all."""
        options = asdict(self.training)
        return {
            "config": asdict(self.net.config),
            "options": {name: options[name] for name in OPTIONS},
        }

    def restore(self, path: Path) -> None:
        """Go on from `path`. SystemExit if it is the state of another run."""
        state = torch.load(path, weights_only=True)
        for part, here in self._known().items():
            if state[part] != here:
                raise SystemExit(
                    f"{path}: is the state of a run with other {part}, {state[part]}; this one "
                    f"has {here}: remove the file, or write elsewhere"
                )
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema = {name: state["ema"][name] for name in self.parameters}
        self.step = state["step"]

    def to_the_end(self, path: Path) -> None:
        """Take all steps that are left, from `path` if it is there; save, and print the losses."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.restore(path)
        saved, recent = time.monotonic(), []
        while self.step < self.training.steps:
            recent.append(self.advance())
            if self.step % REPORT_EVERY == 0:
                mean = sum(recent) / len(recent)
                print(f"step {self.step} of {self.training.steps}: {mean:.5f}", flush=True)
                recent.clear()
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save(path)
                saved = time.monotonic()
        self.save(path)


def read_net(path: Path) -> CoarseNet:
    """The averaged network that a run saved, ready to answer."""
    state = torch.load(path, weights_only=True)
    config = CoarseConfig(**state["config"])
    return _ready(config, state["channels"], state["net"] | state["ema"])


def read_recipe(path: Path) -> dict[str, Any]:
    """What a run that was saved did, for a card: states, steps, network and options.

    States that were seen twice count twice.
    """
    state = torch.load(path, weights_only=True)
    return {
        "states_seen": state["step"] * state["options"]["batch_size"],
        "steps": state["step"],
        "network": state["config"],
        "options": {
            **state["options"],
            "optimizer": "adamw",
            "betas": list(BETAS),
            "weight_decay": WEIGHT_DECAY,
        },
    }


def _ready(config: CoarseConfig, channels: int, weights: Mapping[str, Any]) -> CoarseNet:
    net = CoarseNet(config, channels)
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False)
