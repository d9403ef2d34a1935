"""Detector kernels in the loop they run in, against C with AVX-512.

The kernels are called from a compiled loop: a call from Python costs about a microsecond, whatever
it does, and the detector makes one a batch.
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
POINTER, WORD = ctypes.c_void_p, ctypes.c_uint32
CAUSES = {
    "detect_sweep": "Numba emits 256-bit vectors",
    "detect_pair": "one set at a time instead of sixteen",
    "detect_set": "one set at a time instead of sixteen",
    "signal_tick": "the window's sums are kept in memory between ticks",
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


def pairs(
    kit: Kit, floor: Callable[[], float], subject: Callable[[], object], divide: int
) -> tuple[Series, Series]:
    """Run both in turn; return their series in ns an item."""
    from overround import clock

    series = Series(), Series()
    for turn in range(-2, kit.rounds):
        figures = [floor()]
        begun = clock.monotonic_ns()
        subject()
        figures.append(clock.monotonic_ns() - begun)
        if turn >= 0:
            for one, figure in zip(series, figures, strict=True):
                one.p50.append(figure / divide)
    return series


class Bench:
    """Books of 10,000 markets as columns for our kernels and as float32 for the floors."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        path = kit.compile("detect.so", "detect.c", flags=("-shared", "-fPIC"))
        self.floor = ctypes.CDLL(str(path))
        for name in ("detect_sweep", "detect_sets", "detect_signal"):
            getattr(self.floor, name).restype = ctypes.c_uint64
        rng = np.random.default_rng(7)
        self.rng = rng
        self.bid_ticks = rng.integers(900, 5_000, MARKETS).astype(np.int32)
        self.ask_ticks = (self.bid_ticks + rng.integers(10, 300, MARKETS)).astype(np.int32)
        self.lots = rng.integers(1, 10**9, (2, MARKETS))
        self.rate = np.full(MARKETS, 40_000, np.int64)
        self.ask = (self.ask_ticks / 10_000).astype(np.float32)
        self.bid = (self.bid_ticks / 10_000).astype(np.float32)
        self.fee = np.full(MARKETS, 0.04, np.float32)
        self.out = np.zeros(2 * MARKETS, np.uint32)
        self.hits = WORD()

    def sweep(self) -> tuple[Series, Series]:
        """All markets: is a book crossed?"""
        arrays = (
            np.ones(MARKETS, np.uint8), self.bid_ticks, self.ask_ticks, self.lots[0].copy(),
            self.lots[1].copy(),
        )  # fmt: skip
        alive, crossed = np.zeros(MARKETS, np.uint8), np.zeros(MARKETS, np.int32)
        floats = [
            self.ask, (1 - self.bid).astype(np.float32), self.bid,
            (1 - self.ask).astype(np.float32), self.fee,
        ]  # fmt: skip

        def floor() -> float:
            return float(
                self.floor.detect_sweep(
                    WORD(MARKETS),
                    *(POINTER(a.ctypes.data) for a in floats),
                    POINTER(self.out.ctypes.data),
                    WORD(SWEEPS),
                    ctypes.byref(self.hits),
                )
            )

        def subject() -> None:
            assert _sweep(SWEEPS, arrays, alive, crossed) == 0

        return pairs(self.kit, floor, subject, MARKETS * SWEEPS)

    def sets(self, legs: int) -> tuple[Series, Series]:
        """Sets of so many random markets, each market in as many sets as there are legs."""
        count = MARKETS // 16 * 16
        members = self.rng.integers(0, MARKETS, (count, legs)).astype(np.int32)
        # Sums near one from both sides, so that nothing can be decided by a glance.
        ask = (self.ask_ticks / (legs * 0.27)).astype(np.int32).clip(1, 9_999)
        bid = (self.bid_ticks / (legs * 0.40)).astype(np.int32).clip(1, 9_999)
        scale = max(1.0, 10_000 / (legs * float(ask.min()) + 1))
        ask = (ask * scale).astype(np.int32).clip(1, 9_999)
        bid = np.minimum(bid, 9_999 // legs).astype(np.int32)
        by_leg = np.ascontiguousarray(members.T)
        floats = [(ask / 10_000).astype(np.float32), (bid / 10_000).astype(np.float32), self.fee]
        related = (
            np.arange(0, count * legs + 1, legs, dtype=np.int32), members.reshape(-1).copy(),
            np.ones(count, np.int64),
        )  # fmt: skip
        books = (
            np.ones(MARKETS, np.uint8), bid, ask, self.lots[0].copy(), self.lots[1].copy(),
            self.rate,
        )  # fmt: skip
        room = 2 * count
        outputs = (
            np.zeros(room, np.int32), np.zeros(room, np.int32), np.zeros(room, np.int64),
            np.zeros(room, np.int64),
        )  # fmt: skip
        scanned = np.zeros(5, np.int64)

        def floor() -> float:
            taken = self.floor.detect_sets(
                WORD(count), WORD(legs), POINTER(by_leg.ctypes.data),
                *(POINTER(a.ctypes.data) for a in floats), POINTER(self.out.ctypes.data),
                WORD(SCANS), ctypes.byref(self.hits),
            )  # fmt: skip
            return float(taken)

        def subject() -> None:
            found = _scan(SCANS, related, books, scanned, outputs)
            assert found == self.hits.value * SCANS, (found, self.hits.value)

        return pairs(self.kit, floor, subject, count * SCANS)

    def signals(self) -> tuple[Series, Series]:
        """One price after the other."""
        ticks = self.rng.integers(4_000, 6_000, TICKS)
        out, window, sums = np.zeros(4), np.zeros(WINDOW, np.int64), np.zeros(4, np.int64)
        ewma, floor_out = np.array([0.0, 0.1]), np.zeros(4)

        def floor() -> float:
            taken = self.floor.detect_signal(
                POINTER(ticks.ctypes.data), WORD(TICKS), ctypes.c_double(0.1),
                POINTER(floor_out.ctypes.data), WORD(SIGNAL_PASSES),
            )  # fmt: skip
            return float(taken)

        def subject() -> None:
            _signals(SIGNAL_PASSES, ticks, window, sums, ewma, out)

        found = pairs(self.kit, floor, subject, TICKS * SIGNAL_PASSES)
        assert np.allclose(out, floor_out), (out, floor_out)
        return found


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return the rows of the kernels that are wanted."""
    bench = Bench(kit)
    work: dict[str, Callable[[], tuple[Series, Series]]] = {
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
            floor, subject = work[name]()
            rows.append(judge(name, subject, floor, notes={"missed": CAUSES[name]}))
    return rows
