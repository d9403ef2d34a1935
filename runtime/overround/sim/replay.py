"""``--feed FILE``: the books and prints of a recording, by real orders of the flow's own traders.

Reads market-channel frames, one a line (raw, or an object with ``raw``), also as ``.zst``. The
first book of each market opens it; later books and changes set its levels at the recorded pace,
all of one stamp in one burst. A recorded print becomes a taker order of its size at the moment of
its match, so members who rest in its way trade too; the level then goes to its recorded size.
Members' orders stand beside the recorded ones, so a recorded order that crosses one trades.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from overround.clock import NS_PER_MS
from overround.errors import ConfigError
from overround.match.types import BookSide, OrderType, Outcome, Side
from overround.sim.catalog import Level, SimCatalog
from overround.sim.makers import TAKER_ACCOUNT, MakerBook
from overround.units import MICRO_PER_UNIT, PRICE_TICKS_MAX, parse_price, parse_size

if TYPE_CHECKING:
    from overround.sim.flow import Flow

__all__ = ["BookReplay"]

Levels = dict[tuple[BookSide, int], int]


ORDERS_KEPT_MAX = 20
"""A level of more orders than this is made anew as one."""

PRINT_DELAY_MS = (20, 37, 60)
"""Least, usual and most time from a match to its print: where to look for the match."""


@dataclass(frozen=True, slots=True)
class _Print:
    outcome: Outcome
    side: Side
    price_ticks: int
    size_lots: int

    @property
    def key(self) -> tuple[BookSide, int]:
        """The level it was taken from, in YES terms."""
        yes = self.outcome == Outcome.YES
        taken = BookSide.ASK if (self.side == Side.BUY) == yes else BookSide.BID
        return taken, self.price_ticks if yes else PRICE_TICKS_MAX - self.price_ticks


@dataclass(slots=True)
class _Step:
    """What happened in a market at one stamp: levels in recorded order, trades before them."""

    at_ms: int
    market: str
    whole: bool = False
    levels: Levels = field(default_factory=dict)
    prints: list[_Print] = field(default_factory=list)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as raw:
            stream: Any = raw
            if path.suffix == ".zst":
                stream = zstandard.ZstdDecompressor().stream_reader(raw)
            with io.TextIOWrapper(stream, encoding="utf-8") as text:
                yield from text
    except (OSError, zstandard.ZstdError) as error:
        raise ConfigError(f"cannot read the recording {path}: {error}") from None


def _events(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            frame = json.loads(line)
            if isinstance(frame, dict) and "raw" in frame:
                frame = frame["raw"]
            if isinstance(frame, str):
                frame = json.loads(frame)
        except ValueError:
            raise ConfigError(f"{path}, line {number}: not a JSON frame") from None
        for event in frame if isinstance(frame, list) else [frame]:
            yield number, event


class BookReplay:
    """A recording read into memory as steps of whole levels, in YES terms."""

    def __init__(self, path: Path) -> None:
        """Read the file; ConfigError if it holds no opening book or cannot be read."""
        self._tokens: dict[str, tuple[str, int]] = {}
        self._first: dict[str, list[str]] = {}
        self._ticks: dict[str, str] = {}
        self._opening: dict[str, Levels] = {}
        self._steps: list[_Step] = []
        self._by_stamp: dict[str, dict[int, _Step]] = {}
        self._next = 0
        for number, event in _events(path):
            try:
                self._read(event)
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigError(f"{path}, line {number}: {error!r} in a frame") from None
        if not self._opening:
            raise ConfigError(f"{path} holds no book of both tokens of a market")
        self._steps = [step for step in self._steps if step.market in self._opening]
        self._steps.sort(key=lambda step: step.at_ms)
        self._start_ms = self._steps[0].at_ms if self._steps else 0

    @property
    def done(self) -> bool:
        """Whether the last recorded step has been played."""
        return self._next >= len(self._steps)

    def _read(self, event: dict[str, Any]) -> None:
        kind = event.get("event_type")
        market = str(event.get("market", ""))
        if kind == "book":
            token = str(event["asset_id"])
            tokens = self._first.setdefault(market, [])
            if token not in tokens:
                self._tokens[token] = (market, len(tokens))
                tokens.append(token)
            if "tick_size" in event:
                self._ticks.setdefault(market, event["tick_size"])
            levels = self._levels(event, self._tokens[token][1])
            if len(tokens) == 2 and market not in self._opening:
                self._opening[market] = levels
            elif market in self._opening:
                step = self._step(market, int(event["timestamp"]))
                step.whole = True
                step.levels.update(levels)
        elif kind == "price_change" and market in self._opening:
            levels = self._step(market, int(event["timestamp"])).levels
            for change in event["price_changes"]:
                found = self._tokens.get(str(change["asset_id"]))
                if found:
                    side = BookSide.BID if change["side"] == "BUY" else BookSide.ASK
                    key = self._key(side, parse_price(change["price"]), found[1])
                    levels[key] = parse_size(change["size"])
        elif kind == "last_trade_price" and market in self._opening:
            self._read_print(market, event)

    def _step(self, market: str, at_ms: int) -> _Step:
        stamps = self._by_stamp.setdefault(market, {})
        if at_ms not in stamps:
            stamps[at_ms] = _Step(at_ms, market)
            self._steps.append(stamps[at_ms])
        return stamps[at_ms]

    def _read_print(self, market: str, event: dict[str, Any]) -> None:
        found = self._tokens.get(str(event["asset_id"]))
        if found is None:
            return
        printed = _Print(
            Outcome(found[1]),
            Side[event["side"]],
            parse_price(event["price"]),
            parse_size(event["size"]),
        )
        print_ms = int(event["timestamp"])
        least, usual, most = PRINT_DELAY_MS
        stamps = self._by_stamp.get(market, {})
        matches = [
            at_ms
            for at_ms in range(print_ms - most, print_ms - least + 1)
            if at_ms in stamps and printed.key in stamps[at_ms].levels
        ]
        match_ms = min(matches, key=lambda at_ms: abs(print_ms - usual - at_ms), default=None)
        # A match whose frames were not recorded still trades, where its print says it did.
        step = self._step(market, print_ms - usual if match_ms is None else match_ms)
        step.prints.append(printed)

    @staticmethod
    def _key(side: BookSide, ticks: int, outcome: int) -> tuple[BookSide, int]:
        return (BookSide(1 - side), PRICE_TICKS_MAX - ticks) if outcome else (side, ticks)

    def _levels(self, event: dict[str, Any], outcome: int) -> Levels:
        levels: Levels = {}
        for name, side in (("bids", BookSide.BID), ("asks", BookSide.ASK)):
            for level in event[name]:
                key = self._key(side, parse_price(level["price"]), outcome)
                levels[key] = parse_size(level["size"])
        return levels

    def catalog(self) -> SimCatalog:
        """Return a catalog of the recorded markets; fees are zero, names are the ids."""
        catalog = SimCatalog()
        for market, levels in self._opening.items():
            sides: dict[BookSide, list[Level]] = {BookSide.BID: [], BookSide.ASK: []}
            for (side, ticks), lots in levels.items():
                sides[side].append((ticks, lots))
            catalog.add_market(
                question=f"Recorded market {market}",
                slug=market,
                condition_id=market,
                tokens=(self._first[market][0], self._first[market][1]),
                bids=sorted(sides[BookSide.BID], reverse=True),
                asks=sorted(sides[BookSide.ASK]),
                tick_ticks=parse_price(self._ticks.get(market, "0.001")),
                fee_rate_ppm=0,
            )
        return catalog

    def run(self, flow: Flow, now_ns: int) -> None:
        """Play the steps due ``now_ns`` after the start."""
        due_ms = self._start_ms + now_ns // NS_PER_MS
        while not self.done and self._steps[self._next].at_ms <= due_ms:
            step = self._steps[self._next]
            self._next += 1
            self._play(flow, step)

    def _play(self, flow: Flow, step: _Step) -> None:
        market = flow.exchange.catalog.by_condition[step.market]
        makers = flow.markets[market.index].makers
        flow.events += 1
        with flow.exchange.burst():
            wanted = dict(step.levels)
            for printed in step.prints:
                # Where no recorded change says what was left, the level is made whole again.
                wanted.setdefault(printed.key, _resting_lots(makers, *printed.key))
                _trade(makers, printed)
            if step.whole:
                for side in BookSide:
                    for ticks in makers.prices(side):
                        wanted.setdefault((side, ticks), 0)
            for (side, ticks), lots in _uncrossed(makers, wanted):
                _set_level(makers, side, ticks, lots)


def _uncrossed(makers: MakerBook, wanted: Levels) -> list[tuple[tuple[BookSide, int], int]]:
    """Return the levels in recorded order, but those last that others must make room for."""
    bids, asks = makers.prices(BookSide.BID), makers.prices(BookSide.ASK)
    best = {
        BookSide.BID: bids[0] if bids else 0,
        BookSide.ASK: asks[0] if asks else PRICE_TICKS_MAX,
    }

    def crosses(item: tuple[tuple[BookSide, int], int]) -> bool:
        (side, ticks), lots = item
        if side == BookSide.BID:
            return lots > 0 and ticks >= best[BookSide.ASK]
        return lots > 0 and ticks <= best[BookSide.BID]

    return sorted(wanted.items(), key=crosses)


def _resting_lots(makers: MakerBook, side: BookSide, ticks: int) -> int:
    return sum(order.remaining_lots for order in makers.resting(side, ticks))


def _set_level(makers: MakerBook, side: BookSide, ticks: int, lots: int) -> None:
    """Bring the flow's orders of a level to a size; the oldest keep their place in the queue."""
    orders = makers.resting(side, ticks)
    resting = sum(order.remaining_lots for order in orders)
    for order in reversed(orders):
        if resting <= lots and len(orders) <= ORDERS_KEPT_MAX:
            break
        makers.exchange.cancel(order.id)
        resting -= order.remaining_lots
    if resting < lots:
        makers.add(side, ticks, lots - resting)


def _trade(makers: MakerBook, printed: _Print) -> None:
    """Take what a print says was taken: the same token, side, price and size."""
    side, ticks = printed.key
    size = printed.size_lots
    worth_micro = size * printed.price_ticks // PRICE_TICKS_MAX
    if printed.side == Side.BUY and worth_micro < MICRO_PER_UNIT:
        # The venue's minimum for a marketable BUY, which old prints break: ask for more than
        # there is, and leave exactly the print's size.
        _set_level(makers, side, ticks, size)
        size = MICRO_PER_UNIT * PRICE_TICKS_MAX // printed.price_ticks + 1
    elif _resting_lots(makers, side, ticks) < size:
        _set_level(makers, side, ticks, size)
    order = makers.order(TAKER_ACCOUNT, side, ticks, size, OrderType.FAK)
    order.outcome, order.side, order.price_ticks = (
        printed.outcome,
        printed.side,
        printed.price_ticks,
    )
    makers.exchange.submit(order)
