"""The table of the gate's rules: code, limit, unit, what happens. One row a refusal.

The gate takes the numbers of its scopes from here, ``docs/reference/risk.md`` is made from it,
and a test compares both with ``RefusalCode`` and the settings.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from overround.decide.codes import RefusalCode

__all__ = ["RULES", "SCOPES", "Rule", "Scope"]

_C = RefusalCode


class Rule(NamedTuple):
    """``limit`` names a key of [risk], or says what the rule compares with."""

    code: RefusalCode
    limit: str
    unit: str
    rule: str
    action: str = "refuse"


class Scope(NamedTuple):
    """One scope's three limits: which settings, which codes; "" where another rule has it."""

    name: str
    lots: str
    lots_code: RefusalCode
    cost: str
    cost_code: RefusalCode
    loss: str
    loss_code: RefusalCode


SCOPES: Final = (
    Scope("market", "", _C.POSITION, "market_notional_max_micro", _C.MARKET_NOTIONAL,
          "market_loss_max_micro", _C.MARKET_LOSS),
    Scope("event", "event_position_max_lots", _C.EVENT_POSITION, "event_notional_max_micro",
          _C.EVENT_NOTIONAL, "event_loss_max_micro", _C.EVENT_LOSS),
    Scope("strategy", "strategy_position_max_lots", _C.STRATEGY_POSITION,
          "strategy_notional_max_micro", _C.STRATEGY_NOTIONAL, "strategy_loss_max_micro",
          _C.STRATEGY_LOSS),
    Scope("account", "account_position_max_lots", _C.ACCOUNT_POSITION, "", _C.ACCOUNT_NOTIONAL,
          "account_loss_max_micro", _C.ACCOUNT_LOSS),
)  # fmt: skip
"""A breach refuses only what makes it worse: what reduces always passes these."""

_KILL: Final = "refuse, set the kill latch, cancel everything"
_HELD: Final = "shares held and being bought"
_COST: Final = "cost of what is held, plus reservations"
_WORST: Final = "worst case over the outcomes 0, 1/2, 1 with every open order filled or not"

RULES: Final = (
    Rule(_C.MALFORMED, "the record's ranges", "-", "an intent that cannot be one"),
    Rule(_C.MODE, "mode, --arm", "-", "mode live without arming, mode sim on the venue's own host"),
    Rule(_C.KILLED, "the kill latch", "-", "nothing passes while it is set"),
    Rule(_C.EXPIRED, "the intent's own", "ns", "older than its producer allows"),
    Rule(_C.DUPLICATE, "same_in_flight_max", "orders",
         "orders of the same token, side and price whose answer is still awaited"),
    Rule(_C.MARKET_UNKNOWN, "the catalog", "-", "a market that is not in it"),
    Rule(_C.MARKET_CLOSED, "the catalog", "-", "the market takes no orders"),
    Rule(_C.FEE_UNKNOWN, "the catalog", "-", "the fee is not known, so neither is the cost"),
    Rule(_C.BOOK_STALE, "supervise.trust_lease_ms", "ms", "the book's owner is silent"),
    Rule(_C.BOOK_UNTRUSTED, "trust", "-", "the book is not proved at this moment"),
    Rule(_C.BOOK_REPLACED, "epoch", "-", "the intent was made on an earlier life of the book"),
    Rule(_C.TICK, "the live tick", "1/10,000", "the price is off the grid or out of range"),
    Rule(_C.MIN_SIZE, "the catalog", "lots", "smaller than the market takes"),
    Rule(_C.COLLAR, "collar_ticks", "1/10,000", "distance through the trusted best price"),
    Rule(_C.ORDER_NOTIONAL, "order_notional_max_micro", "micro-units", "cost of one order"),
    Rule(_C.ORDER_SIZE, "order_size_max_lots", "lots", "size of one order"),
    Rule(_C.POSITION, "market_position_max_lots", "lots", f"one token: {_HELD}"),
    Rule(_C.ACCOUNT_NOTIONAL, "account_notional_max_micro", "micro-units", f"account: {_COST}"),
    Rule(_C.BALANCE, "cash and shares that are free", "micro-units, lots",
         "a purchase beyond free cash, a sale beyond free shares"),
    Rule(_C.LOSS, "loss_max_micro", "micro-units",
         "worst case of positions since the run began or was resumed", _KILL),
    Rule(_C.RATE, "orders_per_s_max, orders_burst_max", "orders", "token bucket of the account"),
    Rule(_C.PLAN, "-", "-", "another leg of the plan was refused, or never came"),
    Rule(_C.RESTART, "-", "-", "a restart found it unsent"),
    Rule(_C.NOT_READY, "-", "-", "not reconciled with the venue yet, or stopping"),
    Rule(_C.SHADOW, "mode", "-", "mode shadow sends nothing", "sign, journal, do not send"),
    Rule(_C.UNBUILDABLE, "the venue's amounts", "-", "no amounts that the venue would take"),
    Rule(_C.TAKING_MIN, "the venue's minimum", "micro-units", "a purchase that takes too little"),
    Rule(_C.NOT_MARKETABLE, "the book", "lots", "FOK or FAK with nothing to take"),
    Rule(_C.THIN, "the book", "lots", "FOK or leg of a plan that could not be filled whole"),
    Rule(_C.OPEN_ORDERS, "open_orders_max", "orders", "account: orders that may still trade"),
    Rule(_C.MARKET_ORDERS, "market_open_orders_max", "orders",
         "market: orders that may still trade"),
    Rule(_C.SELF_CROSS, "self_cross_allowed", "-",
         "would trade with an own resting order, on either token"),
    Rule(_C.MARKET_NOTIONAL, "market_notional_max_micro", "micro-units", f"market: {_COST}"),
    Rule(_C.MARKET_LOSS, "market_loss_max_micro", "micro-units", f"market: {_WORST}"),
    Rule(_C.EVENT_POSITION, "event_position_max_lots", "lots", f"complete set: {_HELD}"),
    Rule(_C.EVENT_NOTIONAL, "event_notional_max_micro", "micro-units", f"complete set: {_COST}"),
    Rule(_C.EVENT_LOSS, "event_loss_max_micro", "micro-units",
         "complete set: worst case over its winners with every open order filled or not"),
    Rule(_C.STRATEGY_POSITION, "strategy_position_max_lots", "lots", f"strategy: {_HELD}"),
    Rule(_C.STRATEGY_NOTIONAL, "strategy_notional_max_micro", "micro-units", f"strategy: {_COST}"),
    Rule(_C.STRATEGY_LOSS, "strategy_loss_max_micro", "micro-units",
         "strategy: worst case since the UTC day began, open orders included"),
    Rule(_C.ACCOUNT_POSITION, "account_position_max_lots", "lots", f"account: {_HELD}"),
    Rule(_C.ACCOUNT_LOSS, "account_loss_max_micro", "micro-units",
         "account: worst case since the UTC day began, open orders included"),
    Rule(_C.DAILY_LOSS, "daily_loss_max_micro", "micro-units",
         "fall of the account's worth since the UTC day began; survives restarts", _KILL),
    Rule(_C.DRAWDOWN, "drawdown_max_micro", "micro-units",
         "fall of the account's worth from its highest; survives restarts", _KILL),
    Rule(_C.PLAN_WORST, "execute.plan_worst_max_micro", "micro-units",
         "what a plan may lose at worst, repaired by its rule"),
    Rule(_C.NO_CONNECTION, "the transport", "-", "no connection: no byte left"),
    Rule(_C.BUDGET, "the venue's rates", "orders", "no token before its deadline"),
    Rule(_C.PAUSED, "the venue's word", "-", "the venue asked for a pause of orders"),
    Rule(_C.CLOCK, "execute.clock_offset_max_ms", "ms", "our clock and the venue's differ"),
    Rule(_C.LOGIN, "the venue's word", "-", "the venue does not take our credentials"),
    Rule(_C.CANCEL_RATE, "cancels_per_s_max, cancels_burst_max", "cancels",
         "token bucket of strategies' cancels", "delay: none is dropped; kill is not counted"),
)  # fmt: skip
