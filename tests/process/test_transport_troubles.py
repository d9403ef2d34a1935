"""The client against the exchange's switches: each trouble's action, counter and line.

What none of them may do is shown in each: keep a cancel from being sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from oracle.fault_rig import SHARE
from oracle.http_server import Told, on_uvloop, until
from oracle.sim_process import SimProcess
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround import clock
from overround.config.schema import Execute
from overround.decide.risk import RefusalCode
from overround.execute.client import Kind, NoAnswer, NotSent, Response, VenueClient
from overround.execute.http.pool import Pool
from overround.execute.http.trouble import Trouble
from overround.match.types import Side
from overround.observe.metrics import Value
from overround.venues.polymarket import rest


class Trader:
    """One account, its client, and the exchange's switches."""

    def __init__(self, sim: SimProcess, number: int, client: VenueClient, told: Told) -> None:
        self.sim = sim
        self.wallet = HostileWallet(sim, number)
        self.client = client
        self.told = told
        events = sim.get("/events/keyset?limit=100")["events"]
        self.token = next(
            json.loads(market["clobTokenIds"])[0]
            for event in events
            for market in event["markets"]
            if market["conditionId"] == FAVOURITE
        )

    def turn(self, name: str, value: float = 1) -> None:
        self.sim.control("faults", switch=name, value=value)

    def shown(self, name: str) -> int:
        return int(self.sim.control("faults")["shown"].get(name, 0))

    def order(self, *, post_only: bool = False) -> rest.Request:
        """A resting BUY deep in the book."""
        body = self.wallet.body(self.token, Side.BUY, 18 * SHARE, 20 * SHARE)
        return rest.place_order(json.dumps({**body, "postOnly": post_only}).encode())

    async def place(self, *, post_only: bool = False) -> Response:
        lease = await self.client.lease(Kind.ORDER, post_only=post_only)
        return await lease.send(self.order(post_only=post_only))

    async def held(self) -> NotSent:
        """The refusal that an order meets now."""
        with pytest.raises(NotSent) as caught:
            await self.place()
        return caught.value

    async def until_placed(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    if (await self.place()).status == 200:
                        return
                except NotSent:
                    await asyncio.sleep(0.02)

    async def cancel(self) -> int:
        """Cancel everything; the status that came back."""
        return (await self.client.call(rest.cancel_all())).status

    def count(self, value: Value) -> int:
        return self.told.counts.get(value, 0)


@asynccontextmanager
async def trader(
    sim: SimProcess, number: int = 1, *, timeout_ms: int = 30_000, **settings: Any
) -> AsyncIterator[Trader]:
    told = Told()
    client = VenueClient(
        sim.url,
        HostileWallet(sim, number).signer,
        chain_id=137,
        timeout_ms=timeout_ms,
        epoch_s=clock.epoch_s,
        settings=Execute(**settings),
        news=told,
    )
    async with client:
        made = Trader(sim, number, client, told)
        client.credentials = made.wallet.credentials
        try:
            yield made
        finally:
            sim.control("faults", clear=True)
            path = "/cancel-all"
            made.wallet.send("DELETE", path, made.wallet.headers("DELETE", path))


@on_uvloop
async def test_a_restart_holds_orders_for_a_stated_time(fault_sim: SimProcess) -> None:
    async with trader(fault_sim) as t:
        t.turn("post-only-after", 0.01)
        t.turn("restart", 30)
        assert (await t.place()).status == 425
        error = await t.held()
        assert error.code is RefusalCode.PAUSED
        assert "restarting: paused for" in str(error)
        shown = t.shown("restart")
        assert await t.cancel() == 425  # it went out all the same
        assert t.shown("restart") == shown + 1
        t.turn("restart", 0)
        await t.until_placed()
        assert t.count(Value.VENUE_PAUSES) >= 1
        assert t.count(Value.ORDERS_HELD) >= 1
        assert "restarting" in t.told.codes()


@on_uvloop
async def test_too_many_requests_hold_their_kind(fault_sim: SimProcess) -> None:
    async with trader(fault_sim) as t:
        t.turn("too-many")
        assert (await t.place()).status == 429
        assert "rate limit: paused for" in str(await t.held())
        assert await t.cancel() == 200
        assert (await t.client.call(rest.open_orders())).status == 200
        await t.until_placed()


@on_uvloop
async def test_post_only_mode_lets_post_only_orders_through(fault_sim: SimProcess) -> None:
    async with trader(fault_sim) as t:
        t.turn("post-only", 60)
        assert (await t.place()).status == 503
        assert "post-only orders only" in str(await t.held())
        assert (await t.place(post_only=True)).status == 200
        assert await t.cancel() == 200
        assert t.told.codes() >= {"post-only"}


@pytest.mark.parametrize(("name", "status"), [("cancel-only", 200), ("trading-disabled", 503)])
@on_uvloop
async def test_a_venue_without_trading_holds_orders(
    fault_sim: SimProcess, name: str, status: int
) -> None:
    async with trader(fault_sim) as t:
        t.turn(name)
        assert (await t.place()).status == 503
        assert "takes no orders" in str(await t.held())
        assert await t.cancel() == status
        t.turn(name, 0)
        await t.until_placed()


@on_uvloop
async def test_failures_in_a_row_hold_orders(fault_sim: SimProcess) -> None:
    async with trader(fault_sim) as t:
        t.turn("order-timeout", 3)
        assert [(await t.place()).status for _ in range(3)] == [500] * 3
        assert "the venue fails: paused" in str(await t.held())
        assert await t.cancel() == 200
        assert t.count(Value.VENUE_TROUBLES) == 3
        await t.until_placed()


@pytest.mark.parametrize("name", ["answer-lost", "answer-torn", "request-lost"])
@on_uvloop
async def test_a_lost_connection_is_no_answer_and_is_not_repeated(
    fault_sim: SimProcess, name: str
) -> None:
    async with trader(fault_sim) as t:
        assert await t.cancel() == 200
        request = t.order()
        t.turn(name)
        with pytest.raises(NoAnswer, match="POST /order"):
            await t.client.call(request)
        listing = json.loads((await t.client.call(rest.open_orders())).body)["data"]
        assert len(listing) == (0 if name == "request-lost" else 1)
        assert t.count(Value.HTTP_NO_ANSWER) == 1
        again = await t.client.call(request)  # the caller's own decision, byte for byte
        assert (again.status, b"Duplicated" in again.body) == (
            (200, False) if name == "request-lost" else (400, True)
        )


@on_uvloop
async def test_connections_are_rotated_before_the_venue_drops_them(fault_sim: SimProcess) -> None:
    async with trader(fault_sim, connection_requests_max=5) as t:
        t.turn("close-after", 5)
        for _ in range(60):
            assert (await t.client.call(rest.open_orders())).status == 200
        assert t.count(Value.HTTP_NO_ANSWER) == 0
        assert t.count(Value.HTTP_CONNECTS) >= 12
        t.turn("close-after", 0)


@on_uvloop
async def test_cancels_pass_while_every_order_hangs(fault_sim: SimProcess) -> None:
    async with trader(fault_sim, connections=3) as t:
        t.turn("answer-slow", 1_500)
        waiting = [asyncio.create_task(t.place()) for _ in range(6)]
        await until(lambda: t.shown("answer-slow") >= 1)
        t.turn("answer-slow", 0)
        assert await t.cancel() == 200
        assert not all(task.done() for task in waiting)
        assert {(await task).status for task in waiting} == {200}


@on_uvloop
async def test_a_deadline_covers_waiting_and_answer(fault_sim: SimProcess) -> None:
    async with trader(fault_sim, timeout_ms=1_000, connections=3) as t:
        t.turn("answer-slow", 5_000)
        results = await asyncio.gather(*(t.place() for _ in range(4)), return_exceptions=True)
        assert {type(one) for one in results} == {NoAnswer, NotSent}  # under way, and waiting


@on_uvloop
async def test_a_login_refused_once_is_derived_again(fault_sim: SimProcess) -> None:
    async with trader(fault_sim) as t:
        assert (await t.place()).status == 200
        t.turn("key-refused")
        assert (await t.place()).status == 401
        assert (await t.held()).code is RefusalCode.LOGIN
        await until(lambda: not t.client.guard.stopped(Trouble.LOGIN))
        assert (await t.place()).status == 200
        assert [event for event, _ in t.told.lines if event.startswith("orders ")] == [
            "orders stopped", "orders go on",
        ]  # fmt: skip


@on_uvloop
async def test_a_revoked_key_stops_orders_and_cancels_are_still_tried(
    fault_sim: SimProcess,
) -> None:
    async with trader(fault_sim, 3) as t:
        assert (await t.place()).status == 200
        revoke = rest.Request("DELETE", "/auth/api-key", auth=rest.Auth.L2)
        assert (await t.client.call(revoke)).status == 200
        assert (await t.place()).status == 401
        await until(lambda: any(
            event == "orders stopped" for event, _ in t.told.lines
        ))  # fmt: skip
        assert (await t.held()).code is RefusalCode.LOGIN
        assert await t.cancel() == 401
        HostileWallet(fault_sim, 3)  # the wallet's owner makes the key anew
        await until(lambda: not t.client.guard.stopped(Trouble.LOGIN))
        assert (await t.place()).status == 200


@on_uvloop
async def test_a_wrong_clock_stops_orders_and_is_shown(fault_sim: SimProcess) -> None:
    async with trader(fault_sim, clock_offset_max_ms=2_000) as t:
        assert await t.client.clock.measure()
        t.turn("clock-ahead", 9_000)
        assert not await t.client.clock.measure()
        assert 7_000 < t.told.gauges[Value.CLOCK_OFFSET_MS] < 11_000
        error = await t.held()
        assert error.code is RefusalCode.CLOCK
        assert "ahead of us, more than 2000 ms" in str(error)
        assert await t.cancel() == 200
        t.turn("clock-ahead", 0)
        assert await t.client.clock.measure()
        assert (await t.place()).status == 200


@on_uvloop
async def test_orders_wait_for_their_tokens_and_cancel_all_never(fault_sim: SimProcess) -> None:
    small = {"order_tokens_per_s": 1, "order_tokens_burst": 3, "cancel_tokens_per_s": 1,
             "cancel_tokens_burst": 4, "cancel_tokens_reserve": 2}  # fmt: skip
    async with trader(fault_sim, **small) as t:
        assert isinstance(t.client.wire, Pool)
        pool = t.client.wire
        pool.start()
        await until(lambda: pool.counts["idle"] >= 4)
        leases = [t.client.try_lease(Kind.ORDER) for _ in range(3)]
        assert None not in leases
        assert t.client.try_lease(Kind.ORDER) is None
        with pytest.raises(NotSent, match="over our budget: tokens for 1") as caught:
            await t.client.lease(Kind.ORDER, until_ns=clock.monotonic_ns() + 10**8)
        assert caught.value.code is RefusalCode.BUDGET
        assert t.count(Value.ORDERS_HELD) == 1
        for lease in leases:
            assert lease is not None
            assert (await lease.send(t.order())).status == 200
        assert (await t.place()).status == 200  # when its token has come
        cancel = t.client.try_lease(Kind.CANCEL, 2)
        assert cancel is not None
        assert t.client.try_lease(Kind.CANCEL) is None  # the rest is kept
        assert (await cancel.send(rest.cancel_orders(["0x1"]))).status == 200
        for _ in range(4):
            assert await t.cancel() == 200


@on_uvloop
async def test_a_lease_at_hand_sends_in_the_same_turn(fault_sim: SimProcess) -> None:
    async with trader(fault_sim) as t:
        await t.place()
        lease = t.client.try_lease(Kind.ORDER)
        assert lease is not None
        answer = lease.send(t.order())
        assert not answer.done()
        assert (await answer).status == 200
        spare = t.client.try_lease(Kind.ORDER, 5)
        assert spare is not None
        spare.release()
        t.turn("too-many")
        await t.place()
        with pytest.raises(NotSent, match="paused"):
            t.client.try_lease(Kind.ORDER)
        assert t.client.try_lease(Kind.CANCEL) is not None
