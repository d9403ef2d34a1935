"""The ledger's first tables.

A migration is history: it spells its columns out and imports nothing that may change.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(*names: str, key: bool = False, null: bool = False) -> list[sa.Column[Any]]:
    return [
        sa.Column(n, sa.Text(), primary_key=key, autoincrement=False, nullable=null) for n in names
    ]


def _number(*names: str, key: bool = False, null: bool = False) -> list[sa.Column[Any]]:
    return [
        sa.Column(n, sa.BigInteger(), primary_key=key, autoincrement=False, nullable=null)
        for n in names
    ]


def _journals() -> None:
    op.create_table(
        "journals",
        sa.Column("journal_id", sa.Integer(), primary_key=True),
        *_text("instance", "identity"),
        *_number(
            "superseded",
            "sequence",
            "segment",
            "offset_bytes",
            "checksum",
            "record_epoch_ns",
            "cash_micro",
        ),
    )
    op.create_index("journals_identity", "journals", ["identity", "superseded"], unique=True)
    op.create_table(
        "runs",
        *_number("journal_id", "sequence", key=True),
        *_number("epoch_ns", "run_id", "generation"),
        *_text("mode", "address"),
    )
    op.create_table(
        "markets",
        *_number("journal_id", key=True),
        *_text("condition_id", key=True),
        *_number("sequence"),
        *_text("token_yes", "token_no", "set_members"),
        *_number("fee_rate_ppm", "fee_exponent"),
    )
    op.create_table(
        "reconciles",
        *_number("journal_id", "sequence", key=True),
        *_number("epoch_ns", "cash_micro", "orders_open", "trades_seen", "opening"),
        *_text("differences"),
    )


def _orders() -> None:
    op.create_table(
        "intents",
        *_number("journal_id", key=True),
        *_text("intent", key=True),
        *_number("sequence", "epoch_ns", "plan", "leg", "legs", "account", "strategy"),
        *_text("token", "condition_id"),
        *_number(
            "outcome",
            "side",
            "order_type",
            "flags",
            "price_ticks",
            "size_lots",
            "edge_micro",
            "created_epoch_ms",
        ),
        *_text("state", "order_id"),
        *_number("reason"),
        *_text("text"),
        *_number("filled_lots"),
        *_number("done_epoch_ns", null=True),
        *_number("last_epoch_ns"),
    )
    op.create_table(
        "orders",
        *_number("journal_id", key=True),
        *_text("order_id", key=True),
        *_text("intent"),
        *_number("sequence"),
        *_text("salt"),
        *_number("timestamp_ms", "maker_micro", "taker_micro", "reserved_micro"),
        *_text("state", "status"),
        *_number("attempts", "cancel_asked", "matched_lots", "filled_lots", "reason"),
        *_text("text"),
        *_number("signed_epoch_ns"),
        *_number("sent_epoch_ns", "acked_epoch_ns", "ended_epoch_ns", null=True),
    )
    op.create_index("orders_intent", "orders", ["journal_id", "intent"])
    op.create_table(
        "events",
        *_number("journal_id", "sequence", "part", key=True),
        *_number("epoch_ns", "kind"),
        *_text("name"),
        *_text("intent", "order_id", "trade_id", null=True),
        *_number("latency_ns", null=True),
        *_text("detail"),
    )
    op.create_index("events_intent", "events", ["journal_id", "intent"])
    op.create_index("events_order", "events", ["journal_id", "order_id"])


def _money() -> None:
    op.create_table(
        "fills",
        *_number("journal_id", key=True),
        *_text("trade_id", "order_id", key=True),
        *_number("sequence", "epoch_ns"),
        *_text("intent", "token", "condition_id"),
        *_number("outcome", "side", "price_ticks", "size_lots", "cash_micro", "fee_micro", "maker"),
        *_text("status"),
        *_number("match_epoch_ms"),
        *_text("state"),
    )
    op.create_index("fills_order", "fills", ["journal_id", "order_id"])
    op.create_table(
        "settlements",
        *_number("journal_id", "sequence", key=True),
        *_number("epoch_ns"),
        *_text("trade_id", "order_id", "state"),
        *_number("latency_ns", null=True),
    )
    op.create_table(
        "positions",
        *_number("journal_id", key=True),
        *_text("token", key=True),
        *_text("condition_id"),
        *_number(
            "outcome",
            "confirmed_lots",
            "pending_lots",
            "pending_sale_lots",
            "cost_micro",
            "fees_micro",
        ),
    )
    op.create_table(
        "cash",
        *_number("journal_id", "sequence", key=True),
        *_number("epoch_ns"),
        *_text("cause"),
        *_text("trade_id", "order_id", null=True),
        *_number("amount_micro", "balance_micro"),
    )


def upgrade() -> None:
    """Create every table."""
    _journals()
    _orders()
    _money()


def downgrade() -> None:
    """Drop every table."""
    for name in (
        "reconciles", "cash", "positions", "settlements", "fills", "events", "orders",
        "intents", "markets", "runs", "journals",
    ):  # fmt: skip
        op.drop_table(name)
