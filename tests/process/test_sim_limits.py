"""Rate limits on the wire: 429 with headers, warnings, and the official client's reading."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from oracle.fault_rig import FaultRig, fault_rig
from oracle.sim_process import SimProcess
from oracle.sim_wallet import FAVOURITE
from overround.clock import epoch_s


@pytest.fixture
async def rig(fault_sim: SimProcess) -> AsyncIterator[FaultRig]:
    async with fault_rig(fault_sim) as made:
        yield made


async def test_warning_mode_serves_and_warns(rig: FaultRig) -> None:
    rig.sim.control("limits", mode="warn")
    batch = [rig.order() for _ in range(15)]
    remaining = []
    for _ in range(6):
        status, _, headers = await rig.request("POST", "/orders", batch)
        remaining.append((int(headers["Poly-RateLimit-Remaining"]),
                          headers.get("Poly-RateLimit-Warning")))  # fmt: skip
        assert (status, headers["Poly-RateLimit-Tier"]) == (200, "standard")
    assert remaining[0] == (45, None)
    assert "true" in {warning for _, warning in remaining}
    assert rig.sim.control("limits")["refused"] >= 1


async def test_enforcing_mode_refuses_orders_and_not_reads(rig: FaultRig) -> None:
    rig.sim.control("limits", mode="enforce")
    batch = [rig.order(post_only=True) for _ in range(15)]
    seen = []
    while not seen or seen[-1][0] == 200:
        seen.append(await rig.request("POST", "/orders", batch))
    status, answer, headers = seen[-1]
    assert (status, answer) == (429, {"error": "Too Many Requests"})
    assert headers["Retry-After"] == "1"
    assert 0 <= int(headers["Poly-RateLimit-Reset"]) - epoch_s() <= 2
    assert int(headers["Poly-RateLimit-Remaining"]) < 15
    assert "Poly-RateLimit-Warning" not in headers
    assert (await rig.request("GET", "/data/orders"))[0] == 200
    status, _, headers = await rig.request("DELETE", "/cancel-all")
    assert (status, int(headers["Poly-RateLimit-Remaining"]) < 120) == (200, True)
    address = rig.wallet.signer.address
    rig.sim.control("limits", mode="enforce", tier="elite", address=address)
    headers = (await rig.request("POST", "/orders", batch))[2]
    assert headers["Poly-RateLimit-Tier"] == "elite"
    asked = await rig.request("GET", "/v1/user/rate-limit-tier")
    assert asked[:2] == (200, {"tier": "Elite"})


async def test_an_address_has_its_windows(rig: FaultRig) -> None:
    rig.sim.control("limits", mode="enforce")
    path = f"/tick-size?token_id={rig.tokens[FAVOURITE][0]}"
    statuses = [(await rig.request("GET", path, login=False))[0] for _ in range(201)]
    assert statuses == [200] * 200 + [429]
    headers = (await rig.request("GET", path, login=False))[2]
    assert 1 <= int(headers["Retry-After"]) <= 10
    assert (await rig.request("GET", "/time", login=False))[0] == 200
