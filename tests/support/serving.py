"""Server for tests and measurements that responds like GitHub Pages.

The site is under the sub-path `/sub/`. The server supports byte ranges, which browsers need for
seeking in a clip, and gzip for text, and sends the site's `404.html` for unknown addresses.
"""

from __future__ import annotations

import functools
import gzip
import io
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_TEXT = (".css", ".html", ".js", ".json", ".svg", ".txt", ".xml")
_ROOT = "/sub/"


class PagesHandler(SimpleHTTPRequestHandler):
    """Handler for the folder `directory` under `/sub/`; replaces the address `published`.

    A `plain` one is another host, without ranges and compression.
    """

    protocol_version = "HTTP/1.1"

    def __init__(
        self, *args: Any, published: str | None = None, plain: bool = False, **kwargs: Any
    ) -> None:
        self._published, self._plain = published, plain
        super().__init__(*args, **kwargs)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def handle(self) -> None:
        """Respond, and ignore a browser that disconnects."""
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send_head(self) -> io.BytesIO | None:
        """Send the status and the headers, and return the body."""
        asked = self.path.partition("?")[0]
        inside = asked.startswith(_ROOT)
        path = Path(self.translate_path(asked.removeprefix(_ROOT[:-1]) if inside else "/404.html"))
        if inside and path.is_dir() and not asked.endswith("/"):
            return self._answer(HTTPStatus.MOVED_PERMANENTLY, b"", {"Location": f"{asked}/"})
        path = path / "index.html" if path.is_dir() else path
        if inside and path.is_file():
            return self._file(path)
        missing = Path(self.directory) / "404.html"
        body = missing.read_bytes() if missing.is_file() else b""
        return self._answer(HTTPStatus.NOT_FOUND, body, {"Content-Type": "text/html"})

    def _file(self, path: Path) -> io.BytesIO | None:
        data, headers = path.read_bytes(), {"Content-Type": self.guess_type(path)}
        if path.suffix in _TEXT:
            return self._text(data, headers)
        if self._plain:
            return self._answer(HTTPStatus.OK, data, headers)
        headers["Accept-Ranges"] = "bytes"
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self._answer(HTTPStatus.OK, data, headers)
        start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if start > end:
            headers["Content-Range"] = f"bytes */{len(data)}"
            return self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", headers)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        return self._answer(HTTPStatus.PARTIAL_CONTENT, data[start : end + 1], headers)

    def _text(self, data: bytes, headers: dict[str, str]) -> io.BytesIO | None:
        if self._published:
            served = f"http://{self.headers['Host']}{_ROOT}"
            data = data.replace(self._published.encode(), served.encode())
        if "gzip" in self.headers.get("Accept-Encoding", "") and not self._plain:
            data = gzip.compress(data, mtime=0)
            headers = {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return self._answer(HTTPStatus.OK, data, headers)

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> io.BytesIO:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        return io.BytesIO(body)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send the body; browsers stop reading clips halfway."""
        try:
            outputfile.write(source.read())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def serving(folder: Path, published: str | None = None, *, plain: bool = False) -> Iterator[str]:
    """Serve the site in `folder` on 127.0.0.1, and yield the address of its front page.

    If the site was built for the address `published`, its pages contain the served one instead. A
    `plain` host has neither ranges nor compression.
    """
    handler = functools.partial(
        PagesHandler, directory=os.fspath(folder), published=published, plain=plain
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{_ROOT}"
        finally:
            server.shutdown()
            thread.join()
