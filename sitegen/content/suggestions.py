"""Lines to print about a new model, with figure calls to paste into a page."""

import ast
import json
import re
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from sitegen.core.errors import ConfigError
from sitegen.core.source import shown
from sitegen.figures.base import FigureKind
from sitegen.figures.registry import figure_kinds
from sitegen.generative.card.card import ModelCard
from sitegen.models.add import AddResult, written_path
from sitegen.models.registry import RUNS, model_source


def figure_calls(name: str, card: ModelCard, label: str | None = None) -> list[str]:
    """Return a call that a build accepts for each kind of figure that can show the model.

    label: name of the method in the figures, if it has one
    """
    end = f", label={json.dumps(label)}" if label else ""
    if card.labels is not None and not card.labels.optional:
        end += f", labels={json.dumps([*card.labels.names[:1]])}"
    calls = []
    for kind, entry in figure_kinds().items():
        if "NAME" not in entry.example:
            continue
        arguments = f"{entry.example.replace('NAME', name)}{end}"
        recorded = card.recording.count if card.recording else 0
        points = (card.recording.positions or 0) if card.recording else 0
        fewer = re.sub(r"\bcount=\d+", f"count={recorded}", arguments)
        fewer = re.sub(r"\bpoints=\d+", f"points={points}", fewer)
        # The fullest call first: the example as it is, with as much as was recorded, and no
        # example.
        for candidate in (arguments, fewer, f'"{name}"{end}', f'"{name}", count={recorded}{end}'):
            if _fits(entry, candidate, card):
                calls.append(f"{{{{ {kind}({candidate}) }}}}")
                break
    return calls


def _fits(kind: type[FigureKind], arguments: str, card: ModelCard) -> bool:
    """Return whether a kind accepts arguments, as in a call, with the card of its model."""
    call = cast(ast.Call, ast.parse(f"kind({arguments})", mode="eval").body)
    values = [ast.literal_eval(value) for value in call.args]
    named = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    try:
        spec = kind(*values, **named)
        return not any(spec.unmet(spec.cards([card])))
    except (ConfigError, ValidationError, TypeError):
        return False


def added_lines(added: AddResult, label: str | None = None) -> list[str]:
    """Return the lines to print about a model that was added; for `label` see `figure_calls`."""
    channels, height, width = added.card.shape
    colour = "colour" if channels == 3 else "grey"
    lines = [
        f"{added.name}: {width}×{height} pixels, {colour}, {added.card.levels} levels",
        *added.notes,
        *(f"wrote {shown(file)}" for file in added.files),
    ]
    if not added.card.subject:
        lines.append('--subject "cartoon faces" says what its images show, for text alternatives')
    if added.entered:
        lines.append(f"added [models.{added.name}] to {shown(added.config)}")
    return [*lines, *_to_paste(figure_calls(added.name, added.card, label))]


def trained_lines(name: str, folder: Path, root: Path = Path()) -> list[str]:
    """Return the lines to print about a new model of the site in `root`: its table, and calls."""
    calls = figure_calls(name, model_source(name, folder).card)
    table = [f"    [models.{name}]", f'    path = "{written_path(folder, root)}"']
    is_in_runs = folder.absolute() == (root / RUNS / name).absolute()
    where = f"`sitegen add {name}` in the folder of your site, or in site.toml:"
    return [where if is_in_runs else "in site.toml:", *table, *_to_paste(calls)]


def _to_paste(calls: list[str]) -> list[str]:
    heading = "To show it, paste what you like of this into a page:"
    return [heading, *(line for call in calls for line in ("", call))]
