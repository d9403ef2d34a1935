"""The gate's leeways, kept as long as they hold: until the journal's next record.

Whatever the executor learns, sends or plans is a record, so a leeway that was worked out at this
sequence of the journal speaks of the state as it is. What is no record is looked at by whoever
uses one: the book (its tick too), the market's row, readiness, kill latch and loss stop.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from overround.decide.leeway import Leeway
from overround.execute.executor import Executor
from overround.execute.judge import Extra, account_view
from overround.execute.markets import MarketInfo, SharedMarkets

__all__ = ["Leeways"]

LATELY_MAX: Final = 16
"""Markets and strategies whose leeway is worked out while the loop is idle, 10 us each."""


class Leeways:
    """Leeways of one account by market and strategy."""

    def __init__(self, core: Executor, markets: SharedMarkets) -> None:
        self._core = core
        self._store = core.store
        self._journal = core.store.journal
        self._markets = markets
        self._sequence = 0
        self._known: dict[tuple[int, int], tuple[MarketInfo, int, Leeway]] = {}
        self._ticks: dict[int, int] = {}
        self._lately: OrderedDict[tuple[int, int], None] = OrderedDict()

    def of(self, market: MarketInfo, strategy: int, now_ns: int) -> tuple[Leeway, int] | None:
        """Return a leeway and the tick that its book must have (0 where it knows none).

        None if there is no room. Native code compares the tick: it is the one of a moment ago.
        """
        if self._journal.next_sequence != self._sequence:
            self._known.clear()
            self._sequence = self._journal.next_sequence
        place = (market.index, strategy)
        found = self._known.get(place)
        if found is not None and found[0] is market:
            return found[2], found[1]
        self._lately[place] = None
        self._lately.move_to_end(place)
        if len(self._lately) > LATELY_MAX:
            self._lately.popitem(last=False)
        return self._work_out(market, strategy, now_ns)

    def _work_out(
        self, market: MarketInfo, strategy: int, now_ns: int
    ) -> tuple[Leeway, int] | None:
        store = self._store
        if store.positions.known_market(market.condition_id) != market.note():
            return None  # its terms would be journaled first
        tick_ticks = self._ticks.get(market.index)
        if tick_ticks is None:
            tick_ticks = self._ticks[market.index] = self._markets.book(market.index, now_ns)[1]
        store.settle()
        extra = Extra()
        leeway = self._core.gate.leeway(
            market.condition_id,
            strategy,
            market.view(tick_ticks),
            (
                account_view(store, market.token_yes, extra),
                account_view(store, market.token_no, extra),
            ),
            now_ns,
        )
        if leeway is None:
            return None  # not kept: rate tokens come back
        self._known[market.index, strategy] = market, tick_ticks, leeway
        return leeway, tick_ticks

    def renew(self, now_ns: int) -> None:
        """Work out those that were asked for lately, on the ticks of now. While idle."""
        self._ticks.clear()
        self._known.clear()
        self._sequence = self._journal.next_sequence
        for index, strategy in self._lately:
            market = self._markets.info(index)
            if market is not None:
                self._work_out(market, strategy, now_ns)
