"""The web server of the page, on the local machine only.

    /TOKEN/                          the page and its files
    /TOKEN/api/state                 all that the page shows
    /TOKEN/api/events                the same, and changes, as server-sent events
    /TOKEN/api/edit …                actions of the page
    /TOKEN/pictures/SIZE/ID.png      keys and drawings; an ID identifies the content, so they may be cached forever

Nothing is served without the token. Requests from other origins, or to other host names of this machine, are refused,
so no other page can read or change anything.
"""

import contextlib
import errno
import json
import secrets
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from _train.frame_interpolation.studio import exports, pictures
from _train.frame_interpolation.studio.events import Events
from _train.frame_interpolation.studio.pictures import Pictures
from _train.frame_interpolation.studio.project import Defaults
from _train.frame_interpolation.studio.session import ChangedError, Session, StaleError
from _train.frame_interpolation.studio.worker import Worker
from _util.errors import InputError

HOST = "127.0.0.1"
_STATIC = Path(__file__).parent / "static"
_WATCH_EVERY = 1.0  # seconds
_MOST_BODY = 4 * 2**20  # bytes
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Studio:
    """The application of a session and its worker."""

    def __init__(self, session: Session, worker: Worker, events: Events, token: str):
        self._session, self._worker, self._events, self._token = session, worker, events, token
        self._pictures = Pictures()

    def application(self, hosts: tuple[str, ...]) -> Starlette:
        """The ASGI application.

        Args:
            hosts: allowed values of the Host header, as `127.0.0.1:8000`.
        """
        return Starlette(
            routes=[Mount(f"/{self._token}", routes=self._routes())],
            middleware=[Middleware(_Guard, hosts=hosts)],
            exception_handlers={InputError: _refused},
            lifespan=self._lifespan,
        )

    def _routes(self) -> list[Route | Mount]:
        return [
            Route("/api/state", self._state),
            Route("/api/events", self._listen),
            Route("/api/edit", self._edit, methods=["POST"]),
            self._post("undo", lambda body: self._session.undo()),
            self._post("redo", lambda body: self._session.redo()),
            self._post("look", self._look),
            self._post("redraw", lambda body: self._session.redraw(_text(body, "key"))),
            self._post("export", lambda body: self._worker.export(_text(body, "format"))),
            self._post("cancel", lambda body: self._worker.cancel()),
            Route("/pictures/{size}/{id}.png", self._picture),
            Mount("/", StaticFiles(directory=_STATIC, html=True)),
        ]

    @contextlib.asynccontextmanager
    async def _lifespan(self, application: Starlette) -> AsyncIterator[None]:
        stopped = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stopped,), name="watching", daemon=True)
        watcher.start()
        yield
        stopped.set()
        self._events.close()

    def _watch(self, stopped: threading.Event) -> None:
        while not stopped.wait(_WATCH_EVERY):
            try:
                self._session.check_disk()
            except Exception as error:  # the next look may succeed
                self._session.report(error)

    async def _state(self, request: Request) -> Response:
        formats = [{"name": name, "label": one.label} for name, one in exports.FORMATS.items()]
        return _Json({"formats": formats, **await run_in_threadpool(self._session.snapshot)})

    async def _listen(self, request: Request) -> Response:
        stream = self._events.stream(lambda: run_in_threadpool(self._session.snapshot))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _edit(self, request: Request) -> Response:
        body = await _json_object(request)
        version, action = body.get("version"), _text(body, "action")
        if not isinstance(version, int):
            raise InputError("An edit needs the version that it is based on.")
        await run_in_threadpool(self._session.edit, version, action, body.get("key"), body.get("value"))
        return _Json(await run_in_threadpool(self._session.snapshot))

    def _post(self, name: str, do: Callable[[dict[str, Any]], None]) -> Route:
        async def answer(request: Request) -> Response:
            await run_in_threadpool(do, await _json_object(request))
            return _Json({})

        return Route(f"/api/{name}", answer, methods=["POST"])

    def _look(self, body: dict[str, Any]) -> None:
        number = body.get("number", 0)
        self._session.look_at(_text(body, "key"), number if isinstance(number, int) else 0)

    async def _picture(self, request: Request) -> Response:
        id, size = request.path_params["id"], request.path_params["size"]
        read = self._session.picture(id)
        if read is None or size not in (*pictures.SIDES, "full"):
            return _no_picture()
        headers = {"ETag": f'"{id}-{size}"', "Cache-Control": "private, max-age=31536000, immutable"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        try:
            data = await run_in_threadpool(self._pictures.get, id, read, size)
        except ChangedError:
            await run_in_threadpool(self._session.check_disk)
            return _no_picture()
        return Response(data, media_type="image/png", headers=headers)


def _no_picture() -> Response:
    return PlainTextResponse("There is no such picture.", 404)


class _Guard:
    """Middleware that refuses requests which do not come from the page itself."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(Request(scope).headers)
        await (PlainTextResponse(refusal, 403) if refusal else self._app)(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> str:
        if headers.get("host") not in self._hosts:
            return "This page is served to this machine only."
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        is_own = origin is None or origin in {f"http://{host}" for host in self._hosts}
        return "" if is_own and site in ("same-origin", "none") else "Requests from other pages are refused."


async def _json_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request."""
    if request.headers.get("content-type") != "application/json":
        raise InputError("Requests are JSON.")
    if int(request.headers.get("content-length", _MOST_BODY + 1)) > _MOST_BODY:
        raise InputError("A request is too long.")
    try:
        body = await request.json()
    except (ValueError, RecursionError) as error:
        raise InputError("A request is not JSON.") from error
    if not isinstance(body, dict):
        raise InputError("A request is a JSON object.")
    return body


class _Json(JSONResponse):
    """JSON in ASCII, since names of files need not be UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise InputError(f"A request has no {name}.")
    return value


async def _refused(request: Request, error: Exception) -> Response:
    return _Json({"error": " ".join(str(error).split())}, 409 if isinstance(error, StaleError) else 400)


def _listen(port: int) -> socket.socket:
    """A socket that accepts local connections only; port 0 is any free one.

    Raises:
        InputError: the port is not available.
    """
    listening = socket.socket()
    # On Windows, SO_REUSEADDR would take a port on which another program listens.
    option = socket.SO_EXCLUSIVEADDRUSE if sys.platform == "win32" else socket.SO_REUSEADDR
    listening.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        why = "is in use" if getattr(error, "errno", None) == errno.EADDRINUSE else "is not available"
        raise InputError(f"The port {port} {why}; choose another --port, or leave it out for a free one.") from error
    return listening


@contextlib.contextmanager
def serving(folder: Path, defaults: Defaults, out: Path, port: int = 0, **options: Any) -> Iterator[str]:
    """Serve the page of a folder of keys within the block; yields its address.

    Args:
        defaults: options of `timing.plan`, for gaps without a timing in the project.
        out: folder of exports.
        port: 0 is any free one.
        options: of `Interpolator`.

    Raises:
        InputError: the folder, the project in it or the port cannot be used.
    """
    events = Events()
    with _listen(port) as listening:
        session = Session(folder, defaults, events.tell)
        worker = Worker(session, out, **options)
        port, token = listening.getsockname()[1], secrets.token_urlsafe(16)
        application = Studio(session, worker, events, token).application((f"{HOST}:{port}", f"localhost:{port}"))
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listening],), name="serving")
        worker.start()
        thread.start()
        try:
            yield f"http://{HOST}:{port}/{token}/"
        finally:
            server.should_exit = True
            worker.stop()
            thread.join()
            worker.join()
