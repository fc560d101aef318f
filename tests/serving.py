"""A server for tests and measurements: byte ranges, 404.html and gzip, as GitHub Pages has them."""

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


class PagesHandler(SimpleHTTPRequestHandler):
    """Serves the folder `directory`, the site being the folder `sub` in it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Answer, and do not mind a browser that goes away."""
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send_head(self) -> io.BytesIO | None:
        """Send the status and the headers; what is returned is the body."""
        path = Path(self.translate_path(self.path))
        if path.is_dir() and not self.path.partition("?")[0].endswith("/"):
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self._head({"Location": f"{self.path}/", "Content-Length": "0"})
            return None
        path = path / "index.html" if path.is_dir() else path
        if path.is_file():
            return self._file(path)
        missing = Path(self.directory) / "sub" / "404.html"
        body = missing.read_bytes() if missing.is_file() else b""
        self.send_response(HTTPStatus.NOT_FOUND)
        self._head({"Content-Type": "text/html", "Content-Length": str(len(body))})
        return io.BytesIO(body)

    def _file(self, path: Path) -> io.BytesIO | None:
        data = path.read_bytes()
        kind = {"Content-Type": self.guess_type(path), "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if path.suffix in _TEXT and "gzip" in self.headers.get("Accept-Encoding", ""):
            data = gzip.compress(data, mtime=0)
            kind |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            asked = None
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2] or len(data) - 1), len(data) - 1) if asked else len(data) - 1
        if asked and start > end:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self._head({"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
            return None
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        part = {"Content-Range": f"bytes {start}-{end}/{len(data)}"} if asked else {}
        body = data[start : end + 1]
        self._head(kind | part | {"Content-Length": str(len(body))})
        return io.BytesIO(body)

    def _head(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send the body; browsers leave films half read."""
        try:
            outputfile.write(source.read())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve `folder` on 127.0.0.1; the address of its folder `sub`."""
    handler = functools.partial(PagesHandler, directory=os.fspath(folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/sub/"
        finally:
            server.shutdown()
            thread.join()
