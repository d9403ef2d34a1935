"""Bytes of a price change to a detector's verdict, through the shared regions, in one loop.

Our side is what the two processes do, one after the other: ``ovr_feed_frame`` (decode, find the
markets, check the stream, set two levels, publish the slot and the ring record), poll the ring,
apply the record to the detector's columns, look for a crossed book, scan the sets of the market.
The floor decodes, sets two levels and compares two prices.
"""

from __future__ import annotations

import ctypes
import os
import random
from typing import Any

import numpy as np
from numba import njit

from oracle.frames import T0
from overround import clock
from overround._native import ffi
from overround.book.engine import FeedEngine
from overround.detect.columns import Columns
from overround.detect.kernels import load
from overround.detect.relations import Relations
from overround.layout.board import UntrustCause
from overround.layout.region import RegionKind
from overround.shm.segment import Segment
from runner import corpus, peers
from runner.judge import Row, Series, judge
from runner.kit import CannotMeasure, Kit

FRAMES, MARKETS, SLACK = 512, 64, 128
RECORDS = 64
CAUSE = (
    "beyond the floor's work every frame finds two 77-digit tokens and keeps the burst, the bests "
    "declared and the trust of the stream (about 55 ns), stamps the publish time (22 ns, the clock "
    "itself), writes the slot for other processes (10 ns), passes a record through the ring "
    "(15 ns) and runs three kernels over it (50 ns); decoding takes 70 of the floor's 80 ns. Done: "
    "decoding by AVX2, the sixteen levels shown kept as the ladder moves, only changed words "
    "stored, tokens hashed by three words and found in pairs (the ratio was 5.5). Left out: a "
    "clock made from the time-stamp counter, 10 ns less, which would not be the one that other "
    "processes read; and to believe the stream without checking it"
)


def functions(kit: Kit) -> ctypes.CDLL:
    """Return the floor and the runtime's calls, typed for Numba."""
    path = kit.compile("verdict.so", "verdict.c", flags=("-shared", "-fPIC"))
    library = ctypes.CDLL(str(path))
    for name in ("verdict_frame", "verdict_poll"):
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_int64] * 4, ctypes.c_int64
    library.verdict_floor.restype = ctypes.c_uint64
    return library


def make_loop(library: ctypes.CDLL, columns: Columns) -> Any:
    """Return the compiled pass over all frames."""
    frame_, poll_ = library.verdict_frame, library.verdict_poll
    kernels = columns._kernels
    apply_changes, scan_mirror = kernels.apply_changes, kernels.scan_mirror
    scan_touched = kernels.scan_touched

    @njit(nogil=True)
    def follow(
        addresses: Any, lengths: Any, where: Any, words: Any, seen: Any, own: Any, books: Any,
        crossed: Any, related: Any, scanned: Any, hits: Any, now_ns: int,
    ) -> int:  # fmt: skip
        version, mark, trusted, touched = own
        alive, bid_ticks, ask_ticks, bid_lots, ask_lots = books
        market_offsets, market_sets, offsets, members, min_lots, set_mark, rate = related
        out_set, out_kind, out_edge, out_lots = hits
        changes = 0
        for at in range(addresses.shape[0]):
            changes += frame_(where[0], addresses[at], lengths[at], now_ns + at)
            count = poll_(where[1], where[2], where[3], RECORDS)
            if count <= 0:
                return -1
            found = apply_changes(
                words, count, version, mark, trusted, bid_ticks, ask_ticks, bid_lots, ask_lots,
                touched,
            )  # fmt: skip
            seen[0] += found
            seen[1] += scan_mirror(
                touched, found, trusted, bid_ticks, ask_ticks, bid_lots, ask_lots, alive, crossed
            )
            seen[2] += scan_touched(
                touched, found, market_offsets, market_sets, offsets, members, min_lots, set_mark,
                alive, bid_ticks, ask_ticks, bid_lots, ask_lots, rate, 1, scanned,
                out_set, out_kind, out_edge, out_lots,
            )  # fmt: skip
        return changes

    return follow


class Bench:
    """The same frames for both sides, and the regions of ours."""

    def __init__(self, kit: Kit) -> None:
        self.library = functions(kit)
        rng = random.Random(17)
        self.books = corpus.books(markets=MARKETS)
        self.openings = [book.opening(T0) for book in self.books]
        frames, markets = [], []
        for n in range(FRAMES):
            market = rng.randrange(MARKETS)
            side = rng.randrange(2)
            ticks = (5_010 if side else 5_000) + 10 * rng.randrange(20) * (1 if side else -1)
            book = self.books[market]
            book.set(side, ticks, rng.randrange(5, 900_000) * 10_000)
            frames.append(book.change((side, ticks), epoch_ms=T0 + 1 + n))
            markets.append(market)
        self.frames = frames
        self.held = [ctypes.create_string_buffer(frame, len(frame) + SLACK) for frame in frames]
        self.addresses = np.array([ctypes.addressof(item) for item in self.held], np.int64)
        self.lengths = np.array([len(frame) for frame in frames], np.int64)
        self.markets = np.array(markets, np.uint32)
        self.crossed = ctypes.c_uint32()
        self._set_up()

    def _set_up(self) -> None:
        name = f"/ovr-bench-{os.getpid()}"
        self.regions = [
            Segment.create(f"{name}-{kind.name.lower()}", kind, capacity=capacity, run_id=1)
            for kind, capacity in ((RegionKind.BOARD, MARKETS), (RegionKind.CHANGES, 1_024))
        ]
        board, ring = self.regions
        self.engine = FeedEngine(markets_capacity=MARKETS, audit_every=0, board=board, changes=ring)
        for index, book in enumerate(self.books):
            self.engine.add_market(index, book.market, book.yes, book.no, 10, "5", False)
        columns = self.columns = Columns(load(), MARKETS)
        pairs = MARKETS // 2
        columns.relate(
            Relations(
                set_ids=tuple(range(pairs)),
                offsets=np.arange(0, MARKETS + 1, 2, dtype=np.int32),
                members=np.arange(MARKETS, dtype=np.int32), min_lots=np.ones(pairs, np.int64),
                market_offsets=np.arange(MARKETS + 1, dtype=np.int32),
                market_sets=(np.arange(MARKETS) // 2).astype(np.int32),
                filter_rate_ppm=np.full(MARKETS, 40_000, np.int64), skipped={},
            )
        )  # fmt: skip
        self.cursor = np.zeros(1, np.uint64)
        self.words = np.zeros((RECORDS, 8), np.int64)
        self.where = np.array(
            [int(ffi.cast("uintptr_t", self.engine.native_pointer)), ring.address,
             self.cursor.ctypes.data, self.words.ctypes.data], np.int64,
        )  # fmt: skip
        self.seen = np.zeros(3, np.int64)
        self.loop = make_loop(self.library, columns)

    def close(self) -> None:
        """Remove the regions."""
        del self.engine
        for region in self.regions:
            region.unlink()
            region.close()

    def floor(self) -> float:
        """Return ns of one pass of the floor."""
        return float(
            self.library.verdict_floor(
                ctypes.c_uint32(FRAMES), ctypes.c_void_p(self.addresses.ctypes.data),
                ctypes.c_void_p(self.markets.ctypes.data), ctypes.byref(self.crossed),
            )
        )  # fmt: skip

    def ours(self) -> float:
        """Begin the stream anew, then return ns of one pass of ours."""
        for index, opening in enumerate(self.openings):
            self.engine.untrust(index, UntrustCause.RECONNECT, clock.monotonic_ns())
            self.engine.on_frame(opening, clock.monotonic_ns())
        self.cursor[0] = self.regions[1].cursor
        columns, related, hits = self.columns, self.columns.relations, self.columns.hits
        columns.version[:] = 0
        columns.trusted[:] = 0
        self.seen[:] = 0
        arguments = (
            self.addresses, self.lengths, self.where, self.words, self.seen,
            (columns.version, columns._market_mark, columns.trusted, columns.touched),
            (columns.alive, columns.bid_ticks, columns.ask_ticks, columns.bid_lots,
             columns.ask_lots),
            columns._crossed,
            (related.market_offsets, related.market_sets, related.offsets, related.members,
             related.min_lots, columns._set_mark, related.filter_rate_ppm),
            columns._scanned, (hits.set_index, hits.kind, hits.edge, hits.lots),
        )  # fmt: skip
        begun = clock.monotonic_ns()
        changes = self.loop(*arguments, begun)
        took = clock.monotonic_ns() - begun
        if changes != 2 * FRAMES or self.seen[0] < FRAMES or self.engine.trusted_count != MARKETS:
            raise CannotMeasure(
                f"{changes} changes, {self.seen.tolist()} seen, "
                f"{self.engine.trusted_count} of {MARKETS} books trusted"
            )
        return float(took)


def measure(kit: Kit, _: list[str]) -> list[Row]:
    """Return ``frame_to_verdict``."""
    bench = Bench(kit)
    floor, subject = Series(), Series()
    try:
        with kit.quiet():
            for turn in range(-2, kit.rounds):
                figures = bench.floor(), bench.ours()
                if turn >= 0:
                    for one, figure in zip((floor, subject), figures, strict=True):
                        one.p50.append(figure / FRAMES)
        path = corpus.write("verdict", [*bench.openings, *bench.frames])
        others = peers.run(kit, "nautilus", str(path), str(len(bench.openings)))
    finally:
        bench.close()
    return [
        judge(
            "frame_to_verdict", subject, floor,
            peers={name: float(value) for name, value in others.items()},
            notes={"missed": CAUSE, "frame bytes": int(bench.lengths.mean())},
        )
    ]  # fmt: skip
