"""The reference page of plans and quotes, made from the tables the executor lives by."""

from __future__ import annotations

from collections.abc import Iterable

from overround.execute import plans, quotes
from overround.execute.planbook import PlanOutcome
from overround.ledger.records import Kind

__all__ = ["plans_page"]

_OUTCOMES = {
    PlanOutcome.NOTHING: "no leg was filled",
    PlanOutcome.WHOLE: "the legs were filled in proportion, without a repair",
    PlanOutcome.COMPLETED: "the legs are in proportion after repairs",
    PlanOutcome.UNWOUND: "what was filled was sold back",
    PlanOutcome.LEFT: "legs out of proportion remain as a position",
}


def plans_page() -> str:
    """Return the page: rules of plans, their records and outcomes, rules of quotes."""
    lines = [
        "# Plans and quotes\n",
        "Reference. Made by `scripts/reference`; do not edit.\n",
        "## Plans of several legs\n",
        "A strategy hands over two to fifteen legs as one plan (`ctx.emit`). Its **worst case** is",
        "the least its legs can come to over every outcome of their markets and every part of them",
        "that may fill, each leg at its limit price plus the slip at which it may be completed,",
        "with the largest fee. It is known before the first leg is signed, and no repair may go",
        "beyond it. Exactly one member of a complete set pays out; any other market pays YES, NO",
        "or one half each.\n",
        "| what is seen | what is done |",
        "|---|---|",
        *_rows(plans.RULES),
        "",
        "In proportion means: each leg's shares are the same part of its size. Shares that are",
        "matched but not settled count as there; they may complete, but cannot be sold back.\n",
        "### Records\n",
        f"`PLAN` (kind {Kind.PLAN.value}) is written before the legs are signed: the repair it may",
        "have, worst case, deadline, slip.",
        f"`PLAN_END` (kind {Kind.PLAN_END.value}) is written when every fill of the plan and of",
        "its repairs is final: one trade with its cash, fees and P&L, which is cash less fees plus",
        "the least that the shares left redeem for. Between the two a plan is open, and a restart",
        "goes on with it. Orders of a plan carry its number; repairs are numbered from 2^62 on.\n",
        "| number | outcome | meaning |",
        "|---|---|---|",
        *(f"| {one.value} | {one.name} | {_OUTCOMES[one]} |" for one in PlanOutcome),
        "",
        "## Quotes\n",
        "A strategy writes what should stand in a market (`ctx.quote`); every",
        "`execute.quote_interval_ms` the executor compares that with what stands.\n",
        "| what is seen | what is done |",
        "|---|---|",
        *_rows(quotes.RULES),
        "",
        "Settings are in the section `execute` of [settings](settings.md), counters in",
        "[metrics](metrics.md).",
    ]
    return "\n".join(lines) + "\n"


def _rows(rules: Iterable[tuple[str, str]]) -> list[str]:
    return [f"| {seen} | {done} |" for seen, done in rules]
