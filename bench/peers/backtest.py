"""An event and the best prices after it, ns, through hftbacktest's own feed loop.

It has no book to be updated alone: every event goes through its engine (time, exchange and local
side), as it does for its users. The strategy only reads both best prices.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    ROIVectorMarketDepthBacktest,
    event_dtype,
)
from numba import njit

EVENTS, WARM, PASSES = 500_000, 1_000, 3
STEP_NS = 1_000


def feed(count: int) -> Any:
    """Return depth events: a random side, within 40 ticks, a quarter of them deletions."""
    rng = np.random.default_rng(7)
    made = np.zeros(count, event_dtype)
    side, away = rng.integers(0, 2, count), rng.integers(0, 40, count)
    kind = DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT
    made["ev"] = np.where(side == 1, kind | SELL_EVENT, kind | BUY_EVENT)
    made["exch_ts"] = made["local_ts"] = 10**18 + np.arange(count) * STEP_NS
    made["px"] = np.where(side == 1, 501 + away, 500 - away) / 1_000
    made["qty"] = np.where(rng.integers(0, 4, count) == 0, 0, rng.integers(1, 1_000, count))
    return made


@njit
def follow(engine: Any) -> tuple[int, int]:
    """Wait for every event and read the best prices."""
    events = total = 0
    while engine.wait_next_feed(False, 10**12) == 2:
        depth = engine.depth(0)
        total += depth.best_bid_tick + depth.best_ask_tick
        events += 1
    return events, total


def once(make: Any, events: Any) -> float:
    """Return nanoseconds an event of one pass."""
    asset = (
        BacktestAsset().data(events).linear_asset(1.0).constant_order_latency(0, 0)
        .risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        .tick_size(0.001).lot_size(1.0).last_trades_capacity(0)
    )  # fmt: skip
    if make is ROIVectorMarketDepthBacktest:
        asset = asset.roi_lb(0.0).roi_ub(1.0)
    engine = make([asset])
    begun = time.perf_counter_ns()
    seen, _ = follow(engine)
    took = time.perf_counter_ns() - begun
    engine.close()
    if seen < len(events) * 9 // 10:
        raise ValueError(f"{seen} of {len(events)} events seen")
    return took / len(events)


def main() -> None:
    events, found = feed(EVENTS), {}
    for name, make in (
        ("hftbacktest, its feed loop, vector", ROIVectorMarketDepthBacktest),
        ("hftbacktest, its feed loop, hash map", HashMapMarketDepthBacktest),
    ):
        once(make, events[:WARM])
        found[name] = min(once(make, events) for _ in range(PASSES))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
