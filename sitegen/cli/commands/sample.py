"""`sitegen sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sitegen.cli.options import (
    SEED,
    compute_options,
    compute_target,
    config_option,
    console,
    finite,
    model_names,
    talk_options,
)

if TYPE_CHECKING:
    from sitegen.core.compute import ComputeTarget
    from sitegen.models.registry import ModelSource
    from sitegen.sampling.models import DdpmSampler, HeatSampler


@click.command()
@click.argument("model", shell_complete=model_names)
@click.option("--count", type=click.IntRange(1), default=36, show_default=True, help="How many.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Their seed.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A file in .npz, or a folder for PNGs.",
)
@click.option("--trajectory", is_flag=True, help="Keep the states and means of all levels.")
@click.option("--card", type=click.Path(path_type=Path), help="The card of a checkpoint file.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Training images to start from, where the model has no prior.",
)
@click.option(
    "--sampling-noise-std",
    type=click.FloatRange(0, 1),
    callback=finite,
    help="The noise added at each step; the card's if not given.",
)
@compute_options("float32")
@config_option
@talk_options
def sample(
    model: str,
    count: int,
    seed: int,
    output: Path,
    trajectory: bool,
    card: Path | None,
    data: Path | None,
    sampling_noise_std: float | None,
    device: str,
    precision: str,
    config: Path,
) -> None:
    """Draw samples from MODEL: a name in site.toml, a shipped model, a folder or a checkpoint.

    The same seed gives the same samples, up to rounding of the arithmetic, however many are asked
    for. An .npz file holds float32 arrays (N, C, H, W): final and initial, with --trajectory also
    states, means and levels. Pixels are in [0, 1], not clipped, also of a DDPM, whose initial
    states are its noise.

    \b
    Examples:
      sitegen sample mnist --count 36 --output digits/
      sitegen sample mnist --count 2000 --seed 1 --output samples.npz
      sitegen sample checkpoint_130000.pth --card cifar10.toml --data cifar/ --output cifar.npz
    """
    from sitegen.sampling.export import Request, check_output, sample

    check_output(output)
    source = _model(model, card, config)
    sampler = _actor(source, data, compute_target(device, precision))
    request = Request(count, seed, sampling_noise_std, trajectory)
    report = console()
    path = sample(sampler, request, output, report)
    report.note(f"{count} samples of {source.name} in {path}")


def _actor(
    source: ModelSource, data: Path | None, compute_target: ComputeTarget
) -> HeatSampler | DdpmSampler:
    """A model with its prior: its own, or made from `data`; a DDPM starts from noise."""
    from sitegen.core.errors import ConfigError, RefusedError

    if source.card.kind == "ddpm":
        if data is not None:
            raise ConfigError("--data: a DDPM starts from noise; leave it out")
        from sitegen.sampling.models import load_ddpm_sampler

        return load_ddpm_sampler(source, compute_target)
    if data is None and source.prior is None:
        raise RefusedError(
            f"the model {source.name} has no prior, so there is nothing to start from; "
            "give a folder of training images: --data DIR"
        )
    from sitegen.models.priors import prior_from_data
    from sitegen.sampling.models import load_heat_sampler

    prior = None if data is None else prior_from_data(source.card, data)
    return load_heat_sampler(source, compute_target, prior)


def _model(name: str, card: Path | None, config: Path) -> ModelSource:
    from sitegen.config.loader import load_site
    from sitegen.models.registry import find_model

    source = click.get_current_context().get_parameter_source("config")
    if source is ParameterSource.COMMANDLINE:
        load_site(config)  # a site that was named must be there, whether it is needed or not
    return find_model(name, card, config)
