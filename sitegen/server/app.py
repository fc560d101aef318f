"""The preview's server: the site on 127.0.0.1, with range requests and automatic reload.

- Pages are served from the preview's state, clips from the store. A path is looked up in the list
  of files that a build would write, so that no other file can be reached, not even through links.
- A request must name this host, which prevents DNS rebinding: access by another site's pages, if
  its name resolves to 127.0.0.1.
- The reload script is added to the response only. The page's Content-Security-Policy is extended
  just enough to run the script and let it connect to its own server.
"""

import asyncio
import contextlib
import errno
import json
import logging
import mimetypes
import os
import re
import secrets
import socket
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from html import escape, unescape
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
from sitegen.core.signals import Stop
from sitegen.core.urls import NOT_FOUND, file_at
from sitegen.server.preview import FigureRef, Preview, PreviewState
from sitegen.server.watch import Sources, watch

HOST = "127.0.0.1"
TICK_S = 0.1
GRACE_S = 1.0
"""Seconds to wait for rendering to stop when the server stops."""

_CONNECTIONS = 500
"""Maximum number of concurrent connections or requests; others get 503. An open page uses one."""

_TYPES = mimetypes.MimeTypes()  # Python's built-in table, the same on every machine
_TYPES.add_type("text/javascript", ".js")  # Python 3.11 has an outdated type,
mimetypes.add_type("text/javascript", ".js")  # also in the table that starlette uses

_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}

PREFIX = "/_sitegen/"
"""Prefix of the preview's own addresses; a built site has no such folder."""

_CLIENT = (resource("client") / "reload.js").read_text(encoding="utf-8")
"""The script of the preview, which is inlined in each page: a page whose server stops right after
sending it can still wait for the next server."""

_CLIENT_SOURCE = f"'sha256-{b64encode(sha256(_CLIENT.encode()).digest()).decode()}'"

_PLAIN_POLICY = (
    f"default-src 'none'; script-src {_CLIENT_SOURCE}; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_OWN_SOURCES = {"script-src": _CLIENT_SOURCE, "style-src": "'self'", "connect-src": "'self'"}
"""Sources that the preview adds to a policy, by directive."""

_POLICY = re.compile(
    r"(<meta\s+http-equiv=\"Content-Security-Policy\"\s+content=\")([^\"]*)(\")", re.IGNORECASE
)


def with_client(html: str, uri: str, version: str) -> str:
    """Return the page `uri` with the preview's script and style; `version` is the state's."""
    tags = _tags(f'data-uri="{escape(uri)}" data-version="{escape(version)}"')
    widened = _POLICY.sub(lambda found: found[1] + _widened(found[2]) + found[3], html)
    head, end, rest = widened.partition("</head>")
    return f"{head}{tags}{end}{rest}" if end else f"{tags}{html}"


def plain_page(title: str, words: str, version: str) -> str:
    """Return a page with a message, which reloads when there is a page of the site to show."""
    items = "".join(f"<li>{escape(line)}</li>\n" for line in words.splitlines())
    tags = _tags(f'data-plain data-version="{escape(version)}"')
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'{tags}</head>\n<body class="sitegen-plain">\n<main class="sitegen-panel">\n'
        f"<h2>{escape(title)}</h2>\n<ul>\n{items}</ul>\n"
        "<p>This page is replaced by itself.</p>\n</main>\n</body>\n</html>\n"
    )


def _tags(data: str) -> str:
    """Return the elements for the style and for the script, which reads `data`."""
    return (
        f'<link rel="stylesheet" href="{PREFIX}preview.css">\n<script {data}>{_CLIENT}</script>\n'
    )


def _widened(content: str) -> str:
    """Return a policy, escaped as in an attribute, that allows the preview's script and events."""
    split = (rule.split() for rule in unescape(content).split(";"))
    rules = {words[0].lower(): words[1:] for words in split if words}
    for name, own in _OWN_SOURCES.items():
        sources = rules.get(name, rules.get("default-src"))
        inline = name == "script-src" and "'unsafe-inline'" in (sources or ())
        if sources is not None and not inline:  # a hash would disable 'unsafe-inline'
            allowed = [each for each in sources if each not in ("'none'", own)]
            rules[name] = [*allowed, own]
    return escape("; ".join(" ".join([name, *sources]) for name, sources in rules.items()))


class Server:
    """Answers requests from a preview's state; its event streams end when `closing` is set."""

    def __init__(self, preview: Preview, closing: asyncio.Event) -> None:
        self._preview = preview
        self._closing = closing
        self._session = secrets.token_hex(4)

    def app(self) -> Starlette:
        """Return the application, which accepts only requests that name this host."""
        routes = [
            Route(f"{PREFIX}events", self._events),
            Mount(PREFIX, StaticFiles(directory=resource("client"))),
            Route("/{uri:path}", self._page),
        ]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
        return Starlette(routes=routes, middleware=[hosts])

    async def _page(self, request: Request) -> Response:
        """Return a file of the site, or a page with a message."""
        state = self._preview.state
        if state.tree is None:
            return self._plain(state, state.error or "The first build is under way.")
        asked = request.path_params["uri"]
        uri = file_at(asked)
        if uri in state.tree or uri in state.before:
            return await run_in_threadpool(self._file, state, uri)
        if file_at(f"{uri}/") in state.tree:
            return RedirectResponse(f"/{quote(uri)}/", 307)
        if NOT_FOUND in state.tree:
            return await run_in_threadpool(self._file, state, NOT_FOUND, 404)
        return self._plain(state, "There is no such page in this site.", 404)

    def _file(self, state: PreviewState, uri: str, status: int = 200) -> Response:
        assert state.tree is not None
        content, kind = {**state.before, **state.tree}[uri], media_type(uri)
        if isinstance(content, CopiedFile):
            if not content.source.is_file():
                return PlainTextResponse("It has gone since it was built.", 404)
            return FileResponse(content.source, status, media_type=kind)
        if uri.endswith(".html"):
            content = with_client(content.decode(), uri, self._version(state)).encode()
        return Response(content, status, media_type=kind)

    def _plain(self, state: PreviewState, words: str, status: int = 503) -> Response:
        title = "The site cannot be built" if state.error else "sitegen serve"
        html = plain_page(title, words, self._version(state))
        headers = {"Content-Security-Policy": _PLAIN_POLICY}
        return Response(html, status, headers, media_type="text/html")

    async def _events(self, _request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        """Yield the state as an event, at once and after each change."""
        said = ""
        while not self._closing.is_set():
            words = self._state_json()
            if words != said:
                said = words
                yield f"retry: 500\ndata: {words}\n\n"
            await asyncio.sleep(TICK_S)

    def _state_json(self) -> str:
        state = self._preview.state
        about = {"version": self._version(state), "error": state.error, "progress": state.progress}
        marked = {"outdated": _by_page(state.outdated), "failed": _by_page(state.failed)}
        return json.dumps({**about, **marked})

    def _version(self, state: PreviewState) -> str:
        return f"{self._session}-{state.version}"


def _by_page(figures: Iterable[FigureRef]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for uri, id in figures:
        found.setdefault(uri, []).append(id)
    return found


def media_type(uri: str) -> str:
    """Return the MIME type of a file by its name, the same on every machine for a site's files."""
    return _TYPES.guess_type(uri, strict=False)[0] or "application/octet-stream"


def listening(port: int) -> socket.socket:
    """Open a socket at 127.0.0.1 and `port`, or a free port for 0; PlatformError if taken."""
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        told = f"cannot listen at port {port}: {why}; take another, as in --port 8000"
        if error.errno == errno.EADDRINUSE:
            told = f"port {port} is taken, perhaps by another `sitegen serve`; "
            told += f"take another, --port {port + 1}, or any that is free, --port 0"
        raise PlatformError(told) from None


def serve(preview: Preview, listener: socket.socket, stop: Stop) -> None:
    """Serve at the socket, watch the author's files and render, until `stop` is requested."""
    thread = threading.Thread(target=preview.run, name="rendering", daemon=True)
    thread.start()
    try:
        asyncio.run(_serve(preview, listener, stop))
    finally:
        preview.close()
        thread.join(GRACE_S)


async def _serve(preview: Preview, listener: socket.socket, stop: Stop) -> None:
    closing = asyncio.Event()
    config = uvicorn.Config(
        Server(preview, closing).app(),
        http="h11",
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=5,
        h11_max_incomplete_event_size=16 * 1024,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        headers=list(_HEADERS.items()),
        timeout_graceful_shutdown=1,
    )
    running = _Uvicorn(config)
    tasks = [
        asyncio.create_task(running.serve([listener])),
        asyncio.create_task(watch(Sources(preview), preview.refresh, closing)),
    ]
    while not stop.asked() and not any(task.done() for task in tasks):
        await asyncio.sleep(TICK_S)
    preview.close()  # rendering stops while the server does
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # ignore aborted connections
    closing.set()
    running.should_exit = True
    while not all(task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=TICK_S)
    await asyncio.gather(*tasks)
    for connection in list(running.server_state.connections):
        connection.transport.abort()  # accepted while the server closed, so no task reads from it
    await asyncio.sleep(0)


class _Uvicorn(uvicorn.Server):
    capture_signals = contextlib.nullcontext  # type: ignore[assignment]  # sitegen handles signals
