"""What can be wished for on the command line of `sitegen train`; no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from sitegen.models.training import TrainOptions

F = TypeVar("F", bound=Callable[..., Any])


def train_options(command: F) -> F:
    """Add the options of `sitegen train`, one for each field of `TrainOptions`."""
    options = (_option(*row) for row in reversed(_OPTIONS))
    return reduce(lambda wrapped, option: option(wrapped), options, command)


_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(0, min_open=True)
_SHARE = click.FloatRange(0, 1)
_OPTIONS: tuple[tuple[str, click.ParamType[Any] | type, str], ...] = (
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
    ("images", click.IntRange(1), "How many images to see, each again and again."),
    ("batch-size", click.IntRange(1), "Images a step."),
    ("learning-rate", _POSITIVE, "The highest learning rate."),
    (
        "optimizer",
        click.Choice(["adam", "muon"]),
        "Adam, or Muon for most matrices and Adam for the rest.",
    ),
    ("muon-learning-rate", _POSITIVE, "The highest learning rate of what Muon trains."),
    ("warmup-steps", click.IntRange(0), "Steps that the learning rate takes to rise."),
    ("decay-share", _SHARE, "Share of the steps, the last, in which it falls to 0."),
    ("ema-decay", click.FloatRange(0, 1, max_open=True), "Of the averaged weights, a step."),
    ("gradient-clip", _POSITIVE, "The largest norm of a gradient."),
    (
        "level-focus",
        click.FloatRange(0),
        "How much more often some levels are drawn.  [default: 1.5; as published, 0]",
    ),
    ("focus-centre", _SHARE, "Where those levels lie, as a share of K."),
    (
        "seed",
        click.IntRange(0, 2**63 - 1),
        "Decides the first weights, and what is drawn in each step.",
    ),
    ("device", str, "Where to train: auto, cpu, cuda or cuda:N."),
    (
        "precision",
        click.Choice(["auto", "float32", "bfloat16"]),
        "What the network computes in; auto is bfloat16 where that is fast.",
    ),
)


def _option(name: str, kind: click.ParamType[Any] | type, words: str) -> Callable[[F], F]:
    default = getattr(TrainOptions, name.replace("-", "_"), None)
    known = {} if default is None else {"default": default, "show_default": True}
    return click.option(f"--{name}", type=kind, help=words, required=name == "data", **known)
