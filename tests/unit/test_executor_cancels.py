"""What a cancel's answer proves: that nothing rests any more, and nothing of what traded before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.desk import (
    SHARE,
    Desk,
    accepted,
    duplicate,
    lose,
    maker_trade,
    market,
    order_event,
    rest,
)
from overround.execute.account import AccountDesk
from overround.execute.http.answer import Response
from overround.execute.order import Order, OrderState
from overround.execute.recover import Recovery
from overround.execute.resolve import CANCEL_TOLD_NS, resend
from overround.layout.report import ReportKind
from overround.venues.contract import OrderType
from overround.venues.polymarket.records import OrderEvent, TradeState, UserOrder, UserTrade
from overround.venues.polymarket.rest import Request

INFO = market(3)
TOLD_MS = CANCEL_TOLD_NS // 1_000_000
WHOLE = 4_824_550
"""Ten shares at 0.47 and the largest fee they can meet."""


class Venue:
    """Says that cancels are done, or why not; knows what the test puts into its listings."""

    def __init__(self) -> None:
        self.refuses = ""
        self.names: tuple[str, ...] = ()
        self.orders: list[UserOrder] = []
        self.listed: list[UserTrade] = []
        self.looked_up = b"null"
        self.asked: list[str] = []

    async def call(self, request: Request, *, cost: int = 1) -> Response:
        self.asked.append(f"{request.method} {request.path}")
        if request.method == "GET":
            return Response(200, self.looked_up, "")
        ids = json.loads(request.body) if request.body else list(self.names)
        refused = dict.fromkeys(ids, self.refuses) if self.refuses else {}
        done = {"canceled": [] if refused else ids, "not_canceled": refused}
        return Response(200, json.dumps(done).encode(), "")

    async def open_orders(self) -> list[UserOrder]:
        return self.orders

    async def trades(self, after_ms: int) -> list[UserTrade]:
        return self.listed

    async def cash(self, *, fresh: bool = False) -> int:
        return 0

    async def shares(self, token: str, *, fresh: bool = False) -> int:
        return 0


class Rig(Desk):
    """The desk with an account at this venue."""

    def open(self) -> None:
        super().open()
        self.venue = Venue()
        venue: Any = self.venue
        recovery = Recovery(
            self.store, venue, self.markets, self.news, clock=lambda: self.now_ns,
            epoch_ms=lambda: self.now_ms, policy="leave", settle_alarm_ms=60_000,
        )  # fmt: skip
        self.account = AccountDesk(
            venue, self.core, self.store, self.settlement, self.resolver, self.news,
            clock=lambda: self.now_ns, epoch_ms=lambda: self.now_ms, reader=venue,
            recovery=recovery,
        )  # fmt: skip

    def cancel(self, order: Order) -> None:
        """Ask for the cancel; it is answered."""
        self.core.request_cancel(order, "strategy")
        asyncio.run(self.account.cancel([order]))

    def ask(self) -> None:
        asyncio.run(self.account.ask())

    def fill(self, order: Order, shares: int = 4) -> None:
        """A trade that happened before the cancel."""
        trade = maker_trade(
            order.order_id, INFO, state=TradeState.CONFIRMED, size_lots=shares * SHARE
        )
        self.venue.listed = [trade]


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_an_answered_cancel_frees_nothing_before_its_last_fill_is_seen(rig: Rig) -> None:
    order = rest(rig)
    rig.cancel(order)
    assert rig.store.reserved_micro() == WHOLE
    rig.fill(order)
    event = order_event(order.order_id, INFO, OrderEvent.CANCELLATION, matched_lots=4 * SHARE)
    rig.settlement.on_order(event)
    assert rig.store.reserved_micro() == WHOLE * 4 // 10  # what has traded is still to cost
    rig.settlement.on_trade(rig.venue.listed[0])
    assert (order.state, rig.store.reserved_micro()) == (OrderState.DONE, 0)


def test_a_cancel_that_the_channel_never_tells_of_is_looked_up(rig: Rig) -> None:
    order = rest(rig)
    rig.cancel(order)
    rig.fill(order)
    assert rig.resolver.doubtful() == []  # the channel has its time
    assert rig.resolver.waits()
    rig.tick(TOLD_MS + 1)
    assert rig.resolver.doubtful() == [order]
    rig.ask()
    assert (order.state, order.filled_lots) == (OrderState.DONE, 4 * SHARE)
    assert rig.store.reserved_micro() == 0
    assert not rig.resolver.waits()
    cancelled = [kind for kind, _, _ in rig.news.reports if kind is ReportKind.CANCELED]
    assert len(cancelled) == 1


def test_the_loop_that_settles_doubts_waits_for_the_channel_first(rig: Rig) -> None:
    order = rest(rig)
    rig.cancel(order)

    async def settle() -> None:
        task = asyncio.create_task(rig.account.settle_doubts())
        await asyncio.sleep(0.06)
        assert rig.venue.asked == ["DELETE /orders"]
        rig.tick(TOLD_MS + 1)
        async with asyncio.timeout(30):
            while order.state is not OrderState.DONE:
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(settle())


def test_an_order_that_a_cancel_all_took_is_not_repeated_and_kept_until_proof(rig: Rig) -> None:
    (order_id,) = lose(
        rig, rig.intent(0, order_type=int(OrderType.GTC), price_ticks=4_700)
    ).order_ids
    order = rig.order(0)
    rig.venue.names = (order_id,)
    assert asyncio.run(rig.account.cancel_all())
    assert (order.state, order.cancel_asked) == (OrderState.LIVE, True)  # it was there
    assert rig.store.reserved_micro() == WHOLE
    rig.tick(TOLD_MS + 1)
    rig.ask()
    assert order.state is OrderState.DONE
    assert not any(line.startswith("POST") for line in rig.venue.asked)


def test_an_order_that_a_cancel_all_passed_over_is_cancelled_by_its_id(rig: Rig) -> None:
    first, second = rest(rig), rest(rig, 1)
    rig.venue.names = (first.order_id,)
    assert asyncio.run(rig.account.cancel_all())
    assert rig.venue.asked == ["DELETE /cancel-all", "DELETE /orders"]
    assert [one.cancelled_ns > 0 for one in (first, second)] == [True, True]
    rig.tick(TOLD_MS + 1)
    rig.ask()
    assert not rig.store.working
    rig.venue.asked.clear()
    assert asyncio.run(rig.account.cancel_all())
    assert rig.venue.asked == ["DELETE /cancel-all"]  # nothing is left


def test_a_repeat_that_was_a_duplicate_and_is_cancelled_is_not_waited_for(rig: Rig) -> None:
    lose(rig, rig.intent(0, order_type=int(OrderType.GTC), price_ticks=4_700))
    order = rig.order(0)
    again = resend(order)
    assert rig.core.begin(again)
    rig.core.answer(again, [duplicate(order.order_id)])
    rig.cancel(order)
    assert order.state is OrderState.UNKNOWN
    rig.ask()
    assert order.state is OrderState.DONE


def test_an_answer_that_was_under_way_adds_what_it_matched(rig: Rig) -> None:
    submission = rig.send(rig.intent(0, order_type=int(OrderType.GTC), price_ticks=4_700))
    order = rig.order(0)
    rig.venue.names = submission.order_ids
    asyncio.run(rig.account.cancel_all())
    rig.tick(TOLD_MS + 1)
    assert rig.resolver.doubtful() == []  # its answer says more
    rig.core.answer(submission, [accepted(order.order_id, "matched", "m1", taking_micro=4 * SHARE)])
    rig.settlement.close(order)
    rig.ask()  # the trade is in no listing yet
    assert order.state is OrderState.CLOSED
    assert rig.store.reserved_micro() == WHOLE * 4 // 10


def test_a_listing_ends_it_as_well_and_calls_it_no_difference(rig: Rig) -> None:
    order = rest(rig)
    rig.cancel(order)
    asked_ns = rig.now_ns - 1
    assert rig.resolver.sweep([], asked_ns) == ([], [])  # asked for before the answer
    assert order.state is OrderState.LIVE
    rig.tick(1)
    assert rig.resolver.sweep([], rig.now_ns) == ([], [])
    assert order.state is OrderState.DONE


def test_an_order_the_venue_cannot_cancel_any_more_is_looked_up(rig: Rig) -> None:
    order = rest(rig)
    rig.venue.refuses = "already canceled or matched"
    rig.cancel(order)
    rig.fill(order, 10)
    rig.tick(TOLD_MS + 1)
    rig.ask()
    assert (order.state, order.filled_lots) == (OrderState.DONE, 10 * SHARE)


def test_an_order_that_still_rests_in_spite_of_the_answer_is_left_to_the_comparison(
    rig: Rig,
) -> None:
    order = rest(rig)
    rig.cancel(order)
    rig.tick(TOLD_MS + 1)
    rig.venue.looked_up = json.dumps(
        {"id": order.order_id, "status": "LIVE", "owner": "x", "maker_address": "0x1",
         "market": INFO.condition_id, "asset_id": INFO.token_yes, "side": "BUY",
         "original_size": "10", "size_matched": "0", "price": "0.47", "outcome": "Yes",
         "created_at": 1_795_345_200, "expiration": "0", "order_type": "GTC",
         "associate_trades": []}
    ).encode()  # fmt: skip
    rig.ask()
    assert order.state is OrderState.LIVE
    assert not rig.resolver.waits()
    listed = order_event(order.order_id, INFO, OrderEvent.LISTING)
    rig.tick(1)
    remedies, _ = rig.resolver.sweep([listed], rig.now_ns)
    assert [one.order for one in remedies] == [order]


def test_a_restart_finds_it_by_the_first_comparison(rig: Rig) -> None:
    rest(rig)
    rig.cancel(rig.order(0))
    rig.restart()
    order = rig.order(0)
    assert (order.state, rig.store.reserved_micro()) == (OrderState.LIVE, WHOLE)
    rig.tick(1)
    rig.resolver.sweep([], rig.now_ns)
    assert order.state is OrderState.DONE
