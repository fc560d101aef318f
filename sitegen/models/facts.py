"""Facts on a model without weights, for `sitegen inspect`: a recording, or an author's sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sitegen.config.schema import load_site
from sitegen.core.errors import RefusedError
from sitegen.core.source import shown
from sitegen.generative.card.abilities import ABILITIES
from sitegen.generative.card.card import ModelCard
from sitegen.models.recordings import RECORDING_NAME, is_recording
from sitegen.models.registry import find_model, named_folder, sampler_source

_RECORD = "not a checkpoint; if it holds states {}, show them: sitegen add NAME --recording FILE"
_NO_CHECKPOINTS = {
    ".npy": _RECORD.format("(T, N, C, H, W) or (T, N, H, W, C)"),
    ".npz": _RECORD.format(
        "of `sitegen sample --trajectory`, or others (T, N, C, H, W) as `states` with T `levels`"
    ),
    ".py": "code, not a checkpoint; if it has the class of a sampler file, enter it in site.toml "
    'as path = "FILE.py:CLASS", and inspect it by the name of its table',
}
"""Advice on files of other kinds, by suffix."""


def recorded_model(name: Path, config: Path = Path("site.toml")) -> tuple[Path, ModelCard] | None:
    """Return the file and the card of a recording or a sampler; None for other models.

    name: a recording, the folder of one, or a model of `config`

    A sampler runs for its card. Raises ConfigError for an error in it,
    RefusedError for a damaged recording, and for other .npy, .npz and .py files.
    """
    from sitegen.generative.data.recording import open_recording, recorded_card

    named = len(name.parts) == 1 and not name.exists() and config.exists()
    entry = load_site(config).models.get(str(name)) if named else None
    if entry is not None and entry.sampler is not None:
        source = sampler_source(str(name), entry)
        return source.weights, source.card
    path = named_folder(name, config)
    path = path / RECORDING_NAME if path.is_dir() else path
    if not path.is_file() or path.suffix not in _NO_CHECKPOINTS:
        return None
    if path.suffix != ".npz" or not is_recording(path):
        told = _NO_CHECKPOINTS[path.suffix]
        raise RefusedError(f'{path}: {told}; see the page "Your own method" of the manual')
    if entry is not None:
        return path, find_model(str(name), None, config).card
    return path, recorded_card(open_recording(path))


def facts(file: Path, card: ModelCard) -> dict[str, Any]:
    """Return the facts on a recording or a sampler, for JSON."""
    table = card.recording or card.sampler
    assert table is not None
    first = {"file": shown(file), "kind": card.kind, "subject": card.subject}
    return (
        first
        | {"shape": card.shape, "levels": card.levels}
        | asdict(table)
        | {"abilities": sorted(card.abilities)}
    )


def to_text(facts_by_name: Mapping[str, Any]) -> str:
    """Return the facts as lines: a name, and a value; none for empty values."""
    axis, unit = (
        facts_by_name["values"],
        f" {facts_by_name['unit']}" if facts_by_name["unit"] else "",
    )
    shown_facts = {
        key: value for key, value in facts_by_name.items() if key not in ("symbol", "unit")
    } | {
        "values": f"{facts_by_name['symbol']} from {axis[-1]:g} to {axis[0]:g}{unit}",
        "shape": " × ".join(map(str, facts_by_name["shape"])),
        "abilities": [ABILITIES[ability] for ability in facts_by_name["abilities"]],
    }
    lines = []
    for key, value in shown_facts.items():
        if isinstance(value, list | tuple | dict):
            value = ", ".join(map(str, value))
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        if value not in (None, ""):
            lines.append(f"{key.replace('_', ' '):17} {value}")
    return "\n".join(lines)
