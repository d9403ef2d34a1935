"""Events of the user channel as the venue writes them, to be changed member by member."""

from __future__ import annotations

from typing import Any

US = "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10"
THEM = "b2f00000-0000-0000-0000-000000000000"
OUR_WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
YES = "48331043336612883890938759509493159234755048973500640148014422747788308965732"
NO = "61270985514093826641187325590417733624901558302216694187350926618440275518906"
ORDER_ID = "0x" + "bc" * 32


def order_event(**changes: Any) -> dict[str, Any]:
    return {
        "event_type": "order",
        "type": "PLACEMENT",
        "id": ORDER_ID,
        "owner": US,
        "market": "0x" + "9c" * 32,
        "asset_id": YES,
        "side": "BUY",
        "outcome": "Yes",
        "price": "0.52",
        "original_size": "10",
        "size_matched": "0",
        "associate_trades": None,
        "order_type": "GTC",
        "status": "LIVE",
        "maker_address": OUR_WALLET,
        "created_at": "1795345200",
        "expiration": "0",
        "timestamp": "1795345200257",
        **changes,
    }


def maker(**changes: Any) -> dict[str, Any]:
    return {
        "order_id": "0x77aa",
        "owner": THEM,
        "maker_address": "0x" + "70" * 20,
        "matched_amount": "10",
        "price": "0.47",
        "fee_rate_bps": "",
        "asset_id": NO,
        "outcome": "No",
        "side": "BUY",
        **changes,
    }


def trade_event(*makers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "event_type": "trade",
        "type": "TRADE",
        "id": "5d2b8a9e",
        "taker_order_id": "0x91e4",
        "market": "0x" + "9c" * 32,
        "asset_id": YES,
        "side": "BUY",
        "size": "10",
        "price": "0.53",
        "fee_rate_bps": "0",
        "status": "MATCHED",
        "match_time": "1795345201",
        "last_update": "1795345201",
        "outcome": "Yes",
        "owner": US,
        "maker_address": OUR_WALLET,
        "transaction_hash": None,
        "bucket_index": 0,
        "trader_side": "TAKER",
        "timestamp": "1795345201257",
        "maker_orders": list(makers),
        **changes,
    }
