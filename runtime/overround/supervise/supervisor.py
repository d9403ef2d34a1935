"""Runs one instance: create regions, find markets, start processes, watch, drain, stop.

The supervisor never touches the trading path. It decides three things only: whether a process
is alive, whether it may be started again, and when all must stop. Before it gives up it sets
the kill latch, so that the executor sends nothing more.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import structlog

from overround.clock import NS_PER_MS, epoch_s, monotonic_ns
from overround.config.schema import Mode, Settings
from overround.errors import ConfigError, HostError, OverroundError, SafetyError
from overround.host.notify import notify
from overround.observe.metrics import Value
from overround.seat.take import SHARED_VARIABLE
from overround.shm.kill import KillReason
from overround.shm.member import READY
from overround.shm.names import list_runs, remove_stale
from overround.shm.process import cpu_usage, start_ticks
from overround.shm.roster import ProcessState
from overround.supervise.child import SETTINGS_FILE
from overround.supervise.discovery import CatalogWriter, Discovery, keep_discovering
from overround.supervise.instance import PLAN, Instance, ProcessPlan
from overround.supervise.placing import Placing
from overround.supervise.process import (
    FATAL_STATUSES,
    ManagedProcess,
    child_command,
    child_environment,
    describe_exit,
)
from overround.supervise.report import build_report

WATCH_INTERVAL_S = 0.02
READY_TIMEOUT_MS = 90_000
"""A first start compiles kernels and may share its CPU with a build."""

NOTIFY_INTERVAL_NS = 1_000 * NS_PER_MS
"""How often systemd's watchdog hears of us, where the unit asks for it."""

DRAIN_TIMEOUT_MS = 5_000
"""How long open fills may take to settle once no new intent is made."""


class InstanceFailedError(OverroundError):
    """A process could not be kept running; the instance was stopped."""


class External(Protocol):
    """A process that somebody else started and will stop; only its death concerns us."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal, or None while it runs."""


class Supervisor:
    """One running instance; ``external`` processes (the demo's exchange) are only watched."""

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Mapping[str, str] = os.environ,
        armed: bool = False,
        external: Mapping[str, External] | None = None,
    ) -> None:
        self.settings = settings
        self._external = dict(external or {})
        self._log = structlog.get_logger()
        self._stop = asyncio.Event()
        self._usage_at_end: dict[int, tuple[int, float]] = {}
        self._notify_due_ns = 0
        require_armed(settings, armed)
        _refuse_a_second(settings.instance)
        # All that may be refused comes before the regions: without a supervisor none removes them.
        directory = _prepare_folder(settings)
        environments = {
            plan.name: child_environment(
                plan.role,
                settings.memory,
                settings.account.private_key_env,
                environment,
                armed=armed,
            )
            for plan in PLAN
        }
        self.placing = Placing(settings, PLAN)
        for child in environments.values():
            child[SHARED_VARIABLE] = self.placing.shared
        removed = remove_stale(epoch_s())
        if removed:
            self._log.warning("removed what a dead instance left behind", segments=len(removed))
        outside = (ProcessPlan(name, "exchange") for name in self._external)
        try:
            self.instance = Instance(settings, (*PLAN, *outside), self.placing.nodes)
        except BaseException:
            self.placing.end()
            raise
        self.processes = {
            plan.name: ManagedProcess(
                plan.name,
                plan.role,
                child_command(self.instance.roster.segment.name, plan.name, directory),
                environments[plan.name],
                directory / "logs" / f"{plan.name}.log",
            )
            for plan in PLAN
        }
        self._catalog = CatalogWriter(self.instance.catalog)
        rows = self.instance.roster.processes()
        self._rows = {row.name: self.placing.seat(row) for row in rows}
        self._set_row("supervisor", ProcessState.READY, os.getpid(), start_ticks(os.getpid()), 0)
        for name, process in self._external.items():
            self._set_row(name, ProcessState.READY, process.pid, start_ticks(process.pid), 0)

    def stop(self) -> None:
        """Ask the instance to stop; safe from a signal handler of the loop."""
        self._stop.set()

    async def run(self, seconds: float | None = None) -> None:
        """Run until ``stop`` is called or the time is over, then drain and stop everything.

        Raises InstanceFailedError, VenueError or HostError with one clear line; every segment
        is unlinked and every child gone by then.
        """
        try:
            async with aiohttp.ClientSession() as session:
                discovery = Discovery(self.settings, session)
                self._catalog.update(await discovery.fetch_first())
                self.placing.keep_off(process.pid for process in self._external.values())
                self._start_all()
                await self._wait_ready()
                notify("READY=1")
                searching = asyncio.create_task(
                    keep_discovering(
                        discovery, self._catalog, self.settings.venue.discovery_interval_s
                    )
                )
                try:
                    await self._watch_until_stopped(seconds)
                finally:
                    searching.cancel()
            await self._drain()
        except OverroundError:
            self.instance.kill.set(KillReason.INSTANCE_FAILED, monotonic_ns())
            raise
        finally:
            notify("STOPPING=1")
            await self._stop_children()
            self.placing.end()

    def report(self) -> dict[str, Any]:
        """Return counters, latencies and processes so far; usable until ``close``."""
        report = build_report(
            self.instance.roster.processes(), self.instance.meters, self._cpu_usage
        )
        report["mode"] = self.settings.mode.value
        report["markets"] = self._catalog.markets
        report["markets_left_out"] = self._catalog.left_out
        return report

    def _cpu_usage(self, pid: int) -> tuple[int, float]:
        return self._usage_at_end.get(pid) or cpu_usage(pid)

    def close(self) -> None:
        """Unlink every segment of the instance."""
        self.placing.end()
        self.instance.unlink()

    # Starting -----------------------------------------------------------------------------

    def _start_all(self) -> None:
        for process in self.processes.values():
            self._start(process)

    def _start(self, process: ManagedProcess) -> None:
        # The row comes first: the child reads its seat there.
        name, restarts = process.name, process.restarts
        self._set_row(name, ProcessState.STARTING, 0, 0, restarts)
        self.instance.segment(f"meters-{name}").set_state(0)
        process.start(monotonic_ns())
        self._set_row(name, ProcessState.STARTING, process.pid, process.start_ticks, restarts)

    async def _wait_ready(self) -> None:
        deadline_ns = monotonic_ns() + READY_TIMEOUT_MS * NS_PER_MS
        while not self._stop.is_set():
            self._check_processes()
            waiting = [
                name for name in self.processes if self._rows[name].state is not ProcessState.READY
            ]
            if not waiting:
                return
            if monotonic_ns() > deadline_ns:
                raise InstanceFailedError(
                    f"{waiting[0]} did not become ready within {READY_TIMEOUT_MS // 1000} s; "
                    f"last log line: {self.processes[waiting[0]].last_log_line() or 'none'}"
                )
            await asyncio.sleep(WATCH_INTERVAL_S)

    # Watching -----------------------------------------------------------------------------

    async def _watch_until_stopped(self, seconds: float | None) -> None:
        deadline_ns = None if seconds is None else monotonic_ns() + int(seconds * 1e9)
        while not self._stop.is_set():
            self._check_processes()
            if deadline_ns is not None and monotonic_ns() >= deadline_ns:
                return
            await asyncio.sleep(WATCH_INTERVAL_S)

    def _check_processes(self) -> None:
        now_ns = monotonic_ns()
        self.instance.beat(now_ns)
        if now_ns >= self._notify_due_ns:
            self._notify_due_ns = now_ns + NOTIFY_INTERVAL_NS
            notify("WATCHDOG=1")
        for name, process in self._external.items():
            status = process.poll()
            if status is not None:
                raise InstanceFailedError(
                    f"{name} died ({describe_exit(status)}); nothing can trade without it: stopped"
                )
        for process in self.processes.values():
            status = process.poll()
            if status is not None:
                self._restart(process, status, now_ns)
                continue
            meters = self.instance.segment(f"meters-{process.name}")
            row = self._rows[process.name]
            if row.state is ProcessState.STARTING and meters.state == READY:
                self._set_row(
                    process.name, ProcessState.READY, row.pid, row.start_ticks, row.restarts
                )
            silent_ns = now_ns - max(meters.heartbeat_ns, process.started_ns)
            limit_ms = (
                self.settings.supervise.beat_timeout_ms
                if row.state is ProcessState.READY
                else READY_TIMEOUT_MS
            )
            if silent_ns > limit_ms * NS_PER_MS:
                self._log.error(
                    "no heartbeat, killing", name=process.name, silent_ms=silent_ns // NS_PER_MS
                )
                process.send_signal(signal.SIGKILL)

    def _restart(self, process: ManagedProcess, status: int, now_ns: int) -> None:
        cause = f"{process.name} died ({describe_exit(status)})"
        if status in FATAL_STATUSES or not process.may_restart(now_ns, self.settings.supervise):
            self._set_row(process.name, ProcessState.FAILED, 0, 0, process.restarts)
            raise InstanceFailedError(
                f"{cause} and will not be started again after {process.restarts} restarts; "
                f"last log line: {process.last_log_line() or 'none'}"
            )
        self._log.warning(f"{cause}; starting it again", restarts=process.restarts)
        self._start(process)

    # Stopping -----------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Stop the detectors, then give open fills time to settle."""
        for process in self.processes.values():
            if process.role == "detector":
                await self._stop_child(process)
        deadline_ns = monotonic_ns() + DRAIN_TIMEOUT_MS * NS_PER_MS
        executor = self.instance.meters("executor")
        while monotonic_ns() < deadline_ns:
            ended = executor.value(Value.FILLS_SETTLED) + executor.value(Value.FILLS_FAILED)
            quiet = executor.value(Value.INTENTS_TAKEN) >= sum(
                self.instance.meters(name).value(Value.INTENTS) for name in self.processes
            )
            if quiet and executor.value(Value.FILLS) == ended:
                return
            self.instance.beat(monotonic_ns())
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _stop_children(self) -> None:
        for role in ("detector", "executor", "ingress"):
            for process in self.processes.values():
                if process.role == role:
                    await self._stop_child(process)

    async def _stop_child(self, process: ManagedProcess) -> None:
        if process.pid == 0:
            return
        deadline_ns = monotonic_ns() + self.settings.supervise.stop_timeout_ms * NS_PER_MS
        if process.poll() is None:
            self._usage_at_end[process.pid] = cpu_usage(process.pid)
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            if monotonic_ns() > deadline_ns:
                self._log.error("did not stop, killing", name=process.name)
                process.send_signal(signal.SIGKILL)
            self.instance.beat(monotonic_ns())
            await asyncio.sleep(WATCH_INTERVAL_S)
        row = self._rows[process.name]
        self._set_row(process.name, ProcessState.STOPPED, row.pid, row.start_ticks, row.restarts)

    def _set_row(
        self, name: str, state: ProcessState, pid: int, started: int, restarts: int
    ) -> None:
        row = replace(
            self._rows[name], pid=pid, start_ticks=started, restarts=restarts, state=state
        )
        self._rows[name] = row
        self.instance.roster.update_process(row)


def _refuse_a_second(instance: str) -> None:
    """Refuse to run an instance twice: two executors would share one journal and one wallet."""
    if any(run.alive and run.instance == instance for run in list_runs()):
        raise HostError(f"instance '{instance}' is already running: stop it, or name another")


def _prepare_folder(settings: Settings) -> Path:
    """Make the instance's folder and leave the settings there. Raises ConfigError."""
    directory = settings.instance_dir
    try:
        (directory / "logs").mkdir(parents=True, exist_ok=True)
        (directory / SETTINGS_FILE).write_text(settings.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise ConfigError(
            f"run_dir {settings.run_dir}: {error.strerror}; name a folder we may write"
        ) from None
    return directory


def require_armed(settings: Settings, armed: bool) -> None:
    """Refuse mode live without an explicit word. Raises SafetyError."""
    if settings.mode is Mode.LIVE and not armed:
        raise SafetyError("mode 'live' sends real orders: repeat with --arm if you mean it")
