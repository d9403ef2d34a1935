"""Two executors over the same books, one with permits: their journals are the same, always.

The one with permits runs its own gate over each permitted order afterwards and ends if that says
no, so a permit that lets out what the gate would refuse fails here, and so does any difference in
what is journaled, sent, counted or held. The native judgement of a book is also compared with the
gate's by itself, over random books.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from oracle.desk import accepted, no_answer, rejected, taker_trade
from oracle.permit_desk import SHARE, PermitDesk, three_markets
from overround._native import ffi, lib
from overround.config.schema import Mode, Risk
from overround.decide.risk import OrderView, Refusal, RefusalCode, RiskGate, _live, _takeable
from overround.execute.markets import SharedMarkets
from overround.layout.board import BOARD
from overround.layout.intent import INTENT
from overround.venues.contract import OrderType, Side


def _mostly(tight: int, wide: int) -> st.SearchStrategy[int]:
    return st.sampled_from([wide, wide, wide, wide, tight])


LIMITS = st.builds(
    Risk,
    order_size_max_lots=_mostly(8 * SHARE, 100 * SHARE),
    order_notional_max_micro=_mostly(5 * SHARE, 500 * SHARE),
    market_position_max_lots=_mostly(25 * SHARE, 1_000 * SHARE),
    account_notional_max_micro=_mostly(12 * SHARE, 500 * SHARE),
    market_notional_max_micro=_mostly(11 * SHARE, 500 * SHARE),
    event_loss_max_micro=_mostly(9 * SHARE, 500 * SHARE),
    strategy_loss_max_micro=_mostly(8 * SHARE, 500 * SHARE),
    account_loss_max_micro=_mostly(14 * SHARE, 500 * SHARE),
    open_orders_max=_mostly(2, 64),
    market_open_orders_max=_mostly(1, 16),
    same_in_flight_max=_mostly(1, 4),
    orders_per_s_max=_mostly(1, 50),
    orders_burst_max=_mostly(2, 50),
    collar_ticks=_mostly(0, 300),
)
WISHES = st.fixed_dictionaries(
    {
        "market": st.sampled_from([0, 0, 0, 1, 2]),
        "outcome": st.sampled_from([0, 0, 0, 1]),
        "side": st.sampled_from([0, 0, 0, 1]),
        "price_ticks": st.sampled_from([4_700, 4_900, 5_000, 5_000, 5_000, 5_100, 5_200]),
        "size_lots": st.sampled_from([6 * SHARE, 10 * SHARE, 10 * SHARE]),
        "order_type": st.sampled_from([3, 3, 3, 0, 2]),
        "flags": st.sampled_from([0, 0, 0, 1]),
        "strategy": st.sampled_from([1, 1, 1, 2]),
        "edge_micro": st.integers(-(2**63), 2**63 - 1),
        "plan": st.integers(0, 2**63 - 1),
        "late": st.sampled_from([False, False, False, True]),
        "stale": st.sampled_from([False, False, False, True]),
    }
)
BOOKS = st.tuples(
    st.integers(0, 2), st.sampled_from([4_600, 4_700, 4_800, 4_900]), st.sampled_from([0, 7, 100]),
    st.sampled_from([4_900, 5_000, 5_000, 5_100]), st.sampled_from([0, 7, 100, 100]),
    st.sampled_from([1, 1, 1, 0, 5]),
)  # fmt: skip
USUAL = {
    "market": 0, "outcome": 0, "side": 0, "price_ticks": 5_000, "size_lots": 10 * SHARE,
    "order_type": 3, "flags": 0, "strategy": 1, "edge_micro": 0, "plan": 0,
    "late": False, "stale": False,
}  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("offer"), WISHES),
    st.tuples(st.just("offer"), st.just(USUAL)),
    st.tuples(st.just("round"), WISHES),
    st.tuples(st.just("round"), st.just(USUAL)),
    st.tuples(st.just("round"), st.just(USUAL)),
    st.tuples(st.just("idle"), st.none()),
    st.tuples(st.just("book"), BOOKS),
    st.tuples(st.just("answer"), st.sampled_from(["live", "matched", "rejected", "silence"])),
    st.tuples(st.just("fill"), st.booleans()),
    st.tuples(st.just("time"), st.sampled_from([1, 700, 11_000, 61_000])),
    st.tuples(st.just("kill"), st.booleans()),
    st.tuples(st.just("stop"), st.booleans()),
)


class Twins:
    """The same steps for both; ``sequence`` counts intents."""

    def __init__(self, folder: Path, limits: Risk) -> None:
        self.regions = three_markets()
        self.both = [
            PermitDesk(folder / name, self.regions, permitted=name == "fast", limits=limits)
            for name in ("fast", "plain")
        ]
        self.sequence = 0

    def do(self, what: str, value: Any) -> None:
        if what == "round":
            self.do("idle", None)
            self.do("offer", value)
            return
        if what == "book":
            market, bid, bids, ask, asks, flags = value
            now_ns = self.both[0].now_ns
            self.regions.store(market, (bid, bids, ask, asks), now_ns=now_ns, flags=flags)
        self.sequence += what == "offer"
        for desk in self.both:
            getattr(self, f"_{what}")(desk, value)

    def _book(self, desk: PermitDesk, value: Any) -> None:
        pass

    def _offer(self, desk: PermitDesk, value: dict[str, Any]) -> None:
        wish = dict(value)
        wish["flags"] *= wish["order_type"] == OrderType.GTC  # only what rests is post-only
        if wish.pop("late"):
            wish["expires_ns"] = desk.now_ns
        if wish.pop("stale"):
            wish["ingress_epoch"] = 2
        desk.offer(self.sequence, **wish)

    def _idle(self, desk: PermitDesk, _: None) -> None:
        desk.idle()

    def _time(self, desk: PermitDesk, ms: int) -> None:
        desk.tick(ms)

    def _kill(self, desk: PermitDesk, value: bool) -> None:
        desk.kill = value

    def _stop(self, desk: PermitDesk, value: bool) -> None:
        stop = Refusal(RefusalCode.DRAWDOWN, "stopped") if value else None
        desk.core.gate.stop = stop

    def _answer(self, desk: PermitDesk, kind: str) -> None:
        for submission in desk.sent[-1:]:
            (order,) = submission.orders
            if not order.in_flight:
                continue
            make = {
                "live": lambda one: accepted(one, "live"), "rejected": rejected,
                "matched": lambda one: accepted(one, "matched", f"t{one}"),
                "silence": lambda one: no_answer(one, "silence"),
            }[kind]  # fmt: skip
            desk.core.answer(submission, [make(order.order_id)])

    def _fill(self, desk: PermitDesk, whole: bool) -> None:
        for submission in desk.sent[-1:]:
            (order,) = submission.orders
            info = desk.markets.info([0, 1, 2][int(order.intent.condition_id[-1])])
            assert info is not None
            desk.settlement.apply(
                [taker_trade(
                    order.order_id, info, f"t{order.order_id}", outcome=order.intent.outcome,
                    side=Side(order.intent.side), price_ticks=order.intent.price_ticks,
                    size_lots=order.size_lots if whole else order.size_lots // 2,
                )]
            )  # fmt: skip

    def check(self) -> None:
        """Compare all that both know and have written."""
        fast, plain = self.both
        for desk in self.both:
            desk.core.tell()
        assert fast.records() == plain.records()
        assert [one.order_ids for one in fast.sent] == [one.order_ids for one in plain.sent]
        assert fast.store.reserved_micro() == plain.store.reserved_micro()
        assert fast.store.own.exposures.account.claims == plain.store.own.exposures.account.claims
        assert fast.news.reports == plain.news.reports
        assert fast.core.gate._orders._parts == plain.core.gate._orders._parts
        assert (len(fast.pool), plain.by_permit) == (len(plain.pool), 0)
        assert not fast.tripped or fast.tripped == plain.tripped

    def close(self) -> None:
        for desk in self.both:
            desk.end()
        self.regions.close()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(limits=LIMITS, steps=st.lists(STEPS, min_size=5, max_size=40))
def test_with_and_without_permits_the_journal_is_the_same(limits: Risk, steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        twins = Twins(Path(folder), limits)
        try:
            for what, value in [("offer", USUAL), ("idle", None), *steps]:
                twins.do(what, value)
            twins.check()
            event(f"permits used: {min(3, twins.both[0].by_permit)}")
        finally:
            twins.close()


SIDES = st.lists(
    st.tuples(st.integers(1, 9_999), st.integers(0, 20)), max_size=16, unique_by=lambda one: one[0]
)


@settings(max_examples=400, deadline=None)
@given(
    bids=SIDES, asks=SIDES, flags=st.sampled_from([1, 1, 1, 1, 3, 0, 5, 9]),
    outcome=st.integers(0, 1), side=st.integers(0, 1), order_type=st.sampled_from([0, 2, 3]),
    price=st.integers(1, 9_999),
    size=st.integers(1, 60), collar=st.sampled_from([0, 100, 10_000]), near=st.booleans(),
)  # fmt: skip
def test_native_code_judges_a_book_as_the_gate_does(
    bids: Any, asks: Any, flags: int, outcome: int, side: int, order_type: int, price: int,
    size: int, collar: int, near: bool,
) -> None:  # fmt: skip
    regions = three_markets()
    try:
        if near and (asks or bids):
            price = (asks or bids)[0][0]
        slot = np.zeros((), BOARD)
        slot["flags"], slot["tick_ticks"] = flags, 1
        for name, levels in (("bid", sorted(bids)[::-1]), ("ask", sorted(asks))):
            slot[f"{name}_levels"] = len(levels)
            for at, (ticks, lots) in enumerate(levels):
                slot[f"{name}_ticks"][at], slot[f"{name}_lots"][at] = ticks, lots
        regions.board.store(0, slot)
        regions.board_segment.beat(100)
        markets = SharedMarkets(regions.catalog, {0: (regions.board_segment, regions.board)}, 50)
        markets.refresh()
        book, _ = markets.book(0, 120)
        epoch = regions.board_segment.epoch
        takes = order_type != OrderType.GTC
        view = OrderView(outcome, side, price, size, 2**62, epoch, takes, order_type == 2)
        gate = RiskGate(Risk(collar_ticks=collar), Mode.SIM)
        expected = _live(view, book) or gate._collar(view, book) or _takeable(view, book)
        permit, use = ffi.new("struct ovr_permit *"), ffi.new("struct ovr_permit_use *")
        permit.board, permit.lease_ns = markets.place(0)
        permit.until_ns, permit.size_lots, permit.collar_ticks = 2**62, size, collar
        permit.price_ticks, permit.tick_ticks = price, 1
        permit.outcome, permit.side, permit.takes = outcome, side, takes
        permit.whole, use.now_ns = order_type == 2, 120
        record = np.zeros(1, INTENT)
        record["expires_ns"], record["ingress_epoch"] = 2**62, epoch
        status = lib.ovr_permit_allows(permit, ffi.from_buffer("struct ovr_intent[]", record), use)
        event("let through" if expected is None else expected.code.name)
        assert (status == 0) == (expected is None), expected
    finally:
        regions.close()
