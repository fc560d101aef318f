"""The template pass: data stays data, and every error has its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sitegen.content.templates import TemplateFault, run_template


def fault(text: str, **names: object) -> tuple[int | None, str]:
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{{ "**x** <b>" }}', "**x** &lt;b&gt;"),
        ('{% set x %}**{{ "*x*" }}**{% endset %}{{ x }}', "<strong>*x*</strong>"),
        ('{% macro m(a) %}**{{ a }}**{% endmacro %}{{ m("*x*") }}', "<strong>*x*</strong>"),
        ('{{ "**x**"|safe }}', "<strong>x</strong>"),
        ("{% filter upper %}**x**{% endfilter %}", "<strong>X</strong>"),
    ],
)
def test_what_is_markdown(text: str, shown: str) -> None:
    """A value is text; macros, blocks and the filter `safe` yield Markdown."""
    html = MarkdownIt("commonmark").renderInline(run_template(text, {}).strip())
    assert html.replace("\\*", "*").replace("&amp;", "&").replace("&#38;", "&") == shown


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
        ("{% include 'x' %}", 1, "no loader"),
        ("a\n{{ trajectories }}", 2, "lacks its parentheses"),
        ("A\n{% if x %}\nB\n", 3, "innermost block that needs to be closed is 'if'"),
        ("A\n{{ process(“mnist”) }}", 2, "unexpected char '“'"),
        ("{% set site = 1 %}{{ site.x.y }}", 1, "has no attribute 'x'"),
        ("{{ trajectories(a=1, a=2) }}", None, "keyword argument repeated"),
    ],
)  # fmt: skip
def test_faults(text: str, line: int | None, reason: str) -> None:
    """What an author can get wrong has its line, the reason and a hint."""
    at, why = fault(text, trajectories=lambda *args: "", site={"title": "T"})
    assert at == line
    assert reason in why


def test_a_backslash_in_quotes_is_a_backslash() -> None:
    """Formulas in strings need no second backslash, which is allowed; quotes are escaped by one."""
    for text in (r'{{ "$\theta \nu$ \"q\"" | safe }}', r'{{ "$\\theta \\nu$ \"q\"" | safe }}'):
        assert run_template(text, {}) == r'$\theta \nu$ "q"'
