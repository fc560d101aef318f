"""The template pass over a page: `{{ … }}` and `{% … %}` in its Markdown, run in a sandbox.

The value of an expression is data: all Markdown punctuation in it is escaped, also after the filter
`escape`. `|safe`, a macro and `{% set x %}` … `{% endset %}` yield Markdown. Text between
`{% raw %}` and `{% endraw %}` is not changed, so that a page can show the source of a figure call.

Templates of pages and themes are the author's own code. The sandbox prevents them from modifying
their input.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from random import Random
from traceback import walk_tb
from types import TracebackType
from typing import Any

from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    pass_context,
    pass_eval_context,
)
from jinja2.filters import FILTERS as DEFAULT_FILTERS
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from markupsafe import Markup

from sitegen.core.diagnostics import close_match
from sitegen.core.source import PLAIN

FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NameError),
    *(RecursionError, TypeError, ValueError),
)
"""Exceptions that an author's expressions may raise besides those of Jinja and sitegen."""
SOURCE = Path(__file__)
"""This file, on which compiled templates depend."""
_DEEP = 100  # nested calls above which a template is assumed to call itself
_UNKNOWN = "a call of the unknown"  # a key among the names of a template that no template can use
_GENERATOR = "a random generator"  # a key of the same kind
_FILE = "<template>"  # Jinja's name for a template made from a string
_MARKS = re.compile(r"([!-/:-@\[-`{-~])")
_TYPE = "type the plain one, without full width and curls"
_RAW = "; to show braces themselves, write {% raw %} before and {% endraw %} after them"


class TemplateFault(Exception):
    """An error in a template: the line, counted from 1, and the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def as_markdown(value: object) -> Markup:
    """Escape a value so that Markdown shows it as one line of text."""
    if isinstance(value, Markup):
        return value
    text = "" if value is None else " ".join(str(value).split())
    return Markup(_MARKS.sub(r"\\\1", text))


@pass_eval_context  # prevents Jinja from treating constants as template text
def _written(_context: EvalContext, value: object) -> Markup:
    if callable(value) and not isinstance(value, Undefined):
        name = getattr(value, "__name__", "it").strip("_")
        raise TemplateRuntimeError(f"{name} stands here without its parentheses; write {name}(…)")
    return as_markdown(value)


class _Text(str):
    """A text that its author has escaped; it is escaped for Markdown once, when it is output."""

    def __html__(self) -> str:
        """Return the text escaped for Markdown."""
        return as_markdown(self)


def _escaped(value: object) -> Markup | _Text:
    return value if isinstance(value, Markup) else _forced(value)


def _forced(value: object) -> _Text:
    return _Text("" if value is None else value)


def _told(function: Callable[..., object]) -> Callable[..., str]:
    """Wrap a filter that returns HTML, so that its result is treated as text."""

    @wraps(function)
    def call(*args: object, **kwargs: object) -> str:
        return str(function(*args, **kwargs))

    return call


@pass_context
def seeded_choice(context: Context, items: Sequence[Any]) -> Any:
    """Return an item of a sequence, with the same choices in every build (filter `random`)."""
    if not items:
        return context.environment.undefined("No random item, sequence was empty.")
    return context.vars.setdefault(_GENERATOR, Random(0)).choice(items)


_FILTERS = {
    "random": seeded_choice,
    "e": _escaped,
    "escape": _escaped,
    "forceescape": _forced,
    **{name: _told(DEFAULT_FILTERS[name]) for name in ("tojson", "urlize", "xmlattr")},
}
"""Replacements for Jinja filters: `random`, and the filters that return HTML."""


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


class _Pages(ImmutableSandboxedEnvironment):
    """The sandbox of pages. It reports calls of undefined names to a handler."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters |= _FILTERS

    def call(__self: Any, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        tell = __context.get(_UNKNOWN)
        if tell is None or not isinstance(__obj, Undefined):
            return super().call(__context, __obj, *args, **kwargs)
        try:
            return str(__obj)  # raises if undefined, with the name
        except TemplateError as error:
            return tell(error)


@cache
def _for_pages() -> ImmutableSandboxedEnvironment:
    return sandbox(_Pages, finalize=_written)


def run_template(
    text: str, names: Mapping[str, object], unknown: Callable[[str], Markup] | None = None
) -> str:
    """Run the template with the given names; raise TemplateFault with the line and the reason.

    unknown: called with a message for each call of an undefined name; returns what to show instead
    """

    def tell(error: TemplateError) -> Markup:
        assert unknown is not None
        return unknown(f"{reason_of(error)}{_hint(str(error), names)}")

    try:
        given = {n: TemplateFunction(v) if callable(v) else v for n, v in names.items()}
        given |= {_UNKNOWN: tell} if unknown else {}
        return _for_pages().from_string(text).render(given)
    except TemplateSyntaxError as error:
        raise _syntax_fault(error, text) from error
    except SyntaxError as error:  # in the Python code that Jinja generates
        hint = "; say it once" if "repeated" in error.msg else _RAW
        raise TemplateFault(_repeated(error, text), f"{error.msg}{hint}") from error
    except (TemplateError, *FAILURES) as error:
        ours = isinstance(error, FAILURES) and not isinstance(error, MemoryError)
        if ours and _in_a_function(error.__traceback__, names):
            raise  # a bug in sitegen
        hint = _hint(str(error), names) if isinstance(error, UndefinedError) else ""
        raise TemplateFault(_line(error.__traceback__), f"{reason_of(error)}{hint}") from error


def _syntax_fault(error: TemplateSyntaxError, text: str) -> TemplateFault:
    message = error.message or ""
    odd = re.search(r"""unexpected char (["'])(.)\1""", message)
    if odd and (plain := PLAIN.get(odd[2])):
        return TemplateFault(error.lineno, f"{odd[2]} is another character than {plain}; {_TYPE}")
    if odd and odd[2] in "\"'":
        words = f"a {odd[2]} opens words here, and none closes them; put one behind the last word"
        return TemplateFault(error.lineno, f"{words}{_RAW}")
    open_block = re.search(r"innermost block that needs to be closed is '(\w+)'", message)
    if open_block and (line := _opened(open_block[1], text)):
        name = open_block[1]
        words = f"{{% {name} … %}} is not closed: write {{% end{name} %}} where it ends"
        return TemplateFault(line, f"{words}{_RAW}")
    return TemplateFault(error.lineno, f"{message}{_RAW}")


def _repeated(error: SyntaxError, text: str) -> int:
    """Return the line where a call repeats a keyword argument, or 1."""
    name = error.msg.rpartition(": ")[2]
    for call in re.finditer(r"\{[{%].*?[%}]\}", text, re.DOTALL):
        places = [found.start() for found in re.finditer(rf"\b{re.escape(name)}\s*=", call[0])]
        if len(places) > 1:
            return text.count("\n", 0, call.start() + places[1]) + 1
    return 1


def _opened(name: str, text: str) -> int | None:
    """Return the line of the last unclosed block of this name."""
    raw = re.compile(r"\{% *raw *%\}.*?\{% *endraw *%\}", re.DOTALL)
    bare = raw.sub(lambda found: "\n" * found[0].count("\n"), text)
    opened: list[int] = []
    for found in re.finditer(rf"\{{%[-+]?\s*(end)?{name}\b", bare):
        if not found[1]:
            opened.append(bare.count("\n", 0, found.start()) + 1)
        elif opened:
            opened.pop()
    return opened[-1] if opened else None


def _in_a_function(trace: TracebackType | None, names: Mapping[str, object]) -> bool:
    """Return whether an error was raised inside one of the functions passed to the page.

    Returns False if a template called itself until a call of such a function hit the limit.
    """
    codes = {getattr(getattr(value, "func", value), "__code__", None) for value in names.values()}
    found = [frame.f_code for frame, _ in walk_tb(trace)]
    deep = sum(code.co_filename == _FILE for code in found) > _DEEP
    return not deep and any(code in codes for code in found)


def calling_line() -> int:
    """Return the template line from which the current function was called."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename != _FILE:
        frame = frame.f_back
    template = frame.f_globals.get("__jinja_template__")
    return 1 if template is None else int(template.get_corresponding_lineno(frame.f_lineno))


def _line(trace: TracebackType | None) -> int:
    """Return the innermost template line in a traceback that Jinja has rewritten."""
    lines = [line for frame, line in walk_tb(trace) if frame.f_code.co_filename == _FILE]
    return lines[-1] if lines else 1


def reason_of(error: Exception) -> str:
    """Return the message of an error, on one line of at most 300 characters."""
    if isinstance(error, MemoryError):
        return "needs more memory than there is; make its values and loops smaller"
    if isinstance(error, RecursionError):
        return "too much is nested in each other here"
    return " ".join(str(error).split())[:300] or type(error).__name__


def _hint(message: str, names: Mapping[str, object]) -> str:
    name = re.match(r"'(.*)' is undefined", message)
    if name is not None:
        return close_match(name[1], [*names, "range"]) or _RAW
    attribute = re.search(r"has no attribute '(.*)'", message)
    keys = [key for value in names.values() if isinstance(value, Mapping) for key in value]
    return close_match(attribute[1], keys) if attribute else ""
