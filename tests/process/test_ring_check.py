"""The script that sends millions of checked messages through the rings, in its short form."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

CANNOT_CHECK = 77
MESSAGES = 20_000
LIMIT_S = 120


def test_rings_carry_checked_messages_and_each_control_finds_a_bad_one(repository: Path):
    done = subprocess.run(
        [repository / "scripts" / "ring-check", "--messages", str(MESSAGES), "--json"],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode == CANNOT_CHECK:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["kind"] for row in rows if row["control"]] == ["broadcast", "spsc", "slots", "tap"]
    assert all(row["bad"] == 1 for row in rows if row["control"])
    assert all((row["checked"], row["bad"]) == (MESSAGES, 0) for row in rows if not row["control"])
