"""Options shared by several commands, and their completion in shells."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from sitegen.cli.console import Console

if TYPE_CHECKING:
    from sitegen.core.compute import ComputeTarget

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
KIND = click.Choice(["ihdm", "ddpm", "flow"])
PRECISION = click.Choice(["auto", "float32", "bfloat16"])
SEED = click.IntRange(0, 2**63 - 1)


class _List(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A list with commas, as a tuple."""

    name = "list"

    def convert(self, value: Any, *_: Any) -> tuple[str, ...]:
        return tuple(part.strip() for part in value.split(",") if part.strip())


LIST = _List()


config_option = click.option(
    "--config", type=PATH, default=Path("site.toml"), show_default=True, help="The site's file."
)


def compute_options(command: F) -> F:
    """Add --device and --precision."""
    device_option = click.option(
        "--device",
        default="auto",
        show_default=True,
        help="The device that the network runs on: auto, cpu, cuda or cuda:N.",
    )
    precision_option = click.option(
        "--precision",
        type=PRECISION,
        default="auto",
        show_default=True,
        help="The network's arithmetic; auto is bfloat16 on processors that multiply in it.",
    )
    return device_option(precision_option(command))


def verbosity_options(command: F) -> F:
    """Add --quiet and --verbose; the command gets a console with them as `report`.

    It is the last decorator, next to the command, so that the others see the whole command.
    """

    @wraps(command)
    def with_console(*args: Any, quiet: bool, verbose: bool, **kwargs: Any) -> Any:
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other; give one of them.")
        return command(*args, report=Console(quiet=quiet, verbose=verbose), **kwargs)

    quiet = click.option("--quiet", "-q", is_flag=True, help="Print only warnings and errors.")
    more = "Print more: the files that are read, reused and written."
    verbose = click.option("--verbose", "-v", is_flag=True, help=more)
    return cast("F", quiet(verbose(with_console)))


def compute_target(device: str, precision: str) -> ComputeTarget:
    """Resolve --device and --precision. Raises ConfigError for an invalid device."""
    from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision

    resolved = resolve_device(device)
    return ComputeTarget(resolved, resolve_precision(precision, resolved))
