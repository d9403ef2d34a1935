"""A real ingress process on real regions, under any venue."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from oracle.venue_script import ScriptBook
from overround.clock import monotonic_ns
from overround.config.schema import Capacity, Ingress, Settings, Supervise, Venue
from overround.layout.catalog import CATALOG, SET_NONE, MarketStatus
from overround.layout.change import BookFlag
from overround.layout.trade import TRADE, TradeKind
from overround.observe.metrics import Value
from overround.shm.broadcast import BroadcastReader
from overround.shm.member import READY
from overround.shm.process import start_ticks
from overround.shm.roster import ProcessRow, ProcessState
from overround.shm.slots import Slots
from overround.supervise.child import SETTINGS_FILE
from overround.supervise.instance import Instance, ProcessPlan
from overround.supervise.process import child_command
from overround.units import parse_price, parse_size

NAME = "ingress-0"
POLL_S = 0.005

QUICK = Ingress(
    burst_ms=20,
    reconnect_delay_ms=10,
    reconnect_delay_max_ms=100,
    snapshot_timeout_ms=500,
    hash_audit_every=1,
)
"""Waits a test can afford; nothing else differs from the defaults."""


class AnyVenue(Protocol):
    """Where a venue answers."""

    rest_url: str
    ws_url: str


class IngressRig:
    """One shard: catalog written here, ingress in a process of its own, regions read here."""

    def __init__(
        self,
        directory: Path,
        venue: AnyVenue,
        ingress: Ingress = QUICK,
        *,
        tap_files: int = 4,
        markets: int = 64,
    ) -> None:
        self.settings = Settings(
            instance=f"t{os.getpid():x}",
            run_dir=directory,
            venue=Venue(
                rest_url=venue.rest_url,
                gamma_url=venue.rest_url,
                ws_market_url=venue.ws_url,
                request_timeout_ms=2_000,
            ),
            capacity=Capacity(
                markets=markets,
                changes_records=1_024,
                trades_records=1_024,
                tap_segment_bytes=2**22,
                tap_segments_max=tap_files,
            ),
            ingress=ingress,
            supervise=Supervise(),
        )
        self.directory = self.settings.instance_dir
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / SETTINGS_FILE).write_text(self.settings.model_dump_json())
        self.instance = Instance(self.settings, (ProcessPlan(NAME, "ingress"),))
        self.instance.roster.update_process(
            ProcessRow(
                number=0,
                name="supervisor",
                role="supervisor",
                pid=os.getpid(),
                start_ticks=start_ticks(os.getpid()),
                restarts=0,
                cpu=-1,
                state=ProcessState.READY,
            )
        )
        self.board = Slots(self.instance.segment("board-0"))
        self.meters = self.instance.meters(NAME)
        self._trades = BroadcastReader(self.instance.segment("trades-0"))
        self._out = np.zeros(256, TRADE)
        self.trades: list[np.void] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.before_exec: Callable[[], None] | None = None
        """Called in the child, e.g. to take something away from it."""

    async def __aenter__(self) -> IngressRig:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.instance.unlink()

    @property
    def log(self) -> str:
        """What the process logged."""
        return (self.directory / "ingress.log").read_text()

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        self.instance.segment(f"meters-{NAME}").set_state(0)
        command = child_command(self.instance.roster.segment.name, NAME, self.directory)
        with (self.directory / "ingress.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, preexec_fn=self.before_exec
            )
        await self.until(lambda: self.instance.segment(f"meters-{NAME}").state == READY)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the process and return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 20)

    def list_market(self, book: ScriptBook, *, shard: int = 0) -> int:
        """Add a market to the catalog; returns its index."""
        record = np.zeros(1, CATALOG)
        record["market"] = self.instance.catalog.count
        record["status"] = MarketStatus.ACTIVE
        record["shard"] = shard
        record["tick_ticks"] = parse_price(book.tick)
        record["min_size_lots"] = parse_size(book.min_size)
        record["neg_risk"] = book.neg_risk
        record["set_index"] = SET_NONE
        record["condition_id"] = book.condition_id.encode()
        record["token_yes"] = book.yes.encode()
        record["token_no"] = book.no.encode()
        return self.instance.catalog.append(record)

    async def until(
        self, claim: Callable[[], object], seconds: float = 30.0, *, alive: bool = True
    ) -> None:
        """Wait until ``claim()`` holds; fails with the log, at once if the process ends."""
        deadline_ns = monotonic_ns() + int(seconds * 1e9)
        while not claim():
            if alive and self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"ingress ended with {self.process.poll()}:\n{self.log}")
            if monotonic_ns() > deadline_ns:
                raise AssertionError(f"not within {seconds} s:\n{self.log}")
            await asyncio.sleep(POLL_S)

    async def until_value(self, value: Value, least: int = 1) -> None:
        """Wait until a counter or gauge of the process has reached ``least``."""
        await self.until(lambda: self.meters.value(value) >= least)

    async def until_trusted(self, *indices: int) -> None:
        """Wait until these books are trusted and their region is usable."""
        await self.until(lambda: all(self.trusted(index) for index in indices))

    def slot(self, index: int) -> np.void:
        """Return a market's slot of the board."""
        record = self.board.load(index)
        assert record is not None
        return record

    def trusted(self, index: int) -> bool:
        """Return whether the board region is usable and this book in it trusted."""
        usable = self.board.segment.usable(monotonic_ns(), 500_000_000)
        return usable and bool(int(self.slot(index)["flags"]) & BookFlag.TRUSTED)

    def levels(self, index: int) -> tuple[dict[int, int], dict[int, int]]:
        """Return bids and asks of a slot, ticks to whole shares, as a ``ScriptBook`` has them."""
        slot = self.slot(index)
        sides = []
        for side in ("bid", "ask"):
            count = int(slot[f"{side}_levels"])
            ticks, lots = slot[f"{side}_ticks"][:count], slot[f"{side}_lots"][:count]
            sides.append({int(t): int(n) // 1_000_000 for t, n in zip(ticks, lots, strict=True)})
        return sides[0], sides[1]

    def same(self, index: int, book: ScriptBook) -> bool:
        """Return whether a slot shows exactly this book."""
        return self.levels(index) == (book.bids, book.asks)

    def losses(self, index: int) -> list[int]:
        """Return the causes for which a market has lost trust so far, in order."""
        while (count := self._trades.poll(self._out)) > 0:
            self.trades += [record.copy() for record in self._out[:count]]
        assert self._trades.lost == 0
        return [
            int(trade["cause"])
            for trade in self.trades
            if trade["market"] == index and trade["kind"] == TradeKind.TRUST_LOST
        ]
