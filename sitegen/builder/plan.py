"""The plan of a build: which figures it takes, and the key of each.

A key is the digest of everything that decides the bytes of a figure's files: the spec, the files
that it names, the cards, the weights and priors, the constants that have changed (see
figures/constants.py), and the recipe of the kind. The environment may change the last bits too. It
is recorded with a clip and not keyed, so an upgrade or another machine renders nothing again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata

from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.core.files import canonical_json, digest, digest_bytes, platform_errors
from sitegen.figures.base import Figure, spec_json
from sitegen.figures.constants import changed_constants
from sitegen.generative.card.card import ModelCard
from sitegen.media.ffmpeg import encoder_version
from sitegen.media.manifest import ModelRef, Record
from sitegen.models.registry import ModelSource


@dataclass(frozen=True)
class PlannedFigure:
    """A figure of a page with its key.

    levels, sigmas: K of the figure's first model, and its blur scales σ_B in pixels of levels
        0 … K; none for a model that does not blur
    request_digest: the key, which is the digest of `request_json`, of all that decides the pixels
    description: what is to be seen, in the author's words or in those of the spec
    evaluations: how many images the network of each model sees
    cards: those of the models
    """

    figure: Figure
    page: str
    models: tuple[ModelRef, ...]
    levels: int
    request_digest: str
    request_json: str = ""
    sigmas: tuple[float, ...] = ()
    description: str = ""
    evaluations: tuple[int, ...] = ()
    cards: tuple[ModelCard, ...] = ()


def plan_figure(figure: Figure, page: str, sources: Mapping[str, ModelSource]) -> PlannedFigure:
    """Key a figure.

    Hashes weights that no card pins, imports neither torch nor an encoder. Raises ConfigError for
    models that do not fit the figure, RefusedError for weights or a prior that are missing or
    cannot be read.
    """
    models = [sources[name] for name in figure.models]
    require_fit(figure, sources)
    figure = replace(figure, contents=_contents(figure))
    constants = changed_constants(figure.spec.constants)
    request_json = canonical_json(
        {
            "spec": {**spec_json(figure), **figure.contents},
            "recipe": figure.spec.revision,
            "models": [[m.card.digest, m.weights_sha256, m.prior_sha256] for m in models],
            **({"example": models[0].example_sha256} if figure.spec.needs_example else {}),
            **({"constants": constants} if constants else {}),
        }
    )
    first = models[0].card
    return PlannedFigure(
        figure,
        page,
        tuple(ModelRef(model.name, model.weights_sha256) for model in models),
        first.levels,
        digest_bytes(request_json.encode()),
        request_json,
        _sigmas(first),
        figure.alt or figure.spec.describe(first),
        figure.spec.evaluations([model.card for model in models]),
        tuple(model.card for model in models),
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
    for model, kinds in zip(models, spec.model_kinds, strict=True):
        if model.card.kind not in kinds:
            fit = sorted(name for name, each in sources.items() if each.card.kind in kinds)
            words = f'the model {model.name} is of kind "{model.card.kind}", and this needs'
            wanted = " or ".join(f'"{kind}"' for kind in kinds)
            faults.append(f"{words} {wanted}: {', '.join(fit) or 'the site has none'}")
    first = models[0]
    for model in models[1:] if spec.one_shape else ():
        if model.card.shape != first.card.shape:
            one, other = (f"{m.name} {' × '.join(map(str, m.card.shape))}" for m in (first, model))
            faults.append(f"the models make images of different sizes: {one} and {other}")
    if spec.needs_example and first.example is None:
        faults.append(
            f"image is missing: the card of {first.name} names no example; name a picture of yours"
        )
    faults += [] if faults else spec.incompatibilities([model.card for model in models])
    if faults:
        raise ConfigError("; ".join(f"{figure.kind}(…): {fault}" for fault in faults))


def _contents(figure: Figure) -> dict[str, str]:
    """The digests of the author's files that the figure shows, by the field that names them."""
    contents = {}
    for name in figure.spec.files:
        if (file := getattr(figure.spec, name)) is not None:
            with platform_errors(figure.root / file, "read"):
                contents[name] = digest(figure.root / file)
    return contents


def environment(compute_target: ComputeTarget) -> Mapping[str, str]:
    """What clips that are made here are made with: device class, precision and versions.

    Imports none of it. Raises PlatformError, saying what is missing, on a machine that can only
    render pages.
    """
    versions = {}
    for name in ("torch", "numpy", "onnxruntime"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name == "onnxruntime":  # without it torch does its part
                continue
            raise PlatformError(f"{name} is not installed here: `pip install {name}`") from None
    device = compute_target.device.partition(":")[0]
    known = {"device": device, "precision": compute_target.precision}
    return {**known, **versions, "encoder": encoder_version()}


def other_environment(record: Record, here: Mapping[str, str]) -> str:
    """How a clip was made otherwise than it would be `here`, in words; empty where it was not."""
    return ", ".join(
        f"{name} {value} (here {here[name]})"
        for name, value in sorted(record.environment.items())
        if here.get(name, value) != value
    )
