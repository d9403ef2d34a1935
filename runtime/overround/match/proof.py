"""What must hold of markets and accounts after every command, and a digest to compare engines."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping

from overround.errors import InvariantError
from overround.match.accounts import Accounts
from overround.match.book import Market
from overround.match.types import Order

__all__ = ["check_books", "check_reservations", "digest", "markets_state"]


def digest(state: object) -> str:
    """Return 32 hex digits of a nested tuple of numbers and texts, equal for equal states."""
    text = json.dumps(state, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _resting(order: Order) -> tuple[object, ...]:
    return order.id, order.account, order.outcome, order.remaining_lots, order.expires_epoch_s


def markets_state(markets: Mapping[int, Market]) -> tuple[object, ...]:
    """Return per market its index, terms, openness, queues of orders and last trade."""
    rows: list[object] = []
    for index, market in sorted(markets.items()):
        sides = tuple(
            tuple(
                (price, tuple(_resting(order) for order in side.levels[price].orders.values()))
                for price in side.prices()
            )
            for side in market.book.sides
        )
        rules = market.rules
        terms = (rules.tick_ticks, rules.fee_rate_ppm, rules.fee_exponent, tuple(market.fees))
        rows.append((index, terms, market.accepting, sides, market.last))
    return tuple(rows)


def check_books(markets: Mapping[int, Market]) -> None:
    """Raise InvariantError if a book is crossed or a level is empty or wrongly summed."""
    for index, market in markets.items():
        top = market.book.top()
        if top.bid_ticks >= top.ask_ticks:
            raise InvariantError(f"market {index} is crossed: {top}")
        for side in market.book.sides:
            for price, level in side.levels.items():
                resting = [order.remaining_lots for order in level.orders.values()]
                if not resting or min(resting) <= 0 or sum(resting) != level.size_lots:
                    raise InvariantError(
                        f"market {index}, price {price}: {level.size_lots} lots, orders {resting}"
                    )


def check_reservations(markets: Mapping[int, Market], accounts: Accounts) -> None:
    """Raise InvariantError unless what is reserved is what orders and unsettled trades need."""
    cash: Counter[int] = Counter()
    lots: Counter[tuple[int, int, int]] = Counter()
    for market in markets.values():
        for order in market.book.orders():
            cash[order.account] += order.held_micro
            lots[order.account, order.market, order.outcome] += order.held_lots
    for trade in accounts.pending.values():
        for flow in trade.flows:
            cash[flow.account] += flow.cash_out_micro
            lots[flow.account, trade.market, flow.outcome] += flow.lots_out
    for account, holding in accounts.holdings.items():
        if holding.reserved_micro != cash[account]:
            raise InvariantError(
                f"account {account} reserves {holding.reserved_micro} micro-units, "
                f"its orders and trades need {cash[account]}"
            )
        for (market_index, outcome), token in holding.tokens.items():
            needed = lots[account, market_index, outcome]
            if token.reserved_lots != needed:
                raise InvariantError(
                    f"account {account}, market {market_index}, outcome {outcome} reserves "
                    f"{token.reserved_lots} lots, its orders and trades need {needed}"
                )
