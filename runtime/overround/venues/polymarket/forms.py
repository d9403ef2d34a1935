"""Orders that differ in salt, amounts and time only: everything else is laid out once.

A form is cut from an order that ``orders`` made, so there is one text of what an order is.
"""

from __future__ import annotations

from overround.errors import OrderError
from overround.venues.contract import OrderType
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.eip712 import keccak256
from overround.venues.polymarket.orders import (
    Domain,
    OrderParams,
    SignatureType,
    SignedOrder,
    order_body,
    order_words,
)

__all__ = ["OrderForm"]

_KEYS = ('"salt":', '"makerAmount":"', '"takerAmount":"', '"timestamp":"', '"signature":"')
_SAMPLE = 7
"""Stands for every number in the order that a form is cut from."""


class OrderForm:
    """Orders of one market, outcome, side and type of one key; not for two threads at a time.

    ``sample`` gives all but salt, amounts and time. Not for wrapped signatures and expirations.
    """

    __slots__ = ("_pieces", "_prefix", "_signer", "_words")

    def __init__(
        self,
        signer: Signer,
        sample: OrderParams,
        domain: Domain,
        owner: str,
        order_type: OrderType,
        *,
        post_only: bool,
    ) -> None:
        """Cut the form. OrderError if no such order can be."""
        if sample.signature_type == SignatureType.POLY_1271 or sample.signer != signer.address:
            raise OrderError("a form is for orders that the key signs by itself")
        params = OrderParams(
            _SAMPLE, sample.maker, sample.signer, sample.token_id, _SAMPLE, _SAMPLE, sample.side,
            sample.signature_type, _SAMPLE, sample.metadata, sample.builder,
        )  # fmt: skip
        self._signer = signer
        self._words = order_words(params)
        self._prefix = b"\x19\x01" + domain.separator
        signed = SignedOrder("", str(_SAMPLE), params)
        rest = order_body(signed, owner, order_type, post_only=post_only).decode("ascii")
        pieces = []
        for key in _KEYS:
            start, found, rest = rest.partition(f"{key}{_SAMPLE}")
            assert found, "every order has these members"
            pieces.append(start + key)
        self._pieces = (*pieces[:-1], pieces[-1] + "0x", rest)

    def fill(self, salt: int, maker: int, taker: int, timestamp_ms: int) -> tuple[str, bytes]:
        """Return id and body of one order; OrderError if a number does not fit.

        ``salt`` is at most ``SALT_MAX``; amounts in 1e-6, ``timestamp_ms`` wall time.
        """
        words = self._words
        try:
            words[56:64] = salt.to_bytes(8, "big")
            words[184:192] = maker.to_bytes(8, "big")
            words[216:224] = taker.to_bytes(8, "big")
            words[312:320] = timestamp_ms.to_bytes(8, "big")
        except OverflowError:
            raise OrderError(f"{salt}, {maker}, {taker} or {timestamp_ms} does not fit") from None
        digest = keccak256(self._prefix + keccak256(words))
        signature = self._signer.sign_digest(digest).hex()
        a, b, c, d, e, f = self._pieces
        body = f"{a}{salt}{b}{maker}{c}{taker}{d}{timestamp_ms}{e}{signature}{f}"
        return "0x" + digest.hex(), body.encode("ascii")

    def __repr__(self) -> str:
        return f"OrderForm({self._signer.address})"
