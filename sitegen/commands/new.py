"""`sitegen new`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from sitegen.commands.shared import console, talk_options


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@talk_options
def new(folder: Path) -> None:
    """Write a small site into DIR that builds at once, with a model that travels with sitegen.

    It has a site.toml with every key in it, a page that shows each figure call, and a workflow
    that publishes it on GitHub Pages. A file that is there already is never overwritten.

    \b
    Examples:
      sitegen new paper
      sitegen new .
    """
    from sitegen.scaffold import WORKFLOW, new_site

    report = console()
    for name in new_site(folder):
        report.note(f"wrote {folder / name}")
    report.note("\nNext:")
    if folder.resolve() != Path.cwd():
        report.note(f"  cd {shlex.quote(str(folder))}")
    report.note("  sitegen serve    look at it while you edit site.toml and pages/index.md")
    report.note("  sitegen build    make the site in build/")
    report.note(f"To publish: push it to GitHub; {WORKFLOW} says what to set there.")
