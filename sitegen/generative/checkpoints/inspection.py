"""Inspection of checkpoints without building their networks or reading their numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import sha256
from sitegen.generative.card.card import (
    CARD_NAME,
    ModelCard,
    card_beside,
    read_card,
    require_finished,
)
from sitegen.generative.card.networks import ConfiguredUNet, LucidrainsUNet
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.archive import (
    OTHER_WAYS,
    UNKNOWN_NETWORK,
    Checkpoint,
    Format,
    Layout,
    has_learned_variance,
    open_checkpoint,
)
from sitegen.generative.checkpoints.dimensions import (
    Architecture,
    Shapes,
    infer,
    matching_presets,
    shapes_of,
)
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.kdiffusion import config_of, kdiffusion_card
from sitegen.generative.checkpoints.lucidrains import (
    OBJECTIVES,
    diffusion_of,
    is_lucidrains,
    network_of,
)
from sitegen.generative.checkpoints.lucidrains import PROGRAM as LUCIDRAINS
from sitegen.generative.checkpoints.quantised import SCALE
from sitegen.generative.checkpoints.weights import (
    BANDS,
    NOISED,
    RESIDUAL,
    STATISTICS,
    is_of_unet,
    type_name,
)
from sitegen.generative.process.ddpm import PREDICTS
from sitegen.generative.process.dissipation import heat_of

if TYPE_CHECKING:
    from torch import Tensor

_NUMBERS = frozenset({"float64", "float32", "float16", "bfloat16", "int8"})
"""Number types of stored networks."""
CONSISTENCY, GUIDED = "consistency_models", "improved-diffusion, guided-diffusion or related"
"""Programs that save one state dict of the same U-Net; the first has 1 × 1 convolutions in
attention, as tensors of four dimensions."""
FLOWS = ("torchcfm", "flow_matching")
"""Programs that save flows, each in a layout of its own."""
_ADDED = {
    CONSISTENCY: "--image-size N, and --kind consistency, or --kind edm for its teacher",
    LUCIDRAINS: "--image-size N --levels K --noise-schedule NAME --objective NAME: a DDPM",
    **dict.fromkeys(FLOWS, "--image-size N --levels STEPS: a flow"),
    GUIDED: "--image-size N, and for a DDPM --kind ddpm --levels K, or --kind flow",
}
AVERAGED = ("spectral", "torchcfm", "flow_matching", "averaged")
"""Layouts whose weights are averages."""


@dataclass(frozen=True)
class CheckpointInfo:
    """The result of `inspect_checkpoint`.

    `parameters` counts the numbers of all networks; `ema_tensors` is None without averages.
    `architecture` is None if the names and shapes are not those of a known U-Net; `presets` are the
    published configurations that it fits. `layout` is that of the file, "diffusers" or
    "k-diffusion". `heads` are the settings of attention that the file records. `schedule_levels` is
    K if the file contains the schedule, `diffusion` that of a DDPM, whose network predicts the
    `objective`, if known.
    `program` is the one that wrote the file, if names tell it. `bands` is the number of networks of
    a cascade. `card` is the card in a model's folder, which has values that a checkpoint lacks.
    `problems` are reasons why the file cannot be loaded with any card.
    """

    format: Format
    bytes: int
    sha256: str
    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    architecture: Architecture | LucidrainsUNet | None
    presets: tuple[str, ...]
    step: int | None = None
    ema_tensors: int | None = None
    preconditioned: bool = False
    layout: Layout | Literal["diffusers", "k-diffusion"] = "weights"
    learned_variance: bool = False
    schedule_levels: int | None = None
    diffusion: DiffusionConfig | None = None
    objective: str | None = None
    program: str = ""
    file: str = ""
    heads: Mapping[str, int] = field(default_factory=dict)
    card: ModelCard | None = None
    bands: int = 0
    problems: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), indent=2, default=str)

    def to_text(self) -> str:
        """Return everything as a few lines of text."""
        ema = "no averaged weights"
        if self.layout == "state dict":
            ema = "unknown: one set of weights, averaged or not; its name may say which"
        if self.ema_tensors is not None:
            ema = f"{self.ema_tensors} tensors"
        network = self.card.unet if self.card and not self.architecture else self.architecture
        looks = network.text() if isinstance(network, Architecture | ConfiguredUNet) else "unknown"
        if self.bands:
            looks = f"a cascade of {self.bands} networks, which its card describes"
        pairs = {
            "file": self.file,
            "format": f"{self.format} ({self.layout}), {self.bytes:,} bytes",
            "step": "unknown" if self.step is None else f"{self.step:,}",
            "parameters": f"{self.parameters:,} ({', '.join(self.dtypes)}), {self.tensors} tensors",
            "ema": ema,
            "parameterization": self._parameterization(),
            "architecture": looks,
            "fits presets": ", ".join(self.presets) or "none",
            "card": _about(self.card) if self.card else "none; sitegen add writes one",
        }
        if self.program:
            pairs["program"] = self.program
        has_network = self.layout in ("diffusers", "k-diffusion")
        if self.architecture is None and not self.bands and not has_network:
            pairs["next"] = UNKNOWN_NETWORK
        if self.card is not None and (labels := self.card.labels) is not None:
            pairs["labels"] = labels.listed + ", and none" * labels.optional
        elif self.architecture is not None and (classes := self.architecture.num_classes):
            pairs["labels"] = f"{classes} classes, the rows of label_emb"
        if self.problems:
            pairs["not supported"] = "; ".join(self.problems)
        elif self.card is None and self.architecture and (added := self._added()):
            pairs["sitegen add"] = added
        if self.schedule_levels is not None and self.diffusion is None:
            pairs["blur schedule"] = f"{self.schedule_levels} levels, in the file"
        return "\n".join(f"{key:17} {value}" for key, value in pairs.items())

    def _added(self) -> str:
        """Return what `sitegen add` makes of the file of another program, or needs."""
        if self.diffusion is None:
            learned = "--image-size N --levels K: a DDPM with a learned variance"
            return learned if self.learned_variance else _ADDED.get(self.program, "")
        schedule = f"{self.diffusion.beta_schedule} schedule of {self.schedule_levels:,} levels"
        asks = "" if self.objective else " --objective NAME"
        steps = "DDPM in all steps, DDIM with --levels N"
        return f"--image-size N{asks}: a DDPM, {schedule}, as in the file; {steps}"

    def _parameterization(self) -> str:
        card = self.card
        if card and (prediction := card.predicts):
            return prediction
        if self.layout in FLOWS:
            return "velocity, as in a flow"
        if self.objective:
            return f"{PREDICTS[OBJECTIVES[self.objective] or 'epsilon']} ({self.objective})"
        if self.program == CONSISTENCY:
            return "sharp images, preconditioned"
        if self.learned_variance or self.layout == "diffusers":
            return "noise, as in a DDPM"
        if not self.preconditioned:
            is_known = card is not None or self.layout in ("published", "spectral")
            unknown = "unknown: difference, noise if it is a DDPM, or velocity if it is a flow"
            return "difference" if is_known else unknown
        return "preconditioned"


def _about(card: ModelCard) -> str:
    size = f"{card.image_size}×{card.image_size} pixels, {card.levels} levels"
    if "blur" not in card.abilities:
        return f"{card.kind}, {size}"
    heat, sigmas = heat_of(card), card.schedule.sigmas
    blur = f"blur {sigmas[1]:g} to {sigmas[-1]:g} pixels"
    noise = (
        f"noise {heat.training_noise_std:g} in training, {heat.sampling_noise_std:g} in sampling"
    )
    return f"{size}, {blur}, {noise}, attention heads {card.finest.num_heads}"


def inspect_checkpoint(path: Path | str) -> CheckpointInfo:
    """Inspect a checkpoint, or the weights in a model's folder; no network is built.

    Raises RefusedError for a file that is missing, damaged or unsafe.
    """
    file = weights_file(Path(path))
    info = replace(_inspected(file), file=str(file))
    is_folder = os.path.isdir(path)
    if (card := card_beside(file)) and not is_folder:
        return _with_recipe(info, card)
    if is_folder and (Path(path) / CARD_NAME).exists():
        return _with_recipe(info, read_card(path))
    if is_folder and (foreign := foreign_model(Path(path))):
        return replace(info, layout="diffusers", card=foreign.card)
    if config := config_of(open_checkpoint(file).notes):
        kind: Literal["k-diffusion"] = "k-diffusion"
        card, count = kdiffusion_card(file, config, None, None), info.tensors
        return replace(info, layout=kind, program=kind, card=card, ema_tensors=count)
    return info


def _inspected(file: Path) -> CheckpointInfo:
    checkpoint = open_checkpoint(file)
    scales = {name + SCALE for name in checkpoint.weights if name + SCALE in checkpoint.weights}
    beside = {*STATISTICS, RESIDUAL, *scales}
    tensors = {n: tensor for n, tensor in checkpoint.weights.items() if n not in beside}
    shapes = shapes_of(tensors)
    looks: Architecture | LucidrainsUNet | None
    looks = infer({name: shape for name, shape in shapes.items() if is_of_unet(name)})
    problems, diffusion, objective = [*_problems(checkpoint, tensors)], None, None
    if is_lucidrains(shapes) and not problems:
        try:
            looks = network_of(shapes)
            # A bare network has no tables; its schedule is asked for.
            if checkpoint.buffers or checkpoint.layout != "state dict":
                diffusion, objective = diffusion_of(checkpoint.buffers)
        except (ValueError, ConfigError) as error:
            problems = [f"{error}, which sitegen does not have; {OTHER_WAYS}"]
    program = _program(checkpoint, shapes, looks)
    averages = len(shapes) if checkpoint.layout in AVERAGED else None
    return CheckpointInfo(
        format="safetensors" if checkpoint.layout == "weights" else "pth",
        bytes=checkpoint.bytes,
        sha256=sha256(file),
        tensors=len(shapes),
        parameters=sum(map(prod, shapes.values())),
        dtypes=tuple(sorted(set(map(type_name, tensors.values())))),
        preconditioned=checkpoint.layout == "weights"
        and {*STATISTICS} <= checkpoint.weights.keys()
        and NOISED not in checkpoint.notes,
        architecture=looks,
        diffusion=diffusion,
        objective=objective,
        program=program,
        presets=matching_presets(looks),
        learned_variance=has_learned_variance(shapes),
        bands=len({name.split(".")[1] for name in shapes if name.startswith(BANDS)}),
        step=checkpoint.step,
        layout=checkpoint.layout,
        heads=checkpoint.heads | ({"use_new_attention_order": 1} if program == CONSISTENCY else {}),
        schedule_levels=len(checkpoint.buffers["betas"])
        if diffusion
        else (checkpoint.schedule.levels if checkpoint.schedule else None),
        ema_tensors=averages if checkpoint.averages is None else len(checkpoint.averages),
        problems=tuple(problems),
    )


def _program(checkpoint: Checkpoint, shapes: Shapes, looks: object) -> str:
    """Return the program that wrote a file, where names and shapes tell it."""
    if is_lucidrains(shapes):
        return LUCIDRAINS
    if checkpoint.layout in FLOWS or looks is None:
        return checkpoint.layout if looks else ""
    if checkpoint.layout != "state dict":
        return ""
    flat = any(len(shapes[name]) == 4 for name in shapes if name.endswith(".qkv.weight"))
    return CONSISTENCY if flat else GUIDED


def _problems(checkpoint: Checkpoint, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    count = sum(tensor.numel() for tensor in tensors.values())
    if not count:
        yield "it holds no tensors" if not tensors else "its tensors hold no numbers"
    odd = [name for name, tensor in tensors.items() if type_name(tensor) not in _NUMBERS]
    if odd:
        more = f", and {len(odd) - 1} more are of such types" if len(odd) > 1 else ""
        dtype = type_name(tensors[odd[0]])
        yield f"{odd[0][:100]} holds {dtype}, which no network can be loaded from{more}"
    if count > checkpoint.bytes:  # a number has at least one byte
        yield f"it claims {count:,} parameters, which its {checkpoint.bytes:,} bytes cannot hold"


def weights_file(path: Path) -> Path:
    """Return the weights of a model's folder; a file is returned unchanged.

    Raises RefusedError if a folder has no card, if its card names no weights, or if it is an
    unfinished run of `sitegen train`.
    """
    if not os.path.isdir(path):
        return path
    if (foreign := foreign_model(path)) is not None:
        return foreign[0]
    require_finished(path)
    card = read_card(path) if (path / CARD_NAME).exists() else None
    if card is None or card.weights is None:
        lack = f"has no {CARD_NAME}" if card is None else f"its {CARD_NAME} names no weights"
        raise RefusedError(f"{path}: {lack}; give its file. Of another format, {OTHER_WAYS}")
    return path / card.weights.file


def _with_recipe(info: CheckpointInfo, card: ModelCard) -> CheckpointInfo:
    """Add the card's facts about training to those of our own model, which has averaged weights."""
    step = card.training.get("steps")
    if not isinstance(step, int) or "options" not in card.training:
        return replace(info, card=card)
    return replace(info, card=card, step=step, ema_tensors=info.tensors)
