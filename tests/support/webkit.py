"""WebKitGTK's MiniBrowser for tests, driven by WebDriver on a display of its own."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.previewing import port_to_return_to

WAIT_S = 150.0
"""Seconds to wait for each answer, on a busy machine."""

CLIP = 'video/mp4; codecs="avc1.640028"'
"""The type of the clips on a page."""


class WebKit:
    """A window of WebKitGTK."""

    def __init__(self, port: int, binary: Path) -> None:
        self._root = f"http://127.0.0.1:{port}/session"
        options = {"binary": str(binary), "args": ["--automation"]}
        always = {"webkitgtk:browserOptions": options}
        answer = self._send("", {"capabilities": {"alwaysMatch": always}})
        self._root += f"/{answer['sessionId']}"
        self._send("/timeouts", {"script": int(1000 * WAIT_S)})

    def open(self, address: str) -> None:
        """Load a page."""
        self._send("/url", {"url": address})

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, or of the promise that it gives."""
        script = f"const done = arguments[0]; Promise.resolve({expression}).then(done, done)"
        return self._send("/execute/async", {"script": script, "args": []})

    def _send(self, path: str, body: dict[str, Any]) -> Any:
        """Send a command and return its value."""
        request = urllib.request.Request(
            self._root + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return json.load(answer)["value"]


@contextlib.contextmanager
def webkit() -> Iterator[WebKit]:
    """Run WebKitGTK on a display that nobody sees; without it the test is left out."""
    binary = next(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), None)
    driver, display = shutil.which("WebKitWebDriver"), shutil.which("xvfb-run")
    packages = "webkit2gtk-driver xvfb xauth gstreamer1.0-libav"
    if binary is None or driver is None or display is None:
        pytest.skip(f"WebKitGTK is missing; `apt-get install {packages}` installs it")
    port = port_to_return_to()
    command = [display, "--auto-servernum", driver, f"--port={port}"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        page = WebKit(port, binary)
        if not page.evaluate(f"document.createElement('video').canPlayType({json.dumps(CLIP)})"):
            pytest.skip("WebKitGTK plays no H.264; `apt-get install gstreamer1.0-libav` mends that")
        yield page
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()
