"""`sitegen check` finds what would not work on GitHub Pages, with its place, and nothing else."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import urlopen

import pytest

from bench.serving import serving
from sitegen.config.loader import load_site
from sitegen.core.errors import TargetError
from sitegen.deploy.check import Findings, PublishTarget, check_folder, check_site
from tests.support.builders import SITE, Builder, traces, write_page, write_site

PUBLISHED = PublishTarget("https://name.github.io/paper/")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><title>T</title></head>
<body id="body">
{body}
</body>
</html>
"""
LINE = 5  # where the body of PAGE begins
PIXEL = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"

# What stands in a page, and the words by which its fault is told; None where there is none.
# More links are in `test_server_agrees`.
BODIES: dict[str, tuple[str, str | None]] = {
    "page without its .html": ('<a href="plain">x</a>', None),
    "index by name": ('<a href="about/index.html#body">x</a>', None),
    "whole address": ('<a href="https://name.github.io/paper/about/">x</a>', None),
    "coded": ('<a href="a%20b.txt?download#x">x</a>', None),
    "anchor": ('<a href="#here">x</a><p id="here">', None),
    "top": ('<a href="#top">x</a> <a href="#">x</a>', None),
    "old anchor": ('<a href="#here">x</a><a name="here">y</a>', None),
    "piece of text": ('<a href="about/#:~:text=word">x</a>', None),
    "mail": ('<a href="mailto:a@example.org">x</a>', None),
    "within the page": ('<img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAADs=">', None),
    "nothing there": ('<a href="nothing.html">x</a>', 'link "nothing.html" is not in the folder'),
    "folder without index": ('<a href="media/">x</a>', "is not in the folder"),
    "case": ('<img alt="" src="Media/Dot.gif">', 'is spelled "media/dot.gif" in the folder'),
    "anchor that is not": ('<a href="#there">x</a>', "names an id that index.html does not have"),
    "anchor elsewhere": (
        '<a href="about/#there">x</a>',
        "names an id that about/index.html does not have",
    ),
    "root of the host": ('<a href="/data.zip">x</a>', "leads out of /paper/"),
    "over the root": ('<a href="../data.zip">x</a>', "leads out of /paper/"),
    "another of our sites": ('<a href="https://name.github.io/other/">x</a>', None),
    "home of our host": ('<a href="https://name.github.io/">x</a>', None),
    "own and missing": (
        '<a href="https://name.github.io/paper/x.zip">x</a>',
        "is not in the folder",
    ),
    "file of this machine": ('<a href="file:///data/x.zip">x</a>', "names a file of this machine"),
    "script": ('<a href="javascript:alert(1)">x</a>', "is a script"),
    "no address": ('<a href="http://[">x</a>', "is not an address"),
    "script of a sampler": (
        '<script src="data.zip" data-sampler="no.js" data-worker="data.zip"></script>',
        'the file "no.js"',
    ),
    "clip": ('<video aria-label="x" src="media/no.mp4"></video>', 'the file "media/no.mp4"'),
    "source": ('<video aria-label="x"><source src="no.mp4"></video>', 'the file "no.mp4"'),
    "poster": ('<video aria-label="x" poster="no.webp"></video>', 'the file "no.webp"'),
    "srcset": ('<img alt="" src="media/dot.gif" srcset="no.gif 2x">', 'the file "no.gif"'),
    "label": ('<video aria-labelledby="nobody"></video>', "the name of an element, by id"),
    "base": ('<base href="/"><a href="data.zip">x</a>', 'has the base "/"'),
    "subtitles": ('<video aria-label="x"><track src="no.vtt"></video>', 'the file "no.vtt"'),
    "subtitles there": ('<video aria-label="x"><track src="data.zip"></video>', None),
    "style sheet in the page": (
        "<style>a { background: url(no.gif) }</style>",
        '"no.gif" is not in',
    ),
    "style": ("<p style=\"background: url('no.gif')\">x</p>", 'the file "no.gif"'),
    "styles there": ('<style>a{b:url(media/dot.gif)}</style><p style="b: url(data.zip)">', None),
    "paint": ('<svg aria-hidden="true"><path fill="url(#no)"/></svg>', "names an id"),
    "paint there": ('<svg aria-hidden="true"><g id="a"/><path fill="url(#a)"/></svg>', None),
    "local server": ('<a href="http://localhost:8000/">x</a>', "leads to the reader's own machine"),
    "local number": ('<a href="//127.0.0.1/x">x</a>', "leads to the reader's own machine"),
    "like a local server": ('<a href="https://localhost.org/">x</a>', None),
}


def folder(root: Path, body: str = "", files: Mapping[str, bytes | str] | None = None) -> Path:
    """A folder with a page, and what pages may refer to."""
    about = PAGE.format(body='<a href="../index.html">x</a>')
    content: dict[str, bytes | str] = {
        "index.html": PAGE.format(body=body),
        "about/index.html": about,
        "plain.html": PAGE.format(body=""),
        ".nojekyll": "",
        "data.zip": b"zip",
        "a b.txt": "words",
        "media/dot.gif": PIXEL,
        **(files or {}),
    }
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def look(root: Path, place: PublishTarget = PUBLISHED) -> Findings:
    """Look a folder over, and see that nothing in it was touched."""
    before = traces(root)
    found = check_folder(root, place)
    assert traces(root) == before
    return found


@pytest.mark.parametrize("name", BODIES)
def test_what_a_page_says(tmp_path: Path, name: str) -> None:
    """Good references and words pass; each bad one is one error, with the page and the line."""
    body, fault = BODIES[name]
    found = look(folder(tmp_path, f"\n{body}"))
    assert found.warnings == ()
    if fault is None:
        assert found.errors == ()
    else:
        assert any(fault in problem.text for problem in found.errors), found.errors
        assert {problem.line for problem in found.errors} == {LINE + 1}
        assert str(found.errors[0]).startswith(f"{tmp_path}/index.html:{LINE + 1}: ")


def test_server_agrees(tmp_path: Path) -> None:
    """A web server agrees on links; what sitegen builds passes until a clip is changed."""
    urls = ["data.zip", "about/", "about", "a%20b.txt?x", "/sub/paper/data.zip", "/sub/paper"]
    urls += ["./about/../", "nothing.html", "Media/dot.gif", "/data.zip", "../data.zip", "%2e%2e"]
    root = folder(tmp_path / "paper")
    with serving(tmp_path) as address:
        for url in urls:
            (root / "index.html").write_text(PAGE.format(body=f'<a href="{url}">x</a>'))
            found = look(root, PublishTarget(f"{address}paper/")).errors
            assert answers(urljoin(f"{address}paper/", url)) == (found == ()), (url, found)
    site = Builder(write_site(tmp_path, site='base_url = "https://a.org/b/"\n' + SITE))
    write_page(site.config, "# About\n\n[back](index.html#tiny-trajectories)\n", "about")
    site()
    passed = look(site.output, PublishTarget("https://a.org/b/"))
    assert (passed.errors, passed.warnings) == ((), ())
    assert passed.pages >= 2
    site = Builder(write_site(tmp_path))
    site()
    clip, poster = (next((site.output / "media").glob(f"*.{kind}")) for kind in ("gif", "webp"))
    clip.rename(clip.with_name(clip.name.upper()))
    poster.write_bytes(poster.read_bytes()[:-1] + b"x")
    texts = "\n".join(map(str, look(site.output).errors))
    assert "is spelled" in texts
    assert f"{poster.name}: is not the file that media.json lists" in texts
    (site.output / "media.json").write_text("{}")
    assert "media.json: is damaged" in "\n".join(map(str, look(site.output).errors))
    tmp_path = tmp_path / "more"
    config = write_site(tmp_path, site='domain = "paper.example.org"\n' + SITE)
    with pytest.raises(TargetError, match="run `sitegen build` first"):
        check_folder(tmp_path / "build")
    Builder(config)()
    page = tmp_path / "build/index.html"
    page.write_text(page.read_text().replace("</main>", '<a href="/media.json">x</a></main>'))
    assert check_site(load_site(config), tmp_path / "build").errors == ()


def answers(url: str) -> bool:
    """Whether a server has something there."""
    try:
        with urlopen(url, timeout=60) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        error.close()
        return False


def test_links_from_the_root(tmp_path: Path) -> None:
    """Wrong from an unknown root, right in 404.html; those to elsewhere are listed once."""
    found = look(folder(tmp_path, '<a href="/data.zip">x</a>'), PublishTarget())
    assert "works only where the site is at the root" in found.errors[0].text
    assert look(tmp_path, PublishTarget("https://paper.example.org")).errors == ()
    page = PAGE.format(body='<a href="data.zip">x</a>\n<a href="/paper/data.zip">x</a>')
    (problem,) = look(folder(tmp_path, "", {"404.html": page})).errors
    assert problem.line == LINE
    assert "is served at every address" in problem.text
    links = (f'<a href="http://name.github.io/paper/{name}">x</a>' for name in ("about/", "no"))
    found = look(folder(tmp_path / "http", "".join(links)))
    (error,), (warning,) = found.errors, found.warnings
    assert 'paper/no" is not in the folder' in error.text
    assert 'paper/about/" is not encrypted' in warning.text
    tmp_path = tmp_path / "more"
    body = '<a href="https://arxiv.org/abs/1">x</a><a href="https://arxiv.org/abs/1">x</a>'
    found = look(folder(tmp_path, body + '\n<img alt="" src="//cdn.example.org/x.png">'))
    assert found.external == {
        "https://arxiv.org/abs/1": f"{tmp_path}/index.html:{LINE}",
        "//cdn.example.org/x.png": f"{tmp_path}/index.html:{LINE + 1}",
    }
    assert "  https://arxiv.org/abs/1  (" in "\n".join(found.notes())
    assert found.errors == ()
    (warning,) = found.warnings
    assert "comes from another server" in warning.text


def test_files_by_their_endings(tmp_path: Path) -> None:
    """Pages of other names, empty pictures, odd clips, pointers of LFS, and what SVGs show."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    page = PAGE.format(body='<a href="no">x</a>')
    files = {"a.htm": page, "b.HTML": page, "c.png": "", "d.mp4": "no clip", "e.avi": ""}
    found = look(folder(tmp_path, "", {**files, "f.mp4": pointer, "g.webm": "webm"}))
    told = [(Path(each.file).name, each.text) for each in found.errors]
    words = ("is not in the folder", "is not in the folder", "is empty", "truncated", "do not play")
    assert "".join(name[0] for name, _ in told) == "abcdef"
    for (_, text), word in zip(told, (*words, "git lfs pull"), strict=True):
        assert word in text
    assert [Path(problem.file).name for problem in found.warnings] == ["g.webm"]
    tmp_path = tmp_path / "more"
    drawing = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">
<style><![CDATA[ .a { fill: url(#a) } ]]></style>
<g id="a"/><use href="#a"/><image href="dot.gif"/>
{}
</svg>"""
    bad = '<image href="no.png"/><a xlink:href="no.html"><use xlink:href="#no"/></a>'
    good = drawing.replace("{}", "")
    files = {"media/good.svg": good, "media/bad.svg": drawing.replace("{}", bad)}
    found = look(folder(tmp_path, "", files))
    assert {problem.file for problem in found.errors} == {str(tmp_path / "media/bad.svg")}
    named = [problem.text.split('"')[1] for problem in found.errors]
    assert sorted(named) == ["#no", "no.html", "no.png"]


def test_addresses_for_machines_are_followed(tmp_path: Path) -> None:
    """Cards, canonical links, sitemaps, stylesheets and manifests name files, too."""
    head = '<meta property="og:image" content="https://name.github.io/paper/card.png">'
    head += '<link rel="canonical" href="https://name.github.io/paper/gone/">'
    sitemap = "<urlset>\n<url><loc>https://name.github.io/paper/lost/</loc></url>\n</urlset>"
    css = "/* url(x) */\n@import 'b.css'; p { background: url(\"no.png\") url(../media/dot.gif) }"
    files = {"sitemap.xml": sitemap, "assets/a.css": css}
    found = look(folder(tmp_path, head, files))
    told = [str(each).removeprefix(f"{tmp_path}/").split(" is not")[0] for each in found.errors]
    address = 'the address "https://name.github.io/paper'
    assert told == [
        *('assets/a.css:2: the file "b.css"', 'assets/a.css:2: the file "no.png"'),
        *(f'index.html:{LINE}: {address}/card.png"', f'index.html:{LINE}: {address}/gone/"'),
        f'sitemap.xml:2: {address}/lost/"',
    ]
    tmp_path = tmp_path / "more"
    text = """{
  "name": "no.png", "start_url": "../gone/",
  "icons": [
    {"src": "dot.gif", "sizes": "1x1"},
    {"src" : "n\\u006f.png"}],
  "odd": [{"src": "\\x"}, {"src": 1}]
}"""
    found = look(folder(tmp_path, "", {"media/x.webmanifest": text}))
    told = [str(problem).split(" is not")[0] for problem in found.errors]
    assert [line.removeprefix(f"{tmp_path}/media/x.webmanifest") for line in told] == [
        ':2: the file "../gone/"',
        ':5: the file "no.png"',
    ]


def test_sizes(tmp_path: Path) -> None:
    """Files above 50 MB, and sites above 1 GB."""
    root = folder(tmp_path)
    for name, size in (("a", 50 * 2**20), ("b", 50 * 2**20 + 1), ("c", 100 * 2**20 + 1)):
        (root / f"{name}.bin").touch()
        os.truncate(root / f"{name}.bin", size)
    found = look(root)
    assert [problem.file for problem in found.warnings] == [str(root / "b.bin")]
    assert [problem.file for problem in found.errors] == [str(root / "c.bin")]
    for number in range(10):
        (root / f"{number}.bin").touch()
        os.truncate(root / f"{number}.bin", 99 * 2**20)
    assert any("refuses sites above 1 GB" in problem.text for problem in look(root).errors)


def test_paths_of_this_machine(tmp_path: Path) -> None:
    """The site's own folder and the home are private, wherever they are; web addresses are not."""
    secret, home = tmp_path / "secret place", Path("/home") / "ann"
    place = PublishTarget(PUBLISHED.base_url, private=(secret,))
    files = {
        "a.json": json.dumps({"a": f"{home}/x.pth", "b": "C:\\Users\\ann", "c": "/homework"}),
        "b.txt": f"words\nsee {secret}/notes.txt",
        "c.svg": "<svg>file:///etc/hosts</svg>",
    }
    site = folder(tmp_path / "site", f"<p>{home} is an example</p><p>{secret}s</p>", files)
    told = [str(problem).partition(", a path")[0] for problem in look(site, place).errors]
    assert told == [
        f"{site}/a.json:1: names {home}/x.pth",
        f"{site}/a.json:1: names C:\\\\Users\\\\ann",
        f"{site}/b.txt:2: names {secret}/notes.txt",
        f"{site}/c.svg:1: names file:///etc/hosts",
    ]
    tmp_path = tmp_path / "more"
    top = "/root"
    private = (Path("/site"), Path(top))
    text = f"https://x.org/site/ and https://root{top}/ and ../site/a and x-{top}"
    (tmp_path / "site").mkdir(parents=True)
    rooted = PAGE.format(body='<a href="/site/data.zip">x</a>')
    files = {"a.json": json.dumps(text), "b.txt": text, "404.html": rooted}
    place = PublishTarget("https://name.github.io/site/", private=private)
    assert look(folder(tmp_path / "site", f"<p>{text}</p>", files), place).errors == ()
    files = {"b.txt": f"/site/models/x.pth\nsee ({top}/x)", "c.txt": f"a={top}\n'{top}'"}
    errors = look(folder(tmp_path / "other", "", files), place).errors
    assert [(Path(each.file).name, each.line) for each in errors] == [
        *(("b.txt", 1), ("b.txt", 2), ("c.txt", 1), ("c.txt", 2))
    ]


def test_links_and_odd_files(tmp_path: Path) -> None:
    """No links, pipes and odd names; a front page, .nojekyll, each id once."""
    root = folder(tmp_path / "site", "", {"odd:name.txt": "x"})
    (root / "loop").symlink_to(root)
    (root / "out.html").symlink_to("/etc/hostname")
    os.mkfifo(root / "pipe")
    found = [str(problem).removeprefix(f"{root}/") for problem in look(root).errors]
    assert [each.split(":")[0] for each in found] == ["loop", "odd", "out.html", "pipe"]
    assert "symbolic link" in found[0]
    assert "not a regular file" in found[3]
    root = folder(tmp_path, "<p id=x><p id=x>", {"bare.html": "<p>words</p>"})
    (root / ".nojekyll").unlink()
    lacking = look(root)
    texts = "\n".join(map(str, lacking.errors))
    assert ".nojekyll: is missing" in texts
    assert 'the id "x" more than once' in lacking.warnings[0].text
    (root / "index.html").unlink()
    assert "index.html: is missing" in "\n".join(map(str, look(root).errors))


def test_placeholders_are_warned_of(tmp_path: Path) -> None:
    """What `sitegen new` wrote is told with its line; words that are near it are not."""
    text = 'title = "The Title of Your Paper"\nbase_url = "https://YOU.github.io/x/"\n'
    text += SITE.replace("title", "venue") + '[[authors]]\nname = "Your Namesake"\n'
    text += '[[authors]]\nname = "Your Name"\n'
    site = Builder(write_site(tmp_path, "A\n\nWrite the abstract here, in …\n", text))
    site()
    findings = check_site(load_site(site.config), site.output)
    assert findings.errors == ()
    lines = [str(each).replace(f"{tmp_path}/", "") for each in findings.warnings]
    assert [line.partition(" = ")[0].partition(' "')[0] for line in lines] == [
        *("site.toml:1: title", "site.toml:2: base_url", "site.toml:10: authors[1].name"),
        "pages/index.md:3:",
    ]


def test_built_for_another_address(tmp_path: Path) -> None:
    """A folder that is older than `base_url` is told to be built again."""
    site = Builder(write_site(tmp_path))
    site()
    site.config.write_text('base_url = "https://a.org/b/"\n' + SITE)
    (warning,) = check_site(load_site(site.config), site.output).warnings
    assert "built without an address, and site.toml says https://a.org/b/; run" in warning.text
    site()
    assert check_site(load_site(site.config), site.output).warnings == ()
