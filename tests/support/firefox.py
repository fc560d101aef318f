"""Debian's Firefox for tests, driven by WebDriver BiDi over its own websocket."""

import contextlib
import json
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.browsing import LAID_OUT
from tests.support.programs import program

WAIT_S = 150.0
"""Seconds for Firefox to start, and for each command, on a busy machine."""

_PREFERENCES: dict[str, int | bool | str] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.download.folderList": 2,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "ui.prefersReducedMotion": 1,
}


class Firefox:
    """A Firefox with one tab; `messages` is its console, with the errors that no script caught."""

    def __init__(self, socket: ClientConnection, downloads: Path) -> None:
        self._socket = socket
        self._sent = 0
        self.messages: list[str] = []
        self.downloads = downloads
        self.command("session.new", capabilities={})
        self.command("session.subscribe", events=["log.entryAdded"])
        (tab,) = self.command("browsingContext.getTree")["contexts"]
        self._tab = tab["context"]

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that arrive meanwhile are kept."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(WAIT_S))
            if answer.get("method") == "log.entryAdded":
                self.messages.append(answer["params"]["text"])
            elif answer.get("id") == self._sent:
                assert answer["type"] == "success", f"{method}: {answer.get('message')}"
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, address: str, width: int = 1280, height: int = 800) -> Self:
        """Load a page in a window of that size."""
        size = {"width": width, "height": height}
        self.command("browsingContext.setViewport", context=self._tab, viewport=size)
        self.command("browsingContext.navigate", context=self._tab, url=address, wait="complete")
        return self

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, or of the promise that it gives."""
        answer = self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self._tab},
            awaitPromise=True,
            userActivation=True,
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))

    def press_tab(self) -> str:
        """Press Tab, and return the tag of the element that has the focus then."""
        presses = [{"type": kind, "value": "\ue004"} for kind in ("keyDown", "keyUp")]
        keys = [{"type": "key", "id": "keys", "actions": presses}]
        self.command("input.performActions", context=self._tab, actions=keys)
        tag: str = self.evaluate("document.activeElement.tagName")
        return tag

    def screenshot(self, selector: str) -> bytes:
        """Return a PNG of an element, which is scrolled into view."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{place}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        self.evaluate(f"({LAID_OUT})()")
        box = self.evaluate(f"{place}.getBoundingClientRect().toJSON()")
        clip = {"type": "box", **{name: box[name] for name in ("x", "y", "width", "height")}}
        answer = self.command("browsingContext.captureScreenshot", context=self._tab, clip=clip)
        return b64decode(answer["data"])


@contextlib.contextmanager
def firefox() -> Iterator[Firefox]:
    """Run Firefox without a window, with a profile of its own that is removed at the end."""
    path = program("firefox-esr", "firefox", package="firefox-esr")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        downloads = Path(folder) / "downloads"
        downloads.mkdir()
        preferences = {**_PREFERENCES, "browser.download.dir": str(downloads)}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in preferences.items()]
        (Path(folder) / "user.js").write_text("".join(lines), encoding="utf-8")
        command = [path, "--headless", "--no-remote", "--profile", folder]
        process = subprocess.Popen(
            [*command, "--remote-debugging-port=0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = _address(process, Path(folder) / "WebDriverBiDiServer.json")
            with connect(address, open_timeout=WAIT_S) as socket:
                yield Firefox(socket, downloads)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], told: Path) -> str:
    """Return where Firefox listens, which it writes to a file of its profile."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            server = json.loads(told.read_text(encoding="utf-8"))
            return f"ws://{server['ws_host']}:{server['ws_port']}/session"
        time.sleep(0.05)
    pytest.fail(f"Firefox did not listen within {WAIT_S:.0f} s", pytrace=False)
