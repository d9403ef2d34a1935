"""The switches that make the exchange misbehave in ways the venue has been seen to.

``SWITCHES`` is the whole list: what each does, its unit, where it was seen, and how hard chaos
may pull it. ``Faults`` is what is switched on. Who acts on a switch: ``line`` (frames of a
socket), ``gate`` (requests), ``switchboard`` (the rest, the clock of all) and ``exchange``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["BY_NAME", "SWITCHES", "Chaos", "Faults", "HttpFault", "Switch"]


class Chaos(NamedTuple):
    """How chaos pulls a switch: a value up to ``most``, for ``least_s`` to ``most_s`` seconds."""

    most: float
    least_s: float
    most_s: float


class Switch(NamedTuple):
    """One row. ``unit`` "on" takes 1 or 0; "times" is used up one by one; the rest is measured."""

    name: str
    area: str
    unit: str
    text: str
    seen: str
    chaos: Chaos | None = None


_S = Switch
_C = Chaos

_MARKET = (
    _S("market-silent", "market", "on",
       "No data on market sockets, of all or of one market; PING is still answered.",
       "py-clob-client#292", _C(1, 0.3, 1.5)),
    _S("asset-stalled", "market", "on",
       "One market stops while the socket lives: the one named, else the next to change.",
       "nautilus_trader#4901", _C(1, 0.5, 3)),
    _S("pong-missing", "market", "on", "PING gets no answer on either channel.",
       "nautilus_trader#3908", _C(1, 0.5, 2)),
    _S("delta-dropped", "market", "times", "A price_change frame is lost.",
       "3-market recording", _C(4, 0.5, 2)),
    _S("delta-swapped", "market", "times",
       "A price_change frame comes again with its entries swapped.",
       "25-frame burst recording", _C(20, 0.5, 2)),
    _S("hash-wrong", "market", "times", "A price_change carries the hash of no book.",
       "py-clob-client-v2#117", _C(3, 0.5, 2)),
    _S("bbo-wrong", "market", "times", "A price_change declares a best bid its book has not.",
       "three-minute census", _C(3, 0.5, 2)),
    _S("print-dropped", "market", "times", "A last_trade_price is lost: later hashes differ.",
       "rs-clob-client#225", _C(2, 0.5, 2)),
    _S("snapshot-doubled", "market", "times", "An opening array comes twice.",
       "nautilus_trader#3403", _C(2, 0.5, 2)),
    _S("snapshot-missing", "market", "times", "A subscription gets no opening array.",
       "nautilus_trader#2915", _C(1, 0.5, 2)),
    _S("snapshot-raced", "market", "times",
       "The first change after an opening array is lost.", "nautilus_trader#4635", _C(1, 1, 2)),
    _S("tokens-ceiling", "market", "tokens",
       "A socket is served only its first so many tokens, the rest nothing, without a word.",
       "nautilus_trader#2915: 500; subscriber census: 750"),
    _S("snapshot-bare", "market", "times",
       "Opening books come without tick_size and last_trade_price.", "market channel docs",
       _C(2, 0.5, 2)),
    _S("line-blank", "market", "times", "A frame is followed by one that holds a newline only.",
       "recorders' files", _C(3, 0.5, 2)),
    _S("frame-torn", "market", "times", "A frame ends in the middle.",
       "nautilus_trader#3987", _C(1, 0.5, 2)),
    _S("leg-stale", "market", "ms", "The frames of one market (named, else the next) come late.",
       "two-token recording", _C(800, 0.5, 2)),
    _S("frames-stalled", "market", "ms", "All market frames are held back, then come at once.",
       "recorder stalls", _C(700, 0.5, 2)),
    _S("market-cut", "market", "on", "Cuts every market socket at once, without a close frame.",
       "nautilus_trader#3908", _C(1, 0.1, 0.2)),
    _S("sockets-refused", "market", "on", "WebSocket upgrades answer 503.",
       "py-clob-client#292", _C(1, 0.3, 1.5)),
    _S("side-empty", "market", "on",
       "Takes every ask of the flow out of the market named (else the first), and back when off.",
       "nautilus_trader#2950", _C(1, 0.2, 1)),
    _S("tick-changed", "market", "on",
       "Changes the tick of the market named (else the first) to the next finer, or back.",
       "nautilus_trader#3942", _C(1, 1, 3)),
)  # fmt: skip

_USER = (
    _S("user-silent", "user", "on", "No orders or trades on user sockets; PING is answered.",
       "py-clob-client#292", _C(1, 0.3, 2)),
    _S("user-cut", "user", "on", "Cuts every user socket at once.",
       "nautilus_trader#3908", _C(1, 0.1, 0.2)),
    _S("trade-missing", "user", "times", "A trade event is never sent; the listing has it.",
       "py-sdk#102", _C(2, 0.5, 2)),
    _S("order-missing", "user", "times", "An order event is never sent.",
       "nautilus_trader#4024", _C(2, 0.5, 2)),
    _S("event-doubled", "user", "times", "An event comes twice.",
       "nautilus_trader#3450", _C(4, 0.5, 2)),
    _S("events-swapped", "user", "times", "An event comes after its successor.",
       "nautilus_trader#3797", _C(4, 0.5, 2)),
    _S("events-late", "user", "ms", "User events come late.", "recorder stalls", _C(700, 0.5, 2)),
    _S("fok-empty", "user", "on",
       'A killed FOK is told as CANCELLATION with "" for size_matched, created_at, outcome.',
       "polymarket-client 0.14.0", _C(1, 1, 5)),
    _S("status-text", "user", "times", "A cancelled order's status is CANCELED_ and free text.",
       "nautilus_trader#3987", _C(3, 0.5, 2)),
    _S("time-iso", "user", "on", "match_time and last_update are ISO text.",
       "nautilus_trader#3273", _C(1, 1, 4)),
    _S("time-renamed", "user", "on", "match_time is named matchtime, as in older samples.",
       "recorded real fill", _C(1, 1, 4)),
    _S("time-seconds", "user", "on", "timestamp is in seconds, as in older samples.",
       "user channel docs", _C(1, 1, 4)),
    _S("index-text", "user", "on", "bucket_index and outcome_index are strings.",
       "nautilus_trader#2872", _C(1, 1, 4)),
)  # fmt: skip

_HTTP = (
    _S("answer-lost", "http", "times",
       "POST /order(s) is done, then the connection closes in place of the answer.",
       "py-clob-client#273", _C(1, 0.5, 2)),
    _S("answer-torn", "http", "times", "POST /order(s) is done, its answer ends in the middle.",
       "py-clob-client#261", _C(1, 0.5, 2)),
    _S("answer-slow", "http", "ms", "Order and cancel requests are done at once, answered late.",
       "py-clob-client-v2#84", _C(900, 0.3, 1.5)),
    _S("request-slow", "http", "ms", "Every request is done late.",
       "py-clob-client#121", _C(300, 0.3, 1.5)),
    _S("request-lost", "http", "times", "A request's connection closes before it is done.",
       "rs-clob-client#114", _C(2, 0.5, 2)),
    _S("close-after", "http", "requests",
       "A connection closes after so many requests; the next one on it is lost (GOAWAY).",
       "py-clob-client-v2#37", _C(8, 0.5, 2)),
    _S("gateway-error", "http", "times", "A request is answered by 502 and a page of HTML.",
       "py-clob-client#253", _C(2, 0.5, 2)),
    _S("too-many", "http", "times", "A request is answered by 429 and Retry-After.",
       "rate limits, docs", _C(2, 0.5, 2)),
    _S("book-stale", "http", "on", "/book and /books answer with the books of this moment.",
       "py-clob-client#180", _C(1, 0.5, 2)),
    _S("book-hollow", "http", "on", "/book and /books show 0.01 against 0.99 and nothing else.",
       "py-clob-client#180", _C(1, 0.3, 1)),
    _S("books-short", "http", "tokens", "/books leaves out so many of the tokens asked for.",
       "subscriber census", _C(3, 0.5, 2)),
)  # fmt: skip

_ORDERS = (
    _S("restart", "orders", "s",
       "Order endpoints answer 425 for so long, then post-only-after begins.",
       "matching-engine docs", _C(0.8, 1, 1.5)),
    _S("post-only-after", "orders", "s",
       "How long after a restart only post-only orders are taken; 120 where not set.",
       "matching-engine docs"),
    _S("post-only", "orders", "s", "Only post-only orders are taken for so long (503).",
       "matching-engine docs", _C(1, 1, 1.5)),
    _S("trading-disabled", "orders", "on", "Orders and cancels answer 503.",
       "error-code docs", _C(1, 0.2, 1)),
    _S("cancel-only", "orders", "on", "Orders answer 503, cancels go on.",
       "error-code docs", _C(1, 0.2, 1)),
    _S("order-timeout", "orders", "times", "POST /order(s) answers 500 and is not done.",
       "error-code docs", _C(2, 0.5, 2)),
    _S("match-delayed", "orders", "times",
       "POST /order(s) is refused: order match delayed due to market conditions.",
       "error-code docs", _C(2, 0.5, 2)),
    _S("market-not-ready", "orders", "times",
       "POST /order(s) is refused: the market is not yet ready.", "error-code docs",
       _C(2, 0.5, 2)),
    _S("version-mismatch", "orders", "times", "POST /order(s) answers order_version_mismatch.",
       "py-clob-client#335"),
    _S("key-refused", "orders", "times", "A request with a login answers 401.",
       "py-clob-client-v2#58", _C(2, 0.5, 2)),
    _S("balance-cached", "orders", "on",
       "The balance is a cached zero until /balance-allowance/update is called.",
       "py-clob-client-v2#105", _C(1, 0.3, 1)),
    _S("cancel-missed", "orders", "times",
       "cancel-all or cancel-market-orders leaves its last order alive.", "py-clob-client#166",
       _C(2, 1, 3)),
    _S("cancel-raced", "orders", "times",
       "Half of an order is filled as its cancel arrives; the trade is told 40 ms later.",
       "nautilus_trader#3797", _C(3, 0.5, 2)),
    _S("heartbeat-wrong", "orders", "times",
       "A heartbeat is refused with the id expected, under error and error_msg.",
       "OpenAPI file against docs", _C(2, 0.5, 2)),
    _S("hashes-late", "orders", "on",
       "transactionsHashes stays empty, transaction_hash too until the trade is MINED.",
       "py-clob-client-v2#101", _C(1, 1, 4)),
    _S("trade-failed", "orders", "times", "A trade goes RETRYING and then FAILED.",
       "py-clob-client-v2#34", _C(2, 0.5, 2)),
    _S("trade-retried", "orders", "times", "A trade goes RETRYING and then CONFIRMED.",
       "py-clob-client-v2#100", _C(2, 0.5, 2)),
    _S("settle-late", "orders", "ms", "Trades settle so much later.",
       "py-clob-client#338", _C(900, 0.5, 2)),
    _S("clock-ahead", "orders", "ms", "The exchange's clock is ahead.",
       "recorder clocks", _C(450, 0.5, 2)),
)  # fmt: skip

SWITCHES: tuple[Switch, ...] = (*_MARKET, *_USER, *_HTTP, *_ORDERS)
"""Every switch there is, by area."""

BY_NAME = {switch.name: switch for switch in SWITCHES}


HTTP_DELAY_MS_MAX = 600_000


@dataclass(slots=True)
class HttpFault:
    """One kind of trouble for the next ``count`` requests under ``path``.

    ``delay_ms`` holds the answer back after the work is done; ``before_ms`` holds the request
    back before. ``lose`` closes the connection instead of answering, after the work is done.
    ``status`` answers at once with that code and ``text``, without doing the work.
    """

    path: str = "/order"
    count: int = 1
    method: str = ""
    before_ms: int = 0
    delay_ms: int = 0
    lose: bool = False
    status: int = 0
    text: str = ""

    def __post_init__(self) -> None:
        """Refuse what would break the requests it is meant to trouble: ValueError."""
        texts, numbers = (self.path, self.method, self.text), (self.before_ms, self.delay_ms)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("path, method and text are texts")
        if not all(isinstance(n, int) for n in (*numbers, self.count, self.status)):
            raise ValueError("count, status, before_ms and delay_ms are whole numbers")
        if not all(0 <= number <= HTTP_DELAY_MS_MAX for number in numbers):
            raise ValueError(f"before_ms and delay_ms are from 0 to {HTTP_DELAY_MS_MAX}")
        if self.status and not 200 <= self.status <= 599:
            raise ValueError("status is from 200 to 599")


_ABOUT: ContextVar[tuple[str, ...]] = ContextVar("orders a fault would hit", default=())


def _tell_nobody(_: str, __: tuple[str, ...]) -> None:
    pass


@dataclass(slots=True)
class Faults:
    """Everything that is switched on, and how often each switch has shown."""

    http: list[HttpFault] = field(default_factory=list)
    stale_books: dict[str, str] | None = None
    """Answers of ``/book`` and ``/books`` by token, as of when they were frozen; None: live."""
    refuse_sockets: bool = False
    """Answer 503 to WebSocket upgrades."""
    values: dict[str, float] = field(default_factory=dict)
    """Value of every switch that is on; one that is off is absent."""
    markets: dict[str, str] = field(default_factory=dict)
    """Condition id a switch is limited to; without an entry it is for all."""
    shown: dict[str, int] = field(default_factory=dict)
    """How often a switch has had an effect since the start."""
    hits: dict[str, int] = field(default_factory=dict)
    """How often a fault has hit an order: twenty orders lost in one request are twenty."""
    on_hit: Callable[[str, tuple[str, ...]], object] = _tell_nobody
    """Told of every hit: the fault and the ids of the orders."""
    racing: bool = False
    """A cancel is being raced: the trades of this moment are told late."""

    def value(self, name: str) -> float:
        """Return a switch's value, 0 if it is off."""
        return self.values.get(name, 0)

    def is_on(self, name: str, market: str = "") -> bool:
        """Return whether a switch is on for a market (condition id)."""
        return name in self.values and self.markets.get(name, market) == market

    def show(self, name: str) -> None:
        """Count one effect of a switch, also on the orders it is about."""
        self.shown[name] = self.shown.get(name, 0) + 1
        if BY_NAME[name].area != "market":
            self.hit(name)

    @contextmanager
    def about(self, order_ids: Iterable[str]) -> Iterator[None]:
        """Say whose orders a fault hits that shows inside, in this task."""
        token = _ABOUT.set(tuple(order_ids))
        try:
            yield
        finally:
            _ABOUT.reset(token)

    def hit(self, name: str) -> None:
        """Count a fault once for each order that this moment is about, and tell of it."""
        order_ids = _ABOUT.get()
        if order_ids:
            self.hits[name] = self.hits.get(name, 0) + len(order_ids)
            self.on_hit(name, order_ids)

    def take(self, name: str, market: str = "") -> bool:
        """Return whether a switch is on for a market; one in "times" is used up by one."""
        if not self.is_on(name, market):
            return False
        self.show(name)
        if BY_NAME[name].unit == "times":
            self.values[name] -= 1
            if self.values[name] <= 0:
                self.put(name, 0)
        return True

    def miss(self, order_ids: list[str]) -> list[str]:
        """Return what a cancel of many will find: one less while ``cancel-missed`` is on."""
        with self.about(order_ids[-1:]):
            return order_ids[:-1] if order_ids and self.take("cancel-missed") else order_ids

    def put(self, name: str, value: float, market: str = "") -> None:
        """Set a switch; 0 turns it off. KeyError if there is none of that name."""
        if name not in BY_NAME:
            raise KeyError(name)
        if value <= 0:
            self.values.pop(name, None)
            self.markets.pop(name, None)
            return
        self.values[name] = value
        self.markets.pop(name, None)
        if market:
            self.markets[name] = market

    @property
    def fail_trades(self) -> int:
        """Trades that will go RETRYING and then FAILED instead of CONFIRMED."""
        return int(self.value("trade-failed"))

    @fail_trades.setter
    def fail_trades(self, count: int) -> None:
        if count < self.fail_trades:
            self.show("trade-failed")
        self.put("trade-failed", count)

    def take_http(self, method: str, path: str) -> HttpFault | None:
        """Return the first fault that fits a request and use it up by one."""
        for fault in self.http:
            if path.startswith(fault.path) and fault.method in ("", method):
                fault.count -= 1
                if fault.count <= 0:
                    self.http.remove(fault)
                return fault
        return None
