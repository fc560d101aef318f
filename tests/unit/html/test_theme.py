"""Themes: what an author puts beside `site.toml` takes the place of what is shipped, safely."""

import re
import sys
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from sitegen.content.pages import read_pages
from sitegen.core.errors import ConfigError
from sitegen.core.installed import resource
from sitegen.html import theme as theme_module
from sitegen.html.render import render_site
from sitegen.html.theme import FONTS, Theme
from tests.support.fabricated import make_site, manifest_for
from tests.support.paths import ROOT

MORE = ("more-400.woff2", "more-600.woff2")
PLAIN = ("icon.svg", "scheme.js", "script.js", "style.css", "OFL.txt", *FONTS, *MORE)
LIVE = ("atlas.css", "sampler.css", "sampler.js")


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file of an author's theme."""
    path = folder / "theme" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def page(folder: Path) -> str:
    """The front page of a site in that folder."""
    site = make_site(folder, index='{{ trajectories("mnist", caption="C") }}\n')
    pages = read_pages(site)
    return render_site(site, pages, manifest_for(pages))["index.html"]


def test_shipped_assets(tmp_path: Path) -> None:
    """A light stylesheet, script and icon, a sampler's beside, from here; macros are documented."""
    assets = Theme(tmp_path / "theme").assets
    assert set(assets) == {*PLAIN, *LIVE}
    assert sum(len(assets[name].data) for name in FONTS) < 20_000
    assert sum(len(assets[name].data) for name in (*FONTS, *MORE)) < 45_000
    for name, asset in assets.items():
        stem, suffix = name.split(".")
        assert re.fullmatch(rf"assets/{stem}-[0-9a-f]{{8}}\.{suffix}", asset.uri)
        assert len(asset.data) < 58_000
        outside = rb"https?://(?!www\.w3\.org)|@import|url\((?!#|.(text|more)-)|eval"
        assert name == "OFL.txt" or not re.search(outside, asset.data)
    docs = (ROOT / "docs" / "pages" / "theme.md").read_text(encoding="utf-8")
    assert len(macros()) > 10
    for name, call in macros().items():
        text = (resource("templates") / name).read_text(encoding="utf-8")
        assert text.startswith(f"{{# {call}: "), name
        assert f"| `{call}` |" in docs, call


def test_engine(tmp_path: Path) -> None:
    """What draws in a page lies in one folder, named after all of it, where a page needs it."""
    theme = Theme(tmp_path / "theme")
    plain, more = theme.files(samples=False), theme.files(samples=True)
    assert set(plain) == {theme.assets[name].uri for name in PLAIN}
    own = {theme.assets[name].uri for name in LIVE}
    engine = {asset.uri for asset in theme.engine.values()}
    assert set(more) == {*plain, *own, *engine}
    folders = {uri.rpartition("/")[0].rpartition("/")[0] for uri in engine}
    assert len(folders) == 1
    assert re.fullmatch(r"assets/live-[0-9a-f]{8}", folders.pop())
    assert {"sampler/worker.js", "sampler/kernels.wasm", "atlas/map.js"} <= set(theme.engine)
    assert sum(map(len, more.values())) - sum(map(len, plain.values())) < 600_000
    for asset in theme.engine.values():
        assert not re.search(rb"https?://(?!www\.w3\.org/)|eval\(", asset.data)


def test_own_theme(tmp_path: Path) -> None:
    """An author's colours, files and templates take the place of ours, or extend and use them."""
    shipped = Theme(tmp_path / "theme").assets["style.css"]
    write(tmp_path, "colours.css", ":root { --base: #731c2e; }\n")
    own = Theme(tmp_path / "theme").assets["style.css"]
    assert own.data == shipped.data + b"\n:root { --base: #731c2e; }\n"
    assert own.uri != shipped.uri
    assert own.uri in page(tmp_path)
    write(tmp_path, "static/icon.svg", "<svg/>")
    write(tmp_path, "static/logo.svg", "<svg/>")
    write(tmp_path, "static/.hidden", "")
    assets = Theme(tmp_path / "theme").assets
    assert set(assets) == {*PLAIN, *LIVE, "logo.svg"}
    assert assets["icon.svg"].data == b"<svg/>"
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
    text = '{% extends "sitegen/page.html" %}{% block footer %}<p>Mine.</p>{% endblock %}'
    before = page(tmp_path)
    write(tmp_path, "templates/page.html", text)
    after = page(tmp_path)
    assert "<p>Mine.</p>" in after
    assert after.partition("<footer>")[0] == before.partition("<footer>")[0]
    tmp_path = tmp_path / "more"
    (write(tmp_path, "templates/x", "").parent / ".#page.html").symlink_to("user@machine.1:2")
    text = """{% from "sitegen/footer.html" import footer as theirs %}
{% macro footer(manifest) %}<p>By us.</p>{{ theirs(manifest) }}{% endmacro %}"""
    write(tmp_path, "templates/footer.html", text)
    assert "<p>By us.</p><p>Made with sitegen." in page(tmp_path)
    tmp_path = tmp_path / "rest"
    write(tmp_path, "templates/page.html", "{{ page.title }}")
    site = make_site(tmp_path, 'title = "<b>"')
    pages = read_pages(site)
    assert render_site(site, pages, manifest_for(pages))["index.html"] == "&lt;b&gt;"


def test_odd_names(tmp_path: Path) -> None:
    """A name that could not be in a link is refused."""
    write(tmp_path, "static/a b.css", ":root { --base: #731c2e; }\n")
    with pytest.raises(ConfigError, match=r"a b\.css: name it with"):
        Theme(tmp_path / "theme").assets  # noqa: B018 - it is read when asked for


@pytest.mark.parametrize(
    ("text", "message"),
    [("\n{% block %}", r"page\.html:2: "), ("\n\n{{ page.nothing }}", r"page\.html:3: .*nothing"),
     ('{% from "sitegen/none.html" import x %}', r'page\.html:1: .*"sitegen/none\.html"'),
     ('{% from "icon.html" import icon %}\n{{ icon(1, 2) }}', r"page\.html:2: .*argument"),
     ("{{ 1 / 0 }}", r"page\.html:1: division by zero"),
     ("", r"theme/templates/footer\.html: .*'footer'")],
)  # fmt: skip
def test_faults_are_told_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    """What is wrong in an author's template has file and line, and reaches no Python."""
    write(tmp_path, "templates/page.html" if text else "templates/footer.html", text)
    with pytest.raises(ConfigError, match=message):
        page(tmp_path)


def macros() -> dict[str, str]:
    """Every macro that is shipped, as it is called, by the template that holds it."""
    found = {}
    for path in sorted(resource("templates").glob("*.html")):
        tree = Environment().parse(path.read_text(encoding="utf-8"))
        for macro in tree.find_all(nodes.Macro):
            assert macro.name == path.stem
            names = ", ".join(argument.name for argument in macro.args)
            found[path.name] = f"{macro.name}({names})"
    return found


def test_compiled_templates_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their code is kept beside them, made again if damaged, and not kept where it cannot be."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "a").write_text("{{ 1 }}")
    monkeypatch.setattr(theme_module, "resource", lambda name: shipped)

    def rendered() -> str:
        theme_module._environment.cache_clear()
        return theme_module._environment(()).get_template("a").render()

    assert rendered() == "1"
    (kept,) = (shipped / "__pycache__").iterdir()
    before = kept.read_bytes()
    for damage in (b"", b"j2", bytes(200)):
        kept.write_bytes(damage)
        assert rendered() == "1"
        assert kept.read_bytes() == before
    (shipped / "a").write_text("{{ 2 }}")
    assert rendered() == "2"
    kept.unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered() == "2"
    assert not list((shipped / "__pycache__").iterdir())
    (shipped / "__pycache__").rmdir()
    (shipped / "__pycache__").write_bytes(b"")
    assert rendered() == "2"
    theme_module._environment.cache_clear()
