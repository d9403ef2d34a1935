"""A real executor process against the real exchange; the test is supervisor, ingress, detector."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from overround.clock import monotonic_ns
from overround.config.schema import Account, Capacity, Execute, Mode, Risk, Settings, Venue
from overround.layout.board import BOARD
from overround.layout.intent import INTENT
from overround.layout.report import REPORT, ReportKind
from overround.observe.metrics import Value
from overround.shm.broadcast import BroadcastReader
from overround.shm.member import READY
from overround.shm.process import start_ticks
from overround.shm.slots import Slots
from overround.shm.spsc import SpscProducer
from overround.supervise.child import SETTINGS_FILE
from overround.supervise.discovery import CatalogWriter
from overround.supervise.instance import Instance, ProcessPlan
from overround.units import parse_price, parse_size
from overround.venues.polymarket.catalog import parse_events_page

PATIENCE_S = 30
KEY_VARIABLE = "OVERROUND_TEST_EXECUTOR_KEY"
SHARE = 1_000_000
TTL_NS = 30_000_000_000
"""Longer than any stall of a busy machine: an intent that expires is no test of anything else."""
_SIM = "import typer; from overround.cli.sim import sim; typer.run(sim)"


class ExchangeProcess:
    """The exchange process and its log."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log_path = folder / "exchange.jsonl"
        quiet = ("--rate", "0", "--edge-every", "0", "--json", "--log", str(self.log_path))
        self._options = (*quiet, "--store", str(folder / "exchange.store"), *options)
        self._error_path = folder / "exchange.err"
        self._start()

    def _start(self, *more: str) -> None:
        with self._error_path.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SIM, *self._options, *more],
                stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError(self._error_path.read_text(encoding="utf-8"))
        self.ready = json.loads(line)
        self.url = self.ready["rest_url"]

    def restart(self) -> None:
        """kill -9, then go on at the same port with what was durable."""
        self.close()
        self._start("--resume")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def raw(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
            return bytes(answer.read())

    def control(self, name: str, **body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/sim/{name}", data=data, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


class Rig:
    """One instance whose executor is real, and everything else is this test."""

    def __init__(self, folder: Path, *, risk: Risk | None = None, execute: Execute | None = None,
                 mode: Mode = Mode.SIM, sim_options: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.folder = folder
        self.entry: tuple[str, ...] = ("-m", "overround.supervise.child")
        """What the interpreter runs as the executor."""
        self.patience_s = PATIENCE_S
        self.paths: tuple[str, ...] = ()
        """Where that interpreter looks for modules besides."""
        self.venue = ExchangeProcess(folder, *sim_options)
        try:
            self._set_up(risk, execute, mode)
        except BaseException:
            self.venue.close()  # nobody else would: the test never gets a rig to close
            raise

    def _set_up(self, risk: Risk | None, execute: Execute | None, mode: Mode) -> None:
        account = self.venue.ready["accounts"][0]
        self.address = account["address"]
        self.key = account["private_key"]
        self.settings = Settings(
            instance=f"test-executor-{os.getpid()}",
            mode=mode,
            run_dir=self.folder,
            venue=Venue(
                rest_url=self.venue.url,
                gamma_url=self.venue.ready["gamma_url"],
                ws_market_url=self.venue.ready["ws_market_url"],
                ws_user_url=self.venue.ready["ws_user_url"],
            ),
            account=Account(private_key_env=KEY_VARIABLE),
            capacity=Capacity(markets=64, changes_records=64, intents_records=256),
            risk=risk
            or Risk(orders_per_s_max=10_000, orders_burst_max=10_000, same_in_flight_max=64),
            execute=execute or Execute(unknown_quiet_ms=300, reconcile_interval_ms=500),
        )
        self.write_settings()
        plan = (ProcessPlan("detector-0", "detector"), ProcessPlan("executor", "executor"))
        self.instance = Instance(self.settings, plan)
        roster = self.instance.roster
        me = next(row for row in roster.processes() if row.role == "supervisor")
        pid = os.getpid()
        roster.update_process(replace(me, pid=pid, start_ticks=start_ticks(pid)))
        CatalogWriter(self.instance.catalog).update(
            list(parse_events_page(self.venue.raw("/events/keyset?limit=100")).markets)
        )
        self.board_segment = self.instance.segment("board-0")
        self.board_segment.take_lease()
        self.board_segment.take_over()
        self.board = Slots(self.board_segment, BOARD)
        ring = self.instance.segment("intents-detector-0")
        ring.take_lease()
        ring.take_over()
        self.producer = SpscProducer(ring)
        self.ring = ring
        self.reports = BroadcastReader(self.instance.segment("reports-0"), from_start=True)
        self.seen: list[tuple[ReportKind, int, int]] = []
        self.meters = self.instance.meters("executor")
        self.child: subprocess.Popen[bytes] | None = None
        self.beating = True
        self._stop = threading.Event()
        self._beater = threading.Thread(target=self._beat, daemon=True)
        self._beater.start()
        self.publish_books()

    def write_settings(self) -> None:
        """Give the settings to the next executor."""
        path = self.folder / SETTINGS_FILE
        path.write_text(self.settings.model_dump_json(), encoding="utf-8")

    def _beat(self) -> None:
        while not self._stop.wait(0.02):
            if self.beating:
                self.board_segment.beat(monotonic_ns())
                self.instance.beat(monotonic_ns())

    # -- books and intents ---------------------------------------------------------------

    def publish_books(self, *, trusted: bool = True) -> None:
        """Publish every market's top as the exchange has it now."""
        for index in range(self.instance.catalog.count):
            row = self.instance.catalog.load(index)
            assert row is not None
            book = self.venue.get(f"/book?token_id={row['token_yes'].decode()}")
            record = np.zeros(1, BOARD)[0]
            record["market"] = index
            record["tick_ticks"] = parse_price(book["tick_size"])
            record["flags"] = int(trusted)
            record["ask_ticks"][0] = 10_000
            for side in ("bid", "ask"):
                levels = book[f"{side}s"]
                record[f"{side}_levels"] = min(len(levels), 16)
                if levels:
                    record[f"{side}_ticks"][0] = parse_price(levels[-1]["price"])
                    record[f"{side}_lots"][0] = parse_size(levels[-1]["size"])
            self.board.store(index, record)

    def top(self, market: int) -> tuple[int, int]:
        """Best bid and ask as published."""
        row = self.board.load(market)
        assert row is not None
        return int(row["bid_ticks"][0]), int(row["ask_ticks"][0])

    def push(self, **changes: Any) -> int:
        """Push one intent: by default ten YES of market 6 at the best ask, fill and kill."""
        sequence = self.producer.next_sequence
        market = int(changes.get("market", 6))
        now_ns = monotonic_ns()
        record = np.zeros(1, INTENT)[0]
        values = {
            "producer_sequence": sequence,
            "created_ns": now_ns,
            "expires_ns": now_ns + TTL_NS,
            "seen_ns": now_ns,
            "event_recv_ns": now_ns,
            "ingress_epoch": self.board_segment.epoch,
            "plan": sequence,
            "producer": 1,
            "market": market,
            "legs": 1,
            "order_type": 3,
            "price_ticks": self.top(market)[1],
            "size_lots": 10 * SHARE,
            **changes,
        }
        for name, value in values.items():
            record[name] = value
        assert self.producer.try_push(record)
        return sequence

    def tick(self, market: int) -> int:
        """The market's tick as published."""
        row = self.board.load(market)
        assert row is not None
        return int(row["tick_ticks"])

    def push_rest(self, market: int = 6, **changes: Any) -> int:
        """Push a resting purchase at the best bid."""
        price = {"price_ticks": self.top(market)[0], "order_type": 0, "market": market}
        return self.push(**{**price, **changes})

    def push_plan(self, markets: list[int], **changes: Any) -> list[int]:
        """Push one plan with a leg in each market."""
        first = self.producer.next_sequence
        return [
            self.push(plan=first, leg=leg, legs=len(markets), market=market, **changes)
            for leg, market in enumerate(markets)
        ]

    # -- the process ---------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> None:
        """Start the executor; wait until it serves."""
        name = self.instance.segment("roster").name
        command = [
            sys.executable, *self.entry, name, "executor", str(self.folder),
        ]  # fmt: skip
        self.meters.segment.set_state(0)  # what a dead one left there says nothing of this one
        environment = {**os.environ, KEY_VARIABLE: self.key}
        if self.paths:
            known = filter(None, (environment.get("PYTHONPATH"),))
            environment["PYTHONPATH"] = os.pathsep.join((*self.paths, *known))
        with (self.folder / "executor.log").open("ab") as log:
            self.child = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        if wait:
            self.until(lambda: self.meters.segment.state == READY)

    def until(self, condition: Callable[[], bool], *, alive: bool = True) -> None:
        """Wait for a condition; fails with the executor's log when it dies or time is up."""
        deadline_ns = monotonic_ns() + self.patience_s * 1_000_000_000
        pause = threading.Event()
        while not condition():
            text = (self.folder / "executor.log").read_text(encoding="utf-8")[-4_000:]
            assert not alive or self.child is None or self.child.poll() is None, text
            assert monotonic_ns() < deadline_ns, text
            pause.wait(0.005)

    def kill(self) -> None:
        """kill -9."""
        assert self.child is not None
        self.child.kill()
        self.child.wait(PATIENCE_S)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE_S)

    def wait_settled(self) -> None:
        """Wait until the ring is empty and the account has nothing reserved or pending.

        Judged by the account region two whole comparisons after the ring ran empty.
        """
        self.until(lambda: self.ring.head == self.ring.cursor)
        compared = self.count(Value.RECONCILES) + 2
        self.until(lambda: self.count(Value.RECONCILES) >= compared and self._quiet())

    def _quiet(self) -> bool:
        rows = Slots(self.instance.segment("account-0")).load_all()
        return not rows["reserved_micro"].any() and not rows["pending_lots"].any()

    def count(self, value: Value) -> int:
        """One of the executor's counters."""
        return self.meters.value(value)

    def reported(self, kind: ReportKind) -> list[tuple[int, int]]:
        """(producer sequence, reason) of every report of a kind so far."""
        out = np.zeros(64, REPORT)
        while count := self.reports.poll(out):
            self.seen += [
                (ReportKind(int(one["kind"])), int(one["producer_sequence"]), int(one["reason"]))
                for one in out[:count]
            ]
        return [(sequence, reason) for seen, sequence, reason in self.seen if seen is kind]

    def close(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.kill()
        self._stop.set()
        self._beater.join()
        self.instance.unlink()
        self.venue.close()
