"""The ingress under the real exchange process: live flow, true hashes, injected faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from oracle.exchange_process import ExchangeProcess
from oracle.ingress_rig import QUICK, IngressRig
from overround.config.schema import Ingress
from overround.ingress.replay import Replay
from overround.layout.board import UntrustCause
from overround.layout.change import BookFlag
from overround.observe.metrics import Histogram, Value
from overround.shm.tap import tap_files
from overround.supervise.discovery import CatalogWriter, Discovery
from overround.units import parse_price, parse_size

DEEPEST = 16
BOOK_FAULTS = (
    Value.HASH_FAILED,
    Value.UNTRUSTED_DISAGREE,
    Value.UNTRUSTED_CROSSED,
    Value.UNTRUSTED_HASH,
    Value.UNTRUSTED_REST,
    Value.MALFORMED_JSON,
    Value.MALFORMED_TYPE,
    Value.MALFORMED_VALUE,
    Value.UNKNOWN_ASSET,
)
LIVE = QUICK.model_copy(update={"burst_ms": 50, "hash_audit_every": 1})


class ExchangeRig(IngressRig):
    """The ingress under an exchange whose markets are discovered as in production."""

    def __init__(self, directory: Path, exchange: ExchangeProcess, ingress: Ingress) -> None:
        super().__init__(directory, exchange, ingress)
        self.exchange = exchange
        self._writer = CatalogWriter(self.instance.catalog)

    async def discover(self) -> int:
        """Ask the exchange for its markets; returns how many there are."""
        discovery = Discovery(self.settings, self.exchange.session)
        self._writer.update(await discovery.fetch_first())
        return self._writer.markets

    def market(self, index: int) -> tuple[str, str]:
        """Return condition id and YES token of a market."""
        row = self.instance.catalog.load(index)
        assert row is not None
        return row["condition_id"].decode(), row["token_yes"].decode()

    async def differing(self) -> list[int]:
        """Return the markets whose slot differs from the exchange's own book now."""
        markets = range(self._writer.markets)
        books = await self.exchange.books([self.market(index)[1] for index in markets])
        assert len(books) == len(markets)
        return [i for i, book in zip(markets, books, strict=True) if not self._equals(i, book)]

    def _equals(self, index: int, book: dict) -> bool:
        slot = self.slot(index)
        for side, levels in (("bid", book["bids"]), ("ask", book["asks"])):
            count = int(slot[f"{side}_levels"])
            best_first = [
                (parse_price(level["price"]), parse_size(level["size"]))
                for level in reversed(levels)
            ]
            ours = list(
                zip(
                    slot[f"{side}_ticks"][:count].tolist(),
                    slot[f"{side}_lots"][:count].tolist(),
                    strict=True,
                )
            )
            if ours != best_first[:DEEPEST]:
                return False
        return bool(int(slot["flags"]) & BookFlag.TRUSTED)

    async def settle(self) -> None:
        """Pause the flow and wait until every slot equals the exchange's book."""
        await self.exchange.control("flow", paused=True)
        async with asyncio.timeout(30):
            while await self.differing():
                assert self.process is not None
                assert self.process.poll() is None, self.log

    def faults(self) -> dict[str, int]:
        """Return the counters that a faultless stream leaves at zero and that are not."""
        counts = {value.name: self.meters.value(value) for value in BOOK_FAULTS}
        return {name: count for name, count in counts.items() if count}


MakeRig = Callable[..., AbstractAsyncContextManager[ExchangeRig]]


@pytest.fixture
def make_rig(tmp_path: Path) -> MakeRig:
    @asynccontextmanager
    async def make(ingress: Ingress = LIVE) -> AsyncIterator[ExchangeRig]:
        exchange = ExchangeProcess("--rate", "200", "--edge-every", "0", "--seed", "5")
        async with exchange, ExchangeRig(tmp_path, exchange, ingress) as rig:
            await rig.until_trusted(*range(await rig.discover()))
            yield rig

    return make


async def test_every_book_equals_the_exchange_and_every_hash_passes(make_rig: MakeRig) -> None:
    async with make_rig() as rig:
        await rig.until_value(Value.HASH_CHECKED, 1_000)
        await rig.settle()
        assert rig.faults() == {}
        assert rig.meters.value(Value.PUBLISHED) > 100
        assert rig.meters.histogram(Histogram.VENUE_TO_RECV).count > 0


async def test_tap_replays_to_the_same_books(make_rig: MakeRig) -> None:
    async with make_rig() as rig:
        await rig.exchange.control("drop", market=rig.market(0)[0], count=1)
        await rig.exchange.control("close", channel="market")
        await rig.until_value(Value.RECONNECTS)
        await rig.until_value(Value.HASH_CHECKED, rig.meters.value(Value.HASH_CHECKED) + 300)
        await rig.settle()
        tokens = [rig.market(index)[1] for index in range(await rig.discover())]
        theirs = await rig.exchange.books(tokens)
        hashes = rig.meters.value(Value.HASH_CHECKED), rig.meters.value(Value.HASH_FAILED)
        assert await rig.stop() == 0
        assert rig.meters.value(Value.TAP_DROPPED) == 0
        replay = Replay()
        for path in tap_files(rig.directory / "tap-0"):
            replay.run(path)
        report = replay.finish()
        for token, book in zip(tokens, theirs, strict=True):
            ours = report["tokens"][token]
            assert ours["bids"] == [[x["price"], x["size"]] for x in reversed(book["bids"])]
            assert ours["asks"] == [[x["price"], x["size"]] for x in reversed(book["asks"])]
            assert ours["untrusted_because"] == "reconnect"  # the process had closed by itself
        assert (report["hash_checked"], report["hash_failed"]) == hashes


async def test_lost_delta_is_found_and_mended_under_load(make_rig: MakeRig) -> None:
    async with make_rig() as rig:
        for index in (0, 1):
            while not rig.losses(index):
                # Not every loss is seen: a print's whole book may mend it before the hash counts.
                await rig.exchange.control("drop", market=rig.market(index)[0], count=1)
                checked = rig.meters.value(Value.HASH_CHECKED)
                await rig.until_value(Value.HASH_CHECKED, checked + 200)
        await rig.until_trusted(0, 1)
        await rig.settle()
        causes = {cause for index in (0, 1) for cause in rig.losses(index)}
        assert causes <= {UntrustCause.HASH, UntrustCause.DISAGREE, UntrustCause.CROSSED}


async def test_cut_connections_and_refused_sockets_are_survived(make_rig: MakeRig) -> None:
    async with make_rig() as rig:
        await rig.exchange.control("refuse-sockets", on=True)
        await rig.exchange.control("close", channel="market")
        await rig.until(lambda: rig.losses(0) == [UntrustCause.RECONNECT])
        await rig.until_value(Value.CONNECTS_FAILED, 2)
        await rig.exchange.control("refuse-sockets", on=False)
        await rig.until_trusted(0, 1, 2)
        await rig.settle()
        assert rig.faults() == {}


async def test_silent_market_is_mended_by_rest(make_rig: MakeRig) -> None:
    async with make_rig(LIVE.model_copy(update={"silence_ms": 400})) as rig:
        await rig.exchange.control("silent", market=rig.market(0)[0], on=True)
        await rig.until(lambda: UntrustCause.REST in rig.losses(0))
        await rig.exchange.control("silent", market=rig.market(0)[0], on=False)
        await rig.settle()


async def test_market_listed_while_running_is_followed(make_rig: MakeRig) -> None:
    async with make_rig() as rig:
        before = await rig.discover()
        answer = await rig.exchange.control("markets", slug="late-one", frames_per_s=50)
        assert await rig.discover() == before + 1
        assert rig.market(before)[0] == answer["market"]
        await rig.until_trusted(before)
        await rig.until(lambda: int(rig.slot(before)["event_sequence"]) > 5)
        await rig.settle()


async def test_garbage_between_frames_changes_no_book(make_rig: MakeRig) -> None:
    async with make_rig() as rig:
        for text, repeat, binary in (
            ("\x00\xff", 1, True),
            ('{"event_type":"book"', 1, False),
            ("[", 500, False),
            ("x", 2 * 2**20, False),
            ('{"event_type":"price_change","price_changes":{"a":1}}', 1, False),
        ):
            await rig.exchange.control("frame", text=text, repeat=repeat, binary=binary)
        await rig.until_value(Value.MALFORMED_JSON, 2)
        await rig.settle()
        for value in BOOK_FAULTS[:5]:
            assert rig.meters.value(value) == 0, value
        assert rig.meters.value(Value.RECONNECTS) == 0
