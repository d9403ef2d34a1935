"""What the exchange wrote down, read without any code of the bot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


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
        """Return cash of settled trades, and the least that the sets bought must redeem for."""
        confirmed = {
            line["trade_id"]
            for line in self.lines
            if line["event"] == "settled" and line["status"] == "CONFIRMED"
        }
        cash = 0
        lots: dict[tuple[str, int], int] = {}
        for trade in self.ours("trade"):
            if trade["trade_id"] in confirmed:
                assert trade["side"] == "BUY"  # the only strategy of the demo buys complete sets
                cash -= trade["cash_micro"] + trade["fee_micro"]
                token = (trade["market"], trade["outcome"])
                lots[token] = lots.get(token, 0) + trade["size_lots"]
        redemption = [
            sum(size for (market, no), size in lots.items() if (market == winner) != bool(no))
            for winner in {market for market, _ in lots}
        ]
        return cash + min(redemption, default=0)
