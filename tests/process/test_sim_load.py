"""A short form of scripts/load: two hundred sockets, batched orders, every trade accounted for."""

from __future__ import annotations

from oracle.load import Plan, run


def test_busy_exchange_loses_no_trade_and_no_cent() -> None:
    report = run(Plan(seconds=5.0))
    assert report["errors"] == []
    assert report["member_trades"] > 1_000
    assert report["answers"]["live"] > 4_000
    assert report["market_frames"] > 30_000
