"""A process that follows bursts on many connections while its system calls are counted.

    burst_client native|picows PORT SOCKETS

Both transports of the runtime have the same owner. A burst is one price change on every
connection; the first connection asks for the next when the last one has come. A line on stdin says
how many bursts to follow, a line on stdout says that it was done.
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

    def __init__(self, sockets: int) -> None:
        self.sockets = sockets
        self.open = self.seen = self.wanted = 0
        self.links: Any = None
        self.done = asyncio.get_running_loop().create_future()

    def on_connected(self, connection: int) -> None:
        self.open += 1
        if self.open == self.sockets:
            say("ready")

    def on_command(self) -> None:
        line = sys.stdin.readline()
        if not line:
            self.done.set_result(None)
            return
        self.seen, self.wanted = 0, self.sockets * int(line)
        self.links.send(1, "go!!")

    def count(self, messages: int) -> None:
        self.seen += messages
        if self.seen == self.wanted:
            say("done")
        elif self.seen % self.sockets == 0:
            self.links.send(1, "go!!")

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


def say(word: str) -> None:
    """Tell the process that counts."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def follow(kind: str, port: int, sockets: int) -> None:
    """Open the connections and follow commands until stdin ends."""
    owner = Owner(sockets)
    asyncio.get_running_loop().add_reader(sys.stdin, owner.on_command)
    make: Any = NativeLinks if kind == "native" else Links
    group = 1 if kind == "native" else 2
    owner.links = make(
        f"ws://127.0.0.1:{port}/burst{group}", owner, frame_bytes_max=1 << 22, connect_timeout_s=20,
        on_fatal=owner.done.set_exception,
    )  # fmt: skip
    for number in range(1, sockets + 1):
        owner.links.connect(number)
    await owner.done
    await owner.links.stop()


if __name__ == "__main__":
    uvloop.run(follow(sys.argv[1], *map(int, sys.argv[2:])))
