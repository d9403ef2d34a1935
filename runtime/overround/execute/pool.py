"""Orders signed ahead: what is likely to be wanted next is only looked up when it is.

A signature covers token, side, amounts, salt and time, not the intent. So an order that a hot
market will probably need (the same side, type and size as lately, at the prices around the best)
is signed while the loop is idle. It is nothing yet: no record speaks of it, and no byte of it can
leave before an intent takes it out and its SIGNED record holds the exact body. That record names
its number; the store refuses an id that was used before, and a number of a process that is dead,
live and in every replay. The gate judges a pooled order as any other.

An entry ends with the terms it was signed for: tick, fee, negative-risk flag or protocol of the
market; with its age; and with the process, so a key or credential change cannot outlive it. The
venue states no limit to an order's age: ours keeps the timestamp plausible to whoever checks it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from overround.clock import NS_PER_MS
from overround.errors import OrderError
from overround.execute.build import OrderBuilder, Prepared, Sealed
from overround.execute.markets import MarketInfo, Markets
from overround.execute.news import News
from overround.execute.store import Store
from overround.layout.intent import BUY, IntentFlag
from overround.ledger.records import Intent
from overround.observe.metrics import Value
from overround.units import PRICE_TICKS_MAX
from overround.venues.contract import OrderType

__all__ = ["OrderPool", "Ready"]

SHAPES_MAX: Final = 64
"""Combinations of market, side, type and size that are held ready; the least lately used goes."""

ROUND_NS: Final = 100 * NS_PER_MS
"""How often every order and every shape is looked at anew; a shape just used does not wait."""

_SIGNED_FLAGS: Final = int(IntentFlag.POST_ONLY)


class Shape(NamedTuple):
    """What intents that repeat have in common, their price apart."""

    market: int
    outcome: int
    side: int
    order_type: int
    flags: int
    size_lots: int

    @property
    def takes(self) -> bool:
        """FOK or FAK."""
        return self.order_type in (OrderType.FOK, OrderType.FAK)


class Ready(NamedTuple):
    """One order that waits for its intent."""

    number: int
    shape: Shape
    price_ticks: int
    market: MarketInfo
    tick_ticks: int
    prepared: Prepared
    sealed: Sealed
    until_ns: int
    """The last moment at which it is young enough."""


class OrderPool:
    """At most ``size`` orders of one account, each used at most once."""

    def __init__(
        self,
        store: Store,
        builder: OrderBuilder,
        markets: Markets,
        news: News,
        *,
        size: int,
        reach: int,
        age_max_ns: int,
        clock: Callable[[], int],
        epoch_ms: Callable[[], int],
    ) -> None:
        """Hold prices up to ``reach`` ticks of the market to either side of its best."""
        self._builder = builder
        self._markets = markets
        self._news = news
        self._size = size
        self._reach = reach
        self._age_max_ns = age_max_ns
        self._clock = clock
        self._epoch_ms = epoch_ms
        self._ready: dict[tuple[Shape, int], Ready] = {}
        self._shapes: OrderedDict[Shape, tuple[int, int]] = OrderedDict()
        """Each with producer and strategy of who wanted it last."""
        self._due: list[Shape] = []
        """Shapes still to be looked at in this round, last first."""
        self._round_ns = 0
        self._number = store.pool_number
        self.version = 0
        """Counts what was signed or voided: who relies on what is ready looks at it."""
        self.voided: Counter[str] = Counter()
        """Orders that will serve nobody, by reason."""

    def __len__(self) -> int:
        return len(self._ready)

    # -- use -----------------------------------------------------------------------------

    def find(
        self, intent: Intent, market: MarketInfo, tick_ticks: int, now_ns: int
    ) -> Ready | None:
        """Return the order that an intent could take, if it is still what it would be signed to.

        Nothing is taken yet: the gate has not spoken.
        """
        shape = shape_of(intent, market)
        ready = self._ready.get((shape, intent.price_ticks))
        if ready is None:
            return None
        if self._fault(ready, market, tick_ticks, now_ns):
            return None  # the next refill voids it
        return ready

    def hot(self, most: int) -> list[tuple[Ready, int, int]]:
        """Return orders of the shapes wanted last, with producer and strategy of who did."""
        held: dict[Shape, list[Ready]] = {}
        for ready in self._ready.values():
            held.setdefault(ready.shape, []).append(ready)
        found = [
            (ready, *self._shapes[shape])
            for shape in reversed(self._shapes)
            for ready in held.get(shape, ())
        ]
        return found[:most]

    def good(self, ready: Ready, market: MarketInfo, tick_ticks: int, now_ns: int) -> bool:
        """Return whether an order is still what it would be signed to."""
        return not self._fault(ready, market, tick_ticks, now_ns)

    def take(self, ready: Ready) -> bool:
        """Take an order out for good; False if another leg has it already."""
        found = self._ready.get((ready.shape, ready.price_ticks))
        if found is not ready:
            return False
        del self._ready[ready.shape, ready.price_ticks]
        return True

    def note(self, intent: Intent, market: MarketInfo, hit: bool) -> None:
        """Learn what was wanted; call it after the bytes have left."""
        self._news.count(Value.POOL_HITS if hit else Value.POOL_MISSES)
        if intent.order_type == OrderType.GTD:
            return  # its expiration stands in the body
        shape = shape_of(intent, market)
        self._due.append(shape)
        self._shapes[shape] = (intent.producer, intent.strategy)
        self._shapes.move_to_end(shape)
        if len(self._shapes) > SHAPES_MAX:
            self._shapes.popitem(last=False)

    # -- refill --------------------------------------------------------------------------

    def refill(self, signs_max: int) -> int:
        """Void what is no longer good, sign up to ``signs_max`` orders; return how many.

        A round over all shapes is spread over as many calls as it takes.
        """
        now_ns = self._clock()
        if now_ns - self._round_ns >= ROUND_NS:
            self._round_ns = now_ns
            self._sweep(now_ns)
            self._due = list(self._shapes)
        signed = 0
        while self._due and signed < signs_max:
            wanted = self._wanted(self._due[-1], now_ns)
            if wanted is None or len(self._ready) >= self._size:
                self._due.pop()
                continue
            shape, price_ticks, market, tick_ticks = wanted
            self._sign(shape, price_ticks, market, tick_ticks, now_ns)
            signed += 1
        return signed

    def clear(self, reason: str) -> None:
        """Void everything, as when the key or the credentials change."""
        self._void(list(self._ready.values()), reason)

    def _wanted(self, shape: Shape, now_ns: int) -> tuple[Shape, int, MarketInfo, int] | None:
        """Return the first order of a shape that is missing, nearest the best price first."""
        market = self._markets.info(shape.market)
        if market is None or not market.active or not market.fee_known:
            return None
        for price_ticks, tick_ticks in self._prices(shape, market, now_ns):
            if (shape, price_ticks) not in self._ready:
                return shape, price_ticks, market, tick_ticks
        return None

    def _prices(self, shape: Shape, market: MarketInfo, now_ns: int) -> Iterable[tuple[int, int]]:
        book, tick_ticks = self._markets.book(shape.market, now_ns)
        tick_ticks = tick_ticks or market.tick_ticks
        if not (book.usable and book.trusted) or tick_ticks <= 0:
            return
        # Who takes looks at the other side's best, who rests at his own.
        asks = (shape.side == BUY) == shape.takes
        if shape.outcome:
            best = PRICE_TICKS_MAX - (book.bid_ticks if asks else book.ask_ticks)
        else:
            best = book.ask_ticks if asks else book.bid_ticks
        for step in range(2 * self._reach + 1):
            away = (step + 1) // 2
            price_ticks = best + (away if step % 2 else -away) * tick_ticks
            if tick_ticks <= price_ticks <= PRICE_TICKS_MAX - tick_ticks:
                yield price_ticks, tick_ticks

    def _sign(
        self, shape: Shape, price_ticks: int, market: MarketInfo, tick_ticks: int, now_ns: int
    ) -> None:
        number = self._number + 1
        try:
            prepared = self._builder.amounts(
                shape.order_type, shape.side, price_ticks, shape.size_lots, market, tick_ticks
            )
        except OrderError:
            # Nothing that could be sent: an intent for it gets the reason from the gate.
            self._shapes.pop(shape, None)
            self._due.pop()
            return
        sealed = self._builder.seal(f"pool:{number}", self._epoch_ms(), market, shape, prepared)
        self._number = number
        self.version += 1
        self._ready[shape, price_ticks] = Ready(
            number,
            shape,
            price_ticks,
            market,
            tick_ticks,
            prepared,
            sealed,
            now_ns + self._age_max_ns,
        )
        self._news.gauge(Value.POOL_READY, len(self._ready))

    def _sweep(self, now_ns: int) -> None:
        """Void what has aged or whose terms are no more, and make room if nothing is free."""
        faults: dict[str, list[Ready]] = {}
        ticks: dict[int, int] = {}
        for ready in self._ready.values():
            index = ready.shape.market
            if index not in ticks:
                ticks[index] = self._markets.book(index, now_ns)[1]
            market, tick_ticks = self._markets.info(index), ticks[index]
            if ready.shape not in self._shapes:
                fault = "not wanted lately"
            elif market is None:
                fault = "market gone"
            else:
                fault = self._fault(ready, market, tick_ticks or market.tick_ticks, now_ns)
            if fault:
                faults.setdefault(fault, []).append(ready)
        if not faults and len(self._ready) >= self._size:
            faults["room for others"] = list(self._ready.values())[: 1 + self._size // 8]
        for fault, found in faults.items():
            self._void(found, fault)

    def _fault(self, ready: Ready, market: MarketInfo, tick_ticks: int, now_ns: int) -> str:
        """Return why an order must not be used any more, empty if it may."""
        if now_ns > ready.until_ns:
            return "aged"
        if tick_ticks != ready.tick_ticks:
            return "tick changed"
        if market is not ready.market and market != ready.market:
            return "market changed"
        return ""

    def _void(self, found: list[Ready], reason: str) -> None:
        if not found:
            return
        self.voided[reason] += len(found)
        self.version += 1
        for one in found:
            del self._ready[one.shape, one.price_ticks]
        self._news.gauge(Value.POOL_READY, len(self._ready))


def shape_of(intent: Intent, market: MarketInfo) -> Shape:
    """Return the shape of an intent of this market."""
    return Shape(
        market.index,
        intent.outcome,
        intent.side,
        intent.order_type,
        intent.flags & _SIGNED_FLAGS,
        intent.size_lots,
    )
