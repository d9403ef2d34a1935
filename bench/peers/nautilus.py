"""Bytes of a price change to the best prices of nautilus_trader's book, ns a frame, by p50 pass.

nautilus' own Polymarket schemas, deltas and order book; no strategy and no engine. One book takes
the changes of every market, and only the YES entries' side of a frame would differ.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path
from statistics import median

import msgspec
from nautilus_trader.adapters.polymarket.schemas.book import PolymarketQuotes
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.currencies import USDC
from nautilus_trader.model.enums import AssetClass, BookType
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import BinaryOption
from nautilus_trader.model.objects import Price, Quantity

PASSES = 9


def load(path: str) -> list[bytes]:
    raw = Path(path).read_bytes()
    (count,), at, frames = struct.unpack_from("<I", raw), 4, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", raw, at)
        frames.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return frames


def make_instrument() -> BinaryOption:
    name = InstrumentId.from_str("YES.POLYMARKET")
    return BinaryOption(
        instrument_id=name, raw_symbol=Symbol("YES"), outcome="Yes", description="bench",
        asset_class=AssetClass.ALTERNATIVE, currency=USDC, price_precision=3,
        price_increment=Price.from_str("0.001"), size_precision=6,
        size_increment=Quantity.from_str("0.000001"), activation_ns=0, expiration_ns=0,
        max_quantity=None, min_quantity=None, maker_fee=0, taker_fee=0, ts_event=0, ts_init=0,
    )  # fmt: skip


def main() -> None:
    path, openings = sys.argv[1], int(sys.argv[2])
    frames = load(path)[openings:]
    instrument = make_instrument()
    book = OrderBook(instrument.id, BookType.L2_MBP)
    decode = msgspec.json.Decoder(PolymarketQuotes).decode
    took = []
    for _ in range(PASSES):
        begun = time.perf_counter_ns()
        for frame in frames:
            book.apply_deltas(decode(frame).parse_to_deltas(instrument, 0))
            book.best_bid_price()
            book.best_ask_price()
        took.append((time.perf_counter_ns() - begun) / len(frames))
    json.dump({"nautilus_trader": median(took)}, sys.stdout)


if __name__ == "__main__":
    main()
