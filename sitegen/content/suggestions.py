"""Lines to print about a new model, with figure calls to paste into a page."""

import json
from pathlib import Path

from sitegen.core.source import shown
from sitegen.figures.registry import figure_kinds
from sitegen.generative.card.card import ModelCard
from sitegen.models.add import AddResult, written_path
from sitegen.models.folder import RUNS
from sitegen.models.registry import model_source


def figure_calls(name: str, card: ModelCard, label: str | None = None) -> list[str]:
    """Return the example call of each kind of figure whose needs the model meets.

    label: name of the method in the figures, if it has one
    """
    examples = {
        kind: entry.example
        for kind, entry in figure_kinds().items()
        if card.abilities.issuperset(entry.needs)
    }
    end = f", label={json.dumps(label)}" if label else ""
    return [
        f"{{{{ {kind}({example.replace('NAME', name)}{end}) }}}}"
        for kind, example in examples.items()
        if "NAME" in example
    ]


def added_lines(added: AddResult, label: str | None = None) -> list[str]:
    """Return the lines to print about a model that was added; for `label` see `figure_calls`."""
    channels, size, _ = added.card.shape
    colour = "colour" if channels == 3 else "grey"
    lines = [
        f"{added.name}: {size}×{size} pixels, {colour}, {added.card.levels} levels",
        *added.notes,
        *(f"wrote {shown(file)}" for file in added.files),
    ]
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
