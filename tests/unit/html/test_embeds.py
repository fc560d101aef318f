"""The author's pictures and videos in a page: valid, sized, and asking nothing of other hosts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sitegen.core.errors import ConfigError
from tests.support.fabricated import MP4
from tests.unit.html.test_render import FULL, HOSTILE, INDEX, REFUSED, parse, rendered, structure

VIDEO = "video('https://vimeo.com/1', "
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20"/>'
BROUGHT = """{{ image("a.svg", alt="What it is", caption="C", width=60) }}
@{{ image("a.svg", alt="") }}

{{ video("https://youtu.be/qY1juqIDT10", title="A talk", caption="D", poster="a.svg") }}
""".replace("@", "\n" * 12)


def brought(folder: Path, index: str = BROUGHT, **files: bytes) -> Any:
    """The front page with pictures and videos that the author brings along."""
    for name, data in {"a.svg": SVG, **files}.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return parse(rendered(folder, FULL, index))


def test_pictures(tmp_path: Path) -> None:
    """A picture has its words and its size; those far down wait until they come into sight."""
    first, second, _ = brought(tmp_path).iter("figure")
    image = first.find("img")
    assert re.fullmatch(r"media/a-[0-9a-f]{8}\.svg", image.attrib.pop("src"))
    assert dict(image.attrib) == {
        "class": "photograph", "alt": "What it is", "width": "60", "height": "40",
        "decoding": "async"
    }  # fmt: skip
    assert first.get("id") == "image-a"
    assert "".join(first.find("figcaption").itertext()).strip() == "C"
    assert (
        second.find("img").attrib.items() >= {"alt": "", "loading": "lazy", "width": "30"}.items()
    )
    assert second.find("figcaption") is None


def test_video_of_a_host(tmp_path: Path) -> None:
    """Without a script a video is a link; the address of the player only waits."""
    tree = brought(tmp_path)
    figure = list(tree.iter("figure"))[-1]
    screen = figure.find("div")
    assert dict(screen.attrib) == {
        "class": "screen",
        "data-player": "https://www.youtube-nocookie.com/embed/qY1juqIDT10?autoplay=1&rel=0",
        "data-title": "A talk",
    }
    link = screen.find("a")
    assert link.get("href") == "https://www.youtube.com/watch?v=qY1juqIDT10"
    assert "".join(link.itertext()).strip() == "A talk (YouTube)"
    assert (link.find("img").get("alt"), link.find("img").get("height")) == ("", "20")
    assert not [*tree.iter("iframe")]
    assert "D" in "".join(figure.find("figcaption").itertext())


def policy(tree: Any) -> str:
    """The policy of a page."""
    return str([*tree.iter("meta")][1].get("content"))


def test_policy_names_the_hosts_of_this_page(tmp_path: Path) -> None:
    """A page may frame the hosts of its own videos and no others, and runs no foreign script."""
    calls = {
        "": "",
        "{{ video('https://youtu.be/qY1juqIDT10') }}": "https://www.youtube-nocookie.com",
        "{{ video('https://vimeo.com/1') }}": "https://player.vimeo.com",
    }
    for call, host in calls.items():
        told = policy(brought(tmp_path, call))
        assert ("frame-src" in told) is bool(host)
        assert told.endswith(f"; frame-src {host}" if host else "form-action 'none'")
        assert "script-src 'self';" in told
    told = policy(brought(tmp_path, "\n\n".join([*calls, *calls])))
    assert told.endswith("; frame-src https://player.vimeo.com https://www.youtube-nocookie.com")


def test_poster_of_the_site(tmp_path: Path) -> None:
    """A video without a poster shows the page's samples, or nothing where there are none."""
    call = "{{ video('https://vimeo.com/1') }}\n"
    image = next(brought(tmp_path, f"{call}\n{INDEX}").find(".//main").iter("img"))
    assert image.get("src") == "media/index-mnist-trajectories.webp"
    assert not [*brought(tmp_path, call).iter("img")]


def test_video_of_the_author(tmp_path: Path) -> None:
    """An author's own video plays by the browser's controls, and waits."""
    files = {"t.mp4": MP4}
    tree = brought(tmp_path, "{{ video('t.mp4', title='T', poster='a.svg', id='x') }}", **files)
    figure = next(tree.iter("figure"))
    video = figure.find("video")
    poster = video.attrib.pop("poster")
    assert re.fullmatch(r"media/a-[0-9a-f]{8}\.svg", poster)
    assert dict(video.attrib) == {
        "class": "film", "controls": "", "playsinline": "", "preload": "none", "width": "64",
        "height": "36", "aria-label": "T"
    }  # fmt: skip
    source = video.find("source")
    assert source.get("type") == "video/mp4"
    assert re.fullmatch(r"media/t-[0-9a-f]{8}\.mp4", source.get("src"))
    assert video.find("p").find("a").get("href") == source.get("src")
    assert "frame-src" not in policy(tree)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_hostile_words(tmp_path: Path, quote: str) -> None:
    """The words of figures, pictures and videos cannot become markup either."""
    (tmp_path / "a.svg").write_bytes(SVG)

    def attacked(value: str) -> str:
        escaped = value.encode("unicode_escape").decode()
        text = quote + escaped.replace("'", "\\x27").replace('"', "\\x22") + quote
        calls = ("trajectories('mnist', ", "alt"), ("image('a.svg', ", "alt"), (VIDEO, "title")
        index = (f"{{{{ {call}caption={text}, {last}={text}) }}}}" for call, last in calls)
        return rendered(tmp_path, FULL, "\n\n".join(index))

    expected = structure(attacked("x"))
    for value in HOSTILE[:: 1 if quote == '"' else 5]:
        if value not in REFUSED:
            assert structure(attacked(value)) == expected, value
            continue
        with pytest.raises(ConfigError, match="should not hold the character"):
            attacked(value)
