"""`sitegen add`: a checkpoint or a recording becomes a model of the site.

The file is read and checked before anything is written. Card, prior and example are written into a
temporary folder and moved into `models/NAME` at once. `site.toml` is changed last; if that fails,
the same command finds them there and goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os.path import abspath, relpath
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sitegen.config.schema import Site, load_site, parse_site, require_config, with_model
from sitegen.core.diagnostics import close_match
from sitegen.core.errors import ConfigError
from sitegen.core.files import digest_bytes, sha256, write_atomic
from sitegen.core.installed import shipped_models
from sitegen.core.source import shown, toml_lines
from sitegen.core.urls import slug_fault
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard, read_card
from sitegen.generative.checkpoints.inspection import weights_file
from sitegen.generative.data.images import EXAMPLE_NAME
from sitegen.generative.process.recorded import Recorded
from sitegen.models.converting import byte_weights, require_fit
from sitegen.models.editing import update_card
from sitegen.models.folder import write_model_folder
from sitegen.models.new_card import DescribedModel, described_model, with_options
from sitegen.models.options import AddOptions
from sitegen.models.registry import RUNS, ModelSource, site_models, trained_folder

if TYPE_CHECKING:
    from sitegen.generative.data.prior import Prior


@dataclass(frozen=True)
class AddResult:
    """Result of adding a model: its card, the files written, and notes to print.

    entered: whether the model is new in `site.toml`
    """

    name: str
    card: ModelCard
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    config: Path
    entered: bool = True


def add_model(config: Path, name: str, options: AddOptions, sampler: bool = False) -> AddResult:
    """Add a checkpoint to the site of `config` under a name, with a card in models/NAME.

    For a `sampler`, the site gets a copy with weights of one byte each, which a page can use. A
    model of that name that has the same checkpoint is changed: its card gets the options, a prior
    of the images, and the digest of weights that were trained on.

    Raises ConfigError for a name that is taken, for missing fields and for impossible values.
    Raises RefusedError for a file that is unsafe, damaged or does not fit, and PlatformError if the
    disk fails. On any error `site.toml` is left unchanged.
    """
    text = require_config(config)
    site = parse_site(text, config)
    origin: Mapping[str, str] = {}
    if options.checkpoint.parts[:1] == ("hf:",):
        from sitegen.models.hub import download

        if is_new := name not in site.models:
            _require_free(name, site, text, config)
        models = site.root / "checkpoints" / name
        folder, address = download(options.checkpoint, models, is_new=is_new)
        origin, options = {"source": address}, replace(options, checkpoint=folder)
    weights = weights_file(options.checkpoint)
    if source := _same_model(site, name, weights):
        return _change(config, source, options)
    _require_free(name, site, text, config)
    model = described_model(options)
    if sampler:
        require_fit(name, model.card)
    card, notes = replace(model.card, training={**model.card.training, **origin}), model.notes
    whole = options.checkpoint if options.checkpoint.is_dir() else weights
    in_whole = weights.relative_to(whole).as_posix() if whole != weights else weights.name
    target = site.root / "models" / name
    prior, example = _start(card, model)
    _require_weights(weights, card)
    if model.home == target and not sampler:
        update_card(target / CARD_NAME, card)
        _enter(config, name, {"path": f"models/{name}"})
        return AddResult(name, card, (), notes, config)

    def write(folder: Path) -> tuple[ModelCard, tuple[str, ...]]:
        folder.mkdir(parents=True)
        written = replace(card, weights=FileRef(in_whole, sha256(weights)), prior=None)
        if prior is not None:
            from sitegen.generative.data.prior import PRIOR_NAME

            reference = FileRef(PRIOR_NAME, prior.write(folder / PRIOR_NAME))
            written = replace(written, prior=reference)
        if example:
            write_atomic(folder / EXAMPLE_NAME, example)
            written = replace(written, example=FileRef(EXAMPLE_NAME, digest_bytes(example)))
        cost = tuple[str, ...]()
        if sampler:
            converted = byte_weights(name, weights, written, folder)
            written, cost = converted.card, (converted.text(),)
        write_atomic(folder / CARD_NAME, written.to_toml().encode())
        return written, cost

    entry = {"path": written_path(whole, site.root), "card": f"models/{name}/{CARD_NAME}"}
    entry = {"path": f"models/{name}"} if sampler else entry
    files, (card, cost) = write_model_folder(target, write)
    _enter(config, name, entry)
    return AddResult(name, card, files, (*notes, *cost), config)


def _start(card: ModelCard, model: DescribedModel) -> "tuple[Prior | None, bytes]":
    """Return the prior and the example (PNG) of a new model."""
    example = model.example.read_bytes() if model.example else b""
    if "prior" not in card.abilities:
        return None, example
    from sitegen.generative.data.prior import read_prior
    from sitegen.models.priors import prior_and_example

    if model.data is None:
        assert model.prior is not None
        return read_prior(model.prior, card), example
    return prior_and_example(card, model.data)


def _require_weights(weights: Path, card: ModelCard) -> None:
    """Raise RefusedError if weights do not fit a card."""
    from sitegen.generative.checkpoints.loading import read_weights  # which imports torch

    read_weights(weights, card)


def _same_model(site: Site, name: str, weights: Path) -> ModelSource | None:
    """Return the model of that name if it has these weights and a card, else None."""
    source = site_models(site).get(name) if name in site.models else None
    if source is None or source.card_path is None:
        return None
    same = weights.exists() and source.weights.exists() and weights.samefile(source.weights)
    return source if same else None


def _change(config: Path, source: ModelSource, options: AddOptions) -> AddResult:
    """Change the card of a model by the options, and make it a prior of the images."""
    card_path = cast(Path, source.card_path)
    fixed = options.of_network("levels", "sampler_name", "respacing")
    if fixed:
        raise ConfigError(
            f"{shown(card_path)}: this card decides all of it; edit it there, or leave out "
            f"{', '.join(fixed)}"
        )
    card, notes = with_options(source.card, options)
    digest = sha256(source.weights)
    if card.weights is not None and card.weights.sha256 not in (None, digest):
        _require_weights(source.weights, replace(card, weights=None))
        card = replace(card, weights=FileRef(card.weights.file, digest))
        notes += ("the weights have changed; the card has their new digest",)
    files: tuple[Path, ...] = ()
    if update_card(card_path, card):
        files = (card_path,)
    if options.data is not None:
        from sitegen.models.priors import add_prior

        prior = add_prior(card_path, options.data)
        card, files = read_card(card_path), (prior, card_path)
    if not files:
        notes += (f"nothing to change in {shown(card_path)}",)
    return AddResult(source.name, card, files, notes, config, entered=False)


def add_recording(config: Path, name: str, file: Path, subject: str = "") -> AddResult:
    """Add a recording to the site of `config` under a name; torch is not imported.

    If the model of that name has this file, which was recorded again, its card is updated. Raises
    as `add_model` does.
    """
    text = require_config(config)
    site = parse_site(text, config)
    before = _same_model(site, name, file)
    if before is not None and isinstance(before.card, Recorded):
        return _record_again(config, before, file, subject)
    _require_free(name, site, text, config)
    card, notes = _recorded(file, subject)

    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        write_atomic(folder / CARD_NAME, card.to_toml().encode())

    files, _ = write_model_folder(site.root / "models" / name, write)
    path = written_path(file, site.root)
    _enter(config, name, {"path": path, "card": f"models/{name}/{CARD_NAME}"})
    return AddResult(name, card, files, notes, config)


def _record_again(config: Path, source: ModelSource, file: Path, subject: str) -> AddResult:
    """Update the card of a recording if its file or its subject has changed."""
    card, card_path = cast(Recorded, source.card), cast(Path, source.card_path)
    notes: tuple[str, ...] = ()
    if subject:
        card = replace(card, subject=subject)
    if card.weights is None or card.weights.sha256 != sha256(file):
        recorded, notes = _recorded(file, subject)
        changes = {
            key: getattr(recorded, key)
            for key in ("image_size", "channels", "levels", "recording", "weights")
        }
        card = replace(card, **changes)
        if card.quality or card.known_faults:
            notes += ("the file has changed; are [quality] and known_faults still true?",)
    if not update_card(card_path, card):
        return AddResult(source.name, card, (), ("nothing has changed",), config, entered=False)
    return AddResult(source.name, card, (card_path,), notes, config, entered=False)


def _recorded(file: Path, subject: str) -> tuple[Recorded, tuple[str, ...]]:
    """Check a recording, and return its card and notes to print."""
    from sitegen.generative.data.recording import open_recording, recorded_card

    recording = open_recording(file)
    recording.check()
    note = f"the run did not end: {recording.levels + 1} states were recorded"
    card = replace(recorded_card(recording, subject), weights=FileRef(file.name, sha256(file)))
    return cast(Recorded, card), () if recording.run.finished else (note,)


def add_named(config: Path, name: str, sampler: bool = False) -> AddResult:
    """Add a model of that name to the site of `config`: one that `sitegen train` wrote into its
    folder `RUNS`, or else one that travels with sitegen.

    Raises ConfigError for a name that is taken, and for one that no such model has.
    """
    if folder := trained_folder(config, name):
        return add_model(config, name, AddOptions(folder), sampler)
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


def written_path(path: Path, root: Path) -> str:
    """Return a path for `site.toml`: relative to the site's folder `root`, `/` between its parts.

    A path outside `root` stays absolute if it was given so.
    """
    whole, root = Path(abspath(path)), Path(abspath(root))
    if path.is_absolute() and not whole.is_relative_to(root):
        return str(whole)
    return Path(relpath(whole, root)).as_posix()


def _enter(config: Path, name: str, entry: Mapping[str, str]) -> None:
    # Bytes, because reading text would change the author's line ends.
    changed = with_model(config.read_bytes().decode(), name, entry)
    parse_site(changed, config)
    write_atomic(config, changed.encode())
