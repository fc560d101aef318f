"""The plan of a build: which figures it takes, and the key of each.

A key has two halves. The first is the digest of what the author asked for: the spec, the cards,
the weights and priors, and the recipe of the kind. The second is the digest of what else changes
pixels: the device, the precision and the versions of torch, numpy, ffmpeg and pillow. A machine
that only renders, where torch is not installed, does not know the second half and takes any clip
that was asked for in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from sitegen.encode import ClipSpec, encoder_version
from sitegen.errors import PlatformError
from sitegen.figures import Figure, canonical_json, spec_json
from sitegen.files import digest_bytes
from sitegen.frames import Frame
from sitegen.media import ModelRef
from sitegen.models import ModelSource

RECIPES: Mapping[str, int] = {"trajectories": 1}
"""Raised by hand when the code that films a kind changes its pixels."""

Device = str
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Equipment:
    """What a figure is filmed on: "cpu", "cuda" or "cuda:N", and the network's precision."""

    device: Device
    precision: Precision


@dataclass(frozen=True)
class Shot:
    """A figure ready to be filmed: what its frames show, how to encode them, and their stream.

    levels: the level that each frame shows
    parameters: everything that the figure was made with, for the manifest
    frames: uint8 (H, W, 3) at native size, one a level, made when asked for
    """

    levels: tuple[int, ...]
    clip: ClipSpec
    parameters: Mapping[str, Any]
    frames: Iterator[Frame]


@dataclass(frozen=True)
class Job:
    """A figure of a page with its key."""

    figure: Figure
    page: str
    models: tuple[ModelRef, ...]
    levels: int
    request: str
    environment: str | None

    @property
    def key(self) -> str | None:
        """The name of its record in the store; None where the environment is not known."""
        return f"{self.request}-{self.environment}" if self.environment else None


def plan_figure(
    figure: Figure, page: str, sources: Mapping[str, ModelSource], equipment: Equipment
) -> Job:
    """Key a figure. Reads and hashes the weights, imports neither torch nor an encoder."""
    models = [sources[name] for name in figure.models]
    asked = {
        "spec": spec_json(figure),
        "recipe": RECIPES[figure.kind],
        "models": [[m.card.digest, m.weights_sha256, m.prior_sha256] for m in models],
    }
    return Job(
        figure,
        page,
        tuple(ModelRef(model.name, model.weights_sha256) for model in models),
        models[0].card.levels,
        _digest(asked),
        environment(equipment),
    )


def environment(equipment: Equipment) -> str | None:
    """Digest of what beside the request changes pixels; None where something is not installed."""
    try:
        versions = {name: metadata.version(name) for name in ("torch", "numpy")}
        versions["encoder"] = encoder_version()
    except (metadata.PackageNotFoundError, PlatformError):
        return None
    device = equipment.device.partition(":")[0]
    return _digest({"device": device, "precision": equipment.precision, **versions})[:16]


def resolve_device(asked: str) -> Device:
    """Turn "auto" into "cuda" where a GPU and a torch that can use it are there, else "cpu".

    Looks only at what is installed, so that a build that films nothing does not import torch.
    """
    if asked != "auto":
        return asked
    driver = Path("/proc/driver/nvidia/version").exists()
    try:
        local = metadata.version("torch").partition("+")[2]
    except metadata.PackageNotFoundError:
        return "cpu"
    return "cuda" if driver and local != "cpu" else "cpu"


def resolve_precision(asked: str) -> Precision:
    """Turn "auto" into float32, whose pictures are the same on every machine to a grey level."""
    return "bfloat16" if asked == "bfloat16" else "float32"


def _digest(value: object) -> str:
    return digest_bytes(canonical_json(value).encode())
