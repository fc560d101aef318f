"""The models of a site as files: their cards, weights and priors, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sitegen.config import ModelEntry, Site, load_site
from sitegen.errors import RefusedError
from sitegen.files import digest
from sitegen.ihdm.card import CARD_NAME, FileRef, ModelCard, read_card
from sitegen.problems import known_words
from sitegen.resources import resource


@dataclass(frozen=True)
class ModelSource:
    """Where a model's parts lie; `prior` is None when its card names none."""

    name: str
    card: ModelCard
    weights: Path
    prior: Path | None

    @property
    def available(self) -> bool:
        """Whether the weights, and the prior that the card names, are there."""
        return self.weights.is_file() and (self.prior is None or self.prior.is_file())

    @property
    def weights_sha256(self) -> str:
        """The digest of the weights; the one that the card pins where the file is elsewhere."""
        return _digest(self.weights, self.card.weights)

    @property
    def prior_sha256(self) -> str | None:
        """The digest of the prior, likewise."""
        return None if self.prior is None else _digest(self.prior, self.card.prior)


def model_source(name: str, path: Path, card_path: Path | None = None) -> ModelSource:
    """A model from a folder with `model.toml`, or from a checkpoint file and its card.

    Raises RefusedError when a checkpoint file comes without a card or the card names no weights.
    """
    if path.is_dir():
        card_path = card_path or path / CARD_NAME
    if card_path is None:
        raise RefusedError(f"{path}: a checkpoint file needs its model card; name it with --card")
    card = read_card(card_path)
    if path.is_dir():
        if card.weights is None:
            raise RefusedError(f"{card_path}: names no weights; add [weights] with file and sha256")
        weights = path / card.weights.file
    else:
        weights = path
    prior = card_path.parent / card.prior.file if card.prior is not None else None
    return ModelSource(name, card, weights, prior)


def find_model(name: str, card: Path | None, config: Path) -> ModelSource:
    """The model that a command line names: a path, else a name in `config`, else a shipped one.

    Raises RefusedError when there is none of that name, with the names that there are.
    """
    if Path(name).exists():
        return model_source(Path(name).stem, Path(name), card)
    known = dict(shipped_models())
    if config.exists():
        site = load_site(config)
        if name in site.models:
            return _from_entry(site.models[name])
        known |= {entry.name: entry.path for entry in site.models.values()}
    if name in known:
        return model_source(name, known[name], card)
    raise RefusedError(f"{name}: neither a file nor a model's name{known_words(name, known)}")


def site_models(site: Site) -> Mapping[str, ModelSource]:
    """The models that `site.toml` names, by name."""
    return {name: _from_entry(entry) for name, entry in site.models.items()}


def shipped_models() -> Mapping[str, Path]:
    """The folders of the models that travel with sitegen, by name."""
    folder = resource("models")
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CARD_NAME}"))}


def _from_entry(entry: ModelEntry) -> ModelSource:
    return model_source(entry.name, entry.path, entry.card_path)


def _digest(path: Path, pinned: FileRef | None) -> str:
    if path.is_file():
        return digest(path)
    if pinned is not None and pinned.sha256 is not None:
        return pinned.sha256
    raise RefusedError(f"{path}: not there, and the model card pins no digest of it")
