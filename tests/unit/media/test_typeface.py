"""The typeface of text in drawings and on pages."""

import re

from sitegen.figures.svg import Drawing, element, label
from sitegen.media.typeface import BOLD, REGULAR


def test_drawing_carries_the_weights_of_its_text() -> None:
    """A drawing has the typeface in it, in bold only where some text is bold."""
    plain = label(1, 2, "a", size=3)
    bold = element("tspan", "q", font_weight=BOLD)
    for body, weights in ((plain, [REGULAR]), (plain + bold, [REGULAR, BOLD])):
        text = Drawing(9, 9, "Title", body).text()
        found = re.findall(r"font-weight: (\d+); src: url\(data:font/woff2;base64,", text)
        assert [int(weight) for weight in found] == weights
