"""What the compiler made of the kernels: vectors where they count, no references, no atomics.

Each trap stands beside its control: the same loop written the way that falls into it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import llvmlite.binding as llvm
import pytest
from numba import int32, int64, njit, uint8

from overround.detect.kernels import changes, mirror, sets, signals

KERNELS = (
    changes.apply_changes,
    mirror.scan_mirror,
    mirror.sweep_mirror,
    sets.scan_all,
    signals.update_signals,
)
"""Those whose code is looked at; ``scan_touched`` is made of the helpers of ``scan_all``."""
NARROW = re.compile(r"icmp \w+ <(\d+) x i32>")
"""A comparison of ticks as they are stored."""
WIDENED = re.compile(r"sext <(\d+) x i32> .* to <\1 x i64>")
"""The same ticks made 64 bits each: half as many fit a vector."""
COUNTED = re.compile(r"NRT_incref|NRT_decref|atomicrmw")
ORDERED = re.compile(r"\t(ldar|ldapr|ldaxr|stlr|stlxr|dmb|cas|swp|ldadd)\w*\b")
"""AArch64 instructions that order memory."""


def code_of(function: Callable[..., Any], signature: Any = None, **options: Any) -> str:
    """Compile anew, because code from the cache cannot be looked at; return the LLVM code."""
    kept = {"nogil", "_nrt", "error_model", "fastmath"}
    if signature is None:
        chosen: Any = function
        signature, function = chosen.signatures[0], chosen.py_func
        options = {name: value for name, value in chosen.targetoptions.items() if name in kept}
    compiled: Any = njit(signature, **options)(function)
    return str(compiled.inspect_llvm(compiled.signatures[0]))


@pytest.fixture(name="code", scope="module")
def fixture_code() -> dict[str, str]:
    kernels: tuple[Any, ...] = KERNELS
    return {kernel.py_func.__name__: code_of(kernel) for kernel in kernels}


TICKS = int64(int32[::1], int32[::1], uint8[::1])
LIST = int64(int32[::1], int32[::1], int32[::1])


def test_the_sweep_compares_ticks_as_vectors_and_never_widens_them(code: dict[str, str]):
    lanes = {int(found) for found in NARROW.findall(code["sweep_mirror"])}
    assert max(lanes, default=0) >= 4
    assert not WIDENED.search(code["sweep_mirror"])


def test_arithmetic_on_ticks_is_what_widens_them():
    def add(bids: Any, asks: Any, out: Any) -> int:
        for at in range(len(out)):
            out[at] = uint8(bids[at] + asks[at] > 10_000)
        return 0

    def compare(bids: Any, asks: Any, out: Any) -> int:
        for at in range(len(out)):
            out[at] = uint8(bids[at] >= asks[at])
        return 0

    assert WIDENED.search(code_of(add, TICKS))
    assert not WIDENED.search(code_of(compare, TICKS))


def test_an_append_in_the_loop_is_what_stops_its_vectors():
    def append(bids: Any, asks: Any, out: Any) -> int:
        count = 0
        for at in range(len(out)):
            if bids[at] >= asks[at]:
                out[count] = at
                count += 1
        return count

    assert not NARROW.search(code_of(append, LIST))


def test_no_kernel_counts_references_or_allocates(code: dict[str, str]):
    assert [name for name, text in code.items() if COUNTED.search(text)] == []
    for kernel in (*KERNELS, sets.scan_touched):
        assert kernel.targetoptions["_nrt"] is False  # type: ignore[attr-defined]


def test_a_helper_with_a_branch_counts_references_if_it_is_inlined_with_the_runtime():
    @njit(inline="always")  # type: ignore[untyped-decorator]
    def larger(one: Any, other: Any, at: int) -> Any:
        if one[at] > other[at]:
            return one[at]
        return other[at]

    def total(bids: Any, asks: Any, out: Any) -> int:
        found = 0
        for at in range(len(out)):
            found += larger(bids, asks, at)
        return found

    assert COUNTED.search(code_of(total, TICKS))
    assert not COUNTED.search(code_of(total, TICKS, _nrt=False))


@pytest.fixture(name="arm", scope="module")
def fixture_arm() -> SimpleNamespace:
    """Translate LLVM code to AArch64, whatever machine this is."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "aarch64-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu="generic", opt=2)

    def translate(text: str) -> str:
        text = re.sub(r'target datalayout = ".*"\n', "", text)
        text = re.sub(r'target triple = ".*"', f'target triple = "{triple}"', text)
        return str(machine.emit_assembly(llvm.parse_assembly(text)))

    return SimpleNamespace(translate=translate)


def test_on_aarch64_kernels_order_nothing_because_their_columns_are_private(
    code: dict[str, str], arm: SimpleNamespace
):
    for name, text in code.items():
        assembly = arm.translate(text)
        assert f"{name}" in assembly
        assert not ORDERED.search(assembly), name
    assert re.search(r"\tcmg[te]\tv\d+\.4s", arm.translate(code["sweep_mirror"]))


@pytest.mark.parametrize(
    ("line", "instruction"),
    [
        ("%x = load atomic i64, ptr %p acquire, align 8", "ldar"),
        ("store atomic i64 1, ptr %p release, align 8", "stlr"),
        ("fence acquire", "dmb"),
        ("fence release", "dmb"),
        ("%x = atomicrmw add ptr %p, i64 1 seq_cst", "ldaxr"),
    ],
)
def test_the_look_at_aarch64_would_see_an_order(arm: SimpleNamespace, line: str, instruction: str):
    text = f'target triple = ""\ndefine void @f(ptr %p) {{\n {line}\n ret void\n}}\n'
    found = ORDERED.search(arm.translate(text))
    assert found is not None
    assert found[1] == instruction
