"""The Jinja sandbox in which the templates of pages and themes run.

Templates are the author's own code. The sandbox prevents them from modifying their input; the
limits on time and memory are those of their process (`sitegen.core.bounded`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range

SOURCE = Path(__file__)
"""This file, on which compiled templates depend."""


class TemplateFunction:
    """A function for templates. Its text is its name, without an address that would vary."""

    def __init__(self, function: Callable[..., Any], name: str = "") -> None:
        self._function = function
        self.__name__ = name or getattr(function, "__name__", "it")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"


def sandbox(
    kind: type[ImmutableSandboxedEnvironment] = ImmutableSandboxedEnvironment, **options: Any
) -> ImmutableSandboxedEnvironment:
    """Return an environment that escapes its output and has `range` as its only global."""
    environment = kind(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.globals = {"range": TemplateFunction(safe_range, "range")}
    return environment
