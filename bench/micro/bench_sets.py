"""What does scanning complete sets cost, in the kernel and by other ways of calling it?

Input: 1,024 markets in 128 sets of eight, fees of 4 %, seeded prices with no set below par
(the steady state). Each figure is one call; divide by what the name says. The kernels are
compiled before the first round.

    pytest bench/micro/bench_sets.py --benchmark-columns=min,median,stddev,rounds

Ratios matter, not the nanoseconds of a shared machine: the slow twin against the sweep, and
one call a market against one call for all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oracle.sets import Quote, Universe
from overround.detect.columns import Columns
from overround.detect.kernels import load
from overround.detect.relations import Relations

MARKETS, LEGS = 1_024, 8
SETS = MARKETS // LEGS
THRESHOLD = 2_000 * 10**8


def universe(seed: int = 7) -> Universe:
    """Return sets whose asks sum to at least 1 and whose bids to at most 1."""
    rng = random.Random(seed)
    quotes = []
    for _ in range(MARKETS):
        bid = rng.randrange(900, 1_250)
        lots = rng.randrange(5, 500) * 1_000_000
        quotes.append(Quote(bid, 2_500 - bid, lots, lots, 40_000))
    return Universe(quotes, [list(range(at, at + LEGS)) for at in range(0, MARKETS, LEGS)])


def columns_of(source: Universe) -> Columns:
    """Return the private copy a detector would hold of this universe."""
    columns = Columns(load(), MARKETS)
    members = np.arange(MARKETS, dtype=np.int32)
    columns.relate(
        Relations(
            set_ids=tuple(range(SETS)),
            offsets=np.arange(0, MARKETS + 1, LEGS, dtype=np.int32),
            members=members,
            min_lots=np.full(SETS, 5_000_000, np.int64),
            market_offsets=np.arange(MARKETS + 1, dtype=np.int32),
            market_sets=(members // LEGS).astype(np.int32),
            filter_rate_ppm=np.array([q.rate_ppm for q in source.quotes], np.int64),
            skipped={},
        )
    )
    columns.trusted[:] = 1
    columns.bid_ticks[:] = [q.bid_ticks for q in source.quotes]
    columns.ask_ticks[:] = [q.ask_ticks for q in source.quotes]
    columns.bid_lots[:] = [q.bid_lots for q in source.quotes]
    columns.ask_lots[:] = [q.ask_lots for q in source.quotes]
    columns.check_mirrors()
    return columns


@pytest.fixture(name="columns")
def fixture_columns() -> Columns:
    return columns_of(universe())


Benchmark = Callable[..., Any]


def test_sweep_of_128_sets(benchmark: Benchmark, columns: Columns) -> None:
    assert benchmark(columns.sweep, THRESHOLD) == 0


def test_slow_twin_of_128_sets(benchmark: Benchmark) -> None:
    assert benchmark(universe().hits, THRESHOLD) == []


def test_128_sets_by_one_call_each(benchmark: Benchmark, columns: Columns) -> None:
    def per_set() -> int:
        hits = 0
        for market in range(0, MARKETS, LEGS):
            columns.touched[0] = market
            hits += columns.scan(1, THRESHOLD)
        return hits

    assert benchmark(per_set) == 0


@pytest.mark.parametrize("count", [1, 64, 1_024])
def test_batch_of_changes_to_no_hit(benchmark: Benchmark, columns: Columns, count: int) -> None:
    markets = np.arange(count, dtype=np.int64)
    words = np.zeros((count, 8), np.int64)
    asks = columns.ask_ticks[:count].astype(np.int64)
    words[:, 4] = columns.bid_ticks[:count] | asks << 16 | 1 << 32
    words[:, 5] = columns.bid_lots[:count]
    words[:, 6] = columns.ask_lots[:count]
    version = 0

    def batch() -> int:
        nonlocal version
        version += 1
        words[:, 2] = markets | version << 32
        touched = columns.apply(words, count)
        columns.check_mirrors(touched)
        return touched + columns.scan(touched, THRESHOLD)

    assert benchmark(batch) == count
