"""Options shared by several commands, and their completion in shells."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from sitegen.cli.console import Console
from sitegen.core.errors import SitegenError

if TYPE_CHECKING:
    from sitegen.config.schema import Site
    from sitegen.core.compute import ComputeTarget

F = TypeVar("F", bound=Callable[..., Any])
Row = tuple[str, Any, str]
"""An option: its name, click's type of its value, and its help text."""

PATH = click.Path(path_type=Path)
KIND = click.Choice(["ihdm", "ddpm", "flow"])
PRECISION = click.Choice(["auto", "float32", "bfloat16"])


class IntegerRange(click.IntRange):
    """Integer in a range, named "integer" in error messages."""

    name = "integer"


SEED = IntegerRange(0, 2**63 - 1)


class NumberRange(click.FloatRange):
    """Number in a range; rejects NaN, which click lets pass."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number. Raises click.BadParameter for anything else."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail("NaN is not allowed.", param, ctx)
        return number


def offers(names: Callable[[], Iterable[str]], *, files: bool = False) -> Callable[..., Any]:
    """Return a completion: the names that begin with the typed word, else files if `files`.

    Offers nothing if the site has errors; completion is not the time to report them.
    """

    def offer(_context: click.Context, _parameter: click.Parameter, start: str) -> list[Any]:
        found: list[Any] = []
        with contextlib.suppress(SitegenError):
            found += sorted(name for name in names() if name.startswith(start))
        return found or ([CompletionItem(start, type="file")] if files else [])

    return offer


def _models() -> Iterable[str]:
    from sitegen.models.registry import known_models

    return known_models()


def _presets() -> Iterable[str]:
    from sitegen.generative.card.card import presets

    return presets()


def _figures() -> Iterable[str]:
    from sitegen.config.loader import load_site
    from sitegen.content.pages import read_pages

    site = load_site(Path("site.toml"))
    return [figure.id for page in read_pages(site) for figure in page.figures]


model_names = offers(_models, files=True)
figure_names = offers(_figures)
_OFFERS = {
    "init": model_names,
    "preset": offers(_presets),
    "device": offers(lambda: ("auto", "cpu", "cuda", "mps")),
}


def row_options(rows: Sequence[Row], defaults: Mapping[str, Any], *needed: str) -> Callable[[F], F]:
    """Add an option for each row, with its default if it has one."""

    def add(command: F) -> F:
        for name, kind, words in reversed(rows):
            default = defaults.get(name.replace("-", "_"))
            known = {} if default is None else {"default": default, "show_default": True}
            known |= {"required": name in needed, "shell_complete": _OFFERS.get(name)}
            command = click.option(f"--{name}", type=kind, help=words, **known)(command)
        return command

    return add


_FASTER = "The network's arithmetic; auto is bfloat16 on processors that multiply in it."
_COMPUTE: tuple[Row, ...] = (
    ("device", str, "The device that the network runs on: auto, cpu, cuda, cuda:N or mps."),
    ("precision", PRECISION, _FASTER),
)
compute_options = row_options(_COMPUTE, {"device": "auto", "precision": "auto"})
sample_compute_options = row_options(_COMPUTE, {"device": "auto", "precision": "float32"})
config_option = row_options([("config", PATH, "The site's file.")], {"config": Path("site.toml")})


def verbosity_options(command: F) -> F:
    """Add --quiet and --verbose, which `console` applies."""
    flag = partial(click.option, is_flag=True, expose_value=False, callback=_keep)
    more = "Print more: what was found, kept and read, and where."
    less = "Print only warnings and errors."
    return flag("--quiet", "-q", help=less)(flag("--verbose", "-v", help=more)(command))


def _keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Store --quiet or --verbose for `console`; they exclude each other."""
    said: dict[str, bool] = context.meta.setdefault("sitegen.talk", {})
    said[str(parameter.name)] = value
    if said.get("quiet") and said.get("verbose"):
        raise click.UsageError("--quiet and --verbose exclude each other; give one of them.")


def console() -> Console:
    """Return a console with the verbosity of the running command."""
    return Console(**click.get_current_context().meta.get("sitegen.talk", {}))


def config_was_named() -> bool:
    """Return whether --config is on the command line, so that the site must exist."""
    source = click.get_current_context().get_parameter_source("config")
    return source is ParameterSource.COMMANDLINE


def built_site(config: Path, output: Path | None) -> tuple[Site | None, Path]:
    """Return the site of `config` and its built folder; no site if only the folder is given.

    Raises ConfigError if a site that is named or needed cannot be read.
    """
    from sitegen.config.loader import load_site

    if output is not None and not config_was_named() and not config.exists():
        return None, output
    site = load_site(config)
    return site, output or site.output


def compute_target(device: str, precision: str) -> ComputeTarget:
    """Resolve --device and --precision. Raises ConfigError for an invalid device."""
    from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision

    resolved = resolve_device(device)
    return ComputeTarget(resolved, resolve_precision(precision, resolved))


def require_scheduler_address(distributed: str | None) -> None:
    """Raise ConfigError if `--distributed` names no scheduler."""
    from sitegen.core.errors import ConfigError
    from sitegen.core.urls import scheduler_fault

    if distributed is not None and (fault := scheduler_fault(distributed)) is not None:
        raise ConfigError(f"--distributed {distributed}: {fault}")


def figure_renderer(sources: Any, compute_target: ComputeTarget) -> Any:
    """Return a renderer; imports torch, so it is called only if something is to be rendered."""
    from sitegen.builder.render import FigureRenderer

    return FigureRenderer(sources, compute_target)
