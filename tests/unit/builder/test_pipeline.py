"""The build: it renders what changed and no more, replaces the site whole or leaves it, and an
incremental build is the same as a clean one, whoever runs it and where.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder import pipeline, store
from sitegen.builder.render import environment
from sitegen.core.errors import ConfigError, LockedError, PlatformError, RefusedError, TargetError
from sitegen.core.files import digest, lock
from tests.support.builders import (
    CARD,
    CPU,
    INDEX,
    SITE,
    Builder,
    temporaries,
    traces,
    write_page,
    write_site,
)

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
    assert len([*built.output.glob("media/*.*")]) == 8  # of four samples and of nine
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
    records = {path: path.read_bytes() for path in built.root.glob(".sitegen/records/*")}
    built.renderer.fail = "tiny-trajectories"
    with pytest.raises(TargetError, match="the third frame went wrong"):
        built(rerender=())
    assert {path: path.read_bytes() for path in built.root.glob(".sitegen/records/*")} == records
    assert built().rendered == ()


THREE = TWO + '\n{{ trajectories("tiny", count=1, seed=4, id="third") }}\n'


def test_new_site_opens_early(site: Builder, tmp_path: Path) -> None:
    """The first figures are on a page while others are rendered, unless a site is there already.

    A build that fails leaves it, and the next one completes it.
    """
    clean = Builder(write_site(tmp_path / "clean", THREE))
    clean()
    write_page(site.config, THREE)
    site.renderer.fail = "third"
    for options in ({"strict": True}, {"only": ("second", "third")}, {"rerender": ()}):
        site.refused(TargetError, "third", **options)
        assert not site.output.exists()
        shutil.rmtree(site.root / ".sitegen")
    site.renderer.fail = "second"
    site.refused(TargetError, "second")
    assert not site.output.exists()  # it is one of the first
    shutil.rmtree(site.root / ".sitegen")
    site.renderer.fail = "third"
    site.refused(TargetError, "third")
    (line,) = (line for line in site.report.lines if line.startswith("open it"))
    assert line.startswith(f"open it: {(site.output / 'index.html').as_uri()} (1 more figure will")
    assert [figure["id"] for figure in site.figures] == ["tiny-trajectories", "second"]
    page = (site.output / "index.html").read_text()
    assert page.count('class="sitegen-pending"') == 1
    assert 'id="third" class="sitegen-pending"' in page
    early = traces(site.output)
    site.refused(TargetError, "third", rerender=())
    assert traces(site.output) == early
    site.renderer.fail = None
    assert site().rendered == ("third",)
    assert site.site_hash() == clean.site_hash()
    assert temporaries(site.root) == []


def test_damaged_object(built: Builder) -> None:
    """A file of the store that ended early is rendered again, with one warning."""
    before = built.site_hash()
    path = built.root / ".sitegen/objects" / digest(next(built.output.glob("media/*.mp4")))
    os.truncate(path, 7)
    assert built().rendered == ("tiny-trajectories",)
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
    assert "not written" in summary.lines()[1]
    assert not site.output.exists()
    assert site().rendered == ("tiny-trajectories",)
    shutil.rmtree(site.output)
    assert site(offline=True).changed


def test_dry_run(site: Builder) -> None:
    """It lists figures with evaluations and, once measured, the time; and writes nothing."""
    before = traces(site.root)
    summary = site(dry_run=True)
    assert summary.missing == ("tiny-trajectories",)
    line = (
        f"would render {site.root}/pages/index.md:3: tiny-trajectories, 16 evaluations of a network"
    )
    assert site.report.lines == [line]
    assert traces(site.root) == before
    site()
    before = traces(site.root)
    assert "0 rendered, 1 reused" in site(dry_run=True).lines()[0]
    write_page(site.config, TWO.replace("count=4", "count=400000 // 1000"))
    site(dry_run=True)
    first, second, whole = site.report.lines
    assert "1,600 evaluations of a network, about" in first
    assert "4 evaluations of a network, about 0 s" in second
    assert "measured before: about" in whole
    site(dry_run=True, only=("second",))
    assert [line.split()[3] for line in site.report.lines if "would render" in line] == ["second,"]
    assert traces(site.root / ".sitegen").items() <= before.items()


ELSEWHERE = {"device": "cuda", "precision": "bfloat16", "torch": "1.0", "pillow": "another"}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on another machine."""
    monkeypatch.setattr(pipeline, "environment", lambda compute_target: ELSEWHERE)


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
    lines = [line for line in built.report.lines if "would" in line]
    assert [line.split()[3].rstrip(",") for line in lines] == [*rendered]
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


def test_machine_without_torch(built: Builder, lack: Callable[[str], None]) -> None:
    """It builds pages from any clip of the same key, and reports what it cannot render."""
    lack("torch")
    shutil.rmtree(built.output)
    assert built().changed
    with pytest.raises(PlatformError, match="torch is not installed"):
        built(rerender=())
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
    site.refused(TargetError, r"--strict: models of site\.toml are missing: cifar", strict=True)
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
    """They may be missing in a clone; one that is called may not."""
    entries = '[models.gone]\npath = "runs/gone"\n[models.bare]\npath = "x.pth"\npreset = "mnist"\n'
    site.config.write_text(SITE + entries)
    site()
    assert site(offline=True, strict=True).omitted == ()
    write_page(site.config, f'{INDEX}\n{{{{ trajectories("gone") }}}}\n')
    with pytest.raises(ConfigError, match=r"site\.toml:6: models\.gone\.path: is not there"):
        site()


def test_two_builds_at_once(site: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused while it needs the lock; what another build has rendered is found."""
    target = site.root / "disk" / "site"
    site.output.symlink_to(target)
    with lock(site.root / ".sitegen/lock"):
        site.refused(LockedError, f"^{site.root}: another sitegen is running here")
    assert (site().output, site.output.is_symlink()) == (target, True)
    with lock(site.root / ".sitegen/lock"):
        assert site().changed is False
    write_page(site.config, INDEX.replace("count=4", "count=9"))

    @contextmanager
    def late(path: Path) -> Iterator[None]:
        monkeypatch.setattr(store, "lock", lock)
        assert Builder(site.config)().rendered == ("tiny-trajectories",)
        with lock(path):
            yield

    monkeypatch.setattr(store, "lock", late)
    summary = site()
    assert (summary.rendered, summary.changed, site.renderer.jobs) == ((), False, [])


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


def test_pinned_model_without_its_files(built: Builder) -> None:
    """A card that pins weights and prior is enough where the store has clips, and only there."""
    folder = built.root / "models/tiny"
    parts = [folder / f"{name}.safetensors" for name in ("weights", "prior")]
    text = CARD
    for part in parts:
        text = text.replace(f'"{part.name}"', f'"{part.name}"\nsha256 = "{digest(part)}"')
    write_card(built, text)
    write_page(built.config, f'{{% if available("tiny") %}}\n{INDEX}\n{{% endif %}}\n')
    built()
    for part in parts:
        part.unlink()
    write_card(built, CARD)
    summary = built(offline=True)  # not pinned: left out
    assert (summary.reused, len(summary.omitted)) == ((), 1)
    write_card(built, text)
    assert built(offline=True, strict=True).reused == ("tiny-trajectories",)
    write_page(built.config, INDEX.replace("count=4", "count=9"))
    built.refused(RefusedError, "there is no such checkpoint")
    write_page(built.config, f'{{% if available("tiny") %}}\n{INDEX}\n{{% endif %}}\n')
    shutil.rmtree(built.root / ".sitegen")
    assert built(offline=True).omitted


def test_which_scheduler(site: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's scheduler comes before that of site.toml."""
    from sitegen import cluster

    addresses: list[str] = []

    def open_cluster(address: str, *_: object) -> None:
        addresses.append(address)
        raise PlatformError("no scheduler answers")

    monkeypatch.setattr(cluster, "open_cluster", open_cluster)
    with site.config.open("a") as file:
        file.write('\n[build]\ndistributed = "tcp://10.0.0.7:8786"\n')
    site.refused(PlatformError, "no scheduler answers", jobs=4)
    site.refused(PlatformError, "no scheduler answers", distributed="local")
    assert addresses == ["tcp://10.0.0.7:8786", "local"]
