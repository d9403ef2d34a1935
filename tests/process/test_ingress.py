"""The ingress as a process, under a venue that does one thing wrong at a time.

On picows and on io_uring: which of them serves must not show in anything that a reader sees.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from oracle.ingress_rig import QUICK, IngressRig
from oracle.venue_script import ScriptBook, VenueScript
from overround.clock import monotonic_ns
from overround.config.schema import Ingress
from overround.host.uring import Shape, probe
from overround.layout.board import Proof, UntrustCause
from overround.layout.catalog import MarketStatus
from overround.layout.change import BookFlag
from overround.layout.trade import TradeKind
from overround.observe.metrics import Value
from overround.shm.tap import TapKind, read_tap, tap_files


class ScriptedRig(IngressRig):
    """The ingress under a scripted venue."""

    def __init__(self, directory: Path, venue: VenueScript, ingress: Ingress, **more: int) -> None:
        super().__init__(directory, venue, ingress, **more)
        self.venue = venue


MakeRig = Callable[..., AbstractAsyncContextManager[ScriptedRig]]


def make_book(number: int = 0, *, levels: int = 5) -> ScriptBook:
    return ScriptBook(
        condition_id=f"0x{number + 1:064x}",
        yes=f"7{number:04d}1",
        no=f"7{number:04d}2",
        bids={5_000 - 100 * i: 100 + i for i in range(levels)},
        asks={5_100 + 100 * i: 200 + i for i in range(levels)},
    )


def transport(name: str) -> dict[str, str]:
    """Return the settings of a transport; skips where the machine does not have it."""
    if name in ("picows", "auto"):
        return {"native": {"picows": "off"}.get(name, name)}
    found = probe(Shape(name))
    if not found.usable:
        pytest.skip(found.cause)
    return {"native": "on", "native_shape": name}


BOTH = pytest.mark.parametrize("make_rig", ["picows", "loop"], indirect=True)
"""Where the transport itself has something to do with it."""

EVERYWHERE = pytest.mark.parametrize("make_rig", ["picows", "loop", "thread"], indirect=True)
"""Also where the engine belongs to a thread of its own."""


@pytest.fixture(params=["auto"])
def make_rig(request: pytest.FixtureRequest, tmp_path: Path) -> MakeRig:
    @asynccontextmanager
    async def make(
        books: list[ScriptBook], ingress: Ingress = QUICK, *, snapshots: bool = True, **more: int
    ) -> AsyncIterator[ScriptedRig]:
        ingress = ingress.model_copy(update=transport(request.param))
        venue = VenueScript(books)
        venue.send_snapshots = snapshots
        async with venue, ScriptedRig(tmp_path, venue, ingress, **more) as rig:
            for book in books:
                rig.list_market(book)
            if snapshots:
                await rig.until_trusted(*range(len(books)))
            yield rig

    return make


def quick(**changes: int) -> Ingress:
    return QUICK.model_copy(update=changes)


async def test_snapshots_become_trusted_books_on_the_board(make_rig: MakeRig) -> None:
    books = [make_book(number) for number in range(3)]
    async with make_rig(books) as rig:
        for index, book in enumerate(books):
            assert rig.same(index, book)
            assert rig.slot(index)["proof"] in (Proof.SNAPSHOT, Proof.HASH)
        hello = json.loads(rig.venue.peer.heard[0])
        assert hello["type"] == "market"
        assert hello["assets_ids"] == [token for book in books for token in (book.yes, book.no)]
        await rig.until_value(Value.MARKETS_TRUSTED, 3)
        assert rig.meters.value(Value.SOCKETS) == 1


@EVERYWHERE
async def test_change_is_published_and_its_hash_verified(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book]) as rig:
        for size in (70, 80, 0):
            await rig.venue.peer.send(book.change("BUY", 5_000, size))
        await rig.until(lambda: rig.same(0, book))
        await rig.until_value(Value.HASH_CHECKED, 6)
        assert rig.meters.value(Value.HASH_FAILED) == 0
        assert rig.losses(0) == []


@EVERYWHERE
async def test_burst_ends_without_a_further_frame(make_rig: MakeRig) -> None:
    """Two frames of one cancel, each with the final top: the second one never comes."""
    book = make_book()
    async with make_rig([book], quick(snapshot_timeout_ms=60_000)) as rig:
        first = book.change("BUY", 5_000, 0)
        book.bids.pop(4_900)
        late = book.change_frame("BUY", 4_900, 0)
        first["price_changes"] = book.change_frame("BUY", 5_000, 0)["price_changes"]
        await rig.venue.peer.send(first)  # declares a best bid that our book does not have yet
        await rig.until(lambda: rig.losses(0) == [UntrustCause.DISAGREE])
        assert rig.meters.value(Value.BURSTS_EXPIRED) >= 1
        await rig.until_trusted(0)  # resubscribed, with a snapshot that has both changes
        assert rig.same(0, book)
        assert rig.meters.value(Value.RESUBSCRIBES) == 1
        await rig.venue.peer.send(late)  # absolute sizes: the late frame changes nothing
        await rig.venue.peer.send(book.change("SELL", 5_100, 7))
        await rig.until(lambda: rig.same(0, book))
        assert rig.losses(0) == [UntrustCause.DISAGREE]


async def test_missed_update_is_found_by_hash_and_mended(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(snapshot_timeout_ms=60_000)) as rig:
        book.change("BUY", 4_700, 1)  # deep in the book, and never sent
        await rig.venue.peer.send(book.change("SELL", 5_100, 9))
        await rig.until(lambda: rig.losses(0) == [UntrustCause.HASH])
        await rig.until(lambda: rig.trusted(0) and rig.same(0, book))
        # Both tokens go off before they come on again: a duplicate would be refused.
        assert rig.venue.peer.refused == []
        heard = [json.loads(text).get("operation") for text in rig.venue.peer.heard]
        assert heard == [None, "unsubscribe", "subscribe"]


async def test_missing_snapshot_is_asked_for_again_then_by_rest(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(snapshot_timeout_ms=150), snapshots=False) as rig:
        await rig.venue.until(lambda: rig.venue.rest_requests)
        await rig.until_trusted(0)
        assert rig.same(0, book)
        assert rig.slot(0)["proof"] in (Proof.POLLED, Proof.HASH)
        assert rig.meters.value(Value.RESUBSCRIBES) >= 1


async def test_silent_market_is_compared_with_rest(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(silence_ms=200)) as rig:
        await rig.until(lambda: rig.meters.value(Value.REST_SAME) >= 2)
        assert rig.losses(0) == []
        book.change("BUY", 5_000, 1)  # the stream says nothing of it
        await rig.until(lambda: rig.losses(0) == [UntrustCause.REST])
        await rig.until(lambda: rig.trusted(0) and rig.same(0, book))
        await rig.until_value(Value.RESUBSCRIBES)


async def test_silent_market_that_nothing_vouches_for_loses_trust(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(silence_ms=200)) as rig:
        rig.venue.rest_status = 500
        await rig.until(lambda: UntrustCause.SILENCE in rig.losses(0))
        assert rig.meters.value(Value.REST_FAILED) >= 1
        await rig.until_trusted(0)  # the subscription is repeated and its snapshot comes


async def test_late_rest_book_has_no_effect(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(silence_ms=300)) as rig:
        rig.venue.rest_gate.clear()
        await rig.venue.until(lambda: rig.venue.rest_requests)  # read now, answered later
        await rig.venue.peer.send(book.change("BUY", 5_000, 55))
        await rig.until(lambda: rig.same(0, book))
        rig.venue.rest_gate.set()
        await rig.until_value(Value.REST_OLDER)
        assert rig.same(0, book)
        assert rig.trusted(0)
        assert rig.meters.value(Value.REST_DIFFERENT) == 0


async def test_tick_change_untrusts_until_a_snapshot_on_the_new_grid(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book]) as rig:
        book.epoch_ms += 1
        book.tick = "0.001"
        for token in (book.yes, book.no):
            await rig.venue.peer.send(
                {
                    "event_type": "tick_size_change",
                    "asset_id": token,
                    "market": book.condition_id,
                    "old_tick_size": "0.01",
                    "new_tick_size": "0.001",
                    "timestamp": str(book.epoch_ms),
                }
            )
        await rig.until(lambda: UntrustCause.TICK in rig.losses(0))
        await rig.until_trusted(0)
        await rig.venue.peer.send(book.change("BUY", 5_010, 5))
        await rig.until(lambda: rig.same(0, book) and rig.trusted(0))
        assert rig.slot(0)["tick_ticks"] == 10
        assert any(trade["kind"] == TradeKind.TICK for trade in rig.trades)


@EVERYWHERE
async def test_reconnect_restores_every_subscription(make_rig: MakeRig) -> None:
    books = [make_book(number) for number in range(5)]
    async with make_rig(books, quick(assets_per_socket=4)) as rig:
        assert len(rig.venue.peers) == 3
        for peer in list(rig.venue.peers):
            await peer.close()
        for index in range(5):
            await rig.until(lambda index=index: UntrustCause.RECONNECT in rig.losses(index))
        await rig.until_trusted(*range(5))
        fresh = rig.venue.peers[3:]
        wanted = {token for book in books for token in (book.yes, book.no)}
        assert set().union(*(peer.tokens for peer in fresh)) == wanted
        assert rig.meters.value(Value.RECONNECTS) >= 3
        for index, book in enumerate(books):
            await rig.venue.broadcast(book.change("BUY", 5_000, 40 + index))
            await rig.until(lambda index=index, book=book: rig.same(index, book))


async def test_market_added_while_running_is_subscribed(make_rig: MakeRig) -> None:
    async with make_rig([make_book(0)]) as rig:
        late = make_book(1)
        rig.venue.books[late.condition_id] = late
        index = rig.list_market(late)
        await rig.until_trusted(index)
        assert rig.same(index, late)
        other = make_book(2)
        rig.venue.books[other.condition_id] = other
        rig.list_market(other, shard=1)
        third = make_book(3)
        rig.venue.books[third.condition_id] = third
        await rig.until_trusted(rig.list_market(third))
        assert other.yes not in rig.venue.peer.tokens
        assert len(rig.venue.peers) == 1


async def test_resolved_and_closed_markets_are_left(make_rig: MakeRig) -> None:
    books = [make_book(number) for number in range(3)]
    async with make_rig(books) as rig:
        await rig.venue.peer.send(
            {
                "event_type": "market_resolved",
                "id": "7",
                "market": books[0].condition_id,
                "assets_ids": [books[0].yes, books[0].no],
                "winning_asset_id": books[0].yes,
                "winning_outcome": "Yes",
                "timestamp": str(books[0].epoch_ms + 1),
                "tags": [],
            }
        )
        await rig.venue.until(lambda: books[0].yes not in rig.venue.peer.tokens)
        assert int(rig.slot(0)["flags"]) & (BookFlag.RESOLVED | BookFlag.TRUSTED) == (
            BookFlag.RESOLVED
        )
        row = rig.instance.catalog.load(1)
        assert row is not None
        row["status"] = MarketStatus.CLOSED
        rig.instance.catalog.store(1, row)
        await rig.venue.until(lambda: books[1].no not in rig.venue.peer.tokens)
        await rig.until(lambda: not rig.trusted(1))
        assert rig.venue.peer.tokens == {books[2].yes, books[2].no}
        assert rig.trusted(2)


@BOTH
async def test_whatever_the_venue_sends_is_counted_and_survived(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(frame_bytes_max=2**23)) as rig:
        wrong_types = book.change_frame("BUY", 5_000, 1)
        wrong_types["price_changes"] = [7, {"asset_id": 1, "price": [], "size": {}, "side": None}]
        huge = json.dumps({"event_type": "unheard_of", "filler": "x" * 2**21})
        for message in (
            "{", "\x00", "[[[[", "null", "", "[]", "PONG", b"\x80\x81", huge, wrong_types,
            {"event_type": "unheard_of"}, '{"event_type":"book","asset_id":"nobody"}',
        ):  # fmt: skip
            await rig.venue.peer.send(message)
        await rig.venue.peer.send(book.change("BUY", 5_000, 3))
        await rig.until(lambda: rig.same(0, book))
        assert rig.trusted(0)
        assert len(rig.venue.peers) == 1
        counted = [
            rig.meters.value(value)
            for value in (Value.MALFORMED_JSON, Value.MALFORMED_TYPE, Value.UNKNOWN_EVENT)
        ]
        assert all(counted), counted


@BOTH
async def test_frame_beyond_the_limit_costs_the_connection_only(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(frame_bytes_max=2**20)) as rig:
        with contextlib.suppress(ConnectionError):  # refused by its header: we need not listen on
            await rig.venue.peer.send("x" * (2**20 + 1))
        await rig.until(lambda: rig.losses(0) == [UntrustCause.RECONNECT])
        await rig.until_value(Value.MALFORMED_TOO_LARGE, 1)
        await rig.until_trusted(0)


@BOTH
async def test_refusing_then_dead_venue_is_visible_and_survived(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book]) as rig:
        rig.venue.refuse = True
        await rig.venue.peer.close()
        await rig.until_value(Value.CONNECTS_FAILED, 3)
        await rig.venue.stop()
        before = rig.meters.value(Value.CONNECTS_FAILED)
        await rig.until_value(Value.CONNECTS_FAILED, before + 3)
        assert not rig.trusted(0)
        assert "cannot connect" in rig.log
        rig.venue.refuse = False
        await rig.venue.start()
        await rig.until_trusted(0)
        assert rig.meters.value(Value.RECONNECTS) == 1


@BOTH
async def test_venue_that_stops_answering_pings_is_left(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], quick(ping_interval_ms=50, pong_timeout_ms=400)) as rig:
        await rig.until_value(Value.PONGS, 3)
        rig.venue.answer_ping = False
        await rig.venue.until(lambda: len(rig.venue.peers) >= 2)
        assert rig.meters.value(Value.SOCKETS_DEAD) >= 1
        assert rig.losses(0)[0] == UntrustCause.RECONNECT
        rig.venue.answer_ping = True
        await rig.until_trusted(0)


@EVERYWHERE
async def test_killed_ingress_leaves_nothing_usable_and_its_successor_starts_untrusted(
    make_rig: MakeRig,
) -> None:
    book = make_book()
    async with make_rig([book]) as rig:
        epoch = rig.board.segment.epoch
        assert await rig.stop(signal.SIGKILL) == -signal.SIGKILL
        await rig.until(lambda: not rig.trusted(0), alive=False)
        rig.venue.send_snapshots = False
        await rig.start()
        assert rig.board.segment.epoch > epoch
        assert rig.board.segment.generation == 2
        await rig.until_value(Value.MARKETS, 1)
        assert not rig.trusted(0)
        rig.venue.send_snapshots = True
        await rig.until_trusted(0)
        folder = rig.directory / "tap-0"
        connections = {r.connection for r in read_tap(tap_files(folder)) if r.connection}
        assert len(connections) == len({number >> 20 for number in connections})


@EVERYWHERE
async def test_stop_is_clean_and_the_tap_holds_the_whole_conversation(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book]) as rig:
        change = book.change("BUY", 5_000, 33)
        await rig.venue.peer.send(change)
        await rig.until(lambda: rig.same(0, book))
        heard = rig.venue.peer.heard
        assert await rig.stop() == 0
        assert rig.losses(0) == []  # our own end is no fault of the stream
        assert not rig.board.segment.usable(monotonic_ns(), 500_000_000)
        records = list(read_tap(tap_files(rig.directory / "tap-0")))
        by_kind = {kind: [r for r in records if r.kind is kind] for kind in TapKind}
        assert [r.payload.decode() for r in by_kind[TapKind.FRAME_OUT]] == heard
        frames = [json.loads(r.payload) for r in by_kind[TapKind.FRAME_IN]]
        assert frames[-1] == change
        assert len(by_kind[TapKind.CONNECT]) == 1
        assert len(by_kind[TapKind.CLOSE]) == 1
        assert len(by_kind[TapKind.MARKET]) == 1
        assert [r.recv_ns for r in records] == sorted(r.recv_ns for r in records)


@EVERYWHERE
async def test_tap_goes_on_in_a_new_file_without_a_gap(make_rig: MakeRig) -> None:
    async with make_rig([make_book()]) as rig:
        filler = json.dumps({"event_type": "unheard_of", "filler": "x" * 2**20})
        for count in range(1, 11):
            await rig.venue.peer.send(filler)
            await rig.until_value(Value.UNKNOWN_EVENT, count)
            # Three fit into a file. The next one is made between frames, by the process's timer.
            made = min((count - 1) // 3 + 2, 4)
            await rig.until(lambda made=made: len(tap_files(rig.directory / "tap-0")) >= made)
        assert await rig.stop() == 0
        files = tap_files(rig.directory / "tap-0")
        assert len(files) == 4
        sizes = [len(record.payload) for record in read_tap(files)]
        assert sizes.count(len(filler)) == 10
        assert rig.meters.value(Value.TAP_DROPPED) == 0


async def test_full_tap_stops_the_tap_and_not_the_books(make_rig: MakeRig) -> None:
    book = make_book()
    async with make_rig([book], tap_files=1) as rig:
        filler = json.dumps({"event_type": "unheard_of", "filler": "x" * 2**20})
        for _ in range(6):
            await rig.venue.peer.send(filler)
        await rig.venue.peer.send(book.change("BUY", 5_000, 3))
        await rig.until(lambda: rig.same(0, book))
        assert rig.trusted(0)
        assert rig.meters.value(Value.TAP_DROPPED) >= 1
