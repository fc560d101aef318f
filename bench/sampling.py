"""Compare a plain sampling loop, sitegen's, and the floor: the time of the arithmetic alone.

    python -m bench.sampling [NAME …] [--images 1 40] [--precision float32] [--json FILE]

NAME is a shipped model or a preset, whose architecture gets random weights. Each U-Net is timed
at one of its levels, with everything that a model does around it:

- plain: eager torch in float32, all images at once, with torch's own threads;
- ours: as figures are sampled, in chunks and by the engine chosen for this machine;
- floor: the operations that torch counts in an evaluation, over the rate of a large float32
  matrix product by the fastest library on this machine (torch, numpy or ONNX Runtime).

All are measured in turn, three times in a row, repeatedly, and the minimum of each counts; for
matrix products it is that of the whole run. Other programs that run for a while therefore do not
matter. `OMP_NUM_THREADS` sets the number of cores. With one core `--clock cpu` counts this
process's CPU time, which is more reliable on a busy machine; with several it is the sum over all
cores.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sitegen.cli import exits
from sitegen.core.compute import CPUINFO, Precision
from sitegen.generative.card.card import preset, presets
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.engines.choice import choose_engines
from sitegen.generative.engines.chunks import CORES
from sitegen.generative.networks.construct import new_network
from sitegen.generative.process.ddpm import DiffusionModel
from sitegen.generative.process.model import Model
from sitegen.sampling.models import keep_freed_memory
from sitegen.sampling.run import ChunkedModel

ROOT = Path(__file__).resolve().parent.parent
NAMES = (
    "mnist",
    "fashion-mnist",
    "mnist-ddpm",
    "preset mnist-small",
    "preset mnist",
    "preset cifar10",
    "preset afhq-64",
)
MATRIX = 1536
"""Rows and columns of the matrices for the rate."""
UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve")
"""Vector and matrix units by their names in /proc/cpuinfo."""
ENOUGH = 30.0
"""Seconds after which a comparison that was repeated twice is not repeated again."""
IN_A_ROW = 3

AnyModel = Model | DiffusionModel
Clock = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """Milliseconds per image and level, for one U-Net of a model and a number of images."""

    name: str
    level: int
    images: int
    gflop: float
    plain_ms: float
    ours_ms: float


@dataclass(frozen=True)
class Report:
    """All measurements; `gflops` is the highest rate of each library, in GFLOP per second.

    The floor is the same for all: the highest of these rates. Rates of single comparisons could be
    lowered by other programs, which would make sitegen look better.
    """

    processor: str
    units: list[str]
    cores: int
    precision: str
    gflops: dict[str, float]
    comparisons: list[Comparison]

    def floor_ms(self, comparison: Comparison) -> float:
        """Return the time of the arithmetic alone, per image and level."""
        return 1e3 * comparison.gflop / max(self.gflops.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(prog="bench.sampling", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help="what to measure")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 40], help="at a time (1 40)")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repetitions", type=int, default=9, help="of each comparison (9)")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="see above (wall)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args(arguments)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    numbers = options.images, options.precision, options.repetitions
    report = measure(options.names, *numbers, clock)
    print(markdown(report))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


@torch.inference_mode()
def measure(
    names: Sequence[str],
    images: Sequence[int],
    precision: Precision,
    repetitions: int,
    clock: Clock = time.perf_counter,
) -> Report:
    """Compare every U-Net of the models, with each number of images."""
    keep_freed_memory()
    products, comparisons = matrix_products(), []
    least = dict.fromkeys(products, math.inf)
    for name in names:
        plain = model_called(name)
        ours: Any = copy.copy(plain)
        ours.engines, ours.precision = {}, precision
        choose_engines(ours)
        chunked: Any = ChunkedModel(ours)
        for level in unet_levels(plain):
            for count in images:
                states = torch.rand(count, *plain.card.shape)
                loops = {"plain": partial(plain, states, level)}
                loops["ours"] = partial(chunked, states, level)
                seconds = least_seconds({**products, **loops}, repetitions, clock)
                for each in products:
                    least[each] = min(seconds[each], least[each])
                gflop = operations(plain, states[:1], level) / 1e9
                taken = (1e3 * seconds[each] / count for each in loops)
                comparisons.append(Comparison(name, level, count, gflop, *taken))
                print(f"measured {name}, level {level}, {count} images", file=sys.stderr)
    gflops = {name: 2 * MATRIX**3 / 1e9 / seconds for name, seconds in least.items()}
    text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    return Report(*processor(text), CORES, precision, gflops, comparisons)


def model_called(name: str) -> AnyModel:
    """Return a shipped model, or after "preset" an architecture with random weights."""
    word, _, known = name.partition(" ")
    if word != "preset":
        model = load_model(ROOT / "models" / name)
        assert isinstance(model, Model | DiffusionModel)
        return model
    if known not in presets():
        raise SystemExit(f"{known}: presets are {', '.join(presets())}")
    card = preset(known)
    torch.manual_seed(0)
    networks = [new_network(band, card.channels, card.image_size) for band in card.networks]
    return Model(card, networks).eval().requires_grad_(False)


def unet_levels(model: AnyModel) -> list[int]:
    """Return the lowest level of each band with a U-Net."""
    bands = model.card.networks
    return [band.lowest_level for band in bands if isinstance(band.unet, UNetConfig)]


def matrix_products() -> dict[str, Callable[[], object]]:
    """Return products of large matrices by each library, with its own threads."""
    first, second = torch.rand(2, MATRIX, MATRIX)
    left, right = first.numpy(), second.numpy()
    products: dict[str, Callable[[], object]] = {
        "torch": lambda: first @ second,
        "numpy": lambda: left @ right,
    }
    session = onnx_product()
    if session is not None:
        products["onnxruntime"] = lambda: session({"a": left, "b": right})
    return products


def onnx_product() -> Callable[[Mapping[str, np.ndarray]], object] | None:
    """Return the product of two matrices by ONNX Runtime, or None if it is not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        return None
    shape = (MATRIX, MATRIX)
    a, b, c = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a, b], [c]
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    options.add_session_config_entry("session.force_spinning_stop", "1")
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, given)


def least_seconds(
    runs: Mapping[str, Callable[[], object]], repetitions: int, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Return the minimum time of each of the runs, which take turns; the first turn is a warm-up.

    A turn is `IN_A_ROW` runs, as in sampling; the first of them finds its data in no cache.
    """
    for run in runs.values():
        run()
    least, begun = dict.fromkeys(runs, math.inf), clock()
    for done in range(repetitions):
        if done >= 2 and clock() - begun > ENOUGH:
            break
        for name, run in runs.items():
            for _ in range(IN_A_ROW):
                started = clock()
                run()
                least[name] = min(least[name], clock() - started)
    return least


def operations(model: AnyModel, states: Tensor, level: int) -> int:
    """Return the floating-point operations of an evaluation, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        model(states, level)
    return int(counter.get_total_flops())


def processor(cpuinfo: str) -> tuple[str, list[str]]:
    """Return the name and units of the first processor in /proc/cpuinfo."""
    told: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    flags = (told.get("flags") or told.get("Features") or "").split()
    return told.get("model name", "unknown"), [unit for unit in UNITS if unit in flags]


def markdown(report: Report) -> str:
    """Return the numbers as a table."""
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in report.gflops.items())
    head = [
        f"{report.processor} ({', '.join(report.units) or 'no units known'}), {report.cores} "
        f"cores; ours in {report.precision}; large float32 matrix products, GFLOP/s: {rates}",
        "",
        "| network | images | GFLOP | plain, ms | ours, ms | floor, ms | plain, of the floor "
        "| ours, of the floor | times as fast |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *(_row(each, report.floor_ms(each)) for each in report.comparisons)])


def _row(each: Comparison, floor: float) -> str:
    return (
        f"| {each.name}, level {each.level} | {each.images} | {each.gflop:.2f} "
        f"| {each.plain_ms:.1f} | {each.ours_ms:.1f} | {floor:.1f} "
        f"| {floor / each.plain_ms:.2f} | {floor / each.ours_ms:.2f} "
        f"| {each.plain_ms / each.ours_ms:.1f} |"
    )


if __name__ == "__main__":
    exits.run(main)
