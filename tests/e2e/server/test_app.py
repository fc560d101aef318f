"""The preview's server: ranges, this host and this site only, and a clean end."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sitegen.builder.plan import BuildOptions
from sitegen.server.app import Server, listening, media_type, serve
from sitegen.server.preview import Preview
from sitegen.server.rendering import BuildProcess
from tests.support.builders import CPU, children, temporaries, write_page, write_site
from tests.support.previewing import WAIT_S, Running, port_of, running, serving, wait_for
from tests.support.reporters import Silent
from tests.support.tinymodel import write_model


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A rendered site with two pages, and links and files that are not of the site."""
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
    match = re.search(r'src="(media/[^"]+\.mp4)"', served.page())
    assert match is not None
    return f"/{match[1]}", served.ask(f"/{match[1]}").body


RANGES = {  # the first is what Safari requests
    "0-1": slice(0, 2), "0-": slice(0, None), "100-199": slice(100, 200), "-7": slice(-7, None),
    "5-999999999": slice(5, None),
}  # fmt: skip


def test_ranges(served: Running) -> None:
    """Parts of a clip come as 206, a part beyond its end as 416, all else as 200."""
    path, whole = clip(served)
    handles = len(os.listdir("/proc/self/fd"))
    for requested, part in RANGES.items():
        answer = served.ask(path, Range=f"bytes={requested}")
        first, last, _ = part.indices(len(whole))
        assert (answer.status, answer.body) == (206, whole[part])
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(whole)}"
    beyond = served.ask(path, Range=f"bytes={len(whole)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    head = served.ask(path, "HEAD")
    assert (head.status, head.headers["content-length"]) == (200, str(len(whole)))
    for requested in ("bytes=0-1,5-9", "bytes=x", "none"):
        served.ask(path, Range=requested)
    wait_for(lambda: len(os.listdir("/proc/self/fd")) <= handles + 2, "closing the files")


OTHER_HOSTS = [
    "evil.example", "evil.example:{port}", "0.0.0.0:{port}", "127.0.0.1.evil.example:{port}",
    "user@127.0.0.1:{port}", "",
]  # fmt: skip


def test_hosts(served: Running) -> None:
    """Requests that do not name this machine get nothing of the site."""
    ours = f"127.0.0.1:{served.port}"
    for host in (ours, f"localhost:{served.port}", "LOCALHOST:9"):
        assert served.ask(Host=host).status == 200
    for host in OTHER_HOSTS:
        for path in ("/", "/media.json", "/_sitegen/events"):
            answer = served.ask(path, Host=host.format(port=served.port))
            assert (answer.status, b"tiny" in answer.body) == (400, False), host
    for lines in (f"1.1\r\nHost: {ours}\r\nHost: evil.example", "1.0"):
        with socket.create_connection(("127.0.0.1", served.port), timeout=WAIT_S) as wire:
            wire.sendall(f"GET / HTTP/{lines}\r\n\r\n".encode())
            assert wire.recv(1000).startswith(b"HTTP/1.1 400 ")


ELSEWHERE = (
    "/passwd", "/outside/hostname", "/own.txt", "/media/", "/media", "/assets/", "/nothing",
    "/../site.toml", "/..%2fsite.toml", "/%2e%2e/site.toml", "/media/../../site.toml",
    "//etc/passwd", "/%00", "/index.html%00", "/index.html/", "/pages/index.md",
    "/.sitegen/lock", "/_sitegen/../site.toml", "/_sitegen/preview.py", "/_sitegen/",
    "/%ff%fe", "/more/more/", "/" + "a" * 5000,
)  # fmt: skip


def test_nothing_else_is_served(served: Running) -> None:
    """No other file is served, nothing can be sent, and only this machine can connect."""
    for path in ELSEWHERE:
        answer = served.ask(path)
        assert answer.status == 404, path
        assert b"root:x:" not in answer.body
        assert b"Traceback" not in answer.body
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert served.ask("/", method).status == 405
    addresses = []
    for table in ("tcp", "tcp6"):
        lines = map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        addresses += [line[1] for line in lines if line[3] == "0A"]
    port = f":{served.port:04X}"
    assert [address for address in addresses if address.endswith(port)] == [f"0100007F{port}"]


def test_headers(served: Running) -> None:
    """Types follow the name, nothing is cached or open to other sites, slashes are added."""
    answer = served.ask("/more")
    assert (answer.status, answer.headers["location"]) == (307, "/more/")
    for path in ("/more/", "/more/index.html?query=1"):
        assert "Further words" in served.page(path)
    expected = {
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
        assert headers.items() >= {**expected, "content-type": kind}.items()
        assert not {"access-control-allow-origin", "server"} & headers.keys()
    kinds = {"a.MP4": "video/mp4", "a.webp": "image/webp", "a.js": "text/javascript"}
    kinds |= {"a.svg": "image/svg+xml", ".nojekyll": "application/octet-stream"}
    assert {name: media_type(name) for name in kinds} == kinds


@pytest.mark.parametrize(
    ("number", "code", "message", "pause"),
    [
        (signal.SIGHUP, 129, "hung up", "0"),
        (signal.SIGINT, 130, "interrupted", "900"),
    ],
)
def test_stop(tmp_path: Path, number: signal.Signals, code: int, message: str, pause: str) -> None:
    """At rest and in a long frame: one line, no temporary files, no process."""
    root = write_site(tmp_path / "site").parent
    with serving("--config", root / "site.toml", "--port", "0", "-q", FAKE_PAUSE=pause) as process:
        port = port_of(process)
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as wire:
            wire.sendall(
                f"GET /_sitegen/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
            )
            wire.recv(100)
            started = "build/index.html" if pause == "0" else ".sitegen/work/*"
            wait_for(lambda: list(root.glob(started)), "rendering")
            process.send_signal(number)
            output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, output) == (code, "")
    assert errors.strip() == f"{message}; finished work is kept"
    assert temporaries(root) == []


def test_nothing_can_be_served(tmp_path: Path, served: Running) -> None:
    """A port that is taken (4) and a folder without a site (2) are one line."""
    config = write_site(tmp_path / "site")
    for arguments, code, message in (
        (("--config", config, "--port", str(served.port)), 4, f"--port {served.port + 1}"),
        (("--port", "0"), 2, "site.toml"),
    ):
        with serving(*arguments) as process:
            _, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, len(errors.splitlines())) == (code, 1)
        assert message in errors
    assert not (config.parent / "build").exists()


def test_the_process_that_renders(tmp_path: Path) -> None:
    """It has torch, which the server has not; one that is killed is an error, and replaced."""
    config = write_site(tmp_path / "site")
    write_model(config.parent / "models/tiny")

    def has_torch(pid: int) -> bool:
        try:
            return "libtorch" in Path(f"/proc/{pid}/maps").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended since it was listed
            return False

    def with_torch(pid: int) -> list[int]:
        return [*filter(has_torch, [pid, *children(pid)])]

    with serving("-q", "--port", "0", "--config", config, module="sitegen") as process:
        port_of(process)
        wait_for(lambda: with_torch(process.pid), "torch")
        (child,) = with_torch(process.pid)
        assert child != process.pid
        os.kill(child, signal.SIGKILL)
        assert process.stderr is not None
        assert "was killed (SIGKILL), perhaps because memory is full" in process.stderr.readline()
        write_page(config, "Other words.\n\n" + '{{ trajectories("tiny", count=2) }}\n')
        wait_for(lambda: (config.parent / "build/media.json").exists(), "rendering")
        wait_for(lambda: with_torch(process.pid) == [], "the end of what rendered")


def test_ctrl_c_while_the_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the server, and is raised only where no module is being imported.

    An exception in the middle of an import can leave the import lock held for ever.
    """
    config, options = write_site(tmp_path), BuildOptions(CPU)
    preview = Preview(config, options, partial(BuildProcess, config, options), Silent())
    server, imported = Server(preview), []
    original = server.config.get_loop_factory

    def importing() -> object:
        signal.raise_signal(signal.SIGINT)
        imported.append("the loop's module")
        return original()

    monkeypatch.setattr(server.config, "get_loop_factory", importing)
    with listening(0) as listener, pytest.raises(KeyboardInterrupt):
        serve(server, preview, listener)
    assert imported
