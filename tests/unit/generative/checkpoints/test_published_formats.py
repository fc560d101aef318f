"""Files of denoising-diffusion-pytorch, guided- and improved-diffusion and consistency_models.

The wanted samples are recorded (`tests/reference/README.md`): their programs drew them from our
start and our noise.
"""

import json
import lzma
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from sitegen.cli.main import cli
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition, LabelsConfig
from sitegen.generative.card.networks import LucidrainsUNet, UNetConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.lucidrains import diffusion_of
from sitegen.generative.checkpoints.resampling import respaced
from sitegen.generative.maths.noise import independent
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.base import to_pixels
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.protocol import process_of, run
from sitegen.models.new_card import new_model
from sitegen.models.options import AddOptions
from tests.support.making import narrowed, save
from tests.unit.generative.checkpoints.test_flows import waves

LUCIDRAINS = ("v", "noise", "x0", "listed", "groups")


@pytest.fixture
def unpacked(reference: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Write a file of the program's Trainer, by the name of its example."""

    def write(name: str) -> Path:
        path = tmp_path / "model-1.pt"
        packed = reference / "lucidrains" / f"model-{name}.pt.xz"
        path.write_bytes(lzma.decompress(packed.read_bytes()))
        return path

    return write


def sampled(path: Path, card: ModelCard, *labels: int) -> Tensor:
    """Draw the first two samples of seed 0, in [0, 1]."""
    process = process_of(load_model(path, card))
    process = replace(process, condition=Condition(labels) if labels else None)
    noise = independent(0, [0, 1], card.shape)
    *_, last = run(process, process.start(0, [0, 1]), noise)
    return to_pixels(last.mean)


def described(path: Path, **options: Any) -> tuple[Any, list[str]]:
    """Return the card that `add` writes, and its notes."""
    info = inspect_checkpoint(path)
    _, card, notes = new_model(AddOptions(path, image_size=8, **options), info)
    return ModelCard.from_toml(card.to_toml()), notes


@pytest.mark.parametrize("name", LUCIDRAINS)
def test_lucidrains(name: str, unpacked: Callable[[str], Path], reference: Path) -> None:
    """Each file is sampled as its program does, by what the file says alone."""
    path = unpacked(name)
    recorded = json.loads((reference / "lucidrains/expected.json").read_text())[name]
    card, notes = described(path, levels=recorded["levels"])
    final = sampled(path, card).flatten()[:: card.channels]
    assert np.allclose(final, recorded["final"], rtol=0, atol=1e-5)
    method = "DDIM" if recorded["levels"] else "DDPM"
    assert notes[0].startswith(f"sampler: {method}, {recorded['levels'] or card.levels} steps")
    assert any("assumed: auto_normalize" in note for note in notes)
    assert any("resnet_block_groups = 8" in note for note in notes) == (name == "groups")


def test_lucidrains_inspected(unpacked: Callable[[str], Path]) -> None:
    """The program, the network, the objective, the schedule and the next command are named."""
    text = inspect_checkpoint(unpacked("noise")).to_text()
    for words in (
        "program           denoising-diffusion-pytorch",
        "step              2,000",
        "noise, as in a DDPM (pred_noise)",
        "dim_mults (1, 2, 3), channels 3, full_attn (True, False, True), attn_heads (1, 2, 3)",
        "sitegen add       --image-size N: a DDPM, cosine schedule of 40 levels, as in the file",
    ):
        assert words in text


def test_lucidrains_added(
    unpacked: Callable[[str], Path], reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command writes a card, the next one draws the samples, another one takes fewer steps."""
    path = unpacked("v")
    monkeypatch.chdir(path.parent)
    (path.parent / "pages").mkdir()
    (path.parent / "pages/index.md").write_text("Words.\n")
    (path.parent / "site.toml").write_text('title = "A title"\n')

    def sitegen(words: str) -> str:
        done = CliRunner().invoke(cli, words.split(), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    added = sitegen("add digits --checkpoint model-1.pt --image-size 8")
    assert "in the file: the sigmoid schedule of 12 levels" in added
    assert '{{ trajectories("digits", count=36) }}' in added
    sitegen("sample digits --count 2 --output x.npz")
    recorded = json.loads((reference / "lucidrains/expected.json").read_text())["v"]
    final = np.load("x.npz")["final"].flatten()
    assert np.allclose(final, recorded["final"], rtol=0, atol=1e-5)
    fewer = sitegen("add digits --checkpoint model-1.pt --levels 5")
    assert "sampler: DDIM, 5 steps, nothing random after the start" in fewer


def test_lucidrains_without_tables(unpacked: Callable[[str], Path], tmp_path: Path) -> None:
    """Of a bare network, schedule and objective are asked for; a wrapped one has its tables."""
    content = torch.load(unpacked("v"), weights_only=True)["ema"]
    whole = {n.removeprefix("ema_model."): v for n, v in content.items() if "ema_model." in n}
    path = save(whole, tmp_path / "diffusion.pt")
    wrapped, _ = described(path)
    bare = {n.removeprefix("model."): v for n, v in whole.items() if n.startswith("model.")}
    path = save(bare, tmp_path / "unet.pt")
    with pytest.raises(ConfigError, match=r"--levels .*\n.*--noise-schedule .*\n.*--objective"):
        described(path)
    answers = {"levels": 12, "noise_schedule": "sigmoid", "objective": "pred_v"}
    assert described(path, **answers)[0] == wrapped
    del whole["loss_weight"]
    path = save(whole, tmp_path / "older.pt")
    with pytest.raises(ConfigError, match=r"give\n  --objective +what its network predicts"):
        described(path)
    assert described(path, objective="pred_v")[0] == wrapped


def test_lucidrains_refused(unpacked: Callable[[str], Path], tmp_path: Path) -> None:
    """Networks and diffusions that are not supported are named, with two other ways."""
    path = unpacked("v")
    with pytest.raises(ConfigError, match=r"--objective pred_x0: the loss_weight in .* of pred_v"):
        described(path, objective="pred_x0")
    with pytest.raises(ConfigError, match=r"a DDPM has no --heads, --noise-schedule"):
        described(path, noise_schedule="linear", heads=2)
    with pytest.raises(ConfigError, match=r"--kind flow: .* whose networks are DDPMs"):
        described(path, kind="flow")
    content = torch.load(path, weights_only=True)
    ema, kept = content["ema"], "ema_model.model."
    faults: list[tuple[dict[str, Any], str]] = [
        ({f"{kept}init_conv.weight": torch.ones(4, 2, 7, 7)}, "self_condition: each step also"),
        ({f"{kept}final_conv.weight": torch.ones(2, 4, 1, 1)}, r"\(a learned variance\), which"),
        ({f"{kept}downs.0.2.mem_kv": None}, r"before its version 1\.9 \(October 2023\)"),
        ({"ema_model.betas": None}, "a diffusion without the betas of GaussianDiffusion"),
        ({f"{kept}init_conv.weight": torch.ones(4)}, "or a changed one"),
        ({f"{kept}time_mlp.1.weight": torch.ones(2, 4)}, "or a changed one"),
    ]
    for changes, words in faults:
        changed = {n: v for n, v in {**ema, **changes}.items() if v is not None}
        path = save({**content, "ema": changed}, tmp_path / "changed.pt")
        for refused in (lambda path: described(path), lambda path: _reported(path)):
            with pytest.raises(RefusedError, match=words) as error:
                refused(path)
            assert "--recording FILE" in str(error.value)
            assert "write a sampler class" in str(error.value)


def _reported(path: Path) -> None:
    raise RefusedError(inspect_checkpoint(path).to_text())


def test_tables_that_show_no_objective() -> None:
    """Where the signal is always stronger or far weaker than the noise, the author is asked."""
    share = torch.tensor([0.99, 0.9])
    tables = {"sqrt_alphas_cumprod": share.sqrt(), "betas": share, "loss_weight": torch.ones(2)}
    tables["sqrt_one_minus_alphas_cumprod"] = (1 - share).sqrt()
    schedule, objective = diffusion_of(tables)
    assert (schedule.beta_schedule, objective) == ("listed", None)
    assert np.allclose(schedule.alphas_bar(2), [1, 0.99, 0.9], atol=1e-7)
    with pytest.raises(ConfigError, match="falling list of numbers"):
        diffusion_of({name: table.flip(0) for name, table in tables.items()})


NET: dict[str, Any] = {"model_channels": 32, "channel_mult": (1, 2), "num_res_blocks": 1}
FILM: dict[str, Any] = {"use_scale_shift_norm": True}
OPENAI: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "guided": (
        {**FILM, "num_classes": 4, "resblock_updown": True, "learn_sigma": True},
        {"levels": 100, "noise_schedule": "linear", "respacing": "10", "head_channels": 16},
        ("rescale_timesteps = true", "rescale_timesteps = false"),
    ),
    "guided-sections": (
        {"learn_sigma": True},
        {"levels": 40, "noise_schedule": "cosine", "respacing": "2,5,3", "heads": 2},
        ("use_new_attention_order = false", "use_new_attention_order = true"),
    ),
    "guided-ddim": (
        {**FILM, "num_classes": 3, "attention_levels": (0,)},
        {"kind": "ddpm", "levels": 1000, "noise_schedule": "linear", "respacing": "ddim8"}
        | {"heads": 4, "labels": ("a", "b", "c")},
        (),
    ),
    "improved": (
        FILM,
        {"kind": "ddpm", "levels": 25, "noise_schedule": "cosine", "objective": "pred_x0"}
        | {"heads": 2},
        (),
    ),
    "onestep": ({}, {"kind": "consistency"}, ()),
    "multistep": ({}, {"kind": "consistency", "levels": 10, "respacing": "0,3,5,9"}, ()),
    "edm": ({}, {"kind": "edm", "levels": 6}, ()),
}


def of_openai(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write the weights with which the program drew, and return the options of `add`."""
    network, options, _ = OPENAI[name]
    flat = name in ("onestep", "multistep", "edm")
    if flat:
        network = {**FILM, "num_classes": 4, "resblock_updown": True}
        options = {**options, "head_channels": 16}
    config = UNetConfig(**{**NET, "attention_levels": (1,), **network})
    shapes = {name: tuple(v.shape) for name, v in UNet(config, 3).state_dict().items()}
    weights = {name: 0.4 * waves(shape, at) for at, (name, shape) in enumerate(shapes.items())}
    if flat:  # its 1 × 1 convolutions are of images
        convolutions = [n for n in weights if n.endswith(("qkv.weight", "proj_out.weight"))]
        weights |= {n: weights[n][..., None] for n in convolutions}
    return save(weights, folder / "ema_0.9999_1000.pt"), options


@pytest.mark.parametrize("name", OPENAI)
def test_openai(name: str, reference: Path, tmp_path: Path) -> None:
    """Labels, learned variances, respaced steps and objectives are sampled as the programs do."""
    path, options = of_openai(name, tmp_path)
    card, notes = described(path, **options)
    if changes := OPENAI[name][2]:
        text = card.to_toml().replace("rescale_timesteps = true", "rescale_timesteps = false")
        card = ModelCard.from_toml(text.replace(*changes))
    labels = (2, 1) if card.labels else ()
    wanted = json.loads((reference / "openai.json").read_text())[name]
    assert np.allclose(sampled(path, card, *labels).flatten()[::4], wanted, rtol=0, atol=1e-5)
    if card.labels:
        assert any(note.startswith(f"assumed: labels {card.labels.listed}") for note in notes)
    assert any("assumed: " in note for note in notes)


@pytest.mark.parametrize(
    ("name", "options", "condition"),
    [
        ("flow_matching", {"levels": 8}, Condition((2, 1))),
        (
            "flow_matching-guided",
            {"levels": 4, "sampler_name": "midpoint", "labels": ("a", "b", "c")},
            Condition((2, 1), guidance=1.5),
        ),
        ("flow_matching-free", {"levels": 4, "sampler_name": "heun"}, None),
    ],
)
def test_flow_matching(
    name: str,
    options: dict[str, Any],
    condition: Condition | None,
    reference: Path,
    tmp_path: Path,
) -> None:
    """Averages by index, labels with a row for none, guidance and solvers, as it draws."""
    config = UNetConfig(
        **{**NET, **FILM, "attention_levels": (1,), "num_classes": 4, "resblock_updown": True}
    )
    shapes = {name: tuple(v.shape) for name, v in UNet(config, 3).state_dict().items()}
    weights = {name: 0.4 * waves(shape, at) for at, (name, shape) in enumerate(shapes.items())}
    model = {f"model.{name}": value + 1 for name, value in weights.items()}
    model |= {f"shadow_params.{at}": value for at, value in enumerate(weights.values())}
    content = {"model": {**model, "num_updates": torch.tensor(7)}}
    # Its launcher for clusters leaves a path in the options.
    args = Namespace(dataset="imagenet", job_dir=Path("/shared/someone/experiments/%j"))
    path = save({**content, "epoch": 3, "args": args}, tmp_path / "checkpoint.pth")
    card, notes = described(path, heads=2, **options)
    assert card.labels is not None
    assert (len(card.labels.names), card.labels.optional) == (3, True)
    assert any("and a row for no label" in note for note in notes)
    process = replace(process_of(load_model(path, card)), condition=condition)
    *_, last = run(process, process.start(0, [0, 1]), None)
    wanted = json.loads((reference / "openai.json").read_text())[name]
    found = to_pixels(last.state).flatten()[::4]
    assert np.allclose(found, wanted, rtol=0, atol=1e-5)
    assert "program           flow_matching" in inspect_checkpoint(path).to_text()
    with pytest.raises(ConfigError, match=r"--kind ddpm: .* is of flow_matching, whose networks"):
        described(path, kind="ddpm")
    del content["model"]["shadow_params.9"]
    with pytest.raises(RefusedError, match="is not a named tensor"):
        inspect_checkpoint(save(content, path))


def test_openai_inspected(tmp_path: Path) -> None:
    """The program, the classes, a learned variance and the next command are named."""
    text = inspect_checkpoint(of_openai("guided", tmp_path)[0]).to_text()
    assert "program           improved-diffusion, guided-diffusion or related" in text
    assert "labels            4 classes" in text
    assert "a DDPM with a learned variance" in text
    weights = torch.load(of_openai("guided", tmp_path)[0], weights_only=True)
    del weights["time_embed.0.weight"]  # as a network that sitegen does not have
    text = inspect_checkpoint(save(weights, tmp_path / "other.pt")).to_text()
    assert "sitegen does not have this network" in text
    assert "sitegen add   " not in text
    path, _ = of_openai("onestep", tmp_path)
    text = inspect_checkpoint(path).to_text()
    assert "program           consistency_models" in text
    assert "--kind consistency, or --kind edm for its teacher" in text
    with pytest.raises(ConfigError, match=r"is of consistency_models: --kind consistency, or"):
        described(path)
    with pytest.raises(ConfigError, match=r"must rise from 0 to 39, the last of its 40 noise lev"):
        described(path, kind="consistency", respacing="0,22")


def test_labels_of_a_file(tmp_path: Path) -> None:
    """One name less than rows is for a row without a label; other numbers are refused."""
    path, options = of_openai("guided", tmp_path)
    card, _ = described(path, **options, labels=("a", "b", "c"))
    assert card.labels == LabelsConfig(("a", "b", "c"), optional=True)
    with pytest.raises(ConfigError, match="--labels: 2 names, for 4 rows of label_emb"):
        described(path, **options, labels=("a", "b"))
    bare = replace(card, labels=None, unet=replace(card.unet, num_classes=None))
    with pytest.raises(RefusedError, match=r"label_emb.weight is not in the network"):
        load_model(path, bare)


def test_spacings() -> None:
    """Levels are those of guided-diffusion's `space_timesteps`, plus 1, from the highest on."""
    assert respaced(10, "4") == (10, 7, 4, 1)
    assert respaced(10, "ddim5") == (9, 7, 5, 3, 1)
    assert respaced(11, "1,2") == (11, 7, 1)
    for text, words in (
        ("ddim6", "no stride gives so many of 10 levels"),
        ("20", "20 steps of 10 levels"),
        ("5,", 'must be as in 250, "10,15,20" or ddim25'),
    ):
        with pytest.raises(ConfigError, match=words):
            respaced(10, text)


def test_card_of_a_learned_variance() -> None:
    """A network with one, its kind and its `[diffusion]` must agree."""
    unet = UNetConfig(**NET, learn_sigma=True)
    learned = DiffusionConfig("cosine", variance="learned")
    for network, kind, table in (
        (unet, "ddpm", {"diffusion": DiffusionConfig("cosine")}),
        (UNetConfig(**NET), "ddpm", {"diffusion": learned}),
        (unet, "flow", {"diffusion": learned}),
    ):
        with pytest.raises(ConfigError, match=r"learn_sigma .* of a DDPM go together"):
            ModelCard(8, 3, 10, network, kind=kind, **table)


def test_card_of_lucidrains(unpacked: Callable[[str], Path]) -> None:
    """A mistake in its table is reported with the file and the key."""
    card = narrowed(described(unpacked("x0"))[0], Ddpm)
    assert isinstance(card.unet, LucidrainsUNet)
    text = card.to_toml().replace("attn_heads = [2, 2]", "attn_heads = [2]")
    with pytest.raises(ConfigError, match=r"model\.toml:\d+: unet.*must be as long as dim_mults"):
        ModelCard.from_toml(text)
    grouped = card.to_toml().replace("attn_heads", "resnet_block_groups = 8\nattn_heads")
    with pytest.raises(ConfigError, match=r"unet.*resnet_block_groups: must divide the widths"):
        ModelCard.from_toml(grouped)


def test_flow_of_a_network_that_predicts_images() -> None:
    """It is refused, since there is no velocity at the time of data."""
    diffusion = DiffusionConfig("cosine", prediction_type="sample")
    with pytest.raises(ConfigError, match="should be of a network that predicts noise or v"):
        ModelCard(8, 3, 10, UNetConfig(**NET), kind="flow", diffusion=diffusion)
