"""``overround run``: an instance from a file, pinned, stopped, started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.exchange_log import ExchangeLog

KEY_VARIABLE = "OVERROUND_TEST_KEY"
SECONDS = 6


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    log = tmp_path_factory.mktemp("exchange") / "exchange.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "overround.cli.main", "sim", "--json", "--log", str(log)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield {**json.loads(process.stdout.readline()), "log": log}
    process.terminate()
    process.communicate()


def write_config(folder: Path, exchange: dict[str, Any], mode: str) -> Path:
    cpus = sorted(os.sched_getaffinity(0))[:2]
    path = folder / "bot.toml"
    path.write_text(
        f'instance = "run-{os.getpid()}-{mode}"\nmode = "{mode}"\nrun_dir = "{folder}"\n'
        f"[venue]\n"
        + "".join(
            f'{key} = "{exchange[key]}"\n'
            for key in ("rest_url", "gamma_url", "ws_market_url", "ws_user_url")
        )
        + f'[account]\nprivate_key_env = "{KEY_VARIABLE}"\n'
        f"[detect]\nsize_max_lots = {800 * 10**6}\n"
        f"[risk]\norder_notional_max_micro = {1_000 * 10**6}\n"
        # Limits that two short runs of play money must not meet.
        + "".join(
            f"{owner}_{what} = {10**15}\n"
            for owner in ("market", "event", "strategy", "account")
            for what in ("notional_max_micro", "position_max_lots")
        )
        + f"market_loss_max_micro = {10**15}\n"
        + f"[execute]\nplan_worst_max_micro = {1_000 * 10**6}\n"
        f"[cpu]\ncpus = {cpus}\n"
    )
    return path


def run(config: Path, exchange: dict[str, Any], *more: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "overround.cli.main", "run", "-c", str(config), "--json",
         "--seconds", str(SECONDS), *more],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, KEY_VARIABLE: exchange["accounts"][0]["private_key"]},
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_second_run_goes_on_where_the_first_ended(tmp_path: Path, exchange: dict[str, Any]):
    config = write_config(tmp_path, exchange, "sim")
    first = run(config, exchange)
    second = run(config, exchange)
    assert min(first["orders_accepted"], second["orders_accepted"]) > 0
    assert second["fills"] == second["settled"] + second["failed"]
    log = ExchangeLog(exchange["log"])
    accepted = [line["order_id"] for line in log.ours("accepted")]
    # Orders are counted by the run, P&L by the journal: it goes on.
    assert len(set(accepted)) == len(accepted)
    assert len(accepted) == first["orders_accepted"] + second["orders_accepted"]
    assert second["pnl_micro"] == log.settled_pnl_micro() != first["pnl_micro"]
    allowed = sorted(os.sched_getaffinity(0))[:2]
    for name, process in first["processes"].items():
        assert process["pinned"] == (name != "supervisor")
        assert process["cpu"] in allowed or name == "supervisor"
    key = exchange["accounts"][0]["private_key"].removeprefix("0x")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), f"private key in {path}"


def test_shadow_signs_everything_and_sends_nothing(tmp_path: Path, exchange: dict[str, Any]):
    before = exchange["log"].read_text().count('"accepted"')
    report = run(write_config(tmp_path, exchange, "shadow"), exchange)
    assert report["mode"] == "shadow"
    assert report["intents"] > 0
    assert report["stage_latency_ns"]["sign"]["count"] > 0
    assert report["orders_sent"] == 0
    assert exchange["log"].read_text().count('"accepted"') == before


def test_cpu_that_is_not_ours_is_refused_by_name(tmp_path: Path, exchange: dict[str, Any]):
    config = write_config(tmp_path, exchange, "sim")
    text = config.read_text()
    config.write_text(text[: text.index("cpus = ")] + "cpus = [4095]\n")
    done = subprocess.run(
        [sys.executable, "-m", "overround.cli.main", "run", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, KEY_VARIABLE: exchange["accounts"][0]["private_key"]},
        timeout=60,
    )
    assert done.returncode == 1
    assert "cpu.cpus names CPU 4095" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
