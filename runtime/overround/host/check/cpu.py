"""Clocks, cores and who else may run on them."""

from __future__ import annotations

import os
import resource
from typing import Final

from overround.host.check.finding import Check, Finding, Scene, judged
from overround.host.cpus import CORES_MIN, format_cpus, online, parse_cpus, parse_mask, siblings

__all__ = ["CHECKS"]

STEAL_MAX_PPM: Final = 1_000
"""A tenth of a percent of all time since the start."""
_CPU: Final = "/sys/devices/system/cpu"
_CAP_SYS_NICE: Final = 23
_USED: Final = ("avx2", "bmi2", "avx512f", "sha_ni", "asimd", "crc32")
_SHALLOW: Final = ("POLL", "C1", "C1E", "WFI", "haltpoll idle")
_KEPT: Final = ("isolated", "nohz_full", "rcu_nocbs")


def _flags(scene: Scene) -> frozenset[str]:
    for line in (scene.text("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _virtual(scene: Scene) -> Finding:
    guest = "hypervisor" in _flags(scene)
    fields = (scene.text("/proc/stat") or "").partition("\n")[0].split()[1:9]
    times = [int(field) for field in fields] if len(fields) == 8 else [0] * 8
    stolen_ppm = times[7] * 1_000_000 // max(1, sum(times))
    value = "virtual machine" if guest else "physical machine"
    return judged(
        "machine", f"{value}, {stolen_ppm / 10_000:.2f} % of its time stolen",
        not guest and stolen_ppm <= STEAL_MAX_PPM,
        "a hypervisor takes the CPU away whenever it likes; no setting in the guest prevents it",
        "move to a physical machine, or to one with dedicated CPUs",
    )  # fmt: skip


def _cores(scene: Scene) -> Finding:
    cpus = online(scene.tree) or os.sched_getaffinity(0)
    cores = len({min(siblings(scene.tree, cpu)) for cpu in cpus})
    return judged(
        "cores", f"{cores} ({len(cpus)} CPUs)", cores >= CORES_MIN,
        "one core a process; below four, waiting sleeps instead of spinning",
    )  # fmt: skip


def _affinity(scene: Scene) -> Finding:
    mask = os.sched_getaffinity(0)
    missing = scene.hot - mask
    return judged(
        "affinity mask", format_cpus(mask), not missing,
        "the CPUs meant for hot processes must be in the mask they inherit",
        f"taskset -c {format_cpus(mask | missing)} overround ..., or CPUAffinity= of the unit",
    )  # fmt: skip


def _siblings(scene: Scene) -> Finding:
    active = scene.text(f"{_CPU}/smt/active") == "1"
    shared = [cpu for cpu in scene.hot if len(siblings(scene.tree, cpu) & online(scene.tree)) > 1]
    value = "on" if active else "off"
    if shared:
        value += f", hot CPUs {format_cpus(shared)} share their cores"
    return judged(
        "hyper-threads", value, not shared,
        "a busy sibling takes up to half of a core; keep it idle, or take it offline",
        f"echo 0 > {_CPU}/cpuN/online for their siblings",
    )  # fmt: skip


def _clock(scene: Scene) -> Finding:
    source = scene.text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    flags = _flags(scene)
    steady = {"constant_tsc", "nonstop_tsc"} <= flags or "aarch64" in os.uname().machine
    fine = source in {"tsc", "kvm-clock", "arch_sys_counter"}
    return judged(
        "clock source", f"{source or 'unknown'}, {'steady' if steady else 'may stop or change'}",
        fine and steady, "reading the clock must not be a system call, and must not drift",
        "boot with clocksource=tsc tsc=reliable",
    )  # fmt: skip


def _kept(scene: Scene) -> Finding:
    command = (scene.text("/proc/cmdline") or "").split()
    found = {
        "isolated": scene.text(f"{_CPU}/isolated") or "",
        "nohz_full": (scene.text(f"{_CPU}/nohz_full") or "").replace("(null)", ""),
        "rcu_nocbs": next((w[10:] for w in command if w.startswith("rcu_nocbs=")), ""),
    }
    value = ", ".join(f"{name} {found[name] or 'none'}" for name in _KEPT)
    whole = bool(scene.hot) and all(
        scene.hot <= (parse_cpus(found[name]) if found[name][:1].isdecimal() else frozenset())
        for name in _KEPT
    )
    return judged(
        "kept from the kernel", value, whole,
        "only the boot line keeps balancing, tick and callbacks off a CPU for good",
        "overround tune apply --profile bare-metal, look at the boot line, reboot",
    )  # fmt: skip


def _partition(scene: Scene) -> Finding:
    lines = (scene.text("/proc/self/cgroup") or "").splitlines()
    group = next((line[3:] for line in lines if line.startswith("0::")), None)
    state = None
    if group is not None:
        state = scene.text(f"/sys/fs/cgroup{group}/cpuset.cpus.partition")
    return judged(
        "cgroup partition", state or "none (no cpuset of cgroup v2)", state == "isolated",
        "an isolated partition keeps balancing off its CPUs without a reboot",
        'AllowedCPUs= of the unit, then "isolated" into its cpuset.cpus.partition',
    )  # fmt: skip


def _interrupts(scene: Scene) -> Finding:
    on_hot = []
    for path in scene.tree.glob("/proc/irq/[0-9]*/smp_affinity_list"):
        try:
            if parse_cpus(scene.text(path) or "") & scene.hot:
                on_hot.append(path.split("/")[3])
        except ValueError:
            continue
    total = len(scene.tree.glob("/proc/irq/[0-9]*/smp_affinity_list"))
    value = f"{len(on_hot)} of {total} may interrupt hot CPUs" if scene.hot else f"{total}"
    return judged(
        "interrupts", value, not on_hot,
        "an interrupt on a hot CPU steals 2 to 20 us from whatever runs there",
        "overround tune apply",
    )  # fmt: skip


def _irqbalance(scene: Scene) -> Finding:
    running = any(
        (scene.text(path) or "") == "irqbalance" for path in scene.tree.glob("/proc/[0-9]*/comm")
    )
    banned = scene.tree.at("/etc/systemd/system/irqbalance.service.d/overround.conf").exists()
    value = "not running" if not running else "running, with bans" if banned else "running"
    return judged(
        "irqbalance", value, not running or banned,
        "it moves interrupts back to the CPUs they were taken from", "overround tune apply",
    )  # fmt: skip


def _workqueues(scene: Scene) -> Finding:
    mask = scene.text("/sys/devices/virtual/workqueue/cpumask")
    on_hot = parse_mask(mask) & scene.hot if mask else frozenset()
    return judged(
        "kernel work", f"mask {mask or 'unknown'}", not on_hot,
        "deferred kernel work runs on any CPU of its mask", "overround tune apply",
    )  # fmt: skip


def _sleep_states(scene: Scene) -> Finding:
    names = [
        scene.text(path) or ""
        for path in scene.tree.glob(f"{_CPU}/cpu0/cpuidle/state[0-9]*/name")
        if scene.text(path.replace("/name", "/disable")) == "0"
    ]
    deep = [name for name in names if name not in _SHALLOW]
    held = scene.text("/sys/module/intel_idle/parameters/max_cstate") in {"0", "1"}
    return judged(
        "sleep states", ", ".join(names) or "none here", not deep or held,
        "a core in a deep sleep state takes 50 to 200 us to wake",
        "overround tune apply --profile bare-metal (holds /dev/cpu_dma_latency)",
    )  # fmt: skip


def _real_time(scene: Scene) -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    status = (scene.text("/proc/self/status") or "").splitlines()
    effective = next((int(row.split()[1], 16) for row in status if row.startswith("CapEff")), 0)
    able = bool(effective >> _CAP_SYS_NICE & 1) or soft != 0
    throttle = scene.text("/proc/sys/kernel/sched_rt_runtime_us") or "unknown"
    return judged(
        "real-time priority", f"{'allowed' if able else 'not allowed'}, throttle {throttle} us",
        throttle != "-1",
        "spinners here run in the ordinary class; without the throttle a FIFO loop locks a CPU up",
        "sysctl kernel.sched_rt_runtime_us=950000",
    )  # fmt: skip


def _features(scene: Scene) -> Finding:
    flags = _flags(scene)
    wanted = [
        name for name in ("avx2", "bmi2", "avx512f", "sha_ni", "asimd", "crc32") if name in flags
    ]
    fine = {"avx2", "bmi2"} <= flags or "asimd" in flags
    return judged(
        "CPU features", ", ".join(wanted) or "none of avx2, bmi2, asimd", fine,
        "the detectors' kernels use the widest vectors there are",
    )  # fmt: skip


CHECKS: Final[tuple[Check, ...]] = (
    _virtual, _cores, _affinity, _siblings, _clock, _kept, _partition, _interrupts, _irqbalance,
    _workqueues, _sleep_states, _real_time, _features,
)  # fmt: skip
