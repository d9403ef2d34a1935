"""The executor's own ledger: there without asking, equal to the journal, without any secret."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oracle.executor_rig import KEY_VARIABLE, Rig
from overround.cli.main import app
from overround.observe.metrics import Value

HALF = 6


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def projectors(rig: Rig) -> list[Path]:
    assert rig.child is not None
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{rig.child.pid}/task").iterdir():
            pids = (task / "children").read_text().split()
            found += [Path("/proc") / pid for pid in pids]
    return [one for one in found if b"overround.ledger.child" in (one / "cmdline").read_bytes()]


def gone(process: Path) -> bool:
    try:
        return not (process / "cmdline").read_bytes()  # a zombie has none
    except OSError:
        return True


def check(rig: Rig) -> dict[str, object]:
    asked = ["audit", "--run-dir", str(rig.folder), "--check", "--json"]
    return json.loads(CliRunner().invoke(app, asked).stdout)  # type: ignore[no-any-return]


def test_the_ledger_is_the_journals_after_a_stop_and_after_a_kill(rig: Rig) -> None:
    rig.start()
    rig.push(market=HALF)
    rig.until(lambda: rig.count(Value.FILLS_SETTLED) >= 1)
    rig.until(lambda: rig.count(Value.LEDGER_RECORDS) > 0)
    (projector,) = projectors(rig)
    environment = (projector / "environ").read_bytes()
    assert KEY_VARIABLE.encode() not in environment, "the projector has no use for the key"
    assert rig.key.encode() not in environment + (projector / "cmdline").read_bytes()
    rig.push(market=HALF)
    rig.kill()
    rig.until(lambda: gone(projector), alive=False)
    assert check(rig)["ok"], "an orphan projects what is left"
    rig.start()
    rig.push(market=HALF)
    rig.until(lambda: rig.count(Value.FILLS_SETTLED) >= 2)
    rig.stop()
    found = check(rig)
    assert found["ok"], found
    assert rig.key.encode() not in (rig.folder / "ledger.db").read_bytes()
