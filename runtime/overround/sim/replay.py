"""``--feed FILE``: the books of a recording, moved by real orders of the flow's own traders.

Reads market-channel frames, one a line (raw, or an object with ``raw``), also as ``.zst``. The
first book of each market opens it; later books and changes set its levels at the recorded pace.
Members' orders stand beside the recorded ones, so a recorded order that crosses one trades.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from overround.clock import NS_PER_MS
from overround.errors import ConfigError
from overround.match.types import BookSide
from overround.sim.catalog import Level, SimCatalog
from overround.units import PRICE_TICKS_MAX, parse_price, parse_size

if TYPE_CHECKING:
    from overround.sim.flow import Flow

__all__ = ["BookReplay"]

Levels = dict[tuple[BookSide, int], int]


@dataclass(frozen=True, slots=True)
class _Step:
    at_ms: int
    market: str
    whole: bool
    levels: Levels


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
                self._steps.append(_Step(int(event["timestamp"]), market, True, levels))
        elif kind == "price_change" and market in self._opening:
            levels = {}
            for change in event["price_changes"]:
                found = self._tokens.get(str(change["asset_id"]))
                if found:
                    side = BookSide.BID if change["side"] == "BUY" else BookSide.ASK
                    key = self._key(side, parse_price(change["price"]), found[1])
                    levels[key] = parse_size(change["size"])
            self._steps.append(_Step(int(event["timestamp"]), market, False, levels))

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
        wanted = dict(step.levels)
        if step.whole:
            for side in BookSide:
                for ticks in makers.prices(side):
                    wanted.setdefault((side, ticks), 0)
        flow.events += 1
        with flow.exchange.burst():
            # Removals first, so that a book that moved never meets its own old levels.
            for (side, ticks), lots in sorted(wanted.items(), key=lambda item: item[1] > 0):
                orders = makers.resting(side, ticks)
                if sum(order.remaining_lots for order in orders) == lots:
                    continue
                for order in orders:
                    flow.exchange.cancel(order.id)
                if lots:
                    makers.add(side, ticks, lots)
