"""The preview: pages at once, old clips until there are new ones, errors with the last page."""

import shutil
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sitegen.core.files import lock
from sitegen.server.preview import Preview
from sitegen.server.watch import may_matter
from tests.support.builders import (
    INDEX,
    SITE,
    Builder,
    FakeRenderer,
    traces,
    tree_hash,
    write_page,
    write_site,
)
from tests.support.previewing import RenderThread, Running, running, wait_for

OTHER = INDEX.replace("count=4", "count=5")
TWO = INDEX + '\n{{ trajectories("tiny", seed=3, id="second") }}\n'
MISSPELT = INDEX.replace("count=4", "cuont=4")


def built(config: Path) -> str:
    """The front page in the built folder."""
    return (config.parent / "build/index.html").read_text()


def clip_of(page: str) -> str:
    """The clip that a page shows."""
    return page.partition('src="media/')[2].partition('"')[0]


def test_the_page_comes_before_the_clip(config: Path, tmp_path: Path) -> None:
    """The text is there at once, then the clip, and then the folder of a build, byte for byte."""
    with running(config, FakeRenderer(pause=0.1)) as server:
        page = server.page()
        assert "Words." in page
        assert 'id="tiny-trajectories" class="sitegen-pending"' in page
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
def test_a_start_with_a_mistake(config: Path, broken: str) -> None:
    """The page that was built last is shown with the error, and its clips are served."""
    Builder(config)()
    (config.parent / "build/link.txt").symlink_to(config)
    correct = (config.parent / broken).read_text()
    (config.parent / broken).write_text("{{ nothing( }}")
    with running(config) as server:
        assert "Words." in server.page()
        assert broken in str(server.preview.state.error)
        assert server.ask(f"/media/{clip_of(server.page())}").status == 200
        assert server.ask("/link.txt").status == 404
        (config.parent / broken).write_text(correct)
        wait_for(lambda: server.preview.state.error is None, "the correction")
        server.wait_until_settled()


def test_a_start_with_a_mistake_and_nothing_built(config: Path) -> None:
    """The error is a page of its own, escaped; then comes the site."""
    write_page(config, INDEX.replace("count=4", 'count="<script>alert(1)</script>"'))
    with running(config) as server:
        for path in ("/", "/more/"):
            answer = server.ask(path)
            assert answer.status == 503
            assert "index.md:3: trajectories(…): count" in answer.body.decode()
            assert "&lt;script&gt;alert(1)" in answer.body.decode()
            assert "script-src 'self'" in answer.headers["content-security-policy"]
        write_page(config, INDEX)
        wait_for(lambda: "Words." in server.page(), "the correction")


def test_an_edit_of_the_text_renders_nothing(server: Running, config: Path) -> None:
    """Only the page is new, in the preview and in the built folder; the page's version changes."""
    version = server.preview.state.version
    write_page(config, INDEX.replace("Words", "New words"))
    wait_for(lambda: "New words" in server.page(), "the text")
    assert server.preview.state.version == version + 1
    wait_for(lambda: "New words" in built(config), "the built folder")
    assert server.renderer.jobs == []


def test_the_edited_figure_comes_first(config: Path) -> None:
    """A figure that is edited while another one is rendered is rendered before it."""
    slow = FakeRenderer(pause=0.2)
    with running(config, slow) as server:
        server.wait_until_settled()
        slow.jobs.clear()
        write_page(config, TWO.replace("count=4", "count=5").replace("seed=3", "seed=4"))
        wait_for(lambda: slow.jobs == ["tiny-trajectories"], "rendering")
        write_page(config, TWO.replace("count=4", "count=5").replace("seed=3", "seed=5"))
        server.wait_until_settled()
        assert slow.jobs == ["tiny-trajectories", "second", "tiny-trajectories"]


def test_the_old_clip_stays_until_the_new_one_is_ready(server: Running, config: Path) -> None:
    """A changed figure shows its last clip, marked, if that fits its levels."""
    old = clip_of(server.page())
    server.renderer.pause = 0.2
    write_page(config, OTHER.replace("Words", "New words"))
    wait_for(lambda: "New words" in server.page(), "the text")
    assert clip_of(server.page()) == old
    assert server.preview.state.outdated == (("index.html", "tiny-trajectories"),)
    assert "New words" not in built(config)
    server.wait_until_settled()
    assert clip_of(server.page()) != old
    assert not server.preview.state.outdated
    assert "New words" in built(config)
    card = config.parent / "models/tiny/model.toml"
    card.write_text(card.read_text().replace("levels = 4", "levels = 3"))
    wait_for(lambda: "sitegen-pending" in server.page(), "the placeholder")


@pytest.mark.parametrize("damage", ["nothing", "media.json", "objects"])
def test_the_old_clip_of_an_earlier_day(config: Path, damage: str) -> None:
    """The clip of the built folder is shown for a changed figure, unless it is damaged or gone."""
    Builder(config)()
    old = clip_of(built(config))
    if damage == "media.json":
        (config.parent / "build/media.json").write_text('{"version": 1, "figures": [{}]}')
    elif damage == "objects":
        shutil.rmtree(config.parent / ".sitegen/objects")
    write_page(config, OTHER)
    with running(config, FakeRenderer(pause=0.2)) as server:
        assert (clip_of(server.page()) == old) == (damage == "nothing")
        assert ("sitegen-pending" in server.page()) == (damage != "nothing")
        server.wait_until_settled()
        assert clip_of(server.page()) not in ("", old)


def test_changes_during_rendering(server: Running, config: Path) -> None:
    """A figure that is no longer needed is stopped, and a finished clip hides no error."""
    server.renderer.pause = 0.3
    write_page(config, OTHER)
    wait_for(lambda: server.renderer.jobs, "rendering")
    write_page(config, INDEX.replace("count=4", "count=6"))
    wait_for(lambda: len(server.renderer.jobs) == 2, "the next figure")
    write_page(config, MISSPELT)
    wait_for(lambda: server.preview.state.error, "the error")
    wait_for(lambda: not server.preview.state.outdated, "the clip")
    assert "cuont" in str(server.preview.state.error)
    assert len(list((config.parent / ".sitegen/records").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pages/index.md", MISSPELT, "index.md:3: trajectories(…): cuont: unknown"),
        ("pages/index.md", "Words.\n\n{% if %}\n", "index.md:3: "),
        ("pages/index.md", INDEX.replace('"tiny"', '"tini"'), 'did you mean "tiny"?'),
        ("site.toml", "title = ", "site.toml:1"),
        ("site.toml", SITE.replace("title", "titel"), 'did you mean "title"?'),
    ],
)
def test_mistakes(server: Running, config: Path, name: str, text: str, message: str) -> None:
    """Each has file, line and hint; the last good page and the built folder stay until then."""
    page, before = server.page(), traces(config.parent / "build")
    correct = (config.parent / name).read_text()
    (config.parent / name).write_text(text)
    wait_for(lambda: server.preview.state.error, "the error")
    assert message in str(server.preview.state.error)
    assert server.page() == page
    assert traces(config.parent / "build") == before
    if "cuont" in text:
        assert server.preview.state.failed == (("index.html", "tiny-trajectories"),)
    (config.parent / name).write_text(correct)
    wait_for(lambda: server.preview.state.error is None, "the correction")
    assert server.preview.state.failed == ()


def test_a_figure_that_fails(server: Running, config: Path) -> None:
    """Its error is in its place and in the state; other figures go on; a change tries again."""
    server.renderer.fail = "second"
    write_page(config, TWO.replace("seed=3", "seed=4") + '\n{{ trajectories("tiny", id="third") }}')
    wait_for(lambda: "could not be rendered" in server.page(), "the error")
    assert server.preview.state.failed == (("index.html", "second"),)
    placeholder = server.page().partition('id="second" class="sitegen-pending"')[2]
    message = "index.md:5: second: the third frame went wrong"
    assert message in placeholder.partition("</div>")[0]
    assert message in str(server.preview.state.error)
    wait_for(lambda: server.renderer.jobs == ["second", "third"], "the other figure")
    wait_for(lambda: "torch" not in {thread.name for thread in threading.enumerate()}, "its end")
    server.renderer.fail = None
    write_page(config, TWO.replace("Words", "More words"))
    wait_for(lambda: "More words" in server.page(), "the text")
    server.wait_until_settled()
    assert server.preview.state.error is None


def test_an_unexpected_error_of_a_figure(server: Running, config: Path) -> None:
    """A bug is reported with the figure's line, and the line that raised it."""

    def fail(figure: object) -> None:
        raise KeyError("x")

    server.renderer.render_job = fail  # type: ignore[assignment, method-assign]
    write_page(config, OTHER)
    wait_for(lambda: server.preview.state.error, "the error")
    assert "index.md:3: tiny-trajectories: KeyError: 'x'" in str(server.preview.state.error)
    assert "test_preview.py:" in str(server.preview.state.error)


def test_another_sitegen_is_at_work(config: Path) -> None:
    """The preview waits, shows the reason, and continues when the other one is done."""
    with lock(config.parent / ".sitegen/lock"):
        server = running(config)
        preview = server.__enter__()
        wait_for(lambda: "another sitegen" in str(preview.preview.state.progress), "waiting")
        assert "Words." in preview.page()
    preview.wait_until_settled()
    server.__exit__(None, None, None)


@pytest.mark.parametrize("working_folder", ["above", "inside"])
def test_a_folder_that_is_deleted_and_recreated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, working_folder: str
) -> None:
    """The missing folder is an error; the copy from a backup is followed, its changes as well."""
    config = write_site(tmp_path / "paper")
    if working_folder == "inside":
        monkeypatch.chdir(config.parent)
    shutil.copytree(config.parent, tmp_path / "backup")
    with running(config) as server:
        server.wait_until_settled()
        shutil.rmtree(config.parent)
        wait_for(lambda: "site.toml" in str(server.preview.state.error), "the error")
        assert "Words." in server.page()
        shutil.copytree(tmp_path / "backup", config.parent)
        wait_for(lambda: server.preview.state.error is None, "the end of the error")
        for text in ("Other words.", "Third words."):
            write_page(config, f"{text}\n")
            wait_for(partial(lambda text: text in server.page(), text), "the change")
        server.wait_until_settled()


def test_a_folder_that_is_moved_away_and_back(tmp_path: Path) -> None:
    """A branch that is changed, or a folder that is renamed for a moment, is followed."""
    config = write_site(tmp_path / "paper")
    with running(config) as server:
        server.wait_until_settled()
        config.parent.rename(tmp_path / "away")
        (tmp_path / "away").rename(config.parent)
        (config.parent / "pages").rename(config.parent / "other")
        (config.parent / "other").rename(config.parent / "pages")
        write_page(config, "Other words.\n")
        wait_for(lambda: "Other words." in server.page(), "the change")


def test_a_folder_of_someone_else(config: Path) -> None:
    """An output folder with other files is left alone, and that is an error."""
    (config.parent / "build").mkdir()
    (config.parent / "build/index.html").write_text("Secret.")
    with running(config) as server:
        assert "holds files" in str(server.preview.state.error)
        assert "Secret" not in server.page()
        assert (config.parent / "build/index.html").read_text() == "Secret."


def test_files_that_are_noticed(config: Path) -> None:
    """New pages, pictures, parts of models and the theme are; hidden and built files are not."""
    root = config.parent
    preview: Any = Preview(config, None, RenderThread, None)  # type: ignore[arg-type]
    for name in ("site.toml", "pages/more.md", "a.png", "models/tiny/model.toml", "theme/a.css"):
        assert may_matter(preview, root / name)
    for name in (".git/index", "pages/.index.md.swp", "a.md~", "build/x", ".sitegen/lock"):
        assert not may_matter(preview, root / name)
    write_page(config, INDEX + '\n{{ image("dot.png", alt="A dot") }}\n')
    with running(config) as server:
        wait_for(lambda: "dot.png" in str(server.preview.state.error), "the missing picture")
        Image.new("L", (4, 4)).save(root / "dot.png")
        wait_for(lambda: server.preview.state.error is None, "the picture")
        (root / "aside").write_text("# More\n\nFurther words.\n")
        (root / "aside").replace(root / "pages/more.md")  # as editors save
        wait_for(lambda: "Further words" in server.page("/more/"), "the page")
        server.wait_until_settled()
        reads = server.preview.reads
        time.sleep(1)  # that nothing happens has no state to wait for
        assert server.preview.reads == reads  # its own writing is not a change
