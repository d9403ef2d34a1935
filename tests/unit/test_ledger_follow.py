"""A follower sees every whole record once, in order, whatever the writer is doing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround.ledger.follow import Follower
from overround.ledger.journal import HEADER_BYTES, Journal, JournalDamage, replay, segment_path

SEGMENT_BYTES = 4_096


def open_journal(folder: Path) -> Journal:
    return Journal(folder, segment_bytes=SEGMENT_BYTES, sync_policy="none")


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 1_500), max_size=40),
    steps=st.lists(st.integers(1, 5), min_size=1, max_size=20),
)
def test_any_steps_give_what_replay_gives(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], steps: list[int]
):
    folder = tmp_path_factory.mktemp("journal")
    follower = Follower(folder)
    seen = []
    with open_journal(folder) as journal:
        for index, size in enumerate(sizes):
            journal.append(1 + index % 9, bytes([index % 251]) * size)
            seen += follower.poll(steps[index % len(steps)])
        while found := follower.poll(3):
            seen += found
    assert seen == list(replay(folder))
    follower.close()


def test_it_waits_at_a_half_written_record_and_takes_it_when_whole(tmp_path: Path):
    with open_journal(tmp_path) as journal:
        journal.append(1, b"first")
        follower = Follower(tmp_path)
        assert len(follower.poll(9)) == 1
        before = segment_path(tmp_path, 0).read_bytes()
        offset = journal.position[1]
        journal.append(2, b"second" * 20)
        whole = segment_path(tmp_path, 0).read_bytes()
        for length in (1, 8, 31, 40, 100):
            torn = whole[: offset + length] + before[offset + length :]
            segment_path(tmp_path, 0).write_bytes(torn)
            assert follower.poll(9) == []
        segment_path(tmp_path, 0).write_bytes(whole)
        assert [one.payload for one in follower.poll(9)] == [b"second" * 20]


def test_it_follows_a_writer_that_rolls_all_the_time(tmp_path: Path):
    count = 2_000
    folder = tmp_path / "journal"

    def write() -> None:
        with open_journal(folder) as journal:
            for number in range(count):
                journal.append(1, number.to_bytes(4, "little") * (1 + number % 200))

    writer = threading.Thread(target=write)
    writer.start()
    follower, seen = Follower(folder), []
    while writer.is_alive():
        seen += follower.poll(7)
    writer.join()
    while found := follower.poll(100):
        seen += found
    assert [one.sequence for one in seen] == list(range(1, count + 1))


def test_it_resumes_behind_any_record_and_refuses_another_journals(tmp_path: Path):
    for name in ("one", "two"):
        with open_journal(tmp_path / name) as journal:
            for number in range(30):
                journal.append(1, f"{name} {number}".encode() * 20)
    every = list(replay(tmp_path / "one"))
    for index, one in enumerate(every):
        place = (one.segment, one.offset, one.sequence, one.checksum)
        follower = Follower(tmp_path / "one")
        assert follower.resume(*place)
        assert follower.poll(99) == every[index + 1 :]
        other = Follower(tmp_path / "two")
        assert not other.resume(*place)
        assert other.poll(1)[0].sequence == 1, "a refused place leaves it where it was"


def test_a_wrong_sequence_behind_the_place_is_damage(tmp_path: Path):
    with open_journal(tmp_path) as journal:
        for _ in range(5):
            journal.append(1, b"x")
    path = segment_path(tmp_path, 0)
    data = bytearray(path.read_bytes())
    record = (32 + 1 + 7) & ~7
    second = HEADER_BYTES + record
    data[second : second + record] = data[second + record : second + 2 * record]
    path.write_bytes(data)
    with pytest.raises(JournalDamage, match="where 2 belongs"):
        Follower(tmp_path).poll(9)


def test_a_hole_before_the_next_segment_is_damage_and_not_waited_for(tmp_path: Path):
    with open_journal(tmp_path) as journal:
        for _ in range(20):
            journal.append(1, bytes(500))
    path = segment_path(tmp_path, 0)
    broken = bytearray(path.read_bytes())
    broken[HEADER_BYTES + 600] ^= 1
    path.write_bytes(broken)
    follower = Follower(tmp_path)
    with pytest.raises(JournalDamage, match="next segment goes on at record 8"):
        list(iter(lambda: follower.poll(1), []))


def test_an_empty_folder_has_nothing_and_no_name(tmp_path: Path):
    follower = Follower(tmp_path)
    assert follower.poll(5) == []
    assert follower.first() is None
