"""The demo as a newcomer runs it, and as a murderer treats it.

Every claim of the report is recomputed from what the exchange itself wrote down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from oracle.exchange_log import ExchangeLog
from overround.cli.stat import read_instance
from overround.errors import OverroundError
from overround.host.cpus import CORES_MIN
from overround.host.topology import read_topology
from overround.host.tree import Tree
from overround.ledger import records
from overround.ledger.journal import replay
from overround.shm.names import list_runs, remove_stale

SECONDS = 12
PATIENT_SECONDS = 60
"""A second try for a machine too busy to trade within the first."""
LEASE_MS = 500
START_TIMEOUT_S = 120
END_TIMEOUT_S = 120

REPORT_KEYS = {
    "frames", "markets", "books_verified", "hash_checked", "hash_failed", "untrusted_events",
    "hits", "intents", "orders_sent", "orders_accepted", "fills", "settled", "pnl_micro",
    "rejected", "stage_latency_ns", "processes",
}  # fmt: skip


def wait_for(condition: Callable[[], Any], timeout_s: float = START_TIMEOUT_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)  # polls a condition of other processes
    raise AssertionError(f"nothing within {timeout_s} s")


class Demo:
    """A running demo that keeps its evidence in ``folder``."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "overround.cli.main", "demo", "--json",
             "--seconds", str(seconds), "--keep", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.instance = f"demo-{self.process.pid}"

    def leftovers(self) -> set[str]:
        return {
            name for run in list_runs() if run.instance == self.instance for name in run.segments
        }

    def stat(self) -> dict[str, Any] | None:
        """What ``overround stat`` shows; None while there is nothing to show."""
        try:
            return read_instance(self.instance)
        except OverroundError:  # not there yet, or in the middle of a change
            return None

    def wait_trading(self) -> dict[str, Any]:
        def trading() -> bool:
            assert self.process.poll() is None, self.process.stderr.read()
            seen = self.stat()
            return bool(seen and seen["orders_accepted"])

        wait_for(trading)
        shown = subprocess.run(
            [sys.executable, "-m", "overround.cli.main", "stat", "--json",
             "--instance", self.instance],
            capture_output=True,
            check=True,
        )  # fmt: skip
        return json.loads(shown.stdout)

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=END_TIMEOUT_S)
        return self.process.returncode, out, err

    def exchange(self) -> ExchangeLog:
        return ExchangeLog(self.folder / "exchange.jsonl")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    demos: list[Demo] = []

    def run(seconds: float) -> Demo:
        demos.append(Demo(tmp_path / f"kept-{len(demos)}", seconds))
        return demos[-1]

    yield run
    for demo in demos:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.communicate()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Demo, dict[str, Any]]:
    """A demo that came to its end, and its report."""
    for seconds in (SECONDS, PATIENT_SECONDS):
        demo = Demo(tmp_path_factory.mktemp("finished") / "kept", seconds)
        status, out, err = demo.finish()
        assert status == 0, err
        report = json.loads(out)  # standard output holds the JSON alone
        if report["orders_accepted"]:
            break
    return demo, report


def assert_nothing_lost_or_doubled(demo: Demo, report: dict[str, Any]) -> None:
    """Compare what the bot counted with what the exchange wrote down."""
    accepted = [line["order_id"] for line in demo.exchange().ours("accepted")]
    assert len(accepted) == len(set(accepted)) == report["orders_accepted"]
    trades = [line["trade_id"] for line in demo.exchange().ours("trade")]
    assert len(trades) == len(set(trades)) == report["fills"]
    assert report["settled"] + report["failed"] == report["fills"]
    assert report["pnl_micro"] == demo.exchange().settled_pnl_micro()
    signed = {record.order_id for record in journal(demo) if isinstance(record, records.Signed)}
    assert set(accepted) <= signed  # nothing was sent that is not journaled


def journal(demo: Demo) -> list[records.Record]:
    (folder,) = demo.folder.glob("*/journal")
    return [records.decode(raw) for raw in replay(folder)]


def interrupt_and_read(demo: Demo) -> dict[str, Any]:
    demo.process.send_signal(signal.SIGINT)
    status, out, err = demo.finish()
    assert status == 0, err
    return json.loads(out)


def test_demo_ends_with_a_report_that_the_exchange_confirms(finished):
    demo, report = finished
    assert report.keys() >= REPORT_KEYS
    for key in ("frames", "markets", "books_verified", "hash_checked", "hits", "intents"):
        assert report[key] > 0, key
    assert report["hash_failed"] == 0
    assert report["untrusted_events"] == 0
    assert report["malformed"] == 0
    assert report["orders_accepted"] > 0
    assert {"frame", "recv_to_publish", "sign", "send_to_ack", "recv_to_sent"} <= set(
        report["stage_latency_ns"]
    )
    for stage in report["stage_latency_ns"].values():
        assert 0 < stage["p50"] <= stage["p99"] <= stage["max"]
    assert {row["restarts"] for row in report["processes"].values()} == {0}
    assert_nothing_lost_or_doubled(demo, report)
    assert demo.leftovers() == set()


def test_the_layout_takes_nothing_from_a_small_machine(finished):
    """In counts: a layout that slows anybody down loses records, or pins and spins too many."""
    _, report = finished
    assert report["counters"].get("records_lost", 0) == 0
    assert report["intents_dropped"] == 0
    cores = len(read_topology(Tree()).cores)
    places = report["placement"].values()
    assert len(places) == 3
    for place in places:
        assert place["got"]["pinned"] == (place["asked"]["cpu"] is not None)
        assert cores >= CORES_MIN or not place["got"]["pinned"]
    spinning = sum(place["wait"] == "spin" for place in places)
    awake = sum(place["wait"] != "sleep" for place in places)
    assert spinning == 0 or cores >= CORES_MIN
    assert awake <= cores


@pytest.mark.parametrize("victim", ["ingress-0", "detector-0", "executor"])
def test_killed_process_comes_back_and_nothing_is_lost_or_doubled(start, victim: str):
    demo = start(seconds=300)
    before = demo.wait_trading()
    os.kill(before["processes"][victim]["pid"], signal.SIGKILL)
    killed_epoch_ms = time.time_ns() // 1_000_000

    def recovered() -> bool:
        assert demo.process.poll() is None, demo.process.stderr.read()
        seen = demo.stat()
        return bool(seen) and (
            seen["processes"][victim]["restarts"] == 1
            and seen["processes"][victim]["state"] == "ready"
            and any(
                line["epoch_ms"] > killed_epoch_ms + 1_000
                for line in demo.exchange().ours("accepted")
            )
        )

    wait_for(recovered)
    report = interrupt_and_read(demo)
    assert report["processes"][victim]["restarts"] == 1
    assert_nothing_lost_or_doubled(demo, report)
    assert demo.leftovers() == set()
    if victim == "ingress-0":
        assert not intents_while_dead(demo, killed_epoch_ms)


def intents_while_dead(demo: Demo, killed_epoch_ms: int) -> list[records.Intent]:
    """Intents made after the lease of the dead ingress ran out and before the next took over."""
    (log,) = demo.folder.glob("*/logs/ingress-0.log")
    connected = [line for line in log.read_text().splitlines() if '"took over"' in line][-1]
    stamp = datetime.fromisoformat(json.loads(connected)["timestamp"]).timestamp()
    return [
        record
        for record in journal(demo)
        if isinstance(record, records.Intent)
        and killed_epoch_ms + LEASE_MS < record.created_epoch_ms < int(stamp * 1_000)
    ]


def test_killed_exchange_stops_the_demo_with_one_clear_line(start):
    demo = start(seconds=300)
    seen = demo.wait_trading()
    os.kill(seen["processes"]["exchange"]["pid"], signal.SIGKILL)
    status, out, err = demo.finish()
    assert status == 1
    assert out == ""
    assert err.splitlines()[-1] == (
        "overround: exchange died (signal 9 (SIGKILL)); nothing can trade without it: stopped"
    )
    assert "Traceback" not in err
    assert demo.leftovers() == set()


def test_killed_supervisor_takes_all_with_it_and_the_next_start_cleans_up(start):
    demo = start(seconds=300)
    seen = demo.wait_trading()
    pids = [row["pid"] for row in seen["processes"].values()]
    demo.process.kill()
    demo.process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout_s=30)
    sent = [r for r in journal(demo) if isinstance(r, records.Signed)]
    assert {line["order_id"] for line in demo.exchange().ours("accepted")} <= {
        r.order_id for r in sent
    }
    remove_stale(time.time(), instance=demo.instance)
    assert demo.leftovers() == set()


def test_kept_folder_must_be_new(tmp_path: Path):
    (tmp_path / "journal").touch()
    done = subprocess.run(
        [sys.executable, "-m", "overround.cli.main", "demo", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"overround: --keep {tmp_path} is not empty; name a new folder\n"


def test_the_recount_notices_sabotage(finished):
    """A check that prints zeros must be able to print something else."""
    demo, report = finished
    log = demo.folder / "exchange.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    accepted = next(line for line in lines if '"accepted"' in line)
    trade = next(line for line in lines if '"trade"' in line)
    for sabotage in (
        [line for line in lines if line is not accepted],
        [*lines, accepted],
        [line for line in lines if line is not trade],
        [line.replace('"fee_micro":', '"fee_micro":1') for line in lines],
    ):
        log.write_text("".join(sabotage))
        with pytest.raises(AssertionError):
            assert_nothing_lost_or_doubled(demo, report)
    log.write_text("".join(lines))
    assert_nothing_lost_or_doubled(demo, report)
