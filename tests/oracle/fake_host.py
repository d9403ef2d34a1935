"""A machine's tunable files in a folder: eight CPUs, four cores, one network card."""

from __future__ import annotations

from pathlib import Path

_CPU = "sys/devices/system/cpu"
_FILES = {
    "proc/sys/kernel/random/boot_id": "first-boot\n",
    f"{_CPU}/online": "0-7\n",
    **{f"{_CPU}/cpu{n}/cpufreq/scaling_governor": "powersave\n" for n in range(8)},
    **{f"{_CPU}/cpu{n}/topology/thread_siblings_list": f"{n % 4},{n % 4 + 4}\n" for n in range(8)},
    f"{_CPU}/intel_pstate/no_turbo": "0\n",
    **{f"proc/irq/{n}/smp_affinity_list": "0-7\n" for n in range(24, 30)},
    "proc/irq/default_smp_affinity": "ff\n",
    "sys/devices/virtual/workqueue/cpumask": "ff\n",
    "sys/class/net/eth0/queues/rx-0/rps_cpus": "00\n",
    "proc/sys/net/core/busy_poll": "0\n",
    "proc/sys/net/core/busy_read": "0\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    "sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never\n",
    "proc/sys/vm/nr_hugepages": "0\n",
    "proc/sys/vm/swappiness": "60\n",
    "proc/sys/vm/stat_interval": "1\n",
    "proc/sys/kernel/numa_balancing": "1\n",
    "proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "proc/sys/kernel/watchdog_cpumask": "0-7\n",
    "proc/sys/kernel/timer_migration": "1\n",
    "lib/systemd/system/irqbalance.service": "[Unit]\n",
    "etc/default/grub": "GRUB_TIMEOUT=1\n",
    "dev/cpu_dma_latency": "",
}


def fake_host(root: Path) -> Path:
    """Lay the files out below ``root`` and return it."""
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in ("etc/security/limits.d", "etc/default/grub.d", "etc/systemd/system", "var/lib"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    # A file of somebody else's where ours would be: it has to come back byte for byte.
    (root / "etc/security/limits.d/overround.conf").write_bytes(b"# m\xefne\r\n* - nofile 4096")
    return root


def contents(root: Path) -> dict[str, tuple[int, bytes | None]]:
    """Return mode and bytes of all files below ``root`` but the diary's and what is a device."""
    found: dict[str, tuple[int, bytes | None]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not name.startswith(("var/lib/overround", "dev/")):
            data = path.read_bytes() if path.is_file() else None
            found[name] = (path.stat().st_mode, data)
    return found
