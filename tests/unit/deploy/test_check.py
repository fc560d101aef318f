"""`sitegen check` finds what would not work on GitHub Pages, with file and line."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from sitegen.config.schema import load_site
from sitegen.core.errors import TargetError
from sitegen.deploy.check import Findings, check_folder, check_site
from tests.support.builders import SITE, Builder, traces, write_page, write_site

PUBLISHED = "https://name.github.io/paper/"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><title>T</title></head>
<body id="body">
{body}
</body>
</html>
"""
LINE = 5  # of the body of PAGE
PIXEL = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"

GOOD = {
    "page without its .html": '<a href="plain">x</a>',
    "index by name": '<a href="about/index.html#body">x</a>',
    "full address": '<a href="https://name.github.io/paper/about/">x</a>',
    "escaped": '<a href="a%20b.txt?download#x">x</a>',
    "anchor": '<a href="#here">x</a><p id="here">',
    "top": '<a href="#top">x</a> <a href="#">x</a>',
    "old anchor": '<a href="#here">x</a><a name="here">y</a>',
    "piece of text": '<a href="about/#:~:text=word">x</a>',
    "mail": '<a href="mailto:a@example.org">x</a>',
    "data": '<img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAADs=">',
    "another of our sites": '<a href="https://name.github.io/other/">x</a>',
    "root without its slash": '<a href="https://name.github.io/paper">x</a>',
    "home of our host": '<a href="https://name.github.io/">x</a>',
    "subtitles": '<video aria-label="x"><track src="data.zip"></video>',
    "like a local server": '<a href="https://localhost.org/">x</a>',
}
BAD = {
    "missing": ('<a href="nothing.html">x</a>', 'link "nothing.html" is not in the folder'),
    "folder without index": ('<a href="media/">x</a>', "is not in the folder"),
    "case": ('<img alt="" src="Media/Dot.gif">', 'is spelled "media/dot.gif" in the folder'),
    "anchor": ('<a href="#there">x</a>', "names an id that index.html does not have"),
    "anchor elsewhere": (
        '<a href="about/#there">x</a>',
        "names an id that about/index.html does not have",
    ),
    "root of the host": ('<a href="/data.zip">x</a>', "leads out of /paper/"),
    "over the root": ('<a href="../data.zip">x</a>', "leads out of /paper/"),
    "full and missing": ('<a href="https://name.github.io/paper/x.zip">x</a>', "is not in the f"),
    "file of this machine": ('<a href="file:///data/x.zip">x</a>', "names a file of this machine"),
    "script": ('<a href="javascript:alert(1)">x</a>', "is a script"),
    "no address": ('<a href="http://[">x</a>', "is not an address"),
    "script of a sampler": (
        '<script src="data.zip" data-sampler="no.js" data-worker="data.zip"></script>',
        'the file "no.js"',
    ),
    "clip": ('<video aria-label="x" src="media/no.mp4"></video>', 'the file "media/no.mp4"'),
    "poster": ('<video aria-label="x" poster="no.webp"></video>', 'the file "no.webp"'),
    "srcset": ('<img alt="" src="media/dot.gif" srcset="no.gif 2x">', 'the file "no.gif"'),
    "label": ('<video aria-labelledby="nobody"></video>', "the name of an element, by id"),
    "card": ('<meta property="og:image" content="no.png">', 'the address "no.png"'),
    "stylesheet": ('<link rel="stylesheet" href="no.css">', 'the file "no.css"'),
    "local server": ('<a href="http://localhost:8000/">x</a>', "leads to the reader's own machine"),
    "local number": ('<a href="//127.0.0.1/x">x</a>', "leads to the reader's own machine"),
}


def folder(root: Path, body: str = "", files: Mapping[str, bytes | str] | None = None) -> Path:
    """A folder with a page, and files that pages may refer to."""
    content: dict[str, bytes | str] = {
        "index.html": PAGE.format(body=body),
        "about/index.html": PAGE.format(body='<a href="../index.html">x</a>'),
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


def look(root: Path, base_url: str | None = PUBLISHED) -> Findings:
    """Check a folder, and that nothing in it was touched."""
    before = traces(root)
    findings = check_folder(root, base_url)
    assert traces(root) == before
    return findings


@pytest.mark.parametrize("name", GOOD)
def test_good_references(tmp_path: Path, name: str) -> None:
    """References that work are neither errors nor warnings."""
    findings = look(folder(tmp_path, GOOD[name]))
    assert (findings.errors, findings.warnings) == ((), ())


@pytest.mark.parametrize("name", BAD)
def test_bad_references(tmp_path: Path, name: str) -> None:
    """Each is one error, with the page and the line."""
    body, fault = BAD[name]
    (error,) = look(folder(tmp_path, f"\n{body}")).errors
    assert fault in error.text
    assert str(error).startswith(f"{tmp_path}/index.html:{LINE + 1}: ")


def test_a_built_site_passes(tmp_path: Path) -> None:
    """The output of `sitegen build` has no fault until a clip is renamed."""
    site = Builder(write_site(tmp_path, site='base_url = "https://a.org/b/"\n' + SITE))
    write_page(site.config, "# About\n\n[back](index.html#tiny-trajectories)\n", "about")
    site()
    findings = check_site(load_site(site.config), site.output)
    assert (findings.errors, findings.warnings) == ((), ())
    assert findings.pages >= 2
    clip = next((site.output / "media").glob("*.gif"))
    clip.rename(clip.with_name(clip.name.upper()))
    assert "is spelled" in look(site.output, "https://a.org/b/").errors[0].text
    with pytest.raises(TargetError, match="run `sitegen build` first"):
        check_folder(tmp_path / "none")


def test_links_from_the_root_and_to_elsewhere(tmp_path: Path) -> None:
    """Rooted links need an address, 404.html needs rooted links, external ones are listed once."""
    findings = look(folder(tmp_path, '<a href="/data.zip">x</a>'), None)
    assert "works only where the site is at the root" in findings.errors[0].text
    assert look(tmp_path, "https://paper.example.org").errors == ()
    page = PAGE.format(body='<a href="data.zip">x</a>\n<a href="/paper/data.zip">x</a>')
    (problem,) = look(folder(tmp_path, "", {"404.html": page})).errors
    assert (problem.line, "is served at every address" in problem.text) == (LINE, True)
    body = '<a href="https://arxiv.org/abs/1">x</a><a href="https://arxiv.org/abs/1">x</a>'
    other = tmp_path / "other"
    findings = look(folder(other, body + '\n<img alt="" src="//cdn.example.org/x.png">'))
    assert findings.external == {
        "https://arxiv.org/abs/1": f"{other}/index.html:{LINE}",
        "//cdn.example.org/x.png": f"{other}/index.html:{LINE + 1}",
    }
    assert "  https://arxiv.org/abs/1  (" in "\n".join(findings.notes())
    (warning,) = findings.warnings
    assert "comes from another server" in warning.text


def test_files(tmp_path: Path) -> None:
    """LFS pointers, links, empty pictures, odd names, ids that are there twice, other endings."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    page = PAGE.format(body='<a href="no">x</a>')
    files = {"a.htm": page, "b.HTML": page, "c.png": "", "d.mp4": pointer, "e:x.txt": "x"}
    root = folder(tmp_path, '<p id="a"><p id="a">', files)
    (root / "f.txt").symlink_to(root / "data.zip")
    findings = look(root)
    errors = {Path(error.file).name: error.text for error in findings.errors}
    expected = {
        **dict.fromkeys(("a.htm", "b.HTML"), 'the link "no" is not in the folder'),
        "c.png": "is empty",
        "d.mp4": "is a Git LFS pointer",
        "e:x.txt": "has a character in its name",
        "f.txt": "is a symbolic link",
    }
    assert errors.keys() == expected.keys()
    assert all(expected[name] in text for name, text in errors.items())
    (warning,) = findings.warnings
    assert 'has the id "a" more than once' in warning.text
    (root / ".nojekyll").unlink()
    assert any(".nojekyll: is missing" in str(error) for error in look(root).errors)


def test_sizes(tmp_path: Path) -> None:
    """Files above 50 MB are a warning, those above 100 MB and sites above 1 GB errors."""
    root = folder(tmp_path)
    for name, size in (("a", 50 * 2**20), ("b", 50 * 2**20 + 1), ("c", 100 * 2**20 + 1)):
        (root / f"{name}.bin").touch()
        os.truncate(root / f"{name}.bin", size)
    findings = look(root)
    assert [problem.file for problem in findings.warnings] == [str(root / "b.bin")]
    assert [problem.file for problem in findings.errors] == [str(root / "c.bin")]
    for number in range(10):
        (root / f"{number}.bin").touch()
        os.truncate(root / f"{number}.bin", 99 * 2**20)
    assert any("refuses sites above 1 GB" in problem.text for problem in look(root).errors)
