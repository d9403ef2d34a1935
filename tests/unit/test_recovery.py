"""The rules of recovery one by one, with answers made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.desk import (
    CASH,
    SHARE,
    Desk,
    accepted,
    kinds,
    lose,
    market,
    order_event,
    rest,
    taker_trade,
)
from overround.cli.recoverypage import recovery_page
from overround.errors import VenueError
from overround.execute.account import AccountDesk
from overround.execute.http.answer import NoAnswer, Response
from overround.execute.order import OrderState
from overround.execute.publish import _raw_id
from overround.execute.recover import RULES, Recovery
from overround.execute.settle import Settlement
from overround.execute.trust import COMPARE_MS, ChannelTrust, Standing
from overround.ledger.records import Finding, Kind
from overround.observe.metrics import Value
from overround.venues.polymarket.records import OrderEvent, TradeState, UserOrder, UserTrade
from overround.venues.polymarket.rest import Request

INFO = market(3)
YES = INFO.token_yes
FOREIGN = "0x" + "5" * 64
ALARM_MS = 60_000


class Answers:
    """The venue's side, set by the test; ``cached`` shares are what it says until it looks."""

    def __init__(self) -> None:
        self.orders: list[UserOrder] = []
        self.listed: list[UserTrade] = []
        self.balance = CASH
        self.held: dict[str, int] = {}
        self.cached: dict[str, int] = {}

    async def open_orders(self) -> list[UserOrder]:
        return self.orders

    async def trades(self, after_ms: int) -> list[UserTrade]:
        return self.listed

    async def cash(self, *, fresh: bool = False) -> int:
        return self.balance

    async def shares(self, token: str, *, fresh: bool = False) -> int:
        if fresh:
            self.cached.pop(token, None)
        return self.cached.get(token, self.held.get(token, 0))


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.markets.infos = {3: INFO}
    yield desk
    desk.close()


def recovery_of(desk: Desk, answers: Answers, policy: str = "cancel") -> Recovery:
    return Recovery(
        desk.store, answers, desk.markets, desk.news, clock=lambda: desk.now_ns,
        epoch_ms=lambda: desk.now_ms, policy=policy, settle_alarm_ms=ALARM_MS,
    )  # fmt: skip


def buy(desk: Desk, sequence: int = 0) -> Any:
    """Ten settled YES for five dollars and the fee."""
    submission = desk.send(desk.intent(sequence))
    order_id = submission.order_ids[0]
    trade_id = f"t{sequence}"
    desk.core.answer(submission, [accepted(order_id, "matched", trade_id)])
    confirmed = taker_trade(order_id, INFO, trade_id, state=TradeState.CONFIRMED)
    desk.settlement.on_trade(confirmed)
    assert desk.order(sequence).state is OrderState.DONE
    desk.tick(1)
    return confirmed


# -- openings ----------------------------------------------------------------------------


def test_shares_from_before_the_first_day_open_the_ledger_without_profit(desk: Desk) -> None:
    answers = Answers()
    answers.held = {INFO.token_yes: 4 * SHARE, INFO.token_no: 6 * SHARE}
    before = desk.store.positions.view()
    asyncio.run(recovery_of(desk, answers).open())
    view = desk.store.positions.view()
    assert desk.store.positions.lots(YES) == 4 * SHARE
    assert (view.pnl_micro, view.worst_micro) == (before.pnl_micro, before.worst_micro)
    assert kinds(desk) == [Kind.ADJUSTED, Kind.ADJUSTED]
    asyncio.run(recovery_of(desk, answers).open())  # killed before the cash was opened: again
    assert kinds(desk) == [Kind.ADJUSTED, Kind.ADJUSTED]
    desk.restart()
    assert desk.store.positions.lots(INFO.token_no) == 6 * SHARE
    assert desk.store.positions.view().pnl_micro == before.pnl_micro


def test_the_opening_waits_for_young_trades_and_not_for_stuck_ones(desk: Desk) -> None:
    answers = Answers()
    answers.held = {YES: SHARE}
    answers.listed = [taker_trade(FOREIGN, INFO, epoch_ms=desk.now_ms - 1_000)]
    with pytest.raises(VenueError, match="opening waits"):
        asyncio.run(recovery_of(desk, answers).open())
    assert desk.store.positions.lots(YES) == 0
    answers.listed = [taker_trade(FOREIGN, INFO, epoch_ms=desk.now_ms - ALARM_MS)]
    asyncio.run(recovery_of(desk, answers).open())
    assert desk.store.positions.lots(YES) == SHARE


# -- orphans -----------------------------------------------------------------------------


def orphan(matched: int = 0, order_id: str = FOREIGN) -> UserOrder:
    return order_event(order_id, INFO, OrderEvent.LISTING, matched_lots=matched)


@pytest.mark.parametrize(("policy", "cancels"), [("cancel", [FOREIGN]), ("leave", [])])
def test_an_order_nobody_knows_is_cancelled_or_left(
    desk: Desk, policy: str, cancels: list[str]
) -> None:
    recovery = recovery_of(desk, Answers(), policy)
    found = recovery.orphans([orphan()])
    assert recovery.orphans([orphan()]) == found  # until it is gone, and counted once
    assert found == (cancels, [Finding("orphan", FOREIGN, 0, 10 * SHARE, policy)])
    assert desk.news.counts[Value.ORDERS_ORPHANED] == 1
    assert FOREIGN not in desk.store.by_id


def test_an_adopted_order_rests_reserves_fills_and_survives_a_restart(desk: Desk) -> None:
    recovery = recovery_of(desk, Answers(), "adopt")
    assert recovery.orphans([orphan()])[0] == []
    assert recovery.orphans([orphan()])[1] == []  # ours by now
    desk.restart()
    order = desk.store.by_id[FOREIGN]
    assert (order.state, order.reserved_micro) == (OrderState.LIVE, 4_700_000)
    trade = taker_trade(FOREIGN, INFO, state=TradeState.CONFIRMED, price_ticks=4_700)
    desk.settlement.on_trade(trade)
    assert desk.store.positions.lots(YES) == 10 * SHARE
    assert desk.store.by_id[FOREIGN].state is OrderState.DONE


def test_orders_are_adopted_whatever_their_ids_look_like(desk: Desk) -> None:
    ids = ["order 17", "0x", "0x-1", "0xzz", FOREIGN, FOREIGN[:-1] + "6"]
    recovery = recovery_of(desk, Answers(), "adopt")
    for order_id in ids:  # the last two differ in their last digit alone
        assert recovery.orphans([orphan(order_id=order_id)])[0] == []
        assert len(_raw_id(order_id)) == 32
    desk.restart()
    assert len({desk.store.by_id[order_id].key for order_id in ids}) == len(ids)
    assert all(desk.store.by_id[order_id].state is OrderState.LIVE for order_id in ids)


def test_a_partly_filled_orphan_is_not_adopted_at_the_opening(desk: Desk) -> None:
    desk.store.opened = False
    cancels, findings = recovery_of(desk, Answers(), "adopt").orphans([orphan(4 * SHARE)])
    assert cancels == [FOREIGN]
    assert findings[0].action == "cancel"


# -- balances ----------------------------------------------------------------------------


def test_a_cached_zero_is_asked_again_and_a_real_one_told_but_never_booked(desk: Desk) -> None:
    buy(desk)
    answers = Answers()
    answers.held, answers.cached = {YES: 10 * SHARE}, {YES: 0}
    recovery = recovery_of(desk, answers)
    assert asyncio.run(recovery.compare_shares(desk.now_ns)) == []
    answers.held = {}
    assert asyncio.run(recovery.compare_shares(desk.now_ns, every=True)) == [
        Finding("zero", YES, 10 * SHARE, 0, "told")
    ]
    assert desk.store.positions.lots(YES) == 10 * SHARE


def test_shares_are_not_compared_while_the_token_moves(desk: Desk) -> None:
    buy(desk)
    lose(desk, desk.intent(1))  # an order of unknown outcome in the same token
    desk.tick(1)
    found = asyncio.run(recovery_of(desk, Answers()).compare_shares(desk.now_ns, every=True))
    assert found == []


def test_cash_is_compared_at_rest_alone(desk: Desk) -> None:
    answers = Answers()
    answers.balance = CASH - 1
    recovery = recovery_of(desk, answers)
    assert asyncio.run(recovery.compare_cash(desk.now_ns + 1))[1] == [
        Finding("cash", "", CASH, CASH - 1, "told")
    ]
    rest(desk)
    assert asyncio.run(recovery.compare_cash(desk.now_ns + 1)) == (CASH - 1, [])


def test_the_report_is_journaled_when_it_changes(desk: Desk) -> None:
    recovery = recovery_of(desk, Answers())
    found = [Finding("cash", "", 1, 2, "told")]
    for findings in ([], found, found, []):
        recovery.note("timer", findings)
    assert kinds(desk) == [Kind.FINDINGS, Kind.FINDINGS]
    assert desk.news.notices.count("recovery") == 1


def test_every_rule_is_on_the_page() -> None:
    page = recovery_page()
    assert all(f"| {rule.code} | {rule.found} |" in page for rule in RULES)


# -- doubts and trust --------------------------------------------------------------------


class OneFails:
    """A client whose look-up of one order fails; the others are told of as not there."""

    def __init__(self, failing: str) -> None:
        self.failing = failing

    async def call(self, request: Request, *, cost: int = 1) -> Response:
        if request.path.endswith(self.failing):
            raise NoAnswer("it takes too long")
        if request.path.startswith("/data/order/"):
            return Response(200, b"null", "")
        return Response(200, b'{"canceled": [], "not_canceled": {}}', "")


def account_desk(desk: Desk, client: Any, answers: Answers) -> AccountDesk:
    settlement: Settlement = desk.settlement
    return AccountDesk(
        client, desk.core, desk.store, settlement, desk.resolver, desk.news,
        clock=lambda: desk.now_ns, epoch_ms=lambda: desk.now_ms, reader=answers,
        recovery=recovery_of(desk, answers),
    )  # fmt: skip


def test_one_look_up_that_fails_leaves_the_others_to_be_judged(desk: Desk) -> None:
    first, second = (lose(desk, desk.intent(number)).order_ids[0] for number in range(2))
    desk.tick(10_000)  # both are quiet for long: what is not there is proved absent
    account = account_desk(desk, OneFails(first), Answers())
    asyncio.run(account.ask())
    assert desk.store.by_id[first].state is OrderState.UNKNOWN
    assert desk.store.by_id[second].state is OrderState.DONE
    assert desk.news.counts[Value.LOOK_UPS_FAILED] == 1
    with pytest.raises(NoAnswer):
        asyncio.run(account.ask())


def test_a_fill_that_only_a_listing_told_costs_the_channel_its_trust(desk: Desk) -> None:
    answers = Answers()
    account = account_desk(desk, OneFails("never"), answers)
    account.trust.connected()
    desk.tick(1)
    asyncio.run(account.reconcile())
    assert account.trust.trusted
    order_id = rest(desk).order_id
    desk.tick(10_000)
    answers.listed = [taker_trade(order_id, INFO, epoch_ms=desk.now_ms - 5_000)]
    answers.orders = [order_event(order_id, INFO, OrderEvent.LISTING, matched_lots=10 * SHARE)]
    asked_ns = desk.now_ns
    account._book_listed(answers.listed, desk.now_ms)
    assert desk.news.counts[Value.USER_MISSED] == 1
    assert account.trust.standing is Standing.CONNECTED
    account.trust.compared(asked_ns - 1)
    assert not account.trust.trusted  # that one had begun before the gap was known


def test_the_channel_is_trusted_from_a_comparison_that_began_while_it_listened() -> None:
    now = [100]
    desk_news: Any = type("Deaf", (), {"notice": lambda *_, **__: None})()
    trust = ChannelTrust(desk_news, lambda: now[0])
    assert trust.wait_ms(5_000) == COMPARE_MS
    assert not trust.compared(200)
    trust.connected()
    assert not trust.compared(99)
    assert trust.compared(100)
    assert trust.wait_ms(5_000) == 5_000
    now[0] = 300
    trust.lost()
    trust.doubted("late frame")
    assert (trust.standing, trust.gap_from_ns) == (Standing.LOST, 300)


def test_a_partly_filled_taker_keeps_its_cash_reserved(desk: Desk) -> None:
    order_id = lose(desk).order_ids[0]
    order = desk.store.by_id[order_id]
    assert order.signed is not None
    whole = order.reserved_micro
    assert whole == order.signed.reserved_micro
    cheap = taker_trade(order_id, INFO, price_ticks=1_000, size_lots=9 * SHARE)
    desk.settlement.on_trade(cheap)
    spent = sum(fill.cash_micro + fill.fee_micro for fill in desk.store.positions.pending())
    assert order.reserved_micro == whole - spent  # not a tenth of it
    assert desk.store.reserved_micro() == order.reserved_micro
