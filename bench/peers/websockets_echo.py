"""512 bytes there and back over loopback, p50 in us: what Python programs use, each as it comes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

import aiohttp
import picows
import uvloop
import websockets

ECHOES, WARM = 2_000, 200
TEXT = "x" * 512


async def timed(
    send: Callable[[str], Awaitable[object]], get: Callable[[], Awaitable[object]]
) -> float:
    took = []
    for _ in range(ECHOES + WARM):
        begun = time.perf_counter_ns()
        await send(TEXT)
        await get()
        took.append(time.perf_counter_ns() - begun)
    return median(took[WARM:]) / 1e3


async def with_websockets(url: str) -> float:
    async with websockets.connect(url, compression=None) as link:
        return await timed(link.send, link.recv)


async def with_aiohttp(url: str) -> float:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as link:
        return await timed(link.send_str, link.receive)


async def with_picows(url: str) -> float:
    loop = asyncio.get_running_loop()

    class Listener(picows.WSListener):
        def __init__(self) -> None:
            self.done, self.took = loop.create_future(), []

        def go(self, transport: picows.WSTransport) -> None:
            self.begun = time.perf_counter_ns()
            transport.send(picows.WSMsgType.TEXT, TEXT.encode())

        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            self.go(transport)

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            self.took.append(time.perf_counter_ns() - self.begun)
            if len(self.took) == ECHOES + WARM:
                self.done.set_result(None)
            else:
                self.go(transport)

    transport, listener = await picows.ws_connect(Listener, url)
    await listener.done
    transport.disconnect()
    return median(listener.took[WARM:]) / 1e3


def main() -> None:
    url = f"ws://127.0.0.1:{sys.argv[1]}/echo"
    cpus = os.environ.get("BENCH_CPUS", "")
    if cpus:
        os.sched_setaffinity(0, {int(cpus.split(",")[-1])})
    cases = {
        "websockets": lambda: asyncio.run(with_websockets(url)),
        "websockets, uvloop": lambda: uvloop.run(with_websockets(url)),
        "aiohttp, uvloop": lambda: uvloop.run(with_aiohttp(url)),
        "picows alone, uvloop": lambda: uvloop.run(with_picows(url)),
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
