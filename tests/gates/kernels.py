"""The detector's kernels as object files with input, for a host that counts instructions.

``kernels.py FOLDER`` writes NAME.o and NAME.words of every case into the folder and prints the
compiler and the symbol of each as JSON. Code is generated for plain x86-64-v3, so that counts
compare between machines; they belong to one version of Numba and LLVM.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["NUMBA_CPU_NAME"] = "x86-64-v3"
os.environ["NUMBA_CPU_FEATURES"] = ""

import numpy as np

MARKETS = 4_096
SETS = 1_024
RECORDS = 256
FEE_PPM = 40_000
WINDOW = 64

Case = tuple[Callable[..., Any], tuple[Any, ...]]


def books(rng: np.random.Generator, legs: int) -> tuple[np.ndarray, ...]:
    """Return liveness, best prices, sizes and fees around sets of so many that are nearly fair."""
    middle = 10_000 / legs + rng.normal(0, 300 / legs**0.5, MARKETS)
    bid = (middle - 550 / legs).astype(np.int32)
    ask = (middle + 550 / legs).astype(np.int32)
    alive = (rng.random(MARKETS) > 0.01).astype(np.uint8)
    lots = rng.integers(1, 10**9, (2, MARKETS))
    return alive, bid, ask, lots[0], lots[1], np.full(MARKETS, FEE_PPM, np.int64)


def outputs() -> tuple[np.ndarray, ...]:
    """Return room for every hit of every set."""
    return tuple(np.zeros(2 * SETS, kind) for kind in (np.int32, np.int32, np.int64, np.int64))


def sweep(legs: int) -> Case:
    """All sets of so many members."""
    from overround.detect.kernels.sets import scan_all

    rng = np.random.default_rng(legs)
    offsets = np.arange(0, SETS * legs + 1, legs, dtype=np.int32)
    members = rng.integers(0, MARKETS, SETS * legs).astype(np.int32)
    return scan_all, (
        offsets, members, np.ones(SETS, np.int64), *books(rng, legs), 1, np.zeros(5, np.int64),
        *outputs(),
    )  # fmt: skip


def touched() -> Case:
    """The sets of some markets: each market is in one set of four."""
    from overround.detect.kernels.sets import scan_touched

    rng = np.random.default_rng(4)
    offsets = np.arange(0, MARKETS + 1, 4, dtype=np.int32)
    market_offsets = np.arange(MARKETS + 1, dtype=np.int32)
    markets = np.arange(MARKETS, dtype=np.int32)
    some = rng.choice(MARKETS, RECORDS, replace=False).astype(np.int32)
    return scan_touched, (
        some, len(some), market_offsets, markets // 4, offsets, markets,
        np.ones(SETS, np.int64), np.zeros(SETS, np.uint8), *books(rng, 4), 1,
        np.zeros(5, np.int64), *outputs(),
    )  # fmt: skip


def mirror(*, all_markets: bool) -> Case:
    """Books of which two of a hundred touch, half of them with sizes."""
    from overround.detect.kernels.mirror import scan_mirror, sweep_mirror

    rng = np.random.default_rng(1)
    trusted, bid, ask, bid_lots, ask_lots, _ = books(rng, 2)
    crossed = rng.choice(MARKETS, MARKETS // 50, replace=False)
    ask[crossed] = bid[crossed]
    bid_lots[crossed[::2]] = 0
    columns = trusted, bid, ask, bid_lots, ask_lots
    found = np.zeros(MARKETS, np.uint8), np.zeros(MARKETS, np.int32)
    if all_markets:
        return sweep_mirror, (*columns, *found)
    some = rng.choice(MARKETS, RECORDS, replace=False).astype(np.int32)
    return scan_mirror, (some, len(some), *columns, *found)


def changes() -> Case:
    """A batch of ring records, each of a market of its own, all newer."""
    from overround.detect.kernels.changes import apply_changes

    rng = np.random.default_rng(2)
    words = np.zeros((RECORDS, 8), np.int64)
    words[:, 2] = rng.choice(MARKETS, RECORDS, replace=False) | 1 << 32
    words[:, 4] = 4_000 | 5_000 << 16 | 1 << 32
    words[:, 5:7] = 10**6
    zeros = [np.zeros(MARKETS, kind) for kind in (np.int64, np.uint8, np.uint8, np.int32, np.int32)]
    lots = [np.zeros(MARKETS, np.int64) for _ in range(2)]
    return apply_changes, (words, RECORDS, *zeros, *lots, np.zeros(MARKETS, np.int32))


def signal() -> Case:
    """One price into a window that is full."""
    from overround.detect.kernels.signals import update_signals

    window = np.full(WINDOW, 5_000, np.int64)
    sums = np.array([5_000 * WINDOW, 5_000**2 * WINDOW, WINDOW, 7])
    return update_signals, (5_100, window, sums, np.array([5_000, 0.1, 1 / WINDOW]), np.zeros(4))


CASES: dict[str, Callable[[], Case]] = {
    "apply_changes": changes,
    "scan_touched": touched,
    "scan_all_pairs": lambda: sweep(2),
    "scan_all_fives": lambda: sweep(5),
    "scan_all_thirties": lambda: sweep(30),
    "scan_mirror": lambda: mirror(all_markets=False),
    "sweep_mirror": lambda: mirror(all_markets=True),
    "update_signals": signal,
}


def word(value: int) -> bytes:
    """Return a word that is passed as it is."""
    return struct.pack("<QQ", 0, value)


def passed(value: Any) -> list[bytes]:
    """Return what a kernel is handed for one argument."""
    if not isinstance(value, np.ndarray):
        return [word(value)]
    assert value.flags.c_contiguous
    pointer = struct.pack("<Q", value.nbytes) + value.tobytes()
    shape = [word(size) for size in (*value.shape, *value.strides)]
    return [word(0), word(0), word(value.size), word(value.itemsize), pointer, *shape]


def write(folder: Path, name: str) -> str:
    """Write one case and return the symbol of its kernel."""
    kernel, arguments = CASES[name]()
    words = [part for argument in arguments for part in passed(argument)]
    result = kernel(*arguments)
    assert result != 0, f"{name} finds nothing"
    kind = "<d" if isinstance(result, float) else "<q"
    head = struct.pack(kind, result) + struct.pack("<Q", len(words))
    (folder / f"{name}.words").write_bytes(head + b"".join(words))
    compiled = kernel.overloads[kernel.signatures[0]]  # type: ignore[attr-defined]
    (folder / f"{name}.o").write_bytes(compiled.library._get_compiled_object())
    return str(compiled.fndesc.mangled_name)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as fresh:  # code from a cache comes without its object file
        os.environ["NUMBA_CACHE_DIR"] = fresh
        symbols = {name: write(folder, name) for name in CASES}
    compiler = f"numba {version('numba')} llvmlite {version('llvmlite')}"
    told = json.dumps({"compiler": compiler, "symbols": symbols})
    os.write(sys.stdout.fileno(), told.encode() + b"\n")


if __name__ == "__main__":
    main()
