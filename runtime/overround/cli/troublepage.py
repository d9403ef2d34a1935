"""The reference page of troubles with the venue, made from the table that acts on them."""

from __future__ import annotations

from overround.execute.http.trouble import ROWS

_INTRO = """# Troubles with the venue

Reference. Made by `scripts/reference`; do not edit.

What the executor does when the venue, or the way to it, is in trouble. None of these ever holds
back a cancel: cancels have a connection and rate tokens that nothing else may take, and the
dead man's beat goes with them.

An order that is held is refused at once, with a code (`NO_CONNECTION` 65, `BUDGET` 66, `PAUSED` 67,
`CLOCK` 68, `LOGIN` 69), the reason and, for a pause, the time left; it is counted in `orders_held`
and no byte of it leaves. A repeat of bytes that were sent before keeps its unknown outcome instead
and is tried again.

Every answer of the first six is counted in `venue_troubles`, every beginning of a hold in
`venue_pauses`, connections that failed in `http_connects_failed`; the log has one line for each
(the 1st, 10th, 100th of a kind), whose `code` is the first column. The clock's difference is the
gauge `clock_offset_ms`. A request whose bytes were sent and that gets no whole answer before its
deadline is counted in `http_no_answer`; the outcome of its order is unknown and is resolved by id.

| code | line | how it shows | what is held | what is done |
|---|---|---|---|---|
"""


def troubles_page() -> str:
    """Return the page."""
    lines = [
        f"| `{trouble.value}` | {row.title} | {row.shows} | {row.hold.value} | {row.action} |"
        for trouble, row in ROWS.items()
    ]
    return _INTRO + "\n".join(lines) + "\n"
