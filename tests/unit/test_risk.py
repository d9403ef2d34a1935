"""The gate: every breach has its code, and what is inside all limits passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.config.schema import Mode, Risk
from overround.decide.risk import (
    AccountView,
    BookView,
    MarketView,
    OrderView,
    Refusal,
    RefusalCode,
    RiskGate,
)

S = 1_000_000_000
SHARE = 1_000_000
ORDER = OrderView(
    outcome=0, side=0, price_ticks=5_000, size_lots=10 * SHARE, expires_ns=2 * S, ingress_epoch=4
)
MARKET = MarketView(
    active=True, tick_ticks=100, min_size_lots=5 * SHARE, fee_known=True,
    taking_buy_min_micro=4 * SHARE,
)  # fmt: skip
BOOK = BookView(True, True, 4, 4_800, 5_000, 50 * SHARE, 50 * SHARE)
ACCOUNT = AccountView(
    cash_free_micro=100 * SHARE, notional_micro=0, position_lots=0,
    sellable_lots=10 * SHARE, loss_micro=0,
)  # fmt: skip
LIMITS = Risk(
    order_notional_max_micro=6 * SHARE,
    market_position_max_lots=30 * SHARE,
    account_notional_max_micro=50 * SHARE,
    loss_max_micro=20 * SHARE,
    collar_ticks=300,
    orders_per_s_max=2,
    orders_burst_max=3,
)


def judge(
    order: OrderView = ORDER,
    market: MarketView = MARKET,
    book: BookView = BOOK,
    account: AccountView = ACCOUNT,
    *,
    gate: RiskGate | None = None,
    cost_micro: int = 5_200_000,
    now_ns: int = S,
    killed: bool = False,
) -> RefusalCode | None:
    gate = gate or RiskGate(LIMITS, Mode.SIM)
    refusal: Refusal | None = gate.admit(
        order, market, book, account, cost_micro=cost_micro, now_ns=now_ns, killed=killed
    )
    assert refusal is None or refusal.text
    return None if refusal is None else refusal.code


def test_an_order_inside_every_limit_passes():
    assert judge() is None
    assert judge(replace(ORDER, side=1, price_ticks=4_800), cost_micro=0) is None
    assert judge(replace(ORDER, size_lots=7 * SHARE)) is None  # too small only for a taker


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"killed": True}, RefusalCode.KILLED),
        ({"now_ns": 2 * S}, RefusalCode.EXPIRED),
        ({"market": replace(MARKET, active=False)}, RefusalCode.MARKET_CLOSED),
        ({"market": replace(MARKET, fee_known=False)}, RefusalCode.FEE_UNKNOWN),
        ({"book": replace(BOOK, usable=False)}, RefusalCode.BOOK_STALE),
        ({"book": replace(BOOK, trusted=False)}, RefusalCode.BOOK_UNTRUSTED),
        ({"book": replace(BOOK, epoch=6)}, RefusalCode.BOOK_REPLACED),
        ({"order": replace(ORDER, price_ticks=5_050)}, RefusalCode.TICK),
        ({"order": replace(ORDER, price_ticks=10_000)}, RefusalCode.TICK),
        ({"market": replace(MARKET, tick_ticks=0)}, RefusalCode.TICK),
        ({"order": replace(ORDER, size_lots=4 * SHARE)}, RefusalCode.MIN_SIZE),
        (
            {"order": replace(ORDER, size_lots=7 * SHARE, takes=True)},
            RefusalCode.TAKING_MIN,
        ),
        ({"order": replace(ORDER, price_ticks=5_400)}, RefusalCode.COLLAR),
        ({"order": replace(ORDER, side=1, price_ticks=4_400)}, RefusalCode.COLLAR),
        ({"book": replace(BOOK, bid_lots=0, ask_lots=0)}, RefusalCode.COLLAR),
        ({"cost_micro": 6_000_001}, RefusalCode.ORDER_NOTIONAL),
        ({"order": replace(ORDER, size_lots=13 * SHARE)}, RefusalCode.ORDER_NOTIONAL),
        ({"account": replace(ACCOUNT, position_lots=21 * SHARE)}, RefusalCode.POSITION),
        ({"account": replace(ACCOUNT, notional_micro=45 * SHARE)}, RefusalCode.ACCOUNT_NOTIONAL),
        ({"account": replace(ACCOUNT, cash_free_micro=5_199_999)}, RefusalCode.BALANCE),
        ({"account": replace(ACCOUNT, loss_micro=20 * SHARE)}, RefusalCode.LOSS),
    ],
)
def test_every_breach_has_its_code(changes: dict[str, object], code: RefusalCode):
    assert judge(**changes) is code  # type: ignore[arg-type]


def test_selling_more_than_confirmed_and_free_is_refused():
    sale = replace(ORDER, side=1, price_ticks=4_800)
    account = replace(ACCOUNT, sellable_lots=10 * SHARE - 1)
    assert judge(sale, account=account, cost_micro=0) is RefusalCode.BALANCE


def test_live_without_arming_refuses_and_armed_passes():
    assert judge(gate=RiskGate(LIMITS, Mode.LIVE)) is RefusalCode.MODE
    assert judge(gate=RiskGate(LIMITS, Mode.LIVE, armed=True)) is None


def test_the_collar_of_a_no_order_is_measured_in_the_mirror():
    no = replace(ORDER, outcome=1)  # NO is offered at 1 - 0.48 = 0.52
    assert judge(replace(no, price_ticks=5_500)) is None
    assert judge(replace(no, price_ticks=5_600)) is RefusalCode.COLLAR
    assert judge(replace(no, side=1, price_ticks=4_700), cost_micro=0) is None
    assert judge(replace(no, side=1, price_ticks=4_600), cost_micro=0) is RefusalCode.COLLAR


def test_with_nothing_to_take_the_collar_is_measured_from_the_own_side():
    book = replace(BOOK, ask_lots=0, ask_ticks=10_000)
    assert judge(book=book) is None
    assert judge(replace(ORDER, price_ticks=5_200), book=book) is RefusalCode.COLLAR


@pytest.mark.parametrize(
    ("outcome", "side", "price_ticks", "lots"),
    [
        (0, 0, 4_900, 0), (0, 0, 5_000, 1), (0, 0, 5_100, 3), (0, 0, 9_900, 7),
        (0, 1, 4_900, 0), (0, 1, 4_800, 8), (0, 1, 4_700, 24),
        (1, 0, 5_100, 0), (1, 0, 5_200, 8), (1, 0, 5_300, 24),
        (1, 1, 5_100, 0), (1, 1, 5_000, 1), (1, 1, 4_900, 3),
    ],
)  # fmt: skip
def test_what_can_be_taken_is_summed_to_the_limit_in_both_mirrors(
    outcome: int, side: int, price_ticks: int, lots: int
):
    book = replace(BOOK, bids=((4_800, 8), (4_700, 16)), asks=((5_000, 1), (5_100, 2), (5_500, 4)))
    assert book.takeable_lots(outcome, side, price_ticks) == lots


def test_a_taker_that_could_only_be_killed_is_refused():
    taker = replace(ORDER, takes=True)
    gone = replace(BOOK, ask_ticks=5_100)
    assert judge(taker, book=gone) is RefusalCode.NOT_MARKETABLE
    assert judge(ORDER, book=gone) is None  # it may rest
    assert judge(replace(taker, price_ticks=5_100), book=gone) is None


def test_a_leg_that_the_book_cannot_fill_whole_is_refused():
    thin = replace(BOOK, ask_lots=10 * SHARE - 1)
    assert judge(replace(ORDER, takes=True), book=thin) is None  # a part is welcome
    whole = replace(ORDER, takes=True, whole=True)
    assert judge(whole, book=thin) is RefusalCode.THIN
    assert judge(whole, book=replace(thin, asks=((5_000, 5 * SHARE), (5_000, 5 * SHARE)))) is None


def test_the_rate_bucket_allows_a_burst_then_its_refill():
    gate = RiskGate(LIMITS, Mode.SIM)
    codes = [judge(gate=gate) for _ in range(4)]
    assert codes == [None, None, None, RefusalCode.RATE]
    half_later = S + S // 2
    assert judge(gate=gate, now_ns=half_later) is None
    assert judge(gate=gate, now_ns=half_later) is RefusalCode.RATE


def test_a_refused_order_takes_no_token():
    gate = RiskGate(LIMITS, Mode.SIM)
    for _ in range(50):
        judge(gate=gate, killed=True)
    assert judge(gate=gate) is None


@given(gaps=st.lists(st.integers(0, 2 * S), max_size=60))
def test_no_window_ever_lets_more_through_than_burst_plus_refill(gaps: list[int]):
    gate = RiskGate(LIMITS, Mode.SIM)
    order = replace(ORDER, expires_ns=2**62)
    now_ns, passed = S, []
    for gap in gaps:
        now_ns += gap
        if judge(order, gate=gate, now_ns=now_ns) is None:
            passed.append(now_ns)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = 3 * S + 2 * (passed[last] - start)
            assert (last - first + 1) * S <= allowed
