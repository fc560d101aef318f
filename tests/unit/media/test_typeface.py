"""The typeface of words in drawings."""

from pathlib import Path

from sitegen.media.typeface import BOLD, REGULAR, SHIPPED, Typeface, font, font_face


def test_edited_file_is_read_again(tmp_path: Path) -> None:
    """A process that lives long, as `serve` does, draws with the file whose digest is keyed."""
    path = tmp_path / "own.woff2"
    typeface = Typeface(path, path)
    path.write_bytes(SHIPPED.regular.read_bytes())
    before = typeface.digest, font_face(REGULAR, typeface), font(40, REGULAR, typeface)
    assert before[2].getlength("Heat") == font(40).getlength("Heat")
    path.write_bytes(SHIPPED.bold.read_bytes())
    assert typeface.digest != before[0]
    assert font_face(REGULAR, typeface) == font_face(BOLD).replace(": 600;", ": 400;") != before[1]
    assert font(40, REGULAR, typeface).getlength("Heat") == font(40, BOLD).getlength("Heat")
    assert font(40, REGULAR, typeface).getlength("Heat") != before[2].getlength("Heat")
