"""What a build has before it: everything that the author wrote, read, and every figure keyed.

A card that pins its weights tells their digest without them. For others, presets above all, a build
that has the weights leaves a note of it in the store, which a machine that only renders reads. The
note counts for the path of `site.toml` that it was made for, so that a clip is never shown as that
of other weights.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sitegen.builder.assembly import PaperSite, assemble, placed
from sitegen.builder.cache import ReadOnlyStore, Store
from sitegen.builder.executor import naming
from sitegen.builder.output import Tree
from sitegen.builder.placing import KEPT
from sitegen.builder.plan import PlannedFigure, environment, plan_figure
from sitegen.builder.store_folder import require_store
from sitegen.config.loader import load_site
from sitegen.config.schema import SITES, Site
from sitegen.content.pages import Page, read_pages
from sitegen.core.bounded import bounded
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import config_error, known_words
from sitegen.core.errors import ConfigError, PlatformError, SitegenError
from sitegen.core.files import canonical_json, digest_bytes
from sitegen.core.source import shown
from sitegen.html.theme import site_theme
from sitegen.media.manifest import Record
from sitegen.models.registry import ModelSource, site_models


@dataclass(frozen=True)
class BuildOptions:
    """What the command line adds to `site.toml`.

    rerender: figures to render again even if they are in the store: empty = all, None = none
    distributed: the address of a scheduler, instead of that in `site.toml`; "local" for a cluster
        of `jobs` workers on this machine
    default_scheduler: the address where neither `distributed` nor `site.toml` has one
    asked: device and precision as they were asked for, which workers see for themselves
    """

    compute_target: ComputeTarget
    output: Path | None = None
    only: tuple[str, ...] = ()
    offline: bool = False
    strict: bool = False
    dry_run: bool = False
    jobs: int = 1
    rerender: tuple[str, ...] | None = None
    distributed: str | None = None
    default_scheduler: str | None = None
    asked: tuple[str, str] = ("auto", "auto")


Records = Mapping[str, Record]
"""What there is of the figures, by request."""


@dataclass(frozen=True)
class BuildContext:
    """What a build has read, and where it reads and writes.

    environment: what clips would be made with here; empty where nothing can be rendered
    """

    site: Site
    pages: tuple[Page, ...]
    sources: Mapping[str, ModelSource]
    figures: tuple[PlannedFigure, ...]
    options: BuildOptions
    output: Path
    environment: Mapping[str, str]

    def store(self, warn: Callable[[str], None] = lambda line: None) -> Store:
        """The store of the site; a rehearsal only looks at it."""
        kind = ReadOnlyStore if self.options.dry_run else Store
        return kind(self.site.cache_dir, warn)

    def missing(self, records: Records) -> list[PlannedFigure]:
        """The figures that there is no record of."""
        return [planned for planned in self.figures if planned.request_digest not in records]

    def to_render(self, records: Records) -> list[PlannedFigure]:
        """What is missing or asked for again and not left out, one of those that are alike."""
        only, again = self.options.only, self.options.rerender
        chosen = {
            planned.request_digest: planned
            for planned in self.figures
            if not only or planned.figure.id in only
            if planned.request_digest not in records
            or (again is not None and (not again or planned.figure.id in again))
        }
        return list(chosen.values())

    def tree(self, records: Records, papers: Sequence[PaperSite] = ()) -> Tree:
        """The whole site, when every figure has its record; with the papers under its roof."""
        manifest = placed(self.figures, records)
        return assemble(self.site, self.pages, manifest, self.store(), papers=papers)

    def paper(self, records: Records) -> PaperSite:
        """The whole site as one under a roof."""
        manifest, find = placed(self.figures, records), self.store().object
        return PaperSite(self.site, self.pages, manifest, self.tree(records), find)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is probably not as it should be in the pages and the author's theme."""
        found = [each for page in self.pages for each in page.warnings]
        return tuple(map(str, [*found, *site_theme(self.site).warnings]))

    @property
    def used(self) -> set[str]:
        """The models that a figure shows."""
        return {name for planned in self.figures for name in planned.figure.models}

    @property
    def used_sources(self) -> tuple[ModelSource, ...]:
        """Where their parts lie."""
        return tuple(self.sources[name] for name in sorted(self.used))

    def omitted_models(self, *, waited: bool = True) -> tuple[str, ...]:
        """The models that no figure can show, each with the file that it lacks.

        waited: whether those that a page would show, or those that none asks for
        """
        able = self.used | usable(self.sources, self.store())
        entries, waits = self.site.models, {name for page in self.pages for name in page.waits}
        lack: dict[str, Path | None]
        lack = {name: entries[name].card_path for name in self.site.missing_models()}
        lack |= {name: each.missing_file for name, each in self.sources.items() if name not in able}
        lines = {name: f"{name} ({shown(path)})" for name, path in lack.items() if path}
        return tuple(line for name, line in lines.items() if (name in waits) == waited)


def prepare(config: Path, options: BuildOptions) -> BuildContext:
    """Read everything that the author wrote, and key every figure.

    Raises ConfigError for mistakes of the author, RefusedError for models that cannot be used.
    """
    return prepare_site(load_site(config), options)


def prepare_site(site: Site, options: BuildOptions) -> BuildContext:
    """The same for a site whose `site.toml` was read."""
    require_store(site.cache_dir)
    store = Store(site.cache_dir)
    sources = with_known_digests(site, store)
    pages = bounded(read_pages, site, usable(sources, store).__contains__)
    # Links are followed now: the folder that is exchanged must be the real one.
    called = {name for page in pages for figure in page.figures for name in figure.models}
    if missing := [fault for name, fault in site.missing_models().items() if name in called]:
        raise config_error(missing)
    output = Path(os.path.realpath(options.output or site.output))
    shown_files = (file.source.parent for page in pages for file in page.files)
    _require_apart(output, site, {*shown_files} - {site.root})
    figures = _plan(pages, sources)
    # Weights that are to be rendered with are verified then, those of clips that are there now.
    stored = {key[:64] for key in store.keys("")}
    shown_models = {
        name
        for planned in figures
        if planned.request_digest in stored
        for name in planned.figure.models
    }
    if shown_models:
        verified = {name: replace(sources[name], verified=True) for name in shown_models}
        sources = {**sources, **verified}
        figures = _plan(pages, sources)
    _require_known(options, [planned.figure.id for planned in figures])
    try:
        here = environment(options.compute_target)
    except PlatformError:
        here = {}
    return BuildContext(site, pages, sources, figures, options, output, here)


def _require_apart(output: Path, site: Site, own: Collection[Path]) -> None:
    """Raise ConfigError for an output folder in the store or among the author's files.

    `own` are the folders of those that pages show or link to.
    """
    folders = [site.root / name for name in ("pages", SITES, "theme", "models", "pictures", KEPT)]
    folders += [site.cache_dir, *(entry.path for entry in site.models.values()), *own]
    for folder in (Path(os.path.realpath(each)) for each in folders):
        if output == folder or folder in output.parents or output in folder.parents:
            raise ConfigError(
                f"{output}: overlaps with {shown(folder)}, which holds what the site is made of, "
                "and would be replaced whole; choose another --output"
            )


def _plan(pages: tuple[Page, ...], sources: Mapping[str, ModelSource]) -> tuple[PlannedFigure, ...]:
    figures, faults = [], []
    for uri, figure in [(page.uri, figure) for page in pages for figure in page.figures]:
        try:
            with naming(figure):
                figures.append(plan_figure(figure, uri, sources))
        except ConfigError as error:
            faults.append(error)
    if faults:
        raise config_error(faults)
    return tuple(figures)


def _require_known(options: BuildOptions, known: list[str]) -> None:
    again = options.rerender or ()
    for option, names in (("--only", options.only), ("--rerender", again)):
        for name in names:
            if name not in known:
                words = known_words(name, known)
                raise ConfigError(f"{option} {name}: no page has such a figure{words}")
    for name in again:
        if options.only and name not in options.only:
            raise ConfigError(f"--rerender {name}: --only leaves it out; add --only {name}")
    if options.offline and options.rerender is not None:
        raise ConfigError("--rerender and --offline exclude each other; give one of them")


def found(
    figures: Iterable[PlannedFigure], store: Store, here: Mapping[str, str]
) -> dict[str, Record]:
    """What the store has of the figures, by request, each read whole.

    here: the environment, by which one of several clips that an older sitegen made is chosen
    """
    digests = dict.fromkeys(planned.request_digest for planned in figures)
    stored = {each: store.get(each) or _older(store, each, here) for each in digests}
    return {each: record for each, record in stored.items() if record is not None}


def _older(store: Store, request_digest: str, here: Mapping[str, str]) -> Record | None:
    """A record of the time when keys told the environment: of this one, else the first."""
    own = f"{request_digest}-{digest_bytes(canonical_json(here).encode())[:16]}"
    keys = sorted(store.keys(f"{request_digest}-"), key=lambda key: (key != own, key))
    return next((record for key in keys if (record := store.get(key)) is not None), None)


_DIGEST = re.compile(r"[0-9a-f]{64}")


def with_known_digests(site: Site, store: Store) -> Mapping[str, ModelSource]:
    """The models of the site, by name, with the digests of weights that only the store knows."""
    sources = site_models(site)
    return {
        name: replace(source, remembered=_noted(site, name, store))
        if not source.pinned and not source.weights.exists()
        else source
        for name, source in sources.items()
    }


def usable(sources: Mapping[str, ModelSource], store: Store) -> set[str]:
    """The models that figures can show: those that are here, and those that the store has seen."""
    here = {name for name, source in sources.items() if source.available}
    wanted = {name: _digests(source) for name, source in sources.items() if name not in here}
    if not any(wanted.values()):
        return here
    rendered = [model for each in store.remembered() for model in each.get("models") or ()]
    return here | {name for name, each in wanted.items() if each is not None and each in rendered}


def new_notes(site: Site, sources: Iterable[ModelSource]) -> dict[str, str]:
    """What the store has still to know of weights that are here and in no card, by the model."""
    store, notes = Store(site.cache_dir), {}
    for source in sources:
        if not source.pinned and source.weights.is_file():
            value = {"path": _place(site, source.name), "weights": source.weights_sha256}
            note = canonical_json(value) + "\n"
            if store.weights_note(source.name) != note:
                notes[source.name] = note
    return notes


def _noted(site: Site, name: str, store: Store) -> str | None:
    """The digest in the note on a model, if that is about the same path."""
    with contextlib.suppress(ValueError, RecursionError, TypeError, LookupError):
        note = json.loads(store.weights_note(name) or "")
        if note["path"] == _place(site, name) and _DIGEST.fullmatch(note["weights"]):
            return str(note["weights"])
    return None


def _place(site: Site, name: str) -> str:
    """The path of a model, as a digest: the store names none."""
    path = site.models[name].path
    inside = path.relative_to(site.root) if path.is_relative_to(site.root) else path
    return digest_bytes(inside.as_posix().encode())


def _digests(source: ModelSource) -> list[str | None] | None:
    """What a request says of the model; None where a digest is not known."""
    with contextlib.suppress(SitegenError):
        return [source.card.digest, source.weights_sha256, source.prior_sha256]
    return None
