"""What the gate is shown of an intent and of the account, and the moment at which it looks."""

from __future__ import annotations

from dataclasses import dataclass, field

from overround.clock import NS_PER_MS
from overround.decide.risk import AccountView, BookView, OrderView
from overround.execute.markets import MarketInfo
from overround.execute.own import proceeds_micro
from overround.execute.store import Store
from overround.layout.intent import BUY
from overround.ledger.records import Intent
from overround.venues.contract import OrderType

__all__ = ["Extra", "Moment", "account_view", "order_view"]

_TAKING = (int(OrderType.FOK), int(OrderType.FAK))


@dataclass(slots=True)
class Extra:
    """What earlier legs of the plan under judgement will take from the account."""

    cost_micro: int = 0
    bought_lots: dict[str, int] = field(default_factory=dict)
    sold_lots: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Moment:
    """A moment that has passed: its times, and the book that was judged then."""

    now_ns: int
    epoch_ns: int
    judged: tuple[BookView, int]

    def clock(self) -> int:
        """Return its monotonic time."""
        return self.now_ns

    def wall_ms(self) -> int:
        """Return its wall time."""
        return self.epoch_ns // NS_PER_MS

    def killed(self) -> bool:
        """Return False: bytes left at this moment."""
        return False

    def book(self, index: int, now_ns: int) -> tuple[BookView, int]:
        """Return the book that was judged."""
        return self.judged


def order_view(
    intent: Intent, market: MarketInfo, expires_ns: int, ingress_epoch: int
) -> OrderView:
    """Return what the gate needs of an intent."""
    proceeds = 0
    if intent.side != BUY:
        proceeds = proceeds_micro(
            intent.size_lots, intent.price_ticks, market.fee_rate_ppm, market.fee_exponent
        )
    return OrderView(
        outcome=intent.outcome,
        side=intent.side,
        price_ticks=intent.price_ticks,
        size_lots=intent.size_lots,
        expires_ns=expires_ns,
        ingress_epoch=ingress_epoch,
        takes=intent.order_type in _TAKING,
        whole=intent.legs > 1 or intent.order_type == OrderType.FOK,
        key=intent.key,
        condition_id=intent.condition_id,
        strategy=intent.strategy,
        proceeds_micro=proceeds,
    )


def account_view(store: Store, token: str, extra: Extra) -> AccountView:
    """Return the account as it would be before an order for this token."""
    reserved = store.reserved_micro() + extra.cost_micro
    held = store.positions.lots(token, pending=True)
    return AccountView(
        cash_free_micro=store.positions.view().spendable_micro - reserved,
        notional_micro=store.position_cost_micro() + reserved,
        position_lots=held + store.open_lots(token, 0) + extra.bought_lots.get(token, 0),
        sellable_lots=store.positions.sellable_lots(token)
        - store.open_lots(token, 1)
        - extra.sold_lots.get(token, 0),
        loss_micro=store.loss_micro(),
    )
