"""The rings' order on AArch64: which instructions the compiler makes of it.

On x86 stores stay in order by themselves, so a release or a fence that is missing cannot be seen
there. A cross compiler's output can: each function must hold the instructions it rests on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

EXPECTED: dict[str, dict[str, tuple[str, ...]]] = {
    "broadcast": {
        "ovr_broadcast_publish": ("dmb ish", "stlr", "stlr"),
        "ovr_broadcast_poll": ("ldar", "dmb ishld"),
        "ovr_broadcast_repair": ("stlr",),
    },
    "slots": {
        "ovr_slot_store": ("dmb ish", "stlr", "stlr"),
        "ovr_slot_update": ("dmb ish", "stlr"),
        "ovr_slot_load": ("ldar", "dmb ishld"),
        "ovr_slot_repair": ("stlr",),
    },
    "spsc": {
        "ovr_spsc_try_push": ("ldar", "stlr"),
        "ovr_spsc_poll": ("ldar",),
        "ovr_spsc_advance": ("stlr",),
    },
    "tap": {"ovr_tap_append": ("stlr",), "ovr_tap_used": ("ldar",)},
}
"""Source file and function, and the instructions that give its order, each as often as needed."""
ORDERED = re.compile(r"\t(ldap?r|stlr|dmb)\t(?:(ish\w*)$)?", re.MULTILINE)


@pytest.fixture(name="compiler", scope="module")
def fixture_compiler() -> str:
    for name in ("clang", *(f"clang-{version}" for version in range(22, 12, -1))):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no clang here, which compiles for AArch64 without more")


def ordered(compiler: str, source: Path, folder: Path, include: Path) -> dict[str, list[str]]:
    """Return the ordering instructions of each function in a source file."""
    (folder / "gnu").mkdir(exist_ok=True)
    (folder / "gnu" / "stubs-32.h").touch()  # the headers of this machine, read for another
    out = folder / f"{source.stem}.s"
    headers = ("/usr/include/x86_64-linux-gnu",) if Path("/usr/include/x86_64-linux-gnu") else ()
    subprocess.run(
        [compiler, "--target=aarch64-linux-gnu", "-O2", "-S", "-std=gnu11", "-ffreestanding",
         f"-isystem{folder}", *(f"-isystem{path}" for path in headers), f"-I{include}",
         "-o", out, source], check=True,
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    for part in re.split(r"^(?=ovr_\w+:)", out.read_text(), flags=re.MULTILINE)[1:]:
        held = [f"{kind} {scope}".strip() for kind, scope in ORDERED.findall(part)]
        found[part.partition(":")[0]] = [kind.replace("ldapr", "ldar") for kind in held]
    return found


def lacks(found: list[str], wanted: tuple[str, ...]) -> list[str]:
    """Return what is wanted more often than found."""
    return [kind for kind in {*wanted} if found.count(kind) < wanted.count(kind)]


@pytest.mark.parametrize("name", EXPECTED)
def test_every_release_acquire_and_fence_is_an_instruction(
    name: str, compiler: str, repository: Path, tmp_path: Path
):
    native = repository / "native"
    found = ordered(compiler, native / "src" / f"{name}.c", tmp_path, native / "include")
    for function, wanted in EXPECTED[name].items():
        assert lacks(found[function], wanted) == [], (function, found[function])


@pytest.mark.parametrize(
    ("order", "function", "missing"),
    [
        ("atomic_thread_fence(memory_order_release)", "ovr_broadcast_publish", "dmb ish"),
        ("atomic_thread_fence(memory_order_acquire)", "ovr_broadcast_poll", "dmb ishld"),
        ("memory_order_acquire", "ovr_broadcast_poll", "ldar"),
        ("memory_order_release", "ovr_broadcast_publish", "stlr"),
    ],
)
def test_an_order_that_is_left_out_is_seen(
    order: str, function: str, missing: str, compiler: str, repository: Path, tmp_path: Path
):
    native = repository / "native"
    text = (native / "src" / "broadcast.c").read_text()
    assert order in text
    source = tmp_path / "broadcast.c"
    source.write_text(text.replace(order, "(void)0" if "(" in order else "memory_order_relaxed"))
    found = ordered(compiler, source, tmp_path, native / "include")
    assert missing in lacks(found[function], EXPECTED["broadcast"][function])
