"""What must hold after a load run, computed from the log by arithmetic of its own."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oracle.load import Load

STATES = ("MATCHED", "MINED", "CONFIRMED")


def read(log: Path) -> dict[str, list[dict[str, Any]]]:
    """The log's lines by event."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for text in log.read_text().splitlines():
        line = json.loads(text)
        found[line["event"]].append(line)
    return found


def told(load: Load, trades: list[dict[str, Any]]) -> list[str]:
    """Every trade reached every party in every state, and every subscriber, exactly once."""
    wrong: list[str] = []
    for trader, listener in zip(load.traders, load.listeners, strict=True):
        address = trader.signer.address
        own = [
            trade["trade_id"]
            for trade in trades
            if address in (trade["taker"], *(leg["account"] for leg in trade["makers"]))
        ]
        wanted = Counter((trade, state) for trade in own for state in STATES)
        if listener.states != wanted:
            lost = sum((wanted - listener.states).values())
            extra = sum((listener.states - wanted).values())
            wrong.append(f"user channel of {address}: {lost} events lost, {extra} too many")
    by_token: dict[str, list[str]] = defaultdict(list)
    for trade in trades:
        by_token[trade["token_id"]].append(trade["transaction"])
    for number, watcher in enumerate(load.watchers):
        wanted_prints = Counter(tx for token in watcher.tokens for tx in by_token[token])
        if watcher.prints != wanted_prints:
            lost = sum((wanted_prints - watcher.prints).values())
            extra = sum((watcher.prints - wanted_prints).values())
            wrong.append(f"market client {number}: {lost} prints lost, {extra} too many")
        if watcher.closed:
            wrong.append(f"market client {number} was cut off")
    return wrong


def balances(lines: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Cash by address as deposits and confirmed trades make it, in micro-units."""
    cash: Counter[str] = Counter()
    for deposit in lines["deposit"]:
        cash[deposit["account"]] += deposit["cash_micro"]
    confirmed = {line["trade_id"] for line in lines["settled"] if line["status"] == "CONFIRMED"}
    for trade in lines["trade"]:
        if trade["trade_id"] not in confirmed:
            continue
        if trade["taker"]:
            paid = trade["cash_micro"] if trade["side"] == "BUY" else -trade["cash_micro"]
            cash[trade["taker"]] -= paid + trade["fee_micro"]
        for leg in trade["makers"]:
            if leg["account"]:
                paid = leg["cash_micro"] if leg["side"] == "BUY" else -leg["cash_micro"]
                cash[leg["account"]] -= paid
    return dict(cash)


def unbalanced(trades: list[dict[str, Any]]) -> int:
    """How many trades do not balance: what is paid is what is received plus what is minted."""
    bad = 0
    for trade in trades:
        sign = 1 if trade["side"] == "BUY" else -1
        paid = sign * trade["cash_micro"]
        minted = 0
        for leg in trade["makers"]:
            paid += leg["cash_micro"] if leg["side"] == "BUY" else -leg["cash_micro"]
            if leg["form"] != "NORMAL":
                minted += leg["size_lots"] if leg["form"] == "MINT" else -leg["size_lots"]
        sizes = sum(leg["size_lots"] for leg in trade["makers"])
        bad += paid != minted or sizes != trade["size_lots"]
    return bad


async def audit(load: Load, log: Path) -> list[str]:
    """Return everything that does not hold, in words; empty if all is well."""
    lines = read(log)
    trades = lines["trade"]
    wrong = told(load, trades)
    if len({trade["trade_id"] for trade in trades}) != len(trades):
        wrong.append("the log names a trade twice")
    ends = Counter(line["trade_id"] for line in lines["settled"])
    if any(ends[trade["trade_id"]] != 1 for trade in trades):
        wrong.append("a trade was not settled exactly once")
    if count := unbalanced(trades):
        wrong.append(f"{count} trades do not balance")
    expected = balances(lines)
    for trader in load.traders:
        answer = await load.request(trader, "GET", "/balance-allowance")
        if int(answer["balance"]) != expected[trader.signer.address]:
            wrong.append(
                f"{trader.signer.address} has {answer['balance']} micro-units, "
                f"its trades leave {expected[trader.signer.address]}"
            )
    async with load.http.get(load.sim.url + "/sim/check") as checked:
        if checked.status != 200:
            wrong.append(f"/sim/check: {checked.status}")
    return wrong
