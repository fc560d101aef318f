"""Entry point of the command line: the group of all commands, `schema` and `completion`."""

import os

import click

from sitegen.cli.models import add, inspect, sample, train
from sitegen.cli.site import build, check, clean, export, new, publish, serve
from sitegen.core.installed import DISTRIBUTION

SHELLS = ("bash", "zsh", "fish")


@click.command()
def schema() -> None:
    """Print the JSON Schema of site.toml, with which editors complete and check it.

    Name the printed file in the first line of site.toml: #:schema ./site.schema.json

    \b
    Examples:
      sitegen schema > site.schema.json
    """
    import json

    from sitegen.config.json_schema import site_schema

    click.echo(json.dumps(site_schema(), indent=2, ensure_ascii=False))


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete the commands and options of sitegen.

    To keep it, add the first line to ~/.bashrc, the second to ~/.zshrc, or run the third once.

    \b
    Examples:
      eval "$(sitegen completion bash)"
      eval "$(sitegen completion zsh)"
      sitegen completion fish > ~/.config/fish/completions/sitegen.fish
    """
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None
    group = context.find_root().command
    click.echo(complete(group, {}, "sitegen", "_SITEGEN_COMPLETE").source())


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    commands=[
        *(new, add, serve, build, check, publish, export, clean),
        *(inspect, sample, train, schema, completion),
    ],
)
@click.version_option(package_name=DISTRIBUTION, prog_name="sitegen")
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
