"""`sitegen build`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sitegen.cli import options
from sitegen.cli.options import (
    compute_options,
    compute_target,
    config_option,
    figure_names,
    talk_options,
)

EVERY = "*"
"""What --refilm without a figure stands for; no figure is called so."""


@click.command()
@config_option
@click.option("--output", type=click.Path(path_type=Path), help="The folder to build in.")
@compute_options
@click.option(
    "--only",
    multiple=True,
    metavar="FIGURE",
    help="Render only this figure; repeatable.",
    shell_complete=figure_names,
)
@click.option(
    "--refilm",
    multiple=True,
    is_flag=False,
    flag_value=EVERY,
    metavar="[FIGURE]",
    help="Make the clips again, or only that of this figure; repeatable.",
    shell_complete=figure_names,
)
@click.option("--offline", is_flag=True, help="Render nothing; fail if a clip is not in the store.")
@click.option("--strict", is_flag=True, help="Fail on a warning.")
@click.option("--dry-run", is_flag=True, help="Say what would be rendered, and do nothing.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many figures to render at the same time.",
)
@talk_options
def build(
    config: Path, device: str, precision: str, refilm: tuple[str, ...], **wished: Any
) -> None:
    """Render the figures that pages ask for, lay the pages out, and put the site in its folder.

    A clip that was made before is used again, whatever device, precision and versions it was made
    with; --refilm makes it again, and --verbose tells where here is another. A build that would
    change nothing touches nothing.

    \b
    Examples:
      sitegen build
      sitegen build --config paper/site.toml --output /tmp/site
      sitegen build --dry-run
      sitegen build --only mnist-trajectories --device cuda
      sitegen build --refilm mnist-trajectories --precision float32
    """
    from sitegen.build.context import BuildOptions
    from sitegen.build.pipeline import build

    again = None if not refilm else () if EVERY in refilm else refilm
    wanted = BuildOptions(compute_target(device, precision), refilm=again, **wished)
    console = options.console()
    summary = build(config, wanted, options.figure_renderer, console)
    for line in summary.lines():
        console.note(line)
