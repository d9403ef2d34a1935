"""A venue that does what a test tells it: one WebSocket channel, POST /books, true hashes.

Books are plain dictionaries and every frame is built by the slow, obvious rule, so that a test
can send a correct update, or exactly one thing wrong. Nothing moves unless the test says so,
except what the venue owes a subscriber: the opening snapshots and the answer to PING.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

GRID = 10_000


def decimal(ticks: int, scale: int = GRID) -> str:
    """Return ticks (or lots, with their scale) as the venue writes them: no trailing zeros."""
    whole, rest = divmod(ticks, scale)
    digits = len(str(scale)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") if rest else str(whole)


@dataclass
class ScriptBook:
    """One condition's YES-side book: price in ticks of 1/10,000 to size in whole shares."""

    condition_id: str
    yes: str
    no: str
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    tick: str = "0.01"
    min_size: str = "5"
    neg_risk: bool = False
    last_price: str = "0.5"
    epoch_ms: int = 1_795_345_200_000

    def sides(self, token: str) -> tuple[dict[int, int], dict[int, int]]:
        """Return the bids and asks of one token; NO is the mirror of YES."""
        if token == self.yes:
            return self.bids, self.asks
        bids = {GRID - price: size for price, size in self.asks.items()}
        asks = {GRID - price: size for price, size in self.bids.items()}
        return bids, asks

    def best(self, token: str) -> tuple[str, str]:
        """Return best bid and ask of a token as the venue writes them, "0" and "1" if empty."""
        bids, asks = self.sides(token)
        return decimal(max(bids, default=0)), decimal(min(asks, default=GRID))

    def summary(self, token: str, *, epoch_ms: int | None = None) -> dict[str, object]:
        """Return the book summary of a token, its hash computed by the recipe."""
        bids, asks = self.sides(token)
        stamp = str(self.epoch_ms if epoch_ms is None else epoch_ms)
        book: dict[str, object] = {
            "market": self.condition_id,
            "asset_id": token,
            "timestamp": stamp,
            "hash": "",
            "bids": _levels(sorted(bids.items())),
            "asks": _levels(sorted(asks.items(), reverse=True)),
            "min_order_size": self.min_size,
            "tick_size": self.tick,
            "neg_risk": self.neg_risk,
            "last_trade_price": self.last_price,
        }
        text = json.dumps(book, separators=(",", ":"))
        book["hash"] = hashlib.sha1(text.encode()).hexdigest()
        return book

    def change(self, side: str, price: int, size: int, *, step_ms: int = 1) -> dict[str, object]:
        """Set a YES level ("BUY" is a bid) and return the whole, true ``price_change``."""
        self.epoch_ms += step_ms
        levels = self.bids if side == "BUY" else self.asks
        levels.pop(price, None)
        if size:
            levels[price] = size
        return self.change_frame(side, price, size)

    def change_frame(self, side: str, price: int, size: int) -> dict[str, object]:
        """Return the ``price_change`` for a level as the book is now, for both tokens."""
        other = "SELL" if side == "BUY" else "BUY"
        entries = []
        for token, at, which in ((self.yes, price, side), (self.no, GRID - price, other)):
            bid, ask = self.best(token)
            entries.append(
                {
                    "asset_id": token,
                    "price": decimal(at),
                    "size": str(size),
                    "side": which,
                    "hash": self.summary(token)["hash"],
                    "best_bid": bid,
                    "best_ask": ask,
                }
            )
        return {
            "market": self.condition_id,
            "price_changes": entries,
            "timestamp": str(self.epoch_ms),
            "event_type": "price_change",
        }


def _levels(levels: Iterable[tuple[int, int]]) -> list[dict[str, str]]:
    return [{"price": decimal(price), "size": str(size)} for price, size in levels]


@dataclass
class Peer:
    """One client connection, as the venue sees it."""

    socket: web.WebSocketResponse
    heard: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    pings: int = 0

    async def send(self, message: object) -> None:
        """Send text or bytes as they are, anything else as JSON with the venue's spaces."""
        if isinstance(message, bytes):
            await self.socket.send_bytes(message)
        elif isinstance(message, str):
            await self.socket.send_str(message)
        else:
            await self.socket.send_str(json.dumps(message, separators=(", ", ":")))

    async def close(self) -> None:
        """End the connection as a restarting venue does."""
        await self.socket.close(code=1012)


class VenueScript:
    """The venue. Fields may be changed at any time; they say what it does next."""

    def __init__(self, books: Iterable[ScriptBook] = ()) -> None:
        self.books = {book.condition_id: book for book in books}
        self.peers: list[Peer] = []
        self.rest_requests: list[list[str]] = []
        self.answer_ping = True
        self.send_snapshots = True
        self.refuse = False
        self.rest_status = 200
        self.rest_override: dict[str, dict[str, object]] = {}
        self.rest_gate = asyncio.Event()
        self.rest_gate.set()
        self.port = 0
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def rest_url(self) -> str:
        """Base of POST /books."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The market channel."""
        return f"ws://127.0.0.1:{self.port}/ws/market"

    @property
    def peer(self) -> Peer:
        """The connection opened last."""
        return self.peers[-1]

    async def __aenter__(self) -> VenueScript:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; on the same port as before, if there was one."""
        app = web.Application()
        app.router.add_get("/ws/market", self._channel)
        app.router.add_post("/books", self._books)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection and the port."""
        for peer in self.peers:
            if not peer.socket.closed:
                await peer.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def by_token(self, token: str) -> ScriptBook | None:
        """Return the book a token belongs to."""
        return next((b for b in self.books.values() if token in (b.yes, b.no)), None)

    async def until(self, claim: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait until ``claim()`` holds; looked at whenever something reached the venue."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(claim)

    async def broadcast(self, message: object) -> None:
        """Send to every open connection."""
        for peer in self.peers:
            if not peer.socket.closed:
                await peer.send(message)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _channel(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            await self._notify()
            return web.Response(status=503, text="refused by the script")
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        peer = Peer(socket)
        self.peers.append(peer)
        await self._notify()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._on_text(peer, message.data)
                await self._notify()
        await self._notify()
        return socket

    async def _on_text(self, peer: Peer, text: str) -> None:
        if text == "PING":
            peer.pings += 1
            if self.answer_ping:
                await peer.send("PONG")
            return
        peer.heard.append(text)
        command = json.loads(text)
        tokens = command["assets_ids"]
        if command.get("operation") == "unsubscribe":
            peer.tokens.difference_update(tokens)
            return
        fresh = [token for token in tokens if token not in peer.tokens]
        peer.refused += [token for token in tokens if token in peer.tokens]
        peer.tokens.update(fresh)
        books = [self.by_token(token) for token in fresh]
        if self.send_snapshots:
            array = [
                {**book.summary(token), "event_type": "book"}
                for token, book in zip(fresh, books, strict=True)
                if book is not None
            ]
            # As recorded: the opening array is compact and ends in a newline.
            await peer.send(json.dumps(array, separators=(",", ":")) + "\n")

    async def _books(self, request: web.Request) -> web.Response:
        tokens = [item["token_id"] for item in await request.json()]
        found = [(token, self.by_token(token)) for token in tokens]
        # Read before the gate: a late answer is an old answer.
        answer = [
            self.rest_override.get(token) or book.summary(token)
            for token, book in found
            if book is not None
        ]
        self.rest_requests.append(tokens)
        await self._notify()
        await self.rest_gate.wait()
        if self.rest_status != 200:
            return web.json_response({"error": "scripted"}, status=self.rest_status)
        return web.json_response(answer)
