"""Quotes: what strategies want to stand, compared with what stands, market by market.

The venue cannot change an order, so a change is a cancel and a new order, and the new one goes
behind all others at its price. Hence: what stands at a wanted price stays; cancels go first and
nothing new is placed in a market until they are confirmed; what was filled is placed again only
when the strategy has written its target since. ``RULES`` has all of it.

Quotes are post-only orders of the producer that wants them, numbered by the journal, flagged
QUOTE: a restart finds them there and goes on with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from overround.decide.risk import BookView
from overround.execute.build import GTD_AHEAD_S, GTD_LEAD_S
from overround.execute.executor import Submission
from overround.execute.intents import LEGS_MAX, RingIntent
from overround.execute.markets import MarketInfo
from overround.execute.order import Order, OrderState
from overround.execute.trader import Trader
from overround.execute.wanted import TargetSource, Wanted
from overround.layout.intent import BUY, NO, OWN_SEQUENCE, SELL, YES, IntentFlag
from overround.layout.target import TargetFlag
from overround.ledger.records import IntentKey
from overround.observe.metrics import Value
from overround.units import PRICE_TICKS_MAX
from overround.venues.contract import OrderType

__all__ = ["RULES", "QuoteDesk"]

BID, ASK = 0, 1
ORDERS_SIDE_MAX: Final = 4
"""Orders of one side of one quote: topping up makes a second one rather than lose the place."""
LOOK_NS: Final = 100_000_000
"""A quote that nothing happened to is looked at this often: book, trust, tick."""
PAUSE_NS: Final = 500_000_000
"""Rest of a quote after an order of it was refused."""
SEND_NS: Final = 1_000_000_000
"""A quote that could not leave within this is stale."""
MATCH_SKEW_MS: Final = 3_000
"""A trade may have been matched so much later than it says: whole seconds of another clock."""
STRAYS_NS: Final = 100_000_000
"""How often quotes are looked for that turned up after their end."""
RETIRED_MAX: Final = 64
"""Orders remembered of a quote after their end."""
CLOCK_SKEW_S: Final = 5
"""Our clock may be this far behind the venue's when a GTD order states its end."""
NS_PER_MS: Final = 1_000_000
_PPM: Final = 1_000_000
_QUOTE: Final = int(IntentFlag.QUOTE)

RULES: Final = (
    ("the target's time is over, its strategy's process is silent or was replaced, its board was"
     " replaced, the book is stale or not trusted, the market takes no orders, or the bid is not"
     " below the ask",
     "every quote of the market is cancelled, nothing is placed"),
    ("the kill latch is set", "nothing is placed; what is not wanted is still cancelled"),
    ("a wanted price is off the tick", "moved away from the other side, to the next tick"),
    ("a wanted price would take", "moved to one tick behind the other side's best"),
    ("a side is not wanted any more, or wanted further away (a retreat)", "cancelled at once"),
    ("a better price is wanted (an advance)",
     "cancelled once the quote has stood for `execute.quote_life_min_ms`"),
    ("the price differs by at most `execute.quote_hysteresis_ticks`",
     "the order stays and keeps its place"),
    ("more stands than wanted, by more than `execute.quote_hysteresis_ppm`",
     "newest orders are cancelled until it does not; the oldest has the best place"),
    ("less stands than wanted, by more than that and the market's least size",
     "one more order is placed for the rest; what stands keeps its place"),
    ("that would be the fifth order of the side", "the newest is cancelled, and comes with it"),
    ("a part was filled", "it is placed again only after the target was written anew"),
    ("an order of the market is under way, unknown or being cancelled", "nothing is placed yet"),
    ("the venue or the gate refused an order", "the market rests for 500 ms"),
    ("shares of the other token are held and settled, enough for the order",
     "they are sold instead of buying: a bid sells NO, an ask sells YES"),
    ("the target says GTD",
     "orders state the target's end to the venue: at least 185 s ahead, 60 s later than meant;"
     " what stands without an end is cancelled"),
    ("the executor restarts in the same run",
     "its quotes are found in the journal and kept; what was filled since the target was written"
     " is not placed again; where the journal does not tell, nothing is placed before the target"
     " is written anew"),
    ("the executor starts in another run",
     "quotes of the old one are cancelled; nothing is placed in their markets before they are"
     " gone"),
    ("a quote turns up that was given up as never arrived",
     "it is cancelled; nothing is placed in its market before it is gone"),
)  # fmt: skip
"""(what is seen, what is done): the page is made from it."""


@dataclass(slots=True)
class _Quote:
    """One market of one producer: what is wanted, and its orders, oldest first."""

    source: TargetSource
    wanted: Wanted | None = None
    orders: list[Order] = field(default_factory=list)
    filled: list[int] = field(default_factory=lambda: [0, 0])
    """Lots of each side filled by orders that have left the list."""
    retired: deque[IntentKey] = field(default_factory=lambda: deque(maxlen=RETIRED_MAX))
    """The last ones that have left the list."""
    base: list[int] = field(default_factory=lambda: [0, 0])
    """Lots of each side that were filled when the target was written."""
    due_ns: int = 0
    paused_ns: int = 0
    seen_ns: int = 0

    def filled_lots(self, side: int) -> int:
        """Lots of a side ever filled."""
        return self.filled[side] + sum(o.filled_lots for o in self.orders if _side(o) == side)


class QuoteDesk:
    """Keeps the account's quotes as its strategies want them."""

    def __init__(self, trader: Trader) -> None:
        self._trader = trader
        self._store, self._core = trader.store, trader.core
        self._markets, self._news = trader.markets, trader.news
        self._settings = trader.settings
        self._clock, self._epoch_ms = trader.clock, trader.epoch_ms
        self._run_id = trader.run_id
        self._sources: list[TargetSource] = []
        self._quotes: dict[tuple[int, int], _Quote] = {}
        self._leaving: dict[int, list[Order]] = {}
        """Orders of each market that are no quote of this run, until they are gone."""
        self._past: dict[tuple[int, int], list[Order]] = {}
        """What the journal has of each quote, until its target is read for the first time."""
        self._watched_ns = 0
        self._strays_ns = 0

    def watch(self, sources: Iterable[TargetSource]) -> int:
        """Follow these producers; adopt the quotes the journal has, cancel those of other runs.

        Call it once, when orders of unknown outcome are already known as such. Returns how
        many quotes were adopted.
        """
        self._sources = list(sources)
        self._watched_ns = self._strays_ns = self._clock()
        for order in self._store.by_key.values():
            place = self._place_of(order)
            if place is not None and order.filled_lots:
                self._past.setdefault(place[0], []).append(order)
                if order.state is OrderState.DONE:
                    quote = self._quotes.setdefault(*_new(place))
                    quote.filled[_side(order)] += order.filled_lots
        return self._adopt()

    def _place_of(self, order: Order) -> tuple[tuple[int, int], TargetSource] | None:
        """Return where a quote of this run belongs, None for any other order."""
        intent = order.intent
        if not intent.flags & _QUOTE or intent.run_id != self._run_id:
            return None
        source = next((one for one in self._sources if one.producer == intent.producer), None)
        found = self._markets.find(intent.token)
        if found is None or source is None:
            return None
        return (intent.producer, found[0].index), source

    def _adopt(self) -> int:
        """Take in the quotes that stand and nobody here knows of; return how many are ours."""
        known = {order.key for quote in self._quotes.values() for order in quote.orders}
        known |= {order.key for orders in self._leaving.values() for order in orders}
        adopted = 0
        for order in list(self._store.working.values()):
            if not order.intent.flags & _QUOTE or order.key in known:
                continue
            place = self._place_of(order)
            if place is not None:
                adopted += 1
                quote = self._quotes.setdefault(*_new(place))
                if order.key in quote.retired:  # counted when it was given up
                    quote.retired.remove(order.key)
                    quote.filled[_side(order)] -= order.filled_lots
                quote.orders.append(order)
                continue
            found = self._markets.find(order.intent.token)
            if found is not None:
                self._leaving.setdefault(found[0].index, []).append(order)
            if order.state is not OrderState.CLOSED and not order.cancel_asked:
                self._core.request_cancel(order, "quote of an earlier run")
        return adopted

    def step(self) -> list[Submission]:
        """Compare wanted with working; queue cancels at the core, return what is to be sent."""
        if not self._core.ready:
            return []
        now_ns = self._clock()
        if now_ns - self._strays_ns >= STRAYS_NS:
            self._strays_ns = now_ns
            self._adopt()
        for source in self._sources:
            for market, wanted in source.changed():
                key = (source.producer, market)
                quote = self._quotes.setdefault(key, _Quote(source))
                quote.wanted = wanted
                quote.due_ns = 0
                quote.base = [self._filled_before(key, quote, wanted, side) for side in (BID, ASK)]
                self._past.pop(key, None)
        messages: list[RingIntent] = []
        places: list[_Quote] = []
        for (_, market), quote in list(self._quotes.items()):
            if now_ns < quote.due_ns and not _touched(quote):
                continue
            made = self._look(market, quote, now_ns, len(messages))
            messages += made
            places += [quote] * len(made)
        return self._place(messages, places)

    def _filled_before(self, key: tuple[int, int], quote: _Quote, wanted: Wanted, side: int) -> int:
        """Return the lots of a side that were filled before this target was written."""
        filled = quote.filled_lots(side)
        if wanted.updated_ns >= self._watched_ns:
            return filled
        if len(self._store.retired):
            return filled - wanted.side(side)[1]  # who knows: as if all of it had been filled since
        age_ms = (self._clock() - wanted.updated_ns) // NS_PER_MS
        written_ms = self._epoch_ms() - age_ms
        for order in self._past.get(key, ()):
            if _side(order) != side:
                continue
            for fill, _ in self._store.positions.fills_of(order.order_id):
                placed_since = order.intent.created_epoch_ms >= written_ms
                if placed_since or fill.match_epoch_ms + MATCH_SKEW_MS >= written_ms:
                    filled -= fill.size_lots
        return filled

    # -- one market ------------------------------------------------------------------------

    def _look(self, market: int, quote: _Quote, now_ns: int, placed: int) -> list[RingIntent]:
        quote.due_ns = now_ns + LOOK_NS
        quote.seen_ns = now_ns
        self._retire(quote, now_ns)
        info = self._markets.info(market)
        book, tick = self._markets.book(market, now_ns)
        wanted = quote.wanted
        if info is None or wanted is None or self._void(quote, info, book, now_ns):
            self._cancel(quote.orders, "the target is void")
            return []
        quote.due_ns = min(quote.due_ns, wanted.expires_ns)
        tick = tick or info.tick_ticks
        prices = [_price(side, wanted.side(side)[0], book, tick) for side in (BID, ASK)]
        for side in (BID, ASK):
            self._trim(quote, side, prices[side], wanted.side(side)[1], now_ns)
        if any(_unsettled(order) for order in quote.orders) or now_ns < quote.paused_ns:
            return []
        if self._core.killed:
            return []
        if self._is_left(market):
            quote.due_ns = now_ns
            return []
        made: list[RingIntent] = []
        for side in (BID, ASK):
            lots = self._missing(quote, info, side, wanted.side(side)[1])
            standing = _standing(quote.orders, side)
            if lots and len(standing) >= ORDERS_SIDE_MAX:
                self._cancel(standing[-1:], "to be one with what is missing")
            elif lots and not _crosses_own(quote.orders, side, prices[side]):
                sequence = (OWN_SEQUENCE | self._store.journal.next_sequence) + placed + len(made)
                made.append(self._order(sequence, quote, info, side, prices[side], lots, now_ns))
        return made

    def _retire(self, quote: _Quote, now_ns: int) -> None:
        """Let go of orders that can trade no more; rest after one the venue or gate refused."""
        kept = []
        for order in quote.orders:
            if not _is_over(order):
                kept.append(order)
                continue
            quote.retired.append(order.key)
            quote.filled[_side(order)] += order.filled_lots
            if not order.acknowledged:
                quote.paused_ns = now_ns + PAUSE_NS
                quote.due_ns = min(quote.due_ns, quote.paused_ns)
        quote.orders = kept

    def _is_left(self, market: int) -> bool:
        """Return whether an order that is no quote of this run may still rest in a market."""
        if market not in self._leaving:
            return False
        left = [order for order in self._leaving[market] if not _is_over(order)]
        self._leaving[market] = left
        if not left:
            del self._leaving[market]
        return bool(left)

    def _void(self, quote: _Quote, info: MarketInfo, book: BookView, now_ns: int) -> bool:
        wanted = quote.wanted
        assert wanted is not None
        both = wanted.bid_lots > 0 and wanted.ask_lots > 0
        return (
            now_ns >= wanted.expires_ns
            or not quote.source.alive(now_ns)
            or not book.usable
            or not book.trusted
            or book.epoch != wanted.ingress_epoch
            or not info.active
            or (both and wanted.bid_ticks >= wanted.ask_ticks)
        )

    def _trim(self, quote: _Quote, side: int, price: int, lots: int, now_ns: int) -> None:
        """Cancel what stands at another price, then what is too much, newest first."""
        settings, wanted = self._settings, quote.wanted
        assert wanted is not None
        endless = () if wanted.flags & TargetFlag.GTD == 0 else (OrderType.GTC,)
        kept: list[Order] = []
        unwanted: list[Order] = []
        for order in _standing(quote.orders, side):
            if order.intent.order_type in endless:
                unwanted.append(order)
                continue
            ahead = _yes_ticks(order) - price if side == BID else price - _yes_ticks(order)
            young_ns = order.sent_ns + settings.quote_life_min_ms * NS_PER_MS - now_ns
            if lots > 0 and abs(ahead) <= settings.quote_hysteresis_ticks:
                kept.append(order)
            elif lots > 0 and ahead < 0 and young_ns > 0:
                kept.append(order)
                quote.due_ns = min(quote.due_ns, now_ns + young_ns)
            else:
                unwanted.append(order)
        most = lots + lots * settings.quote_hysteresis_ppm // _PPM
        while kept and sum(order.open_lots for order in kept) > most:
            unwanted.append(kept.pop())
        self._cancel(unwanted, "not wanted any more")

    def _missing(self, quote: _Quote, info: MarketInfo, side: int, lots: int) -> int:
        """Return the lots to place on a side, 0 if what stands is enough."""
        standing = _standing(quote.orders, side)
        used = quote.filled_lots(side) - quote.base[side]
        missing = lots - used - sum(order.open_lots for order in standing)
        slack = lots * self._settings.quote_hysteresis_ppm // _PPM if standing or used else 0
        return missing if missing > slack and missing >= info.min_size_lots else 0

    def _order(
        self,
        sequence: int,
        quote: _Quote,
        info: MarketInfo,
        side: int,
        price: int,
        lots: int,
        now_ns: int,
    ) -> RingIntent:
        wanted = quote.wanted
        assert wanted is not None
        gtd = bool(wanted.flags & TargetFlag.GTD)
        other = info.token(NO if side == BID else YES)
        sells = self._trader.sellable(other) >= lots
        outcome = (NO if sells else YES) if side == BID else (YES if sells else NO)
        return RingIntent(
            producer_sequence=sequence,
            created_ns=now_ns,
            expires_ns=min(wanted.expires_ns, now_ns + SEND_NS),
            seen_ns=now_ns,
            event_recv_ns=0,
            ingress_epoch=wanted.ingress_epoch,
            plan=sequence,
            producer=quote.source.producer,
            account=0,
            strategy=wanted.strategy,
            market=info.index,
            leg=0,
            legs=1,
            outcome=outcome,
            side=SELL if sells else BUY,
            order_type=int(OrderType.GTD if gtd else OrderType.GTC),
            flags=int(IntentFlag.POST_ONLY | IntentFlag.QUOTE),
            price_ticks=PRICE_TICKS_MAX - price if outcome == NO else price,
            size_lots=lots,
            edge_micro=0,
            target=0,
            expiration_s=self._expiration_s(wanted.expires_ns - now_ns) if gtd else 0,
        )

    def _expiration_s(self, life_ns: int) -> int:
        now_ms = self._epoch_ms()
        meant_s = -(-(now_ms + life_ns // NS_PER_MS) // 1_000) + GTD_LEAD_S
        return max(meant_s, now_ms // 1_000 + GTD_AHEAD_S + CLOCK_SKEW_S)

    # -- out -------------------------------------------------------------------------------

    def _cancel(self, orders: Sequence[Order], reason: str) -> None:
        live = [
            order for order in orders if order.state is OrderState.LIVE and not order.cancel_asked
        ]
        for order in live:
            self._core.request_cancel(order, reason)
        if live:
            self._news.count(Value.QUOTES_CANCELED, len(live))

    def _place(self, messages: list[RingIntent], places: list[_Quote]) -> list[Submission]:
        """Take the orders, and send those that pass the gate in as few requests as allowed."""
        passed: list[Order] = []
        for submission in self._core.take(messages):
            passed += submission.orders
        for message, quote in zip(messages, places, strict=True):
            key = IntentKey(self._run_id, message.producer, message.producer_sequence)
            quote.orders.append(self._store.by_key[key])
        if passed:
            self._news.count(Value.QUOTES_PLACED, len(passed))
        return [
            Submission(tuple(passed[start : start + LEGS_MAX]))
            for start in range(0, len(passed), LEGS_MAX)
        ]


def _new(place: tuple[tuple[int, int], TargetSource]) -> tuple[tuple[int, int], _Quote]:
    """Return a quote's key, and the quote as it begins."""
    key, source = place
    return key, _Quote(source)


def _is_over(order: Order) -> bool:
    """Return whether nothing of it can trade any more and all that it traded is known."""
    if order.state is OrderState.DONE:
        return True
    return order.state is OrderState.CLOSED and order.fills_complete


def _side(order: Order) -> int:
    """Return which side of the YES book an order stands on: NO is YES seen from below."""
    return BID if order.intent.outcome == order.intent.side else ASK


def _yes_ticks(order: Order) -> int:
    ticks = order.intent.price_ticks
    return PRICE_TICKS_MAX - ticks if order.intent.outcome else ticks


def _standing(orders: Iterable[Order], side: int) -> list[Order]:
    """Return the orders of a side that stand, or may, and are not being cancelled."""
    return [order for order in orders if _side(order) == side and not order.cancel_asked]


def _unsettled(order: Order) -> bool:
    """Return whether it is not known to stand or to be gone."""
    return order.state is not OrderState.LIVE or order.cancel_asked or order.in_flight


def _touched(quote: _Quote) -> bool:
    return any(order.touched_ns >= quote.seen_ns for order in quote.orders)


def _crosses_own(orders: Iterable[Order], side: int, price: int) -> bool:
    facing = [_yes_ticks(order) for order in orders if _side(order) != side]
    return any(price >= one if side == BID else price <= one for one in facing)


def _price(side: int, ticks: int, book: BookView, tick: int) -> int:
    """Return the wanted price on the tick, at most one tick behind the other side's best."""
    if side == BID:
        if book.ask_lots > 0:
            ticks = min(ticks, book.ask_ticks - tick)
        return max(tick, ticks - ticks % tick)
    if book.bid_lots > 0:
        ticks = max(ticks, book.bid_ticks + tick)
    return min(PRICE_TICKS_MAX - tick, ticks + -ticks % tick)
