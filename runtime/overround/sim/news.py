"""Events that concern every subscriber who asked for the custom features."""

from __future__ import annotations

from typing import Any

from overround.sim.catalog import SimMarket
from overround.units import format_price

__all__ = ["FIRST_GAMMA_ID", "new_market"]

FIRST_GAMMA_ID = 500_000
"""Market ids of the discovery service are this plus our index."""


def _rate_text(rate: float) -> str:
    return f"{rate:.6f}".rstrip("0").rstrip(".")


def new_market(market: SimMarket, epoch_ms: int) -> dict[str, Any]:
    """Return the event that announces a market; all numbers in it are texts."""
    tokens = [market.token_yes, market.token_no]
    event = market.event
    rules = market.rules
    return {
        "event_type": "new_market",
        "id": str(FIRST_GAMMA_ID + market.index),
        "question": market.question,
        "market": market.condition_id,
        "slug": market.slug,
        "description": market.question,
        "assets_ids": tokens,
        "outcomes": list(market.outcomes),
        "event_message": {
            "id": event.id,
            "ticker": event.slug,
            "slug": event.slug,
            "title": event.title,
            "description": event.title,
        },
        "timestamp": str(epoch_ms),
        "tags": [],
        "condition_id": market.condition_id,
        "active": True,
        "clob_token_ids": tokens,
        "sports_market_type": "",
        "line": "",
        "game_start_time": "",
        "order_price_min_tick_size": format_price(rules.tick_ticks),
        "group_item_title": "",
        "taker_base_fee": "0",
        "fees_enabled": bool(rules.fee_rate_ppm),
        "fee_schedule": {
            "exponent": str(rules.fee_exponent),
            "rate": _rate_text(rules.fee_rate_ppm / 1_000_000),
            "taker_only": "true",
            "rebate_rate": _rate_text(market.rebate_rate),
        },
    }
