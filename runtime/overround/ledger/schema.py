"""The ledger's tables: what the journal says, in rows that people can query.

Every table belongs to a journal (``journal_id``), so one PostgreSQL database serves many
instances. Amounts are integers of 1e-6, prices of 1e-4, ``_epoch_ns`` is wall time. An intent is
named ``run.producer.sequence``. No row holds a signature, a body or a credential: the journal has
the bytes. Migrations beside this file lead any older database here; a test compares the two.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

__all__ = [
    "METADATA", "SCHEMA_VERSION", "TABLES", "cash", "events", "fills", "intents", "journals",
    "markets", "orders", "positions", "reconciles", "runs", "settlements",
]  # fmt: skip

SCHEMA_VERSION: Final = "0002"
"""The newest migration; a database that names one we do not ship is newer than this build."""

METADATA: Final = MetaData()


def _key(name: str, comment: str, kind: Any = Text) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False, doc=comment)


def _number(name: str, comment: str, *, optional: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=optional, doc=comment)


def _text(name: str, comment: str, *, optional: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=optional, doc=comment)


def _table(name: str, comment: str, *columns: Any) -> Table:
    journal = _key("journal_id", "which journal", BigInteger)
    return Table(name, METADATA, journal, *columns, info={"help": comment})


journals: Final = Table(
    "journals",
    METADATA,
    Column("journal_id", Integer, primary_key=True, doc="ours, counted from 1"),
    _text("instance", "the instance that writes it"),
    _text("identity", "wall time and checksum of its first record"),
    _number("superseded", "0, or the wall time at which it was found to differ from its journal"),
    _number("sequence", "last record projected: everything up to it is in the tables"),
    _number("segment", "file of that record"),
    _number("offset_bytes", "its first byte in that file"),
    _number("checksum", "its CRC32C: tells this journal from another"),
    _number("record_epoch_ns", "wall time of the last record"),
    _number("cash_micro", "cash after it, pending fills included"),
    Index("journals_identity", "identity", "superseded", unique=True),
    info={"help": "one row a journal, with the cursor that every transaction moves"},
)

runs: Final = _table(
    "runs",
    "one row each time an executor took the journal over",
    _key("sequence", "its START record", BigInteger),
    _number("epoch_ns", "when"),
    _number("run_id", "the supervisor's run"),
    _number("generation", "of the executor in this run"),
    _text("mode", "sim, replay, paper, shadow or live"),
    _text("address", "the signing address"),
)

markets: Final = _table(
    "markets",
    "what redemption of a condition's tokens depends on",
    _key("condition_id", "the venue's id"),
    _number("sequence", "the MARKET record this comes from"),
    _text("token_yes", "id of the YES token"),
    _text("token_no", "id of the NO token"),
    _text("set_members", "conditions of its exhaustive set, JSON"),
    _number("fee_rate_ppm", "taker fee rate, millionths"),
    _number("fee_exponent", "exponent of p(1-p) in the fee"),
)

intents: Final = _table(
    "intents",
    "what strategies wished, and how it ended",
    _key("intent", "run.producer.sequence"),
    _number("sequence", "its INTENT record"),
    _number("epoch_ns", "when it was taken from the ring"),
    _number("plan", "number of its plan at the producer"),
    _number("leg", "place in the plan"),
    _number("legs", "legs of the plan; 1 is no plan"),
    _number("account", "account number"),
    _number("strategy", "strategy number"),
    _text("token", "token id, empty if the market is unknown"),
    _text("condition_id", "condition id"),
    _number("outcome", "0 YES, 1 NO"),
    _number("side", "0 buy, 1 sell"),
    _number("order_type", "0 GTC, 1 GTD, 2 FOK, 3 FAK"),
    _number("flags", "layout.intent.IntentFlag"),
    _number("price_ticks", "limit, 1e-4"),
    _number("size_lots", "shares, 1e-6"),
    _number("edge_micro", "edge the strategy expects"),
    _number("created_epoch_ms", "the order's signed timestamp"),
    _text("state", "taken, the order's state, done, refused"),
    _text("order_id", "its order, empty before it is signed"),
    _number("reason", "code of the refusal or rejection, else 0"),
    _text("text", "why it ended"),
    _number("filled_lots", "shares of its DONE record"),
    _number("done_epoch_ns", "when it ended, null while it works", optional=True),
    _number("last_epoch_ns", "when a record last spoke of it"),
    Index("intents_condition", "journal_id", "condition_id"),
    Index("intents_epoch", "journal_id", "epoch_ns"),
)

orders: Final = _table(
    "orders",
    "what was signed, and what became of it",
    _key("order_id", "the EIP-712 digest"),
    _text("intent", "the intent it serves"),
    _number("sequence", "its SIGNED record"),
    _text("salt", "decimal"),
    _number("timestamp_ms", "as signed"),
    _number("maker_micro", "what it gives at most"),
    _number("taker_micro", "what it takes"),
    _number("reserved_micro", "cash that its fills and fees can cost at most"),
    _text("state", "signed, sent, unknown, live, delayed, matched, closed, rejected, done"),
    _text("status", "the venue's last word"),
    _number("attempts", "times its bytes were sent"),
    _number("cancel_asked", "1 once a cancel was asked for"),
    _number("matched_lots", "shares the venue said were matched"),
    _number("filled_lots", "shares of its fills, failed ones too"),
    _number("reason", "code of the rejection, else 0"),
    _text("text", "why it ended or is unknown"),
    _number("signed_epoch_ns", "when it was signed"),
    _number("sent_epoch_ns", "when it was first sent", optional=True),
    _number("acked_epoch_ns", "when the venue first acknowledged it", optional=True),
    _number("ended_epoch_ns", "when it ended", optional=True),
    Index("orders_intent", "journal_id", "intent"),
)

events: Final = _table(
    "events",
    "every record of the journal, in its order",
    _key("sequence", "the record", BigInteger),
    _key("part", "0, or the place of an order in a record that names several", BigInteger),
    _number("epoch_ns", "when it was written"),
    _number("kind", "number on disk"),
    _text("name", "name of the kind"),
    _text("intent", "the intent it speaks of", optional=True),
    _text("order_id", "the order it speaks of", optional=True),
    _text("trade_id", "the trade it speaks of", optional=True),
    _number("latency_ns", "since the previous record of the same intent", optional=True),
    _text("detail", "all its fields but bodies, JSON"),
    Index("events_intent", "journal_id", "intent"),
    Index("events_order", "journal_id", "order_id"),
)

fills: Final = _table(
    "fills",
    "trades' parts in our orders",
    _key("trade_id", "the venue's trade"),
    _key("order_id", "our order"),
    _number("sequence", "its FILL record"),
    _number("epoch_ns", "when it was booked"),
    _text("intent", "the intent it serves, empty if the order is not ours"),
    _text("token", "token id"),
    _text("condition_id", "condition id"),
    _number("outcome", "0 YES, 1 NO"),
    _number("side", "0 buy, 1 sell"),
    _number("price_ticks", "1e-4"),
    _number("size_lots", "shares, 1e-6"),
    _number("cash_micro", "paid or received before the fee"),
    _number("fee_micro", "fee"),
    _number("maker", "1 if our order rested"),
    _text("status", "the venue's status when it was booked"),
    _number("match_epoch_ms", "the venue's time of the match"),
    _text("state", "PENDING, CONFIRMED or FAILED"),
    Index("fills_order", "journal_id", "order_id"),
)

settlements: Final = _table(
    "settlements",
    "ends of trades",
    _key("sequence", "its SETTLED or FAILED record", BigInteger),
    _number("epoch_ns", "when"),
    _text("trade_id", "the venue's trade"),
    _text("order_id", "our order"),
    _text("state", "CONFIRMED, FAILED; or IGNORED: no fill waits for it"),
    _number("latency_ns", "since the fill was booked", optional=True),
)

positions: Final = _table(
    "positions",
    "shares by token, as the journal's fills leave them",
    _key("token", "token id"),
    _text("condition_id", "condition id"),
    _number("outcome", "0 YES, 1 NO"),
    _number("confirmed_lots", "settled shares"),
    _number("pending_lots", "shares that wait for settlement, sales negative"),
    _number("pending_sale_lots", "shares offered away by sales that wait"),
    _number("cost_micro", "cash paid less cash received, fees apart, settled"),
    _number("fees_micro", "fees of settled fills"),
)

cash: Final = _table(
    "cash",
    "every movement of cash",
    _key("sequence", "the record that moved it", BigInteger),
    _number("epoch_ns", "when"),
    _text("cause", "opening, fill, failed (a fill reversed), or adjusted"),
    _text("trade_id", "the trade, if one", optional=True),
    _text("order_id", "the order, if one", optional=True),
    _number("amount_micro", "in or out, fee included"),
    _number("balance_micro", "cash after it, pending fills included"),
)

reconciles: Final = _table(
    "reconciles",
    "comparisons with the venue that found something new",
    _key("sequence", "its RECONCILE record", BigInteger),
    _number("epoch_ns", "when"),
    _number("cash_micro", "the venue's balance, -1 if not asked"),
    _number("orders_open", "orders the venue listed"),
    _number("trades_seen", "fills in the ledger then"),
    _number("opening", "1 for the one that opened the cash"),
    _text("differences", "what differed, JSON"),
)

TABLES: Final = (
    journals, runs, markets, intents, orders, events, fills, settlements, positions, cash,
    reconciles,
)  # fmt: skip
"""In the order of the reference page; all but the first hold rows of one journal each."""
