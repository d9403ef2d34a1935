"""Plans as the journal has them, and what one can lose: legs, repairs, and their worst case.

A plan's pieces are fills and possible fills. What is certain counts as it is; what may still come
or be reversed counts where it hurts. So the bound holds for every part of it that happens.
Exactly one member of a complete set pays out; any other market pays YES, NO or one half each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from overround.execute.order import Order, OrderState
from overround.layout.intent import BUY
from overround.ledger.records import Fill, Intent, MarketNote, PlanBegun, PlanEnded, PlanKey

__all__ = ["Piece", "Plan", "PlanBook", "PlanOutcome", "Repair", "plan_key", "worst_micro"]

_HALVES: Final = 2


class Repair(IntEnum):
    """What becomes of a plan's missed legs. Numbers are on disk."""

    COMPLETE = 1
    UNWIND = 2
    LEAVE = 3


class PlanOutcome(IntEnum):
    """How a plan ended. Numbers are on disk."""

    NOTHING = 1
    """No leg was filled."""
    WHOLE = 2
    """Every leg was filled in proportion, without a repair."""
    COMPLETED = 3
    """Missed legs were bought afterwards: the legs are in proportion."""
    UNWOUND = 4
    """What was filled was sold back."""
    LEFT = 5
    """Legs out of proportion remain as a position."""


class Piece(NamedTuple):
    """Shares that changed hands, or may, for cash; amounts are positive, fees apart."""

    condition_id: str
    outcome: int
    side: int
    lots: int
    cash_micro: int
    fee_micro: int

    @property
    def flow_micro(self) -> int:
        """What it does to cash, fee included."""
        return (-self.cash_micro if self.side == BUY else self.cash_micro) - self.fee_micro

    @classmethod
    def of(cls, fill: Fill) -> Piece:
        """Return the piece that a fill is."""
        return cls(
            fill.condition_id, fill.outcome, fill.side, fill.size_lots, fill.cash_micro,
            fill.fee_micro,
        )  # fmt: skip


def worst_micro(
    sure: Iterable[Piece],
    maybe: Iterable[Piece],
    note: Callable[[str], MarketNote | None],
) -> int:
    """Return the least these pieces can be worth in the end, negative for a loss; exact.

    Every ``sure`` piece is there; of every ``maybe`` piece any part from nothing to all.
    """
    groups: dict[tuple[str, ...], list[tuple[Piece, bool]]] = {}
    for pieces, certain in ((sure, True), (maybe, False)):
        for piece in pieces:
            found = note(piece.condition_id)
            members = found.set_members if found is not None else ()
            if len(members) < 2 or piece.condition_id not in members:
                members = (piece.condition_id,)
            groups.setdefault(members, []).append((piece, certain))
    total = 0
    for members, group in groups.items():
        total += min(_value(group, world) for world in _worlds(members)) // _HALVES
    return total


def _worlds(members: tuple[str, ...]) -> Iterator[dict[str, int]]:
    """Yield what one YES share of each condition pays, in halves; unnamed ones pay nothing."""
    for member in members:
        yield {member: _HALVES}
    if len(members) == 1:
        yield {members[0]: 1}
        yield {}


def _value(group: list[tuple[Piece, bool]], world: dict[str, int]) -> int:
    total = 0
    for piece, certain in group:
        pays = world.get(piece.condition_id, 0)
        if piece.outcome:
            pays = _HALVES - pays
        lots = piece.lots if piece.side == BUY else -piece.lots
        value = _HALVES * piece.flow_micro + pays * lots
        total += value if certain else min(0, value)
    return total


def plan_key(intent: Intent) -> PlanKey:
    """Return the plan an intent belongs to; a single order is a plan of its own."""
    return PlanKey(intent.plan_run_id or intent.run_id, intent.producer, intent.plan)


@dataclass(slots=True)
class Plan:
    """One plan: its legs and the orders that repair it, in the order of the journal."""

    begun: PlanBegun | None = None
    legs: list[Order] = field(default_factory=list)
    repairs: list[Order] = field(default_factory=list)

    @property
    def orders(self) -> list[Order]:
        """Legs, then repairs."""
        return [*self.legs, *self.repairs]


class PlanBook:
    """Fold of intents, PLAN and PLAN_END records: every plan that has not ended."""

    def __init__(self) -> None:
        self.open: dict[PlanKey, Plan] = {}

    def add(self, order: Order) -> bool:
        """Take an order in if it belongs to a plan; return whether it repairs one."""
        if order.intent.legs == 1 and not self.open:
            return False
        key = plan_key(order.intent)
        if order.intent.legs > 1:
            self.open.setdefault(key, Plan()).legs.append(order)
            return False
        plan = self.open.get(key)
        if plan is None:
            return False
        plan.repairs.append(order)
        return True

    def apply(self, record: PlanBegun | PlanEnded) -> None:
        """Begin or end a plan."""
        if isinstance(record, PlanEnded):
            self.open.pop(record.key, None)
        else:
            plan = self.open.setdefault(record.key, Plan())
            plan.begun = record
            plan.legs.sort(key=lambda leg: leg.intent.leg)

    def done(self, order: Order) -> None:
        """Forget a plan that was refused before it began, once its last leg is."""
        plan = self.open.get(plan_key(order.intent)) if self.open else None
        if plan is None or plan.begun is not None:
            return
        if all(leg.state is OrderState.DONE for leg in plan.legs):
            del self.open[plan_key(order.intent)]
