"""Models of other programs are loaded as they are: IHDM-spectral, guided-diffusion, diffusers."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from sitegen.config.schema import load_site
from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.generative.card.card import BlurSchedule, ModelCard
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.training.recipe import as_ddpm
from sitegen.models.new_card import described_model
from sitegen.models.options import AddOptions
from sitegen.models.registry import model_source, site_models
from tests.support.making import closeness, load_heat, random_unet, save, small_card

SIGMAS = [0.0, 0.4, 0.9, 2.5, 3.0, 7.25]
CONFIG = {
    "data": {"image_size": 8, "num_channels": 1, "dataset": "brains"},
    "model": {
        "K": 200,
        "sigma": 0.02,
        "model_channels": 32,
        "channel_mult": [1, 1],
        "num_res_blocks": 1,
        "attention_levels": [1],
        "blur_sigma_max": 96,
    },
}
SPECTRAL = small_card(
    channel_mult=(1, 1),
    attention_levels=(1,),
    levels=5,
    blur=BlurSchedule(tuple(SIGMAS)),
    training_noise_std=0.02,
    sampling_noise_std=0.025,
)


def spectral(folder: Path, values: Any = SIGMAS, config: Any = CONFIG) -> Path:
    """A checkpoint of IHDM-spectral, with its configuration beside it."""
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    value = {
        "step": 7000,
        "ema_state_dict": random_unet(SPECTRAL).state_dict(),
        "schedule": {"name": "fitted", "sha256": "0" * 64, "values": values},
        "run_id": "a",
        "config_sha256": "b",
    }
    return save(value, folder / "ema_iter_007000.pt")


@pytest.mark.parametrize("form", [list, tuple, lambda v: torch.tensor(v, dtype=torch.float64)])
def test_spectral(form: Callable[[list[float]], Any], tmp_path: Path) -> None:
    """Its blur is the one in the file, whatever its configuration says; the averages are used."""
    path = spectral(tmp_path, form(SIGMAS))
    model = load_heat(path)
    assert model.card == SPECTRAL
    assert model.card.schedule.sigmas == tuple(SIGMAS)
    source = model_source("brains", path)
    assert (source.card, source.weights, source.prior) == (SPECTRAL, path, None)
    found = model.unet.state_dict()
    assert all(torch.equal(found[k], v) for k, v in random_unet(SPECTRAL).state_dict().items())
    info = inspect_checkpoint(path)
    assert (info.layout, info.step, info.schedule_levels) == ("spectral", 7000, 5)
    assert info.ema_tensors == info.tensors
    assert "5 levels, in the file" in info.to_text()


def test_spectral_steps(tmp_path: Path) -> None:
    """Its file decides the levels: `add` refuses others, which it ignored."""
    options = AddOptions(spectral(tmp_path), data=tmp_path, levels=3, sampler_name="ddim")
    with pytest.raises(ConfigError, match="all of it; leave out --levels, --sampler-name"):
        described_model(options)


@pytest.mark.parametrize(
    ("values", "config", "told"),
    [
        (SIGMAS, None, "put its config.json next to it"),
        (SIGMAS, {"image_size": 8}, "lacks num_channels, model_channels, channel_mult"),
        (SIGMAS, [], "holds no table"),
        (SIGMAS, {**CONFIG, "image_size": "8"}, r"config\.json: image_size = "),
        (SIGMAS[::-1], CONFIG, "numbers that rise from 0"),
        ("log", CONFIG, "no list of values"),
        (torch.zeros(2, 3), CONFIG, "no list of values"),
    ],
    ids=range(7),
)
def test_spectral_refusals(values: Any, config: Any, told: str, tmp_path: Path) -> None:
    """Without its configuration, or with a schedule that is none, it is refused in words."""
    with pytest.raises((ConfigError, RefusedError), match=told):
        load_model(spectral(tmp_path, values, config))


@pytest.mark.parametrize("learned", [False, True])
def test_guided_diffusion(learned: bool, tmp_path: Path) -> None:
    """A bare state dict is a DDPM with a card that says so; a learned variance is left out."""
    card = as_ddpm(small_card(use_new_attention_order=False, num_heads=2))
    weights = random_unet(card).state_dict()
    saved = dict(weights)
    if learned:
        for name in ("out.2.weight", "out.2.bias"):
            saved[name] = torch.cat([weights[name], torch.randn(weights[name].shape)])
    path = save(saved, tmp_path / "ema_0.9999_250000.pt")
    model = load_model(path, card)
    assert isinstance(model.card, Ddpm)
    assert all(torch.equal(model.unet.state_dict()[k], v) for k, v in weights.items())
    info = inspect_checkpoint(path)
    assert (info.layout, info.learned_variance) == ("state dict", learned)
    assert info.architecture is not None
    assert info.architecture.channels == 1
    assert ("learned variance" in info.to_text()) == learned
    if learned:
        with pytest.raises(RefusedError, match=r"out\.2\.weight is 2×32×3×3"):
            load_model(path, small_card(num_heads=2))


def test_cards_of_foreign_models(tmp_path: Path) -> None:
    """What is no model, or has a card with another blur, is refused; `site.toml` needs none."""
    card = as_ddpm(small_card())
    weights = random_unet(card).state_dict()
    optimizer = torch.optim.AdamW(random_unet(card).parameters()).state_dict()
    for content, told in (
        (optimizer, r"the state of an optimizer.*give the model\*\.pt"),
        ({**weights, "label_emb.weight": torch.zeros(10, 128)}, "label_emb.weight is not in the"),
    ):
        with pytest.raises(RefusedError, match=told):
            load_model(save(content, tmp_path / "x.pt"), card)
    with pytest.raises(ConfigError, match="give its card"):
        load_model(save(weights, tmp_path / "model250000.pt"))
    path = spectral(tmp_path)
    assert load_heat(path, SPECTRAL).card == SPECTRAL
    other = replace(SPECTRAL, blur=BlurSchedule((*SIGMAS[:-1], 8.0)))
    with pytest.raises(RefusedError, match=r"a blur schedule of 5 levels up to 7\.25 pixels"):
        load_model(path, other)
    saved(tmp_path / "theirs")
    (tmp_path / "brains").mkdir()
    spectral(tmp_path / "brains")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text("Words.\n")
    (tmp_path / "site.toml").write_text(
        'title = "A title"\n[models.theirs]\npath = "theirs"\n'
        '[models.brains]\npath = "brains/ema_iter_007000.pt"\n'
    )
    models = site_models(load_site(tmp_path / "site.toml"))
    assert models["theirs"].card.kind == "ddpm"
    assert models["brains"].card == SPECTRAL
    assert models["theirs"].missing_file is None


def network(seed: int = 0, **changes: Any) -> Any:
    """A small network of diffusers with random weights."""
    kind: Any = UNet2DModel
    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 1,
        "block_out_channels": (16, 32),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 8,
        "attention_head_dim": None,
    }
    return kind(**{**options, **changes}).eval()


def scheduler(**changes: Any) -> Any:
    """A scheduler of diffusers with ten levels."""
    kind: Any = DDPMScheduler
    return kind(**{"num_train_timesteps": 10, **changes})


def saved(folder: Path, *, old: bool = False, **changes: Any) -> Any:
    """Save a model as diffusers does; gives its network."""
    with torch.random.fork_rng(devices=[]):
        unet = network()
    if old:
        unet.save_pretrained(folder)
        scheduler(**changes).save_pretrained(folder)
    else:
        kind: Any = DDPMPipeline
        kind(unet, scheduler(**changes)).save_pretrained(folder)
    return unet


@pytest.mark.parametrize("old", [False, True])
def test_diffusers(old: bool, tmp_path: Path) -> None:
    """A saved pipeline answers here as there, in both layouts; steps are in `test_ddpm.py`."""
    changes = {"beta_schedule": "squaredcos_cap_v2", "variance_type": "fixed_large"}
    unet = saved(tmp_path, old=old, **changes)
    model = load_model(tmp_path)
    assert isinstance(model.card, Ddpm)
    assert not model.training
    card = model.card
    assert card.diffusion == DiffusionConfig(
        "cosine", variance="fixed_large", single_precision=True
    )
    assert (card.kind, card.levels, card.shape) == ("ddpm", 10, (1, 8, 8))
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert all(closeness(model(x, k), unet(x, k - 1).sample) < 1e-5 for k in range(1, 11))


def test_diffusers_velocity(tmp_path: Path) -> None:
    """The image in a state is what diffusers' scheduler finds where a network answers v."""
    unet = saved(tmp_path, prediction_type="v_prediction")
    model, theirs = load_model(tmp_path), scheduler(prediction_type="v_prediction")
    assert isinstance(model.card, Ddpm)
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        for timestep in range(10):
            image = theirs.step(unet(x, timestep).sample, timestep, x).pred_original_sample
            final = model.card.move(model, timestep + 1, timestep, x, lambda _: x).final
            assert final is not None
            assert closeness(final(), image) < 1e-5


def test_diffusers_has_a_card(tmp_path: Path) -> None:
    """It can be written and read; its digest is of the network, the noise and the weights."""
    saved(tmp_path / "a")
    source = model_source("theirs", tmp_path / "a")
    card = source.card
    assert source.weights == tmp_path / "a/unet/diffusion_pytorch_model.safetensors"
    assert card.weights is not None
    assert card.weights.sha256 == source.weights_sha256
    noise = DiffusionConfig("linear", 1e-4, 0.02, single_precision=True)
    assert (card.diffusion, source.prior) == (noise, None)
    assert ModelCard.from_toml(card.to_toml()) == card
    written = tmp_path / "theirs.toml"
    written.write_text(card.to_toml())
    assert isinstance(load_model(source.weights, written).card, Ddpm)
    path = tmp_path / "a/unet/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "norm_eps": 0.1}))
    assert model_source("theirs", tmp_path / "a").card.digest != card.digest
    path.write_text(json.dumps({**config, "_diffusers_version": "9.9"}))
    assert model_source("theirs", tmp_path / "a").card.digest == card.digest
    small = small_card()
    with pytest.raises(ConfigError, match="only for a model that starts from noise"):
        replace(small, unet=card.unet)
    info = inspect_checkpoint(tmp_path / "a")
    assert (info.layout, info.format, info.architecture) == ("diffusers", "safetensors", None)


def test_diffusers_old_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first models' names load, too; without diffusers the card is read, and what to get."""
    unet = saved(tmp_path, old=True)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    from safetensors.torch import load_file, save_file

    renames = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(path)
    for new, old in renames.items():
        tensors = {name.replace(f".{new}.", f".{old}."): t for name, t in tensors.items()}
    assert any(".query." in name for name in tensors)
    save_file(tensors, path)
    x = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        assert closeness(load_model(tmp_path)(x, 4), unet(x, 3).sample) < 1e-5
    saved(tmp_path)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(PlatformError, match=r"here: pip install diffusers$"):
        load_model(tmp_path)
    assert model_source("theirs", tmp_path).card.levels == 10


def _edit(name: str, **changes: Any) -> Callable[[Path], object]:
    def _change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return _change


def _as_pickle(folder: Path) -> None:
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, folder / "unet/diffusion_pytorch_model.bin")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: (f / "modeling_ddpm.py").write_text("1/0"), "is never run"),
        (_edit("model_index.json", unet=["modeling_ddpm", "DDPM"]), "no code of others is run"),
        (_as_pickle, "as a pickle .*safe_serialization=True"),
        (_edit("unet/config.json", _class_name="UNet2DConditionModel"), "_class_name = "),
        (_edit("unet/config.json", auto_map={"x": "y"}), "auto_map"),
        (_edit("unet/config.json", num_class_embeds=10), "num_class_embeds = 10"),
        (_edit("unet/config.json", out_channels=2), "in_channels and out_channels differ"),
        (_edit("unet/config.json", block_out_channels=[32, 32]), "do not fit the card's network"),
        (_edit("unet/config.json", down_block_types=["x", "y"]), "rejects this network"),
        (_edit("unet/config.json", act_fn=[[8]]), "rejects this network"),
        (_edit("unet/config.json", block_out_channels=True), "must be whole numbers"),
        (_edit("unet/config.json", sample_size=[8, 9]), r"config\.json: image_size = "),
        (_edit("scheduler/scheduler_config.json", beta_schedule="sigmoid"), "supported are linear"),
        (
            _edit("scheduler/scheduler_config.json", prediction_type="noise"),
            "supported are epsilon, v_prediction, sample",
        ),
        (_edit("scheduler/scheduler_config.json", variance_type="learned"), "supported are fixed"),
        (
            _edit("scheduler/scheduler_config.json", _class_name="KarrasVe"),
            "does not take the steps of KarrasVe",
        ),
        (lambda f: (f / "scheduler/scheduler_config.json").unlink(), "has no scheduler_config"),
        (lambda f: (f / "unet/config.json").write_text("{"), "not JSON"),
    ],
    ids=range(18),
)
def test_diffusers_refusals(change: Callable[[Path], object], told: str, tmp_path: Path) -> None:
    """Code, pickles, and models that sample in another way are refused; nothing is run."""
    saved(tmp_path)
    change(tmp_path)
    with pytest.raises((RefusedError, ConfigError), match=told):
        load_model(tmp_path)
