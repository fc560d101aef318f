"""Maps of an atlas in a page: their geometry, what they keep, and tiles as sitegen draws them."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sitegen.generative.card.labels import Condition
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import PRIOR_NAME, read_prior
from sitegen.generative.maths.address import Address
from sitegen.generative.process.protocol import process_of
from sitegen.models.browser import BrowserModel, export_for_browser
from sitegen.sampling.models import Sampler
from sitegen.sampling.tiles import Tiles, tiles_of
from tests.e2e.sampler.test_flows import CARDS, written
from tests.e2e.sampler.test_labels import labelled
from tests.support.engine import ATLAS, run_engine, run_sampler

SEED = 2**63 - 2
CLOSE = 1e-3
ROWS = ((7, 2, 0), (5, 8, 1), (3, 4, 6))
IMPORTS = f"""
const geometry = await import("{(ATLAS / "geometry.js").as_uri()}");
const tiles = await import("{(ATLAS / "tiles.js").as_uri()}");
const tree = await import("{(ATLAS / "tree.js").as_uri()}");
const say = (name, value) => output(name, new TextEncoder().encode(JSON.stringify(value)));
"""


def told(folder: Path, program: str, values: dict[str, Any] | None = None) -> Any:
    """What a program says under the name `found`, as JSON."""
    run_engine(folder, IMPORTS + program, values)
    return json.loads((folder / "found.out").read_text())


def place(address: Address) -> tuple[int, int]:
    """Column and row of a tile: a digit is a quadrant, its column and twice its row."""
    y = next(y for y, starts in enumerate(ROWS) if address.start in starts)
    x = ROWS[y].index(address.start)
    for digit in address.digits:
        x, y = 2 * x + digit % 2, 2 * y + digit // 2
    return x, y


def test_addresses_and_places(tmp_path: Path) -> None:
    """A tile has one address and one place; other texts are none."""
    addresses = [
        Address(start, digits)
        for start in (7, 4, 6)
        for depth in (0, 1, 3)
        for digits in product(range(4), repeat=depth)
    ]
    program = """
    const texts = values.texts.map((text) => {
      const tile = geometry.tileOf(geometry.read(text), values.rows);
      return [tile.depth, tile.x, tile.y, geometry.written(geometry.addressOf(tile, values.rows))];
    });
    const others = ["", "5.", "5.4", "5.0231.1", "-5", "5e3", "0x5", "5.0000000000000000"];
    const lost = geometry.tileOf({ start: 9, digits: "" }, values.rows);
    say("found", [texts, others.map((text) => geometry.read(text) ?? null), lost ?? null]);
    """
    texts = [str(address) for address in addresses]
    found, others, lost = told(tmp_path, program, {"texts": texts, "rows": ROWS})
    places = [(len(a.digits), *place(a)) for a in addresses]
    assert [tuple(numbers) for *numbers, _ in found] == places
    assert [text for *_, text in found] == texts
    assert others == [None] * 8
    assert lost is None


DRAW = """
let hear;
globalThis.onmessage = undefined; // the worker's own names
globalThis.postMessage = (data) => hear(data);
await import(new URL("worker.js", values.engine));
const ask = (data) => new Promise((resolve) => {
  const answers = [];
  hear = (answer) => {
    answers.push(answer);
    if (answer.ready || answer.ended || answer.failed) resolve(answers);
  };
  onmessage({ data });
});
const wasm = readFileSync(new URL("kernels.wasm", values.engine));
const model = readFileSync("model.json");
const [loaded] = await ask({ load: { wasm, model, weights: bytes("model") } });
if (loaded.failed) throw new Error(loaded.failed);
const kept = new Map();
const { facts, seed, addresses } = values;
const state = (address) => kept.get(geometry.written(address))?.state;
let jobs = 0;
for (const text of addresses) {
  for (;;) {
    const next = tiles.nextOf([geometry.read(text)], facts, state, () => false);
    if (!next) break;
    const { picture, level } = tiles.pictureOf(next.address, facts, seed);
    const from = next.source && { level, state: state(next.source) };
    const answers = await ask({ draw: ++jobs, picture, from });
    if (answers.pop()?.ended !== "done") throw new Error(JSON.stringify(answers));
    kept.set(geometry.written(next.address), { ...answers.at(-1), state: answers[0].state });
  }
  const { level, state: found, sharp } = kept.get(text);
  output(text, level && facts.renoised && sharp ? sharp : found);
}
process.exit(); // the worker's channel stays open
"""


def drawn(
    folder: Path, exported: BrowserModel, tiles: Tiles, addresses: list[str], **facts: Any
) -> dict[str, NDArray[np.float32]]:
    """The tiles that the page's worker draws, by their addresses."""
    renoised = not tiles.sampler.process.random
    facts |= {"splits": tiles.splits, "renoised": renoised}
    engine = f"{(ATLAS.parent / 'sampler').as_uri()}/"
    values = {"facts": facts, "seed": str(tiles.seed), "addresses": addresses, "engine": engine}
    return run_sampler(folder, exported, IMPORTS + DRAW, values)


def far(found: NDArray[np.float32], tiles: Tiles, address: str) -> float:
    """The largest difference of a tile from that of sitegen."""
    picture = tiles.at(Address.parse(address)).picture.ravel()
    return float(np.abs(found - picture).max() / max(1, np.abs(picture).max()))


@pytest.mark.parametrize("guidance", [None, 1.5])
def test_tiles_of_blur(guidance: float | None, tmp_path: Path) -> None:
    """A tile of any depth, with a label and without; those with one parent differ."""
    folder = labelled(tmp_path / "model")
    model = load_model(folder)
    prior = read_prior(folder / PRIOR_NAME, model.card)
    condition = None if guidance is None else Condition((1,), guidance)
    sampler = Sampler(process_of(model), "it", prior).conditioned(condition)
    tiles = tiles_of(sampler, SEED)
    exported = export_for_browser(
        model.card, folder / "weights.safetensors", folder / PRIOR_NAME, "float32"
    )
    deepest = "3210" * len(tiles.splits)
    addresses = ["12", "12.3", f"12.{deepest[: len(tiles.splits)]}", "2.00", "2.01"]
    label = {} if guidance is None else {"label": 1, "guidance": guidance}
    found = drawn(tmp_path, exported, tiles, addresses, **label)
    assert [far(found[address], tiles, address) < CLOSE for address in addresses] == [True] * 5
    assert np.abs(found["2.00"] - found["2.01"]).max() > 10 * CLOSE


@pytest.mark.parametrize("name", ["euler", "heun", "flow of a ddpm", "guided ddim", "ddim"])
def test_tiles_of_noise(name: str, tmp_path: Path) -> None:
    """A start shows its prediction; digit 0 continues its parent, and the others its finished
    picture with noise.
    """
    card, path = written(tmp_path, **CARDS[name])
    exported = export_for_browser(card, path, None, "float32")
    tiles = tiles_of(Sampler(process_of(load_model(path, card)), "it"), SEED)
    addresses = ["3", "3.0", "3.2", "3.20", "3.213", "3.0100"[: 2 + len(tiles.splits)]]
    found = drawn(tmp_path, exported, tiles, addresses)
    assert [far(found[address], tiles, address) < CLOSE for address in addresses] == [True] * 6
    line = replace(tiles).at(Address.parse("3.2"))
    assert np.allclose(line.ahead[0].ravel(), found["3.20"], atol=CLOSE * 10)
