"""The table `[sampling]` of a model card: the levels that a sample visits, and guidance."""

from __future__ import annotations

from typing import Annotated, Literal

from sitegen.core.validation import reject_with
from sitegen.generative.card.parts import Level, Number, falls, must, table


@table
class SamplingConfig:
    """Sampling of a model: `levels` to visit, from K down, without the final 0.

    levels: all levels if not given
    variance: "estimated" adds the model's residual uncertainty about the sharp image, stored in the
        weights, to the variance of the noise (`sitegen.generative.process.dissipation`)
    forward: "markov" keeps the part of a state's noise that survives the heat equation, and draws
        only the rest; by default, as published, each state has independent noise
    guidance: scales the network's deviation from the linear estimate by 1 + guidance; negative
        values reduce it. A cascade may have one value for each band, the finest first.

    Only heat dissipation has a variance and a forward process. Raises ConfigError that names every
    invalid value.
    """

    levels: Annotated[
        tuple[Level, ...] | None,
        must(
            "a list of decreasing levels, from the flattest one on, without 0",
            lambda v: v is None or (len(v) > 0 and falls(v)),
        ),
    ] = None
    variance: Literal["estimated"] | None = None
    forward: Annotated[
        Literal["markov"] | None,
        reject_with(
            lambda forward, info: (
                '"markov" needs variance = "estimated"'
                if forward == "markov" and info.data.get("variance") != "estimated"
                else None
            )
        ),
    ] = None
    guidance: Annotated[
        Number | tuple[Number, ...] | None,
        must(
            "a number from -0.5 to 1, or one for each band, the finest first",
            lambda v: all(-0.5 <= item <= 1 for item in (v if isinstance(v, tuple) else (v or 0,))),
        ),
    ] = None

    def require_fit(self, levels: int, networks: int, below: bool = False) -> None:
        """Raise ValueError unless this fits a model of K = `levels` and as many networks.

        below: whether the first level may be below K
        """
        if self.levels and self.levels[0] != levels and not (below and self.levels[0] < levels):
            raise ValueError(f"levels = {self.levels[0]}, …: must begin with K, {levels}")
        if isinstance(self.guidance, tuple) and len(self.guidance) != networks:
            raise ValueError(
                f"guidance has {len(self.guidance)} numbers; must be one, or one for each of the "
                f"{networks} bands"
            )
