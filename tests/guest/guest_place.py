"""Runs inside the emulated machine: two memory nodes, CPUs 1 and 2 isolated, real partitions.

No test framework there: each function is called in turn, and a failed one ends the run.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import traceback
from pathlib import Path

from overround._native import ffi, lib
from overround.errors import HostError
from overround.host.memory import bind, mappings, pages_by_node
from overround.host.partition import Partition, left_over
from overround.host.place import arrange
from overround.host.topology import read_topology
from overround.host.tree import Tree
from overround.layout.seat import SeatReason, Wait, WaitReason

TREE = Tree()
PROCESSES = [("ingress-0", "ingress"), ("detector-0", "detector"), ("executor", "executor")]
BYTES = 4 * 2**20
PAGES = BYTES // 4096


class Shared:
    """A file of /dev/shm, mapped as the runtime maps its regions."""

    def __init__(self, name: str) -> None:
        self.path = Path("/dev/shm", name)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(self.fd, 0, BYTES)
        self.pointer = lib.ovr_memory_map(self.fd, BYTES)

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *_: object) -> None:
        lib.ovr_memory_unmap(self.pointer, BYTES)
        os.close(self.fd)
        self.path.unlink()


def test_the_topology_is_the_machine_s() -> None:
    os.sched_setaffinity(0, {0, 3})  # as the boot line has it; a partition's end forgets that
    topology = read_topology(TREE)
    print(topology)
    assert topology.nodes == 2
    assert {core.cpus[0]: core.node for core in topology.cores} == {0: 0, 1: 0, 2: 1, 3: 1}
    assert [core.isolated for core in topology.cores] == [False, True, True, False]
    assert topology.cpus == {0, 1, 2, 3}  # isolated ones are in nobody's affinity and ours


def test_isolated_cores_come_first_and_their_owners_spin() -> None:
    layout = arrange(read_topology(TREE), PROCESSES[:2])
    print(layout)
    assert {seat.cpu for seat in layout.seats.values()} == {1, 2}
    for seat in layout.seats.values():
        assert seat.wait is Wait.SPIN
        assert (seat.seat_reason, seat.wait_reason) == (SeatReason.ISOLATED, WaitReason.ISOLATED)
        os.sched_setaffinity(0, {seat.cpu})
        assert lib.ovr_place_here() == seat.node
    os.sched_setaffinity(0, {0, 3})
    assert layout.shared == {0, 3}


def test_a_region_s_pages_lie_where_they_were_wanted() -> None:
    os.sched_setaffinity(0, {0})
    with Shared("first-touch") as region:
        assert pages_by_node(region.pointer, BYTES) == {0: PAGES}  # where its creator runs
        assert bind(region.pointer, BYTES, 1) == ""
        assert pages_by_node(region.pointer, BYTES) == {1: PAGES}  # they moved
    os.sched_setaffinity(0, {0, 3})


def test_a_wish_of_the_thread_counts_for_what_it_touches_later() -> None:
    os.sched_setaffinity(0, {0})
    assert lib.ovr_place_prefer(1) == 0
    with Shared("preferred") as region:
        assert pages_by_node(region.pointer, BYTES) == {1: PAGES}
    assert lib.ovr_place_prefer(-1) == 0
    with Shared("ordinary") as region:
        assert pages_by_node(region.pointer, BYTES) == {0: PAGES}
    os.sched_setaffinity(0, {0, 3})


def test_a_node_that_is_not_there_is_refused() -> None:
    with Shared("nowhere") as region:
        assert bind(region.pointer, BYTES, 5) == os.strerror(errno.EINVAL)


def test_huge_pages_stay_on_the_node_and_are_locked() -> None:
    with Shared("huge") as region:
        assert bind(region.pointer, BYTES, 1) == ""
        collapsed = lib.ovr_memory_collapse(region.pointer, BYTES)
        print(f"collapse: {os.strerror(-collapsed) if collapsed else 'done'}")
        assert lib.ovr_memory_lock(region.pointer, BYTES) == 0
        mapping = mappings()[int(ffi.cast("uintptr_t", region.pointer))]
        print(mapping)
        assert mapping.locked
        assert mapping.huge_bytes == (0 if collapsed else BYTES)
        assert pages_by_node(region.pointer, BYTES) == {1: PAGES}


MEMBER = """
import os, sys
from overround.host.partition import Partition
from overround.host.tree import Tree
partition = Partition(Tree(), "guest")
partition.join()
os.sched_setaffinity(0, {3})
print(sorted(os.sched_getaffinity(0)), open("/proc/self/cgroup").read().strip(), flush=True)
partition.leave()
print(sorted(os.sched_getaffinity(0)), open("/proc/self/cgroup").read().strip(), flush=True)
"""


def test_a_partition_keeps_others_out_and_leaves_nothing_behind() -> None:
    partition = Partition(TREE, "guest")
    partition.create({3})
    try:
        refused = 0
        try:
            os.sched_setaffinity(0, {3})
        except OSError as error:
            refused = error.errno
        assert refused == errno.EINVAL
        done = subprocess.run(
            [sys.executable, "-c", MEMBER], capture_output=True, text=True, check=True
        )
        print(done.stdout)
        inside, outside = done.stdout.splitlines()
        assert inside == "[3] 0::/overround-guest"
        assert outside.endswith("0::/")
        assert not outside.startswith("[3]")
        assert [stale.group for stale in left_over(TREE, set())] == [partition.group]
        assert not left_over(TREE, {"guest"})
    finally:
        assert partition.remove()
    assert not Path(partition.group).exists()
    os.sched_setaffinity(0, {3})
    os.sched_setaffinity(0, {0, 3})


def test_a_partition_of_every_cpu_is_refused_and_leaves_nothing_behind() -> None:
    partition = Partition(TREE, "greedy")
    try:
        partition.create({0, 1, 2, 3})
    except HostError as error:
        print(error)
    else:
        raise AssertionError("the kernel gave away its last CPU")
    assert not Path(partition.group).exists()


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            print(f"-- {name}", flush=True)
            try:
                test()
            except Exception:
                traceback.print_exc()
                raise SystemExit(1) from None
