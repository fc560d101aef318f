"""Markdown becomes safe HTML in parts, with the places of figures between them."""

import re
from pathlib import Path

import pytest

from sitegen.content.embeds import Photo
from sitegen.content.formulas import MathsError, to_mathml
from sitegen.content.links import PageFiles
from sitegen.content.markdown import ParsedPage, parse
from sitegen.core.site_files import OwnFile, SiteFolder

SLOT = re.compile(r"SLOT(\d+)x")


class PaperList(PageFiles):
    """Stands for the author's files: one picture, and everything that is linked to but `gone`."""

    def picture(self, src: str) -> Photo:
        """Know `a.png` alone, also with a space in its name."""
        if src not in {"a.png", "a%20b.png"}:
            raise ValueError("there is no such file")
        return Photo(OwnFile("media/a-01234567.png", Path("a.png"), 1, "0" * 64), 30, 20)

    def link(self, url: str) -> None:
        """Know everything else."""
        if url == "gone":
            raise ValueError("there is no such file")


def read(text: str, uri: str = "index.html") -> ParsedPage:
    """Parse a page's Markdown."""
    return parse(text, SLOT, uri, PaperList(SiteFolder(Path()), (), ()))


def html(text: str, uri: str = "index.html") -> str:
    """Parse Markdown that is right and has no figures."""
    document = read(text, uri)
    assert document.faults == ()
    return "".join(str(part) for part in document.parts).strip()


def test_notes_stand_beside_their_block() -> None:
    """A footnote follows the block that refers to it first, with those that it refers to itself."""
    page = html(
        "A[^one] b[^two].\n\n- c[^one]\n\n## D\n\nE^[Inline.]\n\n"
        "[^one]: First[^three].\n\n[^two]: Second.\n\n[^three]: Third."
    )
    blocks = re.findall(r'<div class="noted">(.*?)</div>\n</div>', page, re.DOTALL)
    assert [re.findall(r'<aside class="note" id="(fn\d)"', block) for block in blocks] == [
        ["fn1", "fn2", "fn4"],
        ["fn3"],
    ]
    assert blocks[0].index("<p>A") < blocks[0].index("First") < blocks[0].index("Third.")
    assert 'class="footnotes"' not in page
    assert "fnref1:1" in page.partition("</div>\n</div>")[2]  # the list refers to the first note


def test_title_and_slots() -> None:
    """Titles, slots in paragraphs of their own, headings with ids, footnotes, no money."""
    document = read("# A *b* `c`\n\nText")
    assert document.title == "A b c"
    assert "h1" not in str(document.parts)
    assert read("Text").title is None
    assert read("").parts == ("",)
    document = read("a\n\nSLOT0x\n\n- SLOT1x\n- b\n\n> SLOT12x\n")
    assert [part for part in document.parts if isinstance(part, int)] == [0, 1, 12]
    joined = "".join("[]" if isinstance(part, int) else part for part in document.parts)
    assert re.sub(r"\s", "", joined) == (
        "<p>a</p>[]<ul><li>[]</li><li>b</li></ul><blockquote>[]</blockquote>"
    )
    for text in [
        "a SLOT0x",
        "`SLOT0x`",
        "    SLOT0x",
        "# T\n\n## SLOT0x",
        "**SLOT0x**",
        "[a](SLOT0x)",
    ]:
        assert all(isinstance(part, str) for part in read(text).parts)
    found = re.findall(r'<h\d id="([^"]*)"', html("## A *b*!\n\n## A b\n\n## …\n\n## Größe 数\n"))
    assert found == ["h-a-b", "h-a-b-2", "h-section", "h-größe-数"]
    html("## A\n\n### B\n\n#### C\n\n## D\n\n### E")  # levels may fall
    for text in ("## [A](b/)", "## A^[note]"):  # a link in a link is no HTML
        assert 'class="anchor"' not in html(text)
    text = html("a[^1] b[^1]\n\n[^1]: Note.")
    assert re.findall('href="#([^"]*)"', text) == ["fn1", "fn1"]
    assert set(re.findall('id="([^"]*)"', text)) == {"fnref1", "fnref1:1", "fn1"}
    text = html("$u_K$ and $a$, ($b$)\n\n$$\nx^2\n$$")
    assert text.count('<math display="inline">') == 3
    assert text.count('<math display="block">') == 1
    for money in ("$5 and $6", "5$ or 6$", "a $ b $ c", r"\$a$", "$", "$$", "`$a$`", "$a$5"):
        assert "<math" not in html(money), money


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a\n\n# B", 3, "a heading of level 1 is the page's title and comes first; write ##"),
        ("### A", 1, "a heading of level 3 follows one of 1; write ##"),
        ("a\n\n[x](javascript:alert)", 3, 'the link "javascript:alert" should begin with https'),
        ("[x](/about)", 1, 'the link "/about" should be a path from the site\'s root'),
        ("<javascript:x>", 1, 'the link "javascript:x" should begin with https'),
        ("[x][y]\n\n[y]: data:text/html,x", 1, 'the link "data:text/html,x" should begin'),
        ("a\n\n![x](b.png)", 3, 'the picture "b.png": there is no such file'),
        ("![ ](a.png)", 1, 'the picture "a.png": say between the brackets what is to be seen'),
        ("a\n\n[b](gone)", 3, 'the link "gone": there is no such file'),
        ("a\n\n$\\nope$", 3, 'the formula "\\nope": the command \\nope is not known'),
        ("a[^1]\n\n[^1]: [x](/y)", 3, "the link"),
    ],
)
def test_faults(text: str, line: int, reason: str) -> None:
    """What cannot be shown is told with its line."""
    (fault,) = read(text).faults
    assert fault.line == line
    assert reason in fault.text


def test_what_may_be_too_wide() -> None:
    """Tables and code scroll, tags are text, links work from every page, pictures have a place."""
    assert html("<script>x</script>\n\na <b>b</b>") == (
        "<p>&lt;script&gt;x&lt;/script&gt;</p>\n<p>a &lt;b&gt;b&lt;/b&gt;</p>"
    )
    text = html("| a | b | c |\n|:-:|--:|---|\n| 1 | 2 | 3 |\n\n```py\na < b\n```")
    assert 'style="' not in text
    assert '<td class="align-center">1</td>\n<td class="align-right">2</td>\n<td>3</td>' in text
    scroll = '<div class="scroll" tabindex="0" role="group" aria-label="'
    assert text.startswith(f'{scroll}Table"><table>')
    assert text.endswith(
        f'{scroll}Code"><pre><code class="language-py"><span class="n">a</span> '
        '<span class="o">&lt;</span> <span class="n">b</span>\n</code></pre>\n</div>'
    )
    assert '<code class="language-odd">a &lt; b\n</code>' in html("```odd\na < b\n```")
    text = "[a](about/) [b](index.html#x) [c](#h-a) [d](https://example.org/) <a@b.c>"
    wanted = "../about/index.html ../index.html#x #h-a https://example.org/ mailto:a@b.c"
    assert re.findall('href="([^"]*)"', html(text, "more/index.html")) == wanted.split()
    size = 'width="30" height="20" decoding="async"'
    assert html("![*A* b](<a b.png> 'T')", "more/index.html") == (
        f'<p><img src="../media/a-01234567.png" alt="A b" title="T" {size}></p>'
    )
    assert f'{size} loading="lazy">' in html("a\n" * 10 + "\n![A](a.png)")


def test_formula() -> None:
    """The heat equation with its LaTeX; markup in texts is text; what is no formula is told."""
    latex = r"\frac{\partial u}{\partial t} = \Delta u"
    assert to_mathml(latex, "block") == (
        '<math display="block"><semantics><mrow><mfrac><mrow><mo>∂</mo><mi>u</mi></mrow>'
        "<mrow><mo>∂</mo><mi>t</mi></mrow></mfrac><mo>=</mo><mi>Δ</mi><mi>u</mi></mrow>"
        f'<annotation encoding="application/x-tex">{latex}</annotation></semantics></math>'
    )
    mathml = to_mathml(r"\text{<script>alert(1)</script>} a<b \& c", "inline")
    assert "<script" not in mathml
    assert "&lt;script&gt;" in mathml
    assert "<mo>&lt;</mo>" in mathml
    for latex, reason in [
        (r"\href{javascript:alert(1)}{x}", "the attribute href is not allowed"),
        (r"\style{color:red}{x}", "the attribute style is not allowed"),
        (r"\class{x}{y}", "the attribute class is not allowed"),
        (r"\unknown{x}", r"the command \\unknown is not known"),
        (r"\left( x", r"extra left or missing right"),
        ("x^", "missing super script or subscript"),
        (r"\begin{matrix} x", "missing end"),
        (" ", "it is empty"),
        ("x\x1f", "it holds an odd character"),
    ]:
        with pytest.raises(MathsError, match=reason):
            to_mathml(latex, "inline")
