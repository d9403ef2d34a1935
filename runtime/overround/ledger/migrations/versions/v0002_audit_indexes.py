"""Indexes for the audit's commonest questions: of a market, and since a time."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("intents_condition", "intents", ["journal_id", "condition_id"])
    op.create_index("intents_epoch", "intents", ["journal_id", "epoch_ns"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("intents_epoch", "intents")
    op.drop_index("intents_condition", "intents")
