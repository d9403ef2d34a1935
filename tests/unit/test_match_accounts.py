"""Balances are conserved to the micro-unit, and the check says so when they are not."""

from __future__ import annotations

import pytest

from overround.errors import InvariantError
from overround.match.accounts import Accounts, Flow, PendingTrade
from overround.match.types import Outcome

YES, NO = Outcome.YES, Outcome.NO


def test_a_grant_of_one_outcome_is_backed_by_fresh_collateral() -> None:
    accounts = Accounts()
    accounts.grant(1, 0, YES, 10)
    accounts.check()
    assert accounts.collateral_micro == {0: 10}
    assert accounts.deposited_micro == 10
    assert accounts.holding(1).token(0, NO).lots == 0


def test_split_and_merge_are_inverse_and_refuse_what_is_not_free() -> None:
    accounts = Accounts()
    accounts.deposit(1, 100)
    assert accounts.split(1, 0, 60)
    accounts.check()
    assert not accounts.split(1, 0, 41)
    accounts.holding(1).token(0, NO).reserved_lots = 1
    assert not accounts.merge(1, 0, 60)
    assert accounts.merge(1, 0, 59)
    accounts.check()
    assert accounts.holding(1).cash_micro == 99


def test_only_free_cash_can_be_withdrawn() -> None:
    accounts = Accounts()
    accounts.deposit(1, 100)
    accounts.holding(1).reserved_micro = 30
    assert not accounts.withdraw(1, 71)
    assert accounts.withdraw(1, 70)
    accounts.check()
    assert accounts.deposited_micro == 30


@pytest.mark.parametrize("command", ["deposit", "withdraw", "grant", "split", "merge"])
def test_negative_amounts_are_refused(command: str) -> None:
    accounts = Accounts()
    args = {"grant": (1, 0, YES, -1), "split": (1, 0, -1), "merge": (1, 0, -1)}
    with pytest.raises(ValueError, match="negative"):
        getattr(accounts, command)(*args.get(command, (1, -1)))


def test_balances_move_when_a_trade_is_confirmed_and_not_before() -> None:
    accounts = Accounts()
    accounts.deposit(1, 100)
    accounts.holding(1).reserved_micro = 52
    accounts.grant(2, 0, YES, 80)
    accounts.holding(2).token(0, YES).reserved_lots = 80
    flows = (Flow(1, YES, 52, 0, 0, 80), Flow(2, YES, 0, 50, 80, 0))
    accounts.open_trade(PendingTrade(7, 0, flows, 0, 2))
    assert accounts.holding(1).token(0, YES).incoming_lots == 80
    assert accounts.holding(2).incoming_micro == 50
    accounts.check()
    assert accounts.settle(7, True) is not None
    assert accounts.settle(7, True) is None
    accounts.check()
    assert (accounts.holding(1).cash_micro, accounts.holding(2).cash_micro) == (48, 50)
    assert accounts.fees_micro == 2


def test_the_check_notices_lost_cash_lost_tokens_and_overdrafts() -> None:
    accounts = Accounts()
    accounts.deposit(1, 100)
    accounts.holding(1).cash_micro -= 1
    with pytest.raises(InvariantError, match="cash is not conserved"):
        accounts.check()
    accounts = Accounts()
    accounts.grant(1, 0, YES, 10)
    accounts.holding(1).token(0, YES).lots += 1
    with pytest.raises(InvariantError, match="11 YES and 10 NO"):
        accounts.check()
    accounts = Accounts()
    accounts.deposit(1, 100)
    accounts.holding(1).reserved_micro = 101
    with pytest.raises(InvariantError, match="account 1 is overdrawn"):
        accounts.check()
    accounts = Accounts()
    accounts.grant(1, 0, YES, 10)
    accounts.holding(1).token(0, YES).reserved_lots = 11
    with pytest.raises(InvariantError, match="token"):
        accounts.check()


def test_the_state_leaves_out_empty_holdings() -> None:
    accounts = Accounts()
    accounts.deposit(1, 5)
    before = accounts.state()
    accounts.holding(2).token(0, YES)
    assert accounts.state() == before


@pytest.mark.parametrize(
    "trade",
    [
        PendingTrade(1, 0, (Flow(1, YES, 50, 0, 0, 100), Flow(2, YES, 0, 49, 100, 0)), 0, 0),
        PendingTrade(1, 0, (Flow(1, YES, 50, 0, 0, 100), Flow(2, YES, 0, 50, 99, 0)), 0, 0),
        PendingTrade(1, 0, (Flow(1, YES, 50, 0, 0, 100), Flow(2, NO, 50, 0, 0, 99)), 100, 0),
        PendingTrade(1, 0, (Flow(1, YES, 50, 0, 0, 100), Flow(2, NO, 50, 0, 0, 100)), 100, 1),
    ],
)
def test_a_trade_that_does_not_balance_stops_everything(trade: PendingTrade) -> None:
    accounts = Accounts()
    with pytest.raises(InvariantError, match="out of nothing"):
        accounts.open_trade(trade)
    assert accounts.pending == {}
