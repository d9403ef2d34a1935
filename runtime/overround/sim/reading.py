"""Order bodies of either version, read strictly: what was signed, and what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from overround.match.types import OrderType, Side
from overround.sim.catalog import SimMarket
from overround.sim.ordersv1 import OrderV1, digest_v1, domain_v1, verify_v1
from overround.venues.polymarket.orders import (
    Domain,
    OrderParams,
    exchange_domain,
    order_digest,
    verify_order,
)

__all__ = ["SignedBody", "looks_like_v1", "read_body"]


@dataclass(frozen=True, slots=True)
class SignedBody:
    """An order as it came: the signed fields, the signature, the terms.

    ``expiration`` is signed in the first version only.
    """

    params: OrderParams | OrderV1
    signature: str
    order_type: OrderType
    post_only: bool
    expiration: int

    @property
    def is_v1(self) -> bool:
        """Whether it has the fields of the first version."""
        return isinstance(self.params, OrderV1)

    def domain(self, market: SimMarket) -> Domain:
        """Return the domain it must be signed for."""
        if self.is_v1:
            return domain_v1(neg_risk=market.rules.neg_risk)
        return exchange_domain(neg_risk=market.rules.neg_risk, protocol=market.protocol)

    def digest(self, domain: Domain) -> bytes:
        """Return the order's id; OrderError if a field cannot be."""
        if isinstance(self.params, OrderV1):
            return digest_v1(self.params, domain)
        return order_digest(self.params, domain)

    def signed_by(self, domain: Domain) -> str | None:
        """Return the key that signed it; of types 0 to 2 only if it is the order's signer."""
        if isinstance(self.params, OrderV1):
            return verify_v1(self.params, self.signature, domain)
        return verify_order(self.params, self.signature, domain)

    @property
    def builder(self) -> str:
        """The builder code as hex, zero in the first version."""
        code = bytes(32) if isinstance(self.params, OrderV1) else self.params.builder
        return "0x" + code.hex()


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("not a number")
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 78):
        raise ValueError("not a plain number")
    return int(text)


def _word(value: Any) -> bytes:
    raw = bytes.fromhex(str(value).removeprefix("0x"))
    if len(raw) != 32:
        raise ValueError("not 32 bytes")
    return raw


def _fields_v1(order: Any) -> OrderV1:
    return OrderV1(
        salt=_whole(order["salt"]),
        maker=str(order["maker"]),
        signer=str(order["signer"]),
        taker=str(order["taker"]),
        token_id=_whole(order["tokenId"]),
        maker_amount=_whole(order["makerAmount"]),
        taker_amount=_whole(order["takerAmount"]),
        expiration=_whole(order["expiration"]),
        nonce=_whole(order["nonce"]),
        fee_rate_bps=_whole(order["feeRateBps"]),
        side=int(Side[order["side"]]),
        signature_type=_whole(order["signatureType"]),
    )


def _fields(order: Any) -> OrderParams:
    return OrderParams(
        salt=_whole(order["salt"]),
        maker=str(order["maker"]),
        signer=str(order["signer"]),
        token_id=_whole(order["tokenId"]),
        maker_amount=_whole(order["makerAmount"]),
        taker_amount=_whole(order["takerAmount"]),
        side=int(Side[order["side"]]),
        signature_type=_whole(order["signatureType"]),
        timestamp_ms=_whole(order["timestamp"]),
        metadata=_word(order["metadata"]),
        builder=_word(order["builder"]),
    )


def looks_like_v1(body: Any) -> bool:
    """Return whether a body has the marks of the first version, readable or not."""
    order = body.get("order") if isinstance(body, dict) else None
    return isinstance(order, dict) and "timestamp" not in order and "nonce" in order


def read_body(body: Any) -> SignedBody:
    """Return the order of a request body; ValueError, however it is broken."""
    try:
        order = body["order"]
        return SignedBody(
            _fields_v1(order) if looks_like_v1(body) else _fields(order),
            str(order["signature"]),
            OrderType[body["orderType"]],
            body.get("postOnly") is True,
            _whole(order.get("expiration", "0")),
        )
    except (KeyError, TypeError, AttributeError) as wrong:
        raise ValueError(f"no order: {wrong}") from None
