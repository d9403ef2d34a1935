"""What the doctor says of machines: a fake one, made good and bad, and the one it runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oracle.fake_host import fake_host
from overround.host.check.finding import Finding, Verdict
from overround.host.check.run import jitter, run_checks
from overround.host.jitter import measure
from overround.host.tree import Tree
from overround.host.tune.apply import apply
from overround.host.tune.knob import load_knobs
from overround.host.tune.plan import plan

HOT = frozenset({1, 2, 3})
CPU = "sys/devices/system/cpu"
PHYSICAL = {
    "proc/cpuinfo": "processor : 0\nflags : fpu avx2 bmi2 constant_tsc nonstop_tsc\n",
    "proc/stat": "cpu 1000 0 1000 8000 0 0 0 0 0 0\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "proc/cmdline": "ro rcu_nocbs=1-3 quiet\n",
    f"{CPU}/isolated": "1-3\n",
    f"{CPU}/nohz_full": "1-3\n",
    f"{CPU}/smt/active": "0\n",
    "proc/self/cgroup": "0::/hot\n",
    "sys/fs/cgroup/hot/cpuset.cpus.partition": "isolated\n",
    "proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "proc/self/status": "CapEff:\t0000000000800000\n",
}


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path) -> Path:
    root = fake_host(tmp_path)
    for name, text in PHYSICAL.items():
        put(root, name, text)
    for cpu in range(8):
        put(root, f"{CPU}/cpu{cpu}/topology/thread_siblings_list", f"{cpu}\n")
    (root / "dev/shm").mkdir()
    return root


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def findings(root: Path) -> dict[str, Finding]:
    return {finding.check: finding for finding in run_checks(Tree(root), HOT)}


def test_a_tuned_machine_leaves_nothing_to_be_desired(root: Path):
    tree = Tree(root)
    knobs = [knob for knob in load_knobs() if knob.kind != "hold"]
    apply(tree, plan(tree, knobs, "bare-metal", HOT), lambda _: None)
    found = findings(root)
    mine = {"affinity mask", "jemalloc", "compiled detectors", "knob dma-latency"}  # this machine's
    assert [
        f for f in found.values() if f.verdict is not Verdict.GOOD and f.check not in mine
    ] == []
    assert found["kept from the kernel"].value == "isolated 1-3, nohz_full 1-3, rcu_nocbs 1-3"


@pytest.mark.parametrize(
    ("check", "name", "text", "value"),
    [
        ("machine", "proc/cpuinfo", "flags : hypervisor\n", "virtual machine, 0.00 %"),
        ("machine", "proc/stat", "cpu 900 0 0 0 0 0 0 100 0 0\n", "10.00 % of its time stolen"),
        ("clock source", "sys/devices/system/clocksource/clocksource0/current_clocksource",
         "hpet\n", "hpet, steady"),
        ("clock source", "proc/cpuinfo", "flags : tsc avx2\n", "tsc, may stop or change"),
        ("kept from the kernel", f"{CPU}/nohz_full", "(null)\n", "nohz_full none"),
        ("kept from the kernel", f"{CPU}/isolated", "1-2\n", "isolated 1-2"),
        ("cgroup partition", "sys/fs/cgroup/hot/cpuset.cpus.partition", "member\n", "member"),
        ("hyper-threads", f"{CPU}/cpu2/topology/thread_siblings_list", "2,6\n",
         "hot CPUs 2 share their cores"),
        ("interrupts", "proc/irq/27/smp_affinity_list", "3\n", "may interrupt hot CPUs"),
        ("irqbalance", "proc/812/comm", "irqbalance\n", "running"),
        ("kernel work", "sys/devices/virtual/workqueue/cpumask", "f\n", "mask f"),
        ("real-time priority", "proc/sys/kernel/sched_rt_runtime_us", "-1\n", "throttle -1 us"),
        ("CPU features", "proc/cpuinfo", "flags : constant_tsc nonstop_tsc\n", "none of avx2"),
        ("memory nodes", "sys/devices/system/node/node1/cpulist", "4-7\n", "2"),
        ("swap", "proc/swaps", "Filename Type\n/swapfile file\n", "1 areas"),
        ("knob swappiness", "proc/sys/vm/swappiness", "60\n", "60"),
    ],
)  # fmt: skip
def test_each_flaw_is_seen_and_its_cure_named(
    root: Path, check: str, name: str, text: str, value: str
):
    put(root, name, text)
    if check == "memory nodes":
        put(root, "sys/devices/system/node/node0/cpulist", "0-3\n")
    found = findings(root)[check]
    assert found.verdict is Verdict.BETTER
    assert value in found.value
    assert found.why
    assert found.change or check in ("CPU features", "cores")


def test_deep_sleep_states_count_unless_the_driver_may_not_use_them(root: Path):
    for number, name in enumerate(("POLL", "C1", "C6")):
        put(root, f"{CPU}/cpu0/cpuidle/state{number}/name", f"{name}\n")
        put(root, f"{CPU}/cpu0/cpuidle/state{number}/disable", "0\n")
    assert findings(root)["sleep states"].verdict is Verdict.BETTER
    put(root, "sys/module/intel_idle/parameters/max_cstate", "1\n")
    assert findings(root)["sleep states"].verdict is Verdict.GOOD
    put(root, "sys/module/intel_idle/parameters/max_cstate", "9\n")
    put(root, f"{CPU}/cpu0/cpuidle/state2/disable", "1\n")
    assert findings(root)["sleep states"].value == "POLL, C1"


def test_an_empty_machine_is_an_answer(tmp_path: Path):
    found = list(run_checks(Tree(tmp_path), ()))
    assert {finding.check for finding in found} >= {"machine", "cores", "swap", "/dev/shm free"}
    assert all(finding.value and finding.why for finding in found)


def test_jitter_is_measured_on_the_cpu_itself():
    cpu = min(os.sched_getaffinity(0))
    seen = measure(cpu, 50)
    assert seen.cpu == cpu
    assert seen.spin_ns >= 50_000_000
    assert seen.longest_ns > 0
    assert seen.lost_ns <= seen.spin_ns


def test_a_cpu_that_is_not_there_is_told():
    (finding,) = jitter({4_000})
    assert "cannot measure CPU 4000" in finding.value
    assert finding.verdict is Verdict.BETTER
