"""Drawn pictures: the card of links and what lies behind a title; each is drawn once and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from sitegen.build.assembly import draw
from sitegen.build.cache import Store
from sitegen.core.files import digest
from sitegen.html import social_card
from tests.support.fabricated import draw_poster, make_site

SITE = 'title = "Generative Modelling"\nbase_url = "https://example.org/"\n'


def test_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card follows the title, the backdrop does not; what the store has is not drawn again.

    Without an address nobody could find a card.
    """
    draw_poster(tmp_path / "poster.webp")
    sha256 = digest(tmp_path / "poster.webp")
    posters = {sha256: tmp_path / "poster.webp"}
    site, store = make_site(tmp_path, SITE), Store(tmp_path / "store")
    first = draw(site, posters, sha256, store)
    other = draw(make_site(tmp_path, SITE.replace("Gen", "Deg")), posters, sha256, store)
    assert (first.card != other.card, first.backdrops == other.backdrops) == (True, True)
    monkeypatch.delattr(social_card, "backdrop")
    monkeypatch.delattr(social_card, "card")
    assert draw(site, posters, sha256, store) == first
    assert len(first.files) == 2
    for file in first.files:
        assert file.path.rpartition(".")[0].endswith(digest(store.object(file))[:8])
    assert draw(make_site(tmp_path, 'title = "T"'), {}, None, store).files == ()
