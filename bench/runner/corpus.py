"""Frames in recorded shape, the same in every run: what decoders and books are measured on."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from oracle.frames import T0, VenueBook, compact
from overround.book.engine import FeedEngine
from runner.kit import BUILD

__all__ = ["Stream", "changes", "snapshots", "write"]

SHARE = 1_000_000
MARKETS = 64
LEVELS = 65


def books(seed: int = 7, markets: int = MARKETS) -> list[VenueBook]:
    """Return markets with random identifiers and levels around the middle."""
    rng = random.Random(seed)
    made = []
    for _ in range(markets):
        book = VenueBook(
            market="0x" + rng.randbytes(32).hex(),
            yes=str(rng.randrange(10**76, 10**77)), no=str(rng.randrange(10**76, 10**77)),
            tick="0.001",
        )  # fmt: skip
        for n in range(LEVELS):
            book.bids[5_000 - 10 * n] = rng.randrange(500, 900_000) * SHARE // 100
            book.asks[5_010 + 10 * n] = rng.randrange(500, 900_000) * SHARE // 100
        made.append(book)
    return made


def changes(count: int = 512) -> list[bytes]:
    """Return price changes of two mirrored entries each, about 750 bytes."""
    rng, made = random.Random(11), books()
    frames = []
    for n in range(count):
        book = made[rng.randrange(len(made))]
        side = rng.randrange(2)
        ticks = (5_010 if side else 5_000) + 10 * rng.randrange(20) * (1 if side else -1)
        book.set(side, ticks, rng.randrange(5, 900_000) * SHARE // 100)
        frames.append(book.change((side, ticks), epoch_ms=T0 + n))
    return frames


def snapshots() -> list[bytes]:
    """Return opening snapshots of one token with 130 levels, about 5 KB."""
    return [compact([book.book(0, T0, opening=True)]) for book in books()]


def write(name: str, frames: list[bytes]) -> Path:
    """Write a corpus the bench programs can load; return its path."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.corpus"
    parts = [struct.pack("<I", len(frames))]
    for frame in frames:
        parts += [struct.pack("<I", len(frame)), frame]
    path.write_bytes(b"".join(parts))
    return path


class Stream:
    """A stream that books follow: snapshots of every market, then changes and prints in turn."""

    def __init__(self, messages: int, markets: int = 8) -> None:
        rng = random.Random(13)
        self.books = books(markets=markets)
        self.frames = [book.opening(T0) for book in self.books]
        self.changes = 0
        while len(self.frames) < messages:
            book, now = self.books[rng.randrange(markets)], T0 + len(self.frames)
            side = rng.randrange(2)
            ticks = (5_010 if side else 5_000) + 10 * rng.randrange(20) * (1 if side else -1)
            book.set(side, ticks, rng.randrange(5, 900_000) * SHARE // 100)
            self.frames.append(book.change((side, ticks), epoch_ms=now))
            self.frames.append(book.trade(5_000, SHARE, now))
            self.changes += 2

    def engine(self, **regions: object) -> FeedEngine:
        """Return an engine that knows the markets and nothing of their books."""
        engine = FeedEngine(markets_capacity=64, audit_every=0, **regions)  # type: ignore[arg-type]
        for index, book in enumerate(self.books):
            engine.add_market(index, book.market, book.yes, book.no, 10, "5", False)
        return engine
