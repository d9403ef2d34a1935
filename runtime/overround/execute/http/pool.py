"""Warm connections to the venue: dialled ahead, lent one request at a time, replaced in time.

Who asks waits in a queue for its kind: cancels first, then orders, then queries. Queries leave
two connections of the pool to others and orders leave one, so that a cancel finds a connection
however slow the venue answers everything else. Connections are lent in turn, the one that rested
longest first: each of them is used, and so proved, every few seconds.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from overround.clock import NS_PER_MS, NS_PER_S
from overround.execute.http.answer import Kind, NotSent
from overround.execute.http.chores import Chores
from overround.execute.http.connection import Connection, Sight
from overround.execute.http.dial import DialError, Origin, dial
from overround.execute.http.trouble import Trouble
from overround.execute.news import News
from overround.observe.metrics import Value
from overround.venues.polymarket.rest import Request

__all__ = ["Pool", "PoolLimits"]

WAITERS_MAX: Final = 256
"""Requests waiting for a connection, of each kind; one more is refused at once."""
SWEEP_S: Final = 0.02
"""How often deadlines, ages and missing connections are looked at."""
REDIAL_NS: Final = 20 * NS_PER_MS
REDIAL_MAX_NS: Final = 2 * NS_PER_S
DIAL_S: Final = 5.0
"""Deadline of resolving, connecting and shaking hands together."""
IDLE_NS: Final = 30 * NS_PER_S
"""An idle connection older than this is replaced: usual servers close after 60 s or more."""
YOUNG_NS: Final = NS_PER_S
"""A connection that the venue closes before this age and any answer was never a good one."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections, and how long each is used. ``requests_max`` is per connection."""

    size: int = 8
    requests_max: int = 9_000
    age_max_ns: int = 600 * NS_PER_S


@dataclass(eq=False, slots=True)
class _Waiter:
    given: asyncio.Future[Connection]
    deadline_ns: int


class Pool:
    """The connections to one origin. Opens on first use; ``close`` ends it for good."""

    def __init__(
        self,
        origin: Origin,
        encode: Callable[[Request], bytes],
        news: News,
        *,
        limits: PoolLimits,
        clock: Callable[[], int],
        random: Random,
        tls: ssl.SSLContext | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``on_failure`` is told once if keeping the pool failed, which is a bug; it has ended."""
        self._origin = origin
        self._encode = encode
        self._news = news
        self._limits = limits
        self._clock = clock
        self._random = random
        self._tls = tls
        self._alive: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._lent = [0] * len(Kind)
        self._waiters: tuple[deque[_Waiter], ...] = tuple(deque() for _ in Kind)
        self._on_failure = on_failure
        self._chores = Chores(self._broken)
        self._dials = 0
        """How many connections are being opened."""
        self._attempts = 0
        self._failures = 0
        self._fault: DialError | None = None
        self._hopeless = False
        self._redial_ns = 0
        self._started = False
        self._closed = False
        self._why_closed = ""

    # -- lending -------------------------------------------------------------------------

    def start(self) -> None:
        """Dial every connection now; nothing is waited for."""
        if not (self._started or self._closed):
            if self._origin.tls and self._tls is None:
                self._tls = ssl.create_default_context()
            self._started = True
            self._chores.spawn(self._sweep())
            self._fill()

    def take(self, kind: Kind) -> Connection | None:
        """Lend a connection now; None if there is none for this kind."""
        if not self._has_room(kind):
            return None
        for _ in range(len(self._idle)):
            connection = self._idle.popleft()
            match connection.look():
                case Sight.READY:
                    connection.kind = kind
                    connection.lent = True
                    self._lent[kind] += 1
                    return connection
                case Sight.UNREAD:
                    self._idle.append(connection)  # the loop reads them within its next turn
                case Sight.CLOSED:
                    connection.end("closed by the venue while idle")
        return None

    def take_unseen(self, kind: Kind) -> Connection | None:
        """As ``take``, but leave the look to who writes to its ``socket``, if it has one."""
        if self._origin.tls or not self._idle or not self._idle[0].open:
            return self.take(kind)
        if not self._has_room(kind):
            return None
        connection = self._idle.popleft()
        connection.kind = kind
        connection.lent = True
        self._lent[kind] += 1
        return connection

    def _has_room(self, kind: Kind) -> bool:
        if kind is Kind.CANCEL:
            return True
        others = self._lent[Kind.ORDER] + self._lent[Kind.QUERY]
        room = self._limits.size - 1
        if kind is Kind.QUERY:
            return self._lent[Kind.QUERY] < max(1, room - 1) and others < room
        return others < room

    async def wait(self, kind: Kind, deadline_ns: int) -> Connection:
        """Lend a connection as soon as there is one.

        Raises NotSent at the deadline, if too many wait, or if no connection is left and the
        venue cannot be reached (cancels wait for it until their deadline).
        """
        if self._closed:
            raise NotSent(f"no connection: {self._why_closed}")
        self.start()
        connection = None if self._waiters[kind] else self.take(kind)
        if connection is not None:
            return connection
        self._check_hope(kind)
        if len(self._waiters[kind]) >= WAITERS_MAX:
            raise NotSent(f"no connection: {WAITERS_MAX} {kind.name} requests wait already")
        waiter = _Waiter(asyncio.get_running_loop().create_future(), deadline_ns)
        self._waiters[kind].append(waiter)
        try:
            return await waiter.given
        except asyncio.CancelledError:
            given = waiter.given
            if given.done() and not given.cancelled() and given.exception() is None:
                given.result().release()
            raise

    def _check_hope(self, kind: Kind) -> None:
        hopeless = self._hopeless and not self._alive and not self._dials
        if self._fault is not None and hopeless and kind is not Kind.CANCEL:
            raise NotSent(f"no connection: {self._fault}")

    def _serve(self) -> None:
        """Give idle connections to those who wait, in the order of their kinds."""
        for kind in Kind:
            waiters = self._waiters[kind]
            while waiters and self._idle:
                if waiters[0].given.done():
                    waiters.popleft()
                    continue
                connection = self.take(kind)
                if connection is None:
                    break
                waiters.popleft().given.set_result(connection)

    def _freed(self, connection: Connection) -> None:
        """The connection's lease has ended: by an answer, unused, or because it broke."""
        connection.lent = False
        self._lent[connection.kind] -= 1
        if connection not in self._alive:
            return
        if connection.answers and self._fault is not None:
            self._reached()
        if self._is_old(connection):
            connection.close()
        elif connection.open:
            connection.rested_ns = self._clock()
            self._idle.append(connection)
            self._serve()

    def _is_old(self, connection: Connection) -> bool:
        return (
            connection.requests >= self._limits.requests_max
            or self._clock() - connection.opened_ns >= self._limits.age_max_ns
        )

    # -- dialling ------------------------------------------------------------------------

    def _fill(self) -> None:
        if self._closed:
            return
        missing = self._limits.size - len(self._alive) - self._dials
        if self._failures:  # one at a time until the venue answers again
            if self._clock() < self._redial_ns or self._dials:
                return
            missing = min(missing, 1)
        for _ in range(missing):
            self._attempts += 1
            self._dials += 1
            self._chores.spawn(self._dial(self._attempts))

    async def _dial(self, attempt: int) -> None:
        failure: DialError | None = None
        try:
            async with asyncio.timeout(DIAL_S):
                connection = await dial(self._origin, self._tls, self._make, attempt)
        except TimeoutError:
            where = f"{self._origin.host}:{self._origin.port}"
            failure = DialError(Trouble.CONNECT, f"{where}: no answer within {DIAL_S:g} s")
        except DialError as error:
            failure = error
        finally:
            self._dials -= 1
        if failure is not None:
            self._failed(failure)
        elif self._closed:
            connection.end("the pool is closed", ours=True)
        else:
            self._news.count(Value.HTTP_CONNECTS)
            self._alive.add(connection)
            connection.rested_ns = self._clock()
            self._idle.append(connection)
            self._serve()

    def _make(self, sock: socket.socket) -> Connection:
        return Connection(
            sock, self._clock(), self._encode, self._freed, self._lost, plain=not self._origin.tls
        )

    def _failed(self, error: DialError, *, hopeless: bool = True) -> None:
        """Dial ever more slowly; ``hopeless`` if requests are to be refused meanwhile."""
        self._failures += 1
        self._fault = error
        self._hopeless = hopeless
        pause_ns = min(REDIAL_MAX_NS, REDIAL_NS << min(self._failures - 1, 10))
        self._redial_ns = self._clock() + int(pause_ns * self._random.uniform(0.5, 1))
        self._news.count(Value.HTTP_CONNECTS_FAILED)
        if self._closed:
            return
        self._news.notice(
            "no connection to the venue", code=error.trouble.value, error=str(error),
            alive=len(self._alive), again_ms=pause_ns // NS_PER_MS,
        )  # fmt: skip
        if hopeless and not self._alive and not self._dials:
            for kind in (Kind.ORDER, Kind.QUERY):
                for waiter in self._waiters[kind]:
                    if not waiter.given.done():
                        waiter.given.set_exception(NotSent(f"no connection: {error}"))
                self._waiters[kind].clear()

    def _reached(self) -> None:
        self._failures = 0
        self._fault = None
        self._fill()

    def _lost(self, connection: Connection, reason: str) -> None:
        if connection.lent:
            self._freed(connection)
        self._alive.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        young = self._clock() - connection.opened_ns < YOUNG_NS
        if reason and young and not connection.answers:
            where = f"{self._origin.host}:{self._origin.port}"
            text = f"{where}: {reason}, before any answer"
            self._failed(DialError(Trouble.CONNECT, text), hopeless=False)
        self._fill()

    # -- time ----------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        """Give up what is past its deadline, replace what is old, dial what is missing."""
        now_ns = self._clock()
        for connection in list(self._alive):
            if connection.deadline_ns and now_ns >= connection.deadline_ns:
                connection.expire()
        for waiters in self._waiters:
            for waiter in [one for one in waiters if now_ns >= one.deadline_ns]:
                waiters.remove(waiter)
                if not waiter.given.done():
                    text = f"no connection was free in time{self._fault_text()}"
                    waiter.given.set_exception(NotSent(text))
        if self._idle and (
            self._is_old(self._idle[0]) or now_ns - self._idle[0].rested_ns >= IDLE_NS
        ):
            self._idle.popleft().close()  # one in a sweep: the others stay warm meanwhile
        self._serve()
        self._fill()

    def _fault_text(self) -> str:
        return f": {self._fault}" if self._fault is not None else ""

    async def close(self) -> None:
        """End every connection; what is under way or waits is told."""
        self._end("closed by us", "the pool is closed")
        await self._chores.end()
        while self._alive:
            await asyncio.sleep(0)

    def _broken(self, error: BaseException) -> None:
        """End: nobody keeps deadlines any more."""
        text = f"the pool failed: {type(error).__name__} {error}"
        self._news.notice("transport failed", error=text)
        self._end(text, text)
        if self._on_failure is not None:
            self._on_failure(error)

    def _end(self, why: str, why_not: str) -> None:
        """Lend nothing any more; what is under way ends as ``why``, who waits as ``why_not``."""
        if self._closed:
            return
        self._closed = True
        self._why_closed = why_not
        for waiters in self._waiters:
            for waiter in waiters:
                if not waiter.given.done():
                    waiter.given.set_exception(NotSent(f"no connection: {why_not}"))
            waiters.clear()
        for connection in list(self._alive):
            connection.end(why, ours=True)

    @property
    def counts(self) -> dict[str, int]:
        """How many connections are open, idle, and lent to each kind."""
        lent = {kind.name.lower(): self._lent[kind] for kind in Kind}
        return {"open": len(self._alive), "idle": len(self._idle), **lent}
