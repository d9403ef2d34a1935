"""An auditor who trusts nobody: the executor's journal against the exchange's own log.

It reads files only, shares no code with the order path (except the journal's reader), and says
what it found. A run is clean when every list is empty and both money figures agree.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overround.ledger.journal import replay
from overround.ledger.records import (
    Ack,
    Done,
    Failed,
    Fill,
    Intent,
    Reconcile,
    Record,
    Sent,
    Settled,
    Signed,
    decode,
)


@dataclass
class Audit:
    """What does not fit. Empty lists mean that all does."""

    sent_twice: list[str] = field(default_factory=list)
    """Intents with two digests, or with more filled than they wished for."""
    unjournaled: list[str] = field(default_factory=list)
    """Orders whose bytes reached the exchange before a SENT record, or without one."""
    unaccounted: list[str] = field(default_factory=list)
    """Fills or orders that one side knows and the other does not, or knows differently."""
    unfinished: list[str] = field(default_factory=list)
    """Orders the journal has not brought to an end."""
    cash_exchange_micro: int = 0
    cash_ledger_micro: int = 0
    intents: int = 0
    accepted: int = 0
    fills: int = 0

    @property
    def clean(self) -> bool:
        """Whether both sides tell the same story."""
        return (
            not (self.sent_twice or self.unjournaled or self.unaccounted or self.unfinished)
            and self.cash_exchange_micro == self.cash_ledger_micro
        )


class _Journal:
    def __init__(self, folder: Path) -> None:
        self.intents: dict[tuple[int, ...], Intent] = {}
        self.digests: dict[tuple[int, ...], set[str]] = defaultdict(set)
        self.key_of: dict[str, tuple[int, ...]] = {}
        self.sent_ms: dict[str, int] = {}
        self.fills: dict[tuple[str, str], Fill] = {}
        self.final: dict[tuple[str, str], str] = {}
        self.acknowledged: set[str] = set()
        self.done: set[tuple[int, ...]] = set()
        self.rejected: set[str] = set()
        self.opening_micro = 0
        for raw in replay(folder):
            self._apply(decode(raw), raw.epoch_ns // 1_000_000)

    def _apply(self, record: Record, epoch_ms: int) -> None:
        if isinstance(record, Intent):
            self.intents[record.key] = record
        elif isinstance(record, Signed):
            self.digests[record.key].add(record.order_id)
            self.key_of[record.order_id] = record.key
        elif isinstance(record, Sent):
            for order_id in record.order_ids:
                self.sent_ms.setdefault(order_id, epoch_ms)
        elif isinstance(record, Ack):
            self.acknowledged.add(record.order_id)
        elif isinstance(record, Fill):
            self.fills[record.trade_id, record.order_id] = record
        elif isinstance(record, Settled | Failed):
            status = "CONFIRMED" if isinstance(record, Settled) else "FAILED"
            self.final[record.trade_id, record.order_id] = status
        elif isinstance(record, Done):
            self.done.add(record.key)
        elif isinstance(record, Reconcile) and record.opening:
            self.opening_micro = record.cash_micro
        elif type(record).__name__ == "Reject":
            self.rejected.add(record.order_id)  # type: ignore[attr-defined]


def _exchange_fills(
    log: list[dict[str, Any]], address: str
) -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    status = {one["trade_id"]: one["status"] for one in log if one["event"] == "settled"}
    for line in log:
        if line["event"] != "trade":
            continue
        final = status.get(line["trade_id"])
        if line["taker"] == address:
            found[line["trade_id"], line["taker_order_id"]] = {**line, "final": final}
        for leg in line["makers"]:
            if leg["account"] == address:
                found[line["trade_id"], leg["order_id"]] = {**leg, "fee_micro": 0, "final": final}
    return found


def audit(folder: Path, log: list[dict[str, Any]], address: str) -> Audit:
    """Compare the journal in ``folder`` with the exchange's log lines of one account."""
    journal = _Journal(folder)
    mine = [line for line in log if line.get("account") == address]
    fills = _exchange_fills(log, address)
    result = Audit(intents=len(journal.intents), fills=len(fills))
    reached = {line["order_id"]: line for line in mine if line["event"] in ("accepted", "rejected")}
    accepted = {line["order_id"] for line in mine if line["event"] == "accepted"}
    result.accepted = len(accepted)
    _check_sending(journal, reached, result)
    _check_fills(journal, fills, accepted, result)
    result.unfinished += [
        str(key) for key in journal.intents if key not in journal.done
        and not (journal.digests[key] & journal.rejected)
    ]  # fmt: skip
    deposits = sum(one["cash_micro"] for one in mine if one["event"] == "deposit")
    result.cash_exchange_micro = deposits + sum(
        _flow(one["side"] == "BUY", one["cash_micro"], one["fee_micro"])
        for one in fills.values()
        if one["final"] == "CONFIRMED"
    )
    result.cash_ledger_micro = journal.opening_micro + sum(
        _flow(fill.side == 0, fill.cash_micro, fill.fee_micro)
        for key, fill in journal.fills.items()
        if journal.final.get(key) == "CONFIRMED"
    )
    return result


def _check_sending(journal: _Journal, reached: dict[str, dict[str, Any]], result: Audit) -> None:
    for key, digests in journal.digests.items():
        if len(digests) > 1:
            result.sent_twice.append(f"intent {key} has {len(digests)} digests")
    for order_id, line in reached.items():
        sent_ms = journal.sent_ms.get(order_id)
        if sent_ms is None or sent_ms > line["epoch_ms"]:
            result.unjournaled.append(f"{order_id} reached the exchange, journal says {sent_ms}")


def _check_fills(
    journal: _Journal,
    fills: dict[tuple[str, str], dict[str, Any]],
    accepted: set[str],
    result: Audit,
) -> None:
    filled: dict[tuple[int, ...], int] = defaultdict(int)
    for key in fills.keys() | journal.fills.keys():
        theirs, ours = fills.get(key), journal.fills.get(key)
        if theirs is None or ours is None:
            result.unaccounted.append(f"fill {key}: exchange {theirs is not None}, journal {ours}")
            continue
        wanted = (
            theirs["size_lots"], theirs["cash_micro"], theirs["fee_micro"], theirs["outcome"],
            theirs["side"], theirs["final"],
        )  # fmt: skip
        seen = (
            ours.size_lots, ours.cash_micro, ours.fee_micro, ours.outcome,
            ("BUY", "SELL")[ours.side], journal.final.get(key),
        )  # fmt: skip
        if wanted != seen:
            result.unaccounted.append(f"fill {key}: exchange {wanted}, journal {seen}")
        filled[journal.key_of[ours.order_id]] += ours.size_lots
    for intent_key, lots in filled.items():
        if lots > journal.intents[intent_key].size_lots:
            result.sent_twice.append(f"intent {intent_key} was filled {lots} lots")
    for order_id in accepted ^ journal.acknowledged:
        where = "the exchange" if order_id in accepted else "the journal"
        result.unaccounted.append(f"order {order_id} is accepted for {where} alone")


def _flow(buys: bool, cash_micro: int, fee_micro: int) -> int:
    return (-cash_micro if buys else cash_micro) - fee_micro
