"""Compiled kernels: arrays and scalars in, hits out, a count back. Integers only.

Importing this package costs nothing; ``load`` imports Numba and compiles (or reads from the
on-disk cache) every kernel, so that no compilation can fall into the first live change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kernels:
    """The four kernels of the detector, ready to run."""

    apply_changes: Callable[..., int]
    scan_touched: Callable[..., int]
    scan_all: Callable[..., int]
    scan_mirror: Callable[..., int]


def load() -> Kernels:
    """Return the compiled kernels; the first call of a process takes 0.5 s, cold some seconds."""
    from overround.detect.kernels import changes, mirror, sets

    return Kernels(
        apply_changes=changes.apply_changes,
        scan_touched=sets.scan_touched,
        scan_all=sets.scan_all,
        scan_mirror=mirror.scan_mirror,
    )
