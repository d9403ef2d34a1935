"""A checkpoint is used only if it is whole, of this build, and the journal agrees."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from oracle.order_lives import commit, records, sums
from overround.config.schema import Execute, Settings
from overround.execute import checkpoint, wiring
from overround.execute.checkpoint import ThawError, fingerprint, freeze, thaw
from overround.execute.store import Store
from overround.ledger.checkpoint import find_checkpoint, write_checkpoint
from overround.ledger.journal import Checkpoint, Journal, JournalDamage, replay, segment_path

SEGMENT = 8_192


def journal(folder: Path, found: Checkpoint | None = None) -> Journal:
    return Journal(folder, segment_bytes=SEGMENT, sync_policy="none", checkpoint=found)


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """A journal with checkpoints at three of its records."""
    every = list(records(3, 40))
    for third in range(3):
        with journal(tmp_path) as one:
            store = Store(one, done_max=2)
            made = store.checkpoint()
            if made is not None:
                write_checkpoint(tmp_path, made, fingerprint())
            for record in every[third * len(every) // 3 : (third + 1) * len(every) // 3]:
                commit(store, record)
    return tmp_path


def names(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"))


def whole(folder: Path) -> tuple[object, ...]:
    with journal(folder) as one:
        return sums(Store(one))


def restarted(folder: Path, told: list[str]) -> tuple[int, tuple[object, ...]]:
    """Records that a start reads, and what it knows then."""
    with journal(folder, find_checkpoint(folder, fingerprint(), told.append)) as one:
        store = Store(one, done_max=2)
        return store.replayed, sums(store)


def test_the_newest_serves_and_two_are_kept(folder: Path) -> None:
    for _ in range(2):
        with journal(folder) as one:
            made = Store(one).checkpoint()
        assert made is not None
        write_checkpoint(folder, made, fingerprint())
    assert len(names(folder)) == 2
    told: list[str] = []
    assert restarted(folder, told) == (0, whole(folder))
    assert told == []


def test_damage_falls_back_to_an_older_one_and_then_to_the_whole_journal(folder: Path) -> None:
    newest, older = names(folder)[1], names(folder)[0]
    expected, lengths = whole(folder), []
    for victim in (None, newest, older):
        if victim is not None:
            data = bytearray(victim.read_bytes())
            data[len(data) // 2] ^= 4
            victim.write_bytes(data)
        told: list[str] = []
        replayed, known = restarted(folder, told)
        assert known == expected
        assert len(told) == len(lengths)
        lengths.append(replayed)
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == sum(1 for _ in replay(folder))


@pytest.mark.parametrize("size", [0, 5, 40, 100])
def test_one_that_is_cut_short_is_not_used(folder: Path, size: int) -> None:
    expected = whole(folder)
    for path in names(folder):
        path.write_bytes(path.read_bytes()[:size])
    told: list[str] = []
    assert restarted(folder, told)[1] == expected
    assert len(told) == 2


def test_one_that_is_ahead_of_the_journal_is_not_used(folder: Path) -> None:
    """A machine that died may have lost the journal's tail and kept the checkpoint."""
    last = max(int(path.name.split("-")[1].split(".")[0]) for path in names(folder))
    place = next(raw for raw in replay(folder) if raw.sequence == last - 3)
    for index in range(place.segment + 1, 99):
        segment_path(folder, index).unlink(missing_ok=True)
    with segment_path(folder, place.segment).open("r+b") as file:
        file.seek(place.offset)
        file.write(bytes(SEGMENT - place.offset))
    told: list[str] = []
    assert restarted(folder, told)[1] == whole(folder)
    assert "is not used" in told[0]
    with journal(folder) as one:  # other records take those places
        for _ in range(6):
            one.append(21, b"\x92\xa4hand\x90")
    told = []
    assert restarted(folder, told)[1] == whole(folder)
    assert "another record in its place" in told[0] or "no whole record" in told[0]


def test_another_builds_is_not_used(folder: Path) -> None:
    told: list[str] = []
    assert find_checkpoint(folder, bytes(32), told.append) is None
    assert [text.rpartition(": ")[2] for text in told] == ["another build wrote it"] * 2


def test_a_state_that_cannot_be_read_leaves_the_whole_journal(folder: Path) -> None:
    expected = whole(folder)
    for state in (b"", b"\x80\x05.", freeze({"positions": 1}), pickle.dumps(print)):
        found = find_checkpoint(folder, fingerprint())
        assert found is not None
        with journal(folder, Checkpoint(found.last, state)) as one:
            store = Store(one)
            assert store.replayed == one.next_sequence - 1
            assert sums(store) == expected


def test_nothing_but_our_own_classes_is_let_in() -> None:
    assert thaw(freeze({"a": [1]}), frozenset({"a"})) == {"a": [1]}
    for value in (print, Path("x"), pickle.Pickler, checkpoint.Path):
        with pytest.raises(ThawError, match="may not hold"):
            thaw(pickle.dumps({"a": value}), frozenset({"a"}))
    with pytest.raises(ThawError, match="parts"):
        thaw(freeze({"b": 1}), frozenset({"a"}))


@pytest.mark.parametrize(
    "name",
    ["overround.ledger.journal os", "overround.execute.checkpoint find_spec",
     "overround.execute.checkpoint freeze", "overround.execute.store read_record",
     "overround.ledger.records msgspec"],
)  # fmt: skip
def test_what_our_modules_import_or_do_is_not_let_in(name: str) -> None:
    """A pickle calls what it names: classes make the state, functions and modules do not."""
    module, _, attribute = name.partition(" ")
    with pytest.raises(ThawError, match="may not hold"):
        thaw(f"c{module}\n{attribute}\n.".encode(), frozenset({"a"}))


def test_a_checkpoint_that_the_disk_does_not_take_leaves_no_room_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journal(folder) as one:
        made = Store(one).checkpoint()
    assert made is not None
    (folder / "checkpoint-000000000007.partial").write_bytes(b"of a start that was killed")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = names(folder)[1:]
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_checkpoint(folder, made, fingerprint())
    assert names(folder) == before
    assert find_checkpoint(folder, fingerprint()) is not None


def test_a_store_that_lives_gives_no_checkpoint(folder: Path) -> None:
    with journal(folder) as one:
        store = Store(one)
        commit(store, next(records(1, 0)))
        with pytest.raises(AssertionError):
            store.checkpoint()


def test_damage_behind_the_checkpoint_is_damage(folder: Path) -> None:
    found = find_checkpoint(folder, fingerprint())
    assert found is not None
    path = segment_path(folder, found.last.segment)
    data = bytearray(path.read_bytes())
    data[found.last.offset + 32 + len(found.last.payload) + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalDamage):
        journal(folder, found)


def test_a_start_keeps_a_checkpoint_once_it_had_much_to_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(execute=Execute(journal_segment_bytes=2**16, journal_sync="none"))
    for path in names(folder):
        path.unlink()
    for limit, kept in ((100_000, 0), (1, 1), (1, 1)):
        monkeypatch.setattr(wiring, "CHECKPOINT_RECORDS", limit)
        with wiring.open_journal(settings, folder, lambda: None) as one:
            wiring.open_store(settings, one)
        assert len(names(folder)) == kept
    expected = whole(folder)
    with wiring.open_journal(settings, folder, lambda: None) as one:
        store = wiring.open_store(settings, one)
        assert (store.replayed, sums(store)) == (0, expected)
        assert one.checkpoint is None  # its bytes are of no use any more, for all of a life
        assert sums(Store(one)) == expected
