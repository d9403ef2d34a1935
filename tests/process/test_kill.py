"""``overround kill`` as a user meets it: executor alive, stopped, dead, or the venue slow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.executor_rig import KEY_VARIABLE, Rig
from overround.cli.kill import ANSWER_TIMEOUT_MS
from overround.clock import NS_PER_MS
from overround.config.schema import Execute
from overround.decide.risk import RefusalCode
from overround.layout.report import ReportKind
from overround.observe.metrics import Value
from overround.shm.kill import KillLatch

PATIENCE_S = 60


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    # No dead-man switch: on a slow machine the venue would cancel before the command does.
    quick = Execute(unknown_quiet_ms=300, reconcile_interval_ms=500, heartbeat_interval_ms=0)
    rig = Rig(tmp_path, execute=quick)
    yield rig
    rig.close()


def overround(rig: Rig, *words: str, key: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, KEY_VARIABLE: rig.key if key else ""}
    return subprocess.run(
        [sys.executable, "-m", "overround.cli.main", *words,
         "--instance", rig.settings.instance],
        capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE_S,
    )  # fmt: skip


def kill(rig: Rig, *words: str, status: int = 0, key: bool = True) -> dict[str, Any]:
    done = overround(rig, "kill", "--json", *words, key=key)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def stopped_late(rig: Rig, report: dict[str, Any]) -> bool:
    """Wait until the executor has stopped; return whether that was later than the command waits.

    In time it must be in the report: only a busy machine may be late.
    """
    latch = KillLatch(rig.instance.segment("kill"))
    rig.until(lambda: latch.stopped)
    late = latch.stopped_ns - latch.set_ns > ANSWER_TIMEOUT_MS * NS_PER_MS
    assert late or report["stopped_ms"] is not None
    return late


def resting(rig: Rig) -> int:
    target = rig.push_rest()
    rig.until(lambda: rig.count(Value.ORDERS_ACCEPTED) >= 1)
    return target


def test_the_executor_stops_cancels_answers_and_trades_again_when_resumed(rig: Rig) -> None:
    rig.start()
    target = resting(rig)
    held = kill(rig, "--no-cancel")
    assert (held["latched"], held["reason"], held["cancelled_by"]) == (True, "hold", None)
    stopped_late(rig, held)
    late = rig.push()
    rig.until(lambda: (late, RefusalCode.KILLED) in rig.reported(ReportKind.REFUSED))
    assert rig.reported(ReportKind.CANCELED) == []

    refused = overround(rig, "resume")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "--arm" in refused.stderr
    assert overround(rig, "resume", "--arm").stdout.endswith(": resumed after hold\n")
    assert kill(rig, "--no-cancel")["reason"] == "hold"
    report = kill(rig)  # a hold gives way: this one also cancels
    assert (report["latched"], report["reason"]) == (True, "operator")
    assert report["cancelled_by"] in ("executor", "command")  # a busy machine may need over 1 s
    rig.until(lambda: rig.reported(ReportKind.CANCELED) == [(target, 0)])
    assert kill(rig)["latched"] is False

    assert overround(rig, "resume", "--arm").returncode == 0
    sent = rig.count(Value.ORDERS_SENT)
    rig.push()
    rig.until(lambda: rig.count(Value.ORDERS_SENT) == sent + 1)
    assert rig.stop() == 0


def test_a_stopped_executor_is_not_waited_for_and_sends_nothing_when_it_goes_on(rig: Rig) -> None:
    rig.start()
    target = resting(rig)
    assert rig.child is not None
    rig.child.send_signal(signal.SIGSTOP)
    waiting = rig.push()
    nobody = kill(rig, key=False, status=1)
    assert nobody["latched"] is True
    assert KEY_VARIABLE in nobody["error"]
    report = kill(rig)
    assert (report["cancelled_by"], report["cancelled_orders"]) == ("command", 1)
    assert report["stopped_ms"] is None
    rig.child.send_signal(signal.SIGCONT)
    rig.until(lambda: (waiting, RefusalCode.KILLED) in rig.reported(ReportKind.REFUSED))
    rig.until(lambda: rig.reported(ReportKind.CANCELED) == [(target, 0)])
    assert rig.count(Value.ORDERS_SENT) == 1
    assert rig.stop() == 0


def test_a_slow_venue_is_asked_again_by_the_command(rig: Rig) -> None:
    rig.start()
    resting(rig)
    rig.venue.control("faults", path="/cancel-all", method="DELETE", before_ms=8_000, count=1)
    report = kill(rig)
    assert report["cancelled_by"] == "command" or stopped_late(rig, report)
    latch = KillLatch(rig.instance.segment("kill"))
    rig.until(lambda: rig.count(Value.ORDERS_CANCELED) == 1 and latch.cancelled)
    assert rig.stop() == 0


def test_a_dead_executor_is_replaced_by_the_command_and_its_successor_obeys(rig: Rig) -> None:
    rig.start()
    resting(rig)
    rig.kill()
    unknown = kill(rig, status=1)  # nobody is left to tell where its settings are
    assert "--config" in unknown["error"]
    file = rig.folder / "instance.toml"
    venue = rig.settings.venue
    file.write_text(
        f'mode = "sim"\n[venue]\nrest_url = "{venue.rest_url}"\n'
        f'[account]\nprivate_key_env = "{KEY_VARIABLE}"\n'
    )
    rig.venue.control("faults", switch="cancel-missed", value=1)  # it leaves the one order alive
    report = kill(rig, "--config", str(file))
    assert (report["cancelled_by"], report["cancelled_orders"]) == ("command", 1)
    rig.start()  # the next executor obeys the latch as well
    late = rig.push()
    rig.until(lambda: (late, RefusalCode.KILLED) in rig.reported(ReportKind.REFUSED))
    assert rig.stop() == 0


def test_beats_are_counted_and_refusals_are_shown_by_code(tmp_path: Path) -> None:
    rig = Rig(tmp_path, execute=Execute(heartbeat_interval_ms=100))
    try:
        rig.venue.control("faults", switch="heartbeat-wrong", value=2)
        rig.start()
        rig.until(lambda: rig.count(Value.HEARTBEATS) >= 3)
        far = rig.push(price_ticks=10)  # a sale or purchase off every tick
        rig.until(lambda: (far, RefusalCode.TICK) in rig.reported(ReportKind.REFUSED))
        done = overround(rig, "stat", "--json")
        assert json.loads(done.stdout)["refused_by_code"] == {"tick": 1}
        assert "refused by code: tick 1" in overround(rig, "stat").stdout
        assert rig.count(Value.HEARTBEAT_LAPSES) == 0
        assert rig.stop() == 0
    finally:
        rig.close()


def test_without_any_instance_it_says_what_to_do(tmp_path: Path) -> None:
    for words in (["kill"], ["resume", "--arm"]):
        done = subprocess.run(
            [sys.executable, "-m", "overround.cli.main", *words, "--instance", "nobody-here"],
            capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert "no instance is running" in done.stderr
