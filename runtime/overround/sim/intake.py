"""From the bytes of an order to something the engine takes, or the venue's words of refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from overround.errors import OrderError
from overround.match.types import Order, OrderRejected, OrderType, Outcome, RejectCode, Side
from overround.sim.catalog import SimCatalog, SimMarket
from overround.sim.members import Member
from overround.sim.records import OrderRecord, Party
from overround.units import (
    PRICE_TICKS_MAX,
    format_cash,
    format_price,
    format_size,
)
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.orders import (
    OrderParams,
    exchange_domain,
    order_digest,
    verify_order,
)

__all__ = ["Intake", "Refusal", "rejection_text"]

PRICE_SLACK = 4
"""An implied price may miss the grid by 1/4 of 1/10,000: what rounded share counts cause."""

CASH_STEP_MICRO = 10_000
SHARE_STEP_LOTS = 100
"""Accuracy of marketable FOK and FAK BUYs: two decimals of cash, four of shares."""


class Refusal(Exception):
    """An order or request is refused; the text is what the client reads."""

    def __init__(self, text: str, status: int = 400, order_id: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.order_id = order_id


def rejection_text(rejected: OrderRejected, market: SimMarket) -> str:
    """Return the venue's text for a refusal of the engine, byte for byte where it is known."""
    order = rejected.order
    rules = market.rules
    needed, available = rejected.needed, rejected.available
    cash = format_cash(order.size_lots * order.price_ticks // PRICE_TICKS_MAX)
    head = f"order {order.id} is invalid."
    return {
        RejectCode.UNKNOWN_MARKET: "market not found",
        RejectCode.MARKET_CLOSED: "the market is not yet ready to process new orders",
        RejectCode.DUPLICATED: f"{head} Duplicated.",
        RejectCode.INVALID_PAYLOAD: "Invalid order payload",
        RejectCode.INVALID_POST_ONLY: "Invalid order payload",
        RejectCode.INVALID_EXPIRATION: "invalid expiration",
        RejectCode.BREAKS_TICK: (
            f"{head} Price ({format_price(order.price_ticks)}) breaks minimum tick size rule: "
            f"{format_price(rules.tick_ticks)}"
        ),
        RejectCode.BELOW_MIN_SIZE: (
            f"{head} Size ({format_size(order.size_lots)}) lower than the minimum: "
            f"{format_size(rules.min_size_lots)}"
        ),
        RejectCode.POST_ONLY_CROSSES: "invalid post-only order: order crosses book",
        RejectCode.BELOW_MARKETABLE_MIN: (
            f"invalid amount for a marketable BUY order (${cash}), min size: $1"
        ),
        RejectCode.NOT_ENOUGH_BALANCE: (
            "not enough balance / allowance: the balance is not enough -> "
            f"balance: {available}, order amount: {needed}"
        ),
        RejectCode.FOK_NOT_FILLED: (
            "order couldn't be fully filled. FOK orders are fully filled or killed."
        ),
        RejectCode.FAK_NO_MATCH: (
            "no orders found to match with FAK order. "
            "FAK orders are partially filled or killed if no match is found."
        ),
    }[rejected.code]


@dataclass(frozen=True, slots=True)
class _Read:
    params: OrderParams
    signature: str
    order_type: OrderType
    post_only: bool
    expiration: int


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


class Intake:
    """Reads, verifies and prices orders against the catalog."""

    def __init__(self, catalog: SimCatalog, *, strict_amounts: bool) -> None:
        self._catalog = catalog
        self._strict_amounts = strict_amounts

    def _read(self, body: Any) -> _Read:
        try:
            order = body["order"]
            if "timestamp" not in order and "nonce" in order:
                raise Refusal("order_version_mismatch")
            params = OrderParams(
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
            return _Read(
                params,
                str(order["signature"]),
                OrderType[body["orderType"]],
                body.get("postOnly") is True,
                _whole(order.get("expiration", "0")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Refusal("Invalid order payload") from None

    def accept(
        self, body: Any, member: Member, credentials: Credentials, now_ms: int
    ) -> OrderRecord:
        """Return the record of a verified order, not yet submitted; Refusal if it is none."""
        read = self._read(body)
        params = read.params
        if body.get("owner") != credentials.api_key:
            raise Refusal("the order owner has to be the owner of the API KEY")
        found = self._catalog.by_token.get(str(params.token_id))
        if found is None:
            raise Refusal("No orderbook exists for the requested token id")
        market, outcome = found
        domain = exchange_domain(neg_risk=market.rules.neg_risk, protocol=market.protocol)
        try:
            order_id = "0x" + order_digest(params, domain).hex()
        except OrderError:
            raise Refusal("Invalid order payload") from None
        signed_by = verify_order(params, read.signature, domain)
        if signed_by is None:
            raise Refusal("invalid signature", order_id=order_id)
        if signed_by.lower() != member.address.lower():
            raise Refusal(
                "the order signer address has to be the address of the API KEY",
                order_id=order_id,
            )
        price_ticks, size_lots = self._price(read, market, order_id)
        order = Order(
            id=order_id,
            account=member.account,
            market=market.index,
            outcome=Outcome(outcome),
            side=Side(params.side),
            price_ticks=price_ticks,
            size_lots=size_lots,
            order_type=read.order_type,
            post_only=read.post_only,
            created_epoch_ms=now_ms,
            expires_epoch_s=read.expiration,
        )
        party = Party(credentials.api_key, params.maker)
        builder = "0x" + params.builder.hex()
        return OrderRecord(
            order, market, member.account, party, now_ms // 1000, builder=builder
        )

    def _price(self, read: _Read, market: SimMarket, order_id: str) -> tuple[int, int]:
        params = read.params
        buy = params.side == Side.BUY
        cash, shares = params.maker_amount, params.taker_amount
        if not buy:
            cash, shares = shares, cash
        if not cash or not shares:
            raise Refusal("Invalid order payload", order_id=order_id)
        scaled = cash * PRICE_TICKS_MAX
        price_ticks = (2 * scaled + shares) // (2 * shares)
        if abs(scaled - price_ticks * shares) * PRICE_SLACK > shares:
            implied = scaled * 100 // shares
            raise Refusal(
                f"order {order_id} is invalid. Price ({implied / 1_000_000:.6f}) breaks minimum "
                f"tick size rule: {format_price(market.rules.tick_ticks)}",
                order_id=order_id,
            )
        killable = read.order_type in (OrderType.FOK, OrderType.FAK)
        rough = cash % CASH_STEP_MICRO or shares % SHARE_STEP_LOTS
        if self._strict_amounts and buy and killable and rough:
            raise Refusal(
                "invalid amounts, the market buy orders maker amount supports a max accuracy "
                "of 2 decimals, taker amount a max of 4 decimals",
                order_id=order_id,
            )
        return price_ticks, shares
