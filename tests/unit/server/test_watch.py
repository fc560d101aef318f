"""The files that `serve` watches."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sitegen.config.loader import load_site
from sitegen.media.typeface import SHIPPED
from sitegen.server.watch import Sources


def test_typeface_is_watched(tmp_path: Path) -> None:
    """An edit of the author's typeface changes the site, one of the file next to it does not."""
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "own.woff2").write_bytes(SHIPPED.regular)
    config = tmp_path / "site.toml"
    config.write_text('title = "T"\n[theme]\nfont = "fonts/own.woff2"\n')
    site = load_site(config)
    context = SimpleNamespace(site=site, output=site.output, pages=(), sources={}, figures=())
    state = SimpleNamespace(error=None)
    preview: Any = SimpleNamespace(config=config, context=context, state=state)
    sources = Sources(preview)
    assert tmp_path / "fonts" in sources.folders()
    assert sources.decide(tmp_path / "fonts" / "own.woff2")
    assert not sources.decide(tmp_path / "fonts" / "other.woff2")
