"""The executor's model once more, with the matching engine as the venue.

Everything of ``test_executor_model`` against an exchange that keeps the books to the micro-unit:
orders are met by sellers of the token and by buyers of the other one (mint), resting orders are
filled in parts, trades settle or fail. At the end cash and shares are the engine's own. What the
runs walk through is held against the table of an order's life.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from itertools import count

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from oracle.desk import CASH, OWNER, STRANGER, accepted, duplicate, order_event, taker_trade
from overround.execute.lifetable import ARROWS, OrderEvent, OrderState
from overround.execute.order import Order, advance, event_of
from overround.layout.intent import IntentFlag
from overround.ledger.records import Record
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.types import (
    MarketRules,
    Matched,
    OrderType,
    Outcome,
    Side,
)
from overround.match.types import Order as VenueOrder
from overround.venues.polymarket.answers import OrderAnswer
from overround.venues.polymarket.fees import fee_micro
from overround.venues.polymarket.records import (
    MakerOrder,
    TradeState,
    UserOrder,
    UserTrade,
)
from overround.venues.polymarket.records import (
    OrderEvent as ChannelEvent,
)
from property.test_executor_model import INFO, ExecutorMachine

US, THEM = 1_000, 1
CENT = 10_000
"""0.01 share: cash of whole cents of shares is exact."""


class _Live(MutableMapping[str, int]):
    """Our resting orders in the engine, and what is left of each; deleting one cancels it."""

    def __init__(self, engine: MatchingEngine) -> None:
        self._engine = engine

    def _orders(self) -> dict[str, VenueOrder]:
        return {order.id: order for order in self._engine.open_orders(US)}

    def __getitem__(self, order_id: str) -> int:
        return self._orders()[order_id].remaining_lots

    def __setitem__(self, order_id: str, lots: int) -> None:
        raise NotImplementedError

    def __delitem__(self, order_id: str) -> None:
        assert self._engine.cancel(order_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._orders())

    def __len__(self) -> int:
        return len(self._orders())


class EngineVenue:
    """The toy venue's interface over the engine that the exchange in the box runs on."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.engine = MatchingEngine(self.accounts, fee_micro)
        self.engine.add_market(
            MarketRules(
                index=3, tick_ticks=100, min_size_lots=1,
                fee_rate_ppm=INFO.fee_rate_ppm, fee_exponent=INFO.fee_exponent,
            )
        )  # fmt: skip
        self.accounts.deposit(US, CASH)
        self.accounts.deposit(THEM, 10**12)
        for outcome in Outcome:
            self.accounts.grant(THEM, 3, outcome, 10**12)
        self.live = _Live(self.engine)
        self.known: set[str] = set()
        self.trades: dict[str, UserTrade] = {}
        self._numbers: dict[str, int] = {}
        self._ids = count(1)

    def _theirs(self, outcome: Outcome, side: Side, ticks: int, lots: int, kind: OrderType) -> None:
        order = VenueOrder(f"0x{next(self._ids):064x}", THEM, 3, outcome, side, ticks, lots, kind)
        self._submit(order)

    def _submit(self, order: VenueOrder) -> list[str]:
        """Submit an order; return the ids of the trades it made with us."""
        events = self.engine.submit(order, 1)
        return [self._tell(event) for event in events if isinstance(event, Matched)]

    def _tell(self, matched: Matched) -> str:
        trade_id = f"t{matched.trade_id}"
        self._numbers[trade_id] = matched.trade_id
        legs = tuple(
            MakerOrder(
                order_id=leg.order.id, owner=OWNER if leg.order.account == US else STRANGER,
                maker_address="0x1", token_id=INFO.token(leg.outcome), side=leg.side,
                price_ticks=leg.price_ticks, matched_lots=leg.size_lots,
            )
            for leg in matched.legs
        )  # fmt: skip
        ours = matched.taker_order.account == US
        trade = taker_trade(
            matched.taker_order.id, INFO, trade_id, price_ticks=matched.price_ticks,
            size_lots=matched.size_lots, outcome=int(matched.outcome), side=matched.side,
        )  # fmt: skip
        self.trades[trade_id] = msgspec.structs.replace(
            trade, owner=OWNER if ours else STRANGER, we_are_maker=not ours, maker_orders=legs
        )
        return trade_id

    def post(self, order_id: str, *, taking: bool, size_lots: int) -> OrderAnswer:
        if order_id in self.known:
            return duplicate(order_id)
        self.known.add(order_id)
        ticks = 5_000 if taking else 4_700
        if taking:
            half = size_lots // 2 // CENT * CENT
            self._theirs(Outcome.YES, Side.SELL, ticks, half, OrderType.GTC)
            self._theirs(Outcome.NO, Side.BUY, 10_000 - ticks, size_lots - half, OrderType.GTC)
        kind = OrderType.FAK if taking else OrderType.GTC
        ours = VenueOrder(order_id, US, 3, Outcome.YES, Side.BUY, ticks, size_lots, kind)
        trades = self._submit(ours)
        if not taking:
            return accepted(order_id, "live")
        return accepted(order_id, "matched", *trades, taking_micro=size_lots)

    def fill(self, order_id: str, part: float = 1.0) -> None:
        """A stranger sells into the best of our resting orders, a part of it or all."""
        lots = max(CENT, int(self.live[order_id] * part) // CENT * CENT)
        self._theirs(Outcome.YES, Side.SELL, 4_700, lots, OrderType.FAK)

    def settle(self, trade_id: str, state: TradeState) -> None:
        trade = self.trades[trade_id]
        if not trade.state.final and state.final:
            self.engine.settle(self._numbers[trade_id], state is TradeState.CONFIRMED)
            self.trades[trade_id] = msgspec.structs.replace(trade, state=state)

    def listing(self) -> list[UserOrder]:
        return [
            order_event(
                one.id, INFO, ChannelEvent.LISTING, size_lots=one.size_lots,
                matched_lots=one.filled_lots,
            )
            for one in self.engine.open_orders(US)
        ]  # fmt: skip


class ExchangeMachine(ExecutorMachine):
    """The same steps; fills come in parts, and the end is the engine's."""

    def __init__(self) -> None:
        super().__init__()
        self.venue = EngineVenue()  # type: ignore[assignment]

    @precondition(lambda self: self.venue.live)
    @rule(data=st.data(), part=st.sampled_from([0.3, 0.5, 1.0]))
    def meet(self, data: st.DataObject, part: float) -> None:
        order_id = data.draw(st.sampled_from(sorted(self.venue.live)))
        self.venue.fill(order_id, part)  # type: ignore[call-arg]

    @rule()
    def refuse(self) -> None:
        message = self.desk.intent(self.sequence, price_ticks=4_999)  # off the tick
        self.sequence += 1
        assert self.desk.core.take([message]) == []

    @precondition(lambda self: self.venue.live)
    @rule(data=st.data(), lost=st.booleans())
    def want_no_more(self, data: st.DataObject, lost: bool) -> None:
        order = self.desk.store.by_id[data.draw(st.sampled_from(sorted(self.venue.live)))]
        target = order.key.sequence
        cancel = self.desk.intent(self.sequence, flags=int(IntentFlag.CANCEL), target=target)
        self.sequence += 1
        self.desk.core.take([cancel])
        wanted, self.desk.core.cancels = self.desk.core.cancels, []
        for one in wanted:
            if not lost and self.venue.live.pop(one.order_id, None) is not None:
                self.desk.settlement.gone(one, "canceled")
                self.desk.settlement.close(one)

    @rule()
    def in_the_end_the_ledger_is_the_venues(self) -> None:
        for order_id in sorted(self.under_way):
            taking, size_lots = self.under_way.pop(order_id)
            self.venue.post(order_id, taking=taking, size_lots=size_lots)
        for trade_id in list(self.venue.trades):
            self.venue.settle(trade_id, TradeState.CONFIRMED)
        for _ in range(4):
            self.compare(3_100, True)
        for trade_id in list(self.venue.trades):
            self.venue.settle(trade_id, TradeState.CONFIRMED)
        self.compare(3_100, True)
        venue: EngineVenue = self.venue  # type: ignore[assignment]
        positions = self.desk.store.positions
        held = venue.accounts.holding(US)
        assert positions.view().pending_fills == 0
        assert positions.lots(INFO.token_yes) == held.token(3, Outcome.YES).lots
        assert positions.view().cash_micro == held.cash_micro
        assert self.desk.store.reserved_micro() >= held.reserved_micro
        venue.engine.check()


TestExecutorExchange = ExchangeMachine.TestCase
TestExecutorExchange.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, print_blob=True
)

_S, _E = OrderState, OrderEvent
WALKED = {
    (_S.NEW, _E.SIGNED), (_S.NEW, _E.ENDED), (_S.SIGNED, _E.SENT), (_S.SIGNED, _E.ENDED),
    (_S.SENT, _E.LIVE_ANSWERED), (_S.SENT, _E.TRADED), (_S.SENT, _E.REJECTED),
    (_S.SENT, _E.SILENCE),
    (_S.UNKNOWN, _E.SENT), (_S.UNKNOWN, _E.CANCEL_ASKED), (_S.UNKNOWN, _E.ENDED),
    (_S.UNKNOWN, _E.LIVE_SEEN), (_S.UNKNOWN, _E.TRADED),
    (_S.LIVE, _E.GONE), (_S.LIVE, _E.CANCEL_ASKED), (_S.CLOSED, _E.ENDED),
}  # fmt: skip
"""Arrows that short runs always walk; the rest need a venue that delays, or a rarer race."""


def test_runs_walk_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: set[tuple[OrderState, OrderEvent]] = set()

    def note(order: Order, record: Record) -> None:
        event = event_of(order, record)
        if event is not None:
            walked.add((order.state, event))
        advance(order, record)

    monkeypatch.setattr("overround.execute.store.advance", note)
    hunting = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(ExchangeMachine, settings=hunting)
    assert walked <= {(arrow.state, arrow.event) for arrow in ARROWS}
    assert walked >= WALKED, WALKED - walked
