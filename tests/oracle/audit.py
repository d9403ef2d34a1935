"""An auditor who trusts nobody: the executor's journal against the exchange's own log.

It reads files only, shares no code with the order path (except the journal's reader), and says
what it found. A run is clean when every list is empty and cash, fees and shares of every token
agree to the micro-unit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from overround.ledger.journal import replay
from overround.ledger.records import (
    Ack,
    Done,
    Failed,
    Fill,
    Intent,
    Reconcile,
    Record,
    Reject,
    Sent,
    Settled,
    Signed,
    Unknown,
    decode,
)

FillKey = tuple[str, str]
"""Trade id and own order id."""


@dataclass
class Books:
    """What an account has: cash (fees paid), fees alone, shares by token."""

    cash_micro: int = 0
    fees_micro: int = 0
    lots: Counter[str] = field(default_factory=Counter)

    def trade(self, token: str, side: str, lots: int, cash_micro: int, fee_micro: int) -> None:
        """Book one settled fill."""
        buys = side == "BUY"
        self.cash_micro += (-cash_micro if buys else cash_micro) - fee_micro
        self.fees_micro += fee_micro
        self.lots[token] += lots if buys else -lots

    def difference_micro(self, other: Books) -> int:
        """Sum of all differences, without sign: they cannot cancel each other out."""
        tokens = self.lots.keys() | other.lots.keys()
        lots = sum(abs(self.lots[token] - other.lots[token]) for token in tokens)
        cash, fees = self.cash_micro - other.cash_micro, self.fees_micro - other.fees_micro
        return abs(cash) + abs(fees) + lots


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
    exchange: Books = field(default_factory=Books)
    ledger: Books = field(default_factory=Books)
    intents: int = 0
    sent: int = 0
    """Orders with a SENT record."""
    accepted: int = 0
    fills: int = 0
    failed: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    """Fills by kind: taker or maker, and how the shares changed hands."""
    faults: Counter[str] = field(default_factory=Counter)
    """How often a fault of the exchange hit an order of the journal's."""

    @property
    def difference_micro(self) -> int:
        """How far the two books are apart in cash, fees and shares."""
        return self.exchange.difference_micro(self.ledger)

    @property
    def clean(self) -> bool:
        """Whether both sides tell the same story."""
        return not self.complaints()

    def complaints(self) -> list[str]:
        """Everything that does not fit, in words."""
        found = [*self.sent_twice, *self.unjournaled, *self.unaccounted]
        found += [f"intent {key} has no end" for key in self.unfinished]
        if self.difference_micro:
            found.append(f"exchange {self.exchange}, ledger {self.ledger}")
        return found


class _Journal:
    def __init__(self, folder: Path) -> None:
        self.intents: dict[tuple[int, ...], Intent] = {}
        self.digests: dict[tuple[int, ...], set[str]] = defaultdict(set)
        self.key_of: dict[str, tuple[int, ...]] = {}
        self.sent_ms: dict[str, int] = {}
        self.fills: dict[FillKey, Fill] = {}
        self.final: dict[FillKey, str] = {}
        self.acknowledged: set[str] = set()
        self.doubted: set[str] = set()
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
        elif isinstance(record, Reject):
            self.rejected.add(record.order_id)
        elif isinstance(record, Unknown):
            self.doubted.add(record.order_id)

    def books(self) -> Books:
        """The account as its settled fills leave it."""
        books = Books(self.opening_micro)
        for key, fill in self.fills.items():
            if self.final.get(key) == "CONFIRMED":
                side = ("BUY", "SELL")[fill.side]
                books.trade(fill.token, side, fill.size_lots, fill.cash_micro, fill.fee_micro)
        return books


class _Part(NamedTuple):
    """What a trade did to one order, as the exchange wrote it down."""

    token: str
    outcome: int
    side: str
    size_lots: int
    cash_micro: int
    fee_micro: int
    final: str | None
    form: str


def _tokens(log: list[dict[str, Any]]) -> dict[tuple[str, int], str]:
    lines = (one for one in log if one["event"] in ("accepted", "trade"))
    return {(one["market"], one["outcome"]): one["token_id"] for one in lines}


def _parts(log: list[dict[str, Any]], address: str) -> dict[FillKey, _Part]:
    """Every part an account had in a trade."""
    found: dict[FillKey, _Part] = {}
    tokens = _tokens(log)
    status = {one["trade_id"]: one["status"] for one in log if one["event"] == "settled"}
    for line in log:
        if line["event"] != "trade":
            continue
        final, makers = status.get(line["trade_id"]), line["makers"]
        if line["taker"] == address:
            found[line["trade_id"], line["taker_order_id"]] = _Part(
                line["token_id"], line["outcome"], line["side"], line["size_lots"],
                line["cash_micro"], line["fee_micro"], final,
                "taker " + "+".join(sorted({leg["form"] for leg in makers})),
            )  # fmt: skip
        for leg in makers:
            if leg["account"] == address:
                token = tokens.get((line["market"], leg["outcome"]), "")
                found[line["trade_id"], leg["order_id"]] = _Part(
                    token, leg["outcome"], leg["side"], leg["size_lots"], leg["cash_micro"], 0,
                    final, f"maker {leg['form']}",
                )  # fmt: skip
    return found


def exchange_books(log: list[dict[str, Any]], address: str) -> Books:
    """What the log says an account has: deposits, settled trades, splits and merges."""
    books, tokens = Books(), _tokens(log)
    for line in log:
        if line.get("account") != address:
            continue
        if line["event"] == "deposit":
            books.cash_micro += line["cash_micro"]
        elif line["event"] in ("split", "merge"):
            made = line["size_lots"] if line["event"] == "split" else -line["size_lots"]
            books.cash_micro -= made
            for outcome in (0, 1):
                token = tokens.get((line["market"], outcome))
                if token is not None:
                    books.lots[token] += made
    for part in _parts(log, address).values():
        if part.final == "CONFIRMED":
            books.trade(part.token, part.side, part.size_lots, part.cash_micro, part.fee_micro)
    return books


def audit(folder: Path, log: list[dict[str, Any]], address: str) -> Audit:
    """Compare the journal in ``folder`` with the exchange's log lines of one account."""
    journal = _Journal(folder)
    mine = [line for line in log if line.get("account") == address]
    parts = _parts(log, address)
    reached = {line["order_id"]: line for line in mine if line["event"] in ("accepted", "rejected")}
    accepted = {line["order_id"] for line in mine if line["event"] == "accepted"}
    result = Audit(
        intents=len(journal.intents),
        sent=len(journal.sent_ms),
        accepted=len(accepted),
        fills=len(parts),
        failed=sum(part.final == "FAILED" for part in parts.values()),
        forms=Counter(part.form for part in parts.values()),
        exchange=exchange_books(log, address),
        ledger=journal.books(),
    )
    early = {
        line["order_id"]: f"{line['order_id']} reached the exchange without {line['lacks']}"
        for line in mine
        if line["event"] == "unjournaled"
    }
    _check_sending(journal, reached, early, result)
    gone = {line["order_id"] for line in mine if line["event"] == "canceled"}
    _check_fills(journal, parts, result)
    _check_acceptance(journal, accepted, gone, result)
    result.faults = _faults(log, journal.key_of.keys())
    result.unfinished += [
        str(key) for key in journal.intents if key not in journal.done
        and not (journal.digests[key] & journal.rejected)
    ]  # fmt: skip
    return result


def _faults(log: list[dict[str, Any]], own: Set[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in log:
        if line["event"] == "hit":
            found[line["fault"]] += len(own & set(line["order_ids"]))
    return +found


def _check_sending(
    journal: _Journal, reached: dict[str, dict[str, Any]], seen: dict[str, str], result: Audit
) -> None:
    for key, digests in journal.digests.items():
        if len(digests) > 1:
            result.sent_twice.append(f"intent {key} has {len(digests)} digests")
    for order_id, line in reached.items():
        sent_ms = journal.sent_ms.get(order_id)
        if order_id and (sent_ms is None or sent_ms > line["epoch_ms"]):
            seen.setdefault(order_id, f"{order_id} reached the exchange, journal says {sent_ms}")
    result.unjournaled += seen.values()


def _check_acceptance(journal: _Journal, accepted: set[str], gone: set[str], result: Audit) -> None:
    """Every accepted order is known to the journal as such, and no other is.

    The venue denies an order that is cancelled as it denies one that never came. So one whose
    outcome was unknown and that the venue cancelled by itself (a heartbeat missed while nobody
    lived) may have ended without an acknowledgement. What it traded before is in its fills.
    """
    known = journal.acknowledged | {order_id for _, order_id in journal.fills}
    for order_id in accepted - known - (journal.doubted & gone):
        result.unaccounted.append(f"order {order_id} is accepted for the exchange alone")
    for order_id in journal.acknowledged - accepted:
        result.unaccounted.append(f"order {order_id} is accepted for the journal alone")


def _check_fills(journal: _Journal, parts: dict[FillKey, _Part], result: Audit) -> None:
    filled: dict[tuple[int, ...], int] = defaultdict(int)
    for key in parts.keys() | journal.fills.keys():
        theirs, ours = parts.get(key), journal.fills.get(key)
        if theirs is None or ours is None:
            result.unaccounted.append(f"fill {key}: exchange {theirs}, journal {ours}")
            continue
        seen = _Part(
            ours.token, ours.outcome, ("BUY", "SELL")[ours.side], ours.size_lots, ours.cash_micro,
            ours.fee_micro, journal.final.get(key), theirs.form,
        )  # fmt: skip
        if theirs != seen or ours.maker != theirs.form.startswith("maker"):
            result.unaccounted.append(f"fill {key}: exchange {theirs}, journal {seen}")
        filled[journal.key_of[ours.order_id]] += ours.size_lots
    for intent_key, lots in filled.items():
        if lots > journal.intents[intent_key].size_lots:
            result.sent_twice.append(f"intent {intent_key} was filled {lots} lots")
