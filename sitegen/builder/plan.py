"""The plan of a build: its figures, and the key of each.

A key is the digest of everything that decides the bytes of a figure's files: the call, the files
that it names, the cards, weights, priors and examples, and the recipes of the kind and of `media`.
The environment may change the last bits too. It is recorded with a clip but is not part of the key,
so an upgrade or another machine renders nothing again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from sitegen.core.errors import ConfigError, PlugInError, SitegenError, with_message
from sitegen.core.files import canonical_json, digest, digest_bytes, platform_errors
from sitegen.figures.base import Figure, evaluations, lacking, spec_json
from sitegen.figures.registry import plug_in_errors
from sitegen.generative.card.abilities import LevelAxis
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.tables import RecordingConfig
from sitegen.media.manifest import RECIPE, ModelRef
from sitegen.models.registry import ModelSource


@dataclass(frozen=True)
class PlannedFigure:
    """A figure of a page with its key.

    levels, axis: K of the figure's first model, and a viewer's information on its levels
    key: digest of everything that decides the bytes of its files
    description: text alternative, by the author or from the spec
    evaluations: number of images that the network of each model evaluates
    cards: the models' cards
    recording: recording of the first model, if no model has a network
    choice: sentences of the spec on how the samples were chosen and made; may be empty
    """

    figure: Figure
    page: str
    models: tuple[ModelRef, ...]
    levels: int
    key: str
    axis: LevelAxis | None = None
    description: str = ""
    evaluations: tuple[int, ...] = ()
    cards: tuple[ModelCard, ...] = ()
    recording: RecordingConfig | None = None
    choice: str = ""

    @property
    def cost(self) -> int:
        """Number of images that networks evaluate."""
        return sum(self.evaluations) if self.models else 0

    def provenance(
        self, parameters: Mapping[str, Any], environment: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return seed, parameters and environment for the record; a recording has its own."""
        drawn = {key: environment[key] for key in ("numpy", "encoder") if key in environment}
        if self.recording is None:
            seed = parameters.get("seed")
            networks = ["network" in card.abilities for card in self.cards]
            bare = not self.models or (networks and not any(networks))
            used = drawn if bare else environment
            return {"seed": seed, "parameters": parameters, "environment": used}
        own = {key: value for key, value in parameters.items() if key != "seed"}
        made = {"recorded_with": self.recording.made_with} if self.recording.made_with else {}
        made |= {} if self.recording.finished else {"recorded_run": "did not end"}
        return {"seed": self.recording.seed, "parameters": own, "environment": drawn | made}


def plan(figure: Figure, page: str, sources: Mapping[str, ModelSource]) -> PlannedFigure:
    """Key a figure.

    Hashes weights that no card pins; imports neither torch nor an encoder. Raises ConfigError for
    models that do not fit the figure, RefusedError for weights or a prior that are missing or
    unreadable, PlugInError for a kind of another package that fails.
    """
    if figure.fault:
        raise figure.fault
    models = [sources[name] for name in figure.models]
    require_fit(figure, sources)
    contents = dict[str, str]()
    for name in figure.files:
        path = figure.root / getattr(figure.spec, name)
        with platform_errors(path, "read"):
            contents[name] = digest(path)
    figure = replace(figure, contents=contents)
    request = canonical_json(
        {
            "spec": spec_json(figure) | dict(figure.contents),
            "recipe": [RECIPE, figure.spec.recipe],
            "models": [
                [m.card.digest, m.weights_sha256, m.prior_sha256, m.example_sha256] for m in models
            ],
        }
    )
    cards = [model.card for model in models]
    first: Any = cards[0] if cards else None  # which figures without a model do not use
    networks = ["network" in card.abilities for card in cards]
    description = figure.description(cards)
    f"{figure.choice}{description}".encode()  # raises for half a character, which no page can hold
    return PlannedFigure(
        figure,
        page,
        tuple(map(_reference, models)),
        first.levels if first else 0,
        digest_bytes(request.encode()),
        first.axis if first else None,
        description,
        evaluations(figure.spec, cards),
        tuple(cards),
        None if any(networks) or not first else first.recording,
        figure.choice,
    )


def _reference(model: ModelSource) -> ModelRef:
    what: Literal["checkpoint", "recording", "sampler"] = "checkpoint"
    if model.card.recording is not None or model.sampler is not None:
        what = "recording" if model.card.recording else "sampler"
    uses = tuple(model.card.sampler.uses.values()) if model.card.sampler else ()
    return ModelRef(model.name, model.weights_sha256, what, uses, model.card.subject or "")


def require_fit(figure: Figure, sources: Mapping[str, ModelSource]) -> None:
    """Raise ConfigError for models that do not fit the figure, and name those that do."""
    spec, models = figure.spec, [sources[name] for name in figure.models]
    faults = list(spec.unmet([model.card for model in models]))
    if faults and models and lacking(models[0].name, models[0].card, spec.needs):
        able = (name for name, m in sources.items() if not lacking(name, m.card, spec.needs))
        faults.append(f"models that have it: {', '.join(sorted(able)) or 'none'}")
    if faults:
        raise ConfigError("; ".join(f"{figure.kind}(…): {fault}" for fault in faults))


@contextmanager
def naming(figure: Figure) -> Iterator[None]:
    """Put the figure's line before the messages of errors in the block; their classes stay."""
    try:
        with plug_in_errors(figure.kind):
            yield
    except SitegenError as error:
        location = f"{figure.place.file}:{figure.place.line}"
        located = with_message(error, f"{location}: {figure.id}: {error}")
        if isinstance(error, PlugInError) and isinstance(located, PlugInError):
            located.trace = error.trace
        raise located from error
