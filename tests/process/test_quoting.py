"""Quotes of a real executor at the real exchange: they follow, fill, survive, and end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from oracle.quote_rig import TEN, QuotingRig
from overround.match.types import Side
from overround.observe.metrics import Value

SEED = int(os.environ.get("OVERROUND_QUOTING_SEED", "1"))
TURNS = int(os.environ.get("OVERROUND_QUOTING_TURNS", "8"))
"""More of both by hand; the usual run is short."""


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[QuotingRig]:
    rig = QuotingRig(tmp_path)
    yield rig
    rig.close()


def both(rig: QuotingRig, bid: int, ask: int, lots: int = TEN) -> list[tuple[str, int, int]]:
    return [("ASK", ask, lots), ("BID", bid, lots)]


def ends(rig: QuotingRig) -> bool:
    orders = rig.me.signed("GET", "/data/orders")["data"]
    return all(one["order_type"] == "GTD" and int(one["expiration"]) > 0 for one in orders)


def test_quotes_stand_follow_fill_and_are_withdrawn(rig: QuotingRig) -> None:
    rig.start()
    bid, ask = rig.inside
    tick = rig.market.tick_ticks
    rig.want(bid, ask)
    rig.until(lambda: rig.yes_quotes() == both(rig, bid, ask))
    rig.want(bid - tick, ask + tick)  # a retreat of both, to the walls
    rig.until(lambda: rig.yes_quotes() == both(rig, bid - tick, ask + tick))
    rig.want(bid, ask)
    rig.until(lambda: rig.yes_quotes() == both(rig, bid, ask))
    assert rig.hit(Side.SELL, bid, TEN)
    rig.until(lambda: rig.count(Value.FILLS) >= 1)
    rig.until(lambda: rig.yes_quotes() == [("ASK", ask, TEN)])
    rig.want(bid, ask)  # written anew: what was filled is wanted again
    rig.until(lambda: rig.yes_quotes() == both(rig, bid, ask))
    assert rig.hit(Side.BUY, ask, TEN // 2)
    rig.until(lambda: rig.count(Value.FILLS) >= 2)
    rig.targets.withdraw(1, rig.market.index)
    rig.until(lambda: rig.resting() == [])
    rig.wait_settled()
    assert rig.stop() == 0
    rig.assert_clean()


def test_a_killed_executor_goes_on_with_the_quotes_that_stand(rig: QuotingRig) -> None:
    rig.start()
    bid, ask = rig.inside
    rig.want(bid, ask)
    rig.until(lambda: rig.yes_quotes() == both(rig, bid, ask))
    standing = rig.me.signed("GET", "/data/orders")["data"]
    rig.kill()
    assert rig.hit(Side.SELL, bid, TEN // 2)  # filled while nobody looks
    rig.start()
    rig.until(lambda: rig.count(Value.FILLS) >= 1)
    compared = rig.count(Value.RECONCILES) + 2
    rig.until(lambda: rig.count(Value.RECONCILES) >= compared)
    left = {one["id"] for one in rig.me.signed("GET", "/data/orders")["data"]}
    assert left >= {one["id"] for one in standing}
    # What was filled is not placed again beside what rests: the target was not written anew.
    assert rig.yes_quotes() == [("ASK", ask, TEN), ("BID", bid, TEN // 2)]
    rig.targets.clear()
    rig.until(lambda: rig.resting() == [])
    rig.wait_settled()
    assert rig.stop() == 0
    rig.assert_clean()


def test_stale_targets_leave_nothing_at_the_exchange(rig: QuotingRig) -> None:
    rig.start()
    bid, ask = rig.inside
    for cause in ("strategy silent", "books untrusted", "expired"):
        rig.strategy_beats = True
        rig.publish_books()
        rig.want(bid, ask)
        rig.until(lambda: rig.yes_quotes() == both(rig, bid, ask))
        if cause == "strategy silent":
            rig.strategy_beats = False
        elif cause == "books untrusted":
            rig.publish_books(trusted=False)
        else:
            rig.want(bid, ask, life_ms=200)
        rig.until(lambda: rig.resting() == [])
    assert rig.stop() == 0
    rig.assert_clean()


def test_quotes_move_by_a_finer_tick_and_state_their_end(rig: QuotingRig) -> None:
    rig.start()
    bid, ask = rig.inside
    rig.want(bid + 10, ask - 10)
    rig.until(lambda: rig.yes_quotes() == both(rig, bid, ask))
    rig.venue.control("tick", market=rig.market.condition, tick="0.001")
    rig.publish_books()
    rig.want(bid + 10, ask - 10, life_ms=300_000, gtd=True)
    rig.until(lambda: rig.yes_quotes() == both(rig, bid + 10, ask - 10) and ends(rig))
    assert rig.stop() == 0
    assert rig.resting() == []
    rig.assert_clean()


def test_whatever_happens_the_market_ends_empty_and_the_books_agree(rig: QuotingRig) -> None:
    random = Random(SEED)
    rig.start()
    bid, ask = rig.inside
    tick = rig.market.tick_ticks
    faults = (
        {"path": "/orders", "method": "POST", "lose": True},
        {"path": "/orders", "method": "POST", "status": 500},
        {"path": "/order", "method": "POST", "lose": True},
        {"path": "/orders", "method": "DELETE", "lose": True},
        {"path": "/orders", "method": "DELETE", "status": 500},
    )
    for turn in range(TURNS):
        away = random.randrange(2) * tick
        sides = random.choice(((bid - away, ask + away), (bid, None), (None, ask), (bid, ask)))
        rig.want(*sides, lots=random.choice((TEN, 2 * TEN)))
        if random.random() < 0.4:
            rig.venue.control("faults", count=1, **random.choice(faults))
        if random.random() < 0.5:
            side, price = random.choice(((Side.SELL, bid), (Side.BUY, ask)))
            rig.hit(side, price, random.choice((5, 20)) * TEN // 10)
        if turn == TURNS // 2:
            rig.kill()
            rig.start()
        looks = rig.count(Value.RECONCILES) + 1
        if random.random() < 0.3:
            rig.until(lambda looks=looks: rig.count(Value.RECONCILES) >= looks)
    rig.targets.clear()
    rig.until(lambda: rig.resting() == [])
    rig.wait_settled()
    assert rig.stop() == 0
    assert rig.resting() == []
    rig.assert_clean()
