"""How long from an order's body to the venue's answer, and how much CPU does it cost us?

Question: what does the HTTP client add. A server process answers every request with the same
bytes at once; request and answer have the size of a real order's. One request at a time over a
warm connection on loopback, plain HTTP/1.1. Each client signs its L2 headers; the official one
runs with its own code from the signed order on. Rounds of the clients alternate, so that all meet
the same disturbances. ``floor`` is a blocking socket that sends and receives bytes made before.

Read the ratios to ``ours``, not the microseconds of a shared machine. CPU is this process's time
(user and system, all threads) divided by requests.

Run: .venv/bin/python bench/path/bench_transport.py [--requests N] [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import uvloop

from overround import clock
from overround.config.schema import Execute
from overround.execute.client import Kind, VenueClient
from overround.venues.polymarket import rest
from overround.venues.polymarket.auth import Credentials, Signer, l2_headers

KEY = "0x" + "11" * 32
CREDENTIALS = Credentials(
    "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10",
    "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=",
    "5f" * 32,
)
ANSWER = (
    b'{"success":true,"errorMsg":"","orderID":"0x' + b"bc" * 32 + b'","status":"live",'
    b'"makingAmount":"","takingAmount":"","tradeIDs":[],"transactionsHashes":["0x'
    + b"0" * 64
    + b'"]}'
)
HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nServer: fixed\r\n"
    b"Content-Type: application/json\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n"
)
WARM_UP = 50
REQUESTS_PER_ROUND = 60
signer = Signer(KEY)
order = {
    "salt": 1561389545621, "maker": signer.address, "signer": signer.address,
    "tokenId": "48331043336612883890938759509493159234755048973500640148014422747788308965732",
    "makerAmount": "5200000", "takerAmount": "10000000", "side": "BUY", "expiration": "0",
    "signatureType": 0, "timestamp": "1795345200435", "metadata": "0x" + "00" * 32,
    "builder": "0x" + "00" * 32, "signature": "0x" + "22" * 64 + "1c",
}  # fmt: skip
body = json.dumps(
    {"order": order, "owner": CREDENTIALS.api_key, "orderType": "GTC", "deferExec": False,
     "postOnly": False}, separators=(",", ":"),
).encode()  # fmt: skip

Send = Callable[[], Awaitable[int]]


class FixedAnswer(asyncio.Protocol):
    """Says the same to every request, as soon as its last byte is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, rest_ = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest_) >= length:
            self.data = rest_[length:]
            self.transport.write(HEAD % len(ANSWER) + ANSWER)


async def serve() -> None:
    """The server process: prints its port, then answers until it is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FixedAnswer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def proof() -> dict[str, str]:
    headers = l2_headers(CREDENTIALS, signer.address, clock.epoch_s(), "POST", "/order", body)
    return {**headers, "Content-Type": "application/json"}


@contextlib.asynccontextmanager
async def ours(url: str) -> AsyncIterator[Send]:
    free = 1_000_000_000  # the budget is not what is measured
    settings = Execute(order_tokens_per_s=free, order_tokens_burst=free,
                       connection_requests_max=1_000_000)  # fmt: skip
    async with VenueClient(
        url, signer, chain_id=137, timeout_ms=5_000, epoch_s=clock.epoch_s, settings=settings
    ) as client:
        client.credentials = CREDENTIALS
        (await client.lease(Kind.ORDER)).release()

        async def send() -> int:
            lease = client.try_lease(Kind.ORDER) or await client.lease(Kind.ORDER)
            return (await lease.send(rest.place_order(body))).status

        yield send


@contextlib.asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[Send]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def send() -> int:
            async with session.post(url + "/order", data=body, headers=proof()) as answer:
                await answer.read()
                return answer.status

        yield send


@contextlib.asynccontextmanager
async def with_httpx(url: str) -> AsyncIterator[Send]:
    import httpx

    async with httpx.AsyncClient() as client:

        async def send() -> int:
            answer = await client.post(url + "/order", content=body, headers=proof())
            return answer.status_code

        yield send


@contextlib.asynccontextmanager
async def official(url: str) -> AsyncIterator[Send]:
    """Called as its users do: it blocks, so nothing is between it and the clock."""
    from py_clob_client_v2.client import ClobClient
    from py_clob_client_v2.clob_types import ApiCreds
    from py_clob_client_v2.order_utils.model.order_data_v2 import SignedOrderV2

    creds = ApiCreds(CREDENTIALS.api_key, CREDENTIALS.secret, CREDENTIALS.passphrase)
    client = ClobClient(url, 137, key=KEY, creds=creds)
    posted = SignedOrderV2(**{**order, "side": 0})

    async def send() -> int:
        return 200 if client.post_order(posted, "GTC")["success"] else 0

    yield send


@contextlib.asynccontextmanager
async def official_v1(url: str) -> AsyncIterator[Send]:
    """The older client, which posts what an order object says of itself."""
    from py_clob_client.client import ClobClient
    from py_clob_client.clob_types import ApiCreds, OrderType

    class Posted:
        def dict(self) -> dict[str, Any]:
            return order

    creds = ApiCreds(CREDENTIALS.api_key, CREDENTIALS.secret, CREDENTIALS.passphrase)
    client = ClobClient(url, 137, key=KEY, creds=creds)
    posted = Posted()

    async def send() -> int:
        return 200 if client.post_order(posted, OrderType.GTC)["success"] else 0

    yield send


@contextlib.asynccontextmanager
async def floor(url: str) -> AsyncIterator[Send]:
    port = int(url.rpartition(":")[2])
    head = "".join(f"{name}: {value}\r\n" for name, value in proof().items())
    data = f"POST /order HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n"
    raw = data.encode() + body
    size = len(HEAD % len(ANSWER)) + len(ANSWER)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        async def send() -> int:
            sock.sendall(raw)
            got = 0
            while got < size:
                got += len(sock.recv(65_536))
            return 200

        yield send


CLIENTS = {
    "floor": floor, "ours": ours, "aiohttp": with_aiohttp, "httpx": with_httpx,
    "py-clob-client-v2": official, "py-clob-client": official_v1,
}  # fmt: skip


def cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int((used.ru_utime + used.ru_stime) * 1e9)


async def measure(send: Send, requests: int) -> tuple[list[int], int]:
    """Return the latencies (ns) of so many requests, and their CPU time."""
    took = []
    begun_cpu_ns = cpu_ns()
    for _ in range(requests):
        begun_ns = time.perf_counter_ns()
        status = await send()
        took.append(time.perf_counter_ns() - begun_ns)
        assert status == 200
    return took, cpu_ns() - begun_cpu_ns


async def campaign(
    url: str, requests: int, rounds: int
) -> tuple[dict[str, list[int]], dict[str, float]]:
    """Return every client's latencies in ns, and its CPU time a request in us."""
    async with contextlib.AsyncExitStack() as stack:
        senders: dict[str, Send] = {}
        for name, make in CLIENTS.items():
            with contextlib.suppress(ImportError):  # a client that is not installed is left out
                senders[name] = await stack.enter_async_context(make(url))
        took: dict[str, list[int]] = {name: [] for name in senders}
        cpu: dict[str, int] = dict.fromkeys(senders, 0)
        for send in senders.values():
            await measure(send, min(WARM_UP, requests))
        for _ in range(rounds):
            for name, send in senders.items():
                latencies, used_ns = await measure(send, requests)
                took[name] += latencies
                cpu[name] += used_ns
    return took, {name: used / len(took[name]) / 1e3 for name, used in cpu.items()}


def summary(
    took: dict[str, list[int]], cpu_us: dict[str, float]
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return the table's rows by client."""
    table = {}
    for name, latencies in took.items():
        cuts = statistics.quantiles(latencies, n=100)
        table[name] = {
            "p50_us": cuts[49] / 1e3, "p99_us": cuts[98] / 1e3, "cpu_us": cpu_us[name],
        }  # fmt: skip
    for row in table.values():
        row["p50_ratio"] = row["p50_us"] / table["ours"]["p50_us"]
        row["cpu_ratio"] = row["cpu_us"] / table["ours"]["cpu_us"]
    return table


def served(requests: int, rounds: int) -> tuple[dict[str, list[int]], dict[str, float]]:
    """Run the campaign against a server process of its own."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        return uvloop.run(campaign(url, requests, rounds))
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def rounds_of(rounds: int) -> dict[str, Any]:
    """Return what bench/rows makes a row of."""
    took, cpu_us = served(REQUESTS_PER_ROUND, rounds)
    return {"took": took, "cpu_us": cpu_us}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=300, help="of each client in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
        return
    table = summary(*served(options.requests, options.rounds))
    if options.json:
        sys.stdout.write(json.dumps(table) + "\n")
        return
    columns = ("p50_us", "p99_us", "cpu_us", "p50_ratio", "cpu_ratio")
    sys.stdout.write(f"{'client':20}" + "".join(f"{name:>11}" for name in columns) + "\n")
    for name, row in table.items():
        numbers = "".join(f"{row[column]:11.2f}" for column in columns)
        sys.stdout.write(f"{name:20}{numbers}\n")


if __name__ == "__main__":
    main()
