"""The matching engine and its slow twin, command by command: same events, same state hash."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from oracle.exchange import SlowExchange, plain
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.proof import digest
from overround.match.types import MarketRules, Order, OrderType, Outcome, Side

SEED = int(os.environ.get("OVERROUND_SEED", "20261123"))
NOW_MS = 1_795_345_200_000
SHARE = 1_000_000
ACCOUNTS = (1, 2, 3)
TICKS = (1, 10, 25, 50, 100, 1000)


def fee(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    """The venue's shape: size x rate x p(1-p), half up to 10 micro-units."""
    curve = (price_ticks * (10_000 - price_ticks)) ** exponent
    scale = 10**6 * 10 ** (8 * exponent) * 10
    return (2 * size_lots * rate_ppm * curve + scale) // (2 * scale) * 10


class Pair:
    """Both exchanges under one set of commands; each is compared after every command."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.engine = MatchingEngine(self.accounts, fee)
        self.slow = SlowExchange(fee)
        self.now_ms = NOW_MS
        self.submitted: list[Order] = []
        self.trades = 0

    def add_market(self, rules: MarketRules) -> None:
        self.engine.add_market(rules)
        self.slow.add_market(rules)

    def submit(self, order: Order) -> None:
        if not any(known.id == order.id for known in self.submitted):
            self.submitted.append(order)
        twin = self.slow.submit(order, self.now_ms)
        mine = [plain(event) for event in self.engine.submit(order, self.now_ms)]
        assert mine == twin
        self.trades += sum(event[0] == "matched" for event in mine)

    def both(self, command: str, *args: object) -> None:
        mine = getattr(self.engine, command)(*args)
        assert [plain(event) for event in mine] == getattr(self.slow, command)(*args)

    def money(self, command: str, *args: object) -> None:
        assert getattr(self.accounts, command)(*args) == getattr(self.slow, command)(*args)

    def compare(self) -> None:
        self.engine.check()
        assert self.engine.state_hash() == digest(self.slow.state())


near = st.integers(min_value=-4, max_value=4)
accounts = st.sampled_from(ACCOUNTS)
markets = st.sampled_from((0, 1))
# Venue-like sizes, and odd ones in which every rounding rule shows.
sizes = st.one_of(
    st.integers(min_value=1, max_value=40).map(lambda n: n * SHARE // 2),
    st.integers(min_value=1, max_value=20 * SHARE),
)


class MatchMachine(RuleBasedStateMachine):
    """Random commands over two markets and three accounts, biased to the touch."""

    @initialize(tick=st.sampled_from(TICKS), rate=st.sampled_from((0, 40_000, 70_000)))
    def start(self, tick: int, rate: int) -> None:
        self.pair = Pair()
        self.count = 0
        self.pair.add_market(MarketRules(0, tick, SHARE, True, rate, 1))
        self.pair.add_market(MarketRules(1, 100, 5 * SHARE, False, rate, 1))
        for account in ACCOUNTS:
            self.pair.money("deposit", account, 60 * SHARE)
            for outcome in Outcome:
                self.pair.money("grant", account, 0, outcome, 25 * SHARE)

    @rule(
        account=accounts, market=markets, outcome=st.sampled_from(Outcome),
        side=st.sampled_from(Side), steps=near, size=sizes, kind=st.sampled_from(OrderType),
        post_only=st.booleans(), life_s=st.integers(min_value=175, max_value=190),
    )  # fmt: skip
    def submit(
        self, account: int, market: int, outcome: Outcome, side: Side, steps: int, size: int,
        kind: OrderType, post_only: bool, life_s: int,
    ) -> None:  # fmt: skip
        tick = self.pair.engine.rules(market).tick_ticks
        self.count += 1
        expires = self.pair.now_ms // 1000 + life_s if kind == OrderType.GTD else 0
        post_only = post_only and life_s % 3 == 0
        price = 5_000 + steps * tick
        self.pair.submit(
            Order(f"o{self.count}", account, market, outcome, side, price, size, kind, post_only,
                  expires_epoch_s=expires)
        )  # fmt: skip

    @rule(
        price=st.integers(min_value=-10, max_value=10_010),
        size=st.integers(min_value=-1, max_value=6 * SHARE),
        kind=st.sampled_from(OrderType), market=st.integers(min_value=0, max_value=2),
    )  # fmt: skip
    def submit_odd(self, price: int, size: int, kind: OrderType, market: int) -> None:
        self.count += 1
        self.pair.submit(
            Order(f"x{self.count}", 1, market, Outcome.YES, Side.BUY, price, size, kind, True)
        )

    @rule(pick=st.integers(min_value=0))
    def resend(self, pick: int) -> None:
        if self.pair.submitted:
            order = self.pair.submitted[pick % len(self.pair.submitted)]
            self.pair.submit(order)

    @rule(pick=st.integers(min_value=0))
    def cancel(self, pick: int) -> None:
        if self.pair.submitted:
            self.pair.both("cancel", self.pair.submitted[pick % len(self.pair.submitted)].id)

    @rule(account=accounts, market=st.sampled_from((None, 0, 1)))
    def cancel_all(self, account: int, market: int | None) -> None:
        self.pair.both("cancel_all", account, market)

    @rule(seconds=st.integers(min_value=0, max_value=90))
    def pass_time(self, seconds: int) -> None:
        self.pair.now_ms += seconds * 1000
        self.pair.both("expire", self.pair.now_ms // 1000)

    @rule(pick=st.integers(min_value=0), confirmed=st.booleans())
    def settle(self, pick: int, confirmed: bool) -> None:
        self.pair.both("settle", 1 + pick % (self.pair.trades + 1), confirmed)

    @rule(market=markets, tick=st.sampled_from(TICKS))
    def set_tick(self, market: int, tick: int) -> None:
        self.pair.both("set_tick", market, tick)

    @rule(lot=st.integers(min_value=0, max_value=199))
    def close_market(self, lot: int) -> None:
        if lot == 0:
            self.pair.both("close_market", 1)

    @rule(
        command=st.sampled_from(("split", "merge")), account=accounts, market=markets,
        lots=st.integers(min_value=0, max_value=30 * SHARE),
    )  # fmt: skip
    def convert(self, command: str, account: int, market: int, lots: int) -> None:
        self.pair.money(command, account, market, lots)

    @rule(account=accounts, micro=st.integers(min_value=0, max_value=30 * SHARE))
    def withdraw(self, account: int, micro: int) -> None:
        self.pair.money("withdraw", account, micro)

    @invariant()
    def equal(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare()


@pytest.fixture(autouse=True)
def _show_seed() -> None:
    print(f"OVERROUND_SEED={SEED}")


def test_random_commands_leave_engine_and_twin_equal() -> None:
    """Events after each command and the state hash agree; money is conserved throughout."""
    run_state_machine_as_test(
        seed(SEED)(MatchMachine),
        settings=settings(
            max_examples=60,
            stateful_step_count=60,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("offset", range(4))
def test_long_run_of_seeded_orders_equals_the_twin(offset: int) -> None:
    """A crowded market: hundreds of orders deep in each other's way, settled at random."""
    print(f"seed {SEED + offset}")
    rng = random.Random(SEED + offset)
    pair = Pair()
    pair.add_market(MarketRules(0, (100, 10, 25, 1)[offset], 5 * SHARE, True, 50_000, 1))
    for account in ACCOUNTS:
        pair.money("deposit", account, 5_000 * SHARE)
        for outcome in Outcome:
            pair.money("grant", account, 0, outcome, 3_000 * SHARE)
    for number in range(500):
        tick = pair.engine.rules(0).tick_ticks
        size = rng.choice((rng.randrange(500, 20_000) * 10_000, rng.randrange(5_000_000, 10**8)))
        pair.submit(
            Order(f"s{number}", rng.choice(ACCOUNTS), 0, rng.choice(list(Outcome)),
                  rng.choice(list(Side)), 5_000 + tick * rng.randrange(-8, 9), size,
                  rng.choices(list(OrderType), (6, 0, 1, 2))[0], rng.random() < 0.1)
        )  # fmt: skip
        if rng.random() < 0.3:
            pair.both("cancel", f"s{rng.randrange(number + 1)}")
        if rng.random() < 0.5:
            pair.both("settle", rng.randrange(pair.trades + 2), rng.random() < 0.9)
        if number % 10 == 0:
            pair.compare()
    pair.compare()
    assert pair.trades > 100
