"""A small trading desk for tests of the matching engine."""

from __future__ import annotations

from oracle.campaign import venue_fee
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.types import (
    Event,
    MarketRules,
    Matched,
    Order,
    OrderRejected,
    OrderType,
    Outcome,
    RejectCode,
    Side,
)

SHARE = 1_000_000
NOW_MS = 1_795_345_200_000
NOW_S = NOW_MS // 1000
ALICE, BOB, CAROL = 1, 2, 3
YES, NO = Outcome.YES, Outcome.NO
BUY, SELL = Side.BUY, Side.SELL


class Desk:
    """An engine with one market, three funded accounts and short commands."""

    def __init__(self, rules: MarketRules | None = None, *, cash: int = 1_000 * SHARE) -> None:
        self.accounts = Accounts()
        self.engine = MatchingEngine(self.accounts, venue_fee)
        self.engine.add_market(rules or MarketRules(0, 100, 5 * SHARE, True, 50_000, 1))
        for account in (ALICE, BOB, CAROL):
            self.accounts.deposit(account, cash)
            for outcome in Outcome:
                self.accounts.grant(account, 0, outcome, 100 * SHARE)
        self.count = 0

    def order(
        self,
        account: int,
        side: Side,
        outcome: Outcome,
        price: int,
        shares: float,
        kind: OrderType = OrderType.GTC,
        **more: object,
    ) -> Order:
        self.count += 1
        size = round(shares * SHARE)
        order_id = str(more.pop("id", f"o{self.count}"))
        return Order(order_id, account, 0, outcome, side, price, size, kind, **more)

    def submit(self, *args: object, **more: object) -> list[Event]:
        events = self.engine.submit(self.order(*args, **more), NOW_MS)
        self.engine.check()
        return events


def code_of(events: list[Event]) -> RejectCode:
    assert len(events) == 1
    assert isinstance(events[0], OrderRejected)
    return events[0].code


def trades_of(events: list[Event]) -> list[Matched]:
    return [event for event in events if isinstance(event, Matched)]
