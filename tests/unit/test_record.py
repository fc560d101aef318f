"""Recordings of a sampler's states: what the file has, at every moment, and what is refused."""

import ast
import errno
import gc
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sitegen.record
from sitegen.generative.card.card import ModelCard
from sitegen.generative.data.recording import open_recording, recorded_card
from sitegen.record import record


def images(count: int = 3, channels: int = 1, side: int = 4, seed: int = 0) -> NDArray[Any]:
    numbers = np.random.default_rng(seed).standard_normal((count, channels, side, side))
    return numbers.astype(np.float32)


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The run and the arrays of a recording, as NumPy reads them."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "run.json"}
        return json.loads(file["run.json"]), arrays


def test_a_recording_is_an_npz_that_numpy_opens(tmp_path: Path) -> None:
    """States, predicted images and means are members of their own, and run.json describes them."""
    x, x0, mean = images(seed=1), images(seed=2), images(seed=3)
    path = tmp_path / "ours.npz"
    with record(path, axis=("σ", "px"), seed=7, made_with="flow.py", dtype="float32") as rec:
        rec(80.0, x)
        rec(0.5, x0, final=x0, mean=mean)
    run, arrays = read(path)
    assert sorted(arrays) == ["final/00001", "mean/00001", "state/00000", "state/00001"]
    np.testing.assert_array_equal(arrays["state/00000"], x)
    np.testing.assert_array_equal(arrays["mean/00001"], mean)
    assert run == {
        "format": "sitegen recording",
        "version": 1,
        "axis": ["σ", "px"],
        "range": [-1.0, 1.0],
        "seed": 7,
        "made_with": "flow.py",
        "positions": None,
        "scaled": False,
        "finished": True,
        "shape": [1, 4, 4],
        "steps": [
            {"value": 80.0, "count": 3, "parents": None, "has": ["state"]},
            {"value": 0.5, "count": 3, "parents": None, "has": ["final", "mean", "state"]},
        ],
    }


@pytest.mark.parametrize(
    ("step_bytes", "complete"), [(1 << 30, [1, 1, 1, 4, 4, 4, 7]), (100, [1, 2, 3, 4, 5, 6, 7])]
)
def test_a_killed_run_leaves_the_steps_up_to_the_last_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_bytes: int, complete: list[int]
) -> None:
    """At every moment NumPy opens the file; steps of 0.7 s are added three at a time."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(sitegen.record, "REWRITE_BYTES", step_bytes)
    path = tmp_path / "ours.npz"
    with record(path) as rec:
        for step, steps_in_file in enumerate(complete):
            now = 0.7 * step + 1e-6 * next(seconds)
            monkeypatch.setattr(time, "monotonic", lambda now=now: now)
            rec(step, images(seed=step))
            run, arrays = read(path)
            assert len(run["steps"]) == len(arrays) == steps_in_file
            assert not run["finished"]
    run, arrays = read(path)
    assert (run["finished"], len(arrays)) == (True, 7)
    assert np.abs(arrays["state/00006"] - images(seed=6)).max() < 0.005
    assert zipfile.ZipFile(path).testzip() is None


def test_thousands_of_small_steps_take_seconds(tmp_path: Path) -> None:
    """6,000 steps take at most 3 s of the processor; a directory a step takes 200 s."""
    x, started = images(1), time.process_time()
    with record(tmp_path / "ours.npz") as rec:
        for step in range(6000):
            rec(step, x)
    assert time.process_time() - started < 3
    assert open_recording(tmp_path / "ours.npz").levels == 5999


def test_an_error_in_the_sampler_leaves_a_recording_that_says_so(tmp_path: Path) -> None:
    """The steps before an exception are kept, and the run is marked as not finished."""

    def breaks() -> None:
        with record(tmp_path / "ours.npz") as rec:
            rec(1, images())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    run, arrays = read(tmp_path / "ours.npz")
    assert (run["finished"], len(arrays)) == (False, 1)


def test_a_full_disk_is_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file cannot be written, the error is the system's, and nothing else is raised."""

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() > 600:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(sitegen.record, "open", lambda path, mode: Full(path, mode), raising=False)

    def fills_the_disk() -> None:
        with record(tmp_path / "a.npz") as rec:
            for step in range(10):
                rec(step, images())

    with pytest.raises(OSError, match="No space left"):
        fills_the_disk()
    gc.collect()  # an archive that zipfile would close now would warn


def test_it_runs_on_python_3_8() -> None:
    """No syntax needs a newer Python than 3.8."""
    ast.parse(Path(sitegen.record.__file__).read_text("utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize(("dtype", "error"), [("float16", 5e-4), ("uint8", 4e-3), ("float32", 0)])
def test_types_are_as_exact_as_promised(tmp_path: Path, dtype: Any, error: float) -> None:
    """Numbers in [-1, 1] come back within the error that the manual names, as pixels as well."""
    x = np.linspace(-1, 1, 3 * 16, dtype=np.float32).reshape(3, 1, 4, 4)
    for most in (1, 2):
        with record(tmp_path / f"{most}.npz", range=(-most, most), dtype=dtype) as rec:
            rec(0, most * x)
            rec(1, most * x)
        found = read(tmp_path / f"{most}.npz")[1]["state/00000"]
        assert found.dtype == dtype
        back = found.astype(np.float32) * 2 / 255 - 1 if dtype == "uint8" else found / most
        assert np.abs(back - x).max() <= error
        *_, pixels = open_recording(tmp_path / f"{most}.npz").states("state", [0])
        assert pixels.dtype == np.float32
        assert np.abs(pixels - (x[:1] + 1) / 2).max() < 0.003


def test_every_nth_step_keeps_the_last_and_who_came_from_whom(tmp_path: Path) -> None:
    """Steps left out are counted in the parents of the next one, and the last is always there."""
    with record(tmp_path / "ours.npz", every=3) as rec:
        rec(5, images(1))
        rec(4, images(2), parents=[0, 0])
        rec(3, images(4), parents=[0, 0, 1, 1])
        rec(2, images(5), parents=[0, 1, 2, 2, 3])
        rec(1, images(5))
        rec(0, images(5, seed=9), parents=[4, 3, 2, 1, 0])
    run, arrays = read(tmp_path / "ours.npz")
    steps = [(step["value"], step["count"], step["parents"]) for step in run["steps"]]
    assert steps == [(5, 1, None), (2, 5, [0] * 5), (0, 5, [4, 3, 2, 1, 0])]
    assert np.abs(arrays["state/00002"] - images(5, seed=9)).max() < 0.005


@pytest.mark.parametrize(("rows", "kept"), [(2, [0, 1]), ([2, 0], [2, 0])])
def test_some_rows_smaller(tmp_path: Path, rows: Any, kept: list[int]) -> None:
    """`rows` chooses samples, and `side` averages squares of pixels, of channels-last arrays."""
    x = images(3, 3, 8)
    with record(tmp_path / "ours.npz", rows=rows, side=4, layout="NHWC", dtype="float32") as rec:
        rec(0, x.transpose(0, 2, 3, 1))
        rec(1, x.transpose(0, 2, 3, 1))
    found = read(tmp_path / "ours.npz")[1]["state/00001"]
    expected = x[kept].reshape(2, 3, 4, 2, 4, 2).mean((3, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_images_that_are_not_square(tmp_path: Path) -> None:
    """They are recorded as they are, and `side` is their larger one."""
    x = images(3, 3, 8)[:, :, :4]
    for side, expected in ((None, x), (4, x.reshape(3, 3, 2, 2, 4, 2).mean((3, 5)))):
        with record(tmp_path / "ours.npz", side=side, dtype="float32") as rec:
            rec(1, x)
            rec(0, x)
        recording = open_recording(tmp_path / "ours.npz")
        card = recorded_card(recording)
        assert card.shape == expected.shape[1:]
        assert card.image_size == max(expected.shape[2:])
        assert ModelCard.from_toml(card.to_toml()) == card
        found = read(tmp_path / "ours.npz")[1]["state/00001"]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_tensors_of_torch_latents_and_large_states(tmp_path: Path) -> None:
    """bfloat16 with gradients, latents with a decoder, and σ = 80 with a scale are recorded."""
    latents = torch.full((2, 4, 2, 2), 40.0, dtype=torch.bfloat16, requires_grad=True)
    with record(
        tmp_path / "ours.npz",
        decode=lambda z: z[:, :3].repeat_interleave(2, -1).repeat_interleave(2, -2),
        scale=lambda sigma: 1 / (1 + sigma**2) ** 0.5,
    ) as rec:
        rec(torch.tensor(80.0), latents, final=latents)
    arrays = read(tmp_path / "ours.npz")[1]
    assert arrays["state/00000"].shape == (2, 3, 4, 4)
    assert np.allclose(arrays["state/00000"], 0.5, atol=1e-3)
    assert (arrays["final/00000"] == 40).all()


def test_the_callback_of_diffusers(tmp_path: Path) -> None:
    """A pipeline's callback records each step with the timestep after it, decoded by its VAE."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler = DDIMScheduler()
    scheduler.set_timesteps(4)
    vae = SimpleNamespace(
        config=SimpleNamespace(scaling_factor=0.5, shift_factor=0.25),
        decode=lambda z, return_dict: (z[:, :3],),
    )
    pipe = SimpleNamespace(scheduler=scheduler, vae=vae)
    latents = torch.ones(2, 4, 4, 4)
    with record(tmp_path / "ours.npz") as rec:
        for step, timestep in enumerate(scheduler.timesteps):
            latents = scheduler.step(latents / 10, timestep, latents).prev_sample
            given = rec.diffusers(pipe, step, timestep, {"latents": latents})
            assert given["latents"] is latents
    run, arrays = read(tmp_path / "ours.npz")
    assert [step["value"] for step in run["steps"]] == [*scheduler.timesteps[1:].tolist(), 0]
    np.testing.assert_allclose(arrays["state/00003"], latents[:, :3] / 0.5 + 0.25, rtol=1e-3)


def sample_euler(
    model: Any,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    callback: Callable[[Any], None],
    churn: float,
) -> torch.Tensor:
    """Follow `sample_euler` of k-diffusion, as far as its callback goes."""
    for i in range(len(sigmas) - 1):
        higher = sigmas[i] * (1 + churn)
        x = x + torch.randn_like(x) * (higher**2 - sigmas[i] ** 2) ** 0.5
        denoised = model(x, higher)
        callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": higher, "denoised": denoised})
        x = x + (x - denoised) / higher * (sigmas[i + 1] - higher)
    return x


@pytest.mark.parametrize("churn", [0.0, 0.25])
def test_the_callback_of_k_diffusion(tmp_path: Path, churn: float) -> None:
    """A sampler's callback records states with the σ that they have, and the denoised images."""
    sigmas = torch.tensor([80.0, 5.0, 0.5, 0.0])
    with record(tmp_path / "ours.npz", axis=("σ", "")) as rec:
        x = sample_euler(
            lambda x, sigma: x / (1 + sigma**2),
            torch.from_numpy(images()) * 80,
            sigmas,
            callback=rec.k_diffusion,
            churn=churn,
        )
        rec(0, x)
    run, arrays = read(tmp_path / "ours.npz")
    assert [(step["value"], "final" in step["has"]) for step in run["steps"]] == [
        (80.0 * (1 + churn), True),
        (5.0 * (1 + churn), True),
        (0.5 * (1 + churn), True),
        (0.0, False),
    ]
    np.testing.assert_allclose(arrays["state/00003"], x, rtol=1e-2, atol=1e-3)


def test_a_scan(tmp_path: Path) -> None:
    """Values and stacked states, as a scan or an ODE solver returns them, become steps."""
    stacked = np.stack([images(seed=each) for each in range(3)])
    with record(tmp_path / "ours.npz") as rec:
        rec.scan(np.linspace(0, 1, 3), stacked, final=stacked)
    run, arrays = read(tmp_path / "ours.npz")
    assert [step["value"] for step in run["steps"]] == [0, 0.5, 1]
    assert np.abs(arrays["final/00002"] - stacked[2]).max() < 0.005


def bad_steps() -> Iterator[tuple[dict[str, Any], list[tuple[Any, ...]], str]]:
    x, nan = images(), images()
    nan[1, 0, 2, 2] = np.nan
    yield {}, [(0, x[0])], r"step 0 \(t = 0\): the state has the shape \(1, 4, 4\)"
    yield {}, [(0, x.repeat(4, 1))], r"with 1 or 3 channels.*decode="
    yield {}, [(0, x * 1j)], r"the numbers are complex"
    yield {}, [(0, nan)], "the state has values that are not finite"
    yield {}, [(0, x * 1e6)], 'too large for "float16"'
    yield {}, [(float("nan"), x)], "the value must be finite"
    yield {}, [(0, x), (1, x[:2])], r"step 1 \(t = 1\): 2 samples after 3.*parents="
    yield {}, [(0, x), (1, images(side=8))], r"images of \(1, 8, 8\) after \(1, 4, 4\)"
    yield {}, [(0, x, x[:2])], r"final is \(2, 1, 4, 4\), and the state \(3, 1, 4, 4\)"
    yield {}, [(0, x), (1, x, None, None, [0, 1, 3])], "3 indices from 0 to 2"
    yield {"side": 3}, [(0, x)], "side = 3 does not divide"
    yield {"rows": [3]}, [(0, x)], "indices from 0 to 2"
    yield {"positions": [0, 1]}, [(0, x)], "3 samples for 2 positions"
    wide, large = x.repeat(2, 3), np.zeros((1, 1, 4097, 4097), np.float32)
    yield {"positions": [0, 1], "rows": 1}, [(0, x[:2])], "1 samples for 2 positions"
    video = r"\(3, 2, 1, 4, 4\); it must be \(N, C, H, W\): give decode=, .* by video\(\)"
    yield {}, [(0, np.stack([x, x], 1))], video
    yield {"side": 3}, [(0, wide)], "side = 3 does not divide"
    yield {"dtype": "uint8"}, [(0, large)], "4097 x 4097 pixels; at most 4096 a side: give side="
    yield {}, [(0, np.zeros((10_001, 1, 1, 1)))], "10001 samples; at most 10000: give rows="


@pytest.mark.parametrize(("options", "steps", "fault"), [*bad_steps()])
def test_bad_arrays_are_refused(
    tmp_path: Path, options: dict[str, Any], steps: list[tuple[Any, ...]], fault: str
) -> None:
    """The message names step, value and fault, and the steps before are kept."""

    def refused() -> None:
        with record(tmp_path / "a.npz", **options) as rec:
            for step in steps:
                rec(*step)

    with pytest.raises(ValueError, match=fault):
        refused()
    run, arrays = read(tmp_path / "a.npz")
    assert len(arrays) == len(run["steps"]) == len(steps) - 1


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"range": (1, 1)}, "black, then white"),
        ({"layout": "CHW"}, '"NHWC"'),
        ({"dtype": "int8"}, '"uint8"'),
        ({"range": (0, 1e-320)}, "black, then white"),
        ({"every": 0}, "every = 0: give a whole number from 1"),
        ({"axis": "t"}, "symbol and unit"),
        ({"axis": ("t",)}, "symbol and unit"),
        ({"axis": ("t\n", "")}, "symbol and unit"),
        ({"positions": [0, 0.2, 1]}, "2 to 1,000, even"),
        ({"positions": [1]}, "2 to 1,000"),
        ({"positions": [3, 4]}, "from 0 to 1"),
        ({"seed": -1}, "seed = -1: give a whole number from 0"),
        ({"seed": 1.5}, "seed = 1.5"),
        ({"seed": 2**64}, "seed = "),
        ({"made_with": None}, "at most 1,000 characters"),
        ({"made_with": "x" * 1001}, "at most 1,000 characters"),
        ({"made_with": "a\u202eb"}, "without control characters"),
        ({"made_with": "a\x1b[2Jb"}, "without control characters"),
        ({"rows": 0}, "rows = 0"),
        ({"rows": []}, "at least one"),
        ({"side": 0}, "side = 0"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: Any, fault: str) -> None:
    """Options that do not fit are refused before a file is made."""
    with pytest.raises(ValueError, match=fault):
        record(tmp_path / "a.npz", **options)
    assert not list(tmp_path.iterdir())


def test_it_is_used_in_a_with_statement(tmp_path: Path) -> None:
    """Recording without `with`, or after it, says how to write it; NumPy's integers are whole."""
    with pytest.raises(RuntimeError, match="with record"):
        record(tmp_path / "a.npz")(0, images())
    with record(tmp_path / "a.npz", seed=np.int64(3), rows=np.int64(2)) as rec:  # type: ignore
        rec(0, images())
    assert read(tmp_path / "a.npz")[0]["seed"] == 3
    with pytest.raises(RuntimeError, match="with record"):
        rec(1, images())
