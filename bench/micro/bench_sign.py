"""How long from order fields to a request ready to send?

Question: what does one order cost before its first byte: digest, signature, body, L2 headers.
Input: a limit BUY of 10 shares at 0.52, EOA wallet, tick 0.01; a new salt and millisecond each
round. Peers in the same run: py-clob-client-v2 1.2.1 with the same secp256k1 library
(``coincurve``) and as a default install leaves it (``pure_python``), and the parts of our own
path. One number is the time of one whole order; read the ratio of
``test_ours`` to ``test_official_client``, not the microseconds of a shared machine.

Run: .venv/bin/pytest bench/micro/bench_sign.py --benchmark-columns=min,median,iqr,rounds
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from overround.venues.contract import OrderType, Side
from overround.venues.polymarket.amounts import limit_amounts
from overround.venues.polymarket.auth import Credentials, Signer, l2_headers
from overround.venues.polymarket.eip712 import keccak256
from overround.venues.polymarket.orders import (
    OrderParams,
    OrderSigner,
    exchange_domain,
    order_body,
    verify_order,
)

KEY = "0x" + "11" * 32
OWNER = "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10"
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
TIMESTAMP_S = 1_795_000_000

signer = Signer(KEY)
order_signer = OrderSigner(signer)
credentials = Credentials(OWNER, SECRET, "passphrase")
domain = exchange_domain(neg_risk=False)
salts = itertools.count(1)


def make_params(salt: int) -> OrderParams:
    maker_amount, taker_amount = limit_amounts(Side.BUY, 5200, 10_000_000, 100)
    return OrderParams(
        salt=salt,
        maker=signer.address,
        signer=signer.address,
        token_id=int(TOKEN),
        maker_amount=maker_amount,
        taker_amount=taker_amount,
        side=Side.BUY,
        signature_type=0,
        timestamp_ms=TIMESTAMP_S * 1000 + salt,
    )


def ours() -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a new order: the whole of our path."""
    signed = order_signer.sign(make_params(next(salts)), domain)
    body = order_body(signed, OWNER, OrderType.FAK)
    return body, l2_headers(credentials, signer.address, TIMESTAMP_S, "POST", "/order", body)


@pytest.mark.benchmark(group="order")
def test_ours(benchmark: Any) -> None:
    body, headers = benchmark(ours)
    assert b'"orderType":"FAK"' in body
    assert len(headers) == 5


@pytest.mark.benchmark(group="order")
@pytest.mark.parametrize("curve", ["coincurve", "pure_python"])
def test_official_client(benchmark: Any, curve: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clob_types = pytest.importorskip("py_clob_client_v2.clob_types")
    from py_clob_client_v2.headers.headers import create_level_2_headers
    from py_clob_client_v2.order_builder.builder import OrderBuilder
    from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
    from py_clob_client_v2.signer import Signer as ClientSigner

    backend = {"coincurve": "CoinCurveECCBackend", "pure_python": "NativeECCBackend"}[curve]
    monkeypatch.setenv("ECC_BACKEND_CLASS", f"eth_keys.backends.{backend}")
    client_signer = ClientSigner(KEY, 137)
    builder = OrderBuilder(client_signer)
    creds = clob_types.ApiCreds(OWNER, SECRET, "passphrase")
    options = clob_types.CreateOrderOptions(tick_size="0.01", neg_risk=False)

    def official() -> tuple[str, dict[str, str]]:
        arguments = clob_types.OrderArgsV2(token_id=TOKEN, price=0.52, size=10, side="BUY")
        order = builder.build_order(arguments, options, 2)
        payload = order_to_json_v2(order, OWNER, "FAK")
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        request = clob_types.RequestArgs(
            method="POST", request_path="/order", body=payload, serialized_body=body
        )
        return body, create_level_2_headers(client_signer, creds, request)

    body, headers = benchmark(official)
    assert '"orderType":"FAK"' in body
    assert len(headers) == 5


@pytest.mark.benchmark(group="parts")
def test_part_sign_digest(benchmark: Any) -> None:
    assert len(benchmark(signer.sign_digest, bytes(range(32)))) == 65


@pytest.mark.benchmark(group="parts")
def test_part_keccak_of_an_order(benchmark: Any) -> None:
    assert len(benchmark(keccak256, bytes(384))) == 32


@pytest.mark.benchmark(group="parts")
def test_part_body(benchmark: Any) -> None:
    signed = order_signer.sign(make_params(1), domain)
    assert benchmark(order_body, signed, OWNER, OrderType.FAK)


@pytest.mark.benchmark(group="parts")
def test_part_headers(benchmark: Any) -> None:
    body = order_body(order_signer.sign(make_params(1), domain), OWNER, OrderType.FAK)
    assert benchmark(l2_headers, credentials, signer.address, TIMESTAMP_S, "POST", "/order", body)


@pytest.mark.benchmark(group="exchange")
def test_verify(benchmark: Any) -> None:
    params = make_params(1)
    signature = order_signer.sign(params, domain).signature
    assert benchmark(verify_order, params, signature, domain) == signer.address
