"""The preview's server: the site on 127.0.0.1, with ranges for clips, reloaded when it changes.

Pages come out of the scene, clips out of the store: a path is looked up in the list of what a
build would write, so nothing else can be reached, whatever links lie about. A request must name
this host and port, which keeps away pages of others that point their own name at 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import json
import logging
import mimetypes
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sitegen.build.output import CopiedFile, open_path
from sitegen.core.errors import PlatformError
from sitegen.core.signals import Stop
from sitegen.core.urls import file_at
from sitegen.server.inject import CLIENT, PLAIN_POLICY, PREFIX, client_file, plain_page, with_client
from sitegen.server.preview import Preview
from sitegen.server.state import PreviewState
from sitegen.server.watch import Sources, watch

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
TICK_S = 0.1
GRACE_S = 1.0
"""How long rendering may take to leave off when the server stops."""

BEAT_S = 15.0
"""How often an open page is sent a sign of life, so that the server notices when it has gone."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".xml": "application/xml",
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Answers requests out of a preview's scene; its event streams end when `closing` is set."""

    def __init__(self, preview: Preview, closing: asyncio.Event) -> None:
        self._preview = preview
        self._closing = closing
        self._session = secrets.token_hex(4)

    def app(self, port: int) -> Starlette:
        """The application, for requests that name this host and `port`."""
        routes = [
            Route(f"{PREFIX}events", self._events),
            Route(f"{PREFIX}{{name}}", self._client),
            Route("/{uri:path}", self._page),
        ]
        return Starlette(routes=routes, middleware=[Middleware(Guard, port=port)])

    async def _page(self, request: Request) -> Response:
        """A file of the site, or what is to be said instead."""
        scene = self._preview.scene
        if scene.tree is None:
            return self._plain(scene, scene.error or "The first build is under way.")
        asked = request.path_params["uri"]
        uri = file_at(asked)
        if uri in scene.tree:
            return await run_in_threadpool(self._file, scene, uri)
        if file_at(f"{uri}/") in scene.tree:
            return RedirectResponse(f"/{quote(uri)}/", 307)
        if "404.html" in scene.tree:
            return await run_in_threadpool(self._file, scene, "404.html", 404)
        return self._plain(scene, "There is no such page in this site.", 404)

    def _file(self, scene: PreviewState, uri: str, status: int = 200) -> Response:
        assert scene.tree is not None
        content, kind = scene.tree[uri], media_type(uri)
        if isinstance(content, CopiedFile):
            handle = content.opened()
            if handle is None:
                return PlainTextResponse("It has gone or changed since it was built.", 404)
            return OpenFile(handle, status, kind)
        if uri.endswith(".html"):
            content = with_client(content.decode(), uri, self._version(scene)).encode()
        return Response(content, status, media_type=kind)

    def _plain(self, scene: PreviewState, words: str, status: int = 503) -> Response:
        title = "The site cannot be built" if scene.error else "sitegen serve"
        html = plain_page(title, words, self._version(scene))
        headers = {"Content-Security-Policy": PLAIN_POLICY}
        return Response(html, status, headers, media_type=_TYPES[".html"])

    async def _client(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in CLIENT:
            return PlainTextResponse("There is no such file.", 404)
        return Response(client_file(name), media_type=CLIENT[name])

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        """The scene in words at once, and again whenever it has changed."""
        said, quiet = "", 0.0
        while not self._closing.is_set():
            words = self._told()
            if words != said:
                said, quiet = words, 0.0
                yield f"retry: 500\ndata: {words}\n\n"
            elif quiet >= BEAT_S:
                quiet = 0.0
                yield ": still here\n\n"
            quiet += TICK_S
            await asyncio.sleep(TICK_S)

    def _told(self) -> str:
        scene = self._preview.scene
        outdated: dict[str, list[str]] = {}
        for uri, figure in scene.outdated:
            outdated.setdefault(uri, []).append(figure)
        state = {
            "version": self._version(scene),
            "error": scene.error,
            "progress": scene.progress,
            "outdated": outdated,
        }
        return json.dumps(state)

    def _version(self, scene: PreviewState) -> str:
        return f"{self._session}-{scene.version}"


class OpenFile(FileResponse):
    """Sends an open file, whatever its name leads to meanwhile, and closes it."""

    def __init__(self, handle: int, status: int, kind: str) -> None:
        self._handle = handle
        path, about = open_path(handle), os.fstat(handle)
        super().__init__(path, status, media_type=kind, stat_result=about)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as for any file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._handle)


class Guard:
    """Refuses what does not name this host, and gives every answer the headers of a preview."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}".encode() for name in NAMES}
        self._hosts |= {name.encode() for name in NAMES} if port == 80 else set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 to what is not for us, and pass on the rest."""
        if scope["type"] != "http":
            return
        hosts = [value.lower() for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            refusal = PlainTextResponse("This server answers only to its own name.", 421, _HEADERS)
            await refusal(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                new = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *new]
            await send(message)

        await self._app(scope, receive, sending)


def media_type(uri: str) -> str:
    """The type of a file by its name, the same on every machine for what a site has."""
    suffix = PurePosixPath(uri).suffix.lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(uri)[0] or "application/octet-stream"


def listening(port: int) -> socket.socket:
    """A socket at 127.0.0.1 and `port`, or at a free port for 0. PlatformError if it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PlatformError(
                f"port {port} is taken, perhaps by another `sitegen serve`; "
                f"take another, --port {port + 1}, or any that is free, --port 0"
            ) from None
        raise PlatformError(
            f"cannot listen at port {port}: {error.strerror}; take another, as in --port 8000"
        ) from None
    return listener


def serve(preview: Preview, listener: socket.socket, stop: Stop) -> None:
    """Answer at the socket, follow the author's changes and render, until `stop` is asked for."""
    thread = threading.Thread(target=preview.run, name="rendering", daemon=True)
    thread.start()
    try:
        asyncio.run(_serve(preview, listener, stop))
    finally:
        preview.close()
        thread.join(GRACE_S)
        if thread.is_alive():
            # It is deep in a computation. Python cannot end while one runs, but the process can.
            atexit.register(_leave, preview, 128 + (stop.signal or 0))


def _leave(preview: Preview, code: int) -> None:
    preview.leave()
    os._exit(code)


async def _serve(preview: Preview, listener: socket.socket, stop: Stop) -> None:
    closing = asyncio.Event()
    server = Server(preview, closing)
    config = uvicorn.Config(
        server.app(listener.getsockname()[1]),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    running = _Uvicorn(config)
    sources = Sources(preview)
    tasks = [
        asyncio.create_task(running.serve([listener])),
        asyncio.create_task(watch(sources, preview.refresh, closing)),
    ]
    while not stop.asked() and not any(task.done() for task in tasks):
        await asyncio.sleep(TICK_S)
    preview.close()  # rendering leaves off while the server does
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # who is cut off is no news
    closing.set()
    running.should_exit = True
    await asyncio.gather(*tasks)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield
