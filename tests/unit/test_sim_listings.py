"""What the exchange remembers and lists: prints, positions, notifications, scores, pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from oracle.sim_rig import SHARE, Rig
from overround.match.types import Order, OrderType, Outcome, Side
from overround.sim.answers import END_CURSOR, START_CURSOR, cursor_page, page_start
from overround.sim.catalog import SimMarket
from overround.sim.portfolio import Fill, Stake, account_of, fills_of, stakes_of
from overround.sim.rewards import AGE_S, DAILY_MICRO, Rewards, reward_rules
from overround.sim.tape import POINTS_MAX, PRINTS_MAX, Print, Tape

CENT = 10_000


def print_at(epoch_s: int, price_ticks: int, outcome: int = 0) -> Print:
    return Print(epoch_s, outcome, Side.BUY, price_ticks, SHARE, CENT, "0x1", "0x2")


# -- pages -----------------------------------------------------------------------------------


def walk(items: list[int], limit: int) -> list[list[Any]]:
    pages, cursor = [], START_CURSOR
    while cursor != END_CURSOR:
        request = make_mocked_request("GET", f"/data/orders?next_cursor={cursor}")
        text = cursor_page(request, items, limit, lambda item: {"n": item}).text
        assert text is not None
        page = json.loads(text)
        assert page["count"] == len(page["data"])
        pages.append([row["n"] for row in page["data"]])
        cursor = page["next_cursor"]
    return pages


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_pages_have_every_item_once_and_end(count: int) -> None:
    pages = walk(list(range(count)), 2)
    assert [number for page in pages for number in page] == list(range(count))
    assert len(pages) == max(1, -(-count // 2))


def test_cursors_are_base64_offsets() -> None:
    assert (page_start(""), page_start("MA=="), page_start("MTAw")) == (0, 0, 100)
    assert page_start("LTE=") is None
    for bad in ("100", "LTI=", "?", "YWJj", "é"):
        with pytest.raises(ValueError):
            page_start(bad)
    answer = cursor_page(make_mocked_request("GET", "/x?next_cursor=nonsense"), [1], 2, dict)
    assert answer.status == 400


# -- prints ----------------------------------------------------------------------------------


def test_history_has_one_price_a_step_of_the_token_asked_for() -> None:
    tape = Tape()
    for epoch_s, ticks, outcome in (
        (60, 5_000, 0),
        (61, 5_100, 0),
        (61, 4_800, 1),
        (130, 6_000, 0),
    ):
        tape.record(3, print_at(epoch_s, ticks, outcome))
    assert tape.history(3, 0, 0, 200, 60) == [(61, 5_200), (130, 6_000)]
    assert tape.history(3, 1, 0, 200, 60) == [(61, 4_800), (130, 4_000)]
    assert tape.history(3, 0, 0, 129, 1) == [(60, 5_000), (61, 5_200)]
    assert tape.history(4, 0, 0, 200, 60) == []
    assert (tape.of(3).volume_micro, tape.of(3).lots) == (4 * CENT, 4 * SHARE)


def test_a_tape_is_bounded() -> None:
    tape = Tape()
    for number in range(POINTS_MAX + PRINTS_MAX + 1):
        tape.record(0, print_at(number, 5_000))
    assert len(tape.of(0).prints) == PRINTS_MAX
    assert len(tape.of(0).points) == POINTS_MAX
    assert tape.of(0).prints[-1].epoch_s == POINTS_MAX + PRINTS_MAX


# -- positions -------------------------------------------------------------------------------


def fill(market: SimMarket, side: Side, ticks: int, shares: int, fee: int = 0) -> Fill:
    cash = shares * SHARE * ticks // 10_000
    return Fill(1, market, 0, side, ticks, shares * SHARE, cash, fee, "0x1", "0x2")


def test_sales_realise_against_the_average_cost() -> None:
    market = Rig().exchange.catalog.markets[0]
    stake = Stake(market, 0)
    stake.add(fill(market, Side.BUY, 4_000, 10, fee=7))
    stake.add(fill(market, Side.BUY, 6_000, 10))
    assert (stake.average_ticks, stake.cost_micro) == (5_000, 10 * SHARE)
    stake.add(fill(market, Side.SELL, 7_000, 5))
    assert (stake.lots, stake.cost_micro) == (15 * SHARE, 7_500_000)
    assert (stake.realized_micro, stake.fees_micro) == (1_000_000, 7)
    stake.hold(0)
    assert (stake.lots, stake.cost_micro, stake.average_ticks) == (0, 0, 5_000)


def test_tokens_from_a_split_cost_a_half_each() -> None:
    market = Rig().exchange.catalog.markets[0]
    stake = Stake(market, 1)
    stake.hold(8 * SHARE)
    assert (stake.cost_micro, stake.average_ticks) == (4 * SHARE, 5_000)
    stake.add(fill(market, Side.SELL, 6_000, 10))
    assert (stake.lots, stake.cost_micro) == (0, 0)
    # Eight at a half from the split, two more at a half that were never seen.
    assert stake.realized_micro == 1_000_000


def test_a_wallet_has_the_fills_and_stakes_of_its_trades() -> None:
    rig = Rig()
    market = rig.exchange.catalog.markets[0]
    rig.exchange.accounts.deposit(1, 100 * SHARE)
    rig.exchange.accounts.grant(1, market.index, Outcome.YES, 100 * SHARE)
    place(rig, market, 5_000, 20)
    assert place(rig, market, 5_000, 8, seller=True)
    account = account_of(rig.exchange, rig.signer.address.lower())
    assert account == rig.member.account
    assert account_of(rig.exchange, "0x" + "0" * 40) is None
    [found] = fills_of(rig.exchange, account)
    assert (found.side, found.size_lots, found.fee_micro) == (Side.BUY, 8 * SHARE, 0)
    rig.scheduler.run(200)
    [stake] = stakes_of(rig.exchange, account)
    assert (stake.lots, stake.cost_micro) == (8 * SHARE, 4 * SHARE)


def place(rig: Rig, market: SimMarket, ticks: int, shares: int, *, seller: bool = False) -> bool:
    """Place the member's BUY of YES, or as a trader of the flow sell to it."""
    if not seller:
        cash = shares * SHARE * ticks // 10_000
        body = rig.body(market.token_yes, Side.BUY, cash, shares * SHARE)
        record = rig.intake.accept(body, rig.member, rig.credentials, rig.exchange.now_ms)
        return rig.exchange.place(record) is None
    order = Order(
        f"flow-{ticks}-{shares}", 1, market.index, Outcome.YES, Side.SELL, ticks,
        shares * SHARE, OrderType.FAK,
    )  # fmt: skip
    return rig.exchange.submit(order)


# -- notifications ---------------------------------------------------------------------------


def test_fills_cancels_and_failures_are_notified_and_dropped() -> None:
    rig = Rig()
    exchange, market = rig.exchange, rig.exchange.catalog.markets[0]
    exchange.accounts.grant(1, market.index, Outcome.YES, 100 * SHARE)
    place(rig, market, 5_000, 20)
    place(rig, market, 5_000, 8, seller=True)
    exchange.cancel_ids(rig.member, [record.order.id for record in exchange.open_records(
        rig.member.account
    )])  # fmt: skip
    own = [rig.member.address]
    kinds = [notice["type"] for notice in exchange.notices.of(own, exchange.now_s)]
    assert kinds == [1, 2]
    last, filled = exchange.notices.of(own, exchange.now_s)
    assert (filled["payload"]["matched_size"], filled["payload"]["remaining_size"]) == ("8", "12")
    assert (last["payload"]["matched_size"], last["payload"]["trade_id"]) == ("8", "")
    assert exchange.notices.of(own, exchange.now_s + 48 * 3600) == []
    exchange.notices.drop(own, {filled["id"], 999})
    assert exchange.notices.of(own, exchange.now_s) == [last]
    assert exchange.notices.of(["0x" + "0" * 40], exchange.now_s) == []


# -- scores ----------------------------------------------------------------------------------


def test_only_aged_close_and_large_orders_score() -> None:
    rig = Rig()
    exchange = rig.exchange
    market = next(m for m in exchange.catalog.markets if reward_rules(m))
    rules = reward_rules(market)
    assert rules is not None
    rewards = Rewards(exchange, 7)
    with exchange.burst():
        seed_book(rig, market)
    least = -(-rules.min_lots // SHARE)
    place(rig, market, 5_000, least)
    [record] = exchange.open_records(rig.member.account)
    assert rewards.order_score(record) == 0
    rig.scheduler.run(AGE_S * 1000)
    assert rewards.order_score(record) > 0
    [share] = rewards.shares_ppm(rig.member.account).values()
    assert 0 < share < 1_000_000
    rewards.sample()
    day = "2026-11-22"
    earned = rewards.earned(day, rig.member.account)
    assert earned == {market.index: DAILY_MICRO * share // (1_440 * 1_000_000)}
    place(rig, market, 5_000 - 2 * rules.spread_ticks, least)
    far = exchange.open_records(rig.member.account)[-1]
    rig.scheduler.run(AGE_S * 1000)
    assert rewards.order_score(far) == 0
    assert rewards.earned("2026-11-23", rig.member.account) == {}


def seed_book(rig: Rig, market: SimMarket) -> None:
    rig.exchange.accounts.deposit(1, 1_000_000 * SHARE)
    rig.exchange.accounts.grant(1, market.index, Outcome.YES, 10_000 * SHARE)
    for side, ticks in ((Side.BUY, 4_990), (Side.SELL, 5_010)):
        order = Order(f"seed-{side}", 1, market.index, Outcome.YES, side, ticks, 1_000 * SHARE)
        assert rig.exchange.submit(order)
