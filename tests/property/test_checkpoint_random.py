"""State from a checkpoint and what came after is the state from the whole journal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.order_lives import commit, face, records, sums
from overround.execute.checkpoint import fingerprint
from overround.execute.store import Store
from overround.ledger.checkpoint import find_checkpoint, write_checkpoint
from overround.ledger.journal import Journal


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), orders=st.integers(0, 40), starts=st.integers(1, 5),
    done_max=st.sampled_from([None, 0, 1, 5, 100]), damage=st.booleans(),
)  # fmt: skip
def test_every_start_from_a_checkpoint_knows_what_a_whole_replay_knows(
    seed: int, orders: int, starts: int, done_max: int | None, damage: bool
) -> None:
    random = Random(seed)
    every = list(records(seed, orders))
    cuts = sorted(random.randrange(len(every) + 1) for _ in range(starts))
    kept = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for begin, end in zip([0, *cuts], [*cuts, len(every)], strict=True):
            with journal(folder) as plain:
                whole = Store(plain)
            if damage:
                spoil(folder, random)
            with journal(folder, checkpointed=True) as one:
                store = Store(one, done_max=done_max)
                last = one.next_sequence - 1
                assert last - kept <= store.replayed <= last
                assert damage or store.replayed == last - kept
                made = store.checkpoint()
                if made is not None and random.random() < 0.8:
                    write_checkpoint(folder, made, fingerprint())
                    kept = made.last.sequence
                assert sums(store) == sums(whole)
                assert len(store.by_key) + len(store.retired) <= len(whole.by_key)
                for record in every[begin:end]:
                    commit(store, record)
                    store.retire()
        with journal(folder) as plain, journal_copy(folder, scratch) as one:
            whole, again = Store(plain), Store(one, done_max=done_max)
            assert all(key in again.by_key for key in whole.by_key)
            for order_id in sorted(whole.by_id):
                assert face(again.by_id[order_id]) == face(whole.by_id[order_id])
            assert sums(again) == sums(whole)


def journal(folder: Path, *, checkpointed: bool = False) -> Journal:
    found = find_checkpoint(folder, fingerprint()) if checkpointed else None
    return Journal(folder, segment_bytes=8_192, sync_policy="none", checkpoint=found)


def journal_copy(folder: Path, scratch: str) -> Journal:
    """The same journal again: only one may have its lock."""
    copy = Path(scratch) / "copy"
    copy.mkdir()
    for file in folder.glob("*.ov?"):
        (copy / file.name).write_bytes(file.read_bytes())
    return journal(copy, checkpointed=True)


def spoil(folder: Path, random: Random) -> None:
    """Flip a byte of a checkpoint, or cut it."""
    for path in folder.glob("checkpoint-*"):
        if random.random() < 0.4:
            data = bytearray(path.read_bytes())
            at = random.randrange(len(data))
            data[at] ^= 1 << random.randrange(8)
            path.write_bytes(data if random.random() < 0.5 else data[:at])
