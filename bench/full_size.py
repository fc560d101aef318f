"""Measure loading and running the largest published networks.

    python -m bench.full_size [NAME …] [--json FILE] [--folder DIR]

For each preset it writes a checkpoint as published (raw weights, averages and the optimizer's two
moments), random but with all names and shapes. A separate process, which must stay below `LIMIT`,
then samples two levels of one image from it. Writing needs up to 5 GB of disk and memory. Linux
only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from sitegen.cli import exits
from sitegen.generative.card.card import preset
from sitegen.generative.checkpoints.loading import network_shapes

NAMES = ("ffhq-128", "lsun-church-128", "afhq-256", "ffhq-256")
LIMIT = 2_200_000_000
"""Largest memory of a network in bytes; the weights of the largest alone are 1.05 GB."""
LEVELS = 2


@dataclass(frozen=True)
class Cost:
    """Cost of one network: bytes of file and memory, seconds of one core to load and per level."""

    name: str
    parameters: int
    file_bytes: int
    loaded_bytes: int
    peak_bytes: int
    load_seconds: float
    level_seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table; raises SystemExit if a network exceeds the limit."""
    parser = argparse.ArgumentParser(prog="bench.full_size", description="Run full networks.")
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help="presets")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to write checkpoints")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(sampled(Path(options.names[1]), options.names[0])))
        return
    costs = [measure(name, options.folder) for name in options.names]
    print(markdown(costs))
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    large = [cost.name for cost in costs if cost.peak_bytes > LIMIT]
    if large:
        raise SystemExit(f"more than {LIMIT / 1e9:.1f} GB: {', '.join(large)}")


def measure(name: str, folder: Path | None = None) -> Cost:
    """Write a checkpoint of a preset, and sample from it in a separate process."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        file = Path(temporary, "checkpoint_1300.pth")
        parameters = write_checkpoint(name, file)
        command = [sys.executable, "-m", "bench.full_size", "--child", name, str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return Cost(name, parameters, file.stat().st_size, **json.loads(done.stdout))


def write_checkpoint(name: str, path: Path) -> int:
    """Write random weights of a preset as published; return the number of parameters."""
    shapes = network_shapes(preset(name))
    generator = torch.Generator().manual_seed(0)

    def tensors() -> list[torch.Tensor]:
        return [0.02 * torch.randn(shape, generator=generator) for shape in shapes.values()]

    moments = zip(tensors(), tensors(), strict=True)
    state = {
        place: {"step": torch.tensor(1300.0), "exp_avg": first, "exp_avg_sq": second}
        for place, (first, second) in enumerate(moments)
    }
    averages = tensors()
    value: dict[str, Any] = {
        "optimizer": {"state": state, "param_groups": [{"params": list(state)}]},
        "model": dict(zip((f"module.{key}" for key in shapes), tensors(), strict=True)),
        "step": 1300,
        "ema": {"decay": 0.9999, "num_updates": 1300, "shadow_params": averages},
    }
    torch.save(value, path)
    return sum(tensor.numel() for tensor in averages)


def sampled(file: Path, name: str) -> dict[str, float]:
    """Load a checkpoint as a site does, sample two levels of one image, and return the cost."""
    from sitegen.core.compute import ComputeTarget
    from sitegen.models.registry import preset_source
    from sitegen.sampling.models import load_sampler

    torch.set_num_threads(1)
    start = time.process_time()
    sampler = load_sampler(preset_source(name, file, name), ComputeTarget("cpu", "float32"))
    loaded, held = time.process_time(), peak_memory()
    for step in islice(sampler.begin(0, [0], None).steps, LEVELS):
        assert bool(step.mean.isfinite().all())
    seconds = (time.process_time() - loaded) / LEVELS
    return {
        "loaded_bytes": held,
        "peak_bytes": peak_memory(),
        "load_seconds": loaded - start,
        "level_seconds": seconds,
    }


def peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def markdown(costs: Sequence[Cost]) -> str:
    """Return the numbers as a table."""
    rows = [
        f"| {cost.name} | {cost.parameters / 1e6:.1f} M | {cost.file_bytes / 1e9:.2f} GB "
        f"| {cost.loaded_bytes / 1e9:.2f} GB | {cost.peak_bytes / 1e9:.2f} GB "
        f"| {cost.load_seconds:.0f} s | {cost.level_seconds:.1f} s |"
        for cost in costs
    ]
    head = "| preset | parameters | file | peak, loading | peak | to load | a level |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *rows])


if __name__ == "__main__":
    exits.run(main)
