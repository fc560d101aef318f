"""The plan of a build: its figures, and the key of each.

A key is the digest of everything that decides the bytes of a figure's files: the spec, the files
that it names, the cards, weights and priors, the changed constants (see figures/constants.py), and
the recipe of the kind. The environment may change the last bits too. It is recorded with a clip but
is not part of the key, so an upgrade or another machine renders nothing again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from sitegen.core.errors import ConfigError, PlugInError, SitegenError, with_message
from sitegen.core.files import canonical_json, digest, digest_bytes, platform_errors
from sitegen.figures.base import Figure, lacking, spec_json
from sitegen.figures.constants import RECORDED, changed_constants
from sitegen.figures.registry import plug_in_errors
from sitegen.generative.card.abilities import LevelAxis
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.recorded import RecordingConfig
from sitegen.media.manifest import ModelRef
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
    for name in figure.spec.files:
        if (file := getattr(figure.spec, name)) is not None:
            with platform_errors(figure.root / file, "read"):
                contents[name] = digest(figure.root / file)
    figure = replace(figure, contents=contents)
    recorded = any(model.card.recording is not None for model in models)
    layout = figure.spec.layout
    reduced = layout.reduction(models[0].card.image_size) if layout else 1
    constants = changed_constants((*figure.spec.constants, *[RECORDED] * recorded))
    request = canonical_json(
        {
            "spec": {**spec_json(figure), **figure.contents},
            "recipe": figure.spec.recipe,
            "models": [[m.card.digest, m.weights_sha256, m.prior_sha256] for m in models],
            **({"example": models[0].example_sha256} if figure.spec.needs_example else {}),
            **({"constants": constants} if constants else {}),
            **({"reduced": reduced} if reduced > 1 else {}),
        }
    )
    cards = [model.card for model in models]
    first: Any = cards[0] if cards else None  # which figures without a model do not use
    networks = ["network" in card.abilities for card in cards]
    evaluations = figure.spec.evaluations(cards)
    method = figure.spec.method(first) if first else ""
    choice = " ".join(filter(None, (figure.spec.choice, method)))
    description = figure.alt or figure.spec.describe(first) + figure.spec.shows(first)
    f"{choice}{description}".encode()  # raises for half a character, which no page can hold
    return PlannedFigure(
        figure,
        page,
        tuple(map(_reference, models)),
        first.levels if first else 0,
        digest_bytes(request.encode()),
        first.axis if first else None,
        description,
        tuple(seen if has else 0 for seen, has in zip(evaluations, networks, strict=True)),
        tuple(cards),
        None if any(networks) or not first else first.recording,
        choice,
    )


def _reference(model: ModelSource) -> ModelRef:
    what: Literal["recording", "sampler"] = "recording" if model.card.recording else "sampler"
    is_file = model.card.recording is None and model.sampler is None
    uses = tuple(model.card.sampler.uses.values()) if model.card.sampler else ()
    return ModelRef(model.name, model.weights_sha256, "checkpoint" if is_file else what, uses)


def require_fit(figure: Figure, sources: Mapping[str, ModelSource]) -> None:
    """Raise ConfigError for models of a wrong kind, and name those of the right one.

    Also raises it for models with different image sizes, or if a card excludes the figure.
    """
    spec, models = figure.spec, [sources[name] for name in figure.models]
    faults = []
    for model, needs in zip(models, spec.needs_of_models, strict=True):
        if fault := lacking(model.name, model.card, needs):
            able = (each for each in sources.values() if not lacking(each.name, each.card, needs))
            fit = sorted(each.name for each in able if not any(spec.file_faults([each])))
            remedy = spec.remedy(model.card) if model is models[0] else ""
            others = f"models that have it: {', '.join(fit) or 'none'}"
            faults.append(f"{fault}; {remedy or others}")
    if not models:
        return
    noise = getattr(spec, "sampling_noise_std", None)
    if noise is not None and (fault := lacking(models[0].name, models[0].card, ("noise_std",))):
        faults.append(f"sampling_noise_std = {noise:g}: {fault}; leave it out")
    first = models[0]
    for model in models[1:] if spec.one_shape else ():
        if model.card.shape != first.card.shape:
            one, other = (f"{m.name} {' × '.join(map(str, m.card.shape))}" for m in (first, model))
            faults.append(f"the models make images of different sizes: {one} and {other}")
    if spec.needs_example and first.example is None:
        faults.append(
            f"image is missing: the card of {first.name} has no example; name one of your pictures"
        )
    show: Any = getattr(spec, "show", "state")
    if show != "state" and (fault := lacking(first.name, first.card, (show,))):
        faults.append(f'show = "{show}": {fault}')
    if first.card.recording is not None and not faults:
        seed = getattr(spec, "seed", 0)
        if fault := first.card.recording.seed_fault(seed):
            faults.append(f"seed = {seed}: the recording {first.name} {fault}; leave it out")
        faults += spec.recorded_faults(first.card.recording)
    faults += [] if faults else spec.incompatibilities([model.card for model in models])
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
