"""An author's sampler class in place of a network: its process calls the methods of the class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from sitegen.core.compute import Precision
from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition
from sitegen.generative.checkpoints import loading
from sitegen.generative.checkpoints.inspection import weights_file
from sitegen.generative.process.hosted import Hosted
from sitegen.generative.process.model import CardModel
from sitegen.generative.process.protocol import process_of
from sitegen.models.hosted import Host, is_current
from sitegen.models.registry import ModelSource, find_model
from sitegen.sampling.models import Sampler


@dataclass(frozen=True)
class HostedModel:
    """A sampler with its card, in place of a network.

    call: calls a method of the sampler with arrays, and returns arrays
    labels: numbers of the labels of the samples, one for all or one for each; empty without
    """

    card: Hosted
    call: Callable[..., list[Any]]
    labels: tuple[int, ...] = ()
    device: None = None
    statistics: None = None

    def __call__(self, function: str, *states: Tensor, **more: Any) -> list[Tensor]:
        """Call a method of the sampler with tensors."""
        if function == "step" and self.labels:
            count = len(states[0])
            more["label"] = np.array(self.labels * (count if len(self.labels) == 1 else 1))
        arrays = self.call(function, *(state.cpu().numpy() for state in states), **more)
        return [torch.from_numpy(array) for array in arrays]

    def conditioned(self, condition: Condition, _rows: int) -> HostedModel:
        """Return the model for samples with labels; between two labels, with the nearer one."""
        if not condition.others:
            return replace(self, labels=condition.labels)
        ends = zip(condition.labels, condition.others, condition.shares, strict=True)
        nearer = tuple(other if share > 0.5 else label for label, other, share in ends)
        return replace(self, labels=nearer)


def load_hosted(source: ModelSource) -> Sampler:
    """Return an author's sampler, whose process starts with its first call.

    Raises RefusedError if a file is missing, or has changed since it was planned.
    """
    assert source.sampler is not None
    source.require_usable()
    if not is_current(source.sampler, source.card):
        raise RefusedError(f"{source.weights}: changed while the site was built; build again")
    model = HostedModel(cast(Hosted, source.card), Host(source.sampler).call)
    return Sampler(process_of(model), source.name)


def load_model(
    path: Path | str,
    card: ModelCard | Path | str | None = None,
    device: str = "cpu",
    precision: Precision = "float32",
) -> CardModel | HostedModel:
    """Load a model of any kind but a recording, for `reverse_process`.

    `path` is that of a checkpoint, of a model's folder, or of a sampler ("FILE.py:CLASS"); or a
    name in the `site.toml` of the working directory. The other arguments, which a sampler ignores,
    and errors are those of `loading.load_model`.
    """
    if card is None and not weights_file(Path(path)).exists():
        source = find_model(str(path), None, Path("site.toml"))
        if source.sampler is not None:
            return cast(HostedModel, load_hosted(source).model)
        path, card = source.weights, source.card
    return loading.load_model(path, card, device, precision)
