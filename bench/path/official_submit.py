"""py-clob-client-v2 from arguments to the last byte handed to a socket that nobody answers.

The client's own ``create_and_post_order`` with its own HTTP library (httpx) and its warm
connection. Only the socket's two calls are ours: writes go to the sink and are timed, and what is
read is made up here, because the sink never answers; the reading is not timed.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from overround import clock

ANSWERS = {
    "/version": {"version": 2}, "/tick-size": {"minimum_tick_size": "0.01"},
    "/neg-risk": {"neg_risk": False}, "/fee-rate": {"base_fee": 0},
    "/order": {"success": True, "errorMsg": "", "orderID": "0x", "status": "live"},
}  # fmt: skip


class SinkStream:
    """One connection of httpcore over the sink's socket."""

    def __init__(self, sink: socket.socket) -> None:
        self._sink = sink
        self._path = ""
        self._answer = b""
        self.ended_ns = 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hand bytes to the sink, and note when."""
        self._sink.sendall(buffer)
        self.ended_ns = clock.monotonic_ns()
        line = buffer.partition(b"\r\n")[0]
        if line.endswith(b" HTTP/1.1"):
            self._path = line.split()[1].decode("ascii").partition("?")[0]
            body = json.dumps(ANSWERS[self._path]).encode()
            self._answer = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the answer, once."""
        answer, self._answer = self._answer, b""
        return answer

    def close(self) -> None:
        """The socket is not ours."""

    def get_extra_info(self, info: str) -> Any:
        """Nothing is ever to be read before a request."""
        return False if info == "is_readable" else None


class SinkBackend:
    """What httpcore connects by."""

    def __init__(self, sink: socket.socket) -> None:
        self.stream = SinkStream(sink)

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> SinkStream:
        """Return the one connection."""
        return self.stream

    def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> SinkStream:
        """Return it as well."""
        return self.stream

    def sleep(self, seconds: float) -> None:
        """Nothing is retried."""
        raise AssertionError("the client wants to try again")


def official_submit(
    sink: socket.socket, key: str, credentials: Iterable[str], token: str
) -> Callable[[], int] | None:
    """Return a round of the client's whole way (ns); None where it is not installed.

    ``credentials`` are API key, secret and passphrase.
    """
    os.environ["ECC_BACKEND_CLASS"] = "eth_keys.backends.CoinCurveECCBackend"
    try:
        import httpcore
        import httpx
        from py_clob_client_v2 import clob_types
        from py_clob_client_v2.client import ClobClient
        from py_clob_client_v2.http_helpers import helpers
    except ImportError:
        return None
    backend: Any = SinkBackend(sink)
    transport = httpx.HTTPTransport()
    transport._pool = httpcore.ConnectionPool(network_backend=backend)
    helpers._http_client = httpx.Client(transport=transport)
    client = ClobClient("http://127.0.0.1:1", 137, key, clob_types.ApiCreds(*credentials))
    options = clob_types.PartialCreateOrderOptions(tick_size="0.01", neg_risk=False)

    def round_() -> int:
        arguments = clob_types.OrderArgsV2(token_id=token, price=0.5, size=10, side="BUY")
        begun_ns = clock.monotonic_ns()
        answer = client.create_and_post_order(arguments, options, "FAK")
        assert answer["success"], answer
        return int(backend.stream.ended_ns) - begun_ns

    return round_
