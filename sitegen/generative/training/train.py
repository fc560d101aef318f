"""Trainer: from images to weights, resumable after a kill, with averaged weights.

All randomness of a step comes from (seed, step), so a resumed run computes the same weights as an
uninterrupted one.
"""

from __future__ import annotations

import copy
import hashlib
import io
import math
import pickle
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sitegen.core.compute import Precision
from sitegen.core.errors import RefusedError, TargetError
from sitegen.core.files import write_atomic
from sitegen.generative.card.card import STATE_NAME, ModelCard
from sitegen.generative.checkpoints.weights import prefixes
from sitegen.generative.data.datasets import Images
from sitegen.generative.data.images import DAMAGE
from sitegen.generative.networks.construct import new_network
from sitegen.generative.process.model import CardModel, model_with
from sitegen.generative.training.loss import (
    draw_levels,
    image_statistics,
    level_density,
    loss_per_image,
)
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.residual import IMAGES, evaluations

FIRST_SAVE_S = 10.0
"""Seconds until the first save of a session, so that an early kill costs little."""
WEIGHT_DECAY = 0.01
"""Decay of the weights by AdamW, as a multiple of the learning rate."""
LARGEST_WEIGHT = 60_000.0
"""Largest weight; weights are stored as float16, which ends at 65,504."""
REPORT_EVERY_S = 0.5
TIMED_STEPS, FEWEST_TIMED = 50, 5
"""Most and fewest recent steps whose median duration gives the speed: a single step on a busy
machine may take a hundred times as long."""
UNLABELLED = 0.15
"""Share of the images that a network with labels sees without theirs."""
_Tensor = TypeVar("_Tensor", bound=Tensor)


@dataclass(frozen=True, eq=False)
class Training:
    """Training data, uint8 (N, C, H, W), and settings; `source` is the data's name in the card.

    `folder` holds the state. `labels` (N,) are numbers of the card's labels.
    """

    images: Images
    source: str
    folder: Path
    options: TrainingOptions
    device: str = "cpu"
    precision: Precision = "float32"
    labels: NDArray[np.int64] | None = None


class Run:
    """State of a training run in memory and on disk."""

    def __init__(self, card: ModelCard, training: Training) -> None:
        options, device = training.options, training.device
        images = torch.from_numpy(training.images)
        with _seeded(mixed_seed(options.seed), torch.device("cpu")):
            size = (card.channels, card.image_size)
            networks = [new_network(band, *size) for band in card.networks]
        statistics = image_statistics(images) if card.has_statistics else None
        self.model = model_with(card, networks, statistics, training.precision)
        self.model.to(device).train()
        self.training, self.options, self.images = training, options, images
        self.state_path = training.folder / STATE_NAME
        self.parameters = _named(card, self.model, nn.Module.named_parameters)
        self.ema = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), weight_decay=WEIGHT_DECAY, fused=True
        )
        self.step = 0
        self._finite = torch.tensor(True, device=device)
        data = hashlib.sha256(repr(tuple(images.shape)).encode())
        data.update(images.contiguous().numpy().data)
        data.update(b"" if training.labels is None else training.labels.tobytes())
        self._data = data.hexdigest()
        self._null = len(card.labels.names) if card.labels else 0
        self._shares = tuple(_shares(card, options))
        self.measured = IMAGES  # per level, to estimate the residual variance at the end
        self.ends_at: float | None = None  # on the monotonic clock, if the run has a duration

    def end_here(self) -> None:
        """Make the next step the end of the run. Raises RefusedError before the first step."""
        if not self.step:
            raise RefusedError(f"{self.training.folder}: nothing was learned yet; train it first")
        self._end_at(self.step)

    def _end_at(self, step: int) -> None:
        self.options = replace(self.options, images=step * self.options.batch_size)
        self.training = replace(self.training, options=self.options)

    def _end_in_time(self, per_step: float) -> None:
        """Choose the last step again, so that the run ends at `ends_at`, if it has a duration.

        `per_step` are the seconds of a step as they are now, with its share of saves.
        Once the learning rate falls, which depends on the number of steps, it stays.
        """
        options = self.options
        constant_steps = max(1, options.steps - int(options.decay_share * options.steps))
        if self.ends_at is not None and self.step < constant_steps:
            remaining_s = self.ends_at - time.monotonic()
            # One evaluation of a network takes about a third of its part in a step.
            estimate = evaluations(self.model.card, self.measured) / (3 * options.batch_size)
            self._end_at(self.step + max(1, int(remaining_s / per_step - estimate)))

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors of the trained model: averaged weights and the data's statistics."""
        statistics = self.model.statistics
        return {**self._all(), **self.ema, **(statistics.tensors() if statistics else {})}

    def averaged(self) -> CardModel:
        """Return the model with the averaged weights, ready for evaluation."""
        model = copy.deepcopy(self.model)
        weights = self._all() | self.ema
        for prefix, network in zip(prefixes(model.card), model.networks, strict=True):
            names = network.state_dict()
            network.load_state_dict({name: weights[prefix + name] for name in names})
        return model.eval().requires_grad_(False)

    def _all(self) -> dict[str, Tensor]:
        return _named(self.model.card, self.model, lambda network: network.state_dict().items())

    def save(self) -> None:
        """Write the state atomically. Raises TargetError if training has diverged."""
        self._require_finite()
        if any(float(value.abs().max()) > LARGEST_WEIGHT for value in self.ema.values()):
            raise self._diverged("a weight is larger than in any trained network")
        state = {
            "step": self.step,
            "options": asdict(self.options),
            "card": self.model.card.digest,
            "data": self._data,
            "unet": self._all(),
            "ema": self.ema,
            "toml": self.model.card.to_toml(),
            "optimizer": self.optimizer.state_dict(),
        }
        write_state(self.state_path, state)

    def restore(self) -> bool:
        """Restore the saved state; return False if there is none.

        Raises RefusedError if the state is damaged or belongs to another run.
        """
        state = read_state(self.state_path, self.model.device)
        if state is None:
            return False
        options, saved = asdict(self.options), state["options"]
        conflicts = [
            f"{name} was {saved[name]} and is now {value}"
            for name, value in options.items()
            if name not in ("images", "save_every_s") and value != saved[name]
        ]
        # Once the run has finished, `images` may have any value.
        unfinished = state["step"] < saved["images"] // saved["batch_size"]
        if unfinished and self.options.images < saved["images"]:
            fewer = f"images was {saved['images']} and is now {self.options.images}"
            conflicts.append(f"{fewer}; it may only grow")
        if state["card"] != self.model.card.digest:
            conflicts = ["it trains another model"]
        if state["data"] != self._data:
            conflicts.append("it trains on other images")
        if conflicts:
            raise RefusedError(
                f"{self.state_path}: belongs to another run: {'; '.join(conflicts)}. Use the same "
                "options to resume it, choose another folder, or delete this one"
            )
        try:
            for prefix, network in zip(prefixes(self.model.card), self.model.networks, strict=True):
                weights = state["unet"].items()
                network.load_state_dict(
                    {n.removeprefix(prefix): v for n, v in weights if n.startswith(prefix)}
                )
            self.optimizer.load_state_dict(state["optimizer"])
            self.ema = {name: state["ema"][name] for name in self.parameters}
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise damaged(self.state_path, error) from error
        self.step = state["step"]
        return True

    def advance(self) -> Batch:
        """Take one optimizer step; return the levels (N,) and losses (N,) of its images."""
        options = self.options
        seed = mixed_seed(options.seed, self.step)
        generator = torch.Generator().manual_seed(seed)
        self.model.zero_grad()
        batches = [self._learn(share, seed, generator) for share in self._shares]
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate(self.step)
        self.optimizer.step()
        with torch.no_grad():
            current: list[Tensor] = [self.parameters[name] for name in self.ema]
            decay = options.ema_share(self.step)
            torch._foreach_lerp_(list(self.ema.values()), current, 1 - decay)
        self.step += 1
        levels, losses = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return levels, losses

    def _learn(self, share: Share, seed: int, generator: torch.Generator) -> Batch:
        """Compute the gradients of one network for its share of a step, and return its batch."""
        chosen = torch.randint(len(self.images), (share.images,), generator=generator)
        levels = draw_levels(share.images, share.density, generator)
        images = self.images[chosen].float() / 255
        noise = torch.randn(images.shape, generator=generator)
        device, model = self.model.device, self.model
        if self.training.labels is not None:
            labels = torch.from_numpy(self.training.labels)[chosen]
            dropped = torch.rand(share.images, generator=generator) < UNLABELLED
            model = model.labelled(labels.where(~dropped, self._null).to(device))
        with _seeded(seed, device):  # dropout uses the global generator
            losses = loss_per_image(model, images.to(device), levels.to(device), noise.to(device))
        losses.mean().backward()  # type: ignore[no-untyped-call]
        network = self.model.networks[share.band]
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), self.options.gradient_clip)
        # `bool` of a tensor would wait for a GPU at each step.
        self._finite &= norm.isfinite()
        return levels, losses.detach()

    def advance_to_end(
        self, report: Callable[[Progress], None], stop: Callable[[], bool] = lambda: False
    ) -> bool:
        """Take all remaining steps, saving periodically and at the end.

        Returns whether the run finished. If `stop()` is true after a step, saves and returns False.
        Raises TargetError if training diverges, PlatformError if the disk fails.
        """
        recent: deque[Batch] = deque(maxlen=AVERAGED_STEPS)
        first, other_s = self.step, 0.0
        durations: deque[float] = deque(maxlen=TIMED_STEPS)
        save_due = Timer(self.options.save_every_s, FIRST_SAVE_S)
        report_due = Timer(REPORT_EVERY_S)
        while self.step < self.options.steps and not stop():
            started = time.monotonic()
            recent.append(self.advance())
            durations.append(time.monotonic() - started)
            learned = time.monotonic()
            if len(durations) >= FEWEST_TIMED:
                self._end_in_time(median(durations) + other_s / (self.step - first))
            at_end = self.step == self.options.steps
            if at_end or (len(durations) >= FEWEST_TIMED and report_due()):
                self._require_finite()
                loss = float(torch.cat([losses for _, losses in recent]).mean())
                speed = self.options.batch_size / max(median(durations), 1e-9)
                report(Progress(self.step, self.options.steps, loss, speed))
            if not at_end and save_due():
                self.save()
            other_s += time.monotonic() - learned
        self.save()
        return self.step >= self.options.steps

    def _require_finite(self) -> None:
        if not bool(self._finite):
            raise self._diverged("a gradient is not finite")

    def _diverged(self, how: str) -> TargetError:
        return TargetError(
            f"training diverged before step {self.step}: {how}; start over in another folder with "
            "another --seed"
        )


@dataclass(frozen=True)
class Share:
    """Share of a network in a step: its number of images, and the density of its levels.

    `density` (K,) float64 is 0 at the levels of other bands.
    """

    band: int
    images: int
    density: Tensor


def _shares(card: ModelCard, options: TrainingOptions) -> Iterator[Share]:
    """Yield the shares: one batch divided among the U-Nets by density, and more for an MLP.

    An MLP takes a hundredth of a U-Net's time per state, and its targets are noisier.
    """
    whole = level_density(card.levels, options.level_focus, options.focus_centre)
    levels = torch.arange(1, card.levels + 1)
    ends = [*(band.lowest_level for band in card.networks[1:]), card.levels + 1]
    densities = [
        torch.where((levels >= band.lowest_level) & (levels < end), whole, 0.0)
        for band, end in zip(card.networks, ends, strict=True)
    ]
    drawn = [float(d.sum()) for d, band in zip(densities, card.networks, strict=True) if band.unet]
    for number, (band, density) in enumerate(zip(card.networks, densities, strict=True)):
        part = options.cosine_states if band.cosines else float(density.sum()) / sum(drawn)
        yield Share(number, max(1, round(part * options.batch_size)), density)


def _named(
    card: ModelCard, model: CardModel, parts: Callable[[nn.Module], Iterable[tuple[str, _Tensor]]]
) -> dict[str, _Tensor]:
    pairs = zip(prefixes(card), model.networks, strict=True)
    return {prefix + name: value for prefix, net in pairs for name, value in parts(net)}


def mixed_seed(*numbers: int) -> int:
    """Return a 32-bit seed from numbers of any size; torch on a CPU uses 32 bits."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


KEYS = frozenset({"step", "options", "card", "toml", "data", "unet", "ema", "optimizer"})


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state atomically; it is durable on return.

    A kill leaves the old state or the new one. Raises PlatformError, with the old one in place, if
    the disk is full or not writable.
    """
    data = io.BytesIO()
    torch.save(dict(state), data)
    write_atomic(path, data.getvalue())


def read_state(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the state at `path`, with tensors on `device`; None if there is none.

    Nothing in the file is executed. Raises RefusedError if it is not an intact training state.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} does not match its checksum")
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= KEYS:
            raise ValueError("it lacks parts of a training state")
        if not isinstance(state["step"], int) or not isinstance(state["options"], dict):
            raise ValueError("its step is not a number, or its options are not a table")
    except DAMAGE as error:
        raise damaged(path, error) from error
    return state


def damaged(path: Path, why: object) -> RefusedError:
    """Return the error for a state that cannot be used."""
    reason = str(why).partition("\n")[0]
    if isinstance(why, pickle.UnpicklingError):  # torch's message advises loading it unsafely
        reason = "it contains objects that no training state has"
    return RefusedError(
        f"{path}: this training state is damaged ({reason}); delete it to start over"
    )


AVERAGED_STEPS = 50
"""Most recent steps whose mean loss is reported."""

Batch = tuple[Tensor, Tensor]
"""Levels (N,) and losses (N,) of the images of one step."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run; the speed is that of this session.

    loss: the mean over the last steps, in the units of `loss_per_image`
    """

    step: int
    steps: int
    loss: float
    images_per_second: float


class Timer:
    """Returns True on the first call after each `every_s` seconds, and once after `first_s`."""

    def __init__(self, every_s: float, first_s: float = math.inf) -> None:
        self._every_s = every_s
        self._last = time.monotonic() - max(every_s - first_s, 0)

    def __call__(self) -> bool:
        """Return whether the time has passed."""
        now = time.monotonic()
        if now - self._last < self._every_s:
            return False
        self._last = now
        return True
