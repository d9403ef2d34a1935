"""What to send, close, doubt and ask on the market channel, decided without touching a socket.

The caller tells what happened and when (``now_ns``); every method answers with actions to carry
out in order. Markets are spread over sockets, both tokens of a market on the same one::

    add_market ─▶ socket ─▶ Connect ─▶ on_connected ─▶ Send(opening) ─▶ snapshot ─▶ trusted
                    ▲                                                                  │
                    │ backoff with full jitter          on_resync, silence ◀───────────┤
                    └── Untrust ◀── on_disconnected, no PONG, no data                  ▼
                                                              resubscribe, FetchBooks, Untrust

A resubscription is the first remedy, because its snapshot arrives spliced into the stream: a
REST book of a busy market is always older than the last frame by the time it is here.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from overround.clock import NS_PER_MS
from overround.config.schema import Ingress as IngressSettings
from overround.layout.board import UntrustCause

__all__ = [
    "Action",
    "BookStates",
    "Close",
    "CloseReason",
    "Connect",
    "FetchBooks",
    "FetchPurpose",
    "MarketFeed",
    "Resubscribed",
    "Send",
    "Untrust",
    "WireTexts",
]

_CHECKS_PER_SWEEP = 50
"""Timer calls in which every market is looked at once: half a second at a 10 ms timer."""

_CHECKS_MIN = 16
"""Markets looked at in one timer call at least."""

_BACKOFF_DOUBLINGS_MAX = 24
"""Beyond this the delay has long met its cap; keeps the shift small."""


class WireTexts(Protocol):
    """Texts of the venue's market channel; a venue's wire module is one."""

    @property
    def PING(self) -> str:
        """Text that the venue answers with its PONG."""

    def market_hello(self, token_ids: Iterable[str], /) -> str:
        """Return the first frame of a connection, which subscribes the tokens."""

    def market_subscribe(self, token_ids: Iterable[str], /) -> str:
        """Return the frame that adds tokens to a connection."""

    def market_unsubscribe(self, token_ids: Iterable[str], /) -> str:
        """Return the frame that takes tokens from a connection."""


class BookStates(Protocol):
    """What the feed engine knows of a market."""

    def trusted(self, index: int) -> bool:
        """Return whether the market's book is trusted now."""

    def heard_ns(self, index: int) -> int:
        """Return when the stream or a REST comparison last vouched for the book; 0 never."""


class CloseReason(Enum):
    """Why we end a connection ourselves."""

    PONG_TIMEOUT = auto()
    SILENT = auto()  # answers PONG, brings no data
    UNUSED = auto()


class FetchPurpose(Enum):
    """Why a REST book is wanted."""

    RESYNC = auto()  # the book is untrusted and the stream has not mended it
    SILENCE = auto()  # the book is trusted, but nothing has vouched for it lately


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection under this number; numbers are never used twice."""

    connection: int
    again: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Send one text frame."""

    connection: int
    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; what it still delivers no longer matters."""

    connection: int
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class Untrust:
    """Withdraw trust from these books, for this cause."""

    markets: tuple[int, ...]
    cause: UntrustCause


@dataclass(frozen=True, slots=True)
class FetchBooks:
    """Ask REST for the books of these tokens and hand them to the engine."""

    markets: tuple[int, ...]
    tokens: tuple[str, ...]
    purpose: FetchPurpose


@dataclass(frozen=True, slots=True)
class Resubscribed:
    """Told for the counters: these markets' subscriptions were repeated."""

    markets: tuple[int, ...]


Action = Connect | Send | Close | Untrust | FetchBooks | Resubscribed


class _State(Enum):
    IDLE = auto()  # no markets
    WAITING = auto()  # until retry_ns
    CONNECTING = auto()
    OPEN = auto()


@dataclass(slots=True)
class _Socket:
    markets: dict[int, _Market] = field(default_factory=dict)
    state: _State = _State.IDLE
    connection: int = 0
    failures: int = 0
    ever: bool = False
    fruitful: bool = False
    retry_ns: int = 0
    pinged_ns: int = 0
    ponged_ns: int = 0
    data_ns: int = 0


@dataclass(slots=True)
class _Market:
    index: int
    tokens: tuple[str, str]
    socket: _Socket
    asked_ns: int = 0
    tries: int = 0
    remedy_ns: int = 0
    compared_ns: int = 0


class MarketFeed:
    """Subscriptions, liveness and remedies of one shard's market channel."""

    def __init__(
        self, settings: IngressSettings, wire: WireTexts, rng: random.Random, *, connection: int = 1
    ) -> None:
        """Start with no market. ``connection`` is the number of the first connection."""
        self._wire = wire
        self._rng = rng
        self._markets_per_socket = max(1, settings.assets_per_socket // 2)
        self._ping_ns = settings.ping_interval_ms * NS_PER_MS
        self._pong_ns = settings.pong_timeout_ms * NS_PER_MS
        self._silence_ns = settings.silence_ms * NS_PER_MS
        self._socket_silence_ns = settings.socket_silence_ms * NS_PER_MS
        self._snapshot_ns = settings.snapshot_timeout_ms * NS_PER_MS
        self._delay_ns = settings.reconnect_delay_ms * NS_PER_MS
        self._delay_max_ns = settings.reconnect_delay_max_ms * NS_PER_MS
        self._sockets: list[_Socket] = []
        self._markets: dict[int, _Market] = {}
        self._tokens: dict[str, int] = {}
        self._by_connection: dict[int, _Socket] = {}
        self._order: list[int] = []
        self._cursor = 0
        self._next_connection = connection

    @property
    def markets(self) -> int:
        """Markets subscribed or to be subscribed."""
        return len(self._markets)

    @property
    def sockets_open(self) -> int:
        """Connections that are open now."""
        return sum(socket.state is _State.OPEN for socket in self._sockets)

    @property
    def retries_ns(self) -> list[int]:
        """Times at which connections that are down will be opened again."""
        return [socket.retry_ns for socket in self._sockets if socket.state is _State.WAITING]

    # -- markets ---------------------------------------------------------------------------

    def add_market(self, index: int, yes: str, no: str, now_ns: int) -> list[Action]:
        """Follow a market. Known markets and known tokens change nothing."""
        return self.add_markets([(index, yes, no)], now_ns)

    def add_markets(self, added: Iterable[tuple[int, str, str]], now_ns: int) -> list[Action]:
        """Follow markets given as (index, YES token, NO token), one frame a socket."""
        late: dict[int, tuple[_Socket, list[_Market]]] = {}
        for index, yes, no in added:
            if index in self._markets or yes in self._tokens or no in self._tokens:
                continue
            socket = self._socket_with_room(now_ns)
            market = _Market(index, (yes, no), socket, asked_ns=now_ns)
            socket.markets[index] = market
            self._markets[index] = market
            self._tokens[yes] = self._tokens[no] = index
            self._order.append(index)
            if socket.state is _State.OPEN:
                late.setdefault(id(socket), (socket, []))[1].append(market)
        return [
            Send(socket.connection, self._wire.market_subscribe(_tokens(markets)))
            for socket, markets in late.values()
        ]

    def remove_market(self, index: int, now_ns: int) -> list[Action]:
        """Stop following a market; unknown ones change nothing."""
        market = self._markets.pop(index, None)
        if market is None:
            return []
        socket = market.socket
        del socket.markets[index]
        self._order.remove(index)
        for token in market.tokens:
            del self._tokens[token]
        if socket.markets:
            if socket.state is not _State.OPEN:
                return []
            return [Send(socket.connection, self._wire.market_unsubscribe(market.tokens))]
        actions: list[Action] = []
        if socket.state in (_State.OPEN, _State.CONNECTING):
            actions.append(Close(socket.connection, CloseReason.UNUSED))
        self._forget_connection(socket)
        socket.state = _State.IDLE
        socket.retry_ns = now_ns
        return actions

    def _socket_with_room(self, now_ns: int) -> _Socket:
        for socket in self._sockets:
            if len(socket.markets) < self._markets_per_socket:
                break
        else:
            socket = _Socket()
            self._sockets.append(socket)
        if socket.state is _State.IDLE:
            socket.state = _State.WAITING
            socket.retry_ns = max(socket.retry_ns, now_ns)
        return socket

    # -- what the transport tells ----------------------------------------------------------

    def on_connected(self, connection: int, now_ns: int) -> list[Action]:
        """The connection is open: subscribe everything that belongs on it."""
        socket = self._by_connection.get(connection)
        if socket is None or socket.state is not _State.CONNECTING:
            return []
        socket.state = _State.OPEN
        socket.fruitful = False
        socket.pinged_ns = socket.ponged_ns = socket.data_ns = now_ns
        for market in socket.markets.values():
            market.asked_ns = now_ns
            market.tries = market.remedy_ns = 0
        return [Send(connection, self._wire.market_hello(_tokens(socket.markets.values())))]

    def on_connect_failed(self, connection: int, now_ns: int) -> list[Action]:
        """The venue refused or did not answer: try again later."""
        return self._lost(connection, now_ns)

    def on_disconnected(self, connection: int, now_ns: int) -> list[Action]:
        """The connection ended: its books are untrusted until the next snapshot."""
        return self._lost(connection, now_ns)

    def on_data(self, connection: int, data_ns: int) -> None:
        """The connection's last data frame came at ``data_ns``; may be told in batches."""
        socket = self._by_connection.get(connection)
        if socket is not None and data_ns > socket.data_ns:
            socket.data_ns = data_ns
            if not socket.fruitful:
                # Only data ends a backoff: a venue that accepts and closes must not be hammered.
                socket.fruitful = True
                socket.failures = 0

    def on_pong(self, connection: int, now_ns: int) -> None:
        """The venue answered a ping: the connection lives, which says nothing of data."""
        socket = self._by_connection.get(connection)
        if socket is not None:
            socket.ponged_ns = now_ns

    def on_resync(self, indices: Iterable[int], now_ns: int) -> list[Action]:
        """The engine lost trust in these books: ask for their snapshots again, paced."""
        now: list[_Market] = []
        for index in indices:
            market = self._markets.get(index)
            if market is None or market.socket.state is not _State.OPEN:
                continue  # the next connection brings a snapshot anyway
            pause_ns = self._backoff_ns(market.tries) if market.tries else 0
            market.remedy_ns = market.asked_ns + pause_ns
            if market.remedy_ns <= now_ns:
                now.append(market)
        return self._remedy(now, now_ns)

    # -- time ------------------------------------------------------------------------------

    def on_timer(self, now_ns: int, books: BookStates) -> list[Action]:
        """Return everything that is due. Call every few milliseconds."""
        actions: list[Action] = []
        for socket in self._sockets:
            actions += self._drive(socket, now_ns)
        actions += self._check_markets(now_ns, books)
        return actions

    def _drive(self, socket: _Socket, now_ns: int) -> list[Action]:
        if socket.state is _State.WAITING and now_ns >= socket.retry_ns:
            connection = self._next_connection
            self._next_connection += 1
            socket.state = _State.CONNECTING
            socket.connection = connection
            self._by_connection[connection] = socket
            again, socket.ever = socket.ever, True
            return [Connect(connection, again)]
        if socket.state is not _State.OPEN:
            return []
        if now_ns - socket.ponged_ns > self._pong_ns:
            return self._give_up(socket, CloseReason.PONG_TIMEOUT, now_ns)
        if now_ns - socket.data_ns > self._socket_silence_ns:
            return self._give_up(socket, CloseReason.SILENT, now_ns)
        if now_ns - socket.pinged_ns >= self._ping_ns:
            socket.pinged_ns = now_ns
            return [Send(socket.connection, self._wire.PING)]
        return []

    def _give_up(self, socket: _Socket, reason: CloseReason, now_ns: int) -> list[Action]:
        connection = socket.connection
        return [Close(connection, reason), *self._lost(connection, now_ns)]

    def _lost(self, connection: int, now_ns: int) -> list[Action]:
        socket = self._by_connection.get(connection)
        if socket is None:
            return []
        was_open = socket.state is _State.OPEN
        self._forget_connection(socket)
        socket.state = _State.WAITING
        ceiling_ns = self._backoff_ns(socket.failures)
        socket.failures += 1
        socket.retry_ns = now_ns + self._rng.randrange(ceiling_ns + 1)
        if not was_open or not socket.markets:
            return []
        return [Untrust(tuple(socket.markets), UntrustCause.RECONNECT)]

    def _forget_connection(self, socket: _Socket) -> None:
        self._by_connection.pop(socket.connection, None)
        socket.connection = 0

    def _backoff_ns(self, doublings: int) -> int:
        return min(self._delay_ns << min(doublings, _BACKOFF_DOUBLINGS_MAX), self._delay_max_ns)

    def _check_markets(self, now_ns: int, books: BookStates) -> list[Action]:
        """Look at the next few markets, so that one call stays short however many there are."""
        count = min(len(self._order), max(_CHECKS_MIN, -(-len(self._order) // _CHECKS_PER_SWEEP)))
        broken: list[_Market] = []
        unproved: list[_Market] = []
        doubtful: list[_Market] = []
        for _ in range(count):
            self._cursor = (self._cursor + 1) % len(self._order)
            market = self._markets[self._order[self._cursor]]
            if market.socket.state is not _State.OPEN:
                continue
            if not books.trusted(market.index):
                if self._remedy_due(market, now_ns):
                    broken.append(market)
                continue
            market.remedy_ns = 0
            if now_ns - market.asked_ns > self._snapshot_ns:
                market.tries = 0
            quiet_ns = now_ns - max(books.heard_ns(market.index), market.asked_ns)
            if quiet_ns > 2 * self._silence_ns:
                doubtful.append(market)
            elif quiet_ns > self._silence_ns and (
                now_ns - market.compared_ns > self._silence_ns // 4
            ):
                market.compared_ns = now_ns
                unproved.append(market)
        actions: list[Action] = []
        if doubtful:
            # REST was asked several times and vouched for nothing.
            actions.append(Untrust(tuple(m.index for m in doubtful), UntrustCause.SILENCE))
        if unproved:
            actions.append(_fetch(unproved, FetchPurpose.SILENCE))
        return actions + self._remedy(broken + doubtful, now_ns)

    def _remedy_due(self, market: _Market, now_ns: int) -> bool:
        if market.remedy_ns:
            return now_ns >= market.remedy_ns
        wait_ns = self._snapshot_ns << min(market.tries // 2, _BACKOFF_DOUBLINGS_MAX)
        limit_ns = max(self._snapshot_ns, self._delay_max_ns)
        return now_ns - market.asked_ns >= min(wait_ns, limit_ns)

    def _remedy(self, markets: list[_Market], now_ns: int) -> list[Action]:
        """Repeat subscriptions; every second time ask REST as well."""
        if not markets:
            return []
        actions: list[Action] = []
        by_socket: dict[int, list[_Market]] = {}
        stubborn: list[_Market] = []
        for market in markets:
            market.tries += 1
            market.asked_ns = now_ns
            market.remedy_ns = 0
            by_socket.setdefault(market.socket.connection, []).append(market)
            if market.tries % 2 == 0:
                stubborn.append(market)
        for connection, group in by_socket.items():
            tokens = _tokens(group)
            # Subscribing an id twice is refused as a duplicate, so it is taken off first.
            actions.append(Send(connection, self._wire.market_unsubscribe(tokens)))
            actions.append(Send(connection, self._wire.market_subscribe(tokens)))
        actions.append(Resubscribed(tuple(market.index for market in markets)))
        if stubborn:
            actions.append(_fetch(stubborn, FetchPurpose.RESYNC))
        return actions


def _tokens(markets: Iterable[_Market]) -> list[str]:
    return [token for market in markets for token in market.tokens]


def _fetch(markets: list[_Market], purpose: FetchPurpose) -> FetchBooks:
    # One token is enough: the other is its mirror.
    return FetchBooks(
        tuple(market.index for market in markets),
        tuple(market.tokens[0] for market in markets),
        purpose,
    )
