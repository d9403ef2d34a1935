"""The exchange itself: takes orders, runs the matching engine, tells everyone what came of it.

Everything that happens inside one ``burst()`` is published together at its end: one stamp a
market, one frame a level, each frame carrying the final hash. No I/O and no clock reading here:
the wall clock and the scheduler are passed in, frames and log lines go to the sinks.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random

from overround.clock import NS_PER_MS, NS_PER_S
from overround.match.accounts import Accounts
from overround.match.budget import size_by_cash
from overround.match.engine import MatchingEngine
from overround.match.types import (
    BookSide,
    DoneReason,
    Event,
    LevelChanged,
    Matched,
    Order,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    OrderType,
    RejectCode,
    TickChanged,
)
from overround.sim.catalog import Level, SimCatalog, SimMarket
from overround.sim.channel import Later, LevelChange, MarketChannel, Print
from overround.sim.faults import Faults
from overround.sim.history import HISTORY_KEPT, History
from overround.sim.members import FIRST_MEMBER_ACCOUNT, WALLETS, Member, Members, owner_of
from overround.sim.notices import NoticeKind, Notices
from overround.sim.orderlog import OrderLog
from overround.sim.records import DONE_STATUS, UNKNOWN_OWNER, OrderRecord, Party, TradeRecord
from overround.sim.tape import Print as TapePrint
from overround.sim.tape import Tape
from overround.sim.userchannel import UserChannel
from overround.sim.wallets import Wallet
from overround.sim.wirebook import WireBook, last_trade_text
from overround.venues.polymarket.fees import fee_micro

__all__ = ["Exchange", "Settlement"]

DONE_ORDERS_MAX = 20_000
"""Finished orders the engine remembers, most of them the flow's; members' have a history."""

FLOW_ADDRESS = "0x000000000000000000000000000000000000f10e"

COARSE_TICK, FINE_TICK = 100, 10
"""The tick that changes near the ends of the price range, and what it becomes."""

HEARTBEAT_LAPSE_NS = 10 * NS_PER_S
"""A member that has started beating loses its orders this long after its last beat."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Delays from a match to its later states, in milliseconds."""

    mined_ms: int = 50
    confirmed_ms: int = 150


class _Burst:
    """What changed in one market since the last publication."""

    __slots__ = ("levels", "prints")

    def __init__(self) -> None:
        self.levels: dict[tuple[BookSide, int], int] = {}
        self.prints: list[Print] = []


class Exchange:
    """One venue: catalog, engine, channels, members, records."""

    def __init__(
        self,
        catalog: SimCatalog,
        *,
        seed: int,
        now_ns: Callable[[], int],
        later: Later,
        log: OrderLog,
        settlement: Settlement | None = None,
        swapped_share: float = 0.02,
        history_kept: int = HISTORY_KEPT,
        auto_tick: bool = False,
    ) -> None:
        """``now_ns`` gives wall time in nanoseconds; ``later`` schedules settlements.

        With ``auto_tick`` a tick of 0.01 becomes 0.001 once a trade is below 0.04 or above 0.96.
        """
        self.catalog = catalog
        self.accounts = Accounts()
        self.engine = MatchingEngine(self.accounts, fee_micro, done_orders_max=DONE_ORDERS_MAX)
        self.members = Members(seed)
        self.log = log
        self.faults = Faults()
        self.faults.on_hit = lambda name, ids: log.write("hit", fault=name, order_ids=ids)
        self.books: list[WireBook] = []
        self.channel = MarketChannel(
            catalog, self.books, Random(f"channel/{seed}"), later, swapped_share=swapped_share
        )
        self.channel.assets_max = lambda: int(self.faults.value("tokens-ceiling"))
        self.users = UserChannel(self.members)
        self.history = History(history_kept)
        self.orders = self.history.orders
        self.trades = self.history.trades
        self.trade_count = 0
        self.tape = Tape()
        self.notices = Notices()
        self._records: dict[int, TradeRecord] = {}
        self._random = Random(f"exchange/{seed}")
        self._now_ns = now_ns
        self._later = later
        self._settlement = settlement or Settlement()
        self._bursts: dict[int, _Burst] = {}
        self._depth = 0
        self._auto_tick = auto_tick
        self.quiet = False
        """Publish nothing: it has been told before."""
        self.generation = 0
        """How often this exchange was started before; ids made by chance carry it."""
        self._placing: OrderRecord | None = None
        for market in catalog.markets:
            self.open_market(market)
        for index, event in enumerate(catalog.events):
            if event.set_id and len(event.markets) > 1:
                self.accounts.define_set(index, tuple(market.index for market in event.markets))

    @property
    def now_ms(self) -> int:
        """Wall time in milliseconds."""
        return self._now_ns() // NS_PER_MS

    @property
    def now_s(self) -> int:
        """Wall time in seconds."""
        return self._now_ns() // NS_PER_S

    def open_market(self, market: SimMarket) -> None:
        """Start matching in a market of the catalog; its book is empty until orders come."""
        # The flow may rest leavings below the minimum, as recorded books do; members may not.
        refined = self._auto_tick and market.rules.tick_ticks == COARSE_TICK
        rules = replace(
            market.rules,
            min_size_lots=1,
            rebate_ppm=round(market.rebate_rate * 1_000_000),
            fine_tick_ticks=FINE_TICK if refined else 0,
        )
        self.engine.add_market(rules)
        self.books.append(WireBook(market, self.now_ms))

    def list_market(
        self, question: str, slug: str, bids: list[Level], asks: list[Level],
        tick_ticks: int, hold_ms: int, protocol: int,
    ) -> SimMarket:  # fmt: skip
        """Add a market to the catalog and open it. ValueError if it cannot be listed."""
        market = self.catalog.add_market(
            question=question, slug=slug, bids=bids, asks=asks, tick_ticks=tick_ticks,
            hold_ms=hold_ms, protocol=protocol,
        )  # fmt: skip
        self.open_market(market)
        return market

    # -- bursts --------------------------------------------------------------------------

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Group everything inside into one publication a market; may be nested."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._publish()

    def _publish(self) -> None:
        bursts, self._bursts = self._bursts, {}
        if self.quiet:
            return
        now_ms = self.now_ms
        for index, burst in bursts.items():
            changes: list[LevelChange] = [
                (side, ticks, size) for (side, ticks), size in burst.levels.items()
            ]
            if burst.prints:
                self.books[index].last_trade = last_trade_text(burst.prints[-1][2])
            self.channel.burst(self.catalog.markets[index], changes, burst.prints, now_ms)

    def _pending(self, market: int) -> _Burst:
        burst = self._bursts.get(market)
        if burst is None:
            burst = self._bursts[market] = _Burst()
        return burst

    # -- commands ------------------------------------------------------------------------

    def place(self, record: OrderRecord) -> OrderRejected | None:
        """Submit a member's order; None if it was accepted, else why not."""
        if record.order.size_lots < record.market.rules.min_size_lots:
            return OrderRejected(record.order, RejectCode.BELOW_MIN_SIZE)
        if record.budget_micro:
            depth = self.engine.depth(record.order.market)
            record.order.size_lots = size_by_cash(record.order, depth, record.budget_micro)
        with self.burst():
            self._placing = record
            events = self.engine.submit(record.order, self.now_ms)
            first = events[0]
            if isinstance(first, OrderRejected):
                self._tell_killed(first.code, record)
                return first
            self._apply(events)
        return None

    def _tell_killed(self, code: RejectCode, record: OrderRecord) -> None:
        """Tell of a killed FOK as was once recorded: with empty texts (a fault switch)."""
        if code != RejectCode.FOK_NOT_FILLED:
            return
        with self.faults.about([record.order.id]):
            empty = self.faults.take("fok-empty")
        if empty:
            record.status = "CANCELED"
            event = record.event("CANCELLATION", self.now_ms)
            event |= dict.fromkeys(("size_matched", "created_at", "outcome"), "")
            self.users.tell(record.party.api_key, event)

    def submit(self, order: Order) -> bool:
        """Submit an order of the flow; False if it was refused."""
        with self.burst():
            events = self.engine.submit(order, self.now_ms)
            self._apply(events)
        return not isinstance(events[0], OrderRejected)

    def cancel(self, order_id: str) -> bool:
        """Take out a resting order; False if there is none of that id."""
        with self.burst():
            events = self.engine.cancel(order_id)
            self._apply(events)
        return bool(events)

    def cancel_ids(self, member: Member, ids: list[str]) -> tuple[list[str], dict[str, str]]:
        """Cancel a member's orders by id: (cancelled ids, reason of every other id)."""
        cancelled: list[str] = []
        refused: dict[str, str] = {}
        with self.burst():
            for order_id in ids:
                record = self.orders.get(order_id)
                if record is None or record.account != member.account:
                    refused[order_id] = "Order not found or already canceled"
                elif record.status == "DELAYED":
                    refused[order_id] = "order is delayed, it cannot be canceled while pending"
                elif self.cancel(order_id):
                    cancelled.append(order_id)
                elif record.status == "MATCHED":
                    refused[order_id] = "order already matched"
                else:
                    refused[order_id] = "already canceled or matched"
        return cancelled, refused

    def open_records(self, account: int) -> list[OrderRecord]:
        """Return a member's resting orders, oldest first, those of all its wallets."""
        found: list[Order] = []
        for wallet in range(account, account + WALLETS):
            found += self.engine.open_orders(wallet)
        if found and found[-1].account != found[0].account:
            found.sort(key=lambda order: order.created_epoch_ms)
        return [self.orders[order.id] for order in found]

    def expire(self) -> None:
        """Take out the GTD orders whose time has come."""
        with self.burst():
            self._apply(self.engine.expire(self.now_s))

    def sweep_heartbeats(self, now_ns: int) -> None:
        """Cancel the orders of members whose heartbeat has lapsed (``now_ns`` monotonic)."""
        for member in self.members.by_account.values():
            if member.heartbeat_id and now_ns - member.heartbeat_ns > HEARTBEAT_LAPSE_NS:
                member.heartbeat_id = ""
                self.log.write("heartbeat_lapsed", account=member.address)
                for wallet in member.wallets:
                    self.carry_out(self.engine.cancel_all(wallet.account))

    def carry_out(self, events: list[Event]) -> None:
        """Tell everyone what came of a command given to the engine directly."""
        with self.burst():
            self._apply(events)

    def set_tick(self, market: int, tick_ticks: int) -> None:
        """Change a market's tick: cancels what is off the new grid, tells everyone."""
        with self.burst():
            self._apply(self.engine.set_tick(market, tick_ticks))

    def close_market(self, market: SimMarket) -> None:
        """Stop trading in a market: every order is cancelled, new ones are refused."""
        market.accepting = False
        with self.burst():
            self._apply(self.engine.close_market(market.index))

    def fund(self, member: Member, cash_micro: int, signature_type: int = 0) -> None:
        """Give a member's wallet play money."""
        wallet = member.wallets[signature_type]
        self.accounts.deposit(wallet.account, cash_micro)
        self.log.write("deposit", account=wallet.address, cash_micro=cash_micro)

    def refresh(self, wallet: Wallet) -> None:
        """Read a wallet's allowances from the chain again."""
        wallet.refresh()

    def trades_of(self, account: int) -> list[TradeRecord]:
        """Return a member's trades, oldest first."""
        return self.history.trades_of(account)

    # -- events --------------------------------------------------------------------------

    def _apply(self, events: list[Event]) -> None:
        last = events[-1] if events else None
        if isinstance(last, LevelChanged) and isinstance(events[0], OrderAccepted):
            # What a taker leaves resting is told before the levels it took (as recorded).
            self._pending(last.market).levels[last.side, last.price_ticks] = last.size_lots
        for event in events:
            if isinstance(event, LevelChanged):
                key = (event.side, event.price_ticks)
                self._pending(event.market).levels[key] = event.size_lots
            elif isinstance(event, Matched):
                self._on_match(event)
            elif isinstance(event, OrderDone):
                self._on_done(event)
            elif isinstance(event, OrderAccepted):
                self._on_accepted(event.order)
            elif isinstance(event, TickChanged):
                # What happened before goes out under the old tick: it is part of the hash.
                self._publish()
                market = self.catalog.markets[event.market]
                market.rules = replace(market.rules, tick_ticks=event.new_ticks)
                self.channel.tick_change(market, event.old_ticks, event.new_ticks, self.now_ms)

    def _on_accepted(self, order: Order) -> None:
        record, self._placing = self._placing, None
        if record is None or record.order is not order:
            return
        self.history.add_order(record)
        self.log.write(
            "accepted",
            order_id=order.id,
            account=record.party.address,
            market=record.market.condition_id,
            token_id=record.market.token(order.outcome),
            outcome=int(order.outcome),
            side=order.side.name,
            price_ticks=order.price_ticks,
            size_lots=order.size_lots,
            order_type=order.order_type.name,
            post_only=order.post_only,
        )
        self._tell(record, "PLACEMENT")

    def _tell(self, record: OrderRecord, kind: str) -> None:
        self.users.tell(record.party.api_key, record.event(kind, self.now_ms))

    def _on_done(self, event: OrderDone) -> None:
        record = self.orders.get(event.order.id)
        if record is None:
            return
        self.history.order_done(event.order.id)
        record.status = DONE_STATUS.get(event.reason, "CANCELED")
        if event.reason == DoneReason.FILLED:
            return
        self.log.write(
            "canceled",
            order_id=event.order.id,
            account=record.party.address,
            reason=event.reason.name,
            filled_lots=event.order.filled_lots,
        )
        self._tell(record, "CANCELLATION")
        self.notices.canceled(record, self.now_s)

    def _party(self, order: Order) -> Party:
        record = self.orders.get(order.id)
        return record.party if record else Party(UNKNOWN_OWNER, FLOW_ADDRESS)

    def _on_match(self, matched: Matched) -> None:
        self.trade_count += 1
        transaction = f"0x{self._random.getrandbits(256):064x}"
        self._pending(matched.market).prints.append(
            (
                int(matched.outcome),
                matched.side.name,
                matched.price_ticks,
                matched.size_lots,
                transaction,
            )
        )
        self.tape.record(
            matched.market,
            TapePrint(
                self.now_s, int(matched.outcome), matched.side, matched.price_ticks,
                matched.size_lots, matched.cash_micro, transaction,
                self._party(matched.taker_order).address,
            ),
        )  # fmt: skip
        accounts = {leg.order.account for leg in matched.legs} | {matched.taker_order.account}
        members = {account for account in accounts if account >= FIRST_MEMBER_ACCOUNT}
        if not members:
            self.engine.settle(matched.trade_id, True)
            return
        taker = matched.taker_order
        known = self.orders.get(taker.id)
        record = TradeRecord(
            id=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            matched=matched,
            market=self.catalog.markets[matched.market],
            taker=self._party(taker),
            makers=tuple(self._party(leg.order) for leg in matched.legs),
            match_ns=self._now_ns(),
            transaction=transaction,
            bucket=len(known.trades) if known else 0,
            updated_s=self.now_s,
        )
        owners = {owner_of(account) for account in members}
        self.history.add_trade(record, sorted(members | owners))
        self._records[matched.trade_id] = record
        self.log.write("trade", **record.line(self.orders))
        parts = [(taker, matched.size_lots), *((leg.order, leg.size_lots) for leg in matched.legs)]
        for order, lots in parts:
            own = self.orders.get(order.id)
            if own is not None:
                own.trades.append(record.id)
                own.told_lots += lots
                if not order.remaining_lots or order.order_type in (OrderType.FOK, OrderType.FAK):
                    own.status = "MATCHED"
                self._tell(own, "UPDATE")
        self._tell_trade(record)
        self.tape.attribute(record, known)
        self.notices.filled(record, self.orders, self.now_s)
        settle = self._settlement
        with self.faults.about(record.own_orders()):
            late_ms = self.faults.value("settle-late") if self.faults.take("settle-late") else 0
        self._later((settle.mined_ms + late_ms) / 1000, lambda: self._mined(record))
        self._later((settle.confirmed_ms + late_ms) / 1000, lambda: self._settled(record))

    # -- settlement ----------------------------------------------------------------------

    def _tell_trade(self, record: TradeRecord) -> None:
        now_ms = self.now_ms
        taker = record.taker.api_key
        keys = dict.fromkeys([taker, *(party.api_key for party in record.makers)])
        for key in keys:
            if key != UNKNOWN_OWNER:
                self.users.tell(key, record.event(taker_view=key == taker, epoch_ms=now_ms))

    def pending(self, trade_id: int) -> TradeRecord:
        """Return an unsettled trade by the engine's number; KeyError if there is none."""
        return self._records[trade_id]

    def advance(self, record: TradeRecord, status: str) -> None:
        """Move a trade on to a status, CONFIRMED and FAILED being final."""
        record.status = status
        record.updated_s = self.now_s
        if status in ("CONFIRMED", "FAILED"):
            self.engine.settle(record.matched.trade_id, status == "CONFIRMED")
            self._records.pop(record.matched.trade_id, None)
            self.history.trade_settled(record)
            self.log.write("settled", trade_id=record.id, status=status)
            if status == "FAILED":
                failed = NoticeKind.ORDER_FILL_FAILED
                self.notices.filled(record, self.orders, self.now_s, failed)
        self._tell_trade(record)

    def _mined(self, record: TradeRecord) -> None:
        if record.status == "MATCHED":
            with self.faults.about(record.own_orders()):
                retried = self.faults.fail_trades or self.faults.take("trade-retried")
            self.advance(record, "RETRYING" if retried else "MINED")

    def _settled(self, record: TradeRecord) -> None:
        if record.matched.trade_id not in self._records:
            return
        if record.status == "RETRYING" and self.faults.fail_trades:
            with self.faults.about(record.own_orders()):
                self.faults.fail_trades -= 1
            self.advance(record, "FAILED")
        else:
            self.advance(record, "CONFIRMED")

    def unsettled(self) -> int:
        """Return how many members' trades are neither confirmed nor failed."""
        return len(self._records)
