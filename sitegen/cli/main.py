"""Entry point of the command line: the group of all commands."""

# Commands import what they need when they run: `sitegen --help` takes 50 ms, pydantic alone 100 ms.
import os

import click

from sitegen.cli.commands.models import add, convert, inspect, sample, train
from sitegen.cli.commands.reference import completion, schema
from sitegen.cli.commands.site import build, check, clean, export, new, publish, serve


def _print_version(context: click.Context, _parameter: click.Parameter, requested: bool) -> None:
    # click also parses while it completes words in a shell, and must then print nothing.
    if not requested or context.resilient_parsing:
        return
    from importlib import metadata

    from sitegen.core.installed import DISTRIBUTION

    try:
        click.echo(f"sitegen, version {metadata.version(DISTRIBUTION)}")
    except metadata.PackageNotFoundError:
        click.echo("sitegen, a checkout that is not installed")
    context.exit()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    commands=[
        *(new, add, serve, build, check, publish, export, clean),
        *(inspect, convert, sample, train, schema, completion),
    ],
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Turn trained checkpoints of an image model into the website of its paper.

    \b
    Examples:
      sitegen new paper                      write a small site that builds at once
      sitegen serve                          show the site of ./site.toml while you write it
      sitegen build                          build it into build/
      sitegen add birds --checkpoint runs/birds/checkpoint.pth --data data/birds
      sitegen check                          check the built site before you publish it
      sitegen publish                        put it on GitHub Pages
      sitegen export                         write the clips as files for slides and papers
      sitegen sample mnist --count 36 --output digits.npz
      sitegen inspect checkpoint_130000.pth
      sitegen train birds --data pictures/ --minutes 10
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        folder = os.environ.get("PWD", "the current folder")
        raise click.UsageError(f"{folder} was deleted; go to another folder.") from None
