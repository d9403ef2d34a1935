"""Official clients read the exchange's troubles as they read the venue's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from polymarket.clients.secure import SecureClient
from polymarket.environments import PRODUCTION, _create_environment
from polymarket.errors import OrderHeartbeatMismatchError, RateLimitError, RequestRejectedError
from polymarket.rate_limit import RateLimitUpdate
from py_clob_client_v2.client import ClobClient

from oracle.sim_process import SimProcess
from overround.clock import epoch_s

Unified = tuple[SecureClient, list[RateLimitUpdate]]


@pytest.fixture(scope="module")
def unified(fault_sim: SimProcess) -> Iterator[Unified]:
    sim = fault_sim
    # Not the wallet of other tests: its heartbeat lapses, and with it go its orders.
    account, updates = sim.ready["accounts"][2], []
    config = dataclasses.replace(
        PRODUCTION._config,
        clob_url=sim.ready["rest_url"],
        gamma_url=sim.ready["gamma_url"],
        clob_market_ws_url=sim.ready["ws_market_url"],
        clob_user_ws_url=sim.ready["ws_user_url"],
    )
    client = SecureClient.create(
        private_key=account["private_key"],
        wallet=account["address"],
        environment=_create_environment(name="overround", config=config),
        on_rate_limit_update=updates.append,
    )
    yield client, updates
    client.close()


@pytest.fixture
def token(fault_sim: SimProcess) -> Iterator[str]:
    yield fault_sim.control("markets", frames_per_s=0)["tokens"][0]
    fault_sim.control("faults", clear=True)
    fault_sim.control("limits", mode="off")


def rejected(call: Callable[[], Any]) -> RequestRejectedError:
    with pytest.raises(RequestRejectedError) as caught:
        call()
    return caught.value


def test_restrictions_are_recognised(fault_sim: SimProcess, unified: Unified, token: str) -> None:
    client, _ = unified

    def place(**options: Any) -> Any:
        return client.place_limit_order(asset_id=token, price="0.4", size=10, side="BUY", **options)

    for switch, restriction, retry_after in (
        ("restart", "restarting", 1), ("cancel-only", "cancel_only", None),
        ("post-only", "post_only", 60),
    ):  # fmt: skip
        fault_sim.control("faults", switch=switch, value=60)
        error = rejected(place)
        assert (error.restriction, error.retry_after) == (restriction, retry_after)
        if switch == "post-only":
            assert error.code == "post_only_mode"
            assert place(post_only=True).ok
        assert fault_sim.control("faults", clear=True)["on"] == {}
    assert place().ok


def test_heartbeats_recover_by_the_id_of_the_answer(
    fault_sim: SimProcess, unified: Unified
) -> None:
    client, _ = unified
    first = client.send_order_heartbeat()
    fault_sim.control("faults", switch="heartbeat-wrong")
    with pytest.raises(OrderHeartbeatMismatchError) as caught:
        client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    again = client.send_order_heartbeat(heartbeat_id=caught.value.heartbeat_id)
    assert again.heartbeat_id
    fault_sim.control("faults", clear=True)


def test_rate_limits_are_reported_and_raised(
    fault_sim: SimProcess, unified: Unified, token: str
) -> None:
    client, updates = unified
    order = client.create_limit_order(asset_id=token, price="0.4", size=10, side="BUY")
    fault_sim.control("limits", mode="warn")
    updates.clear()
    client.post_order(order)
    assert (updates[-1].remaining, updates[-1].tier, updates[-1].warning) == (59, "standard", False)
    fault_sim.control("limits", mode="enforce")
    orders = [
        client.create_limit_order(asset_id=token, price="0.4", size=10 + n, side="BUY")
        for n in range(15)
    ]

    def exhaust() -> None:
        for _ in range(20):
            client.post_orders(orders)

    with pytest.raises(RateLimitError) as caught:
        exhaust()
    assert caught.value.retry_after == 1
    update = caught.value.rate_limit
    assert update is not None
    assert update.remaining is not None
    assert 0 <= update.remaining < 15
    assert update.reset is not None
    assert abs(update.reset - epoch_s()) <= 2


def test_older_clients_raise_what_they_know(fault_sim: SimProcess, token: str) -> None:
    client = ClobClient(fault_sim.url, 137)
    for switch, text in (("too-many", "Too Many Requests"), ("gateway-error", "502 Bad Gateway")):
        fault_sim.control("faults", switch=switch)
        with pytest.raises(Exception, match=text):
            client.get_server_time()
    fault_sim.control("faults", switch="request-lost", value=2)
    with pytest.raises(Exception, match="Request exception"):
        client.get_server_time()
    fault_sim.control("faults", clear=True)
    assert client.get_server_time()
