"""The files that `serve` watches."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sitegen.config.loader import load_site
from sitegen.media.typeface import SHIPPED
from sitegen.server.watch import Sources


def test_files_that_are_watched(tmp_path: Path) -> None:
    """Edits of the typeface and of files that sampling needs count, not of the file next to it."""
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "own.woff2").write_bytes(SHIPPED.regular)
    config = tmp_path / "site.toml"
    config.write_text('title = "T"\n[theme]\nfont = "fonts/own.woff2"\n')
    site = load_site(config)
    flow = SimpleNamespace(card_path=None, example=None, files=(tmp_path / "weights/flow.bin",))
    context = SimpleNamespace(
        site=site, output=site.output, pages=(), sources={"flow": flow}, figures=()
    )
    state = SimpleNamespace(error=None)
    preview: Any = SimpleNamespace(config=config, context=context, state=state)
    sources = Sources(preview)
    assert tmp_path / "fonts" in sources.folders()
    assert sources.decide(tmp_path / "fonts" / "own.woff2")
    assert not sources.decide(tmp_path / "fonts" / "other.woff2")
    assert sources.decide(tmp_path / "weights/flow.bin")
