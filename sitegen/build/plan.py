"""The plan of a build: which figures it takes, and the key of each.

A key has two halves. The first is the digest of what the author asked for: the spec, the cards,
the weights and priors, and the recipe of the kind. The second is the digest of what else changes
pixels: the device, the precision and the versions of torch, numpy, ffmpeg and pillow. A machine
that only renders, where torch is not installed, does not know the second half and takes any clip
that was asked for in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.core.files import canonical_json, digest, digest_bytes, platform_errors
from sitegen.figures.base import Figure, spec_json
from sitegen.ihdm.card.card import ModelCard
from sitegen.media.encoder import encoder_version
from sitegen.media.manifest import ModelRef
from sitegen.models.registry import ModelSource


@dataclass(frozen=True)
class PlannedFigure:
    """A figure of a page with its key; `request` is the digest of what is `asked`.

    levels, sigmas: K of the figure's first model, and its blur scales σ_B in pixels of levels
        0 … K; none for a model that does not blur
    description: what is to be seen, in the author's words or in those of the spec
    filmable: whether its models are here; where one is not, any clip that was asked for in the same
        words will do
    evaluations: how many images the network of each model sees
    """

    figure: Figure
    page: str
    models: tuple[ModelRef, ...]
    levels: int
    request_digest: str
    environment: str | None
    request_json: str = ""
    sigmas: tuple[float, ...] = ()
    description: str = ""
    can_render: bool = True
    evaluations: tuple[int, ...] = ()

    @property
    def key(self) -> str | None:
        """The name of its record in the store; None where the environment is not known."""
        return f"{self.request_digest}-{self.environment}" if self.environment else None


def plan_figure(
    figure: Figure, page: str, sources: Mapping[str, ModelSource], known: str | None
) -> PlannedFigure:
    """Key a figure; `known` is its `environment`.

    Reads and hashes the weights, imports neither torch nor an encoder. Raises ConfigError for
    models that do not fit the figure, RefusedError for weights or a prior that are missing or
    cannot be read.
    """
    models = [sources[name] for name in figure.models]
    require_fit(figure, sources)
    request_json = canonical_json(
        {
            "spec": {**spec_json(figure), **_contents(figure)},
            "recipe": figure.spec.recipe,
            "models": [[m.card.digest, m.weights_sha256, m.prior_sha256] for m in models],
            **({"example": models[0].example_sha256} if figure.spec.needs_example else {}),
        }
    )
    return PlannedFigure(
        figure,
        page,
        tuple(ModelRef(model.name, model.weights_sha256) for model in models),
        models[0].card.levels,
        digest_bytes(request_json.encode()),
        known,
        request_json,
        _sigmas(models[0].card),
        figure.alt or figure.spec.describe(models[0].card),
        all(model.available for model in models),
        figure.spec.evaluations([model.card.levels for model in models]),
    )


def _sigmas(card: ModelCard) -> tuple[float, ...]:
    """σ_B of the levels 0 … K, rounded so that every machine writes the same digits."""
    return () if card.blur is None else tuple(round(sigma, 4) for sigma in card.schedule.sigmas)


def require_fit(figure: Figure, sources: Mapping[str, ModelSource]) -> None:
    """Raise ConfigError, naming the models that would do, where the figure's are of a wrong kind.

    Likewise where they make images of different sizes, or a card rules something else out.
    """
    spec, models = figure.spec, [sources[name] for name in figure.models]
    faults = []
    for model, kind in zip(models, spec.model_kinds, strict=True):
        if model.card.kind != kind:
            fit = sorted(name for name, each in sources.items() if each.card.kind == kind)
            words = (
                f'the model {model.name} is of kind "{model.card.kind}", and this needs "{kind}"'
            )
            faults.append(f"{words}: {', '.join(fit) or 'the site has none'}")
    first = models[0]
    for model in models[1:]:
        if model.card.shape != first.card.shape:
            sizes = " and ".join(f"{each.name} {_shape(each)}" for each in (first, model))
            faults.append(f"the models make images of different sizes: {sizes}")
    if spec.needs_example and first.example is None:
        faults.append(
            f"image is missing: the card of {first.name} names no example; name a picture of yours"
        )
    faults += [] if faults else spec.misfits([model.card for model in models])
    if faults:
        raise ConfigError("; ".join(f"{figure.kind}(…): {fault}" for fault in faults))


def _shape(model: ModelSource) -> str:
    return " × ".join(map(str, model.card.shape))


def _contents(figure: Figure) -> dict[str, str]:
    """The digests of the author's files that the figure shows, by the field that names them."""
    named = {name: getattr(figure.spec, name) for name in figure.spec.files}
    contents = {}
    for name, file in named.items():
        if file is not None:
            with platform_errors(figure.root / file, "read"):
                contents[name] = digest(figure.root / file)
    return contents


def environment(compute_target: ComputeTarget) -> str | None:
    """Digest of what beside the request changes pixels; None where something is not installed."""
    try:
        versions = require_environment()
    except PlatformError:
        return None
    device = compute_target.device.partition(":")[0]
    return _digest({"device": device, "precision": compute_target.precision, **versions})[:16]


def require_environment() -> Mapping[str, str]:
    """The versions of what renders; imports none of it.

    Raises PlatformError, saying what is missing, on a machine that can only render.
    """
    versions = {}
    for name in ("torch", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise PlatformError(f"{name} is not installed here: `pip install {name}`") from None
    return {**versions, "encoder": encoder_version()}


def _digest(value: object) -> str:
    return digest_bytes(canonical_json(value).encode())
