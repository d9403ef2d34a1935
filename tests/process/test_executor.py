"""A real executor against the real exchange: orders, faults, cancels, stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.audit import audit
from oracle.executor_rig import SHARE, Rig
from overround.clock import monotonic_ns
from overround.config.schema import Execute, Mode, Risk
from overround.decide.risk import RefusalCode
from overround.execute.process import JOURNAL_FOLDER, LEDGER_FILE
from overround.layout.account import AccountKind
from overround.layout.report import ReportKind
from overround.ledger.export import rebuild
from overround.observe.metrics import Value
from overround.shm.kill import KillLatch, KillReason
from overround.shm.slots import Slots

HALF = 6
"""A market of the exchange whose price is near one half."""


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def assert_clean(rig: Rig) -> None:
    found = audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address)
    assert found.clean, found


def settled(rig: Rig, fills: int) -> None:
    rig.until(lambda: rig.count(Value.FILLS_SETTLED) >= fills)


def summary(rig: Rig):  # type: ignore[no-untyped-def]
    row = Slots(rig.instance.segment("account-0")).load(0)
    assert row is not None
    return row


def test_an_intent_becomes_a_settled_position_that_both_sides_agree_on(rig: Rig) -> None:
    rig.start()
    sequence = rig.push(market=HALF)
    plan = rig.push_plan([5, 6, 7], price_ticks=0)  # off every tick: refused whole
    settled(rig, 1)
    rig.until(lambda: len(rig.reported(ReportKind.REFUSED)) == 3)
    told = {one for one, _ in rig.reported(ReportKind.REFUSED)}
    assert told == set(plan)
    for kind in (ReportKind.SENT, ReportKind.ACCEPTED, ReportKind.FILL, ReportKind.SETTLED):
        assert rig.reported(kind) == [(sequence, 0)]
    rig.until(lambda: summary(rig)["kind"] == AccountKind.SUMMARY)
    assert rig.stop() == 0
    lines = [json.loads(one) for one in (rig.folder / LEDGER_FILE).read_text().splitlines()]
    assert [one["kind"] for one in lines] == ["summary", "position", "fill"]
    assert lines[0]["cash_micro"] == int(summary(rig)["cash_micro"])
    assert rebuild(rig.folder / JOURNAL_FOLDER).view().pnl_micro == lines[0]["pnl_micro"]
    assert_clean(rig)


def test_a_complete_set_bought_as_one_plan_is_one_request(rig: Rig) -> None:
    rig.start()
    no_prices = {market: 10_000 - rig.top(market)[0] for market in range(5)}
    first = rig.producer.next_sequence
    for leg, (market, price) in enumerate(no_prices.items()):
        rig.push(
            plan=first, leg=leg, legs=5, market=market, outcome=1, price_ticks=price,
            size_lots=100 * SHARE,
        )  # fmt: skip
    rig.until(lambda: rig.count(Value.ORDERS_SENT) == 5)
    rig.until(lambda: rig.count(Value.ORDERS_ACCEPTED) + rig.count(Value.ORDERS_REJECTED) == 5)
    rig.wait_settled()
    assert rig.stop() == 0
    assert_clean(rig)


def test_an_answer_lost_after_acceptance_is_resolved_by_id(rig: Rig) -> None:
    rig.start()
    rig.venue.control("faults", path="/order", method="POST", lose=True, count=1)
    rig.push(market=HALF)
    settled(rig, 1)
    rig.until(lambda: rig.count(Value.ORDERS_UNKNOWN) == 1)
    rig.wait_settled()
    assert rig.stop() == 0
    assert_clean(rig)
    assert rig.count(Value.FILLS) == 1


def test_an_answer_later_than_the_deadline_never_doubles_the_order(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.settings = rig.settings.model_copy(
        update={"venue": rig.settings.venue.model_copy(update={"request_timeout_ms": 200})}
    )
    rig.write_settings()
    try:
        rig.start()
        rig.venue.control("faults", path="/order", method="POST", before_ms=600, count=1)
        rig.push(market=HALF, expires_ns=monotonic_ns() + 10_000_000_000)
        settled(rig, 1)
        assert rig.count(Value.ORDERS_UNKNOWN) >= 1
        rig.wait_settled()
        assert rig.stop() == 0
        assert_clean(rig)
    finally:
        rig.close()


@pytest.mark.parametrize(("status", "outcome"), [(425, "rejected"), (500, "unknown")])
def test_what_the_venue_answers_in_trouble_is_told_apart(
    rig: Rig, status: int, outcome: str
) -> None:
    rig.start()
    rig.venue.control("faults", path="/order", method="POST", status=status, count=1)
    rig.push_rest()
    if outcome == "rejected":
        rig.until(lambda: rig.count(Value.ORDERS_REJECTED) == 1)
        assert rig.count(Value.ORDERS_UNKNOWN) == 0
    else:  # still wanted: asked for, then repeated byte for byte
        rig.until(lambda: rig.count(Value.ORDERS_ACCEPTED) == 1)
        assert rig.count(Value.ORDERS_RESENT) == 1
    assert rig.stop() == 0
    assert_clean(rig)


def test_a_failed_trade_leaves_neither_cash_nor_shares_changed(rig: Rig) -> None:
    rig.start()
    rig.venue.control("fail-trades", count=1)
    rig.push(market=HALF)
    rig.until(lambda: rig.count(Value.FILLS_FAILED) == 1)
    assert rig.stop() == 0
    assert_clean(rig)
    view = rebuild(rig.folder / JOURNAL_FOLDER).view()
    assert (view.pnl_micro, view.fees_micro, view.pending_fills) == (0, 0, 0)


def test_trades_are_found_without_the_user_channel(rig: Rig) -> None:
    rig.venue.control("silent", channel="user", on=True)
    rig.start()
    rig.push(market=HALF)
    settled(rig, 1)
    assert rig.stop() == 0
    assert_clean(rig)


def test_a_lost_user_channel_is_opened_again_and_its_gap_filled(rig: Rig) -> None:
    rig.start()
    rig.until(lambda: rig.venue.get("/sim/state")["sockets"]["user"] >= 1)
    rig.venue.control("close", channel="user")
    rig.push(market=HALF)
    rig.until(lambda: rig.count(Value.USER_RECONNECTS) >= 1)
    settled(rig, 1)
    rig.until(lambda: rig.venue.get("/sim/state")["sockets"]["user"] >= 1)
    assert rig.stop() == 0
    assert_clean(rig)


def test_frames_of_garbage_on_the_user_channel_are_counted(rig: Rig) -> None:
    rig.start()
    rig.until(lambda: rig.venue.get("/sim/state")["sockets"]["user"] >= 1)
    for text in ('{"event_type":"trade"}', "{", '[1,{"event_type":"moon"}]'):
        rig.venue.control("frame", channel="user", text=text)
    rig.until(lambda: rig.count(Value.USER_MALFORMED) >= 4)
    rig.push(market=HALF)
    settled(rig, 1)
    assert rig.stop() == 0


def test_a_stop_cancels_what_rests(rig: Rig) -> None:
    rig.start()
    for _ in range(3):
        rig.push_rest()
    rig.until(lambda: rig.count(Value.ORDERS_ACCEPTED) == 3)
    assert rig.stop() == 0
    assert rig.count(Value.ORDERS_CANCELED) == 3
    assert_clean(rig)


def test_a_stop_cancels_what_was_still_on_its_way(rig: Rig) -> None:
    rig.start()
    rig.venue.control("faults", path="/order", method="POST", before_ms=600, count=1)
    rig.push_rest(expires_ns=monotonic_ns() + 60_000_000_000)
    rig.until(lambda: rig.count(Value.ORDERS_SENT) == 1)
    assert rig.stop() == 0  # the cancel overtakes the order
    assert rig.count(Value.ORDERS_CANCELED) == 1
    assert_clean(rig)


def test_a_strategys_cancel_reaches_the_venue(rig: Rig) -> None:
    rig.start()
    target = rig.push_rest()
    rig.until(lambda: rig.count(Value.ORDERS_ACCEPTED) == 1)
    rig.push(flags=2, target_sequence=target, expires_ns=0)
    rig.until(lambda: rig.reported(ReportKind.CANCELED) == [(target, 0)])
    assert rig.stop() == 0
    assert_clean(rig)


def test_a_cancel_that_overtakes_its_order_or_fails_waits_for_no_comparison(tmp_path: Path) -> None:
    rig = Rig(tmp_path, execute=Execute(reconcile_interval_ms=3_600_000))
    try:
        rig.start()
        rig.until(lambda: rig.count(Value.USER_TRUSTED) == 1)
        rig.venue.control("faults", path="/order", method="POST", before_ms=500, count=1)
        early = rig.push_rest()
        rig.until(lambda: rig.count(Value.ORDERS_SENT) == 1)
        rig.push(flags=2, target_sequence=early, expires_ns=0)
        rig.until(lambda: rig.reported(ReportKind.CANCELED) == [(early, 0)])

        rig.venue.control("faults", path="/orders", method="DELETE", status=500, count=3)
        failing = rig.push_rest()
        rig.until(lambda: rig.count(Value.ORDERS_ACCEPTED) == 2)
        rig.push(flags=2, target_sequence=failing, expires_ns=0)
        rig.until(lambda: (failing, 0) in rig.reported(ReportKind.CANCELED))
        assert rig.stop() == 0
        assert_clean(rig)
    finally:
        rig.close()


def test_the_kill_latch_cancels_everything_and_lets_nothing_through(rig: Rig) -> None:
    rig.start()
    rig.push_rest()
    rig.until(lambda: rig.count(Value.ORDERS_ACCEPTED) == 1)
    KillLatch(rig.instance.segment("kill")).set(KillReason.OPERATOR, monotonic_ns())
    rig.until(lambda: rig.count(Value.ORDERS_CANCELED) == 1)
    late = rig.push(market=HALF)
    rig.until(lambda: (late, RefusalCode.KILLED) in rig.reported(ReportKind.REFUSED))
    assert rig.count(Value.ORDERS_SENT) == 1
    assert rig.stop() == 0
    assert_clean(rig)


def test_no_order_on_a_dead_ingress_book_or_an_untrusted_one(rig: Rig) -> None:
    rig.start()
    rig.publish_books(trusted=False)
    untrusted = rig.push(market=HALF)
    refused = (untrusted, RefusalCode.BOOK_UNTRUSTED)
    rig.until(lambda: refused in rig.reported(ReportKind.REFUSED))
    rig.publish_books()
    rig.beating = False
    lease_ns = rig.settings.supervise.trust_lease_ms * 1_000_000
    rig.until(lambda: monotonic_ns() - rig.board_segment.heartbeat_ns > lease_ns)
    dead = rig.push(market=HALF)
    rig.until(lambda: (dead, RefusalCode.BOOK_STALE) in rig.reported(ReportKind.REFUSED))
    rig.beating = True
    before = rig.board_segment.epoch
    rig.board_segment.take_over()  # a new ingress
    rig.until(lambda: rig.board_segment.usable(monotonic_ns(), lease_ns))
    replaced = rig.push(market=HALF, ingress_epoch=before)
    rig.until(lambda: (replaced, RefusalCode.BOOK_REPLACED) in rig.reported(ReportKind.REFUSED))
    assert rig.count(Value.ORDERS_SENT) == 0
    assert rig.stop() == 0


def test_the_executor_starts_before_the_venue_answers(rig: Rig) -> None:
    rig.venue.control("faults", path="/auth", status=503, count=3)
    rig.venue.control("faults", path="/data/orders", status=500, count=2)
    rig.start()
    rig.push(market=HALF)
    settled(rig, 1)
    assert rig.stop() == 0
    assert_clean(rig)


def test_shadow_sends_nothing_and_needs_no_venue(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mode=Mode.SHADOW)
    try:
        rig.start()
        rig.push(market=HALF)
        rig.until(lambda: rig.reported(ReportKind.REFUSED) == [(0, RefusalCode.SHADOW)])
        assert rig.stop() == 0
        assert not [line for line in rig.venue.log() if line["event"] != "deposit"]
    finally:
        rig.close()


def test_live_without_arming_refuses_every_order(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mode=Mode.LIVE)
    try:
        rig.start()
        rig.push(market=HALF)
        rig.until(lambda: rig.reported(ReportKind.REFUSED) == [(0, RefusalCode.MODE)])
        assert rig.stop() == 0
    finally:
        rig.close()


def test_a_loss_beyond_the_limit_sets_the_kill_latch_for_everybody(tmp_path: Path) -> None:
    rig = Rig(tmp_path, risk=Risk(loss_max_micro=SHARE, same_in_flight_max=2))
    try:
        rig.start()
        rig.push(market=HALF)
        settled(rig, 1)
        rig.push(market=HALF)
        latch = KillLatch(rig.instance.segment("kill"))
        rig.until(latch.is_set)
        assert latch.reason == KillReason.LOSS_LIMIT
        assert rig.stop() == 0
    finally:
        rig.close()


def test_no_secret_is_in_log_journal_or_ledger(rig: Rig) -> None:
    rig.start()
    rig.push(market=HALF)
    settled(rig, 1)
    assert rig.stop() == 0
    secret = rig.key.removeprefix("0x").encode()
    for path in rig.folder.rglob("*"):
        if path.is_file() and not path.name.startswith("exchange"):
            data = path.read_bytes()
            assert secret not in data, path
            assert bytes.fromhex(secret.decode()) not in data, path
            assert b"POLY_PASSPHRASE" not in data, path
            assert b'"secret"' not in data, path


def test_every_sync_policy_trades(tmp_path: Path) -> None:
    execute = Execute(journal_sync="record", unknown_quiet_ms=300, reconcile_interval_ms=500)
    rig = Rig(tmp_path, execute=execute)
    try:
        rig.start()
        rig.push(market=HALF)
        settled(rig, 1)
        assert rig.stop() == 0
        assert_clean(rig)
    finally:
        rig.close()
