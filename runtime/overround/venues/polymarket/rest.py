"""Every request we make, described without making it: method, path, query, body, proof needed.

The transport adds host and headers (``auth.l1_headers``, ``auth.l2_headers``) and sends the
body as it stands, because the signature covers its very bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from urllib.parse import urlencode

import msgspec

from overround.errors import OrderError
from overround.venues.polymarket.answers import CURSOR_START
from overround.venues.polymarket.orders import batch_body

BOOKS_MAX = 500
"""Tokens in one request for books."""

CANCELS_MAX = 1_000
"""Orders in one cancel request; sources differ between 1,000 and 3,000."""


class Auth(IntEnum):
    """What a request must prove."""

    NONE = 0
    L1 = 1  # the wallet: a signature
    L2 = 2  # the API key: an HMAC over method, path and body


class Request(msgspec.Struct, frozen=True):
    """One request; ``gamma`` is true for the discovery host."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    auth: Auth = Auth.NONE
    gamma: bool = False

    @property
    def target(self) -> str:
        """Path and query as they go on the wire; the signature covers ``path`` alone."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


def _query(**members: str | int | None) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(value)) for key, value in members.items() if value not in (None, ""))


def server_time() -> Request:
    """Ask for the venue's wall time (``answers.decode_time``)."""
    return Request("GET", "/time")


def version() -> Request:
    """Ask which order version the venue takes (``answers.decode_version``)."""
    return Request("GET", "/version")


def books(token_ids: Sequence[str]) -> Request:
    """Ask for whole books of up to 500 tokens; the answer goes to the feed engine as bytes."""
    if not 1 <= len(token_ids) <= BOOKS_MAX:
        raise OrderError(f"{len(token_ids)} books in a request: expected 1 to {BOOKS_MAX}")
    body = msgspec.json.encode([{"token_id": token_id} for token_id in token_ids])
    return Request("POST", "/books", body=body)


def book(token_id: str) -> Request:
    """Ask for one whole book."""
    return Request("GET", "/book", _query(token_id=token_id))


def clob_market(condition_id: str) -> Request:
    """Ask for one market's trading parameters (``catalog.parse_clob_market``)."""
    return Request("GET", f"/clob-markets/{condition_id}")


def events_page(after_cursor: str | None = None, *, slug: str = "", limit: int = 100) -> Request:
    """Ask discovery for a page of open events (``catalog.parse_events_page``)."""
    query = _query(limit=limit, closed="false", slug=slug, after_cursor=after_cursor)
    return Request("GET", "/events/keyset", query, gamma=True)


def create_api_key() -> Request:
    """Ask for new credentials; refused if some exist for the nonce: derive them then."""
    return Request("POST", "/auth/api-key", auth=Auth.L1)


def derive_api_key() -> Request:
    """Ask for the credentials of this wallet and nonce again."""
    return Request("GET", "/auth/derive-api-key", auth=Auth.L1)


def api_keys() -> Request:
    """Ask which API keys this login has: the cheapest proof that it is accepted."""
    return Request("GET", "/auth/api-keys", auth=Auth.L2)


def place_order(body: bytes) -> Request:
    """Send one order (``orders.order_body``)."""
    return Request("POST", "/order", body=body, auth=Auth.L2)


def place_orders(bodies: Sequence[bytes]) -> Request:
    """Send up to 15 orders in one request; OrderError for more or none."""
    return Request("POST", "/orders", body=batch_body(list(bodies)), auth=Auth.L2)


def cancel_order(order_id: str) -> Request:
    """Cancel one order by its id."""
    body = msgspec.json.encode({"orderID": order_id})
    return Request("DELETE", "/order", body=body, auth=Auth.L2)


def cancel_orders(order_ids: Sequence[str]) -> Request:
    """Cancel up to 1,000 orders by id; OrderError for more or none."""
    if not 1 <= len(order_ids) <= CANCELS_MAX:
        raise OrderError(f"{len(order_ids)} cancels in a request: expected 1 to {CANCELS_MAX}")
    body = msgspec.json.encode(list(order_ids))
    return Request("DELETE", "/orders", body=body, auth=Auth.L2)


def cancel_all() -> Request:
    """Cancel every open order of the credentials."""
    return Request("DELETE", "/cancel-all", auth=Auth.L2)


def cancel_market(condition_id: str, token_id: str = "") -> Request:
    """Cancel the open orders of one market, or of one of its tokens."""
    body = msgspec.json.encode(dict(_query(market=condition_id, asset_id=token_id)))
    return Request("DELETE", "/cancel-market-orders", body=body, auth=Auth.L2)


def get_order(order_id: str) -> Request:
    """Look one order up by id (``answers.decode_order``)."""
    return Request("GET", f"/data/order/{order_id}", auth=Auth.L2)


def open_orders(cursor: str = CURSOR_START, *, condition_id: str = "") -> Request:
    """Ask for a page of open orders; follow ``next_cursor`` until None."""
    query = _query(market=condition_id, next_cursor=cursor)
    return Request("GET", "/data/orders", query, auth=Auth.L2)


def trades(
    cursor: str = CURSOR_START,
    *,
    trade_id: str = "",
    condition_id: str = "",
    after_s: int | None = None,
    maker_address: str = "",
) -> Request:
    """Ask for a page of our trades, newest first; ``after_s`` is wall time in seconds."""
    query = _query(
        id=trade_id,
        maker_address=maker_address,
        market=condition_id,
        after=after_s,
        next_cursor=cursor,
    )
    return Request("GET", "/data/trades", query, auth=Auth.L2)


def balance(signature_type: int, token_id: str = "", *, update: bool = False) -> Request:
    """Ask for the balance of collateral, or of one outcome token.

    ``update`` makes the venue read the chain again first; that answer carries no balance.
    """
    query = _query(
        asset_type="CONDITIONAL" if token_id else "COLLATERAL",
        token_id=token_id,
        signature_type=signature_type,
    )
    path = "/balance-allowance/update" if update else "/balance-allowance"
    return Request("GET", path, query, auth=Auth.L2)


def heartbeat(heartbeat_id: str = "") -> Request:
    """Beat: once begun, the venue cancels everything 10 s after the last good one."""
    body = msgspec.json.encode({"heartbeat_id": heartbeat_id})
    return Request("POST", "/v1/heartbeats", body=body, auth=Auth.L2)
