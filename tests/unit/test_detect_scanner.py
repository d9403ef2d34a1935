"""The scanner over real regions: what becomes a signal, and what must never become one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from oracle.regions import SHARE, TRUSTED, Regions
from overround._native import ffi, lib
from overround.decide.strategy import Signal, SignalKind
from overround.detect.kernels import load
from overround.detect.scanner import (
    CATALOG_BATCH,
    CATALOG_INTERVAL_NS,
    SWEEP_INTERVAL_NS,
    Limits,
    Scanner,
    Shard,
)
from overround.layout.board import BOARD
from overround.layout.catalog import MarketStatus
from overround.layout.change import BookFlag
from overround.observe.metrics import Histogram, Value

KERNELS = load()
MS = 1_000_000
LEASE_NS = 500 * MS
COOLDOWN_NS = 250 * MS
START_NS = 10_000 * MS

CHEAP = (3_000, 50.0, 3_200, 50.0)
FAIR = (3_000, 50.0, 3_400, 50.0)
DEAR = (3_000, 50.0, 3_700, 50.0)


@dataclass
class Meters:
    """Counts and latencies where a test can see them."""

    values: Counter[Value] = field(default_factory=Counter)
    times: list[tuple[Histogram, int]] = field(default_factory=list)

    def add(self, value: Value, n: int = 1) -> None:
        self.values[value] += n

    def record(self, histogram: Histogram, value_ns: int) -> None:
        self.times.append((histogram, value_ns))


class Rig:
    """A scanner over regions, with a clock the test turns."""

    def __init__(self, regions: Regions) -> None:
        self.regions = regions
        self.meters = Meters()
        self.signals: list[Signal] = []
        self.accept = True
        self.now_ns = START_NS
        self.on_signal: Callable[[Signal], bool] = self._keep

    def _keep(self, signal: Signal) -> bool:
        self.signals.append(signal)
        return self.accept

    def start(
        self,
        *,
        edge_min: int = 2_000,
        size_max: int = 200 * SHARE,
        shards: list[Shard] | None = None,
    ) -> None:
        regions = self.regions
        regions.beat(self.now_ns)
        self.scanner = Scanner(
            shards or [Shard(0, regions.reader(), regions.board, regions.board_segment)],
            regions.catalog,
            capacity=regions.catalog_segment.capacity,
            kernels=KERNELS,
            limits=Limits(edge_min, size_max, COOLDOWN_NS, LEASE_NS),
            on_signal=lambda signal: self.on_signal(signal),
            meters=self.meters,
        )
        self.turn()

    def turn(self, after_ns: int = 1, *, beat: bool = True) -> list[Signal]:
        """Let time pass and the scanner work until idle; return the signals it gave."""
        self.now_ns += after_ns
        if beat:
            self.regions.beat(self.now_ns)
        before = len(self.signals)
        for _ in range(8):
            if self.scanner.do_work(self.now_ns) == 0:
                break
        return self.signals[before:]

    def publish(self, market: int, top: tuple[int, float, int, float], flags: int = 1) -> None:
        self.regions.publish(market, top, now_ns=self.now_ns, flags=flags)


@pytest.fixture(name="rig")
def fixture_rig() -> Iterator[Rig]:
    regions = Regions()
    yield Rig(regions)
    regions.close()


def start_fair(rig: Rig, **limits: int) -> list[int]:
    """Start over one fair set of three, all books trusted."""
    markets = rig.regions.add_set(3)
    for market in markets:
        rig.publish(market, FAIR)
    rig.start(**limits)
    assert rig.signals == []
    return markets


def cheapen(rig: Rig, markets: list[int]) -> None:
    for market in markets:
        rig.publish(market, CHEAP)


def test_an_edge_that_opens_becomes_one_signal_with_the_prices_of_the_slots(rig: Rig) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets[:2])
    rig.regions.publish(markets[2], CHEAP, now_ns=START_NS + 1)
    rig.regions.publish(markets[0], CHEAP, now_ns=START_NS + 5)
    (signal,) = rig.turn(10)
    assert signal.kind == SignalKind.BUY_ALL
    assert [leg.market for leg in signal.legs] == markets
    assert {(leg.outcome, leg.price_ticks) for leg in signal.legs} == {(0, 3_200)}
    assert signal.size_lots == 50 * SHARE
    assert signal.edge_micro(50 * SHARE) == 2_000_000
    assert signal.payoff_units == 1
    assert signal.seen_ns == rig.now_ns
    assert signal.event_recv_ns == START_NS + 5
    epoch = rig.regions.board_segment.epoch
    for leg in signal.legs:
        slot = rig.regions.board.load(leg.market)
        assert slot is not None
        assert (leg.board_sequence, leg.ingress_epoch) == (int(slot["sequence"]), epoch)
    assert rig.meters.values[Value.HITS] == 1


def test_dear_bids_become_a_purchase_of_every_no(rig: Rig) -> None:
    markets = start_fair(rig)
    for market in markets:
        rig.publish(market, (3_500, 8.5, 3_600, 50.0))
    (signal,) = rig.turn()
    assert signal.kind == SignalKind.SELL_ALL
    assert {(leg.outcome, leg.price_ticks) for leg in signal.legs} == {(1, 6_500)}
    assert signal.payoff_units == 2
    assert signal.size_lots == 8_500_000
    assert signal.edge_micro(8 * SHARE) == 8 * 50_000


def test_an_edge_that_stood_before_the_start_is_found(rig: Rig) -> None:
    for market in rig.regions.add_set(3):
        rig.publish(market, CHEAP)
    rig.start()
    assert len(rig.signals) == 1


def test_edge_below_the_minimum_is_no_signal_and_at_the_minimum_is_one(rig: Rig) -> None:
    markets = start_fair(rig, edge_min=40_001)
    cheapen(rig, markets)
    assert rig.turn() == []
    for market in markets[:1]:
        rig.publish(market, (3_000, 50.0, 3_100, 50.0))
    assert len(rig.turn()) == 1


def test_fees_are_part_of_the_edge(rig: Rig) -> None:
    markets = rig.regions.add_set(3, rate_ppm=70_000)
    for market in markets:
        rig.publish(market, CHEAP)
    rig.start()
    assert rig.signals == []  # 0.04 a set before fees, -0.0057 after


def test_size_is_the_smallest_leg_capped_and_in_hundredths(rig: Rig) -> None:
    markets = start_fair(rig, size_max=20 * SHARE)
    cheapen(rig, markets[:2])
    rig.publish(markets[2], (3_000, 50.0, 3_200, 7.123456))
    (signal,) = rig.turn()
    assert signal.size_lots == 7_120_000
    rig.publish(markets[2], CHEAP)
    (signal,) = rig.turn(COOLDOWN_NS)
    assert signal.size_lots == 20 * SHARE


def test_a_leg_below_the_minimum_order_is_no_signal(rig: Rig) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets[:2])
    rig.publish(markets[2], (3_000, 50.0, 3_200, 4.99))
    assert rig.turn() == []


@pytest.mark.parametrize(
    "flags",
    [0, TRUSTED | BookFlag.CROSSED, TRUSTED | BookFlag.RESOLVED, BookFlag.SNAPSHOT],
)
def test_one_leg_that_is_not_sound_is_no_signal(rig: Rig, flags: int) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets[:2])
    rig.publish(markets[2], CHEAP, flags=flags)
    assert rig.turn() == []
    assert rig.turn(SWEEP_INTERVAL_NS) == []
    assert rig.meters.values[Value.UNUSABLE_SKIPPED] == 0  # the kernel saw it already


def test_a_slot_that_moved_on_after_its_record_is_judged_by_the_slot(rig: Rig) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets)
    rig.regions.store(markets[1], DEAR, now_ns=rig.now_ns)  # its ring record is still to come
    assert rig.turn() == []
    rig.regions.store(markets[1], CHEAP, now_ns=rig.now_ns, flags=0)
    assert rig.turn(SWEEP_INTERVAL_NS) == []
    assert rig.meters.values[Value.UNUSABLE_SKIPPED] > 0


def test_a_silent_owner_makes_its_books_unusable_and_a_beat_makes_them_usable(rig: Rig) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets)
    assert rig.turn(LEASE_NS + 1, beat=False) == []
    assert rig.meters.values[Value.UNUSABLE_SKIPPED] > 0
    assert len(rig.turn(SWEEP_INTERVAL_NS)) == 1  # the standing edge is found by the sweep


def test_a_take_over_drops_the_private_copy_until_books_are_trusted_again(rig: Rig) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets)
    rig.accept = False
    assert len(rig.turn()) == 1
    rig.regions.board_segment.take_over()
    for market in markets:  # a new ingress publishes everything untrusted first
        rig.publish(market, CHEAP, flags=0)
    assert rig.turn(COOLDOWN_NS) == []
    assert rig.turn(SWEEP_INTERVAL_NS) == []
    rig.accept = True
    for market in markets:
        rig.publish(market, CHEAP)
    (signal,) = rig.turn(SWEEP_INTERVAL_NS)
    assert {leg.ingress_epoch for leg in signal.legs} == {rig.regions.board_segment.epoch}


def test_a_change_of_epoch_between_scan_and_load_is_no_signal(rig: Rig) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets)
    rig.regions.beat(rig.now_ns)
    loader = rig.scanner._loader
    assert loader.load(0, SignalKind.BUY_ALL, rig.now_ns) is not None
    rig.regions.board_segment.take_over()
    rig.regions.beat(rig.now_ns)  # a new owner, alive and whole, but not the one we know
    assert loader.load(0, SignalKind.BUY_ALL, rig.now_ns) is None


def test_after_a_plan_a_set_rests_for_its_cooldown_then_a_standing_edge_signals_again(
    rig: Rig,
) -> None:
    markets = start_fair(rig)
    cheapen(rig, markets)
    assert len(rig.turn()) == 1
    rig.publish(markets[0], (3_000, 50.0, 3_100, 50.0))
    assert rig.turn(COOLDOWN_NS - 1) == []
    assert len(rig.turn(SWEEP_INTERVAL_NS)) == 1


def test_a_declined_signal_is_not_repeated_until_a_leg_changes(rig: Rig) -> None:
    markets = start_fair(rig)
    rig.accept = False
    cheapen(rig, markets)
    assert len(rig.turn()) == 1
    assert rig.turn(SWEEP_INTERVAL_NS) == []
    rig.publish(markets[0], (3_000, 50.0, 3_100, 50.0))
    assert len(rig.turn()) == 1


def test_a_lapped_reader_counts_and_reads_the_board(rig: Rig) -> None:
    markets = start_fair(rig)
    for at in range(200):  # the ring holds 64
        rig.publish(markets[at % 3], FAIR)
    cheapen(rig, markets)
    assert len(rig.turn()) == 1
    values = rig.meters.values
    assert values[Value.LAPS] == 1
    assert values[Value.RECORDS_LOST] > 0
    assert values[Value.RECORDS_LOST] + values[Value.RECORDS_SEEN] == 203
    assert values[Value.SWEEPS] == 2  # at the start and after the lap


def test_old_ring_records_do_not_undo_a_sweep_of_the_board(rig: Rig) -> None:
    markets = start_fair(rig)
    stale = [rig.regions.store(market, CHEAP, now_ns=rig.now_ns) for market in markets]
    for at in range(100):
        rig.publish(markets[at % 3], FAIR)
    for record in stale:  # older versions, later in the ring
        rig.regions.changes.publish(record)
    assert rig.turn() == []
    assert rig.turn(SWEEP_INTERVAL_NS) == []
    asks = rig.scanner._columns.ask_ticks
    assert [int(asks[market]) for market in markets] == [FAIR[2]] * 3


def test_while_a_region_is_repaired_its_books_are_not_even_scanned(rig: Rig) -> None:
    markets = start_fair(rig)
    pointer = rig.regions.board_segment.pointer
    lib.ovr_segment_takeover_begin(pointer, 1, 1, 1)
    cheapen(rig, markets)
    assert rig.turn() == []
    assert rig.turn(SWEEP_INTERVAL_NS) == []
    assert rig.meters.values[Value.UNUSABLE_SKIPPED] == 0
    lib.ovr_segment_takeover_end(pointer)
    assert len(rig.turn()) == 1


def test_a_slot_whose_writer_died_in_the_middle_is_not_trusted(rig: Rig) -> None:
    markets = rig.regions.add_set(3)
    cheapen(rig, markets)
    slot = ffi.cast("uint64_t *", rig.regions.board_segment.pointer)
    word = (lib.OVR_HEADER_BYTES + markets[1] * BOARD.itemsize) // 8
    slot[word] |= 1  # odd: being written, for ever
    rig.start()
    assert rig.signals == []
    assert rig.meters.values[Value.UNUSABLE_SKIPPED] == 0
    assert rig.regions.board_segment.take_over() == 1
    rig.publish(markets[1], CHEAP)
    assert len(rig.turn()) == 1


def test_a_set_across_two_shards_needs_both_owners_alive(rig: Rig) -> None:
    other = Regions()
    try:
        near = rig.regions.add_market(set_index=3, set_size=2, set_position=0)

        def second_shard(record: np.ndarray) -> None:
            record["shard"] = 1

        far = rig.regions.add_market(set_index=3, set_size=2, set_position=1, change=second_shard)
        other.beat(START_NS)
        rig.start(
            shards=[
                Shard(0, rig.regions.reader(), rig.regions.board, rig.regions.board_segment),
                Shard(1, other.reader(), other.board, other.board_segment),
            ]
        )
        rig.publish(near, CHEAP)
        other.publish(far, CHEAP, now_ns=rig.now_ns)
        (signal,) = rig.turn()
        epochs = [rig.regions.board_segment.epoch, other.board_segment.epoch]
        assert [leg.ingress_epoch for leg in signal.legs] == epochs
        assert rig.turn(LEASE_NS + 1) == []  # only the first shard beats here
        assert rig.meters.values[Value.UNUSABLE_SKIPPED] > 0
        other.beat(rig.now_ns)
        assert len(rig.turn(SWEEP_INTERVAL_NS)) == 1
    finally:
        other.close()


def test_a_set_of_a_shard_without_regions_is_never_usable(rig: Rig) -> None:
    def second_shard(record: np.ndarray) -> None:
        record["shard"] = 1

    markets = rig.regions.add_set(2, change=second_shard)
    cheapen(rig, markets)
    rig.start()
    cheapen(rig, markets)
    assert rig.turn() == []


def test_a_crossed_trusted_book_is_an_alarm_and_no_signal(rig: Rig) -> None:
    markets = start_fair(rig)
    for market in markets:
        rig.publish(market, (3_400, 50.0, 3_200, 50.0))
    assert rig.turn() == []
    assert rig.meters.values[Value.MIRROR_ALARMS] == 3
    for market in markets:
        rig.publish(market, CHEAP)
    assert len(rig.turn()) == 1


def test_a_set_that_joins_the_catalog_while_running_is_scanned(rig: Rig) -> None:
    start_fair(rig)
    assert rig.scanner.sets == 1
    rig.scanner.added.clear()
    late = rig.regions.add_set(2, set_id=7)
    for market in late:
        rig.publish(market, (4_000, 50.0, 4_500, 50.0))
    (signal,) = rig.turn()
    assert [leg.market for leg in signal.legs] == late
    assert signal.set_id == 7
    assert rig.scanner.added == late


def test_a_market_that_closes_takes_its_set_out(rig: Rig) -> None:
    markets = start_fair(rig)
    rig.regions.set_status(markets[1], MarketStatus.CLOSED)
    rig.turn(1_000 * MS)
    assert rig.scanner.sets == 0
    cheapen(rig, markets)
    assert rig.turn(SWEEP_INTERVAL_NS) == []


def test_a_large_catalog_is_compared_bit_by_bit() -> None:
    regions = Regions(markets=2 * CATALOG_BATCH)
    try:
        rig = Rig(regions)
        while regions.catalog.count < CATALOG_BATCH + 8:
            regions.add_market()
        last = regions.add_set(2)
        rig.start()
        assert rig.scanner.sets == 1
        regions.set_status(last[1], MarketStatus.CLOSED)
        rig.turn(CATALOG_INTERVAL_NS)
        rig.turn(CATALOG_INTERVAL_NS)
        assert rig.scanner.sets == 0
    finally:
        regions.close()


def test_a_market_of_no_set_moves_freely(rig: Rig) -> None:
    lone = rig.regions.add_market()
    start_fair(rig)
    rig.publish(lone, (100, 50.0, 200, 50.0))
    assert rig.turn() == []
    assert rig.meters.values[Value.RECORDS_SEEN] == 1


def test_publish_to_seen_is_timed_on_the_newest_record(rig: Rig) -> None:
    markets = start_fair(rig)
    rig.publish(markets[0], FAIR)
    rig.meters.times.clear()
    rig.turn(3_000)
    assert rig.meters.times == [(Histogram.PUBLISH_TO_SEEN, 3_000)]


def test_an_empty_catalog_is_no_work(rig: Rig) -> None:
    rig.start()
    assert rig.scanner.sets == 0
    assert rig.scanner.do_work(rig.now_ns) == 0


def test_the_words_of_a_record_stand_where_the_kernel_reads_them() -> None:
    from overround.layout.change import CHANGE

    record = np.zeros(1, CHANGE)
    record["market"], record["version"] = 0xAABBCCDD, 0x11223344
    record["bid_ticks"], record["ask_ticks"], record["flags"] = 0x1234, 0x5678, 0x9ABCDEF0
    record["bid_lots"], record["ask_lots"] = 5, 6
    words = record.view(np.uint64)
    assert words[2] == 0x11223344_AABBCCDD
    assert words[4] == 0x9ABCDEF0_5678_1234
    assert (words[5], words[6]) == (5, 6)
