"""The built folder has the author's own files, as they are, and follows when they change."""

from pathlib import Path

import pytest
from PIL import Image

from sitegen.core.errors import ConfigError
from tests.support.builders import INDEX, Builder, traces, write_page, write_site
from tests.support.fabricated import MP4

BROUGHT = f"""{INDEX}
{{{{ image("lab/setup.png", alt="The setup") }}}}

![The setup again](lab/setup.png) and [slides](files/my%20slides.pdf)

{{{{ video("talk.mp4") }}}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Builder:
    """A site that brings a picture, slides and a video along."""
    builder = Builder(write_site(tmp_path, BROUGHT))
    for name in ("lab", "files"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (30, 20), "navy").save(tmp_path / "lab" / "setup.png")
    (tmp_path / "files" / "my slides.pdf").write_bytes(b"%PDF")
    (tmp_path / "talk.mp4").write_bytes(MP4)
    return builder


def brought(site: Builder) -> dict[str, bytes]:
    """What is in the built folder beside pages, clips and theme."""
    found = [*site.output.glob("media/[st][ea][tl]*"), *site.output.glob("files/*")]
    return {path.relative_to(site.output).as_posix(): path.read_bytes() for path in sorted(found)}


def test_files_are_copied(site: Builder) -> None:
    """Each is there once, byte for byte, changes its name, or goes; a missing one stops a build."""
    site()
    files = brought(site)
    assert [name for name in files if name.startswith("files/")] == ["files/my slides.pdf"]
    assert len(files) == 3
    (picture,) = (data for name, data in files.items() if name.endswith(".png"))
    assert picture == (site.root / "lab" / "setup.png").read_bytes()
    assert MP4 in files.values()
    text = (site.output / "index.html").read_text(encoding="utf-8")
    assert all(name.replace(" ", "%20") in text for name in files)
    assert [figure["kind"] for figure in site.figures] == ["trajectories"]
    before = traces(site.output)
    assert not site().changed
    assert traces(site.output) == before
    site()
    first = brought(site)
    Image.new("RGB", (30, 20), "teal").save(site.root / "lab" / "setup.png")
    assert site().rendered == ()
    after = brought(site)
    assert len(after) == 3
    assert len(after.keys() & first.keys()) == 2
    write_page(site.config, INDEX)
    site()
    assert brought(site) == {}
    whole = traces(site.output)
    (site.root / "lab" / "setup.png").unlink()
    write_page(site.config, BROUGHT.replace("count=4", "count=9"))
    site.refused(ConfigError, r"index.md:5: image\(…\): file = .* no such file")
    assert site.renderer.jobs == []
    assert traces(site.output) == whole
