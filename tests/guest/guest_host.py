"""Runs inside the emulated machine: knobs, isolation and the doctor on a real kernel.

No test framework there: each function is called in turn, and a failed one ends the run.
"""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

from overround.host.check.finding import Verdict
from overround.host.check.run import run_checks
from overround.host.cpus import online
from overround.host.jitter import measure
from overround.host.tree import Tree
from overround.host.tune.apply import apply, revert
from overround.host.tune.knob import load_knobs
from overround.host.tune.plan import plan

HOT = frozenset({1, 2})
GROUP = Path("/sys/fs/cgroup")
TREE = Tree()


def contents() -> dict[str, str | None]:
    """Every kernel file and drop-in that a knob may write."""
    return {
        path: TREE.read(path)
        for knob in load_knobs()
        if knob.kind in ("file", "dropin")
        for pattern in knob.paths
        for path in ([pattern] if knob.kind == "dropin" else TREE.glob(pattern))
    }


def test_every_file_of_a_real_kernel_comes_back() -> None:
    before = contents()
    said: list[str] = []
    changed = apply(TREE, plan(TREE, load_knobs(), "bare-metal", HOT), said.append)
    print("\n".join(said))
    assert changed > 5
    assert contents() != before
    due = [step for step in plan(TREE, load_knobs(), "bare-metal", HOT) if step.due]
    assert {step.knob.name for step in due} <= {"irq-affinity"}
    revert(TREE, said.append)
    after = contents()
    assert after == before, {path: (before[path], after[path]) for path in before
                             if before[path] != after[path]}  # fmt: skip


def test_the_doctor_sees_the_boot_line() -> None:
    found = {finding.check: finding for finding in run_checks(TREE, HOT)}
    for finding in found.values():
        print(f"{finding.verdict}: {finding.check}: {finding.value}")
    kept = found["kept from the kernel"]
    assert kept.verdict is Verdict.GOOD, kept
    assert found["memory nodes"].value.startswith("2")


def test_an_isolated_cpu_gets_no_timer_interrupts() -> None:
    os.sched_setaffinity(0, online(TREE))
    busy, kept = measure(0, 2_000), measure(2, 2_000)
    print(f"timer interrupts in 2 s: CPU 0 {busy.timer_interrupts}, CPU 2 {kept.timer_interrupts}")
    assert busy.timer_interrupts > 10 * max(1, kept.timer_interrupts)


def test_an_isolated_partition_is_seen_and_keeps_others_out() -> None:
    (GROUP / "cgroup.subtree_control").write_text("+cpuset")
    hot = GROUP / "hot"
    hot.mkdir()
    (hot / "cpuset.cpus").write_text("3")
    (hot / "cpuset.mems").write_text("1")
    (hot / "cpuset.cpus.partition").write_text("isolated")
    assert (hot / "cpuset.cpus.partition").read_text().strip() == "isolated"
    refused = 0
    try:
        os.sched_setaffinity(0, {3})
    except OSError as error:
        refused = error.errno
    assert refused == errno.EINVAL
    (hot / "cgroup.procs").write_text(str(os.getpid()))
    try:
        found = {finding.check: finding for finding in run_checks(TREE, {3})}
        assert found["cgroup partition"].verdict is Verdict.GOOD, found["cgroup partition"]
        assert os.sched_getaffinity(0) == {3}
    finally:
        (GROUP / "cgroup.procs").write_text(str(os.getpid()))
        (hot / "cpuset.cpus.partition").write_text("member")
        hot.rmdir()


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            print(f"-- {name}", flush=True)
            try:
                test()
            except Exception:
                traceback.print_exc()
                raise SystemExit(1) from None
