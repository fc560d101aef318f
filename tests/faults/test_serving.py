"""Whoever reads the preview while it changes, or means it ill, spoils it for nobody."""

import asyncio
import random
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sitegen.server.preview import last_built
from tests.support.builders import Builder, children, write_page, write_site
from tests.support.previewing import WAIT_S, Running, port_of, running, serving, wait_for
from tests.support.sweeping import LOG, counted, measured
from tests.support.tinymodel import write_model


@pytest.fixture
def server(built: Builder) -> Iterator[Running]:
    """A preview with its clip."""
    with running(built.config) as server:
        server.wait_until_settled()
        yield server


def test_what_a_kill_left_aside_is_there_again(built: Builder) -> None:
    """A site whose name a kill took away is shown again, and the next build replaces it."""
    aside = built.root / ".sitegen-aside-build"
    before = {path.name for path in built.output.glob("media/*-*.*")}
    built.output.rename(aside)
    words = (built.root / "pages/index.md").read_text()
    write_page(built.config, "{{ nothing }}\n")
    tree = last_built(built.config)
    assert tree is not None
    assert "index.html" in tree
    built.output.rename(aside)
    write_page(built.config, words.replace("count=4", "count=4, seed=3"))
    with running(built.config) as server:
        server.wait_until_settled()
    after = {path.name for path in built.output.glob("media/*-*.*")}
    assert after
    assert not after & before
    assert not aside.exists()


def resident(pid: int) -> float:
    """The memory that a process holds, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


QUIET = ("-q", "--port", "0", "--config")
LARGEST_MB = 120
"""What `serve` may hold while it renders nothing."""


def test_serve_holds_little_before_and_after_rendering(tmp_path: Path) -> None:
    """It has no torch, not even once it has rendered: that was a process of its own, and ended."""
    config = write_site(tmp_path / "site")
    write_model(tmp_path / "site/models/tiny")
    with serving(*QUIET, config, module="sitegen") as process:
        port, pid = port_of(process), process.pid
        before = resident(pid)
        wait_for(lambda: (tmp_path / "site/build/media.json").exists(), "rendering")
        # The process that renders pages stays, and the one that tracks resources.
        wait_for(lambda: len(children(pid)) <= 2, "the end of what rendered")
        for child in children(pid):
            assert "libtorch" not in Path(f"/proc/{child}/maps").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=WAIT_S) as answer:
            assert b"<video" in answer.read()
        after = resident(pid)
        assert max(before, after) < LARGEST_MB
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
    measured(
        "memory of `serve` before anything is rendered, and after",
        f"{before:.0f} and {after:.0f} MB",
    )


async def ask_for_ranges(port: int, data: bytes, until: float, seed: int) -> int:
    """Ask for random ranges of a file on one connection until some time; how many came right."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chance, asked = random.Random(seed), 0
    while not asked or time.monotonic() < until:
        start = chance.randrange(len(data))
        end = min(len(data) - 1, start + chance.randrange(200_000))
        head = f"GET /data.bin HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes={start}-{end}\r\n\r\n"
        writer.write(head.encode())
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert told.startswith(b"http/1.1 206"), told
        assert f"content-range: bytes {start}-{end}/{len(data)}".encode() in told
        assert await reader.readexactly(end + 1 - start) == data[start : end + 1]
        asked += 1
    writer.close()
    return asked


def test_many_clients_ask_for_ranges(built: Builder) -> None:
    """With 200 clients that jump in a large file every byte is right, and memory stays flat."""
    clients, seconds = (200, 300) if LOG else (200, 4)
    data = random.Random(1).randbytes(2_000_000)
    (built.root / "data.bin").write_bytes(data)
    write_page(built.config, "The [data](data.bin).\n")
    held, total = list[float](), 0
    with serving(*QUIET, built.config) as process:
        port, pid = port_of(process), process.pid

        async def run() -> int:
            until = time.monotonic() + seconds
            tasks = [
                asyncio.create_task(ask_for_ranges(port, data, until, n)) for n in range(clients)
            ]
            while time.monotonic() < until:
                held.append(resident(pid))
                await asyncio.sleep(0.25)
            return sum(await asyncio.gather(*tasks))

        total = asyncio.run(run())
    half = len(held) // 2
    assert max(held) < LARGEST_MB, held
    assert not LOG or max(held[half:]) < max(held[:half]) + 5, held
    assert total >= clients
    counted("ranges that 200 clients at once asked serve for", total)
    measured(
        f"memory of `serve` while 200 clients ask it for ranges for {seconds} s: at the first "
        "look, and the most in each half",
        f"{held[0]:.0f}, {max(held[:half]):.0f} and {max(held[half:]):.0f} MB",
    )
