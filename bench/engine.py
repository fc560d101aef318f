"""Measure the engine of a page's sampler in node, compared with a large matrix product of torch.

    python -m bench.engine [models/mnist] [--repeat 40] [--json FILE]

One thread each, in turn. The minimum of the repeated times counts, so that it can run on a busy
machine. The floor is the time of a network's arithmetic at the rate of the product; Winograd
convolutions need less.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sitegen.cli import exits
from sitegen.generative.card.card import read_card
from sitegen.generative.checkpoints.browser import export_for_browser

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "static/sampler"
PROGRAM = """
import { readFileSync } from "node:fs";
const [engine, folder, repeat] = process.argv.slice(2);
const { Kernels, Sampler } = await import(`${engine}/sampler.js`);
const clock = () => performance.now();
const start = clock();
const kernels = await Kernels.load(readFileSync(new URL(`${engine}/kernels.wasm`)));
const description = JSON.parse(readFileSync(`${folder}/model.json`));
const data = new Uint8Array(readFileSync(`${folder}/model.bin`)).buffer;
const sampler = new Sampler(kernels, description, data);
const loaded = clock() - start;
const state = sampler.initialState(0, 0);
const least = description.bands.map(({ lowest_level: level }) => {
  let best = Infinity;
  for (let i = 0; i < repeat; i++) {
    const begun = clock();
    sampler.predict(state, level, level - 1);
    best = Math.min(best, clock() - begun);
  }
  return best;
});
const begun = clock();
for (const step of sampler.descend(state, sampler.noise(0, 0)));
console.log(JSON.stringify({ loaded, least, sample: clock() - begun, memory: kernels.end }));
"""


@dataclass(frozen=True)
class Times:
    """Milliseconds of loading, of one evaluation of each band, and of a sample; memory in bytes.

    `flop` is the arithmetic of each band's evaluation, `product` the rate of torch in GFLOP/s.
    """

    loading: float
    answers: tuple[float, ...]
    flop: tuple[int, ...]
    sample: float
    memory: int
    product: float

    def table(self) -> str:
        """Return the times as a Markdown table."""
        rows = [
            f"loading {self.loading:.0f} ms, a sample {self.sample:.0f} ms, memory "
            f"{self.memory / 2**20:.0f} MiB, torch's product {self.product:.0f} GFLOP/s",
            "",
            "| band | GFLOP | ms | floor, ms |",
            "| --- | --- | --- | --- |",
        ]
        for band, (flop, answer) in enumerate(zip(self.flop, self.answers, strict=True)):
            floor = flop / self.product / 1e6
            rows.append(f"| {band} | {flop / 1e9:.4f} | {answer:.2f} | {floor:.2f} |")
        return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(prog="bench.engine", description="Measure the page's engine.")
    parser.add_argument("model", type=Path, nargs="?", default=ROOT / "models/mnist")
    parser.add_argument("--repeat", type=int, default=40, help="repetitions of each timing (40)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args(arguments)
    times = measure(options.model, options.repeat)
    print(times.table())
    if options.json:
        options.json.write_text(json.dumps(asdict(times), indent=2) + "\n", encoding="utf-8")


def measure(model: Path, repeat: int) -> Times:
    """Return the times of a model's folder, and of torch."""
    files = model / "weights.safetensors", model / "prior.safetensors"
    exported = export_for_browser(read_card(model), *files)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.json").write_text(exported.to_json(), encoding="utf-8")
        (folder / "model.bin").write_bytes(exported.data)
        command = ["node", "--experimental-default-type=module", "--input-type=module", "-"]
        command += [ENGINE.as_uri(), str(folder), str(repeat)]
        done = subprocess.run(command, input=PROGRAM, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    flop = tuple(band["flop"] for band in exported.description["bands"])
    least = tuple(found["least"])
    return Times(
        found["loaded"], least, flop, found["sample"], found["memory"], product_rate(repeat)
    )


def product_rate(repeat: int, size: int = 1024) -> float:
    """Return the GFLOP/s of a large float32 matrix product in one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    matrix, least = torch.ones(size, size), float("inf")
    for _ in range(repeat):
        begun = time.perf_counter()
        matrix @ matrix
        least = min(least, time.perf_counter() - begun)
    torch.set_num_threads(threads)
    return 2 * size**3 / least / 1e9


if __name__ == "__main__":
    exits.run(main)
