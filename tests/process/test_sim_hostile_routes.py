"""Nonsense to every endpoint there is, whoever added it: never a 500, never a stopped server."""

from __future__ import annotations

import json
import os
import random
import urllib.parse
from typing import Any

import pytest

from oracle.sim_process import SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround.match.types import Side
from overround.sim.edges import EdgeSettings
from overround.sim.flow import FlowSettings
from overround.sim.server import Server, ServerSettings

SHARE = 1_000_000
SEED = int(os.environ.get("OVERROUND_SEED", "20261123"))
STILL = ("--rate", "0", "--edge-every", "0")

NAMES = (
    "token_id", "token_ids", "market", "asset_id", "asset_ids", "next_cursor", "limit", "offset",
    "side", "sides", "id", "ids", "order_id", "orderID", "order_ids", "orderIds", "startTs",
    "endTs", "start_ts", "end_ts", "interval", "fidelity", "date", "maker_address", "user",
    "condition_id", "condition_ids", "clob_token_ids", "slug", "q", "query", "after_cursor",
    "asset_type", "signature_type", "before", "after", "builder_code", "code", "tag_id", "tag_slug",
    "closed", "active", "order", "ascending", "page", "cursor", "sponsored", "key", "eventId",
    "sizeThreshold", "sortBy", "sortDirection", "takerOnly", "type", "owner", "heartbeat_id",
    "markets", "scored", "address", "funder", "status", "lots", "size", "cash", "account", "name",
    "value", "path", "count", "text", "repeat", "on", "tick", "outcome", "kind", "hold_ms", "seed",
    "for", "at", "channel", "method", "bids", "asks", "protocol", "frames_per_s", "from_ms", "rate",
)  # fmt: skip


OTHERS = (
    "market", "on", "count", "channel", "tick", "address", "cash", "lots", "size", "outcome",
    "account", "markets", "paused", "signature_type", "spender", "amount", "payout", "set",
)  # fmt: skip


async def routes() -> list[tuple[str, str]]:
    """Method and path of every endpoint, asked of the server's own router."""
    flow = FlowSettings(rate=0, edges=EdgeSettings(every_s=0))
    server = Server(ServerSettings(flow=flow, accounts=0))
    await server.start()
    try:
        assert server._runner is not None
        assert server._runner.app is not None
        return [
            (route.method, route.resource.canonical)
            for route in server._runner.app.router.routes()
            if route.resource and route.method != "HEAD" and "/ws/" not in route.resource.canonical
        ]
    finally:
        await server.stop()


class Nonsense:
    """Requests that are nearly right, or not at all."""

    def __init__(self, sim: SimProcess, wallet: HostileWallet) -> None:
        print(f"OVERROUND_SEED={SEED}")
        self.rng = random.Random(SEED)
        sides = sim.get(f"/clob-markets/{FAVOURITE}")["t"]
        yes, no = sides[0]["t"], sides[1]["t"]
        order = wallet.body(yes, Side.BUY, 18 * SHARE, 20 * SHARE)
        self.values: list[Any] = [
            yes, no, FAVOURITE, wallet.signer.address, wallet.credentials.api_key, "BUY", "SELL",
            "", "0", "1", "-1", "0.5", "1e400", "NaN", "inf", "true", "null", "x", "'", "\x00",
            "\u00b2", "\u0661", "\ud800", "9" * 25, "9" * 1_500, "MA==", "LTE=", "LTI=", "====",
            "2026-11-21", "2026-13-41", "1d", "max", "%", "a,b,,c", f"{yes},{no}", "0x", "[]", "{}",
            "COLLATERAL", "CONDITIONAL", "market", "user",
        ]  # fmt: skip
        self.bodies: list[Any] = [
            None, True, 0, -1, 0.5, 1e308, 10**25, [], {}, [[]], [{}], [None], {"a": {}}, "x",
            order, [order], [order] * 16, [yes], [{"token_id": yes}], [{"token_id": []}],
            {"markets": [yes] * 21}, {"markets": yes}, [{"token_id": yes, "side": 1}],
        ]  # fmt: skip

    def value(self) -> Any:
        return self.rng.choice(self.values)

    def path(self, template: str) -> str:
        parts = [
            urllib.parse.quote(self.value(), safe="", errors="replace")
            if part.startswith("{")
            else part
            for part in template.split("/")
        ]
        query = [
            f"{name}={urllib.parse.quote(self.value(), errors='replace')}"
            for name in self.rng.sample(NAMES, self.rng.randrange(4))
        ]
        return "/".join(parts) + ("?" + "&".join(query) if query else "")

    def body(self) -> bytes:
        rng = self.rng
        if rng.random() < 0.1:
            return rng.choice((b"{", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 50_000, b"9" * 5_000))
        if rng.random() < 0.3:
            return json.dumps(rng.choice(self.bodies)).encode()
        chosen = {
            name: self.value() if rng.random() < 0.6 else rng.choice(self.bodies)
            for name in rng.sample(NAMES, rng.randrange(1, 6))
        }
        return json.dumps(chosen).encode()


def targeted(nonsense: Nonsense, template: str) -> bytes:
    """A body for a control: the names it knows, with values of every kind."""
    names = {
        "faults": ("path", "count", "method", "before_ms", "delay_ms", "lose", "status", "text",
                   "name", "value", "market", "at", "for", "chaos", "seed"),
        "frame": ("text", "repeat", "binary", "channel"),
        "markets": ("question", "slug", "tick", "bids", "asks", "hold_ms", "protocol",
                    "frames_per_s"),
        "edge": ("kind", "gain_ticks", "size", "hold_ms"),
    }.get(template.rpartition("/")[2], OTHERS)  # fmt: skip
    rng = nonsense.rng
    chosen: dict[str, Any] = {}
    for name in rng.sample(names, rng.randrange(1, len(names) + 1)):
        chosen[name] = rng.choice(
            (FAVOURITE, "0.01", "0", "x", 0, 1, -1, 3, 0.5, True, None, [], {}, [["0.4", "5"]],
             "market", "user", "/order", 10**12, nonsense.value())
        )  # fmt: skip
    return json.dumps(chosen).encode()


def poked(wallet: HostileWallet) -> bool:
    """Whether the venue answers a request and a subscription soon, whatever it answers."""
    upgrade = (
        b"GET /ws/market HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    asked = (
        wallet.request("GET", "/data/orders"),
        wallet.request("POST", "/order", b"{}"),
        upgrade,
    )
    for data in asked:
        with wallet.connect() as link:
            link.settimeout(0.25)
            link.sendall(data)
            try:
                link.recv(1 << 16)
            except TimeoutError:
                return False
            except ConnectionError:
                continue
    return True


async def test_no_endpoint_of_the_venue_answers_500() -> None:
    table = [(method, path) for method, path in await routes() if not path.startswith("/sim/")]
    assert len(table) > 35
    with running(*STILL) as sim:
        wallet = HostileWallet(sim)
        nonsense = Nonsense(sim, wallet)
        for method, template in table:
            for attempt in range(10):
                path = nonsense.path(template)
                body = nonsense.body() if method != "GET" else b""
                login = attempt % 4 != 3
                asked = wallet.l2 if login and "/auth/" not in path else wallet.send
                if asked == wallet.l2:
                    status, _ = wallet.l2(method, path, body)
                else:
                    status, _ = wallet.send(method, path, None, body)
                assert status < 500, (method, path, body[:300], status)
        state = sim.get("/sim/state")
        assert state["server_errors"] == 0
        assert sim.get("/sim/check") == {"ok": True}


@pytest.mark.timeout(60)
async def test_no_control_breaks_the_exchange() -> None:
    table = [(method, path) for method, path in await routes() if path.startswith("/sim/")]
    assert len(table) > 12
    with running(*STILL) as sim:
        wallet = HostileWallet(sim)
        nonsense = Nonsense(sim, wallet)
        for method, template in table:
            for attempt in range(15 if method == "POST" else 2):
                path = nonsense.path(template)
                body = nonsense.body() if attempt % 3 == 0 else targeted(nonsense, template)
                status, _ = wallet.send(method, path, None, body if method == "POST" else b"")
                assert status in (200, 400, 404), (method, path, body[:300], status)
                if not poked(wallet):
                    sim.control("faults", clear=True)
        sim.control("faults", clear=True)
        sim.control("flow", paused=False)
        assert sim.get("/ok") == "OK"
        assert sim.get("/sim/state")["server_errors"] == 0
        assert sim.get("/sim/check") == {"ok": True}
