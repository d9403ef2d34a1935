"""The executor process: opens the journal, makes peace with the venue, then trades.

Start: replay the journal from its last checkpoint on, settle what the last process left, obtain
credentials, compare with the venue until one comparison is complete; only then is it ready and
reads intents.
End (signal, or the supervisor's death): stop taking intents, cancel everything, wait a moment
for settlements, write the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import structlog
import uvloop

from overround import clock
from overround.config.schema import Mode, Settings
from overround.errors import HostError, OverroundError
from overround.execute.account import AccountDesk, obtain_credentials
from overround.execute.client import VenueClient
from overround.execute.executor import Submission
from overround.execute.halt import KillSwitch, under_way
from overround.execute.heartbeat import DeadMan
from overround.execute.intents import RingIntent
from overround.execute.losses import LOSS_REASONS, LossWatch
from overround.execute.markets import SharedMarkets
from overround.execute.permits import Permits
from overround.execute.publish import AccountPublisher, SharedNews
from overround.execute.rings import RingWatch
from overround.execute.user_stream import UserStream
from overround.execute.wiring import (
    Parts,
    build,
    open_journal,
    open_store,
    permits,
    projection,
    signer_of,
    target_sources,
    use_key,
    venue_client,
)
from overround.ledger.export import write_ledger
from overround.ledger.journal import Journal
from overround.ledger.records import Reconcile, Start
from overround.observe.metrics import Value
from overround.seat.collector import Collector
from overround.shm.broadcast import BroadcastWriter
from overround.shm.kill import KillLatch, KillReason
from overround.shm.member import Member
from overround.shm.meters import Meters
from overround.shm.slots import Slots
from overround.shm.spsc import SpscConsumer
from overround.venues.polymarket.auth import Credentials

__all__ = ["JOURNAL_FOLDER", "LEDGER_FILE", "run"]

JOURNAL_FOLDER: Final = "journal"
LEDGER_FILE: Final = "ledger.jsonl"

RETRY_S: Final = 0.5
PUBLISH_S: Final = 0.05
HOUSEKEEPING_S: Final = 1.0
POOL_S: Final = 0.005
POOL_SIGNS_MAX: Final = 4
"""Orders signed ahead in one turn of the loop: about what one intent costs."""
PLANS_S: Final = 0.02


def run(member: Member, settings: Settings) -> int:
    """Run the executor until it is asked to stop; returns its exit status."""
    folder = member.run_dir / JOURNAL_FOLDER
    with open_journal(settings, folder, lambda: member.beat(clock.monotonic_ns())) as journal:
        process = ExecutorProcess(member, settings, journal)
        with projection(settings, journal, member.run_dir, member.meters):
            uvloop.run(process.main())
    return 0


class ExecutorProcess:
    """Everything of one executor: built once, run once."""

    def __init__(self, member: Member, settings: Settings, journal: Journal) -> None:
        self._member = member
        self._settings = settings
        self._shadow = settings.mode is Mode.SHADOW
        self._log = structlog.get_logger()
        self._kill = KillLatch(member.open("kill"))
        self._reports = member.own("reports-0")
        self._account = member.own("account-0")
        refusals = member.own("meters-refusals")
        for segment in (self._reports, self._account, refusals):
            segment.take_over()
        self._markets = SharedMarkets(
            Slots(member.open("catalog")),
            {
                int(key.rpartition("-")[2]): (segment, Slots(segment))
                for key in member.keys("board-")
                for segment in (member.open(key),)
            },
            settings.supervise.trust_lease_ms * clock.NS_PER_MS,
        )
        self._markets.refresh()
        self._signer = signer_of(settings)
        self._store = open_store(settings, journal)
        if journal.torn is not None:
            self._log.warning("torn journal tail cut", torn=str(journal.torn))
        self._news = SharedNews(
            member.meters, BroadcastWriter(self._reports), self._markets, clock.epoch_ns,
            refusals=Meters(refusals),
        )  # fmt: skip
        self._publisher = AccountPublisher(
            Slots(self._account), member.meters, self._store, self._markets
        )
        self._trade_parts: Parts | None = None
        self._collector = Collector(member.meters, settings.memory.growth_max_mib)
        self._permits: Permits | None = None
        self._switch: KillSwitch | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: list[RingWatch] = []
        self._compare = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None
        self._overdue: set[tuple[str, str]] = set()

    # -- life ----------------------------------------------------------------------------

    async def main(self) -> None:
        """Start, trade, stop. Raises what made it impossible to go on."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._member.stop_fd, self._on_stop)
        self._every(self._settings.supervise.beat_interval_ms / 1_000, self._beat)
        mode = self._settings.mode.value
        generation = int(self._account.generation)
        self._store.commit(
            Start(self._member.run_id, generation, mode, self._signer.address), self._now()
        )
        async with venue_client(self._settings, self._signer, self._news) as client:
            client.on_failure = self._fail
            if await self._until_stopped(self._connect(client)):
                self._trade(client)
                await self._stopped.wait()
            await self._finish()
        if self._failure is not None:
            raise self._failure

    def _on_stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._member.stop_fd)
        self._stopped.set()

    def _now(self) -> int:
        return clock.monotonic_ns()

    async def _until_stopped(self, errand: Coroutine[Any, Any, None]) -> bool:
        """Run an errand until it ends (True) or the process is to stop (False)."""
        work = asyncio.ensure_future(errand)
        stop = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            return False
        work.result()
        return not self._stopped.is_set()

    async def _connect(self, client: VenueClient) -> None:
        """Obtain credentials, settle the past, compare once: all until it succeeds."""
        owner = "shadow"
        if not self._shadow:
            owner = await self._credentials(client)
        parts = self._trade_parts = self._build(client, owner)
        unknown = parts.resolver.restart()
        self._log.info(
            "journal replayed",
            orders=len(self._store.by_key),
            retired=len(self._store.retired),
            working=len(self._store.working),
            unknown=unknown,
        )
        if self._shadow:
            if not self._store.opened:
                cash = self._settings.risk.account_notional_max_micro
                self._store.commit(Reconcile(cash, 0, 0, (), True), self._now())
        else:
            await self._first_comparison(parts.desk)
        parts.core.ready = True

    async def _credentials(self, client: VenueClient) -> str:
        while True:
            try:
                client.credentials = await obtain_credentials(client)
                return client.credentials.api_key
            except OverroundError as error:
                self._news.notice("no credentials yet", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _first_comparison(self, desk: AccountDesk) -> None:
        while True:
            try:
                await desk.reconcile()
                return
            except OverroundError as error:
                self._news.notice("venue cannot be compared yet", error=str(error))
                await asyncio.sleep(RETRY_S)

    def _build(self, client: VenueClient, owner: str) -> Parts:
        return build(
            self._settings,
            client,
            self._store,
            self._markets,
            self._news,
            signer=self._signer,
            owner=owner,
            run_id=self._member.run_id,
            killed=self._kill.is_set,
            trip=self._trip,
        )

    def _trip(self, text: str, reason: KillReason = KillReason.LOSS_LIMIT) -> None:
        if reason in LOSS_REASONS and self._switch is not None and self._switch.resuming:
            return  # the operator has answered for it: it is counted anew in a moment
        if self._kill.set(reason, self._now()):
            self._log.error("kill latch set", reason=text)

    # -- trading -------------------------------------------------------------------------

    def _trade(self, client: VenueClient) -> None:
        settings, parts = self._settings, self._parts
        if not self._shadow:
            self._listen(client)
            self._spawn(parts.desk.settle_doubts())
            self._spawn(self._compare_loop())
        if settings.execute.journal_sync == "batch":
            self._spawn(self._sync_loop(settings.execute.journal_sync_ms / 1_000))
        self._losses = LossWatch(
            self._store, self._markets, parts.core.gate, settings.risk,
            trip=self._trip, clock=self._now, epoch_ms=clock.epoch_ms,
        )  # fmt: skip
        self._switch = self._kill_switch()
        self._spawn(self._switch.run(settings.supervise.beat_interval_ms / 1_000))
        self._spawn(self._losses.run(HOUSEKEEPING_S))
        if settings.execute.heartbeat_interval_ms and not self._shadow:
            dead_man = DeadMan(
                client.call, self._news,
                quiet=self._cancelling, clock=self._now, on_lapse=self._compare.set,
            )  # fmt: skip
            self._spawn(dead_man.run(settings.execute.heartbeat_interval_ms / 1_000))
        self._every(PUBLISH_S, self._publisher.publish)
        self._every(HOUSEKEEPING_S, self._housekeep)
        self._every(POOL_S, self._refill_pool)
        self._every(PLANS_S, self._carry_plans)
        parts.quotes.watch(target_sources(self._member, settings))
        self._every(settings.execute.quote_interval_ms / 1_000, self._carry_quotes)
        self._permits = permits(
            settings, client, parts, self._markets, run_id=self._member.run_id,
            spawn=self._spawn, trip=partial(self._trip, reason=KillReason.INSTANCE_FAILED),
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        for key in self._member.keys("intents-"):
            watch = RingWatch(
                SpscConsumer(self._member.open(key)),
                loop,
                self._on_intents,
                spin_ns=settings.cpu.spin_us * clock.NS_PER_US,
                busy=settings.cpu.wait == "spin",
                on_failure=self._fail,
                bind=self._bind if self._permits is not None else None,
            )
            self._watches.append(watch)
        self._collector.settle()
        for watch in self._watches:
            watch.start()
        self._member.ready()

    def _listen(self, client: VenueClient) -> None:
        """Follow the user channel, with another key should the venue give one."""
        settings, parts = self._settings, self._parts
        stream = UserStream(
            settings.venue.ws_user_url,
            settings.ingress,
            self._news,
            random=Random(self._member.run_id),
            on_events=parts.settlement.apply,
            on_connected=self._compare.set,
            trust=parts.desk.trust,
        )
        self._spawn(stream.run(client.session, lambda: client.credentials))

        def take_up(credentials: Credentials) -> None:
            self._log.warning("the venue gave another API key: trading goes on with it")
            use_key(parts, credentials.api_key)
            self._spawn(stream.renew())
            self._compare.set()

        client.on_new_key(take_up)

    @property
    def _parts(self) -> Parts:
        assert self._trade_parts is not None, "used before the venue was reached"
        return self._trade_parts

    def _on_intents(self, messages: list[RingIntent]) -> None:
        try:
            submissions = self._parts.core.take(messages, self._send_now)
        except Exception as error:
            self._fail(error)
            raise
        self._dispatch(submissions)

    def _send_now(self, submission: Submission) -> bool:
        return self._parts.desk.send_now(submission, self._spawn)

    def _refill_pool(self) -> None:
        core, pool = self._parts.core, self._parts.pool
        if pool is not None and core.ready and not core.killed:
            pool.refill(POOL_SIGNS_MAX)
            if self._permits is not None:
                self._permits.grant()

    def _bind(self, records: Any) -> Callable[[int], bool]:
        """Return what sends the record at a place of a ring's buffer in one call."""
        assert self._permits is not None
        take = self._permits.bind(records)

        def guarded(at: int) -> bool:
            try:
                return take(at)
            except Exception as error:
                self._fail(error)
                raise

        return guarded

    def _carry_plans(self) -> None:
        if self._parts.core.ready:
            self._parts.core.release_cancels()
            self._dispatch(self._parts.plans.step())

    def _carry_quotes(self) -> None:
        self._dispatch(self._parts.quotes.step())

    def _dispatch(self, submissions: Iterable[Submission]) -> None:
        core, desk = self._parts.core, self._parts.desk
        for submission in submissions:
            self._spawn(desk.submit(submission))
        if core.cancels:
            orders, core.cancels = core.cancels, []
            self._spawn(desk.cancel(orders))

    async def _compare_loop(self) -> None:
        interval_ms = self._settings.execute.reconcile_interval_ms
        desk = self._parts.desk
        while True:
            with contextlib.suppress(TimeoutError):
                # Not ``wait_for``: on Python 3.11 it swallows a cancel that comes with the event.
                async with asyncio.timeout(desk.trust.wait_ms(interval_ms) / 1_000):
                    await self._compare.wait()
            self._compare.clear()
            try:
                await desk.reconcile()
            except OverroundError as error:
                self._news.notice("venue cannot be compared", error=str(error))

    def _cancelling(self) -> bool:
        """Whether everything open is to be cancelled: the venue may then do so as well."""
        return self._kill.reason not in (0, KillReason.HOLD)

    def _kill_switch(self) -> KillSwitch:
        async def nothing_open() -> bool:
            return True

        return KillSwitch(
            self._kill,
            self._store,
            nothing_open if self._shadow else self._parts.desk.cancel_all,
            clock=self._now,
            on_resume=self._losses.resume,
        )

    async def _sync_loop(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            if self._store.journal.unsynced_bytes:
                await asyncio.to_thread(self._store.journal.begin_sync())

    def _housekeep(self) -> None:
        self._parts.core.expire_plans()
        self._member.meters.set(Value.USER_TRUSTED, int(self._parts.desk.trust.trusted))
        self._markets.refresh()
        # The gate meets the limit when an intent comes; what rests at the venue fills without one.
        loss_micro, limit_micro = self._store.loss_micro(), self._settings.risk.loss_max_micro
        if loss_micro >= limit_micro:
            self._trip(f"loss {loss_micro} is at its limit of {limit_micro}")
        limit_ms = self._settings.execute.settle_alarm_ms
        for fill in self._parts.settlement.overdue(clock.epoch_ms(), limit_ms):
            key = (fill.trade_id, fill.order_id)
            if key not in self._overdue:
                self._overdue.add(key)
                self._news.count(Value.SETTLE_OVERDUE)
                self._log.warning("trade does not settle", trade=fill.trade_id)
        self._store.retire()
        self._collector.quiet()

    def _beat(self) -> None:
        now_ns = self._now()
        self._member.beat(now_ns)
        self._reports.beat(now_ns)
        self._account.beat(now_ns)
        if self._member.should_stop():
            self._stopped.set()

    # -- end -----------------------------------------------------------------------------

    async def _finish(self) -> None:
        for watch in self._watches:
            watch.stop()
        parts = self._trade_parts
        if parts is not None:
            parts.core.ready = False
        if parts is not None and not self._shadow:
            limit_s = self._settings.supervise.stop_timeout_ms / 2_000
            with contextlib.suppress(TimeoutError, OverroundError):
                async with asyncio.timeout(limit_s):
                    await self._leave(parts.desk)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._collector.end()
        self._publisher.publish()
        ledger = Path(self._member.run_dir) / LEDGER_FILE
        write_ledger(ledger, self._store.positions, self._store.fills())

    async def _leave(self, desk: AccountDesk) -> None:
        """Cancel until no order can have overtaken it, then wait for what is still to settle."""
        store = self._store
        cancelled = False
        while not cancelled or store.working or store.positions.pending():
            if not cancelled:
                overtakes = under_way(store)
                cancelled = await desk.cancel_all() and not overtakes
            try:
                await desk.reconcile()
            except OverroundError as error:
                self._news.notice("venue cannot be compared", error=str(error))
            await asyncio.sleep(PUBLISH_S)

    # -- tasks ---------------------------------------------------------------------------

    def _spawn(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _every(self, interval_s: float, chore: Callable[[], None]) -> None:
        async def repeat() -> None:
            while True:
                chore()
                await asyncio.sleep(interval_s)

        self._spawn(repeat())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _fail(self, error: BaseException | None) -> None:
        """A broken invariant or a full disk: stop, and let the supervisor decide."""
        if isinstance(error, HostError):
            self._log.error("stopped", error=str(error))
        if self._failure is None:
            self._failure = error
        self._stopped.set()
