"""Training images: a folder of pictures, MNIST-format files, or CIFAR's batches.

Everything becomes one uint8 array (N, C, H, W), which is how these small sets are used.
"""

import gzip
import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size

Images = NDArray[np.uint8]
RawImage = NDArray[np.uint8]
Choice = Callable[[int], Sequence[int]]

EXAMPLE_NAME = "example.png"
"""A picture of the data, beside the card that names it."""
SMALLEST = 4
"""Pixels a side that an image must have."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
"""All that is ever opened, whatever a file is called: other decoders may start a program."""
IDX_UINT8 = 0x08
_IDX_NAMES = tuple(f"train-images{dot}idx{axes}-ubyte" for axes in (3, 4) for dot in "-.")
_CIFAR = {"cifar-10-batches-py": "data_batch_*", "cifar-100-python": "train"}
_CIFAR_SHAPE = (3, 32, 32)
DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError),
    *(pickle.UnpicklingError, struct.error, zlib.error, zipfile.BadZipFile),
)
"""What a damaged picture, pickle or archive may end in."""


def read_images(
    path: Path,
    image_size: int | None = None,
    channels: int | None = None,
    choose: Choice | None = None,
) -> Images:
    """Images (N, C, H, W) uint8, N at least 1 and H = W, from a file or folder.

    `path` is an MNIST-format file, a folder that holds `train-images-idx3-ubyte` (also gzipped) or
    CIFAR's batches as torchvision keeps them, or a folder of square pictures, searched below, too.
    `image_size` scales images of another size (their middle square). Images have one channel when
    none has colour; `channels` = 3 makes grey images colour ones. Only those images are taken, and
    of a folder of pictures read, whose places `choose` gives, told how many there are.

    Raises RefusedError when nothing usable is there, or an image does not fit the others.
    """
    images = _read(path, image_size, choose)
    count, own, height, width = images.shape
    if channels is not None and channels != own:
        if own != 1:
            raise RefusedError(f"{path}: its images have colour; this model is for grey ones")
        images = np.repeat(images, channels, axis=1)
    if not count:
        raise RefusedError(f"{path}: holds no images")
    if height != width:
        raise RefusedError(f"{path}: its images are {width}×{height} pixels; use squares")
    return np.ascontiguousarray(images)


def require_enough(images: Images, where: Path | str) -> None:
    """Refuse images (N, C, H, W) that nothing can be learnt from: one alone, or tiny ones."""
    count, side = len(images), images.shape[-1]
    if count < 2:
        raise RefusedError(f"{where}: holds one image; a model learns from hundreds at least")
    if side < SMALLEST:
        raise RefusedError(
            f"{where}: its images are {side}×{side} pixels; use at least {SMALLEST}×{SMALLEST}"
        )


def as_png(image: RawImage) -> bytes:
    """One image (C, H, W), uint8 with 1 or 3 channels, as the bytes of a PNG."""
    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def image_side(path: Path) -> int | None:
    """The side in pixels of the images in a file or folder; None unless all are squares of one.

    Of pictures only the headers are read. Raises RefusedError as `read_images` does.
    """
    dataset = _dataset(path)
    files = find_pictures(path) if dataset is None else []
    sizes = {dataset().shape[2:]} if dataset else {_picture_size(file) for file in files}
    if not sizes:
        raise _nothing(path)
    height, width = sizes.pop()
    return height if height == width and not sizes else None


def _read(path: Path, image_size: int | None, choose: Choice | None) -> Images:
    dataset = _dataset(path)
    if dataset is None:
        return _read_pictures(path, image_size, choose)
    images = dataset()
    if choose is not None and len(images):
        images = images[list(choose(len(images)))]
    if image_size is None or images.shape[2:] == (image_size, image_size) or not len(images):
        return images
    grey = images.shape[1] == 1
    pictures = images[:, 0] if grey else images.transpose(0, 2, 3, 1)
    return _stacked([scaled(picture, image_size) for picture in pictures])


def _read_pictures(folder: Path, image_size: int | None, choose: Choice | None) -> Images:
    files = find_pictures(folder)
    if not files:
        raise _nothing(folder)
    if choose is not None:
        files = [files[place] for place in choose(len(files))]
    pictures = [read_picture(file, image_size) for file in files]
    height, width = pictures[0].shape[:2]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape[:2] != (height, width) or height != width:
            size = f"{picture.shape[1]}×{picture.shape[0]}"
            other = "" if height != width else f", the first image {width}×{height}"
            raise RefusedError(
                f"{file}: is {size} pixels{other}; use squares of one "
                "size, or say to which size to scale their middle squares (--image-size)"
            )
    return _stacked(pictures)


def _nothing(folder: Path) -> RefusedError:
    return RefusedError(
        f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}), no MNIST-format "
        "training images and no CIFAR batches"
    )


def _stacked(pictures: list[RawImage]) -> Images:
    """Pictures (H, W) or (H, W, 3) of one size as (N, C, H, W); C is 1 where all are grey."""
    if all(picture.ndim == 2 for picture in pictures):
        return np.stack(pictures)[:, None]
    colour = [
        picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
        for picture in pictures
    ]
    return np.stack(colour).transpose(0, 3, 1, 2)


def _dataset(path: Path) -> Callable[[], Images] | None:
    """What reads the data set that a file or folder is or holds; None if it holds none.

    Known are MNIST-format training images, in the folder or as torchvision keeps them
    (NAME/raw/), and CIFAR's batches. Raises RefusedError if there are several.
    """
    if not path.exists():
        raise RefusedError(f"{path}: not there; give a folder of images or an MNIST-format file")
    if not path.is_dir():
        return lambda: read_idx(path)
    places = [path, *(path / name for name in _CIFAR)]
    cifar = [place for place in places if place.name in _CIFAR and place.is_dir()]
    idx = _find_idx(path)
    found = [*idx, *cifar]
    if len(found) > 1:
        names = ", ".join(str(each.relative_to(path)) for each in found)
        raise RefusedError(f"{path}: holds several data sets ({names}); name one of them")
    if idx:
        return lambda: read_idx(idx[0])
    return (lambda: read_cifar(cifar[0])) if cifar else None


def _find_idx(folder: Path) -> list[Path]:
    places = [folder, folder / "raw", *sorted(folder.glob("*/raw"))]
    found = []
    for place in places:
        files = [place / f"{name}{end}" for name in _IDX_NAMES for end in ("", ".gz")]
        found += [file for file in files if file.is_file()][:1]
    return found


def read_idx(path: Path) -> Images:
    """The images (N, C, H, W) of one MNIST-format file, gzipped or not.

    The format is a header of big-endian integers (0, 0, type 8 for uint8, number of axes, the
    lengths of the axes) and then the bytes. Grey images have three axes, images in colour a fourth
    for their channels. Raises RefusedError for any other file.
    """
    regular_size(path, "file of images")
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except DAMAGE as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    count, height, width, channels = _idx_shape(path, data)
    header = 4 * data[3] + 4
    size = len(data) - header
    if size != count * height * width * channels:
        raise RefusedError(
            f"{path}: holds {size} bytes of pixels, but its header says {count} images of "
            f"{width}×{height}{' in colour' if channels == 3 else ''}; it was cut or damaged: "
            "fetch it again"
        )
    pixels = np.frombuffer(data, np.uint8, offset=header)
    return pixels.reshape(count, height, width, channels).transpose(0, 3, 1, 2).copy()


def _idx_shape(path: Path, data: bytes) -> tuple[int, int, int, int]:
    """The lengths of the axes: images, rows, columns, and channels, of which there may be one."""
    axes = data[3] if data[:3] == bytes([0, 0, IDX_UINT8]) else 0
    shape = struct.unpack_from(f">{axes}I", data, 4) if len(data) >= 4 * axes + 4 else ()
    if axes == 3 and shape:
        return (*shape, 1)
    if axes != 4 or len(shape) != 4 or shape[3] not in (1, 3):
        raise RefusedError(
            f"{path}: not a file of images in the MNIST format (uint8, three axes or four); "
            "give the file that ends in images-idx3-ubyte, or a folder of pictures"
        )
    return shape


def read_cifar(folder: Path) -> Images:
    """The training images (N, 3, 32, 32) in a folder of CIFAR's batches.

    The batches are pickles; only arrays are taken from them and nothing is executed. Raises
    RefusedError for a file that is anything else.
    """
    files = sorted(folder.glob(_CIFAR[folder.name]))
    if not files:
        raise RefusedError(f"{folder}: holds no {_CIFAR[folder.name]}; unpack the archive again")
    return np.concatenate([_read_batch(file) for file in files])


def _read_batch(path: Path) -> Images:
    regular_size(path, "batch of images")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these pickles were made by a NumPy of 2009
            pixels = _ArraysOnly(file, encoding="bytes").load()[b"data"]
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise TypeError("its data are no array of uint8")
        return pixels.reshape(-1, *_CIFAR_SHAPE)
    except DAMAGE as error:
        raise RefusedError(f"{path}: not a batch of CIFAR, or damaged: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    """Reads what NumPy arrays are made of, under the old names and the new, and nothing else."""

    _modules = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
    _names = ("ndarray", "dtype", "_reconstruct")

    def find_class(self, module: str, name: str) -> Any:
        """The class that a pickle names. UnpicklingError if it is none of ours."""
        if module not in self._modules or name not in self._names:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return _reconstruct if name == "_reconstruct" else getattr(np, name)


def _reconstruct(kind: type, shape: tuple[int, ...], _code: bytes) -> Images:
    """An empty array, which the pickle then fills."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("it makes something else than an array")
    return np.ndarray(shape, np.uint8)


def find_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and below, sorted; hidden files and folders do not count."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = [path for path in found if path.is_file()]
    return sorted(path for path in files if "/." not in f"/{path.relative_to(folder).as_posix()}")


def _picture_size(file: Path) -> tuple[int, int]:
    """Height and width of a picture as it is stored, from its header alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as opened:
                return opened.height, opened.width
    except DAMAGE as error:
        raise RefusedError(f"{file}: cannot be read as an image: {error}") from error


def read_picture(file: Path, image_size: int | None = None, data: bytes | None = None) -> RawImage:
    """Return a picture, (H, W) when it has no colour, else (H, W, 3).

    With `image_size` its middle square is scaled to that side. `data` is the content of the file,
    if it was read before. Raises RefusedError for a file that
    cannot be read, and for pixels that have no one meaning: transparent, or of 32 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd but readable files; what is not readable raises
            source = file if data is None else io.BytesIO(data)
            with Image.open(source, formats=FORMATS) as opened:
                picture = _eight_bits(ImageOps.exif_transpose(opened))
    except DAMAGE as error:
        raise RefusedError(f"{file}: cannot be read as an image: {error}") from error
    pixels = np.asarray(picture)
    grey = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return scaled(pixels[..., 0] if grey else pixels, image_size)


def scaled(picture: RawImage, image_size: int | None) -> RawImage:
    """The middle square of a picture at another size; the picture itself without `image_size`."""
    height, width = picture.shape[:2]
    if image_size is None or (height, width) == (image_size, image_size):
        return picture
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side])
    # Whole blocks are averaged exactly; other sizes take a filter that is good both ways.
    method = Image.Resampling.BICUBIC if side % image_size else Image.Resampling.BOX
    return np.asarray(square.resize((image_size, image_size), method))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    if picture.mode.startswith("I;16"):
        sixteen = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((sixteen + 128) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16")
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    if alpha is not None and alpha.getextrema()[0] != 255:
        raise ValueError("it has transparent pixels; put it on a background first")
    return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
