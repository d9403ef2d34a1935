"""kill -9 at random instants: no order lost, none doubled, none sent without its record.

The proof is the exchange's own log against the journal, by an auditor whose own eyes are tested:
each way of breaking the executor must make it protest.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from oracle.audit import Audit, audit
from oracle.executor_rig import SHARE, Rig
from overround.clock import monotonic_ns
from overround.config.schema import Execute
from overround.execute.process import JOURNAL_FOLDER
from overround.ledger.journal import Journal, replay
from overround.ledger.records import Fill, Kind, Record, Sent, Signed, decode, encode
from overround.observe.metrics import Value
from overround.shm.kill import KillLatch, KillReason

Change = Callable[[Record], list[Record]]
Evidence = tuple[Path, list[dict[str, Any]], str]
KILLS = 4
BURST_NS = 200_000_000


def trade_until(rig: Rig, random: Random, deadline_ns: int) -> None:
    """Push takers, resting orders, and plans as fast as a strategy in a hurry."""
    pause = threading.Event()
    while monotonic_ns() < deadline_ns:
        outcome = random.randrange(2)
        market = random.choice([0, 1, 3] if outcome else [2, 5, 6, 7])
        bid, ask = rig.top(market)
        price = 10_000 - bid if outcome else ask
        size = random.choice([5, 7.5, 20])
        changes = {"market": market, "outcome": outcome, "size_lots": int(size * SHARE)}
        kind = random.random()
        if kind < 0.5:
            rig.push(price_ticks=price, **changes)
        elif kind < 0.75:
            rig.push(price_ticks=price - rig.tick(market), order_type=0, **changes)
        else:
            first = rig.producer.next_sequence
            for leg, one in enumerate((0, 1, 3)):
                rig.push(
                    plan=first, leg=leg, legs=3, market=one, outcome=1,
                    price_ticks=10_000 - rig.top(one)[0], size_lots=5 * SHARE,
                )  # fmt: skip
        pause.wait(random.random() * 0.01)


def kill_under_way(rig: Rig) -> None:
    """Kill while the exchange, which has the order, still owes its answer."""
    rig.venue.control("faults", clear=True)
    rig.start()
    rig.until(lambda: rig.ring.head == rig.ring.cursor)
    rig.venue.control("faults", path="/order", method="POST", delay_ms=10_000, count=8)
    before = len(rig.venue.log())
    rig.push_rest()
    rig.until(lambda: any(line["event"] == "accepted" for line in rig.venue.log()[before:]))
    rig.kill()
    rig.publish_books()


def campaign(rig: Rig, seed: int) -> Audit:
    random = Random(seed)
    for _ in range(KILLS):
        rig.start()
        if random.random() < 0.5:
            rig.venue.control(
                "faults", path="/order", method="POST", lose=True, count=random.randrange(1, 3)
            )
        trade_until(rig, random, monotonic_ns() + random.randrange(BURST_NS))
        rig.kill()
        rig.publish_books()
    kill_under_way(rig)
    rig.venue.control("faults", clear=True)
    rig.start()
    rig.until(lambda: rig.ring.head == rig.ring.cursor)
    # What still rests was taken up again by the last start: have it cancelled.
    KillLatch(rig.instance.segment("kill")).set(KillReason.OPERATOR, monotonic_ns())
    rig.wait_settled()
    assert rig.stop() == 0
    return audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address)


@pytest.mark.parametrize("seed", [11, 12])
def test_no_order_is_lost_doubled_or_sent_unjournaled(tmp_path: Path, seed: int) -> None:
    # A plan that cannot be repaired ends by its deadline; the default is half a minute.
    execute = Execute(unknown_quiet_ms=300, reconcile_interval_ms=500, plan_deadline_ms=3_000)
    rig = Rig(tmp_path, execute=execute)
    try:
        found = campaign(rig, seed)
        assert found.clean, f"seed {seed}: {found}"
        assert found.accepted > 5, "the campaign sent nothing worth a proof"
        assert rig.count(Value.ORDERS_UNKNOWN) > 0, "no kill hit an order under way"
    finally:
        rig.close()


@pytest.fixture(scope="module", name="evidence")
def fixture_evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Journal, exchange log and address of one clean run."""
    rig = Rig(tmp_path_factory.mktemp("clean"))
    try:
        rig.start()
        for _ in range(3):
            rig.push(market=6, size_lots=5 * SHARE)
        rig.until(lambda: rig.count(Value.FILLS_SETTLED) >= 3)
        rig.wait_settled()
        assert rig.stop() == 0
        log = rig.venue.log()
    finally:
        rig.close()
    folder = rig.folder / JOURNAL_FOLDER
    assert audit(folder, log, rig.address).clean
    return folder, log, rig.address


def rewrite(folder: Path, target: Path, change: Change) -> Path:
    """Copy a journal through ``change(record) -> list of records``."""
    shutil.rmtree(target, ignore_errors=True)
    stamps = iter([record.epoch_ns for record in replay(folder) for _ in range(4)])
    with Journal(
        target, segment_bytes=2**20, sync_policy="none", epoch_ns=lambda: next(stamps)
    ) as journal:
        for raw in replay(folder):
            for record in change(decode(raw)):
                journal.append(*encode(record))
    return target


def skip_journal(record: Record) -> list[Record]:
    return [] if isinstance(record, Sent) else [record]


def new_salt(record: Record) -> list[Record]:
    if not isinstance(record, Signed):
        return [record]
    other = Signed(**{**_fields(record), "order_id": record.order_id[:-4] + "dead"})
    return [record, other]


def ignore_fill(record: Record) -> list[Record]:
    return [] if isinstance(record, Fill) else [record]


def taker_side(record: Record) -> list[Record]:
    if not isinstance(record, Fill):
        return [record]
    return [Fill(**{**_fields(record), "side": 1 - record.side})]


def wrong_fee(record: Record) -> list[Record]:
    if not isinstance(record, Fill):
        return [record]
    return [Fill(**{**_fields(record), "fee_micro": record.fee_micro + 10})]


def ignore_settled(record: Record) -> list[Record]:
    return [] if encode(record)[0] == Kind.SETTLED else [record]


def _fields(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


@pytest.mark.parametrize(
    ("sabotage", "finding"),
    [
        (skip_journal, "unjournaled"),
        (new_salt, "sent_twice"),
        (ignore_fill, "unaccounted"),
        (taker_side, "unaccounted"),
        (wrong_fee, "unaccounted"),
        (ignore_settled, "unaccounted"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_the_auditor_sees_every_sabotage(
    evidence: Evidence, tmp_path: Path, sabotage: Change, finding: str
) -> None:
    folder, log, address = evidence
    broken = audit(rewrite(folder, tmp_path / "broken", sabotage), log, address)
    assert not broken.clean
    assert getattr(broken, finding), broken


def test_the_auditor_sees_an_order_the_journal_never_knew(evidence: Evidence) -> None:
    folder, log, address = evidence
    accepted = next(line for line in log if line["event"] == "accepted")
    ghost = {**accepted, "order_id": "0x" + "ab" * 32}
    broken = audit(folder, [*log, ghost], address)
    assert broken.unjournaled
    assert broken.unaccounted
