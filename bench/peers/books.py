"""One update and the best prices after it, ns: what Python programs keep their books in."""

from __future__ import annotations

import json
import random
import sys
import time

from sortedcontainers import SortedDict

UPDATES = 20_000
PASSES = 7


def updates() -> list[tuple[int, int, int]]:
    rng = random.Random(7)
    made = []
    for _ in range(UPDATES):
        side, away = rng.randrange(2), rng.randrange(40)
        lots = 0 if rng.randrange(4) == 0 else rng.randrange(1, 10**9)
        made.append((side, 5_010 + 10 * away if side else 5_000 - 10 * away, lots))
    return made


def sorted_dict(work: list[tuple[int, int, int]]) -> None:
    book = SortedDict(), SortedDict()
    for side, price, lots in work:
        levels = book[side]
        if lots:
            levels[price] = lots
        else:
            levels.pop(price, None)
        book[0].peekitem(-1) if book[0] else None
        book[1].peekitem(0) if book[1] else None


def plain_dict(work: list[tuple[int, int, int]]) -> None:
    book: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for side, price, lots in work:
        if lots:
            book[side][price] = lots
        else:
            book[side].pop(price, None)
        max(book[0], default=0)
        min(book[1], default=0)


def main() -> None:
    work = updates()
    found = {}
    for name, once in (("SortedDict", sorted_dict), ("dict with max and min", plain_dict)):
        took = []
        for _ in range(PASSES):
            begun = time.perf_counter_ns()
            once(work)
            took.append((time.perf_counter_ns() - begun) / UPDATES)
        found[name] = min(took)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
