"""Our orders and trades as the user channel and the listings report them, in integer units.

One parser serves both sources, because they differ only in decoration: prefixes on statuses,
"" for nothing, seconds or milliseconds or ISO text for times.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from overround.errors import VenueError
from overround.units import PRICE_TICKS_MAX
from overround.venues.contract import OrderType, Side
from overround.venues.polymarket.fields import Fields
from overround.venues.polymarket.reasons import RejectReason, classify


class OrderEvent(IntEnum):
    """Why we hear of an order."""

    LISTING = 0  # a REST answer
    PLACEMENT = 1
    UPDATE = 2  # some or all of it matched
    CANCELLATION = 3  # the rest is gone: cancelled, expired or killed


class OrderState(IntEnum):
    """What the venue says of an order; free text behind CANCELED_ becomes a reason."""

    OTHER = 0
    LIVE = 1
    MATCHED = 2
    DELAYED = 3
    UNMATCHED = 4
    CANCELED = 5
    INVALID = 6


class TradeState(IntEnum):
    """How far a trade has settled. Higher wins: a later message never goes back."""

    MATCHED_NOT_BROADCASTED = 0
    MATCHED = 1
    RETRYING = 2
    MINED = 3
    CONFIRMED = 4
    FAILED = 5

    @property
    def final(self) -> bool:
        """Whether nothing follows: CONFIRMED is position, FAILED reverses the fill."""
        return self >= TradeState.CONFIRMED


class UserOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order of ours. ``matched_lots`` is cumulative; book fills from trades only."""

    event: OrderEvent
    order_id: str
    condition_id: str
    token_id: str
    side: Side
    price_ticks: int
    original_lots: int
    matched_lots: int
    state: OrderState
    state_text: str
    reason: RejectReason
    order_type: OrderType | None
    owner: str
    maker_address: str
    expiration_s: int
    created_epoch_ms: int
    epoch_ms: int
    trade_ids: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether no more of it can match (its trades may still settle or fail)."""
        if self.event == OrderEvent.CANCELLATION:
            return True
        return self.state in (OrderState.MATCHED, OrderState.CANCELED, OrderState.INVALID)


class MakerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A resting order's part in a trade; token and side are the maker's own."""

    order_id: str
    owner: str
    maker_address: str
    token_id: str
    side: Side
    price_ticks: int
    matched_lots: int


class UserTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade in which we took part; the outer token, side, price and size are the taker's."""

    trade_id: str
    state: TradeState
    taker_order_id: str
    condition_id: str
    token_id: str
    side: Side
    price_ticks: int
    size_lots: int
    owner: str
    maker_address: str
    we_are_maker: bool
    transaction_hash: str
    bucket_index: int
    match_epoch_ms: int
    epoch_ms: int
    maker_orders: tuple[MakerOrder, ...]


class OwnFill(msgspec.Struct, frozen=True, kw_only=True):
    """What one trade did to one order of ours; ``(trade_id, order_id)`` is its key.

    ``cash_micro`` is the collateral exchanged before fees, always positive.
    """

    trade_id: str
    order_id: str
    condition_id: str
    token_id: str
    side: Side
    price_ticks: int
    size_lots: int
    cash_micro: int
    taker: bool
    state: TradeState
    match_epoch_ms: int


def parse_order(value: object, *, listing: bool = False) -> UserOrder:
    """Return an order event, or an open order of a listing; VenueError if it is none."""
    fields = Fields(value, "open order" if listing else "order event")
    state, state_text, reason = _order_state(fields.text("status", ""))
    type_text = fields.text("order_type", "").upper()
    return UserOrder(
        event=OrderEvent.LISTING if listing else _order_event(fields),
        order_id=fields.identity("id"),
        condition_id=fields.identity("market"),
        token_id=fields.identity("asset_id"),
        side=fields.side("side"),
        price_ticks=fields.ticks("price"),
        original_lots=fields.lots("original_size"),
        matched_lots=fields.lots("size_matched", ""),
        state=state,
        state_text=state_text,
        reason=reason,
        order_type=OrderType[type_text] if type_text in OrderType.__members__ else None,
        owner=fields.text("owner", ""),
        maker_address=fields.text("maker_address", ""),
        expiration_s=fields.count("expiration", maximum=2**53),
        created_epoch_ms=fields.epoch_ms("created_at"),
        epoch_ms=fields.epoch_ms("timestamp", "created_at"),
        trade_ids=fields.texts("associate_trades"),
    )


def _order_event(fields: Fields) -> OrderEvent:
    text = fields.text("type").upper()
    if text not in OrderEvent.__members__ or text == OrderEvent.LISTING.name:
        raise fields.bad("type", f"expected PLACEMENT, UPDATE or CANCELLATION, saw {text[:40]!r}")
    return OrderEvent[text]


def _order_state(text: str) -> tuple[OrderState, str, RejectReason]:
    plain = text.removeprefix("ORDER_STATUS_")
    head, _, tail = plain.partition("_")
    name = head.upper().replace("CANCELLED", "CANCELED")
    state = OrderState.__members__.get(name, OrderState.OTHER)
    reason = RejectReason.NONE
    if tail:
        reason = classify(0, tail.replace("_", " "))
        if reason == RejectReason.OTHER:
            reason = classify(0, tail)
    return state, plain, reason


def parse_trade(value: object) -> UserTrade:
    """Return a trade of the user channel or of a listing; VenueError if it is none."""
    fields = Fields(value, "trade")
    status = fields.text("status").upper().removeprefix("TRADE_STATUS_")
    if status not in TradeState.__members__:
        raise fields.bad("status", f"unknown: {status[:40]!r}")
    token_id = fields.identity("asset_id")
    side = fields.side("side")
    return UserTrade(
        trade_id=fields.identity("id"),
        state=TradeState[status],
        taker_order_id=fields.text("taker_order_id", ""),
        condition_id=fields.identity("market"),
        token_id=token_id,
        side=side,
        price_ticks=fields.ticks("price"),
        size_lots=fields.lots("size"),
        owner=fields.text("owner", ""),
        maker_address=fields.text("maker_address", ""),
        we_are_maker=fields.text("trader_side", "").upper() == "MAKER",
        transaction_hash=fields.text("transaction_hash", ""),
        bucket_index=fields.count("bucket_index"),
        match_epoch_ms=fields.epoch_ms("match_time", "matchtime", "timestamp"),
        epoch_ms=fields.epoch_ms("timestamp", "last_update", "match_time", "matchtime"),
        maker_orders=tuple(
            _parse_maker(entry, token_id, side) for entry in fields.list("maker_orders")
        ),
    )


def _parse_maker(value: object, taker_token: str, taker_side: Side) -> MakerOrder:
    fields = Fields(value, "maker order")
    token_id = fields.identity("asset_id")
    if fields.text("side", ""):
        side = fields.side("side")
    else:
        # Old messages leave the side out: on the same token it is the opposite one, on the
        # complement (mint or merge) the same one.
        side = Side(1 - taker_side) if token_id == taker_token else taker_side
    return MakerOrder(
        order_id=fields.identity("order_id"),
        owner=fields.text("owner", ""),
        maker_address=fields.text("maker_address", ""),
        token_id=token_id,
        side=side,
        price_ticks=fields.ticks("price"),
        matched_lots=fields.lots("matched_amount"),
    )


def _cash(size_lots: int, price_ticks: int) -> int:
    return size_lots * price_ticks // PRICE_TICKS_MAX


def _taker_cash(trade: UserTrade) -> int:
    """Return what the taker exchanged, exact to the micro-unit, if all legs are shown.

    A leg fits if it is the opposite side of the same token or the same side of the complement.
    A maker pays or receives its size times price rounded down; where the leg has the other token
    (mint, merge) the taker has the rest of the unit.
    """
    fitting = all(
        (leg.token_id == trade.token_id) == (leg.side != trade.side) for leg in trade.maker_orders
    )
    whole = sum(leg.matched_lots for leg in trade.maker_orders) == trade.size_lots
    if not fitting or not whole:
        return _cash(trade.size_lots, trade.price_ticks)
    total = 0
    for leg in trade.maker_orders:
        cash = _cash(leg.matched_lots, leg.price_ticks)
        total += cash if leg.token_id == trade.token_id else leg.matched_lots - cash
    return total


def own_fills(trade: UserTrade, api_key: str, address: str = "") -> list[OwnFill]:
    """Return what this trade did to our orders: as taker, as maker, rarely both.

    Ours is what carries our API key, or our wallet where ``address`` is given. The maker's fill
    is the entry in ``maker_orders``: its token and side may differ from the trade's.
    """
    wallet = address.lower()

    def ours(owner: str, maker_address: str) -> bool:
        return owner == api_key or (wallet != "" and maker_address.lower() == wallet)

    fills = [
        OwnFill(
            trade_id=trade.trade_id,
            order_id=leg.order_id,
            condition_id=trade.condition_id,
            token_id=leg.token_id,
            side=leg.side,
            price_ticks=leg.price_ticks,
            size_lots=leg.matched_lots,
            cash_micro=_cash(leg.matched_lots, leg.price_ticks),
            taker=False,
            state=trade.state,
            match_epoch_ms=trade.match_epoch_ms,
        )
        for leg in trade.maker_orders
        if ours(leg.owner, leg.maker_address)
    ]
    taker_is_us = trade.owner == api_key or (
        not trade.we_are_maker and ours(trade.owner, trade.maker_address)
    )
    if taker_is_us:
        if not trade.taker_order_id:
            raise VenueError(f"trade {trade.trade_id[:80]}: taker_order_id: missing")
        fills.append(
            OwnFill(
                trade_id=trade.trade_id,
                order_id=trade.taker_order_id,
                condition_id=trade.condition_id,
                token_id=trade.token_id,
                side=trade.side,
                price_ticks=trade.price_ticks,
                size_lots=trade.size_lots,
                cash_micro=_taker_cash(trade),
                taker=True,
                state=trade.state,
                match_epoch_ms=trade.match_epoch_ms,
            )
        )
    return fills
