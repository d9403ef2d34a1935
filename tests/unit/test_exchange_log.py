"""The recount of a log by hand: what was bought, what was sold back, what did not settle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oracle.exchange_log import ExchangeLog
from overround.sim.catalog import SimCatalog

SHARE = 1_000_000
ME = "0xme"


def recount(folder: Path, *trades: dict[str, Any], failed: int = -1) -> int:
    lines: list[dict[str, Any]] = [{"event": "deposit", "account": ME}]
    for number, trade in enumerate(trades):
        lines.append({"event": "trade", "taker": ME, "trade_id": number, "fee_micro": 0, **trade})
        status = "FAILED" if number == failed else "CONFIRMED"
        lines.append({"event": "settled", "trade_id": number, "status": status})
    path = folder / "exchange.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ExchangeLog(path).settled_pnl_micro()


def trade(market: str, outcome: int, side: str, shares: int, cash: int) -> dict[str, Any]:
    return {
        "market": market, "outcome": outcome, "side": side,
        "size_lots": shares * SHARE, "cash_micro": cash,
    }  # fmt: skip


def test_a_leg_sold_back_leaves_what_it_cost(tmp_path: Path) -> None:
    event = next(event for event in SimCatalog.recorded().events if event.set_id)
    names = [market.condition_id for market in event.markets]
    bought = trade(names[0], 1, "BUY", 10, 6_000_000)
    sold = trade(names[0], 1, "SELL", 10, 5_500_000)
    assert recount(tmp_path, bought) == -6_000_000  # alone it may pay nothing
    assert recount(tmp_path, bought, {**sold, "fee_micro": 7}) == -500_007
    assert recount(tmp_path, bought, sold, failed=1) == -6_000_000
    every = [trade(name, 1, "BUY", 10, 6_000_000) for name in names]
    count = len(names)  # NO of every market: all but one pay
    assert recount(tmp_path, *every) == (count - 1) * 10 * SHARE - count * 6_000_000
    most = [trade(name, 0, "BUY", 10, 1_000_000) for name in names[:-1]]
    assert recount(tmp_path, *most) == -(count - 1) * 1_000_000  # the one left out may win


def test_a_market_on_its_own_pays_the_smaller_side(tmp_path: Path) -> None:
    event = next(event for event in SimCatalog.recorded().events if not event.set_id)
    name = event.markets[0].condition_id
    legs = (trade(name, 0, "BUY", 10, 4_000_000), trade(name, 1, "BUY", 6, 3_000_000))
    assert recount(tmp_path, *legs) == 6 * SHARE - 7_000_000
