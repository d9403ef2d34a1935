"""Real processes on this machine: what is asked for is got, or told; helpers keep off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overround.cli.demo import start_exchange
from overround.host.allocator import find_jemalloc
from overround.layout.seat import Wait

KEY_VARIABLE = "OVERROUND_TEST_KEY"
PATIENCE_S = 60
ALLOWED = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    process, ready = start_exchange(7, tmp_path_factory.mktemp("place") / "exchange.jsonl")
    yield ready
    process.terminate()
    process.communicate()


def write_config(folder: Path, exchange: dict[str, Any], name: str, more: str) -> Path:
    path = folder / "bot.toml"
    urls = ("rest_url", "gamma_url", "ws_market_url", "ws_user_url")
    path.write_text(
        f'instance = "{name}"\nmode = "sim"\nrun_dir = "{folder}"\n[venue]\n'
        + "".join(f'{key} = "{exchange[key]}"\n' for key in urls)
        + f'[account]\nprivate_key_env = "{KEY_VARIABLE}"\n{more}'
    )
    return path


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def seen(name: str, until: Any) -> dict[str, Any]:
    """Return what ``overround stat`` says once ``until`` holds for it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "overround.cli.main", "stat", "--instance", name, "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0 and until(report := json.loads(done.stdout)):
            return report
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.1)


def all_ready(report: dict[str, Any]) -> bool:
    return all(
        report["processes"][name]["state"] == "ready" for name in report.get("placement", {"": {}})
    )


def test_what_was_asked_is_got_or_told(tmp_path: Path, exchange: dict[str, Any]):
    name = f"place-{os.getpid()}"
    config = write_config(
        tmp_path, exchange, name,
        f'[cpu]\ncpus = [{ALLOWED[-1]}]\nwait = "spin"\npartition = true\nfifo_priority = 3\n'
        '[memory]\njemalloc_for = ["ingress", "detector", "executor"]\n',
    )  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "overround.cli.main", "run", "-c", str(config), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, KEY_VARIABLE: exchange["accounts"][0]["private_key"]},
    ) as runner:  # fmt: skip
        try:
            report = seen(name, all_ready)
            executor = report["processes"]["executor"]["pid"]
            helpers = {pid: os.sched_getaffinity(pid) for pid in children_of(executor)}
            mine = os.sched_getaffinity(runner.pid)
        finally:
            runner.terminate()
        _, said = runner.communicate(timeout=PATIENCE_S)
    assert runner.returncode == 0, said
    placement = report["placement"]
    assert set(placement) == {"ingress-0", "detector-0", "executor"}
    for process, place in placement.items():
        got = place["got"]
        assert place["asked"]["cpu"] == ALLOWED[-1]
        assert got["pinned"]
        assert got["cpus"] == str(ALLOWED[-1])
        assert got["jemalloc"] == (find_jemalloc() is not None)
        assert 0 < got["locked_bytes"] <= got["region_bytes"]
        asked_more = place["asked"]["partition"] or place["asked"]["real_time"]
        log = (tmp_path / name / "logs" / f"{process}.log").read_text()
        assert log.count("not to be had here") == got["refused"]
        assert not got["refused"] or asked_more
    if len(ALLOWED) < 4:
        assert Wait.SPIN.name.lower() not in {place["wait"] for place in placement.values()}
        assert "does not spin for ever" in said
    if len(ALLOWED) > 1:
        assert mine == set(ALLOWED[:-1])
        assert all(cpus == set(ALLOWED[:-1]) for cpus in helpers.values())
    for region in report["regions"].values():
        assert region["bytes"] > 0
        assert sum(region["pages_by_node"].values()) * os.sysconf("SC_PAGESIZE") in (
            0, region["bytes"],
        )  # fmt: skip
