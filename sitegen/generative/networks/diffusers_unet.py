"""Adapters that call networks of diffusers like sitegen's. They need the extra `diffusers`."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sitegen.core.errors import PlatformError, RefusedError
from sitegen.generative.card.networks import DiffusersUNet

_OLD_NAMES = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}
"""Names of attention layers when the first DDPMs were saved, and their names today."""


class DiffusersAdapter(nn.Module):
    """Adapter of a `UNet2DModel`: (N, C, H, W) and timesteps (N,) → (N, C, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Return the output tensor without diffusers' wrapper."""
        answer: Tensor = self.network(x, timesteps, return_dict=False)[0]
        return answer


def build(unet: DiffusersUNet) -> nn.Module:
    """Return diffusers' untrained network for a configuration.

    Raises PlatformError if diffusers is not installed, RefusedError if it rejects the
    configuration.
    """
    try:
        import diffusers
    except ImportError:
        raise PlatformError(
            "this model was saved by diffusers, which is not installed here: pip install diffusers"
        ) from None
    kind: Any = diffusers.UNet2DModel
    parameters = inspect.signature(kind.__init__).parameters
    # A configuration also holds `_class_name`, and keys of other versions of diffusers.
    config: dict[str, Any] = json.loads(unet.config)
    settings = {key: value for key, value in config.items() if key in parameters}
    try:
        network: nn.Module = kind(**settings)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        why = " ".join(str(error).split())[:300]
        raise RefusedError(f"diffusers rejects this network's configuration: {why}") from None
    return network


def renamed(names: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of today's networks for the `names` in a file."""
    new_names = {}
    for name in names:
        new = name
        for old, now in _OLD_NAMES.items():
            new = new.replace(old, now) if "attentions." in name else new
        new_names[name] = new
    return new_names
