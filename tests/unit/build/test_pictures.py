"""Drawn pictures: the card of links and what lies behind a title; each is drawn once and kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sitegen.build.assembly import draw
from sitegen.build.cache import Store
from sitegen.html import social_card as preview
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
    monkeypatch.delattr(preview, "backdrop")
    monkeypatch.delattr(preview, "card")
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


def test_card_shows_the_samples(tmp_path: Path) -> None:
    """The poster's own pixels stand on the right, enlarged by a whole number, the title left."""
    path = tmp_path / "small.png"
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (168, 168, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    card = np.asarray(preview.card(path, "A title", ["Ana", "Bo"], "A venue"))
    assert card.shape == (630, 1200, 3)
    side = 3 * 168
    left, top = 1200 - 56 - side, (630 - side) // 2
    shown = card[top : top + side, left : left + side]
    assert np.array_equal(shown, pixels.repeat(3, 0).repeat(3, 1))
    assert (card[:, : left - 56] == 255).all(-1).any()


@pytest.mark.parametrize("title", ["数字", "A title of many words that goes on and on " * 12])
def test_odd_titles(tmp_path: Path, title: str) -> None:
    """What the font lacks is left out instead of drawn as boxes; what is too long is cut."""
    _, path = poster(tmp_path)
    card = np.asarray(preview.card(path, title, [], None))
    white = (card[:, :600] == 255).all(-1)
    assert white.any() != (title == "数字")
    assert not white[:20].any()
    assert not white[-20:].any()


def test_card_without_samples() -> None:
    """A site without figures has a card of words."""
    assert preview.card(None, "T", ["A"], "V").size == (1200, 630)


def test_backdrop_is_light(tmp_path: Path) -> None:
    """What lies behind a title weighs a few kilobytes, whatever the poster weighs."""
    path = tmp_path / "noise.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (512, 1024, 3), dtype=np.uint8)).save(path)
    file = preview.save(preview.backdrop(path), tmp_path / "backdrop.webp")
    assert (file.width, file.height) == (288, 144)
    assert file.bytes < 20_000
