"""The build: it renders what changed and no more, replaces the site whole or leaves it, and an
incremental build is the same as a clean one, whoever runs it and where.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder import context as contexts
from sitegen.builder import output
from sitegen.builder import pipeline as building
from sitegen.builder.context import BuildOptions
from sitegen.builder.plan import environment
from sitegen.core.errors import ConfigError, LockedError, PlatformError, RefusedError, TargetError
from sitegen.core.files import digest, host_id, temporary_path
from sitegen.core.locks import lock
from tests.support.builders import (
    CARD,
    CPU,
    FAKE_ENCODER,
    INDEX,
    SITE,
    Builder,
    temporaries,
    traces,
    write_page,
    write_site,
)
from tests.support.reporters import Silent

CALL = '{{ trajectories("tiny", count=4) }}'
TWO = INDEX + '\n{{ trajectories("tiny", count=1, seed=3, id="second") }}\n'


def test_first_build_renders_and_second_touches_nothing(site: Builder) -> None:
    """One clip, made with what is told, and one write; then not one file or folder is touched."""
    first = site()
    assert site.figures[0]["environment"] == environment(CPU)
    assert environment(CPU)["torch"] in (site.output / "index.html").read_text()
    assert (first.rendered, first.reused, first.changed) == (("tiny-trajectories",), (), True)
    assert site.report.lines == ["rendering tiny-trajectories: 5 steps"]
    before = traces(site.root)
    second = site()
    assert (second.rendered, second.reused, second.changed) == ((), ("tiny-trajectories",), False)
    assert site.renderer.jobs == []
    assert site.report.lines == []
    assert traces(site.root) == before
    assert second.bytes == sum(p.stat().st_size for p in site.output.rglob("*") if p.is_file())


def write_card(site: Builder, text: str) -> None:
    (site.root / "models/tiny/model.toml").write_text(text)


def turn_bit(path: Path) -> None:
    """Change the bytes of a file, and neither its size nor its time."""
    data, status = path.read_bytes(), path.stat()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_does_not_decide_the_pixels(built: Builder) -> None:
    """Another caption, files renamed, new times, notes in the card: nothing is rendered."""
    clips = traces(built.root / ".sitegen" / "objects")
    write_page(built.config, INDEX.replace("Four of them", "Another caption"))
    summary = built()
    assert summary.changed
    assert built.renderer.jobs == []
    assert "Another caption" in (built.output / "index.html").read_text()
    assert built.figures[0]["caption"] == "Another caption."
    assert traces(built.root / ".sitegen" / "objects") == clips
    model = built.root / "models/tiny"
    (model / "weights.safetensors").rename(model / "renamed.safetensors")
    (model / "prior.safetensors").touch()
    card = CARD.replace("weights.safetensors", "renamed.safetensors")
    write_card(built, card + '[training]\ndata = "a note"\n')
    before = traces(built.output)
    summary = built()
    assert (summary.rendered, summary.changed) == ((), False)
    assert traces(built.output) == before


EDITS: dict[str, Callable[[Builder], None]] = {
    "call": lambda site: write_page(site.config, INDEX.replace("count=4", "count=4, fps=12.0")),
    "card": lambda site: write_card(site, CARD.replace("levels = 4", "levels = 5")),
    "weights": lambda site: turn_bit(site.root / "models/tiny/weights.safetensors"),
    "prior": lambda site: turn_bit(site.root / "models/tiny/prior.safetensors"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_decides_the_pixels(built: Builder, name: str) -> None:
    """Each of these makes another clip, and undoing it finds the old one."""
    before = built.site_hash()
    kept = {path: path.read_bytes() for path in built.root.glob("[mps]*/**/*") if path.is_file()}
    EDITS[name](built)
    assert built().rendered == ("tiny-trajectories",)
    assert built.site_hash() != before
    for path, data in kept.items():
        path.write_bytes(data)
    assert built().rendered == ()
    assert built.site_hash() == before


def test_alike_figures_are_rendered_once(built: Builder) -> None:
    """Defaults written out, another page, another id: one clip, whose files are there once.

    `--only` finds it by either id.
    """
    write_page(built.config, INDEX.replace("count=4", 'count=4, columns=2, seed=0, show="state"'))
    assert built().changed is False
    write_page(built.config, f"# More\n\n{CALL}\n", "more")
    summary = built()
    assert (summary.rendered, len(summary.reused)) == ((), 2)
    nine = CALL.replace("4", "9")
    write_page(built.config, nine + "\n\n" + nine.replace(")", ', id="twin")'))
    assert built(only=("tiny-trajectories",)).rendered == ("tiny-trajectories", "twin")
    assert built.renderer.jobs == ["tiny-trajectories"]
    assert len([*built.output.glob("media/*.*")]) == 6  # of four samples and of nine
    twins = [each["files"] for each in built.figures[:2]]
    assert twins[0] == twins[1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_failing_figure_leaves_the_old_site(built: Builder, jobs: int) -> None:
    """The error names page, line and figure; site and store stay as they were, and nothing else."""
    before = traces(built.output)
    write_page(built.config, TWO.replace("count=4", "count=3"))
    built.renderer.fail = "second"
    built.refused(TargetError, r"index\.md:5: second: the third frame went wrong", jobs=jobs)
    assert traces(built.output) == before
    assert temporaries(built.root) == []
    built.renderer.fail = None
    assert "second" in built(jobs=jobs).rendered
    before = traces(built.root / ".sitegen/records")
    built.renderer.fail = "tiny-trajectories"
    with pytest.raises(TargetError, match="the third frame went wrong"):
        built(rerender=())
    assert traces(built.root / ".sitegen/records") == before
    assert built().rendered == ()


@pytest.mark.parametrize("strict", [False, True])
def test_damaged_object(built: Builder, strict: bool) -> None:
    """A turned bit in the store: one warning, rendered again; `--strict` fails, then is content."""
    before = built.site_hash()
    sha256 = digest(next(built.output.glob("media/*.mp4")))
    path = built.root / ".sitegen/objects" / sha256[:2] / sha256
    turn_bit(path)
    if strict:
        built.refused(TargetError, r"--strict: 1 warning\(s\)", strict=True)
    else:
        assert built().rendered == ("tiny-trajectories",)
    assert built.renderer.jobs == ["tiny-trajectories"]
    warnings = [line for line in built.report.lines if line.startswith("warning")]
    assert len(warnings) == 1
    assert path.name in warnings[0]
    assert built.site_hash() == before
    assert built(strict=True).changed is False


def test_only_and_offline(site: Builder) -> None:
    """One figure is rendered, the site waits for the other; offline, what is missing is named."""
    site.refused(TargetError, r"index\.md:3: tiny-trajectories is not in the store", offline=True)
    assert site.renderer.jobs == []
    write_page(site.config, TWO)
    summary = site(only=("second",))
    assert (summary.rendered, summary.missing) == (("second",), ("tiny-trajectories",))
    assert "not changed" in summary.lines()[1]
    assert not site.output.exists()
    assert site().rendered == ("tiny-trajectories",)
    shutil.rmtree(site.output)
    assert site(offline=True).changed


def test_dry_run(site: Builder) -> None:
    """It says what it would render, and does nothing but keep the pace that it has measured."""
    (site.root / ".sitegen").mkdir()
    before = traces(site.root / "pages")
    summary = site(dry_run=True)
    assert summary.missing == ("tiny-trajectories",)
    assert "index.md:3), 16 evaluations of a network, about" in site.report.lines[0]
    assert traces(site.root / "pages") == before
    assert [path.name for path in (site.root / ".sitegen").iterdir()] == ["speeds.json"]
    assert not site.output.exists()
    site()
    before = traces(site.root)
    assert "0 rendered, 1 reused" in site(dry_run=True).lines()[0]
    assert traces(site.root) == before
    write_page(site.config, TWO.replace("count=4", "count=5"))
    site(dry_run=True, only=("second",))
    assert [line.split()[2] for line in site.report.lines if "would render" in line] == ["second"]


class Verbose(Silent):
    """A reporter that keeps details as well."""

    detail = Silent.note


ELSEWHERE = {"device": "cuda", "precision": "bfloat16", "torch": "1.0", "encoder": "another"}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on another machine."""
    monkeypatch.setattr(contexts, "environment", lambda compute_target: ELSEWHERE)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("dry_run", [False, True])
def test_other_versions_render_nothing_again(built: Builder, dry_run: bool) -> None:
    """An upgrade or another device is no reason; --verbose tells what was made otherwise."""
    before, report = traces(built.output), Verbose()
    options = BuildOptions(CPU, dry_run=dry_run)
    summary = building.build(built.config, options, built.renderer, report, FAKE_ENCODER)
    assert (summary.rendered, summary.reused) == ((), ("tiny-trajectories",))
    assert traces(built.output) == before
    (line,) = (line for line in report.lines if "rendered with" in line)
    here = environment(CPU)
    assert line == (
        f"tiny-trajectories: rendered with device cpu (here cuda), encoder {here['encoder']} (here "
        f"another), precision float32 (here bfloat16), torch {here['torch']} (here 1.0); "
        "`sitegen build --rerender tiny-trajectories` renders it again"
    )


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("options", "rendered"),
    [
        ({"rerender": ()}, ("tiny-trajectories", "second")),
        ({"rerender": ("second",)}, ("second",)),
        ({"rerender": (), "only": ("second",)}, ("second",)),
        ({"rerender": ("second", "tiny-trajectories")}, ("tiny-trajectories", "second")),
    ],
    ids=str,
)
def test_rerender(built: Builder, options: Mapping[str, Any], rendered: tuple[str, ...]) -> None:
    """Every clip, or those that are named, is made again, once, and says with what."""
    write_page(built.config, TWO)
    built()
    assert built(dry_run=True, **options).rendered == ()
    assert [line.split()[2] for line in built.report.lines if "would" in line] == [*rendered][:2]
    assert built(**options).rendered == rendered
    again = {each["id"] for each in built.figures if each["environment"] == ELSEWHERE}
    assert again == {*rendered, "second"}
    assert built().rendered == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ("tiny-trajectory",)}, "--only tiny-trajectory: .*tiny-trajectories"),
        ({"rerender": ("tiny-trajectory",)}, "--rerender tiny-trajectory: .*tiny-trajectories"),
        ({"rerender": ("second",), "only": ("tiny-trajectories",)}, "second: --only leaves it out"),
        ({"rerender": (), "offline": True}, "--rerender and --offline exclude each other"),
    ],
    ids=str,
)
def test_options_that_mean_nothing(built: Builder, options: Mapping[str, Any], words: str) -> None:
    """An unknown figure is answered with the close name; what contradicts itself is refused."""
    write_page(built.config, TWO)
    built.refused(ConfigError, words, **options)
    assert built.renderer.jobs == []


FOLDERS = ("pages", "theme", "models/tiny", "pictures/x", ".sitegen/x", "figs/x", ".", "..")


@pytest.mark.parametrize("folder", FOLDERS)
def test_output_among_the_sources(site: Builder, folder: str) -> None:
    """What the author wrote, what pages show, and the store are not built over."""
    (site.root / "figs").mkdir()
    (site.root / "figs" / "notes.txt").write_text("Notes")
    write_page(site.config, f"{INDEX}\n[Notes](figs/notes.txt)\n")
    before = traces(site.root)
    site.refused(ConfigError, r"a source of the site", output=site.root / folder)
    assert traces(site.root) == before


def test_machine_without_torch(built: Builder, lack: Callable[[str], None]) -> None:
    """It takes any clip of the same request, and names what it would have to render."""
    lack("torch")
    shutil.rmtree(built.output)
    assert built().changed
    with pytest.raises(PlatformError, match=r"cannot be rendered again\ntorch is not installed"):
        built(rerender=())
    (built.root / "models/tiny/weights.safetensors").rename(built.root / "elsewhere")
    sha256 = digest(built.root / "elsewhere")
    pinned = CARD.replace('s.safetensors"', f's.safetensors"\nsha256 = "{sha256}"', 1)
    write_card(built, pinned)
    built.refused(PlatformError, r"(?s)index\.md:3: .*torch is not installed")
    assert built.renderer.jobs == []


def test_models_that_do_not_fit(site: Builder, tmp_path: Path) -> None:
    """Every misfit is told with its line; of a model that is not there the section goes."""
    write_page(site.config, '{{ process("tiny") }}\n\n{{ process("tiny", columns=3) }}\n')
    with pytest.raises(ConfigError) as caught:
        site()
    first, second = str(caught.value).splitlines()
    assert "index.md:1: tiny-process: process(…): image is missing" in first
    assert "index.md:3: tiny-process-2: process(…): image is missing" in second
    (site.root / "bare.toml").write_text(CARD.partition("[weights]")[0])
    (site.root / "checkpoint.pth").write_bytes(b"weights")
    entry = '[models.bare]\npath = "checkpoint.pth"\ncard = "bare.toml"\n'
    site.config.write_text(SITE + entry)
    write_page(site.config, INDEX + '\n{{ trajectories("bare") }}\n')
    site.refused(RefusedError, r"index\.md:5: .*no prior(?s:.*)sitegen add")
    assert site.renderer.jobs == []
    site = Builder(write_site(tmp_path / "site", GUARDED, WAITING))
    checkpoint = site.root / "checkpoints/cifar.pth"
    assert site().lines()[1] == f"omitted, because a file is missing: cifar ({checkpoint})"
    page = site.output / "index.html"
    assert "CIFAR-10" not in page.read_text()
    site.refused(TargetError, r"--strict: models of site\.toml are not there: cifar", strict=True)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"weights")
    later = site(strict=True)
    assert later.rendered == ("cifar-trajectories",)
    assert later.lines()[1] == "starting from approximate flat images: cifar"
    assert "CIFAR-10" in page.read_text()
    checkpoint.unlink()
    write_page(site.config, '{{ trajectories("cifar", count=9) }}\n')
    with pytest.raises(RefusedError, match=r"pages/index\.md:1: .*no such checkpoint") as lacking:
        site()
    assert "put it there, or make the page leave out cifar" in str(lacking.value)


def test_models_that_no_page_calls(site: Builder) -> None:
    """They may be missing in a clone, which is told and no more; one that is called may not."""
    entries = '[models.gone]\npath = "runs/gone"\n[models.bare]\npath = "x.pth"\npreset = "mnist"\n'
    site.config.write_text(SITE + entries)
    site()
    lines = site(offline=True, strict=True).lines()
    words = "missing, but not used by any page: gone (runs/gone/model.toml), bare (x.pth)"
    assert [line.replace(f"{site.root}/", "") for line in lines if "any page" in line] == [words]
    write_page(site.config, f'{INDEX}\n{{{{ trajectories("gone") }}}}\n')
    with pytest.raises(ConfigError, match=r"site\.toml:6: models\.gone\.path: is not there"):
        site()


def test_two_builds_at_once(site: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One waits for the other's lock and renders nothing again; what is done needs no lock."""
    target = site.root / "disk" / "site"
    site.output.symlink_to(target)
    with lock(site.root / ".sitegen/lock"), pytest.raises(LockedError, match=r"process \d+"):
        site()
    assert (site().output, site.output.is_symlink()) == (target, True)
    with lock(site.root / ".sitegen/lock"):
        assert site().changed is False

    @contextmanager
    def late(path: Path) -> Iterator[None]:
        monkeypatch.setattr(output, "lock", lock)
        assert Builder(site.config)().rendered == ("tiny-trajectories",)
        with lock(path):
            yield

    monkeypatch.setattr(output, "lock", late)
    summary = site()
    assert (summary.rendered, summary.changed, site.renderer.jobs) == ((), False, [])


@pytest.mark.parametrize("folder", [".", ".sitegen"])
def test_full_disk_is_found_before_sampling(
    site: Builder, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is rendered that could not be kept, beside the output or in the store, or encoded."""
    write = Path.write_bytes

    def lacking() -> None:
        raise PlatformError("no encoder libx264")

    site.encoder = replace(FAKE_ENCODER, preflight=lacking)
    site.refused(PlatformError, "libx264")

    def full(self: Path, data: bytes) -> int:
        if self.parent == site.root / folder:
            raise OSError(28, os.strerror(28))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    site.refused(PlatformError, "No space left")
    assert site.renderer.jobs == []


def test_warm_build_removes_what_the_dead_left(built: Builder) -> None:
    """Wherever a killed build had something under way; what is alive stays."""
    places = [".", *(f".sitegen/{name}" for name in ("", *PARTS))]
    lives = []
    for folder in (built.root / place for place in places):
        folder.mkdir(exist_ok=True)
        dead = folder / f".sitegen-tmp-{host_id()}-999999999-1-abc"
        dead.mkdir()
        (dead / "clip.mp4").touch()
        (folder / f"{dead.name}d").write_text("half")
        lives.append(temporary_path(folder))
        lives[-1].touch()
    assert built().changed is False
    assert temporaries(built.root) == sorted(lives)


PARTS = ("asked", "weights", "records", "built", "work")


WAITING = f"""{SITE}
[models.cifar]
path = "checkpoints/cifar.pth"
preset = "cifar10"
"""
GUARDED = f"""{INDEX}
{{% if available("cifar") %}}
## CIFAR-10

{{{{ trajectories("cifar", count=1) }}}}

{{% endif %}}
"""


def test_warnings_of_pages(site: Builder) -> None:
    """What is probably wrong in a page is told, also where nothing is to be done; strict fails."""
    write_page(site.config, f"{INDEX}\n<center>\n")
    for _ in range(2):
        site()
        assert [line for line in site.report.lines if "index.md:5" in line and "<center>" in line]
    with pytest.raises(TargetError, match=r"--strict: 1 warning\(s\)"):
        site(strict=True)


@pytest.mark.parametrize(
    ("written", "options", "address"),
    [
        ("tcp://10.0.0.7:8786", {"default_scheduler": "local", "jobs": 4}, "tcp://10.0.0.7:8786"),
        ("local", {"distributed": "tcp://10.0.0.8:8786"}, "tcp://10.0.0.8:8786"),
        (None, {"default_scheduler": "local", "jobs": 4}, "local"),
        (None, {"jobs": 4}, None),
    ],
)
def test_which_scheduler(
    site: Builder,
    monkeypatch: pytest.MonkeyPatch,
    written: str | None,
    options: Mapping[str, Any],
    address: str | None,
) -> None:
    """The command line's scheduler comes first, then that of site.toml, then that of --jobs."""
    asked: list[str] = []

    def cluster(address: str, *_: object) -> dict[str, object]:
        asked.append(address)
        return {}

    monkeypatch.setattr(building, "_render_in_cluster", cluster)
    if written:
        with site.config.open("a") as file:
            file.write(f'\n[build]\ndistributed = "{written}"\n')
    site(**options)
    assert asked == ([address] if address else [])
