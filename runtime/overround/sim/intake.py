"""From the bytes of an order to something the engine takes, or the venue's words of refusal."""

from __future__ import annotations

from typing import Any

from overround.errors import OrderError
from overround.match.types import Order, OrderRejected, OrderType, Outcome, RejectCode, Side
from overround.sim.catalog import SimCatalog, SimMarket
from overround.sim.members import Member
from overround.sim.ordersv1 import OrderV1
from overround.sim.reading import SignedBody, looks_like_v1, read_body
from overround.sim.records import OrderRecord, Party
from overround.sim.wallets import Wallet
from overround.units import (
    PRICE_TICKS_MAX,
    format_cash,
    format_price,
    format_size,
)
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.orders import Domain, SignatureType

__all__ = ["VERSION_MISMATCH", "Intake", "Refusal", "rejection_text"]

VERSION_MISMATCH = "order_version_mismatch"

KILLABLE = (OrderType.FOK, OrderType.FAK)

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


class Intake:
    """Reads, verifies and prices orders against the catalog."""

    def __init__(
        self,
        catalog: SimCatalog,
        *,
        strict_amounts: bool,
        version: int = 2,
        deposit_only: bool = False,
        buys_dollars: bool = False,
    ) -> None:
        """``version`` 1 takes orders of the first version and no others.

        ``deposit_only`` refuses orders paid by a key's own address, as the venue does with new
        accounts. ``buys_dollars`` lets FOK and FAK BUYs spend their amount of cash instead of
        buying their number of shares.
        """
        self._catalog = catalog
        self._strict_amounts = strict_amounts
        self._version = version
        self._deposit_only = deposit_only
        self._buys_dollars = buys_dollars

    def _read(self, body: Any) -> SignedBody:
        if self._version != 1 and looks_like_v1(body):
            raise Refusal(VERSION_MISMATCH)
        try:
            return read_body(body)
        except ValueError:
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
        if self._version == 1 and read.is_v1 == (market.protocol == 3):
            raise Refusal(VERSION_MISMATCH)
        domain = read.domain(market)
        try:
            order_id = "0x" + read.digest(domain).hex()
        except OrderError:
            raise Refusal("Invalid order payload") from None
        wallet = self._payer(read, member, domain, order_id)
        price_ticks, size_lots = self._price(read, market, order_id)
        order = Order(
            id=order_id,
            account=wallet.account,
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
        by_cash = self._buys_dollars and order.side == Side.BUY and read.order_type in KILLABLE
        return OrderRecord(
            order,
            market,
            member.account,
            Party(credentials.api_key, wallet.address),
            now_ms // 1000,
            builder=read.builder,
            budget_micro=params.maker_amount if by_cash else 0,
        )

    def order_ids(self, bodies: Any) -> list[str]:
        """Return the ids of a request's orders, one or a list; unreadable ones are left out."""
        found = []
        for body in bodies if isinstance(bodies, list) else [bodies]:
            try:
                read = read_body(body)
                market = self._catalog.by_token[str(read.params.token_id)][0]
                found.append("0x" + read.digest(read.domain(market)).hex())
            except (KeyError, OrderError, ValueError):
                continue
        return found

    def _payer(self, read: SignedBody, member: Member, domain: Domain, order_id: str) -> Wallet:
        """Return the wallet an order draws on, once it is the signer's and may be drawn on."""
        params = read.params
        signed_by = read.signed_by(domain)
        if signed_by is None:
            raise Refusal("invalid signature", order_id=order_id)
        if signed_by.lower() != member.address.lower():
            raise Refusal(
                "the order signer address has to be the address of the API KEY",
                order_id=order_id,
            )
        wallet = member.wallets[params.signature_type]
        if wallet.address.lower() != params.maker.lower():
            raise Refusal("invalid signature", order_id=order_id)
        if self._deposit_only and params.signature_type == SignatureType.EOA:
            raise Refusal(
                "maker address not allowed, please use the deposit wallet flow",
                order_id=order_id,
            )
        if isinstance(params, OrderV1) and params.nonce:
            raise Refusal("invalid nonce", order_id=order_id)
        asset = "COLLATERAL" if params.side == Side.BUY else "CONDITIONAL"
        allowance = wallet.allowance(asset, domain.contract)
        if allowance < params.maker_amount:
            raise Refusal(
                "not enough balance / allowance: the allowance is not enough -> "
                f"spender: {domain.contract}, allowance: {allowance}, "
                f"order amount: {params.maker_amount}",
                order_id=order_id,
            )
        return wallet

    def _price(self, read: SignedBody, market: SimMarket, order_id: str) -> tuple[int, int]:
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
        killable = read.order_type in KILLABLE
        rough = cash % CASH_STEP_MICRO or shares % SHARE_STEP_LOTS
        if self._strict_amounts and buy and killable and rough:
            raise Refusal(
                "invalid amounts, the market buy orders maker amount supports a max accuracy "
                "of 2 decimals, taker amount a max of 4 decimals",
                order_id=order_id,
            )
        return price_ticks, shares
