"""Server-sent events: from any thread to all pages that listen."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

_HEARTBEAT = 15.0  # seconds without an event after which a keep-alive comment is sent


class Events:
    """The listeners of one event loop. `tell` may be called from any thread, and before there is a loop."""

    def __init__(self):
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[str | None]] = set()

    def tell(self, name: str, value: Any) -> None:
        """Send an event to all listeners; `value` must be representable in JSON."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, _message(name, value))

    def close(self) -> None:
        """End all streams; called in the loop."""
        self._put(None)

    async def stream(self, first: Callable[[], Awaitable[Any]]) -> AsyncIterator[str]:
        """The text of a stream that begins with the event `state`, which is requested once the stream is registered.

        All streams receive their number as the event `tabs`.
        """
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._queues.add(queue)
        try:
            self._tell_count()
            yield _message("state", await first())
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), _HEARTBEAT)
                except TimeoutError:
                    message = ": alive\n\n"
                if message is None:
                    return
                yield message
        finally:
            self._queues.discard(queue)
            self._tell_count()

    def _tell_count(self) -> None:
        self._put(_message("tabs", len(self._queues)))

    def _put(self, message: str | None) -> None:
        for queue in self._queues:
            queue.put_nowait(message)


def _message(name: str, value: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"
