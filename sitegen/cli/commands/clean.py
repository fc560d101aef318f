"""`sitegen clean`."""

from __future__ import annotations

from pathlib import Path

import click

from sitegen.cli import options
from sitegen.cli.options import config_option, talk_options


@click.command()
@config_option
@click.option("--store", is_flag=True, help="Also remove the rendered clips in cache_dir.")
@talk_options
def clean(config: Path, store: bool) -> None:
    """Remove what sitegen made: the built folder, and what interrupted runs have left.

    Clips stay in the store, so that the next build renders nothing, unless --store is given.

    \b
    Examples:
      sitegen clean
      sitegen clean --store
    """
    from sitegen.build.clean import clean
    from sitegen.config.loader import load_site

    removed = clean(load_site(config), store=store)
    console = options.console()
    for path in removed:
        console.note(f"removed {path}")
    if not removed:
        console.note("there was nothing to remove")
