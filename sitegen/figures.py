"""The kinds of figures that a page can call, as frozen and validated values.

A kind is one frozen dataclass that derives from `Spec`, in `sitegen.kinds`, one entry in `KINDS`,
and one in `SHOTS` of `sitegen.studio`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from sitegen.calls import arguments, checked, named
from sitegen.fields import Caption, Slug, Text
from sitegen.kinds.base import RULES, Spec
from sitegen.kinds.grids import SharedInitialState, Trajectories
from sitegen.kinds.latents import Interpolation, SharedNoise
from sitegen.kinds.stills import Process, Smoothness, Spectra
from sitegen.kinds.trees import Hierarchy
from sitegen.problems import Problem, told


@dataclass(frozen=True)
class Place:
    """Where in the author's files something stands; lines count from 1."""

    file: str
    line: int


KINDS: Mapping[str, type[Spec]] = MappingProxyType(
    {
        "trajectories": Trajectories,
        "shared_initial_state": SharedInitialState,
        "hierarchy": Hierarchy,
        "interpolation": Interpolation,
        "shared_noise": SharedNoise,
        "process": Process,
        "spectra": Spectra,
        "smoothness": Smoothness,
    }
)


@validated(frozen=True, config=RULES)
class _Words:
    """What every figure call may say beside its spec."""

    caption: Caption = Field(default="", description="The words under the figure.")
    alt: Text | None = Field(default=None, description="What is to be seen, in words.")
    id: Slug | None = Field(default=None, description="The figure's name in files and links.")


@dataclass(frozen=True)
class Figure:
    """A figure that a page asks for; an empty id means that the page chooses one.

    `root` is the folder of the site, where the files that the spec names are found.
    """

    kind: str
    id: str
    spec: Spec
    caption: str
    alt: str | None
    place: Place
    root: Path = Path()

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that the figure needs."""
        return self.spec.models

    @property
    def base(self) -> str:
        """The id that it has if its author gives none, and if nothing else has it."""
        return f"{'-'.join(self.models)[:40]}-{self.kind.replace('_', '-')}"


def make_figure(
    kind: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    place: Place,
    models: Collection[str] | None = None,
    root: Path = Path(),
) -> Figure:
    """Check a figure call; ConfigError tells everything that is wrong with it at once.

    `models` are the names of the site's models, where they are known; `root` is the site's folder.
    """
    spec_class = KINDS[kind]
    faults: list[str] = []
    given = named(spec_class, args, kwargs, faults)
    words = {name: given.pop(name) for name in arguments(_Words) if name in given}
    known = arguments(spec_class) | arguments(_Words)
    spec = checked(spec_class, given, {"models": models, "root": root}, faults, known)
    said = checked(_Words, words, {}, faults, known)
    if spec is None or said is None or faults:
        raise told(Problem(place.file, place.line, f"{kind}(…): {fault}") for fault in faults)
    return Figure(kind, said.id or "", spec, said.caption, said.alt, place, root)


def spec_json(figure: Figure) -> dict[str, Any]:
    """List everything in the figure that decides its pixels; no caption, alt or id."""
    return {"kind": figure.kind, **dataclasses.asdict(figure.spec)}


def canonical_json(value: object) -> str:
    """Write a value of JSON in the one way that is hashed: sorted, without spaces, ASCII.

    Raises ValueError for NaN and infinity, TypeError for what JSON has not.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def default_alt(figure: Figure, levels: int, subject: str = "") -> str:
    """Describe the clip in words: the author's where there are some, else made from the spec.

    `levels` is the number of steps that the figure's model takes.
    """
    return figure.alt or figure.spec.describe(levels, subject)
