"""One connection to the venue: at most one request at a time, its answer parsed without I/O.

Whatever breaks the exchange of one request and one answer ends the connection: bytes that nobody
asked for, an answer that is no HTTP, one that is too long, one without an end. A request whose
bytes were handed to the socket then has ``NoAnswer``; a connection is never given a request once
the other side has closed it, as far as the socket knows at that moment.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from enum import Enum
from typing import Final, cast

import httptools

from overround.errors import OverroundError
from overround.execute.http.answer import Kind, NoAnswer, NotSent, Response
from overround.venues.polymarket.rest import Request

__all__ = ["ANSWER_BYTES_MAX", "Connection", "Sight"]

ANSWER_BYTES_MAX: Final = 16 * 2**20
"""Head and body of one answer; the longest listing page has a few hundred kilobytes."""


CLOSED_BY_VENUE: Final = "closed by the venue"


class Sight(Enum):
    """What a look at an idle connection shows."""

    READY = "ready"
    UNREAD = "bytes wait to be read"
    CLOSED = "closed"


class Connection(asyncio.Protocol):
    """A connection that the pool lends to one request after the other."""

    def __init__(
        self,
        sock: socket.socket,
        now_ns: int,
        encode: Callable[[Request], bytes],
        free: Callable[[Connection], None],
        lost: Callable[[Connection, str], None],
        *,
        plain: bool = False,
    ) -> None:
        """``plain``: what is written goes to the socket as it is, without TLS."""
        self._sock = sock
        self._plain = plain
        self._encode = encode
        self._free = free
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._what = ""
        self._status = 0
        self._body: list[bytes] = []
        self._received_bytes = 0
        self._retry_after = ""
        self._complete = False
        self._keep = True
        self._why_closed = CLOSED_BY_VENUE
        self.opened_ns = now_ns
        self.rested_ns = now_ns
        """When it was last given back."""
        self.deadline_ns = 0
        """When the request under way is given up; 0 while there is none."""
        self.kind = Kind.QUERY
        """What it is lent for."""
        self.lent = False
        self.requests = 0
        self.answers = 0

    # -- a request -----------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether neither side has begun to close it, as far as the loop knows."""
        return self._transport is not None and not self._transport.is_closing()

    def look(self) -> Sight:
        """Return whether a request may be written now, by what the socket itself knows."""
        if not self.open:
            return Sight.CLOSED
        try:
            peeked = self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return Sight.READY
        except OSError:
            return Sight.CLOSED
        # Unread bytes would be taken for the answer to the next request. Over TLS they may be
        # a session ticket, so the loop has to read them first.
        return Sight.UNREAD if peeked else Sight.CLOSED

    def send(self, request: Request, deadline_ns: int) -> asyncio.Future[Response]:
        """Write a request in this very loop turn; as ``send_bytes``."""
        what = f"{request.method} {request.path}"
        try:
            data = self._encode(request)
        except OverroundError:
            self.release()
            raise
        return self.send_bytes(data, deadline_ns, what)

    def send_bytes(self, data: bytes, deadline_ns: int, what: str) -> asyncio.Future[Response]:
        """Write head and body; the future brings the Response or NoAnswer.

        Raises NotSent, with no byte written, if the connection is gone. The lease ends with the
        answer; cancelling the future ends the connection.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            self.release()
            raise NotSent(f"{what}: the connection has just been closed")
        return self.sent(data, deadline_ns, what)

    @property
    def socket(self) -> int:
        """Where a request may be written at once; -1 if only the transport may (TLS, a queue)."""
        transport = self._transport
        if not self._plain or transport is None or transport.get_write_buffer_size():
            return -1
        return self._sock.fileno()

    def sent(self, rest: bytes, deadline_ns: int, what: str) -> asyncio.Future[Response]:
        """As ``send_bytes`` for a request of which all but ``rest`` was written already."""
        transport = self._transport
        answer = self._answer = self._loop.create_future()
        answer.add_done_callback(self._given_up)
        self._what = what
        self.deadline_ns = deadline_ns
        self.requests += 1
        if transport is None:
            self._fail("the connection was lost")
        elif rest:
            transport.write(rest)
        return answer

    def release(self) -> None:
        """Give the connection back unused."""
        if self.lent:
            self._free(self)

    def _given_up(self, answer: asyncio.Future[Response]) -> None:
        if answer.cancelled() and answer is self._answer:
            self.end("the request was given up", ours=True)

    def expire(self) -> None:
        """Give up the request under way: its deadline has passed."""
        self.end("no answer before the deadline", ours=True)

    def end(self, reason: str, *, ours: bool = False) -> None:
        """Close at once; a request under way has no answer.

        ``ours``: the venue is not to be blamed, and the pool is told no reason.
        """
        if self._why_closed == CLOSED_BY_VENUE:
            self._why_closed = "" if ours else reason
        if self._transport is not None:
            self._transport.abort()
        self._fail(reason)

    def close(self) -> None:
        """Close an idle connection in good order."""
        self._why_closed = ""
        if self._transport is not None:
            self._transport.close()

    # -- the protocol of the loop --------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Feed the parser; an answer that is whole ends the lease."""
        if self._answer is None:
            self.end("bytes came that nobody asked for")
            return
        self._received_bytes += len(data)
        if self._received_bytes > ANSWER_BYTES_MAX:
            self.end(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self.end(f"the answer is no HTTP: {error}")
                return
            self._keep = False  # a whole answer, then something else
        if self._complete:
            self._finish()

    def eof_received(self) -> None:
        """Close: half-open connections are of no use."""

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the pool; a request under way has no answer."""
        self._transport = None
        reason = self._why_closed
        if error is not None and reason:
            reason = f"{type(error).__name__} {error}"
        self._fail(reason)
        self._lost(self, reason)

    def _fail(self, reason: str) -> None:
        answer, self._answer = self._answer, None
        self.deadline_ns = 0
        if answer is not None and not answer.done():
            answer.set_exception(NoAnswer(f"{self._what}: {reason}"))

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        response = Response(self._status, b"".join(self._body), self._retry_after)
        self.deadline_ns = 0
        self.answers += 1
        self._body = []
        self._received_bytes = 0
        self._retry_after = ""
        self._complete = False
        assert answer is not None
        if not answer.done():
            answer.set_result(response)
        transport = self._transport
        if transport is not None and (not self._keep or transport.get_write_buffer_size()):
            self.close()  # said by the venue, or it answered before it had heard everything
        self._free(self)

    # -- callbacks of the parser ---------------------------------------------------------

    def on_message_begin(self) -> None:
        """A second answer to one request: the connection is not used again."""
        if self._complete:
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one header that matters."""
        if len(name) == 11 and name.lower() == b"retry-after" and not self._complete:
            self._retry_after = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        if not self._complete:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one (1xx)."""
        if self._complete:
            return
        if self._parser.get_status_code() < 200:
            self._body = []
            return
        self._complete = True
        self._status = self._parser.get_status_code()
        self._keep = self._parser.should_keep_alive()
