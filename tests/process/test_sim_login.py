"""What the exchange says to logins, keys and bodies that are not as they should be."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from oracle.sim_process import PATIENCE_S, SimProcess, running
from overround.clock import epoch_s
from overround.venues.polymarket.auth import Credentials, Signer, l1_headers, l2_headers


class Wallet:
    """A client without any help: signs and sends what it is told."""

    def __init__(self, sim: SimProcess) -> None:
        self.sim = sim
        self.signer = Signer(sim.ready["accounts"][2]["private_key"])
        answer = self.l1("POST", "/auth/api-key")[1]
        self.credentials = Credentials(answer["apiKey"], answer["secret"], answer["passphrase"])

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.sim.url + path, body or None, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def l1(self, method: str, path: str, nonce: int = 0) -> tuple[int, Any]:
        return self.send(method, path, l1_headers(self.signer, epoch_s(), nonce), b"")

    def l2(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        plain = path.partition("?")[0]
        headers = l2_headers(self.credentials, self.signer.address, epoch_s(), method, plain, body)
        return self.send(method, path, headers, body)


@pytest.fixture
def wallet() -> Iterator[Wallet]:
    with running("--rate", "0", "--edge-every", "0") as sim:
        yield Wallet(sim)


def test_keys_are_made_once_listed_and_deleted(wallet: Wallet) -> None:
    assert wallet.l1("POST", "/auth/api-key") == (400, {"error": "Could not create api key"})
    assert wallet.l1("GET", "/auth/derive-api-key", 9) == (
        400, {"error": "Could not derive api key!"},
    )  # fmt: skip
    unsigned = (401, {"error": "Invalid L1 Request headers"})
    assert wallet.send("POST", "/auth/api-key", {}, b"") == unsigned
    assert wallet.send("GET", "/auth/derive-api-key", {}, b"") == unsigned
    key = wallet.credentials.api_key
    assert wallet.l2("GET", "/auth/api-keys") == (200, {"apiKeys": [key]})
    assert wallet.l2("GET", "/auth/ban-status/closed-only") == (200, {"closed_only": False})
    assert wallet.l2("DELETE", "/auth/api-key") == (200, "OK")
    assert wallet.l2("GET", "/auth/api-keys")[0] == 401


def test_unreadable_bodies_are_refused_in_the_venues_words(wallet: Wallet) -> None:
    payload = (400, {"error": "Invalid payload"})
    order = (400, {"error": "Invalid order payload"})
    assert wallet.l2("POST", "/order", b"{") == payload
    assert wallet.l2("POST", "/order", b'{"owner":"x"}') == order
    assert wallet.l2("POST", "/orders", b"{}") == payload
    many = b"[" + b",".join([b"{}"] * 16) + b"]"
    assert wallet.l2("POST", "/orders", many)[1] == {
        "error": "Too many orders in payload: 16, max allowed: 15"
    }
    assert wallet.l2("POST", "/orders", b"[{}]")[1][0]["errorMsg"] == "Invalid order payload"
    assert wallet.l2("DELETE", "/order", b"[]") == order
    assert wallet.l2("DELETE", "/orders", b'{"a":1}') == order
    assert wallet.l2("DELETE", "/orders", json.dumps(["x"] * 1_001).encode())[0] == 400
    assert wallet.l2("DELETE", "/orders", b'["0x1"]')[1]["not_canceled"] == {
        "0x1": "Order not found or already canceled"
    }
    assert wallet.l2("DELETE", "/cancel-market-orders", b"[]") == payload
    assert wallet.l2("DELETE", "/cancel-market-orders", b'{"market":"","asset_id":""}') == (
        200, {"canceled": [], "not_canceled": {}},
    )  # fmt: skip
    assert wallet.l2("GET", "/data/trades?after=soon") == payload
    assert wallet.l2("GET", "/data/trades?after=1&before=9999999999")[1]["data"] == []
    assert wallet.l2("GET", "/data/order/0x1") == (200, None)
    unknown = "/balance-allowance?asset_type=CONDITIONAL&token_id=1"
    assert wallet.l2("GET", unknown) == (400, {"error": "Invalid token id"})
    assert wallet.l2("GET", "/balance-allowance?asset_type=COLLATERAL")[1]["balance"] == str(10**11)


def test_wrong_heartbeat_is_answered_with_the_right_one(wallet: Wallet) -> None:
    status, first = wallet.l2("POST", "/v1/heartbeats", b'{"heartbeat_id":""}')
    assert status == 200
    status, refused = wallet.l2("POST", "/v1/heartbeats", b'{"heartbeat_id":"wrong"}')
    assert (status, refused["heartbeat_id"]) == (400, first["heartbeat_id"])
    assert refused["error"] == refused["error_msg"] == "Invalid Heartbeat ID"
    again = json.dumps(first).encode()
    assert wallet.l2("POST", "/v1/heartbeats", again) == (200, first)


def test_tampered_requests_are_unauthorized(wallet: Wallet) -> None:
    headers = l2_headers(
        wallet.credentials, wallet.signer.address, epoch_s(), "POST", "/orders", b"[]"
    )
    assert wallet.send("POST", "/order", headers, b"[]") == (
        401, {"error": "Unauthorized/Invalid api key"},
    )  # fmt: skip
    assert wallet.send("POST", "/orders", headers, b"[{}]")[0] == 401
