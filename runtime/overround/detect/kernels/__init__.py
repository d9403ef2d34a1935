"""Compiled kernels: arrays and scalars in, hits out, a count back. Integers only.

Importing this package costs nothing; ``load`` imports Numba and compiles (or reads from the
on-disk cache) every kernel, so that no compilation can fall into the first live change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kernels:
    """The five kernels of the detector, ready to run."""

    apply_changes: Callable[..., int]
    scan_touched: Callable[..., int]
    scan_all: Callable[..., int]
    scan_mirror: Callable[..., int]
    sweep_mirror: Callable[..., int]


def cache_folder(
    home: Path, fallback: Path, environment: Mapping[str, str], writable: Callable[[Path], bool]
) -> Path | None:
    """Return where compiled code is to be kept, None to leave it beside the sources.

    ``home`` is the folder of the kernels. A package installed for all users, or a service that
    sees no home directory, has no writable place there, and Numba then refuses to compile.
    """
    if "NUMBA_CACHE_DIR" in environment or writable(home):
        return None
    return fallback


def load(fallback: Path | None = None) -> Kernels:
    """Return the compiled kernels; the first call of a process takes 0.5 s, cold some seconds.

    ``fallback`` is a private folder for compiled code where the package's own is read-only.
    """
    from numba import config

    if fallback is not None:
        home = Path(__file__).parent
        folder = cache_folder(home, fallback, os.environ, lambda path: os.access(path, os.W_OK))
        if folder is not None:
            config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]

    from overround.detect.kernels import changes, mirror, sets

    return Kernels(
        apply_changes=changes.apply_changes,
        scan_touched=sets.scan_touched,
        scan_all=sets.scan_all,
        scan_mirror=mirror.scan_mirror,
        sweep_mirror=mirror.sweep_mirror,
    )
