"""The ingress process: one shard's market channel in, trusted books out.

One thread, one loop. Frames go from the receive buffer to native code in one call each; all
else happens between frames, on a timer: beats, flushes of bursts that no later frame ended,
what the feed decides, new markets. An exception of ours ends the process, and the supervisor
starts it again; whatever the venue sends or fails to send is counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog
import uvloop

from overround.book.engine import NEVER_NS
from overround.clock import NS_PER_MS, NS_PER_S, epoch_ns, monotonic_ns
from overround.config.schema import Settings
from overround.errors import HostError
from overround.ingress.catalog import CatalogFollower, MarketEntry
from overround.ingress.feed import (
    Action,
    Close,
    CloseReason,
    Connect,
    FetchBooks,
    MarketFeed,
    Resubscribed,
    Send,
    Untrust,
)
from overround.ingress.links import make_links
from overround.ingress.native import GuardedEngine
from overround.ingress.rest import BookFetcher
from overround.ingress.takeover import distrust_board
from overround.layout.board import UntrustCause
from overround.layout.catalog import MarketStatus
from overround.observe.metrics import Histogram, Value
from overround.seat.collector import Collector
from overround.shm.member import Member
from overround.shm.slots import Slots
from overround.shm.tap import TapKind, TapWriter
from overround.venues.polymarket import wire

__all__ = ["IngressProcess", "run"]

_CONNECTIONS_PER_LIFE = 2**20
"""Connection numbers set aside for one life of the process; a tap tells its lives apart by them."""

_GENERATIONS = 2**12

_SLOW_INTERVAL_NS = NS_PER_S
"""Gauges are set, and young objects collected (the collector itself is off), this often."""

_TAP_RETRY_NS = 10 * NS_PER_S
"""Without room for another file the tap's last one fills up; room is looked for this often."""

_NO_BEAT = 0
"""A heartbeat that is too old for any reader: nobody acts on a region after its owner's end."""


def run(member: Member, settings: Settings) -> int:
    """Serve until asked to stop; returns the exit status. Raises what went wrong with us."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(member, settings))


async def _serve(member: Member, settings: Settings) -> int:
    return await IngressProcess(member, settings).serve()


class _States:
    """Trust and freshness of books, read in place from the engine's memory."""

    def __init__(self, engine: GuardedEngine) -> None:
        self._engine = engine

    def trusted(self, index: int) -> bool:
        return bool(self._engine.market_state(index).trusted)

    def heard_ns(self, index: int) -> int:
        state = self._engine.market_state(index)
        return max(int(state.last_data_ns), int(state.proved_ns))


class IngressProcess:
    """Regions, engine, connections and timers of one shard."""

    def __init__(self, member: Member, settings: Settings) -> None:
        """Take over the shard's regions and leave them untrusted; needs a running loop.

        The shard is the number at the end of the process's name (``ingress-0``).
        Raises HostError if another process owns a region. Goes on without a tap if the disk has
        no room for one.
        """
        self._member = member
        self._log = structlog.get_logger()
        shard = int(member.name.rpartition("-")[2])
        self._board = member.own(f"board-{shard}")
        self._rings = [member.own(f"{kind}-{shard}") for kind in ("changes", "trades")]
        repaired = sum(region.take_over() for region in (self._board, *self._rings))
        withdrawn = distrust_board(self._board)
        self._tap = _open_tap(member, settings, shard)
        self._engine = GuardedEngine(
            markets_capacity=self._board.capacity,
            burst_ns=settings.ingress.burst_ms * NS_PER_MS,
            audit_every=settings.ingress.hash_audit_every,
            hash_pending_ns=settings.ingress.hash_pending_ms * NS_PER_MS,
            frame_bytes_max=settings.ingress.frame_bytes_max,
            board=self._board,
            changes=self._rings[0],
            trades=self._rings[1],
            tap=self._tap,
            meters=member.meters.segment,
        )
        generation = self._board.generation
        # Differs between processes and lives, and is the same when a run is looked at again.
        rng = random.Random(f"{member.run_id} {member.name} {generation}")
        first = generation % _GENERATIONS * _CONNECTIONS_PER_LIFE + 1
        self._feed = MarketFeed(settings.ingress, wire, rng, connection=first)
        self._catalog = CatalogFollower(Slots(member.open("catalog")), shard)
        self._states = _States(self._engine)
        self._known: set[int] = set()
        self._closing: set[int] = set()
        self._again: set[int] = set()
        self._resolved = False
        self._venue_epoch_ms = 0
        self._venue_recv_ns = 0
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._burst_ns = settings.ingress.burst_ms * NS_PER_MS
        self._links = make_links(
            settings, self, self._engine, self._tap, self._board.capacity, self._fail
        )
        self._fetcher = BookFetcher(
            settings.venue,
            answer_bytes_max=settings.ingress.frame_bytes_max,
            on_books=self._on_books,
            on_failed=self._on_fetch_failed,
            on_fatal=self._fail,
        )
        self._loop = asyncio.get_running_loop()
        self._busy_loop = settings.ingress.busy_loop
        self._tick_s = settings.supervise.beat_interval_ms / 1_000
        self._flush_due_ns = NEVER_NS
        self._flush_timer: asyncio.TimerHandle | None = None
        self._slow_due_ns = 0
        self._tap_due_ns = 0
        self._full_collect = False
        self._collector = Collector(member.meters, settings.memory.growth_max_mib)
        self._log.info("took over", generation=generation, repaired=repaired, withdrawn=withdrawn)

    # -- life ------------------------------------------------------------------------------

    async def serve(self) -> int:
        """Serve until asked to stop; returns 0. Raises the first exception of ours."""
        self._loop.add_reader(self._member.stop_fd, self._stop.set)
        if self._member.should_stop():
            self._stop.set()
        # Everything allocated so far stays: the collector need never look at it again.
        self._collector.settle()
        try:
            self._on_tick()
            if self._busy_loop:
                self._keep_busy()
            self._member.ready()
            await self._stop.wait()
        finally:
            self._stop.set()
            self._loop.remove_reader(self._member.stop_fd)
            for region in (self._board, *self._rings):
                region.beat(_NO_BEAT)
            await self._links.stop()
            await self._fetcher.stop()
            if self._tap is not None:
                self._tap.close()
            self._collector.end()
        if self._failure is not None:
            raise self._failure
        return 0

    def _keep_busy(self) -> None:
        """Always have something to do, so that the loop looks at its sockets without sleeping."""
        if not self._stop.is_set():
            self._loop.call_soon(self._keep_busy)

    def _fail(self, error: BaseException) -> None:
        """Keep the first exception of ours and end the process."""
        if self._failure is None:
            self._failure = error
        self._stop.set()

    # -- what the connections tell ---------------------------------------------------------

    def on_frame(self, payload: memoryview | bytearray, recv_ns: int, connection: int) -> None:
        """Hand a frame to the engine; the one call of the hot path."""
        result = self._engine.on_frame(payload, recv_ns, connection)
        if result.changes or result.books:
            due_ns = recv_ns + self._burst_ns
            if due_ns < self._flush_due_ns:
                self._arm_flush(due_ns, self._burst_ns)
        self._venue_epoch_ms = result.venue_epoch_ms
        self._venue_recv_ns = recv_ns
        if result.resolved:
            self._resolved = True
        if result.resync:
            self._resync(recv_ns)

    def on_frames(self, summary: Any) -> None:
        """Take note of what the transport's native code did with the engine by itself."""
        if summary.burst_ns:
            due_ns = summary.burst_ns + self._burst_ns
            if due_ns < self._flush_due_ns:
                self._arm_flush(due_ns, max(due_ns - monotonic_ns(), 0))
        if summary.messages:
            self._venue_epoch_ms = summary.venue_epoch_ms
            self._venue_recv_ns = summary.recv_ns
        if summary.resolved:
            self._resolved = True
        if summary.resync:
            self._resync(monotonic_ns())

    def on_pong(self, connection: int, recv_ns: int) -> None:
        """Count the answer to a ping."""
        self._member.meters.add(Value.PONGS)
        self._feed.on_pong(connection, recv_ns)

    def on_unusable(
        self, connection: int, recv_ns: int, *, too_large: bool, count: int = 1
    ) -> None:
        """Count messages that are no text, or longer than allowed."""
        del recv_ns
        kind = Value.MALFORMED_TOO_LARGE if too_large else Value.MALFORMED_TYPE
        self._member.meters.add(kind, count)
        counted = kind.name.lower()
        self._log.warning("dropped messages", connection=connection, counted=counted, count=count)

    def on_broken(self, connection: int, reason: str) -> None:
        """Count a connection that ended by the venue's broken framing."""
        self._member.meters.add(Value.FRAMING_BROKEN)
        self._log.warning("broken framing", connection=connection, reason=reason)

    def on_connected(self, connection: int) -> None:
        """Subscribe what belongs on the connection."""
        now_ns = monotonic_ns()
        self._record(TapKind.CONNECT, now_ns, connection, b"")
        self._log.info("connected", connection=connection)
        if connection in self._again:
            self._again.discard(connection)
            self._member.meters.add(Value.RECONNECTS)
        self._carry_out(self._feed.on_connected(connection, now_ns), now_ns)

    def on_connect_failed(self, connection: int, reason: str) -> None:
        """Tell why; the feed tries again after its backoff."""
        now_ns = monotonic_ns()
        self._log.warning("cannot connect", connection=connection, reason=reason)
        self._again.discard(connection)
        self._member.meters.add(Value.CONNECTS_FAILED)
        self._carry_out(self._feed.on_connect_failed(connection, now_ns), now_ns)

    def on_disconnected(self, connection: int) -> None:
        """Withdraw trust from the books of the connection."""
        now_ns = monotonic_ns()
        if connection in self._closing:
            self._closing.discard(connection)
        else:
            self._record(TapKind.CLOSE, now_ns, connection, b"")
            if self._stop.is_set():
                return  # no trust is lost: the regions are not usable any more
            self._log.warning("disconnected", connection=connection)
        self._full_collect = True  # a pause now costs nothing: there are no books to be late with
        self._carry_out(self._feed.on_disconnected(connection, now_ns), now_ns)

    # -- REST ------------------------------------------------------------------------------

    def _on_books(self, body: bytes, recv_ns: int, markets: Sequence[int]) -> None:
        self._engine.on_rest_books(body, recv_ns)
        differ = [i for i in markets if self._engine.market_state(i).untrusted_ns == recv_ns]
        if differ:
            # The book is mended, but the stream has missed something and is subscribed anew.
            self._log.warning("REST books differ", markets=differ)
            self._carry_out(self._feed.on_resync(differ, recv_ns), recv_ns)
        self._resync(recv_ns)

    def _on_fetch_failed(self, reason: str) -> None:
        self._member.meters.add(Value.REST_FAILED)
        self._log.warning("no books by REST", reason=reason)

    # -- timers ----------------------------------------------------------------------------

    def _on_tick(self) -> None:
        if self._stop.is_set():
            return
        try:
            self._tick(monotonic_ns())
        except BaseException as error:
            self._fail(error)
            return
        self._loop.call_later(self._tick_s, self._on_tick)

    def _tick(self, now_ns: int) -> None:
        self._links.poll()
        for connection, data_ns in self._links.data_times():
            if data_ns:
                self._feed.on_data(connection, data_ns)
        if added := self._catalog.poll_new():
            self._add_markets(added, now_ns)
        self._carry_out(self._feed.on_timer(now_ns, self._states), now_ns)
        self._resync(now_ns)
        if self._tap is not None and now_ns >= self._tap_due_ns and not self._tap.roll():
            self._tap_due_ns = now_ns + _TAP_RETRY_NS
            self._log.error("tap has no room for its next file", folder=str(self._tap.folder))
        if self._venue_epoch_ms:
            self._time_feed(now_ns)
        if now_ns >= self._slow_due_ns:
            self._slow_due_ns = now_ns + _SLOW_INTERVAL_NS
            self._slow_tick(now_ns)
        # Last, and with a fresh clock: a beat vouches for what was published before it.
        now_ns = monotonic_ns()
        for region in (self._board, *self._rings):
            region.beat(now_ns)
        self._member.beat(now_ns)

    def _slow_tick(self, now_ns: int) -> None:
        news = self._catalog.poll_status()
        if news.added:
            self._add_markets(news.added, now_ns)
        for index in news.ended:
            self._engine.untrust(index, UntrustCause.SILENCE, now_ns)
            self._carry_out(self._feed.remove_market(index, now_ns), now_ns)
        if self._resolved:
            self._resolved = False
            self._leave_resolved(now_ns)
        meters = self._member.meters
        meters.set(Value.MARKETS, self._feed.markets)
        meters.set(Value.MARKETS_TRUSTED, self._engine.trusted_count)
        meters.set(Value.SOCKETS, self._feed.sockets_open)
        for value, amount in self._links.gauges().items():
            meters.set(value, amount)
        self._collector.quiet(thorough=self._full_collect)
        self._full_collect = False

    def _time_feed(self, now_ns: int) -> None:
        """Record how old the newest frame was when it came; one sample a tick at most."""
        wall_ns = epoch_ns() - (now_ns - self._venue_recv_ns)
        age_ns = wall_ns - self._venue_epoch_ms * NS_PER_MS
        self._member.meters.record(Histogram.VENUE_TO_RECV, max(age_ns, 0))
        self._venue_epoch_ms = 0

    def _leave_resolved(self, now_ns: int) -> None:
        """Stop following markets that the stream said are resolved: nothing more will come."""
        for index in self._known:
            if self._engine.market_state(index).status == MarketStatus.RESOLVED:
                self._carry_out(self._feed.remove_market(index, now_ns), now_ns)

    def _arm_flush(self, due_ns: int, wait_ns: int) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        self._flush_due_ns = due_ns
        self._flush_timer = self._loop.call_later(wait_ns / NS_PER_S, self._on_flush)

    def _on_flush(self) -> None:
        # The loop runs timers before it reads sockets. After a pause the frames that belong to
        # the burst may lie there already, so the sockets are read once before time has its say.
        self._loop.call_soon(self._loop.call_soon, self._flush)

    def _flush(self) -> None:
        """End bursts that no later frame ended, and hashes that waited long enough."""
        self._flush_timer = None
        self._flush_due_ns = NEVER_NS
        if self._stop.is_set():
            return
        try:
            now_ns = monotonic_ns()
            # A replay ends bursts at the same places: their books may depend on it.
            self._record(TapKind.TICK, now_ns, 0, b"")
            self._engine.flush(now_ns)
            self._resync(now_ns)
            due_ns = self._engine.next_deadline()
            if due_ns != NEVER_NS:
                self._arm_flush(due_ns, max(due_ns - now_ns, 0))
        except BaseException as error:
            self._fail(error)

    # -- actions ---------------------------------------------------------------------------

    def _add_markets(self, added: Iterable[MarketEntry], now_ns: int) -> None:
        for entry in added:
            if entry.index in self._known or not self._add_to_engine(entry):
                continue
            self._known.add(entry.index)
            self._record(TapKind.MARKET, now_ns, 0, msgspec.json.encode(entry))
        follow = [
            (entry.index, entry.token_yes, entry.token_no)
            for entry in added
            if entry.index in self._known
        ]
        self._carry_out(self._feed.add_markets(follow, now_ns), now_ns)

    def _add_to_engine(self, entry: MarketEntry) -> bool:
        try:
            self._engine.add_market(
                entry.index,
                entry.condition_id,
                entry.token_yes,
                entry.token_no,
                entry.tick_ticks,
                min_size_text=entry.min_size_text,
                neg_risk=entry.neg_risk,
            )
        except ValueError as error:
            # One bad row must not cost the other books.
            self._log.error("market left out", market=entry.index, reason=str(error))
            return False
        return True

    def _resync(self, now_ns: int) -> None:
        indices = self._engine.take_resync()
        if indices:
            self._carry_out(self._feed.on_resync(indices, now_ns), now_ns)

    def _carry_out(self, actions: Iterable[Action], now_ns: int) -> None:
        for action in actions:
            match action:
                case Send(connection, text):
                    if self._links.send(connection, text):
                        self._record(TapKind.FRAME_OUT, now_ns, connection, text.encode())
                case Connect(connection, again):
                    if again:
                        self._again.add(connection)
                    self._links.connect(connection)
                case Close(connection, reason):
                    self._log.warning("closing", connection=connection, reason=reason.name.lower())
                    if reason is not CloseReason.UNUSED:
                        self._member.meters.add(Value.SOCKETS_DEAD)
                    if self._links.close(connection):
                        # Recorded where trust is withdrawn; its end is told a moment later.
                        self._closing.add(connection)
                        self._record(TapKind.CLOSE, now_ns, connection, b"")
                case Untrust(markets, cause):
                    for index in markets:
                        self._engine.untrust(index, cause, now_ns)
                case FetchBooks(markets, tokens, _):
                    self._fetcher.fetch(markets, tokens)
                case Resubscribed(markets):
                    self._member.meters.add(Value.RESUBSCRIBES, len(markets))

    def _record(self, kind: TapKind, now_ns: int, connection: int, payload: bytes) -> None:
        if self._tap is not None:
            self._tap.append(kind, now_ns, connection, payload)


def _open_tap(member: Member, settings: Settings, shard: int) -> TapWriter | None:
    """Return the shard's tap, None (told and counted) if the disk has no room for it."""
    capacity = settings.capacity
    folder = member.run_dir / f"tap-{shard}"
    try:
        return TapWriter(
            folder, capacity.tap_segment_bytes, capacity.tap_segments_max, run_id=member.run_id
        )
    except HostError as error:
        # Books go on without it: an audit trail must not stop a position from being watched.
        structlog.get_logger().error("no tap", error=str(error))
        member.meters.add(Value.TAP_DROPPED)
        return None
