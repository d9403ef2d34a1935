"""The same frames through Python's parsers to the same integers; ns a frame, least disturbed pass.

``norm`` means: ticks, micro-sizes and side of every change or level, in plain Python integers.
"""

from __future__ import annotations

import gc
import json
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import simdjson

PASSES = 15


class Entry(msgspec.Struct):
    asset_id: str
    price: str
    size: str
    side: str
    hash: str
    best_bid: str
    best_ask: str


class Change(msgspec.Struct):
    market: str
    price_changes: list[Entry]
    timestamp: str


class Level(msgspec.Struct):
    price: str
    size: str


class Book(msgspec.Struct):
    market: str
    asset_id: str
    timestamp: str
    hash: str
    bids: list[Level]
    asks: list[Level]


def load(path: str) -> list[bytes]:
    raw = Path(path).read_bytes()
    (count,), at, frames = struct.unpack_from("<I", raw), 4, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", raw, at)
        frames.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return frames


def units(text: str, places: int) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(places, "0"))


def from_objects(message: Any) -> list[tuple[int, int, int]]:
    if isinstance(message, dict):
        return [
            (units(e["price"], 4), units(e["size"], 6), e["side"] == "SELL")
            for e in message["price_changes"]
        ]
    return [
        (units(level["price"], 4), units(level["size"], 6), side)
        for side, name in enumerate(("bids", "asks"))
        for level in message[0][name]
    ]


def from_structs(message: Any) -> list[tuple[int, int, int]]:
    if isinstance(message, Change):
        return [
            (units(e.price, 4), units(e.size, 6), e.side == "SELL") for e in message.price_changes
        ]
    book = message[0]
    return [
        (units(level.price, 4), units(level.size, 6), side)
        for side, levels in enumerate((book.bids, book.asks))
        for level in levels
    ]


def best(once: Callable[[bytes], object], frames: list[bytes]) -> float:
    took = []
    gc.disable()
    for _ in range(PASSES):
        begun = time.perf_counter_ns()
        for frame in frames:
            once(frame)
        took.append((time.perf_counter_ns() - begun) / len(frames))
    gc.enable()
    return min(took)


def main() -> None:
    kind, path = sys.argv[1:]
    frames = load(path)
    typed = msgspec.json.Decoder(Change if kind == "change" else list[Book]).decode
    parser = simdjson.Parser()

    def lazy(frame: bytes) -> object:
        return from_objects(parser.parse(frame, True))

    cases: dict[str, Callable[[bytes], object]] = {
        "msgspec": lambda frame: from_structs(typed(frame)),
        "orjson": lambda frame: from_objects(orjson.loads(frame)),
        "json": lambda frame: from_objects(json.loads(frame)),
        "pysimdjson": lazy,
        "msgspec, parsed only": typed,
    }
    json.dump({name: best(once, frames) for name, once in cases.items()}, sys.stdout)


if __name__ == "__main__":
    main()
