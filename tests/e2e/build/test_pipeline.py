"""The build: it renders what changed and no more, replaces the site whole or leaves it, and an
incremental build is the same as a clean one, whoever runs it and where.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import html5lib
import pytest
from PIL import Image

from sitegen.build import pipeline as building
from sitegen.build.context import BuildOptions
from sitegen.config.loader import load_site
from sitegen.content.pages import read_pages
from sitegen.core.errors import ConfigError, LockedError, PlatformError, RefusedError, TargetError
from sitegen.core.files import digest, host_mark, lock, temporary_path
from tests.support.builders import (
    CARD,
    CPU,
    INDEX,
    SITE,
    Builder,
    decode,
    environment,
    temporaries,
    traces,
    tree_hash,
    write_page,
    write_site,
)
from tests.support.paths import ROOT

CALL = '{{ trajectories("tiny", count=4) }}'
TWO = INDEX + '\n{{ trajectories("tiny", count=1, seed=3, id="second") }}\n'


@pytest.fixture
def site(tmp_path: Path) -> Builder:
    """A site that has not been built."""
    return Builder(write_site(tmp_path / "site"))


@pytest.fixture(scope="session")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that has been built once, to be copied."""
    site = Builder(write_site(tmp_path_factory.mktemp("prebuilt") / "site"))
    site()
    return site.root


@pytest.fixture
def built(prebuilt: Path, tmp_path: Path) -> Builder:
    """A site that has been built once."""
    shutil.copytree(prebuilt, tmp_path / "site")
    return Builder(tmp_path / "site/site.toml")


def test_first_build_films_and_second_touches_nothing(site: Builder) -> None:
    """One film, one write; then no file or folder of site, store or sources is touched."""
    first = site()
    assert (first.rendered, first.reused, first.changed) == (("tiny-trajectories",), (), True)
    assert site.report.lines == ["rendering tiny-trajectories: 5 steps"]
    before = traces(site.root)
    second = site()
    assert (second.rendered, second.reused, second.changed) == ((), ("tiny-trajectories",), False)
    assert site.renderer.jobs == []
    assert site.report.lines == []
    assert traces(site.root) == before
    assert second.bytes == sum(p.stat().st_size for p in site.output.rglob("*") if p.is_file())


def test_warm_build_needs_neither_torch_nor_encoder(built: Builder) -> None:
    """With both blocked, a build says that all is done, and touches nothing."""
    before = traces(built.root)
    blocked = environment(FAKE_BLOCK="torch imageio_ffmpeg imageio PIL")
    command = [
        sys.executable,
        "-m",
        "tests.support.fakecli",
        "build",
        "--config",
        str(built.config),
    ]
    done = subprocess.run(command, env=blocked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "already up to date" in done.stdout
    assert traces(built.root) == before


def test_caption_only_renders(built: Builder) -> None:
    """Another caption changes page and manifest; no clip is made and none changes."""
    clips = traces(built.root / ".sitegen" / "objects")
    write_page(built.config, INDEX.replace("Four of them", "Another caption"))
    summary = built()
    assert summary.changed
    assert built.renderer.jobs == []
    assert "Another caption" in (built.output / "index.html").read_text()
    assert json.loads((built.output / "media.json").read_text())["figures"][0]["caption"] == (
        "Another caption."
    )
    assert traces(built.root / ".sitegen" / "objects") == clips


def edit_page(call: str) -> Callable[[Builder], None]:
    """Write another call into the page."""
    return lambda site: write_page(site.config, INDEX.replace("count=4", call))


def edit_card(old: str, new: str) -> Callable[[Builder], None]:
    """Change the card of the model."""
    return lambda site: write_card(site, CARD.replace(old, new))


def write_card(site: Builder, text: str) -> None:
    (site.root / "models/tiny/model.toml").write_text(text)


def edit_file(name: str) -> Callable[[Builder], None]:
    """Change the bytes of a file of the model, and neither its size nor its time."""

    def edit(site: Builder) -> None:
        path = site.root / "models/tiny" / name
        data, status = path.read_bytes(), path.stat()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(edit_page("count=4, seed=1"), id="seed"),
        pytest.param(edit_page("count=5"), id="count"),
        pytest.param(edit_page("count=4, columns=4"), id="columns"),
        pytest.param(edit_page('count=4, show="mean"'), id="show"),
        pytest.param(edit_page("count=4, sampling_noise_std=0.02"), id="delta of the figure"),
        pytest.param(edit_page("count=4, fps=12.0"), id="fps"),
        pytest.param(edit_card("0.0125", "0.013"), id="delta of the card"),
        pytest.param(edit_card("levels = 4", "levels = 5"), id="levels"),
        pytest.param(edit_card("sigma_max = 8.0", "sigma_max = 9.0"), id="blur"),
        pytest.param(edit_file("weights.safetensors"), id="weights"),
        pytest.param(edit_file("prior.safetensors"), id="prior"),
    ],
)
def test_what_decides_the_pixels_films_again(
    built: Builder, edit: Callable[[Builder], None]
) -> None:
    """Each of these makes another clip, and undoing it finds the old one."""
    before = tree_hash(built.output)
    kept = {path: path.read_bytes() for path in built.root.glob("[mps]*/**/*") if path.is_file()}
    edit(built)
    assert built().rendered == ("tiny-trajectories",)
    assert tree_hash(built.output) != before
    for path, data in kept.items():
        path.write_bytes(data)
    assert built().rendered == ()
    assert tree_hash(built.output) == before


def test_what_does_not_decide_the_pixels(built: Builder) -> None:
    """Files renamed, new times, notes in the card: nothing is rendered, and nothing touched."""
    model = built.root / "models/tiny"
    (model / "weights.safetensors").rename(model / "renamed.safetensors")
    (model / "prior.safetensors").touch()
    card = CARD.replace("weights.safetensors", "renamed.safetensors")
    write_card(built, card + '[training]\ndata = "a note"\n')
    before = traces(built.output)
    summary = built()
    assert (summary.rendered, summary.changed) == ((), False)
    assert traces(built.output) == before


def test_other_words_of_the_same_figure(built: Builder) -> None:
    """Defaults written out, and a second page with the same figure, need no new clip."""
    write_page(built.config, INDEX.replace("count=4", 'count=4, columns=2, seed=0, show="state"'))
    assert built().changed is False
    write_page(built.config, f"# More\n\n{CALL}\n", "more")
    summary = built()
    assert (summary.rendered, len(summary.reused)) == ((), 2)


def test_alike_figures_are_filmed_once(site: Builder) -> None:
    """Two ids with one request: one clip; `--only` finds it by either id."""
    twin = CALL.replace(")", ', id="twin")')
    write_page(site.config, f"{CALL}\n\n{twin}\n")
    summary = site(only=("tiny-trajectories",))
    assert site.renderer.jobs == ["tiny-trajectories"]
    assert summary.rendered == ("tiny-trajectories", "twin")
    assert len(list((site.output / "media").iterdir())) == 6


def test_manifest_matches_the_files(site: Builder) -> None:
    """Levels K … 0, and of each file its bytes, digest, size and frames, as others see them."""
    write_page(site.config, TWO)
    site()
    value = json.loads((site.output / "media.json").read_text())
    assert value["version"] == 1
    assert [figure["id"] for figure in value["figures"]] == ["tiny-trajectories", "second"]
    for figure in value["figures"]:
        assert figure["levels"] == [4, 3, 2, 1, 0]
        assert figure["page"] == "index.html"
        assert figure["models"] == [
            {"name": "tiny", "sha256": digest(site.root / "models/tiny/weights.safetensors")}
        ]
        for file in figure["files"].values():
            path = site.output / file["path"]
            assert path.stat().st_size == file["bytes"]
            assert digest(path) == file["sha256"]
            assert seen(path) == (file["width"], file["height"], file.get("frames"))
    listed = {file["path"] for figure in value["figures"] for file in figure["files"].values()}
    there = {path.relative_to(site.output).as_posix() for path in site.output.glob("media/*")}
    assert listed == there


def seen(path: Path) -> tuple[int, int, int | None]:
    """Width, height and number of frames by other programs than ours."""
    if path.suffix == ".mp4":
        frames = decode(path)
        return frames.shape[2], frames.shape[1], len(frames)
    with Image.open(path) as image:
        moves = path.suffix == ".gif"
        return image.width, image.height, getattr(image, "n_frames", 1) if moves else None


def test_links_are_relative_and_lead_somewhere(site: Builder) -> None:
    """Every src, href and poster of every page is a file of the build or another site."""
    write_page(site.config, f"# More\n\n{CALL}\n", "more")
    site()
    found = 0
    for page in site.output.rglob("*.html"):
        document = html5lib.parse(page.read_text(), namespaceHTMLElements=False)
        for element in document.iter():
            for name in ("src", "href", "poster"):
                link = element.get(name)
                if link is None or link.startswith(("https://", "#", "data:")):
                    continue
                found += 1
                target = (page.parent / link.partition("#")[0]).resolve()
                assert not link.startswith("/"), link
                assert target.exists(), f"{page}: {link}"
                assert site.output.resolve() in [target, *target.parents]
    assert found > 10


STORIES: dict[str, Callable[[Builder], object]] = {
    "second figure": lambda site: write_page(site.config, TWO),
    "another page": lambda site: write_page(site.config, f"# More\n\n{CALL}\n", "more"),
    "weights": edit_file("weights.safetensors"),
    "page gone": lambda site: (site.root / "pages/more.md").unlink(),
    "caption": lambda site: write_page(site.config, TWO.replace("Four", "4")),
    "title": lambda site: write_config(site, SITE.replace("A title", "Another")),
    "clip spoiled": lambda site: next(site.output.glob("media/*.mp4")).write_bytes(b""),
    "page spoiled": lambda site: (site.output / "index.html").unlink(),
    "figure gone": lambda site: write_page(site.config, INDEX),
}


def write_config(site: Builder, text: str) -> None:
    site.config.write_text(text)


def test_incremental_is_clean(site: Builder, tmp_path: Path) -> None:
    """After each of many edits, the folder equals that of a build from nothing, byte for byte."""
    site()
    for name, edit in STORIES.items():
        edit(site)
        site()
        clean = Builder(tmp_path / name / "site.toml")
        shutil.copytree(site.root, clean.root, ignore=shutil.ignore_patterns(".sitegen", "build"))
        clean()
        assert tree_hash(site.output) == tree_hash(clean.output), name
    assert temporaries(tmp_path) == []


def test_same_bytes_for_everybody(tmp_path: Path) -> None:
    """Hash seed, time zone, language, umask, folder, number of jobs: the tree is the same."""
    hashes = set()
    for number, (zone, language, umask) in enumerate(
        [("UTC", "C", "022"), ("Pacific/Kiritimati", "tr_TR.UTF-8", "077")]
    ):
        config = write_site(tmp_path / ("longer " * number + "site"), TWO)
        changes = environment(PYTHONHASHSEED=str(number), TZ=zone, LANG=language, LC_ALL=language)
        words = [
            "-m",
            "tests.support.fakecli",
            "build",
            "--config",
            str(config),
            "--jobs",
            str(1 + number),
        ]
        command = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", sys.executable, *words]
        cwd = ROOT if number else config.parent
        subprocess.run(command, env=changes, check=True, capture_output=True, cwd=cwd)
        hashes.add(tree_hash(config.parent / "build"))
    assert len(hashes) == 1


def test_failing_figure_leaves_the_old_site(built: Builder) -> None:
    """The error names page, line and figure; the site is untouched; what was rendered is kept."""
    before = traces(built.output)
    write_page(built.config, TWO.replace("count=4", "count=3"))
    built.renderer.fail = "second"
    with pytest.raises(TargetError, match=r"index\.md:5: second: the third frame went wrong"):
        built()
    assert traces(built.output) == before
    assert temporaries(built.root) == []
    built.renderer.fail = None
    assert built().rendered == ("second",)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_jobs(site: Builder, jobs: int) -> None:
    """Several at a time make the same site."""
    index = "\n\n".join(f'{{{{ trajectories("tiny", seed={n}) }}}}' for n in range(4))
    write_page(site.config, index)
    assert len(site(jobs=jobs).rendered) == 4
    assert sorted(site.renderer.jobs) == sorted(site().reused)


def test_failure_among_jobs(built: Builder) -> None:
    """One of two at work fails: its error is told, the other stops, nothing is left behind."""
    before = traces(built.output)
    write_page(built.config, TWO.replace("count=4", "count=3"))
    built.renderer.fail, built.renderer.pause = "second", 0.05
    with pytest.raises(TargetError, match="the third frame went wrong"):
        built(jobs=2)
    assert traces(built.output) == before
    assert temporaries(built.root) == []


@pytest.mark.parametrize("strict", [False, True])
def test_damaged_object(built: Builder, strict: bool) -> None:
    """A turned bit in the store: one warning, rendered again; `--strict` fails, then is content."""
    before = tree_hash(built.output)
    path = max((built.root / ".sitegen/objects").rglob("*"), key=lambda path: path.stat().st_size)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if strict:
        with pytest.raises(TargetError, match=r"--strict: 1 warning\(s\)"):
            built(strict=True)
    else:
        assert built().rendered == ("tiny-trajectories",)
    assert built.renderer.jobs == ["tiny-trajectories"]
    warnings = [line for line in built.report.lines if line.startswith("warning")]
    assert len(warnings) == 1
    assert path.name in warnings[0]
    assert tree_hash(built.output) == before
    assert built(strict=True).changed is False


def test_only(site: Builder) -> None:
    """One figure is rendered, the site waits for the other; then nothing is rendered twice."""
    write_page(site.config, TWO)
    summary = site(only=("second",))
    assert (summary.rendered, summary.missing) == (("second",), ("tiny-trajectories",))
    assert "left as it was" in summary.lines()[1]
    assert not site.output.exists()
    assert site().rendered == ("tiny-trajectories",)


def test_only_must_be_known(built: Builder) -> None:
    """An unknown figure is a mistake, answered with the close name."""
    with pytest.raises(ConfigError, match=r"--only tiny-trajectory: .*tiny-trajectories"):
        built(only=("tiny-trajectory",))


def test_dry_run(site: Builder) -> None:
    """It says what it would render, and does nothing at all."""
    before = traces(site.root)
    summary = site(dry_run=True)
    assert summary.missing == ("tiny-trajectories",)
    assert "index.md:3), 4 steps" in site.report.lines[0]
    assert traces(site.root) == before
    site()
    before = traces(site.root)
    assert "0 rendered, 1 reused" in site(dry_run=True).lines()[0]
    assert traces(site.root) == before


def test_dry_run_of_one_figure(site: Builder) -> None:
    """It tells only what the same command would render."""
    write_page(site.config, INDEX + '\n{{ trajectories("tiny", seed=3, id="second") }}\n')
    site(dry_run=True, only=("second",))
    assert [line.split()[2] for line in site.report.lines if "would render" in line] == ["second"]


def test_offline(site: Builder) -> None:
    """Nothing is rendered; what is missing is named with its place; what is there is enough."""
    with pytest.raises(TargetError, match=r"index\.md:3: tiny-trajectories is not in the store"):
        site(offline=True)
    assert site.renderer.jobs == []
    site()
    shutil.rmtree(site.output)
    assert site(offline=True).changed


def test_offline_takes_the_clips_of_another_machine(built: Builder) -> None:
    """Rendered on a GPU, rendered elsewhere: the request counts, not the machine."""
    shutil.rmtree(built.output)
    options = BuildOptions(replace(CPU, device="cuda"), offline=True)
    assert building.build(built.config, options, built.renderer, built.report).changed


def test_machine_without_torch(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes any clip of the same request, and names what it would have to render."""
    version = metadata.version

    def without(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    shutil.rmtree(built.output)
    assert built().changed
    (built.root / "models/tiny/weights.safetensors").rename(built.root / "elsewhere")
    pinned = CARD.replace('s.safetensors"', f's.safetensors"\nsha256 = "{digest_of(built)}"', 1)
    write_card(built, pinned)
    with pytest.raises(PlatformError, match=r"(?s)index\.md:3: .*torch is not installed"):
        built()


def digest_of(site: Builder) -> str:
    """The digest of the weights, which are elsewhere."""
    return digest(site.root / "elsewhere")


def test_model_without_prior(site: Builder) -> None:
    """Told, with what to do, before anything else is rendered."""
    (site.root / "bare.toml").write_text(CARD.partition("[weights]")[0])
    (site.root / "checkpoint.pth").write_bytes(b"weights")
    entry = '[models.bare]\npath = "checkpoint.pth"\ncard = "bare.toml"\n'
    write_config(site, SITE + entry)
    write_page(site.config, INDEX + '\n{{ trajectories("bare") }}\n')
    with pytest.raises(RefusedError, match=r"index\.md:5: .*no prior(?s:.*)sitegen add"):
        site()
    assert site.renderer.jobs == []


@pytest.mark.parametrize("name", ["weights", "prior"])
def test_model_with_a_file_missing(site: Builder, name: str) -> None:
    """A file that is gone is refused with place and nearest name, and nothing is rendered."""
    path = site.root / f"models/tiny/{name}.safetensors"
    path.rename(path.with_name(f"{name}2.safetensors"))
    with pytest.raises(RefusedError, match=rf"index\.md:3: .*did you mean {name}2"):
        site()
    assert site.renderer.jobs == []


def test_every_figure_that_does_not_fit_its_models_is_told(site: Builder) -> None:
    """Not one build after the other: all of them at once, each with its line."""
    write_page(site.config, '{{ process("tiny") }}\n\n{{ process("tiny", columns=3) }}\n')
    with pytest.raises(ConfigError) as caught:
        site()
    first, second = str(caught.value).splitlines()
    assert "index.md:1: tiny-process: process(…): image is missing" in first
    assert "index.md:3: tiny-process-2: process(…): image is missing" in second


def test_two_builds_at_once(site: Builder) -> None:
    """While another has the lock: exit 5 and its process; a site that is done needs no lock."""
    with lock(site.root / ".sitegen/lock"), pytest.raises(LockedError, match=r"process \d+"):
        site()
    site()
    with lock(site.root / ".sitegen/lock"):
        assert site().changed is False


def test_other_build_finished_first(site: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another rendered between our look at the store and the lock is not rendered again."""

    @contextmanager
    def late(path: Path) -> Iterator[None]:
        monkeypatch.setattr(building, "lock", lock)
        assert Builder(site.config)().rendered == ("tiny-trajectories",)
        with lock(path):
            yield

    monkeypatch.setattr(building, "lock", late)
    summary = site()
    assert (summary.rendered, summary.changed, site.renderer.jobs) == ((), False, [])


def test_encoder_is_tried_before_sampling(site: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg without libx264 is found before the first step."""

    def lacking() -> None:
        raise PlatformError("no encoder libx264")

    monkeypatch.setattr(building, "preflight", lacking)
    with pytest.raises(PlatformError, match="libx264"):
        site()
    assert site.renderer.jobs == []


@pytest.mark.parametrize("folder", [".", ".sitegen"])
def test_full_disk_is_found_before_sampling(
    site: Builder, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the output, or in the store: nothing is rendered that could not be kept."""
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.parent == site.root / folder:
            raise OSError(28, os.strerror(28))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PlatformError, match="No space left"):
        site()
    assert site.renderer.jobs == []


def test_linked_output_is_built_where_it_leads(site: Builder) -> None:
    """The new folder is made beside the real one: the link may lead to another disk."""
    target = site.root / "disk" / "site"
    site.output.symlink_to(target)
    assert site().output == target
    assert site.output.is_symlink()


@pytest.mark.parametrize("folder", [".", ".sitegen", ".sitegen/work", ".sitegen/records"])
def test_warm_build_removes_what_the_dead_left(built: Builder, folder: str) -> None:
    """Wherever a killed build had something under way; what is alive stays."""
    dead = built.root / folder / f".sitegen-tmp-{host_mark()}-999999999-1-abc"
    dead.mkdir()
    (dead / "clip.mp4").touch()
    live = temporary_path(built.root / folder)
    live.touch()
    assert built().changed is False
    assert temporaries(built.root) == [live]


def test_stale_lock_is_no_obstacle(site: Builder) -> None:
    """A lock file that a dead process left, or garbage in it, does not stop a build."""
    (site.root / ".sitegen").mkdir()
    (site.root / ".sitegen/lock").write_bytes(b"\xff garbage 99999999")
    assert site().changed


def test_version_of_an_encoder_films_again(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another ffmpeg may make other bytes, so its version is part of the key."""
    monkeypatch.setattr("sitegen.build.plan.encoder_version", lambda: "another")
    assert built().rendered == ("tiny-trajectories",)


WAITING = (
    SITE
    + """
[models.cifar]
path = "checkpoints/cifar.pth"
preset = "cifar10"
"""
)
GUARDED = (
    INDEX
    + """
{% if available("cifar") %}
## CIFAR-10

{{ trajectories("cifar", count=1) }}

{% endif %}
"""
)


def test_model_that_is_not_there(tmp_path: Path) -> None:
    """Its section is left out and it is named; `--strict` fails; dropped, the section appears."""
    site = Builder(write_site(tmp_path / "site", GUARDED, WAITING))
    checkpoint = site.root / "checkpoints/cifar.pth"
    first = site()
    lines = first.lines()
    assert lines[1] == f"left out, because a file is not there: cifar ({checkpoint})"
    assert "CIFAR-10" not in (site.output / "index.html").read_text()
    with pytest.raises(TargetError, match=r"--strict: models of site\.toml are not there: cifar"):
        site(strict=True)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"weights")
    second = site(strict=True)
    assert second.rendered == ("cifar-trajectories",)
    assert second.lines()[1] == "starting from approximate flat images: cifar"
    assert "CIFAR-10" in (site.output / "index.html").read_text()


def test_figure_of_a_model_that_is_not_there(tmp_path: Path) -> None:
    """Outside of `available` it is refused with its place and what to do."""
    index = 'Words.\n\n{{ trajectories("cifar", count=1) }}\n'
    site = Builder(write_site(tmp_path / "site", index, WAITING))
    with pytest.raises(RefusedError, match=r"pages/index\.md:3: .*no such checkpoint") as caught:
        site()
    assert "put it there, or leave out of the page what needs cifar" in str(caught.value)
    assert not site.output.exists()


def test_the_papers_site_with_all_checkpoints(tmp_path: Path) -> None:
    """Dropping all six makes every section appear, and nothing else is to be done."""
    root = tmp_path / "site"
    shutil.copytree(ROOT / "pages", root / "pages")
    shutil.copy(ROOT / "site.toml", root)
    site = Builder(root / "site.toml")
    assert len(site(dry_run=True).left_out) == 6
    entries = load_site(site.config).models.items()
    for name, entry in entries:
        if entry.preset:
            entry.path.parent.mkdir(exist_ok=True)
            entry.path.write_bytes(name.encode())
    summary = site(strict=True, dry_run=True)
    assert summary.left_out == ()
    assert {"cifar10", "afhq-64", "afhq-256", "ffhq-256"} <= set(summary.approximate)
    (page,) = read_pages(load_site(site.config))
    html = "".join(part for part in page.body if isinstance(part, str))
    for name in ("CIFAR-10", "AFHQ 256×256", "FFHQ 256×256", "LSUN-Churches 128×128", "(64×64)"):
        assert name in html
