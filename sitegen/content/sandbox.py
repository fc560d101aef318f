"""Where the templates of authors run: a sandbox that bounds what they compute, make and print.

A page's template may take so many steps and so much time; no value that it makes grows large, not
even one that holds others many times over, so that no single operation takes long.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from math import inf
from time import thread_time
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_STEPS = 200_000
"""How many turns of loops and calls a page's template may take; a hundred printed characters are
one, too."""
_SECONDS = 5.0
"""How long it may compute."""
_LONGEST = 100_000
"""How many characters, items or bits an operation may make of a few."""
_LARGEST = 50_000_000
"""The same as far as it can be told before, from what it is given."""


class _Budget:
    """What is left to the template of a page."""

    def __init__(self) -> None:
        self.steps, self.until = _STEPS, thread_time() + _SECONDS


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def budget() -> Iterator[None]:
    """The template that runs in the block has one."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def spend(count: int) -> None:
    """Take steps of the budget, where there is one. OverflowError if none are left, or no time."""
    if (left := _budget.get()) is not None:
        left.steps -= count
        if left.steps < 0 or thread_time() > left.until:
            raise OverflowError(
                "the page's template computes or prints too much; shorten its loops"
            )


def _paced(items: Iterable[Any], turn: int = 1) -> Iterator[Any]:
    for item in items:
        spend(turn)
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
        spend(1 + _extent(given[first]) // 100)
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


class PageSandbox(_Bounded):
    """That of a page: calls, filters and what values are made of count, too."""

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
        spend(1)
        return _small(super().call_binop(context, operator, _small(left), _small(right)))

    def call(__self: Any, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a function of ours, or a method, which makes nothing large."""
        spend(1)
        method = getattr(__obj, "__wrapped__", __obj)
        if not isinstance(method, BuiltinMethodType):
            return super().call(__context, __obj, *args, **kwargs)
        _require_feasible(_small(method.__self__), (*args, *kwargs.values()))
        return _small(super().call(__context, __obj, *args, **kwargs))


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


def page_sandbox(
    kind: type[PageSandbox] = PageSandbox, **options: Any
) -> ImmutableSandboxedEnvironment:
    """The sandbox of pages, in which filters count as well."""
    environment = sandbox(kind, **options)
    own = ("_paced", "_small")
    for name, function in environment.filters.items():
        environment.filters[name] = function if name in own else _weighed(function)
    return environment
