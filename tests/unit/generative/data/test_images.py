"""Training images come out as they lie in the files, in eight bits, or are refused by name."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import sitegen.generative.data.images as reading
from sitegen.core.errors import RefusedError
from sitegen.generative.data.images import (
    image_side,
    read_images,
    read_picture,
    require_enough,
    scaled,
)
from tests.support.making import idx

Picture = NDArray[np.uint8]
IDX = "train-images-idx3-ubyte"


def random(*shape: int) -> Picture:
    """Random bytes of a shape."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def save(picture: NDArray[np.uint8] | NDArray[np.uint16], path: Path) -> Path:
    """Write a picture with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.mark.parametrize("name", [IDX, "train-images.idx3-ubyte"])
@pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_format(tmp_path: Path, name: str, folder: str, zipped: bool) -> None:
    """Plain or gzipped, named as a file, and found in a folder and where torchvision puts it."""
    images = random(5, 8, 8)
    path = tmp_path / folder / f"{name}{'.gz' if zipped else ''}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(idx(images)) if zipped else idx(images))
    for asked in (path, tmp_path):
        found = read_images(asked)
        assert found.dtype == np.uint8
        assert np.array_equal(found, images[:, None])
        assert found.flags.writeable  # so it can be handed to torch


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (idx(random(5, 8, 8))[:-1], "319 bytes, but its header says 5 × 8 × 8 images"),
        (idx(random(5, 8, 8)) + b"!", "321 bytes"),
        (idx(random(5, 8, 8))[:15], "not a file of images in the MNIST format"),
        (bytes((0, 0, 8, 1)) + struct.pack(">I", 16) + bytes(16), "not a file of images"),
        (bytes((0, 0, 8, 4)) + struct.pack(">4I", 1, 4, 4, 2) + bytes(32), "1 or 3 channels"),
        (bytes((0, 0, 8, 4)) + struct.pack(">4I", 1, 4, 4, 3) + bytes(47), "47 bytes.* 4 × 4 × 3"),
        (bytes((0, 0, 8, 4)) + struct.pack(">3I", 1, 4, 4), "not a file of images"),
        (bytes((0, 0, 13, 3)) + idx(random(5, 8, 8))[4:], "not a file of images"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "0 bytes"),
        (bytes((0, 0, 8, 3)) + struct.pack(">3I", 1 << 22, 1 << 21, 1 << 21), "0 bytes"),
        (
            gzip.compress(idx(random(5, 8, 8)), mtime=0)[:-9],
            "cannot be read: Compressed file ended",
        ),
        (gzip.compress(idx(random(5, 8, 8)), mtime=0)[:30] + bytes(400), "cannot be read|damaged"),
        (gzip.compress(b"", mtime=0)[:10] + b"\xff" * 50, "cannot be read"),
        (b"\x1f\x8b", "cannot be read"),
        (b"", "is empty"),
        (idx(random(0, 8, 8)), "holds no images"),
        (idx(random(5, 0, 0)), "holds no images"),
        (idx(random(3, 8, 9)), "9×8 pixels"),
    ],
)
def test_damaged_mnist_format(tmp_path: Path, data: bytes, words: str) -> None:
    """Cut, longer, of another kind, broken gzip, empty: refused with the file's name."""
    path = tmp_path / "digits"
    path.write_bytes(data)
    with pytest.raises(RefusedError, match=words) as caught:
        read_images(path)
    assert str(path) in str(caught.value)


def test_grey_folder(tmp_path: Path) -> None:
    """Pictures in the order of their paths, one data set alone, grey or colour as all are."""
    images = random(3, 8, 8)
    for picture, name in zip(images, ("b/1.png", "a/2.png", "c.PNG"), strict=True):
        save(picture, tmp_path / name)
    (tmp_path / "._c.png").write_bytes(b"a finder's note")
    save(images[0], tmp_path / ".thumbnails/c.png")
    (tmp_path / "readme.txt").write_text("words")
    (tmp_path / "folder.png").mkdir()
    found = read_images(tmp_path)
    assert np.array_equal(found, images[[1, 0, 2], None])
    for name in ("MNIST", "FashionMNIST"):
        (tmp_path / name / "raw").mkdir(parents=True)
        (tmp_path / name / "raw" / IDX).write_bytes(idx(random(2, 8, 8)))
    with pytest.raises(RefusedError, match=r"several data sets \(FashionMNIST/raw/.*MNIST/raw"):
        read_images(tmp_path)
    tmp_path = tmp_path / "rest"
    tmp_path.mkdir()
    colour, grey = random(8, 8, 3), random(8, 8)
    save(colour, tmp_path / "a.png")
    save(grey, tmp_path / "b.png")
    found = read_images(tmp_path)
    assert found.shape == (2, 3, 8, 8)
    assert np.array_equal(found[0], colour.transpose(2, 0, 1))
    assert all(np.array_equal(channel, grey) for channel in found[1])
    grey = random(8, 8)
    save(np.repeat(grey[:, :, None], 3, 2), tmp_path / "a.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "b.png")
    assert read_images(tmp_path).shape == (2, 1, 8, 8)
    tmp_path = tmp_path / "rest"
    save(random(8, 8), tmp_path / "a.png")
    grey = read_images(tmp_path, channels=3)
    assert grey.shape == (1, 3, 8, 8)
    save(random(8, 8, 3), tmp_path / "b.png")
    with pytest.raises(RefusedError, match="have colour"):
        read_images(tmp_path, channels=1)


@pytest.mark.parametrize("read", [read_images, image_side])
def test_nothing_there(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """What is not there, holds nothing, or is no picture is refused, each in its own words."""
    with pytest.raises(RefusedError, match="not there"):
        read(tmp_path / "absent")
    with pytest.raises(RefusedError, match="holds no pictures"):
        read(tmp_path)
    (tmp_path / "a.GIF").touch()
    with pytest.raises(RefusedError, match=r"holds no pictures.*what it has are files named \.gif"):
        read(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(RefusedError, match=r"a\.png: cannot be read as an image: it is no picture"):
        read(tmp_path)


def test_kinds_of_pictures(tmp_path: Path) -> None:
    """1 and 16 bits, palettes, turned photographs; 32 bits and what shines through are refused."""
    Image.fromarray(random(8, 8) > 127).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png"), 255 * (random(8, 8) > 127))
    colour = random(8, 8, 3)
    Image.fromarray(colour).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png"), colour)
    few = Image.fromarray(colour).quantize(64)
    few.save(tmp_path / "b.png")
    assert np.array_equal(read_picture(tmp_path / "b.png"), np.asarray(few.convert("RGB")))
    smooth = np.add.outer(np.arange(16) * 9, np.arange(16) * 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth).save(tmp_path / "a.jpg", exif=exif, quality=100)
    found = read_picture(tmp_path / "a.jpg").astype(int)
    assert np.abs(found - np.rot90(smooth, -1)).max() < 4
    for mode in ["I", "F"]:
        path = tmp_path / "a.tiff"
        Image.new(mode, (8, 8)).save(path)
        with pytest.raises(RefusedError, match=r"a\.tiff: .*32 bits"):
            read_picture(path)
    for suffix in ["png", "tiff"]:
        for order in ["<u2", ">u2"]:
            greys = np.arange(65536, dtype=np.uint16).reshape(256, 256)
            path = tmp_path / f"a.{suffix}"
            mode = "I;16" if order == "<u2" else "I;16B"
            Image.frombytes(mode, (256, 256), greys.astype(order).tobytes()).save(path)
            wanted = np.floor(greys / 257 + 0.5)
            assert np.array_equal(read_picture(path), wanted)
    for mode in ["LA", "RGBA", "P"]:
        picture = Image.fromarray(random(8, 8)).convert(mode)
        picture.save(tmp_path / "opaque.png")
        assert np.array_equal(read_picture(tmp_path / "opaque.png"), random(8, 8))
        if mode == "P":
            picture.save(tmp_path / "clear.png", transparency=int(random(8, 8)[0, 0]))
        else:
            picture.putalpha(254)
            picture.save(tmp_path / "clear.png")
        with pytest.raises(RefusedError, match=r"clear.png: .*transparent"):
            read_picture(tmp_path / "clear.png")


def test_scaled_picture(tmp_path: Path) -> None:
    """The middle square, in averaged blocks; two of 4×4 are the least, none filled with black."""
    wide = random(8, 12)
    assert np.array_equal(scaled(wide, None), wide)
    assert np.array_equal(scaled(wide, 8), wide[:, 2:10])
    blocks = wide[:, 2:10].reshape(4, 2, 4, 2).mean((1, 3))
    assert np.abs(scaled(wide, 4) - blocks).max() <= 1
    for size in (3, 5, 16):
        flat = scaled(np.full((8, 8, 3), 77, np.uint8), size)
        assert flat.shape == (size, size, 3)
        assert np.all(flat == 77)
    require_enough(random(2, 1, 4, 4), "here")
    for images, words in ((random(1, 1, 8, 8), "one image"), (random(9, 1, 3, 3), "3×3")):
        with pytest.raises(RefusedError, match=f"here: .*{words}"):
            require_enough(images, "here")
    path = tmp_path / "a.png"
    Image.fromarray(random(32, 32)).save(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(RefusedError, match=r"a\.png: cannot be read as an image"):
        read_picture(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "I;16"])
def test_damage(tmp_path: Path, suffix: str, mode: str) -> None:
    """Cut and changed anywhere, a file is read or refused by name, and nothing else happens."""
    path = tmp_path / f"a.{suffix}"
    picture = Image.fromarray(random(8, 8)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(random(8, 8).astype(np.uint16) * 200)
    try:
        picture.save(path)
    except OSError:
        picture.convert("RGB").save(path)
    whole, chance = path.read_bytes(), Random(0)
    for attempt in range(60):
        broken = bytearray(whole)
        if attempt % 2:
            del broken[chance.randrange(len(broken)) :]
        else:
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path.write_bytes(broken)
        try:
            read_picture(path, 8)
        except RefusedError as error:
            said = "cannot be read as an image" if broken else "this picture is empty"
            assert str(error).startswith(f"{path}: {said}")  # noqa: PT017


def test_pictures_that_are_too_large_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose pictures unpack to more than a data set may have is refused at the first."""
    for number in range(3):
        save(random(8, 8), tmp_path / f"{number}.png")
    monkeypatch.setattr(reading, "DATASET_BYTES", 3 * 64)
    assert len(read_images(tmp_path)) == 3
    (tmp_path / "1.png").write_bytes(b"not read")
    for name, limit in (("DATASET_BYTES", 3 * 64 - 1), ("LARGEST", 7)):
        monkeypatch.setattr(reading, name, limit)
        with pytest.raises(RefusedError, match="3 pictures of 8×8 pixels are more than"):
            read_images(tmp_path)
        monkeypatch.undo()
