"""Make models/faces from drawn faces: python -m recipes.faces --help.

    python -m recipes.fetch --only faces more-faces
    python -m recipes.faces --data .data --output runs/faces

One network a band of levels. A round trains every band, beginning with the weights of the round
before. `--begin` is a folder of NAME.safetensors such as recipes/begun/faces, weights after the
first round: the bands that it has are not trained in that round. Networks compute in bfloat16 where
the processor has instructions for it. Each run is saved every two minutes and continues where it
was stopped, so that the same command resumes. `--band` trains one band only: start one process a
core, and at the end the command without `--band`, which joins the networks and estimates the
variance. `--save` writes the weights of the first round so far, to begin with elsewhere.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.judging.attributes import ATTRIBUTES, label_of
from recipes.cascade import matrices, spread_over_bands, write_networks
from recipes.cosines import LowCosines, low_cosines, principal_axes
from recipes.rounding import round_weights
from recipes.runs import BandRun, Loss, read_net, read_recipe, turned
from recipes.train_band import COSINES, TRAINING, highest_level, image_loss
from recipes.train_cosines import cosine_loss
from sitegen.cli import exits
from sitegen.core.compute import has_bfloat16
from sitegen.generative.card.card import BlurRange, FileRef, ModelCard
from sitegen.generative.card.networks import Band, CosineConfig, UNetConfig
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.checkpoints.weights import RESIDUAL
from sitegen.generative.data.prior import PRIOR_IMAGES, PRIOR_NAME, make_prior
from sitegen.generative.maths.heat import Statistics
from sitegen.generative.networks.construct import new_network
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import image_statistics
from sitegen.generative.training.residual import residual_shares
from sitegen.generative.training.train import write_state
from sitegen.models.converting import large_matrices

log = logging.getLogger(__name__)

SIDE, CHANNELS, LEVELS = 64, 3, 100
NAMES = ("fine", "middle", "coarse", "shape", "layout")
"""The bands, from the sharp levels to the flat ones."""
BANDS = (
    Band(1, unet=UNetConfig(48, (1, 2), num_res_blocks=1, norm_groups=8, patch_size=2)),
    Band(32, 32, UNetConfig(32, (1, 2, 2), num_res_blocks=1, norm_groups=8)),
    Band(47, 16, UNetConfig(32, (2, 4), num_res_blocks=1, norm_groups=8)),
    Band(65, 10, cosines=CosineConfig(416, 4, 128)),
    Band(86, 5, cosines=CosineConfig(288, 4, 128)),
)
VISITS = (6, 7, 18, 21, 15)
"""Levels of each band that sampling visits."""
GUIDANCE = (0.1, 0.1, 0.1, 0.0, 0.0)
STATISTICS_NAME, SAVED, KEPT = "statistics.pt", ".safetensors", "kept"


@dataclass(frozen=True)
class Amounts:
    """Images that each band learns from in a round, and of how many others its statistics are.

    A band of 0 images keeps the weights of the round before. Faces of the classes in `often` are
    drawn so many times as often as others. Learning rates are multiplied by `rate`. The weights in
    the end are the share `kept` of those of the round before, and the rest the new ones. The error
    of pixels of the mouth counts `mouth` times for a U-Net. The fine U-Net learns the levels from
    `lowest` on.
    """

    images: tuple[int, ...]
    data: int | None = None
    often: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rate: float = 1.0
    kept: float = 0.0
    mouth: float = 1.0
    lowest: int = 1


RARE: Mapping[tuple[str, str], int] = {
    ("accessory", "eye black"): 3,
    ("glasses", "facemask"): 2,
    ("mouth", "open"): 2,
}
"""Classes that samples showed in 0.39, 0.44 and 0.50 of their share after the fifth round."""
OPEN: Mapping[tuple[str, str], int] = {("mouth", "open"): 2}
"""The class that samples showed in 0.65 of its share after the tenth round."""
ROUNDS: tuple[Amounts, ...] = (
    Amounts((110_000, 150_000, 250_000, 5_000_000, 4_000_000)),
    Amounts((150_000, 160_000, 160_000, 6_000_000, 6_000_000)),
    Amounts((90_000, 0, 200_000, 0, 0)),
    Amounts((0, 0, 0, 12_000_000, 12_000_000)),
    Amounts((0, 0, 140_000, 0, 0)),
    Amounts((0, 0, 130_000, 0, 0), often=RARE, kept=0.5),
    Amounts((0, 0, 0, 4_000_000, 0), often=RARE, rate=0.5),
    Amounts((60_000, 130_000, 0, 0, 0), mouth=5.0),
    Amounts((0, 60_000, 0, 0, 0), mouth=5.0),
    Amounts((0, 0, 80_000, 0, 0), mouth=5.0, kept=0.5),
    Amounts((0, 200_000, 0, 0, 0), mouth=5.0),
    Amounts((44_000, 0, 0, 0, 0), mouth=5.0, kept=0.3),
    Amounts((0, 0, 220_000, 0, 0), often=OPEN, mouth=5.0, kept=0.3),
    Amounts((0, 64_000, 0, 0, 0), mouth=5.0, kept=0.5),
    Amounts((56_000, 0, 0, 0, 0), mouth=5.0),
    Amounts((160_000, 0, 0, 0, 0), mouth=12.0, lowest=9),
    Amounts((0, 0, 0, 1_200_000, 0), rate=0.3, kept=0.5),
)
MOUTH = (46, 60, 22, 43)
"""First and last row and column around mouths, in pixels of 64.

Of samples that began at level 31 of held-out faces, a classifier was sure of the mouth in 0.920,
and of 0.992 of real ones. For each other attribute these shares differed by 0.01 at most.
"""
TINY = Amounts((64, 64, 64, 4096, 4096), data=512)


def face_card(data: str) -> HeatDissipation:
    """Return the card of the cascade, without files."""
    card = HeatDissipation(
        image_size=SIDE,
        channels=CHANNELS,
        levels=LEVELS,
        unet=None,
        blur=BlurRange(0.5, SIDE * 5 / 7),
        sampling_noise_std=0.01,
        parameterization="preconditioned",
        bands=BANDS,
        sampling=SamplingConfig(variance="estimated", forward="markov", guidance=GUIDANCE),
        subject="cartoon faces",
        training={"data": data},
    )
    assert card.sampling is not None
    levels = spread_over_bands(card, VISITS)[:-1]  # one step from level 10 to 0 is as good as two
    return replace(card, sampling=replace(card.sampling, levels=levels))


def mapped_images(folder: Path, count: int | None = None) -> Tensor:
    """Return the images of `folder` as uint8 (N, C, H, W), memory-mapped; the first `count`.

    Raises SystemExit for a file that `make data` has not written.
    """
    path = folder / "train-images-idx4-ubyte"
    if not path.is_file():
        raise SystemExit(f"{path}: is missing; `python -m recipes.fetch --only faces more-faces`")
    size, *shape = np.fromfile(path, ">u4", 4, offset=4).tolist()
    pixels = np.memmap(path, np.uint8, "c", 20, (size, *shape))
    return torch.from_numpy(pixels[:count]).permute(0, 3, 1, 2)


def repeated(folder: Path, count: int, often: Mapping[tuple[str, str], int]) -> Tensor:
    """Return indices of the first `count` images, those of the classes in `often` several times.

    Raises SystemExit if there are fewer faces in the list of `folder`.
    """
    path = folder / "train-attributes.jsonl"
    with path.open(encoding="utf-8") as lines:
        labels = torch.tensor([label_of(json.loads(line)) for line in islice(lines, count)])
    if len(labels) < count:
        raise SystemExit(f"{path}: lists {len(labels)} of {count} faces; draw them again")
    times = torch.ones(count, dtype=torch.long)
    for (name, shown), times_drawn in often.items():
        has = labels[:, list(ATTRIBUTES).index(name)] == ATTRIBUTES[name].index(shown)
        times[has] = times[has].clamp_min(times_drawn)
    return torch.repeat_interleave(times)


def mouth_weights(side: int, weight: float) -> Tensor:
    """Return weights (side, side) of pixels: `weight` at the mouth, 1 elsewhere, smooth between."""
    position = (torch.arange(side) + 0.5) * (SIDE / side)
    top, bottom, left, right = MOUTH
    rows = torch.sigmoid(position - top) * torch.sigmoid(bottom - position)
    columns = torch.sigmoid(position - left) * torch.sigmoid(right - position)
    return 1 + (weight - 1) * rows[:, None] * columns


def base_model(data: Path, output: Path, count: int | None) -> Model:
    """Return untrained networks with the statistics of the images, which are computed once."""
    path = output / STATISTICS_NAME
    if not path.is_file():
        tensors = image_statistics(mapped_images(data / "faces", count)).tensors()
        output.mkdir(parents=True, exist_ok=True)
        torch.save(tensors, path)
    tensors = torch.load(path, weights_only=True)
    statistics = Statistics(*(tensors[name] for name in sorted(tensors)))
    card = face_card("cartoon faces drawn by facesjs 5.0.3 and resvg, from recipes/drawn_faces")
    networks = [new_network(band, CHANNELS, SIDE) for band in BANDS]
    return Model(card, networks, statistics)


def train_band(
    model: Model,
    number: int,
    images: Tensor,
    amounts: Amounts,
    seed: int,
    first: Path | None,
    path: Path,
    order: Tensor | None = None,
) -> None:
    """Train the network of a band, from the weights of `first` if given.

    `order` is that of `image_loss`.
    """
    band = model.card.networks[number]
    options = TRAINING if band.unet else COSINES
    rates = options.learning_rate * amounts.rate, options.muon_learning_rate * amounts.rate
    options = replace(options, images=amounts.images[number], seed=seed)
    options = replace(options, learning_rate=rates[0], muon_learning_rate=rates[1])
    half = has_bfloat16("cpu")
    if band.unet:
        weights = mouth_weights(band.side or SIDE, amounts.mouth) if amounts.mouth != 1 else None
        learned = replace(band, lowest_level=max(band.lowest_level, amounts.lowest))
        loss = image_loss(model, images, learned, options, half, order, weights)
        run = BandRun(band, model.card, loss, options)
    else:
        side = band.side or SIDE
        sharp = low_cosines(images, side)
        cosines = LowCosines.of(model, side)
        levels = range(band.lowest_level, highest_level(model, band) + 1)
        axes, shares = principal_axes(cosines, sharp, levels)
        drawn = sharp if order is None else sharp[order]
        loss = cosine_loss(replace(cosines, axes=axes), drawn, options, levels, half)
        run = BandRun(band, model.card, loss, options)
        run.see_along(axes, shares)
    if first is not None:
        run.begin_from(starting_weights(first))
    started = time.process_time()
    run.to_the_end(path)
    log.info("%s: %.0f s of the processor in this session", path, time.process_time() - started)


def starting_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a run, or of what `save_weights_of` wrote."""
    return saved_weights(path) if path.suffix == SAVED else averaged(path)


def keep_share(path: Path, first: Path, share: float) -> None:
    """Mix the averaged weights of a finished run with a `share` of those of `first`."""
    state, before = torch.load(path, weights_only=True), starting_weights(first)
    axes = state.get("axes")
    if axes is not None:
        before = turned(before, torch.linalg.inv(axes))
    for name, value in state["ema"].items():
        value.lerp_(before[name], share)
    write_state(path, state | {KEPT: share})


def is_mixed(path: Path) -> bool:
    """Return whether `keep_share` has changed the run, which is not continued then."""
    return path.is_file() and KEPT in torch.load(path, weights_only=True)


def averaged(run: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a run."""
    weights: dict[str, Tensor] = read_net(run)[1].state_dict()
    return weights


def saved_weights(path: Path) -> dict[str, Tensor]:
    """Read what `save_weights_of` wrote, as float32."""
    return {name: value.float() for name, value in load_file(path).items()}


def save_weights_of(runs: Mapping[str, Path], folder: Path) -> None:
    """Write the averaged weights of each run as NAME.safetensors, float16, to begin with later."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        if run.is_file():
            weights = {key: value.half().contiguous() for key, value in averaged(run).items()}
            save_file(weights, folder / f"{name}{SAVED}")
            log.info("%s: %s", folder / f"{name}{SAVED}", read_recipe(run)["states_seen"])


def network_of(path: Path, band: Band) -> nn.Module:
    """Return the network of a run, or of what `save_weights_of` wrote."""
    if path.suffix != SAVED:
        trained: nn.Module = read_net(path)[1]
        return trained
    network = new_network(band, CHANNELS, SIDE)
    network.load_state_dict(saved_weights(path))
    return network


def round_networks(model: Model, networks: Sequence[nn.Module], images: Tensor) -> None:
    """Round the weights that are stored as bytes, those of `matrices`, so that little changes."""
    for band, network in zip(model.card.networks, networks, strict=True):
        names = large_matrices(dict(network.named_parameters()))
        round_weights(network, names, band_loss(model, band, images))


def band_loss(model: Model, band: Band, images: Tensor) -> Loss:
    """Return the loss of a finished network of a band, in float32."""
    if band.unet:
        return image_loss(model, images, band, TRAINING, half=False)
    side = band.side or SIDE
    levels = range(band.lowest_level, highest_level(model, band) + 1)
    return cosine_loss(LowCosines.of(model, side), low_cosines(images, side), COSINES, levels)


def join(model: Model, runs: Sequence[Path], images: Tensor, output: Path) -> ModelCard:
    """Write the model of the trained networks: byte weights, residual variance and prior."""
    networks = [network_of(path, band) for path, band in zip(runs, BANDS, strict=True)]
    assert model.statistics is not None
    recipe = {path.stem: read_recipe(path) for path in runs if path.suffix != SAVED}
    card = replace(model.card, training={**model.card.training, **recipe})
    round_networks(model, networks, images)
    trained = Model(card, networks, model.statistics).eval()
    shares = residual_shares(trained, images.numpy())
    output.mkdir(parents=True, exist_ok=True)
    bank = make_prior(images.numpy(), card, PRIOR_IMAGES, "cartoon faces")
    card = replace(card, prior=FileRef(PRIOR_NAME, bank.write(output / PRIOR_NAME)))
    tensors = model.statistics.tensors() | {RESIDUAL: shares}
    return write_networks(output, card, tensors, networks, matrices(card, networks))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="recipes.faces", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".data"), help="folder of `make data`")
    parser.add_argument("--output", type=Path, default=Path("runs/faces"))
    parser.add_argument("--rounds", type=int, default=len(ROUNDS), help="rounds to train")
    parser.add_argument("--band", choices=NAMES, help="train this band only, and do not join")
    parser.add_argument("--begin", type=Path, help="folder with weights after the first round")
    parser.add_argument(
        "--save", type=Path, help="write the weights so far there, and train nothing"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="rounds of a few steps, to try it")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    if options.save is not None:
        first = options.output / "round-1"
        save_weights_of({name: first / f"{name}.pt" for name in NAMES}, options.save)
        return
    tiny = (TINY, replace(TINY, often=RARE, rate=0.5, kept=0.5, mouth=5.0, lowest=9))
    rounds = (tiny if options.tiny else ROUNDS)[: options.rounds]
    if options.begin is not None and len(rounds) == 1:
        raise SystemExit("--begin: has the weights of the first round; leave out --rounds 1")
    model = base_model(options.data, options.output, rounds[0].data)
    more = options.data / ("faces" if options.tiny else "more-faces")
    images = mapped_images(more, rounds[0].data)
    begun: Mapping[str, Path] = {}
    if options.begin is not None:
        files = {name: options.begin / f"{name}{SAVED}" for name in NAMES}
        begun = {name: path for name, path in files.items() if path.is_file()}
    runs: dict[str, Path] = {}
    for number, amounts in enumerate(rounds):
        before, skipped = dict(runs), begun if number == 0 else {}
        for index, name in enumerate(NAMES):
            if name in skipped:
                runs[name] = skipped[name]
                continue
            if not amounts.images[index]:
                continue
            runs[name] = options.output / f"round-{number + 1}" / f"{name}.pt"
            if options.band in (None, name) and not is_mixed(runs[name]):
                first = before.get(name)
                order = repeated(more, len(images), amounts.often) if amounts.often else None
                train_band(model, index, images, amounts, number, first, runs[name], order)
                if amounts.kept and first is not None:
                    keep_share(runs[name], first, amounts.kept)
    if options.band is None:
        join(model, [*runs.values()], mapped_images(options.data / "faces"), options.output)
        print(f"the model: {options.output}")


if __name__ == "__main__":
    exits.run(main)
