"""`sitegen add`, `inspect`, `sample` and `train`: commands for models."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from sitegen.cli.console import Console
from sitegen.cli.options import (
    KIND,
    LIST,
    PATH,
    PRECISION,
    SEED,
    compute_options,
    compute_target,
    config_option,
    verbosity_options,
)
from sitegen.core.source import plain
from sitegen.generative.card.limits import DEFAULT_LEVELS, LARGEST_BLUR, LARGEST_COUNT, MOST_LEVELS

if TYPE_CHECKING:
    from sitegen.core.compute import ComputeTarget
    from sitegen.models.registry import ModelSource
    from sitegen.sampling.models import Sampler

F = TypeVar("F", bound=Callable[..., Any])
Row = tuple[str, Any, str]
"""An option: its name, click's type of its value, and its help text."""

_BLUR = click.FloatRange(0, LARGEST_BLUR, min_open=True)
_NOISE = click.FloatRange(0, 1, min_open=True)
_SIDE = click.IntRange(4, LARGEST_COUNT)
_LEVELS = click.IntRange(1, MOST_LEVELS)
_COUNT = click.IntRange(1)
_MINUTES = click.FloatRange(0, 100_000, min_open=True)
_SUBJECT: Row = ("subject", str, 'What its images show, in the plural: "cartoon faces".')


def row_options(
    rows: Sequence[Row], defaults: Mapping[str, Any], *required: str
) -> Callable[[F], F]:
    """Add an option for each row, with its default if it has one."""

    def add(command: F) -> F:
        # The decorator that is applied last comes first in --help.
        for name, kind, text in reversed(rows):
            default = defaults.get(name.replace("-", "_"))
            settings = {} if default is None else {"default": default, "show_default": True}
            settings |= {"required": name in required}
            command = click.option(f"--{name}", type=kind, help=text, **settings)(command)
        return command

    return add


_KIND = click.Choice(["ihdm", "ddpm", "flow", "consistency", "edm"])


_SAMPLERS = ("ddpm", "ddim", "euler", "heun", "midpoint", "dpmpp", "dpmpp2m")
_ADD: tuple[Row, ...] = (
    (
        "checkpoint",
        PATH,
        "File, folder or hf://OWNER/NAME.  [default: runs/NAME or a shipped model]",
    ),
    ("data", PATH, "Its training images, from which size and initial states are taken."),
    ("kind", _KIND, "Its kind, if the file does not determine it."),
    ("preset", str, "The published configuration that it was trained with."),
    ("image-size", _SIDE, "Pixels per side; the middle square of other images is scaled."),
    ("levels", _LEVELS, "K, the levels it was trained with; of a flow or with its card, steps."),
    ("blur-sigma-min", _BLUR, "Blur of level 1 in pixels."),
    ("blur-sigma-max", _BLUR, "Blur of level K in pixels."),
    ("heads", click.IntRange(1, LARGEST_COUNT), "Number of attention heads, if not 1."),
    ("head-channels", click.IntRange(1, LARGEST_COUNT), "Channels of a head, over --heads."),
    ("training-noise-std", _NOISE, "Noise that it was trained with."),
    ("sampling-noise-std", _NOISE, "Noise of sampling.  [default: proportional to the above]"),
    ("noise-schedule", click.Choice(["linear", "cosine", "sigmoid"]), "The schedule of a DDPM."),
    ("objective", click.Choice(["pred_noise", "pred_x0", "pred_v"]), "Output of a DDPM's network."),
    (
        "sampler-name",
        click.Choice(_SAMPLERS),
        "The sampler of a DDPM, a flow or EDM, in place of its own.",
    ),
    ("respacing", str, "Its steps: timestep_respacing of guided-diffusion, or ts as in 0,22,39."),
    ("labels", LIST, "Names of its classes, as in cat,dog.  [default: numbers]"),
    _SUBJECT,
)


@click.command()
@click.argument("name")
@row_options(_ADD, {})
@click.option("--recording", type=PATH, help="Recorded states in place of a checkpoint.")
@click.option("--label", help='What the method is called in the suggested figures: "Ours".')
@click.option("--sampler", is_flag=True, help="Copy its weights as bytes, for a page's sampler.")
@config_option
def add(
    name: str,
    config: Path,
    recording: Path | None,
    label: str | None,
    sampler: bool,
    **options: Any,
) -> None:
    """Add a checkpoint to site.toml as the model NAME, and show how pages can call it.

    The network is read off the checkpoint; nothing in it is executed. Values that are neither in
    the file nor in the training images are options; the command names those that are missing. The
    card is written into models/NAME. With a model of the site and its own checkpoint, only what the
    options change is changed in that card. Without a checkpoint, the model that `sitegen train`
    wrote into runs/NAME is added, or the shipped one of that name.
    With --recording the model is a file of sitegen.record; after another recording into the file,
    the same command updates its card.

    \b
    Examples:
      sitegen add fashion-mnist
      sitegen add birds --checkpoint runs/birds/checkpoint.pth --data data/birds
      sitegen add cifar --checkpoint checkpoint_130000.pth --preset cifar10
      sitegen add digits --checkpoint runs/digits
      sitegen add cifar --checkpoint hf://google/ddpm-cifar10-32
      sitegen add flow --recording flow.npz --subject "small birds"
      sitegen add birds-ddpm --kind ddpm --checkpoint ema_0.9999_200000.pt --data data/birds
    """
    from sitegen.content.suggestions import added_lines
    from sitegen.figures.arguments import label_fault
    from sitegen.models.add import add_model, add_named, add_recording
    from sitegen.models.options import AddOptions
    from sitegen.models.registry import trained_folder

    if label is not None and (fault := label_fault(label)):
        raise click.UsageError(f"--label {fault}.")
    if recording is not None:
        others = [key for key, value in options.items() if value and key != "subject"]
        if others := [*others, *["sampler"] * sampler]:
            raise click.UsageError(f"--recording excludes --{others[0].replace('_', '-')}.")
        added = add_recording(config, name, recording, options["subject"] or "")
    elif any(value is not None for value in options.values()):
        options["checkpoint"] = options["checkpoint"] or trained_folder(config, name)
        if options["checkpoint"] is None:
            raise click.UsageError(
                "--checkpoint is missing: the file or folder of the model. There is none in "
                f"runs/{name}, and shipped models take no options."
            )
        if options["data"] is not None:
            click.echo(f"reading the images in {options['data']}")  # only headers, if many
        added = add_model(config, name, AddOptions(**options), sampler)
    else:
        added = add_named(config, name, sampler)
    for line in added_lines(added, label):
        click.echo(plain(line))


@click.command()
@click.argument("checkpoint", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(checkpoint: Path, as_json: bool) -> None:
    """Show a CHECKPOINT's format, step, parameters, averaged weights and architecture.

    CHECKPOINT is a file, a folder, or the name of a model of the site, of runs/ or of a shipped
    one. Nothing in the file is executed.

    \b
    Examples:
      sitegen inspect checkpoint_130000.pth
      sitegen inspect mnist --json
    """
    from sitegen.core.errors import RefusedError
    from sitegen.generative.checkpoints.inspection import inspect_checkpoint
    from sitegen.models.registry import named_folder

    report = inspect_checkpoint(named_folder(checkpoint))
    click.echo(plain(report.to_json() if as_json else report.to_text()))
    if report.problems:
        raise RefusedError(f"{report.file}: {'; '.join(report.problems)}")


_SAMPLE: tuple[Row, ...] = (
    ("data", PATH, "Training images to start from, if the model has no prior."),
    ("sampling-noise-std", click.FloatRange(0, 1), "Noise of each step.  [default: the card's]"),
    ("labels", LIST, "Labels by name or number, as in 3,7; the samples have them in turn."),
    ("guidance", click.FloatRange(0, 50), "Classifier-free guidance towards the labels."),
    ("steps", _LEVELS, "Number of steps, in place of the card's."),
    ("sampler-name", click.Choice(_SAMPLERS), "Sampler of a DDPM, a flow or EDM."),
)


@click.command()
@click.argument("model")
@click.option("--count", type=_COUNT, default=36, show_default=True, help="Number of samples.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the samples.")
@click.option(
    "--output",
    type=PATH,
    required=True,
    help="An .npz file, a folder for PNGs, or a .png of all samples with their numbers.",
)
@click.option("--address", help="An address of an atlas, as in 5.0231, in place of the samples.")
@click.option("--trajectory", is_flag=True, help="Keep the states and means of all levels.")
@click.option("--card", type=PATH, help="The card of a checkpoint file.")
@row_options(_SAMPLE, {"labels": "", "guidance": 0.0})
@compute_options
@config_option
@verbosity_options
def sample(
    model: str,
    output: Path,
    address: str | None,
    card: Path | None,
    data: Path | None,
    device: str,
    precision: str,
    config: Path,
    report: Console,
    **request: Any,
) -> None:
    """Draw samples from MODEL: one of site.toml or runs/, a shipped one, a folder or checkpoint.

    The same seed gives the same samples, up to rounding, whatever the count; with --precision
    float32 on any processor. An .npz file holds float32 arrays (N, C, H, W): final and initial,
    with --trajectory also states, means and levels. Pixels are in [0, 1] but not clipped. The
    initial states of a DDPM are its noise. Use one picture of all to choose samples: figures
    accept the numbers in it. Of a recording, these are recorded samples.

    \b
    Examples:
      sitegen sample mnist --count 36 --output digits/
      sitegen sample mnist --count 200 --output sheet.png
      sitegen sample mnist --count 2000 --seed 1 --output samples.npz
      sitegen sample digits --labels 3,7 --guidance 1.5 --output digits/
      sitegen sample faces --address 5.0231 --output face.png
      sitegen sample mnist-ddpm --steps 10 --sampler-name ddim --output digits/
      sitegen sample checkpoint_130000.pth --card cifar10.toml --data cifar/ --output cifar.npz
    """
    from sitegen.generative.checkpoints.resampling import resampled
    from sitegen.models.registry import find_model
    from sitegen.sampling.export import Request, check_output, draw_samples, draw_tile

    source = find_model(model, card, config)
    how = {name: request.pop(name) for name in ("steps", "sampler_name")}
    source = replace(source, card=resampled(source.card, **how))
    context = click.get_current_context()
    # A recording may have fewer samples than the default; a count that was asked for is refused
    # then.
    if source.card.recording and context.get_parameter_source("count") == ParameterSource.DEFAULT:
        request["count"] = min(request["count"], source.card.recording.count)
    samples, target = Request(**request), compute_target(device, precision)
    if address is not None:
        if samples.trajectory:
            raise click.UsageError("--address excludes --trajectory.")
        level = draw_tile(_sampler(source, data, target), samples, address, output)
        report.note(f"{source.name} at {address}, level {level}, in {output}")
        return
    check_output(output, samples)
    draw_samples(_sampler(source, data, target), samples, output, report)
    count = "one sample" if samples.count == 1 else f"{samples.count} samples"
    network = source.sampler is None and source.card.recording is None
    arithmetic = f", computed in {target.precision}" if network else ""
    report.note(f"{count} of {source.name} in {output}{arithmetic}")
    if output.suffix.lower() == ".png":
        seed = "" if source.card.recording else f"seed={samples.seed}, "
        chosen = f"{seed}samples=(…), chosen_from={samples.count}"
        how |= {"guidance": samples.guidance or None, "labels": samples.labels or None}
        how["sampling_noise_std"] = samples.sampling_noise_std
        texts = {key: json.dumps(v, ensure_ascii=False) for key, v in how.items() if v is not None}
        if len(samples.labels) > 1:  # those of the chosen samples
            texts["labels"] = "(…)"
        chosen += "".join(f", {key}={text}" for key, text in texts.items())
        report.note(f'show your choice with: {{{{ trajectories("{source.name}", {chosen}) }}}}')


def _sampler(source: ModelSource, data: Path | None, compute_target: ComputeTarget) -> Sampler:
    """Load a model with its prior: its own, or one made from `data`, where it starts from one."""
    from sitegen.core.errors import ConfigError, RefusedError

    starts = "prior" in source.card.abilities
    if not starts and data is not None:
        raise ConfigError(f'--data: the kind "{source.card.kind}" has no prior; leave it out')
    if starts and data is None and source.prior is None:
        raise RefusedError(
            f"the model {source.name} has no prior, so there is nothing to start from; "
            "give a folder of training images: --data DIR"
        )
    if data is None:
        from sitegen.sampling.provider import ModelProvider

        return ModelProvider({source.name: source}, compute_target).sampler(source.name)
    from sitegen.models.priors import prior_and_example
    from sitegen.sampling.models import load_sampler

    return load_sampler(source, compute_target, prior_and_example(source.card, data)[0])


_TRAIN: tuple[Row, ...] = (
    ("data", PATH, "A folder of pictures, an .npz, or files of MNIST's or CIFAR's binary format."),
    ("output", PATH, "The model's folder.  [default: runs/NAME]"),
    (
        "kind",
        KIND,
        "A model of heat dissipation (ihdm), or one of noise (ddpm, flow).  [default: ihdm; with "
        "--minutes flow, which shows shapes after fewer images]",
    ),
    ("minutes", _MINUTES, "Choose size, networks and recipe for it."),
    ("image-size", _SIDE, "Crop each image to its middle square, of N pixels per side."),
    ("levels", _LEVELS, f"K, the number of steps from flat to sharp.  [default: {DEFAULT_LEVELS}]"),
    ("images", _COUNT, "Images to train on, counting repetitions.  [default: 1000000]"),
    _SUBJECT,
    ("seed", SEED, "Seed of the initial weights and of the draws of each step.  [default: 0]"),
    ("device", str, "The device to train on: auto, cpu, cuda or cuda:N."),
    ("precision", PRECISION, "The network's arithmetic; auto is bfloat16 where that is fast."),
)


@click.command()
@click.argument("name")
@row_options(_TRAIN, {"device": "auto", "precision": "auto"}, "data")
@click.option(
    "--labels",
    type=click.Choice(["folders", "idx"]),
    help="Learn classes: a folder of pictures a class, or the labels of MNIST's format.",
)
@click.option("--finish", is_flag=True, help="Write the model from what a run learned so far.")
@verbosity_options
def train(name: str, report: Console, **options: Any) -> None:
    """Train a model on images, and write its weights, prior and card into a folder called NAME.

    With --minutes, a few steps are measured first, and size, networks, learning rate and number of
    images are chosen for that time. After a kill or Ctrl-C, the same command continues from the
    last saved state, and --finish writes the model from it. A finished run continues if --images is
    larger.

    \b
    Examples:
      sitegen train birds --data pictures/ --minutes 10
      sitegen train mnist --data .data/mnist
      sitegen train faces --data pictures/ --image-size 64 --images 3000000
      sitegen train mnist-ddpm --kind ddpm --data .data/mnist
    """
    # Torch's optimizers import its compiler, which is not used here and imports Triton. Triton
    # prints twenty lines about leaks at exit. Blocking the import has no other effect.
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
    from sitegen.content.suggestions import trained_lines
    from sitegen.models.training import TrainOptions, train_model

    folder = train_model(name, TrainOptions(**options), report)
    for line in trained_lines(name, folder):
        report.note(line)
