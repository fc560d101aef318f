"""`sitegen add`: a checkpoint becomes a model of the site.

Nothing is written before the checkpoint has been read and fits. Card and prior are made aside and
moved into `models/NAME` at once; `site.toml` is changed last, and if that fails they go again.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sitegen.config import Site, load_site, parse_site
from sitegen.errors import ConfigError
from sitegen.files import write_atomic
from sitegen.ihdm.card import CARD_NAME, FileRef, ModelCard, read_card
from sitegen.ihdm.foreign import foreign_model
from sitegen.ihdm.inputs import is_folder, sha256
from sitegen.ihdm.inspection import CheckpointInfo, inspect_checkpoint, weights_file
from sitegen.links import slug_fault
from sitegen.modelfolder import Parts, model_folder
from sitegen.newcard import Ask, Wishes, complete, new_card, notes, with_images
from sitegen.newddpm import complete_ddpm, ddpm_card, ddpm_notes, is_ddpm, without_ddpm
from sitegen.presets import preset_prior
from sitegen.siteedit import with_model
from sitegen.source import read_text, shown, toml_lines
from sitegen.suggestions import comparisons, figure_calls

EXAMPLE_NAME = "example.png"


@dataclass(frozen=True)
class Added:
    """What was done: the model's card, the files that were written, and what to tell of it."""

    name: str
    card: ModelCard
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    config: Path

    def lines(self) -> list[str]:
        """What the command line prints."""
        channels, size, _ = self.card.shape
        colour = "colour" if channels == 3 else "grey"
        about = f"{size}×{size} pixels, {colour}, {self.card.levels} levels"
        written = [f"wrote {shown(file)}" for file in self.files]
        calls = figure_calls(self.name, self.card, self.config.parent)
        calls = calls or comparisons(self.name, self.card, self.config)
        return [
            f"{self.name}: {about}",
            *self.notes,
            *written,
            f"added [models.{self.name}] to {shown(self.config)}",
            *self._travels(),
            "To show it, paste what you like of this into a page:",
            "",
            *(f"    {call}" for call in calls),
        ]

    def _travels(self) -> list[str]:
        """What goes into git beside the store, where the checkpoint is to stay out of it."""
        if not self.files:
            return []
        folder = shown(self.files[-1].parent)
        return [f"for a machine without the checkpoint: commit {folder} and the clips (cache_dir)"]


@dataclass(frozen=True)
class _Plan:
    """What is to be added: the model, the file of its weights, and its table in `site.toml`.

    `prior` is the prior that it has, `data` the images that one is to be made of.
    """

    card: ModelCard
    weights: Path
    entry: Mapping[str, str]
    prior: Path | None
    data: Path | None


def add_model(config: Path, name: str, wishes: Wishes, ask: Ask | None) -> Added:
    """Add a checkpoint to the site of `config` under a name.

    `ask` is asked for what is missing; None where nobody can be. Raises ConfigError for a name
    that is taken, for what is missing and for values that cannot be, RefusedError for a file that
    is unsafe, damaged or does not fit, PlatformError if the disk fails. Whatever is raised, the
    site is as it was.
    """
    site = load_site(config)
    _refuse_name(name, site, config)
    known = _known(wishes.checkpoint)
    if known is not None:
        where, card = known
        wishes = with_images(wishes, card, where, ask)
        plan, told = _plan_known(site, name, wishes, where, card), list[str]()
    else:
        found = inspect_checkpoint(wishes.checkpoint)
        wishes, card, told = _settled(wishes, found, ask)
        plan = _plan_new(site, name, wishes, card)
    files = _carry_out(site, config, name, plan)
    card = read_card(files[-1]) if files else plan.card
    return Added(name, card, files, tuple(told), config)


def _settled(
    wishes: Wishes, found: CheckpointInfo, ask: Ask | None
) -> tuple[Wishes, ModelCard, list[str]]:
    """The wishes completed, the card that they make, and what to tell of it."""
    if is_ddpm(wishes, found):
        wishes = complete_ddpm(wishes, found, ask)
        card = ddpm_card(wishes, found)
        return wishes, card, ddpm_notes(wishes, card)
    wishes = complete(without_ddpm(wishes), found, ask)
    card = new_card(wishes, found)
    return wishes, card, notes(wishes, card)


def _plan_known(site: Site, name: str, wishes: Wishes, where: Path, card: ModelCard) -> _Plan:
    """A model that says all of itself: `site.toml` names just that, unless images are given."""
    weights = weights_file(wishes.checkpoint)
    if wishes.data is not None:
        entry = {"path": _written(weights, site), "card": _card_path(name)}
        return _Plan(card, weights, entry, None, wishes.data)
    own = where.name == CARD_NAME
    prior = where.parent / card.prior.file if card.prior else None
    path = _written(where.parent if own else wishes.checkpoint, site)
    return _Plan(card, weights, {"path": path}, prior, None)


def _plan_new(site: Site, name: str, wishes: Wishes, card: ModelCard) -> _Plan:
    """A checkpoint as published: a preset says it all, or a card is written."""
    weights = weights_file(wishes.checkpoint)
    prior = preset_prior(wishes.preset) if wishes.preset and not wishes.data else None
    entry = {"path": _written(weights, site), "card": _card_path(name)}
    if wishes.preset and prior and wishes.given() == ("--preset",):
        entry = {"path": entry["path"], "preset": wishes.preset}
    return _Plan(card, weights, entry, prior, wishes.data)


def _card_path(name: str) -> str:
    return f"models/{name}/{CARD_NAME}"


def _written(path: Path, site: Site) -> str:
    """A path as `site.toml` has it: from the site's folder, unless it was given whole elsewhere."""
    whole = Path(os.path.abspath(path))
    if path.is_absolute() and not whole.is_relative_to(site.root):
        return str(whole)
    return Path(os.path.relpath(whole, site.root)).as_posix()


def _require_fit(plan: _Plan) -> None:
    """Read weights and prior as sampling will. RefusedError if they do not fit the card."""
    from sitegen.ihdm.prior import read_prior
    from sitegen.ihdm.reading import read_weights

    read_weights(plan.weights, plan.card)
    if plan.prior is not None:
        read_prior(plan.prior, plan.card)


def _carry_out(site: Site, config: Path, name: str, plan: _Plan) -> tuple[Path, ...]:
    """Write the model's folder, if it needs one, and the site's table; the files written.

    The card pins the weights, so that a machine without them knows which they are.
    """

    def entered() -> bool:
        return name in tomllib.loads(read_text(config)).get("models", {})

    if "card" not in plan.entry:
        _require_fit(plan)
        _enter(config, name, plan.entry)
        return ()
    pinned = FileRef(plan.weights.name, sha256(plan.weights))  # before they are read and fit
    plan = replace(plan, card=replace(plan.card, weights=pinned))
    _require_fit(plan)
    with model_folder(site.root / "models" / name, _parts(plan), entered) as files:
        _enter(config, name, plan.entry)
    return files


def _parts(plan: _Plan) -> Parts:
    """What writes the prior, made of the images or a copy of the one that there is.

    The first of the images becomes the card's example. A DDPM starts from noise, and its figures
    show no example.
    """
    from sitegen.ihdm.prior import PRIOR_NAME, read_prior
    from sitegen.priors import prior_from_data, write_example

    card = plan.card

    def write(folder: Path) -> ModelCard:
        if card.kind == "ddpm":
            return card
        if plan.data is None:
            assert plan.prior is not None
            prior = read_prior(plan.prior, card).write(folder / PRIOR_NAME)
            return replace(card, prior=FileRef(PRIOR_NAME, prior))
        prior = prior_from_data(card, plan.data).write(folder / PRIOR_NAME)
        example = write_example(card, plan.data, folder / EXAMPLE_NAME)
        return replace(
            card,
            prior=FileRef(PRIOR_NAME, prior),
            example=FileRef(EXAMPLE_NAME, example),
        )

    return write


def _enter(config: Path, name: str, entry: Mapping[str, str]) -> None:
    """Add the table to `site.toml` as it is now, once it is known to be right."""
    text = config.read_bytes().decode()
    changed = with_model(text, name, entry)
    parse_site(changed, config)
    write_atomic(config, changed.encode())


def _refuse_name(name: str, site: Site, config: Path) -> None:
    fault = slug_fault(name)
    if fault is not None:
        raise ConfigError(f"the name {name[:80]} {fault}")
    if name in site.models:
        line = toml_lines(read_text(config)).get(("models", name), 1)
        raise ConfigError(
            f"{shown(config)}:{line}: there is a model {name} already; choose another name, or "
            f"remove its table first"
        )


def _known(checkpoint: Path) -> tuple[Path, ModelCard] | None:
    """The card of a model that has one, ours or another program's, and where that stands."""
    own = _own_card(checkpoint)
    if own is not None:
        return own, read_card(own)
    foreign = foreign_model(checkpoint) if checkpoint.exists() else None
    return None if foreign is None else (checkpoint, foreign[1])


def _own_card(checkpoint: Path) -> Path | None:
    """The card of one of our own models: in its folder, or beside weights that it names."""
    folder = checkpoint if is_folder(checkpoint) else checkpoint.parent
    card = folder / CARD_NAME
    if not card.is_file():
        return None
    weights = read_card(card).weights
    names_it = weights is not None and folder / weights.file == checkpoint
    return card if folder == checkpoint or names_it else None
