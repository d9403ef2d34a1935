"""WebSocket connections by number, on picows: whole messages in, text frames out.

The callback of a frame reads the clock and makes one call, which does all the work in native
code on the receive buffer itself; nothing is copied, decoded or logged on the way. A frame that
is not text, or a message in pieces longer than allowed, is counted and dropped; a connection
whose framing is broken ends, and its end is told like any other.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)

from overround.clock import monotonic_ns
from overround.observe.metrics import Value

__all__ = ["Links", "LinksOwner"]

_PONG = b"PONG"

_READ_BUFFER_BYTES = 256 * 1024
"""Enough for the opening snapshots of a full socket without growing."""


class LinksOwner(Protocol):
    """Who is told what happens on the connections, always in the loop's thread."""

    def on_frame(self, payload: memoryview | bytearray, recv_ns: int, connection: int) -> None:
        """A whole text message is here; ``payload`` is valid during the call only."""

    def on_frames(self, summary: Any) -> None:
        """The engine took messages without us: ``struct ovr_uring_summary``, for this call."""

    def on_pong(self, connection: int, recv_ns: int) -> None:
        """The venue answered a ping."""

    def on_unusable(
        self, connection: int, recv_ns: int, *, too_large: bool, count: int = 1
    ) -> None:
        """Messages were dropped unread: binary, or longer than allowed."""

    def on_broken(self, connection: int, reason: str) -> None:
        """The connection is ended because the venue broke the framing."""

    def on_connected(self, connection: int) -> None:
        """The connection is open."""

    def on_connect_failed(self, connection: int, reason: str) -> None:
        """The connection could not be opened; the number is spent."""

    def on_disconnected(self, connection: int) -> None:
        """The open connection ended; the number is spent."""


class _Link(WSListener):
    """One connection's callbacks."""

    def __init__(self, owner: LinksOwner, connection: int, bytes_max: int) -> None:
        self.transport: WSTransport | None = None
        self.data_ns = 0
        self.opened = False
        self.abandoned = False
        self._owner = owner
        self._on_frame = owner.on_frame
        self._connection = connection
        self._bytes_max = bytes_max
        self._in_pieces = False
        self._pieces: bytearray | None = None  # None while too large a message is skipped
        self._pieces_type = WSMsgType.TEXT

    def on_ws_connected(self, transport: WSTransport) -> None:
        if self.abandoned:  # the handshake ended after we had stopped waiting for it
            transport.disconnect(graceful=False)
            return
        self.transport = transport
        self.opened = True
        self._owner.on_connected(self._connection)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        recv_ns = monotonic_ns()
        kind = frame.msg_type
        if kind is WSMsgType.TEXT and frame.fin and not self._in_pieces:
            payload = frame.get_payload_as_memoryview()
            if frame.payload_size == len(_PONG) and payload == _PONG:
                self._owner.on_pong(self._connection, recv_ns)
                return
            self.data_ns = recv_ns
            self._on_frame(payload, recv_ns, self._connection)
        else:
            self._on_rare(transport, frame, recv_ns)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.transport is not None:
            self.transport = None
            self._owner.on_disconnected(self._connection)

    def _on_rare(self, transport: WSTransport, frame: WSFrame, recv_ns: int) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            # The peer waits for our close frame; without it the socket lingers half shut.
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            if (kind is WSMsgType.CONTINUATION) is not self._in_pieces:
                transport.send_close(WSCloseCode.PROTOCOL_ERROR)
                transport.disconnect(graceful=False)
                self._owner.on_broken(self._connection, "pieces of a message out of order")
            elif self._in_pieces:
                self._on_piece(frame, recv_ns)
            elif frame.fin:
                self._owner.on_unusable(self._connection, recv_ns, too_large=False)
            else:
                self._in_pieces = True
                self._pieces_type = kind
                self._pieces = bytearray(frame.get_payload_as_memoryview())

    def _on_piece(self, frame: WSFrame, recv_ns: int) -> None:
        pieces = self._pieces
        self._in_pieces = not frame.fin
        if pieces is None:
            return
        if len(pieces) + frame.payload_size > self._bytes_max:
            self._pieces = None
            self._owner.on_unusable(self._connection, recv_ns, too_large=True)
            return
        pieces += frame.get_payload_as_memoryview()
        if not frame.fin:
            return
        self._pieces = None
        if self._pieces_type is not WSMsgType.TEXT:
            self._owner.on_unusable(self._connection, recv_ns, too_large=False)
            return
        self.data_ns = recv_ns
        self._on_frame(pieces, recv_ns, self._connection)


class Links:
    """The connections of one process to one URL."""

    def __init__(
        self,
        url: str,
        owner: LinksOwner,
        *,
        frame_bytes_max: int,
        connect_timeout_s: float,
        on_fatal: Callable[[BaseException], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet. ``on_fatal`` hears of exceptions that are bugs of ours."""
        self._url = url
        self._owner = owner
        self._frame_bytes_max = frame_bytes_max
        self._connect_timeout_s = connect_timeout_s
        self._on_fatal = on_fatal
        self._tls = tls
        self._links: dict[int, _Link] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def connect(self, connection: int) -> None:
        """Start to open a connection; the owner hears of its success or failure."""
        self._links[connection] = _Link(self._owner, connection, self._frame_bytes_max)
        task = asyncio.get_running_loop().create_task(self._run(connection))
        self._tasks[connection] = task
        task.add_done_callback(lambda done: self._on_done(connection, done))

    def send(self, connection: int, text: str) -> bool:
        """Send a text frame; false if the connection is not open any more."""
        link = self._links.get(connection)
        if link is None or link.transport is None:
            return False
        link.transport.send(WSMsgType.TEXT, text.encode())
        return True

    def close(self, connection: int) -> bool:
        """End a connection, open or being opened; true if it was open: its end will be told."""
        link = self._links.get(connection)
        if link is None:
            return False
        if link.transport is not None:
            link.transport.send_close(WSCloseCode.OK)
            # Not graceful: a peer that does not answer would keep the socket for ever.
            link.transport.disconnect(graceful=False)
            return True
        if not link.opened:
            self._tasks[connection].cancel()
        return False

    def data_times(self) -> Iterator[tuple[int, int]]:
        """Yield every open connection with the time of its last data frame, 0 for none."""
        for connection, link in self._links.items():
            yield connection, link.data_ns

    def poll(self) -> None:
        """Do nothing: each frame was told as it came."""

    def gauges(self) -> dict[Value, int]:
        """Return what is to be shown of the transport: that it is not io_uring."""
        return {Value.URING_SHAPE: 0}

    async def stop(self) -> None:
        """Close everything and wait until it is closed."""
        tasks = list(self._tasks.values())
        for connection in list(self._tasks):
            self.close(connection)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._connect_timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, connection: int) -> None:
        link = self._links[connection]
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                transport, _ = await ws_connect(
                    lambda: link,
                    self._url,
                    ssl_context=self._tls,
                    websocket_handshake_timeout=self._connect_timeout_s,
                    max_frame_size=self._frame_bytes_max,
                    read_buffer_init_size=_READ_BUFFER_BYTES,
                )
        except (OSError, WSError, ValueError, RuntimeError) as error:
            # A peer that answers nonsense makes picows raise the last two. The text names the
            # class, because many network errors have no text of their own.
            link.abandoned = True
            self._owner.on_connect_failed(connection, f"{type(error).__name__}: {error}")
            return
        except asyncio.CancelledError:
            link.abandoned = True
            raise
        # The end itself is told by on_ws_disconnected; its reason is in the transport's own log.
        try:
            await transport.wait_disconnected()
        except WSProtocolError as error:
            if error.code == WSCloseCode.MESSAGE_TOO_BIG:  # refused by its header, never read
                self._owner.on_unusable(connection, monotonic_ns(), too_large=True)
            else:
                self._owner.on_broken(connection, str(error))
        except (OSError, WSError):
            return

    def _on_done(self, connection: int, task: asyncio.Task[None]) -> None:
        self._links.pop(connection, None)
        self._tasks.pop(connection, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)
