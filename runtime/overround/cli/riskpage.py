"""The reference page of the risk gate, made from its table of rules."""

from __future__ import annotations

from overround.config.schema import Risk
from overround.decide.limits import RULES

_HEAD = """# The risk gate

Reference. Made by `scripts/reference`; do not edit.

Every intent passes these rules before anything of it is sent; the first breach names the refusal.
A refusal is journaled with its code, told in a report, counted by code (`overround stat`, "refused
by code") and logged in one line at its 1st, 10th, 100th time. A refused leg refuses its whole plan.

**Scopes.** Market, complete set, strategy and account have limits on shares, cost and worst case.
What an order would breach them by is judged with the order counted as open; an order that makes
no breached number worse passes, so that positions can always be reduced.

**Worst case.** An outcome pays 0, one half or 1: a lone market ends in one of these states, a
complete set in one per member. In each state a market is worth its cash flow plus what its shares
pay, plus for every open order the lesser of nothing and its own worth there: it fills only when
that hurts. Markets and sets count from their first fill, strategies and the account from the
beginning of the UTC day.

**Loss stops.** Once a second the account is valued: cash flow of all fills, plus for each set the
better of its worst redemption and what the bids of its books, when last trusted, would pay. The
day's beginning and the highest are journaled (record RISK), so a restart knows them; a rise of the
highest is journaled every 10 s at most. After a start nothing is judged until every held market's
book was trusted once, for at most 60 s. `overround resume --arm` after a loss stop makes the
present worth the new beginning and the new highest.

**Kill.** `overround kill` sets a latch that is read before every send; the executor cancels
everything and answers within moments. Without its answer in a second the command asks the venue
itself. The venue's dead-man switch is fed every `execute.heartbeat_interval_ms`: it cancels
everything 10 to 15 s after the last beat of an executor that is dead, stopped or cut off.

| code | name | limit | default | unit | rule | action |
|---|---|---|---|---|---|---|
"""


def risk_page() -> str:
    """Return the page: one row a refusal, by number."""
    rows = []
    for rule in sorted(RULES, key=lambda one: one.code):
        keys = [key for key in rule.limit.split(", ") if key in Risk.model_fields]
        limit = ", ".join(f"`{key}`" for key in keys) if keys else rule.limit
        default = ", ".join(f"{Risk.model_fields[key].default:,}" for key in keys) or "-"
        rows.append(
            f"| {rule.code.value} | {rule.code.name} | {limit} | {default} | {rule.unit}"
            f" | {rule.rule} | {rule.action} |"
        )
    return _HEAD + "\n".join(rows) + "\n"
