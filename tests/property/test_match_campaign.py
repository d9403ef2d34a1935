"""The short form of ``scripts/prove-exchange``: random commands over the engine and its twin."""

from __future__ import annotations

import os

import pytest

from oracle.campaign import MARKETS, Campaign, campaign, hypothesis_campaign
from overround.match.types import OrderType, Outcome, Side

SEED = int(os.environ.get("OVERROUND_SEED", "20261123"))


def test_random_commands_keep_every_invariant() -> None:
    print(f"OVERROUND_SEED={SEED}")
    done = campaign(1_000, SEED, life=250)
    assert done["trades"] > 120
    assert min(done[kind] for kind in ("submit", "cancel", "settle", "pass_time", "set_tick")) > 5


def test_commands_of_hypothesis_keep_every_invariant() -> None:
    """Shorter lives, but a failure is reduced to the few commands that cause it."""
    print(f"OVERROUND_SEED={SEED}")
    hypothesis_campaign(20, 60, SEED)


def test_the_same_seed_is_the_same_life() -> None:
    lives = [Campaign(SEED), Campaign(SEED), Campaign(SEED + 1)]
    for life in lives:
        life.run(60)
    hashes = [life.engine.state_hash() for life in lives]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_campaign_notices_a_queue_that_is_jumped() -> None:
    """The watch over price-time order is no decoration: it fails for an engine that cheats."""
    life = Campaign(SEED)
    for order_id in ("first", "second"):
        life.count += 1
        life._send(_order(order_id, Side.SELL, 1))
    level = life.engine._markets[3].book.sides[1].levels[_price(life)]
    level.orders.move_to_end("first")
    taker = _order("taker", Side.BUY, 2)
    with pytest.raises(AssertionError, match="came before"):
        life._watch(life.engine.submit(taker, life.now_ms))


def _price(life: Campaign) -> int:
    return life.engine.open_orders(1)[0].book_ticks


def _order(order_id: str, side: Side, account: int) -> object:
    from overround.match.types import Order

    return Order(order_id, account, MARKETS[-1], Outcome.YES, side, 5_000, 5_000_000, OrderType.GTC)
