"""The models of a site as files: their cards, weights and priors, without torch."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shlex import quote

from sitegen.config.loader import load_site
from sitegen.config.schema import ModelEntry, Site
from sitegen.core.diagnostics import known_words
from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size, sha256
from sitegen.core.installed import resource, shipped_models
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard, card_beside, preset, read_card
from sitegen.generative.checkpoints.archive import checkpoint_digest, read_contents
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.inspection import inspect_checkpoint, only_checkpoint

_LARGE = 1 << 30
"""Bytes of a checkpoint that is looked at before it is read whole; no other part has more."""
APPROXIMATE = "Approximate prior:"
"""How a card's fault begins that says so."""


@dataclass(frozen=True)
class ModelSource:
    """Where a model's parts lie; `prior` and `example` are None when its card names none.

    The digests are of the files as they were when first asked for; but the pinned digest of weights
    is believed until they are loaded, or the source is `verified`. `remembered` is that of weights
    which are not there and which the card does not pin, where the store knows it.
    """

    name: str
    card: ModelCard
    weights: Path
    prior: Path | None
    card_path: Path | None = None
    example: Path | None = None
    remembered: str | None = None
    verified: bool = False

    @property
    def available(self) -> bool:
        """Whether the weights, and the prior that the card names, are there."""
        return self.lacking is None

    @property
    def lacking(self) -> Path | None:
        """The file, weights or prior, that is not there; None where the model is available."""
        files = filter(None, (self.weights, self.prior))
        return next((file for file in files if not file.is_file()), None)

    @cached_property
    def weights_sha256(self) -> str:
        """The digest of the weights; where the file is elsewhere, the pinned or remembered one."""
        pin = self.card.weights.sha256 if self.card.weights else None
        known = pin or self.remembered
        if known and not self.weights.exists():
            return known
        with self._telling_what_to_do():
            if regular_size(self.weights, "checkpoint") > _LARGE:
                read_contents(self.weights)  # what is no checkpoint is not read whole
            if pin is None:
                return checkpoint_digest(self.weights)
            return sha256(self.weights) if self.verified else pin

    @cached_property
    def prior_sha256(self) -> str | None:
        """The digest of the prior, likewise."""
        return _digest(self.prior, self.card.prior, "prior")

    @cached_property
    def example_sha256(self) -> str | None:
        """The digest of the example, likewise."""
        return _digest(self.example, self.card.example, "example")

    def require_usable(self) -> None:
        """Raise RefusedError, saying what to do, unless there is all that sampling takes."""
        with self._telling_what_to_do():
            regular_size(self.weights, "checkpoint")
        if self.prior is not None:
            regular_size(self.prior, "prior")
        if self.prior is not None or self.card.kind == "ddpm":
            return
        first = "" if self.card_path else f"take [models.{self.name}] out of site.toml, and "
        raise RefusedError(
            f"the model {self.name} has no prior, so there is nothing to start from; {first}make "
            "one from a folder of training images, DIR, in the folder of site.toml with\n"
            f"    sitegen add {self.name} --checkpoint {quote(str(self.weights))} --data DIR"
        )

    @property
    def approximate(self) -> bool:
        """Whether the starts are not made of the model's training images, as its card says."""
        return is_approximate(self.card)

    @property
    def pinned(self) -> bool:
        """Whether the card says the digest of the weights."""
        return self.card.weights is not None and self.card.weights.sha256 is not None

    @contextmanager
    def _telling_what_to_do(self) -> Iterator[None]:
        """Add to the refusal of a checkpoint that is not there what can be done about it."""
        try:
            yield
        except RefusedError as error:
            if self.weights.exists():
                raise
            guard = f'{{% if available("{self.name}") %}} … {{% endif %}}'
            raise RefusedError(
                f"{error}\nput it there, or leave out of the page what needs {self.name}: {guard}"
            ) from None


def model_source(name: str, path: Path, card_path: Path | None = None) -> ModelSource:
    """A model from a folder with `model.toml`, or from a checkpoint file and its card.

    Without `card_path`, the `model.toml` beside a checkpoint is its card if it names that file, and
    what diffusers or IHDM-spectral saved needs none.
    Raises RefusedError when there is no card or the card names no weights.
    """
    uncarded = path.exists() and card_path in (None, path / CARD_NAME)
    if uncarded and (found := foreign_model(path)):
        weights, card = found
        return ModelSource(name, card, weights, None)
    folder = path if path.is_dir() else None
    card_path = card_path or (folder / CARD_NAME if folder else _card_beside(path))
    card = read_card(card_path)
    if folder is not None:
        if card.weights is None:
            raise RefusedError(f"{card_path}: names no weights; add [weights] with file and sha256")
        path = folder / card.weights.file
    prior, example = (
        None if file is None else card_path.parent / file.file
        for file in (card.prior, card.example)
    )
    return ModelSource(name, card, path, prior, card_path, example)


def preset_source(name: str, path: Path, configuration: str) -> ModelSource:
    """A checkpoint that has a published configuration, with the prior that travels with that."""
    return ModelSource(name, preset(configuration), _dropped(path), preset_prior(configuration))


def find_model(name: str, card: Path | None, config: Path) -> ModelSource:
    """The model that a command line names: a name in `config`, a shipped one, or a path.

    `card` is used instead of the model's own. What looks like a path is taken for one at once.
    Raises RefusedError when there is none of that name, with the names that there are.
    """
    path = Path(name)
    if path.is_file() or path.name != name:
        if not path.exists():
            regular_size(path, "checkpoint")
        return model_source(path.stem, path, card)
    site, shipped = _configured(config), shipped_models()
    if name in site:
        return _entry_source(name, site[name], card)
    if name in shipped:
        return model_source(name, shipped[name], card)
    if path.exists():
        return model_source(path.name, path, card)
    raise RefusedError(
        f"{name}: neither a file nor a model's name{known_words(name, {**shipped, **site})}"
    )


def named_folder(path: Path, config: Path = Path("site.toml")) -> Path:
    """Where the model lies that is called `path`; anything else is left as it is.

    A name is that of a model in `config` or of a shipped one.
    """
    if path.exists() or len(path.parts) != 1:
        return path
    site, shipped = _configured(config), shipped_models()
    return site[path.name].path if path.name in site else shipped.get(path.name, path)


def site_models(site: Site) -> Mapping[str, ModelSource]:
    """The models that `site.toml` names, by name, but for those whose card is not there."""
    there = ((name, entry) for name, entry in site.models.items() if not entry.absent)
    return {name: _entry_source(name, entry) for name, entry in there}


def _entry_source(name: str, entry: ModelEntry, card: Path | None = None) -> ModelSource:
    """A model of `site.toml`; `card` is used instead of its own."""
    if card is None and entry.preset is not None:
        return preset_source(name, entry.path, entry.preset)
    path = entry.path if entry.preset is None else _dropped(entry.path)
    return model_source(name, path, card or entry.card_path)


def _dropped(path: Path) -> Path:
    """The checkpoint that was dropped at a path, or into a folder there; else the path itself.

    Such a folder is called as the path, perhaps without its ending; RefusedError if several are in.
    """
    if path.is_file():
        return path
    folders = (folder for folder in (path, path.with_suffix("")) if folder.is_dir())
    return next(filter(None, map(only_checkpoint, folders)), path)


def known_models(config: Path = Path("site.toml")) -> set[str]:
    """The names of the models of `config` and of those that travel with sitegen."""
    return {*_configured(config), *shipped_models()}


def _configured(config: Path) -> Mapping[str, ModelEntry]:
    """The site's models, by name; none where there is no site."""
    return load_site(config).models if config.exists() else {}


def _card_beside(path: Path) -> Path:
    """The card in the folder of a checkpoint; RefusedError unless it names this file."""
    if card_beside(path) is not None:
        return path.parent / CARD_NAME
    fits = inspect_checkpoint(path).presets
    start = f"; it fits the preset {' and '.join(fits)}, whose card is a start" if fits else ""
    raise RefusedError(
        f"{path}: a checkpoint does not say its image size, levels or blur, so it needs its model "
        f"card; name it with --card{start}"
    )


def _digest(path: Path | None, named: FileRef | None, what: str) -> str | None:
    """The digest of a file, which is read once; where it is elsewhere, the pinned one."""
    if path is None:
        return None
    if named is not None and named.sha256 and not path.exists():
        return named.sha256
    if (size := regular_size(path, what)) > _LARGE:
        raise RefusedError(
            f"{path}: this {what} has {size / 1e9:.1f} GB, and one has 1.1 GB at most; give the "
            "right file"
        )
    return sha256(path)


def preset_prior(name: str) -> Path:
    """The prior that travels with a preset: a checkpoint holds no starts.

    MNIST's are made of its training images; the others are approximate, drawn from a model of
    natural images (`bench/priors.py`), which their cards name as a fault.
    """
    return resource("presets") / f"{name}.safetensors"


def is_approximate(card: ModelCard) -> bool:
    """Whether the card says that its prior is not made of its training images."""
    return any(fault.startswith(APPROXIMATE) for fault in card.known_faults)


def measured(card: ModelCard) -> ModelCard:
    """The card as it is when its prior has been made of training images."""
    faults = (fault for fault in card.known_faults if not fault.startswith(APPROXIMATE))
    return replace(card, known_faults=tuple(faults))
