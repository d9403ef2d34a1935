"""Regions, restarts, environments and the catalog, on real shared memory and processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from overround.cli.stat import read_instance
from overround.config.schema import Account, Capacity, Memory, Mode, Settings, Supervise
from overround.errors import HostError, LayoutError, SafetyError
from overround.layout.catalog import SET_NONE, MarketStatus
from overround.observe.metrics import Histogram, Value
from overround.shm.member import READY, Member
from overround.shm.meters import Meters
from overround.shm.names import list_runs, remove_stale
from overround.shm.process import cpu_usage, is_alive, start_ticks
from overround.shm.roster import ProcessState
from overround.supervise import process as supervised
from overround.supervise.discovery import CatalogWriter
from overround.supervise.instance import Instance
from overround.supervise.process import ManagedProcess, child_environment, describe_exit
from overround.supervise.report import build_report
from overround.supervise.supervisor import Supervisor, require_armed
from overround.venues.contract import MarketSpec

KEY = Account().private_key_env


@pytest.fixture
def instance() -> Iterator[Instance]:
    made = Instance(Settings(instance=f"test-{os.getpid()}", capacity=Capacity(markets=4)))
    yield made
    made.unlink()


def spec(number: int, **changes: object) -> MarketSpec:
    fields: dict[str, object] = {
        "venue": "polymarket",
        "condition_id": f"0x{number:064x}",
        "token_yes": str(10**70 + 2 * number),
        "token_no": str(10**70 + 2 * number + 1),
        "tick_ticks": 100,
        "min_size_lots": 5_000_000,
        "neg_risk": True,
        "set_id": "event",
        "set_size": 2,
        "set_position": number,
        "set_complete": True,
        "fee_rate_ppm": 50_000,
    }
    return MarketSpec(**{**fields, **changes})  # type: ignore[arg-type]


def test_regions_appear_together_and_leave_together(instance: Instance):
    keys = {row.key for row in instance.roster.regions()}
    assert {"board-0", "changes-0", "trades-0", "catalog", "kill", "meters-executor"} <= keys
    (run,) = [run for run in list_runs() if run.instance == instance.settings.instance]
    assert run.alive
    assert len(run.segments) == len(keys) + 1  # and the roster itself
    instance.unlink()
    assert not [run for run in list_runs() if run.instance == instance.settings.instance]


def test_unknown_region_is_named(instance: Instance):
    with pytest.raises(LayoutError, match="no region 'bored-0'"):
        instance.roster.segment_name("bored-0")


def test_roster_row_follows_its_process(instance: Instance):
    row = next(row for row in instance.roster.processes() if row.name == "executor")
    instance.roster.update_process(replace(row, pid=7, restarts=2, state=ProcessState.READY))
    again = next(row for row in instance.roster.processes() if row.name == "executor")
    assert (again.pid, again.restarts, again.state) == (7, 2, ProcessState.READY)
    assert again.number == row.number


def test_catalog_grows_rewrites_in_place_and_never_reuses_an_index(instance: Instance):
    writer = CatalogWriter(instance.catalog)
    assert writer.update([spec(0), spec(1)]) == 2
    assert writer.update([spec(1, tick_ticks=10), spec(0, accepting_orders=False)]) == 0
    closed, retick = instance.catalog.load_all()
    assert (closed["market"], closed["status"]) == (0, MarketStatus.CLOSED)
    assert (retick["market"], retick["tick_ticks"]) == (1, 10)
    assert retick["set_index"] == closed["set_index"] != SET_NONE
    assert retick["token_yes"].decode() == spec(1).token_yes


def test_unchanged_market_is_not_rewritten(instance: Instance):
    writer = CatalogWriter(instance.catalog)
    writer.update([spec(0)])
    before = instance.catalog.load(0)["sequence"]
    writer.update([spec(0)])
    assert instance.catalog.load(0)["sequence"] == before


def test_full_catalog_tells_what_it_leaves_out(instance: Instance):
    writer = CatalogWriter(instance.catalog)
    assert writer.update([spec(number) for number in range(6)]) == 4
    assert writer.left_out == 2
    closed = [spec(number, accepting_orders=number < 5) for number in range(6)]
    writer.update(closed)
    assert writer.left_out == 1  # of the round, and only what could be traded


def test_market_not_yet_open_is_left_out(instance: Instance):
    assert CatalogWriter(instance.catalog).update([spec(0, accepting_orders=False)]) == 0


def test_market_without_known_fee_says_so(instance: Instance):
    CatalogWriter(instance.catalog).update([spec(0, fee_rate_ppm=None)])
    assert not instance.catalog.load(0)["fee_known"]


def test_only_the_executor_gets_the_key():
    environment = {KEY: "secret", "PATH": "/bin"}
    for role in ("ingress", "detector"):
        assert KEY not in child_environment(role, Memory(), KEY, environment)
    assert child_environment("executor", Memory(), KEY, environment)[KEY] == "secret"


def test_jemalloc_is_for_detectors_and_may_be_demanded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supervised, "find_jemalloc", lambda: "/lib/libjemalloc.so.2")
    assert "LD_PRELOAD" in child_environment("detector", Memory(), KEY, {})
    assert "LD_PRELOAD" not in child_environment("detector", Memory(jemalloc="off"), KEY, {})
    assert "LD_PRELOAD" not in child_environment("executor", Memory(), KEY, {})
    monkeypatch.setattr(supervised, "find_jemalloc", lambda: None)
    assert "LD_PRELOAD" not in child_environment("detector", Memory(), KEY, {})
    with pytest.raises(HostError, match="apt-get install libjemalloc2"):
        child_environment("detector", Memory(jemalloc="on"), KEY, {})


def test_restarts_are_limited_within_a_window(tmp_path: Path):
    process = ManagedProcess("x", "ingress", ["true"], {}, tmp_path / "log")
    settings = Supervise(restarts_max=2, restart_window_s=10)
    second = 1_000_000_000
    assert [process.may_restart(now * second, settings) for now in (0, 1, 2, 12)] == [
        True,
        True,
        False,
        True,
    ]
    assert process.restarts == 3


def test_process_that_dies_says_how_and_keeps_its_last_words(tmp_path: Path):
    program = "import os, sys; print('last words', file=sys.stderr); os.kill(os.getpid(), 9)"
    process = ManagedProcess(
        "x", "ingress", [sys.executable, "-c", program], dict(os.environ), tmp_path / "log"
    )
    assert process.poll() is None
    assert process.last_log_line() == ""
    process.start(0)
    assert process._popen is not None
    process._popen.wait(timeout=30)
    assert process.poll() == -signal.SIGKILL
    assert describe_exit(process.poll()) == "signal 9 (SIGKILL)"
    assert describe_exit(1) == "exit status 1"
    assert process.last_log_line() == "last words"
    process.send_signal(signal.SIGTERM)  # nobody there: nothing happens


def test_zombie_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = start_ticks(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid, started)
    child.wait()
    assert start_ticks(child.pid) == 0
    assert cpu_usage(child.pid) == (-1, 0.0)
    assert is_alive(os.getpid(), start_ticks(os.getpid()))


def test_report_adds_processes_up_and_names_causes(instance: Instance):
    segment = instance.segment("meters-ingress-0")
    segment.take_lease()
    segment.take_over()
    meters = Meters(segment)
    meters.add(Value.FRAMES, 5)
    meters.add(Value.UNTRUSTED_START, 3)
    meters.add(Value.UNTRUSTED_HASH, 2)
    meters.record(Histogram.FRAME, 1_500)
    meters.add(Value.UNKNOWN_EVENT, 3)
    meters.add(Value.REST_FAILED)
    report = build_report(instance.roster.processes(), instance.meters)
    assert report["frames"] == 5
    assert report["untrusted_events"] == 2
    assert report["untrusted_by_cause"] == {"hash": 2}
    assert (report["unknown"], report["unknown_assets"], report["malformed"]) == (3, 0, 0)
    assert report["counters"]["rest_failed"] == 1
    assert "laps" not in report["counters"]
    assert report["stage_latency_ns"]["frame"]["count"] == 1
    assert report["stage_latency_ns"]["frame"]["max"] == 1_500
    seen = read_instance(instance.settings.instance)
    assert seen["frames"] == 5
    assert seen["mode"] == "shadow"


def test_stat_without_instance_says_what_to_do():
    with pytest.raises(HostError, match="overround demo"):
        read_instance("nobody")


def test_an_instance_runs_once(instance: Instance):
    with pytest.raises(HostError, match=f"'{instance.settings.instance}' is already running"):
        Supervisor(instance.settings)


def test_live_mode_needs_arming():
    with pytest.raises(SafetyError, match="--arm"):
        require_armed(Settings(mode=Mode.LIVE), armed=False)
    require_armed(Settings(mode=Mode.LIVE), armed=True)
    require_armed(Settings(mode=Mode.SHADOW), armed=False)


CHILD = """
import sys
from pathlib import Path
from overround.shm.member import Member
member = Member.join(sys.argv[1], sys.argv[2], Path("."))
board = member.own("board-0")
board.take_over()
member.ready()
print("ready", flush=True)
while not member.should_stop():
    member.beat(1)
print("stopping", member.supervisor_dead, flush=True)
member.close()
"""


def spawn_member(instance: Instance, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, instance.roster.segment.name, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def enroll_this_process(instance: Instance) -> None:
    row = next(row for row in instance.roster.processes() if row.name == "supervisor")
    pid = os.getpid()
    instance.roster.update_process(replace(row, pid=pid, start_ticks=start_ticks(pid)))


def test_member_joins_serves_and_leaves_on_sigterm(instance: Instance):
    enroll_this_process(instance)
    with spawn_member(instance, "ingress-0") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert instance.segment("meters-ingress-0").state == READY
        assert instance.segment("board-0").owner_pid == child.pid
        with pytest.raises(HostError, match="already has an owner"):
            Member(instance.roster, "ingress-0", Path())
        child.terminate()
        assert child.stdout.read() == "stopping False\n"
    assert child.returncode == 0
    assert instance.segment("board-0").name in _names(instance)


def test_member_of_a_dead_supervisor_stops_and_unlinks_what_it_owns(instance: Instance):
    # The roster names no living supervisor: the member must notice at once.
    with spawn_member(instance, "ingress-0") as child:
        assert child.stdout is not None
        assert child.stdout.read() == "ready\nstopping True\n"
    assert child.returncode == 0
    assert instance.segment("board-0").name not in _names(instance)


def test_member_that_nobody_planned_is_refused(instance: Instance):
    with pytest.raises(HostError, match="no process 'stranger'"):
        Member(instance.roster, "stranger", Path())


def test_next_start_removes_what_a_killed_supervisor_left():
    program = (
        "import os; from overround.config.schema import Settings;"
        "from overround.supervise.instance import Instance;"
        f"Instance(Settings(instance='dead-{os.getpid()}')); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    name = f"dead-{os.getpid()}"
    assert [run.alive for run in list_runs() if run.instance == name] == [False]
    assert any(name in removed for removed in remove_stale(0))
    assert not [run for run in list_runs() if run.instance == name]


def _names(instance: Instance) -> list[str]:
    return [
        segment
        for run in list_runs()
        if run.instance == instance.settings.instance
        for segment in run.segments
    ]
