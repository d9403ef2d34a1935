"""Orders of the venue's first version: twelve signed fields, their own contracts and domain.

Production has refused them since April 2026; an exchange in V1 mode takes nothing else, so that
the first official client can still be driven.
"""

from __future__ import annotations

from typing import NamedTuple

from overround.errors import OrderError
from overround.venues.polymarket.auth import CHAIN_ID, recover_address
from overround.venues.polymarket.eip712 import (
    address_word,
    domain_separator,
    keccak256,
    typed_digest,
    uint_word,
)
from overround.venues.polymarket.orders import Domain

__all__ = ["OrderV1", "digest_v1", "domain_v1", "verify_v1"]

_TYPE_HASH = keccak256(
    b"Order(uint256 salt,address maker,address signer,address taker,uint256 tokenId,"
    b"uint256 makerAmount,uint256 takerAmount,uint256 expiration,uint256 nonce,"
    b"uint256 feeRateBps,uint8 side,uint8 signatureType)"
)

_CONTRACTS = (
    "0x4bFb41d5B3570DeFd03C39a9A4D8dE6Bd8B8982E",
    "0xC5d563A36AE78145C45a50134d48A1215220f80a",
)
"""Settlement contracts of the first version: standard, neg-risk."""

_DOMAINS = tuple(
    Domain(
        1, CHAIN_ID, contract, domain_separator("Polymarket CTF Exchange", "1", CHAIN_ID, contract)
    )
    for contract in _CONTRACTS
)


class OrderV1(NamedTuple):
    """The signed fields, amounts in 1e-6, ``expiration`` in epoch seconds (0: none)."""

    salt: int
    maker: str
    signer: str
    taker: str
    token_id: int
    maker_amount: int
    taker_amount: int
    expiration: int
    nonce: int
    fee_rate_bps: int
    side: int
    signature_type: int


def domain_v1(*, neg_risk: bool) -> Domain:
    """Return the domain of a market's orders."""
    return _DOMAINS[neg_risk]


def digest_v1(order: OrderV1, domain: Domain) -> bytes:
    """Return the 32-byte digest, the order's id; OrderError if a field cannot be."""
    if order.side not in (0, 1) or order.signature_type not in (0, 1, 2):
        raise OrderError("a first-version order has side 0 or 1 and signature type 0 to 2")
    words = [
        uint_word(order.salt),
        address_word(order.maker),
        address_word(order.signer),
        address_word(order.taker),
        *(uint_word(number) for number in order[4:]),
    ]
    return typed_digest(domain.separator, keccak256(_TYPE_HASH + b"".join(words)))


def verify_v1(order: OrderV1, signature: str, domain: Domain) -> str | None:
    """Return the checksummed address that signed, None unless it is the order's signer."""
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
        signed_by = recover_address(digest_v1(order, domain), raw)
    except (ValueError, OrderError):
        return None
    return signed_by if signed_by and signed_by.lower() == order.signer.lower() else None
