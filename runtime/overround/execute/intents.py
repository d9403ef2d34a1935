"""Intents as they come off a ring, and plans as they become complete."""

from __future__ import annotations

from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple

import numpy as np

from overround.execute.markets import MarketInfo
from overround.layout.intent import INTENT, IntentFlag, OrderType
from overround.ledger.records import Intent

__all__ = ["RingIntent", "decode_intents", "intent_record"]

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
    plan_run_id: int = 0
    """Set by the executor alone, for the repair of a plan of an earlier run."""

    def problem(self) -> str:
        """Return why this record cannot be an intent, empty if it can."""
        if self.flags & _CANCEL:
            return ""
        if self.outcome > 1 or self.side > 1 or self.order_type > 3:
            return f"outcome {self.outcome}, side {self.side} or type {self.order_type} unknown"
        if not 1 <= self.legs <= LEGS_MAX or self.leg >= self.legs:
            return f"leg {self.leg} of {self.legs}: plans have 1 to {LEGS_MAX} legs"
        if not 0 < self.price_ticks < 10_000 or self.size_lots <= 0:
            return f"price {self.price_ticks} or size {self.size_lots} out of range"
        if self.flags & _POST_ONLY and self.order_type in _TAKING:
            return f"type {self.order_type} trades at once, and post-only must not"
        return ""


_CANCEL: Final = int(IntentFlag.CANCEL)
_POST_ONLY: Final = int(IntentFlag.POST_ONLY)
_TAKING: Final = (int(OrderType.FOK), int(OrderType.FAK))
_CODES: Final = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i8": "q"}


def _struct(dtype: np.dtype[Any]) -> tuple[Struct, tuple[str, ...]]:
    """Return what unpacks a record of plain numbers, arrays left out, and their names."""
    fields = [(name, dtype[name]) for name in dtype.names or ()]
    codes = "".join(_CODES.get(kind.str[1:], f"{kind.itemsize}x") for _, kind in fields)
    packed = Struct("<" + codes)
    assert packed.size == dtype.itemsize, "the record has implicit padding"
    return packed, tuple(name for name, kind in fields if not kind.shape)


_RECORD, _NAMES = _struct(INTENT)
_pick = itemgetter(
    *(
        _NAMES.index("target_sequence" if name == "target" else name)
        for name in RingIntent._fields
        if name != "plan_run_id"
    )
)


def decode_intents(records: Any) -> list[RingIntent]:
    """Return the intents of a contiguous array of ring records."""
    make = RingIntent._make
    return [make((*_pick(row), 0)) for row in _RECORD.iter_unpack(records)]


def intent_record(
    run_id: int, message: RingIntent, market: MarketInfo | None, epoch_ms: int
) -> Intent:
    """Return what the journal says of an intent taken at this wall time."""
    return Intent(
        run_id,
        message.producer,
        message.producer_sequence,
        message.plan,
        message.leg,
        message.legs,
        message.account,
        message.strategy,
        market.token(message.outcome) if market is not None else "",
        market.condition_id if market is not None else "",
        message.outcome,
        message.side,
        message.order_type,
        message.flags,
        message.price_ticks,
        message.size_lots,
        message.edge_micro,
        epoch_ms,
        expiration_s=message.expiration_s,
        plan_run_id=message.plan_run_id,
    )
