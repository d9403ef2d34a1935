"""A short form of scripts/load: two hundred sockets, batched orders, every trade accounted for."""

from __future__ import annotations

import re

from oracle.load import Plan, run


def test_busy_exchange_loses_no_trade_and_no_cent() -> None:
    report = run(Plan(seconds=5.0))
    assert report["errors"] == []
    assert report["member_trades"] > 1_000
    assert report["answers"]["live"] > 4_000
    assert report["market_frames"] > 30_000


def test_the_audit_sees_one_lost_trade_and_one_lost_print() -> None:
    small = Plan(seconds=0.5, accounts=3, clients=3, wide=1, markets=15, per_client=15)
    found = run(small, "--fault", "trade-missing=1", "--fault", "print-dropped=1")["errors"]
    assert len(found) == 2
    assert re.fullmatch("user channel of .*: 1 events lost, 0 too many", found[0])
    assert re.fullmatch("market client .: 1 prints lost, 0 too many", found[1])
