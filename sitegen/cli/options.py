"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from sitegen.cli.console import Console

if TYPE_CHECKING:
    from sitegen.config.schema import Site
    from sitegen.core.compute import ComputeTarget

F = TypeVar("F", bound=Callable[..., Any])

DEVICE = "Where the network runs: auto, cpu, cuda or cuda:N."
SEED = click.IntRange(0, 2**63 - 1)
PRECISION = "What the network computes in; auto is the faster one on this processor."


def compute_options(precision: str = "auto") -> Callable[[F], F]:
    """Add --device, and --precision with that default."""

    def add(command: F) -> F:
        device = click.option("--device", default="auto", show_default=True, help=DEVICE)
        choice = click.Choice(["auto", "float32", "bfloat16"])
        wanted = click.option(
            "--precision", type=choice, default=precision, show_default=True, help=PRECISION
        )
        return device(wanted(command))

    return add


def model_names(
    _context: click.Context, _parameter: click.Parameter, start: str
) -> list[str | CompletionItem]:
    """For the shell: models of the site and shipped ones whose names begin so, else files."""
    from sitegen.models.registry import known_models

    return [*_beginning(start, known_models)] or [CompletionItem(start, type="file")]


def preset_names(_context: click.Context, _parameter: click.Parameter, start: str) -> list[str]:
    """For the shell: published configurations whose names begin so."""
    from sitegen.ihdm.card.card import presets

    return _beginning(start, presets)


def figure_names(_context: click.Context, _parameter: click.Parameter, start: str) -> list[str]:
    """For the shell: figures of the site in this folder whose names begin so."""
    from sitegen.config.loader import load_site
    from sitegen.content.pages import read_pages

    def names() -> list[str]:
        pages = read_pages(load_site(Path("site.toml")))
        return [figure.id for page in pages for figure in page.figures]

    return _beginning(start, names)


def _beginning(start: str, names: Callable[[], Iterable[str]]) -> list[str]:
    """The names that begin so; none where a site is broken, which is not the moment to tell."""
    from sitegen.core.errors import SitegenError

    try:
        return sorted(name for name in names() if name.startswith(start))
    except SitegenError:
        return []


def config_option(command: F) -> F:
    """Add --config."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("site.toml"),
        show_default=True,
        help="The site's file.",
    )(command)


def talk_options(command: F) -> F:
    """Add --quiet and --verbose; `console` is then made as they say."""
    quiet = click.option(
        "--quiet",
        "-q",
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="Say nothing but warnings and errors.",
    )
    verbose = click.option(
        "--verbose",
        "-v",
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="Say more: what was found, kept and read, and where.",
    )
    return quiet(verbose(command))


def _keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Remember --quiet or --verbose for `console`; both at once contradict each other."""
    said: dict[str, bool] = context.meta.setdefault("sitegen.talk", {})
    said[str(parameter.name)] = value
    if said.get("quiet") and said.get("verbose"):
        raise click.UsageError("--quiet and --verbose contradict each other; give one of them.")


def console() -> Console:
    """The console that the running command was asked for."""
    return Console(**click.get_current_context().meta.get("sitegen.talk", {}))


def built_site(config: Path, output: Path | None) -> tuple[Site | None, Path]:
    """The site of `config` and its built folder; no site where only the folder is named.

    Raises ConfigError for a site that is named or needed and cannot be read.
    """
    from sitegen.config.loader import load_site

    source = click.get_current_context().get_parameter_source("config")
    if output is not None and source is not ParameterSource.COMMANDLINE and not config.exists():
        return None, output
    site = load_site(config)
    return site, output or site.output


def finite(_context: click.Context, _parameter: click.Parameter, value: float | None) -> Any:
    """Refuse NaN, which is neither below nor above a range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("NaN is not a number to compute with.")
    return value


def compute_target(device: str, precision: str) -> ComputeTarget:
    """What the two options ask for. ConfigError for a device that is none."""
    from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision

    resolved = resolve_device(device)
    return ComputeTarget(resolved, resolve_precision(precision, resolved))


def figure_renderer(sources: Any, compute_target: ComputeTarget) -> Any:
    """Import torch only when something is to be rendered."""
    from sitegen.build.renderer import FigureRenderer

    return FigureRenderer(sources, compute_target)
