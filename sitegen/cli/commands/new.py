"""`sitegen new`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from sitegen.cli.options import console, talk_options


@click.command()
@click.argument("name", metavar="DIR", type=click.Path())
@talk_options
def new(name: str) -> None:
    """Write a small site into DIR that builds at once, with a model that travels with sitegen.

    It has a site.toml with every key in it, a page that shows each figure call, and a workflow
    that publishes it on GitHub Pages. A file that is there already is never overwritten, so DIR
    may be a clone of a new repository, with its README, license and .gitignore.

    \b
    Examples:
      sitegen new paper
      sitegen new .
    """
    from sitegen.config.scaffold import WORKFLOW, new_site
    from sitegen.content.suggestions import new_page_sections
    from sitegen.core.errors import ConfigError

    if not name.strip():
        raise ConfigError('DIR is empty; name a folder, or "." for this one')
    folder, report = Path(name), console()
    written = new_site(folder, new_page_sections())
    for path in written:
        report.note(f"wrote {folder / path}")
    for line in _to_do(folder, written):
        report.note(line)
    report.note("\nNext:")
    if folder.resolve() != Path.cwd():
        report.note(f"  cd {shlex.quote(str(folder))}")
    report.note("  sitegen serve    look at it while you edit site.toml and pages/index.md")
    report.note("  sitegen build    make the site in build/")
    report.note(f"To publish: push it to GitHub; {WORKFLOW} says what to set there.")


def _to_do(folder: Path, written: Sequence[str]) -> Iterator[str]:
    """What is left to the author: rules for git where there were others, and the workflow."""
    from sitegen.config.requirements import own_requirement
    from sitegen.config.scaffold import IGNORED, WORKFLOW, ignored

    if IGNORED not in written:
        yield f"\n{folder / IGNORED} was there and stays as it is; add these lines to it:"
        yield from (f"  {line}" for line in ignored())
    if own_requirement() is None:
        yield f"\nBefore you push, write into {folder / WORKFLOW} where GitHub gets sitegen:"
        yield '  SITEGEN: "sitegen @ git+https://github.com/OWNER/sitegen@COMMIT"'
        yield "The sitegen of PyPI is another project. Until then the workflow stops and says so."
