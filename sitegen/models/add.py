"""`sitegen add`: a checkpoint becomes a model of the site.

Nothing is written before the checkpoint has been read and fits. Card and prior are made aside and
moved into `models/NAME` at once; `site.toml` is changed last, and if that fails they go again.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sitegen.config.edit import with_model
from sitegen.config.loader import load_site, parse_site
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError
from sitegen.core.files import flush_folder, platform_errors, sweep, temporary_folder, write_atomic
from sitegen.core.inputs import is_folder, sha256
from sitegen.core.source import read_text, shown, toml_lines
from sitegen.core.urls import slug_fault
from sitegen.ihdm.card.card import CARD_NAME, FileRef, ModelCard, read_card
from sitegen.ihdm.checkpoints.foreign import foreign_model
from sitegen.ihdm.checkpoints.inspection import CheckpointInfo, inspect_checkpoint, weights_file
from sitegen.models.new_card import (
    AddOptions,
    Ask,
    complete,
    complete_ddpm,
    ddpm_card,
    ddpm_notes,
    is_ddpm,
    new_card,
    notes,
    with_images,
    without_ddpm,
)
from sitegen.models.presets import preset_prior

EXAMPLE_NAME = "example.png"


@dataclass(frozen=True)
class Added:
    """What was done: the model's card, the files that were written, and what to tell of it."""

    name: str
    card: ModelCard
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    config: Path


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


def add_model(config: Path, name: str, options: AddOptions, ask: Ask | None) -> Added:
    """Add a checkpoint to the site of `config` under a name.

    `ask` is asked for what is missing; None where nobody can be. Raises ConfigError for a name
    that is taken, for what is missing and for values that cannot be, RefusedError for a file that
    is unsafe, damaged or does not fit, PlatformError if the disk fails. Whatever is raised, the
    site is as it was.
    """
    site = load_site(config)
    _refuse_name(name, site, config)
    known = _known(options.checkpoint)
    if known is not None:
        where, card = known
        options = with_images(options, card, where, ask)
        plan, told = _plan_known(site, name, options, where, card), list[str]()
    else:
        found = inspect_checkpoint(options.checkpoint)
        options, card, told = _settled(options, found, ask)
        plan = _plan_new(site, name, options, card)
    files = _carry_out(site, config, name, plan)
    card = read_card(files[-1]) if files else plan.card
    return Added(name, card, files, tuple(told), config)


def _settled(
    options: AddOptions, found: CheckpointInfo, ask: Ask | None
) -> tuple[AddOptions, ModelCard, list[str]]:
    """The wishes completed, the card that they make, and what to tell of it."""
    if is_ddpm(options, found):
        options = complete_ddpm(options, found, ask)
        card = ddpm_card(options, found)
        return options, card, ddpm_notes(options, card)
    options = complete(without_ddpm(options), found, ask)
    card = new_card(options, found)
    return options, card, notes(options, card)


def _plan_known(site: Site, name: str, options: AddOptions, where: Path, card: ModelCard) -> _Plan:
    """A model that says all of itself: `site.toml` names just that, unless images are given."""
    weights = weights_file(options.checkpoint)
    if options.data is not None:
        entry = {"path": _written(weights, site), "card": _card_path(name)}
        return _Plan(card, weights, entry, None, options.data)
    own = where.name == CARD_NAME
    prior = where.parent / card.prior.file if card.prior else None
    path = _written(where.parent if own else options.checkpoint, site)
    return _Plan(card, weights, {"path": path}, prior, None)


def _plan_new(site: Site, name: str, options: AddOptions, card: ModelCard) -> _Plan:
    """A checkpoint as published: a preset says it all, or a card is written."""
    weights = weights_file(options.checkpoint)
    prior = preset_prior(options.preset) if options.preset and not options.data else None
    entry = {"path": _written(weights, site), "card": _card_path(name)}
    if options.preset and prior and options.given() == ("--preset",):
        entry = {"path": entry["path"], "preset": options.preset}
    return _Plan(card, weights, entry, prior, options.data)


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
    from sitegen.ihdm.checkpoints.loading import read_weights
    from sitegen.ihdm.data.prior import read_prior

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
    from sitegen.ihdm.data.prior import PRIOR_NAME, read_prior
    from sitegen.models.priors import prior_from_data, write_example

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


Parts = Callable[[Path], ModelCard]
"""Writes what belongs to a card into a folder, and returns the card that names it."""


@contextlib.contextmanager
def model_folder(
    folder: Path, parts: Parts, wanted: Callable[[], bool]
) -> Iterator[tuple[Path, ...]]:
    """Card and parts of a model in `folder` for the block; their paths, the card's last.

    They stay if the block ends well, or if they are `wanted` all the same; otherwise there is what
    was there before. Raises ConfigError if other files of these names are there, PlatformError if
    the disk fails.
    """
    sweep(folder.parent)
    made = [path for path in (folder, folder.parent) if not path.exists()]
    try:
        with temporary_folder(folder.parent) as aside:
            stage = aside / folder.name
            write_atomic(stage / CARD_NAME, parts(stage).to_toml().encode())
            files = [folder / path.name for path in _sorted(stage)]
            made = [*_missing(stage, folder), *made]
            _move(stage, folder)
        yield tuple(files)
    except BaseException:
        if not wanted():
            _remove(made)
        raise


def _sorted(stage: Path) -> list[Path]:
    """The files of a model, its card last."""
    return sorted(stage.iterdir(), key=lambda path: (path.name == CARD_NAME, path.name))


def _missing(stage: Path, folder: Path) -> list[Path]:
    """The files that will be new in `folder`; ConfigError if another one is in the way."""
    new = []
    for path in _sorted(stage):
        target = folder / path.name
        if not target.exists():
            new.append(target)
        elif target.is_dir() or target.read_bytes() != path.read_bytes():
            raise ConfigError(
                f"{shown(target)}: is there already, and is not what would be written; choose "
                "another name for the model, or remove the file first"
            )
    return new


def _move(stage: Path, folder: Path) -> None:
    with platform_errors(folder):
        if not folder.exists():
            stage.rename(folder)
        else:
            for path in _sorted(stage):
                path.replace(folder / path.name)
            flush_folder(folder)
        flush_folder(folder.parent)


def _remove(paths: list[Path]) -> None:
    """Remove files, and folders that are empty then."""
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
