"""Cards of all kinds but the blurring one: mistakes are told, and what is written is read."""

import pytest

from sitegen.core.errors import ConfigError
from sitegen.generative.card.abilities import LevelAxis
from sitegen.generative.card.card import ModelCard

CARD = """image_size = 8
channels = 1
levels = 4
kind = "{}"
{}
[unet]
model_channels = 32
channel_mult = [1]
"""
NOISY = '[diffusion]\nbeta_schedule = "cosine"\n'
COLD = "[cold]\nstart_mean = [0.1]\nstart_covariance = [[0.2]]\n"


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("flow", "[flow]\ntimes = [0.0, 0.5, 1.0]", "times has 3 values; 4 levels need 5"),
        ("flow", "[flow]\ntimes = [0.0, 0.5, 0.4, 0.6, 1.0]", "a list of times that rise, or fall"),
        ("flow", "[flow]\ntimes = [1.0, 0.7, 0.5, 0.2, 0.0]", "end at data_time, 1"),
        ("flow", '[flow]\nsolver = "rk4"', "solver"),
        ("flow", "training_noise_std = 0.1\nsampling_noise_std = 0.1", "unknown key"),
        ("flow", NOISY + "[flow]\ntime_scale = 2.0", "follows from"),
        ("edm", "", "edm is missing"),
        ("edm", "[edm]\nsigma_min = 90.0", "must be above sigma_min, 90"),
        ("edm", "[edm]\nsigmas = [9.0, 1.0]", "sigmas has 2 values; 4 levels need 4"),
        ("edm", "[edm]\nsigmas = [9.0, 10.0, 2.0, 1.0]", "falling numbers above 0"),
        ("edm", "[edm]\nchurn = -1.0", "churn"),
        ("edm", "[edm]\n[sampling]\nlevels = [4, 2]", "sampling"),
        ("consistency", "[edm]\nchurn = 2.0", "churn: unknown key"),
        ("ddpm", "[edm]\nrho = 2.0", "edm: unknown key"),
        ("sde", "[sde]\nfamily = 'sub-vp'", "'ve' or 'vp'"),
        ("sde", "[sde]\nfamily = 'vp'\nbeta_max = 0.01", "must be above beta_min"),
        ("sde", "[sde]\nfamily = 'vp'", "beta_max = 20: must be below levels, 4"),
        ("cold", COLD + "kernel_size = 4", "an odd number"),
        ("cold", COLD + "kernel_size = 17", "must be below twice the image_size"),
        ("cold", COLD.replace("[0.1]", "[0.1, 0.1]"), "must be of 1 channels"),
        ("blurring", "[blurring]\nlog_snr_min = 11.0", "must be above log_snr_min"),
        ("blurring", "[blurring]\nfloor = 0.0", "floor"),
    ],
)
def test_cards_are_checked(kind: str, words: str, told: str) -> None:
    """A wrong card is refused with the key and what is wrong, in one line."""
    with pytest.raises(ConfigError, match=told) as error:
        ModelCard.from_toml(CARD.format(kind, words))
    assert "model.toml" in str(error.value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("edm", "[edm]\nchurn = 5.0\nchurn_max = 50.0"),
        ("consistency", "[edm]\nsigmas = [80.0, 9.0, 2.0, 0.5]"),
        ("sde", "[sde]\nfamily = 've'\ncorrector_steps = 1"),
        ("cold", COLD),
        ("blurring", "[blurring]"),
        ("flow", '[flow]\nsolver = "heun"'),
        ("flow", NOISY + "[flow]"),
    ],
)
def test_cards_are_written_and_read(kind: str, words: str) -> None:
    """A card that is written is read as an equal one, and says what its process does."""
    card = ModelCard.from_toml(CARD.format(kind, words))
    assert ModelCard.from_toml(card.to_toml()) == card
    assert len(card.axis.values) == 5
    assert kind != "flow" or card.axis.values[0] == 1
    assert card.first_state(several=True)


def test_text_of_a_level() -> None:
    """Three digits, and no exponent for the steps of a DDPM."""
    axis = LevelAxis("t", "", (0.0, 0.123456, 17.25, 1000.0))
    assert [axis.text(level) for level in range(4)] == ["0", "0.123", "17.2", "1000"]
