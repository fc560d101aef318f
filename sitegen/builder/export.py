"""`sitegen export`: a site's figures as files for slides and papers, taken from the store.

Nothing is sampled. README.txt in the same folder describes each file and gives its digest. A file
that sitegen did not write there, or that was changed since, is never overwritten.
"""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sitegen.builder.assembly import placed
from sitegen.builder.cache import Store
from sitegen.builder.context import BuildContext, BuildOptions, FigureRef, found, prepare_site
from sitegen.builder.plan import PlannedFigure
from sitegen.config.loader import load_site
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import known_words
from sitegen.core.errors import ConfigError, TargetError, together
from sitegen.core.files import (
    digest,
    digest_bytes,
    platform_errors,
    read_file,
    temporary_folder,
)
from sitegen.core.source import shown
from sitegen.core.urls import INDEX
from sitegen.figures.base import SHOWN
from sitegen.generative.untrusted.zips import ZIP_DAMAGE
from sitegen.media.manifest import Media

if TYPE_CHECKING:
    from sitegen.media.frames import Frame

T = TypeVar("T")
FORMATS = ("png", "pdf", "svg", "gif", "mp4", "strip-png", "strip-pdf")
"""Formats of exported files; each figure has some of them."""

README = "README.txt"
_WHAT = {
    "png": "the figure as a picture",
    "pdf": "the figure for a paper",
    "svg": "the drawing, which can be edited",
    "gif": "the clip for slides",
    "mp4": "the clip as on the page",
    "strip-png": "moments of the clip side by side",
    "strip-pdf": "moments of the clip side by side, for a paper",
}
_MOMENTS = 6


@dataclass(frozen=True)
class ExportOptions:
    """Settings from the command line.

    figures, formats: empty = all. A figure with an id that several pages have is
        `page/figure`
    levels: levels of strips, in their order; empty = some evenly spaced ones
    fps: frame rate of GIFs; None = as in the store
    output: a folder, or a file name that ends in .zip; None = `exports` next to `site.toml`
    """

    figures: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    fps: float | None = None
    output: Path | None = None


@dataclass(frozen=True)
class _Chosen:
    """A figure to be exported.

    name: name of its files, after the folder of its page if needed
    """

    name: str
    media: Media
    store: Store
    formats: tuple[str, ...]


def export(config: Path, options: ExportOptions) -> tuple[Path, list[str]]:
    """Write the files; return the output path and the files' names.

    Raises ConfigError for a missing figure, format or level, TargetError for a figure that has not
    been rendered.
    """
    site, settings = load_site(config), BuildOptions(ComputeTarget("cpu", "float32"), offline=True)
    contexts = [prepare_site(site, settings)]
    _require_made(contexts, options.figures)
    output = Path(os.path.realpath(options.output or site.root / "exports"))
    for each in contexts:
        _require_outside(output, (each.output, Path(os.path.realpath(each.site.cache_dir))))
    chosen = _chosen(contexts, options)
    _require_own_names(chosen)
    folder = output.parent if output.suffix == ".zip" else output
    with platform_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as work, platform_errors(folder):
        made = [_export(each, options, work) for each in chosen]
        sections = [_section(each, files, work) for each, files in zip(chosen, made, strict=True)]
        names, before = [*(name for files in made for name in files), README], _earlier(output)
        if output.suffix == ".zip":
            _write_readme(work, site.title, sections)
            _pack(work, names, output)
        else:
            kept = [each for each in before if _name_of(each) not in map(_name_of, sections)]
            _write_readme(work, site.title, [*kept, *sections])
            _require_unchanged(output, names[:-1], work, before)
            for name in names:
                (output / name).parent.mkdir(parents=True, exist_ok=True)
                (work / name).replace(output / name)
    return output, names


def _require_unchanged(
    output: Path, names: Sequence[str], work: Path, sections: Sequence[str]
) -> None:
    """Raise ConfigError if a file to be written exists and is not from an earlier export.

    sections: the existing README's sections, with the digests of exported files
    """
    known = _files_in(sections)
    for name in names:
        path = output / name
        if not os.path.lexists(path):
            continue
        if not path.is_symlink() and path.is_file():
            sha256 = digest(path)
            if (name, sha256) in known or sha256 == digest(work / name):
                continue
        raise ConfigError(
            f"{shown(path)}: was not exported by sitegen, or was changed since; nothing was "
            "written: move it, or choose another --output"
        )


_HEAD = re.compile(r"Media of “.*”, exported by sitegen\.\n\n")
_FILE = re.compile(r"^  (\S+): .*, SHA-256 ([0-9a-f]{64})$", re.MULTILINE)
_SEAL = re.compile(r"\nSHA-256 of the text above: ([0-9a-f]{64})\n\Z")


def _files_in(sections: Sequence[str]) -> set[tuple[str, str]]:
    """Return the files that sections of a README name, each with its digest."""
    return {(found[1], found[2]) for each in sections for found in _FILE.finditer(each)}


def _earlier(output: Path) -> list[str]:
    """Return the sections of the README of earlier exports, one per figure.

    Raises ConfigError for a README or an archive that sitegen did not write, or that was changed
    since.
    """
    archive = output.suffix == ".zip"
    place, text, members = output if archive else output / README, "", dict[str, str]()
    if not os.path.lexists(place):
        return []
    with contextlib.suppress(*ZIP_DAMAGE, NotImplementedError):
        if archive:
            with zipfile.ZipFile(output) as old:
                names = (name for name in old.namelist() if name != README)
                members = {name: digest_bytes(old.read(name)) for name in names}
                text = old.read(README).decode("utf-8", "replace")
        elif not place.is_symlink():
            text = read_file(place).decode("utf-8", "replace")
    head, seal = _HEAD.match(text), _SEAL.search(text)
    body = text[: seal.start()] if seal else ""
    ours = head and seal and digest_bytes(body.encode()) == seal[1]
    if not (head and ours) or members.items() - _files_in([body]):
        raise ConfigError(
            f"{shown(place)}: was not written by sitegen, or was changed since; nothing was "
            "written: move it, or choose another --output"
        )
    return [each for each in body[head.end() :].split("\n\n") if each.strip()]


def _name_of(section: str) -> str:
    return section.partition(":")[0]


def _write_readme(work: Path, title: str, sections: Sequence[str]) -> None:
    words = " ".join(title.split())
    text = "\n\n".join([f"Media of “{words}”, exported by sitegen.", *map(str.strip, sections)])
    body = f"{text}\n"
    seal = f"\nSHA-256 of the text above: {digest_bytes(body.encode())}\n"
    (work / README).write_text(body + seal, encoding="utf-8")


def _require_outside(output: Path, ours: Sequence[Path]) -> None:
    for folder in ours:
        if output == folder or folder in output.parents:
            raise ConfigError(
                f"{shown(output)}: is inside {shown(folder)}, which sitegen replaces; "
                "choose another --output"
            )


def _chosen(contexts: Sequence[BuildContext], options: ExportOptions) -> list[_Chosen]:
    names = [_names(context) for context in contexts]
    known = [name for each in names for name in each]
    for name in options.figures:
        if name not in known:
            alike = [each for each in known if each.endswith(f"/{name}")]
            near = f", but there is {' and '.join(alike)}" if alike else known_words(name, known)
            raise ConfigError(f"{name}: no page has such a figure{near}")
    chosen: list[_Chosen] = []
    missing: list[str] = []
    for context, named in zip(contexts, names, strict=True):
        figures = {n: f for n, f in named.items() if not options.figures or n in options.figures}
        store = context.store()
        records = found(figures.values(), store)
        missing += [n for n, figure in figures.items() if figure.request_digest not in records]
        if not missing:
            media = placed(figures.values(), records).figures
            pairs = zip(figures, media, strict=True)
            chosen += [_Chosen(n, each, store, _wanted(n, each, options)) for n, each in pairs]
    if missing:
        raise TargetError(f"not rendered yet: {', '.join(missing)}; run `sitegen build` first")
    return chosen


def _require_made(contexts: Sequence[BuildContext], figures: Sequence[str]) -> None:
    """Raise the errors of the requested figures that failed; without names, of all."""
    failed = [each for context in contexts for each in _named(context, context.faults).items()]
    if found := [error for name, error in failed if not figures or name in figures]:
        raise together(found)


def _require_own_names(chosen: Sequence[_Chosen]) -> None:
    """Raise ConfigError if a file of one figure has the name of another's, as a-strip.png may."""
    made = Counter(f"{each.name}{_ending(name)}" for each in chosen for name in each.formats)
    if twice := [name for name, count in made.items() if count > 1]:
        raise ConfigError(
            f"{', '.join(twice)}: two figures would be exported under this name; give one of them "
            "another id, or export them one after the other into folders of their own"
        )


def _names(context: BuildContext) -> Mapping[str, PlannedFigure]:
    """Return the figures of a site by the names of their files."""
    return _named(context, {(each.page, each.figure.id): each for each in context.figures})


def _named(context: BuildContext, found: Mapping[FigureRef, T]) -> dict[str, T]:
    """Return what belongs to the figures of a site, by the names of their files.

    That is the id, with the folder of its page in front if several pages have the id.
    """
    every = [*context.faults, *((each.page, each.figure.id) for each in context.figures)]
    count = Counter(id for _, id in every)
    return {
        f"{_page(page) if count[id] > 1 else ''}{id}": each for (page, id), each in found.items()
    }


def _page(page: str) -> str:
    return f"{page.removesuffix(f'/{INDEX}').removesuffix('.html')}/"


def _wanted(name: str, media: Media, options: ExportOptions) -> tuple[str, ...]:
    """Return the formats of a figure. Raises ConfigError if a named figure lacks a requested
    one.
    """
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
    from sitegen.media.exports import draw_files, enlarge_gif, read_frame, write_frame

    media, store = chosen.media, chosen.store
    files, told = media.record.files, {}
    names = {name: f"{chosen.name}{_ending(name)}" for name in chosen.formats}
    (work / chosen.name).parent.mkdir(parents=True, exist_ok=True)
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
    from sitegen.media.encoder import frames_at
    from sitegen.media.exports import labelled_strip, read_frame

    record = media.record
    if not levels and "strip" in record.files:
        return read_frame(store.object(record.files["strip"])), ""
    shown_levels = sorted(set(record.levels), reverse=True)
    if not levels:
        count = min(_MOMENTS, len(shown_levels))
        at = [round(n * (len(shown_levels) - 1) / max(1, count - 1)) for n in range(count)]
        levels = [shown_levels[n] for n in at]
    last = {level: number for number, level in enumerate(record.levels)}
    mp4 = record.files["mp4"]
    numbers = [last[level] for level in levels]
    copy = work / ".clip.mp4"  # ffmpeg writes its log next to its input
    copy.write_bytes(store.object(mp4).read_bytes())
    frames = frames_at(copy, numbers, mp4.width * mp4.height)
    moments = [(f"k = {level}", frames[last[level]]) for level in levels]
    return labelled_strip(moments), f": levels {', '.join(map(str, levels))}"


def _section(figure: _Chosen, files: Mapping[str, str], work: Path) -> str:
    media, record = figure.media, figure.media.record
    lines = [f"{figure.name}: {record.kind}, on the page {media.page}"]
    about = {"Seen:   ": media.alt, "Caption:": media.caption, "Samples:": media.choice}
    lines += [f"  {name} {' '.join(words.split())}" for name, words in about.items() if words]
    what = SHOWN.get(str(record.parameters.get("show")))
    told = f"each level shows {what}" in media.alt
    lines += [f"  Levels:  after the start each shows {what}"] if what and not told else []
    for each in record.models:
        digests = ", uses ".join([each.sha256, *each.uses])
        lines.append(f"  Model:   {each.name}, {each.what} with SHA-256 {digests}")
    lines += [] if record.seed is None else [f"  Seed:    {record.seed}"]
    made = record.environment.get("recorded_with")
    lines += [f"  Made with: {' '.join(made.split())}"] if made else []
    for name, words in files.items():
        lines.append(f"  {name}: {words}, SHA-256 {digest(work / name)}")
    return "\n".join(lines)


def _pack(work: Path, names: Sequence[str], output: Path) -> None:
    """Write an archive of the files; equal files give equal bytes."""
    partial = work / "all.zip"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (work / name).read_bytes())
    partial.replace(output)
