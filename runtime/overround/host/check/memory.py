"""Memory: where it is, whether it stays, and what moves it."""

from __future__ import annotations

import os
import resource
import shutil
from typing import Final

from overround.host.allocator import find_jemalloc
from overround.host.check.finding import Check, Finding, Scene, Verdict, judged

__all__ = ["CHECKS"]

MEMLOCK_WANTED_BYTES: Final = 64 * 2**20
SHM_WANTED_BYTES: Final = 256 * 2**20


def _nodes(scene: Scene) -> Finding:
    nodes = scene.tree.glob("/sys/devices/system/node/node[0-9]*")
    cards = [
        f"{path.split('/')[4]} on node {scene.text(path)}"
        for path in scene.tree.glob("/sys/class/net/*/device/numa_node")
        if scene.text(path) not in (None, "-1")
    ]
    value = f"{max(1, len(nodes))}" + (f" ({', '.join(cards)})" if cards else "")
    one = len(nodes) <= 1
    return judged(
        "memory nodes", value, one,
        "books belong on the node of the network card and of the ingress's CPU",
        "choose hot CPUs of one node: overround tune check --cpus ...",
    )  # fmt: skip


def _locking(_: Scene) -> Finding:
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    unlimited = soft == resource.RLIM_INFINITY
    fine = unlimited or soft >= MEMLOCK_WANTED_BYTES or os.geteuid() == 0
    return judged(
        "memory lock limit", "unlimited" if unlimited else f"{soft // 1024} KiB", fine,
        "shared regions are locked so that the hot path never faults",
        "set LimitMEMLOCK=infinity in the unit, or overround tune apply",
    )  # fmt: skip


def _shared_memory(scene: Scene) -> Finding:
    why = "shared regions live there"
    try:
        free = shutil.disk_usage(scene.tree.at("/dev/shm")).free
    except OSError:
        mount = "mount -t tmpfs tmpfs /dev/shm"
        return Finding("/dev/shm free", "absent", Verdict.BAD, why, mount)
    fine = free >= SHM_WANTED_BYTES
    return Finding(
        "/dev/shm free", f"{free // 2**20} MiB", Verdict.GOOD if fine else Verdict.BAD, why,
        "" if fine else "mount -o remount,size=1G /dev/shm",
    )  # fmt: skip


def _huge_pages(scene: Scene) -> Finding:
    shmem = scene.text("/sys/kernel/mm/transparent_hugepage/shmem_enabled") or "absent"
    chosen = shmem.partition("[")[2].partition("]")[0] or shmem
    reserved = scene.text("/proc/sys/vm/nr_hugepages") or "0"
    return judged(
        "huge pages for shared memory", f"{chosen}, {reserved} reserved", True,
        "collapsed on request (MADV_COLLAPSE, Linux 6.1), so the setting need not change",
    )  # fmt: skip


def _swap(scene: Scene) -> Finding:
    areas = (scene.text("/proc/swaps") or "").splitlines()[1:]
    return judged(
        "swap", f"{len(areas)} areas", not areas,
        "a page of ours on disk costs milliseconds", "swapoff -a, or lock memory",
    )  # fmt: skip


def _jemalloc(_: Scene) -> Finding:
    path = find_jemalloc()
    return judged(
        "jemalloc", path or "not installed", path is not None,
        "detectors run under it when it is there: less memory stays behind after churn",
        "apt-get install libjemalloc2",
    )  # fmt: skip


CHECKS: Final[tuple[Check, ...]] = (
    _nodes, _locking, _shared_memory, _huge_pages, _swap, _jemalloc,
)  # fmt: skip
