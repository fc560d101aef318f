"""Suggested calls for a model that was added, which its author can paste into a page."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from sitegen.config.loader import load_site
from sitegen.content.calls import BESIDE
from sitegen.content.templates import run_template
from sitegen.core.diagnostics import SourceLocation, fields_of
from sitegen.core.errors import ConfigError, PlugInError
from sitegen.core.source import shown
from sitegen.figures.base import Figure, FigureSpec, lacking
from sitegen.figures.registry import figure_kinds, make_figure, plug_in_errors
from sitegen.generative.card.card import ModelCard
from sitegen.models.add import AddResult, written_path
from sitegen.models.folder import RUNS
from sitegen.models.registry import ModelSource, model_source, site_models

_PICTURE = ', image="FILE.png"'
LARGE = 64
"""Largest image size in pixels for a full grid; a grid shows only four larger images."""


def figure_calls(
    name: str,
    card: ModelCard,
    root: Path,
    states: int | None = None,
    source: ModelSource | None = None,
    label: str | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Return calls that show the model, one for each kind of figure, to paste into a page.

    Also returns why the other kinds of figures cannot show it.

    states: the number of initial states of its prior, if known
    source: its files, if they can be read
    label: name of the method in the figures, if it has one
    """
    labelled = f", label={json.dumps(label)}" if label else ""
    calls, obstacles = [], {}
    for kind in figure_kinds():
        try:
            with plug_in_errors(kind):
                example = _example(kind, name, card, states)
                call = f"{{{{ {kind}({example}{labelled}) }}}}"
                found = _obstacle(card, call, kind, name, root, source)
        except PlugInError as error:
            found = str(error)
        if found:
            obstacles[kind] = found
        else:
            calls.append(call)
    return calls, obstacles


def _example(kind: str, name: str, card: ModelCard, states: int | None) -> str:
    """Return the arguments of a call that shows the model at its best."""
    spec = figure_kinds()[kind].spec
    able = not lacking(name, card, spec.needs)
    recorded = able and card.recording and spec.recorded_example(card.recording)
    example = (recorded or spec.example).replace("NAME", name).replace(_PICTURE, "")
    if card.image_size > LARGE and not recorded:
        example = re.sub(r"count=\d+", "count=4", re.sub(r", columns=\d+", "", example))
    if states is not None and spec.distinct_states:
        example = re.sub(r"count=(\d+)", lambda c: f"count={min(int(c[1]), states)}", example)
    return example


def _obstacle(
    card: ModelCard, call: str, kind: str, name: str, root: Path, source: ModelSource | None
) -> str:
    """Return why the call does not work with this model alone; "" if it does."""
    made: list[Figure] = []

    def make(*args: object, **kwargs: object) -> str:
        made.append(make_figure(kind, args, kwargs, SourceLocation("", 1), {name}, root))
        return ""

    try:
        run_template(call, {kind: make})
        (figure,) = made
        return str(figure.fault or _conflict(figure.spec, card, name, source))
    except ConfigError as error:  # as for a prior with a single state
        return re.sub(r"^\S*:\d+: ", "", str(error).partition("\n")[0])


def _conflict(spec: FigureSpec, card: ModelCard, name: str, source: ModelSource | None) -> str:
    """Return why the model cannot be shown with these arguments; "" if it can."""
    if not spec.models:
        return "it shows no model"
    for needs in spec.needs_of_models:
        if missing := lacking(name, card, needs):
            return "; ".join(filter(None, (missing, spec.remedy(card))))
    found = list(spec.incompatibilities([card]))
    if card.recording:
        found += spec.recorded_faults(card.recording)
    if spec.needs_example and card.example is None:
        found.append("the model has no example of its images; `sitegen add --data` keeps one")
    if source and not found:
        found += spec.file_faults([source])
    return next(iter(found), "")


def comparisons(name: str, card: ModelCard, config: Path) -> list[str]:
    """Return calls that compare a DDPM with a model of the site, or with one yet to be added."""
    sources = site_models(load_site(config))
    others = {n: each.card for n, each in sources.items() if each.card.shape == card.shape}
    fits = [n for n, each in others.items() if "ddim" not in each.abilities]
    partner = next((each for each in fits if name.startswith(each)), next(iter(fits), "MODEL"))
    kinds = (name for name, kind in figure_kinds().items() if "ddpm" in fields_of(kind.spec))
    count = 4 if card.image_size > LARGE else 9
    both = (f'trajectories("{each}", count={count})' for each in (partner, name))
    row = f"{{{{ {BESIDE}({', '.join(both)}) }}}}"
    return [*(f'{{{{ {kind}("{partner}", ddpm="{name}") }}}}' for kind in kinds), row]


def _for_git(added: AddResult) -> str:
    """List the files that a clone needs if it renders nothing; the weights are not needed."""
    site = load_site(added.config)
    source = site_models(site)[added.name]
    own = [path for path in (source.card_path,) if path and path.is_relative_to(site.root)]
    if added.files and added.entered:
        own = [added.files[-1].parent]
    elif source.card_path is None and not site.models[added.name].preset:
        own = [source.weights.parent]  # as saved by another program
    files = [shown(path) for path in (added.config, *own, site.cache_dir)]
    hint = " (`git add -f` what .gitignore keeps out)" if own and not added.files else ""
    what = "recording" if source.card.recording else "weights"
    return f"into git, so that a clone builds without the {what}: {', '.join(files)}{hint}"


def added_lines(added: AddResult, label: str | None = None) -> list[str]:
    """Return the lines to print about a model that was added and the calls that show it.

    label: name of its method in these calls, if it has one
    """
    channels, size, _ = added.card.shape
    colour = "colour" if channels == 3 else "grey"
    about = f"{size}×{size} pixels, {colour}, {added.card.levels} levels"
    lines = [f"{added.name}: {about}", *added.notes, *(f"wrote {shown(f)}" for f in added.files)]
    if added.entered:
        lines.append(f"added [models.{added.name}] to {shown(added.config)}")
    lines.append(_for_git(added))
    source = site_models(load_site(added.config))[added.name]
    root, states = added.config.parent, added.states
    calls, obstacles = figure_calls(added.name, added.card, root, states, source, label)
    if "ddim" in added.card.abilities:
        calls += comparisons(added.name, added.card, added.config)
    return [*lines, *_pasted(calls, obstacles)]


def trained_lines(name: str, folder: Path, root: Path = Path()) -> list[str]:
    """Return the lines to print about a new model of the site in `root`: its table, and calls."""
    from sitegen.generative.data.prior import read_prior

    source = model_source(name, folder)
    states = len(read_prior(source.prior, source.card)) if source.prior else None
    found = figure_calls(name, source.card, folder, states, source)
    own = folder.absolute() == (root / RUNS / name).absolute()
    first = f"`sitegen add {name}` in the folder of your site, or in site.toml:" if own else ""
    path = f'    path = "{written_path(folder, root)}"'
    return [first or "in site.toml:", f"    [models.{name}]", path, *_pasted(*found)]


def _pasted(calls: list[str], obstacles: Mapping[str, str]) -> list[str]:
    """Return the lines about calls to paste, and why other kinds of figures are not among them.

    Calls are paragraphs of their own, as in a page.
    """
    told = ["To show it, paste what you like of this into a page:"] if calls else []
    others = [f"not {kind}: {why}" for kind, why in obstacles.items()]
    return [
        *told,
        *(line for call in calls for line in ("", call)),
        *(["", *others] if others else []),
    ]
