"""What the exchange wrote down, read without any code of the bot."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from overround.sim.catalog import SimCatalog


class ExchangeLog:
    """The lines of ``overround sim --log``; the bot's account is the first one funded."""

    def __init__(self, path: Path) -> None:
        self.lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.account = next(line["account"] for line in self.lines if line["event"] == "deposit")

    def ours(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of this kind that concern the bot's account."""
        return [
            line
            for line in self.lines
            if line["event"] == event and self.account in (line.get("account"), line.get("taker"))
        ]

    def settled_pnl_micro(self) -> int:
        """Return cash of settled trades, and the least that the shares left must redeem for.

        Legs of a set that stayed alone are sold back: a sale brings its cash less the fee.
        """
        confirmed = {
            line["trade_id"]
            for line in self.lines
            if line["event"] == "settled" and line["status"] == "CONFIRMED"
        }
        cash = 0
        lots: Counter[tuple[str, int]] = Counter()
        for trade in self.ours("trade"):
            if trade["trade_id"] in confirmed:
                sign = 1 if trade["side"] == "BUY" else -1
                cash -= sign * trade["cash_micro"] + trade["fee_micro"]
                lots[trade["market"], trade["outcome"]] += sign * trade["size_lots"]
        return cash + sum(least_redemption(lots, members) for members in _sets())


def least_redemption(lots: Counter[tuple[str, int]], members: list[str]) -> int:
    """Return what shares of a set's markets pay at least: one wins, every other one loses.

    A market on its own wins or loses.
    """
    winners = members if len(members) > 1 else [members[0], ""]
    return min(
        sum(
            lots[market, outcome]
            for market in members
            for outcome in (0, 1)
            if (market == winner) != bool(outcome)
        )
        for winner in winners
    )


def _sets() -> list[list[str]]:
    found = []
    for event in SimCatalog.recorded().events:
        markets = [market.condition_id for market in event.markets]
        found += [markets] if event.set_id else [[market] for market in markets]
    return found
