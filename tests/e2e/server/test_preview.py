"""The preview: pages at once, placeholders that fill, errors with the last page."""

import threading
import time
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
from tests.support.previewing import BuildThread, Running, running, wait_for

OTHER = INDEX.replace("count=4", "count=5")
TWO = INDEX + '\n{{ trajectories("tiny", seed=3, id="second") }}\n'
MISSPELT = INDEX.replace("count=4", "cuont=4")


def built(config: Path) -> str:
    """The front page in the built folder."""
    return (config.parent / "build/index.html").read_text()


def test_the_page_comes_before_the_clip(config: Path, tmp_path: Path) -> None:
    """The text is there at once, then the clip, and then the folder of a build, byte for byte."""
    with running(config, FakeRenderer(pause=0.1)) as server:
        page = server.page()
        assert "Words." in page
        assert 'id="tiny-trajectories" class="sitegen-pending"' in page
        assert not (config.parent / "build").exists()
        wait_for(lambda: server.preview.state.progress, "progress")
        assert str(server.preview.state.progress).startswith("rendering tiny-trajectories: ")
        server.wait_until_settled()
        assert "<video" in server.page()
        assert "sitegen-pending" not in server.page()
        assert server.preview.state.progress is None
        clean = Builder(write_site(tmp_path / "clean"))
        clean()
        assert tree_hash(config.parent / "build") == tree_hash(clean.output)


def test_a_start_with_a_mistake(config: Path) -> None:
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
    message = "index.md:5: second: the third frame went wrong"

    def is_reported() -> bool:  # at once: a second notice of the page tries again
        placeholder = server.page().partition('id="second" class="sitegen-pending"')[2]
        state = server.preview.state
        is_in_state = state.failed == (("index.html", "second"),) and message in str(state.error)
        return is_in_state and message in placeholder.partition("</div>")[0]

    wait_for(is_reported, "the error")
    wait_for(lambda: {*server.renderer.jobs} == {"second", "third"}, "the other figure")
    wait_for(lambda: "torch" not in {thread.name for thread in threading.enumerate()}, "its end")
    server.renderer.fail = None
    write_page(config, TWO.replace("Words", "More words"))
    wait_for(lambda: "More words" in server.page(), "the text")
    server.wait_until_settled()
    assert server.preview.state.error is None


def test_an_unexpected_error_of_a_figure(server: Running, config: Path) -> None:
    """A bug is reported, and does not end the preview."""

    def fail(figure: object) -> None:
        raise KeyError("x")

    server.renderer.render_job = fail  # type: ignore[assignment, method-assign]
    write_page(config, OTHER)
    wait_for(lambda: server.preview.state.error, "the error")
    assert "KeyError: 'x'" in str(server.preview.state.error)


def test_another_sitegen_is_at_work(config: Path) -> None:
    """The preview waits, shows the reason, and continues when the other one is done."""
    with lock(config.parent / ".sitegen/lock"):
        server = running(config)
        preview = server.__enter__()
        wait_for(lambda: "another sitegen" in str(preview.preview.state.progress), "waiting")
        assert "Words." in preview.page()
    preview.wait_until_settled()
    server.__exit__(None, None, None)


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
    preview: Any = Preview(config, None, BuildThread, None)  # type: ignore[arg-type]
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

        def is_quiet() -> bool:
            reads = server.preview.reads
            time.sleep(1)  # that nothing happens has no state to wait for
            return server.preview.reads == reads

        wait_for(is_quiet, "the end of reading, since its own writing is not a change")
