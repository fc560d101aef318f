"""The preview: words at once, old clips until there are new ones, mistakes beside the last page."""

import json
import re
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from sitegen.builder.context import BuildOptions
from sitegen.core.locks import lock
from sitegen.server.preview import Preview
from sitegen.server.rendering import InProcessRenderer, words
from tests.support.builders import (
    CARD,
    CPU,
    INDEX,
    SITE,
    Builder,
    FakeRenderer,
    traces,
    tree_hash,
    write_page,
    write_site,
)
from tests.support.previewing import Running, running, wait_for
from tests.support.reporters import Silent

OTHER = INDEX.replace("count=4", "count=5")
TWO = INDEX + '\n{{ trajectories("tiny", seed=3, id="second") }}\n'


def built(config: Path) -> str:
    """The front page in the built folder."""
    return (config.parent / "build/index.html").read_text()


def clip_of(page: str) -> str:
    """The clip that a page shows."""
    return page.partition('src="media/')[2].partition('"')[0]


def test_words_come_before_the_clip(config: Path, tmp_path: Path) -> None:
    """Words are there at once, then the clip, and then the folder, byte for byte a build's."""
    with running(config, FakeRenderer(pause=0.2)) as server:
        page = server.page()
        assert "Words." in page
        assert 'id="tiny-trajectories" class="sitegen-pending"' in page
        assert "<video" not in page
        assert not (config.parent / "build").exists()
        wait_for(lambda: server.preview.state.progress, "progress")
        assert str(server.preview.state.progress).startswith("rendering tiny-trajectories, ")
        server.wait_until_settled()
        assert "<video" in server.page()
        assert "sitegen-pending" not in server.page()
        assert server.preview.state.progress is None
        clean = Builder(write_site(tmp_path / "clean"))
        clean()
        assert tree_hash(config.parent / "build") == tree_hash(clean.output)


@pytest.mark.parametrize("broken", ["pages/index.md", "site.toml"])
def test_begun_with_a_mistake(config: Path, broken: str) -> None:
    """The page that was built last is shown behind the mistake, with its clips."""
    Builder(config)()
    secret = config.parent / "secret"
    secret.write_text("secret")
    (config.parent / "build/link.txt").symlink_to(secret)
    good = (config.parent / broken).read_text()
    (config.parent / broken).write_text("{{ nothing( }}")
    with running(config) as server:
        page = server.page()
        assert "Words." in page
        assert "new EventSource(" in page
        assert broken in str(server.preview.state.error)
        (clip,) = set(re.findall(r'(media/[^"]*\.mp4)"', page))
        assert server.ask(f"/{clip}").status == 200
        assert server.ask("/link.txt").status == 404
        (config.parent / broken).write_text(good)
        wait_for(lambda: server.preview.state.error is None, "mending")
        server.wait_until_settled()
        assert server.ask(f"/{clip}").status == 200
        assert not (config.parent / "build/link.txt").exists()


def test_text_only_renders(server: Running, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are served without a new clip; loaded models stay loaded."""
    monkeypatch.setattr(FakeRenderer, "__call__", None)  # no other one is made
    version = server.preview.state.version
    for text in ("New words", "More words", "Other words"):
        write_page(config, INDEX.replace("Words", text))
        wait_for(partial(lambda text: text in server.page(), text), "rendering")
    assert server.preview.state.version == version + 3
    wait_for(lambda: "Other words" in built(config), "placing")
    assert server.renderer.jobs == []
    write_page(config, OTHER)
    wait_for(lambda: "5 samples" in server.page() and server.preview.settled, "rendering")
    assert server.renderer.jobs == ["tiny-trajectories"]


def test_edited_figure_first(config: Path) -> None:
    """A figure that is edited while another one is rendered comes before it."""
    slow = FakeRenderer(pause=0.3)
    with running(config, slow) as server:
        write_page(config, TWO)
        server.wait_until_settled()
        slow.jobs.clear()
        write_page(config, TWO.replace("count=4", "count=5").replace("seed=3", "seed=4"))
        wait_for(lambda: slow.jobs == ["tiny-trajectories"], "rendering")
        write_page(config, TWO.replace("count=4", "count=5").replace("seed=3", "seed=5"))
        wait_for(lambda: "second" in slow.jobs, "the edited one")
        server.wait_until_settled()
        assert slow.jobs == ["tiny-trajectories", "second", "tiny-trajectories"]


def test_figure_of_an_error(server: Running, config: Path) -> None:
    """The figure in whose line a mistake is is marked, until it is mended."""
    write_page(config, INDEX.replace("count=4", "cuont=4"))
    wait_for(lambda: server.preview.state.error, "the mistake")
    assert server.preview.state.failed == (("index.html", "tiny-trajectories"),)
    write_page(config, TWO)
    wait_for(lambda: server.preview.state.failed == (), "mending")


def test_old_clip_stays_until_the_new_one_is_ready(server: Running, config: Path) -> None:
    """A changed figure shows its last clip, marked, while that fits its levels."""
    old = server.page()
    server.renderer.pause = 0.2
    write_page(config, OTHER.replace("Words", "New words"))
    wait_for(lambda: "New words" in server.page(), "rendering")
    assert clip_of(server.page()) == clip_of(old)
    assert server.preview.state.outdated == (("index.html", "tiny-trajectories"),)
    assert "New words" not in built(config)
    wait_for(lambda: server.preview.settled, "rendering")
    assert clip_of(server.page()) != clip_of(old)
    assert not server.preview.state.outdated
    assert "New words" in built(config)
    server.renderer.jobs.clear()
    write_page(config, INDEX)
    wait_for(lambda: "4 samples" in server.page() and server.preview.settled, "rendering")
    assert server.renderer.jobs == []
    card = config.parent / "models/tiny/model.toml"
    card.write_text(card.read_text().replace("levels = 4", "levels = 3"))
    wait_for(lambda: "sitegen-pending" in server.page(), "rendering")
    server.wait_until_settled()
    assert server.preview.state.error is None


@pytest.mark.parametrize("spoil", ["nothing", "media.json", "objects"])
def test_old_clip_of_an_earlier_day(config: Path, spoil: str) -> None:
    """A preview shows the built folder's clip of a changed figure, unless it is damaged or gone."""
    Builder(config)()
    old = clip_of(built(config))
    if spoil == "media.json":
        (config.parent / "build/media.json").write_text('{"version": 1, "figures": [{}]}')
    elif spoil == "objects":
        shutil.rmtree(config.parent / ".sitegen/objects")
    write_page(config, OTHER)
    with running(config, FakeRenderer(pause=0.2)) as server:
        if spoil == "nothing":
            assert clip_of(server.page()) == old
            assert server.preview.state.outdated == (("index.html", "tiny-trajectories"),)
        else:
            assert "sitegen-pending" in server.page()
        server.wait_until_settled()
        assert clip_of(server.page()) not in ("", old)


def test_change_while_rendering(server: Running, config: Path) -> None:
    """What is not wanted any more is dropped, and a finished clip hides no mistake."""
    server.renderer.pause = 0.3
    write_page(config, OTHER)
    wait_for(lambda: server.renderer.jobs, "rendering")
    write_page(config, INDEX.replace("count=4", "count=6"))
    wait_for(lambda: "6 samples" in str(server.preview.context), "reading")
    server.renderer.pause = 0
    wait_for(lambda: "6 samples" in server.page() and server.preview.settled, "rendering")
    assert len(server.renderer.jobs) == 2
    records = (config.parent / ".sitegen/records").glob("*.json")
    assert len([path for path in records if not path.name.startswith("drawn-")]) == 2
    server.renderer.pause = 0.2
    write_page(config, OTHER)
    wait_for(lambda: len(server.renderer.jobs) == 3, "rendering")
    write_page(config, MISSPELT)
    wait_for(lambda: server.preview.state.error, "telling")
    wait_for(lambda: not server.preview.state.outdated, "rendering")
    assert "cuont" in str(server.preview.state.error)


MISSPELT = INDEX.replace("count=4", "cuont=4")
MISTAKES = (
    ("pages/index.md", MISSPELT, "index.md:3: trajectories(…): cuont: unknown"),
    ("pages/index.md", "Words.\n\n{% if %}\n", "index.md:3: "),
    ("pages/index.md", INDEX.replace('"tiny"', '"tini"'), 'did you mean "tiny"?'),
    *(("site.toml", text, "site.toml") for text in ("title = ", "titel = 'x'\n", "\x00")),
)


def test_mistakes_and_their_mending(server: Running, config: Path) -> None:
    """A mistake is told with file, line and hint; the last good page stays; mended, it goes."""
    for number, (name, text, told) in enumerate(MISTAKES):
        file, page = config.parent / name, server.page()
        before = traces(config.parent / "build")
        good = (INDEX if name != "site.toml" else SITE).replace("A title", f"Mended {number}")
        file.write_text(text)
        wait_for(lambda: server.preview.state.error, "telling")
        assert told in str(server.preview.state.error)
        assert server.page() == page
        file.write_text(good.replace("Words", f"Mended {number}"))
        wait_for(partial(lambda text: text in server.page(), f"Mended {number}"), "mending")
        assert server.preview.state.error is None
        server.wait_until_settled()
        assert traces(config.parent / "build") != before


def test_first_build_fails(config: Path) -> None:
    """Before there is any page, the mistake is a page of its own; then comes the site."""
    write_page(config, INDEX.replace("count=4", 'count="<script>alert(1)</script>"'))
    with running(config) as server:
        for path in ("/", "/more/"):
            answer = server.ask(path)
            assert answer.status == 503
            assert "index.md:3: trajectories(…): count" in answer.body.decode()
            assert "&lt;script&gt;alert(1)" in answer.body.decode()  # as it was written
            assert "script-src 'sha256-" in answer.headers["content-security-policy"]
        write_page(config, INDEX)
        wait_for(lambda: "Words." in server.page(), "mending")


def test_figure_that_fails(server: Running, config: Path) -> None:
    """Its error is told with its place, the page and the other figures go on; a change retries."""
    server.renderer.fail = "second"
    write_page(config, TWO)
    wait_for(lambda: server.preview.state.error, "telling")
    assert server.preview.state.failed == (("index.html", "second"),)
    assert "index.md:5: second: the third frame went wrong" in str(server.preview.state.error)
    wait_for(lambda: "could not be rendered" in server.page(), "its place")
    place = server.page().partition('id="second" class="sitegen-pending"')[2].partition("</div>")[0]
    assert "index.md:5: second: the third frame went wrong" in place
    assert "no clip of this figure yet" not in server.page()
    assert server.renderer.jobs == ["second"]
    server.renderer.fail = None
    write_page(config, TWO.replace("Words", "More words"))
    wait_for(lambda: "More words" in server.page() and server.preview.settled, "rendering")
    assert server.preview.state.error is None


def test_sampler_that_cannot_be_run(server: Running, config: Path) -> None:
    """Its figures alone fail, with page, file and lines; nothing is installed meanwhile."""
    old = clip_of(server.page())
    (config.parent / "flow.py").write_text("x = 1\nraise RuntimeError('no flow')\n")
    config.write_text(f'{SITE}\n[models.flow]\npath = "flow.py:Sampler"\n')
    write_page(config, OTHER.replace("Words", "More") + '\n{{ trajectories("flow") }}\n')
    wait_for(lambda: clip_of(server.page()) != old, "the other figure")
    state = server.preview.state
    told = r"index\.md:5: flow-trajectories: .*flow\.py:2: RuntimeError: no flow$"
    assert re.search(told, str(state.error))
    assert state.failed == (("index.html", "flow-trajectories"),)
    place = server.page().partition('id="flow-trajectories" class="sitegen-pending"')[2]
    assert "flow.py:2: RuntimeError: no flow" in place
    assert server.report.warnings == 1
    assert "More" not in built(config)
    write_page(config, OTHER)
    server.wait_until_settled()
    assert server.preview.state.error is None


def test_unexpected_error_of_a_figure(server: Running, config: Path) -> None:
    """An exception that is none of ours has the figure's line, and the line that raised it."""

    def fail(figure: object) -> None:
        raise KeyError("x")

    server.renderer.render_job = fail  # type: ignore[assignment, method-assign]
    write_page(config, OTHER)
    wait_for(lambda: server.preview.state.error, "telling")
    told = r"index\.md:3: tiny-trajectories: KeyError: 'x' \(.*test_preview\.py:\d+\)$"
    assert re.search(told, str(server.preview.state.error))
    assert server.preview.state.failed == (("index.html", "tiny-trajectories"),)


def test_another_sitegen_is_at_work(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits, says for whom, and goes on when the other is done."""
    with ExitStack() as other:
        other.enter_context(lock(config.parent / ".sitegen/lock"))
        with running(config) as server:
            wait_for(lambda: "another sitegen" in str(server.preview.state.progress), "waiting")
            assert "Words." in server.page()
            other.close()
            server.wait_until_settled()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("pages", "pages/index.md"),
        ("theme/templates", "theme/templates/later.html"),
        ("pictures", "pictures/setup.png"),
        ("theme", "theme/colours.css"),
    ],
)
def test_folder_that_another_takes_the_place_of(config: Path, name: str, file: str) -> None:
    """A change of branch removes folders and makes them anew; what is in them is still followed."""
    root = config.parent
    (root / "theme/templates").mkdir(parents=True)
    (root / "pictures").mkdir()
    Image.new("L", (4, 4)).save(root / "pictures/setup.png")
    write_page(config, INDEX + '\n{{ image("pictures/setup.png", alt="A setup") }}\n')
    with running(config) as server:
        server.wait_until_settled()
        shutil.copytree(root / name, root / "other")
        shutil.rmtree(root / name) if "/" in name else (root / name).rename(root / "old")
        (root / "other").rename(root / name)
        time.sleep(0.8)
        reads = server.preview.reads
        (root / file).write_text("{}")
        wait_for(lambda: server.preview.reads > reads, "reading")


@pytest.mark.parametrize("back", [Path.rename, partial(shutil.copytree, dirs_exist_ok=True)])
@pytest.mark.parametrize("seconds", [0, 1])
def test_site_that_is_moved_away_and_back(
    tmp_path: Path, back: Callable[[Path, Path], object], seconds: float
) -> None:
    """A folder above the site that was moved away, and comes back or is copied, is followed.

    Copying goes on beside the preview, which may make a folder first.
    """
    above, away = tmp_path / "above", tmp_path / "away"
    config = write_site(above / "site")
    with running(config) as server:
        wait_for(lambda: server.preview.reads == 2, "watching")
        server.wait_until_settled()
        above.rename(away)
        time.sleep(seconds)
        back(away, above)
        write_page(config, "Other words.\n")
        wait_for(lambda: "Other words." in server.page(), "the change")
        write_page(config, "Third words.\n")
        wait_for(lambda: "Third words." in server.page(), "the next change")


@pytest.mark.parametrize("seconds", [0, 1])
def test_working_folder_that_is_moved_away_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A preview inside the site's folder makes nothing where it was, and follows it back.

    Its model is outside the site, in a folder that is watched all the time.
    """
    config = write_site(tmp_path / "paper")
    (config.parent / "models").rename(tmp_path / "models")
    config.write_text(f'title = "T"\n[models.tiny]\npath = "{tmp_path}/models/tiny"\n')
    monkeypatch.chdir(config.parent)
    with running(Path("site.toml")) as server:
        wait_for(lambda: server.preview.reads == 2, "watching")
        server.wait_until_settled()
        for words in ("Other words.", "Third words."):
            config.parent.rename(tmp_path / "away")
            made = False
            for _ in range(int(seconds * 50)):
                made |= config.parent.exists()
                time.sleep(0.02)
            (tmp_path / "away").rename(config.parent)
            write_page(config, f"{words}\n")
            assert not made
            wait_for(lambda words=words: words in server.page(), "the change")  # type: ignore[misc]


def test_model_outside_the_site_that_is_moved_away_and_back(tmp_path: Path) -> None:
    """The folder of a model, which no folder of the site is above, is noticed when it is back."""
    config, models = write_site(tmp_path / "paper"), tmp_path / "models"
    (config.parent / "models").rename(models)
    config.write_text(f'title = "T"\n[models.tiny]\npath = "{models}/tiny"\n')
    with running(config) as server:
        wait_for(lambda: server.preview.reads == 2, "watching")
        server.wait_until_settled()
        models.rename(tmp_path / "away")
        wait_for(lambda: server.preview.state.error, "an error")
        time.sleep(1)  # it watches without the folder
        (tmp_path / "away").rename(models)
        wait_for(lambda: server.preview.state.error is None, "the end of the error")


def test_folder_that_is_moved_away_during_a_build(config: Path) -> None:
    """What is rendered and installed while the site is away is an error, and nothing is made."""
    away = config.parent.parent / "away"
    with running(config, FakeRenderer(pause=0.1)) as server:
        wait_for(lambda: server.preview.state.progress, "a frame")
        config.parent.rename(away)
        wait_for(lambda: server.preview.state.error, "an error")
        time.sleep(1)  # the five frames take half a second
        assert not config.parent.exists()
        away.rename(config.parent)
        server.wait_until_settled()
        assert server.preview.state.error is None


def test_folder_of_somebody_else(config: Path) -> None:
    """A built folder that holds other things is left alone, and that is told."""
    (config.parent / "build").mkdir()
    (config.parent / "build/thesis.tex").write_text("years of work")
    (config.parent / "build/index.html").write_text("Secret.")
    with running(config) as server:
        assert "holds files" in str(server.preview.state.error)
        assert server.ask("/").status == 503
        assert "Secret" not in server.page()
        assert (config.parent / "build/thesis.tex").read_text() == "years of work"


def test_nothing_is_rebuilt_without_a_reason(server: Running, config: Path) -> None:
    """Neither its own writing nor files of others set off a build."""
    wait_for(lambda: server.preview.reads == 2, "watching")
    for name in ("notes.txt", "pages/.index.md.swp", "pages/index.md~", ".sitegen/x", "build/x"):
        (config.parent / name).write_text("mine, or an editor's")
    time.sleep(1)
    assert server.preview.reads == 2
    (config.parent / "theme/static").mkdir(parents=True)
    wait_for(lambda: server.preview.reads > 2, "noticing")
    before = 0
    while before != server.preview.reads:  # what came before has been noticed
        before = server.preview.reads
        time.sleep(1)
    (config.parent / "theme/static/style.css~").write_text("an editor's")
    time.sleep(1)
    assert server.preview.reads == before
    assert [line for line in server.report.lines if "build/x: was not written" not in line] == []


PRESET = '[models.cifar]\npath = "checkpoints/cifar.pth"\npreset = "cifar10"\n'
PICTURED = CARD + '[example]\nfile = "example.png"\n'


def put(root: Path, name: str, text: str = "Noticed") -> None:
    """Write a file aside, and put it in place."""
    (root / "aside").write_text(text)
    (root / name).parent.mkdir(exist_ok=True, parents=True)
    (root / "aside").replace(root / name)


NOTICED = (
    "pages/index.md", "pages/more.md", "models/tiny/weights.safetensors",
    "models/tiny/example.png", "theme/static/style.css", "checkpoints/cifar.pth",
    "checkpoints/cifar/anything.pt",
)  # fmt: skip


def test_what_is_noticed(config: Path) -> None:
    """Files put in place or changed again, new pages, all parts of models, a theme, checkpoints."""
    root, card = config.parent, config.parent / "models/tiny/model.toml"
    config.write_text(SITE + PRESET)
    card.write_text(PICTURED)
    (card.parent / "example.png").write_text("picture")

    def twice() -> None:  # the second time before the first is acted on
        write_page(config, INDEX.replace("Words", "First"))
        time.sleep(0.03)
        write_page(config, INDEX.replace("Words", "Noticed"))

    larger = PICTURED.replace("levels = 4", "levels = 6")
    changes: list[Callable[[], object]] = [
        *(partial(put, root, name) for name in NOTICED),
        partial(put, root, str(card), larger),
        twice,
    ]
    with running(config) as server:
        server.wait_until_settled()
        for number, change in enumerate(changes):
            time.sleep(0.5)  # what came before has been noticed
            before = server.preview.reads
            change()
            wait_for(partial(lambda before: server.preview.reads > before, before), str(number))
            shutil.rmtree(root / "checkpoints", ignore_errors=True)
        for page in ("/", "/more/"):
            wait_for(partial(lambda page: "Noticed" in server.page(page), page), page)


def test_state_says_which_page(server: Running, config: Path) -> None:
    """Two pages may have a figure of the same name; only the changed one is marked."""
    write_page(config, '# More\n\n{{ trajectories("tiny", count=4) }}\n', "more")
    wait_for(lambda: server.ask("/more/").status == 200 and server.preview.settled, "rendering")
    server.renderer.pause = 0.3
    write_page(config, '# More\n\n{{ trajectories("tiny", count=9) }}\n', "more")
    wait_for(lambda: server.preview.state.outdated, "marking")
    assert server.preview.state.outdated == (("more/index.html", "tiny-trajectories"),)
    listed = json.loads(server.page("/media.json"))["figures"]
    assert [figure["page"] for figure in listed] == ["index.html", "more/index.html"]


def test_words_of_a_bug() -> None:
    """An error that is none of ours has its class, or what to install."""
    assert words(KeyError("x")) == "KeyError: 'x'"
    missing = ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert words(missing).endswith("this needs it: `pip install torch`")


def test_leaving_at_once(config: Path) -> None:
    """A mistake is told once; on leaving no failure is news."""
    report = Silent()
    preview = Preview(config, BuildOptions(CPU), InProcessRenderer(FakeRenderer()), report)
    for text, warnings in (("{{ nothing( }}", 1), ("{{ nothing( }}", 1), ("{{ nothing() }}", 2)):
        write_page(config, text)
        preview.refresh()
        assert report.warnings == warnings
    write_page(config, INDEX)
    preview.refresh()
    preview.close()
    write_page(config, "{{ nothing( }}")
    preview.refresh()
    assert report.warnings == 2
