"""The bench of the transport still runs, and every client in it gets its answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_bench_measures_every_client(repository: Path) -> None:
    pytest.importorskip("py_clob_client_v2", reason="the official client is not installed")
    bench = repository / "bench" / "path" / "bench_transport.py"
    run = subprocess.run(
        [sys.executable, bench, "--requests", "5", "--rounds", "1", "--json"],
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr.decode()
    table = json.loads(run.stdout)
    assert set(table) == {"floor", "ours", "aiohttp", "httpx", "py-clob-client-v2",
                          "py-clob-client"}  # fmt: skip
    for row in table.values():
        assert 0 < row["p50_us"] <= row["p99_us"]
