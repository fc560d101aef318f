"""The preview's server: renders with ranges, this host and this site only, and a clean end."""

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sitegen.server.app import media_type
from tests.support.builders import (
    INDEX,
    temporaries,
    write_page,
    write_site,
)
from tests.support.previewing import WAIT_S, Running, port_of, running, serving, wait_for


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


RANGES = {  # the first is what Safari asks for
    "0-1": slice(0, 2), "0-": slice(0, None), "100-199": slice(100, 200), "-7": slice(-7, None),
    "5-999999999": slice(5, None),
}  # fmt: skip


def test_ranges(served: Running) -> None:
    """Parts of a clip come as 206 in their place, what is beyond as 416, all else as 200."""
    path, whole = clip(served)
    for asked, place in RANGES.items():
        part = served.ask(path, Range=f"bytes={asked}")
        first, last, _ = place.indices(len(whole))
        assert (part.status, part.body) == (206, whole[place])
        assert part.headers["content-type"] == "video/mp4"
        assert part.headers["content-length"] == str(last - first)
        assert part.headers["content-range"] == f"bytes {first}-{last - 1}/{len(whole)}"
    beyond = served.ask(path, Range=f"bytes={len(whole)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    head = served.ask(path, "HEAD")
    for answer in (served.ask(path), head):
        assert (answer.status, answer.headers["accept-ranges"]) == (200, "bytes")
        assert answer.headers["content-length"] == str(len(whole))
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.body == (b"" if answer is head else whole)


def test_files_are_closed(served: Running) -> None:
    """Whatever is asked of a clip, whole, in part, by its head or wrongly, no file stays open."""
    path, whole = clip(served)
    handles = len(os.listdir("/proc/self/fd"))
    for start in range(100):  # as players ask
        assert served.ask(path, Range=f"bytes={start}-{start + 1}").body == whole[start : start + 2]
    for asked in ("bytes=0-9", "bytes=0-1,5-9", f"bytes={len(whole)}-", "bytes=x", "none"):
        served.ask(path, Range=asked)
    served.ask(path, "HEAD")
    wait_for(lambda: len(os.listdir("/proc/self/fd")) <= handles + 2, "closing")


OTHER_HOSTS = [
    "evil.example", "evil.example:{port}", "0.0.0.0:{port}", "127.0.0.1.evil.example:{port}",
    "user@127.0.0.1:{port}", "",
]  # fmt: skip


def test_hosts(served: Running) -> None:
    """Only under the names of this machine it says anything of the site."""
    own = f"127.0.0.1:{served.port}"
    for host in (own, f"localhost:{served.port}", "LOCALHOST:9"):
        assert served.ask(Host=host).status == 200
    for host in OTHER_HOSTS:
        for path in ("/", "/media.json", "/_sitegen/events"):
            answer = served.ask(path, Host=host.format(port=served.port))
            assert (answer.status, b"tiny" in answer.body) == (400, False), host
    for lines in (f"1.1\r\nHost: {own}\r\nHost: evil.example", "1.0"):
        with connected(served.port) as wire:
            wire.sendall(f"GET / HTTP/{lines}\r\n\r\n".encode())
            assert wire.recv(1000).startswith(b"HTTP/1.1 400 ")


def connected(port: int, *lines: str) -> socket.socket:
    """A connection to the server, on which a request for the events was sent if there are lines."""
    wire = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    wire.sendall("".join(f"{line}\r\n" for line in lines).encode())
    return wire


ELSEWHERE = (
    "/passwd", "/outside/hostname", "/own.txt", "/media/", "/media", "/assets/", "/nothing",
    "/../site.toml", "/..%2fsite.toml", "/%2e%2e/site.toml", "/media/../../site.toml",
    "//etc/passwd", "/%00", "/index.html%00", "/index.html/", "/pages/index.md",
    "/.sitegen/lock", "/_sitegen/../site.toml", "/_sitegen/preview.py", "/_sitegen/",
    "/%ff%fe", "/more/more/", "/" + "a" * 5000,
)  # fmt: skip


def test_nothing_else_is_served(served: Running) -> None:
    """Nothing beside the site is served, nothing can be sent, and only this machine is heard."""
    for path in ELSEWHERE:
        answer = served.ask(path)
        assert answer.status == 404, path
        assert not [word for word in (b"root:x:", b"Traceback") if word in answer.body]
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert served.ask("/", method).status == 405
    listening = []
    for table in ("tcp", "tcp6"):
        lines = map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        listening += [line[1] for line in lines if line[3] == "0A"]
    port = f":{served.port:04X}"
    assert [address for address in listening if address.endswith(port)] == [f"0100007F{port}"]


def test_headers(served: Running) -> None:
    """Types by the name, nothing kept or for other sites; without its slash a page is sent on."""
    assert {name: media_type(name) for name in TYPES} == TYPES
    answer = served.ask("/more")
    assert (answer.status, answer.headers["location"]) == (307, "/more/")
    for path in ("/more/", "/more/index.html?query=1"):
        assert "Further words" in served.page(path)
    wanted = {
        "cache-control": "no-store", "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
    }  # fmt: skip
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/media.json", "application/json"),
        ("/_sitegen/reload.js", "text/javascript; charset=utf-8"),
        ("/_sitegen/preview.css", "text/css; charset=utf-8"),
    ):
        headers = served.ask(path).headers
        assert headers.items() >= {**wanted, "content-type": kind}.items()
        assert not {"access-control-allow-origin", "server"} & headers.keys()


TYPES = {
    "a.MP4": "video/mp4", "a.webm": "video/webm", "a.webp": "image/webp", "a.gif": "image/gif",
    "a.svg": "image/svg+xml", "a.css": "text/css", "a.js": "text/javascript",
    "robots.txt": "text/plain", "sitemap.xml": "text/xml", "a.pdf": "application/pdf",
    ".nojekyll": "application/octet-stream", "a.png": "image/png", "media.json": "application/json",
}  # fmt: skip


EVENTS = "GET /_sitegen/events HTTP/1.1"


STOPS = [
    (signal.SIGTERM, 143, "terminated", "0.5"),
    (signal.SIGHUP, 129, "hung up", "0"),
    (signal.SIGINT, 130, "interrupted", "900"),
]


@pytest.mark.parametrize(("number", "code", "words", "pause"), STOPS)
def test_stop(tmp_path: Path, number: signal.Signals, code: int, words: str, pause: str) -> None:
    """At rest, rendering and in a long frame: one line, within seconds, nothing half done."""
    root = write_site(tmp_path / "site").parent
    config = root / "site.toml"
    with serving("--config", config, "--port", "0", "-q", FAKE_PAUSE=pause) as process:
        port = port_of(process)
        with connected(port, EVENTS, f"Host: 127.0.0.1:{port}", "") as wire:
            wire.recv(100)
            pending = "build/index.html" if pause == "0" else ".sitegen/work/*"
            wait_for(lambda: list(root.glob(pending)), "rendering")
            process.send_signal(number)
            said, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, said) == (code, "")
    assert errors == f"{words}; finished work is kept\n"
    assert temporaries(root) == []


def events(address: str) -> str:
    """The first event of the preview: its state."""
    with urllib.request.urlopen(f"{address}_sitegen/events", timeout=WAIT_S) as answer:
        return b"".join(answer.readline() for _ in range(2)).decode()


def test_nothing_can_be_served(tmp_path: Path, served: Running) -> None:
    """A port that is taken (4), a folder without a site (2): one line, and nothing is touched."""
    config = write_site(tmp_path / "site")
    for words, code, place in (
        (("--config", config, "--port", str(served.port)), 4, f"--port {served.port + 1}"),
        (("--port", "0"), 2, "site.toml"),
    ):
        with serving(*words) as process:
            _, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, len(errors.splitlines())) == (code, 1)
        assert place in errors
    assert not (config.parent / "build").exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    """What leads out of the site is never sent, and what was removed is missing."""
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
        (config.parent / "build" / path).unlink()  # which is sent where the source is another
        picture.symlink_to(secret)
        for _ in range(3):
            assert server.ask(f"/{path}").status == 404
        picture.unlink()
        picture.write_bytes(b"another")
        assert server.ask(f"/{path}").status == 404
        path, whole = clip(server)
        objects = [each for each in config.parent.glob(".sitegen/objects/*/*") if each.is_file()]
        (kept,) = (each for each in objects if each.read_bytes() == whole)
        kept.rename(tmp_path / "elsewhere")
        kept.symlink_to(tmp_path / "elsewhere")  # the same clip, through a link
        (config.parent / f"build{path}").unlink()
        assert server.ask(path).status == 404
        for each in objects:
            each.unlink()
        write_page(config, INDEX.replace("Four", "4"))
        wait_for(lambda: "4 of them" in server.page(), "rendering")
        server.wait_until_settled()
        assert server.ask(clip(server)[0]).status == 200
