"""Hostile HTTP against a real exchange: the venue's error, never a 500, never a stopped server."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oracle.sim_process import PATIENCE_S, SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet, read_answer
from overround.clock import NS_PER_S, monotonic_ns
from overround.match.types import Side

SHARE = 1_000_000
DEEP = 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[SimProcess]:
    with running("--rate", "0", "--edge-every", "0") as sim:
        yield sim


@pytest.fixture
def wallet(server: SimProcess) -> Iterator[HostileWallet]:
    """A login; whatever the test did, the server lives, counts no error and has its money."""
    yield HostileWallet(server)
    state = server.get("/sim/state")
    assert state["server_errors"] == 0
    assert server.get("/sim/check") == {"ok": True}
    assert server.process.poll() is None


@pytest.fixture(scope="module")
def token(server: SimProcess) -> str:
    record = server.get(f"/clob-markets/{FAVOURITE}")
    return str(record["t"][0]["t"])


def spoiled(order: dict[str, Any], rng: random.Random) -> Any:
    """One random defect somewhere in a valid body."""
    body = copy.deepcopy(order)
    target = rng.choice((body, body["order"], body["order"], body["order"]))
    key = rng.choice(list(target))
    value = rng.choice(
        [
            None, True, False, -1, 0, 1, 0.5, 10**30, 10**77, 10**78, 2**256, 2**63, 1e308, "", "x",
            "-1", "1e5", "0x", "\u0661\u0662", "\ud800", "\x00", "9" * 78, "9" * 5_000, [], {}, [1],
            {"a": 1}, [[[]]], "0x" + "f" * 64, "0x" + "0" * 130, "GTC", "GTD", "FOK", "BUY", "SELL",
        ]
    )  # fmt: skip
    action = rng.random()
    if action < 0.15:
        del target[key]
    elif action < 0.25:
        target[f"{key}2"] = target.pop(key)
    else:
        target[key] = value
    return body


def test_a_thousand_spoiled_orders_are_refused_in_words(wallet: HostileWallet, token: str) -> None:
    seed = 20261123
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = wallet.body(token, Side.BUY, 18 * SHARE, 20 * SHARE)
    bodies = [spoiled(good, rng) for _ in range(1_000)]
    accepted: set[str] = set()
    for first in range(0, len(bodies), 15):
        raw = json.dumps(bodies[first : first + 15]).encode()
        status, answers = wallet.l2("POST", "/orders", raw)
        assert status == 200, answers
        for answer in answers:
            assert answer["orderID"] or answer["errorMsg"], answer
            accepted.add(answer["orderID"])
    # A defect in what nobody reads (an extra name, a spare key) leaves the one order valid.
    assert len(accepted - {""}) <= 1
    for body in bodies[:40]:
        status, answer = wallet.l2("POST", "/order", json.dumps(body).encode())
        assert (status == 200 and answer["success"]) or (status == 400 and answer["error"])
    wallet.l2("DELETE", "/cancel-all")


@pytest.mark.parametrize("path", ["/order", "/orders"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_bodies_that_are_no_orders(wallet: HostileWallet, method: str, path: str) -> None:
    huge = b"9" * 5_000
    for body in (
        b"{", b"nul", b"NaN", b"Infinity", b'"\\ud800"', b'"x"', b"1", b"true", b"[[]]", b"[null]",
        b"{}", b'{"order":[]}', b'{"order":{}}', b'{"order":"salt"}', b"\xff\xfe\x00", b"\x00",
        b"[" * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"order":' * DEEP, huge, b"[" + huge + b"]",
        b'{"orderID":' + huge + b"}", b'{"orderID":null}', b'{"orderID":{}}', b'["\\ud800"]',
        b'{"orderID":"\\ud800"}', b'["' + b"x" * 500_000 + b'"]', b'{"a":1}' * 3,
    ):  # fmt: skip
        status, answer = wallet.l2(method, path, body)
        refused = status == 400 and answer["error"]
        unknown = status == 200 and method == "DELETE" and not answer["canceled"]
        legs = status == 200 and method == "POST" and all(leg["errorMsg"] for leg in answer)
        assert refused or unknown or legs, (body[:40], status, answer)


def test_numbers_beyond_reason(wallet: HostileWallet, token: str) -> None:
    for cash, shares in (
        (2**256 - 1, 1), (1, 2**256 - 1), (2**256 - 1, 2**256 - 1), (2**63, 2**64), (1, 1),
        (10**60, 10**60 - 1), (0, 1), (1, 0), (5_000 * 10**70, 10_000 * 10**70),
    ):  # fmt: skip
        for side in Side:
            body = json.dumps(wallet.body(token, side, cash, shares)).encode()
            status, answer = wallet.l2("POST", "/order", body)
            assert status == 400, answer
            assert answer["error"]


def test_unknown_ids_and_odd_queries(wallet: HostileWallet) -> None:
    strange = [
        "",
        "0",
        "-1",
        "1" * 5_000,
        "%00",
        "%ff",
        "%C2%B2",
        "..%2f..",
        "'",
        "a,b",
        "x" * 4_000,
    ]
    public = [
        "/book?token_id={}", "/books?token_ids={}", "/midpoint?token_id={}", "/price?token_id={}",
        "/spread?token_id={}", "/last-trade-price?token_id={}", "/tick-size?token_id={}",
        "/neg-risk?token_id={}", "/fee-rate?token_id={}", "/markets-by-token/{}",
        "/clob-markets/{}", "/events/slug/{}", "/events/keyset?limit={}", "/nowhere/{}",
        "/events/keyset?after_cursor={}", "/markets/keyset?offset={}", "/events?id={}",
    ]  # fmt: skip
    for template in public:
        for value in strange:
            status, answer = wallet.send("GET", template.format(value))
            assert status in (200, 400, 404, 422), (template, value, status)
            assert status == 200 or answer["error"]
    private = [
        "/data/order/{}", "/data/orders?id={}", "/data/orders?next_cursor={}",
        "/data/orders?market={}", "/data/trades?after={}", "/data/trades?before={}",
        "/data/trades?next_cursor={}", "/balance-allowance?asset_type={}",
        "/balance-allowance?asset_type=CONDITIONAL&token_id={}",
    ]  # fmt: skip
    for template in private:
        for value in ("", "-1", "1" * 4_999, "x", "LTE=", "MA=="):
            status, answer = wallet.l2("GET", template.format(value))
            assert status in (200, 400, 404), (template, value, status)
            assert status == 200 or answer["error"]


def test_logins_that_are_none(wallet: HostileWallet) -> None:
    good = wallet.headers("GET", "/data/orders")
    strange = ["", "\u00b2", "9" * 4_000, "-1", "0x", "0x" + "0" * 130, "\u00ff" * 50, "null", "'"]
    for name in good:
        for value in strange:
            headers = {**good, name: value}
            status, answer = wallet.send("GET", "/data/orders", headers)
            assert (status, answer["error"]) == (401, "Unauthorized/Invalid api key"), (name, value)
        without = {key: value for key, value in good.items() if key != name}
        assert wallet.send("GET", "/data/orders", without)[0] == 401
    for name in ("POLY_ADDRESS", "POLY_SIGNATURE", "POLY_TIMESTAMP", "POLY_NONCE"):
        for value in strange:
            headers = {"POLY_ADDRESS": wallet.signer.address, "POLY_TIMESTAMP": "1", name: value}
            assert wallet.send("GET", "/auth/derive-api-key", headers)[0] == 401
            assert wallet.send("POST", "/auth/api-key", headers)[0] == 401


def test_replayed_bytes_buy_only_once(wallet: HostileWallet, token: str) -> None:
    body = json.dumps(wallet.body(token, Side.BUY, 18 * SHARE, 20 * SHARE)).encode()
    data = wallet.request("POST", "/order", body)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(wallet.raw, [data] * 40))
    first = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200")]
    assert len(first) == 1
    assert all(b"Duplicated." in answer for answer in answers if answer is not first[0])
    assert len(wallet.l2("GET", "/data/orders")[1]["data"]) == 1
    wallet.l2("DELETE", "/cancel-all")
    assert b"Duplicated." in wallet.raw(data)


def test_orders_of_others_stay_out_of_reach(
    wallet: HostileWallet, server: SimProcess, token: str
) -> None:
    body = json.dumps(wallet.body(token, Side.BUY, 18 * SHARE, 20 * SHARE)).encode()
    order_id = wallet.l2("POST", "/order", body)[1]["orderID"]
    thief = HostileWallet(server, 1)
    assert thief.l2("GET", f"/data/order/{order_id}") == (200, None)
    answer = thief.l2("DELETE", "/order", json.dumps({"orderID": order_id}).encode())[1]
    assert answer["canceled"] == []
    stolen = thief.l2("POST", "/order", body)
    assert stolen == (400, {"error": "the order owner has to be the owner of the API KEY"})
    named = json.loads(body)
    named["owner"] = thief.credentials.api_key
    status, refused = thief.l2("POST", "/order", json.dumps(named).encode())
    assert (status, refused["error"]) == (
        400, "the order signer address has to be the address of the API KEY",
    )  # fmt: skip
    wallet.l2("DELETE", "/cancel-all")


def test_what_is_no_http_is_refused_and_counted(wallet: HostileWallet) -> None:
    before = wallet.sim.get("/sim/state")["bad_http"]
    bad = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50, b"\r\n" * 50 + b"x\r\n\r\n",
        b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /books HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /books HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /books HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        b"POST /books HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n[]\r\n0\r\n\r\n",
        b"POST /books HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ]  # fmt: skip
    for data in bad:
        answer = wallet.raw(data)
        assert answer == b"" or answer.split()[1][:1] == b"4", (data[:60], answer[:200])
    assert wallet.sim.get("/sim/state")["bad_http"] > before
    assert b" 405 " in wallet.raw(wallet.request("PATCH", "/order"))
    assert b" 404 " in wallet.raw(wallet.request("GET", "/%2e%2e/etc/passwd"))


def test_oversized_bodies_end_the_connection(wallet: HostileWallet) -> None:
    big = b"[" + b" " * (3 << 20) + b"]"
    with wallet.connect() as link:
        with contextlib.suppress(ConnectionError):  # closed before all was sent: as good
            link.sendall(wallet.request("POST", "/orders", big))
        answer = read_answer(link)
    assert answer == b"" or b" 413 " in answer
    claimed = b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n[]"
    with wallet.connect() as link:
        link.sendall(claimed)
    assert wallet.sim.get("/ok") == "OK"


def test_half_closed_and_torn_connections(wallet: HostileWallet, token: str) -> None:
    book = wallet.request("GET", f"/book?token_id={token}", login=False)
    order = json.dumps(wallet.body(token, Side.BUY, 18 * SHARE, 20 * SHARE)).encode()
    whole = wallet.request("POST", "/order", order)
    for cut in (1, 10, len(whole) // 2, len(whole) - 1):
        with wallet.connect() as link:
            link.sendall(whole[:cut])
            link.shutdown(socket.SHUT_WR)
            assert not read_answer(link).startswith(b"HTTP/1.1 5")
        with wallet.connect() as link:
            link.sendall(whole[:cut])
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    with wallet.connect() as link:
        link.sendall(book)
        link.shutdown(socket.SHUT_WR)
        read_answer(link)
    # The torn order never arrived whole, so it may still be placed, once.
    assert wallet.l2("POST", "/order", order)[0] == 200
    wallet.l2("DELETE", "/cancel-all")


def test_a_thousand_pipelined_requests_are_answered_in_order(
    wallet: HostileWallet, token: str
) -> None:
    asked = [
        wallet.request("GET", path, login=False)
        for path in (f"/midpoint?token_id={token}", "/midpoint?token_id=1", "/version", "/ok")
    ]
    with wallet.connect() as link, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(link.sendall, b"".join(asked * 250))
        got, marks = b"", [b'{"mid":', b'"No orderbook', b'{"version":2}', b'"OK"']
        while got.count(b"HTTP/1.1 ") < 1_000 or not got.endswith(b'"OK"'):
            more = link.recv(1 << 16)
            assert more
            got += more
        sending.result()
    bodies = got.split(b"HTTP/1.1 ")[1:]
    assert len(bodies) == 1_000
    for number, body in enumerate(bodies):
        assert marks[number % 4] in body


def test_five_hundred_crawling_connections_do_not_hold_up_the_rest(wallet: HostileWallet) -> None:
    part = wallet.request("POST", "/order", b"x" * 1_000)
    links = [wallet.connect() for _ in range(500)]
    try:
        for step in range(0, 40, 8):
            for link in links:
                link.sendall(part[step : step + 8])
            assert wallet.sim.get("/ok") == "OK"
        for link in links[:250]:
            link.sendall(part[40:600])
        assert wallet.l2("GET", "/data/orders")[0] == 200
    finally:
        for link in links:
            link.close()


def test_running_out_of_descriptors_passes(tmp_path: Path) -> None:
    with running("--rate", "50", "--log", str(tmp_path / "log")) as sim:
        wallet = HostileWallet(sim)
        resource.prlimit(sim.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        links = [wallet.connect() for _ in range(150)]
        assert sim.process.poll() is None
        for link in links:
            link.close()
        late_ns = monotonic_ns() + PATIENCE_S * NS_PER_S
        while True:
            try:
                assert wallet.l2("GET", "/data/orders")[1]["data"] == []
                break
            except OSError:  # refused while the closed ones are being cleared away
                assert monotonic_ns() < late_ns
