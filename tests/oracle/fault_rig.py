"""A member of a running exchange who looks at everything it sends, over one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from oracle.sim_process import PATIENCE_S, SimProcess
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround.match.types import OrderType, Side

SHARE = 1_000_000
OTHER = 2
"""Place in the catalog of another market of the favourite's event."""

Events = list[dict[str, Any]]


class FaultRig:
    """Requests, sockets and switches of one test."""

    def __init__(self, sim: SimProcess, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session
        self.wallet = HostileWallet(sim)
        listed = sim.get("/events/keyset?limit=100")["events"]
        markets = [market for event in listed for market in event["markets"]]
        self.conditions = [market["conditionId"] for market in markets]
        self.tokens = {m["conditionId"]: json.loads(m["clobTokenIds"]) for m in markets}
        self.other = next(c for c in self.conditions if c != FAVOURITE)

    # -- switches ------------------------------------------------------------------------

    def turn(self, name: str, value: float = 1, **more: Any) -> dict[str, Any]:
        return self.sim.control("faults", switch=name, value=value, **more)

    def shown(self, name: str) -> int:
        return int(self.sim.control("faults")["shown"].get(name, 0))

    # -- requests ------------------------------------------------------------------------

    async def request(
        self, method: str, path: str, body: Any = None, *, login: bool = True
    ) -> tuple[int, Any, Any]:
        """Status, answer (JSON, else text) and headers."""
        raw = b"" if body is None else json.dumps(body).encode()
        headers = self.wallet.headers(method, path, raw) if login else {}
        url = self.sim.url + path
        async with self.session.request(method, url, data=raw, headers=headers) as answer:
            text = await answer.text()
            with contextlib.suppress(ValueError):
                return answer.status, json.loads(text), answer.headers
            return answer.status, text, answer.headers

    def order(
        self,
        price: float = 0.9,
        size: int = 20,
        kind: OrderType = OrderType.GTC,
        *,
        market: str = FAVOURITE,
        post_only: bool = False,
    ) -> dict[str, Any]:
        """A signed BUY of YES."""
        cash = round(price * 1_000) * size * SHARE // 1_000
        token = self.tokens[market][0]
        body = self.wallet.body(token, Side.BUY, cash, size * SHARE, kind)
        return {**body, "postOnly": post_only}

    async def place(self, price: float = 0.9, size: int = 20, **more: Any) -> dict[str, Any]:
        """Place an order that is taken; the default rests deep in the favourite's book."""
        status, answer, _ = await self.request("POST", "/order", self.order(price, size, **more))
        assert (status, answer["success"]) == (200, True), answer
        return dict(answer)

    async def buy(self, **more: Any) -> dict[str, Any]:
        answer = await self.place(0.981, kind=OrderType.FAK, **more)
        assert answer["status"] == "matched"
        return answer

    async def cancel(self, order_id: str) -> Any:
        return (await self.request("DELETE", "/order", {"orderID": order_id}))[1]

    # -- sockets -------------------------------------------------------------------------

    async def connect(
        self, channel: str, message: dict[str, Any]
    ) -> aiohttp.ClientWebSocketResponse:
        socket = await self.session.ws_connect(self.sim.ready[f"ws_{channel}_url"])
        await socket.send_str(json.dumps(message))
        return socket

    async def market(self, *conditions: str) -> aiohttp.ClientWebSocketResponse:
        """A socket that hears the YES tokens of some markets, its opening still to be read."""
        tokens = [token for c in conditions or (FAVOURITE,) for token in self.tokens[c]]
        return await self.connect("market", {"assets_ids": tokens, "type": "market"})

    async def watched(self, *conditions: str) -> aiohttp.ClientWebSocketResponse:
        """A socket whose opening array has been read."""
        socket = await self.market(*conditions)
        await self.seen(socket)
        return socket

    async def user(self) -> aiohttp.ClientWebSocketResponse:
        credentials = self.wallet.credentials
        auth = {
            "apiKey": credentials.api_key,
            "secret": credentials.secret,
            "passphrase": credentials.passphrase,
        }
        socket = await self.connect("user", {"type": "user", "auth": auth})
        await self.seen(socket)
        return socket

    async def texts(self, socket: aiohttp.ClientWebSocketResponse) -> list[str]:
        """Everything that was sent before the answer to a PING."""
        await socket.send_str("PING")
        found: list[str] = []
        while not found or found[-1] != "PONG":
            message = await socket.receive(timeout=PATIENCE_S)
            assert message.type == aiohttp.WSMsgType.TEXT, message
            found.append(message.data)
        return found[:-1]

    async def seen(self, socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
        return [json.loads(text) for text in await self.texts(socket)]

    @staticmethod
    async def until(
        socket: aiohttp.ClientWebSocketResponse, enough: Callable[[Events], Any]
    ) -> Events:
        """Events until ``enough`` is true of them."""
        found: Events = []
        while not enough(found):
            found.append(await socket.receive_json(timeout=PATIENCE_S))
        return found


@contextlib.asynccontextmanager
async def fault_rig(sim: SimProcess) -> AsyncIterator[FaultRig]:
    """A rig on an exchange with every switch off, before and after; nothing stays open."""
    sim.control("faults", clear=True)
    async with aiohttp.ClientSession() as session:
        rig = FaultRig(sim, session)
        yield rig
        sim.control("faults", clear=True)
        sim.control("limits", mode="off", tier="standard")
        await rig.request("DELETE", "/cancel-all")
    while sim.get("/sim/state")["unsettled"]:
        await asyncio.sleep(0.02)  # the next test must not hear of trades of this one
    assert sim.get("/sim/check") == {"ok": True}
    assert sim.get("/sim/state")["server_errors"] == 0
