"""An exchange that is killed and goes on: nothing it said is forgotten, nothing happens twice."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.sim_process import PATIENCE_S, SimProcess, command
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround.match.types import OrderType, Side

SETTLED = ("--mined-ms", "20", "--confirmed-ms", "60")
NEVER_SETTLED = ("--mined-ms", "3600000", "--confirmed-ms", "7200000")


class Lasting:
    """An exchange with a store, started as often as it is killed."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log.jsonl"
        self.store = folder / "store.jsonl"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> SimProcess:
        given = ["--json", "--edge-every", "0", "--log", str(self.log), "--store", str(self.store)]
        process = subprocess.Popen(command(*given, *options), stdout=subprocess.PIPE)
        self._processes.append(process)
        assert process.stdout is not None
        return SimProcess(process, json.loads(process.stdout.readline()))

    def kill(self) -> None:
        self._processes[-1].kill()
        self._processes[-1].wait(PATIENCE_S)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def lines(self, *events: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in found if line["event"] in events]


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Lasting]:
    exchange = Lasting(tmp_path)
    yield exchange
    exchange.end()


def tokens_of(sim: SimProcess) -> tuple[str, str]:
    tokens = sim.get(f"/clob-markets/{FAVOURITE}")["t"]
    return tokens[0]["t"], tokens[1]["t"]


def everything(wallet: HostileWallet) -> dict[str, Any]:
    """What a client can read of its account."""
    yes, no = tokens_of(wallet.sim)
    paths = ["/data/orders", "/data/trades", "/balance-allowance?asset_type=COLLATERAL"]
    paths += [f"/balance-allowance?asset_type=CONDITIONAL&token_id={token}" for token in (yes, no)]
    return {path: wallet.l2("GET", path)[1] for path in paths}


def place(wallet: HostileWallet, *details: Any) -> dict[str, Any]:
    body = json.dumps(wallet.body(*details)).encode()
    status, answer = wallet.l2("POST", "/order", body)
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


def test_everything_a_client_was_told_is_there_after_a_kill(lasting: Lasting) -> None:
    sim = lasting.start("--rate", "300", *SETTLED)
    wallet = HostileWallet(sim)
    yes, no = tokens_of(sim)
    place(wallet, yes, Side.BUY, 5_000_000, 10_000_000)
    place(wallet, no, Side.BUY, 100_000, 10_000_000)
    place(wallet, yes, Side.BUY, 19_800_000, 20_000_000, OrderType.FAK)
    gone = place(wallet, yes, Side.BUY, 4_000_000, 10_000_000)["orderID"]
    wallet.l2("DELETE", "/order", json.dumps({"orderID": gone}).encode())
    sim.control("split", address=wallet.signer.address, market=FAVOURITE, size="7")
    while sim.get("/sim/state")["unsettled"]:
        pass
    before = everything(wallet)
    assert len(before["/data/orders"]["data"]) == 2
    assert before["/data/trades"]["data"]
    lasting.kill()

    wallet.sim = again = lasting.start("--rate", "300", "--resume")
    assert again.url == sim.url
    assert again.ready["accounts"] == sim.ready["accounts"]
    assert wallet.l1("GET", "/auth/derive-api-key")[1]["apiKey"] == wallet.credentials.api_key
    assert everything(wallet) == before
    assert again.get("/sim/check") == {"ok": True}
    again.process.send_signal(signal.SIGTERM)
    assert again.process.wait(PATIENCE_S) == 0


def test_an_order_that_was_taken_is_refused_as_a_duplicate_by_the_next_life(
    lasting: Lasting,
) -> None:
    sim = lasting.start("--rate", "0")
    wallet = HostileWallet(sim)
    body = json.dumps(wallet.body(tokens_of(sim)[0], Side.BUY, 5_000_000, 10_000_000)).encode()
    assert wallet.l2("POST", "/order", body)[0] == 200
    lasting.kill()
    wallet.sim = lasting.start("--rate", "0", "--resume")
    status, answer = wallet.l2("POST", "/order", body)
    assert status == 400
    assert answer["error"].endswith("Duplicated.")


def test_a_trade_that_was_not_settled_settles_after_the_restart(lasting: Lasting) -> None:
    sim = lasting.start("--rate", "0", *NEVER_SETTLED)
    wallet = HostileWallet(sim)
    place(wallet, tokens_of(sim)[0], Side.BUY, 19_800_000, 20_000_000, OrderType.FAK)
    pending = sim.get("/sim/state")["unsettled"]
    assert pending > 0
    lasting.kill()
    again = lasting.start("--rate", "0", "--resume", *SETTLED)
    while again.get("/sim/state")["unsettled"]:
        pass
    assert {line["status"] for line in lasting.lines("settled")} == {"CONFIRMED"}
    assert len(lasting.lines("settled")) == len(lasting.lines("trade"))
    assert again.get("/sim/check") == {"ok": True}


def test_kills_at_any_moment_lose_and_double_nothing_in_the_log(lasting: Lasting) -> None:
    """Orders stream in while the exchange is killed three times; told means still there."""
    sim = lasting.start("--rate", "100", *SETTLED)
    wallet = HostileWallet(sim)
    yes = tokens_of(sim)[0]
    told: list[str] = []
    for life in range(3):
        if life:
            wallet.sim = lasting.start("--rate", "100", "--resume", *SETTLED)
        timer = threading.Timer(0.15 * (life + 1), lasting.kill)
        timer.start()
        try:
            while True:
                told.append(place(wallet, yes, Side.BUY, 990_000, 1_000_000 * 5)["orderID"])
                place(wallet, yes, Side.BUY, 4_950_000, 5_000_000, OrderType.FAK)
        except (OSError, ValueError):
            timer.join()
    last = lasting.start("--rate", "0", "--resume", *SETTLED)
    wallet.sim = last
    while last.get("/sim/state")["unsettled"]:
        pass
    accepted = [line["order_id"] for line in lasting.lines("accepted")]
    assert len(accepted) == len(set(accepted))
    assert set(told) <= set(accepted)
    trades = [line["trade_id"] for line in lasting.lines("trade")]
    assert len(trades) == len(set(trades))
    assert sorted(trades) == sorted(line["trade_id"] for line in lasting.lines("settled"))
    cash = sum(line["cash_micro"] for line in lasting.lines("deposit")[:1])
    for line in lasting.lines("trade"):
        if line["taker"] == wallet.signer.address:
            cash -= line["cash_micro"] + line["fee_micro"]
        for maker in line["makers"]:
            if maker["account"] == wallet.signer.address:
                cash -= maker["cash_micro"] * (1 if maker["side"] == "BUY" else -1)
    balance = wallet.l2("GET", "/balance-allowance?asset_type=COLLATERAL")[1]["balance"]
    assert int(balance) == cash


def test_a_store_is_not_overwritten_and_a_missing_one_not_resumed(lasting: Lasting) -> None:
    given = ["--json", "--store", str(lasting.store)]
    missing = subprocess.run(command(*given, "--resume"), capture_output=True, text=True)
    assert missing.returncode == 2
    assert "--resume" in missing.stderr
    lasting.start("--rate", "0")
    lasting.kill()
    twice = subprocess.run(command(*given), capture_output=True, text=True)
    assert twice.returncode == 2
    assert "earlier run" in twice.stderr
