"""Weights of one byte each for the sampler in a page, from any checkpoint that sitegen reads."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.core.errors import RefusedError
from sitegen.core.files import write_atomic
from sitegen.core.progress import megabytes
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard
from sitegen.generative.checkpoints.archive import open_checkpoint
from sitegen.generative.checkpoints.weights import scales_of
from sitegen.models.browser import BrowserModel, export_for_browser, page_faults, too_heavy
from sitegen.models.folder import write_model_folder
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Converted:
    """A converted model: its card, what a page gets, and the relative change of its network.

    change: root mean square of the change of the output of the finest network at level 1, as a
        share of that of the output
    """

    card: ModelCard
    exported: BrowserModel
    change: float

    def text(self) -> str:
        """Return what the model costs a visitor, in words."""
        return (
            f"for the sampler in a page: {megabytes(self.exported.size)} to fetch, "
            f"{self.exported.gflop:.3g} GFLOP a sample; weights of one byte each change the output "
            f"of the network by {100 * self.change:.2g} %"
        )


def require_fit(name: str, card: ModelCard) -> None:
    """Raise RefusedError, with all reasons, for a model that the sampler in a page cannot run."""
    if faults := [*page_faults(name, card)]:
        raise RefusedError("; ".join(faults))


def convert_model(source: ModelSource, folder: Path) -> Converted:
    """Write a model with weights of one byte each, its prior and its card into a new `folder`.

    Raises RefusedError for a model that the sampler in a page cannot run, whose files cannot be
    used, or whose weights are bytes already.
    """
    faults = [*page_faults(source.name, source.card)]
    if faults and source.prior is None and "prior" in source.card.abilities:
        faults.append(f"the model {source.name} has no prior to start from")
    if faults:
        raise RefusedError("; ".join(faults))
    source.require_usable()
    if scales_of(source.weights, open_checkpoint(source.weights).weights):
        raise RefusedError(
            f"{source.weights}: its weights are bytes already; a page can use the model as it is: "
            f'{{{{ sampler("{source.name}") }}}}'
        )

    def write(stage: Path) -> Converted:
        stage.mkdir(parents=True)
        card = replace(source.card, prior=None, example=None)
        if source.prior is not None:
            shutil.copyfile(source.prior, stage / source.prior.name)
            card = replace(card, prior=FileRef(source.prior.name, source.prior_sha256))
        if source.example is not None:
            shutil.copyfile(source.example, stage / source.example.name)
            card = replace(card, example=FileRef(source.example.name, source.example_sha256))
        converted = byte_weights(source.name, source.weights, card, stage)
        write_atomic(stage / CARD_NAME, converted.card.to_toml().encode())
        return converted

    return write_model_folder(folder, write)[1]


def byte_weights(name: str, weights: Path, card: ModelCard, folder: Path) -> Converted:
    """Write the weights of a card's model into `folder`, large matrices and kernels as bytes.

    The prior that the card names must exist in `folder`. The new card is returned, not written.
    Raises RefusedError if the model is too heavy for a page.
    """
    import torch

    from sitegen.generative.checkpoints.loading import WEIGHTS_NAME, load_model, read_weights
    from sitegen.generative.checkpoints.weights import save_weights

    tensors = read_weights(weights, card)
    large = {name: value for name, value in tensors.items() if not name.startswith("statistics.")}
    digest = save_weights(
        folder / WEIGHTS_NAME, tensors, torch.float16, card, large_matrices(large)
    )
    small = replace(card, weights=FileRef(WEIGHTS_NAME, digest))
    generator = torch.Generator().manual_seed(0)
    state = torch.rand((1, *card.shape), generator=generator)
    with torch.no_grad():
        models = load_model(weights, card), load_model(folder / WEIGHTS_NAME, small)
        before, after = (model.computed(state, torch.tensor([1])) for model in models)
    change = (after - before).square().mean() / before.square().mean().clamp_min(1e-20)
    prior = folder / card.prior.file if card.prior else None
    exported = export_for_browser(small, folder / WEIGHTS_NAME, prior)
    if fault := too_heavy(name, exported.size, exported.gflop):
        raise RefusedError(fault)
    return Converted(small, exported, float(change.sqrt()))


SMALLEST_SIDE = 16
_ENDS = re.compile(r"(bands\.\d+\.)?(input_blocks\.0|out|enter|leave)\.")
"""Matches the first and last layers of a network."""


def large_matrices(parameters: "Mapping[str, Tensor]") -> frozenset[str]:
    """Return the names of matrices and kernels of `SMALLEST_SIDE` rows and columns or more.

    A kernel counts as the matrix (out, everything else). First and last layers are left out.
    """
    return frozenset(
        name
        for name, value in parameters.items()
        if value.dim() >= 2
        and min(len(value), value[0].numel()) >= SMALLEST_SIDE
        and not _ENDS.match(name)
    )
