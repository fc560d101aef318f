"""The calls that are suggested for a model are of every kind that it can show, and no other."""

import re
from dataclasses import replace
from pathlib import Path

from sitegen.content.suggestions import comparisons, figure_calls
from sitegen.figures.registry import figure_kinds
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.generative.card.flow import FlowConfig
from sitegen.generative.card.recording import RecordingConfig
from tests.support.making import small_card
from tests.support.tinymodel import write_model


def test_comparisons(tmp_path: Path) -> None:
    """Every kind that a model is enough for, few large images, and a baseline beside a model."""
    config = tmp_path / "site.toml"
    config.write_text('title = "Site"\n[models.mnist]\npath = "models/mnist"\n')
    write_model(tmp_path / "models/mnist")
    card = small_card()
    beside = comparisons("base", card, config)
    assert '{{ interpolation("mnist", ddpm="base") }}' in beside
    config.write_text(f'{config.read_text()}[models.ba]\npath = "models/mnist"\n')
    nearer = comparisons("base", card, config)
    assert nearer == [call.replace('"mnist"', '"ba"') for call in beside]
    larger = comparisons("base", small_card(image_size=32), config)
    assert larger == [call.replace('"mnist"', '"MODEL"') for call in beside]
    for size in [8, 256]:
        card = small_card(image_size=size, example=FileRef("example.png"))
        calls, obstacles = figure_calls("birds", card, tmp_path)
        kinds = [re.match(r"\{\{ (\w+)\(", call)[1] for call in calls]  # type: ignore[index]
        labelled, _ = figure_calls("birds", card, tmp_path, label='"A"')
        assert labelled == [call.replace(") }}", r', label="\"A\"") }}') for call in calls]
        assert kinds[:2] == ["trajectories", "shared_initial_state"]
        assert set(kinds) <= set(figure_kinds())
        assert '{{ process("birds") }}' in calls
        assert ("count=36" if size == 8 else "count=4)") in calls[0].replace(" }}", "")
        plain, why = figure_calls("birds", replace(card, example=None), tmp_path)
        assert set(obstacles) == {*figure_kinds()} - set(kinds)
        assert "no example of its images" in why["process"]
        assert [call for call in calls if call not in plain] == ['{{ process("birds") }}']


def test_why_a_kind_cannot_show_a_model(tmp_path: Path) -> None:
    """The reason has the build's advice; a recorded run may have been random all the same."""
    card = ModelCard(8, 1, 8, small_card().unet, kind="flow", flow=FlowConfig())
    _, why = figure_calls("cfm", card, tmp_path)
    assert why["shared_initial_state"].endswith(
        "lacks; give around=0.5, the angle between initial states"
    )
    for config in (
        RecordingConfig((0.0, 1.0), 4, one_start=True),
        RecordingConfig((0.0, 1.0, 2.0), 4, splits=(2, 1)),
    ):
        card = ModelCard(8, 1, len(config.values) - 1, None, kind="recording", recording=config)
        _, why = figure_calls("run", card, tmp_path)
        assert why["shared_noise"] == (
            "needs randomness after the start, which cannot be shown from the recording run"
        )
