"""The trainer: from images to weights, resumable after a kill, with averaged weights.

Everything random of a step comes from (seed, step), so a resumed run makes the same weights as one
that was never stopped.
"""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
import math
import pickle
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from sitegen.core.compute import Precision
from sitegen.core.errors import RefusedError, TargetError
from sitegen.core.files import platform_errors, write_atomic
from sitegen.generative.card.card import ModelCard
from sitegen.generative.checkpoints.weights import prefixes
from sitegen.generative.data.images import DAMAGE, Images
from sitegen.generative.networks.construct import new_network
from sitegen.generative.process.ddpm import DiffusionModel
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import draw_levels, image_statistics, level_density, loss_per_image
from sitegen.generative.training.optimizers import Optimizers
from sitegen.generative.training.options import TrainingOptions

STATE_NAME = "training.pt"
FIRST_SAVE_S = 10.0
"""When a session saves first, so that an early kill costs little."""
LARGEST_WEIGHT = 60_000.0
"""Weights are stored as float16, which ends at 65,504."""
REPORT_EVERY_S = 0.5
COSINE_STATES = 8
"""How many states an MLP over cosines sees for each image that the U-Nets see."""
_Tensor = TypeVar("_Tensor", bound=Tensor)


@dataclass(frozen=True)
class InitialWeights:
    """Weights of a network to start from: the name of their model, their digest, and they."""

    name: str
    sha256: str
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Training:
    """What to train on, uint8 (N, C, H, W), and where; `source` is the data's name for the card.

    `folder` holds the state and the log. The first weights are those of `beginning`, or random.
    """

    images: Images
    source: str
    folder: Path
    options: TrainingOptions
    device: str = "cpu"
    precision: Precision = "float32"
    beginning: InitialWeights | None = None


class Run:
    """The state of a training run in memory and on disk."""

    def __init__(self, card: ModelCard, training: Training) -> None:
        options, device = training.options, training.device
        images = torch.from_numpy(training.images)
        with _seeded(mixed_seed(options.seed), torch.device("cpu")):
            size = (card.channels, card.image_size)
            networks = [new_network(band, *size) for band in card.networks]
        self.model: Model | DiffusionModel
        if card.kind == "ddpm":
            self.model = DiffusionModel(card, networks[0], training.precision)
        else:
            learnt = card.parameterization == "preconditioned"
            statistics = image_statistics(images) if learnt else None
            self.model = Model(card, networks, statistics, training.precision)
        self.model.to(device).train()
        self.training, self.options, self.images = training, options, images
        self.state_path = training.folder / STATE_NAME
        self.parameters = _named(card, self.model, nn.Module.named_parameters)
        if training.beginning is not None:
            self._load(training.beginning.weights)
        self.ema = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimizers = Optimizers(self.parameters, options)
        self.step = 0
        self.log = TrainingLog(training.folder / LOG_NAME, card.levels)
        self._finite = torch.tensor(True, device=device)
        data = hashlib.sha256(repr(tuple(images.shape)).encode())
        data.update(images.contiguous().numpy().data)
        self._data = data.hexdigest()
        self._beginning = training.beginning.sha256 if training.beginning else None
        self._shares = tuple(_shares(card, options))

    def weights(self) -> dict[str, Tensor]:
        """What a trained model is made of: the averaged weights and the data's statistics."""
        statistics = self.model.statistics
        return {**self._all(), **self.ema, **(statistics.tensors() if statistics else {})}

    def averaged(self) -> Model:
        """A model that blurs with its averaged weights, ready to answer."""
        assert isinstance(self.model, Model)
        model = copy.deepcopy(self.model)
        weights = self._all() | self.ema
        for prefix, network in zip(prefixes(model.card), model.networks, strict=True):
            own = network.state_dict()
            network.load_state_dict({name: weights[prefix + name] for name in own})
        return model.eval().requires_grad_(False)

    def _all(self) -> dict[str, Tensor]:
        """All that the networks hold, also what is not trained."""
        return _named(self.model.card, self.model, lambda each: each.state_dict().items())

    def save(self) -> None:
        """Write the whole state, all or nothing. TargetError if it is not worth keeping."""
        self._require_finite()
        if any(float(value.abs().max()) > LARGEST_WEIGHT for value in self.ema.values()):
            raise self._diverged("a weight is beyond what a trained network has")
        state = {
            "step": self.step,
            "options": asdict(self.options),
            "card": self.model.card.digest,
            "about": _about(self.model.card),
            "data": self._data,
            "unet": self._all(),
            "ema": self.ema,
            "beginning": self._beginning,
            "subject": self.model.card.subject,
            **self.optimizers.state(),
        }
        write_state(self.state_path, state)

    def restore(self) -> bool:
        """Continue from the saved state if there is one; tells whether there was.

        Raises RefusedError for a state that is damaged or belongs to another run.
        """
        state = read_state(self.state_path, self.model.device)
        if state is None:
            return False
        self._refuse_other(state)
        try:
            self._load(state["unet"])
            self.optimizers.restore(state)
            self.ema = {name: state["ema"][name] for name in self.parameters}
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise damaged(self.state_path, error) from error
        self.step = state["step"]
        card = self.model.card
        self.model.card = replace(card, subject=card.subject or state.get("subject", ""))
        return True

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        """Put weights into the networks. Raises RuntimeError if they do not fit."""
        for prefix, network in zip(prefixes(self.model.card), self.model.networks, strict=True):
            own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
            network.load_state_dict(own)

    def _refuse_other(self, state: dict[str, Any]) -> None:
        if state["card"] != self.model.card.digest:
            here, there = _about(self.model.card), state.get("about", {})
            differ = [
                f"{name} = {there[name]} there and {value} here"
                for name, value in here.items()
                if there.get(name, value) != value
            ]
            words = ", ".join(differ) or "size, levels, blur or network differ"
            conflicts = [f"it trains another model ({words})"]
        else:
            conflicts = self.options.conflicts(state["options"], state["step"])
        if state.get("data", self._data) != self._data:
            conflicts.append("it trains on other images")
        if state.get("beginning") != self._beginning:
            conflicts.append("it began from other weights")
        if conflicts:
            raise RefusedError(
                f"{self.state_path}: belongs to another run: {'; '.join(conflicts)}. Ask for the "
                "same to go on with it, choose another folder, or delete this one"
            )

    def advance(self) -> Batch:
        """One optimizer step; gives the levels (N,) and losses (N,) of its images."""
        options = self.options
        seed = mixed_seed(options.seed, self.step)
        generator = torch.Generator().manual_seed(seed)
        self.model.zero_grad()
        batches = [self._learn(share, seed, generator) for share in self._shares]
        self.optimizers.step(self.step)
        with torch.no_grad():
            current: list[Tensor] = [self.parameters[name] for name in self.ema]
            decay = options.ema_share(self.step)
            torch._foreach_lerp_(list(self.ema.values()), current, 1 - decay)
        self.step += 1
        levels, losses = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return levels, losses

    def _learn(self, share: Share, seed: int, generator: torch.Generator) -> Batch:
        """The gradients of one network for its share of a step; gives its levels and losses."""
        chosen = torch.randint(len(self.images), (share.images,), generator=generator)
        levels = draw_levels(share.images, share.density, generator)
        images = self.images[chosen].float() / 255
        noise = torch.randn(images.shape, generator=generator)
        device = self.model.device
        with _seeded(seed, device):  # dropout draws from the generator of the whole process
            losses = loss_per_image(
                self.model, images.to(device), levels.to(device), noise.to(device)
            )
        losses.mean().backward()  # type: ignore[no-untyped-call]
        network = self.model.networks[share.band]
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), self.options.gradient_clip)
        self._finite &= norm.isfinite()
        return levels, losses.detach()

    def advance_to_end(
        self, report: Callable[[Progress], None], stop: Callable[[], bool] = lambda: False
    ) -> bool:
        """Take all steps that are left, saving now and then, and at the end.

        Tells whether it came to the end; it saves and leaves after a step when `stop()` is true.
        Raises TargetError when the loss is lost, PlatformError when the disk fails.
        """
        self.log.cut(self.step)
        recent: deque[Batch] = deque(maxlen=LOG_EVERY)
        first, started = self.step, time.monotonic()
        save_due = Timer(self.options.save_every_s, FIRST_SAVE_S)
        report_due = Timer(REPORT_EVERY_S)
        while self.step < self.options.steps and not stop():
            recent.append(self.advance())
            at_end = self.step == self.options.steps
            if at_end or self.step % LOG_EVERY == 0:
                self.log.write(self.step, recent)
            if at_end or report_due():
                self._require_finite()
                report(self._progress(recent, (time.monotonic() - started) / (self.step - first)))
            if not at_end and save_due():
                self.save()
        self.save()
        return self.step >= self.options.steps

    def _progress(self, recent: Iterable[Batch], per_step: float) -> Progress:
        """Where the run stands, at so many seconds a step."""
        loss = float(torch.cat([losses for _, losses in recent]).mean())
        steps, pace = self.options.steps, self.options.batch_size / max(per_step, 1e-9)
        return Progress(self.step, steps, loss, pace, (steps - self.step) * per_step)

    def _require_finite(self) -> None:
        if not bool(self._finite):
            raise self._diverged("a gradient is not finite")

    def _diverged(self, how: str) -> TargetError:
        return TargetError(
            f"training diverged before step {self.step}: {how}; begin anew in another folder with "
            "a lower learning rate"
        )


def _about(card: ModelCard) -> dict[str, Any]:
    """What is told of a model that another was expected in the place of."""
    names = ("kind", "image_size", "channels", "levels", "parameterization")
    return {name: getattr(card, name) for name in names}


@dataclass(frozen=True)
class Share:
    """What one network learns in a step: of how many images, and how often each level is drawn.

    `density` (K,) float64 is 0 at the levels of other bands.
    """

    band: int
    images: int
    density: Tensor


def _shares(card: ModelCard, options: TrainingOptions) -> Iterator[Share]:
    """A batch for the U-Nets, divided by how often their levels are drawn, and another for an MLP.

    That takes a hundredth of a U-Net's time for a state, and its targets are noisier.
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
        part = COSINE_STATES if band.cosines else float(density.sum()) / sum(drawn)
        yield Share(number, max(1, round(part * options.batch_size)), density)


def _named(
    card: ModelCard,
    model: Model | DiffusionModel,
    parts: Callable[[nn.Module], Iterable[tuple[str, _Tensor]]],
) -> dict[str, _Tensor]:
    """Tensors of all networks under the names that they have in a file of weights."""
    pairs = zip(prefixes(card), model.networks, strict=True)
    return {prefix + name: value for prefix, net in pairs for name, value in parts(net)}


def mixed_seed(*numbers: int) -> int:
    """A seed out of numbers that may be of any size; torch on a CPU uses 32 bits of a seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's own generators for a block, and give them back as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


KEYS = frozenset({"step", "options", "card", "unet", "ema", "optimizer"})


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Put `state` in the place of `path` in one step, on the disk itself when this returns.

    Killed at any instant, it leaves the old state or the new one. Raises PlatformError, with the
    old one in place, if the disk is full or unwritable.
    """
    data = io.BytesIO()
    torch.save(dict(state), data)
    write_atomic(path, data.getvalue())


def read_state(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state at `path`, its tensors on `device`; None if there is none.

    Nothing in the file is executed. Raises RefusedError if it is damaged or no state of a run.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} has another checksum than it was written with")
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= KEYS:
            raise ValueError("it lacks parts of a training state")
        if not isinstance(state["step"], int) or not isinstance(state["options"], dict):
            raise ValueError("its step is no number, or its options no table")
    except DAMAGE as error:
        raise damaged(path, error) from error
    return state


def damaged(path: Path, why: object) -> RefusedError:
    """The refusal of a state that cannot be used."""
    reason = str(why).partition("\n")[0]
    if isinstance(why, pickle.UnpicklingError):  # torch's words would advise to load it anyway
        reason = "it holds what no training state holds"
    return RefusedError(
        f"{path}: this training state is damaged ({reason}); delete it to start anew"
    )


LOG_NAME = "log.jsonl"
LOG_EVERY = 50
"""Steps between two lines."""

Batch = tuple[Tensor, Tensor]
"""The levels (N,) and the losses (N,) of the images of one step."""


class TrainingLog:
    """Lines `{"step", "loss", "by_level": {"1-10": loss, …}}` of a model with K = `levels`."""

    def __init__(self, path: Path, levels: int) -> None:
        self.path = path
        edges = [round(levels * part / 10) for part in range(11)]
        self._bands = [(low + 1, high) for low, high in itertools.pairwise(edges) if high > low]

    def write(self, step: int, batches: Iterable[Batch]) -> None:
        """Add the line of `step` with the mean loss of these batches."""
        parts = list(batches)
        levels = torch.cat([levels for levels, _ in parts])
        losses = torch.cat([losses for _, losses in parts]).cpu()
        by_level = {}
        for low, high in self._bands:
            chosen = losses[(levels >= low) & (levels <= high)]
            if len(chosen):
                by_level[f"{low}-{high}"] = _rounded(chosen)
        record = {"step": step, "loss": _rounded(losses), "by_level": by_level}
        with platform_errors(self.path), self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def cut(self, step: int) -> None:
        """Drop what a killed run wrote after the `step` that it goes on from."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _step(line) <= step]
            write_atomic(self.path, "".join(f"{line}\n" for line in kept).encode())


def _rounded(losses: Tensor) -> float:
    return round(float(losses.mean()), 6)


def _step(line: str) -> float:
    """The step of a line; infinite for a line that is not whole."""
    try:
        record: Any = json.loads(line)
        return float(record["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for whoever shows it; speed and time left are those of this session.

    loss: the mean over the last steps, in the units of `loss_per_image`
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    seconds_left: float


class Timer:
    """True at the first call after each `every_s` seconds, and once after `first_s`, if sooner."""

    def __init__(self, every_s: float, first_s: float = math.inf) -> None:
        self._every_s = every_s
        self._last = time.monotonic() - max(every_s - first_s, 0)

    def __call__(self) -> bool:
        """Whether it is time."""
        now = time.monotonic()
        if now - self._last < self._every_s:
            return False
        self._last = now
        return True
