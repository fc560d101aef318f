"""The typeface of words in drawings."""

from pathlib import Path

from sitegen.config.loader import load_site
from sitegen.media.typeface import BOLD, REGULAR, SHIPPED, font, font_face


def test_drawn_typeface_is_the_keyed_one(tmp_path: Path) -> None:
    """An edit while a site is built changes neither the digest nor what is drawn; a new read does.

    Until it was read once, the edited typeface was drawn and stored under the key of the old one.
    """
    path, config = tmp_path / "own.woff2", tmp_path / "site.toml"
    config.write_text('title = "T"\n[theme]\nfont = "own.woff2"\n')
    path.write_bytes(SHIPPED.bold)
    site = load_site(config)
    before = site.typeface.digest
    path.write_bytes(SHIPPED.regular)
    assert site.typeface.digest == before
    assert font_face(REGULAR, site.typeface) == font_face(BOLD).replace(": 600;", ": 400;")
    drawn = font(40, REGULAR, site.typeface).getlength("Heat")
    assert drawn == font(40, BOLD).getlength("Heat") != font(40).getlength("Heat")
    assert load_site(config).typeface.digest != before
