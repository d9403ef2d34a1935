"""The regression gates: what the hot path costs in counts that repeat to the digit."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import struct
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

CANNOT_JUDGE = 77
LIMIT_S = 170


@pytest.fixture(name="gates")
def fixture_gates(repository: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("gates", str(repository / "scripts" / "gates"))
    spec = importlib.util.spec_from_loader("gates", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_no_count_has_grown(repository: Path):
    done = subprocess.run(
        [repository / "scripts" / "gates"],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode == CANNOT_JUDGE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_count_that_grew_fails_and_one_per_cent_passes(gates: ModuleType, capsys):
    base = {"instructions a": 1_000, "system calls a": 0, "blocks a": 0}
    assert gates.compare({**base, "instructions a": 1_010}, base) == []
    assert gates.compare({**base, "instructions a": 1_011}, base) == ["instructions a"]
    assert gates.compare({**base, "system calls a": 1}, base) == ["system calls a"]
    assert gates.compare({**base, "blocks a": 1}, base) == ["blocks a"]
    assert "GREW" in capsys.readouterr().out


def test_a_count_that_is_gone_or_new_is_no_pass(gates: ModuleType):
    assert gates.compare({}, {"instructions a": 1}) == ["instructions a"]
    assert gates.compare({"instructions b": 1}, {}) == ["instructions b"]


def test_a_kernel_that_finds_something_else_is_not_counted(repository: Path, tmp_path: Path):
    host, words = tmp_path / "host", tmp_path / "words"
    (tmp_path / "kernel.c").write_text(
        "long k(long *r, void **e, long n, ...) { (void)e; *r = n; return 0; }"
    )
    subprocess.run(
        ["gcc", "-DKERNEL=k", repository / "tests" / "gates" / "kernel_host.c",
         tmp_path / "kernel.c", "-o", host], check=True,
    )  # fmt: skip
    for expected, status in ((5, 0), (6, 1)):
        words.write_bytes(struct.pack("<4Q", expected, 1, 0, 5))
        assert subprocess.run([host, words], check=False).returncode == status


def test_the_hot_path_makes_no_system_call_and_keeps_no_block(gates: ModuleType):
    # An order is remembered, and Python's own integers come and go: these have baselines only.
    free = ("instructions", "numba", "blocks executor", "allocations")
    for counts in json.loads(gates.BASELINES.read_text()).values():
        assert not any(value for name, value in counts.items() if not name.startswith(free))
        assert not counts.get("allocations heap frame")
