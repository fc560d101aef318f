"""The input of a build: everything that the author wrote, and every figure with its key.

A card that pins its weights gives their digest without the file. For other models, mainly presets,
a build that has the weights leaves a note in the store, for machines that only render pages. The
note is valid for one path in `site.toml`, so that a clip is never shown for other weights.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sitegen.builder.cache import ReadOnlyStore, Store
from sitegen.builder.executor import named, naming
from sitegen.builder.output import KEPT
from sitegen.builder.plan import PlannedFigure, environment, plan_figure
from sitegen.builder.store_folder import require_store
from sitegen.config.loader import load_site
from sitegen.config.schema import PROCESSES, Site
from sitegen.content.pages import Page, read_pages
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import config_error, known_words
from sitegen.core.errors import ConfigError, PlatformError, PlugInError, SitegenError
from sitegen.core.files import canonical_json, digest_bytes
from sitegen.core.source import shown
from sitegen.generative.card.card import ModelCard
from sitegen.html.theme import site_theme
from sitegen.media.manifest import Record
from sitegen.models.hosted import is_current
from sitegen.models.registry import ModelSource, sampler_file, sampler_source, site_models


@dataclass(frozen=True)
class BuildOptions:
    """Settings from the command line, in addition to `site.toml`.

    rerender: figures to render again even if they are in the store: empty = all, None = none
    distributed: scheduler address instead of the one in `site.toml`; "local" for a cluster of
        `jobs` workers on this machine
    default_scheduler: scheduler address if neither `distributed` nor `site.toml` has one
    asked: requested device and precision, which each worker resolves itself
    measure: whether the faster precision of this machine is measured before figures are rendered
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
    measure: bool = False

    def renders_again(self, figure: str) -> bool:
        """Return whether a figure is rendered although it is in the store."""
        return self.rerender is not None and (not self.rerender or figure in self.rerender)


FigureRef = tuple[str, str]
"""Location of a figure: the uri of its page, and its id."""
Records = Mapping[str, Record]
"""Stored records of figures, by request."""


@dataclass(frozen=True)
class BuildContext:
    """A build's input, and its folders.

    environment: settings and versions for clips made here; empty if rendering is not possible
    faults: errors of figures that are not among `figures`, by the uri of the page and the id: their
        sampler cannot be run, or their plug-in fails
    """

    site: Site
    pages: tuple[Page, ...]
    sources: Mapping[str, ModelSource]
    figures: tuple[PlannedFigure, ...]
    options: BuildOptions
    output: Path
    environment: Mapping[str, str]
    faults: Mapping[FigureRef, SitegenError] = field(default_factory=dict)

    def store(self, warn: Callable[[str], None] = lambda line: None) -> Store:
        """Return the site's store; read-only with `dry_run`."""
        kind = ReadOnlyStore if self.options.dry_run else Store
        return kind(self.site.cache_dir, warn)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Probable mistakes in the pages and in the author's theme."""
        found = [each for page in self.pages for each in page.warnings]
        return tuple(map(str, [*found, *site_theme(self.site).warnings]))

    @property
    def used(self) -> set[str]:
        """Names of the models that figures show."""
        return {name for planned in self.figures for name in planned.figure.models}

    @property
    def used_sources(self) -> tuple[ModelSource, ...]:
        """Sources of the models that figures show, and of samplers, whose cards are stored."""
        sources = sorted(self.sources.items())
        return tuple(each for name, each in sources if name in self.used or each.sampler)

    def omitted_models(self, *, waited: bool = True) -> tuple[str, ...]:
        """Return the models that no figure can show, each with its missing file.

        waited: return models that a page refers to (True), or those that no page does (False)
        """
        figures = (figure for page in self.pages for figure in page.figures)
        able = {name for figure in figures for name in figure.models}
        able |= usable(self.sources, self.store())
        entries, waits = self.site.models, {name for page in self.pages for name in page.waits}
        lack: dict[str, Path | None]
        lack = {name: entries[name].card_path for name in self.site.missing_models()}
        lack |= {name: each.missing_file for name, each in self.sources.items()}
        lack |= _missing_samplers(self.site, self.sources)
        lines = {name: f"{name} ({shown(path)})" for name, path in lack.items() if path}
        return tuple(
            line for name, line in lines.items() if name not in able and (name in waits) == waited
        )


def prepare(config: Path, options: BuildOptions) -> BuildContext:
    """Read everything that the author wrote, and key every figure that can be.

    Raises ConfigError for mistakes of the author, RefusedError for unusable models; errors of
    samplers and plug-ins are in the context.
    """
    return prepare_site(load_site(config), options)


def prepare_site(site: Site, options: BuildOptions) -> BuildContext:
    """Prepare a loaded `site.toml` as `prepare` does."""
    require_store(site.cache_dir)
    store = Store(site.cache_dir)
    sources = with_known_digests(site, store)
    unrun = {name for name, entry in site.models.items() if entry.sampler} - sources.keys()
    there = usable(sources, store) | (unrun - _missing_samplers(site, sources).keys())
    pages = read_pages(site, there.__contains__)
    called = {name for page in pages for figure in page.figures for name in figure.models}
    if missing := [fault for name, fault in site.missing_models().items() if name in called]:
        raise config_error(missing)
    ran, broken = _run_samplers(site, sorted(unrun & called), offline=options.offline)
    sources = {**sources, **ran}
    # Resolve links now: the exchanged folder must be the real one.
    output = Path(os.path.realpath(options.output or site.output))
    shown_files = (file.source.parent for page in pages for file in page.files)
    _require_apart(output, site, {*shown_files} - {site.root})
    stored = {*store.keys("")}
    figures, faults = _plan(site, pages, sources, broken, stored, options)
    # Verify weights of existing clips now, and those needed for rendering when they are loaded.
    shown_models = {
        name
        for planned in figures
        if planned.request_digest in stored
        for name in planned.figure.models
    }
    if shown_models:
        verified = {name: replace(sources[name], verified=True) for name in shown_models}
        sources = {**sources, **verified}
        figures, faults = _plan(site, pages, sources, broken, stored, options)
    known = [*(planned.figure.id for planned in figures), *(name for _, name in faults)]
    _require_known(options, known)
    try:
        here = environment(options.compute_target)
    except PlatformError:
        here = {}
    return BuildContext(site, pages, sources, figures, options, output, here, faults)


def _require_apart(output: Path, site: Site, own: Collection[Path]) -> None:
    """Raise ConfigError for an output folder that overlaps with the store or the author's files.

    `own` are the folders of files that pages show or link to.
    """
    folders = [site.root / name for name in ("pages", "theme", "models", "pictures", KEPT)]
    folders += [site.cache_dir, *(entry.path for entry in site.models.values()), *own]
    for folder in (Path(os.path.realpath(each)) for each in folders):
        if output == folder or folder in output.parents or output in folder.parents:
            raise ConfigError(
                f"{output}: overlaps with {shown(folder)}, a source of the site, and a build "
                "replaces the whole output folder; choose another --output"
            )


def _plan(
    site: Site,
    pages: tuple[Page, ...],
    sources: Mapping[str, ModelSource],
    broken: Mapping[str, SitegenError],
    stored: Collection[str],
    options: BuildOptions,
) -> tuple[tuple[PlannedFigure, ...], dict[FigureRef, SitegenError]]:
    """Key every figure that can be keyed; return the errors of the others, too.

    These are figures of plug-ins that fail, and of samplers that are `broken` or lack a file for a
    figure that is not in `stored`.
    """
    figures, faults = [], []
    unrun: dict[FigureRef, SitegenError] = {}
    for uri, figure in [(page.uri, figure) for page in pages for figure in page.figures]:
        errors: list[SitegenError] = [figure.fault] if figure.fault else []
        errors += [broken[each] for each in figure.models if each in broken]
        if not errors:
            try:
                with naming(figure):
                    planned = plan_figure(replace(figure, typeface=site.typeface), uri, sources)
            except PlugInError as found:
                unrun[uri, figure.id] = found
                continue
            except ConfigError as found:
                faults.append(found)
                continue
            if planned.request_digest not in stored or options.renders_again(figure.id):
                lacking = (sources[each].sampler_fault for each in figure.models)
                errors = [error for error in lacking if error]
            figures += [] if errors else [planned]
        if errors:
            unrun[uri, figure.id] = named(figure, errors[0])
    if faults:
        raise config_error([*faults, *unrun.values()])
    return tuple(figures), unrun


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


def found(figures: Iterable[PlannedFigure], store: Store) -> dict[str, Record]:
    """Return the stored records of the figures, by request, each verified."""
    stored = {each: store.get(each) for each in {each.request_digest: None for each in figures}}
    return {each: record for each, record in stored.items() if record is not None}


_DIGEST = re.compile(r"[0-9a-f]{64}")


def with_known_digests(site: Site, store: Store) -> Mapping[str, ModelSource]:
    """Return the site's models by name, with digests of unpinned weights from the store.

    The cards of samplers come from the store, too; those that are new or changed are left out.
    """
    sources = {**site_models(site)}
    for name in (name for name, entry in site.models.items() if entry.sampler):
        with contextlib.suppress(SitegenError):
            sources |= _stored_sampler(site, name, store)
    return {
        name: replace(source, remembered=_noted(site, name, store).get("weights"))
        if not source.pinned and not source.weights.exists()
        else source
        for name, source in sources.items()
    }


def _stored_sampler(site: Site, name: str, store: Store) -> dict[str, ModelSource]:
    """Return an author's sampler by the store's note on its present files, if there is one."""
    sampler = sampler_file(site.models[name])
    for note in _notes(site, name, store):
        with contextlib.suppress(ValueError, RecursionError, TypeError, LookupError, ConfigError):
            card = ModelCard.from_toml(note["card"])
            if is_current(sampler, card):
                return {name: sampler_source(name, site.models[name], card)}
    return {}


def _run_samplers(
    site: Site, names: Iterable[str], *, offline: bool
) -> tuple[dict[str, ModelSource], dict[str, SitegenError]]:
    """Run samplers to learn what they are, unless `offline`; return also the errors of others."""
    found, broken = dict[str, ModelSource](), dict[str, SitegenError]()
    for name in names:
        try:
            if offline and sampler_file(site.models[name]).file.exists():
                raise ConfigError(
                    f"the sampler {name} is new or changed; run `sitegen build` first, which "
                    "runs it"
                )
            found[name] = sampler_source(name, site.models[name])
        except SitegenError as error:
            broken[name] = error
    return found, broken


def usable(sources: Mapping[str, ModelSource], store: Store) -> set[str]:
    """Return the models that figures can show: available ones, and those with stored clips."""
    here = {name for name, source in sources.items() if source.available}
    wanted = {name: _digests(source) for name, source in sources.items() if name not in here}
    if not any(wanted.values()):
        return here
    rendered = [model for each in store.remembered() for model in each.get("models") or ()]
    return here | {name for name, each in wanted.items() if each is not None and each in rendered}


def new_notes(site: Site, sources: Iterable[ModelSource]) -> dict[str, str]:
    """Return the notes to store on available weights without a pinned digest, by model."""
    store, notes = Store(site.cache_dir), {}
    for source in sources:
        if (source.sampler or not source.pinned) and source.weights.is_file():
            value = {"path": _place(site, source.name), "weights": source.weights_sha256}
            value |= {"card": source.card.to_toml()} if source.sampler else {}
            note = canonical_json(value) + "\n"
            if (last := store.weights_note(source.name)) != note:
                if source.sampler and last is not None:
                    notes[f"{source.name}.{digest_bytes(last.encode())[:16]}"] = last
                notes[source.name] = note
    return notes


def _missing_samplers(site: Site, sources: Mapping[str, ModelSource]) -> dict[str, Path]:
    """Return the paths of samplers that have no source because their file is missing."""
    samplers = {name: (each.root, each.sampler) for name, each in site.models.items()}
    paths = {n: root / s[0] for n, (root, s) in samplers.items() if s and s[0] != PROCESSES}
    return {n: path for n, path in paths.items() if n not in sources and not path.exists()}


def _noted(site: Site, name: str, store: Store) -> dict[str, Any]:
    """Return the store's last note that is valid for the model's path; else no facts."""
    return next(_notes(site, name, store), {})


def _notes(site: Site, name: str, store: Store) -> Iterator[dict[str, Any]]:
    """Yield the store's notes that are valid for the model's path, the last one first."""
    for text in store.weights_notes(name):
        with contextlib.suppress(ValueError, RecursionError, TypeError, LookupError):
            note: dict[str, Any] = json.loads(text)
            if note["path"] == _place(site, name) and _DIGEST.fullmatch(note["weights"]):
                yield note


def _place(site: Site, name: str) -> str:
    """Return a digest of a model's path; the store contains no paths."""
    path = site.models[name].path
    inside = path.relative_to(site.root) if path.is_relative_to(site.root) else path
    return digest_bytes(inside.as_posix().encode())


def _digests(source: ModelSource) -> list[str | None] | None:
    with contextlib.suppress(SitegenError):
        return [source.card.digest, source.weights_sha256, source.prior_sha256]
    return None
