"""Weights of one byte each for the sampler in a page, from any checkpoint that sitegen reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.core.errors import RefusedError
from sitegen.core.progress import megabytes
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.models.browser import BrowserModel, export_for_browser, page_faults, too_heavy

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
