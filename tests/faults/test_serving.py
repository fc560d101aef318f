"""Whoever reads the preview while it changes, or means it ill, spoils it for nobody."""

import re
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from sitegen.server import app
from tests.support.builders import Builder, environment
from tests.support.previewing import Running, running, wait_for


@pytest.fixture
def server(built: Builder) -> Iterator[Running]:
    """A preview with its clip."""
    with running(built.config) as server:
        server.wait_until_settled()
        yield server


@pytest.mark.fault(27)
def test_a_reader_of_the_old_page_gets_its_files(server: Running, built: Builder) -> None:
    """What the page before the last change names is there, though the new one has other files."""
    page = server.ask("/").body.decode()
    named = set(re.findall(r'(?:href|src|poster)="((?:assets|media)/[^"]+)"', page))
    assert len(named) > 3
    state = server.preview.state
    (built.root / "theme").mkdir()
    (built.root / "theme/style.css").write_text("body{color:red}")
    (built.root / "pages/index.md").write_text("Other words.\n")
    wait_for(lambda: server.preview.state.version > state.version)
    server.wait_until_settled()
    new = server.preview.state.tree or {}
    gone = {name for name in named if name not in new}
    assert len(gone) > 1
    assert {server.ask(f"/{name}").status for name in named} == {200}
    assert server.ask("/media/none.mp4").status == 404


@pytest.mark.fault(27)
def test_only_pages_of_the_preview_hear_its_events(server: Running) -> None:
    """A page of another origin gets no events; the preview's own, and tools without one, do."""
    for origin in ("https://evil.example", "http://127.0.0.1:1", "null", "http://localhost.evil"):
        assert server.ask("/_sitegen/events", Origin=origin).status == 403, origin
    for headers in ({}, {"Origin": server.address.rstrip("/")}):
        with urllib.request.urlopen(
            urllib.request.Request(f"{server.address}_sitegen/events", headers=headers), timeout=5
        ) as events:
            assert events.status == 200


@pytest.mark.fault(27)
def test_another_version_of_http_is_refused(server: Running) -> None:
    """A request of HTTP 2.0, 3.0 or 0.9 in its line gets 505 wherever it leads; 1.x gets 200."""
    wanted = {"2.0": 505, "3.0": 505, "0.9": 505, "1.1": 200, "1.0": 200, "1.2": 200}
    for path in ("/", "/_sitegen/reload.js", "/none"):
        for version, status in wanted.items():
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as wire:
                host = f"Host: 127.0.0.1:{server.port}\r\nConnection: close"
                wire.sendall(f"GET {path} HTTP/{version}\r\n{host}\r\n\r\n".encode())
                told = wire.makefile("rb").read()
            if path == "/none" and status == 200:
                status = 404
            assert told.startswith(f"HTTP/1.1 {status} ".encode()), (path, version)


@pytest.mark.fault(27)
def test_slow_clients_are_dropped(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for nothing, or takes nothing of the answer, is dropped; who listens stays."""
    monkeypatch.setattr(app, "PATIENCE_S", 0.3)
    place = ("127.0.0.1", server.port)
    silent, half, reader, events = (socket.create_connection(place) for _ in range(4))
    half.sendall(b"GET / HTTP/1.1\r\nHost: ")
    host = f"Host: 127.0.0.1:{server.port}\r\n\r\n".encode()
    events.sendall(b"GET /_sitegen/events HTTP/1.1\r\n" + host)
    for wire in (silent, half):
        wire.settimeout(5)
        assert wire.recv(1) == b""
    assert events.recv(10)
    time.sleep(1)
    events.setblocking(False)
    with pytest.raises(BlockingIOError):
        assert all(iter(lambda: events.recv(1000), b""))
    assert events.fileno() >= 0
    for wire in (silent, half, reader, events):
        wire.close()


@pytest.mark.fault(5, 27)
def test_hundreds_of_slow_clients_block_nobody(built: Builder) -> None:
    """With 200 slow clients and few descriptors the next one is served, and nothing is logged."""
    command = [sys.executable, "-m", "tests.support.fakecli", "serve", "-q", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--config", str(built.config)],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)),
    )
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
    assert found is not None
    address, port = found[0], int(found[1])
    wires = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for wire in wires[::2]:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: ")
    for _ in range(5):
        started = time.monotonic()
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert answer.status == 200
        assert time.monotonic() - started < 2
    for wire in wires:
        wire.close()
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert errors == "terminated; what was finished is kept\n"
