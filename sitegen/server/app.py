"""The preview's server: the site on 127.0.0.1, with range requests and automatic reload.

- Pages are served from the preview's state, clips from the store. A path is looked up in the list
  of files that a build would write, so that no other file can be reached.
- A request must name this host, which prevents DNS rebinding: access by another site's pages, if
  its name resolves to 127.0.0.1.
- The reload script is added to the response only.
"""

import asyncio
import errno
import json
import mimetypes
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sitegen.builder.install import CopiedFile
from sitegen.core.errors import PlatformError
from sitegen.core.installed import resource
from sitegen.core.urls import NOT_FOUND, file_at
from sitegen.server.preview import Preview, PreviewState
from sitegen.server.watch import watch

HOST = "127.0.0.1"
TICK_S = 0.1
"""Seconds between two looks at the state for the events."""

PREFIX = "/_sitegen/"
"""Prefix of the preview's own addresses; a built site has no such folder."""

_CONNECTIONS = 500
"""Maximum number of concurrent connections or requests; others get 503. An open page uses one."""

_TYPES = mimetypes.MimeTypes()  # Python's built-in table, the same on every machine
_TYPES.add_type("text/javascript", ".js")  # Python 3.11 has an outdated type,
mimetypes.add_type("text/javascript", ".js")  # also in the table that starlette uses

# Pages of other origins, in other tabs, must neither read nor embed an unpublished site.
_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_PLAIN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def with_client(html: str, data: str) -> str:
    """Return a page with the preview's style, and its script with some data attributes."""
    tags = (
        f'<link rel="stylesheet" href="{PREFIX}preview.css">\n'
        f'<script src="{PREFIX}reload.js" {data}></script>\n'
    )
    head, end, body = html.partition("</head>")
    return f"{head}{tags}{end}{body}" if end else f"{tags}{html}"


def plain_page(title: str, text: str, version: str) -> str:
    """Return a page with a message, which reloads when there is a page of the site to show."""
    items = "".join(f"<li>{escape(line)}</li>\n" for line in text.splitlines())
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '</head>\n<body class="sitegen-plain">\n<main class="sitegen-panel">\n'
        f"<h2>{escape(title)}</h2>\n<ul>\n{items}</ul>\n"
        "<p>This page is replaced by itself.</p>\n</main>\n</body>\n</html>\n"
    )
    return with_client(page, f'data-plain data-version="{escape(version)}"')


class Server(uvicorn.Server):
    """Answers requests from a preview's state, and watches the author's files."""

    def __init__(self, preview: Preview) -> None:
        self._preview = preview
        self._session = secrets.token_hex(4)
        routes = [
            Route(
                f"{PREFIX}events",
                lambda _: StreamingResponse(self._stream(), media_type="text/event-stream"),
            ),
            Mount(PREFIX, StaticFiles(directory=resource("client"))),
            Route("/{uri:path}", self._page),
        ]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
        config = uvicorn.Config(
            Starlette(routes=routes, middleware=[hosts], lifespan=self._watching),
            http="h11",
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=5,
            h11_max_incomplete_event_size=16 * 1024,  # bytes of a request's head
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            headers=list(_HEADERS.items()),
            timeout_graceful_shutdown=1,  # players keep connections open
        )
        super().__init__(config)

    @asynccontextmanager
    async def _watching(self, _app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(watch(self._preview))
        yield
        task.cancel()

    async def _page(self, request: Request) -> Response:
        """Return a file of the site, or a page with a message."""
        state = self._preview.state
        if state.tree is None:
            return self._plain(state, state.error or "The first build is under way.")
        path = request.path_params["uri"]
        uri = file_at(path)
        if uri in state.tree:
            return await run_in_threadpool(self._file, state, uri)
        if file_at(f"{uri}/") in state.tree:
            # Without the slash, relative links on the page would be resolved one folder too high.
            return RedirectResponse(f"/{quote(uri)}/", 307)
        if NOT_FOUND in state.tree:
            return await run_in_threadpool(self._file, state, NOT_FOUND, 404)
        return self._plain(state, "There is no such page in this site.", 404)

    def _file(self, state: PreviewState, uri: str, status: int = 200) -> Response:
        assert state.tree is not None
        content, kind = state.tree[uri], media_type(uri)
        if isinstance(content, CopiedFile):
            if not content.source.is_file():
                return PlainTextResponse("It has gone since it was built.", 404)
            # It answers range requests, without which players cannot seek, and Safari may play
            # nothing.
            return FileResponse(content.source, status, media_type=kind)
        if uri.endswith(".html"):
            data = f'data-uri="{escape(uri)}" data-version="{self._version(state)}"'
            content = with_client(content.decode(), data).encode()
        return Response(content, status, media_type=kind)

    def _plain(self, state: PreviewState, text: str, status: int = 503) -> Response:
        title = "The site cannot be built" if state.error else "sitegen serve"
        html = plain_page(title, text, self._version(state))
        headers = {"Content-Security-Policy": _PLAIN_POLICY}
        return Response(html, status, headers, media_type="text/html")

    async def _stream(self) -> AsyncIterator[str]:
        """Yield the state as an event, at once and after each change."""
        sent = ""
        while not self.should_exit:
            state = self._preview.state
            failed: dict[str, list[str]] = {}
            for uri, id in state.failed:
                failed.setdefault(uri, []).append(id)
            text = json.dumps(
                {
                    "version": self._version(state),
                    "error": state.error,
                    "progress": state.progress,
                    "failed": failed,
                }
            )
            if text != sent:
                sent = text
                # Milliseconds after which the browser connects again, for instance when serve was
                # restarted.
                yield f"retry: 500\ndata: {text}\n\n"
            # Polling, since the state changes in two threads that know nothing of this loop.
            await asyncio.sleep(TICK_S)

    def _version(self, state: PreviewState) -> str:
        return f"{self._session}-{state.version}"


def media_type(uri: str) -> str:
    """Return the MIME type of a file by its name, the same on every machine for a site's files."""
    return _TYPES.guess_type(uri, strict=False)[0] or "application/octet-stream"


def listening(port: int) -> socket.socket:
    """Open a socket at 127.0.0.1 and `port`, or a free port for 0; PlatformError if taken."""
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        message = f"cannot listen at port {port}: {reason}; take another, as in --port 8000"
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} is taken, perhaps by another `sitegen serve`; "
            message += f"take another, --port {port + 1}, or any that is free, --port 0"
        raise PlatformError(message) from None


def serve(server: Server, preview: Preview, listener: socket.socket) -> None:
    """Serve at the socket, watch the author's files and render.

    Ends by the signal that stops the server, which uvicorn raises again, or by `should_exit`.
    """
    thread = threading.Thread(target=preview.run, name="rendering", daemon=True)
    thread.start()
    try:
        # A signal that is raised while this thread imports a module, as uvicorn does at its start,
        # may leave the import lock held, and the other thread would wait for it for ever.
        with server.capture_signals():
            server.run(sockets=[listener])
    finally:
        preview.close()
        thread.join()
