"""Who may ask the page what: password, addresses, sizes, files. The one door to the web server.

``Guard`` stands before everything, Gradio's own routes as well:

- with a password, nothing is answered without it (HTTP Basic), and wrong ones are answered slowly;
- another site's script gets nothing: the ``Host`` has to be one that the page is served as (a stranger's name that
  points here is refused), and what changes something has to come from the page itself (``Origin``);
- bodies beyond the limit of uploads are refused before they are read, and so are uploads that the disk has no room for;
- Gradio hands out files of its own temporary folder only, and takes only those: mounted, version 6.31 copies any file
  and any address that a request names as uploaded, so requests that name others do not reach it;
- pages may load nothing from elsewhere (Content-Security-Policy), and no file is taken for HTML.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vfi_pipeline.errors import UserError
from vfi_pipeline.page.progress import result_of
from vfi_pipeline.page.queue import DONE, Queue
from vfi_pipeline.page.roots import Roots, shown

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)

SPARE_BYTES = 200_000_000
"""Room that uploads leave on the disk."""

OVERHEAD = 1_000_000
"""Bytes of a request around an upload."""

LONGEST_REQUEST = 10_000_000
"""Bytes of a request that is no upload: what the controls hold."""

WRONG_S = 1.0
"""How long a wrong password waits for its answer."""

LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1")


class Guard:
    """An ASGI application before another; see the module's docstring."""

    def __init__(
        self,
        app: App,
        *,
        password: str | None,
        hosts: Sequence[str] | None,
        temporary: Path,
        max_upload: int,
        wrong_s: float = WRONG_S,
    ) -> None:
        """
        Args:
            password: None asks for none.
            hosts: names that the page may be asked by, without ports; None: any (a password protects it).
            temporary: the folder that Gradio may hand out.
            max_upload: bytes of a request's body.
        """
        self.app, self.password = app, password
        self.hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self.temporary, self.max_upload, self.wrong_s = Path(os.path.realpath(temporary)), max_upload, wrong_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no web sockets
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is not None:
            status, message = refused
            if status == 401 and b"authorization" in headers:
                await asyncio.sleep(self.wrong_s)
            await _answer(send, status, message)
            return
        receive = self._bounded(receive)
        if scope["method"] not in ("GET", "HEAD") and not _is_upload(scope["path"]):
            body = await _body(receive)
            if body is None or not self._names_own_files(body):
                await _answer(send, 403, "This was not uploaded here.")
                return
            receive = _again(body, receive)
        await self.app(scope, receive, _with_headers(send))

    def _refused(self, scope: Scope, headers: MutableMapping[bytes, str]) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return 403, "This page is not served under that name."
        if self.password is not None and not self._knows(headers.get(b"authorization", "")):
            return 401, "A password is needed."
        method, path = scope["method"], unquote(scope["path"])
        if method not in ("GET", "HEAD"):
            origin = headers.get(b"origin")
            if (origin is not None and urlsplit(origin).netloc.lower() != host.lower()) or headers.get(
                b"sec-fetch-site", "same-origin"
            ) not in ("same-origin", "none"):
                return 403, "Another page asked for this."
            length = headers.get(b"content-length", "0")
            if not length.isascii() or not length.isdigit() or int(length) > self.max_upload + OVERHEAD:
                return 413, f"Larger than this page takes ({self.max_upload} bytes; --max-upload at its start)."
            if (
                path.rstrip("/").endswith("/upload")
                and int(length) + SPARE_BYTES > shutil.disk_usage(self.temporary).free
            ):
                return 507, "The disk has no room for it."
        for mark in ("/file=", "/file/", "/proxy=", "/reverse_proxy="):
            before, separator, asked = path.partition(mark)
            if separator and (mark != "/file=" or not self._hands_out(asked)):
                return 403, "This file is not served."
        return None

    def _knows(self, authorization: str) -> bool:
        kind, _, encoded = authorization.partition(" ")
        if kind.lower() != "basic" or self.password is None:
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, self.password.encode())

    def _hands_out(self, asked: str) -> bool:
        try:
            real = Path(os.path.realpath(asked))
        except (OSError, ValueError):
            return False
        return os.path.isabs(asked) and real != self.temporary and real.is_relative_to(self.temporary)

    def _names_own_files(self, body: bytes) -> bool:
        """Whether a request is JSON in which every file is one of the temporary folder."""
        if not body.strip():
            return True
        try:
            todo = [json.loads(body)]
        except (ValueError, RecursionError):
            return False
        while todo:
            value = todo.pop()
            if isinstance(value, dict):
                path = value.get("path")
                if path is not None and not (isinstance(path, str) and self._hands_out(path)):
                    return False
                todo += value.values()
            elif isinstance(value, list):
                todo += value
        return True

    def _bounded(self, receive: Receive) -> Receive:
        """Counts what comes, where no length was told beforehand."""
        got = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal got
            message = await receive()
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                if got > self.max_upload + OVERHEAD:
                    return {"type": "http.disconnect"}
            return message

        return counted


def _is_upload(path: str) -> bool:
    return path.rstrip("/").endswith("/upload")


async def _body(receive: Receive) -> bytes | None:
    """A request's body; None if it is beyond ``LONGEST_REQUEST`` or breaks off."""
    parts, length, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        length, more = length + len(parts[-1]), message.get("more_body", False)
        if length > LONGEST_REQUEST:
            return None
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives out a body that was read before, and then what comes."""
    given = False

    async def replayed() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _with_headers(send: Send) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in HEADERS}
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in own]
            message = {**message, "headers": [*kept, *HEADERS]}
        await send(message)

    return sent


async def _answer(send: Send, status: int, message: str) -> None:
    extra = [(b"www-authenticate", b'Basic realm="vfi", charset="UTF-8"')] if status == 401 else []
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *extra, *HEADERS],
        }
    )
    await send({"type": "http.response.body", "body": message.encode() + b"\n"})


def _name(host: str) -> str:
    """``localhost`` of ``localhost:7860``, ``[::1]`` of ``[::1]:7860``."""
    return (host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]).lower()


def is_local(host: str) -> bool:
    """Whether an address to serve on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def results(queue: Queue, roots: Roots) -> Callable[[int, str], tuple[Path, str | None]]:
    """What ``/result/<job>/<what>`` hands out: (file, name to save it as)."""

    def result_file(number: int, what: str) -> tuple[Path, str | None]:
        """
        Raises:
            UserError: if there is no such job or file, or it lies outside of the roots.
        """
        job = queue.get(number)
        if what == "log":
            return queue.file(number, "log"), None
        if what not in ("file", "watch") or job.state != DONE:
            raise UserError("There is no such file.", "reload the page.")
        result_path = roots.inside(result_of(queue.file(number, "report.json"), job.target))
        preview = queue.file(number, "watch.mp4")
        if what == "watch":
            return (preview if preview.is_file() else result_path), None
        return result_path, shown(result_path.name)

    return result_file


def application(
    mount: Callable[[Any], Any], queue: Queue, roots: Roots, ended: Iterable[Callable[[], None]] = ()
) -> Any:
    """The web application: the results' files, and the page that ``mount`` adds to it."""
    from fastapi import FastAPI
    from starlette.responses import FileResponse, PlainTextResponse, Response

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    find = results(queue, roots)

    @app.get("/result/{number}/{what}")
    @app.head("/result/{number}/{what}")
    def result(number: int, what: str) -> Response:
        try:
            path, name = find(number, what)
        except UserError as error:
            return PlainTextResponse(str(error), 404)
        if not path.is_file():
            return PlainTextResponse("There is no such file.", 404)
        if name is None:
            kind = "text/plain; charset=utf-8" if what == "log" else None
            return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache"})
        return FileResponse(path, media_type="application/octet-stream", filename=name)

    return mount(app)


def serve(app: Any, host: str, port: int, started: Callable[[int], None]) -> None:
    """Serves until the process is asked to end.

    Args:
        port: 0 takes a free one.
        started: told the port when the page can be asked.

    Raises:
        UserError: if the port is taken.
    """
    import socket

    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"The page cannot be served at {host}, port {port} ({getattr(error, 'strerror', None) or error}).",
            "another --port (0 takes a free one), or another --host.",
        ) from error

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                started(bound.getsockname()[1])

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2, ws="none"
    )
    try:
        Server(config).run(sockets=[bound])
    finally:
        bound.close()
