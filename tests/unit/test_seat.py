"""What a process does to itself: taking its seat, its gauges, its garbage."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from overround._native import lib
from overround.config.load import settings_from
from overround.config.schema import Cpu, Ingress, Memory, Settings
from overround.errors import ConfigError, HostError
from overround.host import allocator
from overround.host.memory import bind, mappings, pages_by_node, resident_bytes
from overround.host.notify import notify
from overround.layout.region import RegionKind
from overround.layout.seat import SeatReason, Wait, WaitReason, Wish
from overround.observe.metrics import Histogram, Value
from overround.seat import take as seat
from overround.seat.collector import Collector
from overround.seat.take import Taken, honour, leave_hot, publish, take
from overround.shm.meters import Meters
from overround.shm.roster import ProcessRow, ProcessState
from overround.shm.segment import Segment
from overround.supervise.instance import PLAN
from overround.supervise.placing import Placing
from overround.supervise.process import FATAL_STATUSES, child_environment

ROW = ProcessRow(
    number=1, name="detector-0", role="detector", pid=0, start_ticks=0, restarts=0, cpu=-1,
    state=ProcessState.STARTING,
)  # fmt: skip
CPU = min(os.sched_getaffinity(0))


@pytest.fixture
def meters() -> Iterator[Meters]:
    name = f"/overround-test-seat-{os.getpid()}"
    with Segment.create(name, RegionKind.METERS, capacity=1, run_id=1) as segment:
        segment.take_lease()
        segment.take_over()
        yield Meters(segment)
        segment.unlink()


@pytest.fixture
def affinity() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)
    lib.ovr_place_prefer(-1)


# -- settings ------------------------------------------------------------------------------


def test_settings_are_taken_from_where_they_once_stood():
    old = {"supervise": {"cpus": [1, 2], "jemalloc": "off", "beat_interval_ms": 20},
           "detect": {"spin_us": 7}, "ingress": {"native_cpus": [3]}}  # fmt: skip
    settings = settings_from(old, where="test")
    assert (settings.cpu.cpus, settings.cpu.native_cpus) == ((1, 2), (3,))
    assert (settings.memory.jemalloc, settings.cpu.spin_us) == ("off", 7)
    assert settings.supervise.beat_interval_ms == 20
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_a_setting_in_both_places_is_refused():
    both = {"supervise": {"cpus": [1]}, "cpu": {"cpus": [2]}}
    with pytest.raises(ConfigError, match=r"supervise.cpus is now cpu.cpus"):
        settings_from(both, where="test")


# -- taking a seat -------------------------------------------------------------------------


@pytest.mark.usefixtures("affinity")
def test_a_seat_pins_and_helpers_leave_it(monkeypatch: pytest.MonkeyPatch):
    everywhere = os.sched_getaffinity(0)
    monkeypatch.delenv(seat.SHARED_VARIABLE, raising=False)
    taken = take(replace(ROW, cpu=CPU), Settings(), ",".join(map(str, everywhere)))
    assert taken.pinned
    assert not taken.refused
    assert os.sched_getaffinity(0) == {CPU}
    leave_hot()
    assert os.sched_getaffinity(0) == everywhere
    leave_hot()  # nothing asked: nothing done
    assert seat.SHARED_VARIABLE not in os.environ


@pytest.mark.usefixtures("affinity")
def test_what_cannot_be_had_is_told_and_nothing_stops(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(seat.SHARED_VARIABLE, raising=False)
    taken = take(replace(ROW, cpu=4_000, node=60), Settings())
    monkeypatch.delenv(seat.SHARED_VARIABLE, raising=False)
    assert not taken.pinned
    assert "CPU 4000: Invalid argument" in taken.refused
    assert "memory of node 60" in taken.refused


def test_a_preload_that_failed_is_told_and_fatal_if_demanded():
    row = replace(ROW, wishes=Wish.JEMALLOC)
    if allocator.jemalloc_version() is not None:
        pytest.skip("these tests run under jemalloc themselves")
    assert take(row, Settings()).refused == ["jemalloc: its preload failed"]
    with pytest.raises(HostError, match="preload failed"):
        take(row, Settings(memory=Memory(jemalloc="on")))


FIFO = """
import os, subprocess, sys
from dataclasses import replace
from overround.config.schema import Cpu, Settings
from overround.layout.seat import Wish
from overround.seat.take import take
from overround.shm.roster import ProcessRow, ProcessState
row = ProcessRow(1, "executor", "executor", 0, 0, 0, -1, ProcessState.STARTING, wishes=Wish.FIFO)
taken = take(row, Settings(cpu=Cpu(fifo_priority=5)))
helper = subprocess.run(["chrt", "-p", "0"], capture_output=True, text=True)
print(taken.fifo, taken.refused, os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, helper.stdout)
"""


def test_real_time_priority_is_got_or_told_and_never_inherited():
    done = subprocess.run([sys.executable, "-c", FIFO], capture_output=True, text=True, check=True)
    got = done.stdout.split(maxsplit=1)[0] == "True"
    if got:
        assert f"[] {os.SCHED_FIFO}" in done.stdout
        assert "SCHED_FIFO" not in done.stdout  # what chrt says of itself
    else:
        assert "real-time priority" in done.stdout


def test_without_the_throttle_there_is_no_real_time_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seat, "_THROTTLE", str(tmp_path / "throttle"))
    (tmp_path / "throttle").write_text("-1\n")
    taken = take(replace(ROW, wishes=Wish.FIFO), Settings(cpu=Cpu(fifo_priority=5)))
    assert taken.refused == ["real-time priority: the kernel's throttle is off"]


# -- waiting -------------------------------------------------------------------------------


def waiting(wait: Wait, role: str = "detector", **ingress: object) -> Settings:
    settings = Settings(ingress=Ingress.model_validate(ingress))
    return honour(settings, replace(ROW, role=role, wait=wait))


def test_waiting_is_as_it_was_decided():
    assert waiting(Wait.SLEEP).cpu.spin_us == 0
    assert (waiting(Wait.ADAPTIVE).cpu.wait, waiting(Wait.ADAPTIVE).cpu.spin_us) == ("adaptive", 20)
    assert waiting(Wait.SPIN).cpu.wait == "spin"
    untouched = Settings()
    assert honour(untouched, ROW) is untouched


def test_an_ingress_that_may_not_spin_does_not():
    calm = waiting(Wait.SLEEP, "ingress", busy_loop=True, native_shape="spin").ingress
    assert (calm.busy_loop, calm.native_shape) == (False, "thread")
    assert waiting(Wait.SPIN, "ingress").ingress.busy_loop
    thread = waiting(Wait.SPIN, "ingress", native_shape="spin").ingress
    assert (thread.busy_loop, thread.native_shape) == (False, "spin")


def test_rows_carry_seat_and_wishes():
    placing = Placing(Settings(cpu=Cpu(pin="off", fifo_priority=3)), PLAN)
    row = placing.seat(replace(ROW, name="executor", role="executor"))
    assert (row.cpu, row.seat_reason) == (-1, SeatReason.OFF)
    assert row.wait is not Wait.UNSET
    assert row.wait_reason is not WaitReason.UNKNOWN
    assert Wish.FIFO in row.wishes
    assert Wish.FIFO not in placing.seat(ROW).wishes
    assert placing.seat(replace(ROW, name="stranger")).wait is Wait.UNSET
    placing.end()


@pytest.mark.usefixtures("affinity")
def test_the_supervisor_keeps_off_the_cpus_of_others_and_comes_back():
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one CPU cannot be shared out")
    placing = Placing(Settings(cpu=Cpu(cpus=(max(before),))), PLAN)
    placing.keep_off([])
    assert os.sched_getaffinity(0) < before
    placing.end()
    placing.end()
    assert os.sched_getaffinity(0) == before


def test_a_partition_that_cannot_be_had_is_a_line_in_the_log(
    capsys: pytest.CaptureFixture[str],
):
    placing = Placing(Settings(cpu=Cpu(partition=True, pin="off")), PLAN)
    placing.end()
    assert "no partition" in capsys.readouterr().out


# -- memory --------------------------------------------------------------------------------


def test_gauges_say_what_the_kernel_says(meters: Meters):
    node = int(lib.ovr_place_here())
    publish(meters, [meters.segment], replace(ROW, node=node), Taken(isolated=True))
    assert meters.value(Value.REGION_BYTES) == meters.segment.size
    assert meters.value(Value.LOCKED_BYTES) == (meters.segment.size if meters.segment.locked else 0)
    assert meters.value(Value.ISOLATED) == 1
    assert meters.value(Value.PINNED) == 0


def test_a_region_can_be_bound_and_counted():
    name = f"/overround-test-bind-{os.getpid()}"
    kind = RegionKind.CHANGES
    with Segment.create(name, kind, capacity=64, run_id=1, node=0) as segment:
        segment.unlink()
        pages = pages_by_node(segment.pointer, segment.size)
        if not pages:
            pytest.skip("move_pages is forbidden here")
        assert sum(pages.values()) == -(-segment.size // os.sysconf("SC_PAGESIZE"))
        assert bind(segment.pointer, segment.size, 60) == "Invalid argument"
        assert segment.address in mappings()


def test_smaps_is_read_by_mapping():
    text = (
        "7f0000000000-7f0000400000 rw-s 00000000 00:01 5  /dev/shm/x\n"
        "Size:               4096 kB\nShmemPmdMapped:     2048 kB\nVmFlags: rd wr sh lo\n"
        "7f0000400000-7f0000401000 rw-p 00000000 00:00 0\nSize: 4 kB\nVmFlags: rd wr\n"
    )
    found = mappings(text)
    assert (found[0x7F0000000000].locked, found[0x7F0000000000].huge_bytes) == (True, 2 * 2**20)
    assert (found[0x7F0000400000].locked, found[0x7F0000400000].huge_bytes) == (False, 0)


# -- garbage -------------------------------------------------------------------------------


class Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def collector(meters: Meters) -> Iterator[Collector]:
    made = Collector(meters, growth_max_mib=512)
    made.settle()
    yield made
    made.end()
    gc.unfreeze()


def test_young_garbage_is_collected_in_quiet_moments(collector: Collector, meters: Meters):
    assert not gc.isenabled()
    Cycle()
    assert not collector.quiet(busy=True)
    assert collector.quiet()
    assert not collector.quiet()  # not so soon again
    assert collector.quiet(thorough=True)
    assert meters.value(Value.GC_COLLECTIONS) >= 2
    assert meters.value(Value.GC_FOUND) >= 1
    assert meters.value(Value.RESIDENT_BYTES) > 0
    assert meters.histogram(Histogram.GC_PAUSE).count == meters.value(Value.GC_COLLECTIONS)
    assert meters.value(Value.GC_EMERGENCIES) == 0


def test_growth_beyond_the_limit_collects_everything_once(meters: Meters):
    collector = Collector(meters, growth_max_mib=1)
    collector.settle()
    try:
        ballast = bytearray(64 * 2**20)
        ballast[:: os.sysconf("SC_PAGESIZE")] = b"x" * len(ballast[:: os.sysconf("SC_PAGESIZE")])
        before = resident_bytes()
        assert collector.quiet()
        assert meters.value(Value.GC_EMERGENCIES) == 1
        assert meters.value(Value.RESIDENT_BYTES) <= before + 2**20
        del ballast
    finally:
        collector.end()
        gc.unfreeze()


# -- allocator and systemd -----------------------------------------------------------------


def test_each_role_may_have_its_allocator():
    if allocator.find_jemalloc() is None:
        pytest.skip("libjemalloc2 is not installed")
    memory = Memory(jemalloc_for=("ingress", "executor"))
    for role in ("ingress", "executor"):
        environment = child_environment(role, memory, "KEY", dict(os.environ))
        conf = environment["MALLOC_CONF"]
        assert "background_thread:false" in conf
        program = (
            "from overround.host.allocator import jemalloc_option as o;"
            "print(o('narenas'), o('background_thread'), o('dirty_decay_ms'))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["2", "False", "5000"]
    assert "LD_PRELOAD" not in child_environment("detector", memory, "KEY", {})


def test_systemd_is_told_where_it_asked(tmp_path: Path):
    assert not notify("READY=1", {})
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        assert notify("READY=1", {"NOTIFY_SOCKET": str(path)})
        assert listener.recv(100) == b"READY=1"
    assert not notify("WATCHDOG=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})


def test_the_unit_is_one_that_systemd_accepts(repository: Path, tmp_path: Path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    text = (repository / "tuning/overround_tuning/systemd/overround@.service").read_text()
    settings = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] not in "#["
    )
    command = settings["ExecStart"].split()
    assert command[1:3] == ["run", "--config"]
    assert settings["LimitMEMLOCK"] == "infinity"
    assert settings["RestartPreventExitStatus"] == " ".join(map(str, sorted(FATAL_STATUSES)))
    # The program is looked for; here it lies elsewhere.
    unit = tmp_path / "overround@.service"
    unit.write_text(text.replace(command[0], sys.executable))
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "overround@" in line]
    assert not said, said
