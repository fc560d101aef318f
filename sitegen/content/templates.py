"""The template pass over a page: `{{ … }}` and `{% … %}` in its Markdown, run by Jinja.

The value of an expression is data: all Markdown punctuation in it is escaped. `|safe`, a macro and
`{% set x %}` … `{% endset %}` yield Markdown. Text between `{% raw %}` and `{% endraw %}` is not
changed, so that a page can show the source of a figure call. A backslash in quotes is a backslash.

Templates of pages and themes are the author's own code.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from traceback import walk_tb

from jinja2 import (
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    pass_eval_context,
)
from jinja2.lexer import Lexer, Token
from jinja2.nodes import EvalContext
from markupsafe import Markup

from sitegen.core.diagnostics import close_match

FAILURES = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError),
    *(TypeError, ValueError),
)
"""Exceptions of Python that an author's expressions may raise."""
_PACKAGE = Path(__file__).parents[1]
_FILE = "<template>"  # Jinja's name for a template made from a string
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_COMMAND = re.compile(r"\\\\|\\(?=[A-Za-z])")  # an escaped backslash, or one before a letter
_RAW = "; to show braces themselves, write {% raw %} before and {% endraw %} after them"


class TemplateFault(Exception):
    """An error in a template: the line, counted from 1, or None, and the reason."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


@pass_eval_context  # prevents Jinja from treating constants as template text
def as_markdown(_context: EvalContext | None, value: object) -> Markup:
    """Escape a value so that Markdown shows it as one line of text."""
    if callable(value) and not isinstance(value, Undefined):
        name = getattr(value, "__name__", "a function")
        raise TemplateRuntimeError(f"{name} lacks its parentheses; write {name}(…)")
    if isinstance(value, Markup):
        return value
    text = "" if value is None else " ".join(str(value).split())
    return Markup(_PUNCTUATION.sub(r"\\\1", text))


class _PageLexer(Lexer):
    """The lexer of pages, in whose strings a backslash before a letter is a backslash."""

    def wrap(
        self,
        stream: Iterable[tuple[int, str, str]],
        name: str | None = None,
        filename: str | None = None,
    ) -> Iterator[Token]:
        """Yield the tokens, so that a caption with `$\\theta$` has no tab in it."""
        literal = (
            (line, kind, _COMMAND.sub(r"\\\\", text) if kind == "string" else text)
            for line, kind, text in stream
        )
        return super().wrap(literal, name, filename)


class _PageEnvironment(Environment):
    @cached_property
    def lexer(self) -> Lexer:
        return _PageLexer(self)


@cache
def _environment() -> Environment:
    """Return the environment of pages, which escapes values and rejects undefined names."""
    return _PageEnvironment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=as_markdown,
    )


def run_template(text: str, names: Mapping[str, object]) -> str:
    """Run the template with the given names; raise TemplateFault with the line and the reason."""
    try:
        return _environment().from_string(text).render(names)
    except TemplateSyntaxError as error:
        raise TemplateFault(error.lineno, f"{error.message}{_RAW}") from error
    except SyntaxError as error:  # in the Python code that Jinja generates, as for f(a=1, a=2)
        raise TemplateFault(None, f"{error.msg}{_RAW}") from error
    except (TemplateError, *FAILURES) as error:
        files = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
        is_ours = Path(files[-1][0]).is_relative_to(_PACKAGE)
        if is_ours and not isinstance(error, TemplateError):  # a bug
            raise
        hint, message = "", " ".join(str(error).split())[:300] or type(error).__name__
        if name := re.match(r"'(.*)' is undefined", str(error)):
            hint = close_match(name[1], names) or _RAW
        elif attribute := re.search(r"has no attribute '(.*)'", str(error)):
            tables = [value for value in names.values() if isinstance(value, Mapping)]
            hint = close_match(attribute[1], [str(key) for table in tables for key in table])
        lines = [line for file, line in files if file == _FILE]
        raise TemplateFault(lines[-1] if lines else 1, f"{message}{hint}") from error


def calling_line() -> int:
    """Return the template line from which the current function was called."""
    # Jinja passes no line to functions; its compiled template maps lines of Python to its own.
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename != _FILE:
        frame = frame.f_back
    template = frame.f_globals.get("__jinja_template__")
    return 1 if template is None else int(template.get_corresponding_lineno(frame.f_lineno))
