"""Tick to order: a frame on one socket, the bytes of an order on another, nothing signed.

The server sends a price change that makes two asks sum to less than one, and stops the clock when
the last byte of a POST has come; before that it sends one that takes the edge away again. Frames
have a time at which they are due, one every ``PERIOD_US``, and the clock starts at that time: what
a slow order holds up counts as slow as well (no coordinated omission).

Ours in one process: the io_uring links hand the text to the feed engine, the slot and the ring
record are published, one compiled loop polls the ring, runs the detector's kernels and patches the
price into a request prepared ahead. The floor scans, sets, compares and sends.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
from statistics import median
from typing import Any

import numpy as np
from numba import njit

from oracle.frames import T0, VenueBook, compact
from overround._native import ffi
from overround.book.engine import FeedEngine
from overround.detect.columns import Columns
from overround.detect.kernels import load
from overround.detect.relations import Relations
from overround.layout.region import RegionKind
from overround.shm.segment import Segment
from rows.sockets import need_uring, serving
from runner import corpus, peers
from runner.judge import Row, Series, judge
from runner.kit import CannotMeasure, Kit

TICKS, SHARE, RECORDS, LEVELS = 1_000, 1_000_000, 64, 20
P99_TARGET = 1.5
PERIOD_US = 100
"""Between frames, as bench/limits/ticks_client.c asks for it; the peers ask for 4,000."""
CAUSE = "look-up, trust, the published slot and the ring between book and kernels"
BODY = {
    "order": {
        "salt": 1561389545621, "maker": "0x" + "11" * 20, "signer": "0x" + "11" * 20,
        "tokenId": "7" * 77, "makerAmount": "5200000", "takerAmount": "10000000", "side": "BUY",
        "expiration": "0", "signatureType": 0, "timestamp": "1795345200435",
        "metadata": "0x" + "00" * 32, "builder": "0x" + "00" * 32, "signature": "0x" + "22" * 65,
    },
    "owner": "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10", "orderType": "FAK", "price": "0.0000",
}  # fmt: skip


def request() -> tuple[bytes, int]:
    """Return an order's request and where the price's four decimals are."""
    body = json.dumps(BODY, separators=(",", ":")).encode()
    head = (
        "POST /order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"POLY_ADDRESS: 0x{'11' * 20}\r\nPOLY_SIGNATURE: {'A' * 44}\r\nPOLY_TIMESTAMP: 1795345200"
        f"\r\nPOLY_API_KEY: {BODY['owner']}\r\nPOLY_PASSPHRASE: {'f' * 64}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    whole = head + body
    return whole, whole.index(b'"price":"0.') + 11


def make_ticks() -> tuple[list[VenueBook], list[bytes]]:
    """Return two markets and their stream: openings, then an edge taken away and made, in turn."""
    rng = random.Random(19)
    made = corpus.books(seed=19, markets=2)
    for book in made:
        book.bids = {2_000 - 10 * n: rng.randrange(5, 900) * SHARE for n in range(LEVELS)}
        book.asks = {5_100 + 10 * n: rng.randrange(5, 900) * SHARE for n in range(LEVELS)}
    frames = [compact([book.book(0, T0, opening=True)]) for book in made]
    for n in range(2 * TICKS):
        made[0].set(1, 3_000, n % 2 * rng.randrange(5, 900) * SHARE)
        frames.append(made[0].change((1, 3_000), epoch_ms=T0 + 1 + n))
    return made, frames


def make_loop(library: ctypes.CDLL, columns: Columns) -> Any:
    """Return the compiled loop: until the server's report comes, from socket to socket."""
    step, poll, order = library.ticks_step, library.ticks_poll, library.ticks_order
    kernels = columns._kernels
    apply_changes, scan_mirror = kernels.apply_changes, kernels.scan_mirror
    scan_touched = kernels.scan_touched

    @njit(nogil=True)
    def drive(
        where: Any, words: Any, own: Any, books: Any, crossed: Any, related: Any, scanned: Any,
        hits: Any,
    ) -> int:  # fmt: skip
        version, mark, trusted, touched = own
        alive, bid_ticks, ask_ticks, bid_lots, ask_lots = books
        market_offsets, market_sets, offsets, members, min_lots, set_mark, rate = related
        out_set, out_kind, out_edge, out_lots = hits
        orders = 0
        while step() == 0:
            count = poll(where[0], where[1], where[2], RECORDS)
            if count == 0:
                continue
            found = apply_changes(
                words, count, version, mark, trusted, bid_ticks, ask_ticks, bid_lots, ask_lots,
                touched,
            )  # fmt: skip
            scan_mirror(
                touched, found, trusted, bid_ticks, ask_ticks, bid_lots, ask_lots, alive, crossed
            )
            if scan_touched(
                touched, found, market_offsets, market_sets, offsets, members, min_lots, set_mark,
                alive, bid_ticks, ask_ticks, bid_lots, ask_lots, rate, 1, scanned,
                out_set, out_kind, out_edge, out_lots,
            ):  # fmt: skip
                order(ask_ticks[members[offsets[out_set[0]]]])
                orders += 1
        return orders

    return drive


class Fused:
    """Regions, columns and the compiled loop; a session each round."""

    def __init__(self, kit: Kit, made: list[VenueBook]) -> None:
        path = kit.compile("ticks_client.so", "ticks_client.c", flags=("-shared", "-fPIC"))
        self.library = ctypes.CDLL(str(path))
        for name, count in (("ticks_step", 0), ("ticks_poll", 4), ("ticks_order", 1)):
            function = getattr(self.library, name)
            function.argtypes, function.restype = [ctypes.c_int64] * count, ctypes.c_int64
        self.books = made
        self.whole, self.price_at = request()
        name = f"/ovr-ticks-{os.getpid()}"
        self.regions = [
            Segment.create(f"{name}-{kind.name.lower()}", kind, capacity=capacity, run_id=1)
            for kind, capacity in ((RegionKind.BOARD, 2), (RegionKind.CHANGES, 1_024))
        ]
        columns = self.columns = Columns(load(), 2)
        columns.relate(
            Relations(
                set_ids=(0,), offsets=np.array([0, 2], np.int32),
                members=np.array([0, 1], np.int32), min_lots=np.ones(1, np.int64),
                market_offsets=np.array([0, 1, 2], np.int32),
                market_sets=np.array([0, 0], np.int32),
                filter_rate_ppm=np.zeros(2, np.int64), skipped={},
            )
        )  # fmt: skip
        self.words = np.zeros((RECORDS, 8), np.int64)
        self.cursor = np.zeros(1, np.uint64)
        self.loop = make_loop(self.library, columns)
        self.reports: dict[str, list[dict[str, float]]] = {"floor": [], "ours": []}

    def close(self) -> None:
        """Remove the regions."""
        for region in self.regions:
            region.unlink()
            region.close()

    def _report(self, side: str) -> tuple[float, float]:
        text = ctypes.create_string_buffer(160)
        self.library.ticks_end(text)
        found = json.loads(text.value or b"{}")
        if not found.get("p50"):
            raise CannotMeasure("an order did not come within two seconds")
        self.reports[side].append(found)
        return float(found["p50"]), float(found["p99"])

    def notes(self) -> dict[str, str]:
        """Return what the clock from the send itself says, and how many frames were late."""

        def middle(side: str, key: str) -> float:
            return median(report[key] for report in self.reports[side])

        served = {
            key: middle("ours", f"served_{key}") / middle("floor", f"served_{key}")
            for key in ("p50", "p99")
        }
        late = {side: sum(r["late"] for r in found) for side, found in self.reports.items()}
        frames = 2 * TICKS * len(self.reports["ours"])
        return {
            "clock": f"from the time a frame was due, one every {PERIOD_US} us (peers: 4,000 us)",
            "from the send itself": f"p50 ratio {served['p50']:.2f}, p99 ratio {served['p99']:.2f}",
            "frames sent late": f"ours {late['ours']:.0f}, floor {late['floor']:.0f} of {frames}",
        }

    def floor(self, port: int) -> tuple[float, float]:
        """Return p50 and p99 in ns of one session of the floor."""
        self.library.ticks_begin(port, self.whole, len(self.whole), self.price_at)
        failed = self.library.ticks_floor(port)
        if failed:
            raise CannotMeasure(f"floor: line {failed} of ticks_client.c failed")
        return self._report("floor")

    def ours(self, port: int) -> tuple[float, float]:
        """Return the same of one session of ours."""
        board, ring = self.regions
        engine = FeedEngine(markets_capacity=2, audit_every=0, board=board, changes=ring)
        for index, book in enumerate(self.books):
            engine.add_market(index, book.market, book.yes, book.no, 10, "5", False)
        columns, related, hits = self.columns, self.columns.relations, self.columns.hits
        columns.version[:] = 0
        columns.forget(np.arange(2))
        self.cursor[0] = ring.cursor
        where = np.array([ring.address, self.cursor.ctypes.data, self.words.ctypes.data], np.int64)
        self.library.ticks_begin(port, self.whole, len(self.whole), self.price_at)
        feed = ctypes.c_void_p(int(ffi.cast("uintptr_t", engine.native_pointer)))
        failed = self.library.ticks_open(port, feed)
        if failed:
            raise CannotMeasure(f"ours: line {failed} of ticks_client.c failed")
        orders = self.loop(
            where, self.words,
            (columns.version, columns._market_mark, columns.trusted, columns.touched),
            (columns.alive, columns.bid_ticks, columns.ask_ticks, columns.bid_lots,
             columns.ask_lots),
            columns._crossed,
            (related.market_offsets, related.market_sets, related.offsets, related.members,
             related.min_lots, columns._set_mark, related.filter_rate_ppm),
            columns._scanned, (hits.set_index, hits.kind, hits.edge, hits.lots),
        )  # fmt: skip
        self.library.ticks_close()
        found = self._report("ours")
        if orders != TICKS:
            raise CannotMeasure(f"{orders} orders for {TICKS} edges")
        return found


def fused(kit: Kit) -> Row:
    """Return ``tick_to_order_fused``."""
    need_uring()
    made, stream = make_ticks()
    frames = corpus.write("ticks", stream)
    work = Fused(kit, made)
    floor, subject = Series(), Series()
    others: dict[str, Any] = {}
    try:
        with serving(kit, frames) as server:
            with kit.quiet(priority=2):
                for turn in range(-1, max(10, kit.rounds // 3)):
                    for one, session in ((floor, work.floor), (subject, work.ours)):
                        p50, p99 = session(server.plain)
                        if turn >= 0:
                            one.p50.append(p50)
                            one.p99.append(p99)
            others = peers.run(kit, "ticks", str(server.plain))
    finally:
        work.close()
    row = judge(
        "tick_to_order_fused", subject, floor, scale=1e-3, refusals=kit.two_cpus(),
        peers={name: float(value) for name, value in others.items()},
        notes={"missed": CAUSE, **work.notes()},
    )  # fmt: skip
    if row.judged and row.p99_ratio is not None and row.p99_ratio > P99_TARGET:
        row.ok = False
        row.why = f"p99 is {row.p99_ratio:.2f} of the floor's, {P99_TARGET} is wanted"
    return row


def measure(kit: Kit, _: list[str]) -> list[Row]:
    """Return ``tick_to_order_fused``."""
    kit.two_cpus()
    return [fused(kit)]
