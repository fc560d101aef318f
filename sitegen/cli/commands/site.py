"""`sitegen new`, `check`, `publish` and `clean`: a site before and after it is built."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from sitegen.cli.options import PATH, built_site, config_option, console, talk_options

_output_option = click.option("--output", type=PATH, help="The built folder.")


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
    from sitegen.config.scaffold import IGNORED, WORKFLOW, ignored, own_requirement

    if IGNORED not in written:
        yield f"\n{folder / IGNORED} was there and stays as it is; add these lines to it:"
        yield from (f"  {line}" for line in ignored())
    if own_requirement() is None:
        yield f"\nBefore you push, write into {folder / WORKFLOW} where GitHub gets sitegen:"
        yield '  SITEGEN: "sitegen @ git+https://github.com/OWNER/sitegen@COMMIT"'
        yield "The sitegen of PyPI is another project. Until then the workflow stops and says so."


@click.command()
@config_option
@_output_option
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
        console().note(line)
    findings.require_good(strict=strict)


@click.command()
@config_option
@_output_option
@click.option("--remote", default="origin", show_default=True, help="The git remote to push to.")
@click.option("--branch", default="gh-pages", show_default=True, help="The branch to put it on.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Also replace what was not published from this clone, or be the first branch of all.",
)
@click.option("--strict", is_flag=True, help="Refuse on a warning of `sitegen check`.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@talk_options
def publish(config: Path, output: Path | None, **options: Any) -> None:
    """Put the built site on a branch that GitHub Pages serves, after `sitegen check`.

    A warning tells where the folder is older than its sources; a file in it that sitegen did not
    write is refused.

    The branch then holds one commit: the built folder, .nojekyll, and CNAME where site.toml names a
    domain. Your files, your index and your branches are left alone.

    \b
    Examples:
      sitegen publish
      sitegen publish --dry-run
      sitegen publish --remote fork --overwrite
    """
    from sitegen.config.loader import load_site
    from sitegen.deploy.publish import PublishOptions, publish

    site, report = load_site(config), console()
    for line in publish(site, output or site.output, PublishOptions(**options), report).lines():
        report.note(line)


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
    from sitegen.build.output import clean
    from sitegen.config.loader import load_site

    removed = [f"removed {path}" for path in clean(load_site(config), store=store)]
    for line in removed or ["there was nothing to remove"]:
        console().note(line)
