"""Regions between real processes, some of which are killed at the worst moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oracle.segment_actors import change, is_change
from oracle.segments import INSTANCE, Actor, SegmentBox
from overround.clock import epoch_s, monotonic_ns
from overround.errors import HostError
from overround.layout.region import RegionKind
from overround.shm.broadcast import BroadcastReader, BroadcastWriter
from overround.shm.meters import MetersView
from overround.shm.names import list_runs, remove_stale
from overround.shm.process import start_ticks
from overround.shm.segment import Segment, lease_is_free
from overround.shm.slots import Slots
from overround.shm.spsc import SpscConsumer
from overround.shm.tap import read_tap, tap_files

SECOND_NS = 1_000_000_000


@pytest.fixture
def box() -> Iterator[SegmentBox]:
    with SegmentBox() as box:
        yield box


def test_reading_process_accounts_for_every_record(box: SegmentBox):
    records = 60_000
    writer = BroadcastWriter(box.make(RegionKind.CHANGES, 256))
    with Actor("follow", box.name("region-0"), records) as reader:
        assert reader.line() == "ready"
        for number in range(records):
            writer.publish(change(number))
        result = json.loads(reader.line())
    assert result["seen"] + result["lost"] == records
    assert result["torn"] == 0


def test_sleeping_reader_is_woken_by_each_record(box: SegmentBox):
    segment = box.make(RegionKind.CHANGES, 64)
    writer = BroadcastWriter(segment)
    with Actor("follow", box.name("region-0"), 3) as reader:
        assert reader.line() == "ready"
        for number in range(3):  # one at a time: without the wake-ups it would sleep a minute
            writer.publish(change(number))
        assert json.loads(reader.line())["seen"] == 3


def test_reader_survives_killed_writers_without_a_hole(box: SegmentBox):
    segment = box.make(RegionKind.CHANGES, 1_024, own=False)
    reader = BroadcastReader(segment, from_start=True)
    out = np.zeros(256, reader.dtype)
    epochs = {segment.epoch}
    for restart in range(4):
        with Actor("publish_until_killed", segment.name) as writer:
            begin = int(writer.line())
            target = begin + 5_000
            while reader.position < target:
                count = reader.poll(out)
                assert is_change(out[:count], reader.position - count)
            writer.kill()
        epochs.add(segment.epoch)
        assert segment.generation == restart + 1
    assert len(epochs) == 5  # each owner is told from the one before
    assert reader.position == reader.segment.cursor - reader.lag


def test_consumer_killed_before_advancing_reads_its_record_again(box: SegmentBox):
    segment = box.make(RegionKind.INTENTS, 16, own=False)
    taken: list[int] = []
    with Actor("push", segment.name, 100) as producer:
        assert producer.line() == "ready"
        for _ in range(5):
            with Actor("consume_and_die", segment.name, 11) as consumer:
                taken.extend(int(consumer.line()) for _ in range(11))
                assert consumer.line() == ""
        consumer = SpscConsumer(segment)
        out = np.zeros(16, consumer.dtype)
        while consumer.position < 100:
            assert consumer.wait(60 * SECOND_NS)
            count = consumer.poll(out)
            taken.extend(int(number) for number in out["producer_sequence"][:count])
            consumer.advance_to(consumer.position)
        producer.line()
    assert sorted(set(taken)) == list(range(100))  # nothing lost
    repeated = [number for number in range(100) if taken.count(number) > 1]
    assert repeated == [10, 20, 30, 40, 50]  # only what each victim had not given back


def test_lease_passes_on_when_its_holder_is_killed(box: SegmentBox):
    segment = box.make(RegionKind.BOARD, 8, own=False)
    with Actor("hold", segment.name, "BOARD") as owner:
        assert owner.line() == "owner"
        assert not lease_is_free(segment.name)
        with pytest.raises(HostError, match="already has an owner"):
            segment.take_lease()
        with pytest.raises(HostError, match="lease before"):
            segment.take_over()
        assert segment.owner_pid == owner.process.pid
        assert segment.owner_start == start_ticks(owner.process.pid)
        beat_ns, epoch = segment.heartbeat_ns, segment.epoch
        assert segment.usable(monotonic_ns(), 3_600 * SECOND_NS)
        owner.kill()
    assert not segment.usable(beat_ns + SECOND_NS + 1, SECOND_NS)  # silence ends the trust
    segment.take_lease()
    segment.take_over()
    assert (segment.epoch, segment.generation) == (epoch + 2, 2)
    assert not segment.usable(monotonic_ns(), 3_600 * SECOND_NS)  # not before its first beat
    segment.beat(monotonic_ns())
    assert segment.usable(monotonic_ns(), 3_600 * SECOND_NS)


def test_take_over_blanks_the_slot_its_writer_died_in(box: SegmentBox):
    segment = box.make(RegionKind.BOARD, 8, own=False)
    slots = Slots(segment)
    with Actor("die_in_store", segment.name, 2) as owner:
        assert owner.line() == ""  # dead
    assert slots.load(2) is None  # reported, not waited for
    records, whole = slots.load_many(0, 3)
    assert whole.tolist() == [True, True, False]
    assert not records[2]["bid_lots"].any()
    segment.take_lease()
    assert segment.take_over() == 1
    blank = slots.load(2)
    assert blank is not None
    assert blank["sequence"] == 4
    assert not blank["bid_lots"].any()
    kept = slots.load(1)
    assert kept is not None
    assert kept["bid_lots"].tolist() == [5] * 16


def test_only_dead_runs_are_removed():
    runs = [2**62 + start_ticks(1) + n for n in (1, 2)]
    with (
        Actor("run_instance", INSTANCE, runs[0]) as dead,
        Actor("run_instance", INSTANCE, runs[1]) as alive,
    ):
        names = {actor: {actor.line(), actor.line()} for actor in (dead, alive)}
        found = {run.run_id: run for run in list_runs() if run.run_id in runs}
        assert found[runs[0]].alive
        assert found[runs[1]].alive
        assert set(found[runs[0]].segments) == names[dead]
        dead.kill()
        removed = set(remove_stale(epoch_s(), instance=INSTANCE))
        assert names[dead] <= removed
        assert not names[alive] & removed
        assert [run.alive for run in list_runs() if run.run_id in runs] == [True]
        alive.kill()
        assert names[alive] <= set(remove_stale(epoch_s(), instance=INSTANCE))


def test_starting_run_without_a_roster_is_left_alone_for_a_while(box: SegmentBox):
    segment = box.make(RegionKind.BOARD, 8, own=False)
    assert segment.name not in remove_stale(epoch_s(), instance=INSTANCE)
    assert segment.name in remove_stale(epoch_s() + 60, instance=INSTANCE)
    assert segment.name not in remove_stale(epoch_s() + 60, instance=INSTANCE)


def test_segments_with_an_owner_need_no_roster_to_live(box: SegmentBox):
    segment = box.make(RegionKind.BOARD, 8)
    assert segment.name not in remove_stale(epoch_s() + 60, instance=INSTANCE)


def test_unlinked_segment_stays_readable_where_it_is_mapped(box: SegmentBox):
    segment = box.make(RegionKind.CHANGES, 8)
    reader = BroadcastReader(box.attach(RegionKind.CHANGES))
    segment.unlink()
    BroadcastWriter(segment).publish(change(0))
    assert reader.poll(np.zeros(1, reader.dtype)) == 1
    with pytest.raises(HostError, match="no shared region"):
        Segment.attach(segment.name, RegionKind.CHANGES)


def test_meters_are_read_from_outside_and_survive_their_process(box: SegmentBox):
    view = MetersView(box.make(RegionKind.METERS, 1, own=False))
    with Actor("count_until_killed", view.segment.name) as counter:
        assert counter.line() == "ready"
        while view.value(0) < 10_000:
            assert counter.process.poll() is None
        counter.kill()
    total = view.value(0)
    histogram = view.histogram(0)
    assert total - 1 <= histogram.count <= total
    assert histogram.max == histogram.min == 1_000


def test_tap_keeps_everything_its_killed_process_had_appended(tmp_path: Path):
    with Actor("tap_until_killed", tmp_path) as writer:
        while int(writer.line()) < 5_000:
            pass
        writer.kill()
    records = list(read_tap(tap_files(tmp_path)))
    assert len(records) >= 5_000
    assert [record.recv_ns for record in records] == list(range(len(records)))
    assert all(record.payload == b"%d " % record.recv_ns * 20 for record in records)
    assert len(tap_files(tmp_path)) > 2  # it rolled on the way
