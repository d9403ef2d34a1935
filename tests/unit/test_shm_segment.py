"""Segments: who may map what, and what the errors say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import posix_ipc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracle.segments import INSTANCE, SegmentBox
from overround._native import ffi, lib
from overround.errors import ConfigError, HostError, LayoutError
from overround.layout.region import REGIONS, RegionKind, Shape
from overround.shm import segment as segment_module
from overround.shm.kill import KillLatch, KillReason
from overround.shm.names import list_runs, segment_name
from overround.shm.segment import Segment
from overround.shm.slots import Slots


@pytest.fixture
def box() -> Iterator[SegmentBox]:
    with SegmentBox() as box:
        yield box


HUGE_PAGE_BYTES = 2 * 1024 * 1024
CAPACITY = {Shape.METERS: 1, Shape.LATCH: 0}


@pytest.mark.parametrize("kind", RegionKind, ids=lambda kind: kind.name.lower())
def test_every_kind_is_made_private_and_found_again(box: SegmentBox, kind: RegionKind):
    capacity = CAPACITY.get(REGIONS[kind].shape, 16)
    made = box.make(kind, capacity, own=False)
    found = box.attach(kind)
    assert (found.capacity, found.record_size) == (capacity, REGIONS[kind].record_size)
    assert (found.run_id, found.kind, found.cursor) == (box.run_id, kind, 0)
    assert os.fstat(made.fd).st_mode & 0o777 == 0o600
    assert found.address % 4096 == 0
    assert not found.usable(2**62, 2**62)  # nobody owns it yet


@pytest.mark.parametrize(
    ("kind", "capacity"),
    [
        (RegionKind.CHANGES, 12),
        (RegionKind.CHANGES, 4),
        (RegionKind.INTENTS, 0),
        (RegionKind.BOARD, 0),
        (RegionKind.METERS, 2),
        (RegionKind.KILL, 1),
        (RegionKind.BOARD, 2**40),
    ],
)
def test_impossible_geometry_is_refused_and_leaves_nothing(
    box: SegmentBox, kind: RegionKind, capacity: int
):
    with pytest.raises(LayoutError):
        box.make(kind, capacity)
    assert not [run for run in list_runs() if run.run_id == box.run_id]


def test_name_in_use_is_refused(box: SegmentBox):
    box.make(RegionKind.CHANGES, 8)
    with pytest.raises(HostError, match="already exists"):
        box.make(RegionKind.CHANGES, 8)


def test_short_memory_is_a_host_error_and_leaves_nothing(box: SegmentBox):
    with pytest.raises(HostError, match="shared memory"):
        box.make(RegionKind.BOARD, 2**32)  # 1.9 TB
    assert not [run for run in list_runs() if run.run_id == box.run_id]


def test_another_kind_or_build_is_refused(box: SegmentBox, monkeypatch: pytest.MonkeyPatch):
    segment = box.make(RegionKind.CHANGES, 8)
    with pytest.raises(LayoutError, match="stop every process"):
        Segment.attach(segment.name, RegionKind.TRADES)
    monkeypatch.setattr(segment_module, "layout_hash", lambda kind: 1)
    with pytest.raises(LayoutError, match="of this build"):
        Segment.attach(segment.name, RegionKind.CHANGES)


def test_absent_and_unfinished_segments_are_told_apart(box: SegmentBox):
    name = box.name("half")
    with pytest.raises(HostError, match="its run has ended"):
        Segment.attach(name, RegionKind.CHANGES)
    shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600)
    try:
        with pytest.raises(HostError, match="not set up yet"):
            Segment.attach(name, RegionKind.CHANGES)
        os.ftruncate(shared.fd, 8192)
        with pytest.raises(HostError, match="not set up yet"):
            Segment.attach(name, RegionKind.CHANGES)
    finally:
        shared.close_fd()
        shared.unlink()


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.integers(0, 63), st.integers(0, 255), min_size=1, max_size=8))
@example({20: 72})  # a record size that fits the file
@example({32: 255})  # a capacity that does not
def test_no_header_can_make_a_reader_leave_its_mapping(damage: dict[int, int]):
    with SegmentBox() as box:
        segment = box.make(RegionKind.CHANGES, 16)
        header = ffi.buffer(segment.pointer, 64)
        for place, value in damage.items():
            header[place] = bytes([value])
        try:
            found = box.attach(RegionKind.CHANGES)
        except (HostError, LayoutError):
            return
        end = lib.OVR_HEADER_BYTES + found.capacity * found.record_size
        assert found.record_size == REGIONS[RegionKind.CHANGES].record_size
        assert end <= found.size


def test_lease_of_a_run_that_has_ended_is_a_host_error(box: SegmentBox):
    segment = box.make(RegionKind.BOARD, 8, own=False)
    segment.unlink()
    with pytest.raises(HostError, match="has ended"):
        segment.take_lease()


def test_lease_is_single_and_ends_with_close(box: SegmentBox):
    first = box.make(RegionKind.BOARD, 8)
    second = box.attach(RegionKind.BOARD)
    assert first.leased
    first.take_lease()  # again: still ours
    with pytest.raises(HostError, match="already has an owner"):
        second.take_lease()
    first.close()
    second.take_lease()
    assert second.take_over() == 0
    assert second.generation == 2


def mappings(name: str) -> list[tuple[int, int]]:
    """The address ranges of this process that map a segment."""
    lines = Path("/proc/self/maps").read_text(encoding="ascii").splitlines()
    ranges = (line.split()[0].split("-") for line in lines if f"/dev/shm{name}" in line)
    return [(int(low, 16), int(high, 16)) for low, high in ranges]


@pytest.mark.parametrize("capacity", [8, 5_000], ids=["small", "large"])
def test_mapping_is_exact_and_large_ones_can_have_huge_pages(box: SegmentBox, capacity: int):
    segment = box.make(RegionKind.BOARD, capacity)
    assert mappings(segment.name) == [(segment.address, segment.address + segment.size)]
    if segment.size >= HUGE_PAGE_BYTES:
        assert segment.address % HUGE_PAGE_BYTES == 0
    slots = Slots(segment)
    last = np.zeros(1, slots.dtype)
    last["market"] = 7
    slots.store(capacity - 1, last)  # the last page is there, too
    assert Slots(box.attach(RegionKind.BOARD)).load_all()["market"][-1] == 7
    segment.close()
    assert len(mappings(segment.name)) == 1


def test_close_and_unlink_may_be_repeated(box: SegmentBox):
    segment = box.make(RegionKind.BOARD, 8)
    segment.unlink()
    segment.unlink()
    segment.close()
    segment.close()


def test_state_is_seen_by_readers(box: SegmentBox):
    segment = box.make(RegionKind.METERS, 1)
    assert segment.state == 0
    segment.set_state(3)
    assert box.attach(RegionKind.METERS).state == 3


def test_names_refuse_what_cannot_be_a_file():
    assert segment_name("main", 0xAB, "board-0") == "/ovr-main-00000000000000ab-board-0"
    for instance, key in (("a/b", "board-0"), ("", "board-0"), ("main", "Board"), ("m" * 90, "k")):
        with pytest.raises(ConfigError):
            segment_name(instance, 1, key)


def test_instance_with_dashes_is_read_back(box: SegmentBox):
    segment = box.make(RegionKind.BOARD, 8, "intents-detector-0")
    (run,) = [run for run in list_runs() if run.run_id == box.run_id]
    assert run.instance == INSTANCE
    assert run.segments == (segment.name,)
    assert run.alive


def test_a_hold_gives_way_to_what_also_cancels(box: SegmentBox):
    latch = KillLatch(box.make(RegionKind.KILL, 0))
    assert latch.set(KillReason.HOLD, now_ns=10)
    latch.answer_stopped(11)
    assert latch.stopped
    assert not latch.set(KillReason.HOLD, now_ns=20)
    assert latch.set(KillReason.OPERATOR, now_ns=30)
    assert (latch.reason, latch.set_ns) == (KillReason.OPERATOR, 30)
    assert not latch.stopped  # it has to answer anew
    assert not latch.set(KillReason.LOSS_LIMIT, now_ns=40)


def test_kill_latch_keeps_the_first_reason(box: SegmentBox):
    latch = KillLatch(box.make(RegionKind.KILL, 0))
    other = KillLatch(box.attach(RegionKind.KILL))
    assert not latch.is_set()
    assert other.set(3, now_ns=50)
    assert not latch.set(4, now_ns=60)
    assert (latch.is_set(), latch.reason, latch.set_ns) == (True, 3, 50)
    latch.clear()
    assert not other.is_set()
    with pytest.raises(ValueError, match="above 0"):
        latch.set(0, now_ns=1)


def test_native_clock_is_the_python_clock():
    from overround.clock import monotonic_ns

    before = monotonic_ns()
    assert before <= lib.ovr_clock_ns() <= monotonic_ns()
