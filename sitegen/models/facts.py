"""What `sitegen inspect` prints of a model without weights: a recording, or an author's sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sitegen.core.source import shown
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.kinds import ABILITIES
from sitegen.models.recordings import is_recording
from sitegen.models.registry import find_model, known_models


def recorded_model(name: Path, config: Path = Path("site.toml")) -> tuple[Path, ModelCard] | None:
    """Return the file and the card of a recording or a sampler; None for other models.

    name: a recording, or a model of `config`

    A sampler is asked for its card in a process of its own. Raises as `find_model`.
    """
    from sitegen.generative.data.recording import open_recording, recorded_card

    if name.suffix == ".npz" and name.is_file() and is_recording(name):
        return name, recorded_card(open_recording(name))
    if name.exists() or str(name) not in known_models(config):
        return None
    source = find_model(str(name), None, config)
    own = source.card.recording is None and source.card.sampler is None
    return None if own else (source.weights, source.card)


def facts(file: Path, card: ModelCard) -> dict[str, Any]:
    """Return what a recording or a sampler tells of itself, for JSON."""
    own = card.recording or card.sampler
    assert own is not None
    first = {"file": shown(file), "kind": card.kind, "subject": card.subject}
    return (
        first
        | {"shape": card.shape, "levels": card.levels}
        | asdict(own)
        | {"abilities": sorted(card.abilities)}
    )


def to_text(found: Mapping[str, Any]) -> str:
    """Return the facts as lines: a name, and a value; nothing for what is empty."""
    axis, unit = found["values"], f" {found['unit']}" if found["unit"] else ""
    told = {key: value for key, value in found.items() if key not in ("symbol", "unit")} | {
        "values": f"{found['symbol']} from {axis[-1]:g} to {axis[0]:g}{unit}",
        "shape": " × ".join(map(str, found["shape"])),
        "abilities": [ABILITIES[each] for each in found["abilities"]],
    }
    lines = ((key.replace("_", " "), _in_words(value)) for key, value in told.items())
    return "\n".join(f"{key:17} {value}" for key, value in lines if value)


def _in_words(value: object) -> str:
    if isinstance(value, list | tuple | dict):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
