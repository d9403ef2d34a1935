"""Intents as they come off a ring, and plans as they become complete."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from overround.layout.intent import IntentFlag

__all__ = ["RingIntent", "decode_intents"]

LEGS_MAX: Final = 15
"""One batch request takes no more."""


class RingIntent(NamedTuple):
    """One record of an intents ring; times are CLOCK_MONOTONIC nanoseconds."""

    producer_sequence: int
    created_ns: int
    expires_ns: int
    seen_ns: int
    event_recv_ns: int
    ingress_epoch: int
    plan: int
    producer: int
    account: int
    strategy: int
    market: int
    leg: int
    legs: int
    outcome: int
    side: int
    order_type: int
    flags: int
    price_ticks: int
    size_lots: int
    edge_micro: int
    target: int
    expiration_s: int = 0

    def problem(self) -> str:
        """Return why this record cannot be an intent, empty if it can."""
        if self.flags & IntentFlag.CANCEL:
            return ""
        if self.outcome > 1 or self.side > 1 or self.order_type > 3:
            return f"outcome {self.outcome}, side {self.side} or type {self.order_type} unknown"
        if not 1 <= self.legs <= LEGS_MAX or self.leg >= self.legs:
            return f"leg {self.leg} of {self.legs}: plans have 1 to {LEGS_MAX} legs"
        if not 0 < self.price_ticks < 10_000 or self.size_lots <= 0:
            return f"price {self.price_ticks} or size {self.size_lots} out of range"
        return ""


_FIELDS: Final = tuple(
    "target_sequence" if name == "target" else name for name in RingIntent._fields
)


def decode_intents(records: Any) -> list[RingIntent]:
    """Return the intents of a structured array of ring records."""
    return [RingIntent(*row) for row in records[list(_FIELDS)].tolist()]
