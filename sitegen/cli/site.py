"""Commands for sites: new, build, serve, check, publish, export and clean."""

import shlex
from functools import partial
from pathlib import Path
from typing import Any

import click

from sitegen.cli.console import Console
from sitegen.cli.options import (
    LIST,
    PATH,
    compute_options,
    compute_target,
    config_option,
    verbosity_options,
)
from sitegen.core.source import plain, shown

_output_option = click.option("--output", type=PATH, help="The built folder.")
_figures_option = partial(click.option, multiple=True)


@click.command()
@click.argument("name", metavar="DIR", type=click.Path())
@verbosity_options
def new(name: str, report: Console) -> None:
    """Write a small site into DIR that builds at once, with a model that sitegen ships with.

    It has a site.toml with every key, a page that shows each kind of figure, and a workflow that
    publishes it on GitHub Pages. Existing files are never overwritten, so DIR may be a clone of a
    new repository, with its README, license and .gitignore.

    \b
    Examples:
      sitegen new paper
      sitegen new .
    """
    from sitegen.config.scaffold import IGNORED, WORKFLOW, ignored, new_site, own_requirement
    from sitegen.core.errors import ConfigError

    if not name.strip():
        raise ConfigError('DIR is empty; name a folder, or "." for the current one')
    folder = Path(name)
    paths = new_site(folder)
    for path in paths:
        report.note(f"wrote {folder / path}")
    if IGNORED not in paths:
        report.note(f"\n{folder / IGNORED} exists and was not changed; add these lines to it:")
        for rule in ignored():
            report.note(f"  {rule}")
    if own_requirement() is None:
        report.note(
            f"\nBefore you push, write into {folder / WORKFLOW} where GitHub gets sitegen from:\n"
            '  SITEGEN: "sitegen-diffusion @ git+https://github.com/OWNER/sitegen@COMMIT"\n'
            "Until then the workflow stops with a message that names the line."
        )
    report.note("\nNext:")
    if folder.resolve() != Path.cwd():
        report.note(f"  cd {shlex.quote(str(folder))}")
    report.note("  sitegen serve    preview it while you edit site.toml and pages/index.md")
    report.note("  sitegen build    make the site in build/")
    report.note(f"To publish: push it to GitHub; {WORKFLOW} explains the settings there.")


@click.command()
@config_option
@_output_option
@click.option("--strict", is_flag=True, help="Fail on a warning.")
@verbosity_options
def check(config: Path, output: Path | None, strict: bool, report: Console) -> None:
    """Check the built folder as GitHub Pages will serve it. Nothing is fetched or changed.

    Errors are broken links, anchors and files (names are case-sensitive), and files that GitHub
    rejects. Warnings are resources from other servers, and placeholders of `sitegen new`. Links to
    other sites are listed, not followed.

    \b
    Examples:
      sitegen check
      sitegen check --strict
      sitegen check --output /tmp/site
    """
    from sitegen.config.schema import load_site
    from sitegen.deploy.check import check_site

    site = None if output and not config.exists() else load_site(config)
    folder = output or (site.output if site else Path())
    findings = check_site(site, folder)
    for problem in findings.problems():
        click.echo(plain(problem))
    for line in findings.notes():
        report.note(line)
    findings.require_good(strict=strict)


@click.command()
@config_option
@_output_option
@click.option("--remote", default="origin", show_default=True, help="The git remote to push to.")
@click.option("--branch", default="gh-pages", show_default=True, help="The branch to write.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Also replace a branch that has no site of sitegen, or create the first one.",
)
@click.option("--strict", is_flag=True, help="Refuse on a warning of `sitegen check`.")
@click.option("--stale", is_flag=True, help="Publish a folder that is older than its sources.")
@click.option("--placeholders", is_flag=True, help="Publish placeholders of `sitegen new` as well.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@verbosity_options
def publish(config: Path, output: Path | None, report: Console, **options: Any) -> None:
    """Push the built site to a branch that GitHub Pages serves, after `sitegen check`.

    Refuses a folder that is older than its sources, and placeholders of `sitegen new` in its pages.

    The branch then holds one commit: the built folder, .nojekyll, and CNAME if site.toml names a
    domain. Your files, your index and your other branches are not changed.

    \b
    Examples:
      sitegen publish
      sitegen publish --dry-run
      sitegen publish --remote fork --overwrite
    """
    from sitegen.config.schema import load_site
    from sitegen.deploy.publish import PublishOptions, publish

    site = load_site(config)
    result = publish(site, output or site.output, PublishOptions(**options), report)
    for line in result.lines():
        report.note(line)


@click.command()
@click.argument("figures", nargs=-1, metavar="[FIGURE]...")
@config_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["mp4", "gif", "png", "svg"]),
    help="What to write; repeatable.  [default: all that a figure has]",
)
@click.option(
    "--levels", type=LIST, default="", metavar="K,K,…", help="The levels that strips show."
)
@click.option("--output", type=PATH, help="The folder to write to.  [default: exports]")
@verbosity_options
def export(config: Path, report: Console, **options: Any) -> None:
    """Write figures as files for slides and papers: clips, strips of moments, and drawings.

    Nothing is sampled: the figures must have been built. A clip is an MP4, a GIF, and a PNG of
    moments side by side; a drawing is an SVG. Without FIGURE, all are written, over earlier files.

    \b
    Examples:
      sitegen export
      sitegen export mnist-trajectories --format gif
      sitegen export mnist-trajectories --format png --levels 100,60,30,0
      sitegen export --output slides/media
    """
    from sitegen.builder.export import ExportOptions, export

    levels = options["levels"]
    if not all(level.isascii() and level.isdigit() for level in levels):
        raise click.UsageError(
            f"--levels {','.join(levels)}: is no list of levels, as in 100,50,0."
        )
    options["levels"] = tuple(map(int, levels))
    for path in export(config, ExportOptions(**options)):
        report.note(f"wrote {shown(path)}")


@click.command()
@config_option
@click.option("--store", is_flag=True, help="Also remove the rendered clips in cache_dir.")
@click.option("--unused", is_flag=True, help="Remove only clips in cache_dir that no page needs.")
@verbosity_options
def clean(config: Path, store: bool, unused: bool, report: Console) -> None:
    """Remove files that sitegen made: the built folder, and with --store the rendered clips.

    Clips stay in the store, so that the next build renders nothing, unless --store is given. With
    --unused, only clips that no page uses are removed, and the built folder stays.

    \b
    Examples:
      sitegen clean
      sitegen clean --unused
      sitegen clean --store
    """
    from sitegen.builder.clean import clean, clean_unused
    from sitegen.config.schema import load_site

    if store and unused:
        raise click.UsageError("--store removes all clips, --unused some; give one of them.")
    site = load_site(config)
    lines = [clean_unused(site)] if unused else clean(site, store=store)
    for line in lines or ["there was nothing to remove"]:
        report.note(line)


EVERY = "*"
"""Value of --rerender without a figure; no figure has this name."""


@click.command()
@config_option
@click.option("--output", type=PATH, help="The folder to build into.")
@compute_options
@_figures_option("--only", metavar="FIGURE", help="Render only this figure; repeatable.")
@_figures_option(
    "--rerender",
    # With is_flag=False and a flag_value, click makes the value of the option optional.
    is_flag=False,
    flag_value=EVERY,
    metavar="[FIGURE]",
    help="Render all figures again, even if they are in the store, or only this one; repeatable.",
)
@click.option("--offline", is_flag=True, help="Render nothing; fail if a clip is not in the store.")
@click.option("--strict", is_flag=True, help="Fail on a warning.")
@click.option("--dry-run", is_flag=True, help="Print what would be rendered, and render nothing.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="The number of figures to render at once.",
)
@click.option("--distributed", help="The address of the dask scheduler whose workers sample.")
@verbosity_options
def build(
    config: Path,
    device: str,
    precision: str,
    rerender: tuple[str, ...],
    distributed: str | None,
    report: Console,
    **settings: Any,
) -> None:
    """Render the figures that pages call, lay out the pages, and put the site into its folder.

    Clips in the store are reused, whatever device, precision and versions they were rendered with.
    --rerender renders them again. A build without changes writes nothing.

    \b
    Examples:
      sitegen build
      sitegen build --config paper/site.toml --output /tmp/site
      sitegen build --dry-run
      sitegen build --only mnist-trajectories --device cuda
      sitegen build --rerender mnist-trajectories --precision float32
      sitegen build --jobs 4
      sitegen build --distributed tcp://10.0.0.7:8786
    """
    from sitegen.builder.pipeline import build
    from sitegen.builder.plan import BuildOptions
    from sitegen.builder.render import FigureRenderer

    settings |= {
        "rerender": None if not rerender else () if EVERY in rerender else rerender,
        "distributed": distributed,
        "asked": (device, precision),
    }
    build_options = BuildOptions(compute_target(device, precision), **settings)
    summary = build(config, build_options, FigureRenderer, report)
    for line in summary.lines():
        report.note(line)


@click.command()
@config_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 for any free one.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
@click.option("--offline", is_flag=True, help="Render nothing; show only existing clips.")
@compute_options
@verbosity_options
def serve(
    config: Path,
    port: int,
    open_browser: bool,
    offline: bool,
    device: str,
    precision: str,
    report: Console,
) -> None:
    """Show the site in the browser while you work on it, and reload when it changes.

    Changes of text show immediately. Clips are rendered in the background, and old ones stay until
    the new ones are ready. Errors are shown in the page, with file and line. Only this machine can
    connect. Once all clips are rendered, the output folder is as after `sitegen build`. Stop with
    Ctrl-C.

    \b
    Examples:
      sitegen serve
      sitegen serve --config paper/site.toml --port 0 --open
    """
    from sitegen.builder.plan import BuildOptions
    from sitegen.config.schema import load_site
    from sitegen.server.app import HOST, Server, listening, serve
    from sitegen.server.preview import Preview
    from sitegen.server.rendering import BuildProcess

    if not config.is_file():
        load_site(config)  # raises the error
    config = config.absolute()  # the current folder may be deleted and made again meanwhile
    asked = device, precision
    build_options = BuildOptions(compute_target(device, precision), offline=offline, asked=asked)
    preview = Preview(config, build_options, partial(BuildProcess, config, build_options), report)
    with listening(port) as listener:
        preview.refresh()
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        print_address = report.note if port else click.echo  # print a free port even with --quiet
        print_address(f"serving {config.parent} at {address} (Ctrl-C stops)")
        if open_browser:
            click.launch(address)
        serve(Server(preview), preview, listener)
