"""What the rest of the runtime may know of a venue: markets, sides and order types.

Everything here is plain data in integer units (``units.py``). A venue package turns bytes into
these and back; nobody above it sees the venue's own names.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

SET_NONE = ""
"""``MarketSpec.set_id`` of a market that stands alone."""


class Side(IntEnum):
    """What an order does. Books have bids and asks; orders buy or sell."""

    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    """How long an order lives: the numbers are those of the intent record."""

    GTC = 0
    GTD = 1
    FOK = 2
    FAK = 3


class MarketSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One market as the venue describes it: a condition with two mirrored outcome tokens.

    ``set_position`` counts from 0 within ``set_size`` living members; ``set_complete`` is true
    only if exactly one of them must win, so that their YES prices belong to a sum of one.
    ``fee_rate_ppm`` is the taker's fee rate in millionths, None where the venue did not say.
    """

    venue: str
    condition_id: str
    token_yes: str
    token_no: str
    tick_ticks: int
    min_size_lots: int
    neg_risk: bool
    set_id: str = SET_NONE
    set_position: int = 0
    set_size: int = 0
    set_complete: bool = False
    fee_rate_ppm: int | None = None
    fee_exponent: int = 1
    taker_delay_ms: int = 0
    slug: str = ""
    outcome_label: str = ""
    accepting_orders: bool = True
    protocol: int = 2
    """Version of the exchange that settles it: 2, or 3 for markets of the newer protocol."""
    closed: bool = False
    resolved: bool = False
    winner: int | None = None
    """Winning outcome (0 YES, 1 NO) once resolved; None before, and for a split payout."""
    question: str = ""
