"""The same executor over each client: ours, and the venue's own of both order versions."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.audit import audit
from oracle.executor_rig import Rig
from overround.config.schema import Execute
from overround.errors import ConfigError
from overround.execute import official
from overround.execute.process import JOURNAL_FOLDER
from overround.layout.report import ReportKind
from overround.observe.metrics import Value

HALF = 6


@pytest.fixture(name="rig", params=["native", "py-clob-client-v2", "py-clob-client"])
def fixture_rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    name = request.param
    if name != "native":
        pytest.importorskip(official.MODULES[name], reason=f"{name} is not installed")
    # The plan's legs rest for ever: its deadline is what ends it.
    execute = Execute(
        unknown_quiet_ms=300, reconcile_interval_ms=500, plan_deadline_ms=2_000, client=name
    )
    first = ("--version", "1") if name == "py-clob-client" else ()
    rig = Rig(tmp_path, execute=execute, sim_options=first)
    yield rig
    rig.close()


def test_place_fill_batch_cancel_lose_and_stop(rig: Rig) -> None:
    rig.start()
    rig.push(market=HALF)
    rig.until(lambda: rig.count(Value.FILLS_SETTLED) >= 1)
    resting = rig.push_rest()
    rig.until(lambda: len(rig.reported(ReportKind.ACCEPTED)) == 2)
    rig.push(flags=2, target_sequence=resting, expires_ns=0)
    rig.until(lambda: rig.reported(ReportKind.CANCELED) == [(resting, 0)])
    rig.push_plan([5, 6, 7], order_type=0, price_ticks=4_000, size_lots=5_000_000)
    rig.until(lambda: rig.count(Value.ORDERS_SENT) >= 5)
    rig.venue.control("faults", path="/order", method="POST", lose=True, count=1)
    rig.push(market=HALF)
    rig.until(lambda: rig.count(Value.ORDERS_UNKNOWN) == 1)
    rig.wait_settled()
    rig.push_rest()
    assert rig.stop() == 0
    found = audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address)
    assert found.clean, found


def test_a_client_that_is_not_installed_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str, *_: Any) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r'client = "py-clob-client-v2" is not installed'):
        official.OfficialWire(
            "py-clob-client-v2", "http://127.0.0.1:9", "11" * 32, chain_id=137,
            signature_type=0, funder="", threads=3, credentials=lambda: None, clock=lambda: 0,
        )  # fmt: skip
