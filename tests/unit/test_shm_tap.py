"""The tap: what was appended is read back, up to the first damaged byte and not one further."""

from __future__ import annotations

import platform
import random
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from overround._native import lib
from overround.errors import HostError, LayoutError
from overround.shm.tap import TapKind, TapRecord, TapWriter, read_tap, tap_files

KIB = 1024


def test_records_come_back_as_they_went(tmp_path: Path):
    writer = TapWriter(tmp_path, 64 * KIB, 4, run_id=9)
    expected = [
        TapRecord(TapKind.MARKET, 1, 0, b'{"index": 0}'),
        TapRecord(TapKind.CONNECT, 2, 1, b""),
        TapRecord(TapKind.FRAME_IN, 3, 1, bytes(range(256))),
        TapRecord(TapKind.FRAME_OUT, 2**63, 2**32 - 1, b"PING"),
    ]
    for record in expected:
        assert writer.append(record.kind, record.recv_ns, record.connection, record.payload)
    assert list(read_tap(tap_files(tmp_path))) == expected  # while it is still open
    written = writer.bytes
    writer.close()
    assert list(read_tap(tap_files(tmp_path))) == expected
    (path,) = tap_files(tmp_path)
    assert path.stat().st_size == 64 + written  # cut to size; the unused spare is gone
    assert path.stat().st_mode & 0o777 == 0o600


def test_rolls_through_files_and_goes_on_after_a_restart(tmp_path: Path):
    for start in (0, 100):
        writer = TapWriter(tmp_path, 4 * KIB, 100)
        for number in range(start, start + 100):
            assert writer.append(TapKind.FRAME_IN, number, 0, b"x" * 300)
            writer.roll()
        assert writer.dropped == 0
        writer.close()
    files = tap_files(tmp_path)
    assert [path.name for path in files] == [f"tap-{n:06d}.ovt" for n in range(len(files))]
    assert len(files) > 10
    assert [record.recv_ns for record in read_tap(files)] == list(range(200))


def test_limit_drops_counts_and_never_overwrites(tmp_path: Path):
    writer = TapWriter(tmp_path, 4 * KIB, 2)
    kept = 0
    for number in range(50):
        kept += writer.append(TapKind.FRAME_IN, number, 0, b"x" * 300)
        assert writer.roll() == (len(tap_files(tmp_path)) < 2 or writer.native_pointer.rolls == 0)
    assert writer.dropped == 50 - kept
    assert len(tap_files(tmp_path)) == 2
    writer.close()
    records = list(read_tap(tap_files(tmp_path)))
    assert [record.recv_ns for record in records] == list(range(kept))
    with pytest.raises(HostError, match="tap_segments_max"):
        TapWriter(tmp_path, 4 * KIB, 2)


def test_gap_says_how_many_were_lost(tmp_path: Path):
    writer = TapWriter(tmp_path, 4 * KIB, 2)
    for number in range(50):
        writer.append(TapKind.FRAME_IN, number, 0, b"x" * 300)
        writer.roll()
    dropped = writer.dropped
    assert dropped > 0
    writer.segments_max = 3  # somebody made room
    assert writer.roll()
    assert writer.append(TapKind.FRAME_IN, 99, 0, b"again")
    writer.close()
    gap, last = list(read_tap(tap_files(tmp_path)))[-2:]
    assert gap.kind is TapKind.GAP
    assert struct.unpack("<Q", gap.payload) == (dropped,)
    assert last.recv_ns == 99


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 16 KiB: as near to a full disk as an ordinary user gets.

    Not a fixture: the limit must be gone before the runner writes its report to a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * KIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_without_room_is_said_at_the_start_and_leaves_nothing(tmp_path: Path):
    with small_disk(), pytest.raises(HostError, match="free the disk"):
        TapWriter(tmp_path, 64 * KIB, 4)
    assert not tap_files(tmp_path)


def test_closed_tap_refuses(tmp_path: Path):
    writer = TapWriter(tmp_path, 4 * KIB, 2)
    writer.close()
    assert not writer.append(TapKind.TICK, 1, 0, b"")
    assert writer.dropped == 1


def test_any_damage_ends_the_file_cleanly(tmp_path: Path):
    writer = TapWriter(tmp_path, 16 * KIB, 2)
    for number in range(20):
        writer.append(TapKind.FRAME_IN, number, 7, b"payload %d" % number)
    writer.close()
    (path,) = tap_files(tmp_path)
    whole = path.read_bytes()
    size = 24 + 16
    rng = random.Random(20)
    for _ in range(300):
        damaged = bytearray(whole)
        place = rng.randrange(64, len(whole))
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        records = list(read_tap([path]))
        number, offset = divmod(place - 64, size)
        payload_end = 24 + len(b"payload %d" % number)
        expected = 20 if offset >= payload_end else number  # padding is not data
        assert [record.recv_ns for record in records] == list(range(expected))
    for cut in range(64, len(whole)):
        path.write_bytes(whole[:cut])
        records = list(read_tap([path]))
        assert len(records) in ((cut - 64) // size, (cut - 64) // size + 1)
        assert [record.recv_ns for record in records] == list(range(len(records)))


def test_files_removed_by_a_recorder_make_room_and_numbers_go_on(tmp_path: Path):
    writer = TapWriter(tmp_path, 4 * KIB, 2)
    for number in range(50):
        writer.append(TapKind.FRAME_IN, number, 0, b"x" * 300)
        writer.roll()
    assert writer.dropped > 0
    tap_files(tmp_path)[0].unlink()
    assert writer.roll()
    assert writer.append(TapKind.FRAME_IN, 50, 0, b"x" * 300)
    writer.close()
    assert [path.name for path in tap_files(tmp_path)] == ["tap-000001.ovt", "tap-000002.ovt"]
    tap_files(tmp_path)[0].unlink()
    TapWriter(tmp_path, 4 * KIB, 2).close()
    assert [path.name for path in tap_files(tmp_path)] == ["tap-000002.ovt", "tap-000003.ovt"]


def test_whole_record_of_a_later_version_is_refused(tmp_path: Path):
    writer = TapWriter(tmp_path, 4 * KIB, 2)
    lib.ovr_tap_append(writer.native_pointer, 99, 1, 0, b"", 0)
    writer.close()
    with pytest.raises(LayoutError, match="unknown kind 99"):
        list(read_tap(tap_files(tmp_path)))


@pytest.mark.skipif(
    tuple(map(int, platform.release().split(".")[:2])) < (5, 14),
    reason="the kernel cannot make pages ready",
)
def test_appends_meet_no_page_fault(tmp_path: Path):
    writer = TapWriter(tmp_path, 1024 * KIB, 2)
    payload = b"x" * 4000
    faults = 0
    for number in range(200):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        assert writer.append(TapKind.FRAME_IN, number, 0, payload)
        faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        if number % 10 == 0:
            writer.roll()
    writer.close()
    assert faults < 20  # one a page without the pages made ready: 196


def test_foreign_file_is_refused(tmp_path: Path):
    path = tmp_path / "tap-000000.ovt"
    for data in (b"", b"x" * 100, b"OVRTAP01" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(LayoutError, match="no tap file"):
            list(read_tap([path]))
