"""How long does one market-channel frame take: parsed by peers, decoded, applied, published?

Question: what does the native path cost a frame beside the JSON parsers a Python ingress would
use, which only build objects and have not looked at a price yet?
Input: 1,000 made-up frames in recorded shape over one market of 60 levels a side: per round
900 price changes of two mirrored entries (about 700 bytes) and 100 whole books (about 5 KB).
One number is one pass over all of them; ``extra_info`` holds ns a frame. The last test prints the
ratios of this very run. Warm-up: one pass.

    .venv/bin/pytest bench/micro/bench_decode.py -q
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oracle.frames import MARKET, NO, T0, YES, VenueBook, spaced
from overround._native import ffi, lib
from overround.book.engine import FeedEngine
from overround.layout.board import UntrustCause
from overround.layout.region import RegionKind
from overround.shm.segment import Segment

FRAMES = 1_000
LEVELS = 60
SHARE = 1_000_000
results: dict[str, float] = {}


class Entry(msgspec.Struct):
    """What a typed peer keeps of one entry."""

    asset_id: str
    price: str
    size: str
    side: str
    hash: str
    best_bid: str
    best_ask: str


class Message(msgspec.Struct):
    """What a typed peer keeps of one message."""

    market: str
    event_type: str
    timestamp: str
    asset_id: str = ""
    price_changes: list[Entry] = []
    bids: list[dict[str, str]] = []
    asks: list[dict[str, str]] = []


def make_frames(seed: int = 7) -> list[bytes]:
    """Frames of one market, each consistent with its predecessors."""
    rng = random.Random(seed)
    book = VenueBook(tick="0.001")
    for n in range(LEVELS):
        book.bids[5_000 - 10 * n] = rng.randrange(5, 9_000) * SHARE
        book.asks[5_010 + 10 * n] = rng.randrange(5, 9_000) * SHARE
    frames = [book.opening(T0)]
    for n in range(1, FRAMES):
        if n % 10 == 0:
            frames.append(spaced(book.book(n // 10 % 2, T0 + n)))
            continue
        side = rng.randrange(2)
        ticks = 5_000 - 10 * rng.randrange(20) if side == 0 else 5_010 + 10 * rng.randrange(20)
        book.set(side, ticks, rng.randrange(5, 900_000) * SHARE // 100)
        frames.append(book.change((side, ticks), epoch_ms=T0 + n))
    return frames


@pytest.fixture(scope="module")
def frames() -> list[bytes]:
    return make_frames()


def run(benchmark: Any, name: str, frames: list[bytes], once: Callable[[], None]) -> None:
    benchmark.pedantic(once, rounds=30, iterations=1, warmup_rounds=1)
    # The least disturbed pass: on a shared machine the median measures the neighbours.
    results[name] = benchmark.stats.stats.min * 1e9 / len(frames)
    benchmark.extra_info["ns_per_frame"] = round(results[name])
    benchmark.extra_info["bytes_per_frame"] = sum(map(len, frames)) // len(frames)


def test_json_loads(benchmark: Any, frames: list[bytes]):
    def once() -> None:
        for frame in frames:
            json.loads(frame)

    run(benchmark, "json.loads", frames, once)


def test_msgspec_untyped(benchmark: Any, frames: list[bytes]):
    decode = msgspec.json.Decoder().decode

    def once() -> None:
        for frame in frames:
            decode(frame)

    run(benchmark, "msgspec", frames, once)


def test_msgspec_typed(benchmark: Any, frames: list[bytes]):
    one, many = msgspec.json.Decoder(Message).decode, msgspec.json.Decoder(list[Message]).decode

    def once() -> None:
        many(frames[0])
        for frame in frames[1:]:
            one(frame)

    run(benchmark, "msgspec typed", frames, once)


def test_native_decode(benchmark: Any, frames: list[bytes]):
    events = ffi.new("struct ovr_pm_event[]", 16)
    changes = ffi.new("struct ovr_pm_change[]", 4_096)
    batch = ffi.new("struct ovr_pm_batch *")
    batch.events, batch.events_capacity = events, 16
    batch.changes, batch.changes_capacity = changes, 4_096

    def once() -> None:
        for frame in frames:
            lib.ovr_pm_decode(frame, len(frame), batch)

    run(benchmark, "native decode", frames, once)


def engine_pass(engine: FeedEngine, frames: list[bytes]) -> Callable[[], None]:
    """One pass; every pass reconnects first, as its timestamps start again."""
    clock = count(1, 1_000)

    def once() -> None:
        for index in range(engine.markets_count):
            engine.untrust(index, UntrustCause.RECONNECT, next(clock))
        for frame in frames:
            engine.on_frame(frame, next(clock))
        assert engine.trusted_count == 1

    return once


def new_engine(**arguments: Any) -> FeedEngine:
    engine = FeedEngine(markets_capacity=16, **arguments)
    engine.add_market(0, MARKET, YES, NO, 10, "5", False)
    return engine


def test_native_decode_and_apply(benchmark: Any, frames: list[bytes]):
    run(benchmark, "decode+apply", frames, engine_pass(new_engine(audit_every=0), frames))


def test_native_with_publish(benchmark: Any, frames: list[bytes], tmp_path: Path):
    name = f"/ovr-bench-{tmp_path.name[-20:]}"
    regions = {
        key: Segment.create(f"{name}-{key}", kind, capacity=capacity, run_id=1)
        for key, kind, capacity in (
            ("board", RegionKind.BOARD, 16),
            ("changes", RegionKind.CHANGES, 1_024),
            ("trades", RegionKind.TRADES, 1_024),
            ("meters", RegionKind.METERS, 1),
        )
    }
    try:
        once = engine_pass(new_engine(audit_every=0, **regions), frames)
        run(benchmark, "decode+apply+publish", frames, once)
    finally:
        for region in regions.values():
            region.unlink()
            region.close()


def test_native_every_hash_verified(benchmark: Any, frames: list[bytes]):
    engine = new_engine(audit_every=1)
    run(benchmark, "decode+apply+verify", frames, engine_pass(engine, frames))
    assert engine.market_state(0).tokens[0].hash_failed == 0


def test_ratios(capsys: pytest.CaptureFixture[str]):
    """Decoding must beat the fastest parser, decoding and applying the standard one by far."""
    if len(results) < 7:
        pytest.skip("run the whole file")
    with capsys.disabled():
        print()
        for name, ns in results.items():
            print(f"  {name:<22} {ns:>9,.0f} ns/frame  {results['json.loads'] / ns:>6.1f} x")
    assert results["native decode"] < results["msgspec typed"]
    assert results["decode+apply+publish"] < results["json.loads"] / 2
