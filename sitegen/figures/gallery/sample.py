"""Items of a gallery: pictures, videos and samples, as they are read and written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import platform_errors
from sitegen.core.site_files import VIDEOS
from sitegen.figures.base import Figure
from sitegen.figures.clips import made_with
from sitegen.generative.data.arrays import open_arrays
from sitegen.generative.data.images import opened_picture, read_picture
from sitegen.media.encoder import media_file, write_still
from sitegen.media.frames import Frame
from sitegen.media.manifest import MediaFile, RenderJob
from sitegen.media.videos import Video, first_frame, read_video

SMALL, LARGE = 640, 2048
"""Largest sides in pixels of the version in the page and of the one that opens."""


class Item(NamedTuple):
    """A picture or video: its name, label, larger side in pixels, and what reads its picture."""

    name: str
    label: str
    side: int
    load: Callable[[], Frame]
    video: Video | None = None


def gallery_job(figure: Figure, items: Sequence[Item]) -> RenderJob:
    """Return the job that scales and encodes the pictures, and copies the videos."""

    @lru_cache(maxsize=1)  # the versions of an item are written one after the other
    def frame(number: int) -> Frame:
        return items[number].load()

    stills = dict[str, Callable[[Path], MediaFile]]()
    for at, item in enumerate(items):
        if item.video:
            stills[f"film-{at}"] = partial(
                _copied, figure.root / item.name, f"film-{at}", item.video
            )
        sides = {"picture": SMALL} | ({"large": LARGE} if item.side > SMALL else {})
        for name, side in sides.items():
            for suffix, ending in (("avif", ""), ("webp", "-webp")):
                write = partial(_written, frame, at, side, f"{name}-{at}.{suffix}")
                stills[f"{name}-{at}{ending}"] = write
    facts = [{"name": item.name, "label": item.label} for item in items]
    return RenderJob(parameters=made_with(figure, None, items=facts), stills=stills)


def own_files(figure: Figure, files: Sequence[str], numbers: Sequence[int]) -> list[Item]:
    """Return the pictures and videos; raise RefusedError for a video that browsers do not play."""
    items = list[Item]()
    for number in numbers:
        name, path = files[number], figure.root / files[number]
        if name.lower().endswith(VIDEOS):
            video = read_video(path)
            items.append(Item(name, "", 0, partial(first_frame, path, video), video))
        else:
            with opened_picture(path, path) as image:
                if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                    raise ValueError("it moves or has pages; save it as MP4 or as one picture")
                side = max(image.size)
            items.append(Item(name, "", side, partial(_picture, figure, path, number)))
    return items


def _picture(figure: Figure, path: Path, number: int) -> Frame:
    """Return a picture (H, W, 3) of a gallery, (H, W, 4) if it has transparent pixels."""
    pixels = read_picture(path, data=figure.read("files", number), transparent=True)
    return np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels


def own_samples(
    figure: Figure, file_name: str, chosen: Sequence[int] | None, most: int, captions: Sequence[str]
) -> list[Item]:
    """Return samples of a file as guided-diffusion writes it: those chosen, or the first `most`."""
    path = figure.root / file_name
    with open_arrays(path) as file:
        name = next((name for name in ("arr_0", "") if name in file.arrays), None)
        if name is None:
            raise RefusedError(f"{path}: has no array arr_0 of samples (N, H, W, C)")
        info = file.arrays[name]
        if len(info.shape) != 4 or info.shape[3] not in (1, 3) or info.dtype != np.uint8:
            raise RefusedError(
                f"{path}: its array has the shape {info.shape} and the type {info.dtype}; pictures "
                "are (N, H, W, 3) or (N, H, W, 1) in uint8; a page shows video files by video(), "
                "and record(decode=) makes images of other data"
            )
        total = info.shape[0]
        numbers = list(chosen or range(min(most, total)))
        if max(numbers) >= total:
            raise RefusedError(f"{path}: has {total} samples; the last has the number {total - 1}")
        if captions and len(captions) != len(numbers):
            raise ConfigError(f"captions: {len(captions)} for {len(numbers)} samples")
        pictures = file.rows(name, max(numbers) + 1)[numbers]
        texts = [""] * len(numbers)
        if "arr_1" in file.arrays:
            texts = [f"class {label}" for label in file.read("arr_1").ravel()[numbers]]
    colour = np.broadcast_to(pictures, (*pictures.shape[:3], 3))
    return [
        Item(f"sample {number}", text, max(info.shape[1:3]), partial(np.asarray, picture))
        for number, text, picture in zip(numbers, texts, colour, strict=True)
    ]


def _written(
    frame: Callable[[int], Frame], number: int, side: int, file: str, folder: Path
) -> MediaFile:
    """Write a picture with at most that side."""
    image = Image.fromarray(frame(number))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return write_still(np.asarray(image), folder / file)


def _copied(path: Path, name: str, video: Video, folder: Path) -> MediaFile:
    """Copy a video into the folder."""
    target = folder / f"{name}{path.suffix.lower()}"
    with platform_errors(path, "read"):
        shutil.copyfile(path, target)
    return media_file(target, video.width, video.height)
