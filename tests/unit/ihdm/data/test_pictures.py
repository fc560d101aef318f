"""Pictures of every kind become eight bits without wrapping, or are refused by name."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sitegen.core.errors import RefusedError
from sitegen.ihdm.data.pictures import read_picture, scaled


def noise(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Random bytes of a shape."""
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits(tmp_path: Path, suffix: str, order: str) -> None:
    """All 65,536 greys are scaled to 256, rounded to the nearest, none wrapped or cut."""
    greys = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = tmp_path / f"a.{suffix}"
    mode = "I;16" if order == "<u2" else "I;16B"
    Image.frombytes(mode, (256, 256), greys.astype(order).tobytes()).save(path)
    wanted = np.floor(greys / 257 + 0.5)
    assert np.array_equal(read_picture(path), wanted)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits(tmp_path: Path, mode: str) -> None:
    """What white is in 32 bits nobody knows."""
    path = tmp_path / "a.tiff"
    Image.new(mode, (8, 8)).save(path)
    with pytest.raises(RefusedError, match=r"a\.tiff: .*32 bits"):
        read_picture(path)


def test_one_bit(tmp_path: Path) -> None:
    """Black and white are 0 and 255."""
    Image.fromarray(noise(8, 8) > 127).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png"), 255 * (noise(8, 8) > 127))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency(tmp_path: Path, mode: str) -> None:
    """An opaque alpha channel is dropped; pixels that show something else behind are refused."""
    picture = Image.fromarray(noise(8, 8)).convert(mode)
    picture.save(tmp_path / "opaque.png")
    assert np.array_equal(read_picture(tmp_path / "opaque.png"), noise(8, 8))
    if mode == "P":
        picture.save(tmp_path / "clear.png", transparency=int(noise(8, 8)[0, 0]))
    else:
        picture.putalpha(254)
        picture.save(tmp_path / "clear.png")
    with pytest.raises(RefusedError, match=r"clear.png: .*transparent"):
        read_picture(tmp_path / "clear.png")


def test_colour(tmp_path: Path) -> None:
    """Colour stays, from a palette, too."""
    colour = noise(8, 8, 3)
    Image.fromarray(colour).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png"), colour)
    few = Image.fromarray(colour).quantize(64)
    few.save(tmp_path / "b.png")
    assert np.array_equal(read_picture(tmp_path / "b.png"), np.asarray(few.convert("RGB")))


def test_turned(tmp_path: Path) -> None:
    """A photograph is turned as its camera was."""
    smooth = np.add.outer(np.arange(16) * 9, np.arange(16) * 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth).save(tmp_path / "a.jpg", exif=exif, quality=100)
    found = read_picture(tmp_path / "a.jpg").astype(int)
    assert np.abs(found - np.rot90(smooth, -1)).max() < 4


def test_scaled() -> None:
    """The middle square is taken; whole blocks are averaged; other sizes keep a flat grey."""
    wide = noise(8, 12)
    assert np.array_equal(scaled(wide, None), wide)
    assert np.array_equal(scaled(wide, 8), wide[:, 2:10])
    blocks = wide[:, 2:10].reshape(4, 2, 4, 2).mean((1, 3))
    assert np.abs(scaled(wide, 4) - blocks).max() <= 1
    for size in (3, 5, 16):
        flat = scaled(np.full((8, 8, 3), 77, np.uint8), size)
        assert flat.shape == (size, size, 3)
        assert np.all(flat == 77)


def refusal(path: Path) -> str:
    """The words that refuse a picture; "none" if it is read."""
    try:
        read_picture(path, 8)
    except RefusedError as error:
        return str(error)
    return "none"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "I;16"])
def test_damage(tmp_path: Path, suffix: str, mode: str) -> None:
    """Cut and changed anywhere, a file is read or refused by name, and nothing else happens."""
    path = tmp_path / f"a.{suffix}"
    picture = Image.fromarray(noise(8, 8)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(noise(8, 8).astype(np.uint16) * 200)
    try:
        picture.save(path)
    except OSError:
        picture.convert("RGB").save(path)
    whole, chance = path.read_bytes(), random.Random(0)
    for attempt in range(60):
        broken = bytearray(whole)
        if attempt % 2:
            del broken[chance.randrange(len(broken)) :]
        else:
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path.write_bytes(broken)
        assert refusal(path).startswith((f"{path}: cannot be read as an image", "none"))


def test_cut_png(tmp_path: Path) -> None:
    """A PNG that ends early is refused, not filled with black."""
    path = tmp_path / "a.png"
    Image.fromarray(noise(32, 32)).save(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(RefusedError, match=r"a\.png: cannot be read as an image"):
        read_picture(path)
