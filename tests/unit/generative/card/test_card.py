"""Model cards: presets are the published ones, round trips are exact, and mistakes are told."""

import json
import math
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import (
    BlurRange,
    BlurSchedule,
    FileRef,
    ModelCard,
    preset,
    presets,
    read_card,
)
from sitegen.generative.card.networks import Band, CosineConfig, UNetConfig
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig


def read(text: str, where: str = "model.toml") -> Any:
    """The card of a text, whatever its kind."""
    return ModelCard.from_toml(text, where)


def published(name: str) -> Any:
    """The card of a preset."""
    return preset(name)


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


def _with(line: str, new: str) -> str:
    assert line in _CARD
    return _CARD.replace(line, new)


@pytest.mark.parametrize("name", presets())
def test_presets_are_the_published_configurations(name: str, reference: Path) -> None:
    """Every number of the published file is in the card, and the faults are mended and named."""
    config = json.loads((reference / "official_models.json").read_text())[name]["config"]
    card = published(name)
    assert (card.kind, card.parameterization) == ("ihdm", "difference")
    assert (card.image_size, card.channels, card.levels) == (
        config["image_size"],
        config["num_channels"],
        config["K"],
    )
    assert card.blur == BlurRange(config["blur_sigma_min"], config["blur_sigma_max"])
    assert card.training_noise_std == (config["sigma"] or 0.01)
    assert (card.finest.norm_groups, card.finest.patch_size) == (None, None)  # not published
    ours = {"norm_groups", "patch_size", "num_classes", "learn_sigma"}
    for key in UNetConfig.__dataclass_fields__.keys() - ours:
        wanted = config[key]
        assert getattr(card.finest, key) == (tuple(wanted) if isinstance(wanted, list) else wanted)
    assert any("level K" in fault for fault in card.known_faults)
    assert card.weights is None


def test_presets() -> None:
    """Presets tell mended faults and δ, near names are offered; a DDPM has a card as well."""
    afhq, lsun = published("afhq-64"), published("lsun-church-128")
    assert afhq.schedule[200] == pytest.approx(32)
    assert afhq.schedule is afhq.schedule  # computed once
    assert any("last entry to 0" in fault for fault in afhq.known_faults)
    assert lsun.training_noise_std == 0.01
    assert any("lacks sigma" in fault for fault in lsun.known_faults)
    found = {name: published(name).sampling_noise_std for name in presets()}
    coarse = {"cifar10", "afhq-64", "afhq-256"}
    assert found == {name: 0.013 if name in coarse else 0.0125 for name in found}
    assert len(found) == 8
    with pytest.raises(ConfigError, match='did you mean "cifar10"'):
        published("cifar")
    assert UNetConfig(16, (2, 4)).heads(64) == 1
    assert UNetConfig(64, (1,), num_head_channels=16).heads(64) == 4
    card = read(_DDPM)
    assert card.diffusion == DiffusionConfig("linear", 1e-4, 0.02, "fixed_small", True)
    for diffusion in (card.diffusion, DiffusionConfig("cosine", variance="fixed_large")):
        other = replace(card, diffusion=diffusion)
        assert read(other.to_toml()) == other
        assert not {"training_noise_std", "parameterization"} & set(tomllib.loads(other.to_toml()))
    assert replace(card, diffusion=DiffusionConfig("cosine")).digest != card.digest
    with pytest.raises(ConfigError, match="sampling_noise_std: unknown key"):
        replace(card, sampling_noise_std=0.5)
    with pytest.raises(ConfigError, match="no blur schedule"):
        _ = card.schedule


def test_cascade() -> None:
    """Bands and visited levels go round."""
    card = read(_CASCADE)
    assert read(card.to_toml()) == card
    assert card.networks == card.bands
    assert [band.lowest_level for band in card.bands] == [1, 56]
    assert card.bands[1].cosines == CosineConfig(128, 7, 96)
    assert (card.unet, card.finest) == (None, card.bands[0].unet)
    assert (card.visited_levels, card.steps) == ((100, 60, 56, 20, 7, 0), 5)
    changes: list[dict[str, Any]] = [
        {"sampling": SamplingConfig((100, 60))},
        {"sampling": None},
        {"bands": card.bands[:1]},
        {"bands": (card.bands[0], replace(card.bands[1], lowest_level=57))},
    ]
    assert len({card.digest, *(replace(card, **change).digest for change in changes)}) == 5
    plain = read(_CARD)
    assert (plain.networks, plain.finest) == ((Band(1, unet=plain.unet),), plain.unet)
    assert plain.digest == "86fdb851ca8e79cf7da7b2de32f8ebd3c423a141e074e1455ec78e8e7e7f61ed"


def test_defaults_and_conversions(tmp_path: Path) -> None:
    """What is left out has its default; a file or folder is read, and what is odd refused."""
    card = read(_CARD)
    assert card.blur == BlurRange(0.5, 20.0)
    assert isinstance(card.blur, BlurRange)
    assert isinstance(card.blur.sigma_max, float)
    assert (card.kind, card.parameterization, card.weights) == ("ihdm", "difference", None)
    assert card.unet == UNetConfig(32, (1, 2, 2), attention_levels=(2,))
    assert card.shape == (1, 28, 28)
    text = _with("sigma_min = 0.5\nsigma_max = 20", "schedule = [0, 1, 2.5]")
    card = read(text.replace("levels = 100", "levels = 2"))
    assert card.schedule.sigmas == (0.0, 1.0, 2.5)
    assert read(card.to_toml()) == card
    card = read(_CARD + '[example]\nfile = "one.png"\n')
    assert card.example == FileRef("one.png")
    assert card.digest == read(_CARD).digest
    assert read(card.to_toml()) == card
    path = tmp_path / "model.toml"
    path.write_bytes(b"\xef\xbb\xbf" + _CARD.replace("\n", "\r\n").encode())
    assert read_card(path) == read_card(tmp_path) == read_card(str(path)) == read(_CARD)
    path.write_text(_CARD.replace("28", "27"))
    with pytest.raises(ConfigError, match=r"model.toml:12: unet: image_size = 27: "):
        read_card(path)
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


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_VALUE = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_BLURS = st.floats(0.1, 5).flatmap(
    lambda low: st.floats(low * 1.01, 200).map(lambda high: BlurRange(low, high))
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(_BLURS, st.dictionaries(_TEXT, _VALUE, max_size=3), st.lists(_TEXT, max_size=2))
def test_round_trip(blur: BlurRange, notes: dict[str, Any], faults: list[str]) -> None:
    """A card written and read is the same card, whatever its notes say."""
    card = replace(
        published("mnist"),
        blur=blur,
        quality=notes,
        training=notes,
        known_faults=tuple(faults),
        weights=FileRef("weights.safetensors", "ab" * 32),
        prior=FileRef("prior.safetensors"),
    )
    text = card.to_toml()
    again = read(text)
    assert again == card
    assert again.to_toml() == text


def told(text: str, where: str = "here.toml") -> str:
    """What is said of a card that is wrong."""
    with pytest.raises(ConfigError) as caught:
        read(text, where)
    return str(caught.value)


def test_everything_wrong_is_told_at_once() -> None:
    """A line for each fault or lack, in the file's order: line, key, value, rule, close match."""
    text = (
        'image_size = 30\nchanels = 1\nchannels = 2\nlevels = nan\nparameterization = "diference"\n'
        "[blur]\nsigma_min = 5\nsigma_max = 0.5\n"
        "[unet]\nmodel_channels = 40\nchannel_mult = [1, 2, 2]\nattention_levels = [3]\n"
        "num_heads = 7\ndrpout = 0.1\n[waits]\nfile = 'x'\n"
    )
    assert told(text, "m") == (
        'm:2: chanels: unknown key, did you mean "channels"?\n'
        "m:3: channels = 2: should be 1 (grey) or 3 (colour)\n"
        "m:4: levels = nan: Input should be a valid integer\n"
        "m:5: parameterization = \"diference\": Input should be 'difference' or "
        "'preconditioned', did you mean \"difference\"?\n"
        "m:8: blur.sigma_max = 0.5: must be above sigma_min, 5\n"
        'm:14: unet.drpout: unknown key, did you mean "dropout"?\n'
        'm:15: waits: unknown key, did you mean "weights"?'
    )
    assert told("[weights]\n") == (
        "here.toml: image_size is missing: the larger side of its images, in pixels\n"
        "here.toml: channels is missing: 1 for grey images, 3 for colour\n"
        "here.toml: levels is missing: K, the steps from the flattest state to the sharp one\n"
        "here.toml: blur is missing: the blur of the levels, sigma_min and sigma_max\n"
        "here.toml: bands = []: unet is missing: the network, a table; or a cascade, as [[bands]]\n"
        "here.toml:1: weights.file is missing: the path from the card's folder"
    )


def test_what_does_not_fit_is_told() -> None:
    """Of values that are valid one by one, at the line of the value or of its table."""
    text = (
        "image_size = 30\nchannels = 1\nlevels = 3\n[blur]\nsigma_min = 5\nsigma_max = 0.5\n"
        "[unet]\nmodel_channels = 40\nchannel_mult = [1, 2, 2]\n"
    )
    assert told(text, "m") == (
        "m:6: blur.sigma_max = 0.5: must be above sigma_min, 5\n"
        "m:7: unet: model_channels = 40: times channel_mult must give multiples of 32 (norms have "
        "32 groups), not [40, 80, 80]"
    )
    assert told("image_size = 8\nchannels = 1\nlevels = 3\n") == (
        "here.toml: blur is missing: the blur of the levels, sigma_min and sigma_max\n"
        "here.toml: bands = []: unet is missing: the network, a table; or a cascade, as [[bands]]"
    )


_RANGE = "sigma_min = 0.5\nsigma_max = 20"
_NO_UNET = _CARD[: _CARD.index("[unet]")].replace("[blur]", "unet = 3\n[blur]")
_PLUS = 'parameterization = "preconditioned"\n' + _CARD
_BANDS = f"{_PLUS[: _PLUS.index('[unet]')]}\n"
_FINE = """[[bands]]
lowest_level = 1
[bands.unet]
model_channels = 32
channel_mult = [1, 2, 2]

"""
_COSINES = """[[bands]]
lowest_level = 56
side = 10
[bands.cosines]
width = 128
blocks = 7
features = 96

"""
_CASCADE = _BANDS + _FINE + _COSINES + "[sampling]\nlevels = [100, 60, 56, 20, 7]\n"


def _but(line: str, new: str) -> str:
    assert line in _CASCADE
    return _CASCADE.replace(line, new, 1)


_BOTH = "[unet]\nnum_heads = 1\ndiffusers = '{}'\n"
_WRONG = [
    (_with("28", "27"), ":12: unet: image_size = 27"),
    (_with("100", '"100"'), ':4: levels = "100"'),
    (_with("= 100", "= true"), ":4: levels = true"),
    (_with("= 100", "= 0"), ":4: levels = 0"),
    (_with("0.0125", "inf"), ":6: sampling_noise_std = inf"),
    (_with("0.0125", "1e400"), ":6: sampling_noise_std = inf"),
    (_with("0.01\n", "0.0\n"), ":5: training_noise_std = 0.0"),
    (_with("= 20", "= nan"), ":10: blur.sigma_max = nan"),
    (_with("= 20", "= 1e300"), ":10: blur.sigma_max = 1e+300"),
    (_with("= 20", "= 0.5"), ":10: blur.sigma_max = 0.5: must be above sigma_min"),
    (_with("[blur]\n", "[blur]\nschedule = [0, 1]\n"), ":8: blur: give sigma_min and sigma_max or"),
    (_with(_RANGE, "schedule = [0, 1]"), ":8: blur: schedule has 2 values"),
    (
        _with(_RANGE, "schedule = [0, 1, 0]"),
        ":9: blur.schedule = [0, 1, 0]: should be numbers that rise",
    ),
    (_with(_RANGE, 'schedule = [0, "x"]'), ':9: blur.schedule[1] = "x"'),
    (_with("= [2]", "= [2, 2]"), ":12: unet: attention_levels = [2, 2]"),
    (_with("[1, 2, 2]", "[]"), ":14: unet.channel_mult = []"),
    (_with("[1, 2, 2]", "[1, 0, 2]"), ":14: unet.channel_mult[1] = 0"),
    (_with("= [2]", "= [2]\nnum_head_channels = 24"), ":12: unet: num_head_channels = 24"),
    (_with("= [2]", "= [2]\nnum_head_channels = 0"), ":16: unet.num_head_channels = 0"),
    (_with("= [2]", "= [2]\ndropout = 1"), ":16: unet.dropout = 1"),
    (
        _with("= [2]", "= [2]\nconv_resample = 1"),
        ":16: unet.conv_resample = 1: Input should be a valid boolean",
    ),
    (
        'kind = "idhm"\n' + _CARD,
        ':1: kind = "idhm": unknown kind, did you mean "ihdm"?',
    ),
    (_CARD + '[weights]\nfile = "../x"', ':17: weights.file = "../x"'),
    (_CARD + '[prior]\nfile = "/etc/passwd"', ':17: prior.file = "/etc/passwd"'),
    (_CARD + '[example]\nfile = "../x.png"\n', ':17: example.file = "../x.png"'),
    (_CARD + '[weights]\nfile = "x"\nsha256 = "abc"', ':18: weights.sha256 = "abc"'),
    (_NO_UNET, ":8: unet = 3: Input should be a dictionary"),
    ("known_faults = [1]\n" + _CARD, ":1: known_faults[0] = 1"),
    ('kind = "ddpm"\n' + _CARD, ":9: blur: unknown key"),
    ('kind = "ddpm"\n' + _CARD, ": diffusion is missing"),
    (
        _CARD + '[diffusion]\nbeta_schedule = "cosine"\n',
        ":16: diffusion: unknown key",
    ),
    (_CASCADE + _PLUS[_PLUS.index("[unet]") :], ":14: bands: list all networks; leave unet out"),
    (_BANDS, ": bands = []: unet is missing: the network"),
    (_but(_FINE, ""), ":14: bands: each lowest_level must exceed"),
    (_but("= 56", "= 1"), ":14: bands: each lowest_level must exceed"),
    (_but(_COSINES, 2 * _COSINES), ":14: bands: each lowest_level must exceed"),
    (_but("= 56", "= 156"), ":14: bands: each lowest_level must exceed"),
    (_but("= 56", "= 0"), ":21: bands[1].lowest_level = 0"),
    (_but("side = 10", "side = 40"), ":14: bands: side = 40: must be at most image_size, 28"),
    (_but("[bands.cosines]", "[bands.unet]"), ":24: bands[1].unet.width: unknown key"),
    (
        _but(_COSINES, _FINE.replace("= 1\n", "= 56\nside = 10\n")),
        ":23: bands[1].unet: side = 10: must",
    ),
    (_but("= 32", "= 40"), ":16: bands[0].unet: model_channels = 40: times channel_mult"),
    (_but("= 56", '= "x"'), ':21: bands[1].lowest_level = "x"'),
    (_but("[1, 2, 2]", "[1, 2, 2, 2]"), ":14: bands: image_size = 28: must be divisible by 8"),
    (_but(_COSINES, "[[bands]]\nlowest_level = 56\n"), ":20: bands[1].cosines: a band has"),
    (
        _but("side = 10\n", "side = 12\n").replace(
            "[bands.cosines]", _FINE[27:] + "[bands.cosines]"
        ),
        ":27: bands[1].cosines: a band has",
    ),
    (_BANDS + _COSINES.replace("56", "1"), ":14: bands: the first, of the finest"),
    (_but("level = 1\n", "level = 1\nside = 8\n"), ":14: bands: the first, of the finest"),
    (_but("[100, 60", "[99, 60"), ":28: sampling: levels = 99, …: must begin"),
    (_but("[100, 60", "[100, 50"), ":29: sampling.levels = [100, 50, 56, 20, 7]: should"),
    (_but("20, 7]", "20, 0]"), ":29: sampling.levels[4] = 0"),
    (
        _but("[100, 60, 56, 20, 7]", "[]"),
        ":29: sampling.levels = []: should be a list of decreasing levels",
    ),
    (_but("preconditioned", "difference"), ":14: bands: only for the parameterization"),
    (
        _PLUS.replace("preconditioned", "difference") + "[sampling]\nguidance = 0.1\n",
        ":17: sampling: only for the parameterization",
    ),
    (_DDPM + "[sampling]\nlevels = [101, 7]\n", ":15: sampling: levels = 101, …: must begin"),
    (
        _DDPM + "[sampling]\nguidance = 2\n",
        ":16: sampling.guidance = 2: should be a number from -0.5",
    ),
    (
        _DDPM + '[sampling]\nvariance = "estimated"\n',
        ":15: sampling: variance: only heat dissipation",
    ),
    (_DDPM.replace("linear", "linea"), ':12: diffusion.beta_schedule = "linea"'),
    (_DDPM.replace("beta_end = 0.02", ""), ":11: diffusion.beta_end: is missing"),
    (_DDPM.replace("0.02", "1.5"), ":14: diffusion.beta_end = 1.5"),
    (_DDPM.replace("1e-4", "0.5"), ":14: diffusion.beta_end = 0.02: must"),
    (_DDPM.replace("linear", "cosine"), ":13: diffusion.beta_start = 0.0001: the cosine"),
    (_DDPM + 'variance = "small"', ':15: diffusion.variance = "small"'),
    (_DDPM + f"variance = 0x{'f' * 5000}", ":15: diffusion.variance = a number of thousands"),
    (_DDPM + f"variance = [0b1{'0' * 30_000}]", ":15: diffusion.variance = [a number of thousands"),
    (_DDPM + "clip_sample = 1", ":15: diffusion.clip_sample = 1"),
    (_DDPM + "prediction = 1", ":15: diffusion.prediction: unknown key"),
    (_CARD[: _CARD.index("[unet]")] + _BOTH, ":12: unet: leave num_heads out; diffusers is"),
    (_CARD[: _CARD.index("[unet]")] + "[unet]\ndiffusers = '[]'", ":12: unet: diffusers should"),
    (_CARD[: _CARD.index("[unet]")] + "[unet]\ndiffusers = '{}'", ":12: unet: diffusers should"),
    ("levels = = 3", ":1: is not TOML"),
    ("levels = 1\nlevels = 2", ":2: is not TOML"),
    ("levels = 1 \0", ":1: is not TOML"),
    ("a = " + "[" * 5000, ": is nested too deeply"),
]


@pytest.mark.parametrize(("text", "start"), _WRONG, ids=[start[:40] for _, start in _WRONG])
def test_wrong_values(text: str, start: str) -> None:
    """Each is refused with its place, its key and its value."""
    assert any(line.startswith(f"here.toml{start}") for line in told(text).splitlines())


def test_cards_in_python() -> None:
    """They obey the same rules; a digest counts all but notes and file names."""
    card = replace(published("mnist"), weights=FileRef("w.safetensors", "a" * 64))
    same = [
        replace(card, quality={"fid": 3}),
        replace(card, training={}),
        replace(card, known_faults=()),
        replace(card, weights=FileRef("other.safetensors", "a" * 64)),
        read(card.to_toml()),
    ]
    other = [
        replace(card, sampling_noise_std=0.013),
        replace(card, training_noise_std=0.02),
        replace(card, levels=99),
        replace(card, blur=BlurRange(0.5, 21)),
        replace(card, blur=BlurSchedule(tuple(range(101)))),
        replace(card, unet=replace(card.finest, use_new_attention_order=False)),
        replace(card, parameterization="preconditioned"),
        replace(card, weights=FileRef("w.safetensors", "b" * 64)),
        replace(card, prior=FileRef("prior.safetensors", "a" * 64)),
    ]
    assert {item.digest for item in same} == {card.digest}
    assert len({item.digest for item in (card, *other)}) == len(other) + 1
    assert hash(same[0]) == hash(card)
    with pytest.raises(ConfigError, match="model_channels = 40"):
        UNetConfig(40, (1,))
    with pytest.raises(ConfigError, match="sigma_max"):
        BlurRange(2, 1)
    with pytest.raises(ConfigError, match="blur is missing"):
        ModelCard(28, 1, 8, UNetConfig(32, (1, 1)))
    with pytest.raises(ConfigError, match="64 hexadecimal"):
        FileRef("weights.safetensors", "A" * 64)
    with pytest.raises(ConfigError, match="divisible by 4"):
        replace(published("mnist"), image_size=30)
    for sigmas, rule in [
        ((0.0,), "numbers that rise from 0"),
        ((0.5, 1.0), "numbers that rise from 0"),
        ((0.0, 1.0, 1.0), "numbers that rise from 0"),
        ((0.0, 1.0, 2.0, 0.0), "numbers that rise from 0"),
        ((0.0, math.nan), r"sigmas\[1\] = nan"),
        ((0.0, math.inf), r"sigmas\[1\] = inf"),
    ]:
        with pytest.raises(ConfigError, match=rule):
            BlurSchedule(sigmas)


def test_schedules(expected: dict[str, Tensor], reference: Path) -> None:
    """The recorded one, the ends of all eight, even steps in log, one level."""
    found = BlurSchedule.log_spaced(8, 0.5, 20)
    assert found.sigmas == pytest.approx(expected["blur_schedule"].tolist(), rel=1e-12)
    models = json.loads((reference / "official_models.json").read_text())
    for name, model in models.items():
        config, ends = model["config"], model["blur_schedule_ends"]
        found = BlurSchedule.log_spaced(
            config["K"], config["blur_sigma_min"], config["blur_sigma_max"]
        )
        assert len(found.sigmas) == model["blur_schedule_len"]
        assert [found[k] for k in (0, 1, 2, -2)] == pytest.approx(ends[:4], rel=1e-12)
        assert found[-1] == pytest.approx(32 if name == "afhq-64" else ends[4], rel=1e-12)
    sigmas = BlurSchedule.log_spaced(50, 0.5, 20).sigmas
    factors = [above / below for below, above in pairwise(sigmas[1:])]
    assert factors == pytest.approx([40 ** (1 / 49)] * 49)
    assert BlurSchedule.log_spaced(1, 0.5, 20).sigmas == (0.0, 20.0)
