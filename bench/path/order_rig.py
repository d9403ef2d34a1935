"""One executor over real regions and a real journal, and a socket to a process that only reads."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from oracle.desk import ListNews, rejected  # noqa: E402
from oracle.regions import Regions  # noqa: E402
from overround import clock  # noqa: E402
from overround.config.schema import Execute, Mode, Risk  # noqa: E402
from overround.decide.risk import RiskGate  # noqa: E402
from overround.execute.build import OrderBuilder  # noqa: E402
from overround.execute.client import Kind, Lease, Response, VenueClient  # noqa: E402
from overround.execute.executor import Executor, Submission  # noqa: E402
from overround.execute.http.dial import Origin  # noqa: E402
from overround.execute.http.head import RequestEncoder  # noqa: E402
from overround.execute.intents import decode_intents  # noqa: E402
from overround.execute.markets import SharedMarkets  # noqa: E402
from overround.execute.permits import Permits  # noqa: E402
from overround.execute.pool import OrderPool  # noqa: E402
from overround.execute.store import Store  # noqa: E402
from overround.layout.intent import INTENT  # noqa: E402
from overround.ledger.journal import Journal  # noqa: E402
from overround.ledger.records import Reconcile, Start  # noqa: E402
from overround.venues.contract import OrderType  # noqa: E402
from overround.venues.polymarket.auth import Credentials, Signer  # noqa: E402
from overround.venues.polymarket.orders import OrderSigner  # noqa: E402
from overround.venues.polymarket.rest import Request, place_order  # noqa: E402

URL = "http://127.0.0.1:1"
KEY = "0x" + "11" * 32
OWNER = "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10"
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
CREDENTIALS = (OWNER, SECRET, "f" * 64)
YES = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
NO = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
CONDITION = "0x" + "ab" * 32
SHARE = 1_000_000


class Sink:
    """A process that reads what comes and never answers."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.socket = socket.create_connection(listener.getsockname())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other, _ = listener.accept()
        listener.close()
        self._child = os.fork()
        if self._child == 0:
            self.socket.close()
            buffer = bytearray(65_536)
            while other.recv_into(buffer):
                pass
            os._exit(0)
        other.close()

    def close(self) -> None:
        """End it."""
        self.socket.close()
        os.waitpid(self._child, 0)


def nothing_told(*_: object, **__: object) -> None:
    """Stand in for shared memory: bookkeeping comes after the bytes."""


class SinkWire:
    """A slot to the sink, and the wire that lends it: as our connections, without a loop."""

    def __init__(self, sink: Sink, encode: RequestEncoder) -> None:
        self._sink = sink.socket
        self._encode = encode
        self._loop = asyncio.new_event_loop()
        self.socket = sink.socket.fileno()
        """-1 for who is to stop at the request's bytes: nothing is written then."""

    def take(self, kind: Kind) -> SinkWire:
        """Lend it, after a look at the socket as ``Connection.look`` takes one."""
        try:
            self._sink.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self
        raise AssertionError("the sink never answers")

    def take_unseen(self, kind: Kind) -> SinkWire:
        """Lend it; who writes to it looks."""
        return self

    def send(self, request: Request, deadline_ns: int) -> asyncio.Future[Response]:
        """Write a request."""
        return self.sent(self._encode(request), deadline_ns, request.path)

    def sent(self, rest: bytes, deadline_ns: int, what: str) -> asyncio.Future[Response]:
        """Write what is left of one."""
        if rest and self.socket >= 0:
            self._sink.sendall(rest)
        return self._loop.create_future()

    def release(self) -> None:
        """Nothing to give back."""

    async def wait(self, kind: Kind, deadline_ns: int) -> SinkWire:
        """Lend it."""
        return self.take(kind)

    async def close(self) -> None:
        """Nothing to close."""


class Rig:
    """One executor over real regions and a real journal."""

    def __init__(self, folder: Path, sink: Sink, *, pooled: bool) -> None:
        self.regions = Regions()
        self.regions.add_market(change=self._market, rate_ppm=50_000)
        self.regions.store(0, (4_800, 100_000, 5_000, 100_000), now_ns=1)
        markets = SharedMarkets(
            self.regions.catalog,
            {0: (self.regions.board_segment, self.regions.board)},
            10 * clock.NS_PER_S,
        )
        markets.refresh()
        self.journal = Journal(folder, segment_bytes=64 * 2**20, sync_policy="none")
        self.store = Store(self.journal)
        self.store.commit(Start(1, 1, "sim", "0x"), 0)
        self.store.commit(Reconcile(10**12, 0, 0, (), True), 0)
        self.news = ListNews()
        self.news.report = nothing_told  # type: ignore[method-assign]
        signer = Signer(KEY)
        builder = OrderBuilder(OrderSigner(signer), owner=OWNER, chain_id=137)
        self.pool = OrderPool(
            self.store, builder, markets, self.news, size=16, reach=0,
            age_max_ns=600 * clock.NS_PER_S, clock=clock.monotonic_ns, epoch_ms=clock.epoch_ms,
        )  # fmt: skip
        limits = Risk(orders_per_s_max=10_000, orders_burst_max=10_000)
        self.core = Executor(
            self.store, RiskGate(limits, Mode.SIM, own=self.store.own.exposures),
            markets, builder, self.news,
            run_id=1, clock=clock.monotonic_ns, epoch_ms=clock.epoch_ms,
            killed=lambda: False, trip=print, pool=self.pool if pooled else None,
        )  # fmt: skip
        self.core.ready = True
        self.encode = RequestEncoder(Origin.parse(URL), signer, chain_id=137, epoch_s=clock.epoch_s)
        self.encode.credentials = Credentials(*CREDENTIALS)
        self.wire = SinkWire(sink, self.encode)
        self.client = VenueClient(
            URL, signer, chain_id=137, timeout_ms=1_000, epoch_s=clock.epoch_s, wire=self.wire,
            settings=Execute(order_tokens_per_s=10_000, order_tokens_burst=10_000),
        )  # fmt: skip
        self.client.credentials = self.encode.credentials
        self.order_head = self.client.order_head
        self.credentials = self.client.credentials
        self.permits = Permits(
            self.core, self.pool if pooled else None, markets, self,
            run_id=1, clock=clock.monotonic_ns, epoch_ns=clock.epoch_ns, trip=print,
        )  # fmt: skip
        self.record = np.zeros(1, INTENT)[0]
        self._out = np.zeros(64, INTENT)
        self._first = self.permits.bind(self._out)
        self._count = 0
        self.submission: Submission | None = None

    @staticmethod
    def _market(record: Any) -> None:
        record["token_yes"], record["token_no"] = YES.encode(), NO.encode()
        record["condition_id"] = CONDITION.encode()

    def push(self) -> None:
        """Put the next intent into the ring, and beat as the ingress does."""
        now_ns = clock.monotonic_ns()
        self.regions.board_segment.beat(now_ns)
        record = self.record
        record["producer_sequence"] = record["plan"] = self._count
        record["created_ns"], record["expires_ns"] = now_ns, now_ns + 30 * clock.NS_PER_S
        record["producer"], record["legs"] = 2, 1
        record["price_ticks"], record["size_lots"] = 5_000, 10 * SHARE
        record["order_type"] = int(OrderType.FAK)
        record["ingress_epoch"] = self.regions.board_segment.epoch
        self._count += 1
        assert self.regions.producer.try_push(record)

    def lease_now(self, *, post_only: bool) -> Lease | None:
        """Return the right to send, as ``AccountDesk`` gets it."""
        return self.client.try_order(post_only=post_only)

    def follow(self, submission: Submission, answer: asyncio.Future[Response]) -> None:
        """Remember what left by a permit."""
        self.submission = submission

    def _settle(self) -> None:
        """Give the record's room back, answer the order and fill the pool."""
        consumer, submission = self.regions.consumer, self.submission
        consumer.advance_to(consumer.position)
        assert submission is not None
        self.core.answer(submission, [rejected(submission.order_ids[0])])
        self.pool.refill(4)

    def prompt(self, *, idle: bool = True, send: bool = True) -> int:
        """Push one intent and let it out in one call; return the nanoseconds of its way.

        ``idle``: the loop had time to ask the gate since the last one. Without ``send`` it ends
        with the bytes of the request.
        """
        if idle:
            self.permits.grant()
        self.push()
        lent = self.wire.socket
        if not send:
            self.wire.socket = -1
        begun_ns = clock.monotonic_ns()
        self.regions.consumer.poll(self._out)
        assert self._first(0), "it went the ordinary way"
        self.wire.socket = lent
        self._settle()
        return self.permits.ended_ns - begun_ns

    def round(self, *, send: bool = True) -> int:
        """Push one intent and let it through; return the nanoseconds of its way.

        Without ``send`` it ends with the bytes of the request.
        """
        self.push()
        ended_ns = 0

        def send_now(submission: Submission) -> bool:
            nonlocal ended_ns
            self.submission = submission
            lease = self.client.try_lease(Kind.ORDER) if send else None
            assert self.core.begin(submission)
            if lease is not None:
                lease.send(submission.request)
            else:
                self.encode(submission.request)
            ended_ns = clock.monotonic_ns()
            return True

        begun_ns = clock.monotonic_ns()
        count = self.regions.consumer.poll(self._out)
        self.core.take(decode_intents(self._out[:count]), send_now)
        assert ended_ns, list(self.store.by_key.values())[-1].text
        self._settle()
        return ended_ns - begun_ns

    def build(self) -> bytes:
        """Return the request of one order, made from the last intent without gate or journal."""
        assert self.submission is not None
        self._count += 1
        intent = msgspec.structs.replace(
            self.submission.orders[0].intent,
            sequence=self._count,
            created_epoch_ms=clock.epoch_ms(),
        )
        market = self.core.markets.info(0)
        assert market is not None
        builder = self.core.builder
        signed = builder.sign(intent, market, builder.prepare(intent, market, 100))
        return self.encode(place_order(signed.body))

    def close(self) -> None:
        """Remove regions and journal."""
        self.journal.close()
        self.regions.close()
