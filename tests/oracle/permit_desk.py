"""A core whose pooled orders leave by permits: real regions, a real socket, clocks that are set."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import numpy as np

from oracle.desk import KEY, OWNER, RUN, SHARE, Desk, S
from oracle.regions import Regions
from overround.config.schema import Execute, Mode, Risk
from overround.execute.build import OrderBuilder
from overround.execute.client import Kind, Lease, Response, VenueClient
from overround.execute.executor import Submission
from overround.execute.http.dial import Origin
from overround.execute.http.head import RequestEncoder
from overround.execute.intents import RingIntent
from overround.execute.markets import SharedMarkets
from overround.execute.permits import Permits
from overround.execute.pool import OrderPool
from overround.layout.intent import INTENT
from overround.ledger.journal import replay
from overround.venues.polymarket.auth import Credentials, Signer
from overround.venues.polymarket.orders import OrderSigner
from overround.venues.polymarket.rest import Request

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
NS_PER_MS = 1_000_000
URL = "http://127.0.0.1:1"
LEASE_NS = 10 * S


class PairWire:
    """One connection that is a socket pair; ``seen`` reads what the venue would have read."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self._loop = asyncio.new_event_loop()
        self.plain = True
        self.lent = 0

    @property
    def socket(self) -> int:
        return self.ours.fileno() if self.plain else -1

    def take(self, kind: Kind) -> PairWire:
        self.lent += 1
        return self

    take_unseen = take

    def send(self, request: Request, deadline_ns: int) -> asyncio.Future[Response]:
        raise AssertionError("not the way of a permit")

    def sent(self, rest: bytes, deadline_ns: int, what: str) -> asyncio.Future[Response]:
        self.ours.sendall(rest)
        return self._loop.create_future()

    def release(self) -> None:
        self.lent -= 1

    async def wait(self, kind: Kind, deadline_ns: int) -> PairWire:
        return self

    async def close(self) -> None:
        """The client's end of it: nothing."""

    def end(self) -> None:
        """Close both ends."""
        self.ours.close()
        self.theirs.close()
        self._loop.close()

    def seen(self) -> bytes:
        """What has arrived since the last call."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            while data := self.theirs.recv(65_536, socket.MSG_DONTWAIT):
                parts.append(data)
        return b"".join(parts)


class PermitDesk(Desk):
    """A desk over shared regions; ``permitted`` says whether permits are used at all, ``prompt``
    whether orders without one may leave in one call as well."""

    def __init__(
        self, folder: Path, regions: Regions, *, permitted: bool = True, prompt: bool = True,
        limits: Risk | None = None,
    ) -> None:  # fmt: skip
        self.regions = regions
        self.permitted = permitted
        self.prompt = prompt
        self.wire = PairWire()
        self.raw = np.zeros(4, INTENT)
        self.by_permit = 0
        self.stopped = False
        self.sent: list[Submission] = []
        super().__init__(folder, mode=Mode.SIM, limits=limits)

    def open(self) -> None:
        """Open the journal and build core, pool and permits anew."""
        self.markets = SharedMarkets(  # type: ignore[assignment]
            self.regions.catalog,
            {0: (self.regions.board_segment, self.regions.board)},
            LEASE_NS,
        )
        self.markets.refresh()  # type: ignore[attr-defined]
        super().open()
        signer = Signer(KEY)
        self.pool = OrderPool(
            self.store, OrderBuilder(OrderSigner(signer), owner=OWNER, chain_id=137),
            self.markets, self.news, size=64, reach=1, age_max_ns=60 * S,
            clock=lambda: self.now_ns, epoch_ms=lambda: self.now_ms,
        )  # fmt: skip
        self.core._pool = self.pool
        self.client = VenueClient(
            URL, signer, chain_id=137, timeout_ms=1_000, epoch_s=lambda: self.now_ms // 1_000,
            now_ns=lambda: self.now_ns, wire=self.wire,
            settings=Execute(order_tokens_per_s=10_000, order_tokens_burst=10_000),
        )  # fmt: skip
        self.client.credentials = Credentials(OWNER, SECRET, "f" * 64)
        self.encode = RequestEncoder(
            Origin.parse(URL), signer, chain_id=137, epoch_s=lambda: self.now_ms // 1_000
        )
        self.encode.credentials = self.client.credentials
        self.order_head = self.client.order_head
        self.permits = Permits(
            self.core, self.pool, self.markets, self,  # type: ignore[arg-type]
            run_id=RUN, clock=lambda: self.now_ns, epoch_ns=lambda: self.now_ms * NS_PER_MS,
            trip=self.tripped.append,
        )  # fmt: skip
        if not self.prompt:
            self.permits._prompt.first = lambda *_: False  # type: ignore[method-assign]
        self.first = self.permits.bind(self.raw)

    @property
    def credentials(self) -> Credentials | None:
        """As the account's carrier has them."""
        return self.client.credentials

    def lease_now(self, *, post_only: bool) -> Lease | None:
        """As the account's carrier lends it."""
        return self.client.try_order(post_only=post_only)

    def follow(self, submission: Submission, answer: asyncio.Future[Response]) -> None:
        """As the account's carrier, without waiting for the answer."""
        self.core.wrote(submission)
        self.sent.append(submission)

    def idle(self) -> None:
        """Let the loop be idle for long enough to sign and to ask the gate."""
        self.tick(1_000)
        self.regions.board_segment.beat(self.now_ns)
        while self.pool.refill(4):
            pass
        if self.permitted:
            self.permits.grant()

    def wish(self, sequence: int, **changes: Any) -> RingIntent:
        """As ``intent``, of market 0 on the books as they are."""
        usual = {"market": 0, "ingress_epoch": self.regions.board_segment.epoch}
        return self.intent(sequence, **{**usual, **changes})

    def offer(self, sequence: int, **changes: Any) -> bool:
        """Read one intent off a ring, as ``RingWatch`` does; return whether its bytes left."""
        message = self.wish(sequence, **changes)
        record = self.raw[:1]
        record.view(np.uint8)[:] = 0
        for name, value in message._asdict().items():
            if name != "plan_run_id":
                record["target_sequence" if name == "target" else name] = value
        before = len(self.sent)
        if self.first(0):
            self.by_permit += 1
            return True
        self.core.take([message], self._begin)
        return len(self.sent) > before

    def _begin(self, submission: Submission) -> bool:
        if self.core.begin(submission):
            self.core.wrote(submission)
            self.sent.append(submission)
        return True

    def learn(self, sequence: int = 0, **changes: Any) -> None:
        """Send one intent, so that the pool knows what is wanted, and be idle."""
        assert self.offer(sequence, **changes)
        self.idle()

    def records(self) -> list[tuple[int, bytes]]:
        """The journal as it is on disk: kind and payload."""
        return [(raw.kind, raw.payload) for raw in replay(self.folder)]

    def end(self) -> None:
        """Give folder and socket back for good."""
        self.close()
        self.wire.end()


def three_markets() -> Regions:
    """Regions with one market alone and a set of two; usual books, beaten now."""
    regions = Regions()

    def name(record: Any) -> None:
        index = int(record["market"])
        record["token_yes"] = str(10**70 + 2 * index).encode()
        record["token_no"] = str(10**70 + 2 * index + 1).encode()
        record["condition_id"] = f"0xc{index:063x}".encode()

    regions.add_market(rate_ppm=50_000, change=name)
    regions.add_set(2, rate_ppm=50_000, change=name)
    for index in range(3):
        regions.store(index, (4_800, 100, 5_000, 100), now_ns=1)
    regions.board_segment.beat(1_000 * S)
    return regions


__all__ = ["SHARE", "PairWire", "PermitDesk", "three_markets"]
