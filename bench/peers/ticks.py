"""Tick to order as it is usually written, p50 in us, timed by the same server as ours.

websockets and json for the frame, dictionaries for the books, aiohttp or httpx for the order.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
import uvloop
import websockets

HEADERS = {
    "POLY_ADDRESS": "0x" + "11" * 20, "POLY_SIGNATURE": "A" * 44, "POLY_TIMESTAMP": "1795345200",
    "POLY_API_KEY": "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10", "POLY_PASSPHRASE": "f" * 64,
}  # fmt: skip
ORDER = {
    "salt": 1561389545621, "maker": "0x" + "11" * 20, "signer": "0x" + "11" * 20,
    "tokenId": "7" * 77, "makerAmount": "5200000", "takerAmount": "10000000", "side": "BUY",
    "expiration": "0", "signatureType": 0, "timestamp": "1795345200435",
    "metadata": "0x" + "00" * 32, "builder": "0x" + "00" * 32, "signature": "0x" + "22" * 65,
}  # fmt: skip
PERIOD_US = 4_000
"""Between frames; ours gets them every 100 us, which these would not keep up with."""
Post = Callable[[dict[str, Any]], Awaitable[object]]


class Books:
    """Asks by token, in ticks."""

    def __init__(self) -> None:
        self.asks: dict[str, dict[float, float]] = {}
        self.watched: list[str] = []

    def apply(self, message: Any) -> float | None:
        """Take a message; return the price to buy at if both asks sum to less than one."""
        if isinstance(message, list):
            for book in message:
                self.asks[book["asset_id"]] = {
                    float(level["price"]): float(level["size"]) for level in book["asks"]
                }
                self.watched.append(book["asset_id"])
            return None
        for change in message["price_changes"]:
            asks = self.asks.get(change["asset_id"])
            if asks is not None and change["side"] == "SELL":
                price, size = float(change["price"]), float(change["size"])
                if size:
                    asks[price] = size
                else:
                    asks.pop(price, None)
        best = [min(self.asks[token]) for token in self.watched]
        return best[0] if sum(best) < 1 else None


async def follow(port: int, post: Post) -> float:
    books = Books()
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/ticks/{PERIOD_US}", compression=None
    ) as link:
        await link.send("go")
        async for text in link:
            message = json.loads(text)
            if isinstance(message, dict) and "p50" in message:
                if not message["p50"]:
                    raise TimeoutError("an order did not come within two seconds")
                return float(message["p50"]) / 1e3
            price = books.apply(message)
            if price is not None:
                await post({"order": ORDER, "orderType": "FAK", "price": f"{price:.4f}"})
    raise ConnectionError("the server ended early")


async def with_aiohttp(port: int) -> float:
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def post(body: dict[str, Any]) -> None:
            async with session.post(f"http://127.0.0.1:{port}/order", json=body) as answer:
                await answer.read()

        return await follow(port, post)


async def with_httpx(port: int) -> float:
    async with httpx.AsyncClient(headers=HEADERS) as client:

        async def post(body: dict[str, Any]) -> None:
            await client.post(f"http://127.0.0.1:{port}/order", json=body)

        return await follow(port, post)


def main() -> None:
    port = int(sys.argv[1])
    cpus = os.environ.get("BENCH_CPUS", "")
    if cpus:
        os.sched_setaffinity(0, {int(cpus.split(",")[-1])})
    cases = {
        "websockets + json + aiohttp": lambda: uvloop.run(with_aiohttp(port)),
        "websockets + json + httpx": lambda: uvloop.run(with_httpx(port)),
    }
    found, missing = {}, {}
    for name, case in cases.items():
        try:
            found[name] = case()
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"
    json.dump({**found, "missing": missing}, sys.stdout)


if __name__ == "__main__":
    main()
