"""The auditor of the order campaign, on journals and logs made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oracle.audit import Audit, audit
from oracle.order_campaign_rebates import DAY_MS, Schedule, rebates
from overround.ledger.journal import Journal
from overround.ledger.records import (
    Ack,
    Done,
    Fill,
    Intent,
    Reconcile,
    Record,
    Sent,
    Settled,
    Signed,
    Unknown,
    encode,
)

ME, OTHER = "0xme", "0xother"
ORDER = "0x" + "01" * 32
CASH = 1_000_000_000
NOW_MS = 1_800_000_000_000
SHARE = 1_000_000

INTENT = Intent(1, 1, 7, 7, 0, 1, 0, 0, "tok", "cond", 0, 0, 0, 0, 5_000, 10 * SHARE, 0, NOW_MS)
SIGNED = Signed(1, 1, 7, ORDER, 1, NOW_MS, 5 * SHARE, 10 * SHARE, 5 * SHARE, b"{}")
FILL = Fill(
    "t1", ORDER, "tok", "cond", 0, 0, 5_000, 10 * SHARE, 5 * SHARE, 70, False, "MATCHED", NOW_MS
)
DONE = Done(1, 1, 7, ORDER, False, 0, "")
OPENING = Reconcile(CASH, 0, 0, (), True)
PLACED: list[Record] = [OPENING, INTENT, SIGNED, Sent((ORDER,))]

DEPOSIT = {"event": "deposit", "account": ME, "cash_micro": CASH}
ACCEPTED = {
    "event": "accepted", "account": ME, "order_id": ORDER, "market": "cond", "outcome": 0,
    "token_id": "tok",
}  # fmt: skip
TRADE = {
    "event": "trade", "trade_id": "t1", "market": "cond", "token_id": "tok", "outcome": 0,
    "taker": ME, "taker_order_id": ORDER, "side": "BUY", "size_lots": 10 * SHARE,
    "cash_micro": 5 * SHARE, "fee_micro": 70, "makers": [{"account": OTHER, "form": "NORMAL",
    "order_id": "0xtheirs", "outcome": 0, "side": "SELL", "price_ticks": 5_000,
    "size_lots": 10 * SHARE, "cash_micro": 5 * SHARE}],
}  # fmt: skip
SETTLED = {"event": "settled", "trade_id": "t1", "status": "CONFIRMED"}
CANCELED = {"event": "canceled", "account": ME, "order_id": ORDER, "filled_lots": 0}


def found(folder: Path, records: list[Record], *lines: dict[str, Any]) -> Audit:
    stamp = {"epoch_ms": NOW_MS + 1}
    with Journal(
        folder, segment_bytes=2**16, sync_policy="none", epoch_ns=lambda: NOW_MS * 1_000_000
    ) as journal:
        for record in records:
            journal.append(*encode(record))
    return audit(folder, [{**stamp, **line} for line in (DEPOSIT, *lines)], ME)


FILLED: list[Record] = [
    *PLACED, Ack(ORDER, "matched"), FILL, Settled("t1", ORDER), DONE,
]  # fmt: skip


def test_a_filled_order_that_both_sides_tell_alike_is_clean(tmp_path: Path) -> None:
    result = found(tmp_path, FILLED, ACCEPTED, TRADE, SETTLED)
    assert result.clean, result
    assert result.exchange.cash_micro == CASH - 5 * SHARE - 70
    assert result.forms == {"taker NORMAL": 1}


@pytest.mark.parametrize(
    "change",
    [{"fee_micro": 71}, {"cash_micro": 5 * SHARE + 1}, {"size_lots": SHARE}, {"side": "SELL"}],
)
def test_a_trade_told_differently_is_found_and_moves_the_figure(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    result = found(tmp_path, FILLED, ACCEPTED, {**TRADE, **change}, SETTLED)
    assert result.unaccounted
    assert result.difference_micro


def test_a_trade_that_failed_must_not_be_in_the_books(tmp_path: Path) -> None:
    result = found(tmp_path, FILLED, ACCEPTED, TRADE, {**SETTLED, "status": "FAILED"})
    assert result.failed == 1
    assert result.difference_micro == 5 * SHARE + 70 + 70 + 10 * SHARE


def test_an_order_in_doubt_that_the_venue_cancelled_may_end_unacknowledged(tmp_path: Path) -> None:
    records = [*PLACED, Unknown(ORDER, "died"), DONE]
    assert found(tmp_path / "a", records, ACCEPTED, CANCELED).clean
    assert found(tmp_path / "b", records, ACCEPTED).unaccounted  # it may still trade
    assert found(tmp_path / "c", [*PLACED, DONE], ACCEPTED, CANCELED).unaccounted  # no doubt


def test_an_order_without_an_end_is_found(tmp_path: Path) -> None:
    assert found(tmp_path, [*PLACED, Ack(ORDER, "live")], ACCEPTED).unfinished


def test_bytes_before_their_record_are_found_by_the_log_and_by_the_exchanges_own_look(
    tmp_path: Path,
) -> None:
    unsent = [record for record in FILLED if not isinstance(record, Sent)]
    assert found(tmp_path / "a", unsent, ACCEPTED, TRADE, SETTLED).unjournaled
    seen = {"event": "unjournaled", "order_id": ORDER, "lacks": ["sent"]}
    mine = found(tmp_path / "b", FILLED, ACCEPTED, TRADE, SETTLED, {**seen, "account": ME})
    assert len(mine.unjournaled) == 1
    other = found(tmp_path / "c", FILLED, ACCEPTED, TRADE, SETTLED, {**seen, "account": OTHER})
    assert other.clean


def test_a_fault_counts_when_it_hit_an_order_of_the_journals(tmp_path: Path) -> None:
    hits = [
        {"event": "hit", "fault": "answer-lost", "order_ids": [ORDER, "0xtheirs"]},
        {"event": "hit", "fault": "too-many", "order_ids": ["0xtheirs"]},
    ]
    assert found(tmp_path, FILLED, ACCEPTED, TRADE, SETTLED, *hits).faults == {"answer-lost": 1}


def test_rebates_are_shared_by_what_makers_would_have_paid() -> None:
    fees = {"cond": Schedule(70_000, 200_000, 1)}
    day = NOW_MS // DAY_MS
    trade = {**TRADE, "epoch_ms": NOW_MS, "fee_micro": 17_500_000}
    assert rebates([trade, SETTLED], fees, day) == {OTHER: 3_500_000}
    assert not rebates([trade, SETTLED], fees, day + 1)
    assert not rebates([trade, {**SETTLED, "status": "FAILED"}], fees, day)
    assert not rebates([{**trade, "fee_micro": 4_000_000}, SETTLED], fees, day)  # below a dollar


def test_what_the_house_traded_is_in_the_sums_that_the_exchange_tells() -> None:
    fees = {"cond": Schedule(70_000, 200_000, 1)}
    day = NOW_MS // DAY_MS
    trade = {**TRADE, "epoch_ms": NOW_MS, "fee_micro": 17_500_000}

    def told(pool_micro: int, equivalents_micro: int) -> list[dict[str, Any]]:
        sums = {"pool_micro": pool_micro, "equivalents_micro": equivalents_micro}
        return [trade, SETTLED, {"event": "rebate_pool", "market": "cond", "day": day, **sums}]

    own = 175_000
    assert rebates(told(3_500_000, own), fees, day) == {OTHER: 3_500_000}
    # Twice as much by the house; the exchange rounds the sum, not each part.
    assert rebates(told(3_570_001, 3 * own), fees, day) == {OTHER: 1_190_000}
    assert rebates(told(3_570_005, 3 * own), fees, day) == {OTHER: 1_190_001}
    for pool_micro, equivalents_micro in ((3_500_001, own), (3_580_000, 3 * own), (0, own - 10)):
        with pytest.raises(AssertionError, match="rebate pool"):
            rebates(told(pool_micro, equivalents_micro), fees, day)
