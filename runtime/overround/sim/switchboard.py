"""Who turns the fault switches: at once, for a while, at a time, or at random by a seed.

Every turn of a scheduled or random switch is a "fault" line in the exchange's log, so a run
under faults can be read afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple, Protocol

from overround.clock import NS_PER_MS, NS_PER_S, epoch_ns, monotonic_ns
from overround.errors import ConfigError
from overround.match.types import BookSide
from overround.sim.catalog import SimMarket
from overround.sim.channel import Later
from overround.sim.exchange import Exchange
from overround.sim.faults import BY_NAME, SWITCHES
from overround.sim.flow import Flow
from overround.sim.limits import Limits
from overround.sim.makers import MakerBook

__all__ = ["Plan", "SkewedClock", "Switchboard", "parse_plan"]

CHAOS_EVERY_S = 0.7
"""Mean time from one random switch to the next."""

CHAOS_POST_ONLY_S = 1.0
"""Chaos shortens the two minutes of post-only mode after a restart to this."""

POST_ONLY_S = 120.0
"""Post-only mode after a restart where ``post-only-after`` is not set."""

VALUE_MAX = 1e7
TIME_MAX_S = 1e6

FINER = {1_000: 100, 100: 10, 50: 10, 25: 1, 10: 1, 1: 10}
"""Tick size in 1/10,000 after ``tick-changed``."""

_PLAN = re.compile(
    r"(?P<name>[a-z-]+)(?:=(?P<value>\d+(?:\.\d+)?))?(?:/(?P<market>\w+))?"
    r"(?:@(?P<at>\d+(?:\.\d+)?))?(?:\+(?P<span>\d+(?:\.\d+)?))?"
)


class Plan(NamedTuple):
    """One turn of a switch: ``market`` is a condition id or a place in the catalog.

    ``at_s`` seconds from now it goes on, ``for_s`` later off (0: it stays, or uses itself up).
    """

    name: str
    value: float = 1
    market: str = ""
    at_s: float = 0
    for_s: float = 0


def parse_plan(text: str) -> Plan:
    """Read ``NAME[=VALUE][/MARKET][@AT][+FOR]``. ConfigError says what is wrong with it."""
    found = _PLAN.fullmatch(text)
    if found is None:
        raise ConfigError(f"--fault {text}: write NAME[=VALUE][/MARKET][@AT][+FOR]")
    if found["name"] not in BY_NAME:
        raise ConfigError(f"--fault {text}: no such switch; docs/reference/faults.md lists them")
    return Plan(
        found["name"],
        float(found["value"] or 1),
        found["market"] or "",
        float(found["at"] or 0),
        float(found["span"] or 0),
    )


class SkewedClock:
    """Wall time of an exchange in nanoseconds, ahead of the real one by a settable bit."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        """Return the time."""
        return epoch_ns() + self.ahead_ns


class _Sockets(Protocol):
    def abort(self, channel: str) -> int: ...


class Switchboard:
    """Turns switches and does what a turn itself does (cut sockets, freeze books, ...)."""

    def __init__(
        self,
        exchange: Exchange,
        flow: Flow,
        sockets: _Sockets,
        clock: SkewedClock,
        later: Later,
    ) -> None:
        self.limits = Limits()
        self.exchange = exchange
        self.until_ns: dict[str, int] = {}
        """Monotonic end of ``restart`` and ``post-only``."""
        self._faults = exchange.faults
        self._flow = flow
        self._sockets = sockets
        self._clock = clock
        self._later = later
        self._turns: dict[str, int] = {}
        self._ticks: dict[int, int] = {}
        self._removed: list[tuple[MakerBook, int, int]] = []
        self._on_turn: dict[str, Callable[[float, str], None]] = {
            "market-cut": self._cut,
            "user-cut": self._cut,
            "book-stale": self._freeze,
            "sockets-refused": self._refuse,
            "tick-changed": self._retick,
            "side-empty": self._empty,
            "clock-ahead": self._skew,
            "restart": self._restart,
            "post-only": self._post_only,
        }

    # -- turning -------------------------------------------------------------------------

    def run(self, plan: Plan, *, logged: bool = True) -> None:
        """Carry out a plan. KeyError if it names no switch or no market, ValueError for
        values and times out of all proportion."""
        if plan.name not in BY_NAME:
            raise KeyError(plan.name)
        if not (plan.value <= VALUE_MAX and 0 <= plan.at_s <= TIME_MAX_S):
            raise ValueError(f"a value is up to {VALUE_MAX:g}, a time from 0 to {TIME_MAX_S:g} s")
        if not 0 <= plan.for_s <= TIME_MAX_S:
            raise ValueError(f"a switch is on from 0 to {TIME_MAX_S:g} s")
        market = self._condition(plan.market)
        if plan.at_s > 0:
            self._later(plan.at_s, partial(self._begin, plan, market, logged))
        else:
            self._begin(plan, market, logged)

    def _begin(self, plan: Plan, market: str, logged: bool) -> None:
        if logged:
            self.exchange.log.write(
                "fault", name=plan.name, value=plan.value, market=market, for_s=plan.for_s
            )
        turn = self.put(plan.name, plan.value, market)
        if plan.for_s > 0:
            self._later(plan.for_s, partial(self._end, plan.name, turn))

    def _end(self, name: str, turn: int) -> None:
        # A switch that was turned again in the meantime belongs to that later turn.
        if self._turns[name] == turn and name in self._faults.values:
            self.put(name, 0)

    def put(self, name: str, value: float, market: str = "") -> int:
        """Turn a switch now (0: off) and return the number of this turn."""
        self._faults.put(name, value, market)
        self._turns[name] = turn = self._turns.get(name, 0) + 1
        act = self._on_turn.get(name)
        if act is not None:
            act(value, name)
            if value > 0:
                self._faults.show(name)
        return turn

    def clear(self) -> None:
        """Turn everything off; plans for later still come."""
        self._faults.http.clear()
        self.until_ns.clear()  # else the end of a restart begins post-only mode
        for name in list(self._faults.values):
            self.put(name, 0)

    def _condition(self, market: str) -> str:
        catalog = self.exchange.catalog
        if market.isdigit() and int(market) < len(catalog.markets):
            return catalog.markets[int(market)].condition_id
        return catalog.by_condition[market].condition_id if market else ""

    def state(self) -> dict[str, Any]:
        """Return what is on and how often each switch has shown."""
        faults = self._faults
        return {
            "on": dict(faults.values),
            "markets": dict(faults.markets),
            "shown": dict(faults.shown),
            "http": len(faults.http),
        }

    # -- what a turn itself does ---------------------------------------------------------

    def _cut(self, value: float, name: str) -> None:
        if value:
            self._sockets.abort(name.removesuffix("-cut"))
            self._faults.put(name, 0)

    def _freeze(self, value: float, _: str) -> None:
        frozen = {
            book.market.token(outcome): book.rest_text(outcome)
            for book in self.exchange.books
            for outcome in (0, 1)
        }
        self._faults.stale_books = frozen if value else None

    def _refuse(self, value: float, _: str) -> None:
        self._faults.refuse_sockets = value > 0

    def _skew(self, value: float, _: str) -> None:
        self._clock.ahead_ns = round(value * NS_PER_MS)

    def _chosen(self, name: str) -> SimMarket:
        chosen = self._faults.markets.get(name)
        catalog = self.exchange.catalog
        return catalog.by_condition[chosen] if chosen else catalog.markets[0]

    def _empty(self, value: float, name: str) -> None:
        removed, self._removed = self._removed, []
        for makers, price_ticks, size_lots in removed:
            # Who bids there by now keeps the place.
            if price_ticks > self.exchange.engine.top(makers.market.index).bid_ticks:
                makers.add(BookSide.ASK, price_ticks, size_lots)
        if not value:
            return
        makers = self._flow.markets[self._chosen(name).index].makers
        with self.exchange.burst():
            for price_ticks in makers.prices(BookSide.ASK):
                size_lots = makers.cancel_level(BookSide.ASK, price_ticks)
                self._removed.append((makers, price_ticks, size_lots))

    def _retick(self, value: float, name: str) -> None:
        before, self._ticks = self._ticks, {}
        for index, ticks in before.items():
            self.exchange.set_tick(index, ticks)
        if value:
            market = self._chosen(name)
            self._ticks = {market.index: market.rules.tick_ticks}
            self.exchange.set_tick(market.index, FINER.get(market.rules.tick_ticks, 10))

    def _restart(self, value: float, name: str) -> None:
        if value:
            self.until_ns[name] = monotonic_ns() + round(value * NS_PER_S)
            turn = self._turns[name]
            self._later(value, partial(self._end, name, turn))
        elif self.until_ns.pop(name, 0):
            self.put("post-only", self._faults.value("post-only-after") or POST_ONLY_S)

    def _post_only(self, value: float, name: str) -> None:
        self.until_ns[name] = monotonic_ns() + round(value * NS_PER_S)
        if value:
            self._later(value, partial(self._end, name, self._turns[name]))

    # -- chaos ---------------------------------------------------------------------------

    def start_chaos(self, seed: int) -> None:
        """Turn random switches on and off from now to the end; a seed repeats the sequence."""
        self._faults.put("post-only-after", CHAOS_POST_ONLY_S)
        random = Random(f"chaos/{seed}")
        self._later(random.expovariate(1 / CHAOS_EVERY_S), partial(self._chaos, random))

    def _chaos(self, random: Random) -> None:
        self.run(random_plan(random))
        self._later(random.expovariate(1 / CHAOS_EVERY_S), partial(self._chaos, random))


CHAOTIC = tuple(switch for switch in SWITCHES if switch.chaos is not None)


def random_plan(random: Random) -> Plan:
    """Return one random turn of a switch that chaos may use."""
    switch = random.choice(CHAOTIC)
    assert switch.chaos is not None
    most, least_s, most_s = switch.chaos
    value = most
    if switch.unit in ("times", "requests", "tokens"):
        value = random.randint(1, int(most))
    elif switch.unit != "on":
        value = round(most * random.uniform(0.2, 1.0), 3)
    return Plan(switch.name, value, "", 0, round(random.uniform(least_s, most_s), 3))
