"""Slots, rings and meters through their Python faces."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.segments import SegmentBox
from overround._native import ffi, lib
from overround.errors import HostError, InvariantError, LayoutError
from overround.layout.region import RegionKind
from overround.observe.metrics import Histogram, Value
from overround.shm.broadcast import BroadcastReader, BroadcastWriter
from overround.shm.meters import Meters, MetersView
from overround.shm.slots import Slots
from overround.shm.spsc import SpscConsumer, SpscProducer


@pytest.fixture
def box() -> Iterator[SegmentBox]:
    with SegmentBox() as box:
        yield box


def test_slot_holds_the_latest_version(box: SegmentBox):
    slots = Slots(box.make(RegionKind.BOARD, 4))
    record = np.zeros((), slots.dtype)
    assert slots.count == 0
    for version in (1, 2, 3):
        record["market"] = version
        assert slots.store(2, record) == 2 * version
    loaded = slots.load(2)
    assert loaded is not None
    assert (loaded["market"], loaded["sequence"]) == (3, 6)
    empty = slots.load(0)
    assert empty is not None
    assert empty["sequence"] == 0
    assert slots.count == 3
    assert slots.load_all()["market"].tolist() == [0, 0, 3]


def test_slots_take_scalars_and_arrays_of_one_but_no_other_size(box: SegmentBox):
    slots = Slots(box.make(RegionKind.TARGETS, 4))
    records = np.zeros(3, slots.dtype)
    records["market"] = (7, 8, 9)
    slots.store(0, records[1])
    slots.store(1, records[2:])
    assert slots.load_all()["market"].tolist() == [8, 9]
    with pytest.raises(LayoutError, match="192 bytes"):
        slots.store(0, records)
    with pytest.raises(LayoutError, match="contiguous"):
        slots.load_into(0, np.zeros(1, np.uint64))
    with pytest.raises(LayoutError):
        Slots(slots.segment, np.dtype("<u8"))


def test_slots_beyond_the_region_are_index_errors(box: SegmentBox):
    slots = Slots(box.make(RegionKind.TARGETS, 4))
    record = np.zeros(1, slots.dtype)
    with pytest.raises(IndexError):
        slots.store(4, record)
    with pytest.raises(IndexError):
        slots.load(4)
    with pytest.raises(IndexError):
        slots.load_many(3, 2)
    records, whole = slots.load_many(0, 0)
    assert len(records) == len(whole) == 0


def test_catalog_grows_until_full(box: SegmentBox):
    slots = Slots(box.make(RegionKind.CATALOG, 2))
    record = np.zeros(1, slots.dtype)
    record["condition_id"] = b"0x" + b"ab" * 32
    assert [slots.append(record), slots.append(record)] == [0, 1]
    assert slots.load_all()["condition_id"].tolist() == [b"0x" + b"ab" * 32] * 2
    with pytest.raises(HostError, match="full"):
        slots.append(record)


def test_stuck_writer_is_none_not_a_hang(box: SegmentBox):
    segment = box.make(RegionKind.TARGETS, 4)
    slots = Slots(segment)
    slots.store(0, np.zeros(1, slots.dtype))
    ffi.cast("uint64_t *", segment.address + lib.OVR_HEADER_BYTES)[0] = 3
    assert slots.load(0) is None
    assert not slots.load_into(0, np.zeros(1, slots.dtype))
    assert not slots.load_all()["sequence"].any()
    assert segment.take_over() == 1
    assert slots.load(0) is not None


def test_late_reader_begins_at_the_end_unless_told(box: SegmentBox):
    segment = box.make(RegionKind.TRADES, 8)
    writer = BroadcastWriter(segment)
    record = np.zeros(1, writer.dtype)
    out = np.zeros(8, writer.dtype)
    for number in range(3):
        record["value"] = number
        assert writer.publish(record) == number
    late = BroadcastReader(segment)
    early = BroadcastReader(segment, from_start=True)
    assert (late.poll(out), late.lag, early.lag) == (0, 0, 3)
    assert early.poll(out) == 3
    assert out["value"][:3].tolist() == [0, 1, 2]
    assert out["sequence"][:3].tolist() == [2, 4, 6]
    assert not late.wait(timeout_ns=0)
    writer.publish(record[0])
    assert late.wait(timeout_ns=60_000_000_000, spin_ns=1_000)
    assert late.poll(out) == 1


def test_lapped_reader_counts_and_goes_on(box: SegmentBox):
    segment = box.make(RegionKind.CHANGES, 16)
    writer = BroadcastWriter(segment)
    reader = BroadcastReader(segment)
    record = np.zeros(1, writer.dtype)
    out = np.zeros(4, writer.dtype)
    for number in range(40):
        record["event_sequence"] = number
        writer.publish(record)
    assert reader.poll(out) == 4
    assert (reader.lost, reader.laps) == (26, 1)  # resumes 16 - 2 behind the tail
    assert out["event_sequence"].tolist() == [26, 27, 28, 29]
    reader.skip_to_end()
    assert (reader.poll(out), reader.lag, reader.position) == (0, 0, 40)


def test_waiting_lets_other_threads_run(box: SegmentBox):
    segment = box.make(RegionKind.CHANGES, 16)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    seen: list[bool] = []
    waiter = threading.Thread(target=lambda: seen.append(reader.wait(60_000_000_000)))
    waiter.start()
    writer.publish(np.zeros(1, writer.dtype))  # would never run if the waiter kept the GIL
    waiter.join()
    assert seen == [True]


def test_signal_ends_a_wait(box: SegmentBox):
    reader = BroadcastReader(box.make(RegionKind.CHANGES, 16))
    caught: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: caught.append(number))
    try:
        # Repeated, because one that fires before the wait begins would not end it.
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        assert not reader.wait(60_000_000_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 24)), max_size=30))
def test_ring_equals_a_list_whatever_the_rhythm(steps: list[tuple[int, int]]):
    with SegmentBox() as box:
        segment = box.make(RegionKind.CHANGES, 16)
        writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
        record = np.zeros(1, writer.dtype)
        published = expected = 0
        for publish, read in steps:
            for _ in range(publish):
                record["event_sequence"] = published
                writer.publish(record)
                published += 1
            out = np.zeros(read, writer.dtype)
            lost = reader.lost
            count = reader.poll(out)
            expected += reader.lost - lost
            assert out["event_sequence"][:count].tolist() == list(range(expected, expected + count))
            expected += count
            assert count == min(read, published - (expected - count))
            assert reader.position + reader.lag == published


def test_full_ring_refuses_and_numbers_go_on(box: SegmentBox):
    segment = box.make(RegionKind.INTENTS, 8)
    producer, consumer = SpscProducer(segment), SpscConsumer(segment)
    record = np.zeros(1, producer.dtype)
    out = np.zeros(5, producer.dtype)
    for number in range(8):
        assert producer.next_sequence == number
        record["producer_sequence"] = number
        assert producer.try_push(record)
    assert not producer.try_push(record)
    assert [consumer.poll(out), consumer.poll(out), consumer.poll(out)] == [5, 3, 0]
    assert not producer.try_push(record)  # polled, not consumed
    assert SpscConsumer(segment).position == 0  # one that starts anew reads all again
    consumer.advance_to(3)
    assert SpscConsumer(segment).position == 3
    assert producer.try_push(record)
    assert SpscProducer(segment).next_sequence == 9
    assert consumer.wait(timeout_ns=0)
    assert consumer.poll(out) == 1
    assert out["sequence"][0] == 18


def test_two_consumers_are_a_bug_that_shows(box: SegmentBox):
    segment = box.make(RegionKind.INTENTS, 8)
    producer = SpscProducer(segment)
    first, second = SpscConsumer(segment), SpscConsumer(segment)
    producer.try_push(np.zeros(1, producer.dtype))
    first.poll(np.zeros(1, producer.dtype))
    first.advance_to(1)
    with pytest.raises(InvariantError, match="two consumers"):
        second.poll(np.zeros(1, producer.dtype))
    with pytest.raises(InvariantError, match="advance"):
        first.advance_to(2)


def test_region_without_records_has_no_slots(box: SegmentBox):
    with pytest.raises(LayoutError):
        Slots(box.make(RegionKind.KILL, 0))


def test_meters_count_and_are_read_from_outside(box: SegmentBox):
    meters = Meters(box.make(RegionKind.METERS, 1))
    view = MetersView(box.attach(RegionKind.METERS))
    meters.add(Value.FRAMES)
    meters.add(Value.FRAMES, 4)
    meters.set(Value.PNL_MICRO, -7)
    assert view.value(Value.FRAMES) == 5
    assert view.snapshot() == {Value.FRAMES: 5, Value.PNL_MICRO: -7}
    empty = view.histogram(Histogram.GATE)
    assert (empty.count, empty.min, empty.max, empty.percentile(99), empty.mean) == (0, 0, 0, 0, 0)
    meters.record(Histogram.GATE, -5)
    assert (view.histogram(Histogram.GATE).min, view.histogram(Histogram.GATE).count) == (0, 1)


@settings(max_examples=40, deadline=None)
@given(
    samples=st.lists(st.integers(0, 2**40), min_size=1, max_size=200),
    percent=st.floats(0, 100),
)
def test_percentiles_are_within_an_eighth_above(samples: list[int], percent: float):
    with SegmentBox() as box:
        meters = Meters(box.make(RegionKind.METERS, 1))
        for sample in samples:
            meters.record(Histogram.FRAME, sample)
        view = meters.histogram(Histogram.FRAME)
        exact = int(np.percentile(samples, percent, method="inverted_cdf"))
        assert exact <= view.percentile(percent) <= exact * 9 / 8
        assert (view.count, view.sum) == (len(samples), sum(samples))
        assert (view.min, view.max) == (min(samples), max(samples))
        with pytest.raises(ValueError, match=r"0\.\.100"):
            view.percentile(101)
