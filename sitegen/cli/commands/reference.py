"""`sitegen schema` and `sitegen completion`: output for editors and shells."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.option("--reference", is_flag=True, help="Print a reference page in Markdown instead.")
def schema(reference: bool) -> None:
    """Print the JSON Schema of site.toml, with which editors complete and check it.

    Name the printed file in the first line of site.toml: #:schema ./site.schema.json

    \b
    Examples:
      sitegen schema > site.schema.json
      sitegen schema --reference | less
    """
    import json

    from sitegen.config import reference as made

    if reference:
        click.echo(made.reference(), nl=False)
    else:
        click.echo(json.dumps(made.site_schema(), indent=2, ensure_ascii=False))


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
