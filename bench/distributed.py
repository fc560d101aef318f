"""Measure the overhead of a shard in a cluster, and simulate the speed-up of many workers.

    python -m bench.distributed [--model models/mnist] [--count 80] [--json FILE] [--picture FILE]

Samples with one single-threaded worker process on this machine, once to warm up and once measured:
time that the worker does not compute is overhead. Then a simulation distributes the measured times
of the blocks, each with that overhead, over 1 … 64 workers as a build does.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sitegen.builder.pipeline import FIGURES_AT_ONCE
from sitegen.builder.renderer import ClusterRenderer
from sitegen.cli import exits
from sitegen.cli.console import Console
from sitegen.cluster.client import Cluster, connect
from sitegen.cluster.local import start
from sitegen.cluster.place import AHEAD
from sitegen.cluster.worker import ShardBlock
from sitegen.figures.svg import Axis, Drawing, Panel, group, label
from sitegen.models.registry import model_source

WORKERS = (1, 2, 4, 8, 16, 32, 64)
WORKS = {
    "16 figures of 36 samples, 28 pixels: 16 shards": [1] * 16,
    "1 figure of 1,000 samples, 28 pixels: 25 shards": [25],
    "16 figures of 36 samples, 64 pixels: 80 shards": [5] * 16,
    "1 figure of 1,000 samples, 64 pixels: 125 shards": [125],
}
"""Simulated builds: the number of shards of each figure."""
COLOURS = ("#334279", "#b0472d", "#2b7a4b", "#8a5a9e")


@dataclass(frozen=True)
class Measured:
    """Measurements: `blocks` are the compute seconds of each block of each shard."""

    blocks: list[list[float]]
    seconds: float
    megabytes: float

    @property
    def overhead(self) -> float:
        """Overhead of a shard in seconds."""
        computed = sum(map(sum, self.blocks))
        return max(0.0, self.seconds - computed) / len(self.blocks)

    @property
    def share(self) -> float:
        """Overhead of a shard as a share of its time."""
        return self.overhead * len(self.blocks) / self.seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, simulate, print a table, and write the files requested."""
    parser = argparse.ArgumentParser(prog="bench.distributed", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/mnist"), metavar="FOLDER")
    parser.add_argument("--count", type=int, default=80, help="samples (80)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the chart there (SVG)")
    options = parser.parse_args(arguments)
    measured = measure(options.model, options.count)
    gains = {name: speed_ups(work, measured) for name, work in WORKS.items()}
    print(markdown(measured, gains))
    if options.json:
        numbers = {**asdict(measured), "speed_ups": gains}
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    if options.picture:
        options.picture.write_text(chart(gains).text(), encoding="utf-8")


def measure(model: Path, count: int) -> Measured:
    """Sample with one worker, and record the compute time of each block."""
    source = model_source(model.name, model)
    with ExitStack() as ending:
        own = start(1, "cpu", threads=1)
        ending.callback(own.close)
        client = connect(own.scheduler_address)
        cluster = Recorded(client, "local", Console(quiet=True), "cpu", "float32")
        ending.callback(cluster.close)
        sampler = ClusterRenderer({source.name: source}, cluster).sampler(source.name)
        for _ in sampler.begin(1, range(min(count, 8)), None).seen("state"):
            pass
        cluster.blocks.clear()
        started = time.perf_counter()
        for _ in sampler.begin(0, range(count), None).seen("state"):
            pass
        seconds = time.perf_counter() - started
    return _measured(cluster.blocks, seconds)


class Recorded(Cluster):
    """Cluster that records the times and sizes of its blocks."""

    def __init__(self, *arguments: Any) -> None:
        self.blocks: list[ShardBlock] = []
        super().__init__(*arguments)

    def result(self, name: str, future: Any, workers: frozenset[str]) -> ShardBlock:
        """Return a block, and record it."""
        block = super().result(name, future, workers)
        self.blocks.append(block)
        return block


def _measured(blocks: Sequence[ShardBlock], seconds: float) -> Measured:
    """Group the blocks by shard: a build takes one of every shard, then the next of every shard."""
    levels = [block.seen[0][0] for block in blocks]
    shards = levels.count(levels[0])
    size = sum(each.nbytes for block in blocks for _, kept in block.seen for each in kept)
    by_shard = [[block.seconds for block in blocks[shard::shards]] for shard in range(shards)]
    return Measured(by_shard, seconds, size / 1e6)


def speed_ups(figures: Sequence[int], measured: Measured) -> list[float]:
    """Return the speed-up over one worker for each number of `WORKERS`."""
    blocks = len(measured.blocks[0])
    times = [
        simulate(figures, measured.blocks, measured.overhead / blocks, count) for count in WORKERS
    ]
    return [times[0] / each for each in times]


def simulate(
    figures: Sequence[int],
    seconds: Sequence[Sequence[float]],
    overhead: float,
    workers: int,
    at_once: int = FIGURES_AT_ONCE,
) -> float:
    """Return the seconds until all blocks of all figures are done, without drawing.

    figures: number of shards of each
    seconds: of each block of a shard; shards use the entries in turn
    overhead: additional seconds of a worker for each block

    A block waits for the previous one, and for the build, which requests `AHEAD` blocks beyond the
    one that it waits for, of as many figures at a time as it draws. Blocks are computed in the
    order of their requests.
    """
    count = len(seconds[0])
    done = [[0] * shards for shards in figures]
    asked = [[0] * shards for shards in figures]
    waiting: list[tuple[int, int, int]] = []
    running: list[tuple[float, int, int]] = []
    begun, free, now = 0, workers, 0.0

    def ask(figure: int) -> None:
        reached = min(done[figure]) + AHEAD
        for shard, block in enumerate(done[figure]):
            if asked[figure][shard] == block < count and block <= reached:
                asked[figure][shard] += 1
                heapq.heappush(waiting, (block, figure, shard))

    while True:
        unfinished = sum(min(done[figure]) < count for figure in range(begun))
        while begun < len(figures) and unfinished < at_once:
            begun, unfinished = begun + 1, unfinished + 1
            ask(begun - 1)
        while free and waiting:
            block, figure, shard = heapq.heappop(waiting)
            takes = seconds[shard % len(seconds)][block] + overhead
            heapq.heappush(running, (now + takes, figure, shard))
            free -= 1
        if not running:
            return now
        now, figure, shard = heapq.heappop(running)
        free += 1
        done[figure][shard] += 1
        ask(figure)


def markdown(measured: Measured, gains: dict[str, list[float]]) -> str:
    """Return the measurements, and the table of the simulation."""
    shards, blocks = len(measured.blocks), len(measured.blocks[0])
    computed = statistics.mean(map(sum, measured.blocks))
    head = (
        f"{shards} shards of {blocks} blocks: {measured.seconds:.1f} s, of which a shard was "
        f"computed {computed:.2f} s; overhead {1000 * measured.overhead:.0f} ms a shard, "
        f"{100 * measured.share:.1f} % (limit: < 5 %); {measured.megabytes:.1f} MB came back. "
        f"Load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    )
    lines = [f"| times as fast as one worker | {' | '.join(map(str, WORKERS))} |"]
    lines.append(f"| --- |{' ---: |' * len(WORKERS)}")
    lines += [
        f"| {name} | {' | '.join(f'{g:.1f}' for g in gain)} |" for name, gain in gains.items()
    ]
    return "\n".join([head, "", *lines])


def chart(gains: dict[str, list[float]]) -> Drawing:
    """Draw the speed-ups over the number of workers, both logarithmic."""
    ticks = tuple((float(count), str(count)) for count in WORKERS)
    axes = (Axis(title, 1, 64, ticks, logarithmic=True) for title in ("Workers", "Times as fast"))
    panel = Panel(66, 14, 400, 320, *axes)
    parts: list[object] = [panel.axes()]
    parts.append(panel.curve((1, 64), (1, 64), class_="frame", stroke_dasharray="4 4"))
    for at, (name, gain) in enumerate(gains.items()):
        colour, y = COLOURS[at], 410 + 20 * at
        parts.append(panel.curve(WORKERS, gain, stroke=colour, stroke_width=2.5))
        parts.append(label(66, y, "— ", size=14, anchor="start", fill=colour, class_=None))
        parts.append(label(90, y, name, size=13, anchor="start"))
    title = "Expected speed-up of a cluster"
    words = "; ".join(f"{name}: {gain[-1]:.1f} with 64 workers" for name, gain in gains.items())
    words = f"Simulated with measured times. {words}."
    return Drawing(480, 484, 640, title, group(*parts), description=words)


if __name__ == "__main__":
    exits.run(main)
