"""The two WebSocket endpoints over aiohttp: one queue and one writer task a connection."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import WSMsgType, web

from overround.sim.exchange import Exchange

__all__ = ["Sockets"]

QUEUE_FRAMES_MAX = 20_000
"""A client this far behind is cut off, as the venue cuts slow consumers."""

CLIENT_FRAME_BYTES_MAX = 1 << 20


class _Connection:
    """A WebSocket with a send queue; ``send`` never blocks and never raises."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self._request = request
        self._queue: deque[str | bytes] = deque()
        self._wake = asyncio.Event()
        self._overrun = False

    def send(self, text: str | bytes) -> None:
        if len(self._queue) >= QUEUE_FRAMES_MAX:
            self._overrun = True
        else:
            self._queue.append(text)
        self._wake.set()

    async def drain(self) -> None:
        """Write queued frames until the connection ends."""
        while not self._overrun:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                item = self._queue.popleft()
                try:
                    if isinstance(item, str):
                        await self.socket.send_str(item)
                    else:
                        await self.socket.send_bytes(item)
                except (ConnectionError, RuntimeError):
                    return
        self.abort()

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
        connection = _Connection(socket, request)
        subscriber = self._exchange.channel.connect(connection)
        self._open["market"].add(connection)
        writer = asyncio.create_task(connection.drain())
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._exchange.channel.on_text(subscriber, message.data)
        finally:
            writer.cancel()
            self._open["market"].discard(connection)
            self._exchange.channel.disconnect(subscriber)
        return socket

    async def _user(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self._accept(request)
        connection = _Connection(socket, request)
        listener = self._exchange.users.connect(connection)
        self._open["user"].add(connection)
        writer = asyncio.create_task(connection.drain())
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    continue
                if not self._exchange.users.on_text(listener, message.data):
                    await socket.close()
        finally:
            writer.cancel()
            self._open["user"].discard(connection)
            self._exchange.users.disconnect(listener)
        return socket
