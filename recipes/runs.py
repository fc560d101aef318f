"""Training run of the network of one band of levels: steps, averages, saving, resuming."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from recipes.muon import Optimizers, RecipeOptions
from sitegen.core.errors import RefusedError
from sitegen.core.signals import stop_on_signals
from sitegen.generative.card.card import ModelCard, plain
from sitegen.generative.card.networks import Band
from sitegen.generative.networks.construct import new_network
from sitegen.generative.training.train import mixed_seed, write_state

SAVE_EVERY_S = 120.0
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
OPTIONS = (
    *("images", "batch_size", "learning_rate", "warmup_steps", "decay_share", "ema_decay"),
    *("gradient_clip", "seed", "optimizer", "muon_learning_rate"),
)
"""Training options that a run uses."""
REPORT_EVERY = 50

Loss = Callable[[Any, int, torch.Generator], Tensor]
"""Loss (N,) of the network at a step; all its randomness comes from the generator."""


class BandRun:
    """Run in memory; its randomness in a step comes from (seed, step).

    AdamW trains an MLP over cosines unless the options select Muon; U-Nets follow the options.
    """

    def __init__(self, band: Band, card: ModelCard, loss: Loss, training: RecipeOptions) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(training.seed))
            self.net = new_network(band, card.channels, card.image_size)
        self.band, self.loss, self.training = band, loss, training
        self.axes: Tensor | None = None
        self.size = (card.channels, card.image_size)
        self.parameters = dict(self.net.named_parameters())
        self.ema = {name: value.detach().clone() for name, value in self.parameters.items()}
        chosen = band.unet or training.optimizer == "muon"
        self.optimizer = Optimizers(self.parameters, training) if chosen else None
        self.adamw = torch.optim.AdamW(
            self.net.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.step = 0

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Load those of `weights` that the network has; a resumed run has its own.

        Raises RefusedError if there are none.
        """
        state = self.net.state_dict()
        if self.axes is not None:
            weights = turned(weights, torch.linalg.inv(self.axes))
        fitting = {n: v for n, v in weights.items() if n in state and v.shape == state[n].shape}
        if not fitting:
            raise RefusedError(
                "the initial weights are for another network, none of them fits; start with a "
                "model that has such a band"
            )
        state |= fitting
        self.net.load_state_dict(state)
        self.ema = {name: value.detach().clone() for name, value in self.parameters.items()}

    def see_along(self, axes: Tensor, shares: Tensor) -> None:
        """Make an MLP see z along `axes` (n, n), with random features scaled by `shares`.

        The loss must do the same (`LowCosines.axes`); the saved network is for the original z.
        """
        frequencies = (axes * shares) @ self.net.get_buffer("frequencies")
        self.net.get_buffer("frequencies").copy_(frequencies.half().float())  # as they are stored
        self.axes = axes

    def advance(self) -> float:
        """Take one step and return its loss."""
        generator = torch.Generator().manual_seed(mixed_seed(self.training.seed, self.step))
        loss = self.loss(self.net, self.step, generator).mean()
        self.net.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.training.gradient_clip)
        if self.optimizer is not None:
            self.optimizer.step(self.step)
        else:
            for group in self.adamw.param_groups:
                group["lr"] = self.training.rate(self.step)
            self.adamw.step()
        with torch.no_grad():
            current: list[Tensor] = [self.parameters[name] for name in self.ema]
            share = self.training.ema_share(self.step)
            torch._foreach_lerp_(list(self.ema.values()), current, 1 - share)
        self.step += 1
        return loss.item()

    def averaged(self) -> nn.Module:
        """Return the network with the averaged weights, ready for evaluation."""
        return _ready(self.band, self.size, self.net.state_dict() | self.ema, self.axes)

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        optimizer = (
            self.optimizer.state() if self.optimizer else {"optimizer": self.adamw.state_dict()}
        )
        state = {
            "step": self.step,
            **self._known(),
            "size": list(self.size),
            "net": self.net.state_dict(),
            "ema": self.ema,
            "axes": self.axes,
            **optimizer,
        }
        write_state(path, state)

    def _known(self) -> dict[str, Any]:
        """Return the network and options that must match when a run resumes."""
        options = asdict(self.training)
        return {"band": plain(self.band), "options": {name: options[name] for name in OPTIONS}}

    def restore(self, path: Path) -> None:
        """Resume from `path`. Raises SystemExit if it is the state of another run."""
        state = torch.load(path, weights_only=True)
        for part, value in self._known().items():
            if state[part] != value:
                raise SystemExit(
                    f"{path}: is the state of a run with other {part}, {state[part]}; this one "
                    f"has {value}: remove the file, or write elsewhere"
                )
        self.net.load_state_dict(state["net"])
        if self.optimizer is not None:
            self.optimizer.restore(state)
        else:
            self.adamw.load_state_dict(state["optimizer"])
        self.ema = {name: state["ema"][name] for name in self.parameters}
        self.axes = state.get("axes")
        self.step = state["step"]

    def to_the_end(self, path: Path) -> None:
        """Take all remaining steps, resuming from `path` if it exists; save, and print losses.

        Ctrl-C saves and ends the process; the same command resumes.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.restore(path)
        saved, recent = time.monotonic(), []
        with stop_on_signals() as stop:
            while self.step < self.training.steps and not stop.asked():
                recent.append(self.advance())
                if self.step % REPORT_EVERY == 0:
                    mean = sum(recent) / len(recent)
                    print(f"step {self.step} of {self.training.steps}: {mean:.5f}", flush=True)
                    recent.clear()
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self.save(path)
                    saved = time.monotonic()
            self.save(path)
        if stop.asked():
            print(f"stopped after step {self.step}; run the same command to continue", flush=True)
            raise SystemExit(128 + (stop.signal or 0))


def read_net(path: Path) -> tuple[Band, Any]:
    """Return the band and the averaged network of a saved run, ready for evaluation."""
    state = torch.load(path, weights_only=True)
    band = TypeAdapter(Band).validate_python(state["band"])
    return band, _ready(band, state["size"], state["net"] | state["ema"], state.get("axes"))


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe of a saved run for a card: states, steps, network and options.

    Repeated states are counted each time.
    """
    state = torch.load(path, weights_only=True)
    options = dict(state["options"])
    if "cosines" in state["band"] and options["optimizer"] != "muon":
        options |= {"optimizer": "adamw", "betas": list(BETAS), "weight_decay": WEIGHT_DECAY}
    if options["optimizer"] != "muon":
        del options["muon_learning_rate"]
    return {
        "states_seen": state["step"] * options["batch_size"],
        "steps": state["step"],
        "band": state["band"],
        "options": options,
    }


def turned(weights: Mapping[str, Tensor], axes: Tensor) -> dict[str, Tensor]:
    """Return the weights of an MLP for the original z, given those for z along `axes`."""
    entering, size = weights["enter.weight"], len(axes)
    entering = torch.cat([entering[:, :size] @ axes.T, entering[:, size:]], 1)
    return {**weights, "enter.weight": entering}


def _ready(
    band: Band, size: tuple[int, int], weights: Mapping[str, Any], axes: Tensor | None
) -> nn.Module:
    """Return the network for the original input, given one for z along `axes`."""
    net = new_network(band, *size)
    net.load_state_dict(weights if axes is None else turned(weights, axes))
    return net.eval().requires_grad_(False)
