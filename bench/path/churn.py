"""Updates that make and drop objects and buffers: what an allocator is for. Prints JSON.

Books of many markets as the cold paths hold them: a REST answer parsed into objects, its levels in
numpy arrays of changing length, one of the books replaced an update. At the end most of them are
dropped, as after a burst. The hot path allocates nothing a message (tests/gates): no allocator
changes it.

Run: .venv/bin/python bench/path/churn.py [UPDATES]
"""

from __future__ import annotations

import gc
import json
import random
import sys

import msgspec
import numpy as np

from overround.clock import monotonic_ns
from overround.host.allocator import jemalloc_version
from overround.host.memory import resident_bytes

MARKETS, TEXTS = 600, 64
LEVELS = (10, 1_200)
"""Least and most levels of a side: 16 bytes each, so that buffers have 160 B to 19 KB."""
KEPT = 0.1
"""Share of the books that outlives the end."""


def texts(rng: random.Random) -> list[bytes]:
    """Return REST answers of a book."""
    made = []
    for _ in range(TEXTS):
        sides = (
            [{"price": f"0.{rng.randrange(1, 9_999):04d}", "size": f"{rng.randrange(1, 10**6)}.5"}
             for _ in range(rng.randrange(*LEVELS))]
            for _ in range(2)
        )  # fmt: skip
        made.append(msgspec.json.encode(dict(zip(("bids", "asks"), sides, strict=True))))
    return made


def main() -> int:
    """Run it."""
    updates = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    rng = random.Random(23)
    made, decode = texts(rng), msgspec.json.Decoder().decode
    books: dict[int, tuple[object, object]] = {}
    took = []
    gc.disable()
    for n in range(updates):
        market, text = rng.randrange(MARKETS), made[n % TEXTS]
        begun_ns = monotonic_ns()
        parsed = decode(text)
        buffers = [
            np.array([(float(level["price"]), float(level["size"])) for level in parsed[side]])
            for side in ("bids", "asks")
        ]
        books[market] = (parsed, buffers)
        took.append(monotonic_ns() - begun_ns)
    highest = resident_bytes()
    for market in rng.sample(sorted(books), round(len(books) * (1 - KEPT))):
        del books[market]
    del parsed, buffers
    gc.collect()
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
