"""`sitegen publish`."""

from __future__ import annotations

from pathlib import Path

import click

from sitegen.cli import options
from sitegen.cli.options import config_option, talk_options


@click.command()
@config_option
@click.option("--output", type=click.Path(path_type=Path), help="The built folder.")
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
def publish(
    config: Path,
    output: Path | None,
    remote: str,
    branch: str,
    overwrite: bool,
    strict: bool,
    dry_run: bool,
) -> None:
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

    site = load_site(config)
    wanted = PublishOptions(remote, branch, overwrite, strict, dry_run)
    console = options.console()
    for line in publish(site, output or site.output, wanted, console).lines():
        console.note(line)
