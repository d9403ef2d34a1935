"""The executor's process code run inside the test, so that it can be looked into while it runs."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from oracle.audit import audit
from oracle.executor_rig import KEY_VARIABLE, SHARE, Rig
from overround.clock import monotonic_ns
from overround.decide.risk import RefusalCode
from overround.errors import ConfigError, HostError
from overround.execute import wiring
from overround.execute.account import obtain_credentials
from overround.execute.client import NoAnswer, NotSent, VenueClient
from overround.execute.process import JOURNAL_FOLDER, LEDGER_FILE, ExecutorProcess
from overround.layout.report import ReportKind
from overround.ledger.journal import Journal
from overround.observe.metrics import Value
from overround.shm.kill import KillLatch, KillReason
from overround.shm.member import READY, Member
from overround.venues.polymarket import rest
from overround.venues.polymarket.auth import Signer

PATIENCE_S = 30


class Inside:
    """A rig whose executor is a task of this loop."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.member: Member | None = None
        self.journal: Journal | None = None
        self.task: asyncio.Task[None] | None = None
        self.replayed = 0
        """Records that the last start read."""

    async def start(self, *, wait: bool = True) -> None:
        rig = self.rig
        rig.meters.segment.set_state(0)
        self.member = Member(rig.instance.roster, "executor", rig.folder)
        folder = rig.folder / JOURNAL_FOLDER
        self.journal = wiring.open_journal(rig.settings, folder, lambda: None)
        process = ExecutorProcess(self.member, rig.settings, self.journal)
        self.replayed = process._store.replayed
        self.task = asyncio.create_task(process.main())
        if wait:
            await self.until(lambda: rig.meters.segment.state == READY)

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline_ns = monotonic_ns() + PATIENCE_S * 1_000_000_000
        while not condition():
            assert self.task is not None
            if self.task.done():
                self.task.result()
                raise AssertionError("the executor ended")
            assert monotonic_ns() < deadline_ns
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        assert self.member is not None
        assert self.task is not None
        assert self.journal is not None
        self.member.stop()
        try:
            await self.task
        finally:
            self.journal.close()
            self.member.close()
            self.task = None

    async def control(self, name: str, **body: object) -> None:
        await asyncio.to_thread(self.rig.venue.control, name, **body)


@pytest.fixture(name="inside")
async def fixture_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    rig = Rig(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, rig.key)
    inside = Inside(rig)
    yield inside
    if inside.task is not None:
        await inside.stop()
    gc.enable()
    gc.unfreeze()
    rig.close()


async def rest_until_accepted(inside: Inside) -> int:
    """Push resting orders until one is not held back; returns its sequence."""
    rig = inside.rig
    while True:
        pushed = rig.push_rest(market=5, price_ticks=rig.top(5)[0] - 200)
        await inside.until(
            lambda pushed=pushed: (
                bool(refusals(rig, pushed)) or (pushed, 0) in rig.reported(ReportKind.ACCEPTED)
            )
        )
        if not refusals(rig, pushed):
            return pushed
        assert refusals(rig, pushed) == [RefusalCode.PAUSED]


def refusals(rig: Rig, pushed: int) -> list[int]:
    """Return the reasons for which an intent was refused."""
    told = rig.reported(ReportKind.REFUSED)
    return [reason for sequence, reason in told if sequence == pushed]


async def test_a_day_with_every_kind_of_trouble_ends_with_equal_books(inside: Inside) -> None:
    rig = inside.rig
    await inside.start()
    rig.push()
    await inside.until(lambda: rig.count(Value.FILLS_SETTLED) == 1)
    await inside.control("faults", path="/order", method="POST", lose=True, count=1)
    rig.push()
    await inside.until(lambda: rig.count(Value.FILLS_SETTLED) == 2)
    await inside.control("faults", path="/order", method="POST", status=425, count=1)
    rig.push_rest()
    await inside.until(lambda: rig.count(Value.ORDERS_REJECTED) == 1)
    await inside.control("faults", path="/data", status=500, count=3)
    await inside.control("frame", channel="user", text='{"event_type":"moon"}')
    await inside.control("close", channel="user")
    await inside.until(lambda: rig.count(Value.USER_RECONNECTS) >= 1)
    first = await rest_until_accepted(inside)  # orders pause after a 425
    rig.push(flags=2, target_sequence=first)
    await inside.until(lambda: rig.reported(ReportKind.CANCELED) == [(first, 0)])
    rig.push_plan([5, 6, 7], order_type=0, price_ticks=4_000, size_lots=5 * SHARE)
    await inside.until(lambda: len(rig.reported(ReportKind.SENT)) == 7)
    rig.push_plan([5, 6], price_ticks=4_050)
    await inside.until(lambda: (rig.producer.next_sequence - 1, RefusalCode.PLAN)
                       in rig.reported(ReportKind.REFUSED))  # fmt: skip
    await inside.stop()
    found = audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address)
    assert found.clean, found
    summary = json.loads((rig.folder / LEDGER_FILE).read_text().splitlines()[0])
    assert summary["cash_micro"] == found.exchange.cash_micro


async def test_a_second_life_goes_on_where_the_first_one_ended(inside: Inside) -> None:
    rig = inside.rig
    await inside.start()
    rig.push()
    await inside.until(lambda: rig.count(Value.FILLS_SETTLED) == 1)
    sent = rig.count(Value.ORDERS_SENT)
    await inside.stop()
    await inside.start()
    await inside.until(lambda: rig.count(Value.ORDERS_SENT) == sent)
    KillLatch(rig.instance.segment("kill")).set(KillReason.OPERATOR, monotonic_ns())
    rig.push()
    await inside.until(lambda: len(rig.reported(ReportKind.REFUSED)) == 1)
    await inside.stop()
    assert audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address).clean


async def test_lives_that_begin_with_checkpoints_and_keep_no_ended_order_have_equal_books(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "CHECKPOINT_RECORDS", 1)
    rig = inside.rig
    few = rig.settings.execute.model_copy(update={"done_orders_max": 0})
    rig.settings = rig.settings.model_copy(update={"execute": few})
    written = []
    for life in range(1, 4):
        await inside.start()
        assert inside.replayed == (written[-1] - sum(written[-2:-1]) if written else 0)
        assert inside.journal is not None
        rig.push()
        await inside.until(lambda life=life: rig.count(Value.FILLS_SETTLED) == life)
        await inside.stop()
        written.append(inside.journal.next_sequence - 1)
    assert len(list((rig.folder / JOURNAL_FOLDER).glob("checkpoint-*.ovc"))) == 2
    found = audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address)
    assert found.clean, found
    lines = [json.loads(one) for one in (rig.folder / LEDGER_FILE).read_text().splitlines()]
    assert lines[0]["cash_micro"] == found.exchange.cash_micro
    assert sum(line["kind"] == "fill" for line in lines) == 3


async def test_at_the_loss_limit_what_rests_is_cancelled_without_a_further_intent(
    inside: Inside,
) -> None:
    rig = inside.rig
    risk = rig.settings.risk.model_copy(update={"loss_max_micro": 1_000_000})
    rig.settings = rig.settings.model_copy(update={"risk": risk})
    await inside.start()
    resting = rig.push_rest(market=5, price_ticks=rig.top(5)[0] - 200)
    await inside.until(lambda: rig.count(Value.ORDERS_ACCEPTED) == 1)
    rig.push()  # a lone leg: at worst its whole cost is lost
    latch = KillLatch(rig.instance.segment("kill"))
    await inside.until(lambda: latch.reason == KillReason.LOSS_LIMIT)
    await inside.until(lambda: rig.reported(ReportKind.CANCELED) == [(resting, 0)])
    await inside.stop()


async def test_it_can_be_stopped_while_the_venue_does_not_answer(inside: Inside) -> None:
    await inside.control("faults", path="/auth", status=503, count=1_000)
    await inside.start(wait=False)
    await asyncio.sleep(0)
    await inside.stop()
    assert (inside.rig.folder / LEDGER_FILE).exists()


async def test_a_full_disk_stops_the_executor_before_the_order_is_sent(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise HostError("journal: no room")

    rig = inside.rig
    await inside.start()
    assert inside.journal is not None
    monkeypatch.setattr(inside.journal, "append", full)
    rig.push()
    with pytest.raises(HostError, match="no room"):
        await inside.until(lambda: False)
    with pytest.raises(HostError, match="no room"):
        await inside.stop()
    assert not [line for line in rig.venue.log() if line["event"] == "accepted"]


async def test_without_a_key_the_start_is_refused_in_one_line(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        await inside.start()
    assert inside.journal is not None
    inside.journal.close()
    assert inside.member is not None
    inside.member.close()


async def test_a_failure_says_whether_bytes_may_have_left(inside: Inside) -> None:
    rig = inside.rig
    signer = Signer(rig.key)

    def venue_at(url: str) -> VenueClient:
        return VenueClient(url, signer, chain_id=137, timeout_ms=300, epoch_s=lambda: 1_795_345_200)

    async with venue_at(rig.venue.url) as client:
        client.credentials = await obtain_credentials(client)
        assert await obtain_credentials(client) == client.credentials
        await inside.control("faults", path="/data", before_ms=1_000, count=1)
        with pytest.raises(NoAnswer, match="/data/orders"):
            await client.call(rest.open_orders())
        await inside.control("faults", path="/v1", lose=True, count=1)
        with pytest.raises(NoAnswer, match="/v1/heartbeats"):
            await client.call(rest.heartbeat())
    async with venue_at("http://127.0.0.1:9") as client:
        with pytest.raises(NotSent, match="no connection"):
            await client.call(rest.server_time())
