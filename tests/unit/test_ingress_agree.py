"""The same messages, cut and packed at random, give the same bytes on every transport.

The reference is the engine fed directly, as a replay feeds it. Compared are the board and the
changes ring record by record (but for times of receipt and publication), every counter, every
level, and what the tap holds.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oracle.frames import T0, VenueBook
from oracle.http_server import make_certificates
from oracle.links_rig import Owner, make_transport, raw_frame, raw_server
from oracle.regions import Regions
from overround.book.engine import NEVER_NS
from overround.clock import NS_PER_S
from overround.ingress.native import GuardedEngine
from overround.layout.board import BOARD
from overround.layout.change import CHANGE
from overround.observe.metrics import Value
from overround.shm.tap import TapKind, TapWriter, read_tap, tap_files

MARKETS = 6
CHANGES = 600
FOREVER_NS = 3_600 * NS_PER_S
"""No burst ends by time: when that happens is up to the machine."""

NOT_COMPARED = {Value.TAP_BYTES}


def make_books() -> list[VenueBook]:
    return [
        VenueBook(
            market=f"0x{number:064x}",
            yes=f"{number + 1:077d}",
            no=f"{number + 101:077d}",
            bids={4_000 - 100 * level: 5_000_000 * (level + 1) for level in range(20)},
            asks={6_000 + 100 * level: 7_000_000 * (level + 1) for level in range(20)},
        )
        for number in range(MARKETS)
    ]


def make_messages(seed: int) -> list[bytes]:
    """Snapshots, then changes, prints, noise and repeated snapshots of random markets."""
    rng = random.Random(seed)
    books = make_books()
    messages = [book.opening(T0) for book in books]
    for step in range(1, CHANGES):
        book = rng.choice(books)
        kind = rng.random()
        if kind < 0.02:
            messages.append(rng.choice([b"{", b"[]", b"", b'{"event_type":"new"}', b"\xff\xfe"]))
        elif kind < 0.04:
            messages.append(book.opening(T0 + step))
        elif kind < 0.1:
            messages.append(book.trade(5_000, 5_000_000, T0 + step))
        else:
            side = rng.randrange(2)
            ticks = (3_000 if side == 0 else 6_000) + 100 * rng.randrange(15)
            book.set(side, ticks, 1_000_000 * rng.randrange(9))
            messages.append(book.change((side, ticks), epoch_ms=T0 + step))
    return messages


def pack(messages: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """Yield chunks of the stream: messages whole or in pieces, cut anywhere."""
    stream = bytearray()
    for message in messages:
        if rng.random() < 0.2 and len(message) > 2:
            cuts = sorted(rng.sample(range(1, len(message)), min(3, len(message) - 1)))
            parts = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
            for number, part in enumerate(parts):
                opcode = 0 if number else 1
                stream += raw_frame(opcode, part, fin=number == len(parts) - 1)
                stream += raw_frame(9, b"hi") if rng.random() < 0.3 else b""
        else:
            stream += raw_frame(1, message)
    while stream:
        size = rng.choice([1, 7, 100, 1_000, 20_000, 60_000])
        yield bytes(stream[:size])
        del stream[:size]


class Books:
    """An engine with regions and a tap of its own, and all that can be read of them."""

    def __init__(self, folder: Path) -> None:
        self.regions = Regions(markets=MARKETS, ring=4_096)
        self.tap = TapWriter(folder, 2**24, 2)
        self.engine = GuardedEngine(
            markets_capacity=MARKETS,
            burst_ns=FOREVER_NS,
            hash_pending_ns=FOREVER_NS,
            audit_every=1,
            board=self.regions.board_segment,
            changes=self.regions.changes_segment,
            tap=self.tap,
        )
        for index, book in enumerate(make_books()):
            self.engine.add_market(index, book.market, book.yes, book.no, 100)

    def taken(self) -> int:
        """Return how many messages the engine has taken."""
        return self.engine.counter(Value.FRAMES)

    def read(self) -> dict[str, object]:
        """End what is open and return everything, times of this run left out."""
        self.engine.flush(NEVER_NS)
        changes = np.zeros(4_096, CHANGE)
        reader = self.regions.reader()
        reader = type(reader)(self.regions.changes_segment, from_start=True)
        count = reader.poll(changes)
        assert reader.lost == 0
        board = np.zeros(MARKETS, BOARD)
        for index in range(MARKETS):
            board[index] = self.regions.board.load(index)
        self.tap.close()
        return {
            "board": _without_times(board),
            "changes": _without_times(changes[:count]),
            "counters": {
                value.name: self.engine.counter(value)
                for value in Value
                if value < Value.RECORDS_SEEN and value not in NOT_COMPARED
            },
            "levels": [self.engine.levels(i, side) for i in range(MARKETS) for side in (0, 1)],
            "tap": [
                record.payload
                for record in read_tap(tap_files(self.tap.folder))
                if record.kind is TapKind.FRAME_IN
            ],
        }

    def close(self) -> None:
        """Give the regions back."""
        self.regions.close()


def _without_times(records: np.ndarray) -> bytes:
    plain = records.copy()
    for name in records.dtype.names or ():
        if name.endswith("_ns"):
            plain[name] = 0
    return plain.tobytes()


def reference(messages: list[bytes], folder: Path) -> dict[str, object]:
    """Return what the engine makes of the messages when it is fed directly."""
    books = Books(folder)
    for number, message in enumerate(messages):
        books.engine.on_frame(message, number + 1, 1)
    found = books.read()
    books.close()
    return found


class Feeder(Owner):
    """Hands picows' frames to the engine, as the process does."""

    def __init__(self, books: Books, want: int) -> None:
        super().__init__()
        self._books = books
        self._want = want
        self.done = asyncio.Event()

    def on_frame(self, payload: memoryview | bytearray, recv_ns: int, connection: int) -> None:
        self._books.engine.on_frame(payload, recv_ns, connection)
        self._look()

    def on_frames(self, summary: object) -> None:
        self._look()

    def _look(self) -> None:
        if self._books.taken() >= self._want:
            self.done.set()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("transport", ["picows", "loop", "thread", "spin"])
async def test_the_same_messages_give_the_same_bytes(
    transport: str, secure: bool, tmp_path: Path
) -> None:
    seed = 11 + secure
    messages = make_messages(seed)
    contexts: dict[str, ssl.SSLContext] = make_certificates(tmp_path) if secure else {}

    async def answer(writer: asyncio.StreamWriter) -> None:
        for chunk in pack(messages, random.Random(seed)):
            writer.write(chunk)
            await writer.drain()

    books = Books(tmp_path / "tap")
    owner = Feeder(books, len(messages))
    native = {} if transport == "picows" else {"engine": books.engine, "tap": books.tap}
    async with raw_server(answer, tls=contexts.get("good")) as url:
        links = make_transport(
            transport,
            url,
            owner,
            ca_file=tmp_path / "ca.pem" if secure else None,
            **native,
            **({"burst_ns": FOREVER_NS} if native else {}),
        )
        links.connect(1)
        async with asyncio.timeout(30):
            while not owner.done.is_set():
                links.poll()  # a thread of its own need not wake us for what is in order
                await asyncio.sleep(0.005)
        await links.stop()
    found = books.read()
    books.close()
    wanted = reference(messages, tmp_path / "reference")
    assert wanted["counters"]["FRAMES"] == len(messages)
    assert wanted["counters"]["HASH_FAILED"] == 0 < wanted["counters"]["HASH_CHECKED"]
    assert wanted["counters"]["PUBLISHED"] > CHANGES // 2
    for what, value in wanted.items():
        assert found[what] == value, f"seed {seed}: {what} differs on {transport}"
