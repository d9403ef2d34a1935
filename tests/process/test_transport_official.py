"""Every request of ours through the methods of both official clients, and how they fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from oracle.fault_rig import SHARE
from oracle.http_server import Told, on_uvloop
from oracle.sim_process import SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround import clock
from overround.execute.account import obtain_credentials
from overround.execute.client import Kind, NoAnswer, NotSent, VenueClient
from overround.execute.official import MODULES, OfficialWire
from overround.match.types import Side
from overround.observe.metrics import Value
from overround.venues.polymarket import rest
from overround.venues.polymarket.answers import (
    decode_balance,
    decode_cancel,
    decode_open_orders,
    decode_order,
    decode_order_answer,
    decode_order_answers,
    decode_time,
    decode_trades,
)

TYPE = 0


@pytest.fixture(name="package", params=["py-clob-client-v2", "py-clob-client"])
def fixture_package(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip(MODULES[name], reason=f"{name} is not installed")
    return name


@pytest.fixture(name="sim_v1", scope="module")
def fixture_sim_v1() -> Iterator[SimProcess]:
    with running("--rate", "0", "--edge-every", "0", "--version", "1") as exchange:
        yield exchange


@asynccontextmanager
async def client_of(
    package: str,
    sim: SimProcess,
    *,
    url: str = "",
    timeout_ms: int = 30_000,
    told: Told | None = None,
) -> AsyncIterator[VenueClient]:
    key = sim.ready["accounts"][2]["private_key"]
    client = VenueClient(
        url or sim.url,
        HostileWallet(sim, 2).signer,
        chain_id=137,
        timeout_ms=timeout_ms,
        epoch_s=clock.epoch_s,
        news=told,
    )
    client.wire = OfficialWire(
        package, url or sim.url, key, chain_id=137, signature_type=TYPE, funder="", threads=3,
        credentials=lambda: client.credentials, clock=clock.monotonic_ns,
    )  # fmt: skip
    async with client:
        try:
            yield client
        finally:
            sim.control("faults", clear=True)


@on_uvloop
async def test_every_request_has_its_method(package: str, fault_sim: SimProcess) -> None:
    async with client_of(package, fault_sim) as client:
        client.credentials = await obtain_credentials(client)
        call = client.call
        answer = await call(rest.server_time())
        assert abs(decode_time(answer.status, answer.body) - clock.epoch_s()) <= 2
        answer = await call(rest.balance(TYPE))
        assert decode_balance(answer.status, answer.body).balance_micro > 0
        assert (await call(rest.balance(TYPE, update=True))).status == 200
        answer = await call(rest.open_orders())
        assert decode_open_orders(answer.status, answer.body).next_cursor is None
        answer = await call(rest.trades(after_s=1))
        assert decode_trades(answer.status, answer.body).items == []
        unknown = "0x" + "12" * 32
        answer = await call(rest.get_order(unknown))
        assert decode_order(answer.status, answer.body) is None
        for request in (
            rest.cancel_order(unknown), rest.cancel_orders([unknown]), rest.cancel_all(),
            rest.cancel_market(FAVOURITE),
        ):  # fmt: skip
            answer = await call(request)
            assert decode_cancel(answer.status, answer.body).canceled == ()
        assert (await call(rest.api_keys())).status == 200
        with pytest.raises(NotSent, match="no method for GET /version"):
            await call(rest.version())


@on_uvloop
async def test_orders_go_out_with_the_bytes_that_were_signed(fault_sim: SimProcess) -> None:
    told = Told()
    async with client_of("py-clob-client-v2", fault_sim, told=told) as client:
        client.credentials = await obtain_credentials(client)
        wallet = HostileWallet(fault_sim, 2)
        events = fault_sim.get("/events/keyset?limit=100")["events"]
        token = next(
            json.loads(market["clobTokenIds"])[0]
            for event in events for market in event["markets"]
            if market["conditionId"] == FAVOURITE
        )  # fmt: skip

        def order(*, post_only: bool = False) -> bytes:
            body = wallet.body(token, Side.BUY, 18 * SHARE, 20 * SHARE)
            return json.dumps({**body, "postOnly": post_only}).encode()

        first = order()
        answer = await client.call(rest.place_order(first))
        assert json.loads(answer.body)["success"] is True
        placed = json.loads(answer.body)["orderID"]
        assert decode_order_answer(answer.status, answer.body, placed).order_id == placed
        answer = await client.call(rest.place_order(first))
        assert (answer.status, b"Duplicated" in answer.body) == (400, True)
        answer = await client.call(
            rest.place_orders([order(post_only=True), order(post_only=True)])
        )
        ids = tuple(one["orderID"] for one in json.loads(answer.body))
        assert len(decode_order_answers(answer.status, answer.body, ids)) == 2
        with pytest.raises(NotSent, match="never mixed"):
            await client.call(rest.place_orders([order(post_only=True), order()]))
        fault_sim.control("faults", switch="answer-lost", value=1)
        with pytest.raises(NoAnswer, match="POST /order"):
            await client.call(rest.place_order(order()))
        assert told.counts[Value.HTTP_NO_ANSWER] == 1
        fault_sim.control("faults", switch="restart", value=30)
        assert (await client.call(rest.place_order(order()))).status == 425
        with pytest.raises(NotSent, match="restarting"):
            await client.call(rest.place_order(order()))
        fault_sim.control("faults", clear=True)
        answer = await client.call(rest.cancel_all())
        assert len(decode_cancel(answer.status, answer.body).canceled) == 4


@on_uvloop
async def test_no_connection_is_not_sent(package: str, fault_sim: SimProcess) -> None:
    async with client_of(package, fault_sim, url="http://127.0.0.1:9") as client:
        with pytest.raises(NotSent, match="no connection"):
            await client.call(rest.server_time())


@on_uvloop
async def test_a_deadline_is_ours_and_the_thread_stays_taken(
    package: str, fault_sim: SimProcess
) -> None:
    async with client_of(package, fault_sim, timeout_ms=1_000) as client:
        client.credentials = HostileWallet(fault_sim, 2).credentials
        fault_sim.control("faults", switch="request-slow", value=4_000)
        asked = (client.call(rest.open_orders()) for _ in range(3))
        found = [type(one) for one in await asyncio.gather(*asked, return_exceptions=True)]
        assert set(found) == {NoAnswer, NotSent}  # two threads for queries, one is for cancels
        assert client.wire.take(Kind.QUERY) is None
        fault_sim.control("faults", clear=True)
        slot = await client.wire.wait(Kind.QUERY, clock.monotonic_ns() + 30 * clock.NS_PER_S)
        slot.release()
        slot.release()  # once is enough


@on_uvloop
async def test_the_first_version_is_refused_by_name_where_it_is_not_taken(
    sim_v1: SimProcess,
) -> None:
    pytest.importorskip("py_clob_client")
    async with client_of("py-clob-client", sim_v1) as client:
        client.credentials = await obtain_credentials(client)
        wallet = HostileWallet(sim_v1, 2)
        events = sim_v1.get("/events/keyset?limit=100")["events"]
        token = json.loads(events[0]["markets"][0]["clobTokenIds"])[0]
        body = wallet.body(token, Side.BUY, 9 * SHARE, 20 * SHARE)
        answer = await client.call(
            rest.place_order(json.dumps({**body, "postOnly": False}).encode())
        )
        assert (answer.status, b"order_version_mismatch" in answer.body) == (400, True)
