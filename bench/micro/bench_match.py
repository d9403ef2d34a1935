"""How many orders a second can the matching engine take, and how does it scale?

Question: the cost of one ``submit`` (with the settlement of what it matched) in books of 10,
1,000 and 10,000 resting orders, and of a cancel in the middle of one long queue.
Input: a seeded stream of limit orders around the touch, three quarters passive, a fifth
cancelled again, in one market; sizes of 5 to 200 shares; five per cent fee.
Warm-up: the book is filled before timing; pytest-benchmark calibrates and repeats.
One number: the time of one round of ORDERS orders; divide by ORDERS for one order.
The twin of tests/oracle takes the same stream at its own pace: the ratio is what the
structures buy.

Run: ``.venv/bin/pytest bench/micro/bench_match.py --benchmark-only``
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from oracle.exchange import SlowExchange
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.types import MarketRules, Matched, Order, OrderType, Outcome, Side

SEED = 20261123
ORDERS = 1_000
SHARE = 1_000_000
NOW_MS = 1_795_345_200_000
MIDDLE_TICKS = 5_000


def fee(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    """Size x rate x p(1-p), half up to 10 micro-units."""
    exact = size_lots * rate_ppm * price_ticks * (10_000 - price_ticks)
    return (exact + 5 * 10**14) // 10**15 * 10


def stream(count: int, passive: float, seed: int) -> list[Order]:
    """Return orders around the middle: ``passive`` of them away from the touch."""
    rng = random.Random(seed)
    orders = []
    for number in range(count):
        outcome, side = rng.choice(list(Outcome)), rng.choice(list(Side))
        away = rng.randrange(1, 400) if rng.random() < passive else -rng.randrange(0, 20)
        price = MIDDLE_TICKS - 10 * away if side == Side.BUY else MIDDLE_TICKS + 10 * away
        price = max(10, min(9_990, price))
        size = rng.randrange(500, 20_000) * 10_000
        account = rng.randrange(1, 9)
        orders.append(
            Order(f"{seed}-{number}", account, 0, outcome, side, price, size, OrderType.GTC)
        )
    return orders


def fund(accounts: Any) -> None:
    """Give eight accounts more than they can use."""
    for account in range(1, 9):
        accounts.deposit(account, 10**15)
        for outcome in Outcome:
            accounts.grant(account, 0, outcome, 10**15)


def prepared(resting: int) -> tuple[MatchingEngine, list[Order]]:
    """Return an engine with ``resting`` passive orders, and the stream to time."""
    engine = MatchingEngine(Accounts(), fee)
    fund(engine.accounts)
    engine.add_market(MarketRules(0, 10, 5 * SHARE, True, 50_000, 1))
    for order in stream(resting, 1.0, SEED + 1):
        engine.submit(order, NOW_MS)
    return engine, stream(ORDERS, 0.75, SEED)


def play(engine: MatchingEngine, orders: list[Order]) -> int:
    """Submit all, settle every trade at once, cancel each fifth; return the trades."""
    trades = 0
    for number, order in enumerate(orders):
        for event in engine.submit(order, NOW_MS):
            if type(event) is Matched:
                trades += 1
                engine.settle(event.trade_id, True)
        if number % 5 == 4:
            engine.cancel(orders[number - 2].id)
    return trades


def play_slowly(slow: SlowExchange, orders: list[Order]) -> None:
    """The same for the twin."""
    for number, order in enumerate(orders):
        for event in slow.submit(order, NOW_MS):
            if event[0] == "matched":
                slow.settle(event[1], True)
        if number % 5 == 4:
            slow.cancel(orders[number - 2].id)


@pytest.mark.parametrize("resting", [10, 1_000, 10_000])
def test_submit_settle_cancel(benchmark: Callable[..., Any], resting: int) -> None:
    """One round is ORDERS orders into a fresh copy of the same book."""
    trades = benchmark.pedantic(play, setup=lambda: (prepared(resting), {}), rounds=10)
    assert trades > ORDERS // 10


def test_twin_takes_a_tenth_of_the_stream(benchmark: Callable[..., Any]) -> None:
    """The twin, with 100 orders resting, on ORDERS / 10 orders: multiply by ten."""

    def setup() -> tuple[tuple[SlowExchange, list[Order]], dict[str, Any]]:
        slow = SlowExchange(fee)
        fund(slow)
        slow.add_market(MarketRules(0, 10, 5 * SHARE, True, 50_000, 1))
        for order in stream(100, 1.0, SEED + 1):
            slow.submit(order, NOW_MS)
        return (slow, stream(ORDERS // 10, 0.75, SEED)), {}

    benchmark.pedantic(play_slowly, setup=setup, rounds=3)


def test_cancel_inside_a_long_queue(benchmark: Callable[..., Any]) -> None:
    """One round cancels ORDERS orders from the middle of a queue of 10,000 at one price."""

    def setup() -> tuple[tuple[MatchingEngine, list[str]], dict[str, Any]]:
        engine, _ = prepared(0)
        ids = [f"q{number}" for number in range(10_000)]
        for order_id in ids:
            order = Order(order_id, 1, 0, Outcome.YES, Side.BUY, 4_000, 5 * SHARE)
            engine.submit(order, NOW_MS)
        return (engine, ids[4_500 : 4_500 + ORDERS]), {}

    def cancel(engine: MatchingEngine, ids: list[str]) -> None:
        for order_id in ids:
            engine.cancel(order_id)

    benchmark.pedantic(cancel, setup=setup, rounds=5)
