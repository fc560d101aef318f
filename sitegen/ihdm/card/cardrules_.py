"""What the values of a model card must be, alone and together.

Cards are checked in their plain form: tables of values as in `model.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import sitegen.ihdm.card.networks as networks
import sitegen.ihdm.card.rules as rules
from sitegen.core.errors import ConfigError
from sitegen.ihdm.card.rules import Problem, Rule
from sitegen.ihdm.card.schedule import BlurSchedule

Table = Mapping[str, Any]

_NOISE = rules.number("a finite number above 0", lambda v: v > 0)
_BLUR = rules.number("a number above 0, at most 1e6 (pixels)", lambda v: 0 < v <= 1e6)
_TABLE = Rule("a table", lambda v: isinstance(v, Mapping))

CARD: dict[str, Rule] = {
    "kind": rules.choice("ihdm", "ddpm"),
    "image_size": rules.COUNT,
    "channels": Rule("1 (grey) or 3 (colour)", lambda v: rules.is_integer(v) and v in (1, 3)),
    "levels": rules.integer(1, 100_000),
    "training_noise_std": _NOISE,
    "sampling_noise_std": _NOISE,
    "parameterization": rules.choice("difference", "preconditioned"),
    "subject": Rule(
        "a text of at most 100 characters on one line",
        lambda v: isinstance(v, str) and len(v) <= 100 and (v == "" or v.isprintable()),
    ),
    "known_faults": Rule(
        "a list of texts",
        lambda v: isinstance(v, list | tuple) and all(isinstance(item, str) for item in v),
        tuple,
    ),
}
FILES = ("weights", "prior", "example")
"""The tables that name a file beside the card."""
TABLES = dict.fromkeys(
    ("blur", "diffusion", "unet", "coarse", *FILES, "training", "quality"), _TABLE
)
HEAT = ("blur", "prior", "training_noise_std", "sampling_noise_std", "parameterization", "coarse")
"""What only a model that blurs has."""
_BETA = rules.number("a number above 0 and below 1", lambda v: 0 < v < 1)
_ENDS: dict[str, Rule] = {"beta_start": _BETA, "beta_end": _BETA}
DIFFUSION: dict[str, Rule] = {
    "beta_schedule": rules.choice("linear", "cosine"),
    **_ENDS,
    "variance": rules.choice("fixed_small", "fixed_large"),
    "clip_sample": rules.FLAG,
    "rescale_timesteps": rules.FLAG,
}
RANGE: dict[str, Rule] = {"sigma_min": _BLUR, "sigma_max": _BLUR}
SCHEDULE: dict[str, Rule] = {
    "schedule": Rule(
        "a list of finite numbers, level 0 first",
        lambda v: isinstance(v, list | tuple) and all(map(rules.is_number, v)),
        lambda v: tuple(map(float, v)),
    )
}
FILE: dict[str, Rule] = {
    "file": Rule(
        "a path inside the card's own folder, such as weights.safetensors",
        lambda v: isinstance(v, str) and _is_inside(v),
    ),
    "sha256": Rule(
        "64 hexadecimal digits in lower case",
        lambda v: isinstance(v, str) and len(v) == 64 and set(v) <= set("0123456789abcdef"),
    ),
}


def card_problems(card: Table) -> list[Problem]:
    """All that is wrong with a card in plain form; empty if it is right."""
    found = [
        *rules.unknown(card, (*CARD, *TABLES), ()),
        *rules.broken(card, {**CARD, **TABLES}, ()),
        *rules.missing(card, ("image_size", "channels", "levels", "unet"), ()),
        *_noise_problems(card),
    ]
    tables = {key: card[key] for key in TABLES if _TABLE.holds(card.get(key))}
    if "diffusers" in tables.get("unet", {}) and card.get("kind") != "ddpm":
        found.append(Problem(("unet", "diffusers"), 'only for a card of kind "ddpm"'))
    if "unet" in tables:
        found += networks.unet_problems(tables["unet"], ("unet",))
        found += _size_problems(card, tables["unet"])
    for key in FILES:
        if key in tables:
            found += file_problems(tables[key], (key,))
    if "coarse" in tables and card.get("kind") != "ddpm":
        found += _misplaced_coarse(card) + networks.coarse_problems(tables["coarse"], ("coarse",))
        found += _coarse_limits(card, tables["coarse"])
    if card.get("kind") == "ddpm":
        return found + _ddpm_problems(card, tables.get("diffusion"))
    if "diffusion" in card:
        found.append(Problem(("diffusion",), 'only a card of kind "ddpm" has that; leave it out'))
    return found + _blur_problems(card, tables.get("blur"))


def diffusion_problems(diffusion: Table, path: rules.KeyPath = ()) -> list[Problem]:
    """All that is wrong with the `[diffusion]` table."""
    found = [
        *rules.unknown(diffusion, DIFFUSION, path),
        *rules.broken(diffusion, DIFFUSION, path),
        *rules.missing(diffusion, ("beta_schedule",), path),
    ]
    if diffusion.get("beta_schedule") == "linear":
        found += rules.missing(diffusion, _ENDS, path)
    if diffusion.get("beta_schedule") == "cosine":
        given = [key for key in _ENDS if key in diffusion]
        found += [Problem((*path, key), "the cosine schedule has none") for key in given]
    if not found and diffusion.get("beta_start", 0) > diffusion.get("beta_end", 1):
        rule = f"must be at least beta_start, {diffusion['beta_start']}"
        found.append(Problem((*path, "beta_end"), rule, diffusion["beta_end"]))
    return found


def _ddpm_problems(card: Table, diffusion: Table | None) -> list[Problem]:
    given = [key for key in HEAT if key in card]
    found = [Problem((key,), "a DDPM has none; leave it out") for key in given]
    if diffusion is not None:
        return found + diffusion_problems(diffusion, ("diffusion",))
    return found + rules.missing(card, ("diffusion",), ())


def range_problems(blur: Table, path: rules.KeyPath = ()) -> list[Problem]:
    """All that is wrong with `sigma_min` and `sigma_max`."""
    found = [
        *rules.unknown(blur, (*RANGE, *SCHEDULE), path),
        *rules.broken(blur, RANGE, path),
        *rules.missing(blur, RANGE, path),
    ]
    if not found and blur["sigma_min"] > blur["sigma_max"]:
        rule = f"must be at least sigma_min, {blur['sigma_min']}"
        found.append(Problem((*path, "sigma_max"), rule, blur["sigma_max"]))
    return found


def file_problems(file: Table, path: rules.KeyPath = ()) -> list[Problem]:
    """All that is wrong with a table that names a file."""
    return [
        *rules.unknown(file, FILE, path),
        *rules.broken(file, FILE, path),
        *rules.missing(file, ("file",), path),
    ]


def _misplaced_coarse(card: Table) -> list[Problem]:
    if card.get("parameterization") == "preconditioned":
        return []
    return [Problem(("coarse",), 'only for the parameterization "preconditioned"; leave it out')]


def _coarse_limits(card: Table, coarse: Table) -> list[Problem]:
    """Neither a level nor cosines that the model does not have."""
    found = []
    for key, limit in (("lowest_level", "levels"), ("side", "image_size")):
        value, most = coarse.get(key), card.get(limit)
        if networks.COARSE[key].holds(value) and CARD[limit].holds(most) and int(value) > int(most):  # type: ignore[arg-type]
            found.append(Problem(("coarse", key), f"must be at most {limit}, {most}", value))
    return found


def _noise_problems(card: Table) -> list[Problem]:
    if "training_noise_std" in card and "sampling_noise_std" not in card:
        rule = "missing beside training_noise_std; 1.25 times that is a good value"
        return [Problem(("sampling_noise_std",), rule)]
    return []


def _size_problems(card: Table, unet: Table) -> list[Problem]:
    size, multipliers = card.get("image_size"), unet.get("channel_mult")
    if not rules.COUNT.holds(size) or not networks.UNET["channel_mult"].holds(multipliers):
        return []
    halvings = len(multipliers or ()) - 1
    if (size or 0) % 2**halvings == 0:
        return []
    times = f"with this channel_mult the U-Net halves it {halvings} times"
    rule = f"must be divisible by {2**halvings}: {times}"
    return [Problem(("image_size",), rule, size)]


def _blur_problems(card: Table, blur: Table | None) -> list[Problem]:
    if blur is None:
        return rules.missing(card, ("blur",), ())
    levels = card.get("levels")
    if "schedule" in blur:
        return _schedule_problems(blur, levels)
    found = range_problems(blur, ("blur",))
    if not found and levels != 1 and blur["sigma_min"] == blur["sigma_max"]:
        found.append(Problem(("blur", "sigma_max"), "must be above sigma_min", blur["sigma_max"]))
    return found


def _schedule_problems(blur: Table, levels: object) -> list[Problem]:
    path = ("blur", "schedule")
    both = [key for key in RANGE if key in blur]
    found = [Problem(("blur", key), "give this or a schedule, not both", blur[key]) for key in both]
    found += rules.unknown(blur, (*RANGE, *SCHEDULE), ("blur",))
    found += rules.broken(blur, SCHEDULE, ("blur",))
    values = rules.kept(blur, SCHEDULE).get("schedule")
    if values is None:
        return found
    if rules.is_integer(levels) and len(values) != int(str(levels)) + 1:
        rule = f"has {len(values)} values; level 0 and {levels} levels make {int(str(levels)) + 1}"
        found.append(Problem(path, rule))
    try:
        BlurSchedule(values)
    except ConfigError as error:
        found.append(Problem(path, str(error)))
    return found


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    plain = bool(parts) and not {"..", "/"} & set(parts)
    return plain and path.isprintable() and "\\" not in path and len(path) <= 255
