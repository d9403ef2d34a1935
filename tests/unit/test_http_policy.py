"""Budgets, holds and the bytes of a request, with a clock that the test moves."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.http_server import Told
from overround.clock import NS_PER_MS, NS_PER_S
from overround.decide.risk import RefusalCode
from overround.errors import OrderError, VenueError
from overround.execute.client import kind_of
from overround.execute.http.answer import Kind, NotSent, Response
from overround.execute.http.budget import TokenBucket
from overround.execute.http.dial import Origin
from overround.execute.http.guard import Guard
from overround.execute.http.head import RequestEncoder
from overround.execute.http.trouble import ROWS, Hold, Trouble, trouble_of
from overround.observe.metrics import Value
from overround.venues.polymarket import rest
from overround.venues.polymarket.auth import Credentials, Signer, verify_l1, verify_l2
from overround.venues.polymarket.reasons import RejectReason

KEY = "0x" + "11" * 32
CREDENTIALS = Credentials(
    "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10",
    "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=",
    "5f" * 32,
)
NOW_S = 1_795_000_000


# -- budget ------------------------------------------------------------------------------


def test_tokens_come_back_at_their_rate_and_no_further_than_the_burst() -> None:
    bucket = TokenBucket(40, 60, 0)
    bucket.spend(60, 0)
    assert bucket.wait_ns(1, 0) == NS_PER_S // 40
    assert bucket.wait_ns(4, 0) == NS_PER_S // 10
    assert bucket.tokens(NS_PER_S) == 40
    assert bucket.tokens(100 * NS_PER_S) == 60
    assert bucket.wait_ns(61, 100 * NS_PER_S) == 0  # a full bucket has to do


def test_who_asks_later_waits_longer_and_kept_tokens_stay() -> None:
    bucket = TokenBucket(10, 20, 0)
    bucket.spend(20, 0)
    bucket.spend(5, 0)  # promised: they come within half a second
    assert bucket.tokens(0) == -5
    assert bucket.wait_ns(1, 0) == 6 * NS_PER_S // 10
    bucket.give_back(5)
    assert bucket.wait_ns(1, 0, keep=4) == 5 * NS_PER_S // 10


@given(
    st.lists(st.tuples(st.integers(0, 2 * NS_PER_S), st.integers(1, 30)), max_size=60),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_no_window_ever_holds_more_than_burst_and_rate(
    asks: list[tuple[int, int]], per_s: int, burst: int
) -> None:
    bucket, now_ns, sent = TokenBucket(per_s, burst, 0), 0, []
    for pause_ns, cost in asks:
        now_ns += pause_ns
        cost = min(cost, burst)
        if bucket.wait_ns(cost, now_ns) == 0:
            bucket.spend(cost, now_ns)
            sent.append((now_ns, cost))
    for first, (begun_ns, _) in enumerate(sent):
        total = 0
        for ended_ns, cost in sent[first:]:
            total += cost
            assert total * NS_PER_S <= burst * NS_PER_S + (ended_ns - begun_ns) * per_s


# -- holds -------------------------------------------------------------------------------


class Hands:
    """A guard, its news, and a clock moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.told = Told()
        self.guard = Guard(self.told, lambda: self.now_ns)

    def answered(self, status: int, body: bytes = b"{}", again: str = "", kind: Kind = Kind.ORDER,
                 *, login: bool = True) -> Trouble | None:  # fmt: skip
        return self.guard.judge(kind, "POST /order", Response(status, body, again), login=login)

    def held_ms(self, kind: Kind = Kind.ORDER, *, post_only: bool = False) -> int:
        """How long this kind is held from now; 0 if it is not."""
        begun_ns = self.now_ns
        try:
            while True:
                try:
                    self.guard.check(kind, post_only=post_only)
                    return (self.now_ns - begun_ns) // NS_PER_MS
                except NotSent as error:
                    if error.code is not RefusalCode.PAUSED:
                        raise
                    self.now_ns += 100 * NS_PER_MS
                    if self.now_ns - begun_ns > 1_000 * NS_PER_S:
                        return -1
        finally:
            self.now_ns = begun_ns


@pytest.mark.parametrize(
    ("status", "body", "again", "trouble", "orders_ms", "makers_ms", "queries_ms"),
    [
        (425, b'{"error":"restarting"}', "", Trouble.RESTARTING, 1_000, 1_000, 0),
        (425, b"", "5", Trouble.RESTARTING, 5_000, 5_000, 0),
        (429, b'{"error":"Too Many Requests"}', "2", Trouble.RATE_LIMITED, 2_000, 2_000, 0),
        (429, b"<html>", "9999", Trouble.RATE_LIMITED, 60_000, 60_000, 0),
        (503, b'{"error":"post-only mode: only","code":"post_only_mode",'
         b'"retry_after_seconds":90}', "", Trouble.POST_ONLY, 90_000, 0, 0),
        (503, b'{"error":"Trading is currently disabled. x"}', "", Trouble.DISABLED,
         1_000, 1_000, 0),
        (503, b'{"error":"Trading is currently cancel-only. x"}', "", Trouble.DISABLED,
         1_000, 1_000, 0),
        (502, b"<html>", "", Trouble.SERVER, 0, 0, 0),
        (400, b'{"error":"not enough balance / allowance"}', "", None, 0, 0, 0),
        (200, b"{}", "", None, 0, 0, 0),
    ],
)  # fmt: skip
def test_each_trouble_holds_what_the_table_says_and_never_a_cancel(
    status: int, body: bytes, again: str, trouble: Trouble | None, orders_ms: int,
    makers_ms: int, queries_ms: int,
) -> None:  # fmt: skip
    hands = Hands()
    assert hands.answered(status, body, again) is trouble
    assert hands.held_ms() == orders_ms
    assert hands.held_ms(post_only=True) == makers_ms
    assert hands.held_ms(Kind.QUERY) == queries_ms
    hands.guard.check(Kind.CANCEL)
    assert hands.told.counts.get(Value.VENUE_TROUBLES, 0) == (trouble is not None)
    assert hands.told.counts.get(Value.VENUE_PAUSES, 0) == (orders_ms > 0)
    assert hands.told.codes() == ({trouble.value} if trouble else set())


def test_a_hold_doubles_while_it_lasts_and_is_forgotten_after_a_good_answer() -> None:
    hands = Hands()
    seen = []
    for _ in range(7):
        hands.answered(425)
        seen.append(hands.held_ms())
        hands.answered(425)  # of a request that was under way: the same hold
        assert hands.held_ms() == seen[-1]
        hands.now_ns += seen[-1] * NS_PER_MS
    assert seen == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
    hands.answered(200)
    hands.answered(425)
    assert hands.held_ms() == 1_000


def test_a_good_answer_from_before_does_not_end_a_hold() -> None:
    hands = Hands()
    hands.answered(425)
    hands.answered(200)
    assert hands.held_ms() == 1_000


def test_the_third_failure_in_a_row_holds_orders() -> None:
    hands = Hands()
    assert [hands.answered(500) and hands.held_ms() for _ in range(3)] == [0, 0, 1_000]
    other = Hands()
    for _ in range(10):
        other.answered(500)
        other.answered(200)
    assert other.held_ms() == 0
    queries = Hands()
    for _ in range(10):
        queries.answered(500, kind=Kind.QUERY)
    assert (queries.held_ms(), queries.held_ms(Kind.QUERY)) == (0, 0)


def test_a_limit_on_queries_holds_queries_and_one_on_cancels_nothing() -> None:
    hands = Hands()
    hands.answered(429, again="3", kind=Kind.QUERY)
    assert (hands.held_ms(), hands.held_ms(Kind.QUERY)) == (0, 3_000)
    hands.answered(429, again="3", kind=Kind.CANCEL)
    assert (hands.held_ms(), hands.held_ms(Kind.CANCEL)) == (0, 0)


def test_a_stop_lasts_until_it_is_ended() -> None:
    hands = Hands()
    hands.guard.stop_orders(Trouble.CLOCK, "60000 ms")
    hands.guard.stop_orders(Trouble.CLOCK, "61000 ms")
    with pytest.raises(NotSent, match="61000 ms") as caught:
        hands.guard.check(Kind.ORDER)
    assert caught.value.code is RefusalCode.CLOCK
    hands.guard.check(Kind.CANCEL)
    hands.guard.check(Kind.QUERY)
    hands.guard.resume(Trouble.CLOCK)
    hands.guard.check(Kind.ORDER)
    assert [event for event, _ in hands.told.lines] == ["orders stopped", "orders go on"]


def test_a_refused_wallet_signature_is_no_refused_key() -> None:
    assert Hands().answered(401, login=False) is None
    assert Hands().answered(401) is Trouble.LOGIN


def test_the_table_is_whole() -> None:
    assert set(ROWS) == set(Trouble)
    for row in ROWS.values():
        assert row.first_s <= row.most_s
        assert row.hold is not Hold.NOTHING
    assert trouble_of(503, RejectReason.OTHER) is Trouble.SERVER
    assert trouble_of(400, RejectReason.RATE_LIMITED) is None


# -- bytes -------------------------------------------------------------------------------


def encoder(url: str = "https://venue.example") -> RequestEncoder:
    signer = Signer(KEY)
    made = RequestEncoder(Origin.parse(url), signer, chain_id=137, epoch_s=lambda: NOW_S)
    made.credentials = CREDENTIALS
    return made


def parts(data: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    return first, headers, body


@pytest.mark.parametrize(
    "request_",
    [
        rest.place_order(b'{"order":{}}'),
        rest.place_orders([b"{}", b"{}"]),
        rest.cancel_order("0x" + "ab" * 32),
        rest.cancel_all(),
        rest.open_orders(),
        rest.get_order("0x" + "ab" * 32),
        rest.heartbeat(),
    ],
    ids=lambda request: f"{request.method} {request.path[:12]}",
)
def test_a_login_covers_the_very_bytes_that_are_sent(request_: rest.Request) -> None:
    encode = encoder()
    for _ in range(2):  # the second time from the template
        first, headers, body = parts(encode(request_))
        assert first == f"{request_.method} {request_.target} HTTP/1.1"
        assert (body, headers["Content-Length"]) == (request_.body, str(len(request_.body)))
        assert headers["Host"] == "venue.example"
        address = Signer(KEY).address
        assert verify_l2(headers, CREDENTIALS, address, request_.method, request_.path, body)
        message = f"{NOW_S}{request_.method}{request_.path}".encode() + body
        mac = hmac.digest(b"secret-secret-secret-secret-secr", message, hashlib.sha256)
        assert headers["POLY_SIGNATURE"] == urlsafe_b64encode(mac).decode()


def test_other_credentials_are_used_from_the_next_request_on() -> None:
    encode = encoder()
    encode(rest.cancel_all())
    encode.credentials = Credentials("other", CREDENTIALS.secret, "pass")
    _, headers, _ = parts(encode(rest.cancel_all()))
    assert (headers["POLY_API_KEY"], headers["POLY_PASSPHRASE"]) == ("other", "pass")


def test_a_wallets_login_and_a_plain_question() -> None:
    encode = encoder()
    _, headers, _ = parts(encode(rest.create_api_key()))
    assert verify_l1(headers) == Signer(KEY).address
    assert headers["Content-Length"] == "0"
    _, headers, _ = parts(encode(rest.server_time()))
    assert not [name for name in headers if name.startswith("POLY")]


def test_what_cannot_be_a_request_is_refused() -> None:
    encode = encoder()
    for path in ("/a b", "/a\r\nHost: x", "/ü"):
        with pytest.raises(OrderError, match="no target"):
            encode(rest.Request("GET", path))
    with pytest.raises(VenueError, match="ASCII"):
        encode.credentials = Credentials("a\r\nX: y", CREDENTIALS.secret, "p")
    encode.credentials = None
    with pytest.raises(VenueError, match="credentials first"):
        encode(rest.cancel_all())


def test_no_secret_in_a_repr() -> None:
    text = repr(encoder()) + str(encoder())
    for secret in (CREDENTIALS.secret, CREDENTIALS.passphrase, CREDENTIALS.api_key, KEY[2:]):
        assert secret not in text


def test_what_each_request_is_for() -> None:
    kinds = {
        Kind.ORDER: [rest.place_order(b"{}"), rest.place_orders([b"{}"])],
        Kind.CANCEL: [rest.cancel_order("0x1"), rest.cancel_orders(["0x1"]), rest.cancel_all(),
                      rest.cancel_market("0x1"), rest.heartbeat()],
        Kind.QUERY: [rest.open_orders(), rest.get_order("0x1"), rest.server_time()],
    }  # fmt: skip
    for kind, requests in kinds.items():
        assert {kind_of(request) for request in requests} == {kind}
