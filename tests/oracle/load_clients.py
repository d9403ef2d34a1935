"""WebSocket clients of the load run: cheap to feed, strict about every trade."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

PRINT = b'"event_type":"last_trade_price"'
BUFFER_BYTES = 1 << 20


class MarketClient(WSListener):  # type: ignore[misc]
    """Subscribes to tokens; counts frames and keeps the transaction of every print."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.frames = 0
        self.frame_bytes = 0
        self.books = 0
        self.prints: Counter[str] = Counter()
        self.closed = False
        self.transport: WSTransport | None = None

    async def open(self, url: str) -> None:
        """Connect and subscribe."""
        await ws_connect(lambda: self, url, max_frame_size=64 << 20)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        body = json.dumps({"assets_ids": self.tokens, "type": "market"})
        transport.send(WSMsgType.TEXT, body.encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        self.frames += 1
        self.frame_bytes += len(payload)
        if payload[:1] == b"[":
            self.books += payload.count(b'"event_type":"book"')
        elif payload.find(PRINT, -160) >= 0:
            self.prints[json.loads(payload)["transaction_hash"]] += 1

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed = True

    def close(self) -> None:
        """Hang up."""
        if self.transport is not None:
            self.transport.disconnect()


class UserClient(WSListener):  # type: ignore[misc]
    """Listens to one account; keeps how often each trade was told in each state."""

    def __init__(self, auth: dict[str, str]) -> None:
        self._auth = auth
        self.states: Counter[tuple[str, str]] = Counter()
        self.orders = 0
        self.transport: WSTransport | None = None

    async def open(self, url: str) -> None:
        """Connect and authenticate."""
        await ws_connect(lambda: self, url, max_frame_size=64 << 20)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.TEXT, json.dumps({"type": "user", "auth": self._auth}).encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        event: Any = json.loads(frame.get_payload_as_bytes())
        if event["event_type"] == "trade":
            self.states[event["id"], event["status"]] += 1
        else:
            self.orders += 1

    def close(self) -> None:
        """Hang up."""
        if self.transport is not None:
            self.transport.disconnect()
