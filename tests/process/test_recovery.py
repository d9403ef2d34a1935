"""What was there before us, what nobody knows, and what a person asks: all compared by rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from oracle.executor_rig import KEY_VARIABLE, PATIENCE_S, SHARE, Rig
from oracle.sim_process import SimProcess
from oracle.sim_wallet import HostileWallet
from overround.config.schema import Execute
from overround.execute.process import JOURNAL_FOLDER
from overround.layout.report import ReportKind
from overround.ledger.export import rebuild
from overround.ledger.journal import replay
from overround.ledger.records import Adjusted, Finding, Findings, decode
from overround.match.types import Side
from overround.observe.metrics import Value

HALF = 6
"""A market of the exchange whose price is near one half."""
QUICK = {"unknown_quiet_ms": 300, "reconcile_interval_ms": 300}


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, execute=Execute(**QUICK))
    yield rig
    rig.close()


class Hand:
    """The same account, moved by somebody who is not the executor."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.wallet = HostileWallet(cast("SimProcess", rig.venue))
        row = rig.instance.catalog.load(HALF)
        assert row is not None
        self.condition = row["condition_id"].decode()
        self.yes = row["token_yes"].decode()

    def split(self, shares: int) -> None:
        self.rig.venue.control(
            "split", address=self.rig.address, market=self.condition, size=str(shares)
        )

    def bid(self) -> str:
        body = self.wallet.body(self.yes, Side.BUY, 1_000_000, 10 * SHARE, neg_risk=False)
        status, answer = self.wallet.l2("POST", "/order", json.dumps(body).encode())
        assert status == 200, answer
        return str(answer["orderID"])

    def open(self) -> list[str]:
        return [one["id"] for one in self.wallet.l2("GET", "/data/orders")[1]["data"]]


def records(rig: Rig, kind: type) -> list[Any]:
    found = (decode(raw) for raw in replay(rig.folder / JOURNAL_FOLDER))
    return [record for record in found if isinstance(record, kind)]


def reconcile(rig: Rig, *options: str) -> tuple[int, Any, str]:
    command = [sys.executable, "-m", "overround.cli.main", "reconcile", "--json"]
    done = subprocess.run(
        [*command, "--run-dir", str(rig.folder), *options],
        env={**os.environ, KEY_VARIABLE: rig.key},
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert rig.key not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def test_the_first_start_adopts_shares_and_cancels_orders_nobody_knows(rig: Rig) -> None:
    hand = Hand(rig)
    hand.split(25)
    orphan = hand.bid()
    rig.start()
    rig.until(lambda: hand.open() == [])
    found = [one for record in records(rig, Findings) for one in record.rows]
    assert found[0] == Finding("orphan", orphan, 0, 10 * SHARE, "cancel")
    assert rig.count(Value.ORDERS_ORPHANED) == 1
    opened = {(one.token, one.lots, one.cause) for one in records(rig, Adjusted)}
    assert len(opened) == 2
    assert (hand.yes, 25 * SHARE, "opening") in opened
    rig.push(market=HALF)
    rig.wait_settled()
    positions = rebuild(rig.folder / JOURNAL_FOLDER)
    assert positions.lots(hand.yes) == 35 * SHARE
    assert positions.view().pnl_micro < 0  # what was there is no profit of ours
    before = [raw.sequence for raw in replay(rig.folder / JOURNAL_FOLDER)]
    status, report, _ = reconcile(rig)
    assert (status, report["differences"]) == (0, [])
    assert report["cash_micro"]["ledger"] == report["cash_micro"]["venue"]
    assert len(list(replay(rig.folder / JOURNAL_FOLDER))) <= len(before) + 1
    status, _, text = reconcile(rig, "--apply")
    assert status == 1
    assert "another process" in text


def test_what_somebody_else_moved_is_told_and_adopted_by_hand_alone(rig: Rig) -> None:
    hand = Hand(rig)
    rig.start()
    rig.push(market=HALF)
    rig.wait_settled()
    assert rig.stop() == 0
    hand.split(7)
    status, report, _ = reconcile(rig)
    assert status == 1
    assert report["applied"] is False
    assert any(text.startswith(f"shares {hand.yes}") for text in report["differences"])
    assert any(text.startswith("cash") for text in report["differences"])
    assert records(rig, Adjusted) == []
    status, report, text = reconcile(rig, "--apply")
    assert status == 0, text
    assert sorted(one.lots for one in records(rig, Adjusted)) == [0, 7 * SHARE, 7 * SHARE]
    status, report, _ = reconcile(rig)
    assert (status, report["differences"]) == (0, [])


def test_a_look_learns_of_a_token_by_the_trade_that_the_journal_lacks(rig: Rig) -> None:
    rig.start()
    rig.venue.control("faults", path="/order", method="POST", before_ms=500, count=1)
    rig.push(market=HALF)
    rig.until(lambda: rig.count(Value.ORDERS_SENT) == 1)
    rig.kill()
    rig.until(lambda: any(line["event"] == "trade" for line in rig.venue.log()), alive=False)
    status, report, text = reconcile(rig)
    assert report is not None, text
    assert (status, report["would_write"]["FILL"]) == (0, 1), report


def test_an_adopted_order_is_ours_from_then_on(tmp_path: Path) -> None:
    # No dead-man switch: on a busy machine it could cancel before the second one is there.
    quiet = {"orphan_orders": "adopt", "heartbeat_interval_ms": 0}
    rig = Rig(tmp_path, execute=Execute(**QUICK, **quiet))
    try:
        hand = Hand(rig)
        orphan = hand.bid()
        rig.start()
        assert hand.open() == [orphan]
        rig.until(lambda: bool(records(rig, Findings)))
        rig.kill()
        rig.start()
        assert hand.open() == [orphan]
        assert rig.stop() == 0  # a stop cancels what rests, and knows it was this one
        assert hand.open() == []
        assert reconcile(rig)[1]["orders"]["working"] == 0
    finally:
        rig.close()


def test_a_match_that_never_settles_alarms_and_its_shares_are_not_sold(tmp_path: Path) -> None:
    stuck = ("--mined-ms", "3600000", "--confirmed-ms", "7200000")
    limits = Execute(**QUICK, settle_alarm_ms=500)
    rig = Rig(tmp_path, execute=limits, sim_options=stuck)
    try:
        rig.start()
        rig.push(market=HALF)
        rig.until(lambda: rig.count(Value.SETTLE_OVERDUE) == 1)
        sale = rig.push(market=HALF, side=1, price_ticks=rig.top(HALF)[0])
        rig.until(lambda: bool(rig.reported(ReportKind.REFUSED)))
        assert rig.reported(ReportKind.REFUSED)[0][0] == sale
        assert rig.count(Value.SETTLE_OVERDUE) == 1  # once a fill
        rig.until(lambda: rig.count(Value.USER_TRUSTED) == 1)
        rig.venue.control("faults", switch="sockets-refused", value=1)
        rig.venue.control("close", channel="user")
        rig.until(lambda: rig.count(Value.USER_TRUSTED) == 0)
        rig.venue.control("faults", clear=True)
        rig.until(lambda: rig.count(Value.USER_TRUSTED) == 1)
    finally:
        rig.close()
