"""`sitegen export`: the figures of a site as files for slides and papers, out of the store.

Nothing is sampled. Beside the files lies README.txt, which says what each is. Of several papers
under a roof all are exported, each into a folder of its name.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.builder.assembly import placed
from sitegen.builder.cache import Store
from sitegen.builder.context import BuildContext, BuildOptions, found, prepare_site
from sitegen.builder.plan import PlannedFigure
from sitegen.config.loader import load_papers, load_site
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

    figures, formats: all where there are none; a figure of a paper under a roof is `paper/figure`
    levels: those of strips, in their order; some that are evenly spaced where there are none
    fps: frames a second of GIFs, None as in the store
    output: a folder, or a file that ends in .zip; `exports` beside `site.toml` where it is None
    """

    figures: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    fps: float | None = None
    output: Path | None = None


@dataclass(frozen=True)
class _Chosen:
    """A figure to be exported; `name` is that of its files, with its paper's folder before it."""

    name: str
    media: Media
    store: Store
    formats: tuple[str, ...]


def export(config: Path, options: ExportOptions) -> tuple[Path, list[str]]:
    """Write the files; return where, and their names.

    Raises ConfigError for a figure, format or level that is not there, TargetError for a figure
    that has not been rendered.
    """
    site, settings = load_site(config), BuildOptions(ComputeTarget("cpu", "float32"), offline=True)
    contexts = [prepare_site(each, settings) for each in (site, *load_papers(site))]
    output = Path(os.path.realpath(options.output or site.root / "exports"))
    for each in contexts:
        _require_outside(output, (each.output, Path(os.path.realpath(each.site.cache_dir))))
    chosen = _chosen(contexts, options)
    folder = output.parent if output.suffix == ".zip" else output
    with platform_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as work, platform_errors(folder):
        made = [_export(each, options, work) for each in chosen]
        text = "\n".join(_readme(site.title, chosen, made))
        (work / README).write_text(text, encoding="utf-8")
        names = [*(name for files in made for name in files), README]
        if output.suffix == ".zip":
            _pack(work, names, output)
        else:
            for name in names:
                (output / name).parent.mkdir(exist_ok=True)
                (work / name).replace(output / name)
    return output, names


def _require_outside(output: Path, ours: Sequence[Path]) -> None:
    for folder in ours:
        if output == folder or folder in output.parents:
            raise ConfigError(
                f"{shown(output)}: lies in {shown(folder)}, which sitegen replaces; "
                "choose another --output"
            )


def _chosen(contexts: Sequence[BuildContext], options: ExportOptions) -> list[_Chosen]:
    """The figures that are asked for, in the order of the papers and of their pages."""
    known = [_name(context, figure) for context in contexts for figure in context.figures]
    for name in options.figures:
        if name not in known:
            alike = [each for each in known if each.endswith(f"/{name}")]
            near = f", but there is {' and '.join(alike)}" if alike else known_words(name, known)
            raise ConfigError(f"{name}: no page has such a figure{near}")
    chosen: list[_Chosen] = []
    missing: list[str] = []
    for context in contexts:
        named = {_name(context, figure): figure for figure in context.figures}
        figures = {n: f for n, f in named.items() if not options.figures or n in options.figures}
        store = context.store()
        records = found(list(figures.values()), store, context.environment)
        missing += [n for n, figure in figures.items() if figure.request_digest not in records]
        if not missing:
            media = placed(figures.values(), records).figures
            pairs = zip(figures, media, strict=True)
            chosen += [_Chosen(n, each, store, _wanted(n, each, options)) for n, each in pairs]
    if missing:
        raise TargetError(f"not rendered yet: {', '.join(missing)}; run `sitegen build` first")
    return chosen


def _name(context: BuildContext, planned: PlannedFigure) -> str:
    """The figure's id, after the place of its paper where that has one."""
    place = context.site.place
    return f"{place}/{planned.figure.id}" if place else planned.figure.id


def _wanted(name: str, media: Media, options: ExportOptions) -> tuple[str, ...]:
    """The formats of one figure; ConfigError where it is named and lacks what is asked for."""
    has = tuple(each for each in FORMATS if _has(media, each))
    wanted = tuple(each for each in has if each in (options.formats or has))
    lacking = [each for each in options.formats if each not in has]
    if options.figures and lacking:
        raise ConfigError(f"{name}: has no {' or '.join(lacking)}; it has {', '.join(has)}")
    levels = media.record.levels
    for level in options.levels if {"strip-png", "strip-pdf"} & set(wanted) else ():
        if level not in levels:
            near = min(levels, key=lambda each: abs(each - level), default=None)
            words = "it has no levels" if near is None else f"the nearest that it shows is {near}"
            raise ConfigError(f"--levels {level}: {name} does not show it; {words}")
    return wanted


def _has(media: Media, name: str) -> bool:
    files = media.record.files
    if name.startswith("strip"):
        return "mp4" in files and (len(set(media.record.levels)) > 1 or "strip" in files)
    drawing = "image" in files and files["image"].path.endswith(".svg")
    return {"svg": drawing, "gif": "gif" in files, "mp4": "mp4" in files}.get(
        name, "image" in files or "poster" in files
    )


def _export(chosen: _Chosen, options: ExportOptions, work: Path) -> dict[str, str]:
    """Make the files of one figure in the folder `work`: what each is, by its name."""
    from sitegen.media.encoder import enlarge_gif
    from sitegen.media.exports import draw_files, read_frame, write_frame

    media, store = chosen.media, chosen.store
    files, told = media.record.files, {}
    names = {name: f"{chosen.name}{_ending(name)}" for name in chosen.formats}
    (work / chosen.name).parent.mkdir(exist_ok=True)
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
    title: str, figures: Sequence[_Chosen], made: Sequence[Mapping[str, str]]
) -> Iterator[str]:
    """What each file is, in words, figure by figure."""
    yield f"Media of “{title}”, exported by sitegen.\n"
    for figure, files in zip(figures, made, strict=True):
        media, record = figure.media, figure.media.record
        place = figure.name.removesuffix(media.id)
        yield f"{figure.name}: {record.kind}, on the page {place}{media.page}"
        yield f"  Seen:    {media.alt}"
        if media.caption:
            yield f"  Caption: {media.caption}"
        if media.choice:
            yield f"  Chosen:  {media.choice}"
        yield from (f"  Model:   {each.name}, SHA-256 {each.sha256}" for each in record.models)
        if record.seed is not None:
            yield f"  Seed:    {record.seed}"
        yield from (f"  {name}: {words}" for name, words in files.items())
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
