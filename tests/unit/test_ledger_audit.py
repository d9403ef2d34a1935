"""``overround audit``: what it answers, in which shapes, and with which exit status."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from oracle import postgres
from oracle.ledger_history import write_history
from overround import clock
from overround.cli.main import app
from overround.errors import ConfigError, HostError, OverroundError
from overround.ledger.database import URL_VARIABLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    write_history(tmp_path / "journal", seed=3, orders=40)
    run(tmp_path, "--rebuild", "--limit", "1")
    return tmp_path


def run(folder: Path, *options: str) -> Result:
    found = CliRunner().invoke(app, ["audit", "--run-dir", str(folder), *options])
    if isinstance(found.exception, OverroundError):
        raise found.exception
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def trails(folder: Path, *options: str) -> list[dict[str, Any]]:
    return json.loads(run(folder, "--json", *options).stdout)  # type: ignore[no-any-return]


def test_every_intent_has_its_trail_to_the_end(folder: Path):
    found = trails(folder)
    assert len(found) == 40
    for trail in found:
        names = [event["name"] for event in trail["events"]]
        assert names[0] == "INTENT"
        assert {"DONE", "REJECT"} & set(names)
        assert all(event["latency_ns"] >= 0 for event in trail["events"][1:])
    filled = [trail for trail in found if trail["fills"]]
    assert {fill["state"] for trail in filled for fill in trail["fills"]} == {"CONFIRMED", "FAILED"}
    refused = next(trail for trail in found if trail["state"] == "refused")
    assert (refused["reason_name"], refused["order"]) == ("DUPLICATE", None)
    rejected = next(trail for trail in found if trail["state"] == "rejected")
    assert rejected["events"][-1]["detail"]["reason_name"] == "MIN_SIZE"


def test_one_order_one_intent_a_market_a_kind_a_time(folder: Path):
    every = trails(folder)
    order_id = next(one["order_id"] for one in every if one["order_id"])
    (by_order,) = trails(folder, "--order", order_id)
    (by_intent,) = trails(folder, "--intent", by_order["intent"])
    assert by_order == by_intent
    condition, token = by_order["condition_id"], by_order["token"]
    assert [one for one in every if one["condition_id"] == condition] == trails(
        folder, "--market", condition
    )
    assert [one for one in every if one["token"] == token] == trails(folder, "--market", token)
    failed = trails(folder, "--kind", "failed")
    assert failed
    assert all("FAILED" in [event["name"] for event in one["events"]] for one in failed)
    assert trails(folder, "--limit", "3") == every[-3:]
    assert trails(folder, "--since", "1h") == every
    assert trails(folder, "--since", "2100-01-01T00:00:00") == []


def test_people_get_lines_with_latencies_and_reasons(folder: Path):
    shown = run(folder, "--kind", "REJECT", "--limit", "1").stdout
    assert "reason_name=MIN_SIZE  text=not enough balance" in shown
    assert "SIGNED" in shown
    assert " us  " in shown
    assert run(folder, "--order", "0xno").stdout == ""


def test_tables_hold_every_record(folder: Path, tmp_path: Path):
    rows = list(csv.DictReader(io.StringIO(run(folder, "--csv").stdout)))
    last = int(rows[-1]["sequence"])
    assert {int(row["sequence"]) for row in rows} == set(range(1, last + 1))
    for name in ("out.csv", "out.jsonl"):
        run(folder, "--export", str(tmp_path / name))
    assert list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines())) == rows
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [str(line["sequence"]) for line in lines] == [row["sequence"] for row in rows]
    starts = run(folder, "--csv", "--kind", "START").stdout
    assert len(starts.splitlines()) == 2, "records that speak of no intent are asked by kind"
    with pytest.raises(ConfigError, match=r"ends in \.csv"):
        run(folder, "--export", str(tmp_path / "out.xls"))


def test_parquet_is_written_where_pyarrow_is(folder: Path, tmp_path: Path):
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        with pytest.raises(HostError, match="needs pyarrow"):
            run(folder, "--export", str(tmp_path / "out.parquet"))
        return
    run(folder, "--export", str(tmp_path / "out.parquet"))
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows > 40


def test_check_is_1_on_any_difference_and_rebuild_mends_it(folder: Path):
    assert run(folder, "--check").exit_code == 0
    assert json.loads(run(folder, "--check", "--json").stdout)["ok"]
    with sqlite3.connect(folder / "ledger.db") as ledger:
        ledger.execute("UPDATE fills SET fee_micro = fee_micro + 1 WHERE rowid = 1")
    found = run(folder, "--check")
    assert found.exit_code == 1
    assert "fee_micro is" in found.stdout
    assert not json.loads(run(folder, "--check", "--json").stdout)["ok"]
    assert run(folder, "--rebuild", "--check").exit_code == 0


def test_without_a_ledger_the_journal_answers_alone(folder: Path):
    every = trails(folder)
    (folder / "ledger.db").unlink()
    with pytest.raises(HostError, match="try --journal"):
        run(folder)
    assert trails(folder, "--journal") == every
    assert not (folder / "ledger.db").exists()


def test_a_ledger_is_read_without_its_journal(folder: Path, tmp_path: Path):
    every = trails(folder)
    (folder / "journal").rename(folder / "gone")
    asked = ["audit", "--json", "--database", f"sqlite:///{folder}/ledger.db"]
    found = CliRunner().invoke(app, [*asked, "--instance", folder.name])
    assert json.loads(found.stdout) == every
    assert isinstance(CliRunner().invoke(app, [*asked, "--instance", "x"]).exception, HostError)


def test_postgresql_answers_the_same(folder: Path):
    reason = postgres.missing()
    if reason:
        pytest.skip(reason)
    with postgres.cluster() as url:
        asked = ("--database", url)
        assert run(folder, *asked, "--rebuild", "--check").exit_code == 0
        assert trails(folder, *asked) == trails(folder)
        rows = run(folder, *asked, "--csv").stdout
    assert rows == run(folder, "--csv").stdout
    with pytest.raises(HostError, match="cannot be read"):
        run(folder, *asked)


def test_what_cannot_be_is_one_line(folder: Path, tmp_path: Path):
    with pytest.raises(HostError, match="there is no journal in"):
        run(tmp_path / "nowhere", "--rebuild")
    with pytest.raises(ConfigError, match="--since"):
        run(folder, "--since", "yesterday")
    (folder / "ledger.db").write_bytes(b"no database at all, but long enough to be one" * 99)
    for suffix in ("-wal", "-shm"):
        Path(f"{folder}/ledger.db{suffix}").unlink(missing_ok=True)
    with pytest.raises(HostError, match="cannot be read"):
        run(folder)
    with pytest.raises(HostError, match="cannot be written"):
        run(folder, "--rebuild")


def test_ages_are_counted_back_from_now():
    from overround.cli.audit import _since

    now_ns = clock.epoch_ns()
    assert abs(_since("10m") - (now_ns - 600 * clock.NS_PER_S)) < 60 * clock.NS_PER_S
    assert _since("1970-01-01T00:00:01+00:00") == clock.NS_PER_S
