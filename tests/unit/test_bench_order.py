"""The order path's bench still runs: a benchmark that cannot run proves nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench/path/bench_order.py"


@pytest.mark.skipif(shutil.which("cc") is None, reason="the C floor needs a compiler")
def test_every_row_and_ratio_is_there(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH), "--rounds", "10", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report["rows"]) >= {
        "floor", "pooled", "unpooled", "burst", "submit", "judged", "ordinary",
        "build", "sign", "bare",
    }  # fmt: skip
    assert all(
        row["p99_ns"] >= row["p50_ns"] >= row["p05_ns"] > 0 for row in report["rows"].values()
    )
    assert {"pooled/floor", "sign/bare"} <= set(report["ratios"])
    assert report["pool_hits"] >= 10
