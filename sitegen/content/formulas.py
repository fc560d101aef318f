"""Conversion of formulas in LaTeX to MathML."""

import html
import re
from typing import Literal
from xml.etree.ElementTree import Element

from latex2mathml import exceptions
from latex2mathml.converter import Converter
from markupsafe import Markup

from sitegen.core.source import odd_character

_FAILURES = (AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)
"""Exceptions that the converter raises for invalid formulas."""
_COMMAND = re.compile(r"\\[A-Za-z]+")


class MathsError(ValueError):
    """A formula that cannot be turned into MathML; the message says why."""


_FOREIGN = frozenset({"class", "href", "id", "src", "style"})
"""Attributes that LaTeX commands such as `\\href` create: links and styles, which no text may."""


def to_mathml(latex: str, display: Literal["inline", "block"]) -> Markup:
    """Convert a formula to a `<math>` element with its LaTeX source, or raise MathsError."""
    if not latex.strip() or odd_character(latex):
        raise MathsError("it is empty" if not latex.strip() else "it holds an odd character")
    # The exceptions of latex2mathml have no base class of their own.
    errors = [error for error in vars(exceptions).values() if isinstance(error, type)]
    failures: tuple[type[Exception], ...] = (*errors, *_FAILURES)
    try:
        tree: Element = Converter(display=display).convert_to_element(latex)
    except failures as error:
        reason = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error"))
        raise MathsError(f"it is not LaTeX that is understood ({reason.lower()})") from error
    row = "".join(map(_markup, tree))
    source = f'<annotation encoding="application/x-tex">{html.escape(latex)}</annotation>'
    return Markup(f'<math display="{display}"><semantics>{row}{source}</semantics></math>')


def _markup(element: Element) -> str:
    """Return an element as markup, with its content escaped."""
    tag = element.tag
    if odd := next((name for name in element.attrib if name in _FOREIGN), None):
        raise MathsError(f"the attribute {odd} is not allowed in a formula")
    attributes = "".join(f' {name}="{html.escape(v)}"' for name, v in element.attrib.items())
    children = "".join(
        _markup(child) + html.escape(html.unescape(child.tail or "")) for child in element
    )
    text = html.unescape(element.text or "")  # the converter writes symbols as references
    if tag != "mtext" and _COMMAND.fullmatch(text):
        raise MathsError(f"the command {text} is not known")
    return f"<{tag}{attributes}>{html.escape(text)}{children}</{tag}>"
