"""Which calls show a model that was added: what its author may paste into a page."""

from __future__ import annotations

import re
from pathlib import Path

from sitegen.calls import arguments
from sitegen.config import load_site
from sitegen.errors import ConfigError
from sitegen.figures import KINDS, Place, make_figure
from sitegen.ihdm.card import ModelCard
from sitegen.kinds.base import Spec
from sitegen.models import site_models
from sitegen.templates import run_template

_PICTURE = ', image="FILE.png"'
LARGE = 64
"""Of larger images than this, in pixels, a grid shows only four."""


def figure_calls(name: str, card: ModelCard, root: Path) -> list[str]:
    """Calls, one a kind of figure, that show the model: what its author may paste into a page."""
    calls = []
    for kind, spec in KINDS.items():
        example = spec.example.replace("NAME", name).replace(_PICTURE, "")
        if card.image_size > LARGE:
            example = re.sub(r"count=\d+", "count=4", re.sub(r", columns=\d+", "", example))
        call = f"{{{{ {kind}({example}) }}}}"
        if _serves(card, call, kind, name, root):
            calls.append(call)
    return calls


def _serves(card: ModelCard, call: str, kind: str, name: str, root: Path) -> bool:
    """Whether this model alone is enough for the call."""
    made: list[Spec] = []

    def make(*args: object, **kwargs: object) -> str:
        made.append(make_figure(kind, args, kwargs, Place("", 1), {name}, root).spec)
        return ""

    try:
        run_template(call, {kind: make})
    except ConfigError:
        return False
    (spec,) = made
    fits = set(spec.model_kinds) == {card.kind} and not list(spec.misfits([card]))
    return fits and (card.example is not None or not spec.needs_example)


def comparisons(name: str, card: ModelCard, config: Path) -> list[str]:
    """Calls that show a DDPM beside a model of the site, or one to come."""
    sources = site_models(load_site(config))
    fits = (
        other
        for other, source in sources.items()
        if source.card.kind == "ihdm" and source.card.shape == card.shape
    )
    partner = next(fits, "MODEL")
    kinds = (kind for kind, spec in KINDS.items() if "ddpm" in arguments(spec))
    return [f'{{{{ {kind}("{partner}", ddpm="{name}") }}}}' for kind in kinds]
