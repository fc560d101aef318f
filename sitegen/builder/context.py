"""The input of a build: everything that the author wrote, and every figure with its key."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sitegen.builder.plan import PlannedFigure, naming, plan
from sitegen.builder.store import Store
from sitegen.config.schema import Site
from sitegen.content.pages import Page, read_pages
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import config_error, known_words
from sitegen.core.errors import ConfigError, SitegenError, together
from sitegen.core.source import shown
from sitegen.html.theme import site_theme
from sitegen.models.registry import ModelSource, sampler_file, sampler_source, site_models


@dataclass(frozen=True)
class BuildOptions:
    """Settings from the command line, in addition to `site.toml`.

    rerender: figures to render again even if they are in the store: empty = all, None = none
    jobs: number of figures rendered at once, or of workers of the cluster "local"
    distributed: scheduler address instead of the one in `site.toml`; "local" for a cluster of
        `jobs` workers on this machine
    asked: requested device and precision, which each worker of a cluster resolves itself
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
    asked: tuple[str, str] = ("auto", "auto")

    def renders_again(self, figure: str) -> bool:
        """Return whether a figure is rendered although it is in the store."""
        return self.rerender is not None and (not self.rerender or figure in self.rerender)


@dataclass(frozen=True)
class BuildContext:
    """A build's input, and its output folder."""

    site: Site
    pages: tuple[Page, ...]
    models: Mapping[str, ModelSource]
    figures: tuple[PlannedFigure, ...]
    options: BuildOptions
    output: Path

    def store(self, warn: Callable[[str], None] = lambda line: None) -> Store:
        """Return the site's store."""
        return Store(self.site.cache_dir, warn)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Probable mistakes in the pages and in the author's theme."""
        warnings = [warning for page in self.pages for warning in page.warnings]
        return tuple(map(str, [*warnings, *site_theme(self.site).warnings]))

    @property
    def used(self) -> set[str]:
        """Names of the models that figures show."""
        return {name for planned in self.figures for name in planned.figure.models}

    @property
    def omitted(self) -> tuple[str, ...]:
        """Models whose text pages leave out, each with its missing file."""
        names = sorted({name for page in self.pages for name in page.waits})
        sources = {name: self.models.get(name) for name in names}
        lines = []
        for name, source in sources.items():
            entry = self.site.models[name]
            file = source.missing_file if source else None
            file = file or (sampler_file(entry).file if entry.sampler else entry.card_path)
            lines.append(f"{name} ({shown(file)})")
        return tuple(lines)


def prepare(site: Site, options: BuildOptions) -> BuildContext:
    """Read everything that the author wrote, and key every figure.

    Raises ConfigError for mistakes of the author, RefusedError for unusable models, PlugInError for
    kinds of figures of other packages that fail; one error names all figures concerned.
    """
    store = Store(site.cache_dir)
    models = dict(site_models(site))
    pages = read_pages(site, usable_models(site, models, store).__contains__)
    called = {name for page in pages for figure in page.figures for name in figure.models}
    if missing := [fault for name, fault in site.missing_models().items() if name in called]:
        raise config_error(missing)
    faults = dict[str, SitegenError]()
    for name, entry in site.models.items():
        # The card of a sampler that was changed is asked of its class, which runs only if it is
        # shown.
        if entry.sampler and name in called:
            try:
                models[name] = sampler_source(name, entry, store.sampler_card(name))
            except SitegenError as error:
                faults[name] = error
    figures, errors = list[PlannedFigure](), list[SitegenError]()
    for page in pages:
        for figure in page.figures:
            try:
                with naming(figure):
                    for fault in (faults[name] for name in figure.models if name in faults):
                        raise fault
                    figures.append(plan(figure, page.uri, models))
            except SitegenError as error:
                errors.append(error)
    if errors:
        raise together(errors)
    _require_figures(options, [planned.figure.id for planned in figures])
    # Resolve links: the folder that is replaced must be the real one.
    output = Path(os.path.realpath(options.output or site.output))
    return BuildContext(site, pages, models, tuple(figures), options, output)


def usable_models(site: Site, models: Mapping[str, ModelSource], store: Store) -> set[str]:
    """Return the models that figures can show.

    Their files exist, or the store has clips of a sampler, or of weights whose digest a card pins.
    """
    samplers = {name: sampler_file(entry) for name, entry in site.models.items() if entry.sampler}
    usable = {name for name, sampler in samplers.items() if sampler.file.is_file()}
    usable |= {name for name in samplers.keys() - usable if store.sampler_card(name)}
    usable |= {name for name, source in models.items() if source.available}
    pinned = {name for name in models.keys() - usable if models[name].pinned}
    if pinned:
        rendered = {model.sha256 for record in store.all_records() for model in record.models}
        usable |= {name for name in pinned if models[name].weights_sha256 in rendered}
    return usable


def _require_figures(options: BuildOptions, figures: list[str]) -> None:
    again = options.rerender or ()
    for option, names in (("--only", options.only), ("--rerender", again)):
        for name in names:
            if name not in figures:
                others = known_words(name, figures)
                raise ConfigError(f"{option} {name}: no page has such a figure{others}")
    for name in again:
        if options.only and name not in options.only:
            raise ConfigError(f"--rerender {name}: --only leaves it out; add --only {name}")
    if options.offline and options.rerender is not None:
        raise ConfigError("--rerender and --offline exclude each other; give one of them")
