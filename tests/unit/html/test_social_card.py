"""The card that previews of a link show, and the picture behind a title."""

from pathlib import Path

import numpy as np
from PIL import Image

from sitegen.html import social_card
from tests.support.fabricated import draw_poster


def test_card_shows_the_samples(tmp_path: Path) -> None:
    """The poster's pixels beside any title, or words alone; a backdrop is light."""
    assert social_card.card(None, "T", ["A"], "V").size == (1200, 630)
    path = tmp_path / "small.png"
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (168, 168, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    card = np.asarray(social_card.card(path, "A title", ["Ana", "Bo"], "A venue"))
    assert card.shape == (630, 1200, 3)
    side = 3 * 168
    left, top = 1200 - 56 - side, (630 - side) // 2
    shown = card[top : top + side, left : left + side]
    assert np.array_equal(shown, pixels.repeat(3, 0).repeat(3, 1))
    assert (card[:, : left - 56] == 255).all(-1).any()
    path = tmp_path / "noise.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (512, 1024, 3), dtype=np.uint8)).save(path)
    file = social_card.save(social_card.backdrop(path), tmp_path / "backdrop.webp")
    assert (file.width, file.height) == (288, 144)
    assert file.bytes < 20_000
    for title in ["数字", "A title of many words that goes on and on " * 12]:
        path = tmp_path / "poster.webp"
        draw_poster(path)
        card = np.asarray(social_card.card(path, title, [], None))
        white = (card[:, :600] == 255).all(-1)
        assert white.any() != (title == "数字")
        assert not white[:20].any()
        assert not white[-20:].any()
