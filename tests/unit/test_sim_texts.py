"""The venue's words of refusal, byte for byte: clients map errors by their exact text."""

from __future__ import annotations

from typing import Any

import pytest

from oracle.sim_rig import SHARE, START_MS, Rig
from overround.match.types import Order, OrderType, Outcome, Side
from overround.sim.intake import Refusal, rejection_text

MARKET = 5  # a tick of 0.01, no orders until a test places them
NOW_S = START_MS // 1000


@pytest.fixture
def rig() -> Rig:
    return Rig()


def refusal(rig: Rig, body: Any) -> tuple[str, str]:
    """The text and the order id of a refused body."""
    try:
        record = rig.accept(body)
    except Refusal as refused:
        return refused.text, refused.order_id
    rejected = rig.exchange.place(record)
    assert rejected is not None, "accepted"
    return rejection_text(rejected, record.market), record.order.id


def offer(rig: Rig, ticks: int, shares: int) -> None:
    rig.exchange.accounts.grant(1, MARKET, Outcome.YES, shares * SHARE)
    rig.exchange.submit(Order("0xaa", 1, MARKET, Outcome.YES, Side.SELL, ticks, shares * SHARE))


def buy(rig: Rig, ticks: int, shares: float, kind: Any = OrderType.GTC, **more: Any) -> Any:
    lots = round(shares * SHARE)
    token = rig.exchange.catalog.markets[MARKET].token_yes
    return rig.body(token, Side.BUY, lots * ticks // 10_000, lots, kind, **more)


TEXTS = {
    "tick": "order {id} is invalid. Price (0.555) breaks minimum tick size rule: 0.01",
    "size": "order {id} is invalid. Size (4) lower than the minimum: 5",
    "post-only": "invalid post-only order: order crosses book",
    "fok": "order couldn't be fully filled. FOK orders are fully filled or killed.",
    "fak": "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found.",
    "dollar": "invalid amount for a marketable BUY order ($0.52), min size: $1",
    "accuracy": "invalid amounts, the market buy orders maker amount supports a max accuracy of "
    "2 decimals, taker amount a max of 4 decimals",
    "gtd": "invalid expiration",
    "balance": "not enough balance / allowance: the balance is not enough -> "
    "balance: 10000000000, order amount: 20000000000",
}
CASES = [
    ("tick", 5_550, 20, OrderType.GTC, {}),
    ("size", 5_000, 4, OrderType.GTC, {}),
    ("post-only", 5_000, 20, OrderType.GTC, {"post_only": True}),
    ("fok", 5_000, 60, OrderType.FOK, {}),
    ("fak", 4_900, 20, OrderType.FAK, {}),
    ("dollar", 1_000, 5.2, OrderType.FAK, {}),
    ("accuracy", 5_000, 5.123, OrderType.FAK, {}),
    ("gtd", 5_000, 20, OrderType.GTD, {"expiration_s": NOW_S + 179}),
    ("balance", 4_000, 50_000, OrderType.GTC, {}),
]


@pytest.mark.parametrize(("name", "ticks", "shares", "kind", "more"), CASES)
def test_a_refusal_has_the_venues_text(
    rig: Rig, name: str, ticks: int, shares: float, kind: OrderType, more: dict[str, Any]
) -> None:
    offer(rig, 5_000, 50)
    before = rig.exchange.engine.state_hash()
    said, order_id = refusal(rig, buy(rig, ticks, shares, kind, **more))
    assert said == TEXTS[name].replace("{id}", order_id)
    assert rig.exchange.engine.state_hash() == before


def test_the_same_order_again_is_a_duplicate_also_when_it_is_done(rig: Rig) -> None:
    offer(rig, 5_000, 50)
    body = buy(rig, 5_000, 20)
    record = rig.accept(body)
    assert rig.exchange.place(record) is None
    assert rig.exchange.history.knows(record.order.id)
    text, order_id = refusal(rig, body)
    assert text == f"order {order_id} is invalid. Duplicated."


def test_a_gtd_order_may_end_in_180_seconds_and_goes_a_minute_before(rig: Rig) -> None:
    record = rig.accept(buy(rig, 4_000, 20, OrderType.GTD, expiration_s=NOW_S + 180))
    assert rig.exchange.place(record) is None
    rig.scheduler.run(119_000)
    rig.exchange.expire()
    assert record.status == "LIVE"
    rig.scheduler.run(1_000)
    rig.exchange.expire()
    assert record.status == "CANCELED_EXPIRED_ORDER"
    assert rig.exchange.accounts.holding(rig.member.account).reserved_micro == 0


def test_a_closed_market_is_not_ready(rig: Rig) -> None:
    rig.exchange.close_market(rig.exchange.catalog.markets[MARKET])
    text, _ = refusal(rig, buy(rig, 4_000, 20))
    assert text == "the market is not yet ready to process new orders"
