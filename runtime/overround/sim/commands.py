"""What makes an exchange durable: its commands on their way into the store, and out of it again.

``Recorder.attach`` puts itself in front of every method that changes the exchange's state. The
outermost call is written to the store, then carried out; what it calls in turn is part of it.
``Recorder.replay`` does the stored commands again, at their own times, without telling anyone:
no frame goes out, and the order log gets only the lines that the dying process owed it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from overround.clock import NS_PER_S
from overround.errors import OverroundError
from overround.match.types import BookSide, Order, OrderType, Outcome, Side
from overround.sim.channel import Later
from overround.sim.delays import Delays
from overround.sim.exchange import Exchange
from overround.sim.lifecycle import LifeCycle
from overround.sim.members import FIRST_MEMBER_ACCOUNT
from overround.sim.records import OrderRecord, Party
from overround.sim.store import Command, Store
from overround.sim.wirebook import WireBook, last_trade_text

__all__ = ["Recorder", "Timers"]

Encode = Callable[..., list[Any] | None]
"""Turns a call's arguments into JSON; None: this call changes nothing and is not written."""

Clock = Callable[[], int]

REFUSED = (AttributeError, KeyError, OverflowError, OverroundError, TypeError, ValueError)
"""What a control command raises for a body it cannot use: then as now, nothing was done."""


def _order_row(order: Order) -> list[Any]:
    return [
        order.id, order.account, order.market, int(order.outcome), int(order.side),
        order.price_ticks, order.size_lots, int(order.order_type), order.post_only,
        order.created_epoch_ms, order.expires_epoch_s,
    ]  # fmt: skip


def _order(row: list[Any]) -> Order:
    return Order(
        id=row[0], account=row[1], market=row[2], outcome=Outcome(row[3]), side=Side(row[4]),
        price_ticks=row[5], size_lots=row[6], order_type=OrderType(row[7]), post_only=row[8],
        created_epoch_ms=row[9], expires_epoch_s=row[10],
    )  # fmt: skip


def _record_row(record: OrderRecord) -> list[Any]:
    party = record.party
    return [
        _order_row(record.order), record.account, party.api_key, party.address,
        record.created_s, record.builder, record.budget_micro,
    ]  # fmt: skip


def _as_they_are(*arguments: Any) -> list[Any]:
    return list(arguments)


class Timers:
    """A clock and a scheduler that replay can turn back.

    While ``at_ns`` is set, time stands there and what is to be done later is kept, to be
    ``rearm``-ed for the rest of its wait. Timed work must bear being called when it was done.
    """

    def __init__(self, clock: Clock, later: Later) -> None:
        self.at_ns = 0
        self.still_ns = 0
        """A command is being carried out: to it all its readings of the clock are one."""
        self._clock = clock
        self._later = later
        self._kept: list[tuple[int, Callable[[], None]]] = []

    def now_ns(self) -> int:
        """Return wall time, or the time of the command that is being replayed."""
        return self.at_ns or self.still_ns or self._clock()

    def later(self, seconds: float, action: Callable[[], None]) -> object:
        """Have something done once, so many seconds from now."""
        if not self.at_ns:
            return self._later(seconds, action)
        self._kept.append((self.at_ns + round(seconds * NS_PER_S), action))
        return None

    def rearm(self) -> None:
        """Come back to the present; what should have happened meanwhile happens at once."""
        self.at_ns = 0
        kept, self._kept = self._kept, []
        now_ns = self._clock()
        for due_ns, action in sorted(kept, key=lambda entry: entry[0]):
            self._later(max(due_ns - now_ns, 0) / NS_PER_S, action)


class Recorder:
    """Between an exchange and its store."""

    def __init__(
        self, exchange: Exchange, life: LifeCycle, delays: Delays, store: Store, timers: Timers
    ) -> None:
        self._exchange = exchange
        self._life = life
        self._delays = delays
        self._store = store
        self._timers = timers
        self._inside = False
        members = exchange.members
        self._again: dict[str, Callable[..., object]] = {
            "place": self._place,
            "submit": lambda *row: exchange.submit(_order(list(row))),
            "fund": lambda address, cash, kind: exchange.fund(members.join(address), cash, kind),
            "refresh": lambda address: exchange.refresh(self._wallet(address)),
            "advance": lambda trade, status: exchange.advance(exchange.pending(trade), status),
            "hold": lambda *row: delays.hold(self._record(list(row))),
            "release": lambda order_id: delays.release(exchange.orders[order_id]),
            "cancel_all": lambda account: exchange.carry_out(exchange.engine.cancel_all(account)),
            "start": lambda *_: None,
        }

    def attach(self) -> None:
        """Write down from now on what changes the exchange."""
        exchange, accounts, members = (
            self._exchange,
            self._exchange.accounts,
            self._exchange.members,
        )
        written: list[tuple[object, str, Encode]] = [
            (exchange, "place", _record_row),
            (exchange, "submit", _order_row),
            (exchange, "fund", lambda member, cash, kind=0: [member.address, cash, kind]),
            (exchange, "refresh", lambda wallet: [wallet.address]),
            (exchange, "advance", lambda record, status: [record.matched.trade_id, status]),
            (self._delays, "hold", _record_row),
            (self._delays, "release", lambda record: [record.order.id]),
            (exchange.engine, "cancel_all", _as_they_are),
            (members, "join", self._if_new),
        ]
        verbatim = [
            *((exchange, name) for name in ("cancel", "expire", "set_tick", "list_market")),
            *((accounts, name) for name in ("deposit", "grant")),
            *((members, name) for name in ("create_key", "delete_key")),
            *((self._life, name) for name in ("command", "pay_rebates")),
        ]
        for target, name in verbatim:
            self._again[name] = getattr(target, name)
        self._again["join"] = members.join
        for target, name, encode in [*written, *((t, n, _as_they_are) for t, n in verbatim)]:
            self._wrap(target, name, encode)

    def _wrap(self, target: object, name: str, encode: Encode) -> None:
        act = getattr(target, name)

        def recorded(*arguments: Any) -> Any:
            if self._inside or (row := encode(*arguments)) is None:
                return act(*arguments)
            self._note(name, row)
            self._inside = True
            try:
                return act(*arguments)
            finally:
                self._inside = False
                self._timers.still_ns = 0

        setattr(target, name, recorded)

    def _note(self, name: str, row: list[Any]) -> None:
        self._timers.still_ns = now_ns = self._timers.now_ns()
        self._exchange.log.command(self._store.append(now_ns, name, row))

    def start(self, port: int) -> None:
        """Note a start and the port it is served at."""
        self._note("start", [port])
        self._timers.still_ns = 0

    def _if_new(self, address: str) -> list[Any] | None:
        return None if self._exchange.members.wallet(address) else [address]

    def _wallet(self, address: str) -> Any:
        return self._exchange.members.wallet(address)

    def _record(self, row: list[Any]) -> OrderRecord:
        order = _order(row[0])
        party = Party(row[2], row[3])
        market = self._exchange.catalog.markets[order.market]
        return OrderRecord(
            order, market, row[1], party, row[4], builder=row[5], budget_micro=row[6]
        )

    def _place(self, *row: Any) -> None:
        self._exchange.place(self._record(list(row)))

    # -- coming back ---------------------------------------------------------------------

    def replay(self) -> None:
        """Do every stored command again, then clear the books of the flow that is gone."""
        exchange = self._exchange
        commands, self._store.commands = self._store.commands, []
        self._inside = exchange.quiet = True
        exchange.log.resume()
        for command in commands:
            self._redo(command)
        exchange.log.go_on()
        self._inside = False
        self._timers.rearm()
        for account in range(1, FIRST_MEMBER_ACCOUNT):
            if exchange.engine.open_orders(account):
                exchange.carry_out(exchange.engine.cancel_all(account))
        self._redraw()
        exchange.quiet = False
        exchange.generation = sum(command.name == "start" for command in commands)
        exchange.engine.check()

    def _redraw(self) -> None:
        """Write the published books anew from the engine's."""
        exchange = self._exchange
        for market in exchange.catalog.markets:
            book = WireBook(market, exchange.now_ms)
            for side, levels in zip(BookSide, exchange.engine.depth(market.index), strict=True):
                for price_ticks, size_lots in levels:
                    book.apply(side, price_ticks, size_lots)
            last = exchange.engine.last_trade(market.index)
            if last is not None:
                book.last_trade = last_trade_text(last.price_ticks)
            exchange.books[market.index] = book

    def _redo(self, command: Command) -> None:
        self._timers.at_ns = command.epoch_ns
        self._exchange.log.command(command.number)
        again = self._again[command.name]
        with contextlib.suppress(*REFUSED):
            again(*command.arguments)
