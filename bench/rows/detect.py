"""Detector kernels in the loop they run in, against C with AVX-512.

The kernels are called from a compiled loop: a call from Python costs about a microsecond, whatever
it does, and the detector makes one a batch.

Subject and floor take the same columns and have to give the same lists, hits included. The plain
kernel of float32 prices, which puts fees on every leg and answers with indices, runs beside them:
its figure is in the row's notes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from overround.detect.kernels.mirror import sweep_mirror
from overround.detect.kernels.sets import scan_all
from overround.detect.kernels.signals import update_signals
from runner.judge import Row, Series, judge, unmeasured
from runner.kit import Kit

MARKETS = 10_000
TICKS = 4_096
WINDOW = 64
SWEEPS, SCANS, SIGNAL_PASSES = 25, 8, 4
THRESHOLD = 1
FEE_PPM = 40_000
CROSSED, HALF_EMPTY, UNTRUSTED = 0.01, 0.01, 0.01
"""Shares of the books that touch with sizes, touch without, and are not trusted."""
CANDIDATE_SIDE, HIT_SIDE = 1.96, 2.576
"""Standard deviations at which a side's prices alone may pay (2.5 %), and pay its fees (0.5 %)."""
POINTER, WORD, LONG = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int64
CAUSES = {
    "detect_sweep": "flags are written and looked at in two loops; C sees a vector's mask at once",
    "detect_pair": "one set at a time instead of sixteen",
    "detect_set": "one set at a time instead of sixteen",
    "signal_tick": "the average is read back from memory at each tick",
}


@njit(nogil=True)
def _sweep(passes: int, arrays: Any, alive: Any, crossed: Any) -> int:
    trusted, bid_ticks, ask_ticks, bid_lots, ask_lots = arrays
    found = 0
    for turn in range(passes):
        bid_lots[turn] += 1  # another book each time, or the loop would be run once
        found += sweep_mirror(trusted, bid_ticks, ask_ticks, bid_lots, ask_lots, alive, crossed)
    return found


@njit(nogil=True)
def _scan(passes: int, related: Any, books: Any, scanned: Any, outputs: Any) -> int:
    offsets, members, min_lots = related
    alive, bid_ticks, ask_ticks, bid_lots, ask_lots, rate = books
    out_set, out_kind, out_edge, out_lots = outputs
    found = 0
    for turn in range(passes):
        bid_lots[turn] += 1
        found += scan_all(
            offsets, members, min_lots, alive, bid_ticks, ask_ticks, bid_lots, ask_lots, rate,
            THRESHOLD, scanned, out_set, out_kind, out_edge, out_lots,
        )  # fmt: skip
    return found


@njit(nogil=True)
def _signals(passes: int, ticks: Any, window: Any, sums: Any, ewma: Any, out: Any) -> float:
    total = 0.0
    for _ in range(passes):
        for tick in ticks:
            total += update_signals(tick, window, sums, ewma, out)
    return total


def addresses(*arrays: np.ndarray) -> list[ctypes.c_void_p]:
    """Return where these arrays are."""
    return [POINTER(array.ctypes.data) for array in arrays]


def table(arrays: tuple[np.ndarray, ...]) -> Any:
    """Return a C structure of pointers to these arrays."""
    return (POINTER * len(arrays))(*addresses(*arrays))


def in_turn(
    kit: Kit, divide: int, subject: Callable[[], object], *floors: Callable[[], float]
) -> list[Series]:
    """Run all in turn; return their series in ns an item, the subject's first."""
    from overround import clock

    series = [Series() for _ in range(1 + len(floors))]
    for turn in range(-2, kit.rounds):
        figures = [floor() for floor in floors]
        begun = clock.monotonic_ns()
        subject()
        figures.insert(0, clock.monotonic_ns() - begun)
        if turn >= 0:
            for one, figure in zip(series, figures, strict=True):
                one.p50.append(figure / divide)
    return series


class Bench:
    """Books of 10,000 markets as the columns of the detector, for ours and for the floors."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        path = kit.compile("detect.so", "detect.c", flags=("-shared", "-fPIC"))
        self.floor = ctypes.CDLL(str(path))
        for name in (
            "detect_sweep", "detect_sweep_priced", "detect_sets", "detect_sets_priced",
            "detect_signal",
        ):  # fmt: skip
            getattr(self.floor, name).restype = ctypes.c_uint64
        self.rng = np.random.default_rng(7)
        self.fee = np.full(MARKETS, FEE_PPM / 1e6, np.float32)
        self.plain_out = np.zeros(2 * MARKETS, np.uint32)
        self.hits, self.plain_hits = WORD(), WORD()

    def chosen(self, share: float) -> np.ndarray:
        """Return that share of the markets, at random."""
        return self.rng.choice(MARKETS, int(share * MARKETS), replace=False)

    def sweep(self) -> list[Series]:
        """All markets: is a book crossed?"""
        bid = self.rng.integers(900, 5_000, MARKETS).astype(np.int32)
        ask = (bid + self.rng.integers(10, 300, MARKETS)).astype(np.int32)
        lots = self.rng.integers(1, 10**9, (2, MARKETS))
        trusted = np.ones(MARKETS, np.uint8)
        touching = self.chosen(CROSSED + HALF_EMPTY)
        ask[touching] = bid[touching] - self.rng.integers(0, 3, len(touching))
        lots[0, touching[: int(HALF_EMPTY * MARKETS)]] = 0
        lots[0, :SWEEPS] = 1  # each turn of ours moves one of these
        trusted[self.chosen(UNTRUSTED)] = 0
        books = trusted, bid, ask, lots[0].copy(), lots[1].copy()
        ours = np.zeros(MARKETS, np.uint8), np.zeros(MARKETS, np.int32)
        theirs = np.zeros(MARKETS, np.uint8), np.zeros(MARKETS, np.int32)
        yes, no = (bid / 10_000).astype(np.float32), (ask / 10_000).astype(np.float32)
        plain_sides = no, (1 - yes).astype(np.float32), yes, (1 - no).astype(np.float32)

        def floor() -> float:
            taken = self.floor.detect_sweep(
                WORD(MARKETS), *addresses(*books, *theirs), WORD(SWEEPS), ctypes.byref(self.hits)
            )
            return float(taken)

        def plain() -> float:
            taken = self.floor.detect_sweep_priced(
                WORD(MARKETS), *addresses(*plain_sides, self.fee, self.plain_out), WORD(SWEEPS),
                ctypes.byref(self.plain_hits),
            )  # fmt: skip
            return float(taken)

        def subject() -> None:
            assert _sweep(SWEEPS, books, *ours) == self.hits.value * SWEEPS

        found = in_turn(self.kit, MARKETS * SWEEPS, subject, floor, plain)
        assert self.hits.value > CROSSED * MARKETS * 0.9
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one, other)
        return found

    def corpus(self, legs: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Return sets of so many random markets, and books: of a hundred sets, one is a hit.

        Prices scatter around a fair set, with a spread such that either side looks good in 2.5 % of
        the sets before fees and in 0.5 % after them.
        """
        count = MARKETS // 16 * 16
        members = self.rng.integers(0, MARKETS, (count, legs)).astype(np.int32)
        fees = FEE_PPM / 100 * (1 - 1 / legs)
        scatter = fees / (HIT_SIDE - CANDIDATE_SIDE)
        middle = 10_000 / legs + self.rng.normal(0, scatter / legs**0.5, MARKETS)
        half = CANDIDATE_SIDE * scatter / legs
        bid = (middle - half).astype(np.int32).clip(1, 9_999)
        ask = (middle + half).astype(np.int32).clip(1, 9_999)
        alive = np.ones(MARKETS, np.uint8)
        alive[self.chosen(UNTRUSTED)] = 0
        lots = self.rng.integers(1, 10**9, (2, MARKETS))
        rate = np.full(MARKETS, FEE_PPM, np.int64)
        related = (
            np.arange(0, count * legs + 1, legs, dtype=np.int32), members.reshape(-1).copy(),
            np.ones(count, np.int64),
        )  # fmt: skip
        return related, (alive, bid, ask, lots[0].copy(), lots[1].copy(), rate)

    def sets(self, legs: int) -> list[Series]:
        """Sets of so many random markets, each market in as many sets as there are legs."""
        related, books = self.corpus(legs)
        count = len(related[2])
        by_leg = np.ascontiguousarray(related[1].reshape(count, legs).T)
        ours, theirs = (
            tuple(np.zeros(2 * count, kind) for kind in (np.int32, np.int32, np.int64, np.int64))
            for _ in range(2)
        )
        scanned = np.zeros(5, np.int64)
        shares = [(side / 10_000).astype(np.float32) for side in (books[2], books[1])]

        def floor() -> float:
            taken = self.floor.detect_sets(
                WORD(count), WORD(legs), *addresses(by_leg), table(books), LONG(THRESHOLD),
                table(theirs), WORD(SCANS), ctypes.byref(self.hits),
            )  # fmt: skip
            return float(taken)

        def plain() -> float:
            taken = self.floor.detect_sets_priced(
                WORD(count), WORD(legs), *addresses(by_leg, *shares, self.fee, self.plain_out),
                WORD(SCANS), ctypes.byref(self.plain_hits),
            )  # fmt: skip
            return float(taken)

        def subject() -> None:
            found = _scan(SCANS, related, books, scanned, ours)
            assert found == self.hits.value * SCANS, (found, self.hits.value)

        found = in_turn(self.kit, count * SCANS, subject, floor, plain)
        floor()  # our own turns have moved sizes since
        assert 0.005 * count < self.hits.value < 0.02 * count, self.hits.value
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one, other)
        return found

    def signals(self) -> list[Series]:
        """One price after the other."""
        ticks = self.rng.integers(4_000, 6_000, TICKS)
        out, window, sums = np.zeros(4), np.zeros(WINDOW, np.int64), np.zeros(4, np.int64)
        ewma, floor_out = np.array([0.0, 0.1, 0.0]), np.zeros(4)

        def floor() -> float:
            taken = self.floor.detect_signal(
                POINTER(ticks.ctypes.data), WORD(TICKS), ctypes.c_double(0.1),
                POINTER(floor_out.ctypes.data), WORD(SIGNAL_PASSES),
            )  # fmt: skip
            return float(taken)

        def subject() -> None:
            _signals(SIGNAL_PASSES, ticks, window, sums, ewma, out)

        found = in_turn(self.kit, TICKS * SIGNAL_PASSES, subject, floor)
        assert np.allclose(out, floor_out), (out, floor_out)
        return found


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return the rows of the kernels that are wanted."""
    bench = Bench(kit)
    work: dict[str, Callable[[], list[Series]]] = {
        "detect_sweep": bench.sweep,
        "detect_pair": lambda: bench.sets(2),
        "detect_set": lambda: bench.sets(5),
        "signal_tick": bench.signals,
    }
    rows = []
    with kit.quiet():
        for name in names:
            if name != "signal_tick" and not bench.floor.detect_has_avx512():
                rows.append(unmeasured(name, "the floor needs AVX-512, which this CPU lacks"))
                continue
            subject, floor, *plain = work[name]()
            notes: dict[str, Any] = {"missed": CAUSES[name]}
            if plain:
                notes["plain_float32_ns"] = plain[0].value
            rows.append(judge(name, subject, floor, notes=notes))
    return rows
