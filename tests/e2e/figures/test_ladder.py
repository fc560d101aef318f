"""Other steps and samplers of a model, as arguments of figures and as columns of a ladder."""

from typing import Any

import numpy as np
import pytest

from sitegen.builder.plan import plan
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError, SitegenError
from sitegen.figures.ladder import Ladder, column_names
from sitegen.generative.card.card import ModelCard, read_card
from sitegen.media.frames import to_uint8
from sitegen.sampling.models import load_sampler
from tests.support.builders import CPU
from tests.support.calling import make_figure
from tests.support.paths import ROOT
from tests.support.tinyfigures import Sources, job, states


def test_columns_share_the_noise_of_their_row(sources: Sources) -> None:
    """Each column ends with the samples of its sampler, and the columns of a DDPM begin alike."""
    made = job(sources, "ladder", "noise", steps=(2, 4), samplers=("ddim", "ddpm"), count=3)
    frames = states(made)
    assert made.clip is not None
    cells = made.clip.cells
    assert (cells.columns, cells.count) == (4, 12)
    assert cells.names == ("DDIM 2", "DDIM 4", "DDPM 2", "DDPM 4")
    first, last = (frame.reshape(3, 4, *frame.shape[1:]) for frame in (frames[0], frames[-1]))
    for column in range(4):
        assert np.array_equal(first[:, column], first[:, 0])
    sampler = load_sampler(sources["noise"], CPU)
    for column, steps in enumerate((2, 4)):
        *_, (_, images) = sampler.ddim(steps).begin(0, range(3)).seen("mean")
        assert np.array_equal(last[:, column], to_uint8(images))
    assert not np.array_equal(last[:, 2], last[:, 3])


def test_no_columns(sources: Sources) -> None:
    """Empty lists of steps or samplers are refused."""
    place = SourceLocation("index.md", 1)
    for arguments in ({"steps": ()}, {"samplers": ()}):
        with pytest.raises(SitegenError, match=r"index.md:1: .* at least 1 item"):
            make_figure("ladder", ("noise",), arguments, place, set(sources))


def test_several_models(sources: Sources) -> None:
    """`models` names all; heat dissipation that can jump takes other steps, too."""
    made = job(sources, "ladder", "cascade", also="noise", steps=(None, 3), count=2)
    assert made.clip is not None
    names = made.clip.cells.names
    assert names[1] == "IHDM 3"
    assert names[3] == "DDPM 3"
    place = SourceLocation("index.md", 1)
    both: dict[str, Any] = {"models": ["cascade", "noise"], "steps": [None, 3], "count": 2}
    figure = make_figure("ladder", (), both, place, set(sources))
    assert figure.spec.models == ("cascade", "noise")


def names_of(card: ModelCard, **arguments: Any) -> tuple[str, ...]:
    """Return the names of a ladder's columns, whose models all have this card."""
    spec = make_figure("ladder", ("noise",), arguments, SourceLocation("index.md", 1)).spec
    assert isinstance(spec, Ladder)
    return column_names(spec, spec.cards([card] * len(spec.models)))


def test_columns_of_one_label(sources: Sources) -> None:
    """Methods that share a label are told apart by the names in the call."""
    card = sources["noise"].card
    solvers = names_of(card, steps=[2, 3], samplers=["dpmpp", "dpmpp2m"])
    assert solvers == ("dpmpp 2", "dpmpp 3", "dpmpp2m 2", "dpmpp2m 3")
    assert names_of(card, steps=[2, 3], also="b") == ("noise 2", "noise 3", "b 2", "b 3")
    with pytest.raises(ConfigError, match="models: unknown key"):  # one or the other
        names_of(card, models=["a", "b"])


def test_guidance_counts_where_networks_take_labels() -> None:
    """The numbers over the columns count the finest networks of a cascade once."""
    card = read_card(ROOT / "models" / "mnist")
    counts = [sum(2 - (k <= 37) for k in card.visited_levels[:-1]), 2 * 5 - 1]
    names = names_of(card, steps=[None, 5], labels="3", guidance=1.0)
    assert names == tuple(map(str, counts))


def test_other_steps_of_a_figure(sources: Sources) -> None:
    """A grid with `steps` has a state for each, and is another figure; the page says its cost."""
    assert len(states(job(sources, "trajectories", "noise", count=2, steps=3))) == 4
    place = SourceLocation("index.md", 1)
    usual, fewer, other = (
        plan(make_figure("trajectories", ("noise",), values, place, set(sources)), "index", sources)
        for values in ({"count": 2}, {"count": 2, "steps": 3}, {"count": 2, "sampler_name": "heun"})
    )
    assert len({usual.key, fewer.key, other.key}) == 3
    assert fewer.cost == 6
    assert "over 3 steps" in fewer.description
    assert other.axis is not None
    assert other.axis.symbol == "σ"


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("tiny", {"steps": 3}, 'tiny: a card of kind "ihdm" lists its steps'),
        ("tiny", {"sampler_name": "heun"}, "has no sampler heun; leave it out"),
        ("noise", {"steps": 1000}, "noise: 1000 steps: must be from 1 to its"),
        ("noise", {"sampler_name": "midpoint"}, "has no sampler midpoint; choose ddpm, ddim"),
    ],
)
def test_what_a_model_lacks(
    sources: Sources, model: str, arguments: dict[str, Any], message: str
) -> None:
    """Steps and samplers that a model does not have are told with its name."""
    figure = make_figure(
        "trajectories", (model,), arguments, SourceLocation("index.md", 1), set(sources)
    )
    with pytest.raises(SitegenError) as refused:
        plan(figure, "index", sources)
    assert message in str(refused.value)
