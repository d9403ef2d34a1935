"""``overround tune`` killed at any instant: revert finds every byte."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oracle.fake_host import contents, fake_host
from overround.host.tree import Tree
from overround.host.tune.diary import FILE

COMMAND = [sys.executable, "-m", "overround.cli.main", "tune"]
PATIENCE_S = 30


def tune(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize("lines", [1, 4, 9, 17])
def test_killed_in_the_middle_of_apply_everything_is_put_back(tmp_path: Path, lines: int):
    root = fake_host(tmp_path)
    before = contents(root)
    diary = Tree(root).at(FILE)
    arguments = ["apply", "--profile", "bare-metal", "--root", str(root)]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline:
            if diary.exists() and diary.read_bytes().count(b"\n") >= lines:
                break
        process.kill()
    assert diary.exists()
    done = tune(root, "revert")
    assert done.returncode == 0, done.stderr
    assert contents(root) == before
    assert not diary.exists()


def test_the_command_line_shows_applies_and_reverts(tmp_path: Path):
    root = fake_host(tmp_path)
    before = contents(root)
    seen = json.loads(tune(root, "check", "--profile", "bare-metal", "--json").stdout)
    assert seen["hot_cpus"] == [1, 2, 3, 5, 6, 7]
    assert {row["verdict"] for row in seen["knobs"]} >= {"to change", "left alone by bare-metal"}
    would = tune(root, "apply", "--profile", "laptop", "--dry-run").stdout
    assert "60 -> 10" in would
    assert contents(root) == before
    applied = tune(root, "apply", "--profile", "laptop")
    assert "to take effect: log in again" in applied.stdout
    assert "would go back to '60\\n'" in tune(root, "revert", "--dry-run").stdout
    assert tune(root, "revert").returncode == 0
    assert contents(root) == before
    assert "force_latency=0" in tune(root, "tuned", "--profile", "bare-metal").stdout


def test_a_root_that_is_not_there_is_refused_and_not_made(tmp_path: Path):
    for action in ("check", "apply", "revert", "tuned"):
        done = tune(tmp_path / "nowhere", action)
        assert done.returncode == 2
        assert "is no folder: name the root" in done.stderr
    assert not (tmp_path / "nowhere").exists()
    assert tune(tmp_path, "revert").returncode == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cpus", "text"),
    [
        ("x", "--cpus 'x' is no list of CPUs such as 2-5,8"),
        ("2-99", "--cpus 2-99: online here are 0-7"),
        ("0-7", "--cpus 0-7 leaves no CPU for everything else"),
    ],
)
def test_cpus_that_make_no_sense_are_refused(tmp_path: Path, cpus: str, text: str):
    done = tune(fake_host(tmp_path), "check", "--cpus", cpus)
    assert done.returncode == 2
    assert done.stderr == f"overround: {text}\n"
