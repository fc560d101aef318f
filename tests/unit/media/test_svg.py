"""SVG pictures: their size, and that what acts or loads from elsewhere is refused."""

import re

import pytest

from sitegen.media.svg import svg_size

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">'


def size(attributes: str, content: str = "") -> tuple[int, int]:
    """The size of an SVG with these attributes and this content."""
    return svg_size(f"{HEAD}{attributes}>{content}</svg>".encode())


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [('width="30" height="20"', (30, 20)), ('width="30px" height="20.4PX"', (30, 20)),
     ('width="1in" height="2.54cm"', (96, 96)),
     ('width="72pt" height="25.4mm" viewBox="0 0 1 1"', (96, 96)),
     ('width="6pc" height="101.6q"', (96, 96)), ('viewBox="0 0 300 150"', (300, 150)),
     ('viewBox="-5,-5 , 3e2 1.5e2"', (300, 150)),
     ('width="100%" height="100%" viewBox="0 0 30 20"', (30, 20)),
     ('width="60" viewBox="0 0 30 20"', (60, 40)), ('height="40" viewBox="0 0 30 20"', (60, 40)),
     ('viewBox="0 0 0.2 0.1"', (1, 1))],
)  # fmt: skip
def test_size(attributes: str, expected: tuple[int, int]) -> None:
    """The size is that of the attributes, or else of the viewBox."""
    assert size(attributes) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [("<script>alert(1)</script>", "<script>"), ('<SCRIPT href="#a"/>', "<SCRIPT>"),
     ('<x:script xmlns:x="http://www.w3.org/1999/xhtml"/>', "<script>"),
     ("<foreignObject/>", "<foreignObject>"),
     ('<g onload="alert(1)"/>', "onload=…, which is a script"),
     ('<g ONCLICK="alert(1)"/>', "onclick=…, which is a script"),
     ('<a href="javascript:alert(1)"/>', "href='javascript:alert(1)', which leads out"),
     ('<a xlink:href=" java&#10;script:alert(1)"/>', "which leads out of the file"),
     ('<image href="https://example.org/x.png"/>', "which leads out of the file"),
     ('<image xlink:href="x.png"/>', "which leads out of the file"),
     ('<image href="data:text/html,x"/>', "which leads out of the file"),
     ('<use href="other.svg#a"/>', "which leads out of the file"),
     ('<set attributeName="href" to="javascript:x"/>', "an animated link"),
     ('<animate attributeName="xlink:href" values="javascript:x"/>', "an animated link"),
     ("<style>@import 'https://example.org/x.css';</style>", "a style that loads from outside"),
     ("<style>g { fill: url( 'x.svg#a' ) }</style>", "a style that loads from outside"),
     ('<g fill="url(https://example.org/x.svg#a)"/>', "which loads from outside the file"),
     (r"<style>g { fill: u\72l(https://e.org/x) }</style>", "a style that loads from outside"),
    (r"<style>g { fill: u\000072 \L(x.svg#a) }</style>", "a style that loads from outside"),
    (r'<g style="fill: \75 rl(x.png)"/>', "which loads from outside the file"),
    ('<g style="background: url(x.png)"/>', "which loads from outside the file"),
     ('<?xml-stylesheet href="x.css"?>', "<?xml-stylesheet …?>")],
)  # fmt: skip
def test_more_than_a_picture(content: str, reason: str) -> None:
    """What acts, or refers outside the file, is refused, and the reason is told."""
    with pytest.raises(ValueError, match=r"^is SVG with .* or save the picture as PNG$") as caught:
        size('width="3" height="3"', content)
    assert reason in str(caught.value)


def test_what_drawing_programs_write() -> None:
    """What drawing programs write is a picture; one without a size is refused."""
    content = """
    <metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about="http://example.org"/></rdf:RDF></metadata>
    <style>text { font: 3px serif; fill: url(#a) }</style>
    <a href="https://example.org/"><text>url of @home</text></a>
    <use xlink:href=" #b"/><image href="data:image/png;base64,AAAA"/>
    <path d="M0 0" clip-path="url('#c')" style="fill: url(data:image/png;base64,AA)"/>
    """
    text = f'<?xml version="1.0"?>{DOCTYPE}{HEAD}viewBox="0 0 3 4">{content}</svg>'
    assert svg_size(text.encode()) == (3, 4)
    assert svg_size(text.replace("1.0", '1.0" encoding="utf-16', 1).encode("utf-16")) == (3, 4)
    for attributes in [
        "",
        'width="30"',
        'width="0" height="3"',
        'width="1e9" height="3"',
        'viewBox="0 0 0 4"',
        'viewBox="a"',
        'width="3em" height="3em"',
        'width="1.2.3" height="3"',
        'viewBox="0 0 nan nan"',
        'viewBox="0 0 inf inf"',
    ]:
        with pytest.raises(ValueError, match="has no size: give its <svg> a viewBox"):
            size(attributes)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"<svg/>", "is not SVG: it begins with <svg>, not with"),
     (b'<html xmlns="http://www.w3.org/1999/xhtml"/>', "is not SVG: it begins with <html>"),
     (f"{HEAD}>".encode(), "is not well-formed SVG"), (b"\xff\xfe", "is not well-formed SVG"),
     (f'<!DOCTYPE svg [<!ENTITY a "b">]>{HEAD}/>'.encode(), "the entity a"),
     (f'<!DOCTYPE svg [<!ENTITY a SYSTEM "/etc/passwd">]>{HEAD}/>'.encode(), "the entity a")],
)  # fmt: skip
def test_no_svg(data: bytes, reason: str) -> None:
    """Other files, damaged ones, and those that define entities are refused."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        svg_size(data)
