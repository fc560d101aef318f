"""`sitegen add`."""

from __future__ import annotations

import sys
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sitegen.cli.options import F, config_option, finite, preset_names

if TYPE_CHECKING:
    from sitegen.models.new_card import Question

_PATH = click.Path(path_type=Path)
_BLUR = click.FloatRange(0, 1e6, min_open=True)
_NOISE = click.FloatRange(0, 1, min_open=True)
_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("data", _PATH, "Its training images, which tell their size and what sampling starts from."),
    ("kind", click.Choice(["ihdm", "ddpm"]), "What it is, where the file does not tell."),
    ("preset", str, "The published configuration that it was trained with."),
    ("image-size", click.IntRange(4, 4096), "Pixels a side, where the images do not tell."),
    ("levels", click.IntRange(1, 100_000), "K, how many levels it was trained with."),
    ("blur-sigma-min", _BLUR, "Blur of level 1 in pixels."),
    ("blur-sigma-max", _BLUR, "Blur of level K in pixels."),
    ("heads", click.IntRange(1, 4096), "Attention heads, if not 1."),
    ("training-noise-std", _NOISE, "The noise that it was trained with."),
    ("sampling-noise-std", _NOISE, "The noise of sampling.  [default: 1.25 times that]"),
    ("noise-schedule", click.Choice(["linear", "cosine"]), "The schedule of a DDPM."),
)
_TYPES = {name.replace("-", "_"): kind for name, kind, _ in _OPTIONS}


def _options(command: F) -> F:
    def wrap(wrapped: F, row: tuple[str, Any, str]) -> F:
        name, kind, words = row
        check = finite if isinstance(kind, click.FloatRange) else None
        known = preset_names if name == "preset" else None
        return click.option(
            f"--{name}", type=kind, help=words, callback=check, shell_complete=known
        )(wrapped)

    return reduce(wrap, reversed(_OPTIONS), command)


@click.command()
@click.argument("name")
@click.option("--checkpoint", type=_PATH, required=True, help="Its file, or its folder.")
@_options
@config_option
def add(name: str, config: Path, **options: Any) -> None:
    """Add a checkpoint to site.toml as the model NAME, and show how pages can call it.

    The network is read off the checkpoint, in which nothing is executed. What neither the file nor
    the training images tell is asked for on a terminal; elsewhere the options must say it.

    \b
    Examples:
      sitegen add birds --checkpoint runs/birds/checkpoint.pth --data data/birds
      sitegen add cifar --checkpoint checkpoint_130000.pth --preset cifar10
      sitegen add digits --checkpoint runs/digits
      sitegen add birds-ddpm --kind ddpm --checkpoint ema_0.9999_200000.pt --data data/birds
    """
    from sitegen.content.suggestions import added_lines
    from sitegen.models.add import add_model
    from sitegen.models.new_card import AddOptions

    ask = _ask if sys.stdin.isatty() and sys.stdout.isatty() else None
    for line in added_lines(add_model(config, name, AddOptions(**options), ask)):
        click.echo(line)


def _ask(question: Question) -> Any:
    """Ask on the terminal, again until the answer is one; a path must be there."""
    from sitegen.cli.asking import ask

    kind = _TYPES[question.field]
    kind = click.Path(exists=True, path_type=Path) if kind is _PATH else kind
    return ask(question.words, kind, question.offer)
