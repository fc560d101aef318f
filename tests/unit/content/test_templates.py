"""The template pass: data stays data, and every error has its line."""

from functools import partial
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markupsafe import Markup

from sitegen.content.templates import TemplateFault, as_markdown, calling_line, run_template


def fault(text: str, **names: object) -> tuple[int, str]:
    """Run a template that is wrong; its line and reason."""
    with pytest.raises(TemplateFault) as caught:
        run_template(text, names)
    return caught.value.line, caught.value.reason


@settings(max_examples=40)
@given(st.text())
def test_data_is_one_line_of_text(value: str) -> None:
    """Markdown shows a value as the words that it is, whatever is in it."""
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    shown = html.renderInline(run_template("{{ value }}", {"value": value}))
    plain = MarkdownIt("zero").renderInline(" ".join(value.split()))
    assert shown == plain.replace("\x00", "\ufffd")


@settings(max_examples=40)
@given(st.sampled_from("#*-+>1=|`~$:"), st.text(" #*-+>1.=|`~$:[]<a\n", max_size=8))
def test_data_begins_no_block(first: str, rest: str) -> None:
    """At the beginning of a line a value is still a paragraph."""
    text = run_template("words\n\n{{ value }}", {"value": first + rest})
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert {token.type for token in tokens} == {"paragraph_open", "inline", "paragraph_close"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{{ "**x** <b>"|e }}', "**x** &lt;b&gt;"),
        ('{{ "**x**"|escape|upper }}', "**X**"),
        ('{{ "**x**"|e|e }}', "**x**"),
        ('{{ "**x**"|forceescape }}', "**x**"),
        ('{{ ["**x**", "`y`"]|map("e")|join(" ") }}', "**x** `y`"),
        ('{{ ["**x**"]|tojson }}', "[&quot;**x**&quot;]"),
        ('{{ "**x**"|urlize }}', "**x**"),
        ('{{ {"a": "**x**"}|xmlattr }}', "a=&quot;**x**&quot;"),
        ('{% set x = "**x**"|e %}{{ x }}', "**x**"),
        ('{% set x %}**{{ "*x*"|e }}**{% endset %}{{ x }}', "<strong>*x*</strong>"),
        ('{% macro m(a) %}**{{ a }}**{% endmacro %}{{ m("*x*"|e) }}', "<strong>*x*</strong>"),
        ('{% set x %}**y**{% endset %}{{ x ~ " " ~ ("*x*"|e) }}', "<strong>y</strong> *x*"),
        ('{% set x %}**y**{% endset %}{{ [x, "*x*"|e]|join(" ") }}', "<strong>y</strong> *x*"),
        ('{% set x %}**y**{% endset %}{{ (" *x*"|forceescape) + x }}', "*x*<strong>y</strong>"),
        ('{% set x %}**y**{% endset %}{{ x|forceescape }}', "**y**"),
        ('{{ "**x**"|e == "**x**" }}', "True"),
        ('{{ "**x**"|safe }}', "<strong>x</strong>"),
        ('{% filter upper %}**x**{% endfilter %}', "<strong>X</strong>"),
    ],
)  # fmt: skip
def test_what_is_escaped_is_text(text: str, shown: str) -> None:
    """A filter that escapes leaves Markdown no mark; what the author means as Markdown is."""
    html = MarkdownIt("commonmark").renderInline(run_template(text, {}).strip())
    assert html == shown


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a\n{{ trajectoris(1) }}", 2, "'trajectoris' is undefined, did you mean"),
        ("a\n\n{{ site.titel }}", 3, "has no attribute 'titel', did you mean \"title\"?"),
        ("{% if x %}\na\n{% endif %}", 1, "'x' is undefined; to show braces themselves"),
        ("a\n{% if %}", 2, "Expected an expression"),
        (r"$\frac{{a}}{b}$", 1, "'a' is undefined; to show braces themselves, write {% raw %}"),
        ("a\n{{ 1 / 0 }}", 2, "division by zero"), ("\n\n{{ 'a' + 1 }}", 3, "can only concatenate"),
        ("{{ 'a' | nofilter }}", 1, "No filter named 'nofilter'"),
        ("{% include 'x' %}", 1, "no loader"), ("{{ range(9999999) }}", 1, "Range too big"),
        ("{{ ''.__class__.__mro__ }}", 1, "unsafe"), ("{{ site.pop('title') }}", 1, "unsafe"),
        ("{{ lipsum() }}", 1, "'lipsum' is undefined"),
        ("{% set site = 1 %}{{ site.x.y }}", 1, "has no attribute 'x'"),
    ],
)  # fmt: skip
def test_faults(text: str, line: int, reason: str) -> None:
    """What an author can get wrong has its line, the reason and a hint."""
    at, why = fault(text, trajectories=lambda *args: "", site={"title": "T"})
    assert at == line
    assert reason in why


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("{{ f() }}", [1]),
        ("a\n{{ f() }} {{ f() }}\nb\n{{ f() }}", [2, 2, 4]),
        ("\n{{ f(\n  1,\n  2) }}", [2]),
        ("{% for i in range(2) %}\n\n{{ f() }}\n{% endfor %}", [3, 3]),
        ("{% macro m() %}\n{{ f() }}\n{% endmacro %}\n{{ m() }}", [2]),
        ("\n{% set x = f() %}", [2]),
        ("\n{% if f() %}\n{% endif %}", [2]),
        ("\n{% set x %}\na\n{{ f() }}\nb\n{% endset %}", [4]),
    ],
)
def test_calling_line(text: str, lines: list[int]) -> None:
    """A function knows the line of the page that calls it."""
    found: list[int] = []

    def f(*args: Any) -> Markup:
        found.append(calling_line())
        return Markup("")

    run_template(text, {"f": f})
    assert found == lines
    assert calling_line() == 1  # called from no template


def test_our_own_mistakes() -> None:
    """Text is left alone, raw shows braces; a bug of ours, or its recursion, is no page's fault."""
    known: dict[int, str] = {}

    def f(number: int) -> str:
        return known[number]

    with pytest.raises(KeyError):
        run_template("a\n{{ f(1) }}", {"f": f})
    assert fault("a\n{{ f() }}", f=f) == (2, ANY)
    assert "missing 1 required positional argument" in fault("{{ f() }}", f=f)[1]
    for text, filled in [
        ("# A & B <c>\n\n* x\n\n    code\n\n\n", "# A & B <c>\n\n* x\n\n    code\n\n\n"),
        ("a\n{% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc\n"),
        ("{% raw %}`{{ f(1) }}` {# x #}{% endraw %}", "`{{ f(1) }}` {# x #}"),
        ("[{{ nothing }}|{{ 36 }}]", "[|36]"),
    ]:
        assert run_template(text, {"nothing": None}) == filled
        assert as_markdown(Markup("*x*")) == "*x*"

    def again(number: int) -> str:
        return again(number + 1) if number else again(1)

    for f in (again, partial(again, 1)):
        with pytest.raises(RecursionError):
            run_template("{{ f(1) if one else f() }}", {"f": f, "one": f is again})
    text = "{% macro m() %}{{ f() }}{{ m() }}{% endmacro %}\n{{ m() }}"
    assert "too much is nested" in fault(text, f=lambda: "")[1]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('A\n{{ process（"mnist"） }}', 2, "（ is another character than (; type the plain one"),
        ("A\n{{ process(“mnist”) }}", 2, '“ is another character than "; type'),
        ('A\n{{ process("mnist) }}', 2, 'a " opens words here, and none closes them'),
        ("A\n{{ process('mnist) }}", 2, "a ' opens words here, and none closes them"),
        (
            "A\n{% if x %}\nB\n{% if x %}{% endif %}\nC\n",
            2,
            "{% if … %} is not closed: write {% endif %}",
        ),
        ("{% raw %}\n{% if %}\n{% endraw %}\n{% for a in range(2) %}\nC", 4, "{% for … %} is not"),
    ],
)
def test_where_a_mistake_begins(text: str, line: int, words: str) -> None:
    """Characters that only look right are told as such, and a block is told where it opens."""
    with pytest.raises(TemplateFault) as caught:
        run_template(text, {"x": 1})
    assert (caught.value.line, caught.value.reason[: len(words)]) == (line, words)


def test_random_items_are_the_same_in_every_build() -> None:
    """The filter `random` gives items of its own at each call, and the same in each run."""
    text = "{% for _ in range(20) %}{{ [1, 2, 3, 4] | random }}{% endfor %}"
    first = run_template(text, {})
    assert [run_template(text, {}) for _ in range(3)] == [first] * 3
    assert len(set(first)) == 4
    assert "sequence was empty" in fault("{{ [] | random }}")[1]
