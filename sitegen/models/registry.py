"""Registry of a site's models as files: their cards, weights and priors, without torch."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from sitegen.config.schema import PROCESSES, SAMPLER, ModelEntry, Site, load_site
from sitegen.core.diagnostics import known_words
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import regular_size, sha256
from sitegen.core.installed import resource, shipped_models
from sitegen.core.source import shown
from sitegen.core.urls import slug_fault
from sitegen.generative.card.card import (
    CARD_NAME,
    FileRef,
    ModelCard,
    card_beside,
    preset,
    read_card,
    require_finished,
)
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.models.hosted import SamplerFile, describe, is_current, sampler_files

_LARGE = 1 << 30
"""Maximum bytes of a prior or an example."""
RUNS = Path("runs")
"""Folder of the models that `sitegen train` writes, relative to where it runs."""
APPROXIMATE = "Approximate prior:"
"""Beginning of the fault in a card that reports an approximate prior."""


@dataclass(frozen=True)
class ModelSource:
    """Paths of a model's parts; `prior` and `example` are None if its card names none.

    Digests are computed once, on first use. The pinned digest of weights is trusted until they are
    loaded. `sampler` is an author's class, whose file then replaces weights.
    """

    name: str
    card: ModelCard
    weights: Path
    prior: Path | None
    card_path: Path | None = None
    example: Path | None = None
    sampler: SamplerFile | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that sampling needs: weights and prior, or a sampler with the files it uses."""
        if self.sampler is not None:
            return tuple(sampler_files(self.sampler, self.card))
        return tuple(filter(None, (self.weights, self.prior)))

    @property
    def missing_file(self) -> Path | None:
        """The first of `files` that is missing; None if the model is available."""
        return next((file for file in self.files if not file.is_file()), None)

    @cached_property
    def weights_sha256(self) -> str:
        """Digest of the weights; the pinned one if the card has it."""
        if self.card.weights and self.card.weights.sha256:
            return self.card.weights.sha256
        with self._telling_what_to_do():
            regular_size(self.weights, "checkpoint")
            return sha256(self.weights)

    @cached_property
    def prior_sha256(self) -> str | None:
        """Digest of the prior; the pinned one if the card has it."""
        return _digest(self.prior, self.card.prior, "prior")

    @cached_property
    def example_sha256(self) -> str | None:
        """Digest of the example, which may be edited by hand; the pinned one if it is missing."""
        if self.example is not None and self.example.exists():
            return _digest(self.example, None, "example")
        return _digest(self.example, self.card.example, "example")

    def require_usable(self) -> None:
        """Raise RefusedError, with what to do, unless all files for sampling exist."""
        if self.sampler is not None and self.missing_file is not None:
            raise RefusedError(
                f"{shown(self.missing_file)}: is not there, and rendering needs it; put it there, "
                "or copy the cache_dir of a machine where this was rendered"
            )
        with self._telling_what_to_do():
            regular_size(self.weights, "checkpoint")
        if self.prior is not None:
            regular_size(self.prior, "prior")
        if self.prior is not None or "prior" not in self.card.abilities:
            return
        first = "" if self.card_path else f"remove [models.{self.name}] from site.toml, and "
        raise RefusedError(
            f"the model {self.name} has no prior, so there is nothing to start from; {first}make "
            "one from a folder of training images, DIR, in the folder of site.toml with\n"
            f"    sitegen add {self.name} --checkpoint {quote(str(self.weights))} --data DIR"
        )

    @property
    def pinned(self) -> bool:
        """True if the card has the digest of the weights."""
        return self.card.weights is not None and self.card.weights.sha256 is not None

    @contextmanager
    def _telling_what_to_do(self) -> Iterator[None]:
        """Add a hint to the error about a missing checkpoint."""
        try:
            yield
        except RefusedError as error:
            if self.weights.exists():
                raise
            guard = f'{{% if available("{self.name}") %}} … {{% endif %}}'
            raise RefusedError(
                f"{error}\nput it there, or make the page leave out {self.name}: {guard}"
            ) from None


def model_source(name: str, path: Path, card_path: Path | None = None) -> ModelSource:
    """Return the model in a folder with `model.toml`, or of a checkpoint file and its card.

    Without `card_path`, the card is the `model.toml` in the folder of a checkpoint if it names that
    file. Models saved by diffusers or IHDM-spectral need no card. Raises RefusedError if there is
    no card, or if it names no weights.
    """
    has_card = (path / CARD_NAME).is_file() or card_path not in (None, path / CARD_NAME)
    if not has_card and path.exists() and (found := foreign_model(path)):
        return ModelSource(name, found.card, found.weights, None)
    folder, chosen = path if path.is_dir() else None, card_path
    if card_path is None and folder is None and card_beside(path) is None:
        raise RefusedError(
            f"{path}: a checkpoint does not record its image size, levels or blur, so it needs a "
            "model card; name it with --card"
        )
    card_path = card_path or (folder or path.parent) / CARD_NAME
    card = read_card(card_path)
    if folder is not None:
        if card.weights is None:
            raise RefusedError(f"{card_path}: names no weights; add [weights] with file and sha256")
        path = folder / card.weights.file
        if chosen is None and not path.exists():  # as `sitegen add` leaves it: site.toml has both
            for entry in _configured(folder / "../../site.toml").values():
                if entry.card and entry.card.exists() and entry.card.samefile(card_path):
                    return _entry_source(name, entry)
    prior, example = (
        None if file is None else card_path.parent / file.file
        for file in (card.prior, card.example)
    )
    return ModelSource(name, card, path, prior, card_path, example)


def find_model(name: str, card: Path | None, config: Path) -> ModelSource:
    """Return the model named on the command line.

    `card` replaces the model's own. `name` is a sampler as in `site.toml`, a path with a folder, an
    existing file, a name in `config`, a model that `sitegen train` wrote, a shipped one, or a
    folder, in this order.
    Raises RefusedError, with the known names, if the model does not exist.
    """
    path = Path(name)
    if SAMPLER.fullmatch(name):
        entry = ModelEntry.model_validate({"path": name}, context={"root": Path()})
        return sampler_source(path.stem, entry)
    if path.is_file() or path.name != name:
        if not path.exists():
            regular_size(path, "checkpoint")
        return model_source(path.stem, path, card)
    site, shipped = _configured(config), shipped_models()
    if name in site:
        return _entry_source(name, site[name], card)
    if trained := trained_folder(config, name):
        return model_source(name, trained, card)
    if name in shipped:
        return model_source(name, shipped[name], card)
    if path.exists():
        return model_source(path.name, path, card)
    raise RefusedError(
        f"{name}: neither a file nor a model's name{known_words(name, {**shipped, **site})}"
    )


def trained_folder(config: Path, name: str) -> Path | None:
    """Return the folder that `sitegen train` wrote for the model, if there is one.

    Raises RefusedError if its run is not finished.
    """
    folder = config.parent / RUNS / name
    if slug_fault(name):
        return None
    if (folder / CARD_NAME).is_file():
        return folder
    require_finished(folder)
    return None


def named_folder(path: Path, config: Path = Path("site.toml")) -> Path:
    """Return the folder or file of the model named `path`; other paths are returned unchanged.

    A name is that of a model in `config`, one that `sitegen train` wrote, or a shipped one.
    """
    if path.exists() or len(path.parts) != 1:
        return path
    site, shipped = _configured(config), shipped_models()
    if path.name in site:
        return site[path.name].path
    return trained_folder(config, path.name) or shipped.get(path.name, path)


def site_models(site: Site) -> Mapping[str, ModelSource]:
    """Return the models of `site.toml` by name, except those whose card is missing.

    Samplers of the author are left out, since only they themselves know their cards.
    """
    present = ((name, entry) for name, entry in site.models.items() if not entry.missing_file)
    return {name: _entry_source(name, entry) for name, entry in present if not entry.sampler}


def sampler_source(name: str, entry: ModelEntry, card: ModelCard | None = None) -> ModelSource:
    """Return the model of an author's sampler.

    The class runs for its card unless `card` is that of its present files. Raises ConfigError
    for an error in it, with file and line.
    """
    file = sampler_file(entry)
    if card is None or not is_current(file, card):
        card = describe(file, name)
    return ModelSource(name, card, file.file, None, sampler=file)


def sampler_file(entry: ModelEntry) -> SamplerFile:
    """Return where an author's sampler is. Raises ConfigError if no package has it."""
    assert entry.sampler is not None
    path, name = entry.sampler
    if path != PROCESSES:
        return SamplerFile(entry.root / path, name)
    entries = {entry_point.name: entry_point for entry_point in entry_points(group=PROCESSES)}
    if name not in entries:
        raise ConfigError(f"no package has the process {name}{known_words(name, entries)}")
    try:
        spec = find_spec(entries[name].module)
    except ImportError:  # of a package that the module is in
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigError(f"the process {name}: there is no module {entries[name].module}")
    return SamplerFile(Path(spec.origin), entries[name].attr, entries[name].module)


def _entry_source(name: str, entry: ModelEntry, card: Path | None = None) -> ModelSource:
    if entry.sampler is not None:
        return sampler_source(name, entry)
    if card is None and entry.preset is not None:
        prior = preset_prior(entry.preset)
        return ModelSource(name, preset(entry.preset), entry.path, prior)
    return model_source(name, entry.path, card or entry.card_path)


def _configured(config: Path) -> Mapping[str, ModelEntry]:
    return load_site(config).models if config.exists() else {}


def _digest(path: Path | None, named: FileRef | None, what: str) -> str | None:
    if path is None:
        return None
    if named is not None and named.sha256:
        return named.sha256
    if (size := regular_size(path, what)) > _LARGE:
        raise RefusedError(
            f"{path}: this {what} has {size / 1e9:.1f} GB, above the limit of 1.1 GB; give the "
            "right file"
        )
    return sha256(path)


def preset_prior(name: str) -> Path:
    """Return the shipped prior of a preset, since a checkpoint contains no initial states.

    MNIST's is made from its training images. The others are approximate, drawn from a model of
    natural images (`recipes/priors.py`), which their cards list as a fault.
    """
    return resource("presets") / f"{name}.safetensors"


def is_approximate(card: ModelCard) -> bool:
    """Return whether, by its card, a prior is not made from the training images."""
    return any(fault.startswith(APPROXIMATE) for fault in card.known_faults)


def measured(card: ModelCard) -> ModelCard:
    """Return the card for a prior that is made from training images."""
    faults = (fault for fault in card.known_faults if not fault.startswith(APPROXIMATE))
    return replace(card, known_faults=tuple(faults))
