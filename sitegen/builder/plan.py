"""The plan of a build: everything that the author wrote, and every figure with its key.

A key is the digest of everything that decides the bytes of a figure's files: the call, the files
that it names, the cards, weights, priors and examples, and the recipes of the kind and of `media`.
The environment may change the last bits too. It is recorded with a clip but is not part of the key,
so an upgrade or another machine renders nothing again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sitegen.builder.store import Store
from sitegen.config.schema import Site
from sitegen.content.pages import Page, read_pages
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import config_error, fields_of, known_words
from sitegen.core.errors import ConfigError, PlugInError, SitegenError, together, with_message
from sitegen.core.files import canonical_json, digest, digest_bytes, platform_errors
from sitegen.core.source import shown
from sitegen.figures.arguments import FILE
from sitegen.figures.base import Figure, evaluations, lacking, spec_json
from sitegen.figures.registry import plug_in_errors
from sitegen.generative.card.abilities import LevelAxis
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.tables import RecordingConfig
from sitegen.media.manifest import RECIPE, ModelRef
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
    def keys(self) -> list[str]:
        """Keys of the figures, in page order; equal calls have one key."""
        return [planned.key for planned in self.figures]

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


@dataclass(frozen=True)
class PlannedFigure:
    """A figure of a page with its key.

    levels, axis: K of the figure's first model, and a viewer's information on its levels
    key: digest of everything that decides the bytes of its files
    description: text alternative, by the author or from the spec
    cost: number of images that networks evaluate
    cards: the models' cards
    recording: recording of the first model, if no model has a network
    choice: sentences of the spec on how the samples were chosen and made; may be empty
    """

    figure: Figure
    page: str
    models: tuple[ModelRef, ...]
    levels: int
    key: str
    axis: LevelAxis | None = None
    description: str = ""
    cost: int = 0
    cards: tuple[ModelCard, ...] = ()
    recording: RecordingConfig | None = None
    choice: str = ""

    def work(self, target: ComputeTarget) -> str:
        """Return what decides the seconds per evaluation: the kind, the models and the device."""
        models = "+".join(self.figure.spec.models)
        return f"{self.figure.kind} {models} {target.device} {target.precision}"

    def provenance(
        self, parameters: Mapping[str, Any], environment: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return seed, parameters and environment for the record; a recording has its own."""
        of_network = ("device", "precision", "torch")
        drawn = {key: value for key, value in environment.items() if key not in of_network}
        if self.recording is None:
            seed = parameters.get("seed")
            networks = ["network" in card.abilities for card in self.cards]
            bare = not self.models or (networks and not any(networks))
            used = drawn if bare else environment
            return {"seed": seed, "parameters": parameters, "environment": used}
        unseeded = {key: value for key, value in parameters.items() if key != "seed"}
        run = {"recorded_with": self.recording.made_with} if self.recording.made_with else {}
        run |= {} if self.recording.finished else {"recorded_run": "did not end"}
        return {"seed": self.recording.seed, "parameters": unseeded, "environment": drawn | run}


def prepare(site: Site, options: BuildOptions) -> BuildContext:
    """Read everything that the author wrote, and key every figure.

    Raises ConfigError for mistakes of the author, RefusedError for unusable models, PlugInError for
    kinds of figures of other packages that fail; one error names all figures concerned.
    """
    store = Store(site.cache_dir)
    models = dict(site_models(site))
    pages = read_pages(site, usable_models(site, models, store).__contains__)
    called = {name for page in pages for figure in page.figures for name in figure.spec.models}
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
                    for fault in (faults[name] for name in figure.spec.models if name in faults):
                        raise fault
                    figures.append(plan(figure, page.uri, models))
            except SitegenError as error:
                errors.append(error)
    if errors:
        raise together(errors)
    ids = [planned.figure.id for planned in figures]
    again = options.rerender or ()
    for option, names in (("--only", options.only), ("--rerender", again)):
        for name in names:
            if name not in ids:
                others = known_words(name, ids)
                raise ConfigError(f"{option} {name}: no page has such a figure{others}")
    for name in again:
        if options.only and name not in options.only:
            raise ConfigError(f"--rerender {name}: --only leaves it out; add --only {name}")
    if options.offline and options.rerender is not None:
        raise ConfigError("--rerender and --offline exclude each other; give one of them")
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
    usable |= {name for name, source in models.items() if source.missing_file is None}
    pinned = {name for name in models.keys() - usable if models[name].pinned}
    if pinned:
        rendered = {model.sha256 for record in store.all_records() for model in record.models}
        usable |= {name for name in pinned if models[name].weights_sha256 in rendered}
    return usable


def plan(figure: Figure, page: str, sources: Mapping[str, ModelSource]) -> PlannedFigure:
    """Key a figure.

    Hashes weights that no card pins; imports neither torch nor an encoder. Raises ConfigError for
    models that do not fit the figure, RefusedError for weights or a prior that are missing or
    unreadable, PlugInError for a kind of another package that fails.
    """
    models = [sources[name] for name in figure.spec.models]
    require_fit(figure, sources)
    contents = dict[str, str]()
    for name, info in fields_of(type(figure.spec)).items():
        if info.json_schema_extra != FILE or getattr(figure.spec, name) is None:
            continue
        digests = list[str]()
        for path in figure.paths(name):
            with platform_errors(path, "read"):
                digests.append(digest(path))
        contents[name] = " ".join(digests)
    figure = replace(figure, contents=contents)
    request = canonical_json(
        {
            "spec": spec_json(figure) | dict(figure.contents),
            "recipe": [RECIPE, figure.spec.recipe],
            "models": [
                [m.card.digest, m.weights_sha256, m.prior_sha256, m.example_sha256] for m in models
            ],
        }
    )
    cards = figure.spec.cards([model.card for model in models])
    first: Any = cards[0] if cards else None  # which figures without a model do not use
    networks = ["network" in card.abilities for card in cards]
    references = []
    for model in models:
        what: Literal["checkpoint", "recording", "sampler"] = "checkpoint"
        if model.card.recording is not None or model.sampler is not None:
            what = "recording" if model.card.recording else "sampler"
        uses = tuple(model.card.sampler.uses.values()) if model.card.sampler else ()
        subject = model.card.subject or ""
        references.append(ModelRef(model.name, model.weights_sha256, what, uses, subject))
    description = figure.description(cards)
    f"{figure.choice}{description}".encode()  # raises for half a character, which no page can hold
    return PlannedFigure(
        figure,
        page,
        tuple(references),
        first.levels if first else 0,
        digest_bytes(request.encode()),
        first.axis if first else None,
        description,
        sum(evaluations(figure.spec, cards)),
        tuple(cards),
        None if any(networks) or not first else first.recording,
        figure.choice,
    )


def require_fit(figure: Figure, sources: Mapping[str, ModelSource]) -> None:
    """Raise ConfigError for models that do not fit the figure, and name those that do."""
    spec, models = figure.spec, [sources[name] for name in figure.spec.models]
    try:
        faults = list(spec.unmet(spec.cards([model.card for model in models])))
    except ConfigError as error:
        faults = [str(error)]
    if faults and models and lacking(models[0].name, models[0].card, spec.needs):
        able = (name for name, m in sources.items() if not lacking(name, m.card, spec.needs))
        faults.append(f"models that have it: {', '.join(sorted(able)) or 'none'}")
    if faults:
        raise ConfigError("; ".join(f"{figure.kind}(…): {fault}" for fault in faults))


@contextmanager
def naming(figure: Figure) -> Iterator[None]:
    """Put the figure's line before the messages of errors in the block; their classes stay."""
    try:
        with plug_in_errors(figure.kind):
            yield
    except SitegenError as error:
        location = f"{figure.place.file}:{figure.place.line}"
        located = with_message(error, f"{location}: {figure.id}: {error}")
        if isinstance(error, PlugInError) and isinstance(located, PlugInError):
            located.trace = error.trace
        raise located from error
