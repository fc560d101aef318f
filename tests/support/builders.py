"""Miniature sites and models for tests: small enough that a build takes a fraction of a second."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
from numpy.random import default_rng  # here: its C code may swallow what a signal raises
from numpy.typing import NDArray

from sitegen.builder.pipeline import Summary, build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import Encode
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import SitegenError, TargetError
from sitegen.figures.base import Figure, spec_json
from sitegen.media.frames import Frame
from sitegen.media.manifest import Cells, ClipSource, MediaFile, RenderJob
from sitegen.models.registry import ModelSource
from sitegen.sampling.provider import ModelProvider
from tests.support.paths import ROOT
from tests.support.reporters import Silent

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
    """Write another text into a page of the site, at once, so that no preview reads half of it."""
    path = config.parent / "pages" / f"{name}.md"
    aside = path.with_name(f".{name}.md")
    aside.write_text(text)
    aside.replace(path)


def page(folder: Path, *calls: str) -> None:
    """Write the front page of the site in a folder, with a title and some calls."""
    (folder / "pages").mkdir(exist_ok=True)
    text = "\n\n".join(f"{{{{ {call} }}}}" for call in calls)
    (folder / "pages/index.md").write_text(f"# A flow\n\n{text}\n")


@dataclass
class FakeRenderer:
    """Renders noise that depends on the figure and its models' bytes only; remembers what it did.

    fail: the id of a figure that breaks down at its third frame
    pause: seconds before each frame, but the first `soon`
    """

    fail: str | None = None
    pause: float = 0.0
    jobs: list[str] = field(default_factory=list)
    soon: int = 0

    def __call__(
        self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget
    ) -> "FakeRenderer":
        """Stand in for the class of the real renderer as well."""
        self.sources = sources
        return self

    def render_job(self, figure: Figure) -> RenderJob:
        """Make frames as the real one does."""
        self.jobs.append(figure.id)
        spec = spec_json(figure)
        if figure.kind == "gallery":
            return figure.spec.sample(ModelProvider({}, CPU), figure)
        if figure.kind in ("process", "spectra"):
            return RenderJob(spec, stills={"image": fake_still})
        if figure.kind == "sampler":
            own = {name: partial(fake_still, name=name) for name in ("model", "weights")}
            posters = {name: partial(fake_poster, name=name) for name in ("poster", "poster-webp")}
            parameters = {"sampling_noise_std": 0.0125, **spec}
            return RenderJob(parameters, stills={**posters, **own})
        levels = tuple(range(self.sources[spec["model"]].card.levels, -1, -1))
        order = tuple(range(len(levels)))
        clip = ClipSource(Cells(1, 32, 32, 1), 2, 24.0, order, self._states(figure, levels))
        return RenderJob(spec, clip, levels)

    def _states(self, figure: Figure, levels: tuple[int, ...]) -> Iterator[Frame]:
        source = self.sources[figure.spec.models[0]]
        about = [spec_json(figure), source.card.digest, source.weights_sha256, source.prior_sha256]
        seed = int.from_bytes(hashlib.sha256(repr(about).encode()).digest()[:8], "big")
        generator = default_rng(seed)
        for number in range(len(levels)):
            _pause(self.pause if number >= self.soon else 0)
            if self.fail == figure.id and number == 2:
                raise TargetError("the third frame went wrong")
            yield generator.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)


def _pause(seconds: float) -> None:
    """Sleep, and come back to Python often, as the layers of a network do.

    A signal that arrives just before a system call is heard when that is over.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an MP4 file."""
    return (8 + sum(map(len, parts))).to_bytes(4, "big") + kind + b"".join(parts)


def fake_mp4(width: int, height: int, content: bytes) -> bytes:
    """The boxes of a clip that browsers would play, with `content` in the place of pictures."""
    size = width.to_bytes(2, "big") + height.to_bytes(2, "big")
    setup = box(b"avcC", bytes([1, 100, 0, 31, 255, 224, 0]))
    table = box(b"stsd", bytes(8), box(b"avc1", bytes(24), size, bytes(50), setup))
    inside = box(b"hdlr", bytes(8), b"vide"), box(b"minf", box(b"stbl", table))
    return box(b"ftyp") + box(b"moov", box(b"trak", box(b"mdia", *inside))) + box(b"mdat", content)


def fake_encode(
    clip: ClipSource, folder: Path, check: Callable[[], None] = lambda: None
) -> dict[str, MediaFile]:
    """Files that hold the digest of the states, and the last state; starts no process."""
    from PIL import Image  # here, since a process may be told that it is not installed

    content = hashlib.sha256(repr((clip.cells, clip.factor, clip.fps, clip.order)).encode())
    for state in clip.states:
        content.update(state.tobytes())
    size = clip.cells.size
    still = Image.fromarray(state[0]).resize(size, Image.Resampling.NEAREST)
    still.save(folder / "clip.webp", lossless=True, method=0)
    (folder / "clip.avif").write_bytes((folder / "clip.webp").read_bytes())
    (folder / "film.webp").write_bytes((folder / "clip.webp").read_bytes())
    (folder / "clip.mp4").write_bytes(fake_mp4(*size, content.digest()))
    (folder / "clip.gif").write_bytes(b"GIF89a" + content.digest())

    def made(name: str, *facts: Any) -> MediaFile:
        data = (folder / name).read_bytes()
        return MediaFile(name, len(data), hashlib.sha256(data).hexdigest(), *facts)

    return {
        "mp4": made("clip.mp4", *size, len(clip.order), clip.fps),
        "gif": made("clip.gif", *state.shape[1:3], len(clip.order), 15.0),
        "poster": made("clip.avif", *size),
        "poster-webp": made("clip.webp", *size),
        "film": made("film.webp", *size),
    }


def fake_still(folder: Path, name: str = "image") -> MediaFile:
    """A drawing of nothing but its name."""
    start = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48">'
    data = f"{start}<title>{name}</title></svg>".encode()
    (folder / f"{name}.svg").write_bytes(data)
    return MediaFile(f"{name}.svg", len(data), hashlib.sha256(data).hexdigest(), 64, 48)


def fake_poster(folder: Path, name: str = "poster") -> MediaFile:
    """A picture of nothing, in pixels."""
    from PIL import Image

    Image.new("RGB", (64, 48), (len(name), 0, 0)).save(folder / f"{name}.webp", lossless=True)
    data = (folder / f"{name}.webp").read_bytes()
    return MediaFile(f"{name}.webp", len(data), hashlib.sha256(data).hexdigest(), 64, 48)


@dataclass
class Builder:
    """Builds a site with the fake renderer and encoder, and keeps what it told."""

    config: Path
    renderer: FakeRenderer = field(default_factory=FakeRenderer)
    report: Silent = field(default_factory=Silent)
    encode: Encode = fake_encode

    def __call__(self, **options: Any) -> Summary:
        """Build; `options` are those of `BuildOptions`."""
        self.renderer.jobs.clear()
        self.report = Silent()
        wanted = BuildOptions(**{"compute_target": CPU, **options})
        return build(self.config, wanted, self.renderer, self.report, self.encode)

    def refused(self, error: type[SitegenError], words: str, **options: Any) -> None:
        """Build, which is refused in these words."""
        import pytest  # here, since processes that build have no use for it

        with pytest.raises(error, match=words):
            self(**options)

    @property
    def root(self) -> Path:
        """The folder of the site."""
        return self.config.parent

    @property
    def output(self) -> Path:
        """Where the site is built."""
        return self.root / "build"

    def site_hash(self) -> str:
        """One digest of the site that was built."""
        return tree_hash(self.output)

    @property
    def figures(self) -> list[dict[str, Any]]:
        """What `media.json` says of each figure."""
        return list(json.loads((self.output / "media.json").read_text())["figures"])


def decode(path: Path) -> NDArray[np.uint8]:
    """The frames (N, H, W, 3) of a clip."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-i", str(path)]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "pipe:1"]
    done = subprocess.run([*command, *raw], env=environment(), capture_output=True, check=True)
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
    facts = ("st_mtime_ns", "st_ctime_ns", "st_ino", "st_size", "st_mode")
    paths = [folder, *sorted(folder.rglob("*"))]
    return {str(path): tuple(getattr(path.lstat(), name) for name in facts) for path in paths}


def children(pid: int | str = "self") -> list[int]:
    """The numbers of the processes that this one or another has started, dead ones too."""
    numbers = list[int]()
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            numbers += map(int, (task / "children").read_text().split())
    return numbers


def temporaries(folder: Path) -> list[Path]:
    """What a build that stopped short has left."""
    return sorted(folder.rglob(".sitegen-*"))


def environment(**changes: str) -> dict[str, str]:
    """The environment of a subprocess that can import sitegen and the tests."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **changes}


def run_python(*words: str, folder: Path = ROOT, **changes: str) -> CompletedProcess[str]:
    """Run Python in a folder, in a process of its own."""
    command, env = [sys.executable, *words], environment(**changes)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def run_sitegen(folder: Path, *words: str | Path, **changes: str) -> CompletedProcess[str]:
    """Run the command line with the fake renderer in a folder, in a process of its own."""
    words_of_it = ("-m", "tests.support.fakecli", *map(str, words))
    return run_python(*words_of_it, folder=folder, **changes)


def git(folder: Path, *words: str, check: bool = True) -> str:
    """What git says to somebody in a folder, whatever the settings of this machine are."""
    settings = ("-c", "user.name=Somebody", "-c", "user.email=some@example.org")
    env = environment(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    command = ["git", *settings, *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=check)
    return done.stdout.strip("\n")
