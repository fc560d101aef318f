"""Suggested calls for a model that was added, which its author can paste into a page."""

import inspect
import re
from pathlib import Path

from sitegen.config.loader import load_site
from sitegen.content.calls import BESIDE
from sitegen.content.templates import run_template
from sitegen.core.diagnostics import SourceLocation, fields_of
from sitegen.core.errors import ConfigError
from sitegen.core.source import shown
from sitegen.figures.base import FigureSpec, lacking
from sitegen.figures.registry import figure_kinds, make_figure
from sitegen.generative.card.card import ModelCard
from sitegen.models.add import AddResult
from sitegen.models.registry import ModelSource, site_models

_PICTURE = ', image="FILE.png"'
LARGE = 64
"""Largest image size in pixels for a full grid; a grid shows only four larger images."""


def figure_calls(
    name: str,
    card: ModelCard,
    root: Path,
    states: int | None = None,
    source: ModelSource | None = None,
) -> list[str]:
    """Return calls that show the model, one for each kind of figure, to paste into a page.

    states: the number of initial states of its prior, if known
    source: its files, if they can be read
    """
    calls = []
    for kind, spec in ((name, kind.spec) for name, kind in figure_kinds().items()):
        recorded = card.recording and spec.recorded_example(card.recording)
        example = (recorded or spec.example).replace("NAME", name).replace(_PICTURE, "")
        if card.image_size > LARGE and not recorded:
            example = re.sub(r"count=\d+", "count=4", re.sub(r", columns=\d+", "", example))
        if states is not None and spec.distinct_states:
            example = re.sub(r"count=(\d+)", lambda c: f"count={min(int(c[1]), states)}", example)
        call = f"{{{{ {kind}({example}) }}}}"
        if _serves(card, call, kind, name, root, source):
            calls.append(call)
    return calls


def _serves(
    card: ModelCard, call: str, kind: str, name: str, root: Path, source: ModelSource | None
) -> bool:
    """Return whether the call needs only this model."""
    made: list[FigureSpec] = []

    def make(*args: object, **kwargs: object) -> str:
        made.append(make_figure(kind, args, kwargs, SourceLocation("", 1), {name}, root).spec)
        return ""

    try:
        run_template(call, {kind: make})
    except ConfigError:
        return False
    (spec,) = made
    fits = bool(spec.models) and not any(
        lacking(name, card, needs) for needs in spec.needs_of_models
    )
    fits = fits and not list(spec.incompatibilities([card]))
    fits = fits and not (card.recording and list(spec.recorded_faults(card.recording)))
    fits = fits and (card.example is not None or not spec.needs_example)
    return fits and not (source and list(spec.file_faults([source])))


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
    return f"into git, so that a clone builds without the weights: {', '.join(files)}{hint}"


MODEL = "faces"
"""The model that is included with sitegen and used by the pages of a new site."""

FEW = {"count": 12, "rows": 2, "pairs": 2, "points": 24}
"""Maximum number of samples in a figure of a new site, which limits the page's size."""


def new_page_sections() -> tuple[str, ...]:
    """Return a section on each kind of figure, with its call, for the page of a new site."""
    return tuple(map(_section, figure_kinds()))


def _section(kind: str) -> str:
    """Return the section on a kind; a call that needs a file is shown but not run."""
    arguments = _small(figure_kinds()[kind].spec.example).replace("NAME", MODEL)
    call = f"{{{{ {kind}({arguments}) }}}}"
    if "FILE" in arguments:
        call = f"{{% raw %}}\n    {call}\n{{% endraw %}}"
    sentence = (inspect.getdoc(figure_kinds()[kind].spec) or "").partition("\n")[0]
    words = kind.replace("_", " ").capitalize()
    return f"## {words}\n\n{sentence}\n\n{call}\n"


def _small(example: str) -> str:
    """Return the arguments of an example with few samples and without optional files."""
    arguments = re.sub(r', \w+="FILE[^"]*"', "", example)
    for name, most in FEW.items():
        found = re.search(rf"\b{name}=(\d+)", arguments)
        if found is not None and int(found[1]) > most:
            arguments = re.sub(r", columns=\d+", "", arguments.replace(found[0], f"{name}={most}"))
    return arguments


def added_lines(added: AddResult) -> list[str]:
    """Return the lines to print about a model that was added and the calls that show it."""
    channels, size, _ = added.card.shape
    colour = "colour" if channels == 3 else "grey"
    about = f"{size}×{size} pixels, {colour}, {added.card.levels} levels"
    lines = [f"{added.name}: {about}", *added.notes, *(f"wrote {shown(f)}" for f in added.files)]
    if added.entered:
        lines.append(f"added [models.{added.name}] to {shown(added.config)}")
    lines.append(_for_git(added))
    source = site_models(load_site(added.config))[added.name]
    calls = figure_calls(added.name, added.card, added.config.parent, added.states, source)
    if "ddim" in added.card.abilities:
        calls += comparisons(added.name, added.card, added.config)
    told = "To show it, paste what you like of this into a page:"
    return [*lines, told, "", *(f"    {call}" for call in calls)]
