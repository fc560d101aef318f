"""The command line: parse, load, call one function, map errors to exit codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from sitegen.console import Console
from sitegen.exits import run
from sitegen.training import train_options

if TYPE_CHECKING:
    from sitegen.models import ModelSource
    from sitegen.plan import Equipment
    from sitegen.studio import Actor

F = TypeVar("F", bound=Callable[..., Any])

DEVICE = "Where the network runs: auto, cpu, cuda or cuda:N."
SEED = click.IntRange(0, 2**63 - 1)
PRECISION = "What the network computes in; auto is float32."


def equipment_options(command: F) -> F:
    """Add --device and --precision."""
    device = click.option("--device", default="auto", show_default=True, help=DEVICE)
    precision = click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help=PRECISION,
    )
    return device(precision(command))


def config_option(command: F) -> F:
    """Add --config."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("site.toml"),
        show_default=True,
        help="The site's file.",
    )(command)


def _number(_context: click.Context, _parameter: click.Parameter, value: float | None) -> Any:
    """Refuse NaN, which is neither below nor above a range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("NaN is not a number to compute with.")
    return value


def _tell_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    """Print the version; a checkout that was not installed has none."""
    if not asked or context.resilient_parsing:
        return
    from importlib import metadata

    try:
        click.echo(f"sitegen, version {metadata.version('sitegen')}")
    except metadata.PackageNotFoundError:
        click.echo("sitegen, a checkout that is not installed")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Turn trained checkpoints of an image model into the website of its paper.

    \b
    Examples:
      sitegen build                          build the site of ./site.toml into build/
      sitegen sample mnist --count 36 --output digits.npz
      sitegen inspect checkpoint_130000.pth
      sitegen train mnist --data .data/mnist
    """


@cli.command()
@config_option
@click.option("--output", type=click.Path(path_type=Path), help="The folder to build in.")
@equipment_options
@click.option("--only", multiple=True, metavar="FIGURE", help="Film only this figure; repeatable.")
@click.option("--offline", is_flag=True, help="Film nothing; fail if a clip is not in the store.")
@click.option("--strict", is_flag=True, help="Fail on a warning.")
@click.option("--dry-run", is_flag=True, help="Say what would be filmed, and do nothing.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many figures to film at the same time.",
)
def build(
    config: Path,
    output: Path | None,
    device: str,
    precision: str,
    only: tuple[str, ...],
    offline: bool,
    strict: bool,
    dry_run: bool,
    jobs: int,
) -> None:
    """Film what the pages ask for, render them, and put the site in the output folder.

    A clip that was made before is used again; a build that would change nothing touches nothing.

    \b
    Examples:
      sitegen build
      sitegen build --config paper/site.toml --output /tmp/site
      sitegen build --dry-run
      sitegen build --only mnist-trajectories --device cuda
    """
    from sitegen.build import Options, build

    options = Options(_equipment(device, precision), output, only, offline, strict, dry_run, jobs)
    summary = build(config, options, _studio, Console())
    for line in summary.lines():
        click.echo(line)


@cli.command()
@click.argument("model")
@click.option("--count", type=click.IntRange(1), default=36, show_default=True, help="How many.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Their seed.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A file in .npz, or a folder for PNGs.",
)
@click.option("--trajectory", is_flag=True, help="Keep the states and means of all levels.")
@click.option("--card", type=click.Path(path_type=Path), help="The card of a checkpoint file.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Training images to start from, where the model has no prior.",
)
@click.option(
    "--sampling-noise-std",
    type=click.FloatRange(0, 1),
    callback=_number,
    help="The noise added at each step; the card's if not given.",
)
@equipment_options
@config_option
def sample(
    model: str,
    count: int,
    seed: int,
    output: Path,
    trajectory: bool,
    card: Path | None,
    data: Path | None,
    sampling_noise_std: float | None,
    device: str,
    precision: str,
    config: Path,
) -> None:
    """Draw samples from MODEL: a name in site.toml, a shipped model, a folder or a checkpoint.

    The same seed gives the same samples, however many are asked for. An .npz file holds float32
    arrays (N, C, H, W): final and initial, with --trajectory also states, means and levels.

    \b
    Examples:
      sitegen sample mnist --count 36 --output digits/
      sitegen sample mnist --count 2000 --seed 1 --output samples.npz
      sitegen sample checkpoint_130000.pth --card cifar10.toml --data cifar/ --output cifar.npz
    """
    from sitegen.sampling import Request, check_output, sample

    check_output(output)
    source = _model(model, card, config)
    actor = _actor(source, data, _equipment(device, precision))
    request = Request(count, seed, sampling_noise_std, trajectory)
    path = sample(actor, request, output, Console())
    click.echo(f"{count} samples of {source.name} in {path}")


@cli.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(checkpoint: Path, as_json: bool) -> None:
    """Show what CHECKPOINT is: format, step, parameters, averaged weights, architecture.

    Nothing in the file is executed.

    \b
    Examples:
      sitegen inspect checkpoint_130000.pth
      sitegen inspect models/mnist --json
    """
    from sitegen.ihdm.inspection import inspect_checkpoint

    found = inspect_checkpoint(checkpoint)
    click.echo(found.to_json() if as_json else found.to_text())


@cli.command()
@click.argument("name")
@train_options
def train(name: str, **wishes: Any) -> None:
    """Train a model on images, and write its weights, prior and card into a folder of that NAME.

    Killed or stopped by Ctrl-C, the same command goes on where the last saved state was. A finished
    run goes on when it is asked for more --images.

    \b
    Examples:
      sitegen train mnist --data .data/mnist
      sitegen train faces --data pictures/ --image-size 64 --images 3000000
      sitegen train mnist --data .data/mnist --preset mnist-small --output runs/published
    """
    from sitegen.training import Wishes, train_model

    train_model(name, Wishes(**wishes), Console())


def main() -> NoReturn:
    """Run the command line; every failure has one message and its exit code."""
    run(lambda: cli.main(standalone_mode=False))


def _studio(sources: Any, equipment: Equipment) -> Any:
    """Import torch only when something is to be filmed."""
    from sitegen.studio import Studio

    return Studio(sources, equipment)


def _equipment(device: str, precision: str) -> Equipment:
    from sitegen.plan import Equipment, resolve_device, resolve_precision

    return Equipment(resolve_device(device), resolve_precision(precision))


def _actor(source: ModelSource, data: Path | None, equipment: Equipment) -> Actor:
    """A model with its prior: its own, or made from `data`."""
    from sitegen.errors import RefusedError

    if data is None and source.prior is None:
        raise RefusedError(
            f"the model {source.name} has no prior, so there is nothing to start from; "
            "give a folder of training images: --data DIR"
        )
    from sitegen.priors import prior_from_data
    from sitegen.studio import load_actor

    prior = None if data is None else prior_from_data(source.card, data)
    return load_actor(source, equipment, prior)


def _model(name: str, card: Path | None, config: Path) -> ModelSource:
    from sitegen.config import load_site
    from sitegen.models import find_model

    source = click.get_current_context().get_parameter_source("config")
    if source is ParameterSource.COMMANDLINE:
        load_site(config)  # a site that was named must be there, whether it is needed or not
    return find_model(name, card, config)
