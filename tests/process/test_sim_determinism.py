"""Same seed, same commands: the same log, frames, answers and balances, whatever else differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oracle.sim_life import plain_log
from oracle.sim_process import PATIENCE_S, SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround.match.types import OrderType, Side

SHARE = 1_000_000
NOW_MS = 1_795_345_200_000


def life(seed: int, log: Path, hash_seed: str, repository: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(repository / "tests/oracle/sim_life.py"), str(seed), str(log)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(repository / "tests")},
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_seed_tells_the_same_story_in_every_process(tmp_path: Path, repository: Path) -> None:
    first = life(5, tmp_path / "1", "1", repository)
    second = life(5, tmp_path / "2", "2", repository)
    other = life(6, tmp_path / "3", "1", repository)
    assert first == second
    assert first["member_trades"] > 5
    assert first["lines"] > 60
    assert first["sent"] > 500
    for part in ("state", "log", "frames", "user", "answers"):
        assert first[part] != other[part], part


def commands(sim: SimProcess) -> list[Any]:
    """The same orders, cancels and queries each time: nothing in them is random."""
    wallets = [HostileWallet(sim, number) for number in (0, 1)]
    yes, no = (side["t"] for side in sim.get(f"/clob-markets/{FAVOURITE}")["t"])
    answers: list[Any] = []
    for number, (token, side, ticks, shares, kind) in enumerate(
        [
            (yes, Side.BUY, 9_800, 30, OrderType.GTC), (yes, Side.BUY, 9_810, 30, OrderType.GTC),
            (no, Side.BUY, 200, 60, OrderType.FAK), (yes, Side.BUY, 9_900, 10, OrderType.FOK),
            (yes, Side.SELL, 9_800, 20, OrderType.GTC), (no, Side.SELL, 100, 2, OrderType.GTC),
            (yes, Side.BUY, 9_000, 7, OrderType.GTC), (no, Side.BUY, 150, 80, OrderType.GTC),
        ]
    ):  # fmt: skip
        for wallet in wallets:
            body = wallet.body(
                token, side, shares * ticks * 100, shares * SHARE, kind, timestamp_ms=NOW_MS
            )
            answers.append(wallet.l2("POST", "/order", json.dumps(body).encode()))
        if number % 3 == 2:
            answers.append(wallets[0].l2("DELETE", "/cancel-all"))
    answers += [wallet.l2("GET", "/balance-allowance") for wallet in wallets]
    answers.append(wallets[1].l2("DELETE", "/cancel-all"))
    return answers


def test_a_process_writes_the_same_log_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    logs: list[Any] = []
    for run, seed in enumerate(("9", "9", "10")):
        monkeypatch.setenv("PYTHONHASHSEED", str(run))
        log = tmp_path / f"log-{run}"
        still = ("--rate", "0", "--edge-every", "0", "--mined-ms", "0", "--confirmed-ms", "0")
        with running(*still, "--seed", seed, "--log", str(log)) as sim:
            told.append(commands(sim))
        logs.append(plain_log(log))
    assert logs[0] == logs[1] != logs[2]
    assert told[0] == told[1] != told[2]
    kinds = {line["event"] for line in logs[0]}
    assert {"deposit", "accepted", "rejected", "trade", "settled", "canceled"} <= kinds
