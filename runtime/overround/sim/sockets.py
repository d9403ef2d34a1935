"""The two WebSocket endpoints over aiohttp.

aiohttp accepts and reads; frames are written here, all that one turn of the loop produced in one
write. A burst written frame by frame can be torn apart for milliseconds by the scheduler, and a
client that gives a burst two milliseconds would take the pieces for different states.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache

from aiohttp import WSMsgType, web

from overround.sim.exchange import Exchange
from overround.sim.faults import Faults
from overround.sim.line import Line

__all__ = ["Sockets", "server_frame"]

BACKLOG_BYTES_MAX = 32 << 20
"""A client this far behind is cut off, as the venue cuts slow consumers."""

CLIENT_FRAME_BYTES_MAX = 1 << 20

_TEXT, _BINARY = 0x81, 0x82


@lru_cache(maxsize=2)
def server_frame(item: str | bytes) -> bytes:
    """Return one unmasked, final WebSocket frame: text for str, binary for bytes (RFC 6455).

    The last ones are remembered: a burst tells many sockets the same text.
    """
    kind, payload = (_TEXT, item.encode()) if isinstance(item, str) else (_BINARY, item)
    size = len(payload)
    if size < 126:
        return bytes((kind, size)) + payload
    if size < 1 << 16:
        return bytes((kind, 126)) + size.to_bytes(2, "big") + payload
    return bytes((kind, 127)) + size.to_bytes(8, "big") + payload


class _Connection:
    """A WebSocket's sending half; ``send`` never blocks and never raises."""

    def __init__(self, request: web.Request, channel: str, faults: Faults) -> None:
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self._switched = faults.values
        self._line = Line(channel, faults, self._queue, self._loop.call_later)

    def send(self, text: str | bytes) -> None:
        if self._switched or self._line.used:
            self._line.send(text)
        else:
            self._queue(text)

    def _queue(self, text: str | bytes) -> None:
        if not self._frames:
            self._loop.call_soon(self.flush)
        self._frames.append(server_frame(text))

    def flush(self) -> None:
        """Write what is queued at once; cut the client off if it has stopped reading."""
        frames, self._frames = self._frames, []
        transport = self._request.transport
        if not frames or transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
            transport.abort()
        else:
            transport.write(b"".join(frames))

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()


class Sockets:
    """Handlers of ``/ws/market`` and ``/ws/user``."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._open: dict[str, set[_Connection]] = {"market": set(), "user": set()}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [web.get("/ws/market", self._market), web.get("/ws/user", self._user)]

    def counts(self) -> dict[str, int]:
        """Return how many connections each channel has."""
        return {channel: len(open_) for channel, open_ in self._open.items()}

    def abort(self, channel: str) -> int:
        """Cut every connection of a channel ("market", "user"); return how many."""
        connections = list(self._open[channel])
        for connection in connections:
            connection.abort()
        return len(connections)

    def send_raw(self, channel: str, item: str | bytes) -> int:
        """Send any frame to every connection of a channel; return how many."""
        for connection in self._open[channel]:
            connection.send(item)
        return len(self._open[channel])

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        if self._exchange.faults.refuse_sockets:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(compress=False, max_msg_size=CLIENT_FRAME_BYTES_MAX)
        await socket.prepare(request)
        return socket

    async def _market(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self._accept(request)
        connection = _Connection(request, "market", self._exchange.faults)
        subscriber = self._exchange.channel.connect(connection)
        self._open["market"].add(connection)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._exchange.channel.on_text(subscriber, message.data)
        finally:
            self._open["market"].discard(connection)
            self._exchange.channel.disconnect(subscriber)
        return socket

    async def _user(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self._accept(request)
        connection = _Connection(request, "user", self._exchange.faults)
        listener = self._exchange.users.connect(connection)
        self._open["user"].add(connection)
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    continue
                if not self._exchange.users.on_text(listener, message.data):
                    connection.flush()
                    await socket.close()
        finally:
            self._open["user"].discard(connection)
            self._exchange.users.disconnect(listener)
        return socket
