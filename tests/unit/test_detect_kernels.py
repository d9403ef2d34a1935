"""Detector kernels: known answers, corners, and equality with their slow twins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracle.sets import OracleChange, OracleHit, Quote, Universe, apply_changes
from overround.detect.columns import warm
from overround.detect.kernels import Kernels, cache_folder, load

KERNELS = load()
SHARE = 1_000_000


@dataclass
class Columns:
    """A universe as the kernels see it."""

    universe: Universe
    alive: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        quotes = self.universe.quotes
        self.trusted = np.array([q.trusted for q in quotes], np.uint8)
        self.alive = np.array([q.alive for q in quotes], np.uint8)
        self.bid_ticks = np.array([q.bid_ticks for q in quotes], np.int32)
        self.ask_ticks = np.array([q.ask_ticks for q in quotes], np.int32)
        self.bid_lots = np.array([q.bid_lots for q in quotes], np.int64)
        self.ask_lots = np.array([q.ask_lots for q in quotes], np.int64)
        self.rate_ppm = np.array([q.rate_ppm for q in quotes], np.int64)
        self.version = np.array([q.version for q in quotes], np.int64)
        sets = self.universe.sets
        self.offsets = np.cumsum([0, *map(len, sets)]).astype(np.int32)
        self.members = np.array([m for s in sets for m in s], np.int32)
        self.min_lots = np.array(self.universe.min_lots or [1] * len(sets), np.int64)
        links = [[i for i, s in enumerate(sets) if m in s] for m in range(len(quotes))]
        self.market_offsets = np.cumsum([0, *map(len, links)]).astype(np.int32)
        self.market_sets = np.array([i for link in links for i in link], np.int32)
        self.mark = np.zeros(len(sets), np.uint8)
        self.scanned = np.zeros(5, np.int64)
        room = 2 * len(sets)
        self.out = (
            np.zeros(room, np.int32),
            np.zeros(room, np.int32),
            np.zeros(room, np.int64),
            np.zeros(room, np.int64),
        )

    @property
    def books(self) -> tuple[np.ndarray, ...]:
        return (
            self.alive,
            self.bid_ticks,
            self.ask_ticks,
            self.bid_lots,
            self.ask_lots,
            self.rate_ppm,
        )

    def hits(self, count: int) -> list[OracleHit]:
        return [OracleHit(*(int(column[at]) for column in self.out)) for at in range(count)]

    def sweep(self, threshold: int = 0) -> list[OracleHit]:
        count = KERNELS.scan_all(
            self.offsets,
            self.members,
            self.min_lots,
            *self.books,
            threshold,
            self.scanned,
            *self.out,
        )
        return self.hits(count)

    def scan(self, touched: list[int], threshold: int = 0) -> list[OracleHit]:
        count = KERNELS.scan_touched(
            np.array(touched, np.int32),
            len(touched),
            self.market_offsets,
            self.market_sets,
            self.offsets,
            self.members,
            self.min_lots,
            self.mark,
            *self.books,
            threshold,
            self.scanned,
            *self.out,
        )
        return self.hits(count)


def asks(*ticks: int, rate_ppm: int = 0) -> Universe:
    quotes = [Quote(0, t, 0, 100 * SHARE, rate_ppm) for t in ticks]
    return Universe(quotes, [list(range(len(ticks)))])


def bids(*ticks: int, rate_ppm: int = 0) -> Universe:
    quotes = [Quote(t, 10_000, 100 * SHARE, 0, rate_ppm) for t in ticks]
    return Universe(quotes, [list(range(len(ticks)))])


@pytest.mark.parametrize(
    ("rate_ppm", "edge"),
    [(0, 4 * 10**12), (40_000, 1_301_600_000_000), (50_000, 627_000_000_000), (70_000, None)],
)
def test_buying_all_of_a_cheap_set_has_the_known_edge(rate_ppm: int, edge: int | None) -> None:
    hits = Columns(asks(4_100, 2_800, 1_700, 1_000, rate_ppm=rate_ppm)).sweep()
    assert hits == ([] if edge is None else [OracleHit(0, 1, edge, 100 * SHARE)])


@pytest.mark.parametrize(
    ("rate_ppm", "edge"), [(0, 4 * 10**12), (40_000, 1_117_600_000_000), (50_000, 397_000_000_000)]
)
def test_selling_all_of_a_dear_set_has_the_known_edge(rate_ppm: int, edge: int) -> None:
    hits = Columns(bids(4_200, 3_000, 1_900, 1_300, rate_ppm=rate_ppm)).sweep()
    assert hits == [OracleHit(0, 2, edge, 100 * SHARE)]


def test_a_fair_set_is_no_hit_even_at_threshold_zero() -> None:
    assert Columns(asks(5_000, 3_000, 2_000)).sweep(0) == []


def test_the_threshold_itself_is_a_hit_and_one_unit_more_is_not() -> None:
    columns = Columns(asks(5_000, 4_900))
    assert len(columns.sweep(10**12)) == 1
    assert columns.sweep(10**12 + 1) == []


def test_one_dead_leg_hides_the_set() -> None:
    universe = asks(4_000, 4_000)
    universe.quotes[1].trusted = False
    assert Columns(universe).sweep() == []


def test_an_empty_side_hides_the_set() -> None:
    universe = asks(4_000, 4_000)
    universe.quotes[0].ask_lots = 0
    assert Columns(universe).sweep() == []


def test_size_is_the_smallest_leg_and_must_reach_the_minimum_of_the_set() -> None:
    universe = asks(4_000, 4_000)
    universe.quotes[1].ask_lots = 7 * SHARE
    universe.min_lots = [7 * SHARE]
    assert Columns(universe).sweep()[0].lots == 7 * SHARE
    universe.min_lots = [7 * SHARE + 1]
    assert Columns(universe).sweep() == []


def test_nine_hundred_legs_do_not_overflow() -> None:
    universe = bids(*([9_999] * 900), rate_ppm=1_000_000)
    assert Columns(universe).sweep() == universe.hits(0)
    universe = asks(*([10_000] * 900), rate_ppm=1_000_000)
    assert Columns(universe).sweep() == []


def test_no_sets_and_no_markets_are_no_hits() -> None:
    columns = Columns(Universe([], []))
    assert columns.sweep() == []
    assert columns.scan([]) == []
    assert columns.scanned[0] == 0


def test_a_set_touched_twice_is_scanned_once_and_marks_are_left_clean() -> None:
    columns = Columns(asks(4_000, 4_000))
    assert len(columns.scan([0, 1, 0])) == 1
    assert columns.scanned[0] == 1
    assert not columns.mark.any()


def test_outputs_that_are_full_end_the_list_not_the_process() -> None:
    universe = asks(4_000, 4_000)
    universe.sets = [[0, 1]] * 3
    columns = Columns(universe)
    columns.out = tuple(column[:2] for column in columns.out)  # type: ignore[assignment]
    assert [hit.set_index for hit in columns.sweep()] == [0, 1]


def test_warming_runs_each_kernel_once_in_the_form_the_scanner_uses() -> None:
    ran: list[str] = []

    def spy(name: str) -> Callable[..., int]:
        def run(*arguments: Any) -> int:
            ran.append(name)
            return int(getattr(KERNELS, name)(*arguments))

        return run

    names = [field.name for field in fields(Kernels)]
    warm(Kernels(**{name: spy(name) for name in names}))
    assert sorted(ran) == sorted(names)


def test_compiled_code_moves_only_where_its_own_folder_is_read_only(tmp_path: Path) -> None:
    home, fallback = tmp_path / "package", tmp_path / "run"
    assert cache_folder(home, fallback, {}, lambda path: path == home) is None
    assert cache_folder(home, fallback, {}, lambda path: False) == fallback
    assert cache_folder(home, fallback, {"NUMBA_CACHE_DIR": "/x"}, lambda path: False) is None


def test_kernels_compile_into_the_fallback(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import overround.detect.kernels as kernels\n"
        "kernels.cache_folder = lambda home, fallback, *rest: fallback\n"
        "kernels.load(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True)
    assert len(list((tmp_path / "run").rglob("*.nbc"))) >= 4


def test_importing_the_detector_does_not_import_numba() -> None:
    code = "import sys, overround.detect.process; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


lots = st.one_of(st.just(0), st.integers(1, 500 * SHARE), st.integers(1, 2**62))
quotes_any = st.builds(
    Quote,
    bid_ticks=st.integers(0, 10_000),
    ask_ticks=st.integers(0, 10_000),
    bid_lots=lots,
    ask_lots=lots,
    rate_ppm=st.sampled_from([0, 1, 40_000, 50_000, 70_000, 1_000_000]),
    trusted=st.booleans() | st.just(True),
)
quotes_sound = st.builds(
    lambda bid, gap, bid_lots, ask_lots, rate: Quote(
        bid, min(bid + gap, 10_000), bid_lots, ask_lots, rate
    ),
    st.integers(100, 6_000),
    st.integers(1, 300),
    lots,
    lots,
    st.sampled_from([0, 40_000, 70_000]),
)


@st.composite
def universes(draw: st.DrawFn) -> Universe:
    quotes = draw(st.lists(quotes_any | quotes_sound, min_size=1, max_size=12))
    member = st.integers(0, len(quotes) - 1)
    members = st.lists(member, min_size=1, max_size=6, unique=True)
    sets = draw(st.lists(members, max_size=6))
    minima = draw(st.lists(st.integers(0, 20 * SHARE), min_size=len(sets), max_size=len(sets)))
    return Universe(quotes, sets, minima)


thresholds = st.sampled_from([0, 1, 2 * 10**11, 10**13]) | st.integers(0, 10**14)


@settings(max_examples=300, deadline=None)
@given(universes(), thresholds)
@example(Universe([Quote(0, 0, 0, 1)], [[0]], [0]), 0)
def test_sweep_equals_its_twin(universe: Universe, threshold: int) -> None:
    columns = Columns(universe)
    assert columns.sweep(threshold) == universe.hits(threshold)
    assert columns.scanned[0] == len(universe.sets)


@settings(max_examples=300, deadline=None)
@given(universes(), thresholds, st.data())
def test_event_driven_scan_equals_its_twin(
    universe: Universe, threshold: int, data: st.DataObject
) -> None:
    market = st.integers(0, len(universe.quotes) - 1)
    touched = data.draw(st.lists(market, max_size=8))
    columns = Columns(universe)
    found = sorted(columns.scan(touched, threshold), key=lambda hit: (hit.set_index, hit.kind))
    only = universe.touched(touched)
    assert found == universe.hits(threshold, only)
    assert columns.scanned[0] == len(only)
    assert not columns.mark.any()


@settings(max_examples=200, deadline=None)
@given(universes())
def test_mirror_kernel_equals_its_twin(universe: Universe) -> None:
    columns = Columns(universe)
    columns.alive[:] = 7
    markets = np.arange(len(universe.quotes), dtype=np.int32)
    out = np.zeros(len(markets), np.int32)
    count = KERNELS.scan_mirror(
        markets,
        len(markets),
        columns.trusted,
        columns.bid_ticks,
        columns.ask_ticks,
        columns.bid_lots,
        columns.ask_lots,
        columns.alive,
        out,
    )
    expected = [at for at, q in enumerate(universe.quotes) if q.trusted and q.crossed]
    assert out[:count].tolist() == expected
    assert columns.alive.tolist() == [int(q.alive) for q in universe.quotes]


versions = st.integers(0, 6) | st.sampled_from([2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
changes = st.builds(
    OracleChange,
    market=st.integers(0, 6) | st.just(2**32 - 1),
    version=versions,
    flags=st.integers(0, 15) | st.just(1) | st.just(0xFFFF_FFF1),
    bid_ticks=st.integers(0, 10_000),
    ask_ticks=st.integers(0, 10_000),
    bid_lots=lots,
    ask_lots=lots,
)


def words_of(batch: list[OracleChange]) -> np.ndarray:
    rows = np.zeros((max(len(batch), 1), 8), np.uint64)
    for row, change in zip(rows, batch, strict=False):
        row[2] = change.market | change.version << 32
        row[4] = change.bid_ticks | change.ask_ticks << 16 | change.flags << 32
        row[5], row[6] = change.bid_lots, change.ask_lots
    return rows.view(np.int64)


@settings(max_examples=300, deadline=None)
@given(st.lists(versions, min_size=5, max_size=5), st.lists(changes, max_size=12))
def test_applying_records_equals_its_twin(start: list[int], batch: list[OracleChange]) -> None:
    quotes = [Quote(version=version, trusted=False) for version in start]
    columns = Columns(Universe(quotes, []))
    mark = np.zeros(len(quotes), np.uint8)
    touched = np.zeros(len(quotes), np.int32)
    count = KERNELS.apply_changes(
        words_of(batch),
        len(batch),
        columns.version,
        mark,
        columns.trusted,
        columns.bid_ticks,
        columns.ask_ticks,
        columns.bid_lots,
        columns.ask_lots,
        touched,
    )
    assert touched[:count].tolist() == apply_changes(quotes, batch)
    expected = Columns(Universe(quotes, []))
    for name in ("version", "trusted", "bid_ticks", "ask_ticks", "bid_lots", "ask_lots"):
        assert getattr(columns, name).tolist() == getattr(expected, name).tolist()
    assert not mark.any()


BOOK = st.tuples(
    st.booleans(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 1), st.integers(0, 1)
)


@settings(max_examples=200)
@given(st.lists(BOOK, max_size=40))
def test_the_sweep_of_all_books_equals_the_scan_of_each(books: list[tuple[int, ...]]):
    kinds = (np.uint8, np.int32, np.int32, np.int64, np.int64)
    sides = tuple(np.array([book[at] for book in books], kind) for at, kind in enumerate(kinds))
    everything = np.arange(len(books), dtype=np.int32)
    answers = []
    for swept in (True, False):
        alive, crossed = np.full(len(books), 9, np.uint8), np.zeros(len(books), np.int32)
        count = (
            KERNELS.sweep_mirror(*sides, alive, crossed)
            if swept
            else KERNELS.scan_mirror(everything, len(books), *sides, alive, crossed)
        )
        answers.append((alive.tolist(), crossed[:count].tolist()))
    assert answers[0] == answers[1]
