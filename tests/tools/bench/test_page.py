"""The benchmarks of page and cost measure what they say; the server answers as GitHub Pages."""

import gzip
import http.client
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.cost import copy_site, run
from bench.page import Score, score
from bench.serving import serving
from tests.support.paths import ROOT


def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    """Points from 0 to 100 and the numbers of the audits; what is not perfect is told."""
    points = {"performance": 0.99, "accessibility": 1, "best-practices": 0.5, "seo": 0.92}
    numbers = {
        "largest-contentful-paint": 1234.5, "cumulative-layout-shift": 0.01,
        "total-blocking-time": 10, "total-byte-weight": 35_000,
    }  # fmt: skip
    audits: dict[str, Any] = {
        name: {"id": name, "title": name, "score": 1, "numericValue": number}
        for name, number in numbers.items()
    }
    audits["robots-txt"] = {"id": "robots-txt", "title": "robots.txt is not valid", "score": 0}
    categories = {name: {"score": score} for name, score in points.items()}
    found = score({"categories": categories, "audits": audits})
    assert found == Score(99, 100, 50, 92, 1234.5, 0.01, 10.0, 35_000)
    assert capsys.readouterr().err == "  robots-txt: robots.txt is not valid\n"


def ask(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask the server for a path below its root: status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_server(tmp_path: Path) -> None:
    """It has ranges, gzip, folders, the site's page for wrong addresses, and its own address."""
    (tmp_path / "more").mkdir()
    (tmp_path / "index.html").write_text("at https://example.org/p/")
    (tmp_path / "more" / "index.html").write_text("more")
    (tmp_path / "404.html").write_text("none")
    (tmp_path / "a.mp4").write_bytes(bytes(range(100)))
    with serving(tmp_path, "https://example.org/p/") as address:
        assert ask(address, "/sub/")[::2] == (200, f"at {address}".encode())
        packed = ask(address, "/sub/", **{"Accept-Encoding": "gzip"})
        assert gzip.decompress(packed[2]) == f"at {address}".encode()
        assert ask(address, "/sub/more")[0] == 301
        assert ask(address, "/sub/more/")[::2] == (200, b"more")
        for path in ("/", "/robots.txt", "/sub/none", "/sub/more/none/", "/sub/../x"):
            assert ask(address, path)[::2] == (404, b"none"), path
        status, headers, body = ask(address, "/sub/a.mp4", Range="bytes=10-19")
        assert (status, body) == (206, bytes(range(10, 20)))
        assert headers["Content-Range"] == "bytes 10-19/100"
        assert ask(address, "/sub/a.mp4", Range="bytes=90-")[::2] == (206, bytes(range(90, 100)))
        assert ask(address, "/sub/a.mp4", Range="bytes=100-")[0] == 416


@pytest.mark.parametrize("folder", ["tests/npm", "bench/npm"])
def test_versions_are_pinned(folder: str) -> None:
    """What npm installs for tests and measurements is named to the last digit, with digests."""
    wanted = json.loads((ROOT / folder / "package.json").read_text())["dependencies"]
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("integrity" in entry for name, entry in lock.items() if name)


HOLD = "held = b'x' * 80_000_000; import time; time.sleep(0.3)"


def test_time_and_memory_of_children_count(tmp_path: Path) -> None:
    """A child that holds 80 MB for 0.3 s is seen in time and memory of its parent's run."""
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    found = run([sys.executable, "-c", parent], tmp_path)
    assert found.seconds > 0.3
    assert 80_000_000 < found.peak_bytes < 200_000_000


def test_a_failing_command_is_not_a_measurement(tmp_path: Path) -> None:
    """Its exit code and words are told."""
    with pytest.raises(SystemExit, match=r"exit 3\nbroken"):
        run([sys.executable, "-c", "print('broken'); raise SystemExit(3)"], tmp_path)


def test_the_copied_site_has_as_many_samples_as_asked(tmp_path: Path) -> None:
    """Every clip of the copy has the count; the site is this repository's own."""
    copy_site(tmp_path / "site", 360)
    text = (tmp_path / "site" / "pages" / "index.md").read_text()
    assert 'trajectories("mnist", count=360' in text
    assert (tmp_path / "site" / "site.toml").is_file()
