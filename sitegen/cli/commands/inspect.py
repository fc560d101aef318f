"""`sitegen inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from sitegen.cli.options import model_names


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path), shell_complete=model_names)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(checkpoint: Path, as_json: bool) -> None:
    """Show what CHECKPOINT is: format, step, parameters, averaged weights, architecture.

    It is a file, a folder, or the name of a model of the site or of a shipped one. Nothing in the
    file is executed.

    \b
    Examples:
      sitegen inspect checkpoint_130000.pth
      sitegen inspect mnist --json
    """
    from sitegen.ihdm.checkpoints.inspection import inspect_checkpoint
    from sitegen.models.registry import named_folder

    found = inspect_checkpoint(named_folder(checkpoint))
    click.echo(found.to_json() if as_json else found.to_text())
