"""Models that a page draws with: what they need, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, platform_errors
from sitegen.figures.base import FigureKind, lacking
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard
from sitegen.media.manifest import MediaFile

if TYPE_CHECKING:
    from sitegen.models.browser import BrowserModel
    from sitegen.sampling.provider import ModelProvider

LIVE: tuple[Ability, ...] = ("browser",)
"""What a model needs so that a page draws with it."""


def live_faults(kind: FigureKind, cards: Sequence[ModelCard]) -> Iterator[str]:
    """Yield why a page cannot draw with the models of a kind, but for what `unmet` knows."""
    from sitegen.models.browser import page_faults

    needs = tuple(dict.fromkeys((*kind.needs, *LIVE)))
    for name, card in zip(kind.models, cards, strict=True):
        if fault := lacking(name, card, needs):
            if name != kind.model or not lacking(name, card, kind.needs):
                yield fault
            continue
        yield from page_faults(name, card)
        if card.weights and not card.weights.file.endswith(".safetensors"):
            yield (
                f"the weights of {name} are not safetensors; add its checkpoint under another name "
                "with --sampler"
            )


def exported_model(models: ModelProvider, name: str) -> tuple[ModelCard, BrowserModel]:
    """Return the card of a model, and the model as a browser reads it.

    Raises RefusedError for one that a browser's sampler does not have, or that is too heavy.
    """
    from sitegen.models.browser import export_for_browser

    source = models.source(name)
    source.require_usable()
    exported = export_for_browser(source.card, source.weights, source.prior)
    refuse_heavy(name, exported)
    return source.card, exported


def model_files(
    name: str, card: ModelCard, exported: BrowserModel, ending: str = ""
) -> dict[str, Callable[[Path], MediaFile]]:
    """Return functions that write a model for a browser into a folder, by the names of a record."""

    def write(file: str, data: bytes, folder: Path) -> MediaFile:
        with platform_errors(folder / file):
            (folder / file).write_bytes(data)
        return MediaFile(file, len(data), digest_bytes(data), card.image_size, card.image_size)

    description = exported.to_json().encode()
    return {
        f"model{ending}": partial(write, f"{name}-model.json", description),
        f"weights{ending}": partial(write, f"{name}-weights.bin", exported.data),
    }


def refuse_heavy(name: str, model: BrowserModel) -> None:
    """Raise RefusedError, with the numbers, for a model that no visitor would wait for."""
    from sitegen.models.browser import too_heavy

    if fault := too_heavy(name, model.size, model.gflop):
        raise RefusedError(fault)
