"""Pages: where they go, what their figures are, and what is told when one is wrong."""

import copy
import re
from pathlib import Path

import pytest
from markupsafe import Markup
from PIL import Image as Pillow

from sitegen.config.schema import Site, load_site
from sitegen.content.embeds import Embed
from sitegen.content.groups import Group
from sitegen.content.markdown import InlineText
from sitegen.content.pages import Page, read_pages
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.base import Figure
from sitegen.figures.trajectories import Trajectories
from tests.support.fabricated import MP4, SITE, make_site, write_site


def read(folder: Path, index: str, *available: str) -> Page:
    """Read a front page on which the models named are available; `x` may or may not be."""
    waits = '[models.x]\npath = "x.pth"\npreset = "cifar10"\n'
    site = make_site(folder, SITE + (waits if 'available("x")' in index else ""), index)
    return read_pages(site, {"mnist", *available}.__contains__)[0]


def fault(folder: Path, index: str) -> str:
    """Say what is wrong with a front page."""
    with pytest.raises(ConfigError) as caught:
        read(folder, index)
    return str(caught.value).replace(f"{folder}/", "")


def html(page: Page) -> str:
    """The body as text, with the figures' ids in brackets."""
    return "".join(str(p) if isinstance(p, Markup) else f"[{p.id}]" for p in page.body)


def group(page: Page, at: int) -> Group:
    """The group at a position of the body."""
    part = page.body[at]
    assert isinstance(part, Group)
    return part


def test_page(tmp_path: Path) -> None:
    """Text and figures in order, with the place of each call; all that is wrong is told at once."""
    page = read(tmp_path, 'A *b*.\n\n{{ trajectories("mnist", count=4, caption="C") }}\n\nD.\n')
    place = SourceLocation(str(tmp_path / "pages/index.md"), 3)
    spec = Trajectories("mnist", count=4)
    words = ("trajectories", "mnist-trajectories", spec, "C", None, place, tmp_path)
    figure = Figure(*words, number="1")
    assert page.body == ("<p>A <em>b</em>.</p>\n", figure, "<p>D.</p>\n")
    assert all(isinstance(part, Markup | Figure) for part in page.body)
    assert (page.uri, page.title, page.figures) == ("index.html", "A title", (figure,))
    page = read(
        tmp_path,
        '{% set last = trajectories("mnist", seed=9) %}\n{% for seed in range(2) %}\n'
        "{{ trajectories('mnist', seed=seed) }}\n\n{% endfor %}\n{{ last }}\n",
    )
    assert [figure.spec.seed for figure in page.figures] == [0, 1, 9]  # type: ignore[attr-defined]
    assert [figure.place.line for figure in page.figures] == [3, 3, 1]
    assert html(page) == "[mnist-trajectories][mnist-trajectories-2][mnist-trajectories-3]"
    for text, message in MESSAGES:
        assert fault(tmp_path, text) == message


def test_beside(tmp_path: Path) -> None:
    """Figures of a row stand in a row, in the order of the call; wrong ones are told with place."""
    one, two = 'trajectories("mnist", seed=1)', 'spectra("mnist", caption="Own")'
    text = f"A.\n\n{{{{ beside(\n  {one},\n  {two},\n  caption='Both') }}}}\n\n{{{{ {one} }}}}\n\n"
    page = read(tmp_path, f"{text}{{{{ beside({one}, {one}) }}}}\n\nB.\n")
    assert [group(page, at).caption for at in (1, 5)] == ["Both", ""]
    assert page.figures == (*group(page, 1).parts, page.body[3], *group(page, 5).parts)
    assert [figure.kind for figure in page.figures][:2] == ["trajectories", "spectra"]
    assert [figure.caption for figure in page.figures][:2] == ["", "Own"]
    assert html(page) == "<p>A.</p>\n[][mnist-trajectories-2][]<p>B.</p>\n"
    for call, told in (
        (f"beside({one})", "should be 2 to 4 figures, and is 1"),
        (f"beside({', '.join([one] * 5)})", "should be 2 to 4 figures, and is 5"),
        (
            f'beside("mnist", {one})',
            "should hold figures, pictures, videos and tables only; "
            'write beside(trajectories("one"), …)',
        ),
        (f"beside({one}, {one}, captoin='x')", 'captoin: unknown key, did you mean "caption"?'),
        (f"beside({one}, {one}, caption=3)", "caption = 3: Input should be a valid string"),
    ):
        assert (
            fault(tmp_path, f"A.\n\n{{{{ {call} }}}}\n") == f"pages/index.md:3: beside(…): {told}"
        )
    assert "needs a paragraph of its own" in fault(tmp_path, f"A {{{{ beside({one}, {two}) }}}}\n")
    twice = f"{{% set one = {one} %}}\n{{{{ beside(one, one) }}}}\n"
    assert "is shown 2 times" in fault(tmp_path, twice)
    assert "count = 0" in fault(
        tmp_path, f"{{{{ beside(trajectories('mnist', count=0), {one}) }}}}\n"
    )
    nested = f"{{{{ tabs(beside({one}, {two}), {one}) }}}}\n"
    assert "should hold figures, pictures, videos and tables only" in fault(tmp_path, nested)
    assert 'did you mean "beside"' in fault(tmp_path, f"{{{{ besides({one}) }}}}\n")


def test_teaser_tabs_and_references(tmp_path: Path) -> None:
    """The teaser is figure 1 wherever it is called; references say numbers."""
    one, two = 'trajectories("mnist", seed=1)', 'spectra("mnist", id="power")'
    text = f"See {{{{ ref('power') }}}}.\n\n{{{{ tabs({one}, {two}, names=['A', 'B']) }}}}\n\n"
    page = read(tmp_path, f"{text}{{{{ teaser(trajectories('mnist', id='top-one')) }}}}\n")
    assert [(each.id, each.number) for each in page.figures] == [
        ("mnist-trajectories", "2a"), ("power", "2b"), ("top-one", "1")
    ]  # fmt: skip
    assert [figure.teaser for figure in page.figures] == [False, False, True]
    assert (group(page, 1).kind, group(page, 1).names) == ("tabs", ("A", "B"))
    assert html(page).startswith('<p>See <a href="#power">Figure 2b</a>.</p>')
    for call, told in (
        (f"tabs({one}, {two}, names=['A'])", "has 1 names for 2 figures"),
        (f"tabs({one})", "should be 2 to 6 figures, and is 1"),
        (f"teaser({one}, {two})", "should hold one figure, picture, video or group; write"),
        ("teaser('x')", "should hold one figure, picture, video or group; write"),
    ):
        found = fault(tmp_path, f"A.\n\n{{{{ {call} }}}}\n")
        assert found.startswith(f"pages/index.md:3: {call.partition('(')[0]}(…): {told}"), found
    twice = f"{{{{ teaser({one}) }}}}\n\n{{{{ teaser({two}) }}}}\n"
    assert "the page has a teaser already" in fault(tmp_path, twice)
    assert "leads to no heading and no figure" in fault(tmp_path, "{{ ref('nothing') }}\n")


def test_captions_are_inline_markdown(tmp_path: Path) -> None:
    """Emphasis, formulas, links, references and notes; the plain text is for the manifest."""
    caption = r'''"*A* $\theta$, [b](#h-results) and " ~ ref("power") ~ ".[^1] <i>"'''
    text = "## Results\n\nIt.[^2]\n\n{{ trajectories('mnist', caption=" + caption + ") }}\n\n"
    text += "{{ spectra('mnist', id='power') }}\n\n[^1]: A *note*.\n[^2]: Earlier.\n"
    page = read(tmp_path, text)
    shown = page.figures[0].caption
    assert isinstance(shown, InlineText)
    assert shown == r"A \theta, b and Figure 2. <i>"
    assert shown.html.startswith("<em>A</em> <math")
    assert '<a href="#h-results">b</a> and <a href="#power">Figure 2</a>.' in shown.html
    assert shown.html.endswith("&lt;i&gt;")
    assert re.search(r'id="fn2".*<em>note</em>', shown.notes, re.S)
    assert "note</em>" not in html(page)
    assert "<a " not in shown.unlinked.html
    assert "footnote" not in shown.unlinked.html
    assert [warning.line for warning in page.warnings] == [5]
    assert copy.deepcopy(shown).html == shown.html


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("$\\nocommand$", 'the formula "\\nocommand": the command \\nocommand is not known'),
        ("[a](nothing.pdf)", 'the link "nothing.pdf": there is no such file'),
        ("[a](#nothing)", 'the link "#nothing" leads to no heading and no figure of this page'),
    ],
)
def test_faults_of_captions(tmp_path: Path, caption: str, told: str) -> None:
    """What is wrong in a caption is told with its file and line, also in a group."""
    call = f'trajectories("mnist", caption="{caption}")'
    for text in (call, f'beside({call}, spectra("mnist"))', f"grid({call}, {call}, columns=2)"):
        assert f"pages/index.md:3: {told}" in fault(tmp_path, f"A.\n\n{{{{ {text} }}}}\n"), text


def test_best_of_a_column(tmp_path: Path) -> None:
    """The least or largest number is bold, as often as it is there, and no cell twice."""
    rows = '["A", "1,000", "3.5 ± 2"], ["B", "−2", "**4**"], ["C", "–", 4.0], ["D", 7, ""]'
    call = f"table([{rows}], columns=['m', 'n', 'o'], best=['', 'min', 'max'])"
    page = read(tmp_path, f"{{{{ {call} }}}}\n")
    (part,) = (part for part in page.body if not isinstance(part, str))
    assert isinstance(part, Embed)
    bold = [["<strong>" in str(getattr(cell, "html", "")) for cell in row] for row in part.cells]
    assert bold == [
        [False, False, False],
        [False, False, False],
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    told = fault(tmp_path, "{{ table([[1, 2]], columns=['a', 'b'], best=['min']) }}\n")
    assert "has 1 for 2 columns; give one for each" in told
    told = fault(tmp_path, "{{ table([[1]], columns=['a'], best=['least']) }}\n")
    assert "best" in told


def test_groups_hold_pictures_videos_and_tables(tmp_path: Path) -> None:
    """A grid is one figure, with headings in Markdown; pictures, videos and tables stand in it."""
    with_files(tmp_path)
    picture, film = (
        'image("setup.png", alt="S", caption="C")',
        'video("https://youtu.be/qY1juqIDT10")',
    )
    table = 'table([["Ours", 2.5], ["**DDPM**", 3]], columns=["", "FID"], caption="T")'
    one = 'trajectories("mnist", id="one")'
    text = f"{{{{ grid({picture}, {film}, {one}, columns=['*A*', 'B'], rows=['1', '2']) }}}}\n\n"
    text += (
        f"{{{{ beside({picture}, {table}, phone='scroll') }}}}\n\n{{{{ tabs({film}, {table}) }}}}"
    )
    text += (
        "\n\n{{ ref('grid') }}, {{ ref('one') }}, {{ ref('table') }}, {{ ref('image-setup-2') }}\n"
    )
    page = read(tmp_path, text)
    grid, row, tabs = (group(page, at) for at in (1, 3, 5))
    assert (grid.id, grid.number, grid.columns, grid.phone) == ("grid", "1", 2, "scroll")
    assert [str(name.html) for name in grid.names if isinstance(name, InlineText)] == [
        "<em>A</em>", "B"
    ]  # fmt: skip
    numbers = [[getattr(part, "number", None) for part in g.parts] for g in (grid, row, tabs)]
    assert numbers == [["1a", "", "1b"], ["2", "1"], ["", "2"]]
    assert (row.phone, tabs.parts[1].cells[1]) == ("scroll", ("Ours", "2.5"))  # type: ignore[union-attr]
    links = re.findall(">([A-Z][a-z]+ [^<]*)</a>", str(page.body[-1]))
    assert links == ["Figure 1", "Figure 1b", "Table 1", "Figure 2"]
    assert [figure.id for figure in page.figures] == ["one"]
    for call, told in (
        (f"grid({one}, {picture}, columns=9)", "columns should be 1 to 8, and are 9"),
        (f"grid({one}, {picture})", "columns is missing: The number of columns, or their heading"),
        (f"grid({picture}, {one}, columns=1, rows=['a'])", "has 1 headings for 2 rows of 1"),
        (f"beside({picture}, {one}, phone='scrol')", 'did you mean "scroll"'),
        (f"compare({picture}, {film})", "should compare clips, drawings, pictures and videos"),
        (f'compare({picture}, sampler("mnist"))', "should compare clips, drawings, pictures"),
        (f"compare({picture}, {table})", "should compare clips, drawings, pictures and videos"),
        (f"compare({picture})", "should be 2 figures, and is 1"),
        (f"compare({picture}, {one}, names=['a'])", 'names = ["a"]'),
        ("table([[1, 2], [3]], columns=['a', 'b'])", "row 2 has 1 cells for 2 columns"),
    ):
        place = f"pages/index.md:3: {call.partition('(')[0]}(…): "
        found = fault(tmp_path, f"A.\n\n{{{{ {call} }}}}\n")
        assert found.startswith(place), found
        assert told in found


def test_compared_shapes(tmp_path: Path) -> None:
    """A picture is compared with one of its shape in another size, or a video of its aspect."""
    for name, size in (("a.png", (40, 20)), ("b.png", (80, 40)), ("c.png", (40, 30))):
        Pillow.new("RGB", size).save(tmp_path / name)
    (tmp_path / "v.mp4").write_bytes(MP4)
    a, b, c = (f'image("{name}.png", alt="x")' for name in "abc")
    film = 'video("v.mp4", aspect="2:1")'
    texts = (f"{{{{ compare({a}, {other}, id='x') }}}}\n" for other in (b, film))
    assert [group(read(tmp_path, text), 1).id for text in texts] == ["x", "x"]
    assert "shapes differ, 40 × 20 and 40 × 30" in fault(tmp_path, f"{{{{ compare({a}, {c}) }}}}\n")
    told = fault(tmp_path, f"{{{{ compare({c}, {film}) }}}}\n")
    assert "index.md:1: compare(…): shapes differ, 40 × 30 and 2 × 1; crop a picture" in told


def test_details(tmp_path: Path) -> None:
    """A section that opens has a summary in Markdown, and holds text, figures and notes."""
    text = (
        "::: details *More* on $x$\n\nA.[^1]\n\n{{ spectra('mnist') }}\n\n:::\n\nB.\n\n[^1]: N.\n"
    )
    start, figure, end = read(tmp_path, text).body
    assert str(start).startswith("<details>\n<summary><em>More</em> on <math")
    assert isinstance(figure, Figure)
    assert re.match(r"(?s)<aside.*</aside>\n</details>\n<p>B", str(end))
    for wrong, told in (
        ("::: details\nA\n:::\n", "::: details lacks its summary"),
        ("::: details More\nA\n", "::: details has no end; write :::"),
        ("::: detials More\nA\n\n:::\n", '"::: detials More" is no block; write ::: details'),
    ):
        assert fault(tmp_path, f"A.\n\n{wrong}").startswith(f"pages/index.md:3: {told}")


def test_available(tmp_path: Path) -> None:
    """What needs an absent model is left out; a figure or video where none is shown is told."""
    text = '{% if available("mnist") %}\nA\n{% endif %}\n{% if available("x") %}\nB\n{% endif %}\n'
    assert html(read(tmp_path, text)) == "<p>A</p>\n"
    assert html(read(tmp_path, text, "x")) == "<p>A\nB</p>\n"
    text = '{% if available("mnist") %}\n{{ trajectories("mnist") }}\n{% endif %}\n\n'
    read_pages(make_site(tmp_path, SITE, f"{text}[x](#mnist-trajectories)\n"), lambda _: False)
    for call, message in [
        ('"mnst"', 'available("mnst"): no such model in site.toml, did you mean "mnist"?'),
        ("[]", "available([]): no such model in site.toml; known: mnist"),
        ("nobody", "'nobody' is undefined"),
    ]:
        text = f"A\n\n{{% if available({call}) %}}\nB\n{{% endif %}}\n"
        assert fault(tmp_path, text).startswith(f"pages/index.md:3: {message}")
    for text in STRAYS:
        for call in ("trajectories('mnist')", "video('https://vimeo.com/1')"):
            assert "(…) needs a paragraph of its own" in fault(tmp_path, text % call)


MESSAGES = [
    (
        'A\n\n{{ trajectories("mnits", cuont=3) }}\n\n{{ trajectories("mnist", count=0) }}\n',
        'pages/index.md:3: trajectories(…): model = "mnits": no such model in site.toml, '
        'did you mean "mnist"?\n'
        'pages/index.md:3: trajectories(…): cuont: unknown key, did you mean "count"?\n'
        "pages/index.md:5: trajectories(…): count = 0: Input should be greater than or equal to 1",
    ),
    (
        'A\n{{ trajectories("mnist") }}\n',
        "pages/index.md:2: trajectories(…) needs a paragraph of its own, outside code and tables; "
        "to show the call itself, write {% raw %} before and {% endraw %} after it",
    ),
    (
        '{% set x = trajectories("mnist") %}\n{{ x }}\n\n{{ x }}\n',
        "pages/index.md:1: trajectories(…) is shown 2 times; call it once for each",
    ),
    (
        '{{ trajectories("mnist", id="a") }}\n\n{{ trajectories("mnist", id="a") }}\n\n'
        '{{ trajectories("mnist", id="h-a") }}\n',
        'pages/index.md:3: trajectories(…) has the id "a", which is taken; choose another\n'
        'pages/index.md:5: trajectories(…) has the id "h-a", which is taken; choose another',
    ),
    (
        '{% if available("mnst") %}\n{{ trajectories("mnst") }}\n{% endif %}\n\n{{ site.titel }}\n',
        'pages/index.md:1: available("mnst"): no such model in site.toml, did you mean "mnist"?\n'
        'pages/index.md:2: trajectories(…): model = "mnst": no such model in site.toml, '
        'did you mean "mnist"?\n'
        "pages/index.md:5: 'dict object' has no attribute 'titel', did you mean \"title\"?",
    ),
    (
        'A\n\n{{ trajectoris("mnist") }}\n',
        "pages/index.md:3: 'trajectoris' is undefined, did you mean \"trajectories\"?",
    ),
    (
        "[a](b/)\n\n$\\nope$\n",
        'pages/index.md:1: the link "b/": there is no such file, did you mean "index.html"?\n'
        'pages/index.md:3: the formula "\\nope": the command \\nope is not known',
    ),
    ("a\x00", "pages/index.md:1: holds the character U+0000; remove it"),
    ("a\n{{ trajectories(site.x) }}", "pages/index.md:2: 'dict object' has no attribute 'x'"),
]


def test_all_at_once(tmp_path: Path) -> None:
    """Calls, links, formulas, pictures, places and hidden parts of all pages, and site.toml."""
    button = '[[links]]\nlabel = "x"\nurl = "{}"\n'
    waits = '[models.x]\npath = "x.pth"\npreset = "cifar10"\n'
    path = write_site(tmp_path, SITE + button.format("gone") + waits + button.format("a/#no"))
    (tmp_path / "pages/a.md").write_text(
        "{{ trajectories('mnist', id='known', cuont=3) }}\n\n[here](#known) [b](b/#no)\n\n"
        "$\\nope$ ![a](x.png)\n\n{{ trajectories('mnst') }}\n\n# Late\n\n"
        "{% if available('x') %}\n[x](gone.pdf)\n{% endif %}\n\n{{ image('y.png', alt='') }} z\n"
    )
    (tmp_path / "pages/b.md").write_text("# B\n\n[a](a/#no)\n\n{{ x }}\n")
    (tmp_path / "pages/c.md").write_text("## C\n\n[c](#no)\n\n{{ trajectories('mnist') }} c\n")
    with pytest.raises(ConfigError) as caught:
        read_pages(load_site(path), {"mnist"}.__contains__)
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        *(f"pages/a.md:{line}" for line in (1, 5, 5, 7, 9, 15)),
        "pages/b.md:5",
        "pages/c.md:5",
        "site.toml:7",
    ]


STRAYS = [
    "| a | b |\n|---|:-:|\n| c | {{ %s }} |\n",
    "`{{ %s }}`", "    {{ %s }}", "```\n{{ %s }}\n```", "## {{ %s }}", "[a]({{ %s }})",
    "a[^1]\n\n[^1]: {{ %s }}", "{{ %s | upper }}", "{{ %s ~ 'x' }}",
    "{%% set x = %s %%}", "{%% if %s %%}a{%% endif %%}", "{{ %s[4:] }}",
    "{%% set x %%}{{ %s }}{%% endset %%}{{ trajectories('mnist', caption=x) }}",
]  # fmt: skip


def with_files(folder: Path) -> None:
    """Put pictures and slides beside the pages."""
    for name in ("setup.png", "lab/setup.png", "lab/early.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Pillow.new("RGB", (30, 20), f"#{len(name):06}").save(folder / name)
    (folder / "talk.pdf").write_bytes(b"%PDF")


def test_pictures(tmp_path: Path) -> None:
    """Pictures and videos have ids, and their files are the page's."""
    with_files(tmp_path)
    page = read(
        tmp_path,
        "{{ image('lab/setup.png', alt='B') }}\n\nA ![C](lab/early.png) and [slides](talk.pdf).\n\n"
        "{{ image('setup.png', alt='D') }}\n\n{{ video('https://vimeo.com/1') }}\n\n"
        "{{ trajectories('mnist') }}\n\n{{ image('setup.png', alt='', id='video-2') }}\n\n"
        "{{ video('https://vimeo.com/2') }}\n\n{{ video('https://vimeo.com/3') }}\n",
    )
    things = [part for part in page.body if not isinstance(part, Markup)]
    ids = "image-setup image-setup-2 video mnist-trajectories video-2 video-3 video-4"
    assert " ".join(thing.id for thing in things) == ids
    assert [figure.id for figure in page.figures] == ["mnist-trajectories"]
    names = [re.sub(r"-[0-9a-f]{8}", "", file.uri) for file in page.files]
    assert names == ["media/early.png", "media/setup.png", "media/setup.png", "talk.pdf"]
    assert len({file.uri for file in page.files}) == 4
    assert f'src="{page.files[0].uri}" alt="C"' in html(page)
    assert 'href="talk.pdf"' in html(page)


def more(folder: Path, name: str, text: str = "# More\n\n{{ trajectories('mnist') }}\n") -> Site:
    """Add a page to a site, and read the site."""
    path = write_site(folder, SITE)
    (folder / "pages" / name).write_text(text, encoding="utf-8")
    return load_site(path)


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("#h-reslts", 'this page, did you mean "#h-results"?'),
        ("#reslts", 'this page, did you mean "#h-results"?'),
        ("#nope", "this page; known: #h-results, #mnist-trajectories"),
        ("about/#nope", "that page; known: #mnist-trajectories"),
        ("#h-results", None), ("#mnist-trajectories", None),
        ("index.html?x#mnist%2Dtrajectories", None), ("about/#top", None), ("#:~:text=word", None),
        ("data.txt#line", None), ("https://example.org/#x", None),
    ],
)  # fmt: skip
def test_places_in_pages(tmp_path: Path, link: str, told: str | None) -> None:
    """A link to a heading or figure that is not there is told with its line and the nearest."""
    site = more(tmp_path, "about.md")
    (tmp_path / "data.txt").write_text("words")
    text = f'## Results\n\n{{{{ trajectories("mnist") }}}}\n\n{{# #}}\n\n[x]({link})\n'
    (tmp_path / "pages/index.md").write_text(text)
    if told is None:
        read_pages(site)
        return
    with pytest.raises(ConfigError) as caught:
        read_pages(site)
    where = f'{tmp_path}/pages/index.md:7: the link "{link}" leads to no heading and no figure of '
    assert str(caught.value) == where + told
    (tmp_path / "theme/templates").mkdir(parents=True)  # which may have any id
    read_pages(site)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("About.md", 'the page\'s name "About" should be in lower case: about'),
        ("a b.md", 'the page\'s name "a b" should be 1 to 64 letters'),
        ("media.md", 'the page\'s name "media" is a name that sitegen uses itself'),
        ("con.md", 'the page\'s name "con" is a reserved name on Windows'),
    ],
)
def test_bad_names(tmp_path: Path, name: str, told: str) -> None:
    """A page's name is a good folder's, and the front page is there."""
    site = more(tmp_path, name)
    with pytest.raises(ConfigError, match=f"{name}: {told}"):
        read_pages(site)
    (tmp_path / "pages/index.md").unlink()
    with pytest.raises(ConfigError, match=r"pages/index.md: is missing; it is the front page"):
        read_pages(site)


def test_raw_html_is_told(tmp_path: Path) -> None:
    """Tags that a reader would see are warned of with their line, what was meant as text is not."""
    text = (
        "# T <b>\n\n<div align=center>\n{# #}\n\nA\nb<br>c <https://e.org> a < b \\<i> `<u>`\n"
        "</div>\n\n{{ site.title }}\n\n<iframe\nsrc='https://e.org'></iframe>\n\n"
        "<!-- a\n\nb -->\n\n    <pre>\n\n<!-- c -->\n"
    )
    page = read_pages(make_site(tmp_path, "title = '<s>'", text))[0]
    told = [str(each).replace(f"{tmp_path}/", "").split(" is shown")[0] for each in page.warnings]
    assert told == [
        'pages/index.md:1: "<b>"',
        'pages/index.md:3: "<div align=center>"',
        'pages/index.md:7: "<br>"',
        "pages/index.md:12: \"<iframe src='https://e.org'>\"",
        'pages/index.md:15: "<!--"',
        'pages/index.md:21: "<!-- c -->"',
    ]
    assert all("write a comment as {# … #}" in each.text for each in page.warnings[-2:])
    assert 'write {{ video("https://youtu.be/…") }} for a video' in page.warnings[3].text
    assert "&lt;div align=center&gt;" in html(page)


def test_names_of_any_script(tmp_path: Path) -> None:
    """A page's name may be of any script, however its letters are composed; the menu finds it."""
    for name in ("результаты", "u\u0308ber", "हिन्दी"):
        more(tmp_path, f"{name}.md", "[x](результаты/) [y](%C3%BCber/)\n")
    names = 'menu = ["über"]\nmenu_names = { "результаты" = "Kurz" }\n'
    site = load_site(write_site(tmp_path, names + SITE))
    pages = read_pages(site)
    assert [page.uri for page in pages] == [
        *("index.html", "über/index.html", "результаты/index.html", "हिन्दी/index.html"),
    ]
    assert site.menu_names == {"результаты": "Kurz"}
    with pytest.raises(ConfigError, match=r"menu_names.*there is no page"):
        load_site(write_site(tmp_path, 'menu_names = { no = "No" }\n' + SITE))


@pytest.mark.parametrize(
    "call", ["{caption}", "{{{{ trajectories('mnist', caption='{caption}') }}}}"]
)
def test_footnotes_without_text(tmp_path: Path, call: str) -> None:
    """A note that is referred to and not written is an error, also in captions."""
    found = fault(tmp_path, f"A.\n\n{call.format(caption='Ours.[^x]')}\n")
    assert found.startswith("pages/index.md:3: the footnote [^x] has no text; write [^x]: and")
    read(tmp_path, f"A.\n\n{call.format(caption='Ours.`[^x]` and [^x](#)')}\n\n\\[^x]\n")


def test_teaser_of_any_part(tmp_path: Path) -> None:
    """A group can be the teaser, and is figure 1."""
    one = 'trajectories("mnist", seed=1)'
    page = read(tmp_path, f"{{{{ {one} }}}}\n\n{{{{ teaser(compare({one}, {one})) }}}}\n")
    top = group(page, -2)
    assert (top.kind, top.teaser, top.number) == ("compare", True, "1")
