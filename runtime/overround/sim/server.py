"""The exchange as a running process: sockets, timers, the flow, start and stop."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from overround.clock import monotonic_ns
from overround.errors import HostError
from overround.sim.account import RELAYER_PREFIX, AccountApi
from overround.sim.catalog import SimCatalog
from overround.sim.commands import Recorder, Timers
from overround.sim.control import ControlApi
from overround.sim.dataapi import DATA_PREFIX, DataApi
from overround.sim.delays import Delays
from overround.sim.exchange import Exchange, Settlement
from overround.sim.flow import Flow, FlowSettings
from overround.sim.gamma import GAMMA_PREFIX, GammaApi
from overround.sim.gate import Gate
from overround.sim.guard import IDLE_SECONDS, Guard
from overround.sim.history import HISTORY_KEPT
from overround.sim.intake import Intake
from overround.sim.lifecycle import LifeCycle
from overround.sim.markets import MarketsApi
from overround.sim.members import funded_signers
from overround.sim.orderlog import OrderLog
from overround.sim.population import populate
from overround.sim.replay import BookReplay
from overround.sim.rest import PublicApi
from overround.sim.rewards import Rewards
from overround.sim.sockets import Sockets
from overround.sim.store import Store
from overround.sim.switchboard import Plan, SkewedClock, Switchboard
from overround.sim.trading import TradingApi
from overround.sim.wallets import WALLET_NAMES
from overround.sim.watch import JournalWatch
from overround.units import MICRO_PER_UNIT

__all__ = ["Server", "ServerSettings"]

FLOW_TICK_S = 0.004
"""How often the flow catches up with the clock; frames come in groups this far apart."""

HOUSEKEEPING_S = 1.0
"""How often expired orders and lapsed heartbeats are looked for."""

REQUEST_BYTES_MAX = 1 << 20

GARBAGE_YOUNG = 20_000
"""Net new containers between two searches for young cycles: about a millisecond's work."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to run an exchange. ``port`` 0 takes any free one; ``feed`` is a recording or None."""

    host: str = "127.0.0.1"
    port: int = 0
    feed: Path | None = None
    seed: int = 1
    log: Path | None = None
    accounts: int = 4
    cash_micro: int = 100_000 * MICRO_PER_UNIT
    markets: int = 0
    """How many to list at least: generated ones join the recorded; not with a feed."""
    flow: FlowSettings = field(default_factory=FlowSettings)
    settlement: Settlement = field(default_factory=Settlement)
    strict_amounts: bool = True
    version: int = 2
    """Which order version is taken: 2, or 1 for the venue as it was before April 2026."""
    deposit_only: bool = False
    """Refuse orders paid by a key's own address (signature type 0)."""
    buys_dollars: bool = False
    """FOK and FAK BUYs spend their cash; otherwise they buy their number of shares."""
    auto_tick: bool = True
    """The tick of 0.01 becomes 0.001 once a trade is below 0.04 or above 0.96."""
    history: int = HISTORY_KEPT
    """Finished orders and settled trades kept for queries."""
    idle_seconds: float = IDLE_SECONDS
    faults: tuple[Plan, ...] = ()
    """Turns of fault switches, counted from the start."""
    chaos: int | None = None
    """Seed of random faults; None for none."""
    limits: str = "off"
    limit_tier: str = "standard"
    store: Path | None = None
    """Where every command is written down before it is carried out; not with a feed."""
    watch_journal: Path | None = None
    """Folder of an executor's journal: orders that arrive before their records are counted."""
    resume: bool = False
    """Go on with what ``store`` holds; its own settings win over those of ``KEPT``."""


KEPT = (
    "host", "seed", "accounts", "cash_micro", "markets", "strict_amounts", "version",
    "deposit_only", "buys_dollars", "auto_tick", "history",
)  # fmt: skip
"""Settings that a resumed exchange takes from its store: others would give another exchange."""


class Server:
    """Builds the exchange and serves it on one local port."""

    def __init__(self, settings: ServerSettings) -> None:
        self.store: Store | None = None
        if settings.store is not None:
            kept = {name: getattr(settings, name) for name in KEPT}
            self.store = Store(settings.store, kept, resume=settings.resume)
            header = self.store.header
            settings = replace(settings, **{name: header[name] for name in KEPT})
        self.settings = settings
        self.port = 0
        self.log = OrderLog(settings.log)
        self._loop = asyncio.get_running_loop()
        replay = BookReplay(settings.feed) if settings.feed else None
        catalog = replay.catalog() if replay else SimCatalog.recorded()
        if replay is None:
            populate(catalog, settings.markets, settings.seed)
        clock = SkewedClock()
        timers = Timers(clock, self._loop.call_later)
        self.exchange = Exchange(
            catalog,
            seed=settings.seed,
            now_ns=timers.now_ns,
            later=timers.later,
            log=self.log,
            settlement=settings.settlement,
            history_kept=settings.history,
            auto_tick=settings.auto_tick,
        )
        self.life = LifeCycle(self.exchange, timers.later)
        self.delays = Delays(self.exchange, timers.later)
        self.intake = Intake(
            catalog,
            strict_amounts=settings.strict_amounts,
            version=settings.version,
            deposit_only=settings.deposit_only,
            buys_dollars=settings.buys_dollars,
        )
        self.watch = JournalWatch(settings.watch_journal) if settings.watch_journal else None
        self.recorder: Recorder | None = None
        self.signers = funded_signers(settings.seed, settings.accounts)
        self._last_port = self._come_back(timers)
        if not settings.resume:
            self._fund()
        self.flow = Flow(self.exchange, settings.seed, settings.flow, replay)
        self.sockets = Sockets(self.exchange)
        self.rewards = Rewards(self.exchange, settings.seed)
        self.board = Switchboard(
            self.exchange, self.flow, self.sockets, clock, self._loop.call_later
        )
        self.guard = Guard()
        self.guard.watch(self._loop)
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._started_ns = 0

    def _fund(self) -> None:
        for _, signer in self.signers:
            member = self.exchange.members.join(signer.address)
            for wallet in member.wallets:
                self.exchange.fund(member, self.settings.cash_micro, wallet.signature_type)

    def _come_back(self, timers: Timers) -> int:
        """Put the store in place, do again what it holds, and return the last port, else 0."""
        if self.store is None:
            return 0
        starts = [command for command in self.store.commands if command.name == "start"]
        self.recorder = Recorder(self.exchange, self.life, self.delays, self.store, timers)
        self.recorder.attach()
        if self.settings.resume:
            self.recorder.replay()
        return int(starts[-1].arguments[0]) if starts else 0

    async def start(self) -> None:
        """Bind, then start the timers. HostError if the port is taken."""
        gate = Gate(self.board, self.intake.order_ids, self.watch)
        application = web.Application(
            middlewares=[self.guard.middleware(), gate.middleware()],
            client_max_size=REQUEST_BYTES_MAX,
        )
        for routes in self._routes():
            application.router.add_routes(routes)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=1.0,
            keepalive_timeout=self.settings.idle_seconds,
            lingering_time=1.0,
            logger=self.guard.logger,
        )
        await self._runner.setup()
        settings = self.settings
        port = settings.port or self._last_port
        site = web.TCPSite(self._runner, settings.host, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise HostError(
                f"cannot listen on {settings.host}:{port}: "
                f"{os.strerror(error.errno or 0)}; "
                "choose another port or 0 for any"
            ) from None
        self.port = self._runner.addresses[0][1]
        if self.recorder is not None:
            self.recorder.start(self.port)
        self._started_ns = monotonic_ns()
        self._start_trouble()
        self._tasks = [
            self._loop.create_task(self._every(FLOW_TICK_S, self._run_flow)),
            self._loop.create_task(self._every(HOUSEKEEPING_S, self._keep_house)),
        ]

    def _routes(self) -> list[list[web.RouteDef]]:
        exchange, seed = self.exchange, self.settings.seed
        settings = self.settings
        trading = TradingApi(exchange, self.intake, self.delays, version=settings.version)
        control = ControlApi(exchange, self.flow, self.sockets, self.guard, self.board, self.watch)
        account = AccountApi(exchange, self.rewards, trading.logged_in, seed)
        account.tier_of = self.board.limits.tier_of
        markets, gamma = MarketsApi(exchange, self.rewards), GammaApi(exchange)
        public, data = PublicApi(exchange, version=settings.version), DataApi(exchange)
        parts = (
            public, markets, trading, account, gamma, data, control, self.life, self.sockets,
        )  # fmt: skip
        return [part.routes() for part in parts]

    def _start_trouble(self) -> None:
        settings = self.settings
        self.board.limits.set_mode(settings.limits, settings.limit_tier)
        for plan in settings.faults:
            self.board.run(plan)
        if settings.chaos is not None:
            self.board.start_chaos(settings.chaos)

    async def _every(self, seconds: float, action: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            action()

    def _run_flow(self) -> None:
        self.flow.run_until(monotonic_ns() - self._started_ns)

    def _keep_house(self) -> None:
        self.exchange.expire()
        self.life.keep_house()
        self.exchange.sweep_heartbeats(monotonic_ns())
        self.rewards.tick()

    def _wallets(self, address: str) -> dict[str, str]:
        wallets = self.exchange.members.join(address).wallets[1:]
        return {WALLET_NAMES[wallet.signature_type]: wallet.address for wallet in wallets}

    def ready(self) -> dict[str, Any]:
        """Return what the ready line says: where to connect and which accounts have money."""
        base = f"{self.settings.host}:{self.port}"
        return {
            "rest_url": f"http://{base}",
            "gamma_url": f"http://{base}{GAMMA_PREFIX}",
            "data_url": f"http://{base}{DATA_PREFIX}",
            "relayer_url": f"http://{base}{RELAYER_PREFIX}",
            "ws_market_url": f"ws://{base}/ws/market",
            "ws_user_url": f"ws://{base}/ws/user",
            "chain_id": 137,
            "accounts": [
                {
                    "private_key": key,
                    "address": signer.address,
                    "wallets": self._wallets(signer.address),
                }
                for key, signer in self.signers
            ],
        }

    async def stop(self) -> None:
        """Stop timers, close every connection and the log."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in ("market", "user"):
            self.sockets.abort(channel)
        if self._runner is not None:
            await self._runner.cleanup()
        self.log.close()
        if self.store is not None:
            self.store.close()
        if self.watch is not None:
            self.watch.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def serve(self, seconds: float, on_ready: Callable[[dict[str, Any]], None]) -> None:
        """Run until SIGTERM, SIGINT, ``seconds`` (0: no limit) or a failed timer."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        await self.start()
        for task in self._tasks:
            task.add_done_callback(lambda _: stop.set())
        settle_garbage()
        on_ready(self.ready())
        try:
            async with asyncio.timeout(seconds or None):
                await stop.wait()
        except TimeoutError:
            pass
        finally:
            await self.stop()


def settle_garbage() -> None:
    """Spare what lives as long as the process, and look for cycles seldom.

    Books and orders are long-lived and hold no cycles; with Python's own thresholds the search
    for cycles took two fifths of the time of a busy exchange and paused it for a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_YOUNG, 10, 100)


def ready_line(ready: dict[str, Any]) -> str:
    """Return the ready record as one line of JSON."""
    return json.dumps(ready, separators=(",", ":"))
