"""What the synthetic flow of one hot market looks like on the wire, in figures.

The flow runs on hand-turned time; a client of both tokens reads nothing but frames. Books are
sampled once a second from the engine, which the frames equal (other tests prove it).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oracle.sim_rig import SHARE, Rig
from overround.sim.catalog import SimCatalog
from overround.sim.edges import EdgeSettings
from overround.sim.flow import Flow, FlowSettings

LAGS_S = (1, 2, 5, 10, 30)
SIZE_PERCENTILES = (5, 25, 50, 75, 90, 99)
PROFILE_LEVELS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 20)
LEVELS_SEEN = 20
"""The recorded series shows so many levels a side; ours is cut there to be compared."""
WARM_UP_S = 20
MARKET = "btc-updown-15m-1790591400"


@dataclass
class Tape:
    """Everything read from one market's channel, as plain lists."""

    seconds: int
    change_ms: list[int] = field(default_factory=list)
    match_ms: set[int] = field(default_factory=set)
    adds: int = 0
    removed_levels: int = 0
    new_levels: int = 0
    distance_ticks: list[int] = field(default_factory=list)
    trade_lots: list[int] = field(default_factory=list)
    print_ms: list[int] = field(default_factory=list)
    delay_ms: list[int] = field(default_factory=list)
    spreads: Counter[int] = field(default_factory=Counter)
    mids: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    profile: dict[int, list[int]] = field(default_factory=dict)
    levels: list[int] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)


class Reader:
    """A sink that keeps only what the figures need."""

    def __init__(self, tape: Tape, yes: str, start_ms: int, tick: int) -> None:
        self.tape = tape
        self.yes = yes
        self.start_ms = start_ms
        self.tick = tick
        self.book: dict[tuple[str, int], float] = {}

    def send(self, text: str) -> None:
        """Take one frame."""
        message = json.loads(text)
        if isinstance(message, list):
            for event in message:
                self._load(event)
            return
        kind = message["event_type"]
        at_ms = int(message["timestamp"]) - self.start_ms
        if kind == "price_change":
            self._change(message, at_ms)
        elif kind == "book":
            self.tape.match_ms.add(at_ms)
        elif kind == "last_trade_price" and at_ms >= 0:
            self.tape.trade_lots.append(round(float(message["size"]) * SHARE))
            self.tape.print_ms.append(at_ms)

    def _load(self, event: Any) -> None:
        if event["asset_id"] == self.yes:
            for name, side in (("bids", "BUY"), ("asks", "SELL")):
                for level in event[name]:
                    key = (side, round(float(level["price"]) * 10_000))
                    self.book[key] = float(level["size"])

    def _change(self, message: Any, at_ms: int) -> None:
        (entry,) = (e for e in message["price_changes"] if e["asset_id"] == self.yes)
        ticks = round(float(entry["price"]) * 10_000)
        key, size = (entry["side"], ticks), float(entry["size"])
        before = self.book.get(key, 0.0)
        if size:
            self.book[key] = size
        else:
            self.book.pop(key, None)
        if at_ms < 0:
            return
        tape = self.tape
        tape.change_ms.append(at_ms)
        tape.adds += size > before
        tape.new_levels += before == 0
        tape.removed_levels += size == 0
        bid, ask = (round(float(entry[name]) * 10_000) for name in ("best_bid", "best_ask"))
        away = bid - ticks if entry["side"] == "BUY" else ticks - ask
        tape.distance_ticks.append(max(away, 0) // self.tick)


def one_market() -> SimCatalog:
    """Return a catalog of one recorded crypto market, so that it gets the whole rate."""
    recorded = next(m for m in SimCatalog.recorded().markets if m.slug == MARKET)
    catalog = SimCatalog()
    market = catalog.add_market(
        question=recorded.question,
        slug=recorded.slug,
        bids=recorded.bids,
        asks=recorded.asks,
        condition_id=recorded.condition_id,
        fee_rate_ppm=recorded.rules.fee_rate_ppm,
    )
    market.mid_path_ticks = recorded.mid_path_ticks
    return catalog


def observe(seconds: int, *, rate: float, seed: int, step_ms: int = 2) -> Tape:
    """Run the flow of one hot market for so many seconds after a warm-up and read it."""
    rig = Rig(one_market())
    flow = Flow(rig.exchange, seed, FlowSettings(rate, EdgeSettings(every_s=0.0)))
    market = rig.exchange.catalog.markets[0]
    tape = Tape(seconds, profile={level: [] for level in PROFILE_LEVELS})
    start_ms = rig.exchange.now_ms + WARM_UP_S * 1_000
    reader = Reader(tape, market.token_yes, start_ms, market.rules.tick_ticks)
    socket = rig.exchange.channel.connect(reader)
    tokens = {"assets_ids": [market.token_yes, market.token_no], "type": "market"}
    rig.exchange.channel.on_text(socket, json.dumps(tokens))
    last: dict[tuple[int, int], int] = {}
    for at_ms in range(step_ms, (WARM_UP_S + seconds) * 1_000 + 1, step_ms):
        rig.scheduler.run(step_ms)
        flow.run_until(at_ms * 1_000_000)
        if at_ms % 1_000 == 0 and at_ms >= WARM_UP_S * 1_000:
            last = _sample(rig, tape, last)
    rig.exchange.engine.check()
    tape.delay_ms = list(_delays(tape))
    return tape


def _sample(rig: Rig, tape: Tape, last: dict[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    now: dict[tuple[int, int], int] = {}
    sides = rig.exchange.engine.depth(0)
    for side, levels in enumerate(sides):
        tape.levels.append(len(levels))
        for number, (price, lots) in enumerate(levels[:LEVELS_SEEN], 1):
            now[side, price] = lots
            tape.sizes.append(lots)
            if number in tape.profile:
                tape.profile[number].append(lots)
    bids, asks = sides
    tape.spreads[asks[0][0] - bids[0][0]] += 1
    tape.mids.append((asks[0][0] + bids[0][0]) / 2)
    if last:
        both = last.keys() | now.keys()
        tape.changed.append(sum(last.get(k) != now.get(k) for k in both) / len(both))
    return now


def _delays(tape: Tape) -> Iterator[int]:
    """Milliseconds from a match (its two books) to its print, where only one can be meant."""
    stamps = np.array(sorted(tape.match_ms))
    for at_ms in tape.print_ms:
        found = stamps[(stamps <= at_ms) & (stamps >= at_ms - 100)]
        if found.size == 1:
            yield int(at_ms - found[0])


def fano(times_ms: np.ndarray, width_ms: int, seconds: int) -> float:
    """Variance over mean of the counts in windows of a width; 1 for a Poisson process."""
    counts = np.bincount(times_ms // width_ms, minlength=seconds * 1_000 // width_ms)
    return float(counts.var() / counts.mean())


def autocorrelation(counts: np.ndarray, lag: int) -> float:
    """Sample autocorrelation of counts."""
    return float(np.corrcoef(counts[:-lag], counts[lag:])[0, 1])


def figures(tape: Tape) -> dict[str, float]:
    """Return every statistic of a tape by name."""
    times = np.array(tape.change_ms)
    counts = np.bincount(times // 1_000, minlength=tape.seconds)[: tape.seconds]
    _, bursts = np.unique(times, return_counts=True)
    found = {
        "frames_per_s": float(counts.mean()),
        "per_second_p50": float(np.percentile(counts, 50)),
        "per_second_p90": float(np.percentile(counts, 90)),
        "per_second_p99": float(np.percentile(counts, 99)),
        "per_second_max": float(counts.max()),
        "fano_100ms": fano(times, 100, tape.seconds),
        "fano_1s": fano(times, 1_000, tape.seconds),
        "burst_p90": float(np.percentile(bursts, 90)),
        "burst_p99": float(np.percentile(bursts, 99)),
        "burst_max": float(bursts.max()),
        "adds": tape.adds / len(times),
        "new_levels": tape.new_levels / len(times),
        "removed_levels": tape.removed_levels / len(times),
    }
    for lag in LAGS_S:
        if lag < tape.seconds // 3:
            found[f"autocorrelation_{lag}s"] = autocorrelation(counts, lag)
    distance = np.array(tape.distance_ticks)
    found["at_touch"] = float((distance == 0).mean())
    for percentile in (50, 75, 90, 99):
        found[f"distance_p{percentile}"] = float(np.percentile(distance, percentile))
    return found | _book_figures(tape) | _trade_figures(tape)


def _book_figures(tape: Tape) -> dict[str, float]:
    shares = np.array(tape.sizes) / SHARE
    whole = shares == np.round(shares)
    logs = np.log(shares)
    found = {
        "size_log_mean": float(logs.mean()),
        "size_log_deviation": float(logs.std()),
        "size_whole": float(whole.mean()),
        "levels_p50": float(np.percentile(tape.levels, 50)),
    }
    for percentile in SIZE_PERCENTILES:
        found[f"size_p{percentile}"] = float(np.percentile(shares, percentile))
    for level, lots in tape.profile.items():
        found[f"profile_{level}"] = float(np.median(lots)) / SHARE if lots else 0.0
    total = sum(tape.spreads.values())
    for cents in (1, 2, 3):
        found[f"spread_{cents}"] = tape.spreads[100 * cents] / total
    moves = np.abs(np.diff(tape.mids)) / 10_000
    found["mid_still"] = float((moves == 0).mean())
    found["mid_deviation"] = float((np.diff(tape.mids) / 10_000).std())
    for percentile in (90, 99):
        found[f"mid_move_p{percentile}"] = float(np.percentile(moves, percentile))
    for percentile in (5, 50, 95):
        found[f"changed_p{percentile}"] = float(np.percentile(tape.changed, percentile))
    return found


def _trade_figures(tape: Tape) -> dict[str, float]:
    found = {"trades_per_s": len(tape.trade_lots) / tape.seconds}
    if not tape.trade_lots:
        return found
    for percentile in (5, 50, 95):
        shares = np.percentile(tape.trade_lots, percentile) / SHARE
        found[f"trade_p{percentile}"] = float(shares)
    delays = np.array(tape.delay_ms)
    found["print_delay_min"] = float(delays.min())
    found["print_delay_p50"] = float(np.median(delays))
    found["print_delay_max"] = float(delays.max())
    return found
