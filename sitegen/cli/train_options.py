"""What can be wished for on the command line of `sitegen train`; no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from sitegen.core.diagnostics import fields_of
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.models.training import TrainOptions

F = TypeVar("F", bound=Callable[..., Any])


def train_options(command: F) -> F:
    """Add the options of `sitegen train`, one for each field of `TrainOptions`."""
    options = (_option(*row) for row in reversed(_OPTIONS))
    return reduce(lambda wrapped, option: option(wrapped), options, command)


_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(0, min_open=True)
_OPTIONS: tuple[tuple[str, click.ParamType[Any] | type | None, str], ...] = (
    ("data", _PATH, "A folder of pictures, or a file or folder of MNIST's or CIFAR's format."),
    ("output", _PATH, "The model's folder.  [default: runs/NAME]"),
    (
        "kind",
        click.Choice(["ihdm", "ddpm"]),
        "A model that undoes heat dissipation, or one that takes noise away.",
    ),
    ("image-size", click.IntRange(4, 4096), "Scale the images to N pixels a side."),
    ("levels", click.IntRange(1, 100_000), "K, the steps from flat to sharp.  [default: 100]"),
    ("blur-sigma-max", _POSITIVE, "Blur of level K in pixels.  [default: 5/7 of the side]"),
    ("preset", str, "A published network instead of our small one."),
    (
        "parameterization",
        click.Choice(["difference", "preconditioned"]),
        "What the network answers.  [default: preconditioned; a preset's own]",
    ),
    ("init", str, "A model of the same network whose weights to start from."),
    ("images", None, "How many images to see, each again and again."),
    ("batch-size", None, "Images a step."),
    ("learning-rate", None, "The highest learning rate."),
    (
        "optimizer",
        None,
        "Adam, or Muon for most matrices and Adam for the rest.",
    ),
    ("muon-learning-rate", None, "The highest learning rate of what Muon trains."),
    ("warmup-steps", None, "Steps that the learning rate takes to rise."),
    ("decay-share", None, "Share of the steps, the last, in which it falls to 0."),
    ("ema-decay", None, "Of the averaged weights, a step."),
    ("gradient-clip", None, "The largest norm of a gradient."),
    (
        "level-focus",
        None,
        "How much more often some levels are drawn.  [default: 1.5; as published, 0]",
    ),
    ("focus-centre", None, "Where those levels lie, as a share of K."),
    (
        "seed",
        None,
        "Decides the first weights, and what is drawn in each step.",
    ),
    ("device", str, "Where to train: auto, cpu, cuda or cuda:N."),
    (
        "precision",
        click.Choice(["auto", "float32", "bfloat16"]),
        "What the network computes in; auto is bfloat16 where that is fast.",
    ),
)


def _option(name: str, kind: click.ParamType[Any] | type | None, words: str) -> Callable[[F], F]:
    """An option; where the type is None, it takes what the training option of its name takes."""
    field = name.replace("-", "_")
    default = getattr(TrainOptions, field, None)
    known = {} if default is None else {"default": default, "show_default": True}
    kind = kind or _range(field)
    return click.option(f"--{name}", type=kind, help=words, required=name == "data", **known)


def _range(name: str) -> click.ParamType[Any]:
    """What a training option may be."""
    field = fields_of(TrainingOptions)[name]
    if choices := get_args(field.annotation):
        return click.Choice(choices)
    bounds = {
        key: getattr(each, key)
        for each in field.metadata
        for key in ("ge", "gt", "le", "lt")
        if hasattr(each, key)
    }
    kind = click.IntRange if field.annotation is int else click.FloatRange
    return kind(
        bounds.get("ge", bounds.get("gt")),
        bounds.get("le", bounds.get("lt")),
        min_open="gt" in bounds,
        max_open="lt" in bounds,
    )
