"""Set arbitrage: which signals become plans, and of what size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from oracle.regions import SHARE, Regions
from overround.config.schema import Detect
from overround.decide.edge import fee_bound_micro
from overround.decide.intents import IntentWriter
from overround.decide.risk import RefusalCode
from overround.decide.strategy import Context, Parameters, Signal, SignalKind, SignalLeg, Strategy
from overround.detect.host import StrategyHost, load_strategies, parameters
from overround.errors import ConfigError
from overround.layout.intent import OrderType
from overround.layout.report import REPORT, ReportKind
from overround.observe.metrics import Histogram, Value
from overround_strategies.set_arbitrage import (
    PAUSE_NS,
    PAUSE_NS_MAX,
    PLANS_KEPT,
    SetArbitrage,
)


class Meters:
    def __init__(self) -> None:
        self.values: Counter[Value] = Counter()

    def add(self, value: Value, n: int = 1) -> None:
        self.values[value] += n

    def record(self, histogram: Histogram, value_ns: int) -> None:
        self.values[Value.SCANS] += 0


@pytest.fixture(name="regions")
def fixture_regions() -> Iterator[Regions]:
    regions = Regions()
    yield regions
    regions.close()


@pytest.fixture(name="writer")
def fixture_writer(regions: Regions) -> IntentWriter:
    return IntentWriter(regions.producer, number=3, ttl_ns=1, clock=lambda: 9_000, meters=Meters())


def signal(
    prices: Sequence[int],
    *,
    shares: Sequence[float] | float = 50.0,
    rate_ppm: int = 0,
    min_shares: int = 5,
) -> Signal:
    sizes = [shares] * len(prices) if isinstance(shares, float) else list(shares)
    legs = tuple(
        SignalLeg(
            market=at,
            outcome=0,
            price_ticks=price,
            size_lots=round(size * SHARE),
            min_size_lots=min_shares * SHARE,
            fee_rate_ppm=rate_ppm,
            fee_exponent=1,
            board_sequence=40 + at,
            ingress_epoch=2,
        )
        for at, (price, size) in enumerate(zip(prices, sizes, strict=True))
    )
    return Signal(
        kind=SignalKind.BUY_ALL,
        set_id=1,
        legs=legs,
        payoff_units=1,
        size_lots=min(leg.size_lots for leg in legs) // 10_000 * 10_000,
        seen_ns=8_000,
        event_recv_ns=7_000,
        fee=fee_bound_micro,
    )


def plan_of(
    regions: Regions, writer: IntentWriter, found: Signal, **params: int
) -> list[np.ndarray]:
    ctx = Context(writer, strategy=1, account=0, params=Parameters(**params))
    SetArbitrage().on_signal(ctx, found)
    records = regions.intents()
    assert ctx.plans == bool(records)
    return records


def test_a_signal_becomes_one_plan_of_fill_and_kill_legs_thinnest_first(
    regions: Regions, writer: IntentWriter
) -> None:
    records = plan_of(regions, writer, signal([3_200, 3_100, 3_300], shares=[60.0, 20.5, 40.0]))
    assert [int(r["market"]) for r in records] == [1, 2, 0]
    assert [int(r["price_ticks"]) for r in records] == [3_100, 3_300, 3_200]
    assert [int(r["board_sequence"]) for r in records] == [41, 42, 40]
    for record in records:
        assert int(record["size_lots"]) == 20 * SHARE  # whole cents on every leg
        assert int(record["order_type"]) == OrderType.FAK
        assert (int(record["side"]), int(record["outcome"])) == (0, 0)
        assert int(record["edge_micro"]) == 800_000
        assert (int(record["seen_ns"]), int(record["event_recv_ns"])) == (8_000, 7_000)


@pytest.mark.parametrize("shares", [0.5, 4.99, 9.9])
def test_a_size_whose_leg_costs_less_than_a_dollar_is_left_alone(
    regions: Regions, writer: IntentWriter, shares: float
) -> None:
    found = signal([1_000, 8_000], shares=shares, min_shares=0)
    assert plan_of(regions, writer, found) == []


def test_a_leg_of_exactly_a_dollar_is_taken(regions: Regions, writer: IntentWriter) -> None:
    records = plan_of(regions, writer, signal([1_000, 8_000], shares=10.0))
    assert {int(r["size_lots"]) for r in records} == {10 * SHARE}


def test_the_minimum_order_holds_after_rounding_to_whole_cents(
    regions: Regions, writer: IntentWriter
) -> None:
    found = signal([3_250, 3_250, 3_250], shares=23.0, min_shares=22)
    assert plan_of(regions, writer, found) != []  # steps of 0.40 share: 22.8
    assert plan_of(regions, writer, signal([3_250, 3_250, 3_250], shares=23.0, min_shares=23)) == []


def test_fine_ticks_need_large_steps_and_a_book_too_thin_for_one_is_left_alone(
    regions: Regions, writer: IntentWriter
) -> None:
    assert plan_of(regions, writer, signal([123, 9_000], shares=99.0)) == []
    records = plan_of(regions, writer, signal([123, 9_000], shares=250.0))
    assert {int(r["size_lots"]) for r in records} == {200 * SHARE}


def test_the_cap_holds(regions: Regions, writer: IntentWriter) -> None:
    records = plan_of(regions, writer, signal([3_200] * 3), size_max_lots=12 * SHARE)
    assert {int(r["size_lots"]) for r in records} == {12 * SHARE}


def test_fees_can_take_the_whole_edge(regions: Regions, writer: IntentWriter) -> None:
    assert plan_of(regions, writer, signal([3_200] * 3, rate_ppm=50_000)) != []
    assert plan_of(regions, writer, signal([3_200] * 3, rate_ppm=70_000)) == []


def test_the_minimum_edge_is_met_at_its_exact_value(regions: Regions, writer: IntentWriter) -> None:
    found = signal([3_200] * 3)
    assert plan_of(regions, writer, found, edge_min_micro_per_share=40_000) != []
    assert plan_of(regions, writer, found, edge_min_micro_per_share=40_001) == []


def test_more_legs_than_a_request_holds_are_left_alone(
    regions: Regions, writer: IntentWriter
) -> None:
    assert plan_of(regions, writer, signal([500] * 15)) != []
    assert plan_of(regions, writer, signal([500] * 16)) == []


class Desk:
    """A strategy with its context, a clock, and the reports of an executor."""

    def __init__(self, regions: Regions, writer: IntentWriter) -> None:
        self.regions = regions
        self.strategy = SetArbitrage()
        self.ctx = Context(writer, strategy=1, account=0, params=Parameters())

    def offer(self, after_ns: int = 0) -> int | None:
        """Let time pass and an edge appear; return the plan that came of it."""
        self.ctx.now_ns += after_ns
        self.strategy.on_signal(self.ctx, signal([3_200] * 3))
        records = self.regions.intents()
        return int(records[0]["plan"]) if records else None

    def report(self, plan: int | None, kind: ReportKind, reason: int = 0) -> None:
        record = np.zeros(1, REPORT)[0]
        record["plan"], record["kind"], record["reason"] = plan, kind, reason
        self.strategy.on_order(self.ctx, record)


@pytest.fixture(name="desk")
def fixture_desk(regions: Regions, writer: IntentWriter) -> Desk:
    return Desk(regions, writer)


def test_a_refusal_that_lasts_lets_the_set_rest_twice_as_long_each_time(desk: Desk) -> None:
    for pause_ns in (PAUSE_NS, 2 * PAUSE_NS, 4 * PAUSE_NS):
        plan = desk.offer()
        assert plan is not None
        for _ in range(3):  # each leg is reported, the plan was refused once
            desk.report(plan, ReportKind.REFUSED, RefusalCode.POSITION)
        assert desk.offer(pause_ns - 1) is None
        desk.ctx.now_ns += 1


def test_the_rest_ends_at_its_longest_and_an_acceptance_forgets_it(desk: Desk) -> None:
    for _ in range(10):
        desk.report(desk.offer(PAUSE_NS_MAX), ReportKind.REFUSED, RefusalCode.BALANCE)
    assert desk.offer(PAUSE_NS_MAX - 1) is None
    desk.report(desk.offer(1), ReportKind.ACCEPTED)
    desk.report(desk.offer(), ReportKind.REFUSED, RefusalCode.BALANCE)
    assert desk.offer(PAUSE_NS) is not None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ReportKind.REFUSED, RefusalCode.BOOK_STALE),
        (ReportKind.REFUSED, RefusalCode.EXPIRED),
        (ReportKind.REFUSED, RefusalCode.ORDER_NOTIONAL),  # the next size may fit
        (ReportKind.REFUSED, RefusalCode.SHADOW),
        (ReportKind.REJECTED, RefusalCode.POSITION),
        (ReportKind.CANCELED, 0),
    ],
)
def test_other_reports_do_not_stop_a_set(desk: Desk, kind: ReportKind, reason: int) -> None:
    desk.report(desk.offer(), kind, reason)
    assert desk.offer() is not None


def test_reports_of_forgotten_plans_change_nothing(desk: Desk) -> None:
    first = desk.offer()
    for _ in range(PLANS_KEPT):
        assert desk.offer() is not None
    desk.report(first, ReportKind.REFUSED, RefusalCode.POSITION)
    assert desk.offer() is not None


class Recorder(Strategy):
    """Writes down what it is told."""

    name = "recorder"

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def on_start(self, ctx: Context) -> None:
        self.told.append(("start", ctx.now_ns))

    def on_stop(self, ctx: Context) -> None:
        self.told.append(("stop", ctx.now_ns))

    def on_timer(self, ctx: Context) -> None:
        self.told.append(("timer", ctx.now_ns))

    def on_market(self, ctx: Context, market: int) -> None:
        self.told.append(("market", market))

    def on_order(self, ctx: Context, report: np.void) -> None:
        self.told.append(("order", int(report["kind"])))

    def on_fill(self, ctx: Context, report: np.void) -> None:
        self.told.append(("fill", int(report["kind"])))

    def on_settled(self, ctx: Context, report: np.void) -> None:
        self.told.append(("settled", int(report["kind"])))


def test_the_host_tells_each_strategy_what_happened_and_only_of_its_own_orders(
    writer: IntentWriter,
) -> None:
    recorder = Recorder()
    host = StrategyHost([recorder, SetArbitrage()], writer, Parameters(), number=3)
    host.start(1)
    host.market(4, 2)
    host.timer(3)
    report = np.zeros(1, REPORT)
    for kind in ReportKind:
        report["kind"] = kind
        for producer in (2, 3):
            report["producer"] = producer
            host.report(report[0], 4)
    host.stop(5)
    orders = [1, 2, 3, 7, 8, 9]
    assert [told for told in recorder.told if told[0] == "order"] == [("order", k) for k in orders]
    rest = [told for told in recorder.told if told[0] != "order"]
    assert rest == [
        ("start", 1),
        ("market", 4),
        ("timer", 3),
        ("fill", 4),
        ("settled", 5),
        ("settled", 6),
        ("stop", 5),
    ]


def test_the_host_says_whether_a_strategy_acted(regions: Regions, writer: IntentWriter) -> None:
    host = StrategyHost([Recorder(), SetArbitrage()], writer, Parameters(), number=3)
    assert host.signal(signal([3_200] * 3))
    assert not host.signal(signal([3_300] * 3, rate_ppm=70_000))
    assert len(regions.intents()) == 3


def test_strategies_come_by_name_and_an_unknown_name_is_a_clear_error() -> None:
    (strategy,) = load_strategies(("set_arbitrage",))
    assert isinstance(strategy, SetArbitrage)
    with pytest.raises(ConfigError, match="no strategy 'set_arbitrge'; installed: set_arbitrage"):
        load_strategies(("set_arbitrge",))


def test_parameters_come_from_the_settings() -> None:
    found = parameters(Detect(edge_min_micro_per_share=7, size_max_lots=8_000_000))
    assert (found.edge_min_micro_per_share, found.size_max_lots) == (7, 8_000_000)


def test_hooks_that_are_not_overridden_do_nothing(writer: IntentWriter) -> None:
    ctx = Context(writer, strategy=1, account=0, params=Parameters())
    plain = Strategy()
    for hook in (plain.on_start, plain.on_timer, plain.on_params, plain.on_stop):
        hook(ctx)
    for told in (plain.on_trade, plain.on_order, plain.on_fill, plain.on_settled):
        told(ctx, None)
    for index in (plain.on_book, plain.on_market):
        index(ctx, 1)
    plain.on_signal(ctx, signal([3_200] * 3))
    assert ctx.plans == 0
