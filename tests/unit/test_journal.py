"""The journal: whole records survive, a torn tail is cut and told, damage is never hidden."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround.errors import HostError
from overround.ledger.journal import (
    HEADER_BYTES,
    PROGRESS_RECORDS,
    Journal,
    JournalDamage,
    JournalRecord,
    read_record,
    replay,
    segment_path,
)

SEGMENT_BYTES = 4_096
RECORDS = [(1 + index % 14, bytes([index]) * (index * 7 % 90)) for index in range(12)]


def open_journal(folder: Path, **options: object) -> Journal:
    wanted = {"segment_bytes": SEGMENT_BYTES, "sync_policy": "none", **options}
    return Journal(folder, **wanted)  # type: ignore[arg-type]


def write(folder: Path, records: list[tuple[int, bytes]], **options: object) -> None:
    with open_journal(folder, **options) as journal:
        for kind, payload in records:
            journal.append(kind, payload)


def read(folder: Path) -> list[tuple[int, bytes]]:
    return [(record.kind, record.payload) for record in replay(folder)]


def test_what_was_appended_is_replayed_in_order(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    assert read(tmp_path) == RECORDS
    assert [record.sequence for record in replay(tmp_path)] == list(range(1, 13))


@pytest.mark.parametrize("policy", ["none", "batch", "record"])
def test_every_sync_policy_keeps_the_same_bytes(tmp_path: Path, policy: str) -> None:
    with open_journal(tmp_path, sync_policy=policy) as journal:
        for kind, payload in RECORDS:
            journal.append(kind, payload)
        assert (journal.unsynced_bytes == 0) == (policy == "record")
        journal.sync()
        assert (journal.unsynced_bytes == 0) == (policy != "none")
    assert read(tmp_path) == RECORDS


def test_a_record_is_readable_by_others_before_the_writer_closes(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.append(3, b"sent")
        assert read(tmp_path) == [(3, b"sent")]


def test_full_segments_roll_and_sequences_go_on(tmp_path: Path) -> None:
    records = [(2, bytes(500))] * 40
    write(tmp_path, records)
    assert len(list(tmp_path.glob("*.ovj"))) > 4
    write(tmp_path, records)
    assert read(tmp_path) == records * 2
    assert [record.sequence for record in replay(tmp_path)] == list(range(1, 81))


def test_a_new_owner_sees_the_old_records_and_goes_on(tmp_path: Path) -> None:
    write(tmp_path, RECORDS[:5])
    with open_journal(tmp_path) as journal:
        assert [(record.kind, record.payload) for record in journal.records] == RECORDS[:5]
        assert journal.append(9, b"more") == 6
    assert read(tmp_path) == [*RECORDS[:5], (9, b"more")]


def crash_image(folder: Path, target: Path, image: bytes) -> None:
    target.mkdir(exist_ok=True)
    segment_path(target, 0).write_bytes(image)


def last_two_records(folder: Path) -> tuple[bytes, list[JournalRecord]]:
    write(folder, RECORDS)
    records = list(replay(folder))
    return segment_path(folder, 0).read_bytes(), records


def test_a_crash_at_every_byte_offset_leaves_exactly_the_whole_records(tmp_path: Path) -> None:
    image, records = last_two_records(tmp_path / "whole")
    first = records[-3].offset
    end = len(image.rstrip(b"\0"))
    for cut in range(first, end + 1):
        torn = image[:cut].ljust(len(image), b"\0")
        whole = [one for one in records if torn[: _end(one)] == image[: _end(one)]]
        crash_image(tmp_path, tmp_path / "torn", torn)
        found = replay(tmp_path / "torn")
        assert [one.payload for one in found] == [one.payload for one in whole], cut
        left = torn[_end(whole[-1]) :].rstrip(b"\0")
        assert (found.torn.length_bytes if found.torn else 0) == len(left)


def test_the_next_owner_cuts_a_torn_tail_at_every_offset_and_goes_on(tmp_path: Path) -> None:
    image, records = last_two_records(tmp_path / "whole")
    for cut in range(records[-1].offset, _end(records[-1]), 3):
        folder = tmp_path / f"torn-{cut}"
        torn = image[:cut].ljust(len(image), b"\0")
        crash_image(tmp_path, folder, torn)
        whole = len(RECORDS) if torn == image else len(RECORDS) - 1  # padding is zeros anyway
        with open_journal(folder) as journal:
            assert (journal.torn is None) == (cut == records[-1].offset or torn == image)
            journal.append(7, b"after the crash")
        assert read(folder) == [*RECORDS[:whole], (7, b"after the crash")]
        assert replay(folder).torn is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_tail_of_which_any_words_were_written_is_never_taken_for_a_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("words")
    image, records = last_two_records(folder / "whole")
    start, end = records[-1].offset, _end(records[-1])
    torn = bytearray(image)
    lost = data.draw(st.sets(st.sampled_from(range(start, end, 8)), min_size=1))
    for word in lost:
        torn[word : word + 8] = bytes(8)
    crash_image(folder, folder / "torn", bytes(torn))
    survived = bytes(torn) == image
    assert len(list(replay(folder / "torn"))) == len(records) - (not survived)


def test_any_flipped_bit_before_the_tail_is_damage_not_a_shorter_journal(tmp_path: Path) -> None:
    image, records = last_two_records(tmp_path / "whole")
    generator = random.Random(17)
    for _ in range(120):
        position = generator.randrange(HEADER_BYTES, records[-1].offset)
        bad = bytearray(image)
        bad[position] ^= 1 << generator.randrange(8)
        crash_image(tmp_path, tmp_path / "bad", bytes(bad))
        with pytest.raises(JournalDamage, match="whole records behind it"):
            list(replay(tmp_path / "bad"))


def test_a_missing_or_foreign_segment_is_damage(tmp_path: Path) -> None:
    write(tmp_path, [(2, bytes(500))] * 20)
    middle = segment_path(tmp_path, 1)
    kept = middle.read_bytes()
    middle.unlink()
    with pytest.raises(JournalDamage, match="missing"):
        list(replay(tmp_path))
    middle.write_bytes(b"\1" + kept[1:])
    with pytest.raises(JournalDamage, match="header"):
        list(replay(tmp_path))


@pytest.mark.parametrize("written", [0, 1, 30, 63])
def test_a_crash_while_rolling_is_repaired(tmp_path: Path, written: int) -> None:
    write(tmp_path, [(2, bytes(500))] * 20)
    last = sorted(tmp_path.glob("*.ovj"))[-1]
    header = last.read_bytes()[:written]
    before = read(tmp_path)
    in_last = sum(
        record.segment == len(list(tmp_path.glob("*.ovj"))) - 1 for record in replay(tmp_path)
    )
    last.write_bytes(header.ljust(SEGMENT_BYTES, b"\0"))
    write(tmp_path, [(5, b"next")])
    assert read(tmp_path) == [*before[: len(before) - in_last], (5, b"next")]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path), pytest.raises(HostError, match="another process"):
        open_journal(tmp_path)
    open_journal(tmp_path).close()


def test_impossible_records_are_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        for kind, payload in ((0, b""), (65_536, b""), (1, bytes(60_001))):
            with pytest.raises(ValueError, match="journal record"):
                journal.append(kind, payload)


def test_a_full_disk_is_told_at_every_record_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    half = bytes(SEGMENT_BYTES // 2)
    with open_journal(tmp_path) as journal:
        journal.append(1, half)
        with monkeypatch.context() as disk:
            disk.setattr("os.posix_fallocate", full)
            for _ in range(2):
                with pytest.raises(HostError, match="no room"):
                    journal.append(2, half)
        journal.append(3, half)
    assert [kind for kind, _ in read(tmp_path)] == [1, 3]


def test_a_full_disk_raises_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with open_journal(tmp_path) as journal:
        journal.append(1, b"fits")
        monkeypatch.setattr("os.posix_fallocate", full)
        with pytest.raises(HostError, match="no room"):
            fill_two_segments(journal)


def fill_two_segments(journal: Journal) -> None:
    for _ in range(20):
        journal.append(2, bytes(500))


def _end(record: JournalRecord) -> int:
    return record.offset + ((32 + len(record.payload) + 7) & ~7)


def test_a_long_journal_says_on_the_way_that_it_is_read(tmp_path: Path) -> None:
    beats = []
    write(tmp_path, [(1, b"x")] * (3 * PROGRESS_RECORDS))
    with open_journal(tmp_path, progress=lambda: beats.append(1)) as journal:
        assert len(beats) == 3, "on opening"
        assert sum(1 for _ in journal.records) == 3 * PROGRESS_RECORDS
        assert len(beats) == 6, "and on replaying"


def test_every_record_can_be_read_from_its_place_while_the_writer_goes_on(tmp_path: Path) -> None:
    places = {}
    records = [(1, b"x"), (2, bytes(1_900)), (3, bytes(2_100)), (4, bytes(60_000)), (5, b"")] * 3
    with Journal(tmp_path, segment_bytes=2**16, sync_policy="none") as journal:
        for kind, payload in records:
            sequence = journal.append(kind, payload)
            places[sequence] = journal.last_place
            assert read_record(tmp_path, journal.last_place).sequence == sequence
        assert journal.position[0] >= 2
        for sequence, (kind, payload) in enumerate(records, 1):
            found = read_record(tmp_path, places[sequence])
            assert (found.sequence, found.kind, found.payload) == (sequence, kind, payload)
        assert [found.place for found in journal.records] == list(places.values())
