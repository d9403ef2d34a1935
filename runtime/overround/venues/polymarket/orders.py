"""Orders as the venue's settlement contracts read them: digest, signature, request body.

An order's id is its EIP-712 digest, so it is known before the first byte is sent. The signer
fills one prebuilt buffer of twelve words (type hash and eleven fields) and hashes it; the
domain separators are computed once. Expiration, order type and post-only are not signed: they
stand in the request body only.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from overround.errors import ConfigError, OrderError
from overround.venues.contract import MarketSpec, OrderType, Side
from overround.venues.polymarket.auth import CHAIN_ID, SIGNATURE_BYTES, Signer, recover_address
from overround.venues.polymarket.eip712 import (
    WORD_BYTES,
    WORD_ZERO,
    address_word,
    domain_separator,
    keccak256,
    typed_digest,
    uint_word,
)

SALT_MAX = 2**53 - 1
"""The salt travels as a JSON number: beyond this a reader may lose digits."""

ORDER_BATCH_MAX = 15
"""Orders in one batch request; the venue refuses more."""

ORDER_TYPE_TEXT = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    "uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    "bytes32 builder)"
)

_EXCHANGE_NAME = "Polymarket CTF Exchange"
_ORDER_TYPE_HASH = keccak256(ORDER_TYPE_TEXT.encode())
_WRAPPER_TYPE_HASH = keccak256(
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    b"address verifyingContract,bytes32 salt)" + ORDER_TYPE_TEXT.encode()
)
_WALLET_NAME_HASH = keccak256(b"DepositWallet")
_WALLET_VERSION_HASH = keccak256(b"1")
_WRAPPER_TAIL = ORDER_TYPE_TEXT.encode() + len(ORDER_TYPE_TEXT).to_bytes(2, "big")
_WRAPPED_BYTES = SIGNATURE_BYTES + 2 * WORD_BYTES + len(_WRAPPER_TAIL)


class SignatureType(IntEnum):
    """Which kind of wallet holds the funds; all are signed by the same key."""

    EOA = 0
    POLY_PROXY = 1
    POLY_GNOSIS_SAFE = 2
    POLY_1271 = 3  # deposit wallet: maker and signer are the wallet, the signature is wrapped


class Domain(NamedTuple):
    """One settlement contract on one chain; ``separator`` is 32 bytes."""

    version: int
    chain_id: int
    contract: str
    separator: bytes


class _Contracts(NamedTuple):
    standard: str
    neg_risk: str
    v3: str


_CONTRACTS = {
    137: _Contracts(
        "0xE111180000d2663C0091e4f400237545B87B996B",
        "0xe2222d279d744050d28e00520010520000310F59",
        "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa",
    ),
    80002: _Contracts(
        "0xE111180000d2663C0091e4f400237545B87B996B",
        "0xe2222d279d744050d28e00520010520000310F59",
        "0x9fE6e61422AdB6F610d8597F9684b16912D50C3D",
    ),
}
"""Settlement contracts by chain: Polygon and its test net."""


@lru_cache(maxsize=64)
def exchange_domain(*, neg_risk: bool, protocol: int = 2, chain_id: int = CHAIN_ID) -> Domain:
    """Return the domain a market's orders are signed for.

    ``protocol`` is 2, or 3 for markets of the newer protocol (which ignores ``neg_risk``).
    ConfigError for a chain or protocol the venue does not settle on.
    """
    contracts = _CONTRACTS.get(chain_id)
    if contracts is None:
        raise ConfigError(
            f"chain_id = {chain_id}: the venue settles on {', '.join(map(str, _CONTRACTS))}"
        )
    if protocol not in (2, 3):
        raise ConfigError(f"exchange protocol {protocol} is unknown: expected 2 or 3")
    contract = contracts.neg_risk if neg_risk else contracts.standard
    if protocol == 3:
        contract = contracts.v3
    separator = domain_separator(_EXCHANGE_NAME, str(protocol), chain_id, contract)
    return Domain(protocol, chain_id, contract, separator)


def market_domain(spec: MarketSpec, chain_id: int = CHAIN_ID) -> Domain:
    """Return the domain of one market's orders; ConfigError as ``exchange_domain``."""
    return exchange_domain(neg_risk=spec.neg_risk, protocol=spec.protocol, chain_id=chain_id)


class OrderParams(msgspec.Struct, frozen=True):
    """The eleven signed fields. Amounts are integers of 1e-6, ``timestamp_ms`` wall time.

    A BUY gives ``maker_amount`` of collateral for ``taker_amount`` of shares, a SELL the
    reverse. ``metadata`` and ``builder`` are 32 bytes.
    """

    salt: int
    maker: str
    signer: str
    token_id: int
    maker_amount: int
    taker_amount: int
    side: int
    signature_type: int
    timestamp_ms: int
    metadata: bytes = WORD_ZERO
    builder: bytes = WORD_ZERO


class SignedOrder(msgspec.Struct, frozen=True):
    """An order ready to send: ``order_id`` and ``signature`` are ``0x`` lower-case hex."""

    order_id: str
    signature: str
    params: OrderParams


def order_salt(key: bytes) -> int:
    """Return the salt, 1 to 2**53 - 1, that belongs to a key and to no other in practice.

    Deriving it makes a retry byte-identical: the same key and timestamp give the same order.
    """
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") % SALT_MAX + 1


def _put_fields(words: bytearray, params: OrderParams) -> None:
    """Write the eleven fields behind the type hash; OrderError if one does not fit."""
    if params.side not in (0, 1):
        raise OrderError(f"side {params.side} is neither 0 (BUY) nor 1 (SELL)")
    if params.signature_type not in (0, 1, 2, 3):
        raise OrderError(f"signature type {params.signature_type} is unknown: expected 0 to 3")
    if len(params.metadata) != WORD_BYTES or len(params.builder) != WORD_BYTES:
        raise OrderError("metadata and builder are 32 bytes each")
    words[32:64] = uint_word(params.salt)
    words[64:96] = address_word(params.maker)
    words[96:128] = address_word(params.signer)
    words[128:160] = uint_word(params.token_id)
    words[160:192] = uint_word(params.maker_amount)
    words[192:224] = uint_word(params.taker_amount)
    words[255] = params.side
    words[287] = params.signature_type
    words[288:320] = uint_word(params.timestamp_ms)
    words[320:352] = params.metadata
    words[352:384] = params.builder


def _new_words() -> bytearray:
    return bytearray(_ORDER_TYPE_HASH) + bytearray(11 * WORD_BYTES)


def order_words(params: OrderParams) -> bytearray:
    """Return the words of an order as they are hashed; OrderError if a field does not fit."""
    words = _new_words()
    _put_fields(words, params)
    return words


@lru_cache(maxsize=64)
def _struct_hash(params: OrderParams) -> bytes:
    # Remembered, because an exchange asks for an order's id and then for its signer.
    return keccak256(order_words(params))


@lru_cache(maxsize=64)
def order_digest(params: OrderParams, domain: Domain) -> bytes:
    """Return the 32-byte digest, which is the order's id; OrderError if a field cannot be."""
    return typed_digest(domain.separator, _struct_hash(params))


def _wrapped_digest(contents_hash: bytes, wallet: str, domain: Domain) -> bytes:
    struct_hash = keccak256(
        _WRAPPER_TYPE_HASH
        + contents_hash
        + _WALLET_NAME_HASH
        + _WALLET_VERSION_HASH
        + uint_word(domain.chain_id)
        + address_word(wallet)
        + WORD_ZERO
    )
    return typed_digest(domain.separator, struct_hash)


class OrderSigner:
    """Signs orders with one key, reusing one buffer: not for two threads at a time."""

    __slots__ = ("_signer", "_words")

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._words = _new_words()

    @property
    def address(self) -> str:
        """Checksummed address of the signing key."""
        return self._signer.address

    @property
    def key(self) -> Signer:
        """What signs."""
        return self._signer

    def sign(self, params: OrderParams, domain: Domain) -> SignedOrder:
        """Return the signed order; the same input always gives the same bytes.

        OrderError if a field does not fit, the salt would not survive JSON, or (types 0 to 2)
        the order names a signer other than this key.
        """
        if not 0 <= params.salt <= SALT_MAX:
            raise OrderError(f"salt {params.salt} is outside 0 to 2**53 - 1")
        wrapped = params.signature_type == SignatureType.POLY_1271
        if not wrapped and params.signer != self._signer.address:
            raise OrderError(
                f"order names signer {params.signer} but the key is {self._signer.address}"
            )
        _put_fields(self._words, params)
        contents_hash = keccak256(self._words)
        digest = typed_digest(domain.separator, contents_hash)
        if wrapped:
            signature = self._signer.sign_digest(
                _wrapped_digest(contents_hash, params.signer, domain)
            )
            signature += domain.separator + contents_hash + _WRAPPER_TAIL
        else:
            signature = self._signer.sign_digest(digest)
        return SignedOrder("0x" + digest.hex(), "0x" + signature.hex(), params)

    def __repr__(self) -> str:
        return f"OrderSigner({self._signer.address})"


def order_body(
    signed: SignedOrder,
    owner: str,
    order_type: OrderType,
    *,
    expiration_s: int = 0,
    post_only: bool = False,
    defer_exec: bool = False,
) -> bytes:
    """Return the request body of one order: the exact bytes to journal, authenticate and send.

    ``owner`` is the API key; ``expiration_s`` is wall time and set for GTD alone. OrderError
    if type, expiration and post-only contradict each other.
    """
    if (order_type == OrderType.GTD) != (expiration_s > 0) or expiration_s < 0:
        raise OrderError(f"{order_type.name} order with expiration {expiration_s}")
    if post_only and order_type in (OrderType.FOK, OrderType.FAK):
        raise OrderError(f"post-only contradicts {order_type.name}: it would never rest")
    order = signed.params
    return (
        f'{{"order":{{"salt":{order.salt},"maker":"{order.maker}","signer":"{order.signer}",'
        f'"tokenId":"{order.token_id}","makerAmount":"{order.maker_amount}",'
        f'"takerAmount":"{order.taker_amount}","side":"{_SIDE_TEXTS[order.side]}",'
        f'"expiration":"{expiration_s}","signatureType":{int(order.signature_type)},'
        f'"timestamp":"{order.timestamp_ms}","metadata":"0x{order.metadata.hex()}",'
        f'"builder":"0x{order.builder.hex()}","signature":"{signed.signature}"}},'
        f'"owner":{_json_text(owner)},"orderType":"{order_type.name}",'
        f'"deferExec":{_JSON_BOOLS[defer_exec]},"postOnly":{_JSON_BOOLS[post_only]}}}'
    ).encode("ascii")


_SIDE_TEXTS = (Side.BUY.name, Side.SELL.name)
_JSON_BOOLS = ("false", "true")


@lru_cache(maxsize=64)
def _json_text(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise OrderError("the owner of an order (the API key) is not printable ASCII")
    return msgspec.json.encode(text).decode("ascii")


def batch_body(bodies: list[bytes]) -> bytes:
    """Return the body of one batch request, its orders in the given order; 1 to 15 of them."""
    if not 1 <= len(bodies) <= ORDER_BATCH_MAX:
        raise OrderError(f"{len(bodies)} orders in a batch: the venue takes 1 to {ORDER_BATCH_MAX}")
    return b"[" + b",".join(bodies) + b"]"


def verify_order(params: OrderParams, signature: str, domain: Domain) -> str | None:
    """Return the checksummed address of the key that signed this very order, or None.

    Types 0 to 2 must be signed by the address they name as signer. For type 3 the key's own
    address is returned and the caller compares it with the wallet's registered owner.
    """
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
        contents_hash = _struct_hash(params)
        if params.signature_type == SignatureType.POLY_1271:
            return _verify_wrapped(params, raw, contents_hash, domain)
    except (ValueError, OrderError):
        return None
    signed_by = recover_address(order_digest(params, domain), raw)
    return signed_by if signed_by and signed_by.lower() == params.signer.lower() else None


def _verify_wrapped(
    params: OrderParams, raw: bytes, contents_hash: bytes, domain: Domain
) -> str | None:
    if len(raw) != _WRAPPED_BYTES or params.maker.lower() != params.signer.lower():
        return None
    tail = domain.separator + contents_hash + _WRAPPER_TAIL
    if raw[SIGNATURE_BYTES:] != tail:
        return None
    digest = _wrapped_digest(contents_hash, params.signer, domain)
    return recover_address(digest, raw[:SIGNATURE_BYTES])
