"""`sitegen inspect`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
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
