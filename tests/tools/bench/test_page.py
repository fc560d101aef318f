"""The benchmarks of page and cost measure what they say; the server answers as GitHub Pages."""

import gzip
import http.client
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.cost import copy_site, replace_first, run
from bench.page import score
from tests.support.paths import ROOT
from tests.support.serving import serving


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
    assert found == numbers | {name: round(100 * share) for name, share in points.items()}
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


def test_runs(tmp_path: Path) -> None:
    """Memory of child processes counts; a failing command reports its exit code and output."""
    child = "held = b'x' * 80_000_000; import time; time.sleep(1)"  # memory is sampled
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    command, environment = [sys.executable, "-c", program], {**os.environ}
    found = run(command, tmp_path, environment)
    assert 80_000_000 < found.peak_bytes < 200_000_000
    assert found.cpu_seconds > 0
    with pytest.raises(SystemExit, match=r"exit 3\nbroken"):
        run([*command[:2], "print('broken'); raise SystemExit(3)"], tmp_path, environment)


def test_changes_of_a_site(tmp_path: Path) -> None:
    """The copy has this repository's pages and models; a caption changes in it alone."""
    copy_site(ROOT, tmp_path / "site")
    page = tmp_path / "site/pages/index.md"
    replace_first(tmp_path / "site", r'\bcaption="', 'caption="Again: ')
    assert 'caption="Again: ' in page.read_text()
    with pytest.raises(SystemExit, match="no page has nothing like it"):
        replace_first(tmp_path / "site", "nothing like it", "")
