"""A plain DDPM checkpoint becomes a model of a site: what tells its kind, what is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sitegen.build.context import BuildOptions
from sitegen.build.pipeline import build
from sitegen.build.renderer import FigureRenderer
from sitegen.content.suggestions import added_lines
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.progress import Silent
from sitegen.ihdm.card.card import ModelCard, read_card
from sitegen.ihdm.card.networks import UNetConfig
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.training.recipe import as_ddpm
from sitegen.models.add import Added, add_model
from sitegen.models.new_card import AddOptions, Question
from tests.support.builders import CPU
from tests.support.making import random_unet, save, small_card
from tests.support.tinymodel import on_one_thread, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)

CHECKPOINT = Path("ema_0.9999_200000.pt")
TOLD: dict[str, Any] = {"kind": "ddpm", "image_size": 8, "levels": 4, "noise_schedule": "linear"}


@pytest.fixture
def truth() -> ModelCard:
    """What the network is, of one grey channel as the model beside it."""
    return as_ddpm(replace(small_card(), channels=1))


@pytest.fixture
def site(tmp_path: Path, truth: ModelCard, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with a model of 8×8 grey pixels, and a bare state dict beside it."""
    monkeypatch.chdir(tmp_path)
    Path("pages").mkdir()
    Path("pages/index.md").write_text("Words.\n")
    Path("site.toml").write_text('title = "Digits"\n\n[models.tiny]\npath = "models/tiny"\n')
    write_model(Path("models/tiny"))
    save(random_unet(truth).state_dict(), CHECKPOINT)
    return tmp_path


def learned(truth: ModelCard) -> None:
    """Give the checkpoint a last layer that answers with a variance, too."""
    weights = random_unet(truth).state_dict()
    doubled = {name: torch.cat([weights[name]] * 2) for name in ("out.2.weight", "out.2.bias")}
    save(weights | doubled, CHECKPOINT)


def add(name: str = "ddpm", ask: Any = None, **wishes: Any) -> Added:
    """Add the checkpoint to the site in the working folder."""
    return add_model(Path("site.toml"), name, AddOptions(CHECKPOINT, **wishes), ask)


def test_from_checkpoint_to_page(site: Path, truth: ModelCard) -> None:
    """The calls that are shown put it beside a model of its size, and they build."""
    done = add(**TOLD)
    card = read_card(Path("models/ddpm"))
    assert (card.kind, card.levels, card.shape) == ("ddpm", 4, truth.shape)
    assert card.prior is card.example is None
    indented = [line for line in added_lines(done) if "{{" in line]
    assert all(line.startswith("    {{") for line in indented)
    calls = [line.strip() for line in indented]
    assert '{{ interpolation("tiny", ddpm="ddpm") }}' in calls
    call = next(call for call in calls if "interpolation" in call)
    Path("pages/index.md").write_text(call.replace(") }}", ", points=3, hold=1, ddim_steps=2) }}"))
    build(Path("site.toml"), BuildOptions(CPU), FigureRenderer, Silent())
    assert "<video" in Path("build/index.html").read_text()


def test_network_is_the_files(site: Path, truth: ModelCard) -> None:
    """The card makes the network that the weights are of."""
    found = add(**TOLD).card
    x = torch.rand(1, *truth.shape, generator=torch.Generator().manual_seed(0))
    same = replace(found, diffusion=truth.diffusion, levels=truth.levels)
    with torch.no_grad():
        one, other = (load_model(CHECKPOINT, card)(x, 3) for card in (same, truth))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("levels", "ends"), [(1000, (1e-4, 0.02, False)), (4000, (2.5e-5, 0.005, True))]
)
def test_schedule_is_scaled(site: Path, levels: int, ends: tuple[float, float, bool]) -> None:
    """β of 1000 steps is that of Ho et al.; of 4000 a quarter, as improved-diffusion scales it."""
    found = add(**{**TOLD, "levels": levels}).card.diffusion
    assert found is not None
    assert (found.beta_start, found.beta_end, found.rescale_timesteps) == ends


def test_heads_are_split_as_there(site: Path) -> None:
    """Programs of the time hold q, k and v of each head together, unlike the models of here."""
    unet = add(**TOLD, heads=2).card.unet
    assert isinstance(unet, UNetConfig)
    assert (unet.num_heads, unet.use_new_attention_order) == (2, False)


def test_learned_variance_tells_the_kind(site: Path, truth: ModelCard) -> None:
    """Nobody need say that it is a DDPM; its own variance is not used, and that is told."""
    learned(truth)
    done = add(**{**TOLD, "kind": None})
    assert done.card.kind == "ddpm"
    assert done.card.diffusion is not None
    assert done.card.diffusion.variance == "fixed_small"
    assert any("fixed_small" in note for note in done.notes)


def test_what_is_missing_is_told_at_once(site: Path) -> None:
    """Each option once, and no preset, which are of other models."""
    with pytest.raises(ConfigError) as caught:
        add(kind="ddpm")
    words = str(caught.value)
    for option in ("--image-size", "--levels", "--noise-schedule"):
        assert words.count(option) == 1
    assert "preset" not in words
    assert not Path("models/ddpm").exists()


def test_everything_is_asked_for(site: Path) -> None:
    """On a terminal: each thing once, the published values offered."""
    answers = {**TOLD, "heads": 1}
    asked: list[Question] = []

    def ask(question: Question) -> Any:
        asked.append(question)
        return answers[question.field]

    done = add(ask=ask, kind="ddpm")
    offers = [(each.field, each.offer) for each in asked]
    assert offers == [
        ("image_size", None),
        ("levels", 1000),
        ("noise_schedule", "linear"),
        ("heads", 1),
    ]
    assert done.card.known_faults == ()


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"blur_sigma_max": 20.0, "preset": "mnist"}, "--preset, --blur-sigma-max"),
        ({"kind": "ihdm"}, "--noise-schedule is of a DDPM"),
    ],
)
def test_what_does_not_belong_together(site: Path, wishes: dict[str, Any], words: str) -> None:
    """Blur and presets are of one kind, noise schedules of the other."""
    with pytest.raises(ConfigError, match=words):
        add(**{**TOLD, **wishes})


def test_unknown_network(site: Path) -> None:
    """Weights that are no U-Net of these names are refused."""
    save({"layer.weight": torch.zeros(2, 2)}, CHECKPOINT)
    with pytest.raises(RefusedError, match="sitegen inspect"):
        add(**TOLD)
