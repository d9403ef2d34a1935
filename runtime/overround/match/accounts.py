"""Balances of the venue's accounts: cash, tokens, reservations, unsettled trades.

A balance moves only when a trade settles; until then what a party owes stays reserved and what
it will get is merely announced (``incoming``), so an undone trade needs no repair. Everything
is conserved to the micro-unit and ``check`` proves it at any moment::

    sum(cash) + fees + sum(collateral)   == deposits - withdrawals
    tokens of YES == tokens of NO        == collateral,   per market (one lot = one micro-unit)

Tokens enter by minting or by ``grant``, which splits fresh outside collateral and leaves the
other half with the house; nothing is ever created unbacked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from overround.errors import InvariantError
from overround.match.types import Outcome

__all__ = ["Accounts", "Flow", "Holding", "PendingTrade", "TokenBalance"]

TokenState = tuple[int, int, int, int, int]
AccountState = tuple[int, int, int, int, tuple[TokenState, ...]]


@dataclass(slots=True)
class TokenBalance:
    """Lots of one outcome token: owned, reserved part of it, and expected from trades."""

    lots: int = 0
    reserved_lots: int = 0
    incoming_lots: int = 0

    @property
    def available_lots(self) -> int:
        """Lots free to be offered."""
        return self.lots - self.reserved_lots


@dataclass(slots=True)
class Holding:
    """One account's cash in micro-units and its tokens by (market, outcome)."""

    cash_micro: int = 0
    reserved_micro: int = 0
    incoming_micro: int = 0
    tokens: dict[tuple[int, int], TokenBalance] = field(default_factory=dict)

    @property
    def available_micro(self) -> int:
        """Cash free for new orders."""
        return self.cash_micro - self.reserved_micro

    def token(self, market: int, outcome: int) -> TokenBalance:
        """Return the live balance of a token, creating an empty one."""
        key = (market, int(outcome))
        balance = self.tokens.get(key)
        if balance is None:
            balance = self.tokens[key] = TokenBalance()
        return balance


class Flow(NamedTuple):
    """What one party of a trade gives (already reserved) and gets when it is confirmed."""

    account: int
    outcome: Outcome
    cash_out_micro: int
    cash_in_micro: int
    lots_out: int
    lots_in: int


class PendingTrade(NamedTuple):
    """A matched, unsettled trade: its flows, the collateral it adds (or frees), its fee."""

    trade_id: int
    market: int
    flows: tuple[Flow, ...]
    collateral_micro: int
    fee_micro: int


class Accounts:
    """Every account of the venue. Unknown accounts are empty; ``deposit`` opens them."""

    def __init__(self) -> None:
        self.holdings: dict[int, Holding] = {}
        self.pending: dict[int, PendingTrade] = {}
        self.collateral_micro: dict[int, int] = {}
        self.fees_micro = 0
        self.deposited_micro = 0
        self._house: dict[tuple[int, int], int] = {}

    def holding(self, account: int) -> Holding:
        """Return the live holding of an account, empty if it was never seen."""
        holding = self.holdings.get(account)
        if holding is None:
            holding = self.holdings[account] = Holding()
        return holding

    def deposit(self, account: int, cash_micro: int) -> None:
        """Add outside cash, 0 or more micro-units."""
        if cash_micro < 0:
            raise ValueError(f"deposit of {cash_micro} micro-units is negative")
        self.holding(account).cash_micro += cash_micro
        self.deposited_micro += cash_micro

    def withdraw(self, account: int, cash_micro: int) -> bool:
        """Take unreserved cash out; False and no change if that much is not free."""
        if cash_micro < 0:
            raise ValueError(f"withdrawal of {cash_micro} micro-units is negative")
        holding = self.holding(account)
        if holding.available_micro < cash_micro:
            return False
        holding.cash_micro -= cash_micro
        self.deposited_micro -= cash_micro
        return True

    def grant(self, account: int, market: int, outcome: Outcome, lots: int) -> None:
        """Give tokens of one outcome, backed by fresh collateral from outside.

        The other outcome's tokens of the split stay with the house for ever.
        """
        if lots < 0:
            raise ValueError(f"grant of {lots} lots is negative")
        self.holding(account).token(market, outcome).lots += lots
        other = (market, 1 - outcome)
        self._house[other] = self._house.get(other, 0) + lots
        self._add_collateral(market, lots)
        self.deposited_micro += lots

    def split(self, account: int, market: int, lots: int) -> bool:
        """Turn free cash into as many YES and NO lots; False and no change if short of it."""
        if lots < 0:
            raise ValueError(f"split of {lots} lots is negative")
        holding = self.holding(account)
        if holding.available_micro < lots:
            return False
        holding.cash_micro -= lots
        for outcome in Outcome:
            holding.token(market, outcome).lots += lots
        self._add_collateral(market, lots)
        return True

    def merge(self, account: int, market: int, lots: int) -> bool:
        """Turn free YES and NO lots back into cash; False and no change if short of either."""
        if lots < 0:
            raise ValueError(f"merge of {lots} lots is negative")
        holding = self.holding(account)
        if any(holding.token(market, outcome).available_lots < lots for outcome in Outcome):
            return False
        for outcome in Outcome:
            holding.token(market, outcome).lots -= lots
        holding.cash_micro += lots
        self._add_collateral(market, -lots)
        return True

    def open_trade(self, trade: PendingTrade) -> None:
        """Record a matched trade. What its parties give must be reserved already."""
        self.pending[trade.trade_id] = trade
        for flow in trade.flows:
            holding = self.holding(flow.account)
            holding.incoming_micro += flow.cash_in_micro
            if flow.lots_in:
                holding.token(trade.market, flow.outcome).incoming_lots += flow.lots_in

    def settle(self, trade_id: int, confirmed: bool) -> PendingTrade | None:
        """Make a pending trade final, or undo it; None if it is unknown or settled already."""
        trade = self.pending.pop(trade_id, None)
        if trade is None:
            return None
        for flow in trade.flows:
            holding = self.holding(flow.account)
            token = holding.token(trade.market, flow.outcome)
            holding.reserved_micro -= flow.cash_out_micro
            holding.incoming_micro -= flow.cash_in_micro
            token.reserved_lots -= flow.lots_out
            token.incoming_lots -= flow.lots_in
            if confirmed:
                holding.cash_micro += flow.cash_in_micro - flow.cash_out_micro
                token.lots += flow.lots_in - flow.lots_out
        if confirmed:
            self.fees_micro += trade.fee_micro
            self._add_collateral(trade.market, trade.collateral_micro)
        return trade

    def _add_collateral(self, market: int, micro: int) -> None:
        self.collateral_micro[market] = self.collateral_micro.get(market, 0) + micro

    def check(self) -> None:
        """Raise InvariantError unless cash and tokens are conserved and nobody is overdrawn."""
        cash_micro = self.fees_micro + sum(self.collateral_micro.values())
        tokens = dict(self._house)
        for account, holding in self.holdings.items():
            cash_micro += holding.cash_micro
            if not 0 <= holding.reserved_micro <= holding.cash_micro:
                raise InvariantError(f"account {account} is overdrawn: {holding}")
            for key, token in holding.tokens.items():
                tokens[key] = tokens.get(key, 0) + token.lots
                if not 0 <= token.reserved_lots <= token.lots:
                    raise InvariantError(f"account {account}, token {key} is overdrawn: {token}")
        if cash_micro != self.deposited_micro:
            raise InvariantError(
                f"cash is not conserved: {cash_micro} micro-units held, "
                f"{self.deposited_micro} paid in"
            )
        for market, collateral in self.collateral_micro.items():
            yes, no = tokens.get((market, 0), 0), tokens.get((market, 1), 0)
            if not yes == no == collateral:
                raise InvariantError(
                    f"market {market}: {yes} YES and {no} NO lots against {collateral} micro-units"
                )

    def state(self) -> tuple[tuple[AccountState, ...], tuple[PendingTrade, ...], int]:
        """Return all balances and unsettled trades in canonical order; empty ones left out."""
        rows: list[AccountState] = []
        for account, holding in sorted(self.holdings.items()):
            tokens = tuple(
                (market, outcome, token.lots, token.reserved_lots, token.incoming_lots)
                for (market, outcome), token in sorted(holding.tokens.items())
                if token.lots or token.incoming_lots
            )
            cash = (holding.cash_micro, holding.reserved_micro, holding.incoming_micro)
            if tokens or any(cash):
                rows.append((account, *cash, tokens))
        return tuple(rows), tuple(self.pending.values()), self.fees_micro
