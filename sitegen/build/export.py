"""`sitegen export`: the figures of a site as files for slides and papers, out of the store.

Nothing is sampled. Beside the files lies README.txt, which says what each is.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.build.assembly import placed
from sitegen.build.cache import Store
from sitegen.build.context import BuildContext, BuildOptions, found, prepare
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import known_words
from sitegen.core.errors import ConfigError, TargetError
from sitegen.core.files import platform_errors, temporary_folder
from sitegen.core.source import shown
from sitegen.media.manifest import Media

if TYPE_CHECKING:
    from sitegen.media.frames import Frame

FORMATS = ("png", "pdf", "svg", "gif", "mp4", "strip-png", "strip-pdf")
"""What can be asked for; a figure has some of them."""

README = "README.txt"
_WHAT = {
    "png": "the figure as a picture",
    "pdf": "the figure for a paper",
    "svg": "the drawing, which can be edited",
    "gif": "the clip for slides",
    "mp4": "the clip as on the page",
    "strip-png": "moments of the clip side by side",
    "strip-pdf": "the same for a paper",
}
_MOMENTS = 6


@dataclass(frozen=True)
class ExportOptions:
    """What the command line asks for.

    figures, formats: all where there are none
    levels: those of strips, in their order; some that are evenly spaced where there are none
    fps: frames a second of GIFs, None as in the store
    output: a folder, or a file that ends in .zip; `exports` beside `site.toml` where it is None
    """

    figures: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    fps: float | None = None
    output: Path | None = None


def export(config: Path, options: ExportOptions) -> tuple[Path, list[str]]:
    """Write the files; return where, and their names.

    Raises ConfigError for a figure, format or level that is not there, TargetError for a figure
    that has not been rendered.
    """
    context = prepare(config, BuildOptions(ComputeTarget("cpu", "float32"), offline=True))
    store, site = context.store(), context.site
    output = Path(os.path.realpath(options.output or site.root / "exports"))
    _require_outside(output, (context.output, Path(os.path.realpath(site.cache_dir))))
    chosen = [(media, _wanted(media, options)) for media in _media(context, store, options)]
    folder = output.parent if output.suffix == ".zip" else output
    with platform_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as work, platform_errors(folder):
        made = {media.id: _export(media, names, options, store, work) for media, names in chosen}
        text = "\n".join(_readme(site.title, [media for media, _ in chosen], made))
        (work / README).write_text(text, encoding="utf-8")
        names = [*(name for files in made.values() for name in files), README]
        if output.suffix == ".zip":
            _pack(work, names, output)
        else:
            for name in names:
                (work / name).replace(output / name)
    return output, names


def _require_outside(output: Path, ours: Sequence[Path]) -> None:
    for folder in ours:
        if output == folder or folder in output.parents:
            raise ConfigError(
                f"{shown(output)}: lies in {shown(folder)}, which sitegen replaces; "
                "choose another --output"
            )


def _media(context: BuildContext, store: Store, options: ExportOptions) -> list[Media]:
    """The figures that are asked for, in the order of the pages."""
    known = [planned.figure.id for planned in context.figures]
    for name in options.figures:
        if name not in known:
            raise ConfigError(f"{name}: no page has such a figure{known_words(name, known)}")
    figures = [
        planned
        for planned in context.figures
        if not options.figures or planned.figure.id in options.figures
    ]
    records = found(figures, store, context.environment)
    missing = [each.figure.id for each in figures if each.request_digest not in records]
    if missing:
        raise TargetError(f"not rendered yet: {', '.join(missing)}; run `sitegen build` first")
    return list(placed(figures, records).figures)


def _wanted(media: Media, options: ExportOptions) -> tuple[str, ...]:
    """The formats of one figure; ConfigError where it is named and lacks what is asked for."""
    has = tuple(name for name in FORMATS if _has(media, name))
    wanted = tuple(name for name in has if name in (options.formats or has))
    lacking = [name for name in options.formats if name not in has]
    if options.figures and lacking:
        raise ConfigError(f"{media.id}: has no {' or '.join(lacking)}; it has {', '.join(has)}")
    levels = media.record.levels
    for level in options.levels if {"strip-png", "strip-pdf"} & set(wanted) else ():
        if level not in levels:
            near = min(levels, key=lambda each: abs(each - level), default=None)
            words = "it has no levels" if near is None else f"the nearest that it shows is {near}"
            raise ConfigError(f"--levels {level}: {media.id} does not show it; {words}")
    return wanted


def _has(media: Media, name: str) -> bool:
    files = media.record.files
    if name.startswith("strip"):
        return "mp4" in files and (len(set(media.record.levels)) > 1 or "strip" in files)
    drawing = "image" in files and files["image"].path.endswith(".svg")
    return {"svg": drawing, "gif": "gif" in files, "mp4": "mp4" in files}.get(
        name, "image" in files or "poster" in files
    )


def _export(
    media: Media, formats: Sequence[str], options: ExportOptions, store: Store, work: Path
) -> dict[str, str]:
    """Make the files of one figure in the folder `work`: what each is, by its name."""
    from sitegen.media.encoder import enlarge_gif
    from sitegen.media.exports import draw_files, read_frame, write_frame

    files, told = media.record.files, {}
    names = {name: f"{media.id}{_ending(name)}" for name in formats}
    for name in ("svg", "mp4"):
        if name in names:
            source = store.object(files["image" if name == "svg" else name])
            (work / names[name]).write_bytes(source.read_bytes())
    if "gif" in names:
        file = enlarge_gif(store.object(files["gif"]), work / names["gif"], options.fps)
        told["gif"] = f", {file.width} × {file.height} pixels"
    stills = [work / names[name] for name in ("png", "pdf") if name in names]
    picture = files.get("image") or files.get("poster")
    if stills and picture is not None:
        source = store.object(picture)
        if picture.path.endswith(".svg"):
            draw_files(source, (picture.width, picture.height), stills)
        else:
            for path in stills:
                write_frame(read_frame(source), path)
    strips = [work / names[name] for name in ("strip-png", "strip-pdf") if name in names]
    if strips:
        frame, levels = _strip(media, options.levels, store, work)
        for path in strips:
            write_frame(frame, path)
        told |= dict.fromkeys(("strip-png", "strip-pdf"), levels)
    return {names[name]: f"{_WHAT[name]}{told.get(name, '')}" for name in names}


def _ending(name: str) -> str:
    return f"-{name.replace('-', '.')}" if name.startswith("strip") else f".{name}"


def _strip(media: Media, levels: Sequence[int], store: Store, work: Path) -> tuple[Frame, str]:
    """The moments of a clip side by side, and which they are, in words."""
    from sitegen.media.encoder import frames_at
    from sitegen.media.exports import labelled_strip, read_frame

    record = media.record
    if not levels and "strip" in record.files:
        return read_frame(store.object(record.files["strip"])), ""
    shown_levels = list(dict.fromkeys(record.levels))
    if not levels:
        count = min(_MOMENTS, len(shown_levels))
        at = [round(n * (len(shown_levels) - 1) / max(1, count - 1)) for n in range(count)]
        levels = [shown_levels[n] for n in at]
    last = {level: number for number, level in enumerate(record.levels)}
    mp4 = record.files["mp4"]
    numbers = [last[level] for level in levels]
    copy = work / ".clip.mp4"  # ffmpeg's words are written beside what it reads
    copy.write_bytes(store.object(mp4).read_bytes())
    frames = frames_at(copy, numbers, mp4.width * mp4.height)
    moments = [(f"k = {level}", frames[last[level]]) for level in levels]
    return labelled_strip(moments), f": levels {', '.join(map(str, levels))}"


def _readme(
    title: str, figures: Sequence[Media], made: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """What each file is, in words, figure by figure."""
    yield f"Media of “{title}”, exported by sitegen.\n"
    for media in figures:
        record = media.record
        yield f"{media.id}: {record.kind}, on the page {media.page}"
        yield f"  Seen:    {media.alt}"
        if media.caption:
            yield f"  Caption: {media.caption}"
        if media.choice:
            yield f"  Chosen:  {media.choice}"
        yield from (f"  Model:   {each.name}, SHA-256 {each.sha256}" for each in record.models)
        yield f"  Seed:    {record.seed}"
        yield from (f"  {name}: {words}" for name, words in made[media.id].items())
        yield ""


def _pack(work: Path, names: Sequence[str], output: Path) -> None:
    """One archive of the files; the same files are the same bytes."""
    partial = work / "all.zip"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (work / name).read_bytes())
    partial.replace(output)
