"""The reference page of recovery, made from the rules that the comparison follows."""

from __future__ import annotations

from overround.execute.recover import RULES

__all__ = ["recovery_page"]

_INTRODUCTION = """\
Journal and venue are compared at every start before anything is sent, every
`execute.reconcile_interval_ms`, at once whenever the user channel has a gap (then every second
until one comparison is complete), and by hand with `overround reconcile`. Shares are compared
once a minute. What differs is told, and journaled when it changes (kinds RECONCILE, ADJUSTED,
FINDINGS).
"""

_CHANNEL = """\
The user channel is trusted from a complete comparison on that began while it listened. It loses
that trust when its socket is lost, when a frame cannot be read, and when a listing tells of a
fill two seconds old that it had not told (counter `user_missed`, gauge `user_trusted`).
"""

_BY_HAND = """\
`overround reconcile` looks: it runs the same comparison over a copy of the journal in memory with
a client that only asks, and says what it would have written. It may run beside an executor; what
that one did meanwhile is left out. `--apply` takes the journal, so the executor must be stopped:
doubts are settled, orphans dealt with, then balances that still differ are adopted, zero only
with `--accept-zero`.
"""


def recovery_page() -> str:
    """Return the page: when, by which rules, the user channel, by hand."""
    lines = ["# Recovery\n", "Reference. Made by `scripts/reference`; do not edit.\n"]
    lines += [
        _INTRODUCTION,
        "## Rules\n",
        "| finding | what it is | what is done |",
        "|---|---|---|",
    ]
    lines += [f"| {rule.code} | {rule.found} | {rule.action} |" for rule in RULES]
    lines += ["\n## The user channel\n", _CHANNEL, "## By hand\n", _BY_HAND]
    return "\n".join(lines).rstrip() + "\n"
