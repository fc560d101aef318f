"""`sitegen add`: a checkpoint becomes a model of the site.

The checkpoint is read and checked before anything is written. Card and prior are made in a
temporary folder and moved into `models/NAME` at once. `site.toml` is changed last; if that fails,
they are removed. The checkpoint and the images are each opened once.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sitegen.config.loader import load_site, parse_site, require_config, with_model
from sitegen.config.schema import Site
from sitegen.core.diagnostics import close_match
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import (
    digest_bytes,
    sha256,
    write_atomic,
)
from sitegen.core.installed import shipped_models
from sitegen.core.source import read_text, shown, toml_lines
from sitegen.core.urls import slug_fault
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard, card_beside, read_card
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.inspection import inspect_checkpoint, weights_file
from sitegen.generative.data.images import EXAMPLE_NAME
from sitegen.generative.process.recorded import Recorded
from sitegen.models.converting import byte_weights, require_fit
from sitegen.models.folder import RUNS, model_folder, trained_folder
from sitegen.models.new_card import AddOptions, Ask, new_model, with_images
from sitegen.models.recordings import RECORDING_NAME, is_recording, write_recording
from sitegen.models.registry import preset_prior, site_models

if TYPE_CHECKING:
    from sitegen.generative.data.prior import Prior


@dataclass(frozen=True)
class AddResult:
    """Result of adding a model: its card, the files written, and notes to print.

    entered: whether the model is new in `site.toml`
    states: number of initial states of its prior; None for a model without one
    """

    name: str
    card: ModelCard
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    config: Path
    entered: bool = True
    states: int | None = None


@dataclass(frozen=True)
class _Plan:
    """The model to add, the file of its weights, and its table in `site.toml`.

    `prior` is the prior that it has, `data` the images to make one from, `example` the example
    that it has. For a `sampler`, weights of one byte each are written into the model's folder.
    """

    card: ModelCard
    weights: Path
    entry: Mapping[str, str]
    prior: Path | None
    data: Path | None
    example: Path | None = None
    sampler: bool = False


def add_model(
    config: Path, name: str, options: AddOptions, ask: Ask | None, sampler: bool = False
) -> AddResult:
    """Add a checkpoint to the site of `config` under a name.

    For a `sampler`, the site gets a copy with weights of one byte each, which a page can use.

    If a model of that name has the same checkpoint and no prior, a prior is made from the images.
    `ask` prompts for missing fields; None if the session is not interactive.

    Raises ConfigError for a name that is taken, for missing fields and for impossible values.
    Raises RefusedError for a file that is unsafe, damaged or does not fit, and PlatformError if the
    disk fails. On any error the site is left unchanged.
    """
    text = require_config(config)
    site = parse_site(text, config)
    without_prior = _without_prior(site, name, options)
    if without_prior is not None and options.data is not None:
        from sitegen.generative.data.prior import read_prior
        from sitegen.models.priors import add_prior

        prior, states = add_prior(without_prior, options.data)
        card = read_card(without_prior)
        told = _grey_notes(read_prior(prior, card))
        return AddResult(
            name, card, (prior, without_prior), told, config, entered=False, states=states
        )
    _require_free(name, site, text, config)
    notes: list[str] = []
    weights = weights_file(options.checkpoint)
    entry = {"path": written_path(weights, site.root), "card": f"models/{name}/{CARD_NAME}"}
    start, example = None, None
    if known := _known(options.checkpoint):
        where, card = known
        example = where.parent / card.example.file if card.example else None
        options = with_images(options, card, where, ask)
        if options.data is None:  # the card is complete, and `site.toml` names only it
            start = where.parent / card.prior.file if card.prior else None
            path = where.parent if where.name == CARD_NAME else options.checkpoint
            entry = {"path": written_path(path, site.root)}
    else:
        options, card, notes = new_model(options, inspect_checkpoint(options.checkpoint), ask)
        if options.preset and not options.data:
            start = preset_prior(options.preset)
            if options.given() == ("--preset",) and not options.subject:
                entry = {"path": entry["path"], "preset": options.preset}
    if sampler:
        require_fit(name, card)
        entry = {"path": f"models/{name}"}
    plan = _Plan(card, weights, entry, start, options.data, example, sampler)
    card, files, bank, cost = _carry_out(site, config, name, plan)
    told = _grey_notes(bank) if options.data and bank else ()
    number = None if bank is None else len(bank)
    return AddResult(name, card, files, (*notes, *cost, *told), config, states=number)


def _grey_notes(prior: "Prior") -> tuple[str, ...]:
    if not prior.is_grey:
        return ()
    words = "so its flat states are grey; if it was trained on others, give those"
    return (f"the images are grey, and the model makes images in colour, {words}",)


def add_recording(config: Path, name: str, file: Path, subject: str = "") -> AddResult:
    """Add a recording to the site of `config` under a name; torch is not imported.

    Other formats than that of `sitegen.record` are converted into the model's folder. If the model
    of that name has this file, which was recorded again, its card is updated. Raises as `add_model`
    does.
    """
    text = require_config(config)
    site = parse_site(text, config)
    before = _recorded_before(site, name, file)
    if before is not None:
        card, notes = _recorded(file, file, subject)
        own = read_card(before)
        if own.quality or own.known_faults:
            notes += ("quality and known faults, of the earlier recording, are removed",)
        card = replace(
            cast(Recorded, own),
            image_size=card.image_size,
            channels=card.channels,
            levels=card.levels,
            recording=cast(Recorded, card).recording,
            weights=card.weights,
            subject=subject or own.subject,
            quality={},
            known_faults=(),
        )
        write_atomic(before, card.to_toml().encode())
        return AddResult(name, card, (before,), notes, config, entered=False)
    _require_free(name, site, text, config)
    if not file.exists():
        raise RefusedError(f"{file}: there is no such file or folder")
    stays = is_recording(file)
    entry = {"path": written_path(file, site.root), "card": f"models/{name}/{CARD_NAME}"}
    entry = entry if stays else {"path": f"models/{name}"}

    def write(folder: Path) -> tuple[ModelCard, tuple[str, ...]]:
        folder.mkdir(parents=True)
        recorded = file if stays else folder / RECORDING_NAME
        first = () if stays else write_recording(file, recorded)
        card, notes = _recorded(recorded, file, subject)
        write_atomic(folder / CARD_NAME, card.to_toml().encode())
        return card, (*first, *notes)

    def entered() -> bool:
        return name in tomllib.loads(read_text(config)).get("models", {})

    with model_folder(site.root / "models" / name, write, entered) as (files, (card, notes)):
        _enter(config, name, entry)
    return AddResult(name, card, files, notes, config)


def _recorded(recorded: Path, file: Path, subject: str) -> tuple[ModelCard, tuple[str, ...]]:
    """Check a recording, which was made of `file`, and return its card and notes to print."""
    from sitegen.generative.data.recording import open_recording, recorded_card

    try:
        recording = open_recording(recorded)
        recording.check()
        card = recorded_card(recording, subject)
    except RefusedError as error:  # of a copy in a temporary folder
        raise RefusedError(str(error).replace(str(recorded), str(file))) from None
    note = f"the run did not end: {recording.levels + 1} states were recorded"
    card = replace(card, weights=FileRef(recorded.name, sha256(recorded)))
    return card, () if recording.run.finished else (note,)


def _recorded_before(site: Site, name: str, file: Path) -> Path | None:
    """Return the card of the model of that name if `file` is its recording, else None."""
    source = site_models(site).get(name) if name in site.models else None
    if source is None or source.card.recording is None or source.card_path is None:
        return None
    there = file.exists() and source.weights.exists() and source.weights.samefile(file)
    return source.card_path if there else None


def add_named(config: Path, name: str, sampler: bool = False) -> AddResult:
    """Add a model of that name to the site of `config`: one that `sitegen train` wrote into its
    folder `RUNS`, or else one that travels with sitegen.

    Raises ConfigError for a name that is taken, and for one that no such model has.
    """
    if own := trained_folder(config, name):
        return add_model(config, name, AddOptions(own), None, sampler)
    text = require_config(config)
    _require_free(name, parse_site(text, config), text, config)
    if name not in shipped_models():
        near = close_match(name, shipped_models()) or f": {', '.join(shipped_models())}"
        raise ConfigError(
            f"no model {name} travels with sitegen{near}, nor is one in "
            f"{shown(config.parent / RUNS / name)}; for one of your own give its file or folder: "
            "--checkpoint FILE"
        )
    _enter(config, name, {"path": f"models/{name}"})
    source = site_models(load_site(config))[name]
    return AddResult(name, source.card, (), (), config)


def _require_free(name: str, site: Site, text: str, config: Path) -> None:
    if fault := slug_fault(name):
        raise ConfigError(f"the name {name[:80]} {fault}")
    if name in site.models:
        line = toml_lines(text).get(("models", name), 1)
        raise ConfigError(
            f"{shown(config)}:{line}: there is a model {name} already; choose another name, or "
            f"remove its table first"
        )


def _without_prior(site: Site, name: str, options: AddOptions) -> Path | None:
    """The card of the model of that name and checkpoint, if it only lacks a prior."""
    source = site_models(site).get(name) if name in site.models else None
    if source is None or source.card_path is None or source.prior is not None:
        return None
    weights = weights_file(options.checkpoint)
    same = weights.exists() and source.weights.exists() and weights.samefile(source.weights)
    return source.card_path if same and "prior" in source.card.abilities else None


def written_path(path: Path, root: Path) -> str:
    """Return a path for `site.toml`: relative to the site's folder `root`, `/` between its parts.

    A path outside `root` stays absolute if it was given so.
    """
    whole, root = Path(os.path.abspath(path)), Path(os.path.abspath(root))
    if path.is_absolute() and not whole.is_relative_to(root):
        return str(whole)
    return Path(os.path.relpath(whole, root)).as_posix()


def _carry_out(
    site: Site, config: Path, name: str, plan: _Plan
) -> "tuple[ModelCard, tuple[Path, ...], Prior | None, tuple[str, ...]]":
    """Write the model's folder, if it needs one, and the site's table.

    Returns the card, the files, the prior, and in words what the sampler in a page costs.

    The card pins the weights by digest, so that a machine without them can identify them. Raises
    RefusedError if weights or prior do not fit the card that sampling will use.
    """
    from sitegen.generative.checkpoints.loading import read_weights
    from sitegen.generative.data.prior import PRIOR_NAME, read_prior
    from sitegen.models.priors import prior_and_example

    card, example = plan.card, b""
    if plan.sampler and plan.example is not None:
        example = plan.example.read_bytes()
    read_weights(plan.weights, card)
    if "card" in plan.entry:
        card = replace(card, weights=FileRef(plan.weights.name, sha256(plan.weights)))
    prior = None if plan.prior is None else read_prior(plan.prior, card)
    if plan.data is not None and "prior" in card.abilities:  # which starts from noise
        prior, example = prior_and_example(card, plan.data)
    if "card" not in plan.entry and not plan.sampler:
        _enter(config, name, plan.entry)
        return card, (), prior, ()

    def write(folder: Path) -> tuple[ModelCard, tuple[str, ...]]:
        made, cost = card, tuple[str, ...]()
        if prior is not None:
            made = replace(made, prior=FileRef(PRIOR_NAME, prior.write(folder / PRIOR_NAME)))
        if example:
            write_atomic(folder / EXAMPLE_NAME, example)
            made = replace(made, example=FileRef(EXAMPLE_NAME, digest_bytes(example)))
        if plan.sampler:
            converted = byte_weights(name, plan.weights, made, folder)
            made, cost = converted.card, (converted.text(),)
        write_atomic(folder / CARD_NAME, made.to_toml().encode())
        return made, cost

    def entered() -> bool:
        return name in tomllib.loads(read_text(config)).get("models", {})

    with model_folder(site.root / "models" / name, write, entered) as (files, (made, cost)):
        _enter(config, name, plan.entry)
    return made, files, prior, cost


def _enter(config: Path, name: str, entry: Mapping[str, str]) -> None:
    text = config.read_bytes().decode()
    changed = with_model(text, name, entry)
    parse_site(changed, config)
    write_atomic(config, changed.encode())


def _known(checkpoint: Path) -> tuple[Path, ModelCard] | None:
    """Return the path and the card of a model that has one, from sitegen or another program."""
    own = checkpoint / CARD_NAME
    if own.is_file():
        return own, read_card(own)
    if card := card_beside(checkpoint):
        return checkpoint.with_name(CARD_NAME), card
    foreign = foreign_model(checkpoint) if checkpoint.exists() else None
    return None if foreign is None else (checkpoint, foreign[1])
