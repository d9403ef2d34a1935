"""What the journal's records mean for the risk gate: own orders, own trades, own marks.

The store hands every record here after it has applied it, live and in a replay alike, so a
restart knows the exposure that the dead process knew.
"""

from __future__ import annotations

from typing import Final

from overround.decide.exposure import Claim, Exposures
from overround.execute.order import Order, OrderState
from overround.layout.intent import BUY
from overround.ledger.records import Adjusted, Fill, MarketNote, RiskMark
from overround.units import notional_micro
from overround.venues.polymarket.fees import fee_micro

__all__ = ["OwnOrders", "proceeds_micro"]

_IN_FLIGHT: Final = frozenset(
    {OrderState.SIGNED, OrderState.SENT, OrderState.UNKNOWN, OrderState.DELAYED}
)
NO_STRATEGY: Final = 2**32 - 1
"""Trades under ids that no order of ours explains."""


def proceeds_micro(lots: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    """Return the least that a sale brings: at its limit, as a taker, fee taken off."""
    fee = fee_micro(lots, price_ticks, rate_ppm, exponent)
    return max(0, notional_micro(lots, price_ticks) - fee)


class OwnOrders:
    """Keeps the exposures of one store; ``mark`` is the last one journaled, None before."""

    def __init__(self) -> None:
        self.exposures = Exposures()
        self.mark: RiskMark | None = None
        self._notes: dict[str, MarketNote] = {}

    def note(self, note: MarketNote) -> None:
        """Take a market's set and fee."""
        self._notes[note.condition_id] = note
        self.exposures.note(note.condition_id, note.set_members)

    def follow(self, order: Order, reserved_micro: int, open_lots: int) -> None:
        """Count what an order may still do after its last record."""
        exposures, key = self.exposures, order.key
        before = exposures.claimed(key)
        if open_lots <= 0:
            exposures.release(key, order.intent.strategy)
            return
        in_flight = order.state in _IN_FLIGHT
        rests = not order.taking and order.state is not OrderState.CLOSED
        if (
            before is not None
            and before.lots == open_lots
            and before.in_flight is in_flight
            and before.takes is not rests
        ):
            return
        intent = order.intent
        cash_micro = reserved_micro
        if intent.side != BUY:
            note = self._notes.get(intent.condition_id)
            rate, exponent = (note.fee_rate_ppm, note.fee_exponent) if note else (0, 1)
            cash_micro = proceeds_micro(open_lots, intent.price_ticks, rate, exponent)
        claim = Claim(
            intent.condition_id, intent.outcome, intent.side, intent.price_ticks,
            open_lots, cash_micro, not rests, in_flight,
        )  # fmt: skip
        exposures.claim(key, intent.strategy, claim)

    def trade(self, fill: Fill, order: Order | None, *, reverse: bool = False) -> None:
        """Book a fill, or take one back that failed to settle."""
        sign = -1 if reverse else 1
        strategy = NO_STRATEGY if order is None else order.intent.strategy
        self.exposures.trade(
            strategy, fill.condition_id, fill.outcome, fill.side,
            sign * fill.size_lots, sign * fill.cash_micro, sign * fill.fee_micro,
        )  # fmt: skip

    def adjust(self, record: Adjusted) -> None:
        """Count shares that no trade brought, at no cost: they can only be worth something."""
        if record.token:
            self.exposures.trade(
                NO_STRATEGY, record.condition_id, record.outcome, BUY, record.lots, 0, 0
            )

    def apply_mark(self, mark: RiskMark) -> None:
        """Count the losses of the day anew where the mark says so."""
        self.mark = mark
        if mark.bases:
            self.exposures.rebase(mark.bases)
