"""A process that follows bursts on many connections, run under strace: burst_client KIND PORT N M.

Both transports of the runtime, the same owner. A burst is one price change on every connection;
the first connection asks for the next when the last one has come.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from overround.ingress.native import NativeLinks
from overround.ingress.transport import Links


class Owner:
    """Counts messages and asks for bursts."""

    def __init__(self, sockets: int, bursts: int) -> None:
        self.sockets, self.bursts = sockets, bursts
        self.open = self.seen = self.asked = 0
        self.links: Any = None
        self.done = asyncio.get_running_loop().create_future()

    def on_connected(self, connection: int) -> None:
        self.open += 1
        if self.open == self.sockets:
            asyncio.get_running_loop().call_later(0.2, self.ask)

    def ask(self) -> None:
        if self.asked == self.bursts:
            self.done.set_result(None)
            return
        self.asked += 1
        self.links.send(1, "go!!")

    def count(self, messages: int) -> None:
        self.seen += messages
        if self.seen == self.asked * self.sockets:
            self.ask()

    def on_frame(self, *_: object) -> None:
        self.count(1)

    def on_frames(self, summary: Any) -> None:
        self.count(int(summary.messages))

    def on_connect_failed(self, connection: int, reason: str) -> None:
        self.done.set_exception(ConnectionError(reason))

    def on_disconnected(self, *_: object) -> None:
        pass

    def on_pong(self, *_: object) -> None:
        pass

    def on_unusable(self, *_: object, **__: object) -> None:
        pass


async def follow(kind: str, port: int, sockets: int, bursts: int) -> None:
    owner = Owner(sockets, bursts)
    make: Any = NativeLinks if kind == "native" else Links
    owner.links = make(
        f"ws://127.0.0.1:{port}/burst", owner, frame_bytes_max=1 << 22, connect_timeout_s=20,
        on_fatal=owner.done.set_exception,
    )  # fmt: skip
    for number in range(1, sockets + 1):
        owner.links.connect(number)
    async with asyncio.timeout(90):
        await owner.done
    await owner.links.stop()


if __name__ == "__main__":
    uvloop.run(follow(sys.argv[1], *map(int, sys.argv[2:])))
