"""Updates that make and drop objects and buffers: what an allocator is for. Prints JSON.

Books of many markets: an answer parsed into objects, its levels in numpy arrays of changing length,
one of the books replaced an update. At the end most of them are dropped, as after a burst, and the
rest goes on changing. The hot path allocates next to nothing a message (tests/gates): no allocator
changes it.

Run: .venv/bin/python bench/path/churn.py [UPDATES]
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from typing import Any

import msgspec
import numpy as np

from overround.clock import NS_PER_S, monotonic_ns
from overround.host.allocator import jemalloc_version
from overround.host.memory import resident_bytes

MARKETS, TEXTS = 2_000, 64
LEVELS = (10, 1_200)
"""Least and most levels of a side: 16 bytes each, so that buffers have 160 B to 19 KB."""
AFTER_S, BEAT_S = 9, 0.002
"""How long the rest goes on changing, and how often: jemalloc gives pages back while it is used."""
KEPT = 0.1
"""Share of the books that outlives the end."""


def texts(rng: random.Random) -> list[bytes]:
    """Return answers with the levels of a book."""
    made = []
    for _ in range(TEXTS):
        sides = [
            [(rng.randrange(1, 9_999) / 10_000, rng.randrange(1, 10**6) / 2)
             for _ in range(rng.randrange(*LEVELS))]
            for _ in range(2)
        ]  # fmt: skip
        made.append(msgspec.json.encode(sides))
    return made


def main() -> int:
    """Run it."""
    updates = int(sys.argv[1]) if len(sys.argv) > 1 else 8_000
    rng = random.Random(23)
    made, decode = texts(rng), msgspec.json.Decoder(list[list[tuple[float, float]]]).decode
    books: dict[int, list[Any]] = {}
    took = []
    gc.disable()
    for n in range(updates):
        market, text = rng.randrange(MARKETS), made[n % TEXTS]
        begun_ns = monotonic_ns()
        books[market] = [np.array(side) for side in decode(text)]
        took.append(monotonic_ns() - begun_ns)
    highest = resident_bytes()
    for market in rng.sample(sorted(books), round(len(books) * (1 - KEPT))):
        del books[market]
    gc.collect()
    until_ns = monotonic_ns() + AFTER_S * NS_PER_S
    while monotonic_ns() < until_ns:
        books[rng.choice(list(books))] = [np.array(side) for side in decode(rng.choice(made))]
        time.sleep(BEAT_S)
    took.sort()
    json.dump(
        {
            "p50_ns": took[len(took) // 2], "p99_ns": took[len(took) * 99 // 100],
            "highest_bytes": highest, "resident_bytes": resident_bytes(),
            "jemalloc": jemalloc_version(),
        },
        sys.stdout,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
