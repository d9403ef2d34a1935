"""Cash and shares that follow from the journal's fills: confirmed, pending, and at worst.

A fill is keyed (trade id, own order id). MATCHED is pending; CONFIRMED makes it position;
FAILED takes it away again as if it had never been. Nothing here knows orders or the venue.

P&L is what is certain: settled cash flow plus the least that the confirmed positions can redeem
for. Per complete set exactly one condition pays YES and all others NO, so the least is over the
winner; a market on its own pays {YES, NO, one half each}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from overround.layout.intent import BUY
from overround.ledger.records import (
    Adjusted,
    Failed,
    Fill,
    MarketNote,
    Reconcile,
    Record,
    Settled,
)

__all__ = ["FillState", "Holding", "PositionView", "Positions"]


class FillState(IntEnum):
    """Where a fill stands."""

    PENDING = 1
    CONFIRMED = 2
    FAILED = 3


@dataclass(slots=True)
class Holding:
    """One token. ``cost_micro`` is cash paid less cash received for it, fees apart, settled."""

    condition_id: str
    outcome: int
    confirmed_lots: int = 0
    pending_lots: int = 0
    pending_sale_lots: int = 0
    """Shares offered away by sales that wait for settlement."""
    cost_micro: int = 0
    fees_micro: int = 0


@dataclass(frozen=True, slots=True)
class PositionView:
    """The account in five numbers, micro-units."""

    cash_micro: int
    """Opening balance plus all cash flow, pending included."""
    spendable_micro: int
    """The same without what pending fills will bring: that cannot be spent before."""
    fees_micro: int
    pnl_micro: int
    """Settled cash flow plus worst redemption of confirmed positions."""
    worst_micro: int
    """The same with pending fills taken as settled."""
    pending_fills: int


@dataclass(slots=True)
class _Entry:
    fill: Fill
    state: FillState
    place: int = 0
    """Of its FILL record in the journal."""


def cash_flow_micro(fill: Fill) -> int:
    """Return what a fill does to cash, fee included; negative when it is paid."""
    cash = -fill.cash_micro if fill.side == BUY else fill.cash_micro
    return cash - fill.fee_micro


class Positions:
    """Fold of FILL, SETTLED, FAILED, MARKET and RECONCILE records."""

    def __init__(self) -> None:
        self.holdings: dict[str, Holding] = {}
        self.opening_cash_micro = 0
        self._fills: dict[tuple[str, str], _Entry] = {}
        self._by_order: dict[str, list[tuple[str, str]]] = {}
        self._trades: set[str] = set()
        self._markets: dict[str, MarketNote] = {}
        self._opened = False
        self._settled_flow_micro = 0
        self._pending_flow_micro = 0
        self._pending_in_micro = 0
        self.pending_buy_micro = 0
        """Cash of purchases that wait for settlement, fees apart."""
        self._settled_fees_micro = 0
        self._pending: set[tuple[str, str]] = set()
        self._view: PositionView | None = None
        self._base_micro = self._base_pending_micro = 0
        """What adjusted shares could redeem for at least when they came: no profit of ours."""
        self.booked = 0
        """Fills ever booked."""
        self.conflicts = 0
        """Records that contradict an earlier one (settled after failed, or of no fill)."""

    def apply(self, record: Record) -> bool:
        """Apply one record; return whether anything changed. Repeats change nothing."""
        self._view = None
        if isinstance(record, Fill):
            return self._apply_fill(record)
        if isinstance(record, Settled | Failed):
            state = FillState.CONFIRMED if isinstance(record, Settled) else FillState.FAILED
            return self._resolve((record.trade_id, record.order_id), state)
        if isinstance(record, MarketNote):
            changed = self._markets.get(record.condition_id) != record
            self._markets[record.condition_id] = record
            return changed
        if isinstance(record, Reconcile) and record.opening and not self._opened:
            self._opened, self.opening_cash_micro = True, record.cash_micro
            return True
        if isinstance(record, Adjusted):
            self._adjust(record)
            return True
        return False

    def _adjust(self, record: Adjusted) -> None:
        self.opening_cash_micro += record.cash_micro
        if not record.token:
            return
        settled, pending = self.redemption_worst_micro(), self.redemption_worst_micro(pending=True)
        holding = self.holdings.get(record.token)
        if holding is None:
            holding = Holding(record.condition_id, record.outcome)
            self.holdings[record.token] = holding
        holding.confirmed_lots += record.lots
        self._base_micro += self.redemption_worst_micro() - settled
        self._base_pending_micro += self.redemption_worst_micro(pending=True) - pending

    def _holding(self, fill: Fill) -> Holding:
        found = self.holdings.get(fill.token)
        if found is None:
            found = self.holdings[fill.token] = Holding(fill.condition_id, fill.outcome)
        return found

    def _apply_fill(self, fill: Fill) -> bool:
        key = (fill.trade_id, fill.order_id)
        if key in self._fills:
            return False
        self.booked += 1
        self._fills[key] = _Entry(fill, FillState.PENDING)
        self._by_order.setdefault(fill.order_id, []).append(key)
        self._trades.add(fill.trade_id)
        self._pending.add(key)
        self._move_pending(fill, 1)
        return True

    def _move_pending(self, fill: Fill, sign: int) -> None:
        flow = sign * cash_flow_micro(fill)
        holding = self._holding(fill)
        holding.pending_lots += sign * _signed(fill)
        self._pending_flow_micro += flow
        if cash_flow_micro(fill) > 0:
            self._pending_in_micro += flow
        if fill.side == BUY:
            self.pending_buy_micro += sign * fill.cash_micro
        else:
            holding.pending_sale_lots += sign * fill.size_lots

    def _resolve(self, key: tuple[str, str], state: FillState) -> bool:
        entry = self._fills.get(key)
        if entry is None or entry.state is not FillState.PENDING:
            self.conflicts += entry is None or entry.state is not state
            return False
        entry.state = state
        fill = entry.fill
        holding = self._holding(fill)
        self._pending.discard(key)
        self._move_pending(fill, -1)
        if state is FillState.CONFIRMED:
            holding.confirmed_lots += _signed(fill)
            holding.cost_micro += fill.cash_micro if fill.side == BUY else -fill.cash_micro
            holding.fees_micro += fill.fee_micro
            self._settled_flow_micro += cash_flow_micro(fill)
            self._settled_fees_micro += fill.fee_micro
        return True

    def fill(self, trade_id: str, order_id: str) -> tuple[Fill, FillState] | None:
        """Return a fill and its state, None if it was never booked."""
        entry = self._fills.get((trade_id, order_id))
        return None if entry is None else (entry.fill, entry.state)

    def forget(self, order_id: str) -> list[tuple[Fill, FillState, int]]:
        """Take an order's fills out of memory, sums apart; return each with its place.

        Who calls this keeps their keys: a fill that is forgotten would be booked again.
        """
        found = []
        for key in self._by_order.pop(order_id, ()):
            assert key not in self._pending, "a fill that is not final"
            entry = self._fills.pop(key)
            self._trades.discard(key[0])
            found.append((entry.fill, entry.state, entry.place))
        return found

    def recall(self, fill: Fill, state: FillState, place: int) -> None:
        """Take a fill that was forgotten into memory again; no sum changes."""
        key = (fill.trade_id, fill.order_id)
        self._fills[key] = _Entry(fill, state, place)
        self._by_order.setdefault(fill.order_id, []).append(key)
        self._trades.add(fill.trade_id)

    def set_place(self, fill: Fill, place: int) -> None:
        """Say where the journal has a fill that was booked."""
        self._fills[fill.trade_id, fill.order_id].place = place

    def places(self) -> Iterator[tuple[int, Fill, FillState]]:
        """Place and state of every fill in memory, in no order."""
        return ((entry.place, entry.fill, entry.state) for entry in self._fills.values())

    def fills(self) -> Iterator[tuple[Fill, FillState]]:
        """Every fill booked and not forgotten, oldest first."""
        return ((entry.fill, entry.state) for entry in self._fills.values())

    def knows_trade(self, trade_id: str) -> bool:
        """Return whether any fill of a trade was booked."""
        return trade_id in self._trades

    def fills_of(self, order_id: str) -> list[tuple[Fill, FillState]]:
        """The fills of one order, oldest first."""
        return [
            (self._fills[key].fill, self._fills[key].state)
            for key in self._by_order.get(order_id, ())
        ]

    def pending(self) -> list[Fill]:
        """Fills that wait for settlement, oldest first."""
        return [self._fills[key].fill for key in sorted(self._pending, key=self._age)]

    def _age(self, key: tuple[str, str]) -> tuple[int, str]:
        return self._fills[key].fill.match_epoch_ms, key[0]

    def lots(self, token: str, *, pending: bool = False) -> int:
        """Shares of a token: confirmed, plus (``pending``) those that wait for settlement."""
        held = self.holdings.get(token)
        if held is None:
            return 0
        return held.confirmed_lots + (held.pending_lots if pending else 0)

    def sellable_lots(self, token: str) -> int:
        """Shares of a token that may be offered: confirmed, less pending sales."""
        held = self.holdings.get(token)
        if held is None:
            return 0
        return held.confirmed_lots - held.pending_sale_lots

    def known_market(self, condition_id: str) -> MarketNote | None:
        """Return what the journal says of a condition."""
        return self._markets.get(condition_id)

    def view(self) -> PositionView:
        """Return the account's numbers; worked out once after each change."""
        if self._view is None:
            self._view = self._work_out()
        return self._view

    def _work_out(self) -> PositionView:
        settled = self._settled_flow_micro
        every = settled + self._pending_flow_micro
        return PositionView(
            cash_micro=self.opening_cash_micro + every,
            spendable_micro=self.opening_cash_micro + every - self._pending_in_micro,
            fees_micro=self._settled_fees_micro,
            pnl_micro=settled + self.redemption_worst_micro() - self._base_micro,
            worst_micro=(
                every + self.redemption_worst_micro(pending=True) - self._base_pending_micro
            ),
            pending_fills=len(self._pending),
        )

    def redemption_worst_micro(self, *, pending: bool = False) -> int:
        """Return the least that the positions can pay out, summed over sets and markets."""
        payoffs = self._payoffs(pending=pending)
        done: set[str] = set()
        total = 0
        for condition_id, (yes, no) in payoffs.items():
            if condition_id in done:
                continue
            note = self._markets.get(condition_id)
            members = note.set_members if note is not None else ()
            if len(members) < 2 or condition_id not in members:
                total += min(yes, no, (yes + no) // 2)
                continue
            done.update(members)
            total += _set_worst(members, payoffs)
        return total

    def _payoffs(self, *, pending: bool) -> dict[str, tuple[int, int]]:
        """YES and NO shares per condition. A whole share pays one unit: lots are micro-units."""
        result: dict[str, tuple[int, int]] = {}
        for holding in self.holdings.values():
            lots = holding.confirmed_lots + (holding.pending_lots if pending else 0)
            yes, no = result.get(holding.condition_id, (0, 0))
            result[holding.condition_id] = (
                (yes + lots, no) if holding.outcome == 0 else (yes, no + lots)
            )
        return result


def _set_worst(members: Iterable[str], payoffs: dict[str, tuple[int, int]]) -> int:
    every = {member: payoffs.get(member, (0, 0)) for member in members}
    all_no = sum(no for _, no in every.values())
    return min(all_no - no + yes for yes, no in every.values())


def _signed(fill: Fill) -> int:
    return fill.size_lots if fill.side == BUY else -fill.size_lots
