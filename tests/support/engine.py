"""Programs for the engine of a page's sampler, run by node: arrays go in, and arrays come out."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.models.browser import BrowserModel
from tests.support import programs
from tests.support.paths import ROOT

ENGINE = ROOT / "static/sampler"
ATLAS = ROOT / "static/atlas"
_PRELUDE = """
import { readFileSync, writeFileSync } from "node:fs";
import { interpolated, Kernels, normals, Purpose, Sampler } from "%(engine)s/sampler.js";
import { Weights } from "%(engine)s/kernels.js";
import { chosenState } from "%(engine)s/noise.js";

process.chdir(%(folder)s);
const kernels = await Kernels.load(readFileSync(new URL("%(engine)s/kernels.wasm")));
const values = %(values)s;
const { run } = kernels;
const bytes = (name) => new Uint8Array(readFileSync(`${name}.in`)).buffer;
const input = (name) => new Float32Array(bytes(name));
const given = (name) => kernels.keep(input(name));
const output = (name, { buffer, byteOffset, byteLength }) =>
  writeFileSync(`${name}.out`, new Uint8Array(buffer, byteOffset, byteLength));
const result = (name, address, count) => output(name, kernels.floats(address, count));
const sampler = () => new Sampler(kernels, JSON.parse(readFileSync("model.json")), bytes("model"));
"""
"""`input` and `given` are an array and its address, `result` and `output` give one back."""

Array = NDArray[np.float32]


def run_engine(
    folder: Path, program: str, values: Mapping[str, Any] | None = None, **arrays: Any
) -> dict[str, Array]:
    """What a program puts out by name, float32 and flat; `values` are plain values for it.

    Files for it and of it lie in `folder`.
    """
    for name, array in arrays.items():
        (folder / f"{name}.in").write_bytes(np.ascontiguousarray(array, np.float32).tobytes())
    prelude = _PRELUDE % {
        "engine": ENGINE.as_uri(),
        "folder": json.dumps(str(folder)),
        "values": json.dumps(values or {}),
    }
    node = programs.program("node", package="nodejs")
    command = [node, "--input-type=module"]
    done = subprocess.run(
        command, input=prelude + program, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {path.stem: np.fromfile(path, np.float32) for path in sorted(folder.glob("*.out"))}


def run_sampler(
    folder: Path,
    model: BrowserModel,
    program: str,
    values: Mapping[str, Any] | None = None,
    **arrays: Any,
) -> dict[str, Array]:
    """The same for a program that has a model's `sampler()`."""
    (folder / "model.json").write_text(model.to_json())
    (folder / "model.in").write_bytes(model.data)
    return run_engine(folder, program, values, **arrays)


def difference(found: Array, wanted: Any) -> float:
    """The largest difference, as a share of the largest magnitude."""
    values = np.asarray(wanted, np.float64).ravel()
    assert found.shape == values.shape
    return float(np.abs(found - values).max() / np.abs(values).max())


def decibels(found: Array, wanted: Any) -> float:
    """The peak signal to noise ratio of an image in [0, 1] units."""
    error = np.square(found - np.asarray(wanted, np.float64).ravel()).mean()
    return float(10 * np.log10(1 / max(error, 1e-30)))
