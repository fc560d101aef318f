"""`sitegen export`: figures as files for slides and papers, from the store. Nothing is sampled."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sitegen.builder.plan import BuildContext, BuildOptions, PlannedFigure, prepare
from sitegen.builder.store import Store
from sitegen.config.schema import load_site
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import known_words
from sitegen.core.errors import ConfigError, TargetError
from sitegen.core.files import platform_errors, temporary_folder
from sitegen.core.urls import INDEX
from sitegen.media.manifest import Record

FORMATS = ("mp4", "gif", "png", "svg")
"""Formats of exported files: the clip, the clip for slides, a strip of moments, the drawing."""
_MOMENTS = 6  # pictures of a strip


@dataclass(frozen=True)
class ExportOptions:
    """Settings from the command line.

    figures, formats: empty = all; a figure with an id that several pages have is `page/figure`
    levels: levels of strips, in their order; empty = some evenly spaced ones
    output: the folder; None = `exports` next to `site.toml`
    """

    figures: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    output: Path | None = None


def export(config: Path, options: ExportOptions) -> list[Path]:
    """Write the files of figures, over earlier ones; return their paths.

    Raises ConfigError for an unknown figure, or a format or level that a named figure lacks;
    TargetError for a figure that has not been rendered.
    """
    site = load_site(config)
    context = prepare(site, BuildOptions(ComputeTarget("cpu", "float32"), offline=True))
    figures = export_names(context)
    for name in options.figures:
        if name not in figures:
            endings = [other for other in figures if other.endswith(f"/{name}")]
            hint = f", but there is {' and '.join(endings)}" if endings else ""
            hint = hint or known_words(name, figures)
            raise ConfigError(f"{name}: no page has such a figure{hint}")
    chosen = {name: figures[name] for name in options.figures or figures}
    store = context.store()
    records = store.find(figure.key for figure in chosen.values())
    if missing := [name for name, figure in chosen.items() if figure.key not in records]:
        raise TargetError(f"not rendered yet: {', '.join(missing)}; run `sitegen build` first")
    output, paths = options.output or site.root / "exports", list[Path]()
    with platform_errors(output):
        for name, figure in chosen.items():
            record = records[figure.key]
            files = record.files
            is_drawing = "image" in files and files["image"].path.endswith(".svg")
            has_strip = bool({"mp4", "poster", "image"} & files.keys()) and not is_drawing
            available = {"mp4": "mp4" in files, "gif": "gif" in files}
            available |= {"png": has_strip, "svg": is_drawing}
            formats = [ending for ending in FORMATS if available[ending]]
            lacking = [ending for ending in options.formats if ending not in formats]
            if options.figures and lacking:
                has = f"it has {', '.join(formats)}"
                raise ConfigError(f"{name}: has no {' or '.join(lacking)}; {has}")
            for ending in (ending for ending in formats if ending in (options.formats or formats)):
                path = output / f"{name}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                if ending == "png":
                    _write_strip(record, options.levels, store, path)
                else:
                    source = files["image" if ending == "svg" else ending]
                    shutil.copyfile(store.object(source), path)
                paths.append(path)
    return paths


def export_names(context: BuildContext) -> Mapping[str, PlannedFigure]:
    """Return the figures of a site by the names of their files.

    That is the id, with the folder of its page in front if several pages have the id.
    """
    count = Counter(planned.figure.id for planned in context.figures)
    names = {}
    for planned in context.figures:
        folder = planned.page.removesuffix(f"/{INDEX}").removesuffix(".html")
        prefix = f"{folder}/" if count[planned.figure.id] > 1 else ""
        names[f"{prefix}{planned.figure.id}"] = planned
    return names


def _write_strip(record: Record, levels: tuple[int, ...], store: Store, path: Path) -> None:
    """Write moments of a clip side by side, each above its level; of a still, the picture."""
    from sitegen.media.encoder import frames_at
    from sitegen.media.sheets import read_frame, strip, write_frame

    shown = sorted(set(record.levels), reverse=True)
    if "mp4" not in record.files or len(shown) < 2:
        still = record.files.get("image") or record.files["poster-webp"]
        write_frame(read_frame(store.object(still)), path)
        return
    for level in levels:
        if level not in shown:
            nearest = min(shown, key=lambda other: abs(other - level))
            raise ConfigError(f"--levels {level}: {path.stem} does not show it, but {nearest}")
    if not levels:
        count = min(_MOMENTS, len(shown))
        levels = tuple(shown[n * (len(shown) - 1) // (count - 1)] for n in range(count))
    clip = record.files["mp4"]
    frame_of_level = {level: number for number, level in enumerate(record.levels)}
    numbers = [frame_of_level[level] for level in levels]
    with temporary_folder(path.parent) as folder:  # ffmpeg writes its log next to its input
        shutil.copyfile(store.object(clip), folder / "clip.mp4")
        frames = frames_at(folder / "clip.mp4", numbers, (clip.width, clip.height))
    pairs = zip(levels, numbers, strict=True)
    write_frame(strip({f"k = {level}": frames[at] for level, at in pairs}), path)
