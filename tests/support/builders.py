"""Miniature sites and models for tests: small enough that a build takes a fraction of a second."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.build.context import BuildOptions
from sitegen.build.pipeline import Summary, build
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import TargetError
from sitegen.core.progress import Silent
from sitegen.figures.base import Figure, spec_json
from sitegen.media.encoder import ClipSpec
from sitegen.media.frames import Frame
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.models.registry import ModelSource
from tests.support.paths import ROOT

CPU = ComputeTarget("cpu", "float32")
LEVELS = 4
CARD = """
image_size = 16
channels = 1
levels = 4
sampling_noise_std = 0.0125
[unet]
model_channels = 32
channel_mult = [1]
num_res_blocks = 1
[blur]
sigma_min = 0.5
sigma_max = 8.0
[weights]
file = "weights.safetensors"
[prior]
file = "prior.safetensors"
"""
SITE = """
title = "A title"
[models.tiny]
path = "models/tiny"
"""
INDEX = """Words.

{{ trajectories("tiny", count=4, caption="Four of them.") }}
"""


def write_site(folder: Path, index: str = INDEX, site: str = SITE) -> Path:
    """Write a site with one page and a model of made-up bytes; return its `site.toml`."""
    model = folder / "models" / "tiny"
    for each in (model, folder / "pages"):
        each.mkdir(parents=True, exist_ok=True)
    (model / "model.toml").write_text(CARD)
    (model / "weights.safetensors").write_bytes(b"weights")
    (model / "prior.safetensors").write_bytes(b"prior")
    (folder / "pages" / "index.md").write_text(index)
    (folder / "site.toml").write_text(site)
    return folder / "site.toml"


def write_page(config: Path, text: str, name: str = "index") -> None:
    """Write another text into a page of the site."""
    (config.parent / "pages" / f"{name}.md").write_text(text)


@dataclass
class FakeRenderer:
    """Renders noise that depends on the figure and its models' bytes only; remembers what it did.

    fail: the id of a figure that breaks down at its third frame
    pause: seconds before each frame
    """

    fail: str | None = None
    pause: float = 0.0
    jobs: list[str] = field(default_factory=list)

    def __call__(
        self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget
    ) -> FakeRenderer:
        """Stand in for the class of the real renderer as well."""
        self.sources = sources
        return self

    def render_job(self, figure: Figure) -> RenderJob:
        """Make frames as the real one does."""
        self.jobs.append(figure.id)
        spec = spec_json(figure)
        levels = tuple(range(self.sources[spec["model"]].card.levels, -1, -1))
        clip = ClipSource(ClipSpec(24.0, 18, 2, (32, 36, 48)), self._frames(figure, levels))
        return RenderJob(levels, spec, {"": clip})

    def pace(self, model: str) -> float:
        """A hundredth of a second for an image and level."""
        return 0.01

    def _frames(self, figure: Figure, levels: tuple[int, ...]) -> Iterator[Frame]:
        source = self.sources[figure.models[0]]
        about = [spec_json(figure), source.card.digest, source.weights_sha256, source.prior_sha256]
        seed = int.from_bytes(hashlib.sha256(repr(about).encode()).digest()[:8], "big")
        generator = np.random.default_rng(seed)
        for number in range(len(levels)):
            time.sleep(self.pause)
            if self.fail == figure.id and number == 2:
                raise TargetError("the third frame went wrong")
            yield generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)


@dataclass
class Builder:
    """Builds a site with the fake renderer, and keeps what it told."""

    config: Path
    renderer: FakeRenderer = field(default_factory=FakeRenderer)
    report: Silent = field(default_factory=Silent)

    def __call__(self, **options: Any) -> Summary:
        """Build; `options` are those of `BuildOptions`."""
        self.renderer.jobs.clear()
        self.report = Silent()
        return build(self.config, BuildOptions(CPU, **options), self.renderer, self.report)

    @property
    def root(self) -> Path:
        """The folder of the site."""
        return self.config.parent

    @property
    def output(self) -> Path:
        """Where the site is built."""
        return self.root / "build"


def decode(path: Path) -> NDArray[np.uint8]:
    """The frames (N, H, W, 3) of a clip."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-i", str(path)]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "pipe:1"]
    done = subprocess.run([*command, *raw], capture_output=True, check=True)
    size = re.search(r"Video: .*? (\d{2,})x(\d{2,})", done.stderr.decode())
    assert size is not None
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, int(size[2]), int(size[1]), 3)


def tree_hash(folder: Path) -> str:
    """One digest of the names, modes and bytes of everything in a folder."""
    content = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        data = b"" if path.is_dir() else path.read_bytes()
        mode = path.lstat().st_mode
        content.update(f"{name} {mode:o} {len(data)}\n".encode() + data)
    return content.hexdigest()


def traces(folder: Path) -> dict[str, tuple[int, ...]]:
    """What touching a file or folder would change: times, inode, size and mode of each."""
    found: dict[str, tuple[int, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        found[str(path)] = (
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
            status.st_size,
            status.st_mode,
        )
    return found


def temporaries(folder: Path) -> list[Path]:
    """What a build that stopped short has left."""
    return sorted(folder.rglob(".sitegen-tmp-*"))


def environment(**changes: str) -> dict[str, str]:
    """The environment of a subprocess that can import sitegen and the tests."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **changes}
