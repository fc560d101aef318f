"""Cards for checkpoints that have none, from the file, the images and the author's answers.

Names and shapes of the weights determine the network, and the images their size. Nothing records
the number of levels, the blur and the noise, or a DDPM's schedule, so the author is asked. The
default number of heads is 1, as in all published configurations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

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
from sitegen.generative.card.parts import falls
from sitegen.generative.card.tables import PUBLISHED_LEVELS, DiffusionConfig
from sitegen.generative.checkpoints.archive import OTHER_WAYS, UNKNOWN_NETWORK
from sitegen.generative.checkpoints.dimensions import Architecture
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.inspection import (
    CONSISTENCY,
    FLOWS,
    CheckpointInfo,
    inspect_checkpoint,
)
from sitegen.generative.checkpoints.lucidrains import OBJECTIVES
from sitegen.generative.checkpoints.lucidrains import PROGRAM as LUCIDRAINS
from sitegen.generative.checkpoints.resampling import numbers, resampled
from sitegen.generative.process.ddpm import PREDICTS
from sitegen.generative.process.dissipation import NOISE_RATIO
from sitegen.generative.process.edm import EdmConfig
from sitegen.generative.process.karras import NoiseLevels
from sitegen.models.options import PROMPTS, AddOptions, completed, option
from sitegen.models.registry import is_approximate, measured, preset_prior

HEADS = 1
CONSISTENCY_LEVELS = 40
"""Noise levels of the published consistency distillation."""
HEADS_FAULT = (
    "The number of attention heads leaves no trace in a checkpoint; it was taken to be 1, as in "
    "every published configuration."
)


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


_STEPS = ("levels", "sampler_name", "respacing")
"""Options that choose the steps of a model whose card is complete."""


def described_model(options: AddOptions) -> DescribedModel:
    """Return the model of a checkpoint: by its own card, another program's files, or the options.

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
        if "prior" not in card.abilities:
            choices = "--levels N and --sampler-name NAME choose others"
            notes = (f"{sampler_note(card)}; {choices}",)
    else:
        options, card, lines = new_model(options, inspect_checkpoint(checkpoint))
        prior = preset_prior(options.preset) if options.preset and not options.data else None
        return DescribedModel(card, tuple(lines), prior=prior, data=options.data)
    where = checkpoint if home is None else home / CARD_NAME
    steps = _STEPS if home else _STEPS[:2] if "prior" not in card.abilities else ()
    if fixed := options.of_network(*steps):
        raise ConfigError(f"{where}: this card decides all of it; leave out {', '.join(fixed)}")
    if "prior" not in card.abilities and options.data is not None:
        raise ConfigError(f'--data: the kind "{card.kind}" has no prior to make; leave it out')
    if "prior" in card.abilities and card.prior is None and options.data is None:
        raise ConfigError(f"{where}: names no prior to start from; --data: {PROMPTS['data']}")
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
    choices = {name: getattr(options, name) for name in _STEPS}
    if not (chosen := [option(name) for name, value in choices.items() if value is not None]):
        return card, ()
    try:
        card = resampled(card, *choices.values())
    except ConfigError as error:
        raise ConfigError(
            f"{error}; leave out {', '.join(chosen)}, or add the folder of its own program under "
            "another name"
        ) from None
    return card, (sampler_note(card),)


def sampler_note(card: ModelCard) -> str:
    """Return the sampler of a card, its steps, and whether it is random, in words."""
    random = "random" if "random" in card.abilities else "nothing random after the start"
    settings: Any = getattr(card, card.kind, None)  # the table of the kind
    solver = getattr(settings, "solver", None) or getattr(settings, "method", None)
    name = f"{card.label} ({solver})" if solver else card.label
    return f"sampler: {name}, {card.steps} steps, {random}"


def new_model(options: AddOptions, info: CheckpointInfo) -> tuple[AddOptions, ModelCard, list[str]]:
    """Return a checkpoint's card without weights and prior, complete in all that affects images.

    Also returns the completed options, and notes on defaults that were assumed. Raises ConfigError
    for missing values, all at once, and, as the card does, for invalid ones and for options of the
    other kind; RefusedError for images or a network that cannot be used.
    """
    if info.problems:
        raise RefusedError(f"{options.checkpoint}: {'; '.join(info.problems)}")
    kind = _kind(options, info)
    form = _FORMS[kind]
    taken, needed = {*_OF_ALL, *form.takes}, form.needed
    if info.program == LUCIDRAINS:  # its file has the heads, and mostly the schedule
        taken -= {"heads", "head_channels", *(["noise_schedule"] if info.diffusion else [])}
        needed = (*(() if info.diffusion else needed), "objective")
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
    taken |= {"objective"} if info.objective else set()
    called = form.called
    if options.preset is not None and kind == "ihdm":
        taken, called = {"kind", "preset"}, f"{options.preset}, whose card may be changed later,"
    if alien := options.of_network(*taken):
        raise ConfigError(f"{called} has no {', '.join(alien)}; leave it out")
    options, side = completed(options, kind, needed, info.presets)
    card, notes = form.make(options, info)
    card = replace(card, subject=options.subject or "")
    lines = [sampler_note(card), *notes]
    if card.labels is not None:
        end = "a row" if card.labels.optional else "no row"
        lines.append(
            f"assumed: labels {card.labels.listed}, and {end} for no label; --labels a,b,… names "
            "them, and one name less means that the last row is for no label"
        )
    if options.data is not None and kind == "ihdm":
        card = measured(card)
        if side != card.image_size:
            sizes = f"are {side}×{side} pixels" if side else "are not squares of one size"
            size = f"{card.image_size}×{card.image_size}"
            lines.append(
                f"the images {sizes}: their middle squares, scaled to {size}, were measured"
            )
    if is_approximate(card):
        lines.append("it starts from approximate flat images; --data DIR measures the real ones")
    return options, card, lines


def _kind(options: AddOptions, info: CheckpointInfo) -> str:
    """Return the kind of a new card. Raises ConfigError for one that the file contradicts."""
    kinds: tuple[str, ...] = ("ddpm",)
    if info.program == CONSISTENCY:
        kinds = "", "consistency", "edm"
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
    kind = options.kind or kinds[0]
    if not kind or kind not in kinds:
        chosen = f"--kind {kind}: " if kind else ""
        raise ConfigError(f"{chosen}{options.checkpoint} {why}")
    return kind


Made = tuple[ModelCard, list[str]]
"""A new card, and notes on what was assumed for it."""


def _network(
    options: AddOptions, info: CheckpointInfo, *, new_order: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of every card of a network that is read from its file, and notes.

    `options` are complete except for heads. `new_order` is the order of attention's channels where
    the file does not record it; programs for other kinds than ours have the old one.
    """
    network = info.architecture
    assert network is not None
    rows = network.num_classes or 0
    names = options.labels or tuple(map(str, range(rows - (info.layout == "flow_matching"))))
    if not 0 <= rows - len(names) <= 1:
        raise ConfigError(
            f"--labels: {len(names)} names, for {rows or 'no'} rows of label_emb; there may be one "
            "row more, which is then for no label"
        )
    values: dict[str, Any] = {
        "image_size": options.image_size,
        "channels": network.channels,
        "levels": options.levels,
        "unet": network,
        "labels": LabelsConfig(names, optional=rows > len(names)) if rows else None,
    }
    if not isinstance(network, Architecture):
        return values, []
    # The file's settings of attention, and over them the options.
    settings: dict[str, Any] = dict(info.heads)
    if options.heads is not None or options.head_channels is not None:
        settings |= {"num_heads": options.heads or HEADS}
        settings |= {"num_head_channels": options.head_channels or -1}
    upsampling_heads = settings.pop("num_heads_upsample", None)
    new_order = new_order or info.layout == "flow_matching"
    new_order = bool(settings.setdefault("use_new_attention_order", new_order))
    unet = replace(
        network.unet(),
        **{**settings, "use_new_attention_order": new_order},
        learn_sigma=info.learned_variance or None,
    )
    values["unet"] = unet
    if unet.num_head_channels == -1 and upsampling_heads not in (None, -1, unet.num_heads):
        raise RefusedError(
            f"{options.checkpoint}: num_heads_upsample = {upsampling_heads}: sitegen has one "
            f"number of heads for a network; {OTHER_WAYS}"
        )
    by_number = unet.num_head_channels == -1 and unet.attention_levels
    upwards = "assumed: as many heads on the way up (num_heads_upsample = -1); if it has others, "
    notes = [upwards + OTHER_WAYS] if by_number and upsampling_heads is None else []
    if not {"num_heads", "num_head_channels"} & settings.keys():
        change = "--heads N or --head-channels N if it was trained with others"
        note = f"assumed: {HEADS} attention head, since the file does not say; {change}"
        return {**values, "known_faults": (HEADS_FAULT,)}, [note, *notes]
    if unet.num_head_channels != -1:
        note = f"attention: heads of {unet.num_head_channels} channels"
        note += ", which overrides the number of heads" if options.heads else ""
    else:
        note = f"attention: {unet.num_heads} heads"
        note += "; if it was trained with num_head_channels, that overrides it: --head-channels N"
    order = f"use_new_attention_order = {str(new_order).lower()}"
    split = f"assumed: {order} in [unet], as the program that wrote the file; change it in the card"
    return values, [note, *notes, *([] if "use_new_attention_order" in info.heads else [split])]


def _heat_card(options: AddOptions, info: CheckpointInfo) -> Made:
    """Return the card of a model of heat dissipation, of a preset or of answers."""
    values: Any = options
    if options.preset is None:
        network, notes = _network(options, info, new_order=True)
        if options.sampling_noise_std is None:
            noise = NOISE_RATIO * values.training_noise_std
            notes.append(f"sampling noise: {noise:g}, {NOISE_RATIO} times the training noise")
        card = ModelCard(
            **network,
            blur=BlurRange(values.blur_sigma_min, values.blur_sigma_max),
            training_noise_std=values.training_noise_std,
            sampling_noise_std=options.sampling_noise_std,
            parameterization="preconditioned" if info.preconditioned else "difference",
        )
        return card, notes
    return preset(options.preset), []


def _ddpm_card(options: AddOptions, info: CheckpointInfo) -> Made:
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
    values, notes = _network(options, info)
    card = ModelCard(**{**values, "levels": levels}, kind="ddpm", diffusion=diffusion)
    predicts = f"the network predicts {PREDICTS[diffusion.predicts]}"
    if is_lucidrains:
        count = cast(Any, info.architecture).config.resnet_block_groups
        groups = f", resnet_block_groups = {count}" if count else ""
        notes += [
            f"in the file: the {diffusion.beta_schedule} schedule of {levels:,} levels; {predicts}",
            "assumed: auto_normalize, predicted images are clipped (clip_sample of [diffusion]), η "
            f"= 0 in DDIM (eta), and sinusoidal_pos_emb_theta = 10000{groups}, in "
            "[unet.lucidrains]",
        ]
    elif diffusion.rescale_timesteps:
        notes.append(
            f"assumed: timesteps are scaled to {PUBLISHED_LEVELS} for the network; "
            "rescale_timesteps = false in [diffusion] of the card if it was trained otherwise"
        )
    if not is_lucidrains:
        first, last = diffusion.beta_start, diffusion.beta_end
        betas = "" if first is None else f"β from {first:g} to {last:g} (beta_start, beta_end), "
        notes.append(
            f"assumed: {betas}{predicts} (prediction_type; --objective NAME), predicted images are "
            f'clipped (clip_sample), and the variance of a step is "{diffusion.variance}" '
            "(variance); these keys of [diffusion] in the card change that"
        )
    return with_options(card, replace(options, levels=steps))[0], notes


def _flow_card(options: AddOptions, info: CheckpointInfo) -> Made:
    """Return the card of a flow, with the times of torchcfm."""
    values, notes = _network(options, info)
    card = with_options(ModelCard(**values, kind="flow"), replace(options, levels=None))[0]
    return card, [
        *notes,
        "assumed: data are at t = 1, and the network receives t itself, as in torchcfm and "
        "flow_matching; data_time and time_scale of [flow] in the card change that",
        "--levels N changes the number of steps, --sampler-name euler, midpoint or heun the solver",
    ]


_OF_KARRAS: dict[str, Any] = {"time_scale": 250.0, "clip": True}
_KARRAS_NOTE = (
    "assumed: sigma_min = 0.002, sigma_max = 80 and sigma_data = 0.5, and predicted images are "
    "clipped (clip); these keys of [edm] in the card change that"
)


def _edm_card(options: AddOptions, info: CheckpointInfo) -> Made:
    """Return the card of an EDM model of consistency_models."""
    values, notes = _network(options, info)
    card = ModelCard(**values, kind="edm", edm=EdmConfig(**_OF_KARRAS))
    return card, [*notes, _KARRAS_NOTE]


def _consistency_card(options: AddOptions, info: CheckpointInfo) -> Made:
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
    values, notes = _network(options, info)
    card = ModelCard(**{**values, "levels": len(visited)}, kind="consistency", edm=sigmas)
    more = f"assumed: {levels} noise levels (--levels, their steps); --respacing 0,22,39 takes "
    return card, [*notes, _KARRAS_NOTE, f"{more}steps at these (their ts)"]


class _Form(NamedTuple):
    """The needs of a new card of a kind; it takes the options `_OF_ALL` and some more."""

    called: str
    make: Callable[[AddOptions, CheckpointInfo], Made]
    needed: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


_OF_ALL = ("kind", "image_size", "levels", "heads", "head_channels", "labels")
_FORMS = {
    "ihdm": _Form(
        "an IHDM",
        _heat_card,
        ("levels", "blur_sigma_min", "blur_sigma_max", "training_noise_std"),
        ("preset", "blur_sigma_min", "blur_sigma_max", "training_noise_std", "sampling_noise_std"),
    ),
    "ddpm": _Form(
        "a DDPM", _ddpm_card, ("levels", "noise_schedule"), ("noise_schedule", "objective", *_STEPS)
    ),
    "flow": _Form("a flow", _flow_card, ("levels",), ("sampler_name",)),
    "edm": _Form("an EDM model", _edm_card, ("levels",)),
    "consistency": _Form("a consistency model", _consistency_card, takes=("respacing",)),
}
