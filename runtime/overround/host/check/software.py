"""The interpreter and what it compiled."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from overround.host.check.finding import Check, Finding, Scene, Verdict, judged
from overround.host.uring import probe

__all__ = ["CHECKS"]

_KERNEL_MIN: Final = (5, 15)


def _python(_: Scene) -> Finding:
    fine = sys.version_info >= (3, 11)
    verdict = Verdict.GOOD if fine else Verdict.BAD
    return Finding("python", platform.python_version(), verdict, "3.11 or newer is required")


def _kernel(_: Scene) -> Finding:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    return judged(
        "kernel", release, numbers >= _KERNEL_MIN,
        "below 5.15 futex waits, io_uring and memory advice are missing pieces that we use",
        "install a newer kernel",
    )  # fmt: skip


def _io_uring(_: Scene) -> Finding:
    found = probe()
    return judged(
        "io_uring",
        f"usable, liburing {found.library}, operations up to {found.opcode_last}"
        if found.usable else found.cause,
        found.usable,
        "market sockets on one ring take fewer system calls; picows serves without it",
        "see docs/howto/choose-the-transport.md",
    )  # fmt: skip


def _kernels_cached(_: Scene) -> Finding:
    spec = find_spec("overround.detect")
    folder = Path(spec.origin or "").parent if spec else Path()
    cached = list(folder.rglob("__pycache__/*.nbi"))
    return judged(
        "compiled detectors", f"{len(cached)} cached", bool(cached),
        "without the cache the first start of a detector compiles for some seconds",
        "start once: overround demo --seconds 5",
    )  # fmt: skip


CHECKS: Final[tuple[Check, ...]] = (_python, _kernel, _io_uring, _kernels_cached)
