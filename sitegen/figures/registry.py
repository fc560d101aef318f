"""The kinds of figures that a page can call, as frozen and validated values.

A kind is one frozen dataclass that derives from `FigureSpec`, one entry in `FIGURES`, and one in
`SHOTS` of `sitegen.build.renderer`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from sitegen.core.diagnostics import Diagnostic, SourceLocation, config_error
from sitegen.core.validation import Caption, Slug, Text, arguments, checked, named
from sitegen.figures.base import RULES, Figure, FigureSpec
from sitegen.figures.hierarchy.spec import Hierarchy
from sitegen.figures.interpolation.spec import Interpolation
from sitegen.figures.process.spec import Process
from sitegen.figures.shared_initial_state.spec import SharedInitialState
from sitegen.figures.shared_noise.spec import SharedNoise
from sitegen.figures.smoothness.spec import Smoothness
from sitegen.figures.spectra.spec import Spectra
from sitegen.figures.trajectories.spec import Trajectories

FIGURES: Mapping[str, type[FigureSpec]] = MappingProxyType(
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


def make_figure(
    kind: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    place: SourceLocation,
    models: Collection[str] | None = None,
    root: Path = Path(),
) -> Figure:
    """Check a figure call; ConfigError tells everything that is wrong with it at once.

    `models` are the names of the site's models, where they are known; `root` is the site's folder.
    """
    spec_class = FIGURES[kind]
    faults: list[str] = []
    given = named(spec_class, args, kwargs, faults)
    words = {name: given.pop(name) for name in arguments(_Words) if name in given}
    known = arguments(spec_class) | arguments(_Words)
    spec = checked(spec_class, given, {"models": models, "root": root}, faults, known)
    said = checked(_Words, words, {}, faults, known)
    if spec is None or said is None or faults:
        raise config_error(
            Diagnostic(place.file, place.line, f"{kind}(…): {fault}") for fault in faults
        )
    return Figure(kind, said.id or "", spec, said.caption, said.alt, place, root)
