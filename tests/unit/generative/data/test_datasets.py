"""Data sets from someone else take no more memory than their scaled images, and run no code."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sitegen.generative.data.images as images
from sitegen.core.errors import RefusedError
from sitegen.generative.data.images import image_side, read_images, read_picture

MB = 1 << 20


def random_images(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return images of random bytes."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_cifar(tmp_path: Path) -> None:
    """CIFAR's binary versions are read, several or damaged ones refused, pickles named as such."""
    pixels = random_images(5, 3, 32, 32)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rows = [bytes([n]) + image.tobytes() for n, image in enumerate(pixels)]
    (folder / "data_batch_1.bin").write_bytes(b"".join(rows[:3]))
    (folder / "data_batch_2.bin").write_bytes(b"".join(rows[3:]))
    (folder / "test_batch.bin").write_bytes(rows[0])
    for path in (tmp_path, folder):
        assert np.array_equal(read_images(path), pixels)
    assert image_side(tmp_path) == 32
    assert np.array_equal(read_images(tmp_path, choose=lambda count: [4, 0, 3]), pixels[[4, 0, 3]])
    hundred = tmp_path / "cifar-100-binary"
    hundred.mkdir()
    (hundred / "train.bin").write_bytes(b"".join(b"\0" + row for row in rows))
    assert np.array_equal(read_images(hundred), pixels)
    with pytest.raises(RefusedError, match="several data sets"):
        read_images(tmp_path)
    (hundred / "train.bin").write_bytes(rows[0])
    with pytest.raises(RefusedError, match=r"train.bin: its 3,073 bytes are not rows of 3074"):
        read_images(hundred)


@pytest.mark.parametrize(
    ("shape", "as_read"),
    [
        ((3, 8, 8), (3, 1, 8, 8)),
        ((3, 8, 8, 3), (3, 3, 8, 8)),
        ((3, 3, 8, 8), (3, 3, 8, 8)),
        ((3, 8, 8, 1), (3, 1, 8, 8)),
    ],
)
def test_npz(shape: tuple[int, ...], as_read: tuple[int, ...], tmp_path: Path) -> None:
    """An .npz holds grey or colour images with their channels first or last."""
    pixels, path = random_images(*shape), tmp_path / "a.npz"
    np.savez_compressed(path, x_train=pixels, y_train=np.arange(3), x_test=pixels[:1])
    found = read_images(path)
    assert found.shape == as_read
    assert found[1, 0, 2, 3] == (pixels[1, 0, 2, 3] if shape[1] == 3 else pixels[1, 2, 3].flat[0])
    assert read_images(path, 4).shape == (*as_read[:2], 4, 4)


def test_npz_without_images(tmp_path: Path) -> None:
    """An .npz whose images are not certain, or that holds objects, is refused with its arrays."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros((2, 8, 8), np.uint8), b=np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(RefusedError, match=r"which array are the images\? It has a uint8 \(2, 8"):
        read_images(path)
    np.savez(path, images=np.zeros((2, 8, 8), np.float32))
    with pytest.raises(RefusedError, match=r"It has images float32"):
        read_images(path)
    np.savez(path, images=np.array([{}, {}]))
    with pytest.raises(RefusedError, match="Python objects, which may run code"):
        read_images(path)


def idx(*shape: int) -> bytes:
    """Return the header of a file of images in MNIST's format."""
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)


def test_large_files_are_not_read_whole(tmp_path: Path) -> None:
    """Memory grows with the scaled images, which are the same as those of each image alone."""
    path, pixels = tmp_path / "train-images-idx3-ubyte", random_images(600, 512, 256)
    path.write_bytes(idx(*pixels.shape) + pixels.tobytes())
    last = read_images(path, 16, choose=lambda count: [count - 1])
    tracemalloc.start()
    found = read_images(path, 16)
    assert tracemalloc.get_traced_memory()[1] < 40 * MB  # the file has 79
    tracemalloc.stop()
    assert np.array_equal(found[-1:], last)
    alone = Image.fromarray(pixels[5, 128:384]).resize((16, 16), Image.Resampling.BOX)
    assert np.array_equal(found[5, 0], np.asarray(alone))


def test_gzipped_bombs_are_refused(tmp_path: Path) -> None:
    """A gzipped file is not unpacked beyond what its header says and its size allows."""
    path, count = tmp_path / "train-images-idx3-ubyte.gz", 100_000
    packed = gzip.compress(bytes(count * 1024))
    path.write_bytes(gzip.compress(idx(count, 32, 32)) + packed)
    tracemalloc.start()
    with pytest.raises(RefusedError, match="102,400,000 bytes, more than a gzipped file"):
        read_images(path)
    path.write_bytes(gzip.compress(idx(1000, 32, 32)) + packed)
    with pytest.raises(RefusedError, match="holds more than 1024000 bytes"):
        read_images(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * MB
    tracemalloc.stop()
    path.write_bytes(gzip.compress(idx(1_000_000, 1, 1) + bytes(1_000_000), 1))
    with pytest.raises(RefusedError, match=r"1,000,000 images of 256×256 pixels are more than"):
        read_images(path, 256)


def test_pictures_of_too_many_pixels(tmp_path: Path) -> None:
    """A picture of 13000² pixels is refused by its header; its side is still reported.

    The first picture of another size ends the reading.
    """
    path = tmp_path / "a.png"
    Image.new("1", (13_000, 13_000)).save(path)
    words = r"a\.png: .* it has 13000×13000 pixels, more than 50 megapixels; scale it down"
    tracemalloc.start()
    for read in (read_picture, lambda file: read_images(file.parent)):
        with pytest.raises(RefusedError, match=words):
            read(path)
    assert tracemalloc.get_traced_memory()[1] < MB
    tracemalloc.stop()
    assert image_side(tmp_path) == 13_000
    path.unlink()
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    Image.new("L", (2000, 2000)).save(path := tmp_path / "1.png")
    for number in range(2, 100):
        (tmp_path / f"{number}.png").symlink_to(path)
    tracemalloc.start()
    with pytest.raises(RefusedError, match=r"1\.png: is 2000×2000 pixels, the first image 8×8"):
        read_images(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 16 * MB
    tracemalloc.stop()
    assert images.LARGEST_PIXELS >= 8064 * 6048  # photographs of telephones
