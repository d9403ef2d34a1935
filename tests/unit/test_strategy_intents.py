"""Intents through a real ring: plans whole or not at all, cancels always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from oracle.regions import SHARE, Regions
from overround.decide.intents import BUY, YES, IntentWriter, OrderType, PlanLeg, Stamps
from overround.layout.intent import IntentFlag
from overround.observe.metrics import Histogram, Value

NOW_NS, TTL_NS = 5_000, 900


class Meters:
    def __init__(self) -> None:
        self.values: Counter[Value] = Counter()
        self.times: list[tuple[Histogram, int]] = []

    def add(self, value: Value, n: int = 1) -> None:
        self.values[value] += n

    def record(self, histogram: Histogram, value_ns: int) -> None:
        self.times.append((histogram, value_ns))


@pytest.fixture(name="regions")
def fixture_regions() -> Iterator[Regions]:
    regions = Regions(intents=16)
    yield regions
    regions.close()


@pytest.fixture(name="meters")
def fixture_meters() -> Meters:
    return Meters()


@pytest.fixture(name="writer")
def fixture_writer(regions: Regions, meters: Meters) -> IntentWriter:
    return IntentWriter(
        regions.producer, number=3, ttl_ns=TTL_NS, clock=lambda: NOW_NS, meters=meters
    )


def legs(count: int) -> list[PlanLeg]:
    return [
        PlanLeg(
            market=20 + at,
            outcome=YES,
            side=BUY,
            price_ticks=3_200 + at,
            size_lots=(at + 1) * SHARE,
            order_type=OrderType.FAK,
            board_sequence=100 + at,
            ingress_epoch=6,
        )
        for at in range(count)
    ]


def emit(writer: IntentWriter, count: int) -> int | None:
    stamps = Stamps(event_recv_ns=4_000, seen_ns=4_700)
    return writer.emit(legs(count), stamps=stamps, edge_micro=77, account=0, strategy=1)


def test_a_plan_arrives_whole_with_every_field(
    regions: Regions, writer: IntentWriter, meters: Meters
) -> None:
    first = emit(writer, 1)
    plan = emit(writer, 3)
    assert plan == first + 1  # type: ignore[operator]
    _, *records = regions.intents()
    for at, record in enumerate(records):
        expected = {
            "producer_sequence": plan + at,
            "created_ns": NOW_NS,
            "expires_ns": NOW_NS + TTL_NS,
            "seen_ns": 4_700,
            "event_recv_ns": 4_000,
            "board_sequence": 100 + at,
            "ingress_epoch": 6,
            "plan": plan,
            "producer": 3,
            "account": 0,
            "strategy": 1,
            "market": 20 + at,
            "leg": at,
            "legs": 3,
            "outcome": 0,
            "side": 0,
            "order_type": OrderType.FAK,
            "flags": 0,
            "price_ticks": 3_200 + at,
            "size_lots": (at + 1) * SHARE,
            "edge_micro": 77,
            "target_sequence": 0,
        }
        assert {name: int(record[name]) for name in expected} == expected
    assert meters.values[Value.INTENTS] == 4
    assert meters.times == [(Histogram.SEEN_TO_INTENT, 300)] * 2


def test_a_plan_that_does_not_fit_is_dropped_whole_and_counted(
    regions: Regions, writer: IntentWriter, meters: Meters
) -> None:
    assert emit(writer, 10) is not None
    assert emit(writer, 5) is None  # 6 free, 2 of them kept for cancels
    assert emit(writer, 4) is not None
    assert meters.values[Value.INTENTS_DROPPED] == 5
    assert [int(r["legs"]) for r in regions.intents()] == [10] * 10 + [4] * 4
    assert emit(writer, 10) is not None  # taken intents made room


def test_an_empty_plan_is_no_plan(regions: Regions, writer: IntentWriter) -> None:
    assert emit(writer, 0) is None
    assert regions.intents() == []


def test_a_cancel_goes_into_the_room_kept_for_it_and_never_expires(
    regions: Regions, writer: IntentWriter
) -> None:
    emit(writer, 14)
    writer.cancel(market=21, target=1, account=0, strategy=1)
    assert writer.waiting == 0
    cancel = regions.intents()[-1]
    assert int(cancel["flags"]) == IntentFlag.CANCEL
    assert (int(cancel["market"]), int(cancel["target_sequence"])) == (21, 1)
    assert int(cancel["expires_ns"]) > 2**62
    assert int(cancel["producer_sequence"]) == int(cancel["plan"])


def test_cancels_wait_for_room_in_order_and_plans_wait_behind_them(
    regions: Regions, writer: IntentWriter, meters: Meters
) -> None:
    emit(writer, 14)
    for target in range(5):
        writer.cancel(market=0, target=target, account=0, strategy=1)
    for _ in range(50):  # saying it again makes nothing longer
        writer.cancel(market=0, target=4, account=0, strategy=1)
    assert writer.waiting == 3
    assert emit(writer, 1) is None
    first = regions.intents()
    assert writer.flush() == 3
    second = regions.intents()
    cancels = [*first[14:], *second]
    assert [int(record["target_sequence"]) for record in cancels] == [0, 1, 2, 3, 4]
    sequences = [int(record["producer_sequence"]) for record in [*first, *second]]
    assert sequences == list(range(sequences[0], sequences[0] + 19))
    assert meters.values[Value.INTENTS_DROPPED] == 1
    assert meters.values[Value.INTENTS] == 19


def test_sequences_go_on_after_a_restart_of_the_producer(
    regions: Regions, writer: IntentWriter, meters: Meters
) -> None:
    first = emit(writer, 2)
    assert first is not None
    regions.intents_segment.take_over()
    again = IntentWriter(
        regions.producer, number=3, ttl_ns=TTL_NS, clock=lambda: NOW_NS, meters=meters
    )
    assert emit(again, 1) == first + 2
