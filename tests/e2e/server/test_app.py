"""The preview's server: renders with ranges, this host and this site only, and a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sitegen.server.app import media_type
from tests.support.builders import INDEX, environment, temporaries, write_page, write_site
from tests.support.previewing import WAIT_S, Running, running, wait_for


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A rendered site with two pages, beside a file and links that are nobody's business."""
    folder = tmp_path_factory.mktemp("served") / "site"
    config = write_site(folder)
    write_page(config, "# More\n\nFurther words.\n", "more")
    with running(config) as server:
        server.wait_until_settled()
        (folder / "build/passwd").symlink_to("/etc/passwd")
        (folder / "build/outside").symlink_to("/etc")
        (folder / "build/own.txt").write_text("not of the site")
        yield server


def clip(served: Running) -> tuple[str, bytes]:
    """The path of the clip and its bytes."""
    found = re.search(r'src="(media/[^"]+\.mp4)"', served.page())
    assert found is not None
    return f"/{found[1]}", served.ask(f"/{found[1]}").body


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-1", 0, 2),  # what Safari asks first
        ("bytes=0-", 0, None),
        ("bytes=100-199", 100, 200),
        ("bytes=-7", -7, None),
        ("bytes=5-999999999", 5, None),
    ],
)
def test_ranges(served: Running, asked: str, start: int, end: int | None) -> None:
    """A part of a clip comes as 206 with its place in the whole, and byte for byte."""
    path, whole = clip(served)
    part = served.ask(path, Range=asked)
    expected = whole[start:end]
    first = start % len(whole)
    assert part.status == 206
    assert part.body == expected
    assert part.headers["content-type"] == "video/mp4"
    assert part.headers["content-length"] == str(len(expected))
    place = f"bytes {first}-{first + len(expected) - 1}/{len(whole)}"
    assert part.headers["content-range"] == place


def test_whole_clip(served: Running) -> None:
    """Without a range, or in units that nobody knows (RFC 9110, 14.2): 200 and the whole.

    Beyond the end it is 416 with the size, so that the browser can ask better.
    """
    path, whole = clip(served)
    odd = [served.ask(path, Range=asked) for asked in ("items=0-1", "none")]
    head = served.ask(path, "HEAD")
    for answer in (served.ask(path), head, *odd):
        assert (answer.status, answer.headers["accept-ranges"]) == (200, "bytes")
        assert answer.headers["content-length"] == str(len(whole))
        assert answer.headers["content-type"] == "video/mp4"
    assert head.body == b""
    assert all(answer.body == whole for answer in odd)
    answer = served.ask(path, Range=f"bytes={len(whole)}-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(whole)}")


def test_files_are_closed(served: Running) -> None:
    """Whatever is asked of a clip, whole, in part, by its head or wrongly, no file stays open."""
    path, whole = clip(served)
    handles = len(os.listdir("/proc/self/fd"))
    for number in range(100):  # as players ask
        start = number * 7 % (len(whole) - 2)
        part = served.ask(path, Range=f"bytes={start}-{start + 1}")
        assert (part.status, part.body) == (206, whole[start : start + 2])
    for asked in ("bytes=0-9", "bytes=0-1,5-9", f"bytes={len(whole)}-", "bytes=x", "none"):
        served.ask(path, Range=asked)
    served.ask(path, "HEAD")
    wait_for(lambda: len(os.listdir("/proc/self/fd")) <= handles + 2, "closing")


OTHER_HOSTS = [
    "evil.example", "evil.example:{port}", "0.0.0.0:{port}", "127.0.0.1.evil.example:{port}",
    "user@127.0.0.1:{port}", "",
]  # fmt: skip


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_hosts_are_refused(served: Running, host: str) -> None:
    """Under any name but its own it says nothing of the site, not even to its own script."""
    for path in ("/", "/media.json", "/_sitegen/events"):
        answer = served.ask(path, Host=host.format(port=served.port))
        assert answer.status == 400
        assert b"tiny" not in answer.body


def test_own_hosts(served: Running) -> None:
    """Its address and the name that every machine has for itself, also through a tunnel.

    A request that names two hosts, or as an old one does none, is nobody's.
    """
    own = f"127.0.0.1:{served.port}"
    for host in (own, f"localhost:{served.port}", "LOCALHOST:9"):
        assert served.ask(Host=host).status == 200
    for lines in (f"1.1\r\nHost: {own}\r\nHost: evil.example", "1.0"):
        with socket.create_connection(("127.0.0.1", served.port), timeout=WAIT_S) as wire:
            wire.sendall(f"GET / HTTP/{lines}\r\n\r\n".encode())
            assert wire.recv(1000).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "path",
    [
        "/passwd", "/outside/hostname", "/own.txt", "/media/", "/media", "/assets/", "/nothing",
        "/../site.toml", "/..%2fsite.toml", "/%2e%2e/site.toml", "/media/../../site.toml",
        "//etc/passwd", "/%00", "/index.html%00", "/index.html/", "/pages/index.md",
        "/.sitegen/lock", "/_sitegen/../site.toml", "/_sitegen/preview.py", "/_sitegen/",
        "/%ff%fe", "/more/more/", "/" + "a" * 5000,
    ],
)  # fmt: skip
def test_nothing_else_is_served(served: Running, path: str) -> None:
    """No folder's list, nothing beside the site, nothing through a link, and no traceback."""
    answer = served.ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.body
    assert b"Traceback" not in answer.body


def test_a_page_without_its_slash(served: Running) -> None:
    """As on GitHub Pages: sent on to the folder."""
    answer = served.ask("/more")
    assert (answer.status, answer.headers["location"]) == (307, "/more/")
    assert "Further words" in served.page("/more/")
    assert "Further words" in served.page("/more/index.html?query=1")


def test_reading_only(served: Running) -> None:
    """Nothing can be sent to it."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert served.ask("/", method).status == 405


def test_headers(served: Running) -> None:
    """The right type, which is not to be guessed, nothing kept, nothing for other sites."""
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/media.json", "application/json"),
        ("/_sitegen/reload.js", "text/javascript; charset=utf-8"),
        ("/_sitegen/preview.css", "text/css; charset=utf-8"),
    ):
        headers = served.ask(path).headers
        assert headers["content-type"] == kind
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.MP4", "video/mp4"), ("a.webm", "video/webm"), ("a.webp", "image/webp"),
        ("a.gif", "image/gif"), ("a.svg", "image/svg+xml"), ("a.css", "text/css"),
        ("a.js", "text/javascript"), ("robots.txt", "text/plain"),
        ("sitemap.xml", "text/xml"), (".nojekyll", "application/octet-stream"),
        ("a.pdf", "application/pdf"), ("a.png", "image/png"), ("media.json", "application/json"),
    ],
)  # fmt: skip
def test_media_types(name: str, kind: str) -> None:
    """By the name, and not by what this machine happens to know."""
    assert media_type(name) == kind


def test_events(served: Running) -> None:
    """The stream tells at once how things are, in words that the page's script can read."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=WAIT_S) as wire:
        own = f"127.0.0.1:{served.port}"
        wire.sendall(f"GET /_sitegen/events HTTP/1.1\r\nHost: {own}\r\n\r\n".encode())
        text = b""
        while b"\n\n" not in text.partition(b"\r\n\r\n")[2]:
            text += wire.recv(4096)
    assert b"content-type: text/event-stream" in text
    state = json.loads(text.partition(b"data: ")[2].partition(b"\n")[0])
    assert state["error"] is state["progress"] is None
    assert f'data-version="{state["version"]}"' in served.page()


def test_odd_clients_do_not_block(served: Running) -> None:
    """Connections that say nothing, half a request or far too much leave the others alone."""
    wires = [socket.create_connection(("127.0.0.1", served.port), WAIT_S) for _ in range(50)]
    for wire in wires[1::2]:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: ")
    wires[0].sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000)
    assert wires[0].recv(100)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
    started = time.monotonic()
    assert served.ask().status == 200
    assert time.monotonic() - started < 2
    for wire in wires:
        wire.close()


def test_only_this_machine(served: Running) -> None:
    """It listens at the loopback address and at no other."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    mine = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    port = f":{served.port:04X}"
    assert [address for address in mine if address.endswith(port)] == [f"0100007F{port}"]
    lines = Path("/proc/net/tcp6").read_text().splitlines()[1:]
    assert not [line for line in lines if line.split()[1].endswith(port) and " 0A " in line]


def serve(*words: str | Path, **changes: str) -> subprocess.Popen[str]:
    """Start `sitegen serve` with the fake renderer."""
    command = [sys.executable, "-m", "tests.support.fakecli", "serve", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment(**changes), stdout=pipe, stderr=pipe, text=True, cwd="/"
    )


def start(config: Path, *words: str, **changes: str) -> tuple[subprocess.Popen[str], str]:
    """Start it, and wait until it tells its address."""
    process = serve("--config", config, "--port", "0", *words, **changes)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            return process, found[0]
    raise AssertionError(process.communicate())


STOPS = [
    (signal.SIGINT, 130, "interrupted", "0"),
    (signal.SIGTERM, 143, "terminated", "0.5"),
    (signal.SIGHUP, 129, "hung up", "0"),
    (signal.SIGINT, 130, "interrupted", "60"),
]


@pytest.mark.parametrize(("number", "code", "words", "pause"), STOPS)
def test_stop(tmp_path: Path, number: signal.Signals, code: int, words: str, pause: str) -> None:
    """At rest, rendering and in a long frame: one line, within seconds; nothing half done stays.

    The page is open meanwhile. -q keeps everything back but the address that nobody could know.
    """
    config = write_site(tmp_path / "site")
    process, address = start(config, "-q", FAKE_PAUSE=pause)
    port = int(address.split(":")[2].rstrip("/"))
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.sendall(f"GET /_sitegen/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        wire.recv(100)
        if pause == "0":
            wait_for((config.parent / "build/index.html").exists, "building")
        else:
            wait_for(lambda: list(config.parent.glob(".sitegen/work/*")), "rendering")
        process.send_signal(number)
        said, errors = process.communicate(timeout=8)
    assert (process.returncode, said) == (code, "")
    assert errors == f"{words}; what was finished is kept\n"
    assert temporaries(config.parent) == []


def test_nothing_can_be_served(tmp_path: Path, served: Running) -> None:
    """A port that is taken (4), a folder without a site (2): one line, and nothing is touched."""
    config = write_site(tmp_path / "site")
    for words, code, place in (
        (("--config", config, "--port", str(served.port)), 4, f"--port {served.port + 1}"),
        (("--port", "0"), 2, "site.toml"),
    ):
        process = serve(*words)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, len(errors.splitlines())) == (code, 1)
        assert place in errors
    assert not (config.parent / "build").exists()


def test_a_store_that_loses_a_clip(tmp_path: Path) -> None:
    """A file that somebody removed is missing, and the server goes on."""
    config = write_site(tmp_path / "site")
    with running(config) as server:
        server.wait_until_settled()
        path, _ = clip(server)
        for each in (config.parent / ".sitegen/objects").rglob("*"):
            if each.is_file():
                each.unlink()
        assert server.ask(path).status == 404
        write_page(config, INDEX.replace("Four", "4"))
        wait_for(lambda: "4 of them" in server.page(), "rendering")
        server.wait_until_settled()
        assert server.ask(clip(server)[0]).status == 200


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link of the author's inside the site is sent; what leads out of it later, never."""
    config = write_site(tmp_path / "site", INDEX + "\n\n![A dot](dot.png)\n\n![One](one.png)\n")
    picture, secret = config.parent / "dot.png", tmp_path / "secret"
    Image.new("L", (4, 4)).save(picture)
    (config.parent / "one.png").symlink_to("dot.png")
    secret.write_text("secret")
    with running(config) as server:
        server.wait_until_settled()
        for each in re.findall(r'src="(media/(?:dot|one)-[^"]*)"', server.page()):
            assert server.ask(f"/{each}").status == 200
        (path,) = re.findall(r'src="(media/dot-[^"]*)"', server.page())
        picture.unlink()
        picture.symlink_to(secret)
        for _ in range(3):
            assert server.ask(f"/{path}").status == 404
        picture.unlink()
        picture.write_bytes(b"another")
        assert server.ask(f"/{path}").status == 404
        path, whole = clip(server)
        objects = (config.parent / ".sitegen/objects").rglob("*")
        (kept,) = (each for each in objects if each.is_file() and each.read_bytes() == whole)
        kept.rename(tmp_path / "elsewhere")
        kept.symlink_to(tmp_path / "elsewhere")  # the same clip, through a link
        assert server.ask(path).status == 404
