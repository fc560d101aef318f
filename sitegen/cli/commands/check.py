"""`sitegen check`."""

from __future__ import annotations

from pathlib import Path

import click

from sitegen.cli import options
from sitegen.cli.options import built_site, config_option, talk_options


@click.command()
@config_option
@click.option("--output", type=click.Path(path_type=Path), help="The built folder.")
@click.option("--strict", is_flag=True, help="Fail on a warning.")
@talk_options
def check(config: Path, output: Path | None, strict: bool) -> None:
    """Look the built folder over as GitHub Pages will serve it. Nothing is fetched or changed.

    Errors are links, anchors and files that lead nowhere (upper and lower case count), clips that
    browsers do not play, what has no text alternative, and what GitHub refuses. Warnings are what
    is heavy or comes from another server. Links to elsewhere are listed, not followed.

    \b
    Examples:
      sitegen check
      sitegen check --strict
      sitegen check --output /tmp/site
    """
    from sitegen.deploy.check import check_site

    site, folder = built_site(config, output)
    findings = check_site(site, folder)
    for problem in findings.problems():
        click.echo(problem)
    for line in findings.notes():
        options.console().note(line)
    findings.require_good(strict=strict)
