"""`sitegen completion`."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete the commands and options of sitegen.

    For good, put the first line into ~/.bashrc, the second into ~/.zshrc, or run the third once.

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
