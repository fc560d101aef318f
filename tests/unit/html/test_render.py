"""Rendering: valid pages that say what they are given, and in which data never become markup."""

import re
from pathlib import Path
from typing import Any

import html5lib
import pytest

from sitegen.config.schema import load_site
from sitegen.content.pages import read_pages
from sitegen.core.errors import ConfigError, TargetError
from sitegen.html.render import render_site
from sitegen.media.manifest import Manifest
from tests.support.fabricated import FULL, MP4, manifest_for, write_site

INDEX = """Words.[^1]

## A section

{{ trajectories("mnist", caption="A caption", alt="What is to be seen") }}

### Deeper

| a |
|--:|
| $x^2$ |

[^1]: A note.
"""


def rendered(folder: Path, site: str = FULL, index: str = INDEX) -> str:
    """The front page of a site whose figures are made up."""
    read = load_site(write_site(folder, site, index))
    pages = read_pages(read)
    return render_site(read, pages, manifest_for(pages))["index.html"]


def parse(html: str) -> Any:
    """Parse a page as strictly as html5lib can."""
    parser: Any = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(html)


def structure(html: str) -> list[tuple[str, tuple[str, ...]]]:
    """The elements of a page in order, each with the names of its attributes."""
    return [(str(e.tag), tuple(sorted(map(str, e.attrib)))) for e in parse(html).iter()]


def test_teaser(tmp_path: Path) -> None:
    """The teaser is in a landmark of its own, and its poster is fetched first."""
    first, second = (f'trajectories("mnist", count={n}, id="n{n}")' for n in (4, 9))
    index = f"{{{{ teaser({first}) }}}}\n\n{{{{ {second} }}}}\n"
    body = parse(rendered(tmp_path, index=index)).find("body")
    regions = [e for e in body.iter("section") if e.get("aria-label")]
    found = [len(list(e.iter("figure"))) for e in (*regions, *body.iter("main"))]
    assert found == [1, 1]
    posters = [next(e.iter("img")) for e in (*regions, *body.iter("main"))]
    assert [e.get("fetchpriority") for e in posters] == ["high", None]
    assert [e.get("loading") for e in posters] == [None, "lazy"]


def test_figure(tmp_path: Path) -> None:
    """A clip has controls, a poster, a size, words and downloads; a still is a picture."""
    figure = next(parse(rendered(tmp_path)).iter("figure"))
    assert figure.get("id") == "mnist-trajectories"
    video = next(figure.iter("video"))
    assert {name: video.get(name) for name in video.attrib if not name.startswith("data-")} == {
        "class": "clip", "controls": "", "muted": "", "loop": "", "playsinline": "",
        "preload": "none", "width": "576", "height": "576", "aria-label": "What is to be seen"
    }  # fmt: skip
    poster = next(figure.iter("img"))
    assert (poster.get("src"), poster.get("loading"), poster.get("alt")) == (
        "media/index-mnist-trajectories.webp",
        "lazy",
        "",
    )
    source = video.find("source")
    assert (source.get("src"), source.get("type")) == (
        "media/index-mnist-trajectories.mp4",
        "video/mp4",
    )
    caption = " ".join("".join(figure.find("figcaption").itertext()).split())
    hints = [f"{verb} a sample to see it large." for verb in ("Click", "Tap")]
    assert caption == f"Figure 1. A caption {''.join(hints)}"
    links = [(a.get("href"), "download" in a.attrib) for a in figure.iter("a")]
    stem = "media/index-mnist-trajectories"
    assert links == [
        ("#mnist-trajectories", False),
        (f"{stem}.mp4", True),
        (f"{stem}.gif", True),
        (f"{stem}.webp", True),
    ]
    told = ["".join(each.itertext()) for each in figure.iter("span") if each.get("class") == "size"]
    assert told == ["123 kB"] * 3
    index = "{{ spectra('mnist', caption='Words', alt='Curves') }}\n\n" + INDEX
    tree = parse(rendered(tmp_path, index=index))
    names = [each.get("aria-label") for each in tree.iter("button")]
    assert [name for name in names if name and ", figure" in name] == [
        "Look at sample 1 of 36, figure 2; the arrow keys choose another",
        "Play, figure 2",
    ]
    bars = [each for each in tree.iter("div") if each.get("role") == "toolbar"]
    assert [each.get("aria-label") for each in bars] == ["Figure 1", "Figure 2"]
    sheets = {each.get("id"): each.get("aria-label") for each in tree.iter("div")}
    for button in tree.iter("button"):
        if opened := button.get("popovertarget"):
            assert opened in sheets, opened
    assert sheets["mnist-spectra-about"] == "About figure 1"
    figure = next(tree.iter("figure"))
    assert dict(next(figure.iter("img")).attrib) == {
        "src": "media/index-mnist-spectra.svg", "alt": "Curves", "width": "640", "height": "640",
        "loading": "lazy", "decoding": "async"
    }  # fmt: skip
    caption = " ".join("".join(figure.find("figcaption").itertext()).split())
    assert caption == "Figure 1. Words"


def test_row(tmp_path: Path) -> None:
    """Figures of a row are in one element with its words, and one scrubber where all are clips."""
    clip, still = "trajectories('mnist')", "spectra('mnist')"
    index = f"{{{{ beside({clip}, {clip}, caption='Both <b>') }}}}\n\n"
    index += f"{{{{ beside({clip}, {still}) }}}}\n"
    tree = parse(rendered(tmp_path, index=index))
    rows = [each for each in tree.iter("div") if "row" in each.get("class", "").split()]
    assert [row.get("aria-label") for row in rows] == ["Both <b>", "Figures side by side"]
    assert [row.get("class") for row in rows] == ["row wide row-of-2 together", "row wide row-of-2"]
    figures = [[each.get("id") for each in row.iter("figure")] for row in rows]
    name = "mnist-trajectories"
    assert figures == [[name, f"{name}-2"], [f"{name}-3", "mnist-spectra"]]
    sliders = [sum(each.get("type") == "range" for each in row.iter("input")) for row in rows]
    assert sliders == [3, 1]
    assert [each.get("aria-label") for each in rows[0].iter("input")][-1] == "Step, figures 1 and 2"
    assert "".join(list(rows[0].iter("div"))[-1].itertext()).strip() == "Both <b>"
    assert len(list(tree.iter("figure"))) == 4


def test_grid(tmp_path: Path) -> None:
    """A grid is a table to screen readers; a short row is filled, and clips share a slider."""
    clip = "trajectories('mnist', caption='*Sub*')"
    index = f"{{{{ grid({clip}, {clip}, {clip}, columns=['*A*', 'B'], rows=['1', '2'], id='g',"
    tree = parse(rendered(tmp_path, index=index + " caption='All **of** it') }}\n"))
    (grid,) = (each for each in tree.iter("figure") if each.get("id") == "g")
    assert grid.get("class") == "grid wide grid-of-2 phone-scroll headed together"
    roles = [each.get("role") for each in grid.iter("div") if each.get("role")]
    roles = [role for role in roles if role not in ("toolbar", "group")]
    row = ["row", "rowheader", "cell", "cell"]
    assert roles == ["table", "row", "cell", *["columnheader"] * 2, *row, *row]
    assert [len(list(cell.iter("video"))) for cell in grid.iter("div") if
            cell.get("class") == "grid-cell"] == [1, 1, 1, 0]  # fmt: skip
    assert "".join(list(grid.iter("figcaption"))[-1].itertext()).strip() == "Figure 1. All of it"
    assert "".join(next(grid.iter("figcaption")).itertext()).strip() == "Sub"
    assert [each.get("aria-label") for each in grid.iter("input")][-1] == "Step, figures 1a to 1c"


def test_comparison(tmp_path: Path) -> None:
    """The slider over two parts has a name and a value; both parts are on the page, with names."""
    site = (
        "{{ compare(trajectories('mnist'), trajectories('mnist', seed=1), names=['A', '*B*']) }}\n"
    )
    tree = parse(rendered(tmp_path, index=site))
    (figure,) = (each for each in tree.iter("figure") if each.get("id") == "compare")
    split = next(each for each in figure.iter("input") if each.get("class") == "split")
    assert (split.get("type"), split.get("aria-label")) == ("range", "A and B, figure 1")
    assert (split.get("aria-valuetext"), split.get("data-text")) == ("50 % A", "{n} % A")
    names = ["".join(p.itertext()) for p in figure.iter("p") if p.get("class") == "side-name"]
    assert names == ["A", "B"]
    assert len(list(figure.iter("video"))) == 2


def test_further_page(tmp_path: Path) -> None:
    """A further page has a menu and links that lead up; a figure without media is told."""
    path = write_site(tmp_path, FULL, INDEX)
    text = "# More <\n\n[up](index.html)\n\n{{ trajectories('mnist', count=1) }}\n"
    (tmp_path / "pages" / "more.md").write_text(text, encoding="utf-8")
    site = load_site(path)
    pages = read_pages(site)
    html = render_site(site, pages, manifest_for(pages))
    more = parse(html["more/index.html"])
    assert next(more.iter("title")).text == "More < – A title"
    assert next(more.iter("h1")).text == "More <"
    stem = "../media/more-mnist-trajectories"
    images = [f"{stem}.webp", *[f"{stem}-film.webp"] * 6]
    assert [e.get("src") for e in more.iter("img")] == images
    assert next(more.iter("source")).get("srcset") == f"{stem}.avif"
    assert [*more.iter("source")][1].get("src") == f"{stem}.mp4"
    menu = next(more.iter("nav"))
    assert [(a.get("href"), a.get("aria-current")) for a in menu.iter("a")] == [
        ("../index.html", None),
        ("index.html", "page"),
    ]
    assert "How it opens" not in html["more/index.html"]
    assert "How it opens" in html["index.html"]
    assert 'href="https://example.org/paper/more/"' in html["more/index.html"]
    own = [link for e in more.iter() for link in (e.get("href"), e.get("src")) if link]
    assert all(link.startswith(("../", "#", "index.html", "https://")) for link in own)
    site = load_site(write_site(tmp_path, FULL, INDEX))
    with pytest.raises(TargetError, match=r"index.md:5: the figure mnist-trajectories has not"):
        render_site(site, read_pages(site), Manifest(()))


HOSTILE = [
    "<script>alert(1)</script>", "</title><script>alert(1)</script>",
    "</textarea></style></noscript></template><img src=x onerror=alert(1)>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)>",
    "<base href='https://example.org/'>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>", "<!-- comment", "--!>",
    "<![CDATA[x]]>", "<!DOCTYPE html>", "</main></body></html>", "</p></figure></video>",
    "<plaintext>", "`", '" onmouseover="alert(1)', "'><script>alert(1)</script>",
    "x onload=alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)",
    "javascript&colon;alert(1)", " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>", "https://example.org/\"onclick='x'",
    "https://user:secret@example.org/", "&amp;lt;&#60;script&#62;", "{{ ''.__class__ }}",
    "{% for i in range(9) %}x{% endfor %}", "{# comment", "# heading\n* item",
    "[x](javascript:alert(1))![x](https://example.org/x.png)", "| a | b |\n|---|---|", "```\ncode",
    "$\\href{javascript:alert(1)}{x}$", "[^1]\n\n[^1]: x", "***\n\n---", "\\\\<b>",
    "../../etc/passwd", "\u202eabc", "a\u0000b", "a\u0085b", "a\u2028b\ufeff", "é 数字 \U0001f600",
    "</" + "script" * 300
]  # fmt: skip


REFUSED = ["\u202eabc", "a\u0000b", "a\u0085b"]


VIDEO = "video('https://vimeo.com/1', "
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20"/>'
BROUGHT = """{{ image("a.svg", alt="What it is", caption="C", width=60) }}
@{{ image("a.svg", alt="") }}

{{ video("https://youtu.be/qY1juqIDT10", title="A talk", caption="D", poster="a.svg") }}
""".replace("@", "\n" * 12)


def brought(folder: Path, index: str = BROUGHT, **files: bytes) -> Any:
    """The front page with pictures and videos that the author brings along."""
    for name, data in {"a.svg": SVG, **files}.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return parse(rendered(folder, FULL, index))


def test_pictures(tmp_path: Path) -> None:
    """Pictures have words, sizes and wait; a video is a link behind a poster, without frame."""
    first, second, _ = brought(tmp_path).iter("figure")
    image = first.find("div/img")
    assert re.fullmatch(r"media/a-[0-9a-f]{8}\.svg", image.attrib.pop("src"))
    assert dict(image.attrib) == {
        "class": "image", "alt": "What it is", "width": "60", "height": "40",
        "decoding": "async"
    }  # fmt: skip
    assert first.get("id") == "image-a"
    assert "".join(first.find("figcaption").itertext()).strip() == "Figure 1. C"
    assert (
        second.find("div/img").attrib.items()
        >= {"alt": "", "loading": "lazy", "width": "30"}.items()
    )
    assert second.find("figcaption") is None
    tree = brought(tmp_path)
    figure = list(tree.iter("figure"))[-1]
    screen = figure.find("div/div")
    assert dict(screen.attrib) == {
        "class": "screen",
        "data-player": "https://www.youtube-nocookie.com/embed/qY1juqIDT10?autoplay=1&rel=0",
        "data-title": "A talk",
    }
    link = screen.find("a")
    assert link.get("href") == "https://www.youtube.com/watch?v=qY1juqIDT10"
    assert "".join(link.itertext()).strip() == "A talk (YouTube)"
    assert (link.find("img").get("alt"), link.find("img").get("height")) == ("", "20")
    assert not [*tree.iter("iframe")]
    assert "D" in "".join(figure.find("figcaption").itertext())
    call = "{{ video('https://vimeo.com/1') }}\n"
    assert not [*brought(tmp_path, call).iter("img")]
    teaser = "{{ teaser(trajectories('mnist', id='seen')) }}\n\n"
    cover = next(brought(tmp_path, teaser + call).find("body").iter("main"))
    assert [image.get("src") for image in cover.iter("img")] == ["media/index-seen.webp"]


def policy(tree: Any) -> str:
    """The policy of a page."""
    return str([*tree.iter("meta")][1].get("content"))


def test_policy_names_the_hosts_of_this_page(tmp_path: Path) -> None:
    """A page frames the hosts of its videos alone; the author's own play by the browser."""
    calls = {
        "": "",
        "{{ video('https://youtu.be/qY1juqIDT10') }}": "https://www.youtube-nocookie.com",
        "{{ video('https://vimeo.com/1') }}": "https://player.vimeo.com",
    }
    for call, host in calls.items():
        told = policy(brought(tmp_path, call))
        assert ("frame-src" in told) is bool(host)
        assert told.endswith(f"; frame-src {host}" if host else "form-action 'none'")
        assert "script-src 'self';" in told
    told = policy(brought(tmp_path, "\n\n".join([*calls, *calls])))
    assert told.endswith("; frame-src https://player.vimeo.com https://www.youtube-nocookie.com")
    files = {"t.mp4": MP4}
    tree = brought(tmp_path, "{{ video('t.mp4', title='T', poster='a.svg', id='x') }}", **files)
    figure = next(tree.iter("figure"))
    video = figure.find("div/video")
    poster = video.attrib.pop("poster")
    assert re.fullmatch(r"media/a-[0-9a-f]{8}\.svg", poster)
    assert dict(video.attrib) == {
        "class": "film", "controls": "", "playsinline": "", "preload": "none", "width": "1280",
        "height": "720", "aria-label": "T"
    }  # fmt: skip
    source = video.find("source")
    assert source.get("type") == "video/mp4"
    assert re.fullmatch(r"media/t-[0-9a-f]{8}\.mp4", source.get("src"))
    assert video.find("p").find("a").get("href") == source.get("src")
    assert "frame-src" not in policy(tree)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_hostile_words(tmp_path: Path, quote: str) -> None:
    """The words of figures, pictures and videos cannot become markup either."""
    (tmp_path / "a.svg").write_bytes(SVG)

    def attacked(value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
        text = f"{quote}{escaped}{quote}"
        calls = ("trajectories('mnist', ", "alt"), ("image('a.svg', ", "alt"), (VIDEO, "title")
        index = (f"{{{{ {call}caption={text}, {last}={text}) }}}}" for call, last in calls)
        return rendered(tmp_path, FULL, "\n\n".join(index))

    def inert(html: str) -> list[tuple[str, tuple[str, ...]]]:
        """The structure without what Markdown makes of a caption."""
        return [part for part in structure(html) if part not in (("strong", ()), ("em", ()))]

    expected = inert(attacked("x"))
    for value in HOSTILE[:: 1 if quote == '"' else 5]:
        value = value.replace("[^1]", "")  # a note without text is an error
        if "](" in value or "\\href" in value:  # refused in a caption, as in a text
            with pytest.raises(ConfigError, match=r"the (link|formula) "):
                attacked(value)
            continue
        if value not in REFUSED:
            assert inert(attacked(value)) == expected, value
            continue
        with pytest.raises(ConfigError, match="the character"):
            attacked(value)
