"""Wallet and API proofs: known answers, both directions, and that secrets stay hidden."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import signing_table as table
from overround.errors import ConfigError
from overround.venues.polymarket.auth import (
    Credentials,
    Signer,
    l1_headers,
    l2_headers,
    recover_address,
    verify_l1,
    verify_l2,
)

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(table.KEY)


@pytest.fixture
def credentials() -> Credentials:
    return Credentials("6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10", table.HMAC_SECRET, "pass-phrase")


def test_address_of_a_key_is_checksummed(signer: Signer) -> None:
    assert signer.address == table.ADDRESS
    assert Signer(bytes.fromhex("11" * 32)).address == table.ADDRESS
    assert Signer("11" * 32 + "\n").address == table.ADDRESS


def test_login_headers_equal_the_known_answer_and_verify(signer: Signer) -> None:
    headers = l1_headers(signer, table.LOGIN["timestamp_s"], table.LOGIN["nonce"])
    assert headers["POLY_SIGNATURE"] == table.LOGIN["signature"]
    assert headers["POLY_ADDRESS"] == table.ADDRESS
    assert verify_l1(headers) == table.ADDRESS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLY_TIMESTAMP", "1795000001"),
        ("POLY_NONCE", "1"),
        ("POLY_ADDRESS", "0x" + "22" * 20),
        ("POLY_ADDRESS", "not an address"),
        ("POLY_SIGNATURE", "0x"),
        ("POLY_SIGNATURE", "zz"),
        ("POLY_NONCE", "-1"),
        ("POLY_TIMESTAMP", "\u0661"),
    ],
)
def test_login_headers_changed_anywhere_prove_nothing(
    signer: Signer, name: str, value: str
) -> None:
    headers = l1_headers(signer, 1795000000)
    headers[name] = value
    assert verify_l1(headers) is None


def test_login_headers_of_another_chain_or_incomplete_prove_nothing(signer: Signer) -> None:
    headers = l1_headers(signer, 1795000000)
    assert verify_l1(headers, chain_id=80002) is None
    for name in ("POLY_ADDRESS", "POLY_SIGNATURE", "POLY_TIMESTAMP"):
        assert verify_l1({key: headers[key] for key in headers if key != name}) is None


@pytest.mark.parametrize(("method", "path", "body", "signature"), table.HMAC)
def test_request_signature_equals_the_known_answer(
    credentials: Credentials, method: str, path: str, body: bytes, signature: str
) -> None:
    headers = l2_headers(
        credentials, table.ADDRESS, table.HMAC_TIMESTAMP_S, method, path + "?a=1", body
    )
    assert headers["POLY_SIGNATURE"] == signature
    assert verify_l2(headers, credentials, table.ADDRESS.lower(), method, path + "?b=2", body)


def test_request_headers_changed_anywhere_are_refused(credentials: Credentials) -> None:
    headers = l2_headers(credentials, table.ADDRESS, 1795000000, "POST", "/order", b"{}")

    def holds(changed: dict[str, str], method: str = "POST", body: bytes = b"{}") -> bool:
        return verify_l2(changed, credentials, table.ADDRESS, method, "/order", body)

    assert holds(headers)
    assert not holds(headers, method="DELETE")
    assert not holds(headers, body=b"[]")
    for name in headers:
        assert not holds({**headers, name: headers[name] + "1"})
        assert not holds({key: headers[key] for key in headers if key != name})
        assert not holds({**headers, name: "\udc80"})


def test_apostrophes_are_accepted_in_both_readings(credentials: Credentials) -> None:
    body = b"{'a':\"it's\"}"
    for signed in (body, body.replace(b"'", b'"')):
        headers = l2_headers(credentials, table.ADDRESS, 1795000000, "POST", "/order", signed)
        assert verify_l2(headers, credentials, table.ADDRESS, "POST", "/order", body)


def test_secret_without_padding_signs_alike() -> None:
    padded = Credentials("k", table.HMAC_SECRET, "p")
    bare = Credentials("k", table.HMAC_SECRET.rstrip("="), "p")
    assert padded.signature(1, "GET", "/") == bare.signature(1, "GET", "/")


def test_secrets_never_show(signer: Signer, credentials: Credentials) -> None:
    shown = f"{signer!r} {signer} {credentials!r} {credentials}"
    assert table.ADDRESS in shown
    for secret in ("1111111111", table.HMAC_SECRET, "pass-phrase"):
        assert secret not in shown
    for thing in (signer, credentials):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            copy.copy(thing)


@pytest.mark.parametrize("key", ["", "0x", "11" * 31, "00" * 32, "ff" * 32, "q" * 64, "11" * 33])
def test_unusable_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match="private key is not usable") as caught:
        Signer(key)
    if key:
        text = "".join(traceback.format_exception_only(caught.value))
        assert key.removeprefix("0x") not in text or key == "0x"


@pytest.mark.parametrize("secret", ["", "***", "\u00e9", "a"])
def test_unusable_secret_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="secret"):
        Credentials("key", secret, "passphrase")


@given(st.binary(max_size=70), st.binary(min_size=30, max_size=34))
def test_recovery_of_rubbish_gives_an_address_or_nothing(signature: bytes, digest: bytes) -> None:
    recovered = recover_address(digest, signature)
    assert recovered is None or len(recovered) == 42


def test_upper_half_twin_of_a_signature_is_refused(signer: Signer) -> None:
    digest = bytes(range(32))
    signature = signer.sign_digest(digest)
    assert recover_address(digest, signature) == signer.address
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))
    assert recover_address(digest, twin) is None


@pytest.mark.recorded
def test_recorded_login_and_request_vectors(recorded: Path) -> None:
    vectors = json.loads((recorded / "signing/polymarket_signing_vectors.json").read_text())
    signer = Signer(vectors["key"])
    assert signer.address == vectors["address"]
    for case in vectors["clob_auth"]:
        headers = l1_headers(signer, case["timestamp"], case["nonce"], case["chain_id"])
        assert headers["POLY_SIGNATURE"] == case["signature"]
        assert verify_l1(headers, case["chain_id"]) == signer.address
    for case in vectors["hmac"]:
        made = Credentials("k", case["secret"], "p").signature(
            int(case["timestamp"]), case["method"], case["path"], (case["body"] or "").encode()
        )
        assert made == case["signature"]
    assert (len(vectors["clob_auth"]), len(vectors["hmac"])) == (6, 8)
