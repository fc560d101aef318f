"""Cards for checkpoints that have none, from the file, the images and the author's answers.

Names and shapes of the weights determine the network, and the images their size. Nothing records
the number of levels, the blur and the noise, or a DDPM's schedule, so the author is asked. The
default number of heads is 1, as in all published configurations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import (
    CARD_NAME,
    BlurRange,
    ModelCard,
    card_beside,
    preset,
    read_card,
)
from sitegen.generative.card.labels import LabelsConfig
from sitegen.generative.card.networks import LucidrainsUNet
from sitegen.generative.card.parts import falls
from sitegen.generative.card.tables import PUBLISHED_LEVELS, DiffusionConfig
from sitegen.generative.checkpoints.archive import UNKNOWN_NETWORK
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.inspection import (
    CONSISTENCY,
    FLOWS,
    Architecture,
    CheckpointInfo,
    inspect_checkpoint,
)
from sitegen.generative.checkpoints.lucidrains import OBJECTIVES
from sitegen.generative.checkpoints.lucidrains import PROGRAM as LUCIDRAINS
from sitegen.generative.checkpoints.resampling import numbers, resampled
from sitegen.generative.data.images import image_side
from sitegen.generative.process.ddpm import PREDICTS
from sitegen.generative.process.dissipation import (
    NOISE_RATIO,
    HeatDissipation,
    heat_of,
)
from sitegen.generative.process.edm import EdmConfig
from sitegen.generative.process.flow import FLOW_STEPS
from sitegen.generative.process.karras import NoiseLevels
from sitegen.models.registry import is_approximate, measured, preset_prior

HEADS = 1
CONSISTENCY_LEVELS = 40
"""Noise levels of the published consistency distillation."""

HEADS_FAULT = (
    "The number of attention heads leaves no trace in a checkpoint; it was taken to be 1, as in "
    "every published configuration."
)


@dataclass(frozen=True)
class AddOptions:
    """Options of `sitegen add` for a checkpoint; None if not given.

    Sizes are in pixels, noise levels in [0, 1] pixel units. `kind` is that of a card;
    `noise_schedule` is a DDPM's. `heads` is a number, `head_channels` a width, which takes
    precedence. `sampler_name` is one of `schedulers.SAMPLERS`, `levels` its number of steps if the
    card or the scheduler has the rest, `respacing` a text that chooses them (`resampled`, or the
    `ts` of consistency_models). `objective` is one of `lucidrains.OBJECTIVES`, `labels` are the
    names of classes. `subject` is the content of the images, in the plural.
    """

    checkpoint: Path
    data: Path | None = None
    preset: str | None = None
    image_size: int | None = None
    levels: int | None = None
    blur_sigma_min: float | None = None
    blur_sigma_max: float | None = None
    heads: int | None = None
    head_channels: int | None = None
    training_noise_std: float | None = None
    sampling_noise_std: float | None = None
    kind: str | None = None
    noise_schedule: str | None = None
    sampler_name: str | None = None
    respacing: str | None = None
    objective: str | None = None
    labels: tuple[str, ...] | None = None
    subject: str | None = None

    def of_network(self, *others: str) -> tuple[str, ...]:
        """Return the options given that describe the network and its training, without `others`."""
        omitted = ("checkpoint", "data", "subject", *others)
        return self.among(*(name for name in vars(self) if name not in omitted))

    def among(self, *names: str) -> tuple[str, ...]:
        """Return the command-line names of those of these fields that are given."""
        return tuple(option(name) for name in names if getattr(self, name) is not None)


@dataclass(frozen=True)
class DescribedModel:
    """A model to add: its card without the files of the site, and notes to print.

    home: folder of the model's own card, if it has one
    prior, example: its files
    data: the images to make a prior of
    """

    card: ModelCard
    notes: tuple[str, ...]
    home: Path | None = None
    prior: Path | None = None
    example: Path | None = None
    data: Path | None = None


@dataclass(frozen=True)
class Question:
    """Question to the author: a field of `AddOptions`, the words, and the default answer."""

    field: str
    prompt: str
    offer: Any = None


Ask = Callable[[Question], Any]

_DATA = Question(
    "data", "its training images: a folder, an .npz, or files of MNIST or binary CIFAR"
)
_SIZE = Question("image_size", "side of its images in pixels, to which these are scaled")
SUBJECT = Question(
    "subject",
    'what its images show, in the plural, for text alternatives: "cartoon faces"',
    "",
)
_OF_HEAT = (
    Question("levels", "K, the number of levels it was trained with (published: 50 to 400)"),
    Question("blur_sigma_min", "blur of level 1 in pixels (published: 0.5)", 0.5),
    Question("blur_sigma_max", "blur of level K in pixels (published: 16 to 128; side/2 to side)"),
    Question("training_noise_std", "standard deviation of the training noise", 0.01),
)
_OF_DDPM = (
    Question("levels", "the number of diffusion steps it was trained with", PUBLISHED_LEVELS),
    Question("noise_schedule", "its noise schedule: linear, cosine or sigmoid", "linear"),
)
_OBJECTIVE = Question("objective", "what its network predicts: pred_noise, pred_x0 or pred_v")
_OF_FLOW = (Question("levels", "the number of steps in which to sample it", FLOW_STEPS),)
_HEAT = ("preset", "blur_sigma_min", "blur_sigma_max", "training_noise_std", "sampling_noise_std")
_DDPM = ("noise_schedule", "sampler_name", "respacing", "objective")
_FROM_FILE = ("heads", "head_channels", "noise_schedule")
_STEPS = ("levels", "sampler_name", "respacing")
"""Options that choose the steps of a model whose card is complete."""


def option(field: str) -> str:
    """Return the command-line option for a field."""
    return f"--{field.replace('_', '-')}"


def described_model(options: AddOptions, ask: Ask | None) -> DescribedModel:
    """Return the model of a checkpoint: by its own card, by another program's files, or by answers.

    Raises as `new_model` does.
    """
    checkpoint, home, notes = options.checkpoint, None, tuple[str, ...]()
    if (checkpoint / CARD_NAME).is_file():
        home, card = checkpoint, read_card(checkpoint)
    elif (beside := card_beside(checkpoint)) is not None:
        home, card = checkpoint.parent, beside
    elif checkpoint.exists() and (
        foreign := foreign_model(checkpoint, options.levels, options.sampler_name)
    ):
        card = replace(foreign.card, subject=options.subject or "")
        if foreign.sampler:
            choices = "--levels N and --sampler-name NAME choose others"
            notes = (f"sampler: {foreign.sampler}; {choices}",)
    else:
        options, card, lines = new_model(options, inspect_checkpoint(checkpoint), ask)
        prior = preset_prior(options.preset) if options.preset and not options.data else None
        return DescribedModel(card, tuple(lines), prior=prior, data=options.data)
    where = checkpoint if home is None else home / CARD_NAME
    if fixed := options.of_network(*_STEPS[: 3 if home else 2]):
        raise ConfigError(f"{where}: this card decides all of it; leave out {', '.join(fixed)}")
    options = _with_images(options, card, where, ask)
    if home is None:
        return DescribedModel(card, notes, data=options.data)
    parts = [home / part.file if part else None for part in (card.prior, card.example)]
    resampled_card, notes = with_options(card, options)
    prior = None if options.data is not None else parts[0]
    return DescribedModel(resampled_card, notes, home.absolute(), prior, parts[1], options.data)


def with_options(card: ModelCard, options: AddOptions) -> tuple[ModelCard, tuple[str, ...]]:
    """Return a card with the subject, sampler and number of steps of the options, and notes.

    Raises ConfigError for a card whose steps cannot be chosen by number.
    """
    if options.subject is not None:
        card = replace(card, subject=options.subject)
    levels, sampler, respacing = options.levels, options.sampler_name, options.respacing
    if levels is None and sampler is None and respacing is None:
        return card, ()
    try:
        card = resampled(card, levels, sampler, respacing)
    except ConfigError as error:
        names = ", ".join(options.among(*_STEPS))
        raise ConfigError(
            f"{error}; leave out {names}, or add the folder of its own program under another name"
        ) from None
    return card, (sampler_note(card),)


def sampler_note(card: ModelCard) -> str:
    """Return the sampler of a card, its steps, and whether it is random, in words."""
    random = "random" if "random" in card.abilities else "nothing random after the start"
    return f"sampler: {card.label}, {card.steps} steps, {random}"


def new_model(
    options: AddOptions, info: CheckpointInfo, ask: Ask | None
) -> tuple[AddOptions, ModelCard, list[str]]:
    """Return a checkpoint's card without weights and prior, complete in all that affects images.

    Also returns the completed options, and notes on defaults that were assumed. Asks for missing
    values one by one; without `ask`, raises a ConfigError that lists all of them. Raises
    ConfigError, as the card does, for invalid values and for options of the other kind, and
    RefusedError for images or a network that cannot be used.
    """
    if info.problems:
        raise RefusedError(f"{options.checkpoint}: {'; '.join(info.problems)}")
    form = _FORMS[_kind(options, info)]
    if info.program == LUCIDRAINS:
        form = replace(
            form,
            questions=(*(() if info.diffusion else form.questions), _OBJECTIVE),
            lacks=(*form.lacks, *_FROM_FILE[: 3 if info.diffusion else 2]),
        )
    if info.objective not in (None, options.objective or info.objective):
        raise ConfigError(
            f"--objective {options.objective}: the loss_weight in {options.checkpoint} is that of "
            f"{info.objective}; leave it out"
        )
    options = replace(options, objective=options.objective or info.objective)
    if options.preset is None and info.architecture is None:
        raise RefusedError(
            f"{options.checkpoint}: not a U-Net that sitegen knows by the names of its weights; "
            f"`sitegen inspect` shows what it is; {UNKNOWN_NETWORK}"
        )
    if alien := options.among(*form.lacks):
        raise ConfigError(f"{form.called} has no {', '.join(alien)}; leave it out")
    answers = _Answers(options, info, ask)
    answers.complete(form)
    options = answers.options
    card = form.card(options, info) if options.preset is None else _from_preset(options)
    card = replace(card, subject=options.subject or "")
    lines = [sampler_note(card), *_attention_notes(options, info, card)]
    if card.labels is not None:
        end = "a row" if card.labels.optional else "no row"
        lines.append(
            f"assumed: labels {card.labels.listed}, and {end} for no label; --labels a,b,… names "
            "them, and one name less means that the last row is for no label"
        )
    if not form.blurs:
        return options, card, [*lines, *form.notes(options, card)]
    card = measured(card) if options.data is not None else card
    return options, card, [*lines, *_notes(options, card, answers.side())]


def _kind(options: AddOptions, info: CheckpointInfo) -> str:
    """Return the kind of a new card. Raises ConfigError for one that the file contradicts."""
    kinds: tuple[str, ...] = ("ddpm",)
    if info.program == CONSISTENCY:
        kinds = "consistency", "edm"
        why = "is of consistency_models: --kind consistency, or --kind edm for a teacher"
    elif info.program == LUCIDRAINS:
        why = f"is of {LUCIDRAINS}, whose networks are DDPMs; leave it out"
    elif info.layout in FLOWS:
        kinds = ("flow",)
        why = f"is of {info.layout}, whose networks predict a velocity; leave it out"
    elif info.learned_variance and not options.preset:
        why = (
            "has two outputs for each channel, as a DDPM with a learned variance has; leave it out"
        )
    else:
        kinds = "ihdm", "ddpm", "flow"
        why = (
            'alone does not say its noise levels; write its card by hand (the page "Use your '
            'checkpoints" of the manual)'
        )
    kind = options.kind or ("" if info.program == CONSISTENCY else kinds[0])
    if kind not in kinds:
        chosen = f"--kind {kind}: " if kind else ""
        raise ConfigError(f"{chosen}{options.checkpoint} {why}")
    return kind


class _Answers:
    """Options being completed, and the questions that could not be asked."""

    def __init__(self, options: AddOptions, info: CheckpointInfo, ask: Ask | None) -> None:
        self.options = options
        self._presets = info.presets
        self._ask = ask
        self._missing: list[Question] = []
        self._sides: dict[Path | None, int | None] = {}

    def complete(self, form: _Form) -> None:
        """Complete all options that a model of a kind needs. Raises as `new_model` does."""
        self._presets = self._presets if form.blurs else ()
        if self._presets and self._ask is not None and not self.options.of_network():
            fits = " or ".join(self._presets)
            prompt = f"it has the network of {fits}; the preset, if it was trained like that, or "
            answer = self._ask(Question("preset", f"{prompt}nothing", ""))
            self.options = replace(self.options, preset=answer or None)
        published = _preset(self.options.preset) if self.options.preset else None
        prior_fits = published is not None and (
            self.options.image_size in (None, published[0].image_size)
            and self.options.blur_sigma_max in (None, published[1].sigma_max)
        )
        if form.blurs and not prior_fits:  # the preset's own prior does not serve
            self._get(_DATA)
        if self.options.preset is None:
            if self.options.image_size is None and self.side() is not None:
                self.options = replace(self.options, image_size=self.side())
            if not form.blurs or self.options.data is not None:
                self._get(_SIZE)
            for question in form.questions:
                self._get(question)
        if self._missing:
            rows = [
                f"  {option(question.field):22} {question.prompt}" for question in self._missing
            ]
            if fits := " or ".join(f"--preset {name}" for name in self._presets):
                rows.append(f"or, if it was trained like that, {fits}")
            heading = "a checkpoint does not record everything that sampling needs; give\n"
            raise ConfigError(f"{self.options.checkpoint}: {heading}" + "\n".join(rows))
        if form.blurs and self._ask is not None:
            self._get(SUBJECT)

    def side(self) -> int | None:
        """Return the side of the images, read once; None if they have no common size."""
        data = self.options.data
        if data is not None and data not in self._sides:
            self._sides[data] = image_side(data)
        return self._sides.get(data)

    def _get(self, question: Question) -> None:
        """Ask for a field unless it is set; note it as missing in a non-interactive session."""
        if getattr(self.options, question.field) is not None:
            return
        if self._ask is None:
            self._missing.append(question)
        else:
            answer: dict[str, Any] = {question.field: self._ask(question)}
            self.options = replace(self.options, **answer)


def _notes(options: AddOptions, card: ModelCard, side: int | None) -> list[str]:
    lines = []
    if options.data is not None and side != card.image_size:
        sizes = f"are {side}×{side} pixels" if side else "are not squares of one size"
        size = f"{card.image_size}×{card.image_size}"
        lines.append(f"the images {sizes}: their middle squares, scaled to {size}, were measured")
    if is_approximate(card):
        lines.append("it starts from approximate flat images; --data DIR measures the real ones")
    if options.preset is None and options.sampling_noise_std is None:
        times = f"{NOISE_RATIO} times the training noise"
        lines.append(f"sampling noise: {card.noise_std:g}, {times}")
    return lines


def _with_images(options: AddOptions, card: ModelCard, where: Path, ask: Ask | None) -> AddOptions:
    """Return the options for a model that has its `own` card, completed by its images if needed.

    Raises ConfigError for images that it has no use for, and if they are missing and `ask` is.
    """
    if "prior" not in card.abilities and options.data is not None:
        raise ConfigError(f'--data: the kind "{card.kind}" has no prior to make; leave it out')
    if "prior" not in card.abilities or card.prior is not None or options.data is not None:
        return options
    if ask is None:
        raise ConfigError(f"{where}: names no prior to start from; --data: {_DATA.prompt}")
    return replace(options, data=ask(_DATA))


def _from_preset(options: AddOptions) -> ModelCard:
    assert options.preset is not None
    card, blur = _preset(options.preset)
    unet = card.finest
    if options.heads is not None or options.head_channels is not None:
        unet = replace(
            unet,
            num_heads=options.heads or HEADS,
            num_head_channels=options.head_channels or -1,
        )
    names = ("image_size", "levels", "training_noise_std", "sampling_noise_std")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    low, high = options.blur_sigma_min, options.blur_sigma_max
    sigmas = BlurRange(low or blur.sigma_min, high or blur.sigma_max)
    return replace(card, unet=unet, blur=sigmas, **changes)


def _preset(name: str) -> tuple[HeatDissipation, BlurRange]:
    """Return the card of a published configuration, and its blur."""
    card = heat_of(preset(name))
    assert isinstance(card.blur, BlurRange)  # those of all presets are
    return card, card.blur


def _common(
    options: AddOptions, info: CheckpointInfo, *, new_order: bool = False
) -> dict[str, Any]:
    """Return the values of every card of a network that is read from its file.

    `options` are complete except for heads. `new_order` is the order of attention's channels where
    the file does not record it; programs for other kinds than ours have the old one.
    """
    assert info.architecture is not None
    network = info.architecture
    rows = network.num_classes or 0
    names = options.labels or tuple(map(str, range(rows - (info.layout == "flow_matching"))))
    if not 0 <= rows - len(names) <= 1:
        raise ConfigError(
            f"--labels: {len(names)} names, for {rows or 'no'} rows of label_emb; there may be one "
            "row more, which is then for no label"
        )
    if isinstance(network, Architecture):
        new_order = new_order or info.layout == "flow_matching"
        heads = {"use_new_attention_order": new_order, **_heads(options, info)}
        learned = info.learned_variance or None
        unet = replace(network.unet(), **heads, learn_sigma=learned)
    else:
        unet = network
    return {
        "image_size": options.image_size,
        "channels": network.channels,
        "levels": options.levels,
        "known_faults": () if _says_heads(options, info) else (HEADS_FAULT,),
        "unet": unet,
        "labels": LabelsConfig(names, optional=rows > len(names)) if rows else None,
    }


def _says_heads(options: AddOptions, info: CheckpointInfo) -> bool:
    """Return whether the options or the file say how attention is split into heads."""
    return (
        info.program == LUCIDRAINS
        or bool(options.among("heads", "head_channels"))
        or bool({"num_heads", "num_head_channels"} & info.heads.keys())
    )


def _heads(options: AddOptions, info: CheckpointInfo) -> dict[str, Any]:
    """Return the settings of attention: the file's, and over them the options."""
    settings: dict[str, Any] = dict(info.heads)
    if options.heads is not None or options.head_channels is not None:
        settings |= {"num_heads": options.heads or HEADS}
        settings |= {"num_head_channels": options.head_channels or -1}
    if "use_new_attention_order" in settings:
        settings["use_new_attention_order"] = bool(settings["use_new_attention_order"])
    return settings


def _attention_notes(options: AddOptions, info: CheckpointInfo, card: ModelCard) -> list[str]:
    """Return what was assumed on attention heads, with the options that change it."""
    if options.preset is not None or info.program == LUCIDRAINS:
        return []
    unet = card.finest
    if not _says_heads(options, info):
        change = "--heads N or --head-channels N if it was trained with others"
        return [f"assumed: {HEADS} attention head, since the file does not say; {change}"]
    if unet.num_head_channels != -1:
        note = f"attention: heads of {unet.num_head_channels} channels"
        note += ", which overrides the number of heads" if options.heads else ""
    else:
        note = f"attention: {unet.num_heads} heads"
        note += "; if it was trained with num_head_channels, that overrides it: --head-channels N"
    order = f"use_new_attention_order = {str(unet.use_new_attention_order).lower()}"
    split = f"assumed: {order} in [unet], as the program that wrote the file; change it in the card"
    return [note] if "use_new_attention_order" in info.heads else [note, split]


def _heat_card(options: AddOptions, info: CheckpointInfo) -> ModelCard:
    values: Any = options
    return ModelCard(
        **_common(options, info, new_order=True),
        blur=BlurRange(values.blur_sigma_min, values.blur_sigma_max),
        training_noise_std=values.training_noise_std,
        sampling_noise_std=options.sampling_noise_std,
        parameterization="preconditioned" if info.preconditioned else "difference",
    )


def _ddpm_card(options: AddOptions, info: CheckpointInfo) -> ModelCard:
    """Return the card of a DDPM, with the schedule in the file or that of its name."""
    is_lucidrains, diffusion = info.program == LUCIDRAINS, info.diffusion
    levels: Any = options.levels if diffusion is None else info.schedule_levels
    steps = None if diffusion is None else options.levels
    variance = "learned" if info.learned_variance else "fixed_large"
    diffusion = replace(
        diffusion or DiffusionConfig.of(str(options.noise_schedule), levels, rederive_noise=True),
        variance=cast(Any, "fixed_small" if is_lucidrains else variance),
        rescale_timesteps=levels != PUBLISHED_LEVELS and not is_lucidrains,
        prediction_type=OBJECTIVES[options.objective or "pred_noise"],
    )
    fields = {**_common(options, info), "levels": levels}
    card = ModelCard(**fields, kind="ddpm", diffusion=diffusion)
    return with_options(card, replace(options, levels=steps))[0]


def _consistency_card(options: AddOptions, info: CheckpointInfo) -> ModelCard:
    """Return the card of a consistency model: one step, or steps at the `ts` of its levels."""
    levels, visited = options.levels or CONSISTENCY_LEVELS, [0]
    sigmas = NoiseLevels(**_OF_KARRAS)
    if options.respacing is not None:
        *visited, last = numbers(options.respacing)
        if visited[:1] != [0] or last != levels - 1 or not falls((last, *reversed(visited))):
            raise ConfigError(
                f"--respacing {options.respacing}: must rise from 0 to {levels - 1}, the last of "
                f"its {levels} noise levels (--levels), as in 0,{levels // 2},{levels - 1}"
            )
    all_sigmas = sigmas.of_levels(levels)[:0:-1]
    sigmas = replace(sigmas, sigmas=tuple(all_sigmas[at] for at in visited))
    fields = {**_common(options, info), "levels": len(visited)}
    return ModelCard(**fields, kind="consistency", edm=sigmas)


def _ddpm_notes(options: AddOptions, card: ModelCard) -> list[str]:
    assert card.diffusion is not None
    diffusion, lines = card.diffusion, list[str]()
    if isinstance(card.unet, LucidrainsUNet):
        return [
            f"in the file: the {diffusion.beta_schedule} schedule of {card.levels:,} levels, and "
            f"the network, which predicts {PREDICTS[diffusion.predicts]}",
            "assumed: auto_normalize, predicted images are clipped (clip_sample of [diffusion]), η "
            "= 0 in DDIM (eta), and sinusoidal_pos_emb_theta = 10000, in [unet.lucidrains]",
        ]
    if diffusion.rescale_timesteps:
        lines.append(
            f"assumed: timesteps are scaled to {PUBLISHED_LEVELS} for the network; "
            "rescale_timesteps = false in [diffusion] of the card if it was trained otherwise"
        )
    betas = ""
    if diffusion.beta_start is not None:
        betas = (
            f"β from {diffusion.beta_start:g} to {diffusion.beta_end:g} (beta_start, beta_end), "
        )
    return [
        *lines,
        f"assumed: {betas}the network predicts {PREDICTS[diffusion.predicts]} "
        f"(prediction_type; --objective NAME), predicted images are "
        f'clipped (clip_sample), and the variance of a step is "{diffusion.variance}" (variance); '
        "these keys of [diffusion] in the card change that",
    ]


@dataclass(frozen=True)
class _Form:
    """What a new card of a kind needs.

    lacks: options that it does not have
    blurs: whether it starts from a prior of blurred images, and has published presets
    """

    called: str
    questions: tuple[Question, ...]
    lacks: tuple[str, ...]
    card: Callable[[AddOptions, CheckpointInfo], ModelCard]
    notes: Callable[[AddOptions, ModelCard], list[str]] = lambda options, card: []
    blurs: bool = False


_OF_KARRAS: dict[str, Any] = {"time_scale": 250.0, "clip": True}
_KARRAS_NOTES = [
    "assumed: sigma_min = 0.002, sigma_max = 80 and sigma_data = 0.5, and predicted images are "
    "clipped (clip); these keys of [edm] in the card change that"
]
_FORMS = {
    "ihdm": _Form("an IHDM", _OF_HEAT, _DDPM, _heat_card, blurs=True),
    "consistency": _Form(
        "a consistency model",
        (),
        (*_HEAT, "noise_schedule", "sampler_name", "objective"),
        _consistency_card,
        lambda options, card: [
            *_KARRAS_NOTES,
            f"assumed: {options.levels or CONSISTENCY_LEVELS} noise levels (--levels, their "
            "steps); --respacing 0,22,39 takes steps at these (their ts)",
        ],
    ),
    "edm": _Form(
        "an EDM model",
        (Question("levels", "the number of steps in which to sample it", CONSISTENCY_LEVELS),),
        (*_HEAT, *_DDPM),
        lambda options, info: ModelCard(
            **_common(options, info), kind="edm", edm=EdmConfig(**_OF_KARRAS)
        ),
        lambda options, card: _KARRAS_NOTES,
    ),
    "ddpm": _Form("a DDPM", _OF_DDPM, _HEAT, _ddpm_card, _ddpm_notes),
    "flow": _Form(
        "a flow",
        _OF_FLOW,
        (*_HEAT, "noise_schedule", "respacing", "objective"),
        lambda options, info: with_options(
            ModelCard(**_common(options, info), kind="flow"), replace(options, levels=None)
        )[0],
        lambda options, card: [
            "assumed: data are at t = 1, and the network receives t itself, as in torchcfm and "
            "flow_matching; data_time and time_scale of [flow] in the card change that",
            "--levels N changes the number of steps, --sampler-name euler, midpoint or heun the "
            "solver",
        ],
    ),
}
