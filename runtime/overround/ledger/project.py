"""From journal records to rows: one batch, one transaction, every table.

What a record does to the tables is written down here once, in a table of functions by record
type. Kinds that have no function, and kinds that this build does not know, still become a row of
``events``. The rows of an intent and of its order follow the last record that moved them; an
ended one moves again only if the venue shows it alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from overround.layout.intent import BUY
from overround.ledger import schema
from overround.ledger.journal import JournalRecord
from overround.ledger.positions import cash_flow_micro
from overround.ledger.records import (
    Ack,
    Adjusted,
    Cancel,
    Done,
    Failed,
    Fill,
    Intent,
    IntentKey,
    Kind,
    MarketNote,
    Reconcile,
    Record,
    Reject,
    Sent,
    Settled,
    Signed,
    Start,
    Unknown,
    decode,
)
from overround.ledger.rows import Row, Rows

__all__ = ["Batch", "intent_name"]

_ENDED: Final = ("done", "refused", "rejected")
_PRIVATE: Final = (bytes, bytearray, memoryview)
"""Bodies and signatures are left to the journal."""


def intent_name(key: IntentKey) -> str:
    """Return the one name an intent has in the tables: ``run.producer.sequence``."""
    return f"{key.run_id}.{key.producer}.{key.sequence}"


@dataclass(slots=True)
class _Entry:
    """A journal record and what it says."""

    raw: JournalRecord
    record: Record | None
    intent: str
    order_ids: tuple[str, ...]
    trade_id: str | None


class Batch:
    """Some consecutive records of one journal, applied to the tables on one connection."""

    def __init__(self, connection: Connection, journal_id: int, cash_micro: int) -> None:
        def rows(table: Any) -> Rows:
            return Rows(connection, table, journal_id)

        self.cash_micro = cash_micro
        """Balance after the records applied so far."""
        self._intents, self._orders = rows(schema.intents), rows(schema.orders)
        self._events, self._fills = rows(schema.events), rows(schema.fills)
        self._positions, self._cash = rows(schema.positions), rows(schema.cash)
        self._markets, self._runs = rows(schema.markets), rows(schema.runs)
        self._settlements, self._reconciles = rows(schema.settlements), rows(schema.reconciles)
        self._opened: bool | None = None

    def apply(self, raws: Sequence[JournalRecord], *, opened: Callable[[], bool]) -> None:
        """Apply records and write every row they change; ``opened`` tells of earlier batches.

        Raises sqlalchemy.exc.SQLAlchemyError; the caller then rolls back and drops this object.
        """
        entries = [_read(raw) for raw in raws]
        self._load(entries)
        for entry in entries:
            record = entry.record
            if isinstance(record, Reconcile) and record.opening and self._opened is None:
                self._opened = opened()
            self._event(entry)
            apply = _EFFECTS.get(type(record))
            if apply is not None:
                apply(self, record, entry.raw)
        for rows in (
            self._runs, self._markets, self._intents, self._orders, self._events, self._fills,
            self._settlements, self._positions, self._cash, self._reconciles,
        ):  # fmt: skip
            rows.flush()

    def _load(self, entries: Iterable[_Entry]) -> None:
        records = [entry.record for entry in entries]
        self._orders.load(one for entry in entries for one in entry.order_ids)
        known = (self._orders.get(one) for entry in entries for one in entry.order_ids)
        self._intents.load(
            [entry.intent for entry in entries if entry.intent]
            + [order["intent"] for order in known if order is not None]
        )
        self._fills.load(
            (one.trade_id, one.order_id)
            for one in records
            if isinstance(one, Fill | Settled | Failed)
        )
        trades = (
            self._fills.get((one.trade_id, one.order_id))
            for one in records
            if isinstance(one, Settled | Failed)
        )
        self._positions.load(
            [one.token for one in records if isinstance(one, Fill | Adjusted)]
            + [trade["token"] for trade in trades if trade is not None]
        )
        self._markets.load(one.condition_id for one in records if isinstance(one, MarketNote))

    def _event(self, entry: _Entry) -> None:
        raw = entry.raw
        detail = _detail(entry)
        for part, order_id in enumerate(entry.order_ids or ("",)):
            name = entry.intent
            order = self._orders.get(order_id)
            if not name and order is not None:
                name = order["intent"]
            intent = self._intents.get(name) if name else None
            latency_ns = None if intent is None else raw.epoch_ns - intent["last_epoch_ns"]
            self._events.add(
                sequence=raw.sequence, part=part, epoch_ns=raw.epoch_ns, kind=raw.kind,
                name=kind_name(raw.kind), intent=name or None, order_id=order_id or None,
                trade_id=entry.trade_id, latency_ns=latency_ns, detail=detail,
            )  # fmt: skip
            if intent is not None:
                self._intents.change(name, last_epoch_ns=raw.epoch_ns)

    # -- what each record does -----------------------------------------------------------

    def _start(self, record: Start, raw: JournalRecord) -> None:
        self._runs.add(
            sequence=raw.sequence, epoch_ns=raw.epoch_ns, run_id=record.run_id,
            generation=record.generation, mode=record.mode, address=record.address,
        )  # fmt: skip

    def _market(self, record: MarketNote, raw: JournalRecord) -> None:
        values = msgspec.structs.asdict(record)
        values |= {"sequence": raw.sequence, "set_members": _json(record.set_members)}
        if self._markets.get(record.condition_id) is None:
            self._markets.add(**values)
        else:
            self._markets.change(record.condition_id, **values)

    def _intent(self, record: Intent, raw: JournalRecord) -> None:
        if self._intents.get(intent_name(record.key)) is not None:
            return  # the executor never writes one twice; if it did, the first one counts
        values = {
            one.name: getattr(record, one.name)
            for one in schema.intents.columns
            if one.name in _INTENT_FIELDS
        }
        values |= {
            "intent": intent_name(record.key), "sequence": raw.sequence,
            "epoch_ns": raw.epoch_ns, "last_epoch_ns": raw.epoch_ns, "state": "taken",
            "order_id": "", "reason": 0, "text": "", "filled_lots": 0, "done_epoch_ns": None,
        }  # fmt: skip
        self._intents.add(**values)

    def _signed(self, record: Signed, raw: JournalRecord) -> None:
        name = intent_name(record.key)
        if self._orders.get(record.order_id) is not None:
            return
        self._orders.add(
            order_id=record.order_id, intent=name, sequence=raw.sequence, salt=str(record.salt),
            timestamp_ms=record.timestamp_ms, maker_micro=record.maker_micro,
            taker_micro=record.taker_micro, reserved_micro=record.reserved_micro, state="signed",
            status="", attempts=0, cancel_asked=0, matched_lots=0, filled_lots=0, reason=0,
            text="", signed_epoch_ns=raw.epoch_ns, sent_epoch_ns=None, acked_epoch_ns=None,
            ended_epoch_ns=None,
        )  # fmt: skip
        if self._intents.get(name) is not None:
            self._intents.change(name, state="signed", order_id=record.order_id)

    def _sent(self, record: Sent, raw: JournalRecord) -> None:
        for order_id in record.order_ids:
            order = self._orders.get(order_id)
            if order is None:
                continue
            first = order["sent_epoch_ns"]
            self._move(
                order, "sent", attempts=record.attempt,
                sent_epoch_ns=raw.epoch_ns if first is None else first,
            )  # fmt: skip

    def _ack(self, record: Ack, raw: JournalRecord) -> None:
        order = self._orders.get(record.order_id)
        if order is None:
            return
        first = order["acked_epoch_ns"]
        changes: Row = {
            "status": record.status,
            "acked_epoch_ns": raw.epoch_ns if first is None else first,
            "matched_lots": max(order["matched_lots"], record.matched_lots),
        }
        leads = _ACK_LEADS.get(record.status, "matched")
        if order["state"] in (*_ENDED, "closed") and leads != "live":
            leads = order["state"]
        elif order["state"] in _ENDED:
            changes["ended_epoch_ns"] = None
        self._move(order, leads, **changes)

    def _reject(self, record: Reject, raw: JournalRecord) -> None:
        order = self._orders.get(record.order_id)
        if order is not None:
            self._move(
                order, "rejected", reason=record.reason, text=record.text,
                ended_epoch_ns=raw.epoch_ns,
            )  # fmt: skip
            if self._intents.get(order["intent"]) is not None:
                self._intents.change(
                    order["intent"], reason=record.reason, text=record.text,
                    done_epoch_ns=raw.epoch_ns,
                )  # fmt: skip

    def _unknown(self, record: Unknown, _raw: JournalRecord) -> None:
        order = self._orders.get(record.order_id)
        if order is not None:
            self._move(order, "unknown", text=record.cause)

    def _cancel(self, record: Cancel, _raw: JournalRecord) -> None:
        order = self._orders.get(record.order_id)
        if order is None:
            return
        if record.asked:
            self._move(order, order["state"], cancel_asked=1)
            return
        state = order["state"] if order["state"] in _ENDED else "closed"
        matched = max(order["matched_lots"], record.matched_lots)
        self._move(order, state, status=record.reason, matched_lots=matched)

    def _done(self, record: Done, raw: JournalRecord) -> None:
        name, state = intent_name(record.key), "refused" if record.refused else "done"
        if self._intents.get(name) is not None:
            self._intents.change(
                name, state=state, reason=record.reason, text=record.text,
                filled_lots=record.filled_lots, done_epoch_ns=raw.epoch_ns,
            )  # fmt: skip
        order = self._orders.get(record.order_id)
        if order is not None:
            self._orders.change(
                record.order_id, state=state, text=record.text, ended_epoch_ns=raw.epoch_ns
            )

    def _move(self, order: Row, state: str, **changes: Any) -> None:
        """Change an order, and let its intent's row say the same."""
        self._orders.change(order["order_id"], state=state, **changes)
        intent = self._intents.get(order["intent"])
        if intent is not None and intent["state"] != state:
            reopened = {"done_epoch_ns": None} if state not in _ENDED else {}
            self._intents.change(order["intent"], state=state, **reopened)

    def _fill(self, record: Fill, raw: JournalRecord) -> None:
        if self._fills.get((record.trade_id, record.order_id)) is not None:
            return
        order = self._orders.get(record.order_id)
        self._fills.add(
            **msgspec.structs.asdict(record) | {"maker": int(record.maker)},
            sequence=raw.sequence, epoch_ns=raw.epoch_ns, state="PENDING",
            intent="" if order is None else order["intent"],
        )  # fmt: skip
        if order is not None:
            self._orders.change(
                record.order_id, filled_lots=order["filled_lots"] + record.size_lots
            )
        self._hold(record)
        self._pend(record, 1)
        self._money("fill", cash_flow_micro(record), raw, record.trade_id, record.order_id)

    def _hold(self, record: Fill | Adjusted) -> None:
        """Make the position of a token that never had one."""
        if self._positions.get(record.token) is None:
            self._positions.add(
                token=record.token, condition_id=record.condition_id, outcome=record.outcome,
                confirmed_lots=0, pending_lots=0, pending_sale_lots=0, cost_micro=0, fees_micro=0,
            )  # fmt: skip

    def _adjusted(self, record: Adjusted, raw: JournalRecord) -> None:
        if record.token:
            self._hold(record)
            held = self._positions.get(record.token)
            assert held is not None
            lots = held["confirmed_lots"] + record.lots
            self._positions.change(record.token, confirmed_lots=lots)
        if record.cash_micro:
            self._money("adjusted", record.cash_micro, raw)

    def _pend(self, fill: Fill, sign: int) -> None:
        held = self._positions.get(fill.token)
        assert held is not None, "a fill's position is made with the fill"
        sold = 0 if fill.side == BUY else fill.size_lots
        self._positions.change(
            fill.token,
            pending_lots=held["pending_lots"] + sign * (fill.size_lots - 2 * sold),
            pending_sale_lots=held["pending_sale_lots"] + sign * sold,
        )

    def _final(self, record: Settled | Failed, raw: JournalRecord) -> None:
        key = (record.trade_id, record.order_id)
        found = self._fills.get(key)
        settled = isinstance(record, Settled)
        waits = found is not None and found["state"] == "PENDING"
        state = ("CONFIRMED" if settled else "FAILED") if waits else "IGNORED"
        self._settlements.add(
            sequence=raw.sequence, epoch_ns=raw.epoch_ns, trade_id=key[0], order_id=key[1],
            state=state, latency_ns=None if found is None else raw.epoch_ns - found["epoch_ns"],
        )  # fmt: skip
        if not waits:
            return
        assert found is not None
        self._fills.change(key, state=state)
        fill = Fill(**{name: found[name] for name in Fill.__struct_fields__})
        self._pend(fill, -1)
        if not settled:
            self._money("failed", -cash_flow_micro(fill), raw, *key)
            return
        held = self._positions.get(fill.token)
        assert held is not None
        buys = fill.side == BUY
        self._positions.change(
            fill.token,
            confirmed_lots=held["confirmed_lots"] + (fill.size_lots if buys else -fill.size_lots),
            cost_micro=held["cost_micro"] + (fill.cash_micro if buys else -fill.cash_micro),
            fees_micro=held["fees_micro"] + fill.fee_micro,
        )

    def _reconcile(self, record: Reconcile, raw: JournalRecord) -> None:
        self._reconciles.add(
            sequence=raw.sequence, epoch_ns=raw.epoch_ns, cash_micro=record.cash_micro,
            orders_open=record.orders_open, trades_seen=record.trades_seen,
            opening=int(record.opening), differences=_json(record.differences),
        )  # fmt: skip
        if record.opening and not self._opened:
            self._opened = True
            self._money("opening", record.cash_micro, raw)

    def _money(
        self, cause: str, amount_micro: int, raw: JournalRecord,
        trade_id: str | None = None, order_id: str | None = None,
    ) -> None:  # fmt: skip
        self.cash_micro += amount_micro
        self._cash.add(
            sequence=raw.sequence, epoch_ns=raw.epoch_ns, cause=cause, trade_id=trade_id,
            order_id=order_id, amount_micro=amount_micro, balance_micro=self.cash_micro,
        )  # fmt: skip


_INTENT_FIELDS: Final = frozenset(Intent.__struct_fields__) - {"sequence"}
_ACK_LEADS: Final = {
    "live": "live",
    "unmatched": "live",
    "delayed": "delayed",
    "duplicated": "unknown",
}
_EFFECTS: Final[dict[type[Any], Callable[[Batch, Any, JournalRecord], None]]] = {
    Start: Batch._start,
    MarketNote: Batch._market,
    Intent: Batch._intent,
    Signed: Batch._signed,
    Sent: Batch._sent,
    Ack: Batch._ack,
    Reject: Batch._reject,
    Unknown: Batch._unknown,
    Cancel: Batch._cancel,
    Done: Batch._done,
    Fill: Batch._fill,
    Settled: Batch._final,
    Failed: Batch._final,
    Reconcile: Batch._reconcile,
    Adjusted: Batch._adjusted,
}


_NAMES: Final = {kind.value: kind.name for kind in Kind}


def kind_name(kind: int) -> str:
    """Return the name of a kind, ``KIND_n`` if this build does not know it."""
    return _NAMES.get(kind, f"KIND_{kind}")


def _read(raw: JournalRecord) -> _Entry:
    try:
        record: Record | None = decode(raw)
    except (ValueError, msgspec.DecodeError):
        record = None  # of a newer build, or foreign: kept as an event
    key = getattr(record, "key", None)
    one = getattr(record, "order_id", "")
    order_ids = getattr(record, "order_ids", (one,) if one else ())
    intent = intent_name(key) if isinstance(key, IntentKey) else ""
    return _Entry(raw, record, intent, tuple(order_ids), getattr(record, "trade_id", None))


def _detail(entry: _Entry) -> str:
    if entry.record is not None:
        fields = msgspec.structs.asdict(entry.record)
        return _json({k: v for k, v in fields.items() if not isinstance(v, _PRIVATE)})
    try:
        value = msgspec.msgpack.decode(entry.raw.payload)
    except msgspec.DecodeError:
        return _json({"undecoded_bytes": len(entry.raw.payload)})
    return _json(_public(value))


def _public(value: Any) -> Any:
    """Leave bytes out of a value that nobody described to us."""
    if isinstance(value, _PRIVATE):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        return [_public(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _public(one) for name, one in value.items()}
    return value


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
