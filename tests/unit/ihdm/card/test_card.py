"""Model cards: presets are the published ones, round trips are exact, and mistakes are told."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.ihdm.card.card import (
    BlurRange,
    DiffusionConfig,
    FileRef,
    ModelCard,
    preset,
    presets,
    read_card,
)
from sitegen.ihdm.card.networks import UNetConfig
from sitegen.ihdm.card.schedule import BlurSchedule

_CARD = """
image_size = 28
channels = 1
levels = 100
training_noise_std = 0.01
sampling_noise_std = 0.0125

[blur]
sigma_min = 0.5
sigma_max = 20

[unet]
model_channels = 32
channel_mult = [1, 2, 2]
attention_levels = [2]
"""


_DDPM = """
kind = "ddpm"
image_size = 28
channels = 1
levels = 100

[unet]
model_channels = 32
channel_mult = [1, 2, 2]

[diffusion]
beta_schedule = "linear"
beta_start = 1e-4
beta_end = 0.02
"""


def _without(line: str) -> str:
    assert line in _CARD
    return _CARD.replace(line, "")


def _with(line: str, new: str) -> str:
    assert line in _CARD
    return _CARD.replace(line, new)


@pytest.mark.parametrize("name", presets())
def test_presets_are_the_published_configurations(name: str, reference: Path) -> None:
    """Every number of the published file is in the card, and the faults are mended and named."""
    config = json.loads((reference / "official_models.json").read_text())[name]["config"]
    card = preset(name)
    assert (card.kind, card.parameterization) == ("ihdm", "difference")
    assert (card.image_size, card.channels, card.levels) == (
        config["image_size"],
        config["num_channels"],
        config["K"],
    )
    assert card.blur == BlurRange(config["blur_sigma_min"], config["blur_sigma_max"])
    assert card.training_noise_std == (config["sigma"] or 0.01)
    for key in UNetConfig.__dataclass_fields__:
        wanted = config[key]
        assert getattr(card.unet, key) == (tuple(wanted) if isinstance(wanted, list) else wanted)
    assert any("level K" in fault for fault in card.known_faults)
    assert card.weights is None


def test_mended_faults() -> None:
    """afhq-64's schedule runs to 32 and lsun's σ is 0.01; both cards say so."""
    afhq, lsun = preset("afhq-64"), preset("lsun-church-128")
    assert afhq.schedule[200] == pytest.approx(32)
    assert any("last entry to 0" in fault for fault in afhq.known_faults)
    assert lsun.training_noise_std == 0.01
    assert any("lacks sigma" in fault for fault in lsun.known_faults)


def test_sampling_noise_of_presets() -> None:
    """δ as recovered from the paper's own clips."""
    found = {name: preset(name).sampling_noise_std for name in presets()}
    coarse = {"cifar10", "afhq-64", "afhq-256"}
    assert found == {name: 0.013 if name in coarse else 0.0125 for name in found}
    assert len(found) == 8


def test_unknown_preset() -> None:
    """The closest name is offered."""
    with pytest.raises(ConfigError, match='did you mean "cifar10"'):
        preset("cifar")


def test_defaults_and_conversions() -> None:
    """What a card leaves out has its published default; whole numbers become floats."""
    card = ModelCard.from_toml(_CARD)
    assert card.blur == BlurRange(0.5, 20.0)
    assert isinstance(card.blur, BlurRange)
    assert isinstance(card.blur.sigma_max, float)
    assert (card.kind, card.parameterization, card.weights) == ("ihdm", "difference", None)
    assert card.unet == UNetConfig(32, (1, 2, 2), attention_levels=(2,))
    assert card.shape == (1, 28, 28)


def test_explicit_schedule() -> None:
    """A schedule may be given level by level."""
    text = _with("sigma_min = 0.5\nsigma_max = 20", "schedule = [0, 1, 2.5]")
    card = ModelCard.from_toml(text.replace("levels = 100", "levels = 2"))
    assert card.schedule.sigmas == (0.0, 1.0, 2.5)
    assert ModelCard.from_toml(card.to_toml()) == card


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_VALUE = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_BLURS = st.floats(0.1, 5).flatmap(
    lambda low: st.floats(low * 1.01, 200).map(lambda high: BlurRange(low, high))
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_BLURS, st.dictionaries(_TEXT, _VALUE, max_size=3), st.lists(_TEXT, max_size=2))
def test_round_trip(blur: BlurRange, notes: dict[str, Any], faults: list[str]) -> None:
    """A card written and read is the same card, whatever its notes say."""
    card = replace(
        preset("mnist"),
        blur=blur,
        quality=notes,
        training=notes,
        known_faults=tuple(faults),
        weights=FileRef("weights.safetensors", "ab" * 32),
        prior=FileRef("prior.safetensors"),
    )
    text = card.to_toml()
    again = ModelCard.from_toml(text)
    assert again == card
    assert again.to_toml() == text


@pytest.mark.parametrize("name", presets())
def test_presets_round_trip(name: str) -> None:
    """Presets survive being written."""
    card = preset(name)
    assert ModelCard.from_toml(card.to_toml()) == card


def test_everything_wrong_is_told_at_once() -> None:
    """One error, a line each, in the file's order: line, key, value, rule, close match."""
    text = (
        'image_size = 30\nchanels = 1\nchannels = 2\nlevels = nan\nparameterization = "diference"\n'
        "[blur]\nsigma_min = 5\nsigma_max = 0.5\n"
        "[unet]\nmodel_channels = 40\nchannel_mult = [1, 2, 2]\nattention_levels = [3]\n"
        "num_heads = 7\ndrpout = 0.1\n[waits]\nfile = 'x'\n"
    )
    with pytest.raises(ConfigError) as caught:
        ModelCard.from_toml(text, "m/model.toml")
    lines = str(caught.value).splitlines()
    starts = [
        "m/model.toml:1: image_size = 30: must be divisible by 4",
        'm/model.toml:2: chanels: unknown key; did you mean "channels"?',
        "m/model.toml:3: channels = 2: must be 1 (grey) or 3 (colour)",
        "m/model.toml:4: levels = NaN: must be a whole number",
        'm/model.toml:5: parameterization = "diference": must be "difference" or',
        "m/model.toml:8: [blur] sigma_max = 0.5: must be at least sigma_min, 5",
        "m/model.toml:10: [unet] model_channels = 40: times channel_mult",
        "m/model.toml:12: [unet] attention_levels = [3]: must be different levels",
        "m/model.toml:13: [unet] num_heads = 7: must divide the channels",
        'm/model.toml:14: [unet] drpout: unknown key; did you mean "dropout"?',
        'm/model.toml:15: waits: unknown key; did you mean "weights"?',
    ]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


_WRONG = {
    "missing size": (_without("image_size = 28\n"), "image_size: missing"),
    "missing levels": (_without("levels = 100\n"), "levels: missing"),
    "missing blur": (_CARD.replace("[blur]", "[training]"), "blur: missing"),
    "missing width": (_without("model_channels = 32\n"), r"\[unet\] model_channels: missing"),
    "missing sampling noise": (_without("sampling_noise_std = 0.0125\n"), "1.25 times"),
    "odd size": (_with("28", "27"), "divisible by 4: with this channel_mult the U-Net halves it 2"),
    "text for number": (_with("100", '"100"'), 'levels = "100": must be a whole number'),
    "true for number": (_with("= 100", "= true"), "levels = true: must be a whole number"),
    "no levels": (_with("= 100", "= 0"), "levels = 0"),
    "infinite noise": (_with("0.0125", "inf"), "sampling_noise_std = Infinity: must be a finite"),
    "overflowing noise": (_with("0.0125", "1e400"), "sampling_noise_std"),
    "no noise": (
        _with("0.01\n", "0.0\n"),
        "training_noise_std = 0.0: must be a finite",
    ),
    "nan blur": (_with("= 20", "= nan"), r"\[blur\] sigma_max = NaN"),
    "endless blur": (_with("= 20", "= 1e300"), r"\[blur\] sigma_max = 1e\+300"),
    "one blur": (_with("= 20", "= 0.5"), "must be above sigma_min"),
    "both blurs": (_with("[blur]\n", "[blur]\nschedule = [0, 1]\n"), "not both"),
    "short schedule": (
        _with("sigma_min = 0.5\nsigma_max = 20", "schedule = [0, 1]"),
        "has 2 values; level 0 and 100 levels make 101",
    ),
    "falling schedule": (
        _with("sigma_min = 0.5\nsigma_max = 20", "schedule = [0, 1, 0]"),
        "level 2 has 0.0, not more than the 1.0 below it",
    ),
    "schedule of words": (
        _with("sigma_min = 0.5\nsigma_max = 20", 'schedule = [0, "x"]'),
        "must be a list of finite numbers",
    ),
    "twice a level": (_with("= [2]", "= [2, 2]"), "different levels"),
    "empty multipliers": (_with("[1, 2, 2]", "[]"), "channel_mult = .*: must be a list of 1 to 16"),
    "head width": (_with("= [2]", "= [2]\nnum_head_channels = 24"), "num_head_channels = 24"),
    "no head width": (_with("= [2]", "= [2]\nnum_head_channels = 0"), "-1 .then num_heads counts"),
    "dropout": (_with("= [2]", "= [2]\ndropout = 1"), "dropout = 1: must be a number from 0"),
    "flag": (_with("= [2]", "= [2]\nconv_resample = 1"), "must be true or false"),
    "kind": ('kind = "idhm"\n' + _CARD, 'did you mean "ihdm"'),
    "path": (_CARD + '[weights]\nfile = "../x"', "inside the card's own folder"),
    "absolute path": (_CARD + '[prior]\nfile = "/etc/passwd"', "inside the card's own folder"),
    "digest": (_CARD + '[weights]\nfile = "x"\nsha256 = "abc"', "64 hexadecimal digits"),
    "no file": (_CARD + "[weights]\n", r"\[weights\] file: missing"),
    "unet is a number": (
        _CARD[: _CARD.index("[unet]")].replace("[blur]", "unet = 3\n[blur]"),
        "table",
    ),
    "faults": ("known_faults = [1]\n" + _CARD, "known_faults = .*: must be a list of texts"),
    "ddpm with blur": ('kind = "ddpm"\n' + _CARD, "blur: a DDPM has none"),
    "ddpm with noise": ('kind = "ddpm"\n' + _CARD, "training_noise_std: a DDPM has none"),
    "ddpm without noise": ('kind = "ddpm"\n' + _CARD, "diffusion: missing"),
    "blur with noise": (_CARD + "[diffusion]\n", 'only a card of kind "ddpm" has that'),
    "example": (_CARD + '[example]\nfile = "../x.png"\n', r"\[example\] file = .*: must be a path"),
    "beta schedule": (_DDPM.replace("linear", "linea"), 'did you mean "linear"'),
    "no beta": (_DDPM.replace("beta_end = 0.02", ""), r"\[diffusion\] beta_end: missing"),
    "betas": (_DDPM.replace("0.02", "1.5"), "beta_end = 1.5: must be a number above 0 and below"),
    "beta order": (_DDPM.replace("1e-4", "0.5"), r"must be at least beta_start, 0\.5"),
    "cosine": (_DDPM.replace("linear", "cosine"), "beta_start: the cosine schedule has none"),
    "variance": (_DDPM + 'variance = "small"', "variance = .*: must be"),
    "clip": (_DDPM + "clip_sample = 1", "clip_sample = 1: must be true or false"),
    "diffusion": (_DDPM + "prediction = 1", r"\[diffusion\] prediction: unknown key"),
}


@pytest.mark.parametrize(("text", "told"), _WRONG.values(), ids=_WRONG.keys())
def test_wrong_values(text: str, told: str) -> None:
    """Each is refused with its place, and with what it must be."""
    with pytest.raises(ConfigError, match=told) as caught:
        ModelCard.from_toml(text, "here.toml")
    assert str(caught.value).startswith("here.toml")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("levels = = 3", "here.toml:1:10: this is not TOML"),
        ("levels = 1\nlevels = 2", "here.toml:2"),
        ("levels = 1 \0", "here.toml:1"),
        ("a = " + "[" * 5000, "here.toml"),
        ("", "here.toml: image_size: missing"),
    ],
    ids=["syntax", "duplicate", "nul", "deep", "empty"],
)
def test_not_toml(text: str, place: str) -> None:
    """What is not TOML is told with line and column."""
    with pytest.raises(ConfigError) as caught:
        ModelCard.from_toml(text, "here.toml")
    assert str(caught.value).startswith(place)


def test_values_in_python_are_checked_too() -> None:
    """Cards and their parts made in code obey the same rules."""
    with pytest.raises(ConfigError, match="model_channels = 40"):
        UNetConfig(40, (1,))
    with pytest.raises(ConfigError, match="sigma_max"):
        BlurRange(2, 1)
    with pytest.raises(ConfigError, match="blur: missing"):
        ModelCard(28, 1, 8, UNetConfig(32, (1, 1)))
    with pytest.raises(ConfigError, match="64 hexadecimal"):
        FileRef("weights.safetensors", "A" * 64)
    with pytest.raises(ConfigError, match="divisible by 4"):
        replace(preset("mnist"), image_size=30)


def test_narrow_base_with_wide_multipliers() -> None:
    """Only what the norms see must be a multiple of 32."""
    assert UNetConfig(16, (2, 4)).heads(64) == 1
    assert UNetConfig(64, (1,), num_head_channels=16).heads(64) == 4


def test_digest_counts_what_decides_pictures() -> None:
    """Notes and file names do not change the digest; everything else does."""
    card = replace(preset("mnist"), weights=FileRef("w.safetensors", "a" * 64))
    same = [
        replace(card, quality={"fid": 3}),
        replace(card, training={}),
        replace(card, known_faults=()),
        replace(card, weights=FileRef("other.safetensors", "a" * 64)),
        ModelCard.from_toml(card.to_toml()),
    ]
    other = [
        replace(card, sampling_noise_std=0.013),
        replace(card, training_noise_std=0.02),
        replace(card, levels=99),
        replace(card, blur=BlurRange(0.5, 21)),
        replace(card, blur=BlurSchedule.explicit(range(101))),
        replace(card, unet=replace(card.unet, use_new_attention_order=False)),
        replace(card, parameterization="preconditioned"),
        replace(card, weights=FileRef("w.safetensors", "b" * 64)),
        replace(card, prior=FileRef("prior.safetensors", "a" * 64)),
    ]
    assert {item.digest for item in same} == {card.digest}
    assert len({item.digest for item in (card, *other)}) == len(other) + 1
    assert hash(same[0]) == hash(card)


def test_ddpm() -> None:
    """A DDPM has a card as well: a noise schedule, but no blur, and nothing that goes with it."""
    card = ModelCard.from_toml(_DDPM)
    assert card.blur is None
    assert card.diffusion == DiffusionConfig("linear", 1e-4, 0.02, "fixed_small", True)
    for diffusion in (card.diffusion, DiffusionConfig("cosine", variance="fixed_large")):
        other = replace(card, diffusion=diffusion)
        assert ModelCard.from_toml(other.to_toml()) == other
        assert not {"training_noise_std", "parameterization"} & set(tomllib.loads(other.to_toml()))
    assert replace(card, diffusion=DiffusionConfig("cosine")).digest != card.digest
    with pytest.raises(ConfigError, match="sampling_noise_std: a DDPM has none"):
        replace(card, sampling_noise_std=0.5)
    with pytest.raises(ConfigError, match="no blur schedule"):
        _ = card.schedule


def test_example_is_no_part_of_a_sample() -> None:
    """A card may name a picture; that leaves its digest alone, and is written and read again."""
    card = ModelCard.from_toml(_CARD + '[example]\nfile = "one.png"\n')
    assert card.example == FileRef("one.png")
    assert card.digest == ModelCard.from_toml(_CARD).digest
    assert ModelCard.from_toml(card.to_toml()) == card


def test_digests_stay() -> None:
    """What is kept under a card's digest is found again after an update."""
    assert preset("mnist-small").digest == (
        "26bd8272eb62bde2ac00d8c59202848f96f797ce6e32f806cb03cf68a290f911"
    )


def test_read_card(tmp_path: Path) -> None:
    """From a file or its folder; a byte order mark and CRLF do not matter."""
    path = tmp_path / "model.toml"
    path.write_bytes(b"\xef\xbb\xbf" + _CARD.replace("\n", "\r\n").encode())
    assert (
        read_card(path) == read_card(tmp_path) == read_card(str(path)) == ModelCard.from_toml(_CARD)
    )
    path.write_text(_CARD.replace("28", "27"))
    with pytest.raises(ConfigError, match=r"model.toml:2: image_size = 27"):
        read_card(path)


def test_unreadable_cards(tmp_path: Path) -> None:
    """Missing, no text, far too large: refused, and the closest name is offered."""
    (tmp_path / "model.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RefusedError, match=r"did you mean model\.toml"):
        read_card(tmp_path / "modle.toml")
    with pytest.raises(RefusedError, match="not UTF-8"):
        read_card(tmp_path)
    (tmp_path / "model.toml").write_bytes(b" " * (2 << 20))
    with pytest.raises(RefusedError, match="too large"):
        read_card(tmp_path)
    with pytest.raises(RefusedError, match="there is no such model card"):
        read_card(tmp_path / "nowhere" / "model.toml")


def test_cards_need_no_torch() -> None:
    """Presets can be listed and read where torch cannot be imported."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import sitegen.ihdm\n"
        "from sitegen.ihdm import BlurSchedule, ModelCard\n"
        "from sitegen.ihdm.card.card import preset, presets\n"
        "assert [preset(name).to_toml() for name in presets()]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
