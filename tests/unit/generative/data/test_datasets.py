"""Data sets from someone else take no more memory than their size, and run no code."""

import gzip
import pickle
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sitegen.generative.data.datasets as datasets
import sitegen.generative.data.images as images
from sitegen.core.errors import RefusedError
from sitegen.generative.data.datasets import read_cifar, read_idx
from sitegen.generative.data.images import image_side, read_images, read_picture
from tests.support.making import pickled

MB = 1 << 20
NDARRAY = b"cnumpy\nndarray\n"
DTYPE = b"cnumpy\ndtype\n"
OBJECTS = DTYPE + b"(U\x01OK\0K\1tR"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(" + NDARRAY + b"K\0\x85U\1btR"
BYTES = DTYPE + b"(U\x02u1K\0K\1tR(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
BUFFER = NDARRAY + b"(K\x08\x85" + BYTES + b"tR"


def batch(value: bytes) -> bytes:
    """Return a batch of CIFAR whose data are made by these instructions."""
    return pickled(b"}U\x04data", value, b"s")


def state(shape: bytes, kind: bytes, data: bytes) -> bytes:
    """Return an array with that state, as NumPy of 2009 pickled it."""
    return RECONSTRUCT + b"(K\1" + shape + kind + b"\x89" + data + b"tb"


def text(data: bytes) -> bytes:
    """Return a string of Python 2."""
    return b"T" + struct.pack("<i", len(data)) + data


ROW = b"K\1M\x00\x0c\x86"
CRAFTED = {
    "objects in a buffer of bytes": (
        NDARRAY + b"(K\1\x85" + OBJECTS + BUFFER + b"tRq\0K\0Ns",
        "calls a value that is not callable",
    ),
    "8 GB of objects": (
        NDARRAY + b"(J" + struct.pack("<i", 10**9) + b"\x85" + OBJECTS + b"tR",
        "calls a value that is not callable",
    ),
    "8 GB of bytes": (
        NDARRAY + b"(\x8a\x05" + (8 << 30).to_bytes(5, "little") + b"\x85" + BYTES + b"tR",
        "calls a value that is not callable",
    ),
    "objects in the state": (state(ROW, OBJECTS, text(bytes(3072))), "not an array of uint8"),
    "setting an item": (RECONSTRUCT + b"K\0Ns", "a value that is not a dict"),
    "a state twice": (
        state(ROW, BYTES, text(bytes(3072))) + b"(K\1K\2M\x00\x0c\x86" + BYTES + b"\x89U\0tb",
        "rows of 3072 bytes",
    ),
    "shape beyond the bytes": (
        state(b"J\xff\xff\xff\x7fM\x00\x0c\x86", BYTES, text(bytes(3072))),
        "do not have the shape",
    ),
    "negative length": (b"T\xff\xff\xff\xff", "ends early"),
    "length beyond the file": (b"\x8e" + b"\xff" * 7 + b"\x7f", "ends early"),
    "code": (b"cos\nsystem\n(U\x04truetR", "os.system, which no batch of CIFAR needs"),
    "object with a reduced dtype": (b"cnumpy\nvoid\n)R", "numpy.void, which no batch of CIFAR"),
}


@pytest.mark.parametrize(("value", "words"), CRAFTED.values(), ids=CRAFTED)
def test_crafted_batches_are_refused(tmp_path: Path, value: bytes, words: str) -> None:
    """A batch that makes objects, claims sizes or names code is refused in little memory."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(batch(value))
    tracemalloc.start()
    with pytest.raises(RefusedError, match=words) as caught:
        read_images(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < MB
    tracemalloc.stop()
    assert str(folder / "data_batch_1") in str(caught.value)


def test_batches_of_every_pickle(tmp_path: Path) -> None:
    """Batches that Python 2 and 3 wrote with protocols 2 to 5 are read, with either kind of key."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), np.uint8)
    labels = {b"labels": [3, 7], b"batch_label": b"training batch 1 of 5"}
    for protocol in (2, 3, 4, 5):
        for named in ({b"data": pixels, **labels}, {"data": pixels, "labels": [3, 7]}):
            (folder / "data_batch_1").write_bytes(pickle.dumps(named, protocol))
            assert np.array_equal(read_cifar(folder), pixels.reshape(2, 3, 32, 32))
    old = state(b"K\2M\x00\x0c\x86", BYTES, text(pixels.tobytes()))
    names = b"U\tfilenames](" + b"U\x05a.pngq\7U\x05b.pngq\x08e"
    (folder / "data_batch_1").write_bytes(pickled(b"}q\1(U\x04dataq\2", old, names, b"u"))
    assert np.array_equal(read_cifar(folder), pixels.reshape(2, 3, 32, 32))
    for cut in (pixels[:, ::-1].T.copy().T, pixels.astype(np.int8), pixels[:, :3071]):
        (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": cut}, 4))
        with pytest.raises(RefusedError, match="data_batch_1: not a batch of CIFAR"):
            read_cifar(folder)


def test_batch_of_many_labels_is_read_soon(tmp_path: Path) -> None:
    """A batch of the size of CIFAR-100's is read within seconds; one of far too many is refused."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    names = [b"%d_s_001234.png" % number for number in range(50_000)]
    value = {b"data": np.zeros((500, 3072), np.uint8), b"filenames": names}
    value |= {key: [1] * 50_000 for key in (b"fine_labels", b"coarse_labels")}
    (folder / "train").write_bytes(pickle.dumps(value, 2))
    started = time.process_time()
    assert len(read_cifar(folder)) == 500
    assert time.process_time() - started < 15
    (folder / "train").write_bytes(pickled(b"](", b"N" * 1_000_000, b"e"))
    with pytest.raises(RefusedError, match="more than 1,000,000 operations"):
        read_cifar(folder)


def idx(*shape: int) -> bytes:
    """Return the header of a file of images in MNIST's format."""
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)


def test_gzipped_bombs_are_refused(tmp_path: Path) -> None:
    """A gzipped file is not unpacked beyond what its header says and its size allows."""
    path, count = tmp_path / "train-images-idx3-ubyte.gz", 100_000
    packed = gzip.compress(bytes(count * 1024))
    path.write_bytes(gzip.compress(idx(count, 32, 32)) + packed)
    tracemalloc.start()
    with pytest.raises(RefusedError, match="102,400,000 bytes of pixels, more than a gzipped file"):
        read_idx(path)
    path.write_bytes(gzip.compress(idx(1000, 32, 32)) + packed)
    with pytest.raises(RefusedError, match="holds more than 1024000 bytes of pixels"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 4 * MB
    tracemalloc.stop()


def test_images_too_large_when_scaled(tmp_path: Path) -> None:
    """Many images of one pixel are refused before they are scaled to more than memory."""
    path = tmp_path / "x-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(1_000_000, 1, 1) + bytes(1_000_000), 1))
    assert path.stat().st_size < 10_000
    started = time.monotonic()
    with pytest.raises(RefusedError, match=r"1,000,000 images of 256×256 pixels are more than"):
        read_images(path, 256)
    assert time.monotonic() - started < 5


def test_plain_files_beyond_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a terabyte without content, and lengths without an end, are refused unread."""
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.write(idx(1 << 20, 1 << 10, 1 << 10))
        file.truncate(16 + (1 << 40))
    with pytest.raises(RefusedError, match=r"1,099,511,627,776 bytes .*, more than sitegen reads"):
        read_images(path)
    path.write_bytes(idx(*[0xFFFFFFFF] * 3))
    with pytest.raises(RefusedError, match="holds 0 bytes of pixels"):
        read_images(path)
    monkeypatch.setattr(datasets, "BATCH_BYTES", 100)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(bytes(101))
    with pytest.raises(RefusedError, match="its batches have 101 bytes; those of CIFAR have"):
        read_cifar(folder)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number in range(50):
        (folder / f"data_batch_{number}").symlink_to("../cifar-100-python/train")
    with pytest.raises(RefusedError, match="its batches have 5,050 bytes"):
        read_cifar(folder)


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
