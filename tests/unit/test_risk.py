"""The gate: every breach has its code, and what is inside all limits passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.config.schema import Mode, Risk, Venue, is_production
from overround.decide.exposure import Claim
from overround.decide.limits import RULES, SCOPES
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


def test_play_money_never_goes_to_the_venue_itself():
    assert is_production(Venue())
    assert not is_production(Venue(rest_url="http://127.0.0.1:8080"))
    assert not is_production(Venue(rest_url="http://polymarket.com.example"))
    assert judge(gate=RiskGate(LIMITS, Mode.SIM, production=True)) is RefusalCode.MODE
    assert judge(gate=RiskGate(LIMITS, Mode.LIVE, armed=True, production=True)) is None


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


def test_every_refusal_has_one_row_in_the_table_and_every_limit_is_named_there():
    assert [rule.code for rule in sorted(RULES, key=lambda one: one.code)] == sorted(RefusalCode)
    named = {key for rule in RULES for key in rule.limit.split(", ")}
    assert set(Risk.model_fields) <= named
    for scope in SCOPES:
        for key in (scope.lots, scope.cost, scope.loss):
            assert not key or key in Risk.model_fields


def test_a_loss_stop_refuses_everything_while_it_holds():
    gate = RiskGate(LIMITS, Mode.SIM)
    gate.stop = Refusal(RefusalCode.DRAWDOWN, "loss from the highest")
    assert judge(gate=gate) is RefusalCode.DRAWDOWN
    assert judge(gate=gate, killed=True) is RefusalCode.KILLED


def test_an_order_larger_than_a_slip_of_the_hand_is_refused():
    limits = LIMITS.model_copy(update={"order_size_max_lots": 9 * SHARE})
    assert judge(gate=RiskGate(limits, Mode.SIM)) is RefusalCode.ORDER_SIZE


@pytest.mark.parametrize(
    ("own", "new", "code"),
    [  # (outcome, side, price, takes): quotes of both tokens meet in one book
        ((0, 1, 5_000, False), (0, 0, 5_000), RefusalCode.SELF_CROSS),
        ((0, 1, 5_100, False), (0, 0, 5_000), None),
        ((1, 0, 5_000, False), (0, 0, 5_000), RefusalCode.SELF_CROSS),  # a set would be minted
        ((1, 0, 4_900, False), (0, 0, 5_000), None),
        ((0, 1, 5_000, True), (0, 0, 5_000), None),  # it never rests
        ((0, 0, 5_000, False), (0, 0, 5_000), RefusalCode.DUPLICATE),
        ((0, 0, 4_900, False), (0, 0, 5_000), None),
    ],
)
def test_own_orders_are_neither_met_nor_repeated(
    own: tuple[int, int, int, bool], new: tuple[int, int, int], code: RefusalCode | None
):
    gate = RiskGate(LIMITS, Mode.SIM)
    outcome, side, ticks, takes = own
    resting = Claim("c", outcome, side, ticks, SHARE, SHARE // 2, takes)
    gate.own.claim("own", 0, resting)
    order = replace(
        ORDER, outcome=new[0], side=new[1], price_ticks=new[2], key="new", condition_id="c"
    )
    assert judge(order, gate=gate) is code
    if code is RefusalCode.DUPLICATE:  # once the venue has it, another may follow
        gate.own.claim("own", 0, resting._replace(in_flight=False))
        assert judge(order, gate=gate) is None


def test_open_orders_are_counted_by_market_and_account():
    limits = LIMITS.model_copy(update={"open_orders_max": 3, "market_open_orders_max": 2})
    gate = RiskGate(limits.model_copy(update={"orders_burst_max": 100}), Mode.SIM)

    def next_order(number: int, condition: str) -> RefusalCode | None:
        ticks = 4_900 - 100 * number
        return judge(
            replace(ORDER, key=number, condition_id=condition, price_ticks=ticks), gate=gate
        )

    seen = [next_order(number, where) for number, where in enumerate("aaabb")]
    assert seen == [None, None, RefusalCode.MARKET_ORDERS, None, RefusalCode.OPEN_ORDERS]
    gate.own.release(0, 0)
    assert next_order(5, "a") is None


def test_what_makes_a_breach_no_worse_passes():
    limits = LIMITS.model_copy(update={"market_notional_max_micro": 3 * SHARE})
    gate = RiskGate(limits, Mode.SIM)
    gate.own.trade(0, "c", 0, 0, 10 * SHARE, 5 * SHARE, 0)  # bought before the limit was lowered
    order = replace(ORDER, key=1, condition_id="c")
    assert judge(order, gate=gate) is RefusalCode.MARKET_NOTIONAL
    assert gate.own.account.claims == {}
    sale = replace(order, side=1, price_ticks=4_800, proceeds_micro=4_700_000)
    assert judge(sale, gate=gate, cost_micro=0) is None
    assert list(gate.own.account.claims) == [1]


def test_an_order_refused_for_its_rate_is_not_counted_as_open():
    gate = RiskGate(LIMITS, Mode.SIM)
    for number in range(4):
        order = replace(ORDER, key=number, condition_id="c", price_ticks=4_900 - 100 * number)
        judge(order, gate=gate)
    assert list(gate.own.account.claims) == [0, 1, 2]


def test_cancels_have_a_bucket_of_their_own():
    limits = LIMITS.model_copy(update={"cancels_per_s_max": 1, "cancels_burst_max": 2})
    gate = RiskGate(limits, Mode.SIM)
    assert [gate.admit_cancel(S) for _ in range(3)] == [True, True, False]
    assert gate.admit_cancel(2 * S)
