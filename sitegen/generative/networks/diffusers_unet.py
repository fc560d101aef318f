"""Networks of diffusers, called like ours. Needs the extra `diffusers`."""

import inspect
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
"""How attention's layers were called when the first DDPMs were saved, and how they are now."""


class DiffusersAdapter(nn.Module):
    """A `UNet2DModel` as a function of (N, C, H, W) and timesteps (N,) → (N, C, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """The answer alone, without diffusers' record around it."""
        answer: Tensor = self.network(x, timesteps, return_dict=False)[0]
        return answer


def build(unet: DiffusersUNet) -> nn.Module:
    """Diffusers' network of that configuration, untrained.

    Raises PlatformError where diffusers is not installed, RefusedError for a configuration that it
    does not take.
    """
    try:
        import diffusers
    except ImportError:
        raise PlatformError(
            "this model was saved by diffusers, which is not installed here: pip install diffusers"
        ) from None
    kind: Any = diffusers.UNet2DModel
    known = inspect.signature(kind.__init__).parameters
    given: dict[str, Any] = {k: v for k, v in unet.values().items() if k in known}
    try:
        network: nn.Module = kind(**given)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        why = " ".join(str(error).split())[:300]
        raise RefusedError(f"diffusers makes no network of this configuration: {why}") from None
    return network


def renamed(names: Mapping[str, Any]) -> dict[str, str]:
    """How each of a file's `names` is called in today's networks."""
    found = {}
    for name in names:
        new = name
        for old, now in _OLD_NAMES.items():
            new = new.replace(old, now) if "attentions." in name else new
        found[name] = new
    return found
