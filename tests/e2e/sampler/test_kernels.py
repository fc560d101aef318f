"""Each kernel of the page's sampler against torch, in odd shapes; their file against its source."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.engine import ENGINE, difference, run_engine
from tests.support.paths import ROOT

CLOSE = 1e-5
CLANG = shutil.which("clang-19") or shutil.which("clang")
LINKER = shutil.which("wasm-ld-19") or shutil.which("wasm-ld")
VERSION = subprocess.getoutput(f"{CLANG} --version") if CLANG and LINKER else ""
COMPILER = "clang version 19." in VERSION
FRAMED = """
const { size, channels, columns, stride, onto } = values;
const side = Math.ceil(size / 4) * 4 + 2;
const row = side * channels;
const frame = kernels.reserve(side * row);
run.place(frame + 4 * (row + channels), row, channels, given("x"), size, size, channels);
"""


def random(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pixels(image: Tensor) -> Tensor:
    """(1, C, H, W) as pixels × channels."""
    return image[0].permute(1, 2, 0)


@pytest.mark.parametrize("onto", [0, 1])
@pytest.mark.parametrize(
    ("rows", "depth", "columns"), [(1, 5, 1), (3, 128, 40), (6, 9, 3), (50, 100, 17)]
)
def test_multiply(rows: int, depth: int, columns: int, onto: int, tmp_path: Path) -> None:
    """A linear layer of any shape, beside what is there and onto it, and no number too far."""
    x, weight, bias = random(rows, depth), random(columns, depth, seed=1), random(columns, seed=2)
    stride = columns + 3
    program = """
    const { rows, depth, columns, stride, onto } = values;
    const panels = Math.ceil(columns / 8) * 8;
    const [packed, bias] = [kernels.reserve(panels * depth), kernels.reserve(panels)];
    kernels.write(bias, input("bias"));
    run.pack(packed, given("weight"), depth, columns, 1, depth);
    const out = given("there");
    run.multiply(out, stride, given("x"), depth, rows, packed, depth, columns, bias, onto);
    result("found", out, rows * stride);
    """
    there = random(rows, stride, seed=3)
    shape = {"rows": rows, "depth": depth, "columns": columns, "stride": stride, "onto": onto}
    found = run_engine(tmp_path, program, shape, x=x, weight=weight, bias=bias, there=there)
    wanted = there.clone()
    wanted[:, :columns] = F.linear(x, weight, bias) + onto * there[:, :columns]
    assert difference(found["found"], wanted) < CLOSE


@pytest.mark.parametrize(
    ("size", "channels", "columns", "stride"),
    [(7, 1, 32, 1), (8, 3, 32, 1), (14, 32, 3, 1), (28, 32, 32, 2), (6, 96, 64, 1)],
)
@pytest.mark.parametrize("onto", [0, 1])
def test_convolve(
    size: int, channels: int, columns: int, stride: int, onto: int, tmp_path: Path
) -> None:
    """The direct convolution, for few channels, few pixels and stride 2."""
    program = """
    const weights = kernels.reserve(9 * channels * 64);
    run.pack_direct(weights, given("weight"), channels, columns);
    const bias = kernels.reserve(64);
    kernels.write(bias, input("bias"));
    const [out, high] = [given("there"), size / stride];
    run.convolve(out, frame, row, high, high, channels, columns, stride, weights, bias, onto);
    result("found", out, high * high * columns);
    """
    check_convolution(program, size, channels, columns, stride, onto, tmp_path)


@pytest.mark.parametrize(
    ("size", "channels", "columns"), [(5, 4, 8), (9, 192, 64), (14, 64, 64), (28, 32, 32)]
)
@pytest.mark.parametrize("onto", [0, 1])
def test_winograd(size: int, channels: int, columns: int, onto: int, tmp_path: Path) -> None:
    """The convolution by tiles, also where tiles reach beyond the image."""
    program = """
    const weights = kernels.reserve(36 * channels * columns);
    run.pack_winograd(weights, given("weight"), channels, columns);
    const [out, bias] = [given("there"), given("bias")];
    const scratch = kernels.reserve(run.winograd_scratch(channels, columns));
    run.winograd(out, frame, row, size, size, channels, columns, weights, bias, onto, scratch);
    result("found", out, size * size * columns);
    """
    check_convolution(program, size, channels, columns, 1, onto, tmp_path)


def check_convolution(
    program: str, size: int, channels: int, columns: int, stride: int, onto: int, folder: Path
) -> None:
    """A 3×3 convolution of random numbers is torch's."""
    x, weight = random(1, channels, size, size), random(columns, channels, 3, 3, seed=1)
    bias = random(columns, seed=2)
    wanted = F.conv2d(x, weight, bias, stride, 1)
    there = random(*wanted.shape, seed=3)
    shape: dict[str, Any] = {"size": size, "channels": channels, "columns": columns}
    shape |= {"stride": stride, "onto": onto}
    arrays = {"x": pixels(x), "weight": weight, "bias": bias, "there": pixels(there)}
    found = run_engine(folder, FRAMED + program, shape, **arrays)
    assert difference(found["found"], pixels(wanted + onto * there)) < 2 * CLOSE


@pytest.mark.parametrize(("channels", "groups"), [(32, 32), (96, 32), (24, 8), (8, 1)])
def test_group_norm(channels: int, groups: int, tmp_path: Path) -> None:
    """With the level's embedding and SiLU into a frame, and without either."""
    x, level = random(1, channels, 5, 5) + 3, random(channels, seed=1)
    gain, bias = random(channels, seed=2), random(channels, seed=3)
    program = """
    const { channels, groups } = values;
    const [x, level, gain, bias] = ["x", "level", "gain", "bias"].map(given);
    const [scratch, frame] = [kernels.reserve(2 * channels), kernels.reserve(49 * channels)];
    const plain = kernels.reserve(25 * channels);
    run.group_norm(frame + 32 * channels, 7 * channels, x, 5, 5, channels, groups, level, gain,
      bias, 1, scratch);
    run.group_norm(plain, 5 * channels, x, 5, 5, channels, groups, 0, gain, bias, 0, scratch);
    result("framed", frame, 49 * channels);
    result("plain", plain, 25 * channels);
    """
    arrays = {"x": pixels(x), "level": level, "gain": gain, "bias": bias}
    found = run_engine(tmp_path, program, {"channels": channels, "groups": groups}, **arrays)
    moved = x + level[None, :, None, None]
    wanted = F.pad(F.silu(F.group_norm(moved, groups, gain, bias)), (1, 1, 1, 1))
    assert difference(found["framed"], pixels(wanted)) < CLOSE
    assert difference(found["plain"], pixels(F.group_norm(x, groups, gain, bias))) < CLOSE


@pytest.mark.parametrize("heads", [1, 4])
def test_attend(heads: int, tmp_path: Path) -> None:
    """Attention over a number of pixels that is no multiple of 4, nor of a block of queries."""
    qkv = random(49, 3, heads, 32 // heads) * 3
    program = """
    const out = kernels.reserve(49 * 32);
    const scratch = kernels.reserve(run.attend_scratch(49, 32, values.heads));
    run.attend(out, given("qkv"), 49, 32, values.heads, scratch);
    result("found", out, 49 * 32);
    """
    found = run_engine(tmp_path, program, {"heads": heads}, qkv=qkv)
    q, k, v = qkv.permute(1, 2, 0, 3)
    wanted = F.scaled_dot_product_attention(q, k, v).permute(1, 0, 2)
    assert difference(found["found"], wanted) < CLOSE


def test_what_is_between(tmp_path: Path) -> None:
    """Doubling, halving by averages, layer norm, and SiLU from one end to the other."""
    x, row = random(1, 32, 6, 6), random(128) + 2
    gain, bias = random(128, seed=1), random(128, seed=2)
    steep = torch.linspace(-120, 120, 4096)
    program = """
    const x = given("x");
    const [large, small] = [kernels.reserve(144 * 32), kernels.reserve(9 * 32)];
    run.upsample(large, 12 * 32, x, 6, 6, 32);
    run.average(small, x, 6, 6, 32);
    const [normed, steep] = [kernels.reserve(128), given("steep")];
    run.layer_norm(normed, given("row"), given("gain"), given("bias"), 128);
    run.silu(steep, steep, 4096);
    result("large", large, 144 * 32);
    result("small", small, 9 * 32);
    result("normed", normed, 128);
    result("steep", steep, 4096);
    """
    numbers = {"row": row, "gain": gain, "bias": bias, "steep": steep}
    found = run_engine(tmp_path, program, None, x=pixels(x), **numbers)
    assert difference(found["large"], pixels(F.interpolate(x, scale_factor=2))) == 0
    assert difference(found["small"], pixels(F.avg_pool2d(x, 2))) < CLOSE
    assert difference(found["normed"], F.layer_norm(row, (128,), gain, bias)) < CLOSE
    wanted = F.silu(steep.double())
    assert np.allclose(found["steep"], wanted, rtol=1e-6, atol=1e-30)


def test_every_float16(tmp_path: Path) -> None:
    """All finite numbers of 16 bits are widened exactly, the smallest and −0 too."""
    half = np.arange(2**16, dtype=np.uint16).view(np.float16)
    half = half[np.isfinite(half)]
    tensors = {"x": {"dtype": "F16", "shape": [len(half)], "offset": 0}}
    (tmp_path / "half.in").write_bytes(half.tobytes())
    program = 'output("wide", new Weights(kernels, values, bytes("half")).numbers("x"));'
    found = run_engine(tmp_path, program, tensors)["wide"]
    assert np.array_equal(found.view(np.uint32), half.astype(np.float32).view(np.uint32))


@pytest.mark.skipif(not COMPILER, reason="needs clang and lld 19, which the file was made with")
def test_kernels_are_made_of_their_source(tmp_path: Path) -> None:
    """The file in the repository is what the compiler of its version makes, byte for byte."""
    built = tmp_path / "kernels.wasm"
    subprocess.run(["sh", "engine/build.sh", str(built)], cwd=ROOT, check=True)
    assert built.read_bytes() == (ENGINE / "kernels.wasm").read_bytes()


def test_engine_is_small() -> None:
    """Kernels and scripts are at most 100 kB."""
    assert sum(path.stat().st_size for path in ENGINE.iterdir()) <= 100_000
