"""What can be told of a checkpoint without building its network; no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path

from sitegen.core.errors import RefusedError
from sitegen.core.files import Format, is_folder
from sitegen.ihdm.card.card import CARD_NAME, ModelCard, card_beside, read_card
from sitegen.ihdm.checkpoints.architecture import Architecture, infer, matching_presets
from sitegen.ihdm.checkpoints.archive import Published, has_learned_variance
from sitegen.ihdm.checkpoints.contents import scan
from sitegen.ihdm.checkpoints.foreign import foreign_model
from sitegen.ihdm.checkpoints.weights import COARSE, STATISTICS, is_of_unet

SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".safetensors"})
"""How the names of checkpoints end."""

_DTYPES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
}


@dataclass(frozen=True)
class CheckpointInfo:
    """What `inspect_checkpoint` tells of a file.

    `parameters` counts the numbers of all networks; `ema_*` are None where there are no averages.
    `architecture` is None when the names and shapes are not those of a U-Net that we know, and
    `presets` are the published configurations that it fits. `layout` is one of `archive.Layout`,
    "weights" for safetensors, or "diffusers". `schedule_levels` is K where the blur schedule lies
    in the file. `coarse` says that there is a network for coarse levels, too.
    `card` is that of a model's folder, where it is known what a checkpoint does not
    tell.
    """

    format: Format
    bytes: int
    sha256: str
    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    architecture: Architecture | None
    presets: tuple[str, ...]
    step: int | None = None
    ema_tensors: int | None = None
    ema_decay: float | None = None
    ema_updates: int | None = None
    preconditioned: bool = False
    layout: str = "weights"
    learned_variance: bool = False
    schedule_levels: int | None = None
    file: str = ""
    card: ModelCard | None = None
    coarse: bool = False

    def to_json(self) -> str:
        """Everything as JSON."""
        return json.dumps(asdict(self), indent=2, default=str)

    def to_text(self) -> str:
        """Everything in a few lines for people."""
        ema = "no averaged weights"
        if self.layout == "state dict":
            ema = "not told: one set of weights, averaged or not, as its name may say"
        if self.ema_tensors is not None:
            ema = f"{self.ema_tensors} tensors, decay {self.ema_decay}, {self.ema_updates} updates"
        looks = self.architecture.text() if self.architecture else "not a U-Net that sitegen knows"
        pairs = {
            "file": self.file,
            "format": f"{self.format} ({self.layout}), {self.bytes:,} bytes",
            "step": "not told" if self.step is None else f"{self.step:,}",
            "parameters": f"{self.parameters:,} ({', '.join(self.dtypes)}), {self.tensors} tensors",
            "ema": ema,
            "parameterization": self._parameterization(),
            "architecture": looks,
            "fits presets": ", ".join(self.presets) or "none",
            "card": _about(self.card) if self.card else "none; sitegen add writes one",
        }
        if self.learned_variance:
            pairs["kind"] = "a DDPM with a learned variance, which is not used"
        if self.schedule_levels is not None:
            pairs["blur schedule"] = f"{self.schedule_levels} levels, inside of the file"
        return "\n".join(f"{key:17} {value}" for key, value in pairs.items())

    def _parameterization(self) -> str:
        card = self.card
        if self.learned_variance or self.layout == "diffusers" or (card and card.kind == "ddpm"):
            return "noise, as of a DDPM"
        if not self.preconditioned:
            told = card is not None or self.layout in ("published", "spectral")
            return "difference" if told else "not told: difference, or noise if it is a DDPM"
        return f"preconditioned{', with a network for coarse levels' if self.coarse else ''}"


def _about(card: ModelCard) -> str:
    """What a card knows that a checkpoint does not tell, in one line."""
    size = f"{card.image_size}×{card.image_size} pixels, {card.levels} levels"
    if card.kind != "ihdm":
        return f"{card.kind}, {size}"
    sigmas = card.schedule.sigmas
    blur = f"blur {sigmas[1]:g} to {sigmas[-1]:g} pixels"
    noise = (
        f"noise {card.training_noise_std:g} in training, {card.sampling_noise_std:g} in sampling"
    )
    return f"{size}, {blur}, {noise}, attention heads {card.unet.num_heads}"


def inspect_checkpoint(path: Path | str) -> CheckpointInfo:
    """What is in a checkpoint, or in the weights of a model's folder; no network is built.

    Raises RefusedError for a file that is missing, damaged or unsafe.
    """
    file = weights_file(Path(path))
    info = replace(_inspected(file), file=str(file))
    if not is_folder(Path(path)):
        card = card_beside(file)
        return _with_recipe(info, card) if card else info
    if (Path(path) / CARD_NAME).exists():
        return _with_recipe(info, read_card(path))
    foreign = foreign_model(Path(path))
    return info if foreign is None else replace(info, layout="diffusers", card=foreign[1])


def _inspected(file: Path) -> CheckpointInfo:
    found = scan(file)
    held = found.contents
    if isinstance(held, Published):
        shapes = {name: tensor.shape for name, tensor in held.weights.items()}
        dtypes = {tensor.storage.dtype for tensor in held.weights.values()}
    else:
        networks = {name: e for name, e in held.entries.items() if name not in STATISTICS}
        shapes = {name: entry.shape for name, entry in networks.items()}
        dtypes = {entry.dtype for entry in networks.values()}
    looks = infer({name: shape for name, shape in shapes.items() if is_of_unet(name)})
    info = CheckpointInfo(
        format="pth" if isinstance(held, Published) else "safetensors",
        bytes=found.bytes,
        sha256=found.sha256,
        tensors=len(shapes),
        parameters=sum(map(prod, shapes.values())),
        dtypes=tuple(sorted(_DTYPES.get(dtype, dtype) for dtype in dtypes)),
        preconditioned=not isinstance(held, Published) and {*STATISTICS} <= held.entries.keys(),
        architecture=looks,
        presets=matching_presets(looks),
        learned_variance=has_learned_variance(shapes),
        coarse=any(name.startswith(COARSE) for name in shapes),
    )
    return _with_notes(info, held) if isinstance(held, Published) else info


def _with_notes(info: CheckpointInfo, held: Published) -> CheckpointInfo:
    """What a published checkpoint and its relatives tell besides."""
    levels = held.schedule.levels if held.schedule else None
    info = replace(info, step=held.step, layout=held.layout, schedule_levels=levels)
    ema = held.averages
    if ema is not None:
        return replace(
            info, ema_tensors=len(ema.tensors), ema_decay=ema.decay, ema_updates=ema.updates
        )
    return replace(info, ema_tensors=info.tensors) if held.layout == "spectral" else info


def only_checkpoint(folder: Path) -> Path | None:
    """The one checkpoint in a folder, by the endings that such files have; None if none is there.

    Raises RefusedError, with their names, if there are several.
    """
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise RefusedError(f"{folder}: cannot look into it: {error.strerror}") from None
    found = sorted(path for path in files if path.is_file() and _may_be_weights(path.name))
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:5])
        raise RefusedError(
            f"{folder}: holds {len(found)} checkpoints ({names}{', …' if found[5:] else ''}); "
            "name one of them, or keep only one there"
        )
    return found[0] if found else None


def _may_be_weights(name: str) -> bool:
    return not name.startswith(".") and not name.endswith("prior.safetensors")


def weights_file(path: Path) -> Path:
    """The weights that a model's folder means; a file means itself.

    A folder without a card, or whose card names no weights, means the one checkpoint in it.
    Raises RefusedError if there is none.
    """
    if not is_folder(path):
        return path
    foreign = foreign_model(path)
    if foreign is not None:
        return foreign[0]
    card = read_card(path) if (path / CARD_NAME).exists() else None
    if card is not None and card.weights is not None:
        return path / card.weights.file
    file = only_checkpoint(path)
    if file is None:
        lack = "holds no checkpoint" if card is None else f"its {CARD_NAME} names no weights"
        raise RefusedError(f"{path}: {lack}; give the checkpoint's file")
    return file


def _with_recipe(info: CheckpointInfo, card: ModelCard) -> CheckpointInfo:
    """What the card of our own model tells about the run; its weights are the averages."""
    info = replace(info, card=card)
    step = card.training.get("steps")
    decay = card.training.get("options", {}).get("ema_decay")
    if not isinstance(step, int) or not isinstance(decay, float):
        return info
    return replace(info, step=step, ema_tensors=info.tensors, ema_decay=decay, ema_updates=step)
