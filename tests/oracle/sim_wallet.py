"""A client without any help: signs what it is told, sends what it is told, over plain HTTP."""

from __future__ import annotations

import itertools
import json
import socket
import urllib.error
import urllib.request
from typing import Any

from oracle.sim_process import PATIENCE_S, SimProcess
from overround.clock import epoch_ms, epoch_s
from overround.match.types import OrderType, Side
from overround.venues.polymarket.auth import Credentials, Signer, l1_headers, l2_headers
from overround.venues.polymarket.orders import (
    OrderParams,
    OrderSigner,
    exchange_domain,
    order_body,
)

FAVOURITE = "0xde04b189b3f19eaccda02529a3ea67abfc46bff5c0c8fc42d8a2d0ed7b8f0d41"
"""A neg-risk market of the default catalog: book 0.98 / 0.981, tick 0.001, minimum 5."""


class HostileWallet:
    """A funded test account of a running exchange."""

    def __init__(self, sim: SimProcess, number: int = 0) -> None:
        self.sim = sim
        self.host, port = sim.url.removeprefix("http://").split(":")
        self.port = int(port)
        self.signer = Signer(sim.ready["accounts"][number]["private_key"])
        status, answer = self.l1("POST", "/auth/api-key")
        if status != 200:
            answer = self.l1("GET", "/auth/derive-api-key")[1]
        self.credentials = Credentials(answer["apiKey"], answer["secret"], answer["passphrase"])
        self._salt = itertools.count(1)

    def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, Any]:
        """One request; the answer must be JSON whatever its status."""
        request = urllib.request.Request(
            self.sim.url + path, body or None, headers=headers or {}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def l1(self, method: str, path: str, nonce: int = 0) -> tuple[int, Any]:
        return self.send(method, path, l1_headers(self.signer, epoch_s(), nonce))

    def headers(self, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        plain = path.partition("?")[0]
        return l2_headers(self.credentials, self.signer.address, epoch_s(), method, plain, body)

    def l2(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        return self.send(method, path, self.headers(method, path, body), body)

    def body(
        self,
        token: str,
        side: Side,
        cash: int,
        shares: int,
        kind: OrderType = OrderType.GTC,
        *,
        neg_risk: bool = True,
        timestamp_ms: int = 0,
    ) -> dict[str, Any]:
        """A valid signed order as a dict to be spoiled: cash and shares in millionths."""
        maker, taker = (cash, shares) if side == Side.BUY else (shares, cash)
        params = OrderParams(
            salt=next(self._salt),
            maker=self.signer.address,
            signer=self.signer.address,
            token_id=int(token),
            maker_amount=maker,
            taker_amount=taker,
            side=int(side),
            signature_type=0,
            timestamp_ms=timestamp_ms or epoch_ms(),
        )
        signed = OrderSigner(self.signer).sign(params, exchange_domain(neg_risk=neg_risk))
        whole: dict[str, Any] = json.loads(order_body(signed, self.credentials.api_key, kind))
        return whole

    def request(self, method: str, path: str, body: bytes = b"", *, login: bool = True) -> bytes:
        """The bytes of one keep-alive request, for raw sockets."""
        named = self.headers(method, path, body) if login else {}
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=PATIENCE_S)

    def raw(self, data: bytes) -> bytes:
        """Everything the server says to these bytes until it closes or we have one answer."""
        with self.connect() as link:
            link.sendall(data)
            return read_answer(link)


def read_answer(link: socket.socket) -> bytes:
    """One whole HTTP answer (head and body), or what came before the connection ended."""
    got = b""
    while True:
        head, found, rest = got.partition(b"\r\n\r\n")
        if found:
            wanted = 0
            for line in head.split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    wanted = int(value)
            if len(rest) >= wanted:
                return got
        try:
            more = link.recv(1 << 16)
        except ConnectionError:
            return got
        if not more:
            return got
        got += more
