"""Balances of the venue's accounts: cash, tokens, reservations, unsettled trades.

A balance moves only when a trade settles; until then what a party owes stays reserved and what
it will get is merely announced (``incoming``), so an undone trade needs no repair. Everything
is conserved to the micro-unit and ``check`` proves it at any moment::

    sum(cash) + fees + sum(collateral) - sum(advances) == deposits - withdrawals
    tokens of YES == tokens of NO == collateral,   per open market (one lot = one micro-unit)
    tokens at their worth + dust  == collateral,   per resolved market

Tokens enter by minting or by ``grant``, which splits fresh outside collateral and leaves the
other half with the house; nothing is ever created unbacked.

**Sets.** The markets of a neg-risk set exclude each other: exactly one will resolve to YES. So a
NO of k of the n markets can be *converted* into k - 1 of cash and a YES of every other market.
The converter keeps the NO tokens of all n markets (bought or split for the purpose) and has
*advanced* n - 1 of cash for them, which is what they redeem for when the set is resolved.

**Dust.** A pair of halves redeems to the micro-unit; an odd lot at 1/2 leaves half a micro-unit
in the collateral for ever. It is counted in 1/10,000 of a micro-unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from overround.errors import InvariantError
from overround.match.types import Outcome
from overround.units import PRICE_TICKS_MAX

__all__ = ["PAYOUTS_TICKS", "Accounts", "Flow", "Holding", "PendingTrade", "TokenBalance"]

PAYOUTS_TICKS = (0, PRICE_TICKS_MAX // 2, PRICE_TICKS_MAX)
"""What a YES token can be worth in the end: nothing, a half, one."""

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


def _check_balanced(trade: PendingTrade) -> None:
    """What is paid is what is received, minted and kept as fee; either token grows as much."""
    paid_micro = -trade.collateral_micro - trade.fee_micro
    lots = [-trade.collateral_micro, -trade.collateral_micro]
    for _, outcome, cash_out_micro, cash_in_micro, lots_out, lots_in in trade.flows:
        paid_micro += cash_out_micro - cash_in_micro
        lots[outcome] += lots_in - lots_out
    if paid_micro or lots[0] or lots[1]:
        raise InvariantError(
            f"trade {trade.trade_id} makes {paid_micro} micro-units, {lots[0]} YES and "
            f"{lots[1]} NO lots out of nothing: {trade}"
        )


class Accounts:
    """Every account of the venue. Unknown accounts are empty; ``deposit`` opens them."""

    def __init__(self) -> None:
        self.holdings: dict[int, Holding] = {}
        self.pending: dict[int, PendingTrade] = {}
        self.collateral_micro: dict[int, int] = {}
        self.fees_micro = 0
        self.deposited_micro = 0
        self.payouts_ticks: dict[int, int] = {}
        self.sets: dict[int, tuple[int, ...]] = {}
        self.advances_micro: dict[int, int] = {}
        self._set_of: dict[int, int] = {}
        self._house: dict[tuple[int, int], int] = {}
        self._converter_lots: dict[int, int] = {}
        self._dust: dict[int, int] = {}

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

    # -- sets and outcomes ---------------------------------------------------------------

    def define_set(self, index: int, markets: tuple[int, ...]) -> None:
        """Declare that exactly one of these markets will be YES.

        ValueError for fewer than two, for a market of another set or one that is resolved.
        """
        if index in self.sets or len(markets) < 2 or len(set(markets)) != len(markets):
            raise ValueError(f"set {index} of markets {markets} cannot be")
        for market in markets:
            if market in self._set_of or market in self.payouts_ticks:
                raise ValueError(f"market {market} cannot join set {index}")
        self.sets[index] = markets
        self._set_of.update(dict.fromkeys(markets, index))

    def convert(self, account: int, index: int, markets: tuple[int, ...], lots: int) -> bool:
        """Turn free NO lots of some markets of a set into cash and YES lots of the others.

        False and no change if short of a NO. ValueError if the markets are not distinct
        members of the set, there is none, or one of the set is resolved.
        """
        members = self.sets.get(index, ())
        given = set(markets)
        if lots < 0 or not given or len(given) != len(markets) or not given <= set(members):
            raise ValueError(f"{lots} lots of markets {markets} of set {index} cannot be converted")
        if any(market in self.payouts_ticks for market in members):
            raise ValueError(f"set {index} is being resolved")
        holding = self.holding(account)
        if any(holding.token(market, Outcome.NO).available_lots < lots for market in markets):
            return False
        for market in members:
            if market in given:
                holding.token(market, Outcome.NO).lots -= lots
            else:
                holding.token(market, Outcome.YES).lots += lots
                self._add_collateral(market, lots)
            self._converter_lots[market] = self._converter_lots.get(market, 0) + lots
        holding.cash_micro += (len(given) - 1) * lots
        owed = self.advances_micro.get(index, 0)
        self.advances_micro[index] = owed + (len(members) - 1) * lots
        return True

    def refuse_payout(self, market: int, yes_ticks: int) -> str:
        """Return why a market cannot resolve like this, empty if it can."""
        if yes_ticks not in PAYOUTS_TICKS:
            return f"a YES token cannot be worth {yes_ticks}: expected one of {PAYOUTS_TICKS}"
        if market in self.payouts_ticks:
            return f"market {market} is resolved already"
        index = self._set_of.get(market)
        if index is None:
            return ""
        others = [self.payouts_ticks.get(m) for m in self.sets[index] if m != market]
        if yes_ticks == PRICE_TICKS_MAX // 2:
            return f"market {market} is of a set: it resolves to 0 or 1"
        if yes_ticks and PRICE_TICKS_MAX in others:
            return f"another market of set {index} is the winner"
        if not yes_ticks and all(payout == 0 for payout in others):
            return f"one market of set {index} has to win"
        return ""

    def resolve(self, market: int, yes_ticks: int) -> None:
        """Fix what a market's tokens are worth; ValueError if that cannot be."""
        why = self.refuse_payout(market, yes_ticks)
        if why:
            raise ValueError(why)
        self.payouts_ticks[market] = yes_ticks
        lots = self._converter_lots.get(market, 0)
        if lots and not yes_ticks:
            self._converter_lots[market] = 0
            self._add_collateral(market, -lots)
            self.advances_micro[self._set_of[market]] -= lots

    def redeem(self, account: int, market: int) -> int:
        """Turn every free lot of a resolved market into cash; return the micro-units paid.

        The sum is rounded down to a micro-unit. ValueError if the market is not resolved.
        """
        yes_ticks = self.payouts_ticks.get(market)
        if yes_ticks is None:
            raise ValueError(f"market {market} is not resolved")
        holding = self.holding(account)
        worth = 0
        for outcome in Outcome:
            token = holding.token(market, outcome)
            ticks = PRICE_TICKS_MAX - yes_ticks if outcome else yes_ticks
            worth += token.available_lots * ticks
            token.lots = token.reserved_lots
        paid, dust = divmod(worth, PRICE_TICKS_MAX)
        holding.cash_micro += paid
        self._add_collateral(market, -paid)
        self._dust[market] = self._dust.get(market, 0) + dust
        return paid

    def pay_from_fees(self, account: int, cash_micro: int) -> None:
        """Give an account part of the fees collected; never more than there are."""
        if not 0 <= cash_micro <= self.fees_micro:
            raise ValueError(f"{cash_micro} of {self.fees_micro} micro-units of fees")
        self.fees_micro -= cash_micro
        self.holding(account).cash_micro += cash_micro

    # -- trades --------------------------------------------------------------------------

    def open_trade(self, trade: PendingTrade) -> None:
        """Record a matched trade. What its parties give must be reserved already.

        InvariantError unless it conserves money and tokens to the micro-unit.
        """
        _check_balanced(trade)
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

    # -- proof ---------------------------------------------------------------------------

    def check(self) -> None:
        """Raise InvariantError unless cash and tokens are conserved and nobody is overdrawn."""
        cash_micro = self.fees_micro + sum(self.collateral_micro.values())
        cash_micro -= sum(self.advances_micro.values())
        tokens = dict(self._house)
        for market, lots in self._converter_lots.items():
            tokens[market, 1] = tokens.get((market, 1), 0) + lots
        for account, holding in self.holdings.items():
            cash_micro += holding.cash_micro
            if not 0 <= holding.reserved_micro <= holding.cash_micro:
                raise InvariantError(f"account {account} is overdrawn: {holding}")
            for key, token in holding.tokens.items():
                tokens[key] = tokens.get(key, 0) + token.lots
                if not 0 <= token.reserved_lots <= token.lots:
                    raise InvariantError(f"account {account}, token {key} is overdrawn: {token}")
        if cash_micro != self.deposited_micro or self.fees_micro < 0:
            raise InvariantError(
                f"cash is not conserved: {cash_micro} micro-units held, "
                f"{self.deposited_micro} paid in, {self.fees_micro} of it fees"
            )
        for market, collateral in self.collateral_micro.items():
            yes, no = tokens.get((market, 0), 0), tokens.get((market, 1), 0)
            if not self._is_backed(market, yes, no, collateral):
                raise InvariantError(
                    f"market {market}: {yes} YES and {no} NO lots against {collateral} micro-units"
                )
        self._check_advances()

    def _is_backed(self, market: int, yes: int, no: int, collateral: int) -> bool:
        yes_ticks = self.payouts_ticks.get(market)
        if yes_ticks is None:
            return yes == no == collateral
        worth = yes * yes_ticks + no * (PRICE_TICKS_MAX - yes_ticks)
        return worth + self._dust.get(market, 0) == collateral * PRICE_TICKS_MAX

    def _check_advances(self) -> None:
        """An advance is what the converter's NO tokens will still redeem for."""
        for index, owed in self.advances_micro.items():
            members = self.sets[index]
            losers = sum(self.payouts_ticks.get(market) == 0 for market in members)
            kept = {
                self._converter_lots.get(market, 0)
                for market in members
                if self.payouts_ticks.get(market) != 0
            }
            if len(kept) != 1 or owed != (len(members) - 1 - losers) * kept.pop():
                raise InvariantError(f"set {index}: {owed} micro-units advanced for {kept} lots")

    def state(self) -> tuple[object, ...]:
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
        ends = (
            tuple(sorted(self.payouts_ticks.items())),
            tuple(sorted((index, owed) for index, owed in self.advances_micro.items() if owed)),
            tuple(sorted((market, dust) for market, dust in self._dust.items() if dust)),
        )
        return tuple(rows), tuple(self.pending.values()), self.fees_micro, ends
