"""Drawn pictures: the card of links and what lies behind a title; each is drawn once and kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sitegen.build.assembly import draw
from sitegen.build.cache import Store
from sitegen.html import social_card
from tests.support.fabricated import draw_poster, make_site

SITE = 'title = "Generative Modelling"\nbase_url = "https://example.org/"\n'


def poster(folder: Path) -> tuple[str, Path]:
    """A poster and its digest."""
    path = folder / "poster.webp"
    draw_poster(path)
    return hashlib.sha256(path.read_bytes()).hexdigest(), path


def test_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store has is not drawn again, and is the same file."""
    sha256, path = poster(tmp_path)
    site, store = make_site(tmp_path, SITE), Store(tmp_path / "store")
    first = draw(site, {sha256: path}, sha256, store)
    monkeypatch.delattr(social_card, "backdrop")
    monkeypatch.delattr(social_card, "card")
    assert draw(site, {sha256: path}, sha256, store) == first
    assert len(first.files) == 2
    for file in first.files:
        data = store.object(file).read_bytes()
        assert file.path.rpartition(".")[0].endswith(hashlib.sha256(data).hexdigest()[:8])


def test_other_words_are_another_card(tmp_path: Path) -> None:
    """The card follows the title, the backdrop does not."""
    sha256, path = poster(tmp_path)
    store = Store(tmp_path / "store")
    one = draw(make_site(tmp_path, SITE), {sha256: path}, sha256, store)
    other = draw(make_site(tmp_path, SITE.replace("Gen", "Deg")), {sha256: path}, sha256, store)
    assert one.card != other.card
    assert one.backdrops == other.backdrops


def test_no_card_without_an_address(tmp_path: Path) -> None:
    """Nobody could find it."""
    drawn = draw(make_site(tmp_path, 'title = "T"'), {}, None, Store(tmp_path / "store"))
    assert drawn.files == ()
