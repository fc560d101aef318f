"""Formulas become MathML, and never anything else."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitegen.content.markdown import MathsError, to_mathml


def test_formula() -> None:
    """The heat equation, with its LaTeX beside it for whoever copies it."""
    latex = r"\frac{\partial u}{\partial t} = \Delta u"
    assert to_mathml(latex, "block") == (
        '<math display="block"><semantics><mrow><mfrac><mrow><mo>∂</mo><mi>u</mi></mrow>'
        "<mrow><mo>∂</mo><mi>t</mi></mrow></mfrac><mo>=</mo><mi>Δ</mi><mi>u</mi></mrow>"
        f'<annotation encoding="application/x-tex">{latex}</annotation></semantics></math>'
    )


def test_text_is_escaped() -> None:
    """The converter leaves markup in texts as it is; here it is text."""
    mathml = to_mathml(r"\text{<script>alert(1)</script>} a<b \& c", "inline")
    assert "<script" not in mathml
    assert "&lt;script&gt;" in mathml
    assert "<mo>&lt;</mo>" in mathml


@pytest.mark.parametrize(
    ("latex", "reason"),
    [
        (r"\href{javascript:alert(1)}{x}", "the attribute href is not allowed"),
        (r"\style{color:red}{x}", "the attribute style is not allowed"),
        (r"\class{x}{y}", "the attribute class is not allowed"),
        (r"\unknown{x}", r"the command \\unknown is not known"),
        (r"\left( x", r"extra left or missing right"), ("x^", "missing super script or subscript"),
        (r"\begin{matrix} x", "missing end"), ("{" * 101, "more than 100 braces"),
        (" ", "it is empty"), ("x\x1f", "it holds an odd character"),
    ],
)  # fmt: skip
def test_refused(latex: str, reason: str) -> None:
    """What is no formula, or would be more than one, is told."""
    with pytest.raises(MathsError, match=reason):
        to_mathml(latex, "inline")


WORDS = r"""{ } ^ _ & \\ [ ] ( x 1 ' " < > # $ \frac \left \right \begin{matrix} \end{matrix} \sqrt
    \text{<b>} \sum \limits \color \genfrac \newcommand \hspace 1em \operatorname \substack \href
    \over \tag \mathrm{d} \middle \not &lt; &#x3c; --> ]]> \mathbb{R} \big | \ ~ é"""
PIECES = st.sampled_from(re.split(r"\s+", WORDS))


@settings(max_examples=50)
@given(st.lists(PIECES, max_size=9).map("".join) | st.text(max_size=20))
def test_always_whole_or_refused(latex: str) -> None:
    """Whatever the formula, it is well-formed MathML or a MathsError."""
    try:
        mathml = to_mathml(latex, "block")
    except MathsError:
        return
    tree = ElementTree.fromstring(mathml)
    assert tree.tag == "math"
    assert "<b>" not in mathml
