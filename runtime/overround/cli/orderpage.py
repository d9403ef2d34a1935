"""The reference page of an order's life, made from the table that the executor walks."""

from __future__ import annotations

from overround.execute.lifetable import ARROWS, STATE_TEXTS, OrderEvent, OrderState

__all__ = ["orders_page"]

_INTRODUCTION = """\
An intent becomes one order, and every change of that order is one record in the journal. The
record is appended before anything acts on it: before the first byte leaves, before a report goes
out, before a reservation is freed. So at each arrow below, what is durable is the arrow itself,
and a restart walks the same arrows over the same records. What the table does not list is a
broken invariant: the executor stops there instead of guessing.
"""

_FILLS = """\
Fills are booked from trades alone, keyed (trade id, own order id), in any state and also after
DONE. MATCHED is pending, CONFIRMED is position, FAILED takes the fill away again; a final state
never goes back. A fill that is pending for longer than `execute.settle_alarm_ms` alarms. Less
than 0.01 share left or overfilled is the venue's dust and counts as filled.
"""


def orders_page() -> str:
    """Return the page: states, then events in rows and states in columns, then every arrow."""
    lines = ["# An order's life\n"]
    lines += ["Reference. Made by `scripts/reference`; do not edit.\n", _INTRODUCTION]
    lines += ["## States\n", "| state | what is durable | what holds |", "|---|---|---|"]
    lines += [f"| {s.name} | {known} | {holds} |" for s, (known, holds) in STATE_TEXTS.items()]
    lines += ["\n## Events\n", "| event | the record, and when it is written |", "|---|---|"]
    lines += [f"| {event.name} | {event.value} |" for event in OrderEvent]
    lines += ["\n## Which state an event leads to\n", "Empty: it cannot happen.\n"]
    lines += ["| event | " + " | ".join(state.name for state in OrderState) + " |"]
    lines += ["|---" * (1 + len(OrderState)) + "|"]
    leads = {(arrow.state, arrow.event): arrow.leads.name for arrow in ARROWS}
    for event in OrderEvent:
        cells = [leads.get((state, event), "") for state in OrderState]
        lines.append(f"| {event.name} | " + " | ".join(cells) + " |")
    lines += ["\n## Arrows\n", "| in state | event | leads to | action |", "|---|---|---|---|"]
    lines += [f"| {a.state.name} | {a.event.name} | {a.leads.name} | {a.action} |" for a in ARROWS]
    lines += ["\n## Fills\n", _FILLS]
    return "\n".join(lines).rstrip() + "\n"
