"""Figures of tiny models, prepared as a page asks for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder.render import FigureRenderer
from sitegen.core.diagnostics import SourceLocation
from sitegen.media.frames import Frame
from sitegen.media.manifest import RenderJob
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling.models import Sampler, load_sampler
from tests.support.builders import CPU
from tests.support.calling import make_figure
from tests.support.tinymodel import add_example, write_cascade, write_ddpm, write_model

Sources = Mapping[str, ModelSource]
SIDE, DEEP = 8, 8
"""Pixels of an image, and levels of the model `deep`."""


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """A tiny model with an example, one with eight levels, a tiny DDPM, and a cascade."""
    folder = tmp_path_factory.mktemp("models")
    add_example(write_model(folder / "tiny"))
    write_model(folder / "deep", levels=DEEP)
    write_ddpm(folder / "noise")
    add_example(write_cascade(folder / "cascade"))
    return {each.name: model_source(each.name, each) for each in sorted(folder.iterdir())}


@pytest.fixture(scope="session")
def sampler(sources: Sources) -> Sampler:
    """The tiny model."""
    return load_sampler(sources["tiny"], CPU)


def job(
    sources: Sources, kind: str, model: str = "tiny", root: Path = Path(), **arguments: Any
) -> RenderJob:
    """Prepare a figure of a model."""
    place = SourceLocation("index.md", 1)
    figure = make_figure(kind, (model,), arguments, place, set(sources), root)
    return FigureRenderer(sources, CPU).render_job(figure)


def states(made: RenderJob) -> list[Frame]:
    """All states of a clip, after the work that comes first."""
    assert sum(1 for _ in made.work) == made.steps
    assert made.clip is not None
    return list(made.clip.states)
