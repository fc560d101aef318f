"""LaTeX to MathML that cannot carry anything but MathML."""

from __future__ import annotations

import html
import re
from typing import Literal
from xml.etree.ElementTree import Element

from markupsafe import Markup

from sitegen.core.source import odd_character

_ELEMENTS = re.compile(
    "math|menclose|merror|mfrac|mi|mmultiscripts|mn|mo|mover|mpadded|mphantom|mprescripts|mroot"
    "|mrow|mspace|msqrt|mstyle|msub|msubsup|msup|mtable|mtd|mtext|mtr|munder|munderover|none"
)
_ATTRIBUTES = re.compile(
    "accent|accentunder|columnalign|columnlines|columnspacing|depth|display|displaystyle|fence"
    "|form|height|largeop|linebreak|linethickness|lspace|mathbackground|mathcolor|mathsize|mathvariant"
    "|maxsize|minsize|movablelimits|notation|rowalign|rowlines|rowspacing|rspace|scriptlevel"
    "|separator|stretchy|symmetric|voffset|width"
)
_FAILURES = (
    AttributeError,
    LookupError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
)  # what the converter runs into where a formula makes no sense
_MOST_BRACES = 100
_COMMAND = re.compile(r"\\[A-Za-z]+")


class MathsError(ValueError):
    """A formula that cannot be turned into MathML; the message says why."""


def to_mathml(latex: str, display: Literal["inline", "block"]) -> Markup:
    """Turn a formula into a `<math>` element that also carries its LaTeX; MathsError if it fails.

    Elements and attributes outside MathML's own, such as the links and styles that LaTeX commands
    can ask for, are refused.
    """
    if not latex.strip() or odd_character(latex):
        raise MathsError("it is empty" if not latex.strip() else "it holds an odd character")
    if latex.count("{") > _MOST_BRACES:
        raise MathsError(f"it has more than {_MOST_BRACES} braces")
    row = "".join(_markup(child) for child in _tree(latex, display))
    source = f'<annotation encoding="application/x-tex">{html.escape(latex)}</annotation>'
    return Markup(f'<math display="{display}"><semantics>{row}{source}</semantics></math>')


def _tree(latex: str, display: str) -> Element:
    from latex2mathml import exceptions
    from latex2mathml.converter import Converter

    own = [error for error in vars(exceptions).values() if isinstance(error, type)]
    failures: tuple[type[Exception], ...] = (*own, *_FAILURES)
    try:
        tree: Element = Converter(display=display).convert_to_element(latex)
    except failures as error:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error"))
        raise MathsError(f"it is not LaTeX that is understood ({words.lower()})") from error
    return tree


def _markup(element: Element) -> str:
    """Write an element that is on the list, with everything in it escaped."""
    tag = element.tag
    if not _ELEMENTS.fullmatch(tag):
        raise MathsError(f"<{tag}> is not allowed in a formula")
    attributes = "".join(_attribute(name, value) for name, value in element.attrib.items())
    children = "".join(
        _markup(child) + html.escape(html.unescape(child.tail or "")) for child in element
    )
    text = html.unescape(element.text or "")  # the converter writes symbols as references
    if tag != "mtext" and _COMMAND.fullmatch(text):
        raise MathsError(f"the command {text} is not known")
    return f"<{tag}{attributes}>{html.escape(text)}{children}</{tag}>"


def _attribute(name: str, value: str) -> str:
    if not _ATTRIBUTES.fullmatch(name):
        raise MathsError(f"the attribute {name} is not allowed in a formula")
    return f' {name}="{html.escape(value)}"'
