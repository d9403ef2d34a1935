"""The pool in a real executor at a real exchange: used, killed over, and audited."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from oracle.audit import audit
from oracle.executor_rig import SHARE, Rig
from overround.config.schema import Execute
from overround.execute.process import JOURNAL_FOLDER
from overround.ledger.journal import replay
from overround.ledger.records import Kind, Signed, decode
from overround.observe.metrics import Value
from overround.shm.kill import KillLatch, KillReason


def use_pool(rig: Rig, hits: int) -> None:
    """Rest one post-only order after the other until so many came out of the pool."""
    before = rig.count(Value.POOL_HITS)
    while rig.count(Value.POOL_HITS) < before + hits:
        waiting = rig.count(Value.POOL_READY)
        sent = rig.count(Value.ORDERS_SENT)
        resting = rig.push_rest(size_lots=5 * SHARE)
        rig.until(lambda sent=sent: rig.count(Value.ORDERS_SENT) > sent)
        rig.push(flags=2, target_sequence=resting)
        if not waiting:
            rig.until(lambda: rig.count(Value.POOL_READY) > 0)


def test_pooled_orders_trade_survive_a_kill_and_are_used_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    try:
        rig.start()
        use_pool(rig, 3)
        rig.kill()
        rig.publish_books()
        rig.start()
        use_pool(rig, 3)
        KillLatch(rig.instance.segment("kill")).set(KillReason.OPERATOR, 1)
        rig.wait_settled()
        assert rig.stop() == 0
        journal = rig.folder / JOURNAL_FOLDER
        assert audit(journal, rig.venue.log(), rig.address).clean
        check(journal)
    finally:
        rig.close()


def use_permits(rig: Rig, uses: int) -> None:
    """Rest one order after the other, each when all is quiet, until so many left in one call.

    As many have to come out of the pool: what is signed on the spot leaves in one call too.
    """
    pause = threading.Event()
    counters = (Value.PERMITS_USED, Value.POOL_HITS)
    wanted = [rig.count(one) + uses for one in counters]
    while any(rig.count(one) < least for one, least in zip(counters, wanted, strict=True)):
        sent = rig.count(Value.ORDERS_SENT)
        resting = rig.push_rest(size_lots=5 * SHARE)
        rig.until(lambda sent=sent: rig.count(Value.ORDERS_SENT) > sent)
        rig.push(flags=2, target_sequence=resting)
        pause.wait(0.05)


def test_permitted_orders_trade_and_survive_kills(tmp_path: Path) -> None:
    execute = Execute(unknown_quiet_ms=300, reconcile_interval_ms=500, pool_permits=True)
    rig = Rig(tmp_path, execute=execute)
    try:
        rig.start()
        for _ in range(2):
            use_permits(rig, 2)
            rig.push_rest(size_lots=5 * SHARE)
            rig.kill()  # with orders on their way
            rig.publish_books()
            rig.start()
        use_permits(rig, 2)
        KillLatch(rig.instance.segment("kill")).set(KillReason.OPERATOR, 1)
        rig.wait_settled()
        assert rig.stop() == 0
        journal = rig.folder / JOURNAL_FOLDER
        assert audit(journal, rig.venue.log(), rig.address).clean
        check(journal)
    finally:
        rig.close()


def check(journal: Path) -> None:
    """Every order signed ahead served one intent, and none that the process before had signed."""
    floor = newest = 0
    uses: Counter[int] = Counter()
    for raw in replay(journal):
        record = decode(raw)
        if raw.kind == Kind.START:
            floor = newest
        elif isinstance(record, Signed) and record.pool:
            uses[record.pool] += 1
            assert record.pool > floor
            newest = max(newest, record.pool)
        assert raw.kind not in (Kind.POOLED, Kind.POOL_VOID)
    assert len(uses) >= 6
    assert set(uses.values()) == {1}
