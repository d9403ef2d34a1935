"""From an intent to a signed body: amounts, salt and time follow from the intent alone.

So the same intent always becomes the same bytes and the same id, whichever process signs it
and however often: a second signing cannot make a second order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from overround.errors import OrderError
from overround.execute.markets import MarketInfo
from overround.layout.intent import BUY, IntentFlag
from overround.ledger.records import Intent, Signed
from overround.units import MICRO_PER_UNIT
from overround.venues.contract import OrderType
from overround.venues.polymarket.amounts import limit_amounts, taking_amounts
from overround.venues.polymarket.fees import fee_micro
from overround.venues.polymarket.forms import OrderForm
from overround.venues.polymarket.orders import (
    Domain,
    OrderParams,
    OrderSigner,
    SignatureType,
    exchange_domain,
    order_body,
    order_salt,
)

__all__ = ["GTD_AHEAD_S", "GTD_LEAD_S", "OrderBuilder", "Prepared"]

_HALF_TICKS = 5_000
GTD_AHEAD_S = 180
"""The venue refuses a GTD order that states an earlier expiration."""
GTD_LEAD_S = 60
"""It ends a GTD order this long before the expiration it states."""


class Prepared:
    """Amounts of an order before it is signed."""

    __slots__ = ("cost_micro", "maker_micro", "taker_micro")

    def __init__(self, maker_micro: int, taker_micro: int, cost_micro: int) -> None:
        self.maker_micro = maker_micro
        self.taker_micro = taker_micro
        self.cost_micro = cost_micro
        """Most that a purchase and its fee can cost; 0 for a sale."""


class Terms(Protocol):
    """What of an intent goes into its order, next to amounts and market."""

    @property
    def outcome(self) -> int:
        """0 YES, 1 NO."""

    @property
    def side(self) -> int:
        """0 BUY, 1 SELL."""

    @property
    def order_type(self) -> int:
        """An ``OrderType``."""

    @property
    def flags(self) -> int:
        """``IntentFlag`` bits."""


class Sealed(NamedTuple):
    """An order that can be sent: its id, and the exact body."""

    order_id: str
    salt: int
    timestamp_ms: int
    body: bytes

    def signed(self, intent: Intent, prepared: Prepared, pool: int = 0) -> Signed:
        """Return the SIGNED record by which it serves an intent."""
        return Signed(
            intent.run_id,
            intent.producer,
            intent.sequence,
            self.order_id,
            self.salt,
            self.timestamp_ms,
            prepared.maker_micro,
            prepared.taker_micro,
            prepared.cost_micro,
            self.body,
            pool,
        )


_POST_ONLY: Final = int(IntentFlag.POST_ONLY)
ORDER_TYPES: Final = tuple(OrderType)
FORMS_MAX: Final = 1_024
"""Kinds of orders whose form is kept, 2 KB each."""
_token_id = lru_cache(maxsize=4096)(int)


def _domain(market: MarketInfo, chain_id: int) -> Domain:
    return exchange_domain(neg_risk=market.neg_risk, protocol=market.protocol, chain_id=chain_id)


class OrderBuilder:
    """Builds and signs the orders of one account."""

    def __init__(
        self,
        signer: OrderSigner,
        *,
        owner: str,
        chain_id: int,
        signature_type: int = 0,
        funder: str = "",
    ) -> None:
        self._signer = signer
        self._owner = owner
        self._chain_id = chain_id
        self._type = SignatureType(signature_type)
        self._maker = funder or signer.address
        self._last: tuple[Intent, MarketInfo, Signed] | None = None
        self._forms: dict[tuple[int, int, int, int, int], tuple[MarketInfo, OrderForm]] = {}
        self._named = self._maker if self._type is SignatureType.POLY_1271 else signer.address

    @property
    def address(self) -> str:
        """Address of the key that signs."""
        return self._signer.address

    @property
    def maker(self) -> str:
        """Wallet that pays and receives."""
        return self._maker

    @property
    def owner(self) -> str:
        """API key that orders are placed under."""
        return self._owner

    def use_owner(self, owner: str) -> None:
        """Place orders under another API key from now on; what is signed already names the old."""
        self._owner = owner
        self._last = None
        self._forms.clear()

    def prepare(self, intent: Intent, market: MarketInfo, tick_ticks: int) -> Prepared:
        """Return the amounts; OrderError if the venue could not take such an order."""
        prepared = self.amounts(
            intent.order_type, intent.side, intent.price_ticks, intent.size_lots, market, tick_ticks
        )
        life_ms = 1_000 * intent.expiration_s - intent.created_epoch_ms
        if intent.order_type == OrderType.GTD and life_ms < 1_000 * GTD_AHEAD_S:
            raise OrderError(
                f"GTD order states {life_ms} ms ahead: the venue refuses less than {GTD_AHEAD_S} s"
            )
        return prepared

    def amounts(
        self,
        order_type: int,
        side: int,
        price_ticks: int,
        size_lots: int,
        market: MarketInfo,
        tick_ticks: int,
    ) -> Prepared:
        """Return what such an order signs and may cost; OrderError if it cannot be."""
        taking = order_type in (OrderType.FOK, OrderType.FAK)
        amounts = taking_amounts if taking else limit_amounts
        maker, taker = amounts(side, price_ticks, size_lots, tick_ticks)
        if side != BUY:
            return Prepared(maker, taker, 0)
        if taking:
            # It spends its cash, so a better price buys more shares: cash / p of them, each with a
            # fee of at most rate * p * (1 - p). Over every price that is below rate * cash.
            fee = -(-maker * market.fee_rate_ppm // MICRO_PER_UNIT)
        else:
            # Its shares are fixed and may cost less; the fee is largest nearest one half.
            worst_ticks = min(price_ticks, _HALF_TICKS)
            fee = fee_micro(taker, worst_ticks, market.fee_rate_ppm, market.fee_exponent)
        return Prepared(maker, taker, maker + fee)

    def sign(self, intent: Intent, market: MarketInfo, prepared: Prepared) -> Signed:
        """Return the SIGNED record with the exact bytes to send.

        The last one is remembered: who has let an order out asks again when its books are done.
        """
        last = self._last
        if last is not None and last[1] is market and last[0] == intent:
            signed = last[2]
            if (signed.maker_micro, signed.taker_micro, signed.reserved_micro) == (
                prepared.maker_micro, prepared.taker_micro, prepared.cost_micro,
            ):  # fmt: skip
                return signed
        sealed = self.seal(
            f"{intent.run_id}:{intent.producer}:{intent.sequence}",
            intent.created_epoch_ms,
            market,
            intent,
            prepared,
            expiration_s=intent.expiration_s if intent.order_type == OrderType.GTD else 0,
        )
        signed = sealed.signed(intent, prepared)
        self._last = intent, market, signed
        return signed

    def seal(
        self,
        key: str,
        timestamp_ms: int,
        market: MarketInfo,
        terms: Terms,
        prepared: Prepared,
        *,
        expiration_s: int = 0,
    ) -> Sealed:
        """Sign an order whose salt follows from ``key``; the same input gives the same bytes."""
        salt = order_salt(f"{key}:{self._signer.address}".encode())
        maker, taker = prepared.maker_micro, prepared.taker_micro
        if terms.order_type != OrderType.GTD and self._type is not SignatureType.POLY_1271:
            order_id, body = self._form(market, terms).fill(salt, maker, taker, timestamp_ms)
            return Sealed(order_id, salt, timestamp_ms, body)
        params = self._params(salt, maker, taker, timestamp_ms, market, terms)
        signed = self._signer.sign(params, _domain(market, self._chain_id))
        body = order_body(
            signed,
            self._owner,
            ORDER_TYPES[terms.order_type],
            expiration_s=expiration_s,
            post_only=terms.flags & _POST_ONLY != 0,
        )
        return Sealed(signed.order_id, salt, timestamp_ms, body)

    def _params(
        self, salt: int, maker: int, taker: int, timestamp_ms: int, market: MarketInfo, terms: Terms
    ) -> OrderParams:
        return OrderParams(
            salt,
            self._maker,
            self._named,
            _token_id(market.token(terms.outcome)),
            maker,
            taker,
            terms.side,
            int(self._type),
            timestamp_ms,
        )

    def _form(self, market: MarketInfo, terms: Terms) -> OrderForm:
        """Return what all orders of this market and kind have in common."""
        post_only = terms.flags & _POST_ONLY
        place = (market.index, terms.outcome, terms.side, terms.order_type, post_only)
        found = self._forms.get(place)
        if found is not None and found[0] is market:
            return found[1]
        form = OrderForm(
            self._signer.key, self._params(0, 0, 0, 0, market, terms),
            _domain(market, self._chain_id), self._owner, ORDER_TYPES[terms.order_type],
            post_only=post_only != 0,
        )  # fmt: skip
        if len(self._forms) >= FORMS_MAX:
            self._forms.clear()
        self._forms[place] = market, form
        return form
