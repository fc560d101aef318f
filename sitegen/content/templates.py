"""The template pass over a page: `{{ … }}` and `{% … %}` in its Markdown, run in a sandbox.

What an expression yields is data: every mark that Markdown knows is escaped in it. Text between
`{% raw %}` and `{% endraw %}` is left alone, which is how a page shows a figure call itself.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, wraps
from itertools import islice
from math import inf
from time import thread_time
from traceback import walk_tb
from types import BuiltinMethodType, MethodType, TracebackType
from typing import Any

from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    nodes,
    pass_eval_context,
)
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from sitegen.core.diagnostics import close_match
from sitegen.core.source import PLAIN

FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NameError),
    *(RecursionError, TypeError, ValueError),
)
"""What an expression of an author can run into, beside what Jinja and our functions tell."""
_DEEP = 100  # calls in a template beyond which it is the template that calls itself
_UNKNOWN = "a call of the unknown"  # among the names of a template, which cannot say it
_FILE = "<template>"  # the name that Jinja gives to a template made from a string
_MARKS = re.compile(r"([!-/:-@\[-`{-~])")
_TYPE = "type the plain one, without full width and curls"
_RAW = "; to show braces themselves, write {% raw %} before and {% endraw %} after them"


class TemplateFault(Exception):
    """A template that cannot be run: the line, counted from 1, and the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def as_markdown(value: object) -> Markup:
    """Write a value so that Markdown shows it as the one line of text that it is."""
    if isinstance(value, Markup):
        return value
    text = "" if value is None else " ".join(str(value).split())
    return Markup(_MARKS.sub(r"\\\1", text))


_STEPS = 200_000
"""How many turns of loops and calls a page's template may take; a hundred printed characters are
one, too."""
_SECONDS = 5.0
"""How long it may compute."""
_LONGEST = 100_000
"""How many characters, items or bits an operation may make of a few."""
_LARGEST = 10_000_000
"""The same as far as it can be told before, from what it is given."""


class _Budget:
    """What is left to the template of a page."""

    def __init__(self) -> None:
        self.steps, self.until = _STEPS, thread_time() + _SECONDS


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


def _spend(count: int) -> None:
    if (left := _budget.get()) is not None:
        left.steps -= count
        if left.steps < 0 or thread_time() > left.until:
            raise OverflowError(
                "the page's template computes or prints too much; shorten its loops"
            )


def _paced(items: Iterable[Any], turn: int = 1) -> Iterator[Any]:
    for item in items:
        _spend(turn)
        yield item


def _extent(value: object) -> int:
    """How many characters, items and words of numbers a value has, however deep; of many some."""
    rest, found = [value], 0
    while rest and found <= _LONGEST:
        each = rest.pop()
        if isinstance(each, str | bytes):
            found += len(each)
        elif isinstance(each, int):
            found += each.bit_length() // 64
        elif isinstance(each, Mapping):
            found += len(each)
            rest += [*each.keys(), *each.values()][:_LONGEST]
        elif isinstance(each, list | tuple | set | frozenset):
            found += len(each)
            rest += [*each][:_LONGEST]
    return found


def _small(value: Any) -> Any:
    """The value, unless it grows too large."""
    _require_small(_extent(value))
    return value


def _reach(value: object) -> int:
    """How much an argument may make of something: its number, or its extent."""
    text = str(value) if isinstance(value, int) else value
    if isinstance(text, str) and text.strip("+- ").isdecimal():
        digits = text.strip("+- ")
        return int(digits) if len(digits) < _MOST_DIGITS else _LARGEST
    return _extent(value)


def _require_feasible(value: object, arguments: Iterable[object]) -> None:
    """OverflowError where a value and the largest argument can make too much together."""
    most = max(map(_reach, arguments), default=0)
    if (_extent(value) + 1) * (most + 1) > _LARGEST:
        _require_small(_LONGEST + 1)


def _weighed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that makes nothing enormous; `value` is the first that it is given by a page."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if _budget.get() is None:
            return function(*args, **kwargs)
        given = [
            [*islice(each, _LONGEST + 1)] if isinstance(each, Iterator) else each for each in args
        ]
        _require_feasible(_small(given[first]), [*given[first + 1 :], *kwargs.values()])
        _spend(1 + _extent(given[first]) // 100)
        return _small(function(*given, **kwargs))

    return call


def _require_small(size: int) -> None:
    if size > _LONGEST:
        raise OverflowError("a value in the page's template grows too large; make it smaller")


_INFINITE = (inf, -inf)
_MOST_NAMES = 10_000
_safe: dict[tuple[type, str], bool] = {}
"""Which attributes of which types templates may read, as far as it was asked."""


def _below(tree: nodes.Node) -> Iterator[nodes.Node]:
    """All nodes below one, in no order; those that are put into it meanwhile, too."""
    rest = list(tree.iter_child_nodes())
    while rest:
        node = rest.pop()
        yield node
        rest.extend(node.iter_child_nodes())


class _Bounded(ImmutableSandboxedEnvironment):
    """A sandbox whose loops, powers, repetitions and paddings have limits."""

    intercepted_binops = frozenset({"**", "*", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in _below(tree):
            if isinstance(node, nodes.For) and not node.recursive:
                paced = nodes.Filter(node.iter, "_paced", [], [], None, None)
                node.iter = paced.set_lineno(node.lineno)
            elif isinstance(node, nodes.Const) and node.value in _INFINITE:
                raise TemplateSyntaxError("a number is too large", node.lineno, name, filename)
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute what does not grow too large; OverflowError for the rest."""
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _require_small(left.bit_length() * abs(right))
        elif operator == "*":
            many, few = (left, right) if isinstance(right, int) else (right, left)
            if isinstance(few, int) and hasattr(many, "__len__"):
                _require_small(len(many) * abs(few))
            elif isinstance(few, int) and isinstance(many, int):
                _require_small(many.bit_length() + few.bit_length())
        elif operator == "%" and isinstance(left, str) and _WIDE.search(left):
            _require_small(_LONGEST + 1)
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read it, which the type of the object and the name decide."""
        key = type(obj), attr
        if (known := _safe.get(key)) is None:
            known = super().is_safe_attribute(obj, attr, value)
            if len(_safe) < _MOST_NAMES:
                _safe[key] = known
        return known

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An attribute of a value; a method of a text makes no enormous one."""
        if not isinstance(obj, str):
            if _safe.get((type(obj), attribute)):
                value = getattr(obj, attribute, None)
                if value is not None and not isinstance(value, _METHODS):
                    return value
            return super().getattr(obj, attribute)
        value = super().getattr(obj, attribute)
        if attribute not in _PADDING:
            return value
        if attribute.startswith("format") and _WIDE.search(obj):
            _require_small(_LONGEST + 1)
        return _narrow(value)


def _checked(node: nodes.Expr) -> nodes.Expr:
    """What a value is made of, looked at before it is."""
    if isinstance(node, nodes.Const):
        return node
    checked: nodes.Expr = nodes.Filter(node, "_small", [], [], None, None)
    checked.set_lineno(node.lineno)
    return checked


_METHODS = (MethodType, BuiltinMethodType)
_PADDING = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
_WIDE = re.compile(r"\d{5,}|\*|:[^{}]*\{")
_MOST_DIGITS = 9
_MOST_NODES = 50_000


def _narrow(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that takes no enormous widths."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        numbers = [abs(each) for each in (*args, *kwargs.values()) if isinstance(each, int)]
        _require_small(max(numbers, default=0))
        if getattr(function, "__name__", "") == "do_format" and _WIDE.search(str(args[0])):
            _require_small(_LONGEST + 1)
        return function(*args, **kwargs)

    return call


class _PageSandbox(_Bounded):
    """Tells a call of something undefined to who wants to know, and goes on with the answer.

    No value of a page grows large, not even one that holds others many times over, so that no
    single operation takes long; and between operations the time is looked at.
    """

    intercepted_binops = _Bounded.intercepted_binops | {"+"}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for count, node in enumerate(_below(tree)):
            if count > _MOST_NODES:
                words = "the page's template has too many expressions; make them text"
                raise TemplateSyntaxError(words, node.lineno, name, filename)
            if isinstance(node, nodes.For) and isinstance(node.iter, nodes.Filter):
                data = (each for part in node.body for each in (part, *_below(part)))
                size = sum(len(each.data) for each in data if isinstance(each, nodes.TemplateData))
                if node.iter.name == "_paced":
                    node.iter.args = [nodes.Const(1 + size // 100)]
            elif isinstance(node, nodes.List | nodes.Tuple) and getattr(node, "ctx", "") != "store":
                node.items = list(map(_checked, node.items))
            elif isinstance(node, nodes.Pair):
                node.value = _checked(node.value)
            elif isinstance(node, nodes.Concat):
                node.nodes = list(map(_checked, node.nodes))
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute what does not grow too large; OverflowError for the rest."""
        _spend(1)
        return _small(super().call_binop(context, operator, _small(left), _small(right)))

    def call(__self: Any, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        _spend(1)
        method = getattr(__obj, "__wrapped__", __obj)
        if isinstance(method, BuiltinMethodType):  # of a text, a list, …
            given = method.__self__
            _require_feasible(_small(given), (*args, *kwargs.values()))
            return _small(super().call(__context, __obj, *args, **kwargs))
        tell = __context.get(_UNKNOWN)
        if tell is None or not isinstance(__obj, Undefined):
            return super().call(__context, __obj, *args, **kwargs)
        try:
            return str(__obj)  # raises, and names what is undefined
        except TemplateError as error:
            return tell(error)


def sandbox(
    kind: type[ImmutableSandboxedEnvironment] = _Bounded, **options: Any
) -> ImmutableSandboxedEnvironment:
    """Where templates run: they escape what they print, and see what they are given and `range`."""
    environment = kind(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.globals = {"range": environment.globals["range"]}
    environment.filters |= {"_paced": _paced, "_small": _small}
    for name in ("center", "format", "indent", "batch", "slice"):
        environment.filters[name] = _narrow(environment.filters[name])
    return environment


@pass_eval_context  # so that constants are not taken for the text around them
def _written(_context: EvalContext, value: object) -> Markup:
    text = as_markdown(value)
    _spend(len(text) // 100)
    return text


@cache
def _for_pages() -> ImmutableSandboxedEnvironment:
    environment = sandbox(_PageSandbox, finalize=_written)
    own = ("_paced", "_small")
    for name, function in environment.filters.items():
        environment.filters[name] = function if name in own else _weighed(function)
    return environment


def run_template(
    text: str, names: Mapping[str, object], unknown: Callable[[str], Markup] | None = None
) -> str:
    """Run the template with the names given; TemplateFault says what is wrong, and where.

    A call of what there is not is told to `unknown`, in words; what that returns stands for it.
    """

    def tell(error: TemplateError) -> Markup:
        assert unknown is not None
        return unknown(f"{reason_of(error)}{_hint(str(error), names)}")

    token = _budget.set(_Budget())
    try:
        more = {_UNKNOWN: tell} if unknown else {}
        return _for_pages().from_string(text).render({**names, **more})
    except TemplateSyntaxError as error:
        raise _syntax_fault(error, text) from error
    except SyntaxError as error:  # of the Python that Jinja makes of it
        raise TemplateFault(_repeated(error, text), _reason_of_python(error)) from error
    except (TemplateError, *FAILURES) as error:
        if isinstance(error, FAILURES) and _in_a_function(error.__traceback__, names):
            raise  # a mistake of ours
        hint = _hint(str(error), names) if isinstance(error, UndefinedError) else ""
        raise TemplateFault(_line(error.__traceback__), f"{reason_of(error)}{hint}") from error
    finally:
        _budget.reset(token)


def _syntax_fault(error: TemplateSyntaxError, text: str) -> TemplateFault:
    """What is wrong with a template, where it begins to be."""
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


def _reason_of_python(error: SyntaxError) -> str:
    """What is wrong with a template that Jinja takes, and Python does not."""
    return f"{error.msg}; say it once" if "repeated" in error.msg else f"{error.msg}{_RAW}"


def _repeated(error: SyntaxError, text: str) -> int:
    """The line where an argument of a call is named for the second time; else 1."""
    name = error.msg.rpartition(": ")[2]
    for call in re.finditer(r"\{[{%].*?[%}]\}", text, re.DOTALL):
        places = [found.start() for found in re.finditer(rf"\b{re.escape(name)}\s*=", call[0])]
        if len(places) > 1:
            return text.count("\n", 0, call.start() + places[1]) + 1
    return 1


def _opened(name: str, text: str) -> int | None:
    """The line of the last block of that name which nothing closes."""
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
    """Whether an error comes from inside one of the functions that the page was given.

    It does not where a template called itself until one of them was a call too many.
    """
    codes = {getattr(getattr(value, "func", value), "__code__", None) for value in names.values()}
    found = [frame.f_code for frame, _ in walk_tb(trace)]
    deep = sum(code.co_filename == _FILE for code in found) > _DEEP
    return not deep and any(code in codes for code in found)


def calling_line() -> int:
    """The line of the template that called the function which asks."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename != _FILE:
        frame = frame.f_back
    template = frame.f_globals.get("__jinja_template__")
    return 1 if template is None else int(template.get_corresponding_lineno(frame.f_lineno))


def _line(trace: TracebackType | None) -> int:
    """The innermost line of the template in a traceback, which Jinja has put in its terms."""
    lines = [line for frame, line in walk_tb(trace) if frame.f_code.co_filename == _FILE]
    return lines[-1] if lines else 1


def reason_of(error: Exception) -> str:
    """What an error says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _hint(message: str, names: Mapping[str, object]) -> str:
    """Name what the author may have meant by an undefined name or attribute."""
    name = re.match(r"'(.*)' is undefined", message)
    if name is not None:
        return close_match(name[1], [*names, "range"]) or _RAW
    attribute = re.search(r"has no attribute '(.*)'", message)
    keys = [key for value in names.values() if isinstance(value, Mapping) for key in value]
    return close_match(attribute[1], keys) if attribute else ""
